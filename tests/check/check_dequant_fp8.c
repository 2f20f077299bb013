/* tests/check/check_dequant_fp8.c */
#include "kernels/dequant_fp8.h"

#include <string.h>

#include "tests/check/check.h"

typedef struct job {
    rc_dequant_fp8_fn *f32;
    rc_dequant_fp8_bf16_fn *bf16;
    const uint8_t *q;
    const float *scale;
    size_t n, shift;
} job;

static void run(void *arg)
{
    const job *j = arg;
    const size_t width = j->f32 ? 4 : 2;
    check_buf want = check_buf_new(j->n * width, 0), got = check_buf_new(want.n, j->shift * width);
    size_t expected = 0, counted = 0;

    if (j->f32) {
        rc_dequant_fp8_ref((float *)(void *)want.data, j->q, j->scale, j->n);
        j->f32((float *)(void *)got.data, j->q, j->scale, j->n);
    } else {
        expected = rc_dequant_fp8_bf16_ref((uint16_t *)(void *)want.data, j->q, j->scale, j->n);
        counted = j->bf16((uint16_t *)(void *)got.data, j->q, j->scale, j->n);
    }
    check_that(memcmp(want.data, got.data, want.n) == 0 && expected == counted &&
                   check_buf_intact(&got),
               "n %zu, offset %zu, first scale %a, inexact %zu and %zu", j->n, j->shift,
               (double)j->scale[0], expected, counted);
    check_buf_free(&want);
    check_buf_free(&got);
}

static void check_all(job j)
{
    static const size_t lengths[] = { 0, 1, 31, 63, 64, 127, 128, 129, 255, 257, 2048, 4095 };
    uint8_t codes[4200];
    float scales[34];

    /* every code under every power of two and a few other significands */
    for (unsigned i = 0; i < 256; i++)
        codes[i] = (uint8_t)(i * 3);
    for (unsigned s = 0; s < 256; s++)
        for (unsigned variant = 0; variant < 4; variant++) {
            static const uint32_t low[] = { 0, 0x00400000, 0x80000000, 0x00123457 };
            const uint32_t bits = (uint32_t)s << 23 | low[variant];
            memcpy(scales, &bits, sizeof bits);
            memcpy(scales + 1, &bits, sizeof bits);
            memcpy(scales + 2, &bits, sizeof bits);
            j.q = codes;
            j.scale = scales;
            j.n = 256;
            j.shift = s % 16;
            check_in_rounding_modes(run, &j);
        }
    for (unsigned round = 0; round < 600; round++) {
        const bool clean = round % 2; /* without NaN codes: the fast path */
        check_fill(codes, sizeof codes);
        for (size_t i = 0; clean && i < sizeof codes; i++)
            if ((codes[i] & 0x7f) == 0x7f)
                codes[i] ^= 1;
        for (size_t i = 0; i < 34; i++) {
            scales[i] = check_float();
            if (check_below(3) == 0)
                scales[i] = 0x1p-20f * (float)(1 + check_below(1000));
        }
        j.n = round < 24 ? lengths[round / 2] : check_below(4200 - 64);
        j.q = codes + check_below(64);
        j.shift = check_below(16);
        run(&j);
    }
}

void check_dequant_fp8(void)
{
    for (const rc_dequant_fp8_impl *row = rc_dequant_fp8_impls + 1; row->fn; row++)
        if (check_begin("dequant_fp8", row->name, row->need)) {
            check_all((job){ .f32 = row->fn });
            check_end();
        }
}

void check_dequant_fp8_bf16(void)
{
    for (const rc_dequant_fp8_bf16_impl *row = rc_dequant_fp8_bf16_impls + 1; row->fn; row++)
        if (check_begin("dequant_fp8_bf16", row->name, row->need)) {
            check_all((job){ .bf16 = row->fn });
            check_end();
        }
}
