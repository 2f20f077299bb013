/* kernels/row_product.h - products straight from stored rows, for few tokens.
 *
 *     y[t * ldy + r] = sum_i value(w, r, i) * x[t][i]     0 <= r < rows, 0 <= t < tokens
 *
 * where value() is what the decoder of the type gives (kernels/dequant_*.h, bf16.h). The bits are
 * those of decoding the row and multiplying by kernels/matmul.h: a token gets the same
 * numbers alone and among thousands. With few tokens the time goes into reading and
 * unpacking; these do both in registers. n is a multiple of the type's block and of 32. Every
 * variant gives the bits of its reference, except that NaN is NaN, as in matmul.h; the caller's
 * rounding mode does not matter. y overlaps nothing, and what lies between its rows is not touched.
 * Rows that follow each other in memory are read ahead; nothing beyond the last is used. */
#ifndef RC_KERNELS_ROW_PRODUCT_H
#define RC_KERNELS_ROW_PRODUCT_H

#include <stdint.h>

#include "formats/dtype.h"
#include "kernels/pairs.h"

#define RC_ROW_PRODUCT_TOKENS 8u /* at most */

/* Stored rows. Any alignment. */
typedef struct rc_stored_rows {
    const uint8_t *weight;
    size_t row_bytes; /* from one row to the next */
    /* FP4 (I8 + E8M0): the E8M0 bytes of row 0, scale_bytes from row to row.
     * FP8: ceil(n / 128) f32, the same for all the rows (scale_bytes 0), aligned.
     * Others: NULL */
    const void *scale;
    size_t scale_bytes;
} rc_stored_rows;

/** x: paired f32 rows. */
typedef void rc_row_product_fn(float *y, size_t ldy, const rc_stored_rows *w, size_t rows,
                               const float *const *x, size_t tokens, size_t n);
/** x: natural BF16 rows; as rc_matmul_bf16, also in what is flushed to zero. Only for types
 *  whose values are exact in BF16: F8_E4M3 if its scales are powers of two and no product
 *  leaves the range, which is for the caller to know. */
typedef void rc_row_product_bf16_fn(float *y, size_t ldy, const rc_stored_rows *w, size_t rows,
                                    const uint16_t *const *x, size_t tokens, size_t n);

typedef struct rc_row_product_impl {
    const char *name;
    unsigned need;
    rc_row_product_fn *fn;
} rc_row_product_impl;

typedef struct rc_row_product_bf16_impl {
    const char *name;
    unsigned need;
    rc_row_product_bf16_fn *fn;
} rc_row_product_bf16_impl;

/** The variants for a stored type: RC_DTYPE_I8 is packed FP4, then F8_E4M3, BF16, F32 and the
 *  block types. Row 0 is the reference, a NULL fn ends the table. NULL: none for the type. */
const rc_row_product_impl *rc_row_product_impls(rc_dtype dtype);
const rc_row_product_bf16_impl *rc_row_product_bf16_impls(rc_dtype dtype);
/** The fastest that the level in force allows, or NULL: decode, then multiply. */
rc_row_product_fn *rc_row_product_best(rc_dtype dtype);
rc_row_product_bf16_fn *rc_row_product_bf16_best(rc_dtype dtype);

/** One stored row to paired f32: the decoder's values, bit for bit. w has any alignment, scale is
 *  as in rc_stored_rows. */
typedef void rc_decode_pairs_fn(float *restrict y, const uint8_t *restrict w,
                                const void *restrict scale, size_t n);
typedef struct rc_decode_pairs_impl {
    const char *name;
    unsigned need;
    rc_decode_pairs_fn *fn;
} rc_decode_pairs_impl;
const rc_decode_pairs_impl *rc_decode_pairs_impls(rc_dtype dtype);
rc_decode_pairs_fn *rc_decode_pairs_best(rc_dtype dtype);

#endif
