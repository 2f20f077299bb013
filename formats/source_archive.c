/* formats/source_archive.c - see source_archive.h.
 *
 * A piece is decoded by the thread that asks for it, with a worker (compressor state and a buffer
 * for frames) that it borrows. What was asked for as a whole goes straight to the
 * caller; what was asked for in part is kept, for the part that comes next. */
#include "formats/source_archive.h"

#include <pthread.h>
#include <string.h>

#include "formats/source_impl.h"

enum { SLOTS = 32 }; /* decoded pieces kept: 64 MiB */

typedef struct worker {
    rc_packer *packer;
    uint8_t *frames;
    struct worker *next;
} worker;

typedef struct slot {
    size_t piece;
    uint8_t *data; /* NULL: never used */
    size_t capacity;
    unsigned users;
    bool full;      /* holds the piece: found by others */
    bool loading;   /* will hold it, or turn out empty */
    uint64_t stamp; /* larger: used later */
} slot;

typedef struct archive {
    rc_source base;
    rc_source *inner;
    size_t file; /* of the inner source: the archive itself */
    rc_archive *table;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t moved;
    slot slots[SLOTS];
    uint64_t clock;
    worker *idle;
    unsigned busy; /* workers that are lent */
} archive;

static archive *archive_of(rc_source *src)
{
    return (archive *)src; /* its first member */
}

/* ----------------------------------------------------------------- workers */

static void free_worker(rc_mem *mem, worker *w)
{
    if (!w)
        return;
    rc_packer_free(&w->packer);
    rc_mem_put(mem, w->frames);
    rc_mem_put(mem, w);
}

static rc_code make_worker(worker **out, rc_mem *mem, rc_err *err)
{
    const size_t n = rc_pack_bound(RC_PIECE_BYTES);
    worker *w = rc_mem_get(mem, sizeof *w);
    rc_code rc;

    *out = NULL;
    if (!w)
        return rc_fail_nomem(err, mem, sizeof *w);
    rc = rc_packer_new(&w->packer, 0, mem, err);
    if (rc == RC_OK && !(w->frames = rc_mem_get(mem, n)))
        rc = rc_fail_nomem(err, mem, n);
    if (rc == RC_OK)
        *out = w;
    else
        free_worker(mem, w);
    return rc;
}

/* Where memory allows no more of them, others' are waited for. */
static rc_code borrow(archive *a, worker **out, rc_err *err)
{
    rc_code rc = RC_OK;
    worker *w;

    pthread_mutex_lock(&a->lock);
    while (!(w = a->idle)) {
        rc = make_worker(&w, a->base.mem, err);
        if (rc == RC_OK || a->busy == 0)
            break;
        pthread_cond_wait(&a->moved, &a->lock);
    }
    if (w && w == a->idle) {
        a->idle = w->next;
        rc = RC_OK;
    }
    if (rc == RC_OK)
        a->busy++;
    pthread_mutex_unlock(&a->lock);
    *out = w;
    return rc;
}

static void give_back(archive *a, worker *w)
{
    pthread_mutex_lock(&a->lock);
    w->next = a->idle;
    a->idle = w;
    a->busy--;
    pthread_cond_broadcast(&a->moved);
    pthread_mutex_unlock(&a->lock);
}

/* ---------------------------------------------------------------- decoding */

static rc_code fail_piece(const rc_archive_piece *p, const char *what, rc_err *err)
{
    return rc_fail(err, RC_E_INTEGRITY, p->off, "%s at byte %" PRIu64 " of the archive", what,
                   p->at);
}

static rc_code decode_with(archive *a, worker *w, const rc_archive_piece *p, uint8_t *dst,
                           rc_err *err)
{
    const size_t stored = (size_t)rc_archive_stored(&p->packed);
    rc_digest digest;
    rc_code rc;

    RC_TRY(rc_source_read(a->inner, a->file, p->at, w->frames, stored, err));
    if (rc_archive_sum(w->frames, stored) != p->stored)
        return fail_piece(p, "damaged", err);
    rc = rc_unpack(w->packer, &p->packed, w->frames, dst, err);
    if (rc == RC_E_INTEGRITY)
        return fail_piece(p, "what is packed does not unpack", err);
    RC_TRY(rc);
    digest = rc_hash(dst, p->packed.nbytes);
    if (!rc_digest_equal(&digest, &p->restored))
        return fail_piece(p, "what is packed unpacks to other bytes", err);
    return RC_OK;
}

static rc_code decode(archive *a, size_t piece, uint8_t *dst, rc_err *err)
{
    worker *w;
    rc_code rc;

    RC_TRY(borrow(a, &w, err));
    rc = decode_with(a, w, &a->table->pieces[piece], dst, err);
    give_back(a, w);
    return rc;
}

/* ------------------------------------------------------------------- cache */

static slot *find(archive *a, size_t piece)
{
    for (slot *s = a->slots; s < a->slots + SLOTS; s++)
        if ((s->full || s->loading) && s->piece == piece)
            return s;
    return NULL;
}

static slot *oldest(archive *a)
{
    slot *best = NULL;

    for (slot *s = a->slots; s < a->slots + SLOTS; s++)
        if (s->users == 0 && s->data && (!best || s->stamp < best->stamp))
            best = s;
    return best;
}

/* A slot with room for nbytes; NULL while all are in use. Where memory allows no more of them,
 * those that are there have to do. */
static slot *take(archive *a, size_t nbytes, bool *refused)
{
    slot *s = NULL;
    uint8_t *grown;

    *refused = false;
    for (slot *k = a->slots; k < a->slots + SLOTS && !s; k++)
        if (!k->data)
            s = k;
    if (s && (s->data = rc_mem_get(a->base.mem, nbytes))) {
        s->capacity = nbytes;
        return s;
    }
    *refused = s != NULL;
    s = oldest(a);
    if (!s)
        return NULL;
    s->full = false;
    if (s->capacity >= nbytes)
        return s;
    rc_mem_put(a->base.mem, s->data); /* nothing of it is needed: no copy */
    s->capacity = 0;
    grown = s->data = rc_mem_get(a->base.mem, nbytes);
    if (grown)
        s->capacity = nbytes;
    *refused = !grown;
    return grown ? s : NULL;
}

static bool any_user(const archive *a)
{
    for (const slot *s = a->slots; s < a->slots + SLOTS; s++)
        if (s->users)
            return true;
    return false;
}

/* The slot that holds, or is to hold, a piece; *fill says that the caller decodes it. A thread
 * holds one at a time, so waiting cannot deadlock. */
static rc_code acquire(archive *a, size_t piece, slot **out, bool *fill, rc_err *err)
{
    const size_t nbytes = a->table->pieces[piece].packed.nbytes;
    rc_code rc = RC_OK;
    slot *s;

    pthread_mutex_lock(&a->lock);
    for (;;) {
        bool refused;

        s = find(a, piece);
        *fill = !s;
        if (s && s->full)
            break;
        if (!s && (s = take(a, nbytes, &refused)) != NULL) {
            s->piece = piece;
            s->loading = true;
            break;
        }
        if (!s && refused && !any_user(a)) {
            rc = rc_fail_nomem(err, a->base.mem, nbytes);
            break;
        }
        pthread_cond_wait(&a->moved, &a->lock);
    }
    if (rc == RC_OK) {
        s->users++;
        s->stamp = ++a->clock;
    }
    pthread_mutex_unlock(&a->lock);
    *out = s;
    return rc;
}

static void filled(archive *a, slot *s, bool ok)
{
    pthread_mutex_lock(&a->lock);
    s->loading = false;
    s->full = ok;
    pthread_cond_broadcast(&a->moved);
    pthread_mutex_unlock(&a->lock);
}

static void release(archive *a, slot *s)
{
    pthread_mutex_lock(&a->lock);
    if (--s->users == 0)
        pthread_cond_broadcast(&a->moved);
    pthread_mutex_unlock(&a->lock);
}

static bool is_kept(archive *a, size_t piece)
{
    bool kept;

    pthread_mutex_lock(&a->lock);
    kept = find(a, piece) != NULL;
    pthread_mutex_unlock(&a->lock);
    return kept;
}

static rc_code read_part(archive *a, size_t piece, size_t from, uint8_t *dst, size_t nbytes,
                         rc_err *err)
{
    const size_t whole = a->table->pieces[piece].packed.nbytes;
    rc_code rc = RC_OK;
    bool fill;
    slot *s;

    if (nbytes == whole && !is_kept(a, piece))
        return decode(a, piece, dst, err);
    RC_TRY(acquire(a, piece, &s, &fill, err));
    if (fill) {
        rc = decode(a, piece, s->data, err);
        filled(a, s, rc == RC_OK);
    }
    if (rc == RC_OK)
        memcpy(dst, s->data + from, nbytes);
    release(a, s);
    return rc;
}

/* ------------------------------------------------------------------ source */

static const rc_archive_file *file_of(const archive *a, size_t i)
{
    return &a->table->files[a->base.files[i].own];
}

static rc_code read_at(rc_source *base, size_t i, uint64_t off, void *buf, size_t nbytes,
                       rc_err *err)
{
    archive *a = archive_of(base);
    const rc_archive_file *f = file_of(a, i);
    uint8_t *to = buf;

    if (off > f->nbytes || nbytes > f->nbytes - off) {
        rc_fail(err, RC_E_INTERNAL, off, "asked for bytes past the end of the file");
        rc_err_want(err, "at most %" PRIu64, f->nbytes);
        rc_err_got(err, "%" PRIu64 " + %zu", off, nbytes);
        return RC_E_INTERNAL;
    }
    while (nbytes) {
        const size_t piece = rc_archive_find(a->table, f, off);
        const rc_archive_piece *p = &a->table->pieces[piece];
        const size_t from = (size_t)(off - p->off), left = p->packed.nbytes - from;
        const size_t n = nbytes < left ? nbytes : left;

        RC_TRY(read_part(a, piece, from, to, n, err));
        to += n;
        off += n;
        nbytes -= n;
    }
    return RC_OK;
}

static rc_code recheck(rc_source *base, size_t i, rc_err *err)
{
    archive *a = archive_of(base);

    (void)i;
    return rc_source_recheck(a->inner, a->file, err);
}

static uint64_t fetched(const rc_source *base)
{
    return rc_source_fetched(((const archive *)base)->inner);
}

static void close_archive(rc_source *base)
{
    archive *a = archive_of(base);

    while (a->idle) {
        worker *w = a->idle;

        a->idle = w->next;
        free_worker(base->mem, w);
    }
    for (slot *s = a->slots; s < a->slots + SLOTS; s++)
        rc_mem_put(base->mem, s->data);
    rc_archive_free(&a->table);
    rc_source_close(&a->inner);
    pthread_cond_destroy(&a->moved);
    pthread_mutex_destroy(&a->lock);
}

static const rc_source_ops here = {
    .close = close_archive, .read = read_at, .recheck = recheck, .fetched = fetched
};
static const rc_source_ops there = {
    .close = close_archive, .read = read_at, .recheck = recheck, .fetched = fetched, .remote = true
};

static rc_code read_inner(void *ctx, uint64_t off, void *buf, size_t nbytes, rc_err *err)
{
    archive *a = ctx;

    return rc_source_read(a->inner, a->file, off, buf, nbytes, err);
}

/* The GGUF file that stands for all files, or NULL. */
static const char *gguf_of(const rc_archive *t)
{
    rc_split_name first, s;

    for (size_t i = 0; i < t->nfiles; i++) {
        const size_t len = strlen(t->files[i].name);

        if (len <= 5 || strcmp(t->files[i].name + len - 5, ".gguf") != 0 ||
            strchr(t->files[i].name, '/'))
            return NULL;
    }
    if (t->nfiles == 1)
        return t->files[0].name;
    if (t->nfiles == 0 || !rc_split_name_of(&first, t->files[0].name) || first.no != 1 ||
        first.count != t->nfiles)
        return NULL;
    for (size_t i = 1; i < t->nfiles; i++)
        if (!rc_split_name_of(&s, t->files[i].name) || s.count != first.count ||
            s.prefix != first.prefix || memcmp(t->files[i].name, t->files[0].name, s.prefix) != 0)
            return NULL;
    return t->files[0].name;
}

static rc_code name_gguf(rc_source *src, const char *gguf, rc_err *err)
{
    const size_t where = strlen(src->where), len = strlen(gguf);
    char *both = rc_mem_get(src->mem, where + len + 2);

    if (!both)
        return rc_fail_nomem(err, src->mem, where + len + 2);
    memcpy(both, src->where, where);
    both[where] = '/';
    memcpy(both + where + 1, gguf, len + 1);
    rc_mem_put(src->mem, src->where);
    src->where = both;
    src->named = both + where + 1;
    return RC_OK;
}

static rc_code list(archive *a, rc_err *err)
{
    for (size_t i = 0; i < a->table->nfiles; i++) {
        const rc_archive_file *f = &a->table->files[i];
        rc_source_file file = { .name = f->name, .nbytes = f->nbytes, .content = f->content };

        memcpy(&file.version, f->content.bytes, sizeof file.version);
        RC_TRY(rc_source_add(&a->base, "", &file, err));
    }
    return rc_source_sort(&a->base, err);
}

static rc_code load(archive *a, rc_err *err)
{
    const char *name = rc_source_named(a->inner), *gguf;

    if (!name || !rc_source_find(a->inner, name, &a->file))
        return rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "there is no such archive");
    RC_TRY(rc_archive_read(&a->table, read_inner, a, rc_source_at(a->inner, a->file)->nbytes,
                           a->base.mem, err));
    RC_TRY(list(a, err));
    gguf = gguf_of(a->table);
    return gguf ? name_gguf(&a->base, gguf, err) : RC_OK;
}

rc_code rc_source_open_archive(rc_source **out, rc_source *inner, rc_err *err)
{
    rc_code rc = rc_source_make(out, sizeof(archive), rc_source_is_remote(inner) ? &there : &here,
                                inner->where, inner->mem, err);
    archive *a;

    if (rc != RC_OK) {
        rc_source_close(&inner);
        return rc;
    }
    a = archive_of(*out);
    a->inner = inner;
    a->base.origin = inner->origin; /* its strings live as long */
    a->base.origin.kind = "archive";
    pthread_mutex_init(&a->lock, NULL); /* with no attributes, cannot fail on Linux */
    pthread_cond_init(&a->moved, NULL);
    rc = load(a, err);
    if (rc != RC_OK) {
        rc_err_file(err, inner->where);
        rc_source_close(out);
    }
    return rc;
}

const rc_archive *rc_source_archive(const rc_source *src)
{
    return src->ops == &here || src->ops == &there ? ((const archive *)src)->table : NULL;
}

rc_code rc_source_archive_check(rc_source *src, rc_err *err)
{
    archive *a = archive_of(src);

    return rc_archive_check_ends(a->table, read_inner, a, err);
}
