/* formats/source_zst.c - see source_zst.h.
 *
 * A decoder moves through one file, and keeps the last bytes that it made: readers that follow
 * each other closely, in any order, share one. Several of them serve readers at different places
 * of a file, such as weights and their scales. A decoder belongs to one reader at a time. */
#include "formats/source_zst.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "formats/source_impl.h"
#include "formats/zst_frames.h"

enum { DECODERS = 4, HISTORY = 16 << 20, INPUT = 1 << 20, STEP = 1 << 20, STRIDE = 32 << 20 };
static_assert(HISTORY % STEP == 0, "a step that begins in the ring ends in it");

/* A file as it is listed here. */
typedef struct entry {
    size_t inner; /* of the inner source */
    bool packed;
    rc_zst_frames frames;
} entry;

typedef struct decoder {
    ZSTD_DCtx *zstd; /* NULL: never used */
    uint8_t *ring;   /* HISTORY: byte `off` of the file is ring[off % HISTORY] */
    uint8_t *input;
    size_t in_pos, in_len;
    uint64_t in_at; /* of the byte behind `input`, in the stored file */
    uint64_t pos;   /* the next byte of the file that it makes; of whoever has the decoder */
    /* Under the lock; while it is busy, what will be so when it no longer is: */
    size_t entry;         /* NOBODY: of no file */
    uint64_t start, made; /* [max(start, made - HISTORY), made) of the file is in the ring */
    bool busy;
    uint64_t stamp;
} decoder;

#define NOBODY SIZE_MAX

typedef struct zst {
    rc_source base;
    rc_source *inner;
    entry *entries; /* of file i: entries[files[i].own] */
    size_t nentries;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    decoder decoders[DECODERS];
    uint64_t clock;
} zst;

static zst *zst_of(rc_source *src)
{
    return (zst *)src; /* its first member */
}

static entry *entry_of(const zst *z, size_t i)
{
    return &z->entries[z->base.files[i].own];
}

/* ---------------------------------------------------------------- decoding */

static rc_code open_decoder(zst *z, decoder *d, rc_err *err)
{
    if (!d->ring)
        d->ring = rc_mem_get(z->base.mem, HISTORY);
    if (!d->input)
        d->input = rc_mem_get(z->base.mem, INPUT);
    if (!d->zstd)
        d->zstd = ZSTD_createDCtx();
    return d->ring && d->input && d->zstd ? RC_OK : rc_fail_nomem(err, z->base.mem, HISTORY);
}

static const rc_zst_frame *frame_of(const entry *e, uint64_t off)
{
    size_t lo = 0, hi = e->frames.n;

    while (hi - lo > 1) {
        const size_t mid = lo + (hi - lo) / 2;

        if (e->frames.frame[mid].off <= off)
            lo = mid;
        else
            hi = mid;
    }
    return &e->frames.frame[lo];
}

static void start_at(decoder *d, const rc_zst_frame *frame)
{
    ZSTD_DCtx_reset(d->zstd, ZSTD_reset_session_only);
    d->in_pos = d->in_len = 0;
    d->in_at = frame->at;
    d->pos = frame->off;
}

static rc_code fail_zstd(const decoder *d, size_t code, rc_err *err)
{
    const uint64_t at = d->in_at - (d->in_len - d->in_pos);

    if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge) {
        rc_fail(err, RC_E_LIMIT, at, "the zstd frame needs a window of more than 128 MiB");
        rc_err_hint(err, "compress it again without --long, or decompress it");
        return RC_E_LIMIT;
    }
    return rc_fail(err, RC_E_INTEGRITY, d->pos, "zstd at byte %" PRIu64 " of the packed file: %s",
                   at, ZSTD_getErrorName(code));
}

static rc_code refill(zst *z, decoder *d, const entry *e, rc_err *err)
{
    const uint64_t stored = rc_source_at(z->inner, e->inner)->nbytes, left = stored - d->in_at;
    const size_t n = left < INPUT ? (size_t)left : INPUT;

    if (n == 0)
        return rc_fail(err, RC_E_INTEGRITY, d->pos, "the packed file ends here");
    RC_TRY(rc_source_read(z->inner, e->inner, d->in_at, d->input, n, err));
    d->in_at += n;
    d->in_pos = 0;
    d->in_len = n;
    return RC_OK;
}

/* Make some more bytes: up to the end of a step of the ring. */
static rc_code advance(zst *z, decoder *d, const entry *e, rc_err *err)
{
    const uint64_t end = e->frames.nbytes - d->pos;
    const size_t room = STEP - (size_t)(d->pos % STEP);
    ZSTD_outBuffer out = { .dst = d->ring + d->pos % HISTORY,
                           .size = end < room ? (size_t)end : room };

    while (out.pos == 0) {
        ZSTD_inBuffer in = { d->input, d->in_len, d->in_pos };
        size_t n;

        if (in.pos == in.size) {
            RC_TRY(refill(z, d, e, err));
            continue;
        }
        n = ZSTD_decompressStream(d->zstd, &out, &in);
        d->in_pos = in.pos;
        if (ZSTD_isError(n))
            return fail_zstd(d, n, err);
    }
    d->pos += out.pos;
    return RC_OK;
}

/* Bytes [off, off + nbytes) of the file, off in what the ring holds or ahead of it. */
static rc_code fetch(zst *z, decoder *d, const entry *e, uint64_t off, uint8_t *to, size_t nbytes,
                     rc_err *err)
{
    while (nbytes) {
        size_t n, place = (size_t)(off % HISTORY);

        while (d->pos <= off)
            RC_TRY(advance(z, d, e, err));
        n = d->pos - off < nbytes ? (size_t)(d->pos - off) : nbytes;
        n = n < HISTORY - place ? n : HISTORY - place;
        memcpy(to, d->ring + place, n);
        to += n;
        off += n;
        nbytes -= n;
    }
    return RC_OK;
}

/* ----------------------------------------------------------- whose decoder */

/* Bytes that d would make to reach `off`; UINT64_MAX where it has to begin anew, or may. */
static uint64_t way(const zst *z, const decoder *d, size_t k, uint64_t off)
{
    const uint64_t kept = d->made - d->start < HISTORY ? d->start : d->made - HISTORY;

    if (d->entry != k || off < kept)
        return UINT64_MAX;
    if (off <= d->made)
        return 0;
    return frame_of(&z->entries[k], off)->off <= d->made ? off - d->made : UINT64_MAX;
}

static decoder *nearest(zst *z, size_t k, uint64_t off, uint64_t *distance)
{
    decoder *best = NULL;

    *distance = UINT64_MAX;
    for (decoder *d = z->decoders; d < z->decoders + DECODERS; d++) {
        const uint64_t w = way(z, d, k, off);

        if (w < *distance) {
            *distance = w;
            best = d;
        }
    }
    return best;
}

/* The decoder that was idle longest. */
static decoder *spare(zst *z)
{
    decoder *best = NULL;

    for (decoder *d = z->decoders; d < z->decoders + DECODERS; d++)
        if (!d->busy && (!best || d->stamp < best->stamp))
            best = d;
    return best;
}

/* Another reader may follow the decoder that is far behind: as long as there are decoders that
 * follow nobody in this file, one of them begins anew instead. */
static decoder *choose(zst *z, size_t k, uint64_t off, bool *anew)
{
    uint64_t distance;
    decoder *d = nearest(z, k, off, &distance), *s;

    *anew = false;
    if (d && distance <= STRIDE)
        return d->busy ? NULL : d;
    s = spare(z);
    *anew = !d || (s && s->entry != k);
    return *anew ? s : d->busy ? NULL : d;
}

static rc_code read_packed(zst *z, size_t k, uint64_t off, uint8_t *to, size_t nbytes, rc_err *err)
{
    const entry *e = &z->entries[k];
    decoder *d;
    bool anew;
    rc_code rc;

    pthread_mutex_lock(&z->lock);
    while (!(d = choose(z, k, off, &anew)))
        pthread_cond_wait(&z->moved, &z->lock);
    d->busy = true;
    d->stamp = ++z->clock;
    if (anew) {
        d->entry = k;
        d->start = d->made = frame_of(e, off)->off;
    }
    d->made = d->made > off + nbytes ? d->made : off + nbytes;
    pthread_mutex_unlock(&z->lock);

    rc = open_decoder(z, d, err);
    if (rc == RC_OK && anew)
        start_at(d, frame_of(e, off));
    if (rc == RC_OK)
        rc = fetch(z, d, e, off, to, nbytes, err);

    pthread_mutex_lock(&z->lock);
    d->entry = rc == RC_OK ? k : NOBODY;
    d->made = d->pos;
    d->busy = false;
    pthread_cond_broadcast(&z->moved);
    pthread_mutex_unlock(&z->lock);
    return rc;
}

/* ------------------------------------------------------------------ source */

static rc_code read_at(rc_source *base, size_t i, uint64_t off, void *buf, size_t nbytes,
                       rc_err *err)
{
    zst *z = zst_of(base);
    const entry *e = entry_of(z, i);

    if (!e->packed)
        return z->inner->ops->read(z->inner, e->inner, off, buf, nbytes, err);
    if (off > e->frames.nbytes || nbytes > e->frames.nbytes - off)
        return rc_fail(err, RC_E_INTERNAL, off, "asked for bytes past the end of the file");
    return nbytes ? read_packed(z, base->files[i].own, off, buf, nbytes, err) : RC_OK;
}

static rc_code read_direct(rc_source *base, size_t i, uint64_t off, size_t nbytes, uint8_t *buf,
                           rc_err *err)
{
    zst *z = zst_of(base);
    const entry *e = entry_of(z, i);

    if (!e->packed && z->inner->ops->read_direct)
        return z->inner->ops->read_direct(z->inner, e->inner, off, nbytes, buf, err);
    return read_at(base, i, off, buf + off % RC_PAGE, nbytes, err);
}

static rc_code recheck(rc_source *base, size_t i, rc_err *err)
{
    zst *z = zst_of(base);

    return rc_source_recheck(z->inner, entry_of(z, i)->inner, err);
}

static bool in_memory(const rc_source *base)
{
    return rc_source_in_memory(((const zst *)base)->inner);
}

static uint64_t fetched(const rc_source *base)
{
    return rc_source_fetched(((const zst *)base)->inner);
}

static void close_zst(rc_source *base)
{
    zst *z = zst_of(base);

    for (decoder *d = z->decoders; d < z->decoders + DECODERS; d++) {
        ZSTD_freeDCtx(d->zstd);
        rc_mem_put(base->mem, d->ring);
        rc_mem_put(base->mem, d->input);
    }
    for (size_t k = 0; k < z->nentries; k++)
        rc_mem_put(base->mem, z->entries[k].frames.frame);
    rc_mem_put(base->mem, z->entries);
    rc_source_close(&z->inner);
    pthread_cond_destroy(&z->moved);
    pthread_mutex_destroy(&z->lock);
}

static const rc_source_ops here = { .close = close_zst,
                                    .read = read_at,
                                    .read_direct = read_direct,
                                    .recheck = recheck,
                                    .in_memory = in_memory,
                                    .fetched = fetched };
static const rc_source_ops there = { .close = close_zst,
                                     .read = read_at,
                                     .read_direct = read_direct,
                                     .recheck = recheck,
                                     .fetched = fetched,
                                     .remote = true };

/* "NAME.safetensors.zst": bytes of "NAME.safetensors", else 0. */
static size_t plain_length(const char *name)
{
    static const char suffix[] = ".safetensors.zst";
    const size_t len = strlen(name), n = sizeof suffix - 1;

    return len > n && strcmp(name + len - n, suffix) == 0 ? len - 4 : 0;
}

static rc_code add_packed(zst *z, size_t i, const char *plain, const rc_log *log, rc_err *err)
{
    const rc_source_file *from = rc_source_at(z->inner, i);
    rc_source_file file = { .name = plain, .mtime_ns = from->mtime_ns, .version = from->version };
    entry *e = &z->entries[z->nentries];
    rc_code rc;

    *e = (entry){ .inner = i, .packed = true };
    z->nentries++;
    rc = rc_zst_scan(&e->frames, z->inner, i, z->base.mem, err);
    if (rc != RC_OK) {
        rc_err_file(err, from->name);
        return rc;
    }
    file.nbytes = e->frames.nbytes;
    if (e->frames.n == 1 && file.nbytes > HISTORY)
        rc_warn(log, from->name, NULL, RC_NO_OFFSET,
                "one zstd frame: slow where it is not read from beginning to end; recast pack and "
                "the seekable format are not");
    return rc_source_add(&z->base, "", &file, err);
}

static rc_code list(zst *z, const rc_log *log, rc_err *err)
{
    const size_t n = rc_source_count(z->inner);

    z->entries = rc_mem_get(z->base.mem, n * sizeof *z->entries);
    if (!z->entries)
        return rc_fail_nomem(err, z->base.mem, n * sizeof *z->entries);
    for (size_t i = 0; i < n; i++) {
        const rc_source_file *f = rc_source_at(z->inner, i);
        const size_t len = plain_length(f->name);
        size_t twin;
        char *plain;

        if (!len) {
            z->entries[z->nentries++] = (entry){ .inner = i };
            RC_TRY(rc_source_add(&z->base, "", f, err));
            continue;
        }
        plain = rc_arena_strdup(&z->base.arena, f->name, len);
        if (!plain)
            return rc_fail_nomem(err, z->base.mem, len + 1);
        if (rc_source_find(z->inner, plain, &twin))
            rc_warn(log, f->name, NULL, RC_NO_OFFSET, "not used: %s is there, too", plain);
        else
            RC_TRY(add_packed(z, i, plain, log, err));
    }
    return rc_source_sort(&z->base, err);
}

static bool has_packed(const rc_source *src)
{
    for (size_t i = 0; i < rc_source_count(src); i++)
        if (plain_length(rc_source_at(src, i)->name))
            return true;
    return false;
}

rc_code rc_source_open_zst(rc_source **out, rc_source *inner, const rc_log *log, rc_err *err)
{
    rc_code rc;
    zst *z;

    *out = inner;
    if (inner->named || !has_packed(inner))
        return RC_OK;
    rc = rc_source_make(out, sizeof *z, rc_source_is_remote(inner) ? &there : &here, inner->where,
                        inner->mem, err);
    if (rc != RC_OK) {
        rc_source_close(&inner);
        return rc;
    }
    z = zst_of(*out);
    z->inner = inner;
    z->base.origin = inner->origin;     /* its strings live as long */
    pthread_mutex_init(&z->lock, NULL); /* with no attributes, cannot fail on Linux */
    pthread_cond_init(&z->moved, NULL);
    for (decoder *d = z->decoders; d < z->decoders + DECODERS; d++)
        d->entry = NOBODY;
    rc = list(z, log, err);
    if (rc != RC_OK) {
        rc_err_file(err, inner->where);
        rc_source_close(out);
    }
    return rc;
}
