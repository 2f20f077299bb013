/* convert/execute.c - see execute.h. */
#include "convert/execute.h"

#include <stdio.h>
#include <string.h>

#include "convert/columns.h"
#include "convert/execute_impl.h"
#include "formats/base/stop.h"

enum {
    /* Bytes of the larger side of a chunk. Six requests of this size keep a disk busy, and
     * the buffers of all slots together stay in a last-level cache: from memory, 2 MiB
     * was measured 1.3 times as fast as 8 MiB, from a disk equal. */
    CHUNK = 2 << 20,
    CHUNK_MIN = 1 << 18,
    SLICE = 1 << 18,   /* bytes of the larger side that are worked on at a time: half an L2 */
    IO_SLOTS = 4,      /* slots beyond the computing ones: these wait for the disk */
    STREAM = 512 << 20 /* bytes of a stream without a limit */
};

typedef struct item {
    uint32_t target, job, chunk;
} item;

typedef struct slot {
    uint8_t *in[RC_PART_COUNT], *out[RC_PART_COUNT]; /* page-aligned, used again and again */
    float *work;
    rc_columns columns;
    rc_verdict *verdicts; /* of a chunk's slices, until their turn comes */
} slot;

typedef struct run {
    rc_exec x;
    item *items; /* of all targets, in the order of the source */
    size_t nitems;
    uint64_t chunk_budget;
    size_t in_max[RC_PART_COUNT], out_max[RC_PART_COUNT]; /* bytes, over all chunks to do */
    size_t work_max, verdicts_max;
    rc_columns_room columns_room;
    slot slots[RC_PAR_MAX_SLOTS];
    unsigned nslots;
    size_t stream_memory; /* 0: the source is not streamed */
} run;

/* What is being done, where a chunk's functions need to know. */
typedef struct task {
    run *r;
    rc_exec_target *t;
    const rc_job *job;
    rc_exec_job *under_way;
    size_t index; /* of the job */
} task;

static void count(const run *r, uint64_t nbytes)
{
    if (r->x.opts->progress)
        atomic_fetch_add(&r->x.opts->progress->done, nbytes);
}

bool rc_exec_is_done(const rc_exec_target *t, size_t job)
{
    return !rc_plan_is_mine(t->work->plan, rc_plan_job(t->work->plan, job)->shard) ||
           (t->work->journal && rc_journal_result(t->work->journal, job));
}

void rc_err_in_folder(rc_err *err, const char *folder)
{
    char whole[sizeof err->file];
    size_t at;

    if (!err || err->code == RC_E_STOPPED || !err->file[0])
        return;
    rc_escape(whole, sizeof whole / 2, folder, strlen(folder));
    at = strlen(whole);
    if (strncmp(err->file, whole, at) == 0 && err->file[at] == '/')
        return; /* named in full already */
    snprintf(whole + at, sizeof whole - at, "/%.*s", (int)(sizeof whole - at - 2), err->file);
    memcpy(err->file, whole, sizeof whole);
}

void rc_err_for(rc_err *err, const char *name)
{
    char plain[sizeof err->msg / 2];
    size_t at;

    if (!err || err->code == RC_E_STOPPED)
        return;
    rc_escape(plain, sizeof plain, name, strlen(name));
    at = strlen(err->msg);
    snprintf(err->msg + at, sizeof err->msg - at, "; for %s", plain);
}

rc_code rc_exec_name_output(const rc_exec *x, const rc_exec_target *t, rc_err *err)
{
    if (x->ntargets > 1)
        rc_err_in_folder(err, t->work->dir->path);
    return err->code;
}

/* A judgement over source bytes: which target asked for it? */
static rc_code name_target(const rc_exec *x, const rc_exec_target *t, rc_err *err)
{
    if (x->ntargets > 1)
        rc_err_for(err, t->work->name);
    return err->code;
}

static uint64_t job_out_bytes(const rc_job *job)
{
    uint64_t n = 0;

    for (unsigned part = 0; part < RC_PART_COUNT; part++)
        n += job->out[part].nbytes;
    return n;
}

/* --------------------------------------------------------- what is to be done */

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

/* Learn the largest of everything that a slot holds. */
static void need_room(run *r, const rc_plan *plan, const rc_job *job, uint64_t rows)
{
    rc_chunk c;

    rc_chunk_at(&c, job, rows, 0); /* the first is the largest */
    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        r->in_max[part] = max_size(r->in_max[part], c.in[part].len);
        r->out_max[part] = max_size(r->out_max[part], c.out[part].len);
    }
    r->work_max = max_size(r->work_max, rc_cast_work(job));
    rc_columns_need(&r->columns_room, job, rc_plan_recipe(plan));
    if (rc_cast_is_slow(job))
        r->verdicts_max = max_size(r->verdicts_max, slice_count(&c) * sizeof(rc_verdict));
}

/* What is half done counts where it ends with a chunk, as it does but for another memory limit. */
static uint64_t first_chunk(const rc_exec_job *job, uint64_t chunk_rows)
{
    return job->saved && job->saved->rows % chunk_rows == 0 ? job->saved->rows / chunk_rows : 0;
}

static size_t measure_items(run *r)
{
    size_t total = 0;

    memset(r->in_max, 0, sizeof r->in_max);
    memset(r->out_max, 0, sizeof r->out_max);
    memset(&r->columns_room, 0, sizeof r->columns_room);
    r->work_max = r->verdicts_max = 0;
    for (size_t k = 0; k < r->x.ntargets; k++) {
        const rc_exec_target *t = &r->x.targets[k];

        for (size_t i = 0; i < rc_plan_jobs(t->work->plan); i++) {
            const rc_job *job = rc_plan_job(t->work->plan, i);
            const uint64_t rows = rc_chunk_rows(job, r->chunk_budget);

            if (rc_exec_is_done(t, i))
                continue;
            t->jobs[i].first = first_chunk(&t->jobs[i], rows);
            t->jobs[i].turn.next = t->jobs[i].first;
            t->jobs[i].chunks_left = rc_chunk_count(job, rows) - t->jobs[i].first;
            total += (size_t)t->jobs[i].chunks_left;
            need_room(r, t->work->plan, job, rows);
        }
    }
    return total;
}

/* The next chunk to do of one target. */
typedef struct cursor {
    size_t job;
    uint64_t chunk;
    uint64_t at; /* its place in the source: of the shard `shard` */
    size_t shard;
} cursor;

/* Stand on the first chunk that is to be done, from where `c` is. False at the end. */
static bool settle_cursor(const run *r, const rc_exec_target *t, cursor *c)
{
    const size_t njobs = rc_plan_jobs(t->work->plan);
    const rc_job *job;
    rc_chunk chunk;

    while (c->job < njobs &&
           (rc_exec_is_done(t, c->job) || c->chunk == t->jobs[c->job].chunks_left)) {
        c->job++;
        c->chunk = 0;
    }
    if (c->job == njobs)
        return false;
    job = rc_plan_job(t->work->plan, c->job);
    rc_chunk_at(&chunk, job, rc_chunk_rows(job, r->chunk_budget), t->jobs[c->job].first + c->chunk);
    c->shard = job->weight->shard;
    c->at = job->weight->begin + chunk.in[RC_PART_WEIGHT].off;
    return true;
}

static bool comes_before(const cursor *a, const cursor *b)
{
    return a->shard != b->shard ? a->shard < b->shard : a->at < b->at;
}

static item next_item(const run *r, size_t target, cursor *c)
{
    const uint64_t chunk = r->x.targets[target].jobs[c->job].first + c->chunk++;

    return (item){ (uint32_t)target, (uint32_t)c->job, (uint32_t)chunk };
}

/* Each target's chunks in the order of its plan, all of them together as the source lies: what
 * several need is asked for at about the same time. */
static rc_code list_items(run *r, rc_err *err)
{
    const size_t total = measure_items(r);
    cursor *cursors;

    rc_mem_put(r->x.mem, r->items);
    r->items = rc_mem_get(r->x.mem, total * sizeof *r->items);
    cursors = rc_mem_get(r->x.mem, r->x.ntargets * sizeof *cursors);
    if (!r->items || !cursors) {
        rc_mem_put(r->x.mem, cursors);
        return rc_fail_nomem(err, r->x.mem, total * sizeof *r->items);
    }
    for (r->nitems = 0; r->nitems < total; r->nitems++) {
        size_t best = r->x.ntargets;

        for (size_t k = 0; k < r->x.ntargets; k++)
            if (settle_cursor(r, &r->x.targets[k], &cursors[k]) &&
                (best == r->x.ntargets || comes_before(&cursors[k], &cursors[best])))
                best = k;
        r->items[r->nitems] = next_item(r, best, &cursors[best]);
    }
    rc_mem_put(r->x.mem, cursors);
    return RC_OK;
}

/* What a slot can hold at a time: its buffers, the digests of the job that it is at, and
 * what the allocator adds to blocks on page boundaries. */
static size_t slot_bytes(const run *r)
{
    size_t n = r->work_max + rc_columns_bytes(&r->columns_room) + r->verdicts_max +
               sizeof(rc_exec_hashes) + 2 * sizeof(rc_exec_half) + 8 * RC_PAGE;

    for (unsigned part = 0; part < RC_PART_COUNT; part++)
        n += r->in_max[part] + r->out_max[part] + 5 * RC_PAGE;
    return n;
}

static rc_code make_slot(run *r, slot *s, rc_err *err)
{
    bool whole = true;

    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        s->in[part] = rc_mem_get_pages(r->x.mem, r->in_max[part] + 2 * RC_PAGE);
        s->out[part] = rc_mem_get_pages(r->x.mem, r->out_max[part] + RC_PAGE);
        whole &= s->in[part] && s->out[part];
    }
    s->work = rc_mem_get_pages(r->x.mem, r->work_max);
    s->verdicts = rc_mem_get(r->x.mem, r->verdicts_max);
    if (!whole || !s->work || !s->verdicts)
        return rc_fail_nomem(err, r->x.mem, slot_bytes(r));
    return rc_columns_make(&s->columns, &r->columns_room, r->x.mem, err);
}

/* Bytes that slots and stream may have together. */
static size_t room_left(const run *r)
{
    const rc_mem *mem = r->x.mem;
    /* what open files need, and the stream's lists of what is read when and by whom */
    const size_t besides = (1u << 20) + (r->stream_memory ? r->nitems * 160 : 0);

    return mem->limit > mem->used + besides ? mem->limit - mem->used - besides : 0;
}

static rc_code fail_room(const run *r, rc_err *err)
{
    const size_t need = slot_bytes(r) + (r->stream_memory ? RC_STREAM_MIN + r->nitems * 160 : 0);

    rc_fail(err, RC_E_OS, RC_NO_OFFSET, "--mem-limit is too small for one chunk%s",
            r->stream_memory ? " and what is read ahead" : "");
    rc_err_want(err, "at least %zu bytes", r->x.mem->used + need + (1u << 20));
    rc_err_got(err, "%zu", r->x.mem->limit);
    return RC_E_OS;
}

/* As many slots as the limit pays for; smaller chunks before fewer than one per
 * thread. The result does not depend on either. A stream gets half of what there is; less,
 * where not one slot is left. */
static rc_code fit_memory(run *r, rc_err *err)
{
    const bool streams = rc_exec_streams(&r->x);
    /* nothing to wait for: what was copied from memory is cast while it is in cache */
    const bool waits = !r->x.opts->discard || !rc_source_in_memory(r->x.src);
    unsigned want = r->x.opts->threads + (waits ? IO_SLOTS : 0);

    if (want > RC_PAR_MAX_SLOTS)
        want = RC_PAR_MAX_SLOTS;
    r->stream_memory = streams ? STREAM : 0;
    for (r->chunk_budget = CHUNK;; r->chunk_budget /= 2) {
        size_t room, half;

        RC_TRY(list_items(r, err));
        r->nslots = want;
        if (!r->x.mem->limit)
            return RC_OK;
        room = room_left(r);
        half = room / 2 > RC_STREAM_MIN ? room / 2 : RC_STREAM_MIN;
        if (streams)
            r->stream_memory = half;
        if (slot_bytes(r) * want + r->stream_memory > room)
            r->nslots =
                room > r->stream_memory ? (unsigned)((room - r->stream_memory) / slot_bytes(r)) : 0;
        if (r->nslots >= want || (r->nslots && r->chunk_budget <= CHUNK_MIN))
            return RC_OK;
        if (r->chunk_budget > CHUNK_MIN)
            continue;
        if (!streams || room < RC_STREAM_MIN + slot_bytes(r))
            return fail_room(r, err);
        r->nslots = (unsigned)((room - RC_STREAM_MIN) / slot_bytes(r));
        r->stream_memory = RC_STREAM_MIN;
        return RC_OK;
    }
}

static rc_code make_slots(run *r, rc_err *err)
{
    for (unsigned i = 0; i < r->nslots; i++)
        RC_TRY(make_slot(r, &r->slots[i], err));
    return RC_OK;
}

/* ----------------------------------------------------------- what will be read */

static size_t add_extents(const run *r, const item *it, rc_extent *to)
{
    const rc_job *job = rc_plan_job(r->x.targets[it->target].work->plan, it->job);
    size_t n = 0;
    rc_chunk c;

    rc_chunk_at(&c, job, rc_chunk_rows(job, r->chunk_budget), it->chunk);
    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        const rc_tensor *t = rc_job_in(job, (rc_part)part);

        if (t && c.in[part].len)
            to[n++] = rc_exec_extent(&r->x, t, c.in[part].off, c.in[part].len);
    }
    return n;
}

static rc_code open_stream(run *r, rc_err *err)
{
    const size_t room = r->nitems * RC_PART_COUNT * sizeof(rc_extent);
    rc_extent *extents = rc_mem_get(r->x.mem, room);
    size_t n = 0;
    rc_code rc;

    if (!extents)
        return rc_fail_nomem(err, r->x.mem, room);
    for (size_t i = 0; i < r->nitems; i++)
        n += add_extents(r, &r->items[i], extents + n);
    rc = rc_exec_stream(&r->x, extents, n, r->stream_memory, err);
    rc_mem_put(r->x.mem, extents);
    return rc;
}

/* Plan memory and reading; once more where an earlier run's work turns out to be worthless. */
static rc_code plan_reading(run *r, rc_err *err)
{
    bool again = false;

    RC_TRY(fit_memory(r, err));
    if (!r->stream_memory)
        return RC_OK;
    RC_TRY(open_stream(r, err));
    for (size_t k = 0; k < r->x.ntargets; k++)
        RC_TRY(rc_exec_forget_unknown(&r->x, &r->x.targets[k], &again, err));
    if (!again)
        return RC_OK;
    rc_source_unstream(r->x.src);
    RC_TRY(fit_memory(r, err));
    return open_stream(r, err);
}

/* --------------------------------------------------------------- one chunk */

/* Under the lock. Space for the whole shard is reserved here, at its first chunk. */
static rc_code open_shard(const task *k, rc_out **out, rc_err *err)
{
    rc_exec_shard *state = &k->t->shards[k->job->shard];
    const rc_plan_shard *shard = rc_plan_shard_at(k->t->work->plan, k->job->shard);
    char partial[RC_PARTIAL_NAME];

    *out = state->out;
    if (state->out)
        return RC_OK;
    rc_partial_name(shard, partial);
    RC_TRY(rc_out_open(&state->out, k->t->work->dir, partial, shard->nbytes,
                       state->there ? RC_OUT_RESUME : RC_OUT_NEW, k->r->x.mem, err));
    *out = state->out;
    return rc_out_write(state->out, 0, shard->head, shard->head_len, err);
}

static rc_code begin_job(const task *k, rc_err *err)
{
    rc_exec_hashes *h = rc_mem_get_pages(k->r->x.mem, sizeof *h);

    if (!h)
        return rc_fail_nomem(err, k->r->x.mem, sizeof *h);
    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        rc_hash_begin(&h->in[part]);
        rc_hash_begin(&h->out[part]);
    }
    k->under_way->hashes = h;
    if (k->under_way->first)
        rc_exec_resume_half(k->under_way);
    return RC_OK;
}

static rc_code begin_chunk(const task *k, rc_out **out, rc_err *err)
{
    rc_code rc = RC_OK;

    *out = NULL;
    pthread_mutex_lock(&k->r->x.lock);
    if (!k->under_way->hashes)
        rc = begin_job(k, err);
    if (rc == RC_OK && !k->r->x.opts->discard && open_shard(k, out, err) != RC_OK)
        rc = rc_exec_name_output(&k->r->x, k->t, err);
    pthread_mutex_unlock(&k->r->x.lock);
    return rc;
}

static rc_code read_chunk(run *r, const rc_chunk *c, const slot *s, rc_pieces *at, rc_err *err)
{
    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        const rc_tensor *t = rc_job_in(c->job, (rc_part)part);

        at->in[part] = NULL;
        if (t)
            RC_TRY(rc_ckpt_read(r->x.ckpt, t, c->in[part].off, (size_t)c->in[part].len, s->in[part],
                                r->in_max[part] + 2 * RC_PAGE, &at->in[part], err));
    }
    return RC_OK;
}

static const char *source_file(const run *r, const rc_job *job)
{
    return rc_ckpt_shard(r->x.ckpt, job->weight->shard)->name;
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

static void hash_chunk(rc_exec_hashes *h, const rc_chunk *c, const rc_pieces *at)
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
    rc_err_file(err, rc_ckpt_shard(r->x.ckpt, t->shard)->name);
    return err->code;
}

/* What the job's columns, or its one row, are multiplied by. */
static const float *factors_of(const task *k)
{
    return k->job->smoothed ? rc_smooth_factors(k->t->work->smooth, k->job->param) : NULL;
}

static rc_code cast_slice(const task *k, const rc_chunk *s, const rc_pieces *at, const slot *own,
                          rc_verdict *v, rc_err *err)
{
    const rc_recipe *recipe = rc_plan_recipe(k->t->work->plan);
    const rc_cast_how how = {
        .allow_nonfinite = k->r->x.opts->allow_nonfinite,
        .effort = recipe->effort,
        .method = recipe->int4.method,
        .factors = factors_of(k),
        .importance = k->job->importance == RC_IMPORTANCE_NONE ? NULL : own->columns.importance,
        .feedback = own->columns.has_feedback ? own->columns.feedback : NULL,
        .work = own->work,
    };

    if (rc_cast_chunk(s, at, &how, v, err) != RC_OK)
        return name_file(k->r, k->job, err);
    v->unknown = own->columns.unknown && k->job->importance == RC_IMPORTANCE_STATS;
    v->by_moments = how.feedback != NULL && k->job->op == RC_OP_INT4;
    return RC_OK;
}

static rc_code take_verdict(const task *k, const rc_verdict *v, rc_err *err)
{
    rc_verdict_add(&k->under_way->verdict, v);
    if (k->r->x.opts->require_exact && v->exact != v->tiles)
        return fail_inexact(k->r, k->job, &k->under_way->verdict, err);
    return RC_OK;
}

/* Check, cast and hash, slice by slice: each stays in the core's own cache for all
 * three. */
static rc_code cast_slices(const task *k, const rc_chunk *c, const rc_pieces *all, const slot *own,
                           rc_err *err)
{
    uint64_t done = 0;
    rc_chunk s;

    while (rc_chunk_slice(&s, c, &done, SLICE)) {
        const rc_pieces at = rc_pieces_of(&s, c, all);
        rc_verdict v;

        RC_TRY(cast_slice(k, &s, &at, own, &v, err));
        RC_TRY(take_verdict(k, &v, err));
        hash_chunk(k->under_way->hashes, &s, &at);
    }
    return RC_OK;
}

/* What takes long is cast before its turn, by as many at once as may compute. */
static rc_code cast_ahead(const task *k, const rc_chunk *c, const rc_pieces *all, slot *own,
                          rc_err *err)
{
    rc_verdict *v = own->verdicts;
    uint64_t done = 0;
    rc_chunk s;

    RC_TRY(rc_columns_load(&own->columns, k->t->work->plan, c, all, factors_of(k), own->work, err));
    while (rc_chunk_slice(&s, c, &done, SLICE)) {
        const rc_pieces at = rc_pieces_of(&s, c, all);

        RC_TRY(rc_stop_check(err));
        RC_TRY(cast_slice(k, &s, &at, own, v++, err));
    }
    return RC_OK;
}

/* Hashed whole: a slice of a transposed tensor has no run of bytes of its own. */
static rc_code take_verdicts(const task *k, const rc_chunk *c, const rc_pieces *all,
                             const slot *own, rc_err *err)
{
    const rc_verdict *v = own->verdicts;
    uint64_t done = 0;
    rc_chunk s;

    while (rc_chunk_slice(&s, c, &done, SLICE))
        RC_TRY(take_verdict(k, v++, err));
    hash_chunk(k->under_way->hashes, c, all);
    return RC_OK;
}

/* Digests and verdict of a tensor take its rows in order, whoever read them. The
 * turn comes first, then the permit: who holds a permit never waits for a turn. */
static rc_code cast_in_turn(const task *k, rc_par *par, const rc_chunk *c, uint64_t ticket,
                            const rc_pieces *f, slot *own, rc_err *err)
{
    const bool slow = rc_cast_is_slow(c->job);
    rc_code rc = RC_OK;

    if (slow) {
        rc_par_compute_begin(par);
        rc = cast_ahead(k, c, f, own, err);
        rc_par_compute_end(par);
        RC_TRY(rc);
    }
    if (!rc_turn_wait(par, &k->under_way->turn, ticket))
        return rc_fail(err, RC_E_STOPPED, RC_NO_OFFSET, "another part of the run failed");
    rc_par_compute_begin(par);
    k->under_way->in_middle = true;
    rc = slow ? take_verdicts(k, c, f, own, err) : cast_slices(k, c, f, own, err);
    rc_par_compute_end(par);
    RC_TRY(rc);
    k->under_way->in_middle = false;
    if (!k->r->x.opts->discard)
        RC_TRY(rc_exec_mark(&k->r->x, k->t, k->index, ticket + 1,
                            rc_chunk_rows(k->job, k->r->chunk_budget), err));
    rc_turn_next(par, &k->under_way->turn);
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
    if (v->nonzero || r->x.opts->allow_zero || job->weight->rank < 2 || !job->weight->nbytes)
        return RC_OK;
    rc_fail(err, RC_E_NUMERIC, job->weight->begin, "all zero: the file looks unfinished");
    rc_err_file(err, source_file(r, job));
    rc_err_tensor(err, job->name);
    rc_err_hint(err, "fetch the file again, or pass --allow-zero if this is meant");
    return RC_E_NUMERIC;
}

static rc_result result_of(const task *k)
{
    const rc_exec_job *a = k->under_way;
    rc_result result = { .verdict = a->verdict };

    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        if (rc_job_in(k->job, (rc_part)part))
            result.in[part] = rc_hash_end(&a->hashes->in[part]);
        if (k->job->op == RC_OP_COPY)
            result.out[part] = result.in[part];
        else if (k->job->out[part].name)
            result.out[part] = rc_hash_end(&a->hashes->out[part]);
    }
    return result;
}

static rc_code finish_job(const task *k, rc_err *err)
{
    rc_exec *x = &k->r->x;
    rc_result result;
    bool last;

    if (refuse_zeros(k->r, k->job, &k->under_way->verdict, err) != RC_OK)
        return name_target(x, k->t, err);
    result = result_of(k);
    rc_mem_put(x->mem, k->under_way->hashes);
    k->under_way->hashes = NULL;
    if (x->opts->discard)
        return RC_OK;
    if (rc_journal_add(k->t->work->journal, k->index, &result, err) != RC_OK)
        return rc_exec_name_output(x, k->t, err);
    pthread_mutex_lock(&x->lock);
    last = --k->t->shards[k->job->shard].jobs_left == 0;
    pthread_mutex_unlock(&x->lock);
    if (last && rc_exec_finish_shard(x, k->t, k->job->shard, err) != RC_OK)
        return rc_exec_name_output(x, k->t, err);
    return RC_OK;
}

static bool last_chunk(const task *k)
{
    bool last;

    pthread_mutex_lock(&k->r->x.lock);
    last = --k->under_way->chunks_left == 0;
    pthread_mutex_unlock(&k->r->x.lock);
    return last;
}

static rc_code do_chunk(void *ctx, rc_par *par, unsigned slot_index, uint64_t i, rc_err *err)
{
    run *r = ctx;
    const item *it = &r->items[i];
    rc_exec_target *t = &r->x.targets[it->target];
    const task k = { r, t, rc_plan_job(t->work->plan, it->job), &t->jobs[it->job], it->job };
    slot *s = &r->slots[slot_index];
    uint64_t written = 0;
    rc_chunk c;
    rc_out *out;
    rc_pieces at;

    rc_chunk_at(&c, k.job, rc_chunk_rows(k.job, r->chunk_budget), it->chunk);
    RC_TRY(begin_chunk(&k, &out, err));
    RC_TRY(read_chunk(r, &c, s, &at, err));
    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        at.out[part] = rc_out_place(s->out[part], k.job->out[part].begin + c.out[part].off);
        written += c.out[part].len;
    }
    if (cast_in_turn(&k, par, &c, it->chunk, &at, s, err) != RC_OK)
        return name_target(&r->x, t, err);
    if (!r->x.opts->discard && (write_chunk(out, &c, &at, err) != RC_OK ||
                                rc_exec_written(&r->x, t, it->job, it->chunk, err) != RC_OK))
        return rc_exec_name_output(&r->x, t, err);
    count(r, written);
    return last_chunk(&k) ? finish_job(&k, err) : RC_OK;
}

/* --------------------------------------------------------------------- run */

/* What an earlier run accepted under other rules (--exact report, --allow-...) must pass
 * this run's. */
static rc_code judge_job(const run *r, const rc_job *job, const rc_verdict *kept, rc_err *err)
{
    if (r->x.opts->require_exact && kept->exact != kept->tiles)
        return fail_inexact(r, job, kept, err);
    if (kept->nonfinite && !r->x.opts->allow_nonfinite)
        return fail_nonfinite(r, job, kept, err);
    return RC_OK;
}

static rc_code judge_kept(const run *r, const rc_exec_target *t, rc_err *err)
{
    for (size_t i = 0; i < rc_plan_jobs(t->work->plan); i++) {
        const rc_result *kept = rc_journal_result(t->work->journal, i);

        const rc_exec_half *half = t->jobs[i].saved;
        const rc_job *job = rc_plan_job(t->work->plan, i);

        if (kept && (judge_job(r, job, &kept->verdict, err) != RC_OK ||
                     refuse_zeros(r, job, &kept->verdict, err) != RC_OK))
            return name_target(&r->x, t, err);
        if (!kept && half && judge_job(r, job, &half->verdict, err) != RC_OK)
            return name_target(&r->x, t, err);
    }
    return RC_OK;
}

/* Bytes of the chunks that a job begins behind. */
static uint64_t half_bytes(const run *r, const rc_exec_target *t, size_t i)
{
    const rc_job *job = rc_plan_job(t->work->plan, i);
    uint64_t n = 0;
    rc_chunk c;

    if (!t->jobs[i].first)
        return 0;
    rc_chunk_at(&c, job, t->jobs[i].first * rc_chunk_rows(job, r->chunk_budget), 0);
    for (unsigned part = 0; part < RC_PART_COUNT; part++)
        n += c.out[part].len;
    return n;
}

static void count_left(run *r, rc_exec_target *t)
{
    t->work->kept = 0;
    for (size_t i = 0; i < rc_plan_jobs(t->work->plan); i++) {
        const rc_job *job = rc_plan_job(t->work->plan, i);

        if (!rc_plan_is_mine(t->work->plan, job->shard))
            continue;
        if (rc_exec_is_done(t, i)) {
            t->work->kept += job_out_bytes(job);
        } else {
            t->work->kept += half_bytes(r, t, i);
            t->shards[job->shard].jobs_left++;
        }
    }
    count(r, t->work->kept);
}

static void announce(run *r)
{
    rc_progress *p = r->x.opts->progress;
    uint64_t total = 0;

    for (size_t k = 0; k < r->x.ntargets; k++)
        total += rc_plan_share_size(r->x.targets[k].work->plan).tensor_bytes;
    if (p) {
        p->kept = p->done;
        p->total = total;
    }
}

static rc_code prepare(run *r, rc_exec_target *t, rc_err *err)
{
    const size_t njobs = rc_plan_jobs(t->work->plan), nshards = rc_plan_shards(t->work->plan);

    t->shards = rc_mem_get(r->x.mem, nshards * sizeof *t->shards);
    t->jobs = rc_mem_get(r->x.mem, njobs * sizeof *t->jobs);
    if (!t->shards || !t->jobs)
        return rc_fail_nomem(err, r->x.mem, njobs * sizeof *t->jobs);
    if (r->x.opts->discard)
        return RC_OK;
    if (rc_exec_take_up(&r->x, t, err) != RC_OK)
        return rc_exec_name_output(&r->x, t, err);
    return judge_kept(r, t, err);
}

static rc_code run_all(run *r, rc_err *err)
{
    rc_code rc;

    for (size_t k = 0; k < r->x.ntargets; k++)
        RC_TRY(prepare(r, &r->x.targets[k], err));
    RC_TRY(plan_reading(r, err));
    for (size_t k = 0; k < r->x.ntargets; k++) {
        rc_exec_target *t = &r->x.targets[k];

        count_left(r, t);
        if (!r->x.opts->discard && rc_exec_sync_leftovers(&r->x, t, err) != RC_OK)
            return rc_exec_name_output(&r->x, t, err);
    }
    announce(r);
    RC_TRY(make_slots(r, err));
    rc = rc_par_run(r->nitems, r->nslots, r->x.opts->threads, do_chunk, r, err);
    if (rc == RC_OK)
        rc = rc_source_settle(r->x.src, err);
    if (rc == RC_E_INTEGRITY)
        rc_exec_forget_bad_file(&r->x);
    else if (rc != RC_OK && !r->x.opts->discard)
        rc_exec_keep_halves(&r->x, r->chunk_budget);
    return rc;
}

static void drop_target(const run *r, rc_exec_target *t)
{
    for (size_t s = 0; t->shards && s < rc_plan_shards(t->work->plan); s++) {
        rc_err ignored;
        const rc_code closed = rc_out_close(&t->shards[s].out, &ignored);

        (void)closed; /* open here only after a failure, which is the one to tell */
    }
    for (size_t i = 0; t->jobs && i < rc_plan_jobs(t->work->plan); i++) {
        rc_mem_put(r->x.mem, t->jobs[i].hashes);
        rc_exec_drop_half(&r->x, &t->jobs[i]);
        rc_mem_put(r->x.mem, t->jobs[i].mark);
    }
    rc_mem_put(r->x.mem, t->jobs);
    rc_mem_put(r->x.mem, t->shards);
}

static void clean_up(run *r)
{
    for (size_t k = 0; k < r->x.ntargets; k++)
        drop_target(r, &r->x.targets[k]);
    for (unsigned i = 0; i < RC_PAR_MAX_SLOTS; i++) {
        for (unsigned part = 0; part < RC_PART_COUNT; part++) {
            rc_mem_put(r->x.mem, r->slots[i].in[part]);
            rc_mem_put(r->x.mem, r->slots[i].out[part]);
        }
        rc_mem_put(r->x.mem, r->slots[i].work);
        rc_columns_drop(&r->slots[i].columns, r->x.mem);
        rc_mem_put(r->x.mem, r->slots[i].verdicts);
    }
    rc_mem_put(r->x.mem, r->items);
    rc_mem_put(r->x.mem, r->x.targets);
    pthread_mutex_destroy(&r->x.lock);
    pthread_mutex_destroy(&r->x.state_lock);
}

rc_code rc_execute(rc_work *works, size_t n, const rc_execute_opts *opts, rc_mem *mem, rc_err *err)
{
    run *r = rc_mem_get(mem, sizeof *r);
    rc_err unheard = { .offset = RC_NO_OFFSET };
    rc_exec_target *targets = rc_mem_get(mem, n * sizeof *targets);
    rc_code rc;

    if (!r || !targets) {
        rc_mem_put(mem, r);
        rc_mem_put(mem, targets);
        return rc_fail_nomem(err, mem, sizeof *r);
    }
    r->x.opts = opts;
    r->x.mem = mem;
    r->x.targets = targets;
    r->x.ntargets = n;
    r->x.ckpt = rc_model_ckpt(rc_plan_model(works[0].plan));
    r->x.src = rc_ckpt_source(r->x.ckpt);
    for (size_t k = 0; k < n; k++)
        targets[k].work = &works[k];
    pthread_mutex_init(&r->x.lock, NULL);
    pthread_mutex_init(&r->x.state_lock, NULL);
    rc = run_all(r, err ? err : &unheard);
    clean_up(r);
    rc_mem_put(mem, r);
    return rc;
}
