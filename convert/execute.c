/* convert/execute.c - see execute.h. */
#include "convert/execute.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "convert/columns.h"
#include "convert/ledger.h"
#include "convert/readback.h"
#include "formats/base/hash.h"
#include "formats/base/par.h"
#include "formats/base/stop.h"

enum {
    /* Bytes of the larger side of a chunk. Six requests of this size keep a disk busy, and
     * the buffers of all slots together stay in a last-level cache: from memory, 2 MiB
     * was measured 1.3 times as fast as 8 MiB, from a disk equal. */
    CHUNK = 2 << 20,
    CHUNK_MIN = 1 << 18,
    SLICE = 1 << 18, /* bytes of the larger side that are worked on at a time: half an L2 */
    IO_SLOTS = 4     /* slots beyond the computing ones: these wait for the disk */
};

typedef struct hashes {
    _Alignas(64) rc_hasher in[RC_PART_COUNT], out[RC_PART_COUNT];
} hashes;

/* A job under way: from its first chunk to its last. */
typedef struct active {
    hashes *hashes;
    rc_turn turn;
    uint64_t chunks_left;
    rc_verdict verdict;
} active;

typedef struct shard_state {
    rc_out *out;
    size_t jobs_left;
    bool there; /* an unfinished file of the right size, to be gone on with */
} shard_state;

typedef struct item {
    uint32_t job, chunk;
} item;

typedef struct slot {
    uint8_t *in[RC_PART_COUNT], *out[RC_PART_COUNT]; /* page-aligned, used again and again */
    float *work;
    rc_columns columns;
    rc_verdict *verdicts; /* of a chunk's slices, until their turn comes */
} slot;

typedef struct run {
    const rc_plan *plan;
    const rc_dir *dir;
    rc_journal *journal;
    const rc_execute_opts *opts;
    rc_mem *mem;
    pthread_mutex_t lock; /* guards shards, active, and the counts inside */
    shard_state *shards;
    active *active; /* by job */
    item *items;
    size_t nitems;
    uint64_t chunk_budget;
    size_t in_max[RC_PART_COUNT], out_max[RC_PART_COUNT]; /* bytes, over all chunks to do */
    size_t work_max, verdicts_max;
    rc_columns_room columns_room;
    slot slots[RC_PAR_MAX_SLOTS];
    unsigned nslots;
} run;

const char *rc_partial_name(const rc_plan_shard *shard, char buf[RC_PARTIAL_NAME])
{
    snprintf(buf, RC_PARTIAL_NAME, "%s.partial", shard->name);
    return buf;
}

static void count(const run *r, uint64_t nbytes)
{
    if (r->opts->progress)
        atomic_fetch_add(&r->opts->progress->done, nbytes);
}

static uint64_t job_out_bytes(const rc_job *job)
{
    uint64_t n = 0;

    for (unsigned part = 0; part < RC_PART_COUNT; part++)
        n += job->out[part].nbytes;
    return n;
}

/* ------------------------------------------------ what an earlier run left */

/* A shard that was not recorded as synced may have lost anything in a power cut:
 * believe the journal only where the bytes still have the digest it names. */
static rc_code recheck_shard(run *r, size_t s, rc_err *err)
{
    uint8_t *buf = rc_mem_get_pages(r->mem, RC_READBACK);
    rc_code rc = RC_OK;

    if (!buf)
        return rc_fail_nomem(err, r->mem, RC_READBACK);
    for (size_t i = 0; i < rc_plan_jobs(r->plan) && rc == RC_OK; i++) {
        const rc_result *result = rc_journal_result(r->journal, i);
        const rc_job *job = rc_plan_job(r->plan, i);
        const rc_dest *differs;

        if (!result || job->shard != s)
            continue;
        rc = rc_readback(r->shards[s].out, job, result, buf, &differs, err);
        if (rc == RC_OK && differs)
            rc = rc_journal_forget(r->journal, i, err);
    }
    rc_mem_put(r->mem, buf);
    return rc;
}

static rc_code forget_shard(run *r, size_t s, rc_err *err)
{
    if (rc_journal_has_shard(r->journal, s)) /* first: no job of a trusted shard is missing */
        RC_TRY(rc_journal_forget_shard(r->journal, s, err));
    for (size_t i = 0; i < rc_plan_jobs(r->plan); i++)
        if (rc_plan_job(r->plan, i)->shard == s && rc_journal_result(r->journal, i))
            RC_TRY(rc_journal_forget(r->journal, i, err));
    return RC_OK;
}

static bool all_done(const run *r, size_t s)
{
    for (size_t i = 0; i < rc_plan_jobs(r->plan); i++)
        if (rc_plan_job(r->plan, i)->shard == s && !rc_journal_result(r->journal, i))
            return false;
    return true;
}

/* What no job of this run's history has written is a file of somebody else's run: the right
 * size, but with whatever bytes between the tensors. */
static bool any_done(const run *r, size_t s)
{
    for (size_t i = 0; i < rc_plan_jobs(r->plan); i++)
        if (rc_plan_job(r->plan, i)->shard == s && rc_journal_result(r->journal, i))
            return true;
    return false;
}

static bool has_file(const rc_dir *dir, const char *name, uint64_t nbytes)
{
    uint64_t there;

    return rc_dir_stat(dir, name, &there) && there == nbytes;
}

static rc_code take_up_shard(run *r, size_t s, rc_err *err)
{
    const rc_plan_shard *shard = rc_plan_shard_at(r->plan, s);
    char partial[RC_PARTIAL_NAME];
    const bool there = has_file(r->dir, rc_partial_name(shard, partial), shard->nbytes);

    r->shards[s].there = there;
    if (!there && rc_journal_has_publish(r->journal) &&
        has_file(r->dir, shard->name, shard->nbytes) && all_done(r, s))
        return RC_OK; /* has its final name already */
    if (!there)
        return forget_shard(r, s, err);
    if (rc_journal_has_shard(r->journal, s))
        return RC_OK;
    RC_TRY(
        rc_out_open(&r->shards[s].out, r->dir, partial, shard->nbytes, RC_OUT_RESUME, r->mem, err));
    RC_TRY(recheck_shard(r, s, err));
    r->shards[s].there = any_done(r, s);
    return rc_out_close(&r->shards[s].out, err);
}

static rc_code take_up(run *r, rc_err *err)
{
    for (size_t s = 0; s < rc_plan_shards(r->plan); s++)
        if (rc_plan_is_mine(r->plan, s))
            RC_TRY(take_up_shard(r, s, err));
    return RC_OK;
}

uint64_t rc_execute_space(const rc_plan *plan, const rc_dir *dir)
{
    /* a run that died while it gave final names had all the space it needs */
    const rc_plan_names *names = rc_plan_names_of(plan);
    const bool publishing =
        rc_dir_stat(dir, names->journal, NULL) && !rc_dir_stat(dir, names->summary, NULL);
    uint64_t need = 0;

    for (size_t s = 0; s < rc_plan_shards(plan); s++) {
        const rc_plan_shard *shard = rc_plan_shard_at(plan, s);
        char partial[RC_PARTIAL_NAME];

        /* space is reserved whole when a shard is begun */
        if (!has_file(dir, rc_partial_name(shard, partial), shard->nbytes) &&
            !(publishing && has_file(dir, shard->name, shard->nbytes)))
            need += shard->nbytes;
    }
    return need;
}

/* --------------------------------------------------------- what is to be done */

/* Done, or for another part of the work to do. */
static bool is_done(const run *r, size_t job)
{
    return !rc_plan_is_mine(r->plan, rc_plan_job(r->plan, job)->shard) ||
           (r->journal && rc_journal_result(r->journal, job));
}

static size_t max_size(size_t a, uint64_t b)
{
    return a > b ? a : (size_t)b;
}

static uint64_t slice_count(const rc_chunk *c)
{
    uint64_t done = 0, n = 0;
    rc_chunk s;

    while (rc_chunk_slice(&s, c, &done, SLICE))
        n++;
    return n;
}

/* List the chunks of every job that is not done, and learn the largest. */
static rc_code list_items(run *r, rc_err *err)
{
    const size_t n = rc_plan_jobs(r->plan);
    size_t total = 0;

    for (size_t i = 0; i < n; i++) {
        const rc_job *job = rc_plan_job(r->plan, i);

        if (!is_done(r, i))
            total += (size_t)rc_chunk_count(job, rc_chunk_rows(job, r->chunk_budget));
    }
    rc_mem_put(r->mem, r->items);
    r->items = rc_mem_get(r->mem, total * sizeof *r->items);
    if (!r->items)
        return rc_fail_nomem(err, r->mem, total * sizeof *r->items);
    r->nitems = 0;
    memset(r->in_max, 0, sizeof r->in_max);
    memset(r->out_max, 0, sizeof r->out_max);
    memset(&r->columns_room, 0, sizeof r->columns_room);
    r->work_max = r->verdicts_max = 0;
    for (size_t i = 0; i < n; i++) {
        const rc_job *job = rc_plan_job(r->plan, i);
        const uint64_t rows = rc_chunk_rows(job, r->chunk_budget);
        const uint64_t chunks = rc_chunk_count(job, rows);
        rc_chunk c;

        if (is_done(r, i))
            continue;
        rc_chunk_at(&c, job, rows, 0); /* the first is the largest */
        for (unsigned part = 0; part < RC_PART_COUNT; part++) {
            r->in_max[part] = max_size(r->in_max[part], c.in[part].len);
            r->out_max[part] = max_size(r->out_max[part], c.out[part].len);
        }
        r->work_max = max_size(r->work_max, rc_cast_work(job));
        rc_columns_need(&r->columns_room, job, rc_plan_recipe(r->plan));
        if (rc_cast_is_slow(job))
            r->verdicts_max = max_size(r->verdicts_max, slice_count(&c) * sizeof(rc_verdict));
        r->active[i].chunks_left = chunks;
        for (uint64_t k = 0; k < chunks; k++)
            r->items[r->nitems++] = (item){ (uint32_t)i, (uint32_t)k };
    }
    return RC_OK;
}

/* What a slot can hold at a time: its buffers, the digests of the job that it is at, and
 * what the allocator adds to blocks on page boundaries. */
static size_t slot_bytes(const run *r)
{
    size_t n = r->work_max + rc_columns_bytes(&r->columns_room) + r->verdicts_max + sizeof(hashes) +
               8 * RC_PAGE;

    for (unsigned part = 0; part < RC_PART_COUNT; part++)
        n += r->in_max[part] + r->out_max[part] + 5 * RC_PAGE;
    return n;
}

static rc_code make_slot(run *r, slot *s, rc_err *err)
{
    bool whole = true;

    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        s->in[part] = rc_mem_get_pages(r->mem, r->in_max[part] + 2 * RC_PAGE);
        s->out[part] = rc_mem_get_pages(r->mem, r->out_max[part] + RC_PAGE);
        whole &= s->in[part] && s->out[part];
    }
    s->work = rc_mem_get_pages(r->mem, r->work_max);
    s->verdicts = rc_mem_get(r->mem, r->verdicts_max);
    if (!whole || !s->work || !s->verdicts)
        return rc_fail_nomem(err, r->mem, slot_bytes(r));
    return rc_columns_make(&s->columns, &r->columns_room, r->mem, err);
}

/* As many slots as the limit pays for; smaller chunks before fewer than one per
 * thread. The result does not depend on either. */
static rc_code fit_memory(run *r, rc_err *err)
{
    const rc_source *src = rc_ckpt_source(rc_model_ckpt(rc_plan_model(r->plan)));
    /* nothing to wait for: what was copied from memory is cast while it is in cache */
    const bool waits = !r->opts->discard || !rc_source_in_memory(src);
    unsigned want = r->opts->threads + (waits ? IO_SLOTS : 0);
    rc_code rc;

    if (want > RC_PAR_MAX_SLOTS)
        want = RC_PAR_MAX_SLOTS;
    for (r->chunk_budget = CHUNK;; r->chunk_budget /= 2) {
        size_t room, used;

        RC_TRY(list_items(r, err));
        used = r->mem->used;
        /* what open files need besides */
        room = r->mem->limit > used + (1u << 20) ? r->mem->limit - used - (1u << 20) : 0;
        r->nslots = want;
        if (r->mem->limit && slot_bytes(r) * want > room)
            r->nslots = (unsigned)(room / slot_bytes(r));
        if (r->nslots >= want || (r->nslots && r->chunk_budget <= CHUNK_MIN))
            break;
        if (r->chunk_budget <= CHUNK_MIN) {
            rc = rc_fail(err, RC_E_OS, RC_NO_OFFSET, "--mem-limit is too small for one chunk");
            rc_err_want(err, "at least %zu bytes", used + slot_bytes(r) + (1u << 20));
            rc_err_got(err, "%zu", r->mem->limit);
            return rc;
        }
    }
    for (unsigned i = 0; i < r->nslots; i++)
        RC_TRY(make_slot(r, &r->slots[i], err));
    return RC_OK;
}

/* --------------------------------------------------------------- one chunk */

/* Under the lock. Space for the whole shard is reserved here, at its first chunk. */
static rc_code open_shard(run *r, size_t s, rc_out **out, rc_err *err)
{
    shard_state *state = &r->shards[s];
    const rc_plan_shard *shard = rc_plan_shard_at(r->plan, s);
    char partial[RC_PARTIAL_NAME];

    *out = state->out;
    if (state->out)
        return RC_OK;
    rc_partial_name(shard, partial);
    RC_TRY(rc_out_open(&state->out, r->dir, partial, shard->nbytes,
                       state->there ? RC_OUT_RESUME : RC_OUT_NEW, r->mem, err));
    *out = state->out;
    return rc_out_write(state->out, 0, shard->head, shard->head_len, err);
}

static rc_code begin_chunk(run *r, size_t job, rc_out **out, rc_err *err)
{
    active *a = &r->active[job];
    rc_code rc = RC_OK;

    *out = NULL;
    pthread_mutex_lock(&r->lock);
    if (!a->hashes) {
        a->hashes = rc_mem_get_pages(r->mem, sizeof *a->hashes);
        if (!a->hashes) {
            rc = rc_fail_nomem(err, r->mem, sizeof *a->hashes);
        } else {
            for (unsigned part = 0; part < RC_PART_COUNT; part++) {
                rc_hash_begin(&a->hashes->in[part]);
                rc_hash_begin(&a->hashes->out[part]);
            }
        }
    }
    if (rc == RC_OK && !r->opts->discard)
        rc = open_shard(r, rc_plan_job(r->plan, job)->shard, out, err);
    pthread_mutex_unlock(&r->lock);
    return rc;
}

static rc_code read_chunk(run *r, const rc_chunk *c, const slot *s, rc_pieces *at, rc_err *err)
{
    rc_ckpt *ckpt = rc_model_ckpt(rc_plan_model(r->plan));

    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        const rc_tensor *t = rc_job_in(c->job, (rc_part)part);

        at->in[part] = NULL;
        if (t)
            RC_TRY(rc_ckpt_read(ckpt, t, c->in[part].off, (size_t)c->in[part].len, s->in[part],
                                r->in_max[part] + 2 * RC_PAGE, &at->in[part], err));
    }
    return RC_OK;
}

static const char *source_file(const run *r, const rc_job *job)
{
    return rc_ckpt_shard(rc_model_ckpt(rc_plan_model(r->plan)), job->weight->shard)->name;
}

static rc_code fail_inexact(const run *r, const rc_job *job, const rc_verdict *v, rc_err *err)
{
    rc_fail(err, RC_E_NUMERIC, RC_NO_OFFSET,
            "%" PRIu64 " of %" PRIu64
            " tiles checked so far cannot be kept exactly; the first at row "
            "%" PRIu64 ", column %" PRIu64,
            v->tiles - v->exact, v->tiles, v->row, v->col);
    rc_err_want(err, "%.9g", v->source);
    rc_err_got(err, "%.9g", v->stored);
    rc_err_file(err, source_file(r, job));
    rc_err_tensor(err, job->name);
    rc_err_hint(err,
                "--exact report delivers the model all the same, with every such tile counted");
    return RC_E_NUMERIC;
}

static rc_code fail_nonfinite(const run *r, const rc_job *job, const rc_verdict *v, rc_err *err)
{
    rc_fail(err, RC_E_NUMERIC, job->weight->begin, "NaN or infinity, %" PRIu64 " in this tensor",
            v->nonfinite);
    rc_err_file(err, source_file(r, job));
    rc_err_tensor(err, job->name);
    rc_err_hint(err, "--allow-nonfinite copies it as it is");
    return RC_E_NUMERIC;
}

static void hash_chunk(hashes *h, const rc_chunk *c, const rc_pieces *at)
{
    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        if (c->in[part].len)
            rc_hash_add(&h->in[part], at->in[part], (size_t)c->in[part].len);
        if (c->out[part].len && c->job->op != RC_OP_COPY) /* has the digest of its source */
            rc_hash_add(&h->out[part], at->out[part], (size_t)c->out[part].len);
    }
}

/* Arithmetic knows which tensor is wrong, and where, but not the file. */
static rc_code name_file(const run *r, const rc_job *job, rc_err *err)
{
    const rc_tensor *t = job->weight;

    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        const rc_tensor *in = rc_job_in(job, (rc_part)part);

        if (in && strcmp(err->tensor, in->name) == 0)
            t = in;
    }
    rc_err_file(err, rc_ckpt_shard(rc_model_ckpt(rc_plan_model(r->plan)), t->shard)->name);
    return err->code;
}

/* What the job's columns, or its one row, are multiplied by. */
static const float *factors_of(const run *r, const rc_job *job)
{
    return job->smoothed ? rc_smooth_factors(r->opts->smooth, job->param) : NULL;
}

static rc_code cast_slice(const run *r, const rc_chunk *s, const rc_pieces *at, const slot *own,
                          rc_verdict *v, rc_err *err)
{
    const rc_recipe *recipe = rc_plan_recipe(r->plan);
    const rc_cast_how how = {
        .allow_nonfinite = r->opts->allow_nonfinite,
        .effort = recipe->effort,
        .method = recipe->int4.method,
        .factors = factors_of(r, s->job),
        .importance = s->job->importance == RC_IMPORTANCE_NONE ? NULL : own->columns.importance,
        .feedback = own->columns.has_feedback ? own->columns.feedback : NULL,
        .work = own->work,
    };

    if (rc_cast_chunk(s, at, &how, v, err) != RC_OK)
        return name_file(r, s->job, err);
    v->unknown = own->columns.unknown && s->job->importance == RC_IMPORTANCE_STATS;
    v->by_moments = how.feedback != NULL && s->job->op == RC_OP_INT4;
    return RC_OK;
}

static rc_code take_verdict(const run *r, active *a, const rc_chunk *s, const rc_verdict *v,
                            rc_err *err)
{
    rc_verdict_add(&a->verdict, v);
    if (r->opts->require_exact && v->exact != v->tiles)
        return fail_inexact(r, s->job, &a->verdict, err);
    return RC_OK;
}

/* Check, cast and hash, slice by slice: each stays in the core's own cache for all
 * three. */
static rc_code cast_slices(const run *r, active *a, const rc_chunk *c, const rc_pieces *all,
                           const slot *own, rc_err *err)
{
    uint64_t done = 0;
    rc_chunk s;

    while (rc_chunk_slice(&s, c, &done, SLICE)) {
        const rc_pieces at = rc_pieces_of(&s, c, all);
        rc_verdict v;

        RC_TRY(cast_slice(r, &s, &at, own, &v, err));
        RC_TRY(take_verdict(r, a, &s, &v, err));
        hash_chunk(a->hashes, &s, &at);
    }
    return RC_OK;
}

/* What takes long is cast before its turn, by as many at once as may compute. */
static rc_code cast_ahead(const run *r, const rc_chunk *c, const rc_pieces *all, slot *own,
                          rc_err *err)
{
    rc_verdict *v = own->verdicts;
    uint64_t done = 0;
    rc_chunk s;

    RC_TRY(rc_columns_load(&own->columns, r->plan, c, all, factors_of(r, c->job), own->work, err));
    while (rc_chunk_slice(&s, c, &done, SLICE)) {
        const rc_pieces at = rc_pieces_of(&s, c, all);

        RC_TRY(rc_stop_check(err));
        RC_TRY(cast_slice(r, &s, &at, own, v++, err));
    }
    return RC_OK;
}

/* Hashed whole: a slice of a transposed tensor has no run of bytes of its own. */
static rc_code take_verdicts(const run *r, active *a, const rc_chunk *c, const rc_pieces *all,
                             const slot *own, rc_err *err)
{
    const rc_verdict *v = own->verdicts;
    uint64_t done = 0;
    rc_chunk s;

    while (rc_chunk_slice(&s, c, &done, SLICE))
        RC_TRY(take_verdict(r, a, &s, v++, err));
    hash_chunk(a->hashes, c, all);
    return RC_OK;
}

/* Digests and verdict of a tensor take its rows in order, whoever read them. The
 * turn comes first, then the permit: who holds a permit never waits for a turn. */
static rc_code cast_in_turn(const run *r, rc_par *par, active *a, const rc_chunk *c,
                            uint64_t ticket, const rc_pieces *f, slot *own, rc_err *err)
{
    const bool slow = rc_cast_is_slow(c->job);
    rc_code rc = RC_OK;

    if (slow) {
        rc_par_compute_begin(par);
        rc = cast_ahead(r, c, f, own, err);
        rc_par_compute_end(par);
        RC_TRY(rc);
    }
    if (!rc_turn_wait(par, &a->turn, ticket))
        return rc_fail(err, RC_E_STOPPED, RC_NO_OFFSET, "another part of the run failed");
    rc_par_compute_begin(par);
    rc = slow ? take_verdicts(r, a, c, f, own, err) : cast_slices(r, a, c, f, own, err);
    rc_par_compute_end(par);
    RC_TRY(rc);
    rc_turn_next(par, &a->turn);
    return RC_OK;
}

/* Rows with gaps between them are written one by one. */
static rc_code write_dest(rc_out *out, const rc_dest *d, uint64_t off, const uint8_t *data,
                          uint64_t nbytes, rc_err *err)
{
    if (!d->stride)
        return rc_out_write(out, d->begin + off, data, (size_t)nbytes, err);
    for (uint64_t at = 0; at < nbytes; at += d->row_bytes)
        RC_TRY(rc_out_write(out, d->begin + (off + at) / d->row_bytes * d->stride, data + at,
                            (size_t)d->row_bytes, err));
    return RC_OK;
}

static rc_code write_chunk(rc_out *out, const rc_chunk *c, const rc_pieces *at, rc_err *err)
{
    for (unsigned part = 0; part < RC_PART_COUNT; part++)
        if (c->out[part].len)
            RC_TRY(write_dest(out, &c->job->out[part], c->out[part].off, at->out[part],
                              c->out[part].len, err));
    return RC_OK;
}

/* ------------------------------------------------------- the end of a job */

/* A matrix of zeros is no trained weight: it is a hole in a file that was
 * preallocated and not filled. */
static rc_code refuse_zeros(const run *r, const rc_job *job, const rc_verdict *v, rc_err *err)
{
    if (v->nonzero || r->opts->allow_zero || job->weight->rank < 2 || !job->weight->nbytes)
        return RC_OK;
    rc_fail(err, RC_E_NUMERIC, job->weight->begin, "all zero: the file looks unfinished");
    rc_err_file(err, source_file(r, job));
    rc_err_tensor(err, job->name);
    rc_err_hint(err, "fetch the file again, or pass --allow-zero if this is meant");
    return RC_E_NUMERIC;
}

/* Bytes that could not be synced may still be read back from the page cache, and a second
 * fsync() may claim success: such a file is not to be found by the next run. */
static rc_code discard_shard(const run *r, size_t s, rc_code why)
{
    rc_err ignored;
    char partial[RC_PARTIAL_NAME];
    const rc_code removed =
        rc_dir_remove(r->dir, rc_partial_name(rc_plan_shard_at(r->plan, s), partial), &ignored);

    (void)removed; /* `why` is the error to tell */
    return why;
}

static rc_code finish_shard(run *r, size_t s, rc_err *err)
{
    shard_state *state = &r->shards[s];
    rc_code rc = rc_out_sync(state->out, err);

    if (rc == RC_OK)
        rc = rc_out_close(&state->out, err);
    if (rc != RC_OK)
        return discard_shard(r, s, rc);
    RC_TRY(rc_dir_sync(r->dir, err));
    return rc_journal_add_shard(r->journal, s, err);
}

static rc_code finish_job(run *r, size_t index, rc_err *err)
{
    const rc_job *job = rc_plan_job(r->plan, index);
    active *a = &r->active[index];
    rc_result result = { .verdict = a->verdict };
    bool last;

    RC_TRY(refuse_zeros(r, job, &a->verdict, err));
    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        if (rc_job_in(job, (rc_part)part))
            result.in[part] = rc_hash_end(&a->hashes->in[part]);
        if (job->op == RC_OP_COPY)
            result.out[part] = result.in[part];
        else if (job->out[part].name)
            result.out[part] = rc_hash_end(&a->hashes->out[part]);
    }
    rc_mem_put(r->mem, a->hashes);
    a->hashes = NULL;
    if (r->opts->discard)
        return RC_OK;
    RC_TRY(rc_journal_add(r->journal, index, &result, err));
    pthread_mutex_lock(&r->lock);
    last = --r->shards[job->shard].jobs_left == 0;
    pthread_mutex_unlock(&r->lock);
    return last ? finish_shard(r, job->shard, err) : RC_OK;
}

static bool last_chunk(run *r, size_t job)
{
    bool last;

    pthread_mutex_lock(&r->lock);
    last = --r->active[job].chunks_left == 0;
    pthread_mutex_unlock(&r->lock);
    return last;
}

static rc_code do_chunk(void *ctx, rc_par *par, unsigned slot_index, uint64_t i, rc_err *err)
{
    run *r = ctx;
    const item *it = &r->items[i];
    const rc_job *job = rc_plan_job(r->plan, it->job);
    slot *s = &r->slots[slot_index];
    uint64_t written = 0;
    rc_chunk c;
    rc_out *out;
    rc_pieces at;

    rc_chunk_at(&c, job, rc_chunk_rows(job, r->chunk_budget), it->chunk);
    RC_TRY(begin_chunk(r, it->job, &out, err));
    RC_TRY(read_chunk(r, &c, s, &at, err));
    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        at.out[part] = rc_out_place(s->out[part], job->out[part].begin + c.out[part].off);
        written += c.out[part].len;
    }
    RC_TRY(cast_in_turn(r, par, &r->active[it->job], &c, it->chunk, &at, s, err));
    if (!r->opts->discard)
        RC_TRY(write_chunk(out, &c, &at, err));
    count(r, written);
    return last_chunk(r, it->job) ? finish_job(r, it->job, err) : RC_OK;
}

/* --------------------------------------------------------------------- run */

/* What an earlier run accepted under other rules (--exact report, --allow-...) must pass
 * this run's. */
static rc_code judge_kept(const run *r, rc_err *err)
{
    for (size_t i = 0; i < rc_plan_jobs(r->plan); i++) {
        const rc_job *job = rc_plan_job(r->plan, i);
        const rc_result *kept = rc_journal_result(r->journal, i);

        if (!kept)
            continue;
        if (r->opts->require_exact && kept->verdict.exact != kept->verdict.tiles)
            return fail_inexact(r, job, &kept->verdict, err);
        if (kept->verdict.nonfinite && !r->opts->allow_nonfinite)
            return fail_nonfinite(r, job, &kept->verdict, err);
        RC_TRY(refuse_zeros(r, job, &kept->verdict, err));
    }
    return RC_OK;
}

/* A run may have died between a shard's last job and its sync. */
static rc_code sync_leftovers(run *r, rc_err *err)
{
    for (size_t s = 0; s < rc_plan_shards(r->plan); s++) {
        const rc_plan_shard *shard = rc_plan_shard_at(r->plan, s);
        char partial[RC_PARTIAL_NAME];

        rc_partial_name(shard, partial);
        if (r->shards[s].jobs_left || rc_journal_has_shard(r->journal, s) || !r->shards[s].there)
            continue;
        RC_TRY(rc_out_open(&r->shards[s].out, r->dir, partial, shard->nbytes, RC_OUT_RESUME, r->mem,
                           err));
        RC_TRY(rc_out_write(r->shards[s].out, 0, shard->head, shard->head_len, err));
        RC_TRY(finish_shard(r, s, err));
    }
    return RC_OK;
}

static void count_left(run *r)
{
    for (size_t i = 0; i < rc_plan_jobs(r->plan); i++) {
        const rc_job *job = rc_plan_job(r->plan, i);

        if (!is_done(r, i))
            r->shards[job->shard].jobs_left++;
        else if (rc_plan_is_mine(r->plan, job->shard))
            count(r, job_out_bytes(job));
    }
    if (r->opts->progress) {
        r->opts->progress->kept = r->opts->progress->done;
        r->opts->progress->total = rc_plan_share_size(r->plan).tensor_bytes;
    }
}

static rc_code run_all(run *r, rc_err *err)
{
    const size_t njobs = rc_plan_jobs(r->plan), nshards = rc_plan_shards(r->plan);

    r->shards = rc_mem_get(r->mem, nshards * sizeof *r->shards);
    r->active = rc_mem_get(r->mem, njobs * sizeof *r->active);
    if (!r->shards || !r->active)
        return rc_fail_nomem(err, r->mem, njobs * sizeof *r->active);
    if (!r->opts->discard) {
        RC_TRY(take_up(r, err));
        RC_TRY(judge_kept(r, err));
    }
    count_left(r);
    if (!r->opts->discard)
        RC_TRY(sync_leftovers(r, err));
    RC_TRY(fit_memory(r, err));
    return rc_par_run(r->nitems, r->nslots, r->opts->threads, do_chunk, r, err);
}

static rc_code clean_up(run *r, rc_code rc)
{
    for (size_t s = 0; r->shards && s < rc_plan_shards(r->plan); s++) {
        rc_err ignored;
        const rc_code closed = rc_out_close(&r->shards[s].out, &ignored);

        (void)closed; /* open here only after a failure, which is the one to tell */
    }
    for (size_t i = 0; r->active && i < rc_plan_jobs(r->plan); i++)
        rc_mem_put(r->mem, r->active[i].hashes);
    for (unsigned i = 0; i < RC_PAR_MAX_SLOTS; i++) {
        for (unsigned part = 0; part < RC_PART_COUNT; part++) {
            rc_mem_put(r->mem, r->slots[i].in[part]);
            rc_mem_put(r->mem, r->slots[i].out[part]);
        }
        rc_mem_put(r->mem, r->slots[i].work);
        rc_columns_drop(&r->slots[i].columns, r->mem);
        rc_mem_put(r->mem, r->slots[i].verdicts);
    }
    rc_mem_put(r->mem, r->items);
    rc_mem_put(r->mem, r->active);
    rc_mem_put(r->mem, r->shards);
    pthread_mutex_destroy(&r->lock);
    return rc;
}

rc_code rc_execute(const rc_plan *plan, const rc_dir *dir, rc_journal *journal,
                   const rc_execute_opts *opts, rc_mem *mem, rc_err *err)
{
    run *r = rc_mem_get(mem, sizeof *r);
    rc_code rc;

    if (!r)
        return rc_fail_nomem(err, mem, sizeof *r);
    r->plan = plan;
    r->dir = dir;
    r->journal = journal;
    r->opts = opts;
    r->mem = mem;
    pthread_mutex_init(&r->lock, NULL);
    rc = clean_up(r, run_all(r, err));
    rc_mem_put(mem, r);
    return rc;
}
