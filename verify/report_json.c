/* verify/report_json.c - see report.h. */
#include <math.h>
#include <string.h>

#include "runtime/decode.h"
#include "verify/figures.h"
#include "verify/judge_impl.h"
#include "verify/report_parts.h"

static void put_known(rc_jsonw *w, const char *key, const char *s)
{
    rc_jsonw_key(w, key);
    if (s)
        rc_jsonw_str(w, s);
    else
        rc_jsonw_null(w);
}

static void put_side(rc_jsonw *w, const char *key, const rc_subject *s, const char *path,
                     const char *variant)
{
    rc_jsonw_key(w, key);
    rc_jsonw_object(w);
    put_known(w, "path", s ? rc_source_where(rc_ckpt_source(s->ckpt)) : path);
    put_known(w, "variant", s ? rc_model_variant(s->model) : variant);
    rc_jsonw_object_end(w);
}

static bool is_uniform(const rc_judge_rules *r)
{
    for (unsigned i = 1; i < RC_ROLE_COUNT; i++)
        if (r->min_sqnr[i] != r->min_sqnr[0])
            return false;
    return true;
}

static void put_rules(rc_jsonw *w, const rc_judge_rules *r)
{
    rc_jsonw_key(w, "rules");
    rc_jsonw_object(w);
    rc_jsonw_kbool(w, "exact", !r->lossy);
    rc_jsonw_kf64(w, "min_sqnr_db", r->lossy && is_uniform(r) ? r->min_sqnr[0] : NAN);
    rc_jsonw_key(w, "min_sqnr_db_by_role");
    rc_jsonw_object(w);
    for (unsigned i = 0; i < RC_ROLE_COUNT && r->lossy; i++)
        rc_jsonw_kf64(w, rc_role_name((rc_role)i), r->min_sqnr[i]);
    rc_jsonw_object_end(w);
    rc_jsonw_kf64(w, "max_rel_err", r->lossy ? r->max_rel_err : NAN);
    rc_jsonw_kbool(w, "allow_missing_draft", r->allow_missing_draft);
    rc_jsonw_key(w, "tensors");
    rc_jsonw_array(w);
    for (unsigned i = 0; i < r->nglobs; i++)
        rc_jsonw_str(w, r->globs[i]);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

static void put_role(rc_jsonw *w, const char *role, const rc_judge_role *r)
{
    rc_jsonw_object(w);
    if (role)
        rc_jsonw_kstr(w, "role", role);
    rc_jsonw_kstr(w, "native", r->stored[0]);
    rc_jsonw_kstr(w, "converted", r->stored[1]);
    rc_jsonw_ku64(w, "parameters", r->params);
    rc_jsonw_ku64(w, "exact", r->exact);
    rc_jsonw_ku64(w, "failed", r->failed);
    rc_jsonw_ku64(w, "values", r->values);
    rc_jsonw_ku64(w, "differ", r->differ);
    rc_jsonw_ku64(w, "incomparable", r->incomparable);
    rc_jsonw_kf64(w, "max_abs_err", r->max_err);
    rc_jsonw_kf64(w, "rel_err", r->dd == 0 ? 0 : sqrt(r->dd / r->aa));
    rc_jsonw_kf64(w, "worst_sqnr_db", r->worst_sqnr);
    rc_jsonw_object_end(w);
}

static void put_finding(rc_jsonw *w, const rc_finding *f)
{
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "level", rc_level_name(f->level));
    rc_jsonw_kstr(w, "topic", f->topic);
    rc_jsonw_kstr(w, "file", f->what.file);
    rc_jsonw_kstr(w, "tensor", f->what.tensor);
    rc_jsonw_key(w, "offset");
    if (f->what.offset == RC_NO_OFFSET)
        rc_jsonw_null(w);
    else
        rc_jsonw_u64(w, f->what.offset);
    rc_jsonw_kstr(w, "message", f->what.msg);
    rc_jsonw_kstr(w, "want", f->what.want);
    rc_jsonw_kstr(w, "got", f->what.got);
    rc_jsonw_object_end(w);
}

static void put_findings(rc_jsonw *w, const rc_findings *list)
{
    rc_jsonw_ku64(w, "faults", list ? list->total[RC_FAULT] : 0);
    rc_jsonw_ku64(w, "warnings", list ? list->total[RC_WARNING] : 0);
    rc_jsonw_ku64(w, "notes", list ? list->total[RC_NOTE] : 0);
    rc_jsonw_key(w, "findings");
    rc_jsonw_array(w);
    for (size_t i = 0; list && i < list->n; i++)
        put_finding(w, &list->at[i]);
    rc_jsonw_array_end(w);
}

static void put_two(rc_jsonw *w, const char *key, uint64_t a, uint64_t b)
{
    rc_jsonw_key(w, key);
    rc_jsonw_array(w);
    rc_jsonw_u64(w, a);
    rc_jsonw_u64(w, b);
    rc_jsonw_array_end(w);
}

static void put_worst(rc_jsonw *w, const rc_judge *j, const rc_pair *p)
{
    uint64_t at, row, col;
    float a, b;

    rc_jsonw_key(w, "worst");
    if (!rc_stats_place(&p->stats, &at, &a, &b)) {
        rc_jsonw_null(w);
        return;
    }
    rc_pair_place(p, at, &row, &col);
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "row", row);
    rc_jsonw_ku64(w, "column", col);
    rc_jsonw_kf64(w, "native", p->values ? (double)a : NAN);
    rc_jsonw_kf64(w, "converted", p->values ? (double)b : NAN);
    rc_jsonw_kstr(w, "shard", rc_ckpt_shard(j->b.ckpt, p->tb->shard)->name);
    rc_jsonw_ku64(w, "offset", rc_pair_offset(p));
    rc_jsonw_object_end(w);
}

static void put_pair(rc_jsonw *w, const rc_judge *j, const rc_pair *p)
{
    const rc_stats *s = &p->stats;
    char label[RC_FIGURE];

    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "name", p->name);
    rc_jsonw_kstr(w, "role", rc_role_name(p->role));
    rc_jsonw_key(w, "layer");
    if (p->layer < 0)
        rc_jsonw_null(w);
    else
        rc_jsonw_i64(w, p->layer);
    rc_jsonw_kbool(w, "draft", p->draft);
    rc_jsonw_kstr(w, "native", p->a ? rc_figure_layout(label, p->a) : rc_tensor_type(p->ta));
    rc_jsonw_kstr(w, "converted", p->b ? rc_figure_layout(label, p->b) : rc_tensor_type(p->tb));
    rc_jsonw_key(w, "shape");
    rc_jsonw_array(w);
    for (unsigned i = 0; i < p->rank; i++)
        rc_jsonw_u64(w, p->shape[i]);
    rc_jsonw_array_end(w);
    rc_jsonw_ku64(w, "values", s->n);
    rc_jsonw_kbool(w, "exact", rc_stats_exact(s));
    rc_jsonw_kbool(w, "passes", rc_judge_passes(j, p));
    rc_jsonw_ku64(w, "differ", s->sum.differ);
    rc_jsonw_ku64(w, "incomparable", s->incomparable);
    rc_jsonw_kf64(w, "max_abs_err", s->sum.max_diff);
    rc_jsonw_kf64(w, "rel_err", rc_stats_rel(s));
    rc_jsonw_kf64(w, "sqnr_db", rc_pair_sqnr(p));
    rc_jsonw_kf64(w, "cosine", rc_stats_cosine(s));
    put_two(w, "nan", s->sum.nan_a, s->sum.nan_b);
    put_two(w, "inf", s->sum.inf_a, s->sum.inf_b);
    put_known(w, "scaling", !p->scaled ? NULL : rc_pair_astray(p) ? rc_pair_astray(p) : "undone");
    put_worst(w, j, p);
    rc_jsonw_object_end(w);
}

static void put_tensors(rc_jsonw *w, const rc_judge *judge)
{
    rc_jsonw_key(w, "tensors");
    rc_jsonw_array(w);
    for (size_t i = 0; judge && i < judge->npairs; i++)
        put_pair(w, judge, &judge->pair[i]);
    rc_jsonw_array_end(w);
}

static void put_roles(rc_jsonw *w, const rc_judge *judge)
{
    rc_judge_role roles[RC_ROLE_COUNT] = { 0 }, all;

    rc_jsonw_key(w, "totals");
    if (judge) {
        rc_judge_roles(judge, roles, &all);
        put_role(w, NULL, &all);
    } else {
        rc_jsonw_null(w);
    }
    rc_jsonw_key(w, "roles");
    rc_jsonw_array(w);
    for (unsigned i = 0; i < RC_ROLE_COUNT; i++)
        if (roles[i].params)
            put_role(w, rc_role_name((rc_role)i), &roles[i]);
    rc_jsonw_array_end(w);
}

static void put_sampled(rc_jsonw *w, const rc_outcome *o)
{
    rc_jsonw_key(w, "sampled");
    if (!o->sampled_of) {
        rc_jsonw_null(w);
        return;
    }
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "parameters", o->sampled);
    rc_jsonw_ku64(w, "of", o->sampled_of);
    put_known(w, "says", o->sample);
    rc_jsonw_object_end(w);
}

static void put_point(rc_jsonw *w, const rc_scaled_point *p)
{
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "norm", p->norm->name);
    rc_jsonw_key(w, "layer");
    if (p->norm->layer < 0)
        rc_jsonw_null(w);
    else
        rc_jsonw_i64(w, p->norm->layer);
    rc_jsonw_kbool(w, "draft", p->norm->draft);
    rc_jsonw_ku64(w, "channels", p->n);
    rc_jsonw_ku64(w, "scaled", p->channels);
    rc_jsonw_kbool(w, "powers_of_two", p->exact);
    rc_jsonw_kf64(w, "least", (double)p->least);
    rc_jsonw_kf64(w, "most", (double)p->most);
    rc_jsonw_kf64(w, "divided", p->divided);
    rc_jsonw_object_end(w);
}

static void put_scaling(rc_jsonw *w, const rc_judge *judge)
{
    const rc_scaled *scaled = judge ? rc_judge_scaled(judge) : NULL;
    rc_judge_scaling s;
    char says[RC_JUDGE_SAYS];

    rc_jsonw_key(w, "scaling");
    if (!scaled) {
        rc_jsonw_null(w);
        return;
    }
    rc_judge_scaling_of(judge, &s);
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "norms", s.norms);
    rc_jsonw_ku64(w, "readers", s.readers);
    rc_jsonw_ku64(w, "astray", s.astray);
    rc_jsonw_kbool(w, "powers_of_two", s.exact);
    rc_jsonw_kf64(w, "least", (double)s.least);
    rc_jsonw_kf64(w, "most", (double)s.most);
    rc_jsonw_kstr(w, "says", rc_judge_scaling_says(judge, says, sizeof says));
    rc_jsonw_key(w, "points");
    rc_jsonw_array(w);
    for (size_t i = 0; i < rc_scaled_count(scaled); i++)
        put_point(w, rc_scaled_at(scaled, i));
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

static void put_provenance(rc_jsonw *w, const rc_outcome *o)
{
    const rc_provenance *p = &o->from;

    rc_jsonw_key(w, "provenance");
    rc_jsonw_object(w);
    put_known(w, "text", p->text);
    if (o->windows) {
        rc_jsonw_ku64(w, "ctx", o->windows->ctx);
        rc_jsonw_ku64(w, "stride", o->windows->stride);
        rc_jsonw_ku64(w, "skip", o->windows->skip);
        rc_jsonw_ku64(w, "tokens", o->windows->tokens);
    }
    put_known(w, "numerics", p->numerics);
    put_known(w, "golden", p->golden);
    put_known(w, "golden_version", p->golden_version);
    put_known(w, "revision", p->revision);
    put_known(w, "config", p->config[0] ? p->config : NULL);
    put_known(w, "tokens_digest", p->tokens[0] ? p->tokens : NULL);
    put_known(w, "command", p->command);
    rc_jsonw_object_end(w);
}

static void put_message(rc_jsonw *w, const rc_outcome *o)
{
    rc_mem mem = { 0 };
    rc_text says = { .mem = &mem };

    rc_outcome_summary(o, &says);
    rc_jsonw_kstr(w, "message", says.at ? says.at : "");
    rc_text_free(&says);
}

void rc_report_json(rc_jsonw *w, const rc_outcome *o)
{
    const rc_judge *j = o->judge;

    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "recast", RC_VERSION);
    rc_jsonw_kstr(w, "verdict", rc_outcome_verdict(o));
    rc_jsonw_kbool(w, "passes", rc_outcome_status(o, NULL) == RC_OK);
    put_message(w, o);
    put_side(w, "native", j ? &j->a : NULL, o->from.native, o->from.native_variant);
    put_side(w, "converted", j ? &j->b : NULL, o->from.converted, o->from.converted_variant);
    if (j) {
        put_rules(w, &j->rules);
    } else {
        rc_jsonw_key(w, "rules");
        rc_jsonw_null(w);
    }
    put_roles(w, j);
    put_sampled(w, o);
    put_scaling(w, j);
    put_findings(w, o->findings);
    rc_report_json_behaviour(w, o);
    put_provenance(w, o);
    put_tensors(w, j);
    rc_jsonw_object_end(w);
}
