/* kernels/f16_avx2.c - the conversion instructions, NaN mended.
 *
 * VCVTPH2PS ignores flush-to-zero; VCVTPS2PH takes its rounding mode from the instruction
 * and reads an f32 subnormal as zero or rounds it there. */
#include "kernels/f16.h"

#include <immintrin.h>

#include "kernels/codes.h"

static inline __m256i widen(__m128i h)
{
    const __m256 v = _mm256_cvtph_ps(h), nan = _mm256_cmp_ps(v, v, _CMP_UNORD_Q);

    return _mm256_castps_si256(
        _mm256_blendv_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(RC_F32_NAN)), nan));
}

void rc_f16_to_f32_avx2(float *restrict y, const uint16_t *restrict x, size_t n)
{
    size_t i = 0;

    for (; i + 8 <= n; i += 8)
        _mm256_storeu_si256((__m256i *)(void *)(y + i),
                            widen(_mm_loadu_si128((const __m128i *)(const void *)(x + i))));
    rc_f16_to_f32_ref(y + i, x + i, n - i);
}

size_t rc_f32_to_f16_avx2(uint16_t *restrict y, const float *restrict x, size_t n)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff), inf = _mm256_set1_epi32(0x7f800000);
    size_t i = 0, inexact = 0;

    for (; i + 8 <= n; i += 8) {
        const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(x + i));
        const __m256i nan = _mm256_cmpgt_epi32(_mm256_and_si256(v, magnitude), inf);
        const __m256i number = _mm256_andnot_si256(nan, v);
        const __m128i h = _mm256_cvtps_ph(_mm256_castsi256_ps(number), _MM_FROUND_TO_NEAREST_INT);
        const __m256i exact = _mm256_cmpeq_epi32(widen(h), number);
        const int fine = _mm256_movemask_ps(_mm256_castsi256_ps(exact));
        const __m128i nan16 =
            _mm_packs_epi32(_mm256_castsi256_si128(nan), _mm256_extracti128_si256(nan, 1));
        _mm_storeu_si128((__m128i *)(void *)(y + i),
                         _mm_or_si128(h, _mm_and_si128(nan16, _mm_set1_epi16(0x7e00))));
        inexact += 8 - (unsigned)__builtin_popcount((unsigned)fine);
    }
    return inexact + rc_f32_to_f16_ref(y + i, x + i, n - i);
}
