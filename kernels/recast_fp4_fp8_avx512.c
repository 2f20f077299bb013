/* kernels/recast_fp4_fp8_avx512.c - 64 bytes of codes, one row of one tile, at a time.
 *
 * Its four groups are the four lanes of a vector, each with the lookup row of
 * its own shift. recast_fp4_fp8_simd.h has the plan. */
#include "kernels/recast_fp4_fp8_simd.h"

#include <immintrin.h>

/* The group columns of a chunk from column 64 v on. */
static inline __mmask64 used(const recast_chunk *c, size_t v)
{
    const size_t left = c->ntiles * RECAST_GROUPS - 64 * v;

    return left >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << left) - 1;
}

static inline size_t vectors(const recast_chunk *c)
{
    return (c->ntiles * RECAST_GROUPS + 63) / 64;
}

static void read_scales(recast_chunk *c)
{
    for (size_t v = 0; v < vectors(c); v++) {
        const uint8_t *scales = c->scales + 64 * v;
        __m512i largest = _mm512_setzero_si512();
        __mmask64 nan = 0;

        for (size_t r = 0; r < c->rows; r++) {
            const __m512i s = _mm512_maskz_loadu_epi8(used(c, v), scales + r * c->scale_stride);
            const __mmask64 bad = _mm512_cmpeq_epi8_mask(s, _mm512_set1_epi8(-1));
            nan |= bad;
            largest = _mm512_mask_max_epu8(largest, ~bad, largest, s);
        }
        _mm512_store_si512(c->largest + 64 * v, largest);
        _mm512_store_si512(c->nan + 64 * v, _mm512_movm_epi8(nan));
    }
}

/* max(s - E + 9, 0), unsigned; what a NaN group gets only has to be a row. */
static inline __m512i rows_of(__m512i s, __m512i scale)
{
    const __m512i zero = _mm512_set1_epi8(RECAST_ROW0);
    const __m512i up = _mm512_adds_epu8(s, _mm512_subs_epu8(zero, scale));
    const __m512i row = _mm512_subs_epu8(up, _mm512_subs_epu8(scale, zero));

    return _mm512_min_epu8(row, _mm512_set1_epi8(RECAST_ROWS - 1));
}

static inline __m128i lookup_row(uint8_t row)
{
    return _mm_load_si128((const __m128i *)(const void *)recast_rows[row]);
}

static inline __m512i four_rows(const uint8_t row[RECAST_GROUPS])
{
    __m512i table = _mm512_castsi128_si512(lookup_row(row[0]));

    table = _mm512_inserti32x4(table, lookup_row(row[1]), 1);
    table = _mm512_inserti32x4(table, lookup_row(row[2]), 2);
    return _mm512_inserti32x4(table, lookup_row(row[3]), 3);
}

/* `stream` is a constant where this is inlined. */
static inline __attribute__((always_inline)) void convert(recast_chunk *c, bool stream)
{
    const __m512i nibble = _mm512_set1_epi8(15), magnitude = _mm512_set1_epi8(0x77);
    uint8_t row_of[RECAST_WIDTH] __attribute__((aligned(64)));
    uint64_t holds[RECAST_TILES] __attribute__((aligned(64))); /* a bit a byte of codes */
    uint8_t order[2][64] __attribute__((aligned(64))); /* even and odd columns, interleaved */

    for (unsigned i = 0; i < 64; i++) {
        order[0][i] = (uint8_t)((i & 1) << 6 | i >> 1);
        order[1][i] = (uint8_t)((i & 1) << 6 | i >> 1 | 32);
    }
    const __m512i order0 = _mm512_load_si512(order[0]), order1 = _mm512_load_si512(order[1]);

    memset(holds, 0, sizeof holds);
    memset(c->lo, 0xff, sizeof c->lo);
    memset(c->hi, 0, sizeof c->hi);
    for (size_t r = 0; r < c->rows; r++) {
        const uint8_t *q = c->codes + r * c->code_stride, *s = c->scales + r * c->scale_stride;
        uint8_t *y = c->out + r * c->out_stride;

        for (size_t v = 0; v < vectors(c); v++)
            _mm512_store_si512(row_of + 64 * v,
                               rows_of(_mm512_maskz_loadu_epi8(used(c, v), s + 64 * v),
                                       _mm512_load_si512(c->base + 64 * v)));
        for (size_t t = 0; t < c->ntiles; t++, q += 64, y += 128) {
            const __m512i x = _mm512_loadu_si512(q), table = four_rows(row_of + RECAST_GROUPS * t);
            const __m512i even = _mm512_shuffle_epi8(table, _mm512_and_si512(x, nibble));
            const __m512i odd =
                _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(x, 4), nibble));
            const __m512i y0 = _mm512_permutex2var_epi8(even, order0, odd);
            const __m512i y1 = _mm512_permutex2var_epi8(even, order1, odd);
            holds[t] = _mm512_test_epi8_mask(x, magnitude);
            if (stream) {
                _mm512_stream_si512((__m512i *)(void *)y, y0);
                _mm512_stream_si512((__m512i *)(void *)(y + 64), y1);
            } else {
                _mm512_storeu_si512(y, y0);
                _mm512_storeu_si512(y + 64, y1);
            }
        }
        for (size_t v = 0; v < vectors(c); v++) { /* 16 bits of `holds` are a group */
            const __m512i h0 = _mm512_load_si512(holds + 16 * v);
            const __m512i h1 = _mm512_load_si512(holds + 16 * v + 8);
            const __mmask64 some = (__mmask64)_mm512_test_epi16_mask(h0, h0) |
                                   (__mmask64)_mm512_test_epi16_mask(h1, h1) << 32;
            const __m512i sv = _mm512_maskz_loadu_epi8(used(c, v), s + 64 * v);
            const __m512i lo = _mm512_load_si512(c->lo + 64 * v);
            const __m512i hi = _mm512_load_si512(c->hi + 64 * v);
            _mm512_store_si512(c->lo + 64 * v, _mm512_mask_min_epu8(lo, some, lo, sv));
            _mm512_store_si512(c->hi + 64 * v, _mm512_mask_max_epu8(hi, some, hi, sv));
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

void rc_recast_fp4_fp8_avx512(uint8_t *restrict out, size_t out_stride, rc_fp8_tile *restrict tiles,
                              const uint8_t *restrict codes, const uint8_t *restrict scales,
                              size_t rows, size_t cols, bool stream)
{
    stream = stream && recast_may_stream(out, out_stride);
    recast_band(read_scales, stream ? convert_stream : convert_cached, out, out_stride, tiles,
                codes, scales, rows, cols);
    if (stream)
        _mm_sfence();
}
