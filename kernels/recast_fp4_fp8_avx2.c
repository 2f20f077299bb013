/* kernels/recast_fp4_fp8_avx2.c - the plan of the AVX-512 variant, two groups at a time. */
#include "kernels/recast_fp4_fp8.h"

#include <immintrin.h>
#include <string.h>

#include "kernels/codes.h"
#include "kernels/recast_fp4_fp8_rows.h"

#define GROUPS  4u  /* of a row of a tile */
#define CHUNK   64u /* tiles at a time: bounds the stack */
#define VECTORS (CHUNK * GROUPS / 32)

static inline __m256i load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

static inline __m256i fold_max(__m256i x) /* each byte: largest of its tile's four */
{
    x = _mm256_max_epu8(x, _mm256_or_si256(_mm256_slli_epi32(x, 16), _mm256_srli_epi32(x, 16)));
    return _mm256_max_epu8(x, _mm256_or_si256(_mm256_slli_epi32(x, 8), _mm256_srli_epi32(x, 24)));
}

/* max(s - E + 9, 0), unsigned; what a NaN group gets only has to be a row. */
static inline __m256i rows_of(__m256i s, __m256i scale)
{
    const __m256i zero = _mm256_set1_epi8(RC_RECAST_ROW0);
    const __m256i up = _mm256_adds_epu8(s, _mm256_subs_epu8(zero, scale));
    const __m256i row = _mm256_subs_epu8(up, _mm256_subs_epu8(scale, zero));

    return _mm256_min_epu8(row, _mm256_set1_epi8(RC_RECAST_ROWS - 1));
}

static inline __m256i two_rows(const uint8_t row[2])
{
    const __m256i t = _mm256_castsi128_si256(_mm_load_si128((const __m128i *)recast_rows[row[0]]));

    return _mm256_inserti128_si256(t, _mm_load_si128((const __m128i *)recast_rows[row[1]]), 1);
}

static inline __attribute__((always_inline)) void
recast_chunk(uint8_t *out, size_t out_stride, rc_fp8_tile *tiles, const uint8_t *codes,
             size_t code_stride, const uint8_t *scales, size_t scale_stride, size_t rows,
             size_t ntiles, bool stream)
{
    const size_t groups = ntiles * GROUPS, vectors = (groups + 31) / 32;
    const __m256i nibble = _mm256_set1_epi8(15), magnitude = _mm256_set1_epi8(0x77);
    const __m256i zero = _mm256_setzero_si256(), ones = _mm256_set1_epi8(-1);
    __m256i base[VECTORS], lo[VECTORS], hi[VECTORS], nan[VECTORS];
    uint8_t s[CHUNK * GROUPS] __attribute__((aligned(32))); /* one row of scales, padded */
    uint8_t table_row[CHUNK * GROUPS] __attribute__((aligned(32)));
    uint16_t empty[CHUNK * GROUPS] __attribute__((aligned(32))); /* all ones: group of zeros */
    /* packs_epi16 works in lanes: this puts its quarters back in order */
#define IN_ORDER _MM_SHUFFLE(3, 1, 2, 0)

    memset(s, 0, sizeof s);
    memset(empty, 0xff, sizeof empty);
    for (size_t v = 0; v < vectors; v++) {
        hi[v] = nan[v] = base[v] = zero; /* base: the largest scale, for now */
        lo[v] = ones;
    }
    for (size_t r = 0; r < rows; r++) {
        memcpy(s, scales + r * scale_stride, groups);
        for (size_t v = 0; v < vectors; v++) {
            const __m256i sv = load(s + 32 * v), bad = _mm256_cmpeq_epi8(sv, ones);
            nan[v] = _mm256_or_si256(nan[v], bad);
            base[v] = _mm256_max_epu8(base[v], _mm256_andnot_si256(bad, sv));
        }
    }
    for (size_t v = 0; v < vectors; v++)
        base[v] = _mm256_subs_epu8(fold_max(base[v]), _mm256_set1_epi8(6));

    for (size_t r = 0; r < rows; r++) {
        const uint8_t *q = codes + r * code_stride;
        uint8_t *y = out + r * out_stride;

        memcpy(s, scales + r * scale_stride, groups);
        for (size_t v = 0; v < vectors; v++)
            _mm256_store_si256((__m256i *)(void *)(table_row + 32 * v),
                               rows_of(load(s + 32 * v), base[v]));
        for (size_t g = 0; g < groups; g += 2, q += 32, y += 64) {
            const __m256i x = load(q), table = two_rows(table_row + g);
            const __m256i even = _mm256_shuffle_epi8(table, _mm256_and_si256(x, nibble));
            const __m256i odd = _mm256_shuffle_epi8(
                table, _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble));
            const __m256i first = _mm256_unpacklo_epi8(even, odd); /* halves of both groups */
            const __m256i second = _mm256_unpackhi_epi8(even, odd);
            const __m256i y0 = _mm256_permute2x128_si256(first, second, 0x20);
            const __m256i y1 = _mm256_permute2x128_si256(first, second, 0x31);
            const int zeros = _mm256_movemask_epi8(
                _mm256_cmpeq_epi8(_mm256_and_si256(x, magnitude), zero));
            memcpy(empty + g, &zeros, sizeof zeros);
            if (stream) {
                _mm256_stream_si256((__m256i *)(void *)y, y0);
                _mm256_stream_si256((__m256i *)(void *)(y + 32), y1);
            } else {
                _mm256_storeu_si256((__m256i *)(void *)y, y0);
                _mm256_storeu_si256((__m256i *)(void *)(y + 32), y1);
            }
        }
        for (size_t v = 0; v < vectors; v++) {
            const __m256i e0 = _mm256_cmpeq_epi16(load(empty + 32 * v), ones);
            const __m256i e1 = _mm256_cmpeq_epi16(load(empty + 32 * v + 16), ones);
            const __m256i skip = _mm256_permute4x64_epi64(_mm256_packs_epi16(e0, e1), IN_ORDER);
            const __m256i sv = load(s + 32 * v);
            lo[v] = _mm256_min_epu8(lo[v], _mm256_or_si256(sv, skip));
            hi[v] = _mm256_max_epu8(hi[v], _mm256_andnot_si256(skip, sv));
        }
    }

    for (size_t t = 0; t < ntiles; t++) {
        const size_t v = t / 8, at = 4 * (t % 8);
        uint8_t e[32], l[32], h[32], bad[32];
        _mm256_storeu_si256((__m256i *)(void *)e, base[v]);
        _mm256_storeu_si256((__m256i *)(void *)l, _mm256_xor_si256(
                                              fold_max(_mm256_xor_si256(lo[v], ones)), ones));
        _mm256_storeu_si256((__m256i *)(void *)h, fold_max(hi[v]));
        _mm256_storeu_si256((__m256i *)(void *)bad, fold_max(nan[v]));
        tiles[t] = (rc_fp8_tile){ e[at], 1, l[at], h[at], 0 };
        if (bad[at] || l[at] - e[at] < RC_RECAST_MIN_SHIFT)
            rc_recast_fp4_fp8_tile(out + t * RC_FP8_TILE, out_stride, tiles + t,
                                   codes + t * (RC_FP8_TILE / 2), code_stride, scales + t * GROUPS,
                                   scale_stride, rows, RC_FP8_TILE);
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

void rc_recast_fp4_fp8_avx2(uint8_t *restrict out, size_t out_stride, rc_fp8_tile *restrict tiles,
                            const uint8_t *restrict codes, const uint8_t *restrict scales,
                            size_t rows, size_t cols, bool stream)
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
