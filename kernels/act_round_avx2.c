/* kernels/act_round_avx2.c - as the AVX-512 variant, on halves. */
#include "kernels/act_round.h"

#include <immintrin.h>
#include <string.h>

#include "kernels/act_round_format.h"
#include "kernels/bf16_simd.h"
#include "kernels/lanes.h"
#include "kernels/rounding.h"

static inline __m256i load(const float *x)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)x);
}

static inline __m256i block_max(const float *x, size_t n)
{
    __m256i max = _mm256_setzero_si256();

    for (size_t i = 0; i < n; i += 8)
        max = _mm256_max_epu32(max, _mm256_and_si256(load(x + i), _mm256_set1_epi32(0x7fffffff)));
    max = _mm256_max_epu32(max, _mm256_permute4x64_epi64(max, 0x4e));
    max = _mm256_max_epu32(max, _mm256_shuffle_epi32(max, 0x4e));
    return _mm256_max_epu32(max, _mm256_shuffle_epi32(max, 0xb1));
}

static inline void round_block(float *y, const float *x, size_t n, rc_round_format f)
{
    const __m256i max = block_max(x, n), field = _mm256_set1_epi32(0x7f800000);
    const __m256i strange = _mm256_cmpgt_epi32(max, _mm256_set1_epi32(0x7f7fffff));
    const __m256 t =
        _mm256_mul_ps(_mm256_max_ps(_mm256_castsi256_ps(max), _mm256_set1_ps(f.least_max)),
                      _mm256_set1_ps(f.inverse));
    const __m256i up = _mm256_add_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(0x7fffff));
    const __m256i scale = _mm256_and_si256(up, field);
    const __m256i inverse = _mm256_sub_epi32(_mm256_set1_epi32(254 << 23), scale);
    const __m256 sign = _mm256_set1_ps(-0.0f);
    const __m256 nan = _mm256_castsi256_ps(_mm256_set1_epi32((int)RC_F32_NAN));

    for (size_t i = 0; i < n; i += 8) {
        const __m256 v = _mm256_loadu_ps(x + i);
        const __m256 q = _mm256_andnot_ps(sign, _mm256_mul_ps(v, _mm256_castsi256_ps(inverse)));
        const __m256 magnitude = _mm256_min_ps(q, _mm256_set1_ps(f.largest));
        const __m256i exponent = _mm256_and_si256(_mm256_castps_si256(magnitude), field);
        const __m256i top = _mm256_max_epi32(exponent, _mm256_set1_epi32((int)f.least_bits));
        const __m256 steps = _mm256_castsi256_ps(
            _mm256_add_epi32(top, _mm256_set1_epi32((int)((23 - f.mantissa) << 23))));
        const __m256 r = _mm256_sub_ps(_mm256_add_ps(magnitude, steps), steps);
        const __m256 scaled = _mm256_mul_ps(r, _mm256_castsi256_ps(scale));
        const __m256 out = _mm256_or_ps(scaled, _mm256_and_ps(v, sign));
        _mm256_storeu_ps(y + i, _mm256_blendv_ps(out, nan, _mm256_castsi256_ps(strange)));
    }
}

void rc_round_fp8_avx2(float *y, const float *x, size_t n, size_t block)
{
    const rc_rounding saved = rc_rounding_enter();

    for (size_t i = 0; i < n; i += block)
        round_block(y + i, x + i, block, RC_ROUND_FP8);
    rc_rounding_leave(saved);
}

void rc_round_fp4_avx2(float *y, const float *x, size_t n, size_t block)
{
    const rc_rounding saved = rc_rounding_enter();

    (void)block;
    for (size_t i = 0; i < n; i += 32)
        round_block(y + i, x + i, 32, RC_ROUND_FP4);
    rc_rounding_leave(saved);
}

void rc_round_bf16_avx2(float *y, const float *x, size_t n)
{
    size_t i = 0;

    for (; i + 8 <= n; i += 8)
        _mm256_storeu_si256(
            (__m256i *)(void *)(y + i),
            _mm256_and_si256(rc_bf16_round8(load(x + i)), _mm256_set1_epi32(-65536)));
    rc_round_bf16_ref(y + i, x + i, n - i);
}

/* Zeros for what a tail lacks leave a lane as it is. */
float rc_sum_squares_avx2(const float *x, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    __m256 sum0 = _mm256_setzero_ps(), sum1 = sum0;
    float lane[RC_LANES], total;

    for (size_t i = 0; i < n; i += RC_LANES) {
        const float *p = x + i;
        if (n - i < RC_LANES) {
            memset(lane, 0, sizeof lane);
            memcpy(lane, p, (n - i) * sizeof *p);
            p = lane;
        }
        const __m256 low = _mm256_loadu_ps(p), high = _mm256_loadu_ps(p + 8);
        sum0 = _mm256_fmadd_ps(low, low, sum0);
        sum1 = _mm256_fmadd_ps(high, high, sum1);
    }
    _mm256_storeu_ps(lane, sum0);
    _mm256_storeu_ps(lane + 8, sum1);
    total = rc_rounding_pin(rc_lanes_fold_f32(lane));
    rc_rounding_leave(saved);
    return total == total ? total : rc_f32_of_bits(RC_F32_NAN);
}
