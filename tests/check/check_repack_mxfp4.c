/* tests/check/check_repack_mxfp4.c */
#include "kernels/repack_mxfp4.h"

#include <stdlib.h>
#include <string.h>

#include "tests/check/check.h"

static void check_one(rc_repack_mxfp4_fn *fn, size_t blocks, size_t shift, bool stream)
{
    check_buf want = check_buf_new(17 * blocks, 0), got = check_buf_new(want.n, shift);
    void *whole, *whole_scales;
    uint8_t *q = check_input_new(16 * blocks, check_below(16), &whole);
    uint8_t *scale = check_input_new(blocks, check_below(16), &whole_scales);
    size_t expected, counted;

    check_fill(q, 16 * blocks);
    check_fill(scale, blocks);
    for (size_t b = 0; b < blocks; b++)
        scale[b] = check_below(8) ? scale[b] : 255;
    expected = rc_repack_mxfp4_ref(want.data, q, scale, 32 * blocks, false);
    counted = fn(got.data, q, scale, 32 * blocks, stream);
    check_that(memcmp(want.data, got.data, want.n) == 0 && expected == counted &&
                   check_buf_intact(&got),
               "%zu blocks, offset %zu, stream %d, counted %zu of %zu", blocks, shift, stream,
               counted, expected);
    free(whole);
    free(whole_scales);
    check_buf_free(&want);
    check_buf_free(&got);
}

void check_repack_mxfp4(void)
{
    for (const rc_repack_mxfp4_impl *row = rc_repack_mxfp4_impls + 1; row->fn; row++)
        if (check_begin("repack_mxfp4", row->name, row->need)) {
            for (size_t blocks = 0; blocks < 300; blocks++)
                check_one(row->fn, blocks, check_below(64), blocks & 1);
            for (size_t shift = 0; shift < 64; shift++)
                for (int stream = 0; stream < 2; stream++)
                    check_one(row->fn, 128 + check_below(80), shift, stream);
            check_end();
        }
}
