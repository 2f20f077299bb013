/* formats/stream_fetch.c - what of a stream is fetched next, into whose place, and how many
 * fetch at a time. */
#include "formats/stream_impl.h"

#include <time.h>

#include "formats/base/stop.h"

/* ------------------------------------------------------------------ what comes next */

/* What has to be fetched so that `block` comes: itself; what its file's digest takes before it;
 * or nothing, since that is on its way. */
static uint32_t missing(const rc_stream *s, uint32_t block)
{
    const uint32_t file = s->blocks[block].file, first = s->plan.first[file];
    const rc_stream_file *f = &s->files[file];

    if (f->digested && f->frontier <= block - first)
        return first + f->frontier;
    return s->blocks[block].state == RC_BLOCK_ABSENT ? block : RC_NO_BLOCK;
}

/* Of the blocks that may go, the one whose next use is farthest away. */
static bool make_room(rc_stream *s)
{
    uint32_t farthest = RC_NO_BLOCK, at = 0;

    for (uint32_t i = 0; i < s->nbuffers; i++) {
        const uint32_t b = s->holds[i];
        uint32_t use;

        if (b == RC_NO_BLOCK || s->blocks[b].state != RC_BLOCK_HERE || s->blocks[b].pins ||
            rc_stream_needs_hash(s, b))
            continue;
        use = rc_stream_plan_next_use(&s->plan, b);
        if (farthest == RC_NO_BLOCK || use > at) {
            farthest = b;
            at = use;
        }
    }
    if (farthest == RC_NO_BLOCK)
        return false;
    if (at < s->walk)
        s->walk = at;
    s->blocks[farthest].state = RC_BLOCK_ABSENT;
    s->holds[s->blocks[farthest].buffer] = RC_NO_BLOCK;
    s->spare[s->nspare++] = s->blocks[farthest].buffer;
    return true;
}

static bool take(rc_stream *s, uint32_t block, bool evict)
{
    rc_stream_block *b = &s->blocks[block];

    if (!s->nspare && !(evict && make_room(s)))
        return false;
    if (rc_stream_needs_hash(s, block))
        s->files[b->file].frontier++;
    b->buffer = s->spare[--s->nspare];
    b->state = RC_BLOCK_COMING;
    s->holds[b->buffer] = block;
    return true;
}

static uint32_t wanted_by_settling(const rc_stream *s)
{
    for (uint32_t i = 0; s->settling && i < s->plan.nfiles; i++)
        if (s->files[i].digested && s->plan.first[i] + s->files[i].frontier < s->plan.first[i + 1])
            return s->plan.first[i] + s->files[i].frontier;
    return RC_NO_BLOCK;
}

/* What no reader waits for yet, in the order in which they will. */
static uint32_t wanted_ahead(rc_stream *s)
{
    for (; s->walk < s->plan.nextents; s->walk++) {
        if (s->plan.claimed[s->walk])
            continue;
        for (size_t b = rc_stream_plan_from(&s->plan, s->walk);
             b <= rc_stream_plan_to(&s->plan, s->walk); b++) {
            const uint32_t m = missing(s, (uint32_t)b);

            if (m != RC_NO_BLOCK)
                return m;
        }
    }
    return RC_NO_BLOCK;
}

/* Readers that wait come first, the earliest first: for them something else may go. Reading
 * ahead is content with room that is free. */
static bool choose(rc_stream *s, uint32_t *block)
{
    for (const rc_stream_waiter *w = s->waiters; w; w = w->next) {
        *block = missing(s, w->block);
        if (*block != RC_NO_BLOCK && take(s, *block, true))
            return true;
    }
    *block = wanted_by_settling(s);
    if (*block != RC_NO_BLOCK && take(s, *block, true))
        return true;
    if (!s->nspare)
        return false;
    *block = wanted_ahead(s);
    return *block != RC_NO_BLOCK && take(s, *block, false);
}

/* ------------------------------------------------------------------------- one block */

static rc_code read_block(const rc_stream *s, uint32_t block, uint64_t off, rc_err *err)
{
    const rc_source_ops *ops = s->src->ops;
    const uint32_t file = s->blocks[block].file;
    uint8_t *buf = rc_stream_buffer(s, block);
    const size_t n = rc_stream_block_bytes(s, block);
    rc_code rc;

    RC_TRY(rc_stop_check(err));
    rc = s->direct ? ops->read_direct(s->src, file, off, n, buf, err)
                   : ops->read(s->src, file, off, buf, n, err);
    if (rc != RC_OK)
        rc_err_file(err, rc_source_at(s->src, file)->name);
    return rc;
}

static rc_code fail_changed(const rc_digest *want, const rc_digest *got, uint64_t off, rc_err *err)
{
    char hex[33];

    rc_fail(err, RC_E_INTEGRITY, off, "fetched again, other bytes came");
    rc_err_want(err, "%s", rc_digest_hex(want, hex));
    rc_err_got(err, "%s", rc_digest_hex(got, hex));
    rc_err_hint(err, "the file may have changed; the same command fetches it again");
    return RC_E_INTEGRITY;
}

/* Sum, compare, remember: before anybody sees a byte. */
static rc_code vouch(rc_stream *s, uint32_t block, uint64_t off, const rc_digest *want,
                     uint32_t generation, rc_digest *sum, rc_err *err)
{
    const uint32_t file = s->blocks[block].file;

    *sum = rc_hash(rc_stream_buffer(s, block), rc_stream_block_bytes(s, block));
    if (want && !rc_digest_equal(want, sum))
        return fail_changed(want, sum, off, err);
    RC_TRY(rc_early_check(s->src, file, off, rc_stream_buffer(s, block),
                          rc_stream_block_bytes(s, block), err));
    if (want)
        return RC_OK;
    return s->log ? rc_stream_log_block(s->log, file, generation, block - s->plan.first[file], sum,
                                        err)
                  : RC_OK;
}

static void arrive(rc_stream *s, uint32_t block, uint32_t generation, const rc_digest *sum)
{
    rc_stream_block *b = &s->blocks[block];

    b->state = RC_BLOCK_HERE;
    if (s->sums && s->known.generation[b->file] == generation) {
        s->known.sums[block] = *sum;
        s->known.has[block] = 1;
    }
    if (s->opts.fetched)
        atomic_fetch_add(s->opts.fetched, rc_stream_block_bytes(s, block));
    rc_stream_hash_offer(s, block);
    rc_stream_release(s, block); /* its readers may have given up */
    pthread_cond_broadcast(&s->arrived);
}

/* Gives up the lock for it. */
static bool bring(rc_stream *s, uint32_t block)
{
    rc_stream_block *b = &s->blocks[block];
    const uint32_t file = b->file, generation = s->known.generation[file];
    const uint64_t off = (uint64_t)(block - s->plan.first[file]) * s->plan.block;
    const bool known = s->known.has[block];
    const rc_digest want = s->known.sums[block];
    rc_err err = { 0 };
    rc_digest sum;
    bool other = false;
    rc_code rc;

    pthread_mutex_unlock(&s->lock);
    rc = read_block(s, block, off, &err);
    if (rc == RC_OK && s->sums) {
        rc = vouch(s, block, off, known ? &want : NULL, generation, &sum, &err);
        /* what an earlier run vouched for is not at fault */
        other = rc == RC_E_INTEGRITY && !(known && rc_digest_equal(&want, &sum));
    }
    pthread_mutex_lock(&s->lock);
    if (rc == RC_OK) {
        arrive(s, block, generation, &sum);
        return true;
    }
    b->state = RC_BLOCK_ABSENT;
    s->holds[b->buffer] = RC_NO_BLOCK;
    s->spare[s->nspare++] = b->buffer;
    if (other)
        rc_stream_condemn(s, file, &err);
    rc_stream_fail(s, &err);
    return false;
}

/* ----------------------------------------------------------------------------- pace */

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void begin_window(rc_stream_pace *p)
{
    p->since_ns = now_ns();
    p->nbytes = p->fetches = 0;
    p->starved = false;
}

/* One more is worth it while the rate grows by a tenth, or, where even growth in proportion is
 * hardly more than that, by half of it. Two windows in a row without: it was one too many. */
static void keep_pace(rc_stream *s, size_t nbytes)
{
    enum { WINDOW_NS = 250000000 };
    rc_stream_pace *p = &s->pace;
    double rate, proportion, worth;

    if (p->found || p->now >= p->most)
        return;
    p->nbytes += nbytes;
    p->fetches++;
    if (p->fetches < 2 * (uint64_t)p->now || now_ns() - p->since_ns < WINDOW_NS)
        return;
    rate = (double)p->nbytes / ((double)(now_ns() - p->since_ns) * 1e-9);
    proportion = 1.0 / (p->now > 1 ? p->now - 1 : 1);
    worth = 1.0 + (proportion / 2 < 0.1 ? proportion / 2 : 0.1);
    if (p->starved) { /* the readers were slower: says nothing */
        begin_window(p);
        return;
    }
    if (rate > p->before * worth) {
        p->before = rate;
        p->misses = 0;
        p->now++;
        pthread_cond_broadcast(&s->work);
    } else if (++p->misses == 2) {
        p->found = true;
        p->now -= p->now > 1;
    }
    begin_window(p);
}

void *rc_stream_fetch_run(void *fetcher)
{
    rc_stream_fetcher *f = fetcher;
    rc_stream *s = f->stream;
    uint32_t block;

    pthread_mutex_lock(&s->lock);
    if (f->index == 0)
        begin_window(&s->pace);
    while (!s->quit) {
        if (f->index >= s->pace.now) {
            pthread_cond_wait(&s->work, &s->lock);
        } else if (s->failed || !choose(s, &block)) {
            s->pace.starved = true;
            pthread_cond_wait(&s->work, &s->lock);
        } else if (bring(s, block)) {
            keep_pace(s, rc_stream_block_bytes(s, block));
        }
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}
