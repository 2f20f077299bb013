/* kernels/weighted_sum.h - mixtures of rows: the values of attention, the streams of
 * hyper-connections.
 *
 *     y[h * ldy + d] = sum_c p[h * ldp + c] * k[c][d]     0 <= h < heads, 0 <= d < n
 *
 * Every element is one chain of fused multiply-adds from +0 with c ascending; every variant gives
 * the bits of _ref, in any rounding mode of the caller's, except that NaN is NaN. n is a multiple
 * of 16; y overlaps nothing. count may be 0: the sums are then +0. */
#ifndef RC_KERNELS_WEIGHTED_SUM_H
#define RC_KERNELS_WEIGHTED_SUM_H

#include <stddef.h>

#include "kernels/cpu.h"

typedef void rc_weighted_sum_fn(float *y, size_t ldy, const float *p, size_t ldp, size_t heads,
                                const float *const *k, size_t count, size_t n);

typedef struct rc_weighted_sum_impl {
    const char *name;
    unsigned need;
    rc_weighted_sum_fn *fn;
} rc_weighted_sum_impl;

extern const rc_weighted_sum_impl rc_weighted_sum_impls[];
rc_weighted_sum_fn *rc_weighted_sum_best(void);

rc_weighted_sum_fn rc_weighted_sum_ref, rc_weighted_sum_avx2, rc_weighted_sum_avx512;

#endif
