/* kernels/act_round_ref.c */
#include "kernels/act_round.h"

#include <math.h>
#include <stdbool.h>

#include "kernels/act_round_format.h"
#include "kernels/lanes.h"
#include "kernels/rounding.h"

/* The nearest number of the format, sign kept. */
static float round_one(float q, rc_round_format f)
{
    const float magnitude = fabsf(q) > f.largest ? f.largest : fabsf(q);
    const uint32_t exponent = rc_f32_bits(magnitude) & 0x7f800000u;
    const uint32_t top = exponent > f.least_bits ? exponent : f.least_bits;
    const float steps = rc_f32_of_bits(top + ((23 - f.mantissa) << 23));

    return copysignf((magnitude + steps) - steps, q);
}

static void round_block(float *y, const float *x, size_t n, rc_round_format f)
{
    bool finite = true;
    float max = 0;
    uint32_t exponent;

    for (size_t i = 0; i < n; i++) {
        finite = finite && isfinite(x[i]);
        max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    }
    if (!finite) {
        for (size_t i = 0; i < n; i++)
            y[i] = rc_f32_of_bits(RC_F32_NAN);
        return;
    }
    exponent = rc_round_exponent(max, f);
    for (size_t i = 0; i < n; i++) /* by 1 / s, a power of two too: the same as dividing by s */
        y[i] = round_one(x[i] * rc_f32_of_bits((254 - exponent) << 23), f) *
               rc_f32_of_bits(exponent << 23);
}

static void round_blocks(float *y, const float *x, size_t n, size_t block, rc_round_format f)
{
    const rc_rounding saved = rc_rounding_enter();

    for (size_t i = 0; i < n; i += block)
        round_block(y + i, x + i, block, f);
    rc_rounding_leave(saved);
}

void rc_round_fp8_ref(float *y, const float *x, size_t n, size_t block)
{
    round_blocks(y, x, n, block, RC_ROUND_FP8);
}

void rc_round_fp4_ref(float *y, const float *x, size_t n, size_t block)
{
    round_blocks(y, x, n, block, RC_ROUND_FP4);
}

void rc_round_bf16_ref(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = rc_bf16_value(rc_bf16_round(x[i]));
}

float rc_sum_squares_ref(const float *x, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    float lane[RC_LANES] = { 0 };
    float sum;

    for (size_t i = 0; i < n; i++)
        lane[i % RC_LANES] = fmaf(x[i], x[i], lane[i % RC_LANES]);
    sum = rc_rounding_pin(rc_lanes_fold_f32(lane));
    rc_rounding_leave(saved);
    return isnan(sum) ? rc_f32_of_bits(RC_F32_NAN) : sum;
}

const rc_round_fp8_impl rc_round_fp8_impls[] = {
    { "ref", 0, rc_round_fp8_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_round_fp8_avx2 },
    { "avx512", RC_CPU_AVX512, rc_round_fp8_avx512 },
#endif
    { 0 },
};

const rc_round_fp4_impl rc_round_fp4_impls[] = {
    { "ref", 0, rc_round_fp4_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_round_fp4_avx2 },
    { "avx512", RC_CPU_AVX512, rc_round_fp4_avx512 },
#endif
    { 0 },
};

const rc_round_bf16_impl rc_round_bf16_impls[] = {
    { "ref", 0, rc_round_bf16_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_round_bf16_avx2 },
    { "avx512", RC_CPU_AVX512, rc_round_bf16_avx512 },
#endif
    { 0 },
};

const rc_sum_squares_impl rc_sum_squares_impls[] = {
    { "ref", 0, rc_sum_squares_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_sum_squares_avx2 },
    { "avx512", RC_CPU_AVX512, rc_sum_squares_avx512 },
#endif
    { 0 },
};

RC_CPU_DEFINE_BEST(round_fp8)
RC_CPU_DEFINE_BEST(round_fp4)
RC_CPU_DEFINE_BEST(round_bf16)
RC_CPU_DEFINE_BEST(sum_squares)
