/* kernels/dequant_fp4_ref.c */
#include "kernels/dequant_fp4.h"

#include <math.h>

#include "kernels/codes.h"
#include "kernels/rounding.h"

static float element(const uint8_t *q, const uint8_t *scale, size_t i)
{
    const unsigned code = i & 1 ? q[i / 2] >> 4 : q[i / 2] & 15;

    if (scale[i / RC_FP4_GROUP] == RC_E8M0_NAN)
        return rc_f32_of_bits(RC_F32_NAN);
    return rc_e2m1_value(code) * rc_e8m0_value(scale[i / RC_FP4_GROUP]);
}

void rc_dequant_fp4_ref(float *restrict y, const uint8_t *restrict q,
                        const uint8_t *restrict scale, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();

    for (size_t i = 0; i < n; i++)
        y[i] = element(q, scale, i);
    rc_rounding_leave(saved);
}

/* The smallest step, half of 2^-127, is 2^-128: bf16 goes down to 2^-133, so
 * whatever is finite is exact. */
size_t rc_dequant_fp4_bf16_ref(uint16_t *restrict y, const uint8_t *restrict q,
                               const uint8_t *restrict scale, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    size_t inexact = 0;

    for (size_t i = 0; i < n; i++) {
        const float x = element(q, scale, i);
        y[i] = rc_bf16_round(x);
        inexact += isinf(x) != 0;
    }
    rc_rounding_leave(saved);
    return inexact;
}

const rc_dequant_fp4_impl rc_dequant_fp4_impls[] = {
    { "ref", 0, rc_dequant_fp4_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_dequant_fp4_avx2 },
    { "avx512", RC_CPU_AVX512, rc_dequant_fp4_avx512 },
#endif
    { 0 },
};

const rc_dequant_fp4_bf16_impl rc_dequant_fp4_bf16_impls[] = {
    { "ref", 0, rc_dequant_fp4_bf16_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_dequant_fp4_bf16_avx2 },
    { "avx512", RC_CPU_AVX512, rc_dequant_fp4_bf16_avx512 },
#endif
    { 0 },
};

RC_CPU_DEFINE_BEST(dequant_fp4)
RC_CPU_DEFINE_BEST(dequant_fp4_bf16)
