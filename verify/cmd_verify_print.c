/* verify/cmd_verify_print.c - see cmd_verify_print.h. */
#include "verify/cmd_verify_print.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/base/cli.h"

enum { SHOWN = 10, FINDINGS = 20, GROUPS = 3 };

static const char *safe(char buf[512], const char *s)
{
    return s ? rc_escape(buf, 512, s, strlen(s)) : "-";
}

static void print_side(const char *label, const char *where, const char *variant)
{
    char shown[512];

    printf("%-10s %s%s%s\n", label, safe(shown, where), variant ? ": " : "",
           variant ? variant : "");
}

static void print_sides(const rc_outcome *o)
{
    const rc_subject *a = o->judge ? rc_judge_native(o->judge) : NULL;
    const rc_subject *b = o->judge ? rc_judge_converted(o->judge) : NULL;

    print_side("NATIVE", a ? rc_source_where(rc_ckpt_source(a->ckpt)) : o->from.native,
               a ? rc_model_variant(a->model) : o->from.native_variant);
    print_side("CONVERTED", b ? rc_source_where(rc_ckpt_source(b->ckpt)) : o->from.converted,
               b ? rc_model_variant(b->model) : o->from.converted_variant);
    if (o->from.golden)
        print_side("GOLDEN", o->from.golden, NULL);
}

/* roles */

/* "FP4+E8M0 -> MXFP4", or one of them when they are the same. */
static const char *stored(const rc_judge_role *r, char buf[160])
{
    const bool same = strcmp(r->stored[0], r->stored[1]) == 0;

    snprintf(buf, 160, "%s%s%s", r->stored[0], same ? "" : " -> ", same ? "" : r->stored[1]);
    return buf;
}

static void print_role(const char *label, const rc_judge_role *r, bool all)
{
    char a[RC_FIGURE], b[RC_FIGURE], c[RC_FIGURE], d[RC_FIGURE], e[RC_FIGURE], how[160];

    printf("  %-17s%12s%12s%12s%14s%14s%s%s\n", label, rc_figure_count(a, r->params),
           rc_figure_params(b, r->values), rc_figure_count(c, r->exact),
           rc_figure_sqnr(d, r->worst_sqnr), rc_figure_error(e, r->max_err), all ? "" : "  ",
           all ? "" : stored(r, how));
}

static void print_roles(const rc_judge *judge)
{
    rc_judge_role roles[RC_ROLE_COUNT], all;

    rc_judge_roles(judge, roles, &all);
    printf("\n  %-17s%12s%12s%12s%14s%14s  %s\n", "role", "parameters", "values", "exact",
           "worst SQNR", "max error", "stored as");
    for (unsigned i = 0; i < RC_ROLE_COUNT; i++)
        if (roles[i].params)
            print_role(rc_role_name((rc_role)i), &roles[i], false);
    print_role("all", &all, true);
    putchar('\n');
}

/* behaviour */

static void print_kl(const rc_behaviour *b)
{
    char mean[RC_FIGURE_MEAN], q[6][RC_FIGURE];

    printf("    %-26smean %s nats\n", "KL divergence", rc_figure_mean(mean, b->kl.value, b->kl.se));
    if (b->kl_max == 0)
        return;
    printf("    %-26smedian %s, 90 %% %s, 95 %% %s\n", "", rc_figure_error(q[0], b->kl_median),
           rc_figure_error(q[1], b->kl_p90), rc_figure_error(q[2], b->kl_p95));
    printf("    %-26s99 %% %s, 99.9 %% %s, largest %s\n", "", rc_figure_error(q[3], b->kl_p99),
           rc_figure_error(q[4], b->kl_p999), rc_figure_error(q[5], b->kl_max));
}

static void print_figures(const rc_behaviour *b)
{
    char x[RC_FIGURE_MEAN], y[RC_FIGURE_MEAN], z[RC_FIGURE_MEAN], p[RC_FIGURE], q[RC_FIGURE];

    printf("    %-26s%s\n", "same likeliest token",
           rc_figure_share_mean(x, b->same_top.value, b->same_top.se));
    printf("    %-26s%s, %s\n", "top-5, top-10 overlap", rc_figure_share(p, b->overlap5.value),
           rc_figure_share(q, b->overlap10.value));
    printf("    %-26s%s became %s, ratio %s\n", "perplexity",
           rc_figure_mean(x, b->ppl[0].value, b->ppl[0].se),
           rc_figure_mean(y, b->ppl[1].value, b->ppl[1].se),
           rc_figure_mean(z, b->ppl_ratio.value, b->ppl_ratio.se));
    printf("    %-26sRMS %s, from %s to %s\n", "true token's probability",
           rc_figure_share_mean(x, b->rms_dp.value, b->rms_dp.se), rc_figure_share(p, b->dp_min),
           rc_figure_share(q, b->dp_max));
}

static void print_behaviour(const rc_outcome *o)
{
    const rc_behaviour *b = o->behaviour;
    char x[RC_FIGURE], y[RC_FIGURE];

    printf("  behaviour, %s positions", rc_figure_count(x, b->positions));
    if (o->windows)
        printf(" in %s window%s of %" PRIu32 " tokens", rc_figure_count(y, o->windows->windows),
               o->windows->windows == 1 ? "" : "s", o->windows->ctx);
    putchar('\n');
    if (b->broken)
        printf("    %-26s%s positions have a NaN or an infinity\n", "no numbers",
               rc_figure_count(x, b->broken));
    print_kl(b);
    print_figures(b);
    if (b->truncated)
        printf("    %-26s%s on average, %s at most; divergence there is estimated\n",
               "past the top-k kept", rc_figure_share(x, b->tail_mean),
               rc_figure_share(y, b->tail_max));
    putchar('\n');
}

/* layers */

static const char *error_of(char buf[RC_FIGURE], const rc_sublayer_figures *f, double x)
{
    if (f->nonfinite)
        strcpy(buf, "NaN");
    else if (isnan(x))
        strcpy(buf, "-");
    else if (x == 0)
        strcpy(buf, "0");
    else
        snprintf(buf, RC_FIGURE, "%.2e", x);
    return buf;
}

static const char *cosine_of(char buf[RC_FIGURE], double x)
{
    if (isnan(x))
        strcpy(buf, "-");
    else
        snprintf(buf, RC_FIGURE, "%.5f", x);
    return buf;
}

static const char *flipped(char buf[RC_FIGURE], uint64_t n, uint64_t of)
{
    if (!of)
        strcpy(buf, "-");
    else
        rc_figure_percent(buf, (double)n / (double)of);
    return buf;
}

static void print_layer(const rc_layers *l, const rc_layer_figures *f)
{
    char q[8][RC_FIGURE];

    printf("  %c %3" PRIu32 " %-13s", l->first == (int32_t)f->layer ? '>' : ' ', f->layer,
           rc_outcome_kind(f));
    if (f->shared) {
        printf("  equal\n");
        return;
    }
    for (unsigned s = 0; s < 2; s++)
        printf("%10s%10s%9s", error_of(q[3 * s], &f->sub[s], f->sub[s].rel_err),
               error_of(q[3 * s + 1], &f->sub[s], f->sub[s].own),
               cosine_of(q[3 * s + 2], f->sub[s].cosine_min));
    printf("%10s%10s\n", flipped(q[6], f->experts_flipped, f->experts),
           flipped(q[7], f->blocks_flipped, f->blocks));
}

static void print_layers(const rc_outcome *o)
{
    const rc_layers *l = o->layers;

    printf("  layers: relative error of the streams after each sublayer%s\n",
           l->estimated ? ", estimated from sketches" : "");
    printf("    %3s %-13s%10s%10s%9s%10s%10s%9s%10s%10s\n", "", "", "attention", "own", "cosine",
           "experts", "own", "cosine", "flipped", "blocks");
    for (size_t i = 0; i < l->n; i++)
        print_layer(l, &l->at[i]);
    if (l->first >= 0)
        printf("  > the first past %.3g, in %s\n", l->threshold,
               l->first_sub ? "the experts" : "attention");
    putchar('\n');
}

/* ablation */

static void print_group(const rc_ablation *a, const rc_ablation_group *g)
{
    char label[512], kl[RC_FIGURE], won[RC_FIGURE], x[RC_FIGURE];

    printf("  %c %-46s%12s%10s%14s\n", a->blamed >= 0 && g == &a->group[a->blamed] ? '>' : ' ',
           safe(label, g->label), rc_figure_error(kl, g->kl), rc_figure_percent(won, g->won),
           g->config ? "config" : rc_figure_count(x, g->params));
}

static void print_ablation(const rc_ablation *a)
{
    const rc_ablation_group *best[GROUPS];
    char kl[RC_FIGURE], name[512], x[RC_FIGURE];

    printf("  %-48s%12s%10s%14s\n", "put back to NATIVE", "mean KL", "wins", "parameters");
    printf("    %-46s%12s\n", "nothing", rc_figure_error(kl, a->kl_all));
    for (unsigned level = 0; level < RC_ABLATE_LEVELS; level++) {
        const size_t n = rc_outcome_groups(a, (rc_ablation_level)level, best, GROUPS);

        for (size_t i = 0; i < n && i < GROUPS; i++)
            print_group(a, best[i]);
        if (n > GROUPS)
            printf("      and %s more\n", rc_figure_count(x, n - GROUPS));
    }
    if (a->blamed >= 0) {
        const rc_ablation_group *g = &a->group[a->blamed];

        const bool said = g->names && strcmp(g->name[0], g->label) == 0; /* the row marked > */

        for (size_t i = 0; !said && i < g->names && i < RC_ABLATE_NAMES; i++)
            printf("  %s %s\n", i ? "       " : "> namely", safe(name, g->name[i]));
    }
    putchar('\n');
}

/* gates and findings */

static void print_gates(const rc_outcome *o)
{
    rc_outcome_gate gates[RC_OUTCOME_GATES];
    const size_t n = rc_outcome_gates(o, gates);

    if (!n)
        return;
    printf("  %-8s%-28s%-22s%s\n", "gate", "", "wanted", "measured");
    for (size_t i = 0; i < n; i++)
        printf("  %-8s%-28s%-22s%s\n", gates[i].passes ? "ok" : "FAILED", gates[i].name,
               gates[i].wants, gates[i].got);
    putchar('\n');
}

/* Warnings go to stderr, in the shape of all warnings. */
static void print_findings(const rc_findings *list)
{
    uint64_t shown[RC_LEVELS] = { 0 };
    char line[900], a[RC_FIGURE];

    for (size_t i = 0; i < list->n; i++) {
        const rc_finding *f = &list->at[i];

        if (f->level == RC_WARNING && strcmp(f->topic, "input") != 0)
            rc_cli_log()->warn(rc_cli_log()->ctx, &f->what);
        if (f->level == RC_WARNING || rc_cli.quiet || shown[f->level]++ >= FINDINGS)
            continue;
        rc_err_line(&f->what, line, sizeof line);
        *(strrchr(line, '[') - 1) = '\0'; /* the class belongs to error lines */
        printf("  %s: %s\n", rc_level_name(f->level), line);
    }
    for (unsigned level = 0; level < RC_LEVELS && !rc_cli.quiet; level++)
        if (level != RC_WARNING && list->total[level] > FINDINGS)
            printf("  ... and %s more %ss\n", rc_figure_count(a, list->total[level] - FINDINGS),
                   rc_level_name((rc_level)level));
}

static void print_worst(const rc_judge *judge)
{
    const rc_pair *worst[SHOWN];
    const size_t failed = rc_judge_worst(judge, worst, SHOWN);
    char name[512], says[300], a[RC_FIGURE], b[RC_FIGURE];

    if (!failed)
        return;
    printf("  %s of %s parameters %s. Worst first:\n", rc_figure_count(a, failed),
           rc_figure_count(b, rc_judge_pairs(judge)),
           rc_judge_rules_of(judge)->lossy ? "are out of bounds" : "differ");
    for (size_t i = 0; i < failed && i < SHOWN; i++)
        printf("    %s: %s\n", safe(name, worst[i]->name),
               rc_pair_says(worst[i], says, sizeof says));
    if (failed > SHOWN)
        printf("    ... and %s more\n", rc_figure_count(a, failed - SHOWN));
}

static void print_verdict(const rc_outcome *o)
{
    const bool passes = rc_outcome_status(o, NULL) == RC_OK;
    rc_mem mem = { 0 };
    rc_text says = { .mem = &mem };
    char a[RC_FIGURE];
    char scaling[RC_JUDGE_SAYS];

    printf("  verdict: ");
    for (const char *p = rc_outcome_verdict(o); *p; p++)
        putchar(toupper((unsigned char)*p));
    if (passes)
        rc_outcome_summary(o, &says);
    else if (rc_outcome_status(o, NULL) != RC_DIFFERS && o->judge)
        rc_text_printf(&says, "%s parameters could be compared",
                       rc_figure_count(a, rc_judge_pairs(o->judge)));
    else
        rc_outcome_where(o, &says);
    printf("%s%s\n", says.len ? " - " : "", says.len ? says.at : "");
    if (o->sample && o->sample[0])
        printf("  (%s)\n", o->sample);
    if (o->judge && rc_judge_scaling_says(o->judge, scaling, sizeof scaling)[0])
        printf("  (%s)\n", scaling);
    rc_text_free(&says);
}

void rc_verify_print(const rc_outcome *o)
{
    if (!rc_cli.quiet) {
        print_sides(o);
        if (o->judge)
            print_roles(o->judge);
        else
            putchar('\n');
        if (o->behaviour)
            print_behaviour(o);
        if (o->layers)
            print_layers(o);
        if (o->ablation)
            print_ablation(o->ablation);
        print_gates(o);
    }
    if (o->findings)
        print_findings(o->findings);
    if (!rc_cli.quiet) {
        if (o->judge)
            print_worst(o->judge);
        print_verdict(o);
    }
}

/* A word that a shell would take apart, or take for something else. */
static bool is_plain(const char *word)
{
    for (const char *p = word; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("-_./=:,+@%", *p))
            return false;
    return *word != '\0';
}

static void put_word(rc_text *out, const char *word)
{
    rc_text_put(out, " ");
    if (is_plain(word)) {
        rc_text_put(out, word);
        return;
    }
    rc_text_put(out, "'");
    for (const char *p = word; *p; p++)
        if (*p == '\'')
            rc_text_put(out, "'\\''");
        else
            rc_text_add(out, p, 1);
    rc_text_put(out, "'");
}

/* Words that an option takes which changes no answer: itself, and its value behind it; else 0. */
static int idle_words(const char *word)
{
    static const char *const idle[] = { "--threads", "--mem-limit", "--scratch",
                                        "--cpu",     "--json",      "--junit",
                                        "--html",    "--md",        "--errors" };

    if (strcmp(word, "--quiet") == 0 || strcmp(word, "--ci") == 0)
        return 1;
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++) {
        const size_t len = strlen(idle[i]);

        if (strncmp(word, idle[i], len) == 0 && (word[len] == '=' || !word[len]))
            return word[len] ? 1 : 2;
    }
    return 0;
}

void rc_verify_command(rc_text *out, int argc, char *const *argv)
{
    bool options = true;

    rc_text_put(out, "recast verify");
    for (int i = 1, idle; i < argc; i += idle ? idle : 1) {
        idle = options ? idle_words(argv[i]) : 0;
        if (!idle)
            put_word(out, argv[i]);
        options = options && strcmp(argv[i], "--") != 0;
    }
}
