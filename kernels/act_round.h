/* kernels/act_round.h - the rounding that the reference applies to activations.
 *
 *     fp8    amax = max(max |x|, 1e-4)          y = e4m3(clamp(x / s, -448, 448)) * s
 *     fp4    amax = max(max |x|, 6 * 2^-126)    y = e2m1(clamp(x / s, -6, 6)) * s
 *            s = 2^ceil(log2(amax / largest)), one a block, largest = 448 or 6
 *     bf16   y = x to BF16 and back
 *     hadamard   y[i] = n^-0.5 * sum_j (-1)^popcount(i AND j) x[j]
 *
 * All to nearest, ties to the even code. The logarithm is taken from the bits of t = amax *
 * f32(1 / largest): its exponent, plus one if its mantissa is not zero. fp8 of BF16 is exact in
 * BF16. A block with a NaN or an infinity becomes RC_F32_NAN throughout.
 *
 * y may be x, otherwise they do not overlap. No pointer needs more than its element's alignment.
 * Every variant gives the bits of _ref on every input, under any rounding mode.
 * Source: the official kernel.py (act_quant, fp4_act_quant), model.py (rotate_activation). */
#ifndef RC_KERNELS_ACT_ROUND_H
#define RC_KERNELS_ACT_ROUND_H

#include <stddef.h>

#include "kernels/cpu.h"

#define RC_HADAMARD_MAX 512u

/** fp8: block divides n and is a multiple of 16 up to 128. */
typedef void rc_round_fp8_fn(float *y, const float *x, size_t n, size_t block);
/** fp4: block is 32 and divides n. */
typedef void rc_round_fp4_fn(float *y, const float *x, size_t n, size_t block);
/** Any n. Overflow gives infinity; a NaN keeps sign and upper payload, and becomes quiet. */
typedef void rc_round_bf16_fn(float *y, const float *x, size_t n);
/** n is a power of two up to RC_HADAMARD_MAX. Butterflies (a + b, a - b) of span 1, 2, 4, ..,
 *  n / 2, then one multiplication with f32(n^-0.5). A NaN result is RC_F32_NAN. */
typedef void rc_hadamard_fn(float *y, const float *x, size_t n);
/** sum x[i]^2: element i to lane i % 16 by fmaf, all lanes from +0, then lane j takes lane
 *  j + 8, j + 4, j + 2, j + 1; any n. A NaN result is RC_F32_NAN. */
typedef float rc_sum_squares_fn(const float *x, size_t n);

typedef struct rc_round_fp8_impl {
    const char *name;
    unsigned need; /* RC_CPU_ flags */
    rc_round_fp8_fn *fn;
} rc_round_fp8_impl;

typedef struct rc_round_fp4_impl {
    const char *name;
    unsigned need;
    rc_round_fp4_fn *fn;
} rc_round_fp4_impl;

typedef struct rc_round_bf16_impl {
    const char *name;
    unsigned need;
    rc_round_bf16_fn *fn;
} rc_round_bf16_impl;

typedef struct rc_hadamard_impl {
    const char *name;
    unsigned need;
    rc_hadamard_fn *fn;
} rc_hadamard_impl;

typedef struct rc_sum_squares_impl {
    const char *name;
    unsigned need;
    rc_sum_squares_fn *fn;
} rc_sum_squares_impl;

/** Row 0 is the reference, rows run slow to fast, a NULL fn ends the table. */
extern const rc_round_fp8_impl rc_round_fp8_impls[];
extern const rc_round_fp4_impl rc_round_fp4_impls[];
extern const rc_round_bf16_impl rc_round_bf16_impls[];
extern const rc_hadamard_impl rc_hadamard_impls[];
extern const rc_sum_squares_impl rc_sum_squares_impls[];
rc_round_fp8_fn *rc_round_fp8_best(void);
rc_round_fp4_fn *rc_round_fp4_best(void);
rc_round_bf16_fn *rc_round_bf16_best(void);
rc_hadamard_fn *rc_hadamard_best(void);
rc_sum_squares_fn *rc_sum_squares_best(void);

rc_round_fp8_fn rc_round_fp8_ref, rc_round_fp8_avx2, rc_round_fp8_avx512;
rc_round_fp4_fn rc_round_fp4_ref, rc_round_fp4_avx2, rc_round_fp4_avx512;
rc_round_bf16_fn rc_round_bf16_ref, rc_round_bf16_avx2, rc_round_bf16_avx512;
rc_hadamard_fn rc_hadamard_ref, rc_hadamard_avx2, rc_hadamard_avx512;
rc_sum_squares_fn rc_sum_squares_ref, rc_sum_squares_avx2, rc_sum_squares_avx512;

#endif
