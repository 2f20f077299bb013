/* quantize/int4_best_lanes.h - RC_INT4_BEST: the scale and the zero point of least loss.
 *
 * A candidate, a scale and a zero point, gives codes c = q - zero, and the scale that suits those
 * best is fit = sum w x c / sum w c^2, which leaves the loss sum w x^2 - fit * sum w x c. So
 * candidates are compared by that product, their score: what counts is which codes they lead to,
 * and a coarse grid of scales does. They are
 *
 *  1. a grid of scales from a little above the least that clips nothing downwards; without
 *     symmetry, under each three zero points about the range's;
 *  2. powers of two and one and a half times those, under five zero points. FP4 values are 0 1 2
 *     3 4 6 8 12 halves of a power of two: under that half as the scale all up to 8 are met
 *     exactly, if the range or a shift of the zero point lets them. This is most of what there is
 *     to gain on such weights (quantize/README.md), and no search nearby finds it: the scale of
 *     the range is smaller.
 *
 * The best one's fit, and what is next to it, then compete by loss as stored; and once more
 * from the best fit around it. */
#ifndef RC_QUANTIZE_INT4_BEST_LANES_H
#define RC_QUANTIZE_INT4_BEST_LANES_H

#include "quantize/int4_lanes.h"

#define BEST_SCALES      15u /* multiples of TRIES; by measurement, all of them */
#define BEST_SCALES_STEP 0.04f
#define BEST_PAIRS       30u /* scale and zero point */
#define BEST_PAIRS_STEP  0.06f
#define BEST_WIDEST      1.04f

typedef struct best_fit {
    vec scale, low, score;
} best_fit;

/* Candidates of one pass. */
typedef struct best_tries {
    vec scale[INT4_TRIES], low[INT4_TRIES];
} best_tries;

VEC_INLINE void best_score_by(const int4_batch *b, bool weighted, best_fit *best,
                              const best_tries *try)
{
    vec inverse[INT4_TRIES], high[INT4_TRIES], xc[INT4_TRIES], cc[INT4_TRIES];

    RC_UNROLL for (unsigned t = 0; t < INT4_TRIES; t++)
    {
        inverse[t] = vec_of(1) / try->scale[t];
        high[t] = try->low[t] + vec_of(15);
        xc[t] = cc[t] = vec_of(0);
    }
    for (unsigned k = 0; k < b->kind->group; k++) {
        const vec x = b->x[k];
        RC_UNROLL for (unsigned t = 0; t < INT4_TRIES; t++)
        {
            const vec code = int4_clamp(vec_round(x * inverse[t]), try->low[t], high[t]);
            vec w = code;
            if (weighted)
                w = b->w[k] * code;
            xc[t] += w * x;
            cc[t] += w * code;
        }
    }
    RC_UNROLL for (unsigned t = 0; t < INT4_TRIES; t++)
    {
        const vec fit = xc[t] / cc[t], score = fit * xc[t]; /* no number: not more */
        const vecm more = vec_less(best->score, score);
        best->scale = vec_pick(more, fit, best->scale);
        best->low = vec_pick(more, try->low[t], best->low);
        best->score = vec_pick(more, score, best->score);
    }
}

static void best_score(const int4_batch *b, best_fit *best, const best_tries *try)
{
    if (b->weighted)
        best_score_by(b, true, best, try);
    else
        best_score_by(b, false, best, try);
}

/* Around a fit, by the loss as stored. */
VEC_INLINE void best_store(const int4_batch *b, int4_choice *best, const best_tries *try)
{
    vec scale[INT4_TRIES];

    for (unsigned t = 0; t < INT4_TRIES; t++)
        scale[t] = int4_stored(b, try->scale[t]);
    int4_try(b, best, scale, try->low);
}

/* One scale; lower bounds from 2 below `middle` to 2 above. */
VEC_INLINE void best_zeros(best_tries *try, vec scale, vec middle)
{
    for (unsigned t = 0; t < INT4_TRIES; t++) {
        try->scale[t] = scale;
        try->low[t] = int4_clamp(middle + vec_of((float)t - 2), vec_of(-15), vec_of(0));
    }
}

/* Scales from 1 - 2 step to 1 + 2 step times one. */
VEC_INLINE void best_scales(best_tries *try, vec scale, float step)
{
    for (unsigned t = 0; t < INT4_TRIES; t++) {
        try->scale[t] = scale * vec_of(1 + step * ((float)t - 2));
        try->low[t] = vec_of(-8);
    }
}

/* From -8 to 7, where the larger of max / 7 and -min / 8 just fits. */
static int4_choice best_symmetric(const int4_batch *b, int4_choice best)
{
    static const float lattice[INT4_TRIES] = { 2, 1.5f, 1, 0.75f, 0.5f };
    const vec all = vec_max(b->max / vec_of(7), b->min / vec_of(-8));
    best_fit fit = { .scale = best.scale, .low = best.low, .score = vec_of(0) };
    best_tries try;

    for (unsigned t = 0; t < INT4_TRIES; t++) {
        try.scale[t] = int4_power(all) * vec_of(lattice[t]);
        try.low[t] = vec_of(-8);
    }
    best_score(b, &fit, &try);
    for (unsigned i = 0; i < BEST_SCALES; i += INT4_TRIES) {
        for (unsigned t = 0; t < INT4_TRIES; t++)
            try.scale[t] = all * vec_of(BEST_WIDEST - BEST_SCALES_STEP * (float)(i + t));
        best_score(b, &fit, &try);
    }
    best_scales(&try, fit.scale, 0.003f);
    best_store(b, &best, &try);
    best_scales(&try, fit.scale, 0.02f);
    best_score(b, &fit, &try);
    best_scales(&try, fit.scale, 0.003f);
    best_store(b, &best, &try);
    return best;
}

static int4_choice best_asymmetric(const int4_batch *b, int4_choice best)
{
    const vec all = (b->max - b->min) / vec_of(15);
    best_fit fit = { .scale = best.scale, .low = best.low, .score = vec_of(0) };
    best_tries try;

    for (unsigned i = 0; i < 2; i++) {
        const vec scale = int4_power(all) * vec_of(i ? 1.5f : 2);
        best_zeros(&try, scale, vec_round(b->min / scale));
        best_score(b, &fit, &try);
    }
    for (unsigned i = 0; i < BEST_PAIRS; i += INT4_TRIES) {
        for (unsigned t = 0; t < INT4_TRIES; t++) {
            const unsigned pair = i + t;
            const vec part = vec_of(BEST_WIDEST - BEST_PAIRS_STEP * (float)(pair / 3));
            const vec scale = all * part, low = vec_round(b->min * part / scale);
            try.scale[t] = scale;
            try.low[t] = int4_clamp(low + vec_of((float)(pair % 3) - 1), vec_of(-15), vec_of(0));
        }
        best_score(b, &fit, &try);
    }
    best_zeros(&try, fit.scale, fit.low);
    best_store(b, &best, &try);
    best_score(b, &fit, &try);
    best_zeros(&try, fit.scale, fit.low);
    best_store(b, &best, &try);
    return best;
}

static int4_choice int4_best(const int4_batch *b, int4_choice best)
{
    return b->kind->symmetric ? best_symmetric(b, best) : best_asymmetric(b, best);
}

#endif
