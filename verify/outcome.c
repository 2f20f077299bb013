/* verify/outcome.c - see outcome.h. */
#include "verify/outcome.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool rc_outcome_wants_exact(const rc_outcome *o)
{
    return !o->ngates && !(o->judge && rc_judge_rules_of(o->judge)->lossy);
}

bool rc_outcome_behaves_exactly(const rc_outcome *o)
{
    const rc_behaviour *b = o->behaviour;

    if (!b)
        return true;
    return !b->broken && b->kl_zero == b->positions && (!o->from.golden || o->same_logits);
}

static bool holds_exactly(const rc_judge *judge)
{
    return !judge || rc_judge_lowest(judge, NULL, 0) == 0;
}

/* where */

static const char *const sublayers[2] = { "attention", "experts" };

static bool first_nonfinite(const rc_layers *l, uint32_t *layer, unsigned *sub)
{
    for (size_t i = 0; i < l->n; i++)
        for (*sub = 0; *sub < 2; (*sub)++)
            if (l->at[i].sub[*sub].nonfinite) {
                *layer = l->at[i].layer;
                return true;
            }
    return false;
}

static void put_first(const rc_layers *l, rc_text *out)
{
    uint32_t layer;
    unsigned sub;

    if (first_nonfinite(l, &layer, &sub))
        rc_text_printf(out, "no numbers from layer %" PRIu32 ", %s on", layer, sublayers[sub]);
    else if (l->first >= 0)
        rc_text_printf(out, "first past an error of %.3g: layer %" PRId32 ", %s", l->threshold,
                       l->first, sublayers[l->first_sub]);
}

void rc_outcome_where(const rc_outcome *o, rc_text *out)
{
    const rc_ablation *a = o->ablation;
    const size_t before = out->len;

    if (o->layers)
        put_first(o->layers, out);
    if (out->len == before && o->from.golden && o->first_differing >= 0)
        rc_text_printf(out, "first to differ: layer %" PRId32 ", by its checksum",
                       o->first_differing);
    if (a && a->blamed >= 0) {
        const rc_ablation_group *g = &a->group[a->blamed], *role;
        char share[RC_FIGURE], label[2 * sizeof g->label];

        rc_text_printf(out, "%sputting '%s' back removes %s of the divergence",
                       out->len > before ? "; " : "",
                       rc_escape(label, sizeof label, g->label, strlen(g->label)),
                       rc_figure_percent(share, g->won));
        /* one tensor of many that round is not all there is to say */
        if (rc_outcome_groups(a, RC_ABLATE_ROLES, &role, 1) && role != g && role->won > g->won)
            rc_text_printf(out, ", all of '%s' %s",
                           rc_escape(label, sizeof label, role->label, strlen(role->label)),
                           rc_figure_percent(share, role->won));
    }
}

const char *rc_outcome_kind(const rc_layer_figures *layer)
{
    switch (layer->ratio) {
    case 0:
        return layer->hash ? "window, hash" : "window";
    case 4:
        return layer->hash ? "CSA, hash" : "CSA";
    default:
        return layer->hash ? "HCA, hash" : "HCA";
    }
}

/* Not a number wins nothing. */
static bool wins_more(const rc_ablation_group *a, const rc_ablation_group *b)
{
    return a->won > b->won || (isnan(b->won) && !isnan(a->won));
}

size_t rc_outcome_groups(const rc_ablation *a, rc_ablation_level level,
                         const rc_ablation_group **best, size_t n)
{
    size_t found = 0, kept = 0;

    for (size_t i = 0; i < a->n; i++) {
        size_t at;

        if (a->group[i].level != level)
            continue;
        found++;
        for (at = kept; at > 0 && wins_more(&a->group[i], best[at - 1]); at--)
            if (at < n)
                best[at] = best[at - 1];
        if (at < n) {
            best[at] = &a->group[i];
            kept += kept < n;
        }
    }
    return found;
}

/* gates */

static void put_bound(rc_outcome_gate *g, bool at_least, const char *figure)
{
    snprintf(g->wants, sizeof g->wants, "at %s %s", at_least ? "least" : "most", figure);
}

static void fill_behaviour(rc_outcome_gate *g, const rc_gate_result *r, const rc_behaviour *b)
{
    char figure[RC_FIGURE];
    const bool share = r->kind == RC_GATE_TOP1;
    const rc_figure_se exact = { r->measured, 0 };
    const rc_figure_se *m = !b                             ? &exact
                            : r->kind == RC_GATE_KL        ? &b->kl
                            : r->kind == RC_GATE_TOP1      ? &b->same_top
                            : r->kind == RC_GATE_PPL_RATIO ? &b->ppl_ratio
                                                           : &exact;

    *g = (rc_outcome_gate){ .bound = r->bound, .measured = r->measured, .passes = r->passes };
    snprintf(g->name, sizeof g->name, "%s", rc_gate_name(r->kind));
    put_bound(g, share,
              share ? rc_figure_percent(figure, r->bound) : rc_figure_plain(figure, r->bound));
    if (share)
        rc_figure_share_mean(g->got, r->measured, m->se);
    else
        rc_figure_mean(g->got, r->measured, m->se);
}

static void fill_sqnr(rc_outcome_gate *g, const char *role, double bound, double worst)
{
    char figure[RC_FIGURE];

    *g = (rc_outcome_gate){ .bound = bound, .measured = worst, .passes = worst >= bound };
    snprintf(g->name, sizeof g->name, "min-sqnr%s%s", role ? " " : "", role ? role : "");
    if (isinf(bound))
        snprintf(g->wants, sizeof g->wants, "exact");
    else
        put_bound(g, true, rc_figure_sqnr(figure, bound));
    rc_figure_sqnr(g->got, worst);
}

static void fill_rel_err(rc_outcome_gate *g, const rc_judge *judge, double bound)
{
    char figure[RC_FIGURE];
    double worst = 0;

    for (size_t i = 0; i < rc_judge_pairs(judge); i++)
        worst = fmax(worst, rc_stats_rel(&rc_judge_pair(judge, i)->stats));
    *g = (rc_outcome_gate){ .bound = bound, .measured = worst, .passes = worst <= bound };
    snprintf(g->name, sizeof g->name, "max-rel-err");
    put_bound(g, false, rc_figure_plain(figure, bound));
    rc_figure_plain(g->got, worst);
}

static size_t gates_of_values(const rc_judge *judge, rc_outcome_gate *out)
{
    const rc_judge_rules *rules = rc_judge_rules_of(judge);
    rc_judge_role roles[RC_ROLE_COUNT], all;
    bool uniform = true;
    size_t n = 0;

    if (!rules->lossy)
        return 0;
    rc_judge_roles(judge, roles, &all);
    for (unsigned r = 1; r < RC_ROLE_COUNT; r++)
        uniform = uniform && rules->min_sqnr[r] == rules->min_sqnr[0];
    if (uniform && rules->min_sqnr[0] > -HUGE_VAL)
        fill_sqnr(&out[n++], NULL, rules->min_sqnr[0], all.worst_sqnr);
    for (unsigned r = 0; r < RC_ROLE_COUNT && !uniform; r++)
        if (roles[r].params && rules->min_sqnr[r] > -HUGE_VAL)
            fill_sqnr(&out[n++], rc_role_name((rc_role)r), rules->min_sqnr[r], roles[r].worst_sqnr);
    if (rules->max_rel_err < HUGE_VAL)
        fill_rel_err(&out[n++], judge, rules->max_rel_err);
    return n;
}

size_t rc_outcome_gates(const rc_outcome *o, rc_outcome_gate out[RC_OUTCOME_GATES])
{
    for (size_t i = 0; i < o->ngates; i++)
        fill_behaviour(&out[i], &o->gate[i], o->behaviour);
    return o->ngates + (o->judge ? gates_of_values(o->judge, out + o->ngates) : 0);
}

/* the verdict */

/* Put where it goes wrong behind the message. */
static void put_where(const rc_outcome *o, rc_err *err)
{
    rc_mem mem = { 0 };
    rc_text where = { .mem = &mem };
    const size_t n = strlen(err->msg);

    rc_outcome_where(o, &where);
    if (where.len)
        snprintf(err->msg + n, sizeof err->msg - n, "; %s", where.at);
    rc_text_free(&where);
    if (o->from.converted)
        rc_err_file(err, o->from.converted);
}

static rc_code fail_broken(const rc_outcome *o, rc_err *err)
{
    char a[RC_FIGURE], b[RC_FIGURE];

    if (err) {
        rc_fail(err, RC_DIFFERS, RC_NO_OFFSET,
                "at %s of %s positions there is a NaN or an infinity among the logits",
                rc_figure_count(a, o->behaviour->broken),
                rc_figure_count(b, o->behaviour->positions));
        put_where(o, err);
    }
    return RC_DIFFERS;
}

static rc_code fail_gate(const rc_outcome *o, const rc_gate_result *r, rc_err *err)
{
    rc_outcome_gate g;

    if (err) {
        fill_behaviour(&g, r, o->behaviour);
        rc_fail(err, RC_DIFFERS, RC_NO_OFFSET, "%s: %s, wanted %s", g.name, g.got, g.wants);
        put_where(o, err);
    }
    return RC_DIFFERS;
}

static rc_code fail_exact(const rc_outcome *o, rc_err *err)
{
    const rc_behaviour *b = o->behaviour;
    char kl[RC_FIGURE_MEAN], n[RC_FIGURE], all[RC_FIGURE];

    if (!err)
        return RC_DIFFERS;
    if (b->kl_zero == b->positions)
        rc_fail(err, RC_DIFFERS, RC_NO_OFFSET,
                "the logits differ from those recorded, by less than their top-k shows");
    else
        rc_fail(err, RC_DIFFERS, RC_NO_OFFSET,
                "the logits differ at %s of %s positions, mean KL divergence %s",
                rc_figure_count(n, b->positions - b->kl_zero), rc_figure_count(all, b->positions),
                rc_figure_mean(kl, b->kl.value, b->kl.se));
    put_where(o, err);
    rc_err_hint(err, "--max-kl accepts a measured loss");
    return RC_DIFFERS;
}

rc_code rc_outcome_status(const rc_outcome *o, rc_err *err)
{
    /* with a judge the findings are its own, and part of its verdict */
    const rc_finding *fault = o->findings && !o->judge ? rc_findings_worst(o->findings) : NULL;
    const rc_code judged = o->judge ? rc_judge_verdict(o->judge, err) : RC_OK;

    if (judged != RC_OK && judged != RC_DIFFERS)
        return judged;
    if (fault && fault->what.code != RC_DIFFERS) {
        if (err)
            *err = fault->what;
        return fault->what.code;
    }
    if (o->behaviour && o->behaviour->broken)
        return fail_broken(o, err);
    for (size_t i = 0; i < o->ngates; i++)
        if (!o->gate[i].passes)
            return fail_gate(o, &o->gate[i], err);
    if (judged != RC_OK) {
        if (err && o->behaviour && rc_outcome_wants_exact(o)) {
            err->hint[0] = '\0'; /* the judge knows of values only */
            rc_err_hint(err, "a measured loss is accepted with --max-kl X, or --min-sqnr DB");
        }
        return judged;
    }
    if (fault) {
        if (err)
            *err = fault->what;
        return fault->what.code;
    }
    return !rc_outcome_wants_exact(o) || rc_outcome_behaves_exactly(o) ? RC_OK : fail_exact(o, err);
}

const char *rc_outcome_verdict(const rc_outcome *o)
{
    switch (rc_outcome_status(o, NULL)) {
    case RC_OK:
        return holds_exactly(o->judge) && rc_outcome_behaves_exactly(o) ? "exact" : "within bounds";
    case RC_DIFFERS:
        return "differs";
    default:
        return "broken set";
    }
}

/* in words */

static void say_behaviour(const rc_behaviour *b, rc_text *out)
{
    char kl[RC_FIGURE_MEAN], top[RC_FIGURE], n[RC_FIGURE];

    rc_figure_count(n, b->positions);
    if (b->kl_zero == b->positions)
        rc_text_printf(out, "KL divergence is 0 at all %s positions. ", n);
    else
        rc_text_printf(out,
                       "Mean KL divergence %s nats, the same likeliest token at %s of %s "
                       "positions. ",
                       rc_figure_mean(kl, b->kl.value, b->kl.se),
                       rc_figure_share(top, b->same_top.value), n);
}

static void say_values(const rc_judge *judge, rc_text *out)
{
    rc_judge_role roles[RC_ROLE_COUNT], all;
    char a[RC_FIGURE], b[RC_FIGURE], c[RC_FIGURE];

    rc_judge_roles(judge, roles, &all);
    if (all.exact == all.params)
        rc_text_printf(out, "All %s values of %s parameters are equal. ",
                       rc_figure_count(a, all.values), rc_figure_count(b, all.params));
    else
        rc_text_printf(out, "Worst SQNR %s, %s of %s parameters exact. ",
                       rc_figure_sqnr(a, all.worst_sqnr), rc_figure_count(b, all.exact),
                       rc_figure_count(c, all.params));
}

void rc_outcome_summary(const rc_outcome *o, rc_text *out)
{
    rc_err err;

    if (rc_outcome_status(o, &err) != RC_OK) {
        rc_text_put(out, err.msg);
        if (err.tensor[0])
            rc_text_printf(out, " (%s)", err.tensor);
        return;
    }
    if (o->behaviour)
        say_behaviour(o->behaviour, out);
    if (o->judge)
        say_values(o->judge, out);
    if (out->len && out->at[out->len - 1] == ' ')
        out->at[--out->len] = '\0';
}
