/* tests/unit/data.h - the vectors of tests/data/. Tests run in the root of the tree. */
#ifndef RC_TESTS_UNIT_DATA_H
#define RC_TESTS_UNIT_DATA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

/** A whole file of at most `max` bytes; the numbers in it are little-endian, as here. */
static inline size_t data_load(const char *name, void *out, size_t max)
{
    char path[128], more;
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "tests/data/%s", name);
    f = fopen(path, "rb");
    if (!f)
        fail_msg("%s is not there (run in the root of the tree)", path);
    n = fread(out, 1, max, f);
    assert_int_equal(fread(&more, 1, 1, f), 0);
    fclose(f);
    return n;
}

/** A file of exactly that size. */
static inline void data_load_all(const char *name, void *out, size_t nbytes)
{
    assert_int_equal(data_load(name, out, nbytes), nbytes);
}

#endif
