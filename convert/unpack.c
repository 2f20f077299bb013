/* convert/unpack.c - see unpack.h. */
#include "convert/unpack.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "formats/base/par.h"
#include "formats/safetensors.h"

#define LOCK ".recast.lock"

enum { PARTIAL = RC_ARCHIVE_MAX_NAME + 16, PEEK = 512 };

/* A file of the archive, and what is made of it. */
typedef struct output {
    rc_dir dir;       /* fd -1 until it is known */
    const char *leaf; /* in dir */
    rc_out *out;      /* NULL: not open */
    bool final;       /* it has its name already */
    bool old;         /* an earlier run began it */
    size_t left;      /* pieces that are not done */
} output;

typedef struct slot {
    uint8_t *data; /* pages */
    uint8_t *old;  /* what is on the disk */
} slot;

typedef struct run {
    rc_source *src;
    const rc_archive *table;
    const rc_unpack_opts *opts;
    rc_unpack_report *report;
    rc_mem *mem;
    rc_dir dir;
    const char *path;
    int lock;
    output *outputs;
    size_t *file; /* of each piece */
    slot *slots;
    unsigned nslots;
    pthread_mutex_t opening;
    rc_turn hashing;
    rc_content_hasher sha;
} run;

static const char *partial_of(const char *leaf, char buf[PARTIAL])
{
    snprintf(buf, PARTIAL, "%s.partial", leaf);
    return buf;
}

/* ------------------------------------------------------------ what is there */

static bool is_ours(const rc_archive *t, const char *name)
{
    char partial[PARTIAL];

    for (size_t i = 0; i < t->nfiles; i++) {
        const char *own = t->files[i].name, *slash = strchr(own, '/');
        const size_t folder = slash ? (size_t)(slash - own) : 0;

        if (strcmp(name, own) == 0 || strcmp(name, partial_of(own, partial)) == 0 ||
            (slash && strncmp(name, own, folder) == 0 && !name[folder]))
            return true;
    }
    return strcmp(name, LOCK) == 0;
}

static bool is_strange(void *ctx, const char *name)
{
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !is_ours(ctx, name);
}

static rc_code refuse_strangers(run *r, rc_err *err)
{
    if (r->opts->force || !rc_dir_any(&r->dir, is_strange, (void *)(uintptr_t)r->table))
        return RC_OK;
    rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "the folder holds other files");
    rc_err_file(err, r->path);
    rc_err_hint(err, "name a new folder, or write among them with --force");
    return RC_E_CANTCREATE;
}

/* The folder of a file: made where it is one inside the destination. */
static rc_code enter(run *r, output *o, const rc_archive_file *f, rc_err *err)
{
    const char *slash = strchr(f->name, '/');
    char folder[RC_ARCHIVE_MAX_NAME + 1];

    o->leaf = slash ? slash + 1 : f->name;
    o->dir = r->dir;
    if (strcmp(f->name, LOCK) == 0 || strlen(o->leaf) > 240) {
        rc_fail(err, RC_E_UNSAFEPATH, RC_NO_OFFSET, "this name cannot be written");
        rc_err_file(err, f->name);
        return RC_E_UNSAFEPATH;
    }
    if (!slash)
        return RC_OK;
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - f->name), f->name);
    return rc_dir_sub(&o->dir, &r->dir, folder, err);
}

static void leave(run *r, output *o)
{
    if (o->dir.fd >= 0 && o->dir.fd != r->dir.fd)
        rc_dir_close(&o->dir);
    o->dir.fd = -1;
}

/* What room do the files need that are not there? */
static rc_code look(run *r, rc_err *err)
{
    uint64_t need = 0, room, there;
    char partial[PARTIAL];

    for (size_t i = 0; i < r->table->nfiles; i++) {
        const rc_archive_file *f = &r->table->files[i];
        output *o = &r->outputs[i];

        o->left = f->count;
        RC_TRY(enter(r, o, f, err));
        partial_of(o->leaf, partial);
        o->final = !r->opts->force && rc_dir_stat(&o->dir, o->leaf, &there) && there == f->nbytes &&
                   !rc_dir_has(&o->dir, partial, NULL);
        if (!o->final && rc_dir_has(&o->dir, o->leaf, NULL) && !r->opts->force) {
            rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "another file has this name");
            rc_err_file(err, f->name);
            rc_err_hint(err, "--force replaces it");
            leave(r, o);
            return RC_E_CANTCREATE;
        }
        if (!o->final && !(rc_dir_stat(&o->dir, partial, &there) && there == f->nbytes))
            need += f->nbytes;
        leave(r, o);
    }
    RC_TRY(rc_dir_free(&r->dir, &room, err));
    if (need <= room)
        return RC_OK;
    rc_fail(err, RC_E_NOSPACE, RC_NO_OFFSET, "the files do not fit");
    rc_err_file(err, r->path);
    rc_err_want(err, "%" PRIu64 " bytes", need);
    rc_err_got(err, "%" PRIu64 " free", room);
    return RC_E_NOSPACE;
}

/* ------------------------------------------------------------------- files */

static rc_code open_output(run *r, size_t f, rc_err *err)
{
    const rc_archive_file *file = &r->table->files[f];
    output *o = &r->outputs[f];
    char partial[PARTIAL];
    uint64_t there;

    RC_TRY(enter(r, o, file, err));
    partial_of(o->leaf, partial);
    o->old = o->final || (rc_dir_stat(&o->dir, partial, &there) && there == file->nbytes);
    return rc_out_open(&o->out, &o->dir, o->final ? o->leaf : partial, file->nbytes,
                       o->old ? RC_OUT_RESUME : RC_OUT_NEW, r->mem, err);
}

static rc_code close_output(run *r, output *o, rc_err *err)
{
    rc_code rc = rc_out_sync(o->out, err);
    const rc_code closed = rc_out_close(&o->out, rc == RC_OK ? err : NULL);

    leave(r, o);
    return rc == RC_OK ? closed : rc;
}

/* Open where this is the first piece of its file that is worked on. */
static rc_code use(run *r, size_t f, rc_err *err)
{
    rc_code rc = RC_OK;

    pthread_mutex_lock(&r->opening);
    if (!r->outputs[f].out)
        rc = open_output(r, f, err);
    pthread_mutex_unlock(&r->opening);
    return rc;
}

static rc_code done_with(run *r, size_t f, rc_err *err)
{
    rc_code rc = RC_OK;
    bool last;

    pthread_mutex_lock(&r->opening);
    last = --r->outputs[f].left == 0;
    pthread_mutex_unlock(&r->opening);
    if (last) /* nobody else has it */
        rc = close_output(r, &r->outputs[f], err);
    return rc;
}

/* ------------------------------------------------------------------ pieces */

/* For the error message: the tensor that has byte `off` of a shard. */
static void name_tensor(run *r, size_t f, uint64_t off, rc_err *err)
{
    const rc_archive_file *file = &r->table->files[f];
    const size_t len = strlen(file->name), peek = file->nbytes < PEEK ? (size_t)file->nbytes : PEEK;
    uint8_t start[PEEK], *head = NULL;
    rc_st *st = NULL;
    uint64_t end;
    rc_err why;

    if (len < 12 || strcmp(file->name + len - 12, ".safetensors") != 0 ||
        rc_source_read(r->src, f, 0, start, peek, &why) != RC_OK ||
        rc_st_peek(start, peek, file->nbytes, &end, &why) != RC_OK ||
        !(head = rc_mem_get(r->mem, (size_t)end)))
        return;
    if (rc_source_read(r->src, f, 0, head, (size_t)end, &why) == RC_OK &&
        rc_st_new(&st, head, (size_t)end, file->nbytes, NULL, r->mem, &why) == RC_OK)
        for (size_t i = 0; i < rc_st_count(st); i++) {
            const rc_st_entry *e = rc_st_at(st, i);

            if (off >= e->begin && off - e->begin < e->nbytes)
                rc_err_tensor(err, e->name);
        }
    rc_st_free(&st);
    rc_mem_put(r->mem, head);
}

/* Is the piece on the disk already? Then its bytes are in s->old. */
static bool is_there(run *r, size_t k, slot *s)
{
    const rc_archive_piece *p = &r->table->pieces[k];
    rc_digest digest;

    if (rc_out_read(r->outputs[r->file[k]].out, p->off, s->old, p->packed.nbytes, NULL) != RC_OK)
        return false;
    digest = rc_hash(s->old, p->packed.nbytes);
    return rc_digest_equal(&digest, &p->restored);
}

static rc_code refuse_changed(run *r, size_t k, rc_err *err)
{
    rc_fail(err, RC_E_CANTCREATE, r->table->pieces[k].off, "a file of this name has other bytes");
    rc_err_file(err, r->table->files[r->file[k]].name);
    rc_err_hint(err, "--force replaces it");
    return RC_E_CANTCREATE;
}

static rc_code restore(run *r, size_t k, slot *s, const uint8_t **data, bool *kept, rc_err *err)
{
    const rc_archive_piece *p = &r->table->pieces[k];
    const size_t f = r->file[k];
    uint8_t *to = rc_out_place(s->data, p->off);
    rc_code rc;

    *data = s->old;
    *kept = r->outputs[f].old && is_there(r, k, s);
    if (*kept)
        return RC_OK;
    if (r->outputs[f].final)
        return refuse_changed(r, k, err);
    *data = to;
    rc = rc_source_read(r->src, f, p->off, to, p->packed.nbytes, err);
    if (rc == RC_E_INTEGRITY)
        name_tensor(r, f, p->off, err);
    return rc;
}

static rc_code hash_piece(run *r, size_t k, const uint8_t *data, rc_err *err)
{
    const rc_archive_file *f = &r->table->files[r->file[k]];
    rc_content_id found;
    char hex[RC_CONTENT_HEX];

    if (f->first == k)
        rc_content_begin(&r->sha, RC_CONTENT_SHA256, f->nbytes);
    rc_content_add(&r->sha, data, r->table->pieces[k].packed.nbytes);
    if (k + 1 < f->first + f->count)
        return RC_OK;
    found = rc_content_end(&r->sha);
    if (rc_content_equal(&found, &f->content))
        return RC_OK;
    rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "the restored file has another SHA-256");
    rc_err_file(err, f->name);
    rc_err_want(err, "%s", rc_content_hex(&f->content, hex));
    rc_err_got(err, "%s", rc_content_hex(&found, hex));
    return RC_E_INTEGRITY;
}

static rc_code stopped(rc_err *err)
{
    return rc_fail(err, RC_E_STOPPED, RC_NO_OFFSET, "stopped");
}

static rc_code do_piece(void *ctx, rc_par *par, unsigned nslot, uint64_t item, rc_err *err)
{
    run *r = ctx;
    const size_t k = (size_t)item, f = r->file[k];
    const rc_archive_piece *p = &r->table->pieces[k];
    slot *s = &r->slots[nslot];
    const uint8_t *data;
    bool kept;
    rc_code rc;

    RC_TRY(use(r, f, err));
    rc_par_compute_begin(par);
    rc = restore(r, k, s, &data, &kept, err);
    rc_par_compute_end(par);
    RC_TRY(rc);
    if (!kept)
        RC_TRY(rc_out_write(r->outputs[f].out, p->off, data, p->packed.nbytes, err));
    if (!rc_turn_wait(par, &r->hashing, item))
        return stopped(err);
    rc = hash_piece(r, k, data, err);
    r->report->kept += kept;
    rc_turn_next(par, &r->hashing);
    RC_TRY(rc);
    if (r->opts->progress) {
        r->opts->progress->kept += kept ? p->packed.nbytes : 0;
        r->opts->progress->done += p->packed.nbytes;
    }
    return done_with(r, f, err);
}

/* ----------------------------------------------------------------- publish */

static rc_code publish_file(run *r, size_t f, rc_err *err)
{
    const rc_archive_file *file = &r->table->files[f];
    output *o = &r->outputs[f];
    char partial[PARTIAL];
    rc_code rc = RC_OK;

    if (o->final && file->count)
        return RC_OK;
    if (file->count == 0) { /* of no bytes: nobody made it yet */
        RC_TRY(open_output(r, f, err));
        RC_TRY(close_output(r, o, err));
        if (o->final)
            return RC_OK;
    }
    RC_TRY(enter(r, o, file, err));
    rc = rc_dir_rename(&o->dir, partial_of(o->leaf, partial), o->leaf, err);
    if (rc == RC_OK)
        rc = rc_dir_sync(&o->dir, err);
    leave(r, o);
    return rc;
}

static rc_code publish(run *r, rc_err *err)
{
    bool all = true;

    for (size_t f = 0; f < r->table->nfiles; f++) {
        all = all && r->outputs[f].final;
        RC_TRY(publish_file(r, f, err));
    }
    r->report->complete = all && r->report->kept == r->report->pieces;
    return rc_dir_sync(&r->dir, err);
}

/* ---------------------------------------------------------------- interface */

static rc_code make_slots(run *r, rc_err *err)
{
    const size_t each = (size_t)12 << 20; /* with what the source holds for a reader */
    const unsigned want = rc_par_slots(r->opts->threads, r->mem, 0, each);

    r->slots = rc_mem_get(r->mem, want * sizeof *r->slots);
    if (!r->slots)
        return rc_fail_nomem(err, r->mem, want * sizeof *r->slots);
    for (r->nslots = 0; r->nslots < want;) {
        slot *s = &r->slots[r->nslots++];

        s->data = rc_mem_get_pages(r->mem, RC_PIECE_BYTES + RC_PAGE);
        s->old = rc_mem_get(r->mem, RC_PIECE_BYTES);
        if (!s->data || !s->old)
            return rc_fail_nomem(err, r->mem, 2 * RC_PIECE_BYTES);
    }
    return RC_OK;
}

static rc_code prepare(run *r, rc_err *err)
{
    const rc_archive *t = r->table;

    r->outputs = rc_mem_get(r->mem, t->nfiles * sizeof *r->outputs);
    r->file = rc_mem_get(r->mem, t->npieces * sizeof *r->file);
    if (!r->outputs || !r->file)
        return rc_fail_nomem(err, r->mem, t->npieces * sizeof *r->file);
    for (size_t f = 0; f < t->nfiles; f++) {
        r->outputs[f].dir.fd = -1;
        for (size_t k = 0; k < t->files[f].count; k++)
            r->file[t->files[f].first + k] = f;
    }
    r->report->files = t->nfiles;
    r->report->pieces = t->npieces;
    r->report->nbytes = t->nbytes;
    if (r->opts->progress)
        r->opts->progress->total = t->nbytes;
    return make_slots(r, err);
}

static rc_code work(run *r, const char *dst, rc_err *err)
{
    RC_TRY(prepare(r, err));
    RC_TRY(rc_source_archive_check(r->src, err));
    RC_TRY(rc_dir_open(&r->dir, dst, true, err));
    RC_TRY(refuse_strangers(r, err));
    RC_TRY(rc_dir_lock(&r->dir, LOCK, &r->lock, err));
    RC_TRY(look(r, err));
    RC_TRY(rc_par_run(r->table->npieces, r->nslots, r->opts->threads, do_piece, r, err));
    return publish(r, err);
}

static void finish(run *r)
{
    for (size_t f = 0; r->outputs && f < r->table->nfiles; f++) {
        rc_err ignored;
        const rc_code rc = rc_out_close(&r->outputs[f].out, &ignored);

        (void)rc; /* of a run that failed */
        leave(r, &r->outputs[f]);
    }
    for (unsigned i = 0; i < r->nslots; i++) {
        rc_mem_put(r->mem, r->slots[i].data);
        rc_mem_put(r->mem, r->slots[i].old);
    }
    rc_mem_put(r->mem, r->slots);
    rc_mem_put(r->mem, r->outputs);
    rc_mem_put(r->mem, r->file);
    rc_dir_unlock(&r->dir, LOCK, r->lock);
    rc_dir_close(&r->dir);
    pthread_mutex_destroy(&r->opening);
}

rc_code rc_unpack_run(rc_source *src, const char *dst, const rc_unpack_opts *opts,
                      rc_unpack_report *report, rc_mem *mem, rc_err *err)
{
    run r = { .src = src,
              .table = rc_source_archive(src),
              .opts = opts,
              .report = report,
              .mem = mem,
              .dir = { .fd = -1 },
              .path = dst,
              .lock = -1 };
    rc_code rc;

    *report = (rc_unpack_report){ 0 };
    if (!r.table) {
        rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "is no archive: its name does not end in .rcz");
        rc_err_file(err, rc_source_where(src));
        return RC_E_NOINPUT;
    }
    pthread_mutex_init(&r.opening, NULL); /* with no attributes, cannot fail on Linux */
    rc = work(&r, dst, err);
    finish(&r);
    return rc;
}
