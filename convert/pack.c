/* convert/pack.c - see pack.h.
 *
 * A slot takes a piece, reads it, waits for its turn to hash it (a file's SHA-256 has one order),
 * packs it beside the others, and waits for its turn to write it: the archive grows from its
 * beginning, without gaps, and what the journal knows is always a beginning of it. */
#include "convert/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "convert/pack_journal.h"
#include "convert/pack_plan.h"
#include "formats/base/io.h"
#include "formats/base/par.h"
#include "formats/base/stop.h"
#include "formats/base/target.h"
#include "formats/stream.h"

enum { SAMPLES = 64 };

typedef struct slot {
    rc_packer *packer;
    uint8_t *in; /* pages: a piece and what direct reading needs around it */
    uint8_t *out;
} slot;

typedef struct run {
    rc_source *src;
    rc_pack_plan plan;
    const rc_pack_opts *opts;
    rc_pack_report *report;
    rc_mem *mem;
    rc_target target;
    char partial[300], journal_name[300], lock_name[300], pin_name[300];
    int fd, lock;
    rc_pack_journal journal;
    slot *slots;
    unsigned nslots;
    size_t from; /* the first piece that is to be packed */
    rc_turn hashing, writing;
    rc_content_hasher sha, git; /* of the file whose turn it is */
} run;

static rc_archive *table_of(run *r)
{
    return &r->plan.archive;
}

/* ------------------------------------------------------------------- slots */

static size_t in_bytes(void)
{
    return RC_PIECE_BYTES + 2 * RC_PAGE;
}

static rc_code make_slot(slot *s, int level, rc_mem *mem, rc_err *err)
{
    RC_TRY(rc_packer_new(&s->packer, level, mem, err));
    s->in = rc_mem_get_pages(mem, in_bytes());
    s->out = rc_mem_get(mem, rc_pack_bound(RC_PIECE_BYTES));
    return s->in && s->out ? RC_OK : rc_fail_nomem(err, mem, in_bytes());
}

static void free_slot(slot *s, rc_mem *mem)
{
    rc_packer_free(&s->packer);
    rc_mem_put(mem, s->in);
    rc_mem_put(mem, s->out);
    *s = (slot){ 0 };
}

/* What a slot comes to hold: its own buffers, those of its packer, and zstd's at that level. */
static size_t slot_bytes(int level)
{
    return (size_t)(level > 12 ? 96 : level > 0 ? 32 : 14) << 20;
}

static rc_code make_slots(run *r, rc_err *err)
{
    const size_t stream = rc_source_is_remote(r->src) ? r->mem->limit / 4 : 0;
    const unsigned want =
        rc_par_slots(r->opts->threads, r->mem, stream, slot_bytes(r->opts->level));

    r->slots = rc_mem_get(r->mem, want * sizeof *r->slots);
    if (!r->slots)
        return rc_fail_nomem(err, r->mem, want * sizeof *r->slots);
    for (; r->nslots < want; r->nslots++) {
        const rc_code rc = make_slot(&r->slots[r->nslots], r->opts->level, r->mem, err);

        if (rc != RC_OK) {
            free_slot(&r->slots[r->nslots], r->mem);
            return rc;
        }
    }
    return RC_OK;
}

/* ----------------------------------------------------------------- hashing */

static void begin_file(run *r, size_t f)
{
    const rc_source_file *from = rc_source_at(r->src, f);

    rc_content_begin(&r->sha, RC_CONTENT_SHA256, from->nbytes);
    if (from->content.kind == RC_CONTENT_GIT)
        rc_content_begin(&r->git, RC_CONTENT_GIT, from->nbytes);
}

static rc_code end_file(run *r, size_t f, rc_err *err)
{
    const rc_source_file *from = rc_source_at(r->src, f);
    rc_archive_file *file = &table_of(r)->files[f];
    rc_content_id found;
    char hex[RC_CONTENT_HEX];

    file->content = found = rc_content_end(&r->sha);
    if (from->content.kind == RC_CONTENT_GIT)
        found = rc_content_end(&r->git);
    if (from->content.kind == RC_CONTENT_UNKNOWN || rc_content_equal(&found, &from->content))
        return RC_OK;
    rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "file is not what it is stated to be");
    rc_err_file(err, from->name);
    rc_err_want(err, "%s", rc_content_hex(&from->content, hex));
    rc_err_got(err, "%s", rc_content_hex(&found, hex));
    rc_err_hint(err, "fetch this file again, or see who changed it");
    return RC_E_INTEGRITY;
}

static bool is_first(run *r, size_t k)
{
    return table_of(r)->files[r->plan.file[k]].first == k;
}

static bool is_last(run *r, size_t k)
{
    const rc_archive_file *f = &table_of(r)->files[r->plan.file[k]];

    return k + 1 == f->first + f->count;
}

static rc_code hash_piece(run *r, size_t k, const uint8_t *data, rc_content_hasher *after,
                          rc_err *err)
{
    const size_t f = r->plan.file[k], n = table_of(r)->pieces[k].packed.nbytes;

    if (is_first(r, k))
        begin_file(r, f);
    rc_content_add(&r->sha, data, n);
    if (rc_source_at(r->src, f)->content.kind == RC_CONTENT_GIT)
        rc_content_add(&r->git, data, n);
    *after = r->sha;
    return is_last(r, k) ? end_file(r, f, err) : RC_OK;
}

/* ------------------------------------------------------------------ pieces */

static rc_code fail_write(run *r, int e, uint64_t at, rc_err *err)
{
    const rc_code rc = rc_fail_errno(err, e, "cannot write");

    rc_err_file(err, r->partial);
    rc_err_offset(err, at);
    return rc;
}

/* In turn: the piece's place in the archive is behind the one before it. */
static rc_code append(run *r, size_t k, const uint8_t *frames, const rc_content_hasher *sha,
                      rc_err *err)
{
    rc_archive *a = table_of(r);
    rc_archive_piece *p = &a->pieces[k];
    const size_t stored = (size_t)rc_archive_stored(&p->packed);
    rc_pack_record record;
    int e;

    p->at = a->end;
    e = rc_pwrite_all(r->fd, frames, stored, p->at);
    if (e)
        return fail_write(r, e, p->at, err);
    memset(&record, 0, sizeof record); /* padding is part of the sum */
    record.index = k;
    record.piece = *p;
    record.sha = *sha;
    RC_TRY(rc_pack_journal_add(&r->journal, &record, err));
    a->end += stored;
    r->report->by_mode[p->packed.mode][0] += p->packed.nbytes;
    r->report->by_mode[p->packed.mode][1] += stored;
    return RC_OK;
}

static rc_code read_piece(run *r, size_t k, slot *s, const uint8_t **data, rc_err *err)
{
    const rc_archive_piece *p = &table_of(r)->pieces[k];

    return rc_source_read_direct(r->src, r->plan.file[k], p->off, p->packed.nbytes, s->in,
                                 in_bytes(), data, err);
}

static rc_code pack_piece(run *r, size_t k, slot *s, const uint8_t *data, rc_err *err)
{
    rc_archive_piece *p = &table_of(r)->pieces[k];
    const uint32_t n = p->packed.nbytes;

    p->restored = rc_hash(data, n);
    RC_TRY(rc_pack(s->packer, r->plan.dtype[k], data, n, s->out, &p->packed, err));
    p->stored = rc_archive_sum(s->out, (size_t)rc_archive_stored(&p->packed));
    return RC_OK;
}

static rc_code stopped(rc_err *err)
{
    return rc_fail(err, RC_E_STOPPED, RC_NO_OFFSET, "stopped");
}

static rc_code do_piece(void *ctx, rc_par *par, unsigned nslot, uint64_t item, rc_err *err)
{
    run *r = ctx;
    const size_t k = r->from + (size_t)item;
    slot *s = &r->slots[nslot];
    rc_content_hasher sha;
    const uint8_t *data;
    rc_code rc;

    RC_TRY(read_piece(r, k, s, &data, err));
    if (!rc_turn_wait(par, &r->hashing, item))
        return stopped(err);
    rc_par_compute_begin(par);
    rc = hash_piece(r, k, data, &sha, err);
    rc_turn_next(par, &r->hashing);
    if (rc == RC_OK)
        rc = pack_piece(r, k, s, data, err);
    rc_par_compute_end(par);
    RC_TRY(rc);
    if (!rc_turn_wait(par, &r->writing, item))
        return stopped(err);
    rc = append(r, k, s->out, &sha, err);
    rc_turn_next(par, &r->writing);
    if (rc == RC_OK && r->opts->progress)
        r->opts->progress->done += table_of(r)->pieces[k].packed.nbytes;
    return rc;
}

/* ------------------------------------------------------------------ resume */

/* What tells this run from another: what is packed, and how. */
static rc_digest digest_of(const run *r)
{
    const int32_t level = r->opts->level;
    const uint64_t piece = RC_PIECE_BYTES;
    rc_hasher hasher;

    rc_hash_begin(&hasher);
    rc_hash_field(&hasher, RC_VERSION, strlen(RC_VERSION));
    rc_hash_field(&hasher, &level, sizeof level);
    rc_hash_field(&hasher, &piece, sizeof piece);
    for (size_t i = 0; i < rc_source_count(r->src); i++) {
        const rc_source_file *f = rc_source_at(r->src, i);

        rc_hash_field(&hasher, f->name, strlen(f->name));
        rc_hash_field(&hasher, &f->nbytes, sizeof f->nbytes);
        rc_hash_field(&hasher, &f->mtime_ns, sizeof f->mtime_ns);
        rc_hash_field(&hasher, &f->version, sizeof f->version);
        rc_hash_field(&hasher, f->content.bytes, sizeof f->content.bytes);
    }
    return rc_hash_end(&hasher);
}

/* Is a recorded piece one of this plan, and are its frames there? */
static bool survived(run *r, const rc_pack_record *rec, slot *s)
{
    const rc_archive_piece *want = &table_of(r)->pieces[rec->index], *p = &rec->piece;
    const uint64_t stored = rc_archive_stored(&p->packed);

    return p->off == want->off && p->packed.nbytes == want->packed.nbytes &&
           rc_packed_is_sane(&p->packed) && p->at == table_of(r)->end &&
           rc_pread_all(r->fd, s->out, (size_t)stored, p->at, NULL) == 0 &&
           rc_archive_sum(s->out, (size_t)stored) == p->stored;
}

static void keep(run *r, const rc_pack_record *rec)
{
    rc_archive *a = table_of(r);
    const uint64_t stored = rc_archive_stored(&rec->piece.packed);

    a->pieces[rec->index] = rec->piece;
    a->end += stored;
    r->sha = rec->sha;
    if (is_last(r, rec->index))
        a->files[r->plan.file[rec->index]].content = rc_content_end(&r->sha);
    r->report->by_mode[rec->piece.packed.mode][0] += rec->piece.packed.nbytes;
    r->report->by_mode[rec->piece.packed.mode][1] += stored;
    if (r->opts->progress) {
        r->opts->progress->kept += rec->piece.packed.nbytes;
        r->opts->progress->done += rec->piece.packed.nbytes;
    }
    r->from++;
}

/* git's digest of a file is not kept: such a file (a small one) is begun again. */
static void begin_again(run *r)
{
    rc_archive *a = table_of(r);

    while (r->from < a->npieces && r->from > 0 && !is_first(r, r->from) &&
           rc_source_at(r->src, r->plan.file[r->from])->content.kind == RC_CONTENT_GIT) {
        const rc_packed *k = &a->pieces[--r->from].packed;
        const uint64_t stored = rc_archive_stored(k);

        a->end -= stored;
        r->report->by_mode[k->mode][0] -= k->nbytes;
        r->report->by_mode[k->mode][1] -= stored;
    }
}

static rc_code resume(run *r, rc_err *err)
{
    rc_pack_record rec;

    r->fd = openat(r->target.dir.fd, r->partial, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (r->fd < 0) /* the journal outlived its archive */
        return rc_pack_journal_cut(&r->journal, 0, err);
    while (r->from < table_of(r)->npieces && rc_pack_journal_next(&r->journal, r->from, &rec) &&
           survived(r, &rec, &r->slots[0])) {
        keep(r, &rec);
        RC_TRY(rc_stop_check(err));
    }
    begin_again(r);
    r->report->kept = r->from;
    RC_TRY(rc_pack_journal_cut(&r->journal, r->from, err));
    if (ftruncate(r->fd, (off_t)table_of(r)->end) != 0)
        return fail_write(r, errno, table_of(r)->end, err);
    return RC_OK;
}

/* The head is written again on resume, too: nothing says that it was there. */
static rc_code begin(run *r, rc_err *err)
{
    uint8_t head[RC_ARCHIVE_HEAD];
    int e;

    if (r->fd < 0)
        RC_TRY(rc_dir_create(&r->target.dir, r->partial, &r->fd, err));
    rc_archive_head(head);
    e = rc_pwrite_all(r->fd, head, sizeof head, 0);
    return e ? fail_write(r, e, 0, err) : RC_OK;
}

static rc_code open_output(run *r, rc_err *err)
{
    const rc_digest digest = digest_of(r);
    bool found;

    RC_TRY(rc_pack_journal_open(&r->journal, &r->target.dir, r->journal_name, &digest,
                                r->opts->restart, &found, err));
    RC_TRY(rc_pin_put(&r->target.dir, r->pin_name, r->src, r->mem, err));
    if (found)
        RC_TRY(resume(r, err));
    return begin(r, err);
}

/* ----------------------------------------------------------------- publish */

/* The digest of a file of no bytes is that of nothing. */
static rc_code hash_empty_files(run *r, rc_err *err)
{
    for (size_t f = 0; f < table_of(r)->nfiles; f++)
        if (table_of(r)->files[f].count == 0) {
            begin_file(r, f);
            RC_TRY(end_file(r, f, err));
        }
    return RC_OK;
}

static rc_code publish(run *r, rc_err *err)
{
    rc_archive *a = table_of(r);
    uint8_t *tail;
    size_t len;
    int e;

    RC_TRY(hash_empty_files(r, err));
    for (size_t f = 0; f < a->nfiles; f++)
        RC_TRY(rc_source_recheck(r->src, f, err));
    RC_TRY(rc_archive_tail(a, &tail, &len, r->mem, err));
    e = rc_pwrite_all(r->fd, tail, len, a->end);
    rc_mem_put(r->mem, tail);
    if (e)
        return fail_write(r, e, a->end, err);
    if (fsync(r->fd) != 0)
        return fail_write(r, errno, RC_NO_OFFSET, err);
    r->report->archive = a->end + len;
    RC_TRY(rc_dir_rename(&r->target.dir, r->partial, r->target.name, err));
    RC_TRY(rc_dir_sync(&r->target.dir, err));
    RC_TRY(rc_dir_remove(&r->target.dir, r->pin_name, err));
    return rc_dir_remove(&r->target.dir, r->journal_name, err);
}

/* ------------------------------------------------------------------ network */

/* What lies on a server is read once, ahead, in large ranges. Digests are computed here. */
static rc_code stream(run *r, rc_err *err)
{
    const rc_archive *a = table_of(r);
    const size_t n = a->npieces - r->from, quarter = r->mem->limit / 4, most = (size_t)256 << 20;
    const rc_stream_opts opts = { .memory = quarter && quarter < most ? quarter : most,
                                  .log = r->opts->log };
    rc_extent *extents;
    rc_code rc;

    if (!rc_source_is_remote(r->src) || n == 0)
        return RC_OK;
    extents = rc_mem_get(r->mem, n * sizeof *extents);
    if (!extents)
        return rc_fail_nomem(err, r->mem, n * sizeof *extents);
    for (size_t i = 0; i < n; i++) {
        const rc_archive_piece *p = &a->pieces[r->from + i];

        extents[i] = (rc_extent){ r->plan.file[r->from + i], p->off, p->packed.nbytes };
    }
    rc = rc_source_stream(r->src, extents, n, &opts, err);
    rc_mem_put(r->mem, extents);
    return rc;
}

/* ---------------------------------------------------------------- interface */

/* An archive that grows in the folder that it is made of would pack itself. */
static rc_code refuse_own_folder(const run *r, rc_err *err)
{
    struct stat folder, out;

    if (rc_source_is_remote(r->src) || rc_source_named(r->src) ||
        stat(rc_source_where(r->src), &folder) != 0 || fstat(r->target.dir.fd, &out) != 0 ||
        folder.st_dev != out.st_dev || folder.st_ino != out.st_ino)
        return RC_OK;
    rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET,
            "the archive would lie in the folder that it packs");
    rc_err_file(err, r->target.name);
    rc_err_hint(err, "put it beside the folder");
    return RC_E_CANTCREATE;
}

static const char *pin_name_of(const char *archive, char name[300])
{
    snprintf(name, 300, "%.240s.source", archive);
    return name;
}

static rc_code open_target(run *r, const char *archive, rc_err *err)
{
    RC_TRY(rc_target_open(&r->target, archive, err));
    if (strlen(r->target.name) > 240)
        return rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "the archive's name is too long");
    snprintf(r->partial, sizeof r->partial, "%s.partial", r->target.name);
    snprintf(r->journal_name, sizeof r->journal_name, "%s.journal", r->target.name);
    snprintf(r->lock_name, sizeof r->lock_name, "%s.lock", r->target.name);
    pin_name_of(r->target.name, r->pin_name);
    return refuse_own_folder(r, err);
}

bool rc_pack_find_pin(const char *archive, const char *where, char commit[RC_PIN_COMMIT],
                      rc_mem *mem)
{
    rc_target target = RC_TARGET_NONE;
    char name[300];
    bool found = false;

    if (rc_target_open(&target, archive, NULL) == RC_OK)
        found = rc_pin_find(&target.dir, pin_name_of(target.name, name), where, commit, mem);
    rc_target_close(&target);
    return found;
}

static rc_code refuse_existing(const run *r, const char *archive, rc_err *err)
{
    if (r->opts->force || !rc_dir_has(&r->target.dir, r->target.name, NULL))
        return RC_OK;
    rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "the archive exists");
    rc_err_file(err, archive);
    rc_err_hint(err, "--force replaces it once the new one is whole");
    return RC_E_CANTCREATE;
}

static rc_code plan_run(run *r, rc_err *err)
{
    rc_archive *a = table_of(r);

    RC_TRY(rc_pack_plan_make(&r->plan, r->src, r->mem, err));
    if (a->nfiles == 0)
        return rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "there are no files to pack");
    r->report->files = a->nfiles;
    r->report->pieces = a->npieces;
    r->report->nbytes = a->nbytes;
    if (r->opts->progress)
        r->opts->progress->total = a->nbytes;
    return make_slots(r, err);
}

static rc_code work(run *r, const char *archive, rc_err *err)
{
    RC_TRY(open_target(r, archive, err));
    RC_TRY(refuse_existing(r, archive, err));
    RC_TRY(rc_dir_lock(&r->target.dir, r->lock_name, &r->lock, err));
    RC_TRY(plan_run(r, err));
    RC_TRY(open_output(r, err));
    RC_TRY(stream(r, err));
    RC_TRY(
        rc_par_run(table_of(r)->npieces - r->from, r->nslots, r->opts->threads, do_piece, r, err));
    return publish(r, err);
}

static void finish(run *r)
{
    rc_source_unstream(r->src);
    for (unsigned i = 0; i < r->nslots; i++)
        free_slot(&r->slots[i], r->mem);
    rc_mem_put(r->mem, r->slots);
    rc_pack_plan_free(&r->plan);
    rc_pack_journal_close(&r->journal);
    if (r->fd >= 0)
        close(r->fd);
    if (r->lock >= 0)
        rc_dir_unlock(&r->target.dir, r->lock_name, r->lock);
    rc_target_close(&r->target);
}

static run make_run(rc_source *src, const rc_pack_opts *opts, rc_pack_report *report, rc_mem *mem)
{
    *report = (rc_pack_report){ 0 };
    return (run){ .src = src,
                  .opts = opts,
                  .report = report,
                  .mem = mem,
                  .target = RC_TARGET_NONE,
                  .fd = -1,
                  .lock = -1,
                  .journal = { .fd = -1 } };
}

rc_code rc_pack_run(rc_source *src, const char *archive, const rc_pack_opts *opts,
                    rc_pack_report *report, rc_mem *mem, rc_err *err)
{
    run r = make_run(src, opts, report, mem);
    rc_code rc;

    rc = work(&r, archive, err);
    finish(&r);
    return rc;
}

/* ---------------------------------------------------------------- estimate */

static rc_code sample(run *r, rc_err *err)
{
    rc_archive *a = table_of(r);
    const uint64_t step = a->npieces > SAMPLES ? a->npieces / SAMPLES : 1;
    uint64_t in = 0, out = 0;

    for (size_t k = step / 2; k < a->npieces; k += step) {
        const rc_packed *p = &a->pieces[k].packed;
        const uint8_t *data;

        RC_TRY(rc_stop_check(err));
        RC_TRY(read_piece(r, k, &r->slots[0], &data, err));
        RC_TRY(pack_piece(r, k, &r->slots[0], data, err));
        in += p->nbytes;
        out += rc_archive_stored(p);
        r->report->by_mode[p->mode][0] += p->nbytes;
        r->report->by_mode[p->mode][1] += rc_archive_stored(p);
    }
    r->report->archive = in ? (uint64_t)((double)out / (double)in * (double)a->nbytes) : 0;
    r->report->archive += RC_ARCHIVE_HEAD + 64 * (uint64_t)a->npieces;
    return RC_OK;
}

rc_code rc_pack_estimate(rc_source *src, const char *archive, const rc_pack_opts *opts,
                         rc_pack_report *report, rc_mem *mem, rc_err *err)
{
    rc_pack_opts alone = *opts;
    run r = make_run(src, &alone, report, mem);
    rc_code rc;

    alone.threads = 1;
    alone.progress = NULL;
    RC_TRY_GOTO(rc, done, open_target(&r, archive, err));
    RC_TRY_GOTO(rc, done, rc_dir_free(&r.target.dir, &report->free, err));
    RC_TRY_GOTO(rc, done, plan_run(&r, err));
    rc = sample(&r, err);
done:
    finish(&r);
    return rc;
}
