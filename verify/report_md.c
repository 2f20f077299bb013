/* verify/report_md.c - see report.h. Markdown as model cards have it, GitHub's tables included. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "verify/markup.h"
#include "verify/report_parts.h"

static void put_row(rc_text *t, const char *what, const char *value)
{
    rc_text_printf(t, "| %s | %s |\n", what, value);
}

static void put_verdict(rc_text *t, const rc_outcome *o)
{
    rc_text says = { .mem = t->mem };
    char scaling[RC_JUDGE_SAYS];

    rc_outcome_summary(o, &says);
    rc_text_printf(t, "## Verified with recast: %s\n\n", rc_outcome_verdict(o));
    if (says.len)
        rc_markup_md(t, says.at, says.len);
    rc_text_put(t, "\n\n");
    if (o->sample && o->sample[0]) {
        rc_text_put(t, "Of the values only ");
        rc_markup_md(t, o->sample, strlen(o->sample));
        rc_text_put(t, ".\n\n");
    }
    if (o->judge && rc_judge_scaling_says(o->judge, scaling, sizeof scaling)[0])
        rc_text_printf(t, "Of the values, %s.\n\n", scaling);
    t->failed = t->failed || says.failed;
    rc_text_free(&says);
}

static void put_gates(rc_text *t, const rc_outcome *o)
{
    rc_outcome_gate gates[RC_OUTCOME_GATES];
    const size_t n = rc_outcome_gates(o, gates);

    if (!n)
        return;
    rc_text_put(t, "| gate | wanted | measured | |\n|---|---:|---:|---|\n");
    for (size_t i = 0; i < n; i++)
        rc_text_printf(t, "| %s | %s | %s | %s |\n", gates[i].name, gates[i].wants, gates[i].got,
                       gates[i].passes ? "ok" : "**failed**");
    rc_text_put(t, "\n");
}

static void put_kl(rc_text *t, const rc_behaviour *b)
{
    char se[RC_FIGURE_MEAN], x[RC_FIGURE], y[RC_FIGURE], z[RC_FIGURE], line[RC_FIGURE_MEAN * 3];

    put_row(t, "mean KL divergence, nats", rc_figure_mean(se, b->kl.value, b->kl.se));
    snprintf(line, sizeof line, "%s / %s / %s", rc_figure_plain(x, b->kl_median),
             rc_figure_plain(y, b->kl_p99), rc_figure_plain(z, b->kl_max));
    put_row(t, "median / 99 % / largest", line);
}

static void put_behaviour(rc_text *t, const rc_behaviour *b)
{
    char se[RC_FIGURE_MEAN], other[RC_FIGURE_MEAN], line[RC_FIGURE_MEAN * 3], x[RC_FIGURE];

    rc_text_printf(t, "| behaviour on %s positions | |\n|---|---:|\n",
                   rc_figure_count(x, b->positions));
    put_kl(t, b);
    put_row(t, "same likeliest token", rc_figure_share_mean(se, b->same_top.value, b->same_top.se));
    snprintf(line, sizeof line, "%s / %s", rc_figure_share(x, b->overlap5.value),
             rc_figure_share(other, b->overlap10.value));
    put_row(t, "top-5 / top-10 overlap", line);
    snprintf(line, sizeof line, "%s / %s", rc_figure_mean(se, b->ppl[0].value, b->ppl[0].se),
             rc_figure_mean(other, b->ppl[1].value, b->ppl[1].se));
    put_row(t, "perplexity, native / converted", line);
    put_row(t, "perplexity ratio", rc_figure_mean(se, b->ppl_ratio.value, b->ppl_ratio.se));
    put_row(t, "RMS shift of the true token's probability",
            rc_figure_share_mean(se, b->rms_dp.value, b->rms_dp.se));
    if (b->broken)
        put_row(t, "**positions without numbers**", rc_figure_count(x, b->broken));
    rc_text_put(t, "\n");
}

static void put_role(rc_text *t, const char *name, const rc_judge_role *r)
{
    char a[RC_FIGURE], b[RC_FIGURE], c[RC_FIGURE], d[RC_FIGURE];
    const bool same = strcmp(r->stored[0], r->stored[1]) == 0;

    rc_text_printf(t, "| %s | %s%s%s | %s | %s | %s | %s |\n", name, r->stored[0],
                   same ? "" : " \xe2\x86\x92 ", same ? "" : r->stored[1],
                   rc_figure_count(a, r->params), rc_figure_params(b, r->values),
                   rc_figure_count(c, r->exact), rc_figure_sqnr(d, r->worst_sqnr));
}

static void put_roles(rc_text *t, const rc_judge *judge)
{
    rc_judge_role roles[RC_ROLE_COUNT], all;

    rc_judge_roles(judge, roles, &all);
    rc_text_put(t, "| role | stored as | parameters | values | exact | worst SQNR |\n"
                   "|---|---|---:|---:|---:|---:|\n");
    for (unsigned i = 0; i < RC_ROLE_COUNT; i++)
        if (roles[i].params)
            put_role(t, rc_role_name((rc_role)i), &roles[i]);
    rc_text_put(t, "\n");
}

static void put_where(rc_text *t, const rc_outcome *o)
{
    rc_text where = { .mem = t->mem };

    rc_outcome_where(o, &where);
    if (where.len) {
        rc_text_put(t, "Where: ");
        rc_markup_md(t, where.at, where.len);
        rc_text_put(t, ".\n\n");
    }
    t->failed = t->failed || where.failed;
    rc_text_free(&where);
}

static void put_fact(rc_text *t, const char *what, const char *value)
{
    if (!value || !*value)
        return;
    rc_text_printf(t, "- %s: ", what);
    rc_markup_md_code(t, value, strlen(value));
    rc_text_put(t, "\n");
}

static void put_provenance(rc_text *t, const rc_outcome *o)
{
    const rc_provenance *p = &o->from;
    char line[160], n[RC_FIGURE];

    put_fact(t, "native", p->native);
    put_fact(t, "converted", p->converted);
    put_fact(t, "source revision", p->revision);
    put_fact(t, "config.json", p->config);
    put_fact(t, "text", p->text);
    if (o->windows) {
        snprintf(line, sizeof line, "%s, in windows of %" PRIu32 " every %" PRIu32,
                 rc_figure_count(n, o->windows->tokens), o->windows->ctx, o->windows->stride);
        rc_text_printf(t, "- tokens: %s%s", line, p->tokens[0] ? ", digest " : "\n");
        if (p->tokens[0])
            rc_text_printf(t, "`%s`\n", p->tokens);
    }
    put_fact(t, "golden file", p->golden);
    put_fact(t, "recorded with recast", p->golden_version);
    put_fact(t, "numerics", p->numerics);
    put_fact(t, "recast", p->version);
}

/* Fenced by more backticks than the command has anywhere. */
static void put_command(rc_text *t, const char *command)
{
    size_t fence = 3, run = 0;

    for (const char *p = command; *p; p++) {
        run = *p == '`' ? run + 1 : 0;
        fence = run >= fence ? run + 1 : fence;
    }
    rc_text_put(t, "\nTo see for yourself:\n\n");
    for (size_t i = 0; i < fence; i++)
        rc_text_put(t, "`");
    rc_text_printf(t, "sh\n%s\n", command);
    for (size_t i = 0; i < fence; i++)
        rc_text_put(t, "`");
    rc_text_put(t, "\n");
}

rc_code rc_report_md(char **out, size_t *out_len, const rc_outcome *o, rc_mem *mem, rc_err *err)
{
    rc_text t = { .mem = mem };

    put_verdict(&t, o);
    put_gates(&t, o);
    if (o->behaviour)
        put_behaviour(&t, o->behaviour);
    if (o->judge)
        put_roles(&t, o->judge);
    if (rc_outcome_status(o, NULL) == RC_OK) /* else the verdict has said it */
        put_where(&t, o);
    put_provenance(&t, o);
    if (o->from.command)
        put_command(&t, o->from.command);
    return rc_text_take(&t, out, out_len, err);
}
