/* kernels/bf16_avx2.c */
#include "kernels/bf16.h"

#include <immintrin.h>

#include "kernels/bf16_simd.h"

void rc_bf16_to_f32_avx2(float *restrict y, const uint16_t *restrict x, size_t n)
{
    size_t i = 0;

    for (; i + 8 <= n; i += 8) {
        const __m128i half = _mm_loadu_si128((const __m128i *)(const void *)(x + i));
        _mm256_storeu_si256((__m256i *)(void *)(y + i),
                            _mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
    }
    rc_bf16_to_f32_ref(y + i, x + i, n - i);
}

size_t rc_f32_to_bf16_avx2(uint16_t *restrict y, const float *restrict x, size_t n)
{
    size_t i = 0, inexact = 0;

    for (; i + 8 <= n; i += 8) {
        const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(x + i));
        const __m256i nan = rc_bf16_nan8(v);
        const __m256i exact = _mm256_cmpeq_epi32(_mm256_slli_epi32(v, 16), _mm256_setzero_si256());
        const __m256i top = _mm256_srli_epi32(rc_bf16_round8(v), 16);
        const int fine = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_or_si256(exact, nan)));
        _mm_storeu_si128(
            (__m128i *)(void *)(y + i),
            _mm_packus_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1)));
        inexact += 8 - (unsigned)__builtin_popcount((unsigned)fine);
    }
    return inexact + rc_f32_to_bf16_ref(y + i, x + i, n - i);
}
