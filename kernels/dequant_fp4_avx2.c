/* kernels/dequant_fp4_avx2.c - eight magnitudes in a register, the sign put back. */
#include "kernels/dequant_fp4.h"

#include <immintrin.h>

#include "kernels/codes.h"
#include "kernels/rounding.h"

#define FIRST_INFINITE 253 /* 4 * 2^(253-127) is the first product that overflows */

static inline __m256 scaled(uint8_t scale)
{
    const uint32_t bits = scale ? (uint32_t)scale << 23 : 0x00400000u;
    const __m256 values = _mm256_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f);

    return _mm256_mul_ps(values, _mm256_castsi256_ps(_mm256_set1_epi32((int)bits)));
}

void rc_dequant_fp4_avx2(float *restrict y, const uint8_t *restrict q,
                         const uint8_t *restrict scale, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    const __m256i nibble = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    const __m256i sign = _mm256_set1_epi32((int)0x80000000u);

    for (size_t i = 0; i < n; i += RC_FP4_GROUP, q += 16, scale++) {
        if (*scale == RC_E8M0_NAN) {
            rc_dequant_fp4_ref(y + i, q, scale, RC_FP4_GROUP);
            continue;
        }
        const __m256 table = scaled(*scale);
        for (unsigned j = 0; j < 4; j++) {
            int word;
            memcpy(&word, q + 4 * j, sizeof word);
            /* the permute reads three bits: the magnitude */
            const __m256i x = _mm256_srlv_epi32(_mm256_set1_epi32(word), nibble);
            const __m256 v = _mm256_permutevar8x32_ps(table, x);
            const __m256i s = _mm256_and_si256(_mm256_slli_epi32(x, 28), sign);
            _mm256_storeu_ps(y + i + 8 * j, _mm256_or_ps(v, _mm256_castsi256_ps(s)));
        }
    }
    rc_rounding_leave(saved);
}

size_t rc_dequant_fp4_bf16_avx2(uint16_t *restrict y, const uint8_t *restrict q,
                                const uint8_t *restrict scale, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    const __m128i low = _mm_set1_epi8(15), sign = _mm_set1_epi16((short)0x8000);
    const __m128i split = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    size_t inexact = 0;

    for (size_t i = 0; i < n; i += RC_FP4_GROUP, q += 16, scale++) {
        if (*scale >= FIRST_INFINITE) {
            inexact += rc_dequant_fp4_bf16_ref(y + i, q, scale, RC_FP4_GROUP);
            continue;
        }
        /* upper halves of the eight magnitudes, as 8 low bytes and 8 high bytes;
         * then sixteen of each, since pshufb reads four bits */
        const __m256i wide = _mm256_srli_epi32(_mm256_castps_si256(scaled(*scale)), 16);
        const __m128i half =
            _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
        const __m128i bytes = _mm_shuffle_epi8(half, split);
        const __m128i signed_bytes = _mm_shuffle_epi8(_mm_or_si128(half, sign), split);
        const __m128i lo = _mm_unpacklo_epi64(bytes, signed_bytes);
        const __m128i hi = _mm_unpackhi_epi64(bytes, signed_bytes);

        const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)q);
        const __m128i even = _mm_and_si128(x, low), odd = _mm_and_si128(_mm_srli_epi16(x, 4), low);
        const __m128i codes[2] = { _mm_unpacklo_epi8(even, odd), _mm_unpackhi_epi8(even, odd) };
        for (unsigned j = 0; j < 2; j++) {
            const __m128i l = _mm_shuffle_epi8(lo, codes[j]), h = _mm_shuffle_epi8(hi, codes[j]);
            __m128i *out = (__m128i *)(void *)(y + i + 16 * j);
            _mm_storeu_si128(out, _mm_unpacklo_epi8(l, h));
            _mm_storeu_si128(out + 1, _mm_unpackhi_epi8(l, h));
        }
    }
    rc_rounding_leave(saved);
    return inexact;
}
