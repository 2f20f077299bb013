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
#include "verify/settings.h"

typedef struct rc_thresholds {
    bool given, set[RC_ROLE_COUNT];
    bool all_set;
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
/** One of them, the value still to be read: of a role, or of every role that was not named (`role`
 * empty). With `keep` what is set already stays. RC_E_USAGE no such role, no number of dB. */
RC_MUST_CHECK
rc_code rc_thresholds_set(rc_thresholds *out, rc_word role, rc_word db, bool keep, rc_err *err);
/** The role of that name, if there is one. */
bool rc_thresholds_role(rc_word name, rc_role *out);
double rc_thresholds_of(const rc_thresholds *t, rc_role role);

#endif
