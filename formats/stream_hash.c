/* formats/stream_hash.c - digests of a stream's files, block after block, in threads of their
 * own. Several files may be under way; each is with one thread at a time. */
#include "formats/stream_impl.h"

#include <string.h>

enum { SAVE_EVERY = 32 }; /* blocks: what a run that died has to fetch again at most */

bool rc_stream_needs_hash(const rc_stream *s, uint32_t block)
{
    const uint32_t i = s->blocks[block].file;

    return s->files[i].digested && block - s->plan.first[i] >= s->files[i].hashed;
}

static uint32_t file_blocks(const rc_stream *s, uint32_t file)
{
    return s->plan.first[file + 1] - s->plan.first[file];
}

static rc_code fail_content(const rc_stream *s, uint32_t file, const rc_content_id *got,
                            rc_err *err)
{
    const rc_content_id *want = &rc_source_at(s->src, file)->content;
    char hex[RC_CONTENT_HEX];

    rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "the bytes that came are not the file's: %s differs",
            want->kind == RC_CONTENT_SHA256 ? "SHA-256" : "git's blob id");
    rc_err_want(err, "%s", rc_content_hex(want, hex));
    rc_err_got(err, "%s", rc_content_hex(got, hex));
    rc_err_hint(err, "the same command fetches this file again");
    return RC_E_INTEGRITY;
}

/* The last byte is in. */
static void judge(rc_stream *s, uint32_t file)
{
    rc_stream_file *f = &s->files[file];
    const rc_content_id got = rc_content_end(&f->hasher);
    rc_err err = { 0 };

    if (rc_content_equal(&got, &rc_source_at(s->src, file)->content)) {
        f->verdict = RC_STREAM_EQUAL;
        pthread_cond_broadcast(&s->arrived);
        return;
    }
    fail_content(s, file, &got, &err);
    rc_stream_condemn(s, file, &err);
    rc_stream_fail(s, &err);
}

/* Blocks that both an earlier run and this one have something to do with count as taken: what is
 * done of a conversion is not asked for again. */
static bool takes_enough(const rc_stream *s, uint32_t file)
{
    const uint64_t nbytes = rc_source_at(s->src, file)->nbytes;
    uint64_t n = 0;

    for (uint32_t b = s->plan.first[file]; b < s->plan.first[file + 1]; b++)
        if (s->known.has[b] || rc_stream_plan_touches(&s->plan, b))
            n += rc_stream_block_bytes(s, b);
    return n && (s->opts.whole || n >= nbytes - nbytes / 10);
}

rc_code rc_stream_hash_begin(rc_stream *s, uint32_t file, rc_err *err)
{
    const rc_source_file *of = rc_source_at(s->src, file);
    const rc_content_hasher *kept = &s->known.hasher[file];
    rc_stream_file *f = &s->files[file];
    const bool whole = kept->nbytes == of->nbytes;

    f->verdict = of->content.kind == RC_CONTENT_UNKNOWN ? RC_STREAM_UNSTATED
                 : !s->opts.digests                     ? RC_STREAM_UNFINISHED
                 : takes_enough(s, file)                ? RC_STREAM_UNFINISHED
                                                        : RC_STREAM_PARTIAL;
    f->digested = s->opts.digests && f->verdict == RC_STREAM_UNFINISHED;
    if (!f->digested)
        return RC_OK;
    rc_content_begin(&f->hasher, of->content.kind, of->nbytes);
    if (kept->kind != of->content.kind || (!whole && kept->nbytes % s->plan.block != 0))
        return RC_OK;
    if (whole) {
        const rc_content_id got = rc_content_end(kept);

        if (!rc_content_equal(&got, &of->content)) { /* died before it could say so */
            rc_stream_known_forget(&s->known, file);
            return rc_stream_log_forget(s->log, file, s->known.generation[file], err);
        }
        f->verdict = RC_STREAM_EQUAL;
    }
    f->hasher = *kept;
    f->hashed = f->frontier = f->saved = (uint32_t)rc_ceil_div(kept->nbytes, s->plan.block);
    return RC_OK;
}

void rc_stream_hash_offer(rc_stream *s, uint32_t block)
{
    const uint32_t file = s->blocks[block].file;
    rc_stream_file *f = &s->files[file];

    if (!f->digested || f->hashing || block != s->plan.first[file] + f->hashed)
        return;
    f->hashing = true;
    f->next_ready = s->ready_file;
    s->ready_file = file;
    pthread_cond_signal(&s->ready);
}

/* Not while a record is being written: gives up the lock for it. */
static void save(rc_stream *s, uint32_t file)
{
    rc_stream_file *f = &s->files[file];
    const uint32_t generation = s->known.generation[file], hashed = f->hashed;
    rc_err err = { 0 };
    rc_code rc;

    if (!s->log || f->saved == hashed)
        return;
    pthread_mutex_unlock(&s->lock);
    rc = rc_stream_log_state(s->log, file, generation, &f->hasher, &err);
    pthread_mutex_lock(&s->lock);
    f->saved = hashed;
    if (rc != RC_OK)
        rc_stream_fail(s, &err);
}

static void digest_block(rc_stream *s, uint32_t file, uint32_t block)
{
    rc_stream_file *f = &s->files[file];

    s->blocks[block].pins++;
    pthread_mutex_unlock(&s->lock);
    rc_content_add(&f->hasher, rc_stream_buffer(s, block), rc_stream_block_bytes(s, block));
    pthread_mutex_lock(&s->lock);
    s->blocks[block].pins--;
    f->hashed++;
    rc_stream_release(s, block);
    pthread_cond_broadcast(&s->work); /* what is digested may make room */
}

/* As far as it goes. */
static void digest(rc_stream *s, uint32_t file)
{
    rc_stream_file *f = &s->files[file];

    while (!s->quit && !s->failed && f->hashed < file_blocks(s, file)) {
        const uint32_t next = s->plan.first[file] + f->hashed;

        if (s->blocks[next].state != RC_BLOCK_HERE)
            break;
        digest_block(s, file, next);
        if (f->hashed - f->saved >= SAVE_EVERY || f->hashed == file_blocks(s, file))
            save(s, file);
    }
    f->hashing = false;
    if (f->hashed == file_blocks(s, file) && !s->failed)
        judge(s, file);
}

void *rc_stream_hash_run(void *stream)
{
    rc_stream *s = stream;

    pthread_mutex_lock(&s->lock);
    while (!s->quit) {
        const uint32_t file = s->ready_file;

        if (file == RC_NO_BLOCK) {
            pthread_cond_wait(&s->ready, &s->lock);
            continue;
        }
        s->ready_file = s->files[file].next_ready;
        digest(s, file);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* A log that cannot be written any more costs the next run some fetching, no more. */
void rc_stream_hash_save(rc_stream *s)
{
    for (uint32_t i = 0; s->log && i < s->plan.nfiles; i++) {
        const rc_stream_file *f = &s->files[i];
        rc_err ignored;

        if (f->digested && f->hashed > f->saved &&
            rc_stream_log_state(s->log, i, s->known.generation[i], &f->hasher, &ignored) != RC_OK)
            return;
    }
}
