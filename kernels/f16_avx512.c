/* kernels/f16_avx512.c - as f16_avx2.c; tails by masked loads and stores. */
#include "kernels/f16.h"

#include <immintrin.h>

#include "kernels/codes.h"

static inline __mmask16 mask_of(size_t left)
{
    return (__mmask16)(left >= 16 ? 0xffff : (1u << left) - 1);
}

static inline __m512i widen(__m256i h)
{
    const __m512 v = _mm512_cvtph_ps(h);
    const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);

    return _mm512_mask_set1_epi32(_mm512_castps_si512(v), nan, RC_F32_NAN);
}

void rc_f16_to_f32_avx512(float *restrict y, const uint16_t *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = mask_of(n - i);
        _mm512_mask_storeu_epi32(y + i, m, widen(_mm256_maskz_loadu_epi16(m, x + i)));
    }
}

size_t rc_f32_to_f16_avx512(uint16_t *restrict y, const float *restrict x, size_t n)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff), inf = _mm512_set1_epi32(0x7f800000);
    size_t inexact = 0;

    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = mask_of(n - i);
        const __m512i v = _mm512_maskz_loadu_epi32(m, x + i);
        const __mmask16 nan = _mm512_cmpgt_epi32_mask(_mm512_and_si512(v, magnitude), inf);
        const __m256i h = _mm512_maskz_cvtps_ph((__mmask16)~nan, _mm512_castsi512_ps(v),
                                                _MM_FROUND_TO_NEAREST_INT);
        const __mmask16 wrong = _mm512_mask_cmpneq_epi32_mask((__mmask16)~nan, widen(h), v);
        _mm256_mask_storeu_epi16(y + i, m,
                                 _mm256_mask_blend_epi16(nan, h, _mm256_set1_epi16(0x7e00)));
        inexact += (unsigned)__builtin_popcount(wrong);
    }
    return inexact;
}
