/* quantize/fp4_q8_0_avx512.c - four groups at a time, one a lane of 128 bits.
 *
 * All eight rows of results are 128 bytes, two vectors: row and code together are the index
 * of one permute. */
#include "quantize/fp4_q8_0.h"

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/block_tables.h"
#include "kernels/rounding.h"
#include "kernels/unroll.h"

#define GROUPS 4u

typedef struct tables {
    __m512i codes[2];
    __m256 d;
} tables;

static inline tables load_tables(void)
{
    tables t;

    t.codes[0] = _mm512_load_si512(rc_fp4_q8_0_codes[0]);
    t.codes[1] = _mm512_load_si512(rc_fp4_q8_0_codes[4]);
    t.d = _mm256_loadu_ps(rc_fp4_q8_0_d);
    return t;
}

/* Every byte of a lane: the largest of its bytes. */
static inline __m512i largest(__m512i x)
{
    const __m512i swap2 = _mm512_set4_epi32(0x0d0c0f0e, 0x09080b0a, 0x05040706, 0x01000302);
    const __m512i swap1 = _mm512_set4_epi32(0x0e0f0c0d, 0x0a0b0809, 0x06070405, 0x02030001);

    x = _mm512_max_epu8(x, _mm512_shuffle_epi32(x, _MM_PERM_BADC));
    x = _mm512_max_epu8(x, _mm512_shuffle_epi32(x, _MM_PERM_CDAB));
    x = _mm512_max_epu8(x, _mm512_shuffle_epi8(x, swap2));
    return _mm512_max_epu8(x, _mm512_shuffle_epi8(x, swap1));
}

/* Four f16, from the rows of four lanes. */
static inline __m128i scales(const tables *t, __m512i row, const uint8_t *scale)
{
    const __m512i lanes = _mm512_castsi128_si512(_mm_setr_epi32(0, 4, 8, 12));
    const __m256i index = _mm512_castsi512_si256(_mm512_permutexvar_epi32(lanes, row));
    const __m128 d = _mm256_castps256_ps128(_mm256_permutevar8x32_ps(t->d, index));
    int bytes;

    memcpy(&bytes, scale, sizeof bytes);
    const __m128i power = _mm_slli_epi32(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(bytes)), 23);
    return _mm_cvtps_ph(_mm_mul_ps(d, _mm_castsi128_ps(power)), _MM_FROUND_TO_NEAREST_INT);
}

static inline void put(rc_block_q8_0 *b, uint16_t d, __m128i low, __m128i high)
{
    rc_u16_put(b->d, d);
    _mm_storeu_si128((__m128i *)(void *)b->qs, low);
    _mm_storeu_si128((__m128i *)(void *)(b->qs + 16), high);
}

/* Returns how many d are beyond f16. */
static inline unsigned convert(rc_block_q8_0 *b, const tables *t, const uint8_t *q,
                               const uint8_t *scale)
{
    const __m512i low = _mm512_set1_epi8(15), magnitude = _mm512_set1_epi8(7);
    const __m512i x = _mm512_loadu_si512(q), upper = _mm512_srli_epi16(x, 4);
    const __m512i row = largest(
        _mm512_max_epu8(_mm512_and_si512(x, magnitude), _mm512_and_si512(upper, magnitude)));
    const __m512i base = _mm512_slli_epi16(row, 4); /* no row has a bit that would cross */
    const __m512i even = _mm512_ternarylogic_epi64(low, x, base, 0xca);
    const __m512i odd = _mm512_ternarylogic_epi64(low, upper, base, 0xca);
    const __m512i y0 = _mm512_permutex2var_epi8(t->codes[0], even, t->codes[1]);
    const __m512i y1 = _mm512_permutex2var_epi8(t->codes[0], odd, t->codes[1]);
    const __m512i first = _mm512_unpacklo_epi8(y0, y1), second = _mm512_unpackhi_epi8(y0, y1);
    const __m128i d = scales(t, row, scale), inf = _mm_set1_epi16(0x7c00);
    const uint64_t four = (uint64_t)_mm_cvtsi128_si64(d);

    put(b, (uint16_t)four, _mm512_castsi512_si128(first), _mm512_castsi512_si128(second));
    put(b + 1, (uint16_t)(four >> 16), _mm512_extracti32x4_epi32(first, 1),
        _mm512_extracti32x4_epi32(second, 1));
    put(b + 2, (uint16_t)(four >> 32), _mm512_extracti32x4_epi32(first, 2),
        _mm512_extracti32x4_epi32(second, 2));
    put(b + 3, (uint16_t)(four >> 48), _mm512_extracti32x4_epi32(first, 3),
        _mm512_extracti32x4_epi32(second, 3));
    return (unsigned)__builtin_popcount(_mm_mask_cmpeq_epi16_mask(0x0f, d, inf));
}

static inline bool plain(const uint8_t *scale)
{
    for (unsigned i = 0; i < GROUPS; i++)
        if (scale[i] < RC_FP4_Q8_0_MIN || scale[i] > RC_FP4_Q8_0_MAX)
            return false;
    return true;
}

size_t rc_fp4_q8_0_avx512(uint8_t *restrict out, const uint8_t *restrict q,
                          const uint8_t *restrict scale, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    const tables t = load_tables();
    rc_block_q8_0 *b = (rc_block_q8_0 *)(void *)out;
    size_t at = 0, lost = 0;

    for (; at + GROUPS * RC_FP4_GROUP <= n; at += GROUPS * RC_FP4_GROUP) {
        if (plain(scale))
            lost += convert(b, &t, q, scale);
        else
            lost += rc_fp4_q8_0_ref((uint8_t *)b, q, scale, GROUPS * RC_FP4_GROUP);
        b += GROUPS;
        q += GROUPS * (RC_FP4_GROUP / 2);
        scale += GROUPS;
    }
    lost += rc_fp4_q8_0_avx2((uint8_t *)b, q, scale, n - at);
    rc_rounding_leave(saved);
    return lost;
}
