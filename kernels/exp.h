/* kernels/exp.h - exponentials with the same bits on every machine, and what is made of them.
 *
 * The C library's differ between versions and processors; a judge's may not. Each formula
 * is written out in the reference, its numbers in exp_terms.h; every variant gives its bits.
 *
 * exp is within 1 ulp (0.902 at worst, found by trying every f32): exp(0) is 1, results
 * below 2^-126 are 0, from 0x1.62e43p+6 (88.7228) on they are infinity. A NaN gives
 * RC_F32_NAN, whatever its bits were. */
#ifndef RC_KERNELS_EXP_H
#define RC_KERNELS_EXP_H

#include <stddef.h>

#include "kernels/cpu.h"

/** p[i] = exp(s[i] - m), the difference rounded to f32, 0 <= i < n. Returns their sum: element i
 *  to lane i % 16 by addition, all lanes from +0, then lane j takes lane j + 8, j + 4, j + 2,
 *  j + 1. p may be s. Source: softmax, with m the largest s[i]. */
typedef float rc_exp_sum_fn(float *p, const float *s, size_t n, float m);

/** v[i] = scale * (silu(min(a[i], limit)) * clamp(b[i], -limit, limit)), silu(z) = z / (1 +
 *  exp(-z)), every step rounded to f32; limit > 0, infinity: no clamp. A NaN in a or b gives
 *  RC_F32_NAN, as does silu(-infinity). v may be a or b.
 *  Source: the official model.py, class Expert. */
typedef void rc_swiglu_fn(float *v, const float *a, const float *b, size_t n, float limit,
                          float scale);

typedef struct rc_exp_sum_impl {
    const char *name;
    unsigned need; /* RC_CPU_ flags */
    rc_exp_sum_fn *fn;
} rc_exp_sum_impl;

typedef struct rc_swiglu_impl {
    const char *name;
    unsigned need;
    rc_swiglu_fn *fn;
} rc_swiglu_impl;

/** Row 0 is the reference, rows run slow to fast, a NULL fn ends the table. */
extern const rc_exp_sum_impl rc_exp_sum_impls[];
extern const rc_swiglu_impl rc_swiglu_impls[];
rc_exp_sum_fn *rc_exp_sum_best(void);
rc_swiglu_fn *rc_swiglu_best(void);

rc_exp_sum_fn rc_exp_sum_ref, rc_exp_sum_avx2, rc_exp_sum_avx512;
rc_swiglu_fn rc_swiglu_ref, rc_swiglu_avx2, rc_swiglu_avx512;

/** One value; the bits of the above. */
float rc_exp_f32(float x);
/** log(1 + exp(x)), and x where x > 20. Within 2 ulp down to 2^-126, below that 0.
 *  Source: torch's softplus, with its default threshold. */
float rc_softplus_f32(float x);
/** 1 / (1 + exp(-x)). Within 3 ulp where the result is at least 2^-126; 0 from -88.73 down. */
float rc_sigmoid_f32(float x);

#endif
