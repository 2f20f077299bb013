/* kernels/dequant_fp8_ref.c */
#include "kernels/dequant_fp8.h"

#include <math.h>

#include "kernels/codes.h"
#include "kernels/rounding.h"

void rc_dequant_fp8_ref(float *restrict y, const uint8_t *restrict q, const float *restrict scale,
                        size_t n)
{
    const rc_rounding saved = rc_rounding_enter();

    for (size_t i = 0; i < n; i++) {
        const float p = rc_e4m3_value(q[i]) * scale[i / RC_FP8_TILE];
        y[i] = isnan(p) ? rc_f32_of_bits(RC_F32_NAN) : p;
    }
    rc_rounding_leave(saved);
}

size_t rc_dequant_fp8_bf16_ref(uint16_t *restrict y, const uint8_t *restrict q,
                               const float *restrict scale, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    size_t inexact = 0;

    for (size_t i = 0; i < n; i++) {
        const float code = rc_e4m3_value(q[i]), s = scale[i / RC_FP8_TILE], p = code * s;
        if (isnan(p)) {
            y[i] = RC_BF16_NAN;
            continue;
        }
        y[i] = rc_bf16_round(p);
        /* a double holds the 28 bits of the product, and more range */
        inexact += (double)code * (double)s != (double)rc_bf16_value(y[i]);
    }
    rc_rounding_leave(saved);
    return inexact;
}

const rc_dequant_fp8_impl rc_dequant_fp8_impls[] = {
    { "ref", 0, rc_dequant_fp8_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_dequant_fp8_avx2 },
    { "avx512", RC_CPU_AVX512, rc_dequant_fp8_avx512 },
#endif
    { 0 },
};

const rc_dequant_fp8_bf16_impl rc_dequant_fp8_bf16_impls[] = {
    { "ref", 0, rc_dequant_fp8_bf16_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_dequant_fp8_bf16_avx2 },
    { "avx512", RC_CPU_AVX512, rc_dequant_fp8_bf16_avx512 },
#endif
    { 0 },
};

RC_CPU_DEFINE_BEST(dequant_fp8)
RC_CPU_DEFINE_BEST(dequant_fp8_bf16)
