/* convert/execute_state.c - going on inside a large tensor: embeddings have a gigabyte, stacks of
 * experts more.
 *
 * Every 128 MiB of a large job's output, and at an orderly end, its state at the end of a chunk is
 * noted: rows, verdict, digests under way. Once all bytes before that place are written it is
 * kept, with those of the other large jobs under way, in a small file beside the journal:
 *
 *     | magic 8 | identity 16 | layout 8 | count 8 | count halves | XXH3-128 of all before 16 |
 *
 * The next run reads the bytes back and believes a state only where they have its digest. A file
 * that is damaged, of another run, or of another build of the hash library says nothing. */
#include <string.h>

#include "convert/execute_impl.h"

#define EVERY ((uint64_t)128 << 20)

static const char magic[8] = { 'R', 'C', 'S', 'T', 'A', 'T', 'E', '1' };

typedef struct head {
    char magic[8];
    rc_digest identity;
    uint64_t layout, count;
} head;

enum { MOST = 4096 }; /* large jobs under way at a time: far more than there are threads */

static uint64_t every(const rc_exec *x)
{
    return x->opts->keep_every ? x->opts->keep_every : EVERY;
}

static uint64_t out_bytes(const rc_job *job, uint64_t rows)
{
    uint64_t n = 0;
    rc_chunk c;

    rc_chunk_at(&c, job, rows, 0);
    for (unsigned part = 0; part < RC_PART_COUNT; part++)
        n += c.out[part].len;
    return n;
}

bool rc_exec_is_large(const rc_exec *x, const rc_job *job)
{
    return out_bytes(job, UINT64_MAX) > every(x) / 2;
}

/* Of what a state has to be: source, recipe, version; and scalings. */
static rc_digest identity_of(const rc_work *work)
{
    const struct {
        rc_digest run;
        uint64_t smooth;
    } both = { work->identity, work->smooth ? rc_smooth_digest(work->smooth) : 0 };

    return rc_hash(&both, sizeof both);
}

void rc_exec_drop_half(const rc_exec *x, rc_exec_job *job)
{
    rc_mem_put(x->mem, job->saved);
    job->saved = NULL;
}

/* ------------------------------------------------------------------ the file */

static bool is_wanted(const rc_exec_target *t, size_t i)
{
    return t->jobs[i].saved && !rc_exec_is_done(t, i);
}

/* Under the lock. */
static rc_code make_file(const rc_exec *x, const rc_exec_target *t, uint8_t **out, size_t *len,
                         rc_err *err)
{
    const size_t njobs = rc_plan_jobs(t->work->plan);
    head h = { .identity = identity_of(t->work), .layout = rc_hash_layout() };
    rc_digest check;
    uint8_t *to;

    for (size_t i = 0; i < njobs; i++)
        h.count += is_wanted(t, i);
    *len = sizeof h + (size_t)h.count * sizeof(rc_exec_half) + sizeof check;
    *out = to = rc_mem_get(x->mem, *len);
    if (!to)
        return rc_fail_nomem(err, x->mem, *len);
    memcpy(h.magic, magic, sizeof magic);
    memcpy(to, &h, sizeof h);
    to += sizeof h;
    for (size_t i = 0; i < njobs; i++)
        if (is_wanted(t, i)) {
            memcpy(to, t->jobs[i].saved, sizeof(rc_exec_half));
            to += sizeof(rc_exec_half);
        }
    check = rc_hash(*out, *len - sizeof check);
    memcpy(to, &check, sizeof check);
    return RC_OK;
}

static rc_code save(rc_exec *x, const rc_exec_target *t, rc_err *err)
{
    uint8_t *file;
    size_t len;
    rc_code rc;

    pthread_mutex_lock(&x->state_lock);
    pthread_mutex_lock(&x->lock);
    rc = make_file(x, t, &file, &len, err);
    pthread_mutex_unlock(&x->lock);
    if (rc == RC_OK) {
        rc = rc_dir_put(t->work->dir, rc_plan_names_of(t->work->plan)->state, file, len, err);
        rc_mem_put(x->mem, file);
    }
    pthread_mutex_unlock(&x->state_lock);
    return rc;
}

/* How many halves it holds; 0 of a file that says nothing. */
static uint64_t judge_file(const rc_work *work, const char *file, size_t len)
{
    const rc_digest identity = identity_of(work);
    rc_digest check;
    head h;

    if (len < sizeof h + sizeof check)
        return 0;
    memcpy(&h, file, sizeof h);
    check = rc_hash(file, len - sizeof check);
    if (memcmp(h.magic, magic, sizeof magic) != 0 || h.layout != rc_hash_layout() ||
        !rc_digest_equal(&h.identity, &identity) || h.count > MOST ||
        len != sizeof h + (size_t)h.count * sizeof(rc_exec_half) + sizeof check ||
        memcmp(file + len - sizeof check, &check, sizeof check) != 0)
        return 0;
    return h.count;
}

static rc_code take_half(const rc_exec *x, rc_exec_target *t, const rc_exec_half *half, rc_err *err)
{
    const size_t i = (size_t)half->job;
    const rc_job *job;
    rc_chunk c;

    if (half->job >= rc_plan_jobs(t->work->plan) || rc_exec_is_done(t, i) || t->jobs[i].saved ||
        half->rows == 0)
        return RC_OK;
    job = rc_plan_job(t->work->plan, i);
    rc_chunk_at(&c, job, UINT64_MAX, 0);
    if (half->rows >= c.nrows)
        return RC_OK;
    t->jobs[i].saved = rc_mem_get(x->mem, sizeof *half);
    if (!t->jobs[i].saved)
        return rc_fail_nomem(err, x->mem, sizeof *half);
    *t->jobs[i].saved = *half;
    return RC_OK;
}

rc_code rc_exec_load_halves(const rc_exec *x, rc_exec_target *t, rc_err *err)
{
    const char *name = rc_plan_names_of(t->work->plan)->state;
    char *file;
    uint64_t nbytes, n;
    size_t len;
    rc_code rc = RC_OK;

    if (!rc_dir_stat(t->work->dir, name, &nbytes) ||
        nbytes > sizeof(head) + MOST * sizeof(rc_exec_half) + sizeof(rc_digest))
        return RC_OK;
    RC_TRY(rc_dir_slurp(t->work->dir, name, (size_t)nbytes, &file, &len, x->mem, err));
    n = judge_file(t->work, file, len);
    for (uint64_t i = 0; i < n && rc == RC_OK; i++) {
        rc_exec_half half;

        memcpy(&half, file + sizeof(head) + i * sizeof half, sizeof half);
        rc = take_half(x, t, &half, err);
    }
    rc_mem_put(x->mem, file);
    return rc;
}

void rc_exec_resume_half(rc_exec_job *job)
{
    job->verdict = job->saved->verdict;
    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        rc_hash_load(&job->hashes->in[part], job->saved->in[part]);
        rc_hash_load(&job->hashes->out[part], job->saved->out[part]);
    }
}

/* -------------------------------------------------------------------- noting */

static void note(rc_exec_half *half, const rc_exec_job *state, size_t job, uint64_t rows)
{
    memset(half, 0, sizeof *half); /* no chance bytes between the fields */
    half->job = job;
    half->rows = rows;
    half->verdict = state->verdict;
    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        rc_hash_save(half->in[part], &state->hashes->in[part]);
        rc_hash_save(half->out[part], &state->hashes->out[part]);
    }
}

/* Does a multiple of the interval lie in the last chunk? */
static bool is_time(const rc_exec *x, const rc_job *job, uint64_t chunk, uint64_t chunk_rows)
{
    return out_bytes(job, chunk * chunk_rows) / every(x) >
           out_bytes(job, (chunk - 1) * chunk_rows) / every(x);
}

rc_code rc_exec_mark(rc_exec *x, rc_exec_target *t, size_t job, uint64_t chunk, uint64_t chunk_rows,
                     rc_err *err)
{
    const rc_job *of = rc_plan_job(t->work->plan, job);
    rc_exec_job *state = &t->jobs[job];
    rc_code rc = RC_OK;

    if (!rc_exec_is_large(x, of) || chunk >= rc_chunk_count(of, chunk_rows) ||
        !is_time(x, of, chunk, chunk_rows))
        return RC_OK;
    pthread_mutex_lock(&x->lock);
    if (!state->mark) { /* else one is waiting yet */
        state->mark = rc_mem_get(x->mem, sizeof *state->mark);
        if (state->mark) {
            note(state->mark, state, job, chunk * chunk_rows);
            state->mark_chunk = chunk;
            state->mark_left = chunk - state->first - state->written;
        } else {
            rc = rc_fail_nomem(err, x->mem, sizeof *state->mark);
        }
    }
    pthread_mutex_unlock(&x->lock);
    return rc;
}

rc_code rc_exec_written(rc_exec *x, rc_exec_target *t, size_t job, uint64_t chunk, rc_err *err)
{
    rc_exec_job *state = &t->jobs[job];
    bool whole = false;

    pthread_mutex_lock(&x->lock);
    state->written++;
    if (state->mark && chunk < state->mark_chunk)
        whole = --state->mark_left == 0;
    if (whole) {
        rc_mem_put(x->mem, state->saved);
        state->saved = state->mark;
        state->mark = NULL;
    }
    pthread_mutex_unlock(&x->lock);
    return whole ? save(x, t, err) : RC_OK;
}

/* The crew has gone home. A job is where its turn is, if all chunks up to there are written. */
static bool keep_half(const rc_exec *x, rc_exec_target *t, size_t i, uint64_t chunk_budget)
{
    const rc_job *job = rc_plan_job(t->work->plan, i);
    rc_exec_job *state = &t->jobs[i];
    const uint64_t rows = state->turn.next * rc_chunk_rows(job, chunk_budget);

    if (!state->hashes || state->in_middle || !rc_exec_is_large(x, job) || !state->written ||
        state->written != state->turn.next - state->first)
        return false;
    if (!state->saved)
        state->saved = rc_mem_get(x->mem, sizeof *state->saved);
    if (!state->saved)
        return false;
    note(state->saved, state, i, rows);
    return true;
}

void rc_exec_keep_halves(rc_exec *x, uint64_t chunk_budget)
{
    for (size_t k = 0; k < x->ntargets; k++) {
        rc_exec_target *t = &x->targets[k];
        bool any = false;
        rc_err ignored;
        rc_code rc = RC_OK;

        for (size_t i = 0; t->jobs && i < rc_plan_jobs(t->work->plan); i++)
            any |= keep_half(x, t, i, chunk_budget);
        if (any)
            rc = save(x, t, &ignored);
        (void)rc; /* what is not kept is done again */
    }
}
