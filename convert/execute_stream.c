/* convert/execute_stream.c - the source of an execution as a stream: what will be read, and what
 * an earlier run may have read that is to be read again. */
#include "convert/execute_impl.h"

rc_extent rc_exec_extent(const rc_exec *x, const rc_tensor *t, uint64_t off, uint64_t nbytes)
{
    return (rc_extent){ rc_ckpt_shard(x->ckpt, t->shard)->file, t->begin + off, nbytes };
}

bool rc_exec_streams(const rc_exec *x)
{
    return !x->opts->discard &&
           (rc_source_is_remote(x->src) || (x->ntargets > 1 && !rc_source_in_memory(x->src)));
}

rc_code rc_exec_stream(const rc_exec *x, const rc_extent *extents, size_t n, size_t memory,
                       rc_err *err)
{
    /* What two parts take of one file each has to be compared, though neither reads it whole. */
    const bool parts = rc_plan_share(x->targets[0].work->plan).count > 0;
    const rc_stream_opts opts = { .memory = memory,
                                  .connections = x->opts->connections,
                                  .digests = rc_source_is_remote(x->src),
                                  .whole = parts,
                                  .dirs = x->opts->log_dirs,
                                  .log_names = x->opts->log_names,
                                  .ndirs = x->opts->nlogs,
                                  .log = x->opts->log };

    return rc_source_stream(x->src, extents, n, &opts, err);
}

/* The first `rows` of a job. */
static bool is_remembered(const rc_exec *x, const rc_job *job, uint64_t rows)
{
    rc_chunk c;

    rc_chunk_at(&c, job, rows, 0);
    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        const rc_tensor *t = rc_job_in(job, (rc_part)part);
        const rc_extent e =
            t ? rc_exec_extent(x, t, c.in[part].off, c.in[part].len) : (rc_extent){ 0 };

        if (t && !rc_stream_remembers(x->src, &e))
            return false;
    }
    return true;
}

rc_code rc_exec_forget_unknown(const rc_exec *x, rc_exec_target *t, bool *any, rc_err *err)
{
    for (size_t i = 0; i < rc_plan_jobs(t->work->plan); i++) {
        const rc_job *job = rc_plan_job(t->work->plan, i);
        rc_exec_job *state = &t->jobs[i];

        if (rc_journal_result(t->work->journal, i) && !is_remembered(x, job, UINT64_MAX)) {
            RC_TRY(rc_exec_forget(t, i, err));
            *any = true;
        } else if (state->saved && !is_remembered(x, job, state->saved->rows)) {
            rc_exec_drop_half(x, state);
            *any = true;
        }
    }
    return RC_OK;
}

static bool reads_file(const rc_exec *x, const rc_job *job, size_t file)
{
    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        const rc_tensor *t = rc_job_in(job, (rc_part)part);

        if (t && rc_ckpt_shard(x->ckpt, t->shard)->file == file)
            return true;
    }
    return false;
}

void rc_exec_forget_bad_file(const rc_exec *x)
{
    rc_err ignored;
    size_t file;
    rc_code rc = RC_OK;

    if (!rc_stream_bad_file(x->src, &file))
        return;
    for (size_t k = 0; k < x->ntargets; k++) {
        rc_exec_target *t = &x->targets[k];

        for (size_t i = 0; i < rc_plan_jobs(t->work->plan) && rc == RC_OK; i++)
            if (rc_journal_result(t->work->journal, i) &&
                reads_file(x, rc_plan_job(t->work->plan, i), file))
                rc = rc_exec_forget(t, i, &ignored);
        /* what is half done is not much */
        rc = rc_dir_remove(t->work->dir, rc_plan_names_of(t->work->plan)->state, &ignored);
        rc = RC_OK; /* the file is the error to tell; the next run asks the stream's log again */
    }
}
