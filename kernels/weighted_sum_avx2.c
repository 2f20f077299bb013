/* kernels/weighted_sum_avx2.c - 4 heads by 16 elements. */
#include <immintrin.h>

#define TILE_HEADS 4u
#define WIDTH      8u
typedef __m256 reg;

#include "kernels/weighted_sum_simd.h"

TILE_INLINE reg reg_zero(void)
{
    return _mm256_setzero_ps();
}

TILE_INLINE reg reg_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

TILE_INLINE void reg_store(float *p, reg v)
{
    _mm256_storeu_ps(p, v);
}

TILE_INLINE reg reg_fma(float a, reg b, reg c)
{
    return _mm256_fmadd_ps(_mm256_set1_ps(a), b, c);
}

void rc_weighted_sum_avx2(float *y, size_t ldy, const float *p, size_t ldp, size_t heads,
                          const float *const *k, size_t count, size_t n)
{
    tile_all(y, ldy, p, ldp, heads, k, count, n);
}
