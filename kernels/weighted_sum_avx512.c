/* kernels/weighted_sum_avx512.c - 8 heads by 32 elements: 16 sums, each row loaded once for all. */
#include <immintrin.h>

#define TILE_HEADS 8u
#define WIDTH      16u
typedef __m512 reg;

#include "kernels/weighted_sum_simd.h"

TILE_INLINE reg reg_zero(void)
{
    return _mm512_setzero_ps();
}

TILE_INLINE reg reg_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

TILE_INLINE void reg_store(float *p, reg v)
{
    _mm512_storeu_ps(p, v);
}

TILE_INLINE reg reg_fma(float a, reg b, reg c)
{
    return _mm512_fmadd_ps(_mm512_set1_ps(a), b, c);
}

void rc_weighted_sum_avx512(float *y, size_t ldy, const float *p, size_t ldp, size_t heads,
                            const float *const *k, size_t count, size_t n)
{
    tile_all(y, ldy, p, ldp, heads, k, count, n);
}
