/* kernels/row_product_simd.h - the loops around row_unpack_simd.h.
 *
 * Internal. Rows are taken a few at a time, of each a piece, so that a piece of x is in
 * first-level cache for all of them and their sums, independent chains, overlap. What is
 * unpacked stays in registers, or just outside, for all the tokens. */
#ifndef RC_KERNELS_ROW_PRODUCT_SIMD_H
#define RC_KERNELS_ROW_PRODUCT_SIMD_H

#if defined(__AVX2__)

#include "kernels/pair_sum.h"
#include "kernels/row_unpack_simd.h"

#define RC_INLINE static inline __attribute__((always_inline))
#define RC_ROWS   8u /* at a time */

#if defined(__AVX512F__)

typedef __m512 lanes;

RC_INLINE lanes lanes_zero(void)
{
    return _mm512_setzero_ps();
}

RC_INLINE float lanes_fold(lanes sum)
{
    return rc_pair_fold_avx512(sum);
}

/* A chunk of paired weights with one of x, paired f32 or BF16. */
RC_INLINE lanes chunk_f32(lanes sum, const float v[RC_CHUNK], const float *x)
{
    sum = _mm512_fmadd_ps(_mm512_loadu_ps(v), _mm512_loadu_ps(x), sum);
    return _mm512_fmadd_ps(_mm512_loadu_ps(v + 16), _mm512_loadu_ps(x + 16), sum);
}

RC_INLINE lanes chunk_bf16(lanes sum, const float v[RC_CHUNK], const uint16_t *x)
{
    float pairs[RC_CHUNK];

    unpack_halves(pairs, x);
    return chunk_f32(sum, v, pairs);
}

#else

typedef struct lanes {
    __m256 low, high;
} lanes;

RC_INLINE lanes lanes_zero(void)
{
    return (lanes){ _mm256_setzero_ps(), _mm256_setzero_ps() };
}

RC_INLINE float lanes_fold(lanes sum)
{
    return rc_pair_fold_avx2(sum.low, sum.high);
}

RC_INLINE lanes chunk_f32(lanes sum, const float v[RC_CHUNK], const float *x)
{
    sum.low = _mm256_fmadd_ps(_mm256_loadu_ps(v), _mm256_loadu_ps(x), sum.low);
    sum.high = _mm256_fmadd_ps(_mm256_loadu_ps(v + 8), _mm256_loadu_ps(x + 8), sum.high);
    sum.low = _mm256_fmadd_ps(_mm256_loadu_ps(v + 16), _mm256_loadu_ps(x + 16), sum.low);
    sum.high = _mm256_fmadd_ps(_mm256_loadu_ps(v + 24), _mm256_loadu_ps(x + 24), sum.high);
    return sum;
}

RC_INLINE lanes chunk_bf16(lanes sum, const float v[RC_CHUNK], const uint16_t *x)
{
    float pairs[RC_CHUNK];

    unpack_halves(pairs, x);
    return chunk_f32(sum, v, pairs);
}

#endif

/* One row's piece of `len` elements from i on; x_bytes is 4 for paired f32 and 2 for BF16. */
RC_INLINE void piece_product(lanes *sum, const uint8_t *w, const void *scale,
                             const uint8_t *const *x, size_t i, size_t len, unpack_fn *unpack,
                             size_t unit, size_t x_bytes, size_t tokens)
{
    for (size_t at = i; at < i + len; at += unit) {
        float v[RC_PIECE] __attribute__((aligned(64)));
        unpack(v, w, scale, at);
        RC_UNROLL
        for (size_t c = 0; c < unit; c += RC_CHUNK) {
            RC_UNROLL
            for (size_t t = 0; t < tokens; t++) {
                const void *xt = x[t] + (at + c) * x_bytes;
                sum[t] =
                    x_bytes == 4 ? chunk_f32(sum[t], v + c, xt) : chunk_bf16(sum[t], v + c, xt);
            }
        }
    }
}

/* The processor does not foresee that eight rows are read in turn. */
RC_INLINE void fetch(const uint8_t *p, size_t nbytes)
{
    for (size_t k = 0; k < nbytes; k += 64)
        _mm_prefetch((const char *)p + k, _MM_HINT_T0);
}

RC_INLINE void tokens_product(float *y, size_t ldy, const rc_stored_rows *w, size_t rows,
                              const uint8_t *const *x, size_t given, size_t n, unpack_fn *unpack,
                              size_t unit, size_t nbytes, size_t x_bytes, size_t tokens)
{
    for (size_t r0 = 0; r0 < rows; r0 += RC_ROWS) {
        const size_t count = rows - r0 < RC_ROWS ? rows - r0 : RC_ROWS;
        lanes sum[RC_ROWS][RC_ROW_PRODUCT_TOKENS];

        for (size_t r = 0; r < count; r++)
            for (size_t t = 0; t < tokens; t++)
                sum[r][t] = lanes_zero();
        for (size_t i = 0; i < n; i += RC_PIECE)
            for (size_t r = 0; r < count; r++) {
                lanes own[RC_ROW_PRODUCT_TOKENS]; /* in registers */
                const uint8_t *row = rc_row_weight(w, r0 + r);
                fetch(row + RC_ROWS * w->row_bytes + i / unit * nbytes, RC_PIECE / unit * nbytes);
                RC_UNROLL
                for (size_t t = 0; t < tokens; t++)
                    own[t] = sum[r][t];
                piece_product(own, row, rc_row_scale(w, r0 + r), x, i,
                              n - i < RC_PIECE ? n - i : RC_PIECE, unpack, unit, x_bytes, tokens);
                RC_UNROLL
                for (size_t t = 0; t < tokens; t++)
                    sum[r][t] = own[t];
            }
        for (size_t r = 0; r < count; r++)
            for (size_t t = 0; t < given; t++)
                y[t * ldy + r0 + r] = lanes_fold(sum[r][t]);
    }
}

/* Loops for one, two, four and eight tokens; in between the first is there several times. */
RC_INLINE void row_product(float *y, size_t ldy, const rc_stored_rows *w, size_t rows,
                           const uint8_t *const *x, size_t tokens, size_t n, unpack_fn *unpack,
                           size_t unit, size_t nbytes, size_t x_bytes)
{
    if (tokens == 1)
        tokens_product(y, ldy, w, rows, x, tokens, n, unpack, unit, nbytes, x_bytes, 1);
    else if (tokens == 2)
        tokens_product(y, ldy, w, rows, x, tokens, n, unpack, unit, nbytes, x_bytes, 2);
    else if (tokens <= 4)
        tokens_product(y, ldy, w, rows, x, tokens, n, unpack, unit, nbytes, x_bytes, 4);
    else
        tokens_product(y, ldy, w, rows, x, tokens, n, unpack, unit, nbytes, x_bytes, 8);
}

/* The function of a type. */
#define ROW_PRODUCT(type, isa)                                                                     \
    void rc_row_product_##type##_##isa(float *y, size_t ldy, const rc_stored_rows *w, size_t rows, \
                                       const float *const *x, size_t tokens, size_t n)             \
    {                                                                                              \
        const rc_rounding saved = rc_rounding_enter();                                             \
        const uint8_t *at[RC_ROW_PRODUCT_TOKENS];                                                  \
        for (size_t t = 0; t < RC_ROW_PRODUCT_TOKENS; t++)                                         \
            at[t] = (const uint8_t *)x[t < tokens ? t : 0];                                        \
        row_product(y, ldy, w, rows, at, tokens, n, unpack_##type, UNIT_##type, BYTES_##type,      \
                    sizeof(float));                                                                \
        rc_rounding_leave(saved);                                                                  \
    }

#define ROW_PRODUCT_BF16(type, isa)                                                                \
    void rc_row_product_bf16_##type##_##isa(float *y, size_t ldy, const rc_stored_rows *w,         \
                                            size_t rows, const uint16_t *const *x, size_t tokens,  \
                                            size_t n)                                              \
    {                                                                                              \
        const rc_rounding saved = rc_rounding_enter_flushed();                                     \
        const uint8_t *at[RC_ROW_PRODUCT_TOKENS];                                                  \
        for (size_t t = 0; t < RC_ROW_PRODUCT_TOKENS; t++)                                         \
            at[t] = (const uint8_t *)x[t < tokens ? t : 0];                                        \
        row_product(y, ldy, w, rows, at, tokens, n, unpack_##type, UNIT_##type, BYTES_##type,      \
                    sizeof(uint16_t));                                                             \
        rc_rounding_leave(saved);                                                                  \
    }

#endif

#endif
