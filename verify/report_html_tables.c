/* verify/report_html_tables.c - see report.h: the tables of the page. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "verify/markup.h"
#include "verify/report_parts.h"

enum { WORST = 15, GROUPS = 6, FINDINGS = 40 };

void rc_html_put(rc_text *t, const char *s)
{
    rc_markup_xml(t, s, strlen(s));
}

void rc_html_table(rc_text *t, const char *label)
{
    rc_text_printf(t, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\">\n",
                   label);
    rc_text_put(t, "<table>\n");
}

void rc_html_table_end(rc_text *t)
{
    rc_text_put(t, "</tbody>\n</table>\n</div>\n");
}

/* gates */

void rc_html_gates(rc_text *t, const rc_outcome *o)
{
    rc_outcome_gate gates[RC_OUTCOME_GATES];
    const size_t n = rc_outcome_gates(o, gates);

    if (!n)
        return;
    rc_text_put(t, "<section>\n<h2>Gates</h2>\n");
    rc_html_table(t, "Gates");
    rc_text_put(t, "<thead><tr><th scope=\"col\">gate</th><th scope=\"col\">result</th><th "
                   "scope=\"col\" class=\"n\">wanted</th><th scope=\"col\" class=\"n\">measured"
                   "</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < n; i++)
        rc_text_printf(t,
                       "<tr%s><th scope=\"row\">%s</th><td class=\"%s\">%s</td><td "
                       "class=\"n\">%s</td><td class=\"n\">%s</td></tr>\n",
                       gates[i].passes ? "" : " class=\"hit\"", gates[i].name,
                       gates[i].passes ? "ok" : "fail",
                       gates[i].passes ? "\xe2\x9c\x93 ok" : "\xe2\x9c\x97 failed", gates[i].wants,
                       gates[i].got);
    rc_html_table_end(t);
    rc_text_put(t, "</section>\n");
}

/* layers */

static void put_error(rc_text *t, const rc_sublayer_figures *f, double x)
{
    if (f->nonfinite)
        rc_text_put(t, "<td class=\"n fail\">no number</td>");
    else if (isnan(x))
        rc_text_put(t, "<td class=\"n\">\xe2\x80\x93</td>");
    else
        rc_text_printf(t, x == 0 ? "<td class=\"n\">0</td>" : "<td class=\"n\">%.2e</td>", x);
}

static void put_cosine(rc_text *t, double x)
{
    if (isnan(x))
        rc_text_put(t, "<td class=\"n\">\xe2\x80\x93</td>");
    else
        rc_text_printf(t, "<td class=\"n\">%.5f</td>", x);
}

static void put_flips(rc_text *t, uint64_t n, uint64_t of)
{
    char share[RC_FIGURE];

    rc_text_printf(t, "<td class=\"n\">%s</td>",
                   of ? rc_figure_percent(share, (double)n / (double)of) : "\xe2\x80\x93");
}

static void put_layer(rc_text *t, const rc_layers *l, const rc_layer_figures *f)
{
    const bool first = l->first == (int32_t)f->layer;

    rc_text_printf(t, "<tr%s><th scope=\"row\">%" PRIu32 "%s</th><td>%s</td>",
                   first ? " class=\"hit\"" : "", f->layer, first ? " \xe2\x97\x80" : "",
                   rc_outcome_kind(f));
    if (f->shared) {
        rc_text_put(t, "<td colspan=\"8\">equal: run once for both</td></tr>\n");
        return;
    }
    for (unsigned s = 0; s < 2; s++) {
        put_error(t, &f->sub[s], f->sub[s].rel_err);
        put_error(t, &f->sub[s], f->sub[s].own);
        put_cosine(t, f->sub[s].cosine_min);
    }
    put_flips(t, f->experts_flipped, f->experts);
    put_flips(t, f->blocks_flipped, f->blocks);
    rc_text_put(t, "</tr>\n");
}

void rc_html_layers_table(rc_text *t, const rc_layers *l)
{
    rc_text_put(t, "<details>\n<summary>As a table</summary>\n");
    rc_html_table(t, "Layers");
    rc_text_put(t, "<thead><tr><th scope=\"col\" rowspan=\"2\">layer</th><th scope=\"col\" "
                   "rowspan=\"2\">kind</th><th colspan=\"3\" scope=\"colgroup\" class=\"n\">after "
                   "attention</th><th colspan=\"3\" scope=\"colgroup\" class=\"n\">after the "
                   "experts</th><th colspan=\"2\" scope=\"colgroup\" class=\"n\">chosen otherwise"
                   "</th></tr>\n<tr>");
    for (unsigned s = 0; s < 2; s++)
        rc_text_put(t, "<th scope=\"col\" class=\"n\">error</th><th scope=\"col\" class=\"n\">own"
                       "</th><th scope=\"col\" class=\"n\">least cosine</th>");
    rc_text_put(t, "<th scope=\"col\" class=\"n\">experts</th><th scope=\"col\" class=\"n\">blocks"
                   "</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < l->n; i++)
        put_layer(t, l, &l->at[i]);
    rc_html_table_end(t);
    rc_text_put(t, "</details>\n");
}

/* ablation */

static void put_names(rc_text *t, const rc_ablation_group *g)
{
    rc_text_put(t, "<ul class=\"names\">\n");
    for (size_t i = 0; i < g->names && i < RC_ABLATE_NAMES; i++) {
        rc_text_put(t, "<li><code>");
        rc_html_put(t, g->name[i]);
        rc_text_put(t, "</code></li>\n");
    }
    rc_text_put(t, "</ul>\n");
}

static void put_group(rc_text *t, const rc_ablation *a, const rc_ablation_group *g)
{
    const bool blamed = a->blamed >= 0 && g == &a->group[a->blamed];
    char won[RC_FIGURE], kl[RC_FIGURE], n[RC_FIGURE];

    rc_text_printf(t, "<tr%s><th scope=\"row\" class=\"name\">", blamed ? " class=\"blamed\"" : "");
    rc_html_put(t, g->label);
    if (blamed && g->names && strcmp(g->name[0], g->label) != 0)
        put_names(t, g);
    rc_text_printf(t,
                   "</th><td class=\"won\"><div><i style=\"--w:%.1f%%\"></i><b>%s</b></div></td>"
                   "<td class=\"n\">%s</td><td class=\"n\">%s</td></tr>\n",
                   g->won > 0 ? 100 * fmin(g->won, 1) : 0.0, rc_figure_percent(won, g->won),
                   rc_figure_error(kl, g->kl),
                   g->config ? "config" : rc_figure_count(n, g->params));
}

void rc_html_ablation(rc_text *t, const rc_ablation *a)
{
    static const char *const levels[RC_ABLATE_LEVELS] = { "roles", "layers", "kinds of parameter",
                                                          "experts" };
    const rc_ablation_group *best[GROUPS];
    char kl[RC_FIGURE], n[RC_FIGURE];

    rc_html_table(t, "What wins how much when it is put back");
    rc_text_printf(t,
                   "<caption>Groups of parameters put back to NATIVE one at a time, on %s "
                   "positions where the mean KL divergence is %s.</caption>\n",
                   rc_figure_count(n, a->positions), rc_figure_error(kl, a->kl_all));
    rc_text_put(t, "<thead><tr><th scope=\"col\">put back</th><th scope=\"col\">wins back</th><th "
                   "scope=\"col\" class=\"n\">mean KL then</th><th scope=\"col\" class=\"n\">"
                   "parameters</th></tr></thead>\n<tbody>\n");
    for (unsigned level = 0; level < RC_ABLATE_LEVELS; level++) {
        const size_t found = rc_outcome_groups(a, (rc_ablation_level)level, best, GROUPS);

        if (found)
            rc_text_printf(
                t, "<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"4\">%s</th></tr>\n",
                levels[level]);
        for (size_t i = 0; i < found && i < GROUPS; i++)
            put_group(t, a, best[i]);
        if (found > GROUPS)
            rc_text_printf(t, "<tr><td colspan=\"4\">and %s more</td></tr>\n",
                           rc_figure_count(n, found - GROUPS));
    }
    rc_html_table_end(t);
}

/* behaviour */

static void put_row(rc_text *t, const char *what, const char *value)
{
    rc_text_printf(t, "<tr><th scope=\"row\">%s</th><td class=\"n\">%s</td></tr>\n", what, value);
}

static void put_divergence(rc_text *t, const rc_behaviour *b)
{
    char x[RC_FIGURE_MEAN], y[RC_FIGURE];

    rc_html_table(t, "KL divergence");
    rc_text_put(t, "<caption>KL divergence, nats</caption>\n<tbody>\n");
    put_row(t, "mean", rc_figure_mean(x, b->kl.value, b->kl.se));
    put_row(t, "median", rc_figure_plain(y, b->kl_median));
    put_row(t, "90 % are below", rc_figure_plain(y, b->kl_p90));
    put_row(t, "95 %", rc_figure_plain(y, b->kl_p95));
    put_row(t, "99 %", rc_figure_plain(y, b->kl_p99));
    put_row(t, "99.9 %", rc_figure_plain(y, b->kl_p999));
    put_row(t, "largest", rc_figure_plain(y, b->kl_max));
    rc_html_table_end(t);
}

static void put_agreement(rc_text *t, const rc_behaviour *b)
{
    char x[RC_FIGURE_MEAN], y[RC_FIGURE], z[RC_FIGURE];

    rc_html_table(t, "Agreement");
    rc_text_put(t, "<caption>Agreement, perplexity, the true token</caption>\n<tbody>\n");
    put_row(t, "same likeliest token", rc_figure_share_mean(x, b->same_top.value, b->same_top.se));
    put_row(t, "top-5 overlap", rc_figure_share_mean(x, b->overlap5.value, b->overlap5.se));
    put_row(t, "top-10 overlap", rc_figure_share_mean(x, b->overlap10.value, b->overlap10.se));
    put_row(t, "perplexity of NATIVE", rc_figure_mean(x, b->ppl[0].value, b->ppl[0].se));
    put_row(t, "perplexity of CONVERTED", rc_figure_mean(x, b->ppl[1].value, b->ppl[1].se));
    put_row(t, "their ratio", rc_figure_mean(x, b->ppl_ratio.value, b->ppl_ratio.se));
    put_row(t, "shift of its probability, RMS",
            rc_figure_share_mean(x, b->rms_dp.value, b->rms_dp.se));
    snprintf(x, sizeof x, "%s to %s", rc_figure_share(y, b->dp_p1), rc_figure_share(z, b->dp_p99));
    put_row(t, "98 % of the shifts", x);
    rc_html_table_end(t);
}

void rc_html_behaviour(rc_text *t, const rc_behaviour *b)
{
    char x[RC_FIGURE], y[RC_FIGURE];

    rc_text_put(t, "<div class=\"two\">\n");
    put_divergence(t, b);
    put_agreement(t, b);
    rc_text_put(t, "</div>\n");
    if (b->truncated)
        rc_text_printf(t,
                       "<p class=\"note\">Held against a golden file that keeps the likeliest "
                       "tokens of each position: the others, %s of NATIVE\xe2\x80\x99s probability "
                       "on average and %s at most, take part by a sample: the divergence past the "
                       "likeliest is estimated, without bias.</p>\n",
                       rc_figure_share(x, b->tail_mean), rc_figure_share(y, b->tail_max));
}

/* values */

static void put_role(rc_text *t, const char *name, const rc_judge_role *r, bool all)
{
    const bool same = strcmp(r->stored[0], r->stored[1]) == 0;
    char a[RC_FIGURE], b[RC_FIGURE], c[RC_FIGURE], d[RC_FIGURE], e[RC_FIGURE];

    rc_text_printf(t, "<tr%s><th scope=\"row\">%s</th><td>", all ? " class=\"sum\"" : "", name);
    if (!all) {
        rc_html_put(t, r->stored[0]);
        rc_text_put(t, same ? "" : " \xe2\x86\x92 ");
        rc_html_put(t, same ? "" : r->stored[1]);
    }
    rc_text_printf(t,
                   "</td><td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td><td "
                   "class=\"n\">%s</td><td class=\"n\">%s</td></tr>\n",
                   rc_figure_count(a, r->params), rc_figure_params(b, r->values),
                   rc_figure_count(c, r->exact), rc_figure_sqnr(d, r->worst_sqnr),
                   rc_figure_error(e, r->max_err));
}

void rc_html_roles(rc_text *t, const rc_judge *judge)
{
    rc_judge_role roles[RC_ROLE_COUNT], all;

    rc_judge_roles(judge, roles, &all);
    rc_html_table(t, "Values by role");
    rc_text_put(t, "<thead><tr><th scope=\"col\">role</th><th scope=\"col\">stored as</th><th "
                   "scope=\"col\" class=\"n\">parameters</th><th scope=\"col\" class=\"n\">values"
                   "</th><th scope=\"col\" class=\"n\">exact</th><th scope=\"col\" class=\"n\">"
                   "worst SQNR</th><th scope=\"col\" class=\"n\">max error</th></tr></thead>\n"
                   "<tbody>\n");
    for (unsigned i = 0; i < RC_ROLE_COUNT; i++)
        if (roles[i].params)
            put_role(t, rc_role_name((rc_role)i), &roles[i], false);
    put_role(t, "all", &all, true);
    rc_html_table_end(t);
}

static void put_pair(rc_text *t, const rc_judge *judge, const rc_pair *p)
{
    char sqnr[RC_FIGURE], error[RC_FIGURE], says[300];
    const bool passes = rc_judge_passes(judge, p);

    rc_text_put(t, "<tr><th scope=\"row\" class=\"name\"><code>");
    rc_html_put(t, p->name);
    rc_text_printf(t,
                   "</code></th><td class=\"%s\">%s</td><td class=\"n\">%s</td><td "
                   "class=\"n\">%s</td><td class=\"n\">",
                   passes ? "ok" : "fail", passes ? "\xe2\x9c\x93 ok" : "\xe2\x9c\x97 failed",
                   rc_figure_sqnr(sqnr, rc_pair_sqnr(p)),
                   p->values ? rc_figure_error(error, rc_stats_rel(&p->stats)) : "\xe2\x80\x93");
    rc_text_put(t, p->values ? rc_figure_error(error, p->stats.sum.max_diff) : "\xe2\x80\x93");
    rc_text_put(t, "</td></tr>\n");
    if (passes)
        return;
    rc_text_put(t, "<tr><td colspan=\"5\">");
    rc_html_put(t, rc_pair_says(p, says, sizeof says));
    rc_text_put(t, "</td></tr>\n");
}

void rc_html_worst(rc_text *t, const rc_judge *judge)
{
    const rc_pair *worst[WORST];
    const size_t n = rc_judge_lowest(judge, worst, WORST);
    char count[RC_FIGURE];

    if (!n)
        return;
    rc_text_put(t, "<h3>Worst tensors</h3>\n");
    rc_html_table(t, "Worst tensors");
    rc_text_put(t, "<thead><tr><th scope=\"col\">tensor</th><th scope=\"col\">result</th><th "
                   "scope=\"col\" class=\"n\">SQNR</th><th scope=\"col\" class=\"n\">relative error"
                   "</th><th scope=\"col\" class=\"n\">max error</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < n && i < WORST; i++)
        put_pair(t, judge, worst[i]);
    if (n > WORST)
        rc_text_printf(t, "<tr><td colspan=\"5\">and %s others that are not exact</td></tr>\n",
                       rc_figure_count(count, n - WORST));
    rc_html_table_end(t);
}

void rc_html_findings(rc_text *t, const rc_findings *list)
{
    uint64_t all = 0;
    char line[900], n[RC_FIGURE];

    for (unsigned i = 0; list && i < RC_LEVELS; i++)
        all += list->total[i];
    if (!all)
        return;
    rc_text_put(t, "<section>\n<h2>Findings</h2>\n");
    rc_html_table(t, "Findings");
    rc_text_put(t, "<thead><tr><th scope=\"col\">level</th><th scope=\"col\">what</th></tr></thead>"
                   "\n<tbody>\n");
    for (unsigned i = 0; i < list->n && i < FINDINGS; i++) {
        const rc_finding *f = &list->at[i];

        rc_err_line(&f->what, line, sizeof line);
        *(strrchr(line, '[') - 1) = '\0'; /* the class belongs to error lines */
        rc_text_printf(t, "<tr><th scope=\"row\" class=\"%s\">%s</th><td class=\"name\">",
                       f->level == RC_FAULT     ? "fail"
                       : f->level == RC_WARNING ? "warn"
                                                : "",
                       rc_level_name(f->level));
        rc_html_put(t, line);
        rc_text_put(t, "</td></tr>\n");
    }
    if (all > FINDINGS)
        rc_text_printf(t, "<tr><td colspan=\"2\">and %s more</td></tr>\n",
                       rc_figure_count(n, all - FINDINGS));
    rc_html_table_end(t);
    rc_text_put(t, "</section>\n");
}
