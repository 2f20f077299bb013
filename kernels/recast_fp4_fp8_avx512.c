/* kernels/recast_fp4_fp8_avx512.c - row by row, sixteen nibbles a lookup lane.
 *
 * The scales of the band, a sixteenth of its bytes, are read first for the tile
 * scales. Then one pass in memory order: 64 bytes of codes are one row of one
 * tile, and its four groups are the four lanes of a vector, each with the
 * lookup row of its own shift. The pass also notes which groups hold a value;
 * that decides whether every shift in use was exact. Rare tiles for which it
 * does not (NaN, a wide spread of scales) are done again by the reference. */
#include "kernels/recast_fp4_fp8.h"

#include <immintrin.h>

#include "kernels/codes.h"
#include "kernels/recast_fp4_fp8_rows.h"

#define GROUPS  4u               /* of a row of a tile */
#define CHUNK   64u              /* tiles at a time: bounds the stack */
#define VECTORS (CHUNK * GROUPS / 64) /* vectors of group scales in a chunk */

static inline __m512i fold_max(__m512i x) /* each byte: largest of its tile's four */
{
    x = _mm512_max_epu8(x, _mm512_rol_epi32(x, 16));
    return _mm512_max_epu8(x, _mm512_rol_epi32(x, 8));
}

static inline __m512i fold_min(__m512i x)
{
    x = _mm512_min_epu8(x, _mm512_rol_epi32(x, 16));
    return _mm512_min_epu8(x, _mm512_rol_epi32(x, 8));
}

/* max(s - E + 9, 0), unsigned; what a NaN group gets only has to be a row. */
static inline __m512i rows_of(__m512i s, __m512i scale)
{
    const __m512i zero = _mm512_set1_epi8(RC_RECAST_ROW0);
    const __m512i up = _mm512_adds_epu8(s, _mm512_subs_epu8(zero, scale));
    const __m512i row = _mm512_subs_epu8(up, _mm512_subs_epu8(scale, zero));

    return _mm512_min_epu8(row, _mm512_set1_epi8(RC_RECAST_ROWS - 1));
}

static inline __m512i four_rows(const uint8_t row[4])
{
    __m512i t = _mm512_castsi128_si512(_mm_load_si128((const __m128i *)recast_rows[row[0]]));

    t = _mm512_inserti32x4(t, _mm_load_si128((const __m128i *)recast_rows[row[1]]), 1);
    t = _mm512_inserti32x4(t, _mm_load_si128((const __m128i *)recast_rows[row[2]]), 2);
    return _mm512_inserti32x4(t, _mm_load_si128((const __m128i *)recast_rows[row[3]]), 3);
}

/* One chunk of whole tiles; `stream` is a constant where this is inlined. */
static inline __attribute__((always_inline)) void
recast_chunk(uint8_t *out, size_t out_stride, rc_fp8_tile *tiles, const uint8_t *codes,
             size_t code_stride, const uint8_t *scales, size_t scale_stride, size_t rows,
             size_t ntiles, bool stream)
{
    const size_t vectors = (ntiles * GROUPS + 63) / 64;
    const __m512i nibble = _mm512_set1_epi8(15), magnitude = _mm512_set1_epi8(0x77);
    __m512i base[VECTORS], lo[VECTORS], hi[VECTORS];
    __mmask64 used[VECTORS], nan[VECTORS];
    uint8_t table_row[CHUNK * GROUPS] __attribute__((aligned(64)));
    uint64_t nonzero[CHUNK] __attribute__((aligned(64))); /* a bit a byte of codes */
    uint8_t order[2][64] __attribute__((aligned(64)));    /* even and odd columns, interleaved */

    for (unsigned i = 0; i < 64; i++) {
        order[0][i] = (uint8_t)((i & 1) << 6 | i >> 1);
        order[1][i] = (uint8_t)((i & 1) << 6 | i >> 1 | 32);
    }
    const __m512i order0 = _mm512_load_si512(order[0]), order1 = _mm512_load_si512(order[1]);

    for (size_t v = 0; v < vectors; v++) {
        const size_t left = ntiles * GROUPS - 64 * v;
        __m512i largest = _mm512_setzero_si512();
        used[v] = left >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << left) - 1;
        nan[v] = 0;
        for (size_t r = 0; r < rows; r++) {
            const __m512i s = _mm512_maskz_loadu_epi8(used[v], scales + r * scale_stride + 64 * v);
            const __mmask64 bad = _mm512_cmpeq_epi8_mask(s, _mm512_set1_epi8(-1));
            nan[v] |= bad;
            largest = _mm512_mask_max_epu8(largest, ~bad, largest, s);
        }
        base[v] = _mm512_subs_epu8(fold_max(largest), _mm512_set1_epi8(6));
        lo[v] = _mm512_set1_epi8(-1);
        hi[v] = _mm512_setzero_si512();
    }
    for (size_t t = ntiles; t < vectors * 16; t++)
        nonzero[t] = 0;

    for (size_t r = 0; r < rows; r++) {
        const uint8_t *q = codes + r * code_stride, *s = scales + r * scale_stride;
        uint8_t *y = out + r * out_stride;

        for (size_t v = 0; v < vectors; v++)
            _mm512_store_si512(
                table_row + 64 * v,
                rows_of(_mm512_maskz_loadu_epi8(used[v], s + 64 * v), base[v]));
        for (size_t t = 0; t < ntiles; t++, q += 64, y += 128) {
            const __m512i x = _mm512_loadu_si512(q), table = four_rows(table_row + GROUPS * t);
            const __m512i even = _mm512_shuffle_epi8(table, _mm512_and_si512(x, nibble));
            const __m512i odd = _mm512_shuffle_epi8(
                table, _mm512_and_si512(_mm512_srli_epi16(x, 4), nibble));
            const __m512i y0 = _mm512_permutex2var_epi8(even, order0, odd);
            const __m512i y1 = _mm512_permutex2var_epi8(even, order1, odd);
            nonzero[t] = _mm512_test_epi8_mask(x, magnitude);
            if (stream) {
                _mm512_stream_si512((__m512i *)(void *)y, y0);
                _mm512_stream_si512((__m512i *)(void *)(y + 64), y1);
            } else {
                _mm512_storeu_si512(y, y0);
                _mm512_storeu_si512(y + 64, y1);
            }
        }
        for (size_t v = 0; v < vectors; v++) { /* 16 bits of `nonzero` are a group */
            const __m512i n0 = _mm512_load_si512(nonzero + 16 * v);
            const __m512i n1 = _mm512_load_si512(nonzero + 16 * v + 8);
            const __mmask64 holds = (__mmask64)_mm512_test_epi16_mask(n0, n0) |
                                    (__mmask64)_mm512_test_epi16_mask(n1, n1) << 32;
            const __m512i sv = _mm512_maskz_loadu_epi8(used[v], s + 64 * v);
            lo[v] = _mm512_mask_min_epu8(lo[v], holds, lo[v], sv);
            hi[v] = _mm512_mask_max_epu8(hi[v], holds, hi[v], sv);
        }
    }

    for (size_t t = 0; t < ntiles; t++) {
        uint32_t e[16], l[16], h[16]; /* four equal bytes for each of 16 tiles */
        const size_t v = t / 16;
        _mm512_storeu_si512(e, base[v]);
        _mm512_storeu_si512(l, fold_min(lo[v]));
        _mm512_storeu_si512(h, fold_max(hi[v]));
        for (; t < ntiles && t / 16 == v; t++) {
            const uint8_t scale = (uint8_t)e[t % 16], low = (uint8_t)l[t % 16];
            tiles[t] = (rc_fp8_tile){ scale, 1, low, (uint8_t)h[t % 16], 0 };
            if ((nan[v] >> (4 * (t % 16)) & 15) || low - scale < RC_RECAST_MIN_SHIFT)
                rc_recast_fp4_fp8_tile(out + t * RC_FP8_TILE, out_stride, tiles + t,
                                       codes + t * (RC_FP8_TILE / 2), code_stride,
                                       scales + t * GROUPS, scale_stride, rows, RC_FP8_TILE);
        }
        t--;
    }
}

static __attribute__((noinline)) void
chunk_cached(uint8_t *out, size_t out_stride, rc_fp8_tile *tiles, const uint8_t *codes,
             size_t code_stride, const uint8_t *scales, size_t scale_stride, size_t rows,
             size_t ntiles)
{
    recast_chunk(out, out_stride, tiles, codes, code_stride, scales, scale_stride, rows, ntiles,
                 false);
}

static __attribute__((noinline)) void
chunk_stream(uint8_t *out, size_t out_stride, rc_fp8_tile *tiles, const uint8_t *codes,
             size_t code_stride, const uint8_t *scales, size_t scale_stride, size_t rows,
             size_t ntiles)
{
    recast_chunk(out, out_stride, tiles, codes, code_stride, scales, scale_stride, rows, ntiles,
                 true);
}

void rc_recast_fp4_fp8_avx512(uint8_t *restrict out, size_t out_stride,
                              rc_fp8_tile *restrict tiles, const uint8_t *restrict codes,
                              const uint8_t *restrict scales, size_t rows, size_t cols, bool stream)
{
    const size_t whole = cols / RC_FP8_TILE, rest = cols % RC_FP8_TILE;
    const size_t code_stride = cols / 2, scale_stride = cols / RC_FP4_GROUP;
    const bool aligned = ((uintptr_t)out | out_stride) % 64 == 0;

    for (size_t t = 0; t < whole; t += CHUNK) {
        const size_t n = whole - t < CHUNK ? whole - t : CHUNK;
        (stream && aligned ? chunk_stream : chunk_cached)(
            out + t * RC_FP8_TILE, out_stride, tiles + t, codes + t * (RC_FP8_TILE / 2),
            code_stride, scales + t * GROUPS, scale_stride, rows, n);
    }
    if (rest)
        rc_recast_fp4_fp8_tile(out + whole * RC_FP8_TILE, out_stride, tiles + whole,
                               codes + whole * (RC_FP8_TILE / 2), code_stride,
                               scales + whole * GROUPS, scale_stride, rows, rest);
    if (stream && aligned)
        _mm_sfence();
}
