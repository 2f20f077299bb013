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

/* Elements in natural order. */
static inline void spread32(float y[32], __m256i q, float d0, float d1)
{
    spread(y, _mm256_castsi256_si128(q), d0);
    spread(y + 16, _mm256_extracti128_si256(q, 1), d1);
}

static inline void spread32_min(float y[32], __m256i q, const float d[2], const float m[2])
{
    spread_min(y, _mm256_castsi256_si128(q), d[0], m[0]);
    spread_min(y + 16, _mm256_extracti128_si256(q, 1), d[1], m[1]);
}

#define ROW(TYPE, type, nelems) DEQUANT_BLOCKS_ROW(type, nelems, avx512)
RC_DEQUANT_BLOCKS_TYPES(ROW)
