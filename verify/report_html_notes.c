/* verify/report_html_notes.c - see report.h: where it all came from, and what the figures mean. */
#include <stdio.h>
#include <string.h>

#include "verify/report_parts.h"

static void put_fact(rc_text *t, const char *what, const char *value, bool code)
{
    if (!value || !*value)
        return;
    rc_text_printf(t, "<dt>%s</dt><dd>%s", what, code ? "<code>" : "");
    rc_html_put(t, value);
    rc_text_printf(t, "%s</dd>\n", code ? "</code>" : "");
}

static void put_windows(rc_text *t, const rc_windows *w)
{
    char line[200], a[RC_FIGURE], b[RC_FIGURE], c[RC_FIGURE];

    snprintf(line, sizeof line,
             "%s in %s window%s of %" PRIu32 ", a new one every %" PRIu32
             "; %s scored, not the first %" PRIu32 " of a window",
             rc_figure_count(a, w->tokens), rc_figure_count(b, w->windows),
             w->windows == 1 ? "" : "s", w->ctx, w->stride, rc_figure_count(c, w->scored), w->skip);
    put_fact(t, "tokens", line, false);
}

void rc_html_provenance(rc_text *t, const rc_outcome *o)
{
    const rc_provenance *p = &o->from;

    rc_text_put(t, "<section>\n<h2>Provenance</h2>\n<dl class=\"facts\">\n");
    put_fact(t, "NATIVE", p->native, true);
    put_fact(t, "CONVERTED", p->converted, true);
    put_fact(t, "source revision", p->revision, true);
    put_fact(t, "config.json", p->config, true);
    put_fact(t, "text", p->text, true);
    if (o->windows)
        put_windows(t, o->windows);
    put_fact(t, "tokens\xe2\x80\x99 digest", p->tokens, true);
    put_fact(t, "golden file", p->golden, true);
    put_fact(t, "recorded with", p->golden_version, false);
    put_fact(t, "numerics", p->numerics, false);
    put_fact(t, "recast", p->version ? p->version : RC_VERSION, false);
    put_fact(t, "command", p->command, true);
    rc_text_put(t, "</dl>\n</section>\n");
}

struct term {
    const char *name, *says;
};

static void put_terms(rc_text *t, const struct term *terms)
{
    for (; terms->name; terms++)
        rc_text_printf(t, "<dt>%s</dt><dd>%s</dd>\n", terms->name, terms->says);
}

void rc_html_definitions(rc_text *t, const rc_outcome *o)
{
    static const struct term behaviour[] = {
        { "KL divergence",
          "At a position NATIVE gives each token i of the vocabulary the probability "
          "P<sub>i</sub>, "
          "CONVERTED Q<sub>i</sub>; it is the sum of P<sub>i</sub> log(P<sub>i</sub> / "
          "Q<sub>i</sub>), in nats. 0: they say the same." },
        { "likeliest token, overlap",
          "The share of positions where both models hold the same token likeliest; the share of "
          "NATIVE\xe2\x80\x99s k likeliest that are among CONVERTED\xe2\x80\x99s k likeliest." },
        { "perplexity",
          "exp of the mean of \xe2\x88\x92log of the probability given to the token "
          "that came. The ratio is CONVERTED\xe2\x80\x99s over NATIVE\xe2\x80\x99s." },
        { "shift", "The probability that CONVERTED gives the token that came, less that which "
                   "NATIVE gives it; RMS is the root of the mean of its square." },
        { RC_PLUS_MINUS, "The standard error: of a mean, the deviation over the positions divided "
                         "by the root of their number less one. All figures are those of "
                         "llama.cpp\xe2\x80\x99s --kl-divergence." },
        { NULL, NULL },
    };
    static const struct term layers[] = {
        { "relative error", "Of the residual streams after a sublayer, over all tokens: "
                            "\xe2\x88\x9a(sum (a \xe2\x88\x92 b)\xc2\xb2 / sum a\xc2\xb2), a "
                            "NATIVE\xe2\x80\x99s and b CONVERTED\xe2\x80\x99s." },
        { "own error",
          "The same of what the sublayer puts out when it is given NATIVE\xe2\x80\x99s "
          "streams: what it does wrong without what came before." },
        { "wins back", "The share of the mean KL divergence that goes away when these parameters "
                       "alone are NATIVE\xe2\x80\x99s again. Shares need not add up to 100 %." },
        { NULL, NULL },
    };
    static const struct term values[] = {
        { "SQNR", "10 log<sub>10</sub>(sum a\xc2\xb2 / sum (a \xe2\x88\x92 b)\xc2\xb2) over the "
                  "values of a parameter, in dB; more is better, 6 dB are a bit." },
        { "max error", "The largest difference of two values." },
        { "exact", "Every value is equal, whatever the layouts." },
        { NULL, NULL },
    };

    rc_text_put(t, "<details>\n<summary>What the figures mean</summary>\n<dl class=\"facts\">\n");
    if (o->behaviour)
        put_terms(t, behaviour);
    if (o->layers || o->ablation)
        put_terms(t, layers);
    if (o->judge)
        put_terms(t, values);
    rc_text_put(t, "</dl>\n</details>\n");
}
