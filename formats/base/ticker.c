/* formats/base/ticker.c - progress, told by a thread of its own: the work only counts. */
#include "formats/base/cli.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct rc_ticker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop, terminal;
    const char *verb;
    const rc_progress *progress;
    double started;
    uint64_t fetched; /* before it started */
};

double rc_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

const char *rc_human_bytes(char buf[16], uint64_t nbytes)
{
    static const char *const unit[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
    double v = (double)nbytes;
    unsigned u = 0;

    while (v >= 999.5 && u < 6) {
        v /= 1000;
        u++;
    }
    snprintf(buf, 16,
             u && v < 9.995   ? "%.2f %s"
             : u && v < 99.95 ? "%.1f %s"
                              : "%.0f %s",
             v, unit[u]);
    return buf;
}

const char *rc_human_time(char buf[24], double seconds)
{
    const uint64_t s = seconds < 0 ? 0 : seconds > 1e9 ? 1000000000 : (uint64_t)(seconds + 0.5);

    if (s < 60)
        snprintf(buf, 24, "%" PRIu64 " s", s);
    else if (s < 3600)
        snprintf(buf, 24, "%" PRIu64 ":%02" PRIu64, s / 60, s % 60);
    else
        snprintf(buf, 24, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600, s / 60 % 60, s % 60);
    return buf;
}

enum { AMOUNT = 48 };

/* "3.4 GB", or the number where something else is counted. */
static const char *amount(const rc_ticker *t, char buf[AMOUNT], uint64_t n)
{
    const uint64_t parts = t->progress->parts ? t->progress->parts : 1;

    if (!t->progress->unit)
        return rc_human_bytes(buf, n);
    if (parts > 1 && n % parts)
        snprintf(buf, AMOUNT, "%" PRIu64 ".%" PRIu64, n / parts, n % parts * 10 / parts);
    else
        snprintf(buf, AMOUNT, "%" PRIu64, n / parts);
    return buf;
}

static void tell(const rc_ticker *t)
{
    const char *unit = t->progress->unit;
    const uint64_t total = t->progress->total, kept = t->progress->kept, done = t->progress->done;
    const double elapsed = rc_now() - t->started;
    const double rate = elapsed > 0 ? (double)(done - kept) / elapsed : 0;
    char a[AMOUNT], b[AMOUNT], eta[24];

    if (!total ? !(unit && done) : unit && done == total) /* nothing yet, nothing more */
        return;
    if (!total) { /* how many there will be nobody knows */
        fprintf(stderr, "%s%s: %" PRIu64 " %s in %s%s", t->terminal ? "\r\033[K" : "", t->verb,
                done, unit, rc_human_time(eta, elapsed), t->terminal ? "" : "\n");
        fflush(stderr);
        return;
    }
    fprintf(stderr, "%s%s %s of %s%s%s (%.0f%%)", t->terminal ? "\r\033[K" : "", t->verb,
            amount(t, a, done), amount(t, b, total), unit ? " " : "", unit ? unit : "",
            100.0 * (double)done / (double)total);
    if (!unit)
        fprintf(stderr, "  %s/s", rc_human_bytes(a, (uint64_t)rate));
    fprintf(stderr, "  ETA %s", rate > 0 ? rc_human_time(eta, (double)(total - done) / rate) : "?");
    if (t->progress->fetched) {
        const uint64_t came = t->progress->fetched(t->progress->source) - t->fetched;

        fprintf(stderr, "  fetched %s, %s/s", rc_human_bytes(a, came),
                rc_human_bytes(b, elapsed > 0 ? (uint64_t)((double)came / elapsed) : 0));
    }
    fputs(t->terminal ? "" : "\n", stderr);
    fflush(stderr);
}

static void *tick(void *arg)
{
    rc_ticker *t = arg;

    pthread_mutex_lock(&t->lock);
    while (!t->stop) {
        struct timespec until;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += t->terminal ? 160000000 : 0;
        until.tv_sec += t->terminal ? 0 : rc_now() - t->started < 60 ? 5 : 30;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        if (pthread_cond_timedwait(&t->wake, &t->lock, &until) == ETIMEDOUT)
            tell(t);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

rc_ticker *rc_ticker_start(const char *verb, const rc_progress *progress)
{
    rc_ticker *t;
    pthread_condattr_t attr;

    if (rc_cli.quiet || !(t = calloc(1, sizeof *t)))
        return NULL;
    t->verb = verb;
    t->progress = progress;
    t->terminal = isatty(STDERR_FILENO) && !getenv("NO_COLOR");
    t->started = rc_now();
    t->fetched = progress->fetched ? progress->fetched(progress->source) : 0;
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&t->thread, NULL, tick, t) != 0) {
        free(t);
        return NULL;
    }
    return t;
}

void rc_ticker_stop(rc_ticker **ticker)
{
    rc_ticker *t = *ticker;

    *ticker = NULL;
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    if (t->terminal)
        fputs("\r\033[K", stderr);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
