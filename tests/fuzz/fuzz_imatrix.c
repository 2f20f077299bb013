/* tests/fuzz/fuzz_imatrix.c - an imatrix from anybody, of either format: every value that is
 * handed out is a finite mean. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/imatrix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

static void ask(const rc_imatrix *m, const rc_imatrix_entry *e, uint64_t row, uint64_t rows)
{
    const uint64_t cols = e->values / rows;
    float *v = malloc(cols * sizeof *v + 1); /* exact: a sanitizer sees the value too far */
    rc_imatrix_found found, again;
    rc_err err;

    REQUIRE(v && rc_imatrix_get(m, e->name, row, rows, cols, v, &found, &err) == RC_OK);
    REQUIRE(rc_imatrix_get(m, e->name, row, rows, cols, NULL, &again, &err) == RC_OK);
    REQUIRE(found == again && found != RC_IMATRIX_ABSENT);
    for (uint64_t i = 0; found == RC_IMATRIX_FOUND && i < cols; i++)
        REQUIRE(v[i] >= 0.0f && isfinite(v[i]));
    free(v);
}

static void inspect(const rc_imatrix *m)
{
    REQUIRE(rc_imatrix_count(m) > 0);
    for (size_t i = 0; i < rc_imatrix_count(m); i++) {
        const rc_imatrix_entry *e = rc_imatrix_at(m, i);

        REQUIRE(e->name[0] && e->rows > 0 && e->values > 0);
        REQUIRE(e->cols == 0 || e->rows * e->cols == e->values);
        ask(m, e, 0, 1);
        ask(m, e, e->rows - 1, e->rows);
        if (e->values % 3 == 0)
            ask(m, e, 1, 3);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rc_mem mem = { .limit = (size_t)64 << 20 };
    rc_err err = { 0 };
    rc_imatrix *m;
    const rc_code rc = rc_imatrix_parse(&m, data, size, NULL, &mem, &err);

    if (rc == RC_OK) {
        inspect(m);
    } else {
        REQUIRE(!m && err.code == rc && err.msg[0]);
        REQUIRE(err.offset == RC_NO_OFFSET || err.offset <= size);
    }
    rc_imatrix_free(&m);
    REQUIRE(mem.used == 0);
    return 0;
}
