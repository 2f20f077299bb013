/* kernels/pair_sum.h - the sums of kernels/pairs.h, step by step.
 *
 * Internal: what the references have in common, and how sixteen lanes become one. */
#ifndef RC_KERNELS_PAIR_SUM_H
#define RC_KERNELS_PAIR_SUM_H

#include <math.h>
#include <stdbool.h>

#include "kernels/pairs.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

/* A subnormal is a zero of its sign. */
static inline float rc_flush(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}

static inline float rc_pair_fold(float lane[RC_PAIR_LANES], bool flushed)
{
    for (unsigned half = RC_PAIR_LANES / 2; half > 0; half /= 2)
        for (unsigned j = 0; j < half; j++) {
            const float sum = lane[j] + lane[j + half];
            lane[j] = flushed ? rc_flush(sum) : sum;
        }
    return lane[0];
}

/* One half of VDPBF16PS. A result is subnormal if it is below 2^-126 when rounded to 24 bits
 * with no lower bound on the exponent. fmaf() has that bound, and rounds some of
 * those to 2^-126: this value alone is looked at again, 60 binades up, where nothing
 * underflows. (Nothing overflows: an operand above 2^67 leaves no bits as low as 2^-126.) */
static inline float rc_bf16_step(float a, float b, float sum)
{
    const float r = fmaf(a, b, sum);

    if (fabsf(r) == 0x1p-126f && fabsf(fmaf(a * 0x1p60f, b, sum * 0x1p60f)) < 0x1p-66f)
        return copysignf(0, r);
    return rc_flush(r);
}

#if defined(__AVX2__)
/** Lanes 0 .. 7, lanes 8 .. 15. */
static inline float rc_pair_fold_avx2(__m256 low, __m256 high)
{
    const __m256 eight = _mm256_add_ps(low, high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
#endif

#if defined(__AVX512F__)
static inline float rc_pair_fold_avx512(__m512 lane)
{
    return rc_pair_fold_avx2(_mm512_castps512_ps256(lane), _mm512_extractf32x8_ps(lane, 1));
}
#endif

#endif
