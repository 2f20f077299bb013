/* kernels/act_round.h - the rounding that the reference applies to activations.
 *
 * fp8: blocks of B (64 or 128) elements, amax = max(max |x|, 1e-4), s = 2^ceil(log2(amax / 448)),
 *      y = e4m3(clamp(x / s, +-448)) * s, to nearest even. Exact in BF16 for BF16 input.
 * fp4: blocks of 32, amax = max(max |x|, 6 * 2^-126), s = 2^ceil(log2(amax / 6)),
 *      y = e2m1(clamp(x / s, +-6)) * s, ties to the even code.
 * The logarithm is taken from the bits of t = amax * f32(1/448) (or 1/6): its exponent, plus one
 * if its mantissa is not zero. bf16: to nearest even, to BF16 and back. hadamard: y[i] = n^-0.5 *
 * sum_j (-1)^popcount(i AND j) x[j], n a power of two up to 512, butterflies of span 1, 2, 4, ..
 * then one multiplication.
 * Source: the official kernel.py (act_quant, fp4_act_quant), model.py (rotate_activation).
 * A NaN in a block makes the whole block NaN. Every variant gives the bits of _ref. In place
 * allowed. */
#ifndef RC_KERNELS_ACT_ROUND_H
#define RC_KERNELS_ACT_ROUND_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

typedef void rc_round_blocks_fn(float *y, const float *x, size_t n, size_t block);
typedef void rc_round_row_fn(float *y, const float *x, size_t n);
typedef float rc_sum_squares_fn(const float *x, size_t n);

/** fp8: block divides n and is a multiple of 16 up to 128; fp4: block is 32. */
rc_round_blocks_fn *rc_round_fp8_best(void), *rc_round_fp4_best(void);
rc_round_row_fn *rc_round_bf16_best(void), *rc_hadamard_best(void);
/** Element i to lane i % 16 by fmaf, then lanes are added 8-4-2-1; any n. */
rc_sum_squares_fn *rc_sum_squares_best(void);

typedef struct rc_round_fp8_impl {
    const char *name;
    unsigned need;
    rc_round_blocks_fn *fn;
} rc_round_fp8_impl;
typedef rc_round_fp8_impl rc_round_fp4_impl;
typedef struct rc_round_bf16_impl {
    const char *name;
    unsigned need;
    rc_round_row_fn *fn;
} rc_round_bf16_impl;
typedef rc_round_bf16_impl rc_hadamard_impl;
typedef struct rc_sum_squares_impl {
    const char *name;
    unsigned need;
    rc_sum_squares_fn *fn;
} rc_sum_squares_impl;

extern const rc_round_fp8_impl rc_round_fp8_impls[];
extern const rc_round_fp4_impl rc_round_fp4_impls[];
extern const rc_round_bf16_impl rc_round_bf16_impls[];
extern const rc_hadamard_impl rc_hadamard_impls[];
extern const rc_sum_squares_impl rc_sum_squares_impls[];

#endif
