/* kernels/matmul.h - products of rows of weights with rows of activations.
 *
 *     y[t * ldy + r] = sum_i w[r][i] * x[t][i]        0 <= r < rows, 0 <= t < tokens
 *
 * in the order of kernels/pairs.h, n a multiple of 32. Rows are given by pointers, so that a tile
 * of decoded weights, keys of a cache and the tokens that chose an expert are all taken
 * where they lie. A row may be given twice; y overlaps no row, and what lies between its rows is
 * not touched. Every variant gives the bits of _ref, except that NaN is NaN: which one depends
 * on the order of operands, which compilers choose. The caller's threads share rows or tokens,
 * never a sum; its rounding mode does not matter. */
#ifndef RC_KERNELS_MATMUL_H
#define RC_KERNELS_MATMUL_H

#include <stdint.h>

#include "kernels/pairs.h"

/** f32, both sides in the paired layout. NaN, infinity and subnormals as IEEE has it. */
typedef void rc_matmul_f32_fn(float *y, size_t ldy, const float *const *w, size_t rows,
                              const float *const *x, size_t tokens, size_t n);

/** BF16, both sides in the natural layout. The products are exact. Subnormal operands, and every
 *  sum on the way that is subnormal, count as a zero of that sign (tininess is detected after
 *  rounding): VDPBF16PS does that, whatever MXCSR says, so all variants do. Elsewhere the bits
 *  are those of rc_matmul_f32 on the same values. */
typedef void rc_matmul_bf16_fn(float *y, size_t ldy, const uint16_t *const *w, size_t rows,
                               const uint16_t *const *x, size_t tokens, size_t n);

typedef struct rc_matmul_f32_impl {
    const char *name;
    unsigned need;
    rc_matmul_f32_fn *fn;
} rc_matmul_f32_impl;

typedef struct rc_matmul_bf16_impl {
    const char *name;
    unsigned need;
    rc_matmul_bf16_fn *fn;
} rc_matmul_bf16_impl;

extern const rc_matmul_f32_impl rc_matmul_f32_impls[];
extern const rc_matmul_bf16_impl rc_matmul_bf16_impls[];
rc_matmul_f32_fn *rc_matmul_f32_best(void);
rc_matmul_bf16_fn *rc_matmul_bf16_best(void);

rc_matmul_f32_fn rc_matmul_f32_ref, rc_matmul_f32_avx2, rc_matmul_f32_avx512;
rc_matmul_bf16_fn rc_matmul_bf16_ref, rc_matmul_bf16_avx2, rc_matmul_bf16_avx512,
    rc_matmul_bf16_avx512bf16;

#endif
