/* kernels/divergence_avx2.c - four at a time. */
#include <immintrin.h>

#define WIDTH 4u
typedef __m256d reg;

#include "kernels/divergence_simd.h"

STEP_INLINE reg reg_set(double x)
{
    return _mm256_set1_pd(x);
}

STEP_INLINE reg reg_load(const float *p)
{
    return _mm256_cvtps_pd(_mm_loadu_ps(p));
}

STEP_INLINE void reg_store(double *p, reg x)
{
    _mm256_storeu_pd(p, x);
}

STEP_INLINE reg reg_add(reg a, reg b)
{
    return _mm256_add_pd(a, b);
}

STEP_INLINE reg reg_sub(reg a, reg b)
{
    return _mm256_sub_pd(a, b);
}

STEP_INLINE reg reg_mul(reg a, reg b)
{
    return _mm256_mul_pd(a, b);
}

STEP_INLINE reg reg_fma(reg a, reg b, reg c)
{
    return _mm256_fmadd_pd(a, b, c);
}

STEP_INLINE reg reg_fnma(reg a, reg b, reg c)
{
    return _mm256_fnmadd_pd(a, b, c);
}

STEP_INLINE reg reg_scale(reg p, reg shifted)
{
    const __m256i n = _mm256_slli_epi64(_mm256_castpd_si256(shifted), 52);

    return _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(p), n));
}

STEP_INLINE reg reg_where_less(reg x, double bound, reg yes, reg no)
{
    return _mm256_blendv_pd(no, yes, _mm256_cmp_pd(x, _mm256_set1_pd(bound), _CMP_LT_OQ));
}

STEP_INLINE reg reg_where_past(reg x, double bound, reg yes, reg no)
{
    return _mm256_blendv_pd(no, yes, _mm256_cmp_pd(x, _mm256_set1_pd(bound), _CMP_NLE_UQ));
}

STEP_INLINE reg reg_where_zero(reg x, reg yes, reg no)
{
    return _mm256_blendv_pd(no, yes, _mm256_cmp_pd(x, _mm256_setzero_pd(), _CMP_EQ_OQ));
}

STEP_INLINE int reg_any_less(reg x, double bound)
{
    return _mm256_movemask_pd(_mm256_cmp_pd(x, _mm256_set1_pd(bound), _CMP_LT_OQ));
}

double rc_exp_sum64_avx2(const float *s, size_t n, double m)
{
    return exp_sum_of(s, n, m);
}

double rc_divergence_avx2(const float *a, const float *b, size_t n, double la, double lb)
{
    return divergence_of(a, b, n, la, lb);
}
