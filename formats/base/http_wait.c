/* formats/base/http_wait.c - see http_wait.h. */
#include "formats/base/http_wait.h"

#include <time.h>

#include "formats/base/stop.h"

enum { BROKEN_TRIES = 3 };

bool rc_http_again(rc_http_tries *tries, unsigned retries, rc_code rc, uint64_t nbytes,
                   double seconds)
{
    if (nbytes > 0 && (double)nbytes >= 1024 * seconds)
        *tries = (rc_http_tries){ 0 };
    tries->failed++;
    if (rc != RC_E_TEMPORARY)
        tries->broken++;
    return tries->failed <= retries && tries->broken < BROKEN_TRIES;
}

double rc_http_backoff(unsigned failed, double random, double asked)
{
    double wait = 0.5;

    for (unsigned i = 1; i < failed && wait < 30; i++)
        wait *= 2;
    wait = wait < 30 ? wait : 30;
    wait = wait / 2 + random * wait / 2;
    asked = asked < RC_HTTP_PATIENCE ? asked : RC_HTTP_PATIENCE;
    return wait > asked ? wait : asked;
}

double rc_http_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

rc_code rc_http_go_on(const _Atomic bool *leaving, rc_err *err)
{
    RC_TRY(rc_stop_check(err));
    return leaving && *leaving
               ? rc_fail(err, RC_E_STOPPED, RC_NO_OFFSET, "nobody waits for it any more")
               : RC_OK;
}

rc_code rc_http_wait(double seconds, const _Atomic bool *leaving, rc_err *err)
{
    const double until = rc_http_now() + seconds;

    for (;;) {
        const double left = until - rc_http_now();
        const double nap = left < 0.05 ? left : 0.05;

        RC_TRY(rc_http_go_on(leaving, err));
        if (left <= 0)
            return RC_OK;
        nanosleep(&(struct timespec){ .tv_nsec = (long)(nap * 1e9) }, NULL);
    }
}
