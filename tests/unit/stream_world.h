/* tests/unit/stream_world.h - a source whose bytes are computed, and that misbehaves as told. */
#ifndef RC_TESTS_STREAM_WORLD_H
#define RC_TESTS_STREAM_WORLD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "formats/source_impl.h"
#include "tests/unit/random.h"

enum { WORLD_FILES = 6 };

typedef struct world {
    rc_source base;
    atomic_uint *pages[WORLD_FILES]; /* how often each was read */
    atomic_uint calls, at_once, most_at_once;
    atomic_bool lie_once;       /* the next read of lie_file at lie_off lies */
    unsigned fail_at;           /* this call fails */
    unsigned delay_us;          /* of a read, at most; drawn by chance */
    bool constant;              /* ... or always all of it */
    bool lie_always, lie_again; /* again: whenever it is not the first read there */
    size_t lie_file;
    uint64_t lie_off; /* one byte that is another */
} world;

static inline uint8_t world_byte(size_t file, uint64_t off)
{
    uint64_t x = (off >> 3) * 0x9e3779b97f4a7c15u + file * 0xbf58476d1ce4e5b9u;

    x ^= x >> 29;
    x *= 0x94d049bb133111ebu;
    return (uint8_t)(x >> (8 * (off & 7)) ^ x >> 7);
}

static inline void world_nap(unsigned us)
{
    const struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000 };

    nanosleep(&t, NULL);
}

static rc_code world_read(rc_source *src, size_t i, uint64_t off, void *buf, size_t nbytes,
                          rc_err *err)
{
    world *w = (world *)src;
    const unsigned call = atomic_fetch_add(&w->calls, 1) + 1;
    const unsigned now = atomic_fetch_add(&w->at_once, 1) + 1;
    unsigned most = w->most_at_once;

    while (now > most && !atomic_compare_exchange_weak(&w->most_at_once, &most, now))
        ;
    if (w->delay_us)
        world_nap(w->constant ? w->delay_us : (call * 2654435761u >> 8) % w->delay_us);
    for (size_t k = 0; k < nbytes; k++)
        ((uint8_t *)buf)[k] = world_byte(i, off + k);
    for (uint64_t p = off / RC_PAGE; p <= (off + nbytes - 1) / RC_PAGE; p++)
        atomic_fetch_add(&w->pages[i][p], 1);
    if (i == w->lie_file && off <= w->lie_off && w->lie_off < off + nbytes) {
        const bool again = w->pages[i][w->lie_off / RC_PAGE] > 1;

        if (w->lie_always || (w->lie_again && again) || atomic_exchange(&w->lie_once, false))
            ((uint8_t *)buf)[w->lie_off - off] ^= 1;
    }
    atomic_fetch_sub(&w->at_once, 1);
    return w->fail_at && call == w->fail_at ? rc_fail(err, RC_E_TEMPORARY, off, "the line is down")
                                            : RC_OK;
}

static void world_close(rc_source *src)
{
    for (size_t i = 0; i < WORLD_FILES; i++)
        free(((world *)src)->pages[i]);
}

static inline const rc_source_ops *world_ops(void)
{
    static const rc_source_ops ops = { .close = world_close, .read = world_read, .remote = true };

    return &ops;
}

/** Files of these sizes, with their true contents stated. NULL when memory was refused. */
static inline world *world_make(const uint64_t *sizes, size_t n, rc_mem *mem)
{
    rc_source *src;
    rc_err err;
    world *w;

    if (rc_source_make(&src, sizeof *w, world_ops(), "world", mem, &err) != RC_OK)
        return NULL;
    w = (world *)src;
    for (size_t i = 0; i < n; i++) {
        const char name[] = { (char)('a' + i), '\0' };
        rc_source_file f = { .name = name, .nbytes = sizes[i] };
        uint8_t *all = malloc((size_t)sizes[i] + 1);
        rc_content_hasher h;

        for (uint64_t k = 0; k < sizes[i]; k++)
            all[k] = world_byte(i, k);
        rc_content_begin(&h, i % 2 ? RC_CONTENT_GIT : RC_CONTENT_SHA256, sizes[i]);
        rc_content_add(&h, all, (size_t)sizes[i]);
        free(all);
        f.content = rc_content_end(&h);
        w->pages[i] = calloc((size_t)(sizes[i] / RC_PAGE) + 1, sizeof *w->pages[i]);
        if (rc_source_add(src, "", &f, &err) != RC_OK) {
            rc_source_close(&src);
            return NULL;
        }
    }
    return w;
}

/* ------------------------------------------------------------------------ readers */

typedef struct crowd {
    rc_source *src;
    const rc_extent *extents;
    const uint8_t *skip; /* by extent; or NULL */
    size_t n;
    atomic_size_t next;
    atomic_uint wrong, failed;
    uint8_t *wrong_at; /* by extent: other bytes came; or NULL */
    rc_err err;        /* of the first that failed */
    unsigned shuffle;  /* extents of a window of this many are read in any order */
    unsigned delay_us;
    bool stop; /* at the first failure */
} crowd;

static inline void crowd_read(crowd *c, size_t i)
{
    const rc_extent *e = &c->extents[i];
    uint8_t *own = malloc((size_t)e->nbytes + 1);
    rc_err err = { 0 };

    if (c->delay_us)
        world_nap((unsigned)(i * 2654435761u >> 9) % c->delay_us);
    if (rc_source_read(c->src, e->file, e->off, own, (size_t)e->nbytes, &err) != RC_OK) {
        if (atomic_fetch_add(&c->failed, 1) == 0)
            c->err = err;
    } else {
        bool same = true;

        for (uint64_t k = 0; k < e->nbytes; k++)
            same &= own[k] == world_byte(e->file, e->off + k);
        atomic_fetch_add(&c->wrong, !same);
        if (c->wrong_at)
            c->wrong_at[i] = !same;
    }
    free(own);
}

static void *crowd_run(void *arg)
{
    crowd *c = arg;

    for (;;) {
        const size_t k = atomic_fetch_add(&c->next, 1);
        size_t i = k;

        if (k >= c->n || (c->stop && c->failed))
            return NULL;
        if (c->shuffle) { /* 5 is prime to all windows that the tests use */
            const size_t base = k - k % c->shuffle;

            if (base + c->shuffle <= c->n)
                i = base + (k % c->shuffle) * 5 % c->shuffle;
        }
        if (!c->skip || !c->skip[i])
            crowd_read(c, i);
    }
}

static inline void crowd_all(crowd *c, unsigned threads)
{
    pthread_t t[16];

    for (unsigned i = 0; i < threads; i++)
        pthread_create(&t[i], NULL, crowd_run, c);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(t[i], NULL);
}

#endif
