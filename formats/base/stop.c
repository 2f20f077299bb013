/* formats/base/stop.c - see stop.h. */
#include "formats/base/stop.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>

static atomic_int requested; /* lock-free: a handler may store it */

static void on_signal(int signo)
{
    requested = signo;
    signal(signo, SIG_DFL); /* the second one is not a request */
}

void rc_stop_install(void)
{
    static const int polite[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART; /* a write under way is finished, not torn */
    for (unsigned i = 0; i < sizeof polite / sizeof *polite; i++) {
        struct sigaction before;

        /* nohup and the like ignore SIGHUP for us: keep it so */
        if (sigaction(polite[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(polite[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

bool rc_stop_requested(void)
{
    return requested != 0;
}

rc_code rc_stop_check(rc_err *err)
{
    return requested ? rc_fail(err, RC_E_STOPPED, RC_NO_OFFSET, "stopped by a signal") : RC_OK;
}

int rc_stop_signal(void)
{
    return requested;
}

void rc_stop_request(int signo)
{
    requested = signo;
}
