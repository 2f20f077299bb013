/* verify/check_ledger.c - what recast.json and recast.jsonl say of the files that are there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/checkpoint.h"
#include "verify/check_impl.h"

enum { PIECE = 4 << 20 }; /* bytes of the ledger that are read at a time */

/* The file of a listed name: *out is NULL where it is not there, or has another size; that is
 * said. No two results may claim one file, and none its own summary. */
static rc_code find(rc_check_file **out, rc_checking *c, const rc_listed *listed, rc_err *err)
{
    char want[32], got[32];
    rc_check_file *f;
    size_t i;

    *out = NULL;
    if (!rc_source_find(c->src, listed->name, &i)) {
        rc_check_fault(c, listed->name, NULL, RC_NO_OFFSET, NULL, NULL, "is missing");
        return RC_OK;
    }
    f = &c->files[i];
    if (f->known) {
        rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "is listed by two summaries, or is one itself");
        rc_err_file(err, listed->name);
        return RC_E_DATA;
    }
    f->mine = f->known = true;
    if (listed->nbytes == RC_NO_BYTES || listed->nbytes == f->at->nbytes) {
        if (listed->content.kind != RC_CONTENT_UNKNOWN)
            f->wants[f->nwants++] = (rc_check_want){ listed->content, "recast.json" };
        *out = f;
        return RC_OK;
    }
    snprintf(want, sizeof want, "%" PRIu64 " bytes", listed->nbytes);
    snprintf(got, sizeof got, "%" PRIu64, f->at->nbytes);
    rc_check_fault(c, listed->name, NULL, RC_NO_OFFSET, want, got, "has another size");
    f->wrong_size = true;
    return RC_OK;
}

/* ------------------------------------------------------------------- pieces */

static rc_code add_piece(rc_checking *c, const rc_ledger_part *part, size_t file, rc_err *err)
{
    const size_t room = c->room ? 2 * c->room : 1024, len = strlen(part->tensor);
    rc_check_piece *p;

    if (c->npieces == c->room) {
        void *grown = rc_mem_grow(c->mem, c->pieces, room * sizeof *c->pieces);

        if (!grown)
            return rc_fail_nomem(err, c->mem, room * sizeof *c->pieces);
        c->pieces = grown;
        c->room = room;
    }
    p = &c->pieces[c->npieces++];
    *p = (rc_check_piece){ .what = *part, .file = file };
    p->what.tensor = rc_arena_strdup(&c->arena, part->tensor, len);
    return p->what.tensor ? RC_OK : rc_fail_nomem(err, c->mem, len + 1);
}

static rc_code fail_part(const rc_ledger_line *line, const rc_ledger_part *part, const char *why,
                         rc_err *err)
{
    char shard[128];

    rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "%s", why);
    rc_err_tensor(err, part->tensor);
    rc_err_got(err, "%s", rc_escape(shard, 90, line->shard, strlen(line->shard)));
    return RC_E_DATA;
}

static rc_code take_line(rc_checking *c, const uint8_t *text, size_t len, rc_err *err)
{
    rc_arena arena = { .mem = c->mem };
    const rc_check_file *f = NULL;
    rc_ledger_line line;
    rc_code rc = rc_ledger_line_read(&line, text, len, &arena, err);
    size_t i = 0;

    /* Ledgers have their lines in the order of the files, so nearly always it is the last one. */
    if (rc == RC_OK && rc_source_find(c->src, line.shard, &i))
        f = &c->files[i];
    for (unsigned k = 0; rc == RC_OK && k < line.nparts; k++) {
        const rc_ledger_part *p = &line.parts[k];

        if (f && !f->listed && !f->wrong_size)
            rc = fail_part(&line, p, "lies in a file that recast.json does not list", err);
        else if (f && f->listed && p->placed &&
                 (p->begin < f->listed->head_bytes || p->begin + p->span > f->at->nbytes))
            rc = fail_part(&line, p, "does not fit its file", err);
        else if (f && f->listed)
            rc = add_piece(c, p, i, err);
    }
    rc_arena_free(&arena);
    return rc;
}

/* --------------------------------------------------------------- the ledger */

/* Text that is read in pieces and taken in lines. */
typedef struct feed {
    rc_checking *c;
    uint8_t *buf; /* the line under way, and what was read behind it */
    size_t len;
    uint64_t off; /* of buf in the file */
    rc_hasher *hasher;
    rc_code said; /* of the lines: the first error, in `why` */
    rc_err why;
} feed;

/* Whole lines of the buffer; at the end the rest, too. */
static void take_lines(feed *f, bool end)
{
    size_t at = 0;

    while (at < f->len && f->said == RC_OK) {
        const uint8_t *newline = memchr(f->buf + at, '\n', f->len - at);
        const size_t stop = newline ? (size_t)(newline - f->buf) : f->len;

        if (!newline && !end)
            break;
        f->said = take_line(f->c, f->buf + at, stop - at, &f->why);
        if (f->said != RC_OK && f->why.offset != RC_NO_OFFSET)
            f->why.offset += f->off + at;
        at = newline ? stop + 1 : stop;
    }
    f->len = f->said == RC_OK ? f->len - at : 0;
    memmove(f->buf, f->buf + at, f->len);
    f->off += at;
    if (f->len > RC_LEDGER_MAX_LINE && f->said == RC_OK)
        f->said = rc_fail(&f->why, RC_E_LIMIT, f->off, "a line of more than %zu bytes",
                          RC_LEDGER_MAX_LINE);
    if (f->said != RC_OK)
        f->len = 0;
}

static rc_code read_lines(feed *f, size_t file, rc_err *err)
{
    const uint64_t nbytes = rc_source_at(f->c->src, file)->nbytes;
    uint64_t at = 0;

    while (at < nbytes) {
        const size_t n = nbytes - at < PIECE ? (size_t)(nbytes - at) : PIECE;

        RC_TRY(rc_source_read(f->c->src, file, at, f->buf + f->len, n, err));
        rc_hash_add(f->hasher, f->buf + f->len, n);
        f->len += n;
        at += n;
        take_lines(f, at == nbytes);
    }
    return RC_OK;
}

/* Lines of a ledger that is not the one prove nothing, so what they say is forgotten. */
static rc_code read_ledger(bool *trusted, rc_checking *c, const rc_manifest *m, size_t file,
                           rc_err *err)
{
    const char *name = rc_source_at(c->src, file)->name;
    const rc_digest want = rc_manifest_ledger_digest(m);
    const size_t before = c->npieces, room = PIECE + RC_LEDGER_MAX_LINE + 1;
    _Alignas(64) rc_hasher hasher;
    feed f = { .c = c, .hasher = &hasher, .buf = rc_mem_get(c->mem, room) };
    rc_digest got;
    rc_code rc;

    if (!f.buf)
        return rc_fail_nomem(err, c->mem, room);
    rc_hash_begin(&hasher);
    rc = read_lines(&f, file, err);
    got = rc_hash_end(&hasher);
    rc_mem_put(c->mem, f.buf);
    RC_TRY(rc);
    *trusted = rc_digest_equal(&got, &want);
    if (!*trusted) {
        char hex[2][33];

        c->npieces = before;
        rc_check_fault(c, name, NULL, RC_NO_OFFSET, rc_digest_hex(&want, hex[0]),
                       rc_digest_hex(&got, hex[1]),
                       "was changed: the digests of tensors in it are not to be trusted, and no "
                       "tensor is compared with them");
        return RC_OK;
    }
    if (f.said == RC_OK)
        return RC_OK;
    if (err)
        *err = f.why;
    rc_err_file(err, name);
    return f.said;
}

/* ----------------------------------------------------------------- format 1 */

/* Where a tensor lies, by the heads of the files. Of a stack without gaps the ledger says which
 * matrix it is; what else is smaller than its tensor lies in columns of it, and stays unknown. */
static void place(rc_check_piece *p, const rc_ckpt *ckpt, const rc_source_file *file)
{
    const rc_tensor *t = rc_ckpt_find(ckpt, p->what.tensor);
    uint64_t off = 0;

    if (!t || strcmp(rc_ckpt_shard(ckpt, t->shard)->name, file->name) != 0 ||
        (t->nbytes != p->what.nbytes && !p->what.stacked))
        return;
    if (t->nbytes != p->what.nbytes && !rc_mul_u64(p->what.expert, p->what.nbytes, &off))
        return;
    if (off > t->nbytes || p->what.nbytes > t->nbytes - off)
        return;
    p->what.begin = t->begin + off;
    p->what.placed = true;
}

static rc_code place_by(rc_checking *c, const char *where, rc_err *err)
{
    rc_ckpt_faults faults = { 0 };
    rc_source *src;
    rc_ckpt *ckpt;
    rc_err why;
    rc_code rc;

    RC_TRY(rc_source_open(&src, where, c->source_opts, c->mem, err));
    rc = rc_ckpt_open_lax(&ckpt, &faults, src, NULL, c->mem, &why);
    if (rc == RC_E_DATA || rc == RC_E_TENSORSET || rc == RC_E_NOINPUT) {
        rc_check_fault(c, why.file, why.tensor, why.offset, NULL, NULL, "%s", why.msg);
        return RC_OK;
    }
    if (rc != RC_OK) {
        if (err)
            *err = why;
        return rc;
    }
    for (size_t i = 0; i < c->npieces; i++)
        if (!c->pieces[i].what.placed)
            place(&c->pieces[i], ckpt, c->files[c->pieces[i].file].at);
    rc_ckpt_close(&ckpt);
    return RC_OK;
}

static bool ends_in(const char *name, const char *suffix)
{
    const size_t n = strlen(name), k = strlen(suffix);

    return n >= k && strcmp(name + n - k, suffix) == 0;
}

/* A set of GGUF files is opened by its first. */
static bool opens(const char *name)
{
    rc_split_name split;

    return ends_in(name, ".gguf") && (!rc_split_name_of(&split, name) || split.no == 1);
}

static rc_code place_by_heads(rc_checking *c, rc_err *err)
{
    bool gguf = false;

    for (size_t i = 0; i < c->nfiles; i++)
        if (c->files[i].listed && !c->files[i].wrong_size && opens(c->files[i].at->name)) {
            char where[4096];

            gguf = true;
            if (snprintf(where, sizeof where, "%s/%s", c->folder, c->files[i].at->name) <
                (int)sizeof where)
                RC_TRY(place_by(c, where, err));
        }
    return gguf ? RC_OK : place_by(c, c->folder, err);
}

/* ---------------------------------------------------------------- all of it */

static rc_code expect_manifest(rc_checking *c, const rc_manifest *m, rc_err *err)
{
    bool trusted = false;
    rc_check_file *f;

    for (size_t i = 0; i < rc_manifest_shards(m); i++) {
        RC_TRY(find(&f, c, rc_manifest_shard(m, i), err));
        if (f)
            f->listed = rc_manifest_shard(m, i);
    }
    for (size_t i = 0; i < rc_manifest_files(m); i++)
        RC_TRY(find(&f, c, rc_manifest_file(m, i), err));
    RC_TRY(find(&f, c, rc_manifest_ledger(m), err));
    if (f)
        RC_TRY(read_ledger(&trusted, c, m, (size_t)(f - c->files), err));
    /* What a ledger that is right does not speak of has to be zero. */
    for (size_t i = 0; i < rc_manifest_shards(m) && trusted && rc_manifest_format(m) >= 2; i++) {
        size_t k;

        if (rc_source_find(c->src, rc_manifest_shard(m, i)->name, &k))
            c->files[k].whole = true;
    }
    return RC_OK;
}

static int by_place(const void *a, const void *b)
{
    const rc_check_piece *x = a, *y = b;

    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    if (x->what.begin != y->what.begin)
        return x->what.begin < y->what.begin ? -1 : 1;
    return (x->what.span > y->what.span) - (x->what.span < y->what.span);
}

/* Each file its pieces. Together they must not be more than the file. */
static rc_code deal(rc_checking *c, rc_err *err)
{
    if (c->npieces)
        qsort(c->pieces, c->npieces, sizeof *c->pieces, by_place);
    for (size_t i = 0; i < c->npieces;) {
        rc_check_file *f = &c->files[c->pieces[i].file];
        uint64_t sum = f->listed->head_bytes;

        f->pieces = &c->pieces[i];
        for (; i < c->npieces && &c->files[c->pieces[i].file] == f; i++, f->npieces++)
            if (!rc_add_u64(sum, c->pieces[i].what.nbytes, &sum) || sum > f->at->nbytes) {
                rc_fail(err, RC_E_DATA, RC_NO_OFFSET,
                        "its tensors are larger, by the ledger, than the file");
                rc_err_file(err, f->at->name);
                return RC_E_DATA;
            }
    }
    return RC_OK;
}

/* Format 1: drop what has no place. */
static void drop_unplaced(rc_checking *c)
{
    size_t kept = 0;

    for (size_t i = 0; i < c->npieces; i++)
        if (c->pieces[i].what.placed)
            c->pieces[kept++] = c->pieces[i];
    if (kept < c->npieces)
        rc_findings_add(&c->result->findings, RC_NOTE, RC_OK, "tensors", NULL, NULL,
                        "%zu tensors are not compared: format 1 of recast.json does not say where "
                        "they lie",
                        c->npieces - kept);
    c->npieces = kept;
}

rc_code rc_check_expect(rc_checking *c, rc_err *err)
{
    bool unplaced = false;

    for (size_t i = 0; i < c->nmanifests; i++)
        RC_TRY(expect_manifest(c, c->manifests[i], err));
    for (size_t i = 0; i < c->npieces && !unplaced; i++)
        unplaced = !c->pieces[i].what.placed;
    if (unplaced && !c->opts->quick)
        RC_TRY(place_by_heads(c, err));
    if (unplaced)
        drop_unplaced(c);
    return deal(c, err);
}
