/* kernels/exp_avx512.c - sixteen at a time, tails by masks. */
#include "kernels/exp.h"

#include <immintrin.h>
#include <math.h>

#include "kernels/codes.h"
#include "kernels/exp_terms.h"
#include "kernels/lanes.h"
#include "kernels/rounding.h"

static inline __mmask16 mask_of(size_t left)
{
    return (__mmask16)(left >= 16 ? 0xffff : (1u << left) - 1);
}

static inline __m512 nan_where(__mmask16 m, __m512 x)
{
    return _mm512_castsi512_ps(_mm512_mask_set1_epi32(_mm512_castps_si512(x), m, (int)RC_F32_NAN));
}

static inline __m512 exp_of(__m512 x)
{
    const __m512 round = _mm512_set1_ps(RC_EXP_ROUND), one = _mm512_set1_ps(1);
    const __m512 shifted = _mm512_fmadd_ps(x, _mm512_set1_ps(RC_EXP_INV_LOG2), round);
    const __m512 n = _mm512_sub_ps(shifted, round);
    const __mmask16 small = _mm512_cmp_ps_mask(x, _mm512_set1_ps(RC_EXP_LEAST), _CMP_LT_OQ);
    const __mmask16 large = _mm512_cmp_ps_mask(x, _mm512_set1_ps(RC_EXP_MOST), _CMP_GT_OQ);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(RC_EXP_LOG2_HIGH), x);
    __m512 p = _mm512_set1_ps(RC_EXP_C6);

    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(RC_EXP_LOG2_LOW), r);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(RC_EXP_C5));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(RC_EXP_C4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(RC_EXP_C3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(RC_EXP_C2));
    p = _mm512_fmadd_ps(p, r, one);
    p = _mm512_fmadd_ps(p, r, one);
    p = _mm512_castsi512_ps(
        _mm512_maskz_add_epi32((__mmask16)~small, _mm512_castps_si512(p),
                               _mm512_slli_epi32(_mm512_castps_si512(shifted), 23)));
    p = _mm512_mask_mov_ps(p, large, _mm512_set1_ps(INFINITY));
    return nan_where(_mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), p);
}

float rc_exp_sum_avx512(float *p, const float *s, size_t n, float m)
{
    const rc_rounding saved = rc_rounding_enter();
    __m512 sum = _mm512_setzero_ps();
    float lane[RC_LANES], total;

    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 here = mask_of(n - i);
        const __m512 x = _mm512_sub_ps(_mm512_maskz_loadu_ps(here, s + i), _mm512_set1_ps(m));
        const __m512 y = exp_of(x);
        _mm512_mask_storeu_ps(p + i, here, y);
        sum = _mm512_mask_add_ps(sum, here, sum, y);
    }
    _mm512_storeu_ps(lane, sum);
    total = rc_rounding_pin(rc_lanes_fold_f32(lane));
    rc_rounding_leave(saved);
    return total;
}

/* Minimum and maximum give their second operand when one is NaN. */
void rc_swiglu_avx512(float *v, const float *a, const float *b, size_t n, float limit, float scale)
{
    const rc_rounding saved = rc_rounding_enter();
    const __m512 top = _mm512_set1_ps(limit), bottom = _mm512_set1_ps(-limit);
    const __m512 minus = _mm512_set1_ps(-0.0f);

    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 here = mask_of(n - i);
        const __m512 z = _mm512_min_ps(top, _mm512_maskz_loadu_ps(here, a + i));
        const __m512 low = _mm512_max_ps(bottom, _mm512_maskz_loadu_ps(here, b + i));
        const __m512 e = exp_of(_mm512_xor_ps(z, minus));
        const __m512 silu = _mm512_div_ps(z, _mm512_add_ps(_mm512_set1_ps(1), e));
        const __m512 product = _mm512_mul_ps(silu, _mm512_min_ps(top, low));
        const __m512 y = _mm512_mul_ps(_mm512_set1_ps(scale), product);
        _mm512_mask_storeu_ps(v + i, here, nan_where(_mm512_cmp_ps_mask(y, y, _CMP_UNORD_Q), y));
    }
    rc_rounding_leave(saved);
}
