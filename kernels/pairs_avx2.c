/* kernels/pairs_avx2.c */
#include "kernels/pairs.h"

#include <immintrin.h>

void rc_pair_f32_avx2(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i += RC_CHUNK)
        for (size_t j = 0; j < RC_PAIR_LANES; j += 8) {
            const __m256 a = _mm256_loadu_ps(x + i + 2 * j), b = _mm256_loadu_ps(x + i + 2 * j + 8);
            /* by 128-bit halves: a0 b0 a1 b1, in pairs of elements */
            const __m256d odd = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xdd));
            const __m256d even = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88));
            _mm256_storeu_ps(y + i + j, _mm256_castpd_ps(_mm256_permute4x64_pd(odd, 0xd8)));
            _mm256_storeu_ps(y + i + RC_PAIR_LANES + j,
                             _mm256_castpd_ps(_mm256_permute4x64_pd(even, 0xd8)));
        }
}

void rc_unpair_f32_avx2(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i += RC_CHUNK)
        for (size_t j = 0; j < RC_PAIR_LANES; j += 8) {
            const __m256 odd = _mm256_loadu_ps(x + i + j);
            const __m256 even = _mm256_loadu_ps(x + i + RC_PAIR_LANES + j);
            const __m256 a = _mm256_unpacklo_ps(even, odd), b = _mm256_unpackhi_ps(even, odd);
            _mm256_storeu_ps(y + i + 2 * j, _mm256_permute2f128_ps(a, b, 0x20));
            _mm256_storeu_ps(y + i + 2 * j + 8, _mm256_permute2f128_ps(a, b, 0x31));
        }
}
