/* kernels/compare_f32.h - how far are two rows of numbers apart?
 *
 *     aa = sum a[i]^2    bb = sum b[i]^2    ab = sum a[i] b[i]
 *     dd = sum (a[i] - b[i])^2              max_diff = max |a[i] - b[i]|
 *
 * over the pairs of which both are finite; the others are counted. In double, in
 * one fixed order, so that every variant gives the same bits under any
 * rounding mode: element i goes to lane i % 16 by a fused multiply-add, the
 * difference being rounded once before; then lane j takes lane j + 8, j + 4,
 * j + 2, j + 1. Sums of f32 products cannot overflow. Pointers need their
 * element's alignment. */
#ifndef RC_KERNELS_COMPARE_F32_H
#define RC_KERNELS_COMPARE_F32_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

typedef struct rc_comparison {
    double aa, bb, ab, dd, max_diff;
    uint64_t max_at;   /* first index with |a - b| == max_diff > 0, or UINT64_MAX */
    uint64_t differ;   /* a != b as values: -0 equals 0, infinity equals itself; a NaN
                          differs from every number, but two NaN are not counted here */
    uint64_t nan_both; /* pairs of NaN */
    uint64_t nan_a, nan_b, inf_a, inf_b; /* elements */
} rc_comparison;

/** The result of no elements: rc_comparison_add() from here. */
#define RC_COMPARISON_NONE ((rc_comparison){ .max_at = UINT64_MAX })

/** Add the result of a row that begins at element `first` of the whole. Adding in
 *  the order of the rows keeps the digits of the sums. */
void rc_comparison_add(rc_comparison *total, const rc_comparison *row, uint64_t first);

/** Compare n elements; a is the reference. Fastest where a and b have the same bits. */
typedef void rc_compare_f32_fn(rc_comparison *out, const float *a, const float *b, size_t n);

typedef struct rc_compare_f32_impl {
    const char *name;
    unsigned need; /* RC_CPU_ flags */
    rc_compare_f32_fn *fn;
} rc_compare_f32_impl;

/** Row 0 is the reference, rows run slow to fast, a NULL fn ends the table. */
extern const rc_compare_f32_impl rc_compare_f32_impls[];
rc_compare_f32_fn *rc_compare_f32_best(void);

rc_compare_f32_fn rc_compare_f32_ref, rc_compare_f32_avx2, rc_compare_f32_avx512;

#endif
