/* kernels/bf16_simd.h - rc_bf16_round() of codes.h on vectors, before the lower halves go.
 *
 * Integers only, hence in any rounding mode; not VCVTNEPS2BF16, which flushes subnormals. */
#ifndef RC_KERNELS_BF16_SIMD_H
#define RC_KERNELS_BF16_SIMD_H

#if defined(__AVX2__) /* nothing here is for files without an instruction set */

#include <immintrin.h>

#if defined(__AVX512F__)
static inline __mmask16 rc_bf16_nan16(__m512i v)
{
    return _mm512_cmpgt_epi32_mask(_mm512_and_si512(v, _mm512_set1_epi32(0x7fffffff)),
                                   _mm512_set1_epi32(0x7f800000));
}

/** The upper halves are the BF16, the lower ones what is left over. */
static inline __m512i rc_bf16_round16(__m512i v)
{
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(v, 16), _mm512_set1_epi32(1));
    const __m512i sum = _mm512_add_epi32(v, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));

    return _mm512_mask_or_epi32(sum, rc_bf16_nan16(v), v, _mm512_set1_epi32(0x00400000));
}
#endif

static inline __m256i rc_bf16_nan8(__m256i v)
{
    return _mm256_cmpgt_epi32(_mm256_and_si256(v, _mm256_set1_epi32(0x7fffffff)),
                              _mm256_set1_epi32(0x7f800000));
}

static inline __m256i rc_bf16_round8(__m256i v)
{
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(v, 16), _mm256_set1_epi32(1));
    const __m256i sum = _mm256_add_epi32(v, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(v, _mm256_set1_epi32(0x00400000));

    return _mm256_blendv_epi8(sum, quiet, rc_bf16_nan8(v));
}

#endif

#endif
