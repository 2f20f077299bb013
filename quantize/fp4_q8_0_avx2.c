/* quantize/fp4_q8_0_avx2.c - a group at a time. */
#include "quantize/fp4_q8_0.h"

#include <immintrin.h>

#include "kernels/block_tables.h"
#include "kernels/codes.h"
#include "kernels/rounding.h"

static inline unsigned largest(__m128i x)
{
    x = _mm_max_epu8(x, _mm_srli_si128(x, 8));
    x = _mm_max_epu8(x, _mm_srli_si128(x, 4));
    x = _mm_max_epu8(x, _mm_srli_si128(x, 2));
    x = _mm_max_epu8(x, _mm_srli_si128(x, 1));
    return (unsigned)_mm_cvtsi128_si32(x) & 7;
}

/* Returns whether d is beyond f16. */
static inline unsigned convert(rc_block_q8_0 *b, const uint8_t *q, unsigned scale)
{
    const __m128i low = _mm_set1_epi8(15), magnitude = _mm_set1_epi8(7);
    const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)q);
    const __m128i even = _mm_and_si128(x, low), odd = _mm_and_si128(_mm_srli_epi16(x, 4), low);
    const unsigned row =
        largest(_mm_max_epu8(_mm_and_si128(even, magnitude), _mm_and_si128(odd, magnitude)));
    const __m128i table = _mm_load_si128((const __m128i *)(const void *)rc_fp4_q8_0_codes[row]);
    const __m128i y0 = _mm_shuffle_epi8(table, even), y1 = _mm_shuffle_epi8(table, odd);
    const float d = rc_fp4_q8_0_d[row] * rc_f32_of_bits(scale << 23);

    rc_u16_put(b->d, _cvtss_sh(d, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)(void *)b->qs, _mm_unpacklo_epi8(y0, y1));
    _mm_storeu_si128((__m128i *)(void *)(b->qs + 16), _mm_unpackhi_epi8(y0, y1));
    return (b->d[1] & 0x7c) == 0x7c;
}

size_t rc_fp4_q8_0_avx2(uint8_t *restrict out, const uint8_t *restrict q,
                        const uint8_t *restrict scale, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    rc_block_q8_0 *b = (rc_block_q8_0 *)(void *)out;
    size_t lost = 0;

    for (size_t at = 0; at < n; at += RC_FP4_GROUP, b++, q += RC_FP4_GROUP / 2, scale++)
        if (*scale >= RC_FP4_Q8_0_MIN && *scale <= RC_FP4_Q8_0_MAX)
            lost += convert(b, q, *scale);
        else
            lost += rc_fp4_q8_0_ref((uint8_t *)b, q, scale, RC_FP4_GROUP);
    rc_rounding_leave(saved);
    return lost;
}
