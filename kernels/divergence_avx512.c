/* kernels/divergence_avx512.c - eight at a time. */
#include <immintrin.h>

#define WIDTH 8u
typedef __m512d reg;

#include "kernels/divergence_simd.h"

STEP_INLINE reg reg_set(double x)
{
    return _mm512_set1_pd(x);
}

STEP_INLINE reg reg_load(const float *p)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps(p));
}

STEP_INLINE void reg_store(double *p, reg x)
{
    _mm512_storeu_pd(p, x);
}

STEP_INLINE reg reg_add(reg a, reg b)
{
    return _mm512_add_pd(a, b);
}

STEP_INLINE reg reg_sub(reg a, reg b)
{
    return _mm512_sub_pd(a, b);
}

STEP_INLINE reg reg_mul(reg a, reg b)
{
    return _mm512_mul_pd(a, b);
}

STEP_INLINE reg reg_fma(reg a, reg b, reg c)
{
    return _mm512_fmadd_pd(a, b, c);
}

STEP_INLINE reg reg_fnma(reg a, reg b, reg c)
{
    return _mm512_fnmadd_pd(a, b, c);
}

STEP_INLINE reg reg_scale(reg p, reg shifted)
{
    const __m512i n = _mm512_slli_epi64(_mm512_castpd_si512(shifted), 52);

    return _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(p), n));
}

STEP_INLINE reg reg_where_less(reg x, double bound, reg yes, reg no)
{
    return _mm512_mask_mov_pd(no, _mm512_cmp_pd_mask(x, _mm512_set1_pd(bound), _CMP_LT_OQ), yes);
}

STEP_INLINE reg reg_where_past(reg x, double bound, reg yes, reg no)
{
    return _mm512_mask_mov_pd(no, _mm512_cmp_pd_mask(x, _mm512_set1_pd(bound), _CMP_NLE_UQ), yes);
}

STEP_INLINE reg reg_where_zero(reg x, reg yes, reg no)
{
    return _mm512_mask_mov_pd(no, _mm512_cmp_pd_mask(x, _mm512_setzero_pd(), _CMP_EQ_OQ), yes);
}

STEP_INLINE int reg_any_less(reg x, double bound)
{
    return _mm512_cmp_pd_mask(x, _mm512_set1_pd(bound), _CMP_LT_OQ);
}

double rc_exp_sum64_avx512(const float *s, size_t n, double m)
{
    return exp_sum_of(s, n, m);
}

double rc_divergence_avx512(const float *a, const float *b, size_t n, double la, double lb)
{
    return divergence_of(a, b, n, la, lb);
}
