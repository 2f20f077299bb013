/* kernels/bf16_avx512.c - tails by masked loads and stores. */
#include "kernels/bf16.h"

#include <immintrin.h>

#include "kernels/bf16_simd.h"

static inline __mmask16 mask_of(size_t left)
{
    return (__mmask16)(left >= 16 ? 0xffff : (1u << left) - 1);
}

void rc_bf16_to_f32_avx512(float *restrict y, const uint16_t *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = mask_of(n - i);
        const __m512i v = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, x + i));
        _mm512_mask_storeu_epi32(y + i, m, _mm512_slli_epi32(v, 16));
    }
}

size_t rc_f32_to_bf16_avx512(uint16_t *restrict y, const float *restrict x, size_t n)
{
    size_t inexact = 0;

    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = mask_of(n - i);
        const __m512i v = _mm512_maskz_loadu_epi32(m, x + i);
        const __mmask16 nan = rc_bf16_nan16(v);
        const __mmask16 rest = _mm512_test_epi32_mask(v, _mm512_set1_epi32(0xffff));
        const __m512i r = rc_bf16_round16(v);
        _mm256_mask_storeu_epi16(y + i, m, _mm512_cvtepi32_epi16(_mm512_srli_epi32(r, 16)));
        inexact += (unsigned)__builtin_popcount((unsigned)(rest & ~nan));
    }
    return inexact;
}
