/* kernels/divergence.h - two rows of logits as distributions, in double.
 *
 *     exp_sum64    sum_i exp(s[i] - m)
 *     divergence   sum_i p d + q - p,   p = exp(a[i] - la), q = exp(b[i] - lb),
 *                                       d = (a[i] - la) - (b[i] - lb)
 *
 * With la = log sum exp a and lb = log sum exp b the second is the Kullback-Leibler divergence of b
 * from a: sum q - p is 0 then, and adding it term by term leaves only terms that are not negative, so
 * that a divergence of 1e-12 keeps its digits where the usual sum p d loses them. It is +0 exactly
 * when the rows and la, lb are equal.
 *
 * exp is this project's own (the C library's differ between machines), in double: within 1 ulp
 * (see exp64_terms.h), 0 below -708. A logit of -infinity has p = 0 and adds nothing but its q. Order of sums:
 * element i to lane i % 16 by addition, all lanes from +0, then lane j takes lane j + 8, j + 4, j + 2,
 * j + 1. Every variant gives the same bits. NaN in, NaN out. */
#ifndef RC_KERNELS_DIVERGENCE_H
#define RC_KERNELS_DIVERGENCE_H

#include <stddef.h>

#include "kernels/cpu.h"

/** The sum over 0 <= i < n, s[i] - m taken in double; m >= every s[i]. */
typedef double rc_exp_sum64_fn(const float *s, size_t n, double m);
/** The sum over 0 <= i < n, see above; terms with p = 0 are q. */
typedef double rc_divergence_fn(const float *a, const float *b, size_t n, double la, double lb);

typedef struct rc_exp_sum64_impl {
    const char *name;
    unsigned need; /* RC_CPU_ flags */
    rc_exp_sum64_fn *fn;
} rc_exp_sum64_impl;

typedef struct rc_divergence_impl {
    const char *name;
    unsigned need;
    rc_divergence_fn *fn;
} rc_divergence_impl;

/** Row 0 is the reference, rows run slow to fast, a NULL fn ends the table. */
extern const rc_exp_sum64_impl rc_exp_sum64_impls[];
extern const rc_divergence_impl rc_divergence_impls[];
rc_exp_sum64_fn *rc_exp_sum64_best(void);
rc_divergence_fn *rc_divergence_best(void);

rc_exp_sum64_fn rc_exp_sum64_ref, rc_exp_sum64_avx2, rc_exp_sum64_avx512;
rc_divergence_fn rc_divergence_ref, rc_divergence_avx2, rc_divergence_avx512;

/** One value each, with the same bits on every machine; exp within 1 ulp, log within 1 ulp. */
double rc_exp_f64(double x);
double rc_log_f64(double x); /* x > 0 and finite; 0 gives -infinity, what is below NaN */

#endif
