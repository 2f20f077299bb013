/* convert/ledger_int4.c - see ledger_int4.h. */
#include "convert/ledger_int4.h"

#include <string.h>

static const rc_calib *stats_of(const rc_finished *done)
{
    return rc_plan_recipe(done->plan)->int4.stats;
}

/* Tokens that the job's input was seen with; 0: unknown. */
static rc_code tokens_of(const rc_finished *done, const rc_job *job, uint64_t *tokens, rc_err *err)
{
    return rc_calib_seen(stats_of(done), job->param,
                         rc_ckpt_config(rc_model_ckpt(rc_plan_model(done->plan))), tokens, err);
}

/* What was found for a norm; NULL where nothing was. */
static const rc_smooth_point *point_of(const rc_finished *done, const rc_job *job)
{
    for (size_t i = 0; done->smooth && job->smoothed && i < rc_smooth_count(done->smooth); i++)
        if (strcmp(rc_smooth_at(done->smooth, i)->norm, job->param->name) == 0)
            return rc_smooth_at(done->smooth, i);
    return NULL;
}

/* Expert by expert, by the matrix that has statistics of its own. */
static bool counts_expert(const rc_job *job)
{
    const size_t n = strlen(job->param->name), k = strlen(".w2.weight");

    return job->role == RC_ROLE_EXPERT && n > k &&
           strcmp(job->param->name + n - k, ".w2.weight") == 0;
}

static bool is_few(const rc_finished *done, uint64_t tokens)
{
    return rc_calib_origin_of(stats_of(done))->ours && tokens < RC_CALIB_ENOUGH;
}

rc_code rc_totals_int4(rc_int4_totals *t, const rc_finished *done, const rc_job *job,
                       const rc_result *r, rc_err *err)
{
    const rc_smooth_point *point = point_of(done, job);
    rc_verdict sum = { .int4 = t->tally };

    t->scaled += point && point->ratio >= 0;
    if (!job->int4.group)
        return RC_OK;
    t->tensors++;
    if (job->op != RC_OP_INT4)
        return RC_OK;
    rc_verdict_add(&sum, &r->verdict);
    t->tally = sum.int4;
    t->by_moments += r->verdict.by_moments;
    t->unknown += r->verdict.unknown;
    if (r->verdict.int4.subnormal && !t->first_subnormal)
        t->first_subnormal = job;
    if (counts_expert(job)) {
        uint64_t tokens = 0;

        t->experts++;
        if (stats_of(done))
            RC_TRY(tokens_of(done, job, &tokens, err));
        t->few += stats_of(done) && !r->verdict.unknown && is_few(done, tokens);
    }
    return RC_OK;
}

static rc_code write_statistics(rc_jsonw *w, const rc_finished *done, const rc_job *job,
                                const rc_verdict *v, rc_err *err)
{
    uint64_t tokens;

    if (!stats_of(done))
        return RC_OK;
    RC_TRY(tokens_of(done, job, &tokens, err));
    if (tokens)
        rc_jsonw_ku64(w, "tokens", tokens);
    rc_jsonw_kbool(w, "fallback", v->unknown || is_few(done, tokens));
    return RC_OK;
}

static const char *method_word(const rc_finished *done, const rc_verdict *v)
{
    const rc_recipe *recipe = rc_plan_recipe(done->plan);

    return v->by_moments ? "awq+ with feedback" : rc_recipe_method(recipe);
}

static void write_tally(rc_jsonw *w, const rc_int4_tally *t)
{
    rc_jsonw_kf64(w, "loss_nearest", t->loss_nearest);
    rc_jsonw_kf64(w, "loss", t->loss);
    rc_jsonw_ku64(w, "groups", t->groups);
    rc_jsonw_ku64(w, "groups_clipped", t->clipped);
    rc_jsonw_ku64(w, "scales_subnormal", t->subnormal);
}

static void write_point(rc_jsonw *w, const rc_smooth_point *p)
{
    rc_jsonw_key(w, "scaling");
    rc_jsonw_object(w);
    if (p->ratio >= 0)
        rc_jsonw_kf64(w, "ratio", p->ratio);
    rc_jsonw_kf64(w, "loss_before", p->before);
    rc_jsonw_kf64(w, "loss_after", p->after);
    rc_jsonw_kf64(w, "least", (double)p->least);
    rc_jsonw_kf64(w, "most", (double)p->most);
    rc_jsonw_object_end(w);
}

rc_code rc_ledger_int4(rc_jsonw *w, const rc_finished *done, const rc_job *job, const rc_result *r,
                       rc_err *err)
{
    const rc_smooth_point *point = point_of(done, job);

    if (point)
        write_point(w, point);
    if (job->smoothed)
        rc_jsonw_kbool(w, "scaled", rc_smooth_factors(done->smooth, job->param) != NULL);
    if (!job->int4.group)
        return RC_OK;
    rc_jsonw_ku64(w, "group", job->int4.group);
    rc_jsonw_kbool(w, "symmetric", !job->int4.zeros);
    if (job->op != RC_OP_INT4)
        return RC_OK;
    rc_jsonw_kstr(w, "method", method_word(done, &r->verdict));
    write_tally(w, &r->verdict.int4);
    return write_statistics(w, done, job, &r->verdict, err);
}

static void write_origin(rc_jsonw *w, const rc_calib *stats)
{
    const rc_calib_origin *o = rc_calib_origin_of(stats);

    rc_jsonw_key(w, "stats");
    rc_jsonw_object(w);
    if (o->ours) {
        rc_jsonw_ku64(w, "tokens", o->tokens);
        rc_jsonw_kstr(w, "tokens_digest", o->tokens_digest);
        rc_jsonw_kstr(w, "numerics", o->numerics);
        rc_jsonw_ku64(w, "moments", o->moments);
    }
    rc_jsonw_kstr(w, "dataset", rc_imatrix_dataset(rc_calib_imatrix(stats)));
    rc_write_values_digest(w, "digest", rc_calib_imatrix(stats));
    rc_jsonw_object_end(w);
}

void rc_recipe_int4(rc_jsonw *w, const rc_recipe *recipe)
{
    const rc_int4_recipe *r = &recipe->int4;

    rc_jsonw_ku64(w, "group", r->group);
    rc_jsonw_kbool(w, "symmetric", r->symmetric);
    rc_jsonw_kstr(w, "names", r->hf_names ? "hf" : "deepseek");
    if (r->repack) {
        rc_jsonw_kbool(w, "repacked", true);
        return;
    }
    rc_jsonw_kstr(w, "scope", rc_recipe_scope(recipe));
    rc_jsonw_kstr(w, "method", rc_recipe_method(recipe));
    rc_jsonw_kstr(w, "smooth", rc_recipe_smooth(recipe));
    if (r->stats)
        write_origin(w, r->stats);
}

void rc_summary_int4(rc_jsonw *w, const rc_int4_totals *t)
{
    rc_jsonw_key(w, "int4");
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "tensors", t->tensors);
    if (t->tally.groups)
        write_tally(w, &t->tally);
    rc_jsonw_ku64(w, "by_moments", t->by_moments);
    rc_jsonw_ku64(w, "norms_scaled", t->scaled);
    rc_jsonw_ku64(w, "experts", t->experts);
    rc_jsonw_ku64(w, "experts_few_tokens", t->few);
    rc_jsonw_ku64(w, "unknown_statistics", t->unknown);
    rc_jsonw_object_end(w);
}
