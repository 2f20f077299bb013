/* verify/report_html_plots.c - see report.h: the error layer by layer, and how often which KL. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "verify/report_parts.h"
#include "verify/svg.h"

enum { WIDTH = 800, LEFT = 66, RIGHT = 784 };

static const char *const sublayers[2] = { "attention", "experts" };

/* the error, layer by layer */

/* Where things are drawn: a panel of errors (powers of ten), under it a lane for what is exactly 0,
 * and perhaps a panel of what was chosen otherwise. */
struct errors {
    const rc_layers *l;
    rc_text *t;
    rc_axis y;
    double lane, slot; /* y of the lane; x units of a sublayer */
    int low, high;     /* powers of ten */
};

static void widen(struct errors *e, double x)
{
    if (!isfinite(x) || x <= 0)
        return;
    if (floor(log10(x)) < e->low)
        e->low = (int)floor(log10(x));
    if (ceil(log10(x)) > e->high)
        e->high = (int)ceil(log10(x));
}

static bool has_error(const rc_layers *l)
{
    for (size_t i = 0; i < l->n; i++)
        for (unsigned s = 0; s < 2; s++)
            if (l->at[i].sub[s].nonfinite || l->at[i].sub[s].rel_err > 0 || l->at[i].sub[s].own > 0)
                return true;
    return false;
}

static double x_of(const struct errors *e, size_t layer, unsigned sub)
{
    return LEFT + ((double)(2 * layer + sub) + 0.5) * e->slot;
}

static void draw_grid(const struct errors *e)
{
    const int step = (e->high - e->low + 7) / 8;
    size_t every = 1;

    for (int d = e->low; d <= e->high; d += step) {
        const double y = rc_axis_at(&e->y, d);

        rc_svg_line(e->t, "grid", LEFT, y, RIGHT, y);
        rc_svg_decade(e->t, 'e', LEFT - 8, y + 4, d);
    }
    rc_svg_line(e->t, "grid", LEFT, e->lane, RIGHT, e->lane);
    rc_svg_text(e->t, "", 'e', LEFT - 8, e->lane + 4, "0");
    rc_svg_upright(e->t, 16, (e->y.from + e->y.to) / 2, "relative error");
    while (e->l->n / every > 20)
        every = every == 1 ? 2 : every == 2 ? 5 : 2 * every;
    for (size_t i = 0; i < e->l->n; i += every) {
        char label[16];

        snprintf(label, sizeof label, "%" PRIu32, e->l->at[i].layer);
        rc_svg_text(e->t, "", 'm', x_of(e, i, 0) + e->slot / 2, e->lane + 20, label);
    }
}

/* The line lies below the points, its name above them: at the left, where errors are still small.
 */
static void draw_threshold(const struct errors *e, bool name)
{
    char label[48];
    double y;

    if (!(e->l->threshold > 0))
        return;
    y = rc_axis_at(&e->y, log10(e->l->threshold));
    snprintf(label, sizeof label, "threshold %.3g", e->l->threshold);
    if (name)
        rc_svg_text(e->t, "bound", 's', LEFT + 4, y - 6, label);
    else
        rc_svg_line(e->t, "bound", LEFT, y, RIGHT, y);
}

/* Where a value stands: what is no number at the top, 0 in its lane. */
static double y_of(const struct errors *e, const rc_sublayer_figures *f, double x)
{
    return f->nonfinite || isinf(x) ? e->y.to : x > 0 ? rc_axis_at(&e->y, log10(x)) : e->lane;
}

static bool is_drawn(const rc_sublayer_figures *f, double x)
{
    return f->nonfinite || !isnan(x);
}

/* A line through the points; it ends where there is nothing to go through. */
static void draw_line(const struct errors *e, const char *class, bool own)
{
    bool pen = false;

    rc_text_printf(e->t, "<path class=\"%s\" d=\"", class);
    for (size_t i = 0; i < e->l->n; i++)
        for (unsigned s = 0; s < 2; s++) {
            const rc_sublayer_figures *f = &e->l->at[i].sub[s];
            const double x = own ? f->own : f->rel_err;

            if (!is_drawn(f, x)) {
                pen = pen && e->l->estimated; /* of sketches, only the experts' are there */
                continue;
            }
            rc_text_printf(e->t, "%c%.2f %.2f", pen ? 'L' : 'M', x_of(e, i, s), y_of(e, f, x));
            pen = true;
        }
    rc_text_put(e->t, "\"/>\n");
}

static void draw_point(const struct errors *e, size_t i, unsigned s, bool own)
{
    const rc_layer_figures *layer = &e->l->at[i];
    const rc_sublayer_figures *f = &layer->sub[s];
    const double x = own ? f->own : f->rel_err;
    char title[96];

    if (!is_drawn(f, x) || (own && (f->nonfinite || layer->shared)))
        return;
    snprintf(title, sizeof title, "layer %" PRIu32 ", %s: %s%.3g", layer->layer, sublayers[s],
             own ? "own error " : "", f->nonfinite ? NAN : x);
    rc_svg_mark(e->t,
                f->nonfinite ? "bad"
                : own        ? "own"
                             : "dot",
                f->nonfinite ? 'v'
                : own        ? 'd'
                : s          ? 's'
                             : 'o',
                x_of(e, i, s), y_of(e, f, x), title);
}

static void draw_points(const struct errors *e, bool own)
{
    for (size_t i = 0; i < e->l->n; i++)
        for (unsigned s = 0; s < 2; s++)
            draw_point(e, i, s, own);
}

static void draw_first(const struct errors *e)
{
    char label[64];
    double x;

    for (size_t i = 0; i < e->l->n; i++) {
        if (e->l->first < 0 || e->l->at[i].layer != (uint32_t)e->l->first)
            continue;
        x = x_of(e, i, e->l->first_sub);
        snprintf(label, sizeof label, "layer %" PRId32 ", %s: first past the threshold",
                 e->l->first, sublayers[e->l->first_sub]);
        rc_svg_line(e->t, "flag", x, e->y.to - 12, x, e->lane);
        rc_svg_text(e->t, "flag", x > WIDTH / 2 ? 'e' : 's', x + (x > WIDTH / 2 ? -6 : 6),
                    e->y.to - 6, label);
    }
}

static void draw_legend(const struct errors *e, bool own)
{
    double x = LEFT + 4;

    if (!e->l->estimated) {
        rc_svg_mark(e->t, "dot", 'o', x, 14, NULL);
        rc_svg_text(e->t, "", 's', x + 9, 18, "after attention");
        x += 118;
    }
    rc_svg_mark(e->t, "dot", 's', x, 14, NULL);
    rc_svg_text(e->t, "", 's', x + 9, 18, "after the experts");
    x += 132;
    if (own) {
        rc_svg_mark(e->t, "own", 'd', x, 14, NULL);
        rc_svg_text(e->t, "", 's', x + 9, 18, "own error, on NATIVE\xe2\x80\x99s streams");
    }
}

/* Shares of what was chosen otherwise, experts and the indexer's blocks side by side. */
static void draw_flips(const struct errors *e, double top, double bottom, double most)
{
    const double step = rc_axis_step(most, 2);
    const rc_axis y = { 0, ceil(most / step) * step, bottom, top };

    for (double v = 0; v <= y.hi * 1.001; v += step) {
        char label[RC_FIGURE];

        snprintf(label, sizeof label, "%.3g %%", 100 * v);
        rc_svg_line(e->t, v > 0 ? "grid" : "axis", LEFT, rc_axis_at(&y, v), RIGHT,
                    rc_axis_at(&y, v));
        rc_svg_text(e->t, "", 'e', LEFT - 8, rc_axis_at(&y, v) + 4, label);
    }
    for (size_t i = 0; i < e->l->n; i++) {
        const rc_layer_figures *f = &e->l->at[i];
        const uint64_t flipped[2] = { f->experts_flipped, f->blocks_flipped };
        const uint64_t of[2] = { f->experts, f->blocks };

        for (unsigned k = 0; k < 2; k++) {
            const double share = of[k] ? (double)flipped[k] / (double)of[k] : 0;
            const double w = fmin(0.72 * e->slot, 14);
            char title[96];

            if (share == 0)
                continue;
            snprintf(title, sizeof title, "layer %" PRIu32 ": %.3g %% of the %s", f->layer,
                     100 * share, k ? "indexer's blocks" : "experts");
            rc_svg_rect(e->t, k ? "bar2" : "bar", x_of(e, i, k) - w / 2, rc_axis_at(&y, share), w,
                        bottom - rc_axis_at(&y, share), title);
        }
    }
    rc_svg_rect(e->t, "bar", LEFT + 1, top - 21, 9, 9, NULL);
    rc_svg_text(e->t, "", 's', LEFT + 15, top - 12, "experts chosen otherwise");
    rc_svg_rect(e->t, "bar2", LEFT + 181, top - 21, 9, 9, NULL);
    rc_svg_text(e->t, "", 's', LEFT + 195, top - 12, "blocks chosen otherwise by the indexer");
}

static double most_flipped(const rc_layers *l)
{
    double most = 0;

    for (size_t i = 0; i < l->n; i++) {
        const rc_layer_figures *f = &l->at[i];

        if (f->experts)
            most = fmax(most, (double)f->experts_flipped / (double)f->experts);
        if (f->blocks)
            most = fmax(most, (double)f->blocks_flipped / (double)f->blocks);
    }
    return most;
}

static struct errors frame_of(rc_text *t, const rc_layers *l, bool *own)
{
    struct errors e = { .l = l, .t = t, .low = INT32_MAX, .high = INT32_MIN };

    *own = false;
    for (size_t i = 0; i < l->n; i++)
        for (unsigned s = 0; s < 2; s++) {
            widen(&e, l->at[i].sub[s].rel_err);
            widen(&e, l->at[i].sub[s].own);
            *own = *own || !isnan(l->at[i].sub[s].own);
        }
    widen(&e, l->threshold);
    if (e.low > e.high) { /* no number but 0 */
        e.low = -2;
        e.high = 0;
    }
    e.high += e.high - e.low < 2;
    e.y = (rc_axis){ e.low, e.high, 268, 52 };
    e.lane = 286;
    e.slot = (RIGHT - LEFT) / (2.0 * (double)l->n);
    return e;
}

void rc_html_layers_plot(rc_text *t, const rc_layers *l)
{
    const double flips = most_flipped(l);
    const double height = flips > 0 ? 462 : 332;
    struct errors e;
    bool own;

    if (!has_error(l)) {
        rc_text_put(t, "<p>The streams are equal after every layer.</p>\n");
        return;
    }
    e = frame_of(t, l, &own);
    rc_text_put(t, "<figure>\n<div class=\"plot\" tabindex=\"0\" role=\"region\" "
                   "aria-label=\"Error layer by layer\">\n");
    rc_svg_open(t, "layers", WIDTH, height, "Relative error after each sublayer",
                "A line over the layers, on a logarithmic scale; the table below has the same "
                "figures.");
    draw_legend(&e, own);
    draw_grid(&e);
    draw_threshold(&e, false);
    draw_first(&e);
    if (own) {
        draw_line(&e, "ownline", true);
        draw_points(&e, true);
    }
    draw_line(&e, "stream", false);
    draw_points(&e, false);
    draw_threshold(&e, true);
    rc_svg_text(t, "", 'm', (LEFT + RIGHT) / 2.0, e.lane + 38, "layer");
    if (flips > 0)
        draw_flips(&e, 372, 446, flips);
    rc_svg_close(t);
    rc_text_put(t, "</div>\n<figcaption>Relative error of the residual streams");
    rc_text_put(t, l->estimated ? ", estimated from the golden file\xe2\x80\x99s sketches"
                                : " after attention and after the experts of each layer");
    rc_text_put(t, own ? "; diamonds: what a sublayer does wrong by itself" : "");
    rc_text_put(t, ". The lane marked 0 is for what is exactly equal.</figcaption>\n</figure>\n");
}

/* how often which KL */

struct bins {
    size_t first, end; /* drawn */
    rc_axis x, y;      /* x: bins; y: share of the positions */
    bool zero;         /* a column of its own for kl = 0 */
};

static struct bins bins_of(const rc_behaviour *b, uint64_t all)
{
    struct bins r = { .first = RC_KL_BINS, .zero = b->kl_zero > 0 };
    uint64_t most = b->kl_zero;

    for (size_t i = 0; i < RC_KL_BINS; i++) {
        if (!b->kl_bins[i])
            continue;
        most = b->kl_bins[i] > most ? b->kl_bins[i] : most;
        r.first = r.first < i ? r.first : i;
        r.end = i + 1;
    }
    if (!r.end)
        r.first = 0;
    while (r.end - r.first < 12) { /* a few bars alone look like a fence */
        r.end += r.end < RC_KL_BINS;
        r.first -= r.first > 0;
    }
    r.x = (rc_axis){ (double)r.first, (double)r.end, r.zero ? LEFT + 60 : LEFT, RIGHT };
    r.y = (rc_axis){ 0, (double)most / (double)all, 236, 52 };
    r.y.hi = ceil(r.y.hi / rc_axis_step(r.y.hi, 4)) * rc_axis_step(r.y.hi, 4);
    return r;
}

static void draw_bin(rc_text *t, const struct bins *r, const char *class, double x, double w,
                     uint64_t n, uint64_t all)
{
    const double y = rc_axis_at(&r->y, (double)n / (double)all);
    char title[96], count[RC_FIGURE], share[RC_FIGURE];

    snprintf(title, sizeof title, "%s positions, %s", rc_figure_count(count, n),
             rc_figure_share(share, (double)n / (double)all));
    if (n)
        rc_svg_rect(t, class, x, y, w, r->y.from - y, title);
}

static void draw_scale(rc_text *t, const struct bins *r)
{
    const double step = rc_axis_step(r->y.hi, 4);

    for (double v = 0; v <= r->y.hi * 1.001; v += step) {
        char label[RC_FIGURE];

        snprintf(label, sizeof label, "%.3g %%", 100 * v);
        rc_svg_line(t, v > 0 ? "grid" : "axis", LEFT, rc_axis_at(&r->y, v), RIGHT,
                    rc_axis_at(&r->y, v));
        rc_svg_text(t, "", 'e', LEFT - 8, rc_axis_at(&r->y, v) + 4, label);
    }
    rc_svg_upright(t, 16, (r->y.from + r->y.to) / 2, "share of positions");
    for (size_t i = r->first; i <= r->end; i++)
        if (i % 4 == 0) {
            rc_svg_line(t, "axis", rc_axis_at(&r->x, (double)i), r->y.from,
                        rc_axis_at(&r->x, (double)i), r->y.from + 5);
            rc_svg_decade(t, 'm', rc_axis_at(&r->x, (double)i), r->y.from + 21, (int)i / 4 - 10);
        }
    rc_svg_text(t, "", 'm', (r->x.from + r->x.to) / 2, r->y.from + 42,
                "KL divergence of a position, nats");
}

/* A line where a figure lies, its name beside it. Lines come before names, which cover them. */
struct flag {
    const char *name;
    double kl;
    unsigned row;
    bool before; /* the name stands before the line */
};

static void draw_flags(rc_text *t, const struct bins *r, const struct flag *flag, size_t n)
{
    for (unsigned pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < n; i++) {
            const double at = rc_axis_at(&r->x, 4 * (log10(flag[i].kl) + 10));
            const double y = 8 + 15.0 * flag[i].row;
            const bool before = at > WIDTH * 0.8 || (flag[i].before && at > WIDTH * 0.25);
            char label[48], x[RC_FIGURE];

            if (!(flag[i].kl > 0))
                continue;
            snprintf(label, sizeof label, "%s %s", flag[i].name, rc_figure_error(x, flag[i].kl));
            if (pass == 0)
                rc_svg_line(t, "flag", at, y, at, r->y.from);
            else
                rc_svg_text(t, "flag", before ? 'e' : 's', at + (before ? -6 : 6), y + 9, label);
        }
}

void rc_html_histogram(rc_text *t, const rc_behaviour *b)
{
    const uint64_t all = b->positions - b->broken;
    struct bins r;
    double w;

    if (!all || b->kl_zero == all)
        return;
    r = bins_of(b, all);
    w = (r.x.to - r.x.from) / (double)(r.end - r.first);
    rc_text_put(t, "<figure>\n<div class=\"plot\" tabindex=\"0\" role=\"region\" "
                   "aria-label=\"Distribution of the KL divergence\">\n");
    rc_svg_open(t, "kl", WIDTH, 286, "How often which KL divergence",
                "Bars over a logarithmic scale, four to each power of ten; the table beside it has "
                "the quantiles.");
    draw_scale(t, &r);
    if (r.zero) {
        draw_bin(t, &r, "zero", LEFT + 12, 28, b->kl_zero, all);
        rc_svg_text(t, "", 'm', LEFT + 26, r.y.from + 21, "0");
    }
    for (size_t i = r.first; i < r.end; i++)
        draw_bin(t, &r, "bar", rc_axis_at(&r.x, (double)i) + 0.07 * w, 0.86 * w, b->kl_bins[i],
                 all);
    draw_flags(t, &r,
               (const struct flag[3]){ { "median", b->kl_median, 1, true },
                                       { "mean", b->kl.value, 1, false },
                                       { "99 %", b->kl_p99, 0, false } },
               3);
    rc_svg_close(t);
    rc_text_put(t,
                "</div>\n<figcaption>How many positions have which KL divergence; four bars to a "
                "power of ten. Green: exactly 0.</figcaption>\n</figure>\n");
}
