/* runtime/norm.h - RMSNorm. Source: the official model.py, class RMSNorm and Attention.forward. */
#ifndef RC_RUNTIME_NORM_H
#define RC_RUNTIME_NORM_H

#include "runtime/numerics.h"

/** y[i] = w[i] * (x[i] * (mean(x^2) + eps)^-0.5) in f32, then to BF16 in native. y may be x. */
void rc_norm_row(rc_numerics nm, float *y, const float *x, const float *w, size_t n, double eps);

/** The same in place for each of `rows` rows of n, shared among threads. */
void rc_norm_rows(rc_numerics nm, unsigned threads, float *x, const float *w, size_t rows, size_t n,
                  double eps);

/** One head of a query, in place, without gains. In native the reference does it on BF16 tensors:
 * squares, their mean, the sum with eps, its root and the product are each rounded. */
void rc_norm_head(rc_numerics nm, float *x, size_t n, double eps);

#endif
