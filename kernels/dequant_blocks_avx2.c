/* kernels/dequant_blocks_avx2.c - see dequant_blocks_simd.h. */
#include "kernels/dequant_blocks_simd.h"

static inline __m256 product(__m128i q, float d)
{
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)), _mm256_set1_ps(d));
}

static inline void spread(float y[16], __m128i q, float d)
{
    _mm256_storeu_ps(y, product(q, d));
    _mm256_storeu_ps(y + 8, product(_mm_srli_si128(q, 8), d));
}

static inline void spread_min(float y[16], __m128i q, float d, float m)
{
    const __m256 min = _mm256_set1_ps(m);

    _mm256_storeu_ps(y, _mm256_sub_ps(product(q, d), min));
    _mm256_storeu_ps(y + 8, _mm256_sub_ps(product(_mm_srli_si128(q, 8), d), min));
}

/* Byte i of the mask's byte i / 8 everywhere, its bit i % 8 picked out. */
static inline __m256i negated(__m256i q, uint32_t minus)
{
    const __m256i run =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    const __m256i all = _mm256_shuffle_epi8(_mm256_set1_epi32((int)minus), run);
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(all, bit), bit);

    return _mm256_sub_epi8(_mm256_xor_si256(q, set), set);
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

#define ROW(TYPE, type, nelems) DEQUANT_BLOCKS_ROW(type, nelems, avx2)
RC_DEQUANT_BLOCKS_TYPES(ROW)
