/* kernels/act_round_avx512.c - a block's scale stays in a register, the same in every lane. */
#include "kernels/act_round.h"

#include <immintrin.h>

#include "kernels/act_round_format.h"
#include "kernels/bf16_simd.h"
#include "kernels/lanes.h"
#include "kernels/rounding.h"

static inline __mmask16 mask_of(size_t left)
{
    return (__mmask16)(left >= 16 ? 0xffff : (1u << left) - 1);
}

/* The largest magnitude, as bits: NaN and infinity are above all others. */
static inline __m512i block_max(const float *x, size_t n)
{
    __m512i max = _mm512_setzero_si512();

    for (size_t i = 0; i < n; i += 16)
        max = _mm512_max_epu32(
            max, _mm512_and_si512(_mm512_loadu_si512(x + i), _mm512_set1_epi32(0x7fffffff)));
    max = _mm512_max_epu32(max, _mm512_shuffle_i32x4(max, max, 0x4e));
    max = _mm512_max_epu32(max, _mm512_shuffle_i32x4(max, max, 0xb1));
    max = _mm512_max_epu32(max, _mm512_shuffle_epi32(max, (_MM_PERM_ENUM)0x4e));
    return _mm512_max_epu32(max, _mm512_shuffle_epi32(max, (_MM_PERM_ENUM)0xb1));
}

static inline void round_block(float *y, const float *x, size_t n, rc_round_format f)
{
    const __m512i max = block_max(x, n), field = _mm512_set1_epi32(0x7f800000);
    const __mmask16 strange = _mm512_cmpge_epi32_mask(max, field);
    const __m512 t =
        _mm512_mul_ps(_mm512_max_ps(_mm512_castsi512_ps(max), _mm512_set1_ps(f.least_max)),
                      _mm512_set1_ps(f.inverse));
    const __m512i up = _mm512_add_epi32(_mm512_castps_si512(t), _mm512_set1_epi32(0x7fffff));
    const __m512i scale = _mm512_and_si512(up, field);
    const __m512i inverse = _mm512_sub_epi32(_mm512_set1_epi32(254 << 23), scale);
    const __m512i sign = _mm512_set1_epi32((int)0x80000000u);

    for (size_t i = 0; i < n; i += 16) {
        const __m512 v = _mm512_loadu_ps(x + i);
        const __m512 q = _mm512_abs_ps(_mm512_mul_ps(v, _mm512_castsi512_ps(inverse)));
        const __m512 magnitude = _mm512_min_ps(q, _mm512_set1_ps(f.largest));
        const __m512i exponent = _mm512_and_si512(_mm512_castps_si512(magnitude), field);
        const __m512i top = _mm512_max_epi32(exponent, _mm512_set1_epi32((int)f.least_bits));
        const __m512 steps = _mm512_castsi512_ps(
            _mm512_add_epi32(top, _mm512_set1_epi32((int)((23 - f.mantissa) << 23))));
        const __m512 r = _mm512_sub_ps(_mm512_add_ps(magnitude, steps), steps);
        const __m512i scaled = _mm512_castps_si512(_mm512_mul_ps(r, _mm512_castsi512_ps(scale)));
        const __m512i out = _mm512_or_si512(scaled, _mm512_and_si512(_mm512_castps_si512(v), sign));
        _mm512_storeu_si512(y + i, _mm512_mask_set1_epi32(out, strange, (int)RC_F32_NAN));
    }
}

void rc_round_fp8_avx512(float *y, const float *x, size_t n, size_t block)
{
    const rc_rounding saved = rc_rounding_enter();

    for (size_t i = 0; i < n; i += block)
        round_block(y + i, x + i, block, RC_ROUND_FP8);
    rc_rounding_leave(saved);
}

void rc_round_fp4_avx512(float *y, const float *x, size_t n, size_t block)
{
    const rc_rounding saved = rc_rounding_enter();

    (void)block;
    for (size_t i = 0; i < n; i += 32)
        round_block(y + i, x + i, 32, RC_ROUND_FP4);
    rc_rounding_leave(saved);
}

void rc_round_bf16_avx512(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = mask_of(n - i);
        const __m512i r = rc_bf16_round16(_mm512_maskz_loadu_epi32(m, x + i));
        _mm512_mask_storeu_epi32(y + i, m, _mm512_and_si512(r, _mm512_set1_epi32(-65536)));
    }
}

/* Zeros for what a tail lacks leave a lane as it is. */
float rc_sum_squares_avx512(const float *x, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    __m512 sum = _mm512_setzero_ps();
    float lane[RC_LANES], total;

    for (size_t i = 0; i < n; i += 16) {
        const __m512 v = _mm512_maskz_loadu_ps(mask_of(n - i), x + i);
        sum = _mm512_fmadd_ps(v, v, sum);
    }
    _mm512_storeu_ps(lane, sum);
    total = rc_rounding_pin(rc_lanes_fold_f32(lane));
    rc_rounding_leave(saved);
    return total == total ? total : rc_f32_of_bits(RC_F32_NAN);
}
