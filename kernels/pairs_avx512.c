/* kernels/pairs_avx512.c - two registers are a chunk, and so are their two permutations. */
#include "kernels/pairs.h"

#include <immintrin.h>

/* Of a chunk in registers 0 and 1, bit 4 of an index chooses the register. */
static inline void permute(float *restrict y, const float *restrict x, size_t n, __m512i first,
                           __m512i second)
{
    for (size_t i = 0; i < n; i += RC_CHUNK) {
        const __m512i a = _mm512_loadu_si512(x + i), b = _mm512_loadu_si512(x + i + 16);
        _mm512_storeu_si512(y + i, _mm512_permutex2var_epi32(a, first, b));
        _mm512_storeu_si512(y + i + 16, _mm512_permutex2var_epi32(a, second, b));
    }
}

void rc_pair_f32_avx512(float *restrict y, const float *restrict x, size_t n)
{
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);

    permute(y, x, n, _mm512_add_epi32(even, _mm512_set1_epi32(1)), even);
}

void rc_unpair_f32_avx512(float *restrict y, const float *restrict x, size_t n)
{
    const __m512i first = _mm512_setr_epi32(16, 0, 17, 1, 18, 2, 19, 3, 20, 4, 21, 5, 22, 6, 23, 7);

    permute(y, x, n, first, _mm512_add_epi32(first, _mm512_set1_epi32(8)));
}
