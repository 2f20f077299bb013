/* verify/thresholds.h - the SQNR that each role has to reach, from words.
 *
 *     20              every role
 *     expert=12.5     that role; "hyper-connection=exact" wants equal values
 *
 * A file has one of the second kind a line, as `role = dB`; '#' begins a comment. */
#ifndef RC_VERIFY_THRESHOLDS_H
#define RC_VERIFY_THRESHOLDS_H

#include <math.h>

#include "formats/base/status.h"
#include "formats/schema.h"

typedef struct rc_thresholds {
    bool given, set[RC_ROLE_COUNT];
    double all; /* of roles that were not named; INFINITY (exact) until told */
    double db[RC_ROLE_COUNT];
} rc_thresholds;

#define RC_THRESHOLDS_NONE ((rc_thresholds){ .all = HUGE_VAL })

/** One word of the command line. A later one replaces an earlier. RC_E_USAGE. */
RC_MUST_CHECK
rc_code rc_thresholds_word(rc_thresholds *out, const char *word, rc_err *err);
/** A whole file; what a role has already stays. RC_E_USAGE with the line's number. */
RC_MUST_CHECK
rc_code rc_thresholds_file(rc_thresholds *out, const char *text, size_t len, rc_err *err);
double rc_thresholds_of(const rc_thresholds *t, rc_role role);

#endif
