/* kernels/row_product_bf16_avx512bf16.c - codes to BF16 in registers, then VDPBF16PS.
 *
 * An FP4 code is looked up among the sixteen values that it has under its scale. FP8 scales are
 * the same for all rows, so the 128 values of a magnitude under each are a table that
 * several rows share: two permutes give the bytes of 64 values. */
#include <immintrin.h>

#include "kernels/codes.h"
#include "kernels/fp4_values.h"
#include "kernels/pair_sum.h"
#include "kernels/rounding.h"
#include "kernels/row_types.h"
#include "kernels/unroll.h"

#define INLINE static inline __attribute__((always_inline))
#define ROWS   8u              /* at a time, chains of sums that overlap */
#define GROUP  (4u * RC_CHUNK) /* elements unpacked at a time; RC_FP8_TILE */

/* What the rows share of a group: FP8 alone has something. */
typedef struct shared {
    __m512i lo[2], hi[2]; /* bytes of the values of E4M3 codes 0 .. 127 */
} shared;

typedef void share_fn(shared *common, const void *scale, size_t i);
/* The elements of a row from i on: 4 chunks of them, or fewer. */
typedef void unpack_fn(__m512i v[4], const shared *common, const uint8_t *w, const void *scale,
                       size_t i, unsigned chunks);

INLINE __m128i load16(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* A permute of sixteen-bit elements reads five bits: the values lie there twice. */
INLINE __m512i fp4_values(uint8_t e)
{
    return _mm512_broadcast_i64x4(
        _mm256_load_si256((const __m256i *)(const void *)rc_fp4_values[e]));
}

INLINE void share_nothing(shared *common, const void *scale, size_t i)
{
    (void)common;
    (void)scale;
    (void)i;
}

INLINE void unpack_fp4(__m512i v[4], const shared *common, const uint8_t *w, const void *scale,
                       size_t i, unsigned chunks)
{
    const uint8_t *e = (const uint8_t *)scale + i / RC_FP4_GROUP, *q = w + i / 2;
    const __m512i pick = _mm512_set1_epi64(0x000c000800040000); /* nibbles 4j .. 4j+3 */

    (void)common;
    RC_UNROLL
    for (unsigned c = 0; c < chunks; c++) {
        const __m512i quads = _mm512_cvtepu16_epi64(load16(q + 16 * c));
        const __m512i index = _mm512_multishift_epi64_epi8(pick, quads);
        v[c] = _mm512_permutexvar_epi16(index, fp4_values(e[c]));
    }
}

/* Low nibbles are the first half of a block. Code 8 is +0. */
INLINE void unpack_mxfp4(__m512i v[4], const shared *common, const uint8_t *w, const void *scale,
                         size_t i, unsigned chunks)
{
    const rc_block_mxfp4 *b = (const rc_block_mxfp4 *)(const void *)w + i / RC_BLOCK_SMALL;
    const __m512i plus = _mm512_set4_epi64(-1, ~0x8000LL, -1, -1);

    (void)common;
    (void)scale;
    RC_UNROLL
    for (unsigned c = 0; c < chunks; c++) {
        const __m256i low = _mm256_cvtepu8_epi16(load16(b[c].qs));
        const __m512i index =
            _mm512_inserti64x4(_mm512_castsi256_si512(low), _mm256_srli_epi16(low, 4), 1);
        v[c] = _mm512_permutexvar_epi16(index, _mm512_and_si512(fp4_values(b[c].e), plus));
    }
}

INLINE void unpack_bf16(__m512i v[4], const shared *common, const uint8_t *w, const void *scale,
                        size_t i, unsigned chunks)
{
    (void)common;
    (void)scale;
    RC_UNROLL
    for (unsigned c = 0; c < chunks; c++)
        v[c] = _mm512_loadu_si512(w + 2 * (i + c * RC_CHUNK));
}

INLINE __m256i upper_halves(__m512 x)
{
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(x), 16));
}

/* Codes 32k .. 32k+31 under a scale, as BF16: an E4M3 moved up by seven bits is an f16 of 2^-8
 * times the value. With a power of two the products are exact, their lower halves zero. */
INLINE __m512i e4m3_values(unsigned k, float scale)
{
    const __m512 s = _mm512_set1_ps(scale), by8 = _mm512_set1_ps(0x1p8f);
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i low = _mm512_add_epi32(lane, _mm512_set1_epi32((int)(32 * k)));
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(16));
    const __m512 a = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_slli_epi32(low, 7)));
    const __m512 b = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_slli_epi32(high, 7)));

    return _mm512_inserti64x4(
        _mm512_castsi256_si512(upper_halves(_mm512_mul_ps(_mm512_mul_ps(a, by8), s))),
        upper_halves(_mm512_mul_ps(_mm512_mul_ps(b, by8), s)), 1);
}

INLINE void share_fp8(shared *common, const void *scale, size_t i)
{
    const float s = ((const float *)scale)[i / RC_FP8_TILE];
    const __m512i count = _mm512_set_epi64(
        0x3f3e3d3c3b3a3938, 0x3736353433323130, 0x2f2e2d2c2b2a2928, 0x2726252423222120,
        0x1f1e1d1c1b1a1918, 0x1716151413121110, 0x0f0e0d0c0b0a0908, 0x0706050403020100);
    const __m512i even = _mm512_add_epi8(count, count);
    const __m512i odd = _mm512_or_si512(even, _mm512_set1_epi8(1));

    RC_UNROLL
    for (unsigned j = 0; j < 2; j++) {
        const __m512i a = e4m3_values(2 * j, s);
        __m512i b = e4m3_values(2 * j + 1, s);
        if (j == 1) /* code 127 */
            b = _mm512_mask_set1_epi16(b, 1u << 31, RC_BF16_NAN);
        common->lo[j] = _mm512_permutex2var_epi8(a, even, b);
        common->hi[j] = _mm512_permutex2var_epi8(a, odd, b);
    }
}

/* The bytes of 64 values are interleaved within lanes of 16; so that this gives them in their
 * order, the codes are put first in the order 0, 4, 1, 5, .. of runs of eight. */
INLINE void unpack_fp8(__m512i v[4], const shared *common, const uint8_t *w, const void *scale,
                       size_t i, unsigned chunks)
{
    const __m512i order = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);

    (void)scale;
    RC_UNROLL
    for (unsigned c = 0; c < chunks; c += 2) {
        const __mmask64 there = c + 1 < chunks ? ~(__mmask64)0 : 0xffffffff;
        const __m512i x =
            _mm512_permutexvar_epi64(order, _mm512_maskz_loadu_epi8(there, w + i + c * RC_CHUNK));
        const __m512i lo = _mm512_permutex2var_epi8(common->lo[0], x, common->lo[1]);
        const __m512i body = _mm512_permutex2var_epi8(common->hi[0], x, common->hi[1]);
        const __m512i hi = /* body | (x & 0x80) */
            _mm512_ternarylogic_epi64(body, x, _mm512_set1_epi8((char)0x80), 0xf8);
        v[c] = _mm512_unpacklo_epi8(lo, hi);
        if (c + 1 < chunks)
            v[c + 1] = _mm512_unpackhi_epi8(lo, hi);
    }
}

/* A group, or a chunk, of one row. */
INLINE void group_product(__m512 *sum, const shared *common, const uint8_t *w, const void *scale,
                          const uint16_t *const *x, size_t i, unpack_fn *unpack, unsigned chunks,
                          size_t tokens)
{
    __m512i v[4];

    unpack(v, common, w, scale, i, chunks);
    RC_UNROLL
    for (unsigned c = 0; c < chunks; c++) {
        RC_UNROLL
        for (size_t t = 0; t < tokens; t++)
            sum[t] = _mm512_dpbf16_ps(sum[t], (__m512bh)v[c],
                                      (__m512bh)_mm512_loadu_si512(x[t] + i + c * RC_CHUNK));
    }
}

INLINE void fetch(const uint8_t *p, size_t nbytes)
{
    for (size_t k = 0; k < nbytes; k += 64)
        _mm_prefetch((const char *)p + k, _MM_HINT_T0);
}

/* Chunks i .. i + chunks of `count` rows. */
INLINE void rows_product(__m512 sum[ROWS][RC_ROW_PRODUCT_TOKENS], const rc_stored_rows *w,
                         size_t r0, size_t count, const uint16_t *const *x, size_t i,
                         share_fn *share, unpack_fn *unpack, unsigned chunks, size_t tokens,
                         size_t bits)
{
    shared common;

    share(&common, w->scale, i);
    for (size_t r = 0; r < count; r++) {
        __m512 own[RC_ROW_PRODUCT_TOKENS]; /* in registers */
        const uint8_t *row = rc_row_weight(w, r0 + r);
        fetch(row + ROWS * w->row_bytes + i * bits / 8, chunks * RC_CHUNK * bits / 8);
        RC_UNROLL
        for (size_t t = 0; t < tokens; t++)
            own[t] = sum[r][t];
        group_product(own, &common, row, rc_row_scale(w, r0 + r), x, i, unpack, chunks, tokens);
        RC_UNROLL
        for (size_t t = 0; t < tokens; t++)
            sum[r][t] = own[t];
    }
}

/* VDPBF16PS flushes in any mode, additions in one, in which the products for the tables of FP8
 * would lose subnormal scales. */
INLINE void fold_rows(float *y, size_t ldy, __m512 sum[ROWS][RC_ROW_PRODUCT_TOKENS], size_t count,
                      size_t tokens)
{
    const rc_rounding saved = rc_rounding_enter_flushed();

    for (size_t r = 0; r < count; r++)
        for (size_t t = 0; t < tokens; t++)
            y[t * ldy + r] = rc_pair_fold_avx512(sum[r][t]);
    rc_rounding_leave(saved);
}

INLINE void tokens_product(float *y, size_t ldy, const rc_stored_rows *w, size_t rows,
                           const uint16_t *const *x, size_t given, size_t n, share_fn *share,
                           unpack_fn *unpack, size_t tokens, size_t bits)
{
    for (size_t r0 = 0; r0 < rows; r0 += ROWS) {
        const size_t count = rows - r0 < ROWS ? rows - r0 : ROWS;
        __m512 sum[ROWS][RC_ROW_PRODUCT_TOKENS];
        size_t i = 0;

        for (size_t r = 0; r < count; r++)
            for (size_t t = 0; t < tokens; t++)
                sum[r][t] = _mm512_setzero_ps();
        for (; i + GROUP <= n; i += GROUP)
            rows_product(sum, w, r0, count, x, i, share, unpack, 4, tokens, bits);
        for (; i < n; i += RC_CHUNK)
            rows_product(sum, w, r0, count, x, i, share, unpack, 1, tokens, bits);
        fold_rows(y + r0, ldy, sum, count, given);
    }
}

/* Loops for one, two, four and eight tokens; in between the first is there several times. */
INLINE void row_product(float *y, size_t ldy, const rc_stored_rows *w, size_t rows,
                        const uint16_t *const *x, size_t tokens, size_t n, share_fn *share,
                        unpack_fn *unpack, size_t bits)
{
    const rc_rounding saved = rc_rounding_enter();
    const uint16_t *at[RC_ROW_PRODUCT_TOKENS];

    for (size_t t = 0; t < RC_ROW_PRODUCT_TOKENS; t++)
        at[t] = x[t < tokens ? t : 0];
    if (tokens == 1)
        tokens_product(y, ldy, w, rows, at, tokens, n, share, unpack, 1, bits);
    else if (tokens == 2)
        tokens_product(y, ldy, w, rows, at, tokens, n, share, unpack, 2, bits);
    else if (tokens <= 4)
        tokens_product(y, ldy, w, rows, at, tokens, n, share, unpack, 4, bits);
    else
        tokens_product(y, ldy, w, rows, at, tokens, n, share, unpack, 8, bits);
    rc_rounding_leave(saved);
}

#define ROW_PRODUCT(type, share, bits)                                                             \
    void rc_row_product_bf16_##type##_avx512bf16(float *y, size_t ldy, const rc_stored_rows *w,    \
                                                 size_t rows, const uint16_t *const *x,            \
                                                 size_t tokens, size_t n)                          \
    {                                                                                              \
        row_product(y, ldy, w, rows, x, tokens, n, share, unpack_##type, bits);                    \
    }
ROW_PRODUCT(fp4, share_nothing, 4)
ROW_PRODUCT(fp8, share_fp8, 8)
ROW_PRODUCT(bf16, share_nothing, 16)
ROW_PRODUCT(mxfp4, share_nothing, 4)
