/* tests/unit/expected.h - what others computed, from a .safetensors file.
 *
 * Static functions in a header: a unit test is one object and the library. */
#ifndef RC_TESTS_UNIT_EXPECTED_H
#define RC_TESTS_UNIT_EXPECTED_H

#include "formats/safetensors.h"
#include "tests/unit/fixture.h"

static inline void ok(rc_code rc, const rc_err *err)
{
    char line[1024];

    if (rc != RC_OK)
        fail_msg("%s", rc_err_line(err, line, sizeof line));
}

/* A .safetensors file in memory. */
typedef struct expected {
    rc_mem mem;
    uint8_t *bytes;
    rc_st *head;
} expected;

static inline uint8_t *load(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes;

    if (!f)
        fail_msg("%s is not there (run in the root of the tree)", path);
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    bytes = malloc(*len);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *len, f), *len);
    fclose(f);
    return bytes;
}

static inline void open_expected(expected *e, const char *path)
{
    rc_err err;
    size_t len;

    memset(e, 0, sizeof *e);
    e->bytes = load(path, &len);
    ok(rc_st_new(&e->head, e->bytes, len, len, NULL, &e->mem, &err), &err);
}

static inline void close_expected(expected *e)
{
    rc_st_free(&e->head);
    free(e->bytes);
}

static inline const void *values_of(const expected *e, const char *name, uint64_t n, size_t size)
{
    const rc_st_entry *t = rc_st_find(e->head, name);

    assert_non_null(t);
    assert_int_equal(t->nbytes, n * size);
    return e->bytes + t->begin;
}

static inline float number(const void *values, size_t i)
{
    float x;

    memcpy(&x, (const uint8_t *)values + 4 * i, 4);
    return x;
}

static inline uint32_t integer(const void *values, size_t i)
{
    int64_t x;

    memcpy(&x, (const uint8_t *)values + 8 * i, 8);
    return (uint32_t)x;
}

#endif
