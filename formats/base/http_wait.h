/* formats/base/http_wait.h - when to try again. */
#ifndef RC_FORMATS_BASE_HTTP_WAIT_H
#define RC_FORMATS_BASE_HTTP_WAIT_H

#include "formats/base/status.h"

#define RC_HTTP_PATIENCE 300.0  /* seconds waited at most because a server asks for it */
#define RC_HTTP_HOPELESS 3600.0 /* a server that asks for more is not waited for */

/* What a request has been through. Begin with zeros. */
typedef struct rc_http_tries {
    unsigned failed; /* in a row, without progress */
    unsigned broken; /* of these: the server's own faults, which waiting seldom mends */
} rc_http_tries;

/** A try has failed, with `rc`, after `seconds` with its wait, and brought `nbytes` new bytes.
 *  True when another is due. A try that brought 1 KB for each second has not been in vain: the
 *  count begins anew. A server that breaks the protocol gets 3 tries at most. */
bool rc_http_again(rc_http_tries *tries, unsigned retries, rc_code rc, uint64_t nbytes,
                   double seconds);

/** Seconds before the next try: 0.5 doubling to 30 with the failures in a row, half of it by
 *  chance (`random` is in 0..1), and at least what the server `asked` for, up to
 *  RC_HTTP_PATIENCE. */
double rc_http_backoff(unsigned failed, double random, double asked);

/** RC_E_STOPPED when a signal asked to stop, or the reader has left (`leaving` may be NULL). */
RC_MUST_CHECK
rc_code rc_http_go_on(const _Atomic bool *leaving, rc_err *err);
/** Wait, on a clock that never jumps, while rc_http_go_on(). */
RC_MUST_CHECK
rc_code rc_http_wait(double seconds, const _Atomic bool *leaving, rc_err *err);
/** That clock. */
double rc_http_now(void);

#endif
