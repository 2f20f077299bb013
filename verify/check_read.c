/* verify/check_read.c - read every byte once, and give it to all that know something of it.
 *
 * Files are read in blocks, several at a time; the blocks of one file are digested in their order,
 * so that one pass feeds the digests of whole files, of heads and of tensors, and sees that
 * whatever is none of them is zero. SHA-256 is five times slower than the rest: where it is
 * computed, several files take turns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify/check_impl.h"

enum { BLOCK = 4 << 20, MIN_SLOTS = 4, MAX_SLOTS = 16 };

/* Bytes of a block that somebody knows. */
typedef struct span {
    uint32_t at, len;
} span;

typedef struct slot {
    uint8_t *buf;
    span *spans;
    size_t nspans, room;
    uint64_t covered; /* bytes */
} slot;

typedef struct reading {
    rc_checking *c;
    rc_check_block *blocks;
    uint64_t nblocks;
    slot slots[MAX_SLOTS];
    unsigned nslots;
} reading;

/* A block in the hands of a slot. */
typedef struct part {
    const uint8_t *data;
    uint64_t off;
    size_t n;
} part;

/* ------------------------------------------------------------ what is known */

static rc_code add_span(reading *r, slot *s, uint64_t at, uint64_t len, rc_err *err)
{
    const size_t room = s->room ? 2 * s->room : 256;

    s->covered += len;
    if (s->nspans == s->room) {
        void *grown = rc_mem_grow(r->c->mem, s->spans, room * sizeof *s->spans);

        if (!grown)
            return rc_fail_nomem(err, r->c->mem, room * sizeof *s->spans);
        s->spans = grown;
        s->room = room;
    }
    s->spans[s->nspans++] = (span){ (uint32_t)at, (uint32_t)len };
    return RC_OK;
}

static rc_code begin_hash(rc_hasher **hasher, rc_mem *mem, rc_err *err)
{
    *hasher = rc_mem_get_pages(mem, sizeof **hasher);
    if (!*hasher)
        return rc_fail_nomem(err, mem, sizeof **hasher);
    rc_hash_begin(*hasher);
    return RC_OK;
}

static void end_hash(rc_hasher **hasher, rc_mem *mem, rc_digest *out)
{
    *out = rc_hash_end(*hasher);
    rc_mem_put(mem, *hasher);
    *hasher = NULL;
}

static void compare(rc_checking *c, const rc_check_file *f, const char *tensor, uint64_t begin,
                    uint64_t end, const rc_digest *want, const rc_digest *got)
{
    char hex[2][33];

    if (rc_digest_equal(want, got))
        return;
    rc_check_fault(c, f->at->name, tensor, begin, rc_digest_hex(want, hex[0]),
                   rc_digest_hex(got, hex[1]), "%s changed, between bytes %" PRIu64 " and %" PRIu64,
                   tensor ? "was" : "its head (what tensors it has, metadata) was", begin, end);
}

static rc_code feed_head(reading *r, slot *s, rc_check_file *f, const part *p, rc_err *err)
{
    const rc_listed *l = f->listed;
    rc_digest got;
    size_t n;

    if (!l || !l->has_head || p->off >= l->head_bytes)
        return RC_OK;
    n = l->head_bytes - p->off < p->n ? (size_t)(l->head_bytes - p->off) : p->n;
    if (!f->head)
        RC_TRY(begin_hash(&f->head, r->c->mem, err));
    rc_hash_add(f->head, p->data, n);
    RC_TRY(add_span(r, s, 0, n, err));
    if (p->off + n < l->head_bytes)
        return RC_OK;
    end_hash(&f->head, r->c->mem, &got);
    compare(r->c, f, NULL, 0, l->head_bytes, &l->head, &got);
    return RC_OK;
}

/* A run of the piece's bytes that lies in the block. */
static rc_code feed_run(reading *r, slot *s, rc_check_piece *piece, const part *p, uint64_t begin,
                        uint64_t nbytes, rc_err *err)
{
    const uint64_t end = begin + nbytes < p->off + p->n ? begin + nbytes : p->off + p->n;

    if (begin < p->off)
        begin = p->off;
    if (begin >= end)
        return RC_OK;
    if (!piece->hasher)
        RC_TRY(begin_hash(&piece->hasher, r->c->mem, err));
    rc_hash_add(piece->hasher, p->data + (begin - p->off), (size_t)(end - begin));
    piece->seen += end - begin;
    return add_span(r, s, begin - p->off, end - begin, err);
}

static rc_code feed_rows(reading *r, slot *s, rc_check_piece *piece, const part *p, rc_err *err)
{
    const rc_ledger_part *w = &piece->what;
    const uint64_t rows = w->nbytes / w->row_bytes;

    for (uint64_t row = p->off > w->begin ? (p->off - w->begin) / w->stride : 0;
         row < rows && w->begin + row * w->stride < p->off + p->n; row++) {
        RC_TRY(feed_run(r, s, piece, p, w->begin + row * w->stride, w->row_bytes, err));
        if (s->covered > p->n) /* as many bytes as there are is for the caller to judge */
            return RC_OK;
    }
    return RC_OK;
}

static rc_code feed_piece(reading *r, slot *s, const rc_check_file *f, rc_check_piece *piece,
                          const part *p, rc_err *err)
{
    const rc_ledger_part *w = &piece->what;
    rc_digest got;

    if (w->begin + w->span <= p->off || !w->nbytes)
        return RC_OK;
    RC_TRY(w->stride ? feed_rows(r, s, piece, p, err)
                     : feed_run(r, s, piece, p, w->begin, w->nbytes, err));
    if (piece->seen < w->nbytes)
        return RC_OK;
    end_hash(&piece->hasher, r->c->mem, &got);
    compare(r->c, f, w->tensor, w->begin, w->begin + w->span, &w->digest, &got);
    return RC_OK;
}

static rc_code fail_overlap(const rc_check_file *f, uint64_t offset, rc_err *err)
{
    rc_fail(err, RC_E_DATA, offset, "by the ledger two tensors lie on one another");
    rc_err_file(err, f->at->name);
    return RC_E_DATA;
}

static rc_code feed_pieces(reading *r, slot *s, rc_check_file *f, const part *p, rc_err *err)
{
    for (size_t i = f->first; i < f->npieces && f->pieces[i].what.begin < p->off + p->n; i++) {
        if (f->pieces[i].seen == f->pieces[i].what.nbytes)
            continue;
        RC_TRY(feed_piece(r, s, f, &f->pieces[i], p, err));
        if (s->covered > p->n)
            return fail_overlap(f, f->pieces[i].what.begin, err);
    }
    while (f->first < f->npieces && f->pieces[f->first].seen == f->pieces[f->first].what.nbytes)
        f->first++;
    return RC_OK;
}

/* ------------------------------------------------------- what lies in between */

static int by_place(const void *a, const void *b)
{
    const span *x = a, *y = b;

    return (x->at > y->at) - (x->at < y->at);
}

static void check_zeros(rc_checking *c, rc_check_file *f, const part *p, size_t at, size_t end)
{
    while (at < end && p->data[at] == 0)
        at++;
    if (at == end || f->torn)
        return;
    f->torn = true;
    rc_check_fault(c, f->at->name, NULL, p->off + at, NULL, NULL,
                   "a byte between tensors was changed: they are all zero");
}

static rc_code check_gaps(rc_checking *c, rc_check_file *f, slot *s, const part *p, rc_err *err)
{
    size_t at = 0;

    if (s->nspans > 1)
        qsort(s->spans, s->nspans, sizeof *s->spans, by_place);
    for (size_t i = 0; i < s->nspans; i++) {
        if (s->spans[i].at < at)
            return fail_overlap(f, p->off + s->spans[i].at, err);
        check_zeros(c, f, p, at, s->spans[i].at);
        at = s->spans[i].at + s->spans[i].len;
    }
    check_zeros(c, f, p, at, p->n);
    return RC_OK;
}

/* ------------------------------------------------------------------- a block */

static void conclude(rc_checking *c, rc_check_file *f)
{
    char hex[2][RC_CONTENT_HEX];

    for (unsigned k = 0; k < f->nwants; k++) {
        const rc_check_want *w = &f->wants[k];
        const rc_content_id got = rc_content_end(&f->hashers[w->content.kind == RC_CONTENT_GIT]);

        if (!rc_content_equal(&got, &w->content))
            rc_check_fault(c, f->at->name, NULL, RC_NO_OFFSET, rc_content_hex(&w->content, hex[0]),
                           rc_content_hex(&got, hex[1]),
                           "was changed: it is not the file that %s names", w->who);
    }
    if (f->sha256)
        f->content = rc_content_end(&f->hashers[0]);
}

static rc_code digest_block(reading *r, slot *s, rc_check_file *f, const part *p, rc_err *err)
{
    s->nspans = 0;
    s->covered = 0;
    if (f->sha256)
        rc_content_add(&f->hashers[0], p->data, p->n);
    if (f->git)
        rc_content_add(&f->hashers[1], p->data, p->n);
    RC_TRY(feed_head(r, s, f, p, err));
    if (f->full) {
        RC_TRY(feed_pieces(r, s, f, p, err));
        if (f->whole)
            RC_TRY(check_gaps(r->c, f, s, p, err));
        if (p->off + p->n == f->nbytes)
            conclude(r->c, f);
    }
    return RC_OK;
}

static rc_code do_block(void *ctx, rc_par *par, unsigned slot_index, uint64_t item, rc_err *err)
{
    reading *r = ctx;
    slot *s = &r->slots[slot_index];
    const rc_check_block *b = &r->blocks[item];
    rc_check_file *f = &r->c->files[b->file];
    part p = { .off = b->off,
               .n = f->nbytes - b->off < BLOCK ? (size_t)(f->nbytes - b->off) : BLOCK };
    rc_code rc;

    RC_TRY(rc_source_read_direct(r->c->src, b->file, p.off, p.n, s->buf, BLOCK + 2 * RC_PAGE,
                                 &p.data, err));
    if (!rc_turn_wait(par, &f->turn, b->ticket))
        return rc_fail(err, RC_E_STOPPED, RC_NO_OFFSET, "another part of the run failed");
    rc_par_compute_begin(par);
    rc = digest_block(r, s, f, &p, err);
    rc_par_compute_end(par);
    RC_TRY(rc);
    rc_turn_next(par, &f->turn);
    if (r->c->opts->progress)
        r->c->opts->progress->done += p.n;
    return RC_OK;
}

/* ---------------------------------------------------------------- all blocks */

static uint64_t blocks_of(const rc_check_file *f)
{
    return f->nbytes ? rc_ceil_div(f->nbytes, BLOCK) : 1; /* an empty file has a digest, too */
}

static bool is_read(const rc_check_file *f)
{
    return f->mine && f->known && !f->wrong_size;
}

/* The blocks of `lanes` files at a time, one of each in turn. */
static void order(reading *r, unsigned lanes)
{
    rc_checking *c = r->c;
    rc_check_block lane[MAX_SLOTS];
    uint64_t n = 0;
    size_t next = 0;

    for (unsigned k = 0; k < lanes; k++)
        lane[k].file = SIZE_MAX;
    while (n < r->nblocks)
        for (unsigned k = 0; k < lanes; k++) {
            rc_check_block *b = &lane[k];

            if (b->file == SIZE_MAX) {
                while (next < c->nfiles && !is_read(&c->files[next]))
                    next++;
                if (next == c->nfiles)
                    continue;
                *b = (rc_check_block){ .file = next++ };
            }
            r->blocks[n++] = *b;
            b->off += BLOCK;
            b->ticket++;
            if (b->ticket == blocks_of(&c->files[b->file]))
                b->file = SIZE_MAX;
        }
}

/* What is computed of a file, and how much of it is read. */
static void prepare(rc_checking *c, rc_check_file *f)
{
    const bool head_only = c->opts->quick && f->listed;

    f->full = !head_only;
    f->nbytes = f->at->nbytes;
    if (head_only) { /* format 1: nothing but the size */
        f->nbytes = f->listed->has_head ? f->listed->head_bytes : 0;
        f->sha256 = false;
        return;
    }
    for (unsigned k = 0; k < f->nwants; k++) {
        f->sha256 = f->sha256 || f->wants[k].content.kind == RC_CONTENT_SHA256;
        f->git = f->git || f->wants[k].content.kind == RC_CONTENT_GIT;
    }
    if (f->sha256)
        rc_content_begin(&f->hashers[0], RC_CONTENT_SHA256, f->nbytes);
    if (f->git)
        rc_content_begin(&f->hashers[1], RC_CONTENT_GIT, f->nbytes);
}

static rc_code make_slots(reading *r, rc_err *err)
{
    for (unsigned i = 0; i < r->nslots; i++) {
        r->slots[i].buf = rc_mem_get_pages(r->c->mem, BLOCK + 2 * RC_PAGE);
        if (!r->slots[i].buf)
            return rc_fail_nomem(err, r->c->mem, BLOCK + 2 * RC_PAGE);
    }
    return RC_OK;
}

static void free_hashers(rc_checking *c)
{
    for (size_t i = 0; i < c->nfiles; i++)
        rc_mem_put(c->mem, c->files[i].head);
    for (size_t i = 0; i < c->npieces; i++)
        rc_mem_put(c->mem, c->pieces[i].hasher);
}

static unsigned between(unsigned low, unsigned x, unsigned high)
{
    return x < low ? low : x > high ? high : x;
}

rc_code rc_check_read(rc_checking *c, rc_err *err)
{
    const unsigned threads = c->opts->threads;
    reading r = { .c = c, .nslots = between(MIN_SLOTS, 2 * threads, MAX_SLOTS) };
    uint64_t total = 0;
    bool slow = false;
    rc_code rc = RC_OK;

    for (size_t i = 0; i < c->nfiles; i++) {
        rc_check_file *f = &c->files[i];

        if (!is_read(f))
            continue;
        prepare(c, f);
        total += f->nbytes;
        slow = slow || (f->sha256 && f->listed);
        r.nblocks += blocks_of(f);
        c->result->files++;
        c->result->tensors += c->opts->quick ? 0 : f->npieces;
    }
    r.blocks = rc_mem_get(c->mem, (size_t)r.nblocks * sizeof *r.blocks);
    if (!r.blocks)
        return rc_fail_nomem(err, c->mem, (size_t)r.nblocks * sizeof *r.blocks);
    order(&r, slow ? between(1, threads, MAX_SLOTS) : 1);
    if (c->opts->progress)
        c->opts->progress->total = total;
    RC_TRY_GOTO(rc, done, make_slots(&r, err));
    rc = rc_par_run(r.nblocks, r.nslots, threads, do_block, &r, err);
    c->result->nbytes = total;
done:
    free_hashers(c);
    for (unsigned i = 0; i < r.nslots; i++) {
        rc_mem_put(c->mem, r.slots[i].buf);
        rc_mem_put(c->mem, r.slots[i].spans);
    }
    rc_mem_put(c->mem, r.blocks);
    return rc;
}
