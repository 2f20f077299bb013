/* verify/behaviour.h - how differently two models behave: figures of their logits on one text.
 *
 * At a scored position NATIVE says P over the vocabulary, CONVERTED Q, x is the token that came.
 *
 *     kl            sum_i P_i log(P_i / Q_i), in nats
 *     same top      the likeliest token is the same (of equals the lowest id is the likeliest)
 *     overlap k     share of NATIVE's k likeliest that are among CONVERTED's k likeliest
 *     dp            Q(x) - P(x)
 *     perplexity    exp(mean -log P(x)), exp(mean -log Q(x)); their ratio is Q's over P's
 *
 * Standard errors: of a mean, the sample deviation over the positions / sqrt(n - 1) as llama.cpp
 * has it (sqrt((mean of squares - mean^2) / (n - 1))); of a perplexity exp(m) it is exp(m) * se(m),
 * of the ratio, that of the mean of log P(x) - log Q(x), position by position; of rms dp, that of the
 * mean of dp^2 / (2 rms). Quantiles interpolate between order statistics (numpy's "linear").
 * Source: llama.cpp tools/perplexity/perplexity.cpp, --kl-divergence; the definitions agree with
 * its, so figures compare. Positions where a model gave no number are `broken` and part of no
 * figure: one is enough to fail.
 *
 * From a golden file whose top-k is not "all" the sums of kl run over NATIVE's k likeliest and the
 * rest as one (`truncated`): never more than the true kl. */
#ifndef RC_VERIFY_BEHAVIOUR_H
#define RC_VERIFY_BEHAVIOUR_H

#include "formats/base/mem.h"
#include "formats/base/status.h"

enum {
    RC_TOP = 10,          /* candidates kept */
    RC_WORST = 20,        /* positions kept */
    RC_KL_BINS = 48,      /* of the histogram: bin i holds kl in [10^(i/4 - 10), 10^((i+1)/4 - 10)), */
                          /* the first all below, the last all above */
};

typedef struct rc_candidate {
    uint32_t id;
    float logprob; /* natural */
} rc_candidate;

/* What one model says at a position. */
typedef struct rc_saying {
    double log_sum; /* log sum exp of the logits */
    double logprob; /* of the token that came */
    rc_candidate top[RC_TOP]; /* likeliest first; fewer when the vocabulary is smaller: id
                                 RC_NO_TOKEN */
    bool broken;    /* NaN or infinity among the logits */
} rc_saying;

/** Of a row of logits [vocab]; `next` is the token that came. */
void rc_saying_of(rc_saying *out, const float *logits, size_t vocab, uint32_t next);
/** KL of the second from the first. */
double rc_saying_kl(const rc_saying *a, const float *logits_a, const rc_saying *b,
                    const float *logits_b, size_t vocab);

/* A position worth looking at. */
typedef struct rc_moment {
    uint64_t index; /* into the windows' tokens: the position; index + 1 is the token that came */
    double kl;
    rc_saying said[2];
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
    uint64_t kl_zero, kl_bins[RC_KL_BINS];      /* exactly 0; the others by size */
    bool truncated;
    double tail_mean, tail_max;                 /* truncated: NATIVE's probability past the top-k */
    size_t nworst;
    rc_moment worst[RC_WORST];                  /* by kl, ties by index */
} rc_behaviour;

typedef struct rc_behaviour_sum rc_behaviour_sum;

/** For at most `positions` positions: 32 bytes each, whatever the vocabulary. */
RC_MUST_CHECK
rc_code rc_behaviour_new(rc_behaviour_sum **out, size_t positions, uint64_t vocab, rc_mem *mem,
                         rc_err *err);
void rc_behaviour_free(rc_behaviour_sum **sum);
/** Add a position, in the order of the text: the digits depend on the order. `tail`: NATIVE's
 *  probability past its top-k, or a negative number when everything was there. */
void rc_behaviour_add(rc_behaviour_sum *sum, uint64_t index, double kl, const rc_saying *native,
                      const rc_saying *converted, double tail);
/** All figures. Sorts what it holds; may be called again. No positions: all zero. */
void rc_behaviour_finish(rc_behaviour_sum *sum, rc_behaviour *out);

#endif
