/* kernels/exp.h - exponentials with the same bits on every machine, and what is made of them.
 *
 * The C library's differ between versions and processors; a judge's may not. Each formula
 * is written out in the reference; every variant gives its bits. */
#ifndef RC_KERNELS_EXP_H
#define RC_KERNELS_EXP_H

#include <stddef.h>

#include "kernels/cpu.h"

/** p[i] = exp(s[i] - m) (the difference rounded to f32), 0 <= i < n; returns their sum: element i
 * to lane i % 16 by addition, then lanes are added 8-4-2-1. exp is within 1 ulp over the whole
 * range; -infinity gives 0, over 88.8 infinity, results below 2^-126 are 0. p may be s. */
typedef float rc_exp_sum_fn(float *p, const float *s, size_t n, float m);

/** v[i] = scale * (silu(min(a[i], limit)) * clamp(b[i], -limit, limit)), limit > 0 (infinity: no
 *  clamp), silu(z) = z / (1 + exp(-z)). v may be a or b. Source: the official model.py, class
 * Expert. */
typedef void rc_swiglu_fn(float *v, const float *a, const float *b, size_t n, float limit,
                          float scale);

typedef struct rc_exp_sum_impl {
    const char *name;
    unsigned need;
    rc_exp_sum_fn *fn;
} rc_exp_sum_impl;

typedef struct rc_swiglu_impl {
    const char *name;
    unsigned need;
    rc_swiglu_fn *fn;
} rc_swiglu_impl;

extern const rc_exp_sum_impl rc_exp_sum_impls[];
extern const rc_swiglu_impl rc_swiglu_impls[];
rc_exp_sum_fn *rc_exp_sum_best(void);
rc_swiglu_fn *rc_swiglu_best(void);

/** One value; the bits of the above. */
float rc_exp_f32(float x);
/** log(1 + exp(x)), and x where x > 20; 1 / (1 + exp(-x)). Scalar, few ulp, the same bits
 * everywhere. */
float rc_softplus_f32(float x), rc_sigmoid_f32(float x);

#endif
