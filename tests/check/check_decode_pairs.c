/* tests/check/check_decode_pairs.c - every type, every variant, bit for bit. */
#include <stdio.h>
#include <string.h>

#include "tests/check/check.h"
#include "tests/check/check_rows.h"

typedef struct job {
    rc_dtype dtype;
    rc_decode_pairs_fn *fn;
    size_t n;
    check_rows w;
} job;

static void run(void *arg)
{
    const job *j = arg;
    check_buf want = check_buf_new(4 * j->n, 0), got = check_buf_new(4 * j->n, 4 * check_below(16));

    rc_decode_pairs_impls(j->dtype)->fn((float *)(void *)want.data, j->w.w.weight, j->w.w.scale,
                                        j->n);
    j->fn((float *)(void *)got.data, j->w.w.weight, j->w.w.scale, j->n);
    check_that(memcmp(want.data, got.data, want.n) == 0 && check_buf_intact(&got), "n %zu", j->n);
    check_buf_free(&want);
    check_buf_free(&got);
}

static void compare_all(job j)
{
    const size_t step = check_rows_step(j.dtype);

    for (unsigned round = 0; round < 300; round++) {
        j.n = step * (1 + check_below(step < 256 ? 20 : 4));
        j.w = check_rows_new(j.dtype, 1, j.n, round % CHECK_ROWS_KINDS, round % 2);
        check_in_rounding_modes(run, &j);
        check_rows_free(&j.w);
    }
}

void check_decode_pairs(void)
{
    for (unsigned i = 0; i < RC_DTYPE_COUNT; i++) {
        const rc_dtype dtype = (rc_dtype)i;
        const rc_decode_pairs_impl *row = rc_decode_pairs_impls(dtype);
        char name[48];

        snprintf(name, sizeof name, "decode_pairs %s", rc_dtype_name(dtype));
        for (row = row ? row + 1 : NULL; row && row->fn; row++)
            if (check_begin(name, row->name, row->need)) {
                compare_all((job){ .dtype = dtype, .fn = row->fn });
                check_end();
            }
    }
}
