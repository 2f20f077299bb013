/* verify/judge_verdict.c - from figures to an answer. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/decode.h"
#include "verify/draw.h"
#include "verify/figures.h"
#include "verify/judge_impl.h"

bool rc_judge_passes(const rc_judge *judge, const rc_pair *pair)
{
    const rc_stats *s = &pair->stats;

    if (rc_stats_exact(s))
        return true;
    if (!judge->rules.lossy || !pair->values || s->incomparable)
        return false;
    return rc_stats_sqnr(s) >= judge->rules.min_sqnr[pair->role] &&
           rc_stats_rel(s) <= judge->rules.max_rel_err;
}

double rc_pair_sqnr(const rc_pair *pair)
{
    return pair->stats.incomparable ? -INFINITY : rc_stats_sqnr(&pair->stats);
}

static void add_to_role(rc_judge_role *r, const rc_judge *j, const rc_pair *p)
{
    const double sqnr = rc_pair_sqnr(p);
    char label[RC_FIGURE];

    rc_figure_add(r->stored[0], p->a ? rc_figure_layout(label, p->a) : rc_tensor_type(p->ta));
    rc_figure_add(r->stored[1], p->b ? rc_figure_layout(label, p->b) : rc_tensor_type(p->tb));

    r->params++;
    r->exact += rc_stats_exact(&p->stats);
    r->failed += !rc_judge_passes(j, p);
    r->values += p->stats.n;
    r->differ += p->stats.sum.differ;
    r->incomparable += p->stats.incomparable;
    r->dd += p->stats.sum.dd;
    r->aa += p->stats.sum.aa;
    if (sqnr < r->worst_sqnr)
        r->worst_sqnr = sqnr;
    if (p->stats.sum.max_diff > r->max_err)
        r->max_err = p->stats.sum.max_diff;
}

void rc_judge_roles(const rc_judge *judge, rc_judge_role roles[RC_ROLE_COUNT], rc_judge_role *all)
{
    for (unsigned i = 0; i < RC_ROLE_COUNT; i++)
        roles[i] = (rc_judge_role){ .worst_sqnr = INFINITY };
    *all = (rc_judge_role){ .worst_sqnr = INFINITY };
    for (size_t i = 0; i < judge->npairs; i++) {
        add_to_role(&roles[judge->pair[i].role], judge, &judge->pair[i]);
        add_to_role(all, judge, &judge->pair[i]);
    }
}

/* The worst n of those that are not exact, or with `failing` of those that fail; how many. */
static size_t worst_of(const rc_judge *judge, const rc_pair **worst, size_t n, bool failing)
{
    size_t found = 0, kept = 0;

    for (size_t i = 0; i < judge->npairs; i++) {
        const rc_pair *p = &judge->pair[i];
        size_t at;

        if (failing ? rc_judge_passes(judge, p) : rc_stats_exact(&p->stats))
            continue;
        found++;
        for (at = kept; at > 0 && rc_pair_sqnr(worst[at - 1]) > rc_pair_sqnr(p); at--)
            if (at < n)
                worst[at] = worst[at - 1];
        if (at < n) {
            worst[at] = p;
            kept += kept < n;
        }
    }
    return found;
}

size_t rc_judge_worst(const rc_judge *judge, const rc_pair **worst, size_t n)
{
    return worst_of(judge, worst, n, true);
}

size_t rc_judge_lowest(const rc_judge *judge, const rc_pair **lowest, size_t n)
{
    return worst_of(judge, lowest, n, false);
}

bool rc_judge_sampled(const rc_judge *judge, rc_judge_sample *out)
{
    *out = judge->sample;
    if (!judge->rules.sample)
        return false;
    out->failed = rc_judge_worst(judge, NULL, 0);
    if (out->failed == 0 && out->params < out->of) {
        const uint64_t others = out->of - out->cover, blind = out->params - out->cover;
        const uint64_t fewer = rc_draw_fewer_than(others, blind);

        out->fewer = fewer > others - blind ? 0 : fewer;
    }
    return true;
}

const char *rc_judge_sample_says(const rc_judge *judge, char *buf, size_t n)
{
    char a[RC_FIGURE], b[RC_FIGURE], c[RC_FIGURE], rest[128] = "";
    const char *fault = judge->rules.lossy ? "are out of bounds" : "differ";
    rc_judge_sample s;

    buf[0] = '\0';
    if (!rc_judge_sampled(judge, &s))
        return buf;
    if (s.failed)
        snprintf(rest, sizeof rest, ": %s of these %s", rc_figure_count(c, s.failed), fault);
    else if (s.fewer)
        snprintf(
            rest, sizeof rest, ": with 95 %% confidence fewer than %s of the others (%.3g %%) %s",
            rc_figure_count(c, s.fewer), 100 * (double)s.fewer / (double)(s.of - s.params), fault);
    else if (s.params < s.of)
        snprintf(rest, sizeof rest, ": too few to say anything about the others");
    snprintf(buf, n, "a sample, %s of %s parameters, %" PRIu64 " of %" PRIu64 " layers%s",
             rc_figure_count(a, s.params), rc_figure_count(b, s.of), s.layers, s.layers_of, rest);
    return buf;
}

static void say_place(const rc_pair *p, char *buf, size_t n)
{
    char err[RC_FIGURE];
    uint64_t at, row, col;
    float a, b;

    buf[0] = '\0';
    if (!rc_stats_place(&p->stats, &at, &a, &b))
        return;
    rc_pair_place(p, at, &row, &col);
    if (!p->values)
        snprintf(buf, n, "the first at row %" PRIu64 ", column %" PRIu64, row, col);
    else if (p->stats.incomparable)
        snprintf(buf, n, "%.9g became %.9g at row %" PRIu64 ", column %" PRIu64, (double)a,
                 (double)b, row, col);
    else
        snprintf(buf, n,
                 "max error %s at row %" PRIu64 ", column %" PRIu64 " (%.9g became %.9g), %.1f dB",
                 rc_figure_error(err, p->stats.sum.max_diff), row, col, (double)a, (double)b,
                 rc_stats_sqnr(&p->stats));
}

const char *rc_pair_says(const rc_pair *pair, char *buf, size_t n)
{
    char place[160], x[RC_FIGURE], y[RC_FIGURE];

    if (rc_stats_exact(&pair->stats)) {
        snprintf(buf, n, "exact");
        return buf;
    }
    say_place(pair, place, sizeof place);
    snprintf(buf, n, "%s%s%s of %s values differ%s; %s",
             rc_pair_astray(pair) ? rc_pair_astray(pair) : "", rc_pair_astray(pair) ? ": " : "",
             rc_figure_count(x, pair->stats.sum.differ), rc_figure_count(y, pair->stats.n),
             pair->stats.sum.differ == 1 ? "s" : "", place);
    return buf;
}

uint64_t rc_pair_offset(const rc_pair *pair)
{
    uint64_t at, row, col;
    float a, b;

    if (!rc_stats_place(&pair->stats, &at, &a, &b))
        return RC_NO_OFFSET;
    if (!pair->values)
        return pair->tb->begin + at * pair->unit[1];
    row = at / pair->cols;
    col = at % pair->cols;
    return pair->tb->begin + rc_decoder_offset(pair->b, row, col);
}

/* Stored as something that cannot have held the original's values. */
static bool rounds(const rc_bound *b)
{
    return b && (b->store == RC_STORE_AWQ || b->store == RC_STORE_PACKED);
}

static rc_code fail_pair(const rc_judge *j, const rc_pair *p, size_t failed, rc_err *err)
{
    char path[512], says[224], more[48] = "";

    rc_pair_says(p, says, sizeof says);
    if (failed > 1)
        snprintf(more, sizeof more, "; %zu such parameters", failed);
    rc_fail(err, RC_DIFFERS, rc_pair_offset(p), "%.200s%s", says, more);
    rc_err_file(
        err, rc_judge_path(path, sizeof path, &j->b, rc_ckpt_shard(j->b.ckpt, p->tb->shard)->name));
    rc_err_tensor(err, p->tb->name);
    if ((rc_ckpt_gguf(j->b.ckpt) || rounds(p->b)) && !j->rules.lossy)
        rc_err_hint(
            err, "types that round are judged by --min-sqnr [ROLE=]DB, or by what the model says: "
                 "--logits --text FILE --max-kl X");
    return RC_DIFFERS;
}

rc_code rc_judge_verdict(const rc_judge *judge, rc_err *err)
{
    const rc_finding *fault = rc_findings_worst(&judge->findings);
    const rc_pair *worst;
    const size_t failed = rc_judge_worst(judge, &worst, 1);

    if (failed && (!fault || fault->what.code == RC_DIFFERS))
        return fail_pair(judge, worst, failed, err);
    if (!fault)
        return RC_OK;
    if (err) {
        const size_t n = strlen(fault->what.msg);

        *err = fault->what;
        if (judge->findings.total[RC_FAULT] > 1)
            snprintf(err->msg + n, sizeof err->msg - n, "; %" PRIu64 " faults in all",
                     judge->findings.total[RC_FAULT]);
    }
    return fault->what.code;
}
