/* kernels/recast_fp4_fp8_avx2.c - 32 bytes of codes, two groups, at a time.
 *
 * recast_fp4_fp8_simd.h has the plan; each group is a lane. */
#include "kernels/recast_fp4_fp8_simd.h"

#include <immintrin.h>

static inline __m256i load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

static inline void store(void *p, __m256i x)
{
    _mm256_storeu_si256((__m256i *)p, x);
}

static inline size_t vectors(const recast_chunk *c)
{
    return (c->ntiles * RECAST_GROUPS + 31) / 32;
}

/* One row of scales, padded to whole vectors with what `s` held before. */
static inline void copy_scales(uint8_t s[RECAST_WIDTH], const recast_chunk *c, size_t r)
{
    memcpy(s, c->scales + r * c->scale_stride, c->ntiles * RECAST_GROUPS);
}

static void read_scales(recast_chunk *c)
{
    const __m256i ones = _mm256_set1_epi8(-1);
    uint8_t s[RECAST_WIDTH] __attribute__((aligned(32))) = { 0 };

    memset(c->largest, 0, sizeof c->largest);
    memset(c->nan, 0, sizeof c->nan);
    for (size_t r = 0; r < c->rows; r++) {
        copy_scales(s, c, r);
        for (size_t g = 0; g < 32 * vectors(c); g += 32) {
            const __m256i sv = load(s + g), bad = _mm256_cmpeq_epi8(sv, ones);
            store(c->nan + g, _mm256_or_si256(load(c->nan + g), bad));
            store(c->largest + g,
                  _mm256_max_epu8(load(c->largest + g), _mm256_andnot_si256(bad, sv)));
        }
    }
}

/* max(s - E + 9, 0), unsigned; what a NaN group gets only has to be a row. */
static inline __m256i rows_of(__m256i s, __m256i scale)
{
    const __m256i zero = _mm256_set1_epi8(RECAST_ROW0);
    const __m256i up = _mm256_adds_epu8(s, _mm256_subs_epu8(zero, scale));
    const __m256i row = _mm256_subs_epu8(up, _mm256_subs_epu8(scale, zero));

    return _mm256_min_epu8(row, _mm256_set1_epi8(RECAST_ROWS - 1));
}

static inline __m256i two_rows(const uint8_t row[2])
{
    const __m128i *first = (const __m128i *)(const void *)recast_rows[row[0]];
    const __m128i *second = (const __m128i *)(const void *)recast_rows[row[1]];

    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_load_si128(first)),
                                   _mm_load_si128(second), 1);
}

/* `stream` is a constant where this is inlined. */
static inline __attribute__((always_inline)) void convert(recast_chunk *c, bool stream)
{
    const __m256i nibble = _mm256_set1_epi8(15), magnitude = _mm256_set1_epi8(0x77);
    const __m256i zero = _mm256_setzero_si256(), ones = _mm256_set1_epi8(-1);
    uint8_t s[RECAST_WIDTH] __attribute__((aligned(32))) = { 0 };
    uint8_t row_of[RECAST_WIDTH] __attribute__((aligned(32)));
    uint16_t empty[RECAST_WIDTH] __attribute__((aligned(32))); /* all ones: group of zeros */

    memset(empty, 0xff, sizeof empty);
    memset(c->lo, 0xff, sizeof c->lo);
    memset(c->hi, 0, sizeof c->hi);
    for (size_t r = 0; r < c->rows; r++) {
        const uint8_t *q = c->codes + r * c->code_stride;
        uint8_t *y = c->out + r * c->out_stride;

        copy_scales(s, c, r);
        for (size_t g = 0; g < 32 * vectors(c); g += 32)
            store(row_of + g, rows_of(load(s + g), load(c->base + g)));
        for (size_t g = 0; g < c->ntiles * RECAST_GROUPS; g += 2, q += 32, y += 64) {
            const __m256i x = load(q), table = two_rows(row_of + g);
            const __m256i even = _mm256_shuffle_epi8(table, _mm256_and_si256(x, nibble));
            const __m256i odd =
                _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble));
            const __m256i first = _mm256_unpacklo_epi8(even, odd); /* halves of both groups */
            const __m256i second = _mm256_unpackhi_epi8(even, odd);
            const __m256i y0 = _mm256_permute2x128_si256(first, second, 0x20);
            const __m256i y1 = _mm256_permute2x128_si256(first, second, 0x31);
            const int zeros =
                _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_and_si256(x, magnitude), zero));
            memcpy(empty + g, &zeros, sizeof zeros);
            if (stream) {
                _mm256_stream_si256((__m256i *)(void *)y, y0);
                _mm256_stream_si256((__m256i *)(void *)(y + 32), y1);
            } else {
                store(y, y0);
                store(y + 32, y1);
            }
        }
        for (size_t g = 0; g < 32 * vectors(c); g += 32) {
            const __m256i e0 = _mm256_cmpeq_epi16(load(empty + g), ones);
            const __m256i e1 = _mm256_cmpeq_epi16(load(empty + g + 16), ones);
            /* the pack works in lanes: put its quarters back in order */
            const __m256i skip =
                _mm256_permute4x64_epi64(_mm256_packs_epi16(e0, e1), _MM_SHUFFLE(3, 1, 2, 0));
            const __m256i sv = load(s + g);
            store(c->lo + g, _mm256_min_epu8(load(c->lo + g), _mm256_or_si256(sv, skip)));
            store(c->hi + g, _mm256_max_epu8(load(c->hi + g), _mm256_andnot_si256(skip, sv)));
        }
    }
}

static void convert_cached(recast_chunk *c)
{
    convert(c, false);
}

static void convert_stream(recast_chunk *c)
{
    convert(c, true);
}

void rc_recast_fp4_fp8_avx2(uint8_t *restrict out, size_t out_stride, rc_fp8_tile *restrict tiles,
                            const uint8_t *restrict codes, const uint8_t *restrict scales,
                            size_t rows, size_t cols, bool stream)
{
    stream = stream && recast_may_stream(out, out_stride);
    recast_band(read_scales, stream ? convert_stream : convert_cached, out, out_stride, tiles,
                codes, scales, rows, cols);
    if (stream)
        _mm_sfence();
}
