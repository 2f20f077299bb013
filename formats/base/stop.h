/* formats/base/stop.h - SIGINT, SIGTERM and SIGHUP ask for a clean end. */
#ifndef RC_FORMATS_BASE_STOP_H
#define RC_FORMATS_BASE_STOP_H

#include <stdbool.h>

#include "formats/base/status.h"

/** Install the handlers. The first signal is a request; a second one ends the
 *  process at once. SIGPIPE and SIGXFSZ are ignored: the write reports. */
void rc_stop_install(void);
/** Has a signal asked us to stop? Cheap; call it between pieces of work. */
bool rc_stop_requested(void);
/** The same as an error: RC_OK or RC_E_STOPPED. For work that takes more than a second. */
RC_MUST_CHECK
rc_code rc_stop_check(rc_err *err);
/** Which one, or 0. */
int rc_stop_signal(void);
/** Ask for it as a signal would (tests). */
void rc_stop_request(int signo);

#endif
