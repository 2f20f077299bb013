/* verify/behaviour.h - how differently two models behave: figures of their logits on one text.
 *
 * At a scored position NATIVE says P over the vocabulary, CONVERTED Q, x is the token that came.
 *
 *     kl            sum_i P_i log(P_i / Q_i), in nats
 *     same top      the likeliest token is the same (of equals the lowest id is the likeliest)
 *     overlap k     share of NATIVE's k likeliest that are among CONVERTED's k likeliest (of a
 *                   vocabulary of fewer than k tokens: all of them)
 *     dp            Q(x) - P(x)
 *     perplexity    exp(mean -log P(x)), exp(mean -log Q(x)); their ratio is Q's over P's
 *
 * Standard errors of a mean over n positions: sqrt((mean of squares - mean^2) / (n - 1)), 0 for n <
 * 2; of a perplexity exp(m): exp(m) se(m); of the ratio: the same with m the mean of log P(x) - log
 * Q(x), position by position (the two perplexities go up and down together); of rms dp: that of the
 * mean of dp^2 / (2 rms). The q-th quantile of v_0 <= .. <= v_(n-1) lies at h = (n - 1) q, between
 * v_floor(h) and its successor by linear interpolation (numpy's default). Sums go in the order of
 * the text, in double.
 *
 * Positions where a model gave no number are `broken` and part of no figure: one is enough to fail.
 *
 * Source: llama.cpp, tools/perplexity/perplexity.cpp, --kl-divergence. The definitions are its own,
 * so figures compare, up to what it loses on the way:
 *
 *     log P      is read back from 16 bits: 65536 steps over the 16 nats below the largest logit.
 *                What is less likely counts as if it were there, and terms with log P <= -16 are
 *                left out. So kl of equal models is not 0 there but up to 5e-5 of either sign, and
 *                NATIVE's perplexity and likeliest token are those of the rounded numbers.
 *     32 bits    for exp, for kl and dp of a position, and where quantiles are interpolated.
 *     errors     are 0 up to 10 positions (9 in the ratio's covariance); quantiles from 100 on.
 *     positions  are the second half of whole windows, end to end (windows.h: stride = ctx, skip =
 *                ctx / 2, and a text cut to a multiple of ctx).
 *     printed    are dp in percent, and the logarithm of the ratio beside it.
 *
 * From a golden file whose top-k is not "all" kl is exact over NATIVE's k likeliest and estimated
 * past them, without bias, from tokens drawn there (`truncated`; docs/golden.md). */
#ifndef RC_VERIFY_BEHAVIOUR_H
#define RC_VERIFY_BEHAVIOUR_H

#include "formats/base/mem.h"
#include "formats/base/status.h"
#include "verify/saying.h"

enum {
    RC_WORST = 20,   /* positions kept */
    RC_KL_BINS = 48, /* of the histogram, four a decade from 1e-10 to 100 */
};

/* A position worth looking at. */
typedef struct rc_moment {
    uint64_t index; /* into the windows' tokens: the position; index + 1 is the token that came */
    double kl;
    rc_saying said[2]; /* NATIVE, CONVERTED */
} rc_moment;

typedef struct rc_figure_se {
    double value, se;
} rc_figure_se;

typedef struct rc_behaviour {
    uint64_t positions, broken; /* scored; of these without a number on either side */
    uint64_t vocab;
    rc_figure_se kl;
    double kl_median, kl_p90, kl_p95, kl_p99, kl_p999, kl_max;
    rc_figure_se same_top, overlap5, overlap10; /* shares, 0 to 1 */
    rc_figure_se ppl[2], ppl_ratio;             /* NATIVE, CONVERTED */
    rc_figure_se mean_dp, rms_dp;               /* shares, not percent */
    double dp_min, dp_p1, dp_p5, dp_median, dp_p95, dp_p99, dp_max;
    uint64_t kl_zero;             /* positions with a kl of exactly 0 */
    uint64_t kl_bins[RC_KL_BINS]; /* the others, see rc_kl_bin_from() */
    bool truncated;
    double tail_mean, tail_max; /* truncated: NATIVE's probability past the top-k */
    size_t nworst;
    rc_moment worst[RC_WORST]; /* largest kl first, of equals the earlier; none with a kl of 0 */
} rc_behaviour;

/** Where bin i of the histogram begins, 10^(i/4 - 10), 0 <= i <= RC_KL_BINS: it holds kl in
 *  [from(i), from(i + 1)). The first also has all that is smaller (but not 0), the last all that is
 *  larger. */
double rc_kl_bin_from(unsigned i);

typedef struct rc_behaviour_sum rc_behaviour_sum;

/** For at most `positions` positions of a vocabulary of `vocab` > 0: 32 bytes each, whatever the
 *  vocabulary. RC_E_OS no memory. */
RC_MUST_CHECK
rc_code rc_behaviour_new(rc_behaviour_sum **out, size_t positions, uint64_t vocab, rc_mem *mem,
                         rc_err *err);
void rc_behaviour_free(rc_behaviour_sum **sum);
/** Add a position, in the order of the text: the digits depend on the order. `kl` is taken as given
 *  (rc_saying_kl(), or what a golden file allows to know). `tail`: NATIVE's probability past its
 *  top-k, or a negative number when everything was there. */
void rc_behaviour_add(rc_behaviour_sum *sum, uint64_t index, double kl, const rc_saying *native,
                      const rc_saying *converted, double tail);
/** All figures of what was added so far; more may be added afterwards. No positions, or none that
 * is not broken: figures are 0. */
void rc_behaviour_finish(rc_behaviour_sum *sum, rc_behaviour *out);

#endif
