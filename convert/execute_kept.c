/* convert/execute_kept.c - shards of one target: what an earlier run left of them, and their end.
 */
#include <stdio.h>
#include <string.h>

#include "convert/execute_impl.h"
#include "convert/readback.h"

const char *rc_partial_name(const rc_plan_shard *shard, char buf[RC_PARTIAL_NAME])
{
    snprintf(buf, RC_PARTIAL_NAME, "%s.partial", shard->name);
    return buf;
}

/* ------------------------------------------------ what an earlier run left */

static rc_code recheck_half(const rc_exec_target *t, const rc_exec_half *half, rc_out *out,
                            uint8_t *buf, bool *same, rc_err *err)
{
    const rc_job *job = rc_plan_job(t->work->plan, (size_t)half->job);
    rc_chunk c;

    *same = true;
    rc_chunk_at(&c, job, half->rows, 0);
    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        _Alignas(64) rc_hasher hasher;
        rc_digest want;

        rc_hash_load(&hasher, job->op == RC_OP_COPY ? half->in[part] : half->out[part]);
        want = rc_hash_end(&hasher);
        if (job->out[part].name && *same)
            RC_TRY(rc_readback_dest(out, &job->out[part], c.out[part].len, &want, buf, same, err));
    }
    return RC_OK;
}

/* A shard that was not recorded as synced may have lost anything in a power cut:
 * believe the journal only where the bytes still have the digest it names. */
static rc_code recheck_shard(const rc_exec *x, rc_exec_target *t, size_t s, rc_err *err)
{
    uint8_t *buf = rc_mem_get_pages(x->mem, RC_READBACK);
    rc_out *out = t->shards[s].out;
    rc_code rc = RC_OK;

    if (!buf)
        return rc_fail_nomem(err, x->mem, RC_READBACK);
    for (size_t i = 0; i < rc_plan_jobs(t->work->plan) && rc == RC_OK; i++) {
        const rc_result *result = rc_journal_result(t->work->journal, i);
        rc_exec_job *job = &t->jobs[i];
        const rc_dest *differs;
        bool same = true;

        if (rc_plan_job(t->work->plan, i)->shard != s)
            continue;
        if (result) {
            rc = rc_readback(out, rc_plan_job(t->work->plan, i), result, buf, &differs, err);
            if (rc == RC_OK && differs)
                rc = rc_journal_forget(t->work->journal, i, err);
        } else if (job->saved) {
            rc = recheck_half(t, job->saved, out, buf, &same, err);
            if (rc == RC_OK && !same)
                rc_exec_drop_half(x, job);
        }
    }
    rc_mem_put(x->mem, buf);
    return rc;
}

static rc_code forget_shard(const rc_exec *x, rc_exec_target *t, size_t s, rc_err *err)
{
    if (rc_journal_has_shard(t->work->journal, s)) /* first: no job of a trusted shard is missing */
        RC_TRY(rc_journal_forget_shard(t->work->journal, s, err));
    for (size_t i = 0; i < rc_plan_jobs(t->work->plan); i++) {
        if (rc_plan_job(t->work->plan, i)->shard != s)
            continue;
        rc_exec_drop_half(x, &t->jobs[i]);
        if (rc_journal_result(t->work->journal, i))
            RC_TRY(rc_journal_forget(t->work->journal, i, err));
    }
    return RC_OK;
}

rc_code rc_exec_forget(rc_exec_target *t, size_t job, rc_err *err)
{
    const size_t s = rc_plan_job(t->work->plan, job)->shard;

    if (rc_journal_has_shard(t->work->journal, s))
        RC_TRY(rc_journal_forget_shard(t->work->journal, s, err));
    return rc_journal_forget(t->work->journal, job, err);
}

static bool all_done(const rc_exec_target *t, size_t s)
{
    for (size_t i = 0; i < rc_plan_jobs(t->work->plan); i++)
        if (rc_plan_job(t->work->plan, i)->shard == s && !rc_journal_result(t->work->journal, i))
            return false;
    return true;
}

/* What no job of this run's history has written is a file of somebody else's run: the right
 * size, but with whatever bytes between the tensors. */
static bool any_done(const rc_exec_target *t, size_t s)
{
    for (size_t i = 0; i < rc_plan_jobs(t->work->plan); i++)
        if (rc_plan_job(t->work->plan, i)->shard == s &&
            (rc_journal_result(t->work->journal, i) || t->jobs[i].saved))
            return true;
    return false;
}

static bool has_file(const rc_dir *dir, const char *name, uint64_t nbytes)
{
    uint64_t there;

    return rc_dir_stat(dir, name, &there) && there == nbytes;
}

static rc_code take_up_shard(rc_exec *x, rc_exec_target *t, size_t s, rc_err *err)
{
    const rc_plan_shard *shard = rc_plan_shard_at(t->work->plan, s);
    char partial[RC_PARTIAL_NAME];
    const bool there = has_file(t->work->dir, rc_partial_name(shard, partial), shard->nbytes);

    t->shards[s].there = there;
    if (!there && rc_journal_has_publish(t->work->journal) &&
        has_file(t->work->dir, shard->name, shard->nbytes) && all_done(t, s))
        return RC_OK; /* has its final name already */
    if (!there)
        return forget_shard(x, t, s, err);
    if (rc_journal_has_shard(t->work->journal, s))
        return RC_OK;
    RC_TRY(rc_out_open(&t->shards[s].out, t->work->dir, partial, shard->nbytes, RC_OUT_RESUME,
                       x->mem, err));
    RC_TRY(recheck_shard(x, t, s, err));
    t->shards[s].there = any_done(t, s);
    return rc_out_close(&t->shards[s].out, err);
}

rc_code rc_exec_take_up(rc_exec *x, rc_exec_target *t, rc_err *err)
{
    RC_TRY(rc_exec_load_halves(x, t, err));
    for (size_t s = 0; s < rc_plan_shards(t->work->plan); s++)
        if (rc_plan_is_mine(t->work->plan, s))
            RC_TRY(take_up_shard(x, t, s, err));
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

/* ------------------------------------------------------- the end of a shard */

/* Bytes that could not be synced may still be read back from the page cache, and a second
 * fsync() may claim success: such a file is not to be found by the next run. */
static rc_code discard_shard(const rc_exec_target *t, size_t s, rc_code why)
{
    rc_err ignored;
    char partial[RC_PARTIAL_NAME];
    const rc_code removed = rc_dir_remove(
        t->work->dir, rc_partial_name(rc_plan_shard_at(t->work->plan, s), partial), &ignored);

    (void)removed; /* `why` is the error to tell */
    return why;
}

rc_code rc_exec_finish_shard(const rc_exec *x, rc_exec_target *t, size_t s, rc_err *err)
{
    rc_exec_shard *state = &t->shards[s];
    rc_code rc = rc_out_sync(state->out, err);

    if (rc == RC_OK)
        rc = rc_out_close(&state->out, err);
    if (rc != RC_OK)
        return discard_shard(t, s, rc);
    RC_TRY(rc_dir_sync(t->work->dir, err));
    RC_TRY(rc_source_stream_sync(x->src, err)); /* what the shard was made of is known for good */
    return rc_journal_add_shard(t->work->journal, s, err);
}

/* A run may have died between a shard's last job and its sync. */
rc_code rc_exec_sync_leftovers(rc_exec *x, rc_exec_target *t, rc_err *err)
{
    for (size_t s = 0; s < rc_plan_shards(t->work->plan); s++) {
        const rc_plan_shard *shard = rc_plan_shard_at(t->work->plan, s);
        char partial[RC_PARTIAL_NAME];

        rc_partial_name(shard, partial);
        if (t->shards[s].jobs_left || rc_journal_has_shard(t->work->journal, s) ||
            !t->shards[s].there)
            continue;
        RC_TRY(rc_out_open(&t->shards[s].out, t->work->dir, partial, shard->nbytes, RC_OUT_RESUME,
                           x->mem, err));
        RC_TRY(rc_out_write(t->shards[s].out, 0, shard->head, shard->head_len, err));
        RC_TRY(rc_exec_finish_shard(x, t, s, err));
    }
    return RC_OK;
}
