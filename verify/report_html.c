/* verify/report_html.c - see report.h: the page, verdict first. Its looks are report.css. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "verify/report_parts.h"

extern const char rc_report_style[];

__asm__(".pushsection .rodata\n"
        ".global rc_report_style\n"
        "rc_report_style:\n"
        ".incbin \"verify/report.css\"\n"
        ".byte 0\n"
        ".popsection\n");

/* the verdict */

/* What it is, without its colour: equal, a tick, a cross, a broken line. */
static const char *icon_of(const char *verdict)
{
    return strcmp(verdict, "exact") == 0           ? "M30 40h40M30 60h40"
           : strcmp(verdict, "within bounds") == 0 ? "M27 52l16 16l31 -34"
           : strcmp(verdict, "differs") == 0       ? "M33 33l34 34M67 33l-34 34"
                                                   : "M50 26v30M50 70v4";
}

static void put_side(rc_text *t, const char *label, const char *path, const char *variant)
{
    if (!path)
        return;
    rc_text_printf(t, "<dt>%s</dt><dd><code>", label);
    rc_html_put(t, path);
    rc_text_put(t, "</code>");
    if (variant) {
        rc_text_put(t, "<span>");
        rc_html_put(t, variant);
        rc_text_put(t, "</span>");
    }
    rc_text_put(t, "</dd>\n");
}

static const char *where_of(const rc_subject *s, const char *otherwise)
{
    return s ? rc_source_where(rc_ckpt_source(s->ckpt)) : otherwise;
}

static const char *variant_of(const rc_subject *s, const char *otherwise)
{
    return s ? rc_model_variant(s->model) : otherwise;
}

static void put_verdict(rc_text *t, const rc_outcome *o)
{
    const char *verdict = rc_outcome_verdict(o);
    const rc_subject *a = o->judge ? rc_judge_native(o->judge) : NULL;
    const rc_subject *b = o->judge ? rc_judge_converted(o->judge) : NULL;
    rc_text says = { .mem = t->mem };

    rc_outcome_summary(o, &says);
    rc_text_printf(
        t,
        "<header class=\"verdict %s\">\n<p class=\"kicker\">recast verify</p>\n"
        "<h1><svg viewBox=\"0 0 100 100\" aria-hidden=\"true\"><circle cx=\"50\" cy=\"50\" "
        "r=\"45\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"8\"/><path d=\"%s\" "
        "fill=\"none\" stroke=\"currentColor\" stroke-width=\"9\" stroke-linecap=\"round\" "
        "stroke-linejoin=\"round\"/></svg>%c%s</h1>\n<p class=\"lead\">",
        rc_outcome_status(o, NULL) == RC_OK ? "yes" : "no", icon_of(verdict),
        verdict[0] - 'a' + 'A', verdict + 1);
    rc_html_put(t, says.len ? says.at : "");
    rc_text_put(t, "</p>\n<dl class=\"sides\">\n");
    put_side(t, "NATIVE", where_of(a, o->from.native), variant_of(a, o->from.native_variant));
    put_side(t, "CONVERTED", where_of(b, o->from.converted),
             variant_of(b, o->from.converted_variant));
    put_side(t, "golden file", o->from.golden, NULL);
    rc_text_put(t, "</dl>\n</header>\n");
    t->failed = t->failed || says.failed;
    rc_text_free(&says);
}

/* cards */

static void put_card(rc_text *t, const char *label, const char *value, const char *below)
{
    rc_text_printf(t, "<li><span>%s</span><strong>%s</strong><small>%s</small></li>\n", label,
                   value, below);
}

/* A mean in large, its error and unit below. */
static void put_mean_card(rc_text *t, const char *label, char *figure, const char *unit)
{
    char *error = strstr(figure, " " RC_PLUS_MINUS), below[RC_FIGURE_MEAN + 32];

    snprintf(below, sizeof below, "%s%s%s", error ? error + 1 : "", error && *unit ? " " : "",
             unit);
    if (error)
        *error = '\0';
    put_card(t, label, figure, below);
}

static void put_behaviour_cards(rc_text *t, const rc_behaviour *b)
{
    char figure[RC_FIGURE_MEAN], n[RC_FIGURE], below[64];

    if (b->broken) {
        snprintf(below, sizeof below, "of %s positions", rc_figure_count(n, b->positions));
        put_card(t, "Without numbers", rc_figure_count(figure, b->broken), below);
    }
    rc_figure_mean(figure, b->kl.value, b->kl.se);
    put_mean_card(t, "Mean KL", figure, "nats");
    snprintf(below, sizeof below, "of %s positions", rc_figure_count(n, b->positions));
    put_card(t, "Same top token", rc_figure_share(figure, b->same_top.value), below);
    rc_figure_mean(figure, b->ppl_ratio.value, b->ppl_ratio.se);
    put_mean_card(t, "Perplexity ratio", figure, "");
}

static void put_value_cards(rc_text *t, const rc_judge *judge)
{
    rc_judge_role roles[RC_ROLE_COUNT], all;
    char figure[RC_FIGURE], n[RC_FIGURE], below[64];

    rc_judge_roles(judge, roles, &all);
    put_card(t, "Worst SQNR", rc_figure_sqnr(figure, all.worst_sqnr), "of one tensor");
    snprintf(below, sizeof below, "of %s", rc_figure_count(n, all.params));
    put_card(t, "Exact parameters", rc_figure_count(figure, all.exact), below);
}

static void put_cards(rc_text *t, const rc_outcome *o)
{
    char figure[RC_FIGURE], below[48];

    rc_text_put(t, "<ul class=\"cards\">\n");
    if (o->behaviour)
        put_behaviour_cards(t, o->behaviour);
    if (o->judge)
        put_value_cards(t, o->judge);
    if (o->layers) {
        snprintf(below, sizeof below, "of %zu, equal in both", o->layers->n);
        put_card(t, "Layers run once", rc_figure_count(figure, o->layers_shared), below);
    }
    rc_text_put(t, "</ul>\n");
}

/* sections */

static void put_location(rc_text *t, const rc_outcome *o)
{
    rc_text where = { .mem = t->mem };

    if (!o->layers && !o->ablation)
        return;
    rc_outcome_where(o, &where);
    rc_text_put(t, "<section>\n<h2>");
    rc_text_put(t, rc_outcome_status(o, NULL) == RC_OK ? "Layer by layer" : "Where it goes wrong");
    rc_text_put(t, "</h2>\n<p>");
    if (where.len) {
        where.at[0] = (char)toupper((unsigned char)where.at[0]);
        rc_html_put(t, where.at);
        rc_text_put(t, ".");
    } else {
        rc_text_put(t, "No layer is past the threshold.");
    }
    rc_text_put(t, "</p>\n");
    if (o->layers) {
        rc_html_layers_plot(t, o->layers);
        rc_html_layers_table(t, o->layers);
    }
    if (o->ablation)
        rc_html_ablation(t, o->ablation);
    rc_text_put(t, "</section>\n");
    t->failed = t->failed || where.failed;
    rc_text_free(&where);
}

static void put_behaviour(rc_text *t, const rc_outcome *o)
{
    char n[RC_FIGURE], w[RC_FIGURE];

    if (!o->behaviour)
        return;
    rc_text_printf(t,
                   "<section>\n<h2>Behaviour</h2>\n<p>Both models read the same text; %s "
                   "positions",
                   rc_figure_count(n, o->behaviour->positions));
    if (o->windows)
        rc_text_printf(t, " in %s window%s of %" PRIu32 " tokens",
                       rc_figure_count(w, o->windows->windows), o->windows->windows == 1 ? "" : "s",
                       o->windows->ctx);
    rc_text_put(t, " were compared.</p>\n");
    rc_html_histogram(t, o->behaviour);
    rc_html_behaviour(t, o->behaviour);
    rc_text_put(t, "</section>\n");
}

static void put_values(rc_text *t, const rc_outcome *o)
{
    char scaling[RC_JUDGE_SAYS];

    if (!o->judge)
        return;
    rc_text_put(t, "<section>\n<h2>Values</h2>\n");
    if (o->sample && o->sample[0]) {
        rc_text_put(t, "<p>Only ");
        rc_html_put(t, o->sample);
        rc_text_put(t, ".</p>\n");
    }
    if (rc_judge_scaling_says(o->judge, scaling, sizeof scaling)[0])
        rc_text_printf(t, "<p>Note: %s.</p>\n", scaling);
    rc_html_roles(t, o->judge);
    rc_html_worst(t, o->judge);
    rc_text_put(t, "</section>\n");
}

rc_code rc_report_html(char **out, size_t *out_len, const rc_outcome *o, rc_mem *mem, rc_err *err)
{
    rc_text t = { .mem = mem };

    rc_text_printf(&t,
                   "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                   "<meta name=\"generator\" content=\"recast %s\">\n"
                   "<title>recast verify: %s</title>\n<style>\n",
                   RC_VERSION, rc_outcome_verdict(o));
    rc_text_put(&t, rc_report_style);
    rc_text_put(&t, "</style>\n</head>\n<body>\n<main>\n");
    put_verdict(&t, o);
    put_cards(&t, o);
    rc_html_gates(&t, o);
    put_location(&t, o);
    put_behaviour(&t, o);
    rc_html_moments(&t, o);
    put_values(&t, o);
    rc_html_findings(&t, o->findings);
    rc_html_provenance(&t, o);
    rc_html_definitions(&t, o);
    rc_text_printf(&t,
                   "</main>\n<footer>Written by recast %s. The same comparison gives the same "
                   "bytes.</footer>\n</body>\n</html>\n",
                   RC_VERSION);
    return rc_text_take(&t, out, out_len, err);
}
