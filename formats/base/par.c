/* formats/base/par.c - see par.h. One mutex guards everything: items are
 * megabytes, so it is taken a few hundred times a second at most. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "formats/base/par.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "formats/base/stop.h"

struct rc_par {
    pthread_mutex_t lock;
    pthread_cond_t moved; /* a turn moved, or the crew is stopping */
    pthread_cond_t idle;  /* a thread finished computing */
    uint64_t nitems, next_item;
    unsigned computing, threads;
    bool stopping;
    uint64_t failed_item;
    rc_err first;
    rc_par_fn *fn;
    void *ctx;
};

typedef struct worker {
    rc_par *par;
    unsigned slot;
    pthread_t thread;
} worker;

static void give_up(rc_par *par, uint64_t item, const rc_err *err)
{
    pthread_mutex_lock(&par->lock);
    /* Errors of the kind "stopped" are echoes: a real one must not hide behind them. */
    if (!par->stopping || (par->first.code == RC_E_STOPPED && err->code != RC_E_STOPPED) ||
        (item < par->failed_item && err->code != RC_E_STOPPED)) {
        par->first = *err;
        par->failed_item = item;
    }
    par->stopping = true;
    pthread_cond_broadcast(&par->moved);
    pthread_cond_broadcast(&par->idle);
    pthread_mutex_unlock(&par->lock);
}

static bool take(rc_par *par, uint64_t *item)
{
    bool got;

    pthread_mutex_lock(&par->lock);
    got = !par->stopping && par->next_item < par->nitems;
    if (got)
        *item = par->next_item++;
    pthread_mutex_unlock(&par->lock);
    return got;
}

static void *work(void *arg)
{
    const worker *w = arg;
    uint64_t item;

    while (take(w->par, &item)) {
        rc_err err = { .offset = RC_NO_OFFSET };
        rc_code rc;

        if (rc_stop_requested())
            rc = rc_fail(&err, RC_E_STOPPED, RC_NO_OFFSET, "stopped by a signal");
        else
            rc = w->par->fn(w->par->ctx, w->par, w->slot, item, &err);
        if (rc != RC_OK)
            give_up(w->par, item, &err);
    }
    return NULL;
}

rc_code rc_par_run(uint64_t nitems, unsigned slots, unsigned threads, rc_par_fn *fn, void *ctx,
                   rc_err *err)
{
    rc_par par = { .lock = PTHREAD_MUTEX_INITIALIZER,
                   .moved = PTHREAD_COND_INITIALIZER,
                   .idle = PTHREAD_COND_INITIALIZER,
                   .nitems = nitems,
                   .threads = threads,
                   .fn = fn,
                   .ctx = ctx };
    worker crew[RC_PAR_MAX_SLOTS];
    unsigned started = 1;

    if (slots > RC_PAR_MAX_SLOTS)
        slots = RC_PAR_MAX_SLOTS;
    if (slots > nitems)
        slots = (unsigned)nitems;
    if (slots == 0) /* nothing to do is no reason to prepare anything */
        slots = 1;
    for (unsigned i = 0; i < slots; i++)
        crew[i] = (worker){ .par = &par, .slot = i };
    for (; started < slots; started++)
        if (pthread_create(&crew[started].thread, NULL, work, &crew[started]) != 0)
            break; /* fewer hands, same work */
    work(&crew[0]);
    for (unsigned i = 1; i < started; i++)
        pthread_join(crew[i].thread, NULL);
    pthread_cond_destroy(&par.moved);
    pthread_cond_destroy(&par.idle);
    pthread_mutex_destroy(&par.lock);
    if (!par.stopping)
        return RC_OK;
    if (err)
        *err = par.first;
    return par.first.code;
}

void rc_par_compute_begin(rc_par *par)
{
    pthread_mutex_lock(&par->lock);
    while (par->computing >= par->threads && !par->stopping)
        pthread_cond_wait(&par->idle, &par->lock);
    par->computing++;
    pthread_mutex_unlock(&par->lock);
}

void rc_par_compute_end(rc_par *par)
{
    pthread_mutex_lock(&par->lock);
    par->computing--;
    pthread_cond_signal(&par->idle);
    pthread_mutex_unlock(&par->lock);
}

bool rc_turn_wait(rc_par *par, const rc_turn *turn, uint64_t ticket)
{
    bool mine;

    pthread_mutex_lock(&par->lock);
    while (turn->next != ticket && !par->stopping)
        pthread_cond_wait(&par->moved, &par->lock);
    mine = turn->next == ticket;
    pthread_mutex_unlock(&par->lock);
    return mine;
}

void rc_turn_next(rc_par *par, rc_turn *turn)
{
    pthread_mutex_lock(&par->lock);
    turn->next++;
    pthread_cond_broadcast(&par->moved);
    pthread_mutex_unlock(&par->lock);
}

unsigned rc_par_slots(unsigned threads, const rc_mem *mem, size_t reserved, size_t each)
{
    const size_t used = mem->used + reserved;
    const size_t room = mem->limit > used ? mem->limit - used : 0;
    const size_t most = mem->limit ? room / each : RC_PAR_MAX_SLOTS;
    size_t want = (threads ? threads + (threads + 1) / 2 : 2) + 1;

    want = want < RC_PAR_MAX_SLOTS ? want : RC_PAR_MAX_SLOTS;
    want = want < most ? want : most;
    return want ? (unsigned)want : 1;
}

unsigned rc_par_cpus(void)
{
    cpu_set_t set;
    const int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

    return n > 0 ? (unsigned)n : 1;
}
