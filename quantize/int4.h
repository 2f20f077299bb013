/* quantize/int4.h - rows of f32 to 4-bit integers under a scale and a zero point for each group.
 *
 *     y[k] = (q[k] - zero) * scale        0 <= q <= 15, one scale and zero a group of `group`
 *
 * This is what both containers hold, AutoAWQ's (F16 scales, zero points) and compressed-tensors'
 * pack-quantized (BF16 or F16 scales; symmetric: zero is 8 everywhere). Codes and zero points are
 * bytes here; how they are packed is kernels/int4_pack.h.
 *
 * A scale is first rounded to the type that it is stored in, then codes are chosen under the
 * rounded one. Ranges take in 0, so that zero points fit. A group of zeros has the scale 1
 * (symmetric or not), zero 8 or 0, and codes equal to it; so has one whose scale
 * would be stored as 0 or infinity. Ties are rounded to even. Source: AutoAWQ
 * awq/quantize/quantizer.py, compressed-tensors quantization/utils; the searches of the last two
 * methods are ours. */
#ifndef RC_QUANTIZE_INT4_H
#define RC_QUANTIZE_INT4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/dtype.h"

#define RC_INT4_MAX_GROUP 128u

typedef enum rc_int4_search {
    RC_INT4_NEAREST, /* the range of the group, nothing is tried */
    RC_INT4_CLIP,    /* AWQ's: ten ranges from all of it down to 0.55, the least weighted error */
    RC_INT4_BEST     /* scale and zero point together, then least squares; ours */
} rc_int4_search;

typedef struct rc_int4_kind {
    unsigned group; /* 32, 64 or 128; divides n */
    bool symmetric;
    rc_dtype scale; /* F16, BF16 or F32 */
    rc_int4_search search;
} rc_int4_kind;

/* What a row became. */
typedef struct rc_int4_row {
    uint8_t *q;    /* [n] */
    float *scale;  /* [n / group], values that the type of scales holds */
    uint8_t *zero; /* [n / group] */
} rc_int4_row;

/* Counted over rows. A group's loss is a sum in f32, in the order of columns; a row's is one of
 * those in double, from 0; the rows' are added in order. Values above 1e18 may have losses that
 * are infinite, or no number, and their search is then moot. */
typedef struct rc_int4_tally {
    uint64_t groups;
    uint64_t clipped;    /* groups whose scale is less than NEAREST's: their range was cut */
    uint64_t subnormal;  /* scales below the least normal number of their type: fewer bits */
    uint64_t lost;       /* groups that are not zero, whose scale became zero or infinite */
    double loss_nearest; /* sum of importance * (x - y)^2 under NEAREST (1 without importance) */
    double loss;         /* the same of what was chosen */
} rc_int4_tally;

/** One row of n finite values, n a multiple of 32 and of kind->group. importance: n weights >= 0
 *  of the squared errors, or NULL: all 1. The tally is added to. No allocation, thread-safe,
 *  independent of the caller's rounding mode; all variants give the same bits. */
typedef void rc_int4_row_fn(const rc_int4_row *out, const float *restrict x,
                            const float *restrict importance, size_t n, const rc_int4_kind *kind,
                            rc_int4_tally *tally);

typedef struct rc_int4_row_impl {
    const char *name;
    unsigned need; /* RC_CPU_ flags */
    rc_int4_row_fn *fn;
} rc_int4_row_impl;

extern const rc_int4_row_impl rc_int4_row_impls[];
rc_int4_row_fn *rc_int4_row_best(void);
rc_int4_row_fn rc_int4_row_ref, rc_int4_row_avx2, rc_int4_row_avx512;

/* -- error feedback --------------------------------------------------------
 *
 * GPTQ's idea within blocks of 128 columns: codes are chosen column by column, and what a column
 * loses is made up for by the columns after it, by the second moments H = E[x x^T] of the input:
 * with U the upper Cholesky factor of (H + damp I)^-1,
 *
 *     w[j] -= (w[i] - y[i]) U[i][j] / U[i][i]    j > i, inside the block
 *
 * Scales and zero points are those that `kind->search` found beforehand. */

#define RC_INT4_BLOCK 128u

/** From the moments of one block to U divided by its diagonal, in place: h [n, n] row-major,
 *  symmetric (the lower triangle is what counts), n <= RC_INT4_BLOCK. On return U[i][j] / U[i][i]
 *  above the diagonal, U[i][i] on it, 0 below. damp: part of the mean diagonal that is added to
 *  it, 0.01 as usual; doubled until the factor exists. A block whose diagonal is all zero, or
 *  that holds values that are no numbers, gives the identity. Plain loops in double: the same bits
 *  everywhere. */
void rc_int4_feedback_prepare(double *h, size_t n, double damp);
/** rows >= 1 rows of n columns, row r at x + r * stride; out: q [rows, n], scale and zero [rows,
 *  n / group], without gaps. u: the prepared blocks of the columns one after the other, each
 *  [128, 128] row-major, the last one [m, m] if m columns are left. importance: as above, for the
 *  search; the tally's losses, too, are under that. Groups that have no scale stay zero. Rows do
 *  not depend on each other; quick for multiples of 16. Reads x and importance only; no allocation,
 *  thread-safe, all variants give the same bits. */
typedef void rc_int4_feedback_fn(const rc_int4_row *out, size_t rows, const float *restrict x,
                                 size_t stride, const float *restrict importance,
                                 const float *restrict u, size_t n, const rc_int4_kind *kind,
                                 rc_int4_tally *tally);

typedef struct rc_int4_feedback_impl {
    const char *name;
    unsigned need;
    rc_int4_feedback_fn *fn;
} rc_int4_feedback_impl;

extern const rc_int4_feedback_impl rc_int4_feedback_impls[];
rc_int4_feedback_fn *rc_int4_feedback_best(void);
rc_int4_feedback_fn rc_int4_feedback_ref, rc_int4_feedback_avx2, rc_int4_feedback_avx512;

#endif
