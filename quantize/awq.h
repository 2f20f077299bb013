/* quantize/awq.h - which scaling of the channels costs a quantization least.
 *
 * For linears that read the same activations x, channels that matter get a finer grid by scaling
 * their columns up before rounding (formats/absorb.h says where the inverse goes):
 *
 *     s = x_mean^r / (w_mean^(1 - r) + 1e-4), at least 1e-4;  s /= sqrt(max s * min s)
 *     r = 0, 1/20, .. 19/20;  the r with the least loss of Q(W s) / s is taken
 *
 *  x_mean[k]  mean of |x[k]| over the calibration's tokens
 *  w_mean[k]  mean over rows of |w[k]| / (max of |w| in the row's group + 1e-6)
 *
 * `snap` takes the nearest power of two of every s: norms, router and FP8 neighbours then stay
 * exact. Everything is in double, in order, so that the choice is the same everywhere. Source:
 * AutoAWQ awq/quantize/quantizer.py (_search_best_scale), llm-compressor's AWQ modifier. */
#ifndef RC_QUANTIZE_AWQ_H
#define RC_QUANTIZE_AWQ_H

#include "quantize/int4.h"

enum { RC_AWQ_GRID = 20 };

/** Add one row of a matrix to sums of |w| / (group's max + 1e-6): sum[k]. The caller counts rows.
 *  k: a multiple of group. */
void rc_awq_weight_mean_add(double *sum, const float *row, size_t k, unsigned group);

/** x^y for x >= 0 (0^y is 0, x^0 is 1) as exp(y log x), with this project's exp and log: libm's pow
 *  is not the same everywhere. Within 1e-13 of it for |y| <= 1; NaN for x < 0. */
double rc_awq_power(double x, double y);

/** s[k] for ratio r. A channel whose statistics give no number (or an infinite one) gets 1, and
 *  counts for neither max nor min. snap: 2^n with s / 2^n in [1 / sqrt 2, sqrt 2). */
void rc_awq_scales(float *s, const double *x_mean, const double *w_mean, size_t k, double ratio,
                   bool snap);

/** One row's share of the loss of many scalings at once:
 *
 *      loss[i] += sum_k power[k] / s[k]^2 * (w[k] s[k] - Q(w s)[k])^2,    s = scales[i]
 *
 *  power[k] = E[x_k^2]; n weights, n a multiple of 32 and of kind->group. Q searches as
 * kind->search says, with power / s^2 as importance; RC_INT4_NEAREST is what AWQ does. Scales are
 * finite and > 0. Sums as in rc_int4_tally: the row's in double, then added to loss[i]. */
typedef void rc_awq_losses_fn(double *loss, const float *restrict w, const float *restrict power,
                              const float *const *scales, size_t nscales, size_t n,
                              const rc_int4_kind *kind, float *restrict work /* 2 n */);

typedef struct rc_awq_losses_impl {
    const char *name;
    unsigned need;
    rc_awq_losses_fn *fn;
} rc_awq_losses_impl;

extern const rc_awq_losses_impl rc_awq_losses_impls[];
rc_awq_losses_fn *rc_awq_losses_best(void);
rc_awq_losses_fn rc_awq_losses_ref, rc_awq_losses_avx2, rc_awq_losses_avx512;

#endif
