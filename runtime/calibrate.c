/* runtime/calibrate.c - see calibrate.h. */
#include "runtime/calibrate.h"

#include <stdio.h>
#include <string.h>

#include "formats/imatrix_dat.h"
#include "runtime/calib_state.h"
#include "runtime/collect.h"

/* Names beside the result. */
enum { PARTIAL, STATE, STREAMS_0, STREAMS_1, LOCK, NAMES };

typedef struct job {
    const rc_calibrate_options *o;
    const rc_target *target, *dat;
    rc_model *model;
    const rc_config *config;
    rc_calibrate_report *report;
    rc_mem *mem;
    char name[NAMES][512];
    rc_calib_plan plan;
    rc_calib_state state;
    bool resumes;
    size_t wide; /* values of a token's streams */
    rc_collect *collect;
    rc_calib_writer *writer;
    rc_forward *f;
    rc_out *streams[2];
} job;

/* ---------------------------------------------------------------------- draft */

/* Can the draft's block be run? What makes its logits is not needed. */
static bool has_draft(const rc_model *model, const char **why_not)
{
    const rc_traits *traits = rc_model_traits(model);

    *why_not = NULL;
    if (traits->draft == RC_DRAFT_DSPARK)
        *why_not = "a DSpark draft runs in f64 only: it has no statistics here";
    if (traits->draft != RC_DRAFT_MTP)
        return false;
    for (size_t i = 0; i < rc_model_count(model); i++) {
        const rc_bound *b = rc_model_at(model, i);

        if (b->param->draft && !b->weight && !strstr(b->param->name, ".hc_head_") &&
            strcmp(b->param->name, "mtp.0.norm.weight") != 0) {
            *why_not = "parts of the draft lie in another file: it has no statistics here";
            return false;
        }
    }
    return true;
}

uint32_t rc_calibrate_steps(const rc_model *model)
{
    const char *why;

    return rc_ckpt_config(rc_model_ckpt(model))->num_hidden_layers + has_draft(model, &why);
}

uint64_t rc_calibrate_parts(const rc_model *model, const rc_windows *windows)
{
    return 2 * (uint64_t)windows->tokens *
           rc_ckpt_config(rc_model_ckpt(model))->num_experts_per_tok;
}

/* ------------------------------------------------------------------- identity */

/* Files as they lie there: other weights of the same sizes are another model. */
static rc_digest digest_model(const rc_model *model)
{
    rc_ckpt *ckpt = rc_model_ckpt(model);
    _Alignas(64) rc_hasher hasher;

    rc_hash_begin(&hasher);
    rc_ckpt_identity(ckpt, &hasher);
    return rc_hash_end(&hasher);
}

static rc_digest digest_tokens(const rc_windows *w)
{
    _Alignas(64) rc_hasher hasher;

    rc_hash_begin(&hasher);
    rc_hash_field(&hasher, &w->ctx, sizeof w->ctx);
    rc_hash_field(&hasher, w->token, w->tokens * sizeof *w->token);
    return rc_hash_end(&hasher);
}

static rc_digest digest_options(const job *j)
{
    const uint64_t sample = j->o->sample, numerics = (uint64_t)j->o->run.numerics;
    _Alignas(64) rc_hasher hasher;

    rc_hash_begin(&hasher);
    rc_hash_field(&hasher, RC_VERSION, strlen(RC_VERSION));
    rc_hash_field(&hasher, &sample, sizeof sample);
    rc_hash_field(&hasher, &numerics, sizeof numerics);
    rc_hash_field(&hasher, &j->o->moments, sizeof j->o->moments);
    rc_hash_field(&hasher, j->o->dataset, strlen(j->o->dataset));
    return rc_hash_end(&hasher);
}

static size_t at_most(size_t a, size_t b)
{
    return a < b ? a : b;
}

static rc_code make_plan(job *j, rc_err *err)
{
    const rc_windows *w = j->o->windows;
    const rc_digest tokens = digest_tokens(w);
    char hex[33];

    j->plan = (rc_calib_plan){
        .model = j->model,
        .draft = has_draft(j->model, &j->report->no_draft),
        .moments = j->o->moments,
        .sample = at_most(j->o->sample, w->tokens),
        .draft_sample = at_most(j->o->sample, w->tokens - w->windows),
        .tokens = w->tokens,
        .windows = (uint32_t)w->windows,
        .ctx = w->ctx,
        .dataset = j->o->dataset,
        .numerics = j->o->run.numerics == RC_NUMERICS_NATIVE ? "native" : "f32",
    };
    j->report->draft = j->plan.draft;
    j->report->steps = j->config->num_hidden_layers + j->plan.draft;
    snprintf(j->plan.tokens_digest, sizeof j->plan.tokens_digest, "%s",
             rc_digest_hex(&tokens, hex));
    RC_TRY(rc_calib_model_digest(j->plan.model_digest, j->model, err));
    return rc_calib_tokenizer_digest(j->plan.tokenizer, j->model, err);
}

/* ----------------------------------------------------------------- what is there */

static const char *const endings[NAMES] = { ".partial", ".partial.state", ".partial.streams-0",
                                            ".partial.streams-1", ".partial.lock" };

static rc_code spell_names(job *j, rc_err *err)
{
    for (unsigned i = 0; i < NAMES; i++)
        if (snprintf(j->name[i], sizeof j->name[i], "%s%s", j->target->name, endings[i]) >=
            (int)sizeof j->name[i])
            return rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "the name is too long");
    return RC_OK;
}

/* The state goes first: without it the others are nothing. */
static rc_code remove_all(job *j, bool partial, rc_err *err)
{
    const rc_dir *dir = &j->target->dir;

    RC_TRY(rc_dir_remove(dir, j->name[STATE], err));
    RC_TRY(rc_dir_sync(dir, err));
    RC_TRY(rc_dir_remove(dir, j->name[STREAMS_0], err));
    RC_TRY(rc_dir_remove(dir, j->name[STREAMS_1], err));
    return partial ? rc_dir_remove(dir, j->name[PARTIAL], err) : RC_OK;
}

static rc_code spare(const job *j, const rc_target *t, rc_err *err)
{
    if (!t->name || j->o->replace || !rc_dir_stat(&t->dir, t->name, NULL))
        return RC_OK;
    rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "is there already");
    rc_err_file(err, t->name);
    rc_err_hint(err, "give --force to replace it");
    return RC_E_CANTCREATE;
}

static rc_code look_for_state(job *j, rc_err *err)
{
    const rc_calib_id mine = { digest_model(j->model), digest_tokens(j->o->windows),
                               digest_options(j) };
    const rc_dir *dir = &j->target->dir;

    if (j->o->restart)
        RC_TRY(remove_all(j, true, err));
    RC_TRY(rc_calib_state_read(dir, j->name[STATE], &j->state, &j->resumes, err));
    if (j->resumes)
        RC_TRY(rc_calib_state_match(&j->state, &mine, err));
    else
        j->state = (rc_calib_state){ .id = mine };
    if (j->state.finished && !rc_dir_has(dir, j->name[PARTIAL], NULL))
        return RC_OK; /* it has its name already */
    RC_TRY(spare(j, j->target, err));
    return spare(j, j->dat, err);
}

/* ---------------------------------------------------------------------- layers */

static rc_code open_all(job *j, rc_err *err)
{
    const rc_dir *dir = &j->target->dir;
    const uint64_t nbytes = (uint64_t)j->o->windows->tokens * j->wide * sizeof(float);

    for (unsigned i = 0; i < 2; i++)
        RC_TRY(rc_out_open(&j->streams[i], dir, j->name[STREAMS_0 + i], nbytes,
                           j->resumes && j->state.slot == i ? RC_OUT_RESUME : RC_OUT_NEW, j->mem,
                           err));
    j->report->state_nbytes = 2 * nbytes;
    return rc_calib_writer_new(&j->writer, &j->plan, dir, j->name[PARTIAL],
                               j->resumes ? RC_OUT_RESUME : RC_OUT_NEW, j->mem, err);
}

static rc_code open_files(job *j, rc_err *err)
{
    const rc_code rc = open_all(j, err);

    if (j->resumes && (rc == RC_E_INTEGRITY || rc == RC_E_CANTCREATE))
        rc_err_hint(err, "what an earlier run left is not whole: --restart begins anew");
    return rc;
}

/* A step is over: what it gave is on the disk before the state says so. */
static rc_code keep(job *j, rc_err *err)
{
    const unsigned slot = 1 - j->state.slot;

    RC_TRY(rc_calib_writer_sync(j->writer, err));
    RC_TRY(rc_calib_streams_save(j->f, j->streams[slot], j->o->windows->tokens, j->wide,
                                 &j->state.streams, j->mem, err));
    j->state.slot = slot;
    j->state.next = rc_forward_next_layer(j->f);
    return rc_calib_state_put(&j->target->dir, j->name[STATE], &j->state, err);
}

/* The collector counts within a step; here it is made even, whatever a step lacked. */
static void count(const job *j, uint64_t steps)
{
    if (j->o->done)
        *j->o->done = steps * rc_calibrate_parts(j->model, j->o->windows);
}

static rc_code run_layers(job *j, rc_err *err)
{
    while (rc_forward_next_layer(j->f) < rc_forward_end_layer(j->f)) {
        const uint32_t layer = rc_forward_next_layer(j->f);

        RC_TRY(rc_forward_step(j->f, err));
        RC_TRY(rc_collect_flush(j->collect, layer, &j->state.few, err));
        RC_TRY(keep(j, err));
        count(j, j->state.next);
    }
    RC_TRY(rc_forward_show_head(j->f, err));
    RC_TRY(rc_collect_flush(j->collect, j->config->num_hidden_layers - 1, &j->state.few, err));
    if (!j->plan.draft)
        return RC_OK;
    RC_TRY(rc_forward_draft_windows(j->f, err));
    RC_TRY(rc_collect_flush(j->collect, j->config->num_hidden_layers, &j->state.few, err));
    count(j, rc_calibrate_steps(j->model));
    return RC_OK;
}

static rc_code begin(job *j, rc_err *err)
{
    const rc_windows *w = j->o->windows;
    rc_forward_options run = j->o->run;

    run.mem = j->mem;
    run.watch = rc_collect_watch(j->collect);
    run.keep_streams = j->plan.draft;
    run.no_logits = true;
    run.steps = NULL;
    RC_TRY(rc_forward_new(&j->f, j->model, &run, err));
    RC_TRY(rc_forward_begin(j->f, w->token, w->tokens, w->ctx, err));
    rc_collect_to(j->collect, j->writer);
    if (!j->resumes)
        return RC_OK;
    j->report->resumed = j->state.next;
    count(j, j->state.next);
    if (j->o->kept && j->o->done)
        *j->o->kept = *j->o->done;
    RC_TRY(rc_forward_resume(j->f, j->state.next, err));
    return rc_calib_streams_load(j->f, j->streams[j->state.slot], w->tokens, j->wide,
                                 &j->state.streams, j->mem, err);
}

static rc_code work(job *j, rc_err *err)
{
    const rc_windows *w = j->o->windows;
    const rc_collect_options o = { .threads = j->o->run.threads,
                                   .moments = j->o->moments,
                                   .sample = j->o->sample,
                                   .tokens = w->tokens,
                                   .draft_tokens = j->plan.draft ? w->tokens - w->windows : 0,
                                   .window = w->ctx,
                                   .rows = j->o->done };
    rc_weights_stats stats;

    RC_TRY(open_files(j, err));
    RC_TRY(rc_collect_new(&j->collect, j->config, &o, j->mem, err));
    RC_TRY(begin(j, err));
    RC_TRY(run_layers(j, err));
    stats = rc_forward_statistics(j->f);
    j->report->bytes_read = stats.bytes_read;
    j->report->wait_s = stats.wait_s;
    j->report->spilled = rc_forward_spilled(j->f);
    RC_TRY(rc_calib_writer_finish(j->writer, j->state.few, err));
    j->state.finished = 1;
    return rc_calib_state_put(&j->target->dir, j->name[STATE], &j->state, err);
}

/* ---------------------------------------------------------------------- the end */

static rc_code write_dat(const job *j, rc_err *err)
{
    char path[sizeof j->target->folder + 512];
    rc_imatrix *m;
    rc_code rc;

    if (!j->dat->name)
        return RC_OK;
    snprintf(path, sizeof path, "%s/%s", j->target->folder, j->target->name);
    RC_TRY(rc_imatrix_open(&m, path, NULL, j->mem, err));
    rc = rc_imatrix_write_dat(m, j->dat, j->mem, err);
    rc_imatrix_free(&m);
    return rc;
}

static rc_code publish(job *j, rc_err *err)
{
    const rc_dir *dir = &j->target->dir;

    if (rc_dir_has(dir, j->name[PARTIAL], NULL)) {
        RC_TRY(rc_dir_rename(dir, j->name[PARTIAL], j->target->name, err));
        RC_TRY(rc_dir_sync(dir, err));
    }
    RC_TRY(write_dat(j, err));
    j->report->few = j->state.few;
    return remove_all(j, false, err);
}

static void close_all(job *j)
{
    rc_err ignored;

    rc_forward_free(&j->f);
    rc_collect_free(&j->collect);
    rc_calib_writer_free(&j->writer);
    for (unsigned i = 0; i < 2; i++)
        if (rc_out_close(&j->streams[i], &ignored) != RC_OK) {
            /* what the state speaks of has been synced */
        }
}

static rc_code run_locked(job *j, rc_err *err)
{
    rc_code rc = look_for_state(j, err);

    if (rc == RC_OK)
        rc = make_plan(j, err);
    if (rc == RC_OK && j->state.finished)
        j->report->resumed = j->report->steps;
    else if (rc == RC_OK)
        rc = work(j, err);
    close_all(j);
    return rc == RC_OK ? publish(j, err) : rc;
}

rc_code rc_calibrate(const rc_target *target, const rc_target *dat, rc_model *model,
                     const rc_calibrate_options *o, rc_calibrate_report *report, rc_mem *mem,
                     rc_err *err)
{
    job *j = rc_mem_get(mem, sizeof *j);
    int lock;
    rc_code rc;

    *report = (rc_calibrate_report){ 0 };
    if (!j)
        return rc_fail_nomem(err, mem, sizeof *j);
    j->o = o;
    j->target = target;
    j->dat = dat;
    j->model = model;
    j->config = rc_ckpt_config(rc_model_ckpt(model));
    j->wide = (size_t)j->config->hidden_size * j->config->hc_mult;
    j->report = report;
    j->mem = mem;
    rc = spell_names(j, err);
    if (rc == RC_OK)
        rc = rc_dir_lock(&target->dir, j->name[LOCK], &lock, err);
    if (rc == RC_OK) {
        rc = run_locked(j, err);
        rc_dir_unlock(&target->dir, j->name[LOCK], lock);
    }
    rc_mem_put(mem, j);
    return rc;
}
