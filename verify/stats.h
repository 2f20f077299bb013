/* verify/stats.h - how far two rows of values are apart.
 *
 * Sums are doubles over f32 values (kernels/compare_f32.h fixes their order),
 * taken over fixed pieces of a parameter and added up in the order of the pieces:
 * the digits depend neither on threads nor memory limit nor instruction set.
 *
 * Where a value is not finite there is no error to measure. NaN against NaN and an
 * infinity against itself count as equal; anything else there is *incomparable*:
 * unequal, and left out of the sums. */
#ifndef RC_VERIFY_STATS_H
#define RC_VERIFY_STATS_H

#include <stdbool.h>

#include "kernels/compare_f32.h"

/* Of columns that may be scaled: squared errors if b were so by other powers (scaled.h). */
enum { RC_STATS_POWERS = 5 };
typedef struct rc_powers {
    double dd[RC_STATS_POWERS], aa; /* of some rows only; all 0 where nothing is scaled */
} rc_powers;

typedef struct rc_stats {
    rc_comparison sum;     /* a is NATIVE; places count from the parameter's first value */
    uint64_t n;            /* values compared */
    uint64_t incomparable; /* part of sum.differ */
    float max_a, max_b;    /* the values at sum.max_at, where the error is largest */
    uint64_t bad_at;       /* the first incomparable place, or UINT64_MAX */
    float bad_a, bad_b;
    rc_powers powers;
} rc_stats;

#define RC_STATS_NONE ((rc_stats){ .sum.max_at = UINT64_MAX, .bad_at = UINT64_MAX })

/** Compare a[n] with b[n] and add to *s; a[0] is value `first` of the parameter.
 *  Call with growing `first`: of equal errors the first place stays. */
void rc_stats_add(rc_stats *s, const float *a, const float *b, size_t n, uint64_t first);
/** Add a later piece of the same parameter, its places being the parameter's. */
void rc_stats_merge(rc_stats *s, const rc_stats *later);

/** Every value equal. (+0 equals -0: a value, not a bit pattern, is what counts.) */
bool rc_stats_exact(const rc_stats *s);
/** Where to look first: the first incomparable place, else the largest error; false
 *  when exact. */
bool rc_stats_place(const rc_stats *s, uint64_t *at, float *a, float *b);

/* Figures. Exact gives 0, +inf, 1. */

/** sqrt(dd / aa): the Frobenius norm of the error over that of the original; +inf
 *  when the original is all zero and the other is not. */
double rc_stats_rel(const rc_stats *s);
/** 10 log10(aa / dd), in dB. */
double rc_stats_sqnr(const rc_stats *s);
/** ab / sqrt(aa * bb); 0 when one side alone is all zero. */
double rc_stats_cosine(const rc_stats *s);

#endif
