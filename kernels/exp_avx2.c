/* kernels/exp_avx2.c - eight at a time; a tail is padded. */
#include "kernels/exp.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/codes.h"
#include "kernels/exp_terms.h"
#include "kernels/lanes.h"
#include "kernels/rounding.h"

static inline __m256 nan_for(__m256 x, __m256 y)
{
    const __m256 nan = _mm256_castsi256_ps(_mm256_set1_epi32((int)RC_F32_NAN));

    return _mm256_blendv_ps(y, nan, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

static inline __m256 exp_of(__m256 x)
{
    const __m256 round = _mm256_set1_ps(RC_EXP_ROUND), one = _mm256_set1_ps(1);
    const __m256 shifted = _mm256_fmadd_ps(x, _mm256_set1_ps(RC_EXP_INV_LOG2), round);
    const __m256 n = _mm256_sub_ps(shifted, round);
    const __m256 small = _mm256_cmp_ps(x, _mm256_set1_ps(RC_EXP_LEAST), _CMP_LT_OQ);
    const __m256 large = _mm256_cmp_ps(x, _mm256_set1_ps(RC_EXP_MOST), _CMP_GT_OQ);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(RC_EXP_LOG2_HIGH), x);
    __m256 p = _mm256_set1_ps(RC_EXP_C6);

    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(RC_EXP_LOG2_LOW), r);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(RC_EXP_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(RC_EXP_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(RC_EXP_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(RC_EXP_C2));
    p = _mm256_fmadd_ps(p, r, one);
    p = _mm256_fmadd_ps(p, r, one);
    p = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p),
                                             _mm256_slli_epi32(_mm256_castps_si256(shifted), 23)));
    p = _mm256_andnot_ps(small, p);
    p = _mm256_blendv_ps(p, _mm256_set1_ps(INFINITY), large);
    return nan_for(x, p);
}

float rc_exp_sum_avx2(float *p, const float *s, size_t n, float m)
{
    const rc_rounding saved = rc_rounding_enter();
    const __m256 most = _mm256_set1_ps(m);
    __m256 sum0 = _mm256_setzero_ps(), sum1 = sum0;
    float lane[RC_LANES], tail[RC_LANES] = { 0 }, total;
    size_t i = 0;

    for (; i + 16 <= n; i += 16) {
        const __m256 y0 = exp_of(_mm256_sub_ps(_mm256_loadu_ps(s + i), most));
        const __m256 y1 = exp_of(_mm256_sub_ps(_mm256_loadu_ps(s + i + 8), most));
        _mm256_storeu_ps(p + i, y0);
        _mm256_storeu_ps(p + i + 8, y1);
        sum0 = _mm256_add_ps(sum0, y0);
        sum1 = _mm256_add_ps(sum1, y1);
    }
    _mm256_storeu_ps(lane, sum0);
    _mm256_storeu_ps(lane + 8, sum1);
    if (i < n) {
        memcpy(tail, s + i, (n - i) * sizeof *s);
        _mm256_storeu_ps(tail, exp_of(_mm256_sub_ps(_mm256_loadu_ps(tail), most)));
        _mm256_storeu_ps(tail + 8, exp_of(_mm256_sub_ps(_mm256_loadu_ps(tail + 8), most)));
        memcpy(p + i, tail, (n - i) * sizeof *p);
        for (size_t j = 0; j < n - i; j++)
            lane[j] += tail[j];
    }
    total = rc_rounding_pin(rc_lanes_fold_f32(lane));
    rc_rounding_leave(saved);
    return total;
}

/* Minimum and maximum give their second operand when one is NaN. */
static inline __m256 swiglu_of(__m256 a, __m256 b, float limit, float scale)
{
    const __m256 top = _mm256_set1_ps(limit);
    const __m256 z = _mm256_min_ps(top, a);
    const __m256 low = _mm256_max_ps(_mm256_set1_ps(-limit), b);
    const __m256 e = exp_of(_mm256_xor_ps(z, _mm256_set1_ps(-0.0f)));
    const __m256 silu = _mm256_div_ps(z, _mm256_add_ps(_mm256_set1_ps(1), e));
    const __m256 product = _mm256_mul_ps(silu, _mm256_min_ps(top, low));
    const __m256 y = _mm256_mul_ps(_mm256_set1_ps(scale), product);

    return nan_for(y, y);
}

void rc_swiglu_avx2(float *v, const float *a, const float *b, size_t n, float limit, float scale)
{
    const rc_rounding saved = rc_rounding_enter();
    float x[8] = { 0 }, y[8] = { 0 };
    size_t i = 0;

    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(v + i,
                         swiglu_of(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), limit, scale));
    if (i < n) {
        memcpy(x, a + i, (n - i) * sizeof *a);
        memcpy(y, b + i, (n - i) * sizeof *b);
        _mm256_storeu_ps(x, swiglu_of(_mm256_loadu_ps(x), _mm256_loadu_ps(y), limit, scale));
        memcpy(v + i, x, (n - i) * sizeof *v);
    }
    rc_rounding_leave(saved);
}
