/* tests/check/check_pairs.c - the paired layout, there and back. */
#include "kernels/pairs.h"

#include <stdlib.h>
#include <string.h>

#include "tests/check/check.h"

static void compare(rc_pair_f32_fn *ref, rc_pair_f32_fn *fn, size_t n)
{
    void *whole;
    float *x = (float *)(void *)check_input_new(4 * n, 4 * check_below(4), &whole);
    check_buf want = check_buf_new(4 * n, 0), got = check_buf_new(4 * n, 4 * check_below(16));

    check_fill(x, 4 * n); /* signalling NaN among them */
    ref((float *)(void *)want.data, x, n);
    fn((float *)(void *)got.data, x, n);
    check_that(memcmp(want.data, got.data, 4 * n) == 0 && check_buf_intact(&got), "n %zu", n);
    check_buf_free(&want);
    check_buf_free(&got);
    free(whole);
}

void check_pair_f32(void)
{
    for (const rc_pair_f32_impl *row = rc_pair_f32_impls + 1; row->fn; row++)
        if (check_begin("pair_f32", row->name, row->need)) {
            for (size_t n = 0; n <= 4096; n += RC_CHUNK)
                compare(rc_pair_f32_ref, row->fn, n);
            check_end();
        }
}

void check_unpair_f32(void)
{
    for (const rc_unpair_f32_impl *row = rc_unpair_f32_impls + 1; row->fn; row++)
        if (check_begin("unpair_f32", row->name, row->need)) {
            for (size_t n = 0; n <= 4096; n += RC_CHUNK)
                compare(rc_unpair_f32_ref, row->fn, n);
            check_end();
        }
}
