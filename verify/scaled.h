/* verify/scaled.h - channels that CONVERTED has scaled: seen, believed, undone.
 *
 * AWQ divides the gains of a norm by s, one number a channel, and multiplies the columns of all
 * that read it by the same (formats/absorb.h). The model's function stays as it was, every value of
 * those parameters changes. Here s is worked out from the values of both sides; what a converter
 * says of itself is not read.
 *
 *     candidate   s = native / converted gains, where they differ and every ratio is a number > 0
 *     believed    when rows of its readers come nearer to NATIVE with s undone
 *     judged      norm and readers are compared undone; who has not taken part is named
 *
 * Where the gains are equal, but columns of several readers are multiplied by the same powers of
 * two, the norm is what was forgotten. A norm that changed while its readers did not is no scaling,
 * nor are columns that all have one factor: those differ, as ever. */
#ifndef RC_VERIFY_SCALED_H
#define RC_VERIFY_SCALED_H

#include "formats/absorb.h"
#include "verify/stats.h"
#include "verify/subject.h"

/* A norm whose readers are scaled. */
typedef struct rc_scaled_point {
    const rc_param *norm; /* NATIVE's */
    rc_absorb point;
    size_t n;          /* channels */
    float *s, *undo;   /* [n]: readers' columns are s times NATIVE's; 1 / s */
    size_t channels;   /* where s is not 1 */
    float least, most; /* of s */
    bool exact;        /* powers of two: nothing is rounded by them */
    double divided;    /* the norm is divided by s to this power: 1, or it is at fault */
} rc_scaled_point;

typedef struct rc_scaled rc_scaled; /* immutable once found */

/** Look at all norms that can be scaled, and where one differs at rows of eight of its readers.
 *  `sound`: can the parameter be read? What cannot be read has no scaling. Errors are those of
 *  reading. */
RC_MUST_CHECK
rc_code rc_scaled_find(rc_scaled **out, const rc_subject *a, const rc_subject *b,
                       bool (*sound)(const rc_bound *), rc_mem *mem, rc_err *err);
void rc_scaled_free(rc_scaled **scaled);

size_t rc_scaled_count(const rc_scaled *scaled);                        /* 0 for NULL */
const rc_scaled_point *rc_scaled_at(const rc_scaled *scaled, size_t i); /* in the model's order */
/** The point that a parameter of NATIVE's model belongs to, as its norm or a reader; or NULL. */
const rc_scaled_point *rc_scaled_of(const rc_scaled *scaled, const rc_bound *a);
/** What NATIVE's columns (of a norm: its one row) are multiplied by to fit into CONVERTED: s, of a
 *  norm 1 / s; NULL for nothing. */
const float *rc_scaled_fit(const rc_scaled *scaled, const rc_bound *a);

/** CONVERTED's row b[n] as if it were not scaled; a: NATIVE's. */
void rc_scaled_undo(const rc_scaled_point *p, bool norm, const float *a, float *b);

/* Which power of s a reader has taken up: squared errors under each, in channels that are scaled.
 */
enum { RC_SCALED_NONE, RC_SCALED_ROOT, RC_SCALED_ONCE, RC_SCALED_TWICE, RC_SCALED_INVERSE };
_Static_assert(RC_SCALED_INVERSE + 1 == RC_STATS_POWERS, "a sum for each");

/** Add one row of a reader: a NATIVE's, b CONVERTED's with the scaling undone. */
void rc_scaled_weigh(rc_powers *sums, const rc_scaled_point *p, const float *a, const float *b);
/** RC_SCALED_ONCE unless another power explains the reader clearly better. */
unsigned rc_scaled_power(const rc_powers *sums);

#endif
