/* kernels/dequant_blocks_avx512.c - see dequant_blocks_simd.h. */
#include "kernels/dequant_blocks_simd.h"

static inline __m512 product(__m128i q, float d)
{
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)), _mm512_set1_ps(d));
}

static inline void spread(float y[16], __m128i q, float d)
{
    _mm512_storeu_ps(y, product(q, d));
}

static inline void spread_min(float y[16], __m128i q, float d, float m)
{
    _mm512_storeu_ps(y, _mm512_sub_ps(product(q, d), _mm512_set1_ps(m)));
}

static inline __m256i negated(__m256i q, uint32_t minus)
{
    return _mm256_mask_sub_epi8(q, minus, _mm256_setzero_si256(), q);
}

#define ROW(TYPE, type, nelems) DEQUANT_BLOCKS_ROW(type, nelems, avx512)
RC_DEQUANT_BLOCKS_TYPES(ROW)
