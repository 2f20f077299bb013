/* tests/check/check_dequant_fp4.c */
#include "kernels/dequant_fp4.h"

#include <string.h>

#include "tests/check/check.h"

typedef struct job {
    rc_dequant_fp4_fn *f32;
    rc_dequant_fp4_bf16_fn *bf16;
    const uint8_t *q, *scale;
    size_t n, shift;
} job;

static void run(void *arg)
{
    const job *j = arg;
    const size_t width = j->f32 ? 4 : 2;
    check_buf want = check_buf_new(j->n * width, 0), got = check_buf_new(want.n, j->shift * width);
    size_t expected = 0, counted = 0;

    if (j->f32) {
        rc_dequant_fp4_ref((float *)(void *)want.data, j->q, j->scale, j->n);
        j->f32((float *)(void *)got.data, j->q, j->scale, j->n);
    } else {
        expected =
            rc_dequant_fp4_bf16_ref((uint16_t *)(void *)want.data, j->q, j->scale, j->n);
        counted = j->bf16((uint16_t *)(void *)got.data, j->q, j->scale, j->n);
    }
    check_that(memcmp(want.data, got.data, want.n) == 0 && expected == counted &&
                   check_buf_intact(&got),
               "n %zu, offset %zu, first scale %u", j->n, j->shift, j->n ? j->scale[0] : 0);
    check_buf_free(&want);
    check_buf_free(&got);
}

static void check_all(job j)
{
    uint8_t every[256 * 16], scales[256];

    /* every byte of codes under every scale: 16 groups hold the 256 bytes */
    for (unsigned s = 0; s < 256; s++) {
        for (unsigned i = 0; i < 256; i++)
            every[i] = (uint8_t)i;
        memset(scales, (int)s, sizeof scales);
        j.q = every;
        j.scale = scales;
        j.n = 512;
        j.shift = s % 16;
        check_in_rounding_modes(run, &j);
    }
    for (unsigned round = 0; round < 300; round++) {
        check_fill(every, sizeof every);
        check_fill(scales, sizeof scales);
        j.n = 32 * check_below(200);
        j.q = every + check_below(64);
        j.shift = check_below(16);
        run(&j);
    }
}

void check_dequant_fp4(void)
{
    for (const rc_dequant_fp4_impl *row = rc_dequant_fp4_impls + 1; row->fn; row++)
        if (check_begin("dequant_fp4", row->name, row->need)) {
            check_all((job){ .f32 = row->fn });
            check_end();
        }
}

void check_dequant_fp4_bf16(void)
{
    for (const rc_dequant_fp4_bf16_impl *row = rc_dequant_fp4_bf16_impls + 1; row->fn; row++)
        if (check_begin("dequant_fp4_bf16", row->name, row->need)) {
            check_all((job){ .bf16 = row->fn });
            check_end();
        }
}
