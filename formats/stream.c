/* formats/stream.c - see stream.h: beginning and end of a stream, and its readers. */
#include "formats/stream_impl.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "formats/base/stop.h"

enum {
    BLOCK = 8 << 20, /* bytes: some tenths of a second of a fast line, and few requests */
    MIN_BLOCKS = 8,  /* in memory, before blocks become smaller */
    LOCAL_FETCHERS = 4,
    REMOTE_FETCHERS = 16,
    LOOK_NS = 100000000 /* how often who waits looks for a signal */
};

/* ------------------------------------------------------------------ shared by all */

void rc_stream_fail(rc_stream *s, const rc_err *err)
{
    if (!s->failed)
        s->why = *err;
    s->failed = true;
    pthread_cond_broadcast(&s->arrived);
    pthread_cond_broadcast(&s->work);
    pthread_cond_broadcast(&s->ready);
}

size_t rc_stream_block_bytes(const rc_stream *s, uint32_t block)
{
    const uint32_t file = s->blocks[block].file;
    const uint64_t off = (uint64_t)(block - s->plan.first[file]) * s->plan.block;
    const uint64_t left = rc_source_at(s->src, file)->nbytes - off;

    return left < s->plan.block ? (size_t)left : s->plan.block;
}

uint8_t *rc_stream_buffer(const rc_stream *s, uint32_t block)
{
    return s->buffers + s->blocks[block].buffer * s->stride;
}

void rc_stream_release(rc_stream *s, uint32_t block)
{
    rc_stream_block *b = &s->blocks[block];

    if (b->pins == 0 && s->waiters)
        pthread_cond_broadcast(&s->work); /* it may go, if it has to */
    if (b->state != RC_BLOCK_HERE || b->pins || rc_stream_needs_hash(s, block) ||
        rc_stream_plan_next_use(&s->plan, block) != RC_NO_USE)
        return;
    b->state = RC_BLOCK_ABSENT;
    s->holds[b->buffer] = RC_NO_BLOCK;
    s->spare[s->nspare++] = b->buffer;
    pthread_cond_broadcast(&s->work);
}

void rc_stream_condemn(rc_stream *s, uint32_t file, rc_err *err)
{
    rc_err ignored;
    rc_code rc = RC_OK;

    rc_err_file(err, rc_source_at(s->src, file)->name);
    s->files[file].digested = false; /* its digest is not to be gone on with */
    if (s->failed)
        return;
    s->bad = file;
    rc_stream_known_forget(&s->known, file);
    if (s->log)
        rc = rc_stream_log_forget(s->log, file, s->known.generation[file], &ignored);
    (void)rc; /* the file's fault is the one to tell; the next run finds it again */
}

/* ------------------------------------------------------------------------ waiting */

static rc_code why(const rc_stream *s, rc_err *err)
{
    if (err)
        *err = s->why;
    return s->why.code;
}

/* Until something arrives, or it is time to look for a signal. */
static rc_code wait_a_little(rc_stream *s, rc_err *err)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += LOOK_NS;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&s->arrived, &s->lock, &t);
    return rc_stop_check(err);
}

static rc_code wait_for(rc_stream *s, uint32_t extent, uint32_t block, rc_err *err)
{
    rc_stream_waiter me = { .extent = extent, .block = block }, **at = &s->waiters;
    rc_code rc = RC_OK;

    while (*at && (*at)->extent < extent)
        at = &(*at)->next;
    me.next = *at;
    *at = &me;
    pthread_cond_broadcast(&s->work);
    while (rc == RC_OK && s->blocks[block].state != RC_BLOCK_HERE)
        rc = s->failed ? why(s, err) : wait_a_little(s, err);
    for (at = &s->waiters; *at != &me; at = &(*at)->next)
        ;
    *at = me.next;
    return rc;
}

/* ---------------------------------------------------------------------- beginning */

static size_t fit_block(size_t memory)
{
    size_t block = BLOCK;

    while (block > RC_PAGE && memory / block < MIN_BLOCKS)
        block /= 2;
    return block;
}

static rc_digest identity(const rc_source *src)
{
    _Alignas(64) rc_hasher h;

    rc_hash_begin(&h);
    for (size_t i = 0; i < rc_source_count(src); i++) {
        const rc_source_file *f = rc_source_at(src, i);
        char hex[RC_CONTENT_HEX];

        rc_hash_field(&h, f->name, strlen(f->name));
        rc_hash_add(&h, &f->nbytes, sizeof f->nbytes);
        rc_hash_add(&h, &f->version, sizeof f->version);
        rc_content_hex(&f->content, hex);
        rc_hash_field(&h, hex, strlen(hex));
    }
    return rc_hash_end(&h);
}

/* Sums are of blocks: an earlier run's size is kept where it fits. */
static rc_code plan_blocks(rc_stream *s, rc_err *err)
{
    size_t block = fit_block(s->opts.memory), before = block;

    if (s->opts.digests && s->opts.ndirs) {
        const rc_digest id = identity(s->src);

        RC_TRY(rc_stream_log_open(&s->log, s->opts.dirs, s->opts.log_names, s->opts.ndirs, &id,
                                  &before, s->opts.log, s->mem, err));
    }
    if (before <= s->opts.memory / 2)
        block = before;
    RC_TRY(rc_stream_plan_blocks(&s->plan, s->src, block, s->mem, err));
    RC_TRY(rc_stream_known_make(&s->known, s->plan.nfiles, s->plan.first, block, s->mem, err));
    return s->log ? rc_stream_log_load(s->log, &s->known, err) : RC_OK;
}

static rc_code make_blocks(rc_stream *s, rc_err *err)
{
    s->blocks = rc_mem_get(s->mem, s->plan.nblocks * sizeof *s->blocks);
    s->files = rc_mem_get(s->mem, s->plan.nfiles * sizeof *s->files);
    if (!s->blocks || !s->files)
        return rc_fail_nomem(err, s->mem, s->plan.nblocks * sizeof *s->blocks);
    for (uint32_t i = 0; i < s->plan.nfiles; i++)
        for (uint32_t b = s->plan.first[i]; b < s->plan.first[i + 1]; b++)
            s->blocks[b].file = i;
    for (uint32_t i = 0; i < s->plan.nfiles; i++)
        RC_TRY(rc_stream_hash_begin(s, i, err));
    return RC_OK;
}

/* As many as the memory pays for, and no more than there is to fetch. */
static rc_code make_buffers(rc_stream *s, rc_err *err)
{
    const size_t most = s->opts.memory / s->plan.block;
    size_t n = 0;

    for (uint32_t b = 0; b < s->plan.nblocks && n < most; b++)
        n += rc_stream_plan_touches(&s->plan, b) || rc_stream_needs_hash(s, b);
    if (n == 0)
        return RC_OK;
    s->stride = s->plan.block + (s->direct ? 2 * RC_PAGE : 0);
    s->holds = rc_mem_get(s->mem, n * sizeof *s->holds);
    s->spare = rc_mem_get(s->mem, n * sizeof *s->spare);
    s->buffers = n > SIZE_MAX / s->stride ? NULL : rc_mem_get_pages(s->mem, n * s->stride);
    if (!s->holds || !s->spare || !s->buffers)
        return rc_fail_nomem(err, s->mem, n * s->stride);
    for (uint32_t i = 0; i < n; i++) {
        s->holds[i] = RC_NO_BLOCK;
        s->spare[i] = (uint32_t)n - 1 - i;
    }
    s->nbuffers = s->nspare = (uint32_t)n;
    return RC_OK;
}

static void set_pace(rc_stream *s)
{
    const bool remote = rc_source_is_remote(s->src);
    unsigned most = s->opts.connections ? s->opts.connections
                    : remote            ? REMOTE_FETCHERS
                                        : LOCAL_FETCHERS;

    if (most > RC_STREAM_MAX_FETCHERS)
        most = RC_STREAM_MAX_FETCHERS;
    if (most > s->nbuffers / 2) /* while half is on its way, the other half is read */
        most = s->nbuffers > 1 ? s->nbuffers / 2 : 1;
    s->pace.most = most;
    s->pace.now = s->opts.connections || !remote || most < 2 ? most : 2;
}

/* Fewer than asked for are enough; one of each kind has to be. */
static rc_code start_threads(rc_stream *s, rc_err *err)
{
    int e = 0;

    set_pace(s);
    for (unsigned i = 0; i < s->pace.most && e == 0; i++) {
        s->fetchers[i] = (rc_stream_fetcher){ .stream = s, .index = i };
        e = pthread_create(&s->fetchers[i].thread, NULL, rc_stream_fetch_run, &s->fetchers[i]);
        s->nfetchers += e == 0;
    }
    if (s->nfetchers)
        e = 0;
    for (unsigned i = 0; s->opts.digests && i < RC_STREAM_HASHERS && e == 0; i++) {
        e = pthread_create(&s->hashers[i], NULL, rc_stream_hash_run, s);
        s->nhashers += e == 0;
    }
    return e == 0 || s->nhashers ? RC_OK : rc_fail_errno(err, e, "cannot start a thread");
}

/* Of a file that an earlier run was through with, that run's plan is this one's. */
static bool is_read(const rc_stream *s, uint32_t file)
{
    bool any = s->files[file].digested && s->files[file].verdict != RC_STREAM_EQUAL;

    for (uint32_t b = s->plan.first[file]; b < s->plan.first[file + 1] && !any; b++)
        any = rc_stream_plan_touches(&s->plan, b);
    return any;
}

/* A wrong header is seen now, before anything is made of it: the beginnings of files are fetched,
 * or fetched again, and compared with what was read of them early. */
static rc_code wait_for_heads(rc_stream *s, rc_err *err)
{
    rc_code rc = RC_OK;

    pthread_mutex_lock(&s->lock);
    for (uint32_t i = 0; i < s->plan.nfiles && rc == RC_OK; i++) {
        uint64_t off = 0;

        for (uint32_t b = s->plan.first[i]; b < s->plan.first[i + 1] && rc == RC_OK; b++) {
            if (!rc_early_touches(s->src, i, off, s->plan.block) || !is_read(s, i))
                break;
            s->blocks[b].pins++;
            if (s->blocks[b].state != RC_BLOCK_HERE)
                rc = wait_for(s, 0, b, err);
            s->blocks[b].pins--;
            rc_stream_release(s, b);
            off += s->plan.block;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static rc_code begin(rc_stream *s, const rc_extent *extents, size_t n, rc_err *err)
{
    RC_TRY(plan_blocks(s, err));
    RC_TRY(rc_stream_plan_extents(&s->plan, s->src, extents, n, s->mem, err));
    RC_TRY(make_blocks(s, err));
    RC_TRY(make_buffers(s, err));
    rc_early_sort(s->src);
    if (!s->nbuffers)
        return RC_OK;
    RC_TRY(start_threads(s, err));
    return wait_for_heads(s, err);
}

static void make_monotonic(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

rc_code rc_source_stream(rc_source *src, const rc_extent *extents, size_t n,
                         const rc_stream_opts *opts, rc_err *err)
{
    rc_stream *s;
    rc_code rc;

    if (src->stream || opts->memory < RC_PAGE)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET,
                       src->stream ? "streamed twice" : "a stream without memory");
    s = rc_mem_get(src->mem, sizeof *s);
    if (!s)
        return rc_fail_nomem(err, src->mem, sizeof *s);
    s->src = src;
    s->mem = src->mem;
    s->opts = *opts;
    s->sums = opts->digests || rc_source_is_remote(src);
    s->direct = src->ops->read_direct && !rc_source_in_memory(src);
    s->ready_file = RC_NO_BLOCK;
    s->bad = SIZE_MAX;
    pthread_mutex_init(&s->lock, NULL); /* with no attributes, cannot fail on Linux */
    make_monotonic(&s->arrived);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->ready, NULL);
    src->leaving = false;
    src->stream = s;
    rc = begin(s, extents, n, err);
    if (rc != RC_OK)
        rc_source_unstream(src);
    return rc;
}

/* ---------------------------------------------------------------------------- end */

static void stop_threads(rc_stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->quit = true;
    s->src->leaving = true;
    pthread_cond_broadcast(&s->work);
    pthread_cond_broadcast(&s->ready);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->nfetchers; i++)
        pthread_join(s->fetchers[i].thread, NULL);
    for (unsigned i = 0; i < s->nhashers; i++)
        pthread_join(s->hashers[i], NULL);
    s->src->leaving = false;
}

void rc_source_unstream(rc_source *src)
{
    rc_stream *s = src->stream;
    rc_err ignored;

    src->stream = NULL;
    if (!s)
        return;
    stop_threads(s);
    assert(!s->waiters);
    if (s->nbuffers)
        rc_stream_hash_save(s);
    if (s->log && rc_stream_log_sync(s->log, &ignored) != RC_OK)
        s->failed = true; /* nobody to tell: what is lost is fetched again */
    rc_stream_log_close(&s->log);
    rc_mem_put(s->mem, s->buffers);
    rc_mem_put(s->mem, s->holds);
    rc_mem_put(s->mem, s->spare);
    rc_mem_put(s->mem, s->blocks);
    rc_mem_put(s->mem, s->files);
    rc_stream_known_drop(&s->known, s->mem);
    rc_stream_plan_drop(&s->plan, s->mem);
    pthread_cond_destroy(&s->arrived);
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->ready);
    pthread_mutex_destroy(&s->lock);
    rc_mem_put(s->mem, s);
}

/* ------------------------------------------------------------------------ reading */

/* n bytes of a block, from `from` on. */
static rc_code copy(rc_stream *s, uint32_t extent, uint32_t block, size_t from, uint8_t *to,
                    size_t n, rc_err *err)
{
    rc_stream_block *b = &s->blocks[block];
    rc_code rc = RC_OK;

    b->pins++;
    if (b->state != RC_BLOCK_HERE)
        rc = wait_for(s, extent, block, err);
    if (rc == RC_OK) {
        pthread_mutex_unlock(&s->lock);
        memcpy(to, rc_stream_buffer(s, block) + from, n);
        pthread_mutex_lock(&s->lock);
        rc_stream_plan_used(&s->plan, block, extent);
    }
    b->pins--;
    rc_stream_release(s, block);
    return rc;
}

rc_code rc_stream_read(rc_stream *s, size_t file, uint64_t off, void *buf, size_t nbytes,
                       bool *served, rc_err *err)
{
    const size_t block = s->plan.block;
    uint32_t extent;
    size_t done = 0;
    rc_code rc = RC_OK;

    pthread_mutex_lock(&s->lock);
    *served = rc_stream_plan_claim(&s->plan, file, off, nbytes, &extent);
    while (*served && rc == RC_OK && done < nbytes) {
        const uint32_t b = s->plan.first[file] + (uint32_t)((off + done) / block);
        const size_t from = (size_t)((off + done) % block);
        const size_t n = nbytes - done < block - from ? nbytes - done : block - from;

        rc = copy(s, extent, b, from, (uint8_t *)buf + done, n, err);
        done += n;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---------------------------------------------------------------------- questions */

bool rc_stream_remembers(const rc_source *src, const rc_extent *extent)
{
    rc_stream *s = src->stream;
    bool all = true;

    if (!s || !s->opts.digests || !extent->nbytes)
        return true;
    pthread_mutex_lock(&s->lock);
    for (uint64_t b = extent->off / s->plan.block;
         all && b <= (extent->off + extent->nbytes - 1) / s->plan.block; b++)
        all = s->known.has[s->plan.first[extent->file] + b];
    pthread_mutex_unlock(&s->lock);
    return all;
}

static bool all_judged(const rc_stream *s)
{
    for (size_t i = 0; i < s->plan.nfiles; i++)
        if (s->files[i].digested && s->files[i].verdict != RC_STREAM_EQUAL)
            return false;
    return true;
}

rc_code rc_source_settle(rc_source *src, rc_err *err)
{
    rc_stream *s = src->stream;
    rc_code rc = RC_OK;

    if (!s)
        return RC_OK;
    pthread_mutex_lock(&s->lock);
    s->settling = true;
    pthread_cond_broadcast(&s->work);
    while (rc == RC_OK && (s->failed || !all_judged(s)))
        rc = s->failed ? why(s, err) : wait_a_little(s, err);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

rc_code rc_source_stream_sync(rc_source *src, rc_err *err)
{
    return src->stream && src->stream->log ? rc_stream_log_sync(src->stream->log, err) : RC_OK;
}

bool rc_stream_bad_file(const rc_source *src, size_t *file)
{
    rc_stream *s = src->stream;
    bool bad;

    if (!s)
        return false;
    pthread_mutex_lock(&s->lock);
    bad = s->bad != SIZE_MAX;
    if (bad)
        *file = s->bad;
    pthread_mutex_unlock(&s->lock);
    return bad;
}

rc_stream_verdict rc_stream_verdict_of(const rc_source *src, size_t file)
{
    rc_stream *s = src->stream;
    rc_stream_verdict verdict;

    if (!s)
        return RC_STREAM_UNFINISHED;
    pthread_mutex_lock(&s->lock);
    verdict = s->files[file].verdict;
    pthread_mutex_unlock(&s->lock);
    return verdict;
}
