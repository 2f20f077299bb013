/* kernels/divergence.h - two rows of logits as distributions, in double.
 *
 *     exp_sum64    sum_i exp(s[i] - m)
 *     divergence   sum_i p (exp(e) - 1 - e),   p = exp(a[i] - la),
 *                                              e = log(q / p) = (b[i] - a[i]) + (la - lb)
 *
 * With la = log sum exp a and lb = log sum exp b the second is the Kullback-Leibler divergence of b
 * from a, sum p log(p / q): what is added to it, sum q - p, is 0 then, and leaves only terms that
 * are not negative. Where e is small exp(e) - 1 - e comes from its own series: a divergence of
 * 1e-13 has 13 digits, one of 1e-19 still 9; and an error in la or lb counts by its square only. It
 * is +0 exactly when the rows and la, lb are equal. Where p is 0 (a[i] - la < -708, so also where
 * a[i] is -infinity) the term is q = exp(b[i] - lb); where only q is 0 it is p (-1 - e): infinite
 * if b[i] is.
 *
 * exp is this project's own (the C library's differ between machines), in double: within 1 ulp
 * (exp64_terms.h), 0 below -708. Every difference, product and sum is rounded to double, as
 * written above. Order of sums: element i to lane i % 16 by addition, all lanes from +0, then lane
 * j takes lane j + 8, j + 4, j + 2, j + 1. Every variant gives the same bits; a NaN result is the
 * one NaN that NAN is, and comes of a NaN anywhere. */
#ifndef RC_KERNELS_DIVERGENCE_H
#define RC_KERNELS_DIVERGENCE_H

#include <stddef.h>

#include "kernels/cpu.h"

/** The sum over 0 <= i < n, s[i] - m taken in double; for a result that is finite s[i] <= m + 709.
 *  Source: log sum exp, with m the largest s[i]. */
typedef double rc_exp_sum64_fn(const float *s, size_t n, double m);
/** The sum over 0 <= i < n, see above. */
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

/* One value each, with the same bits on every machine. */

/** Within 1 ulp, the bits of the above: 0 below -708, infinity above 709.78 (MOST). */
double rc_exp_f64(double x);
/** Within 1 ulp, subnormal x included; 0 gives -infinity, infinity itself, less than 0 NaN. */
double rc_log_f64(double x);

#endif
