/* verify/saying.c - see saying.h. */
#include "verify/saying.h"

#include <float.h>
#include <math.h>

#include "kernels/divergence.h"

enum { BLOCK = 64 }; /* logits looked at together; the loop over them has no branch */

/* The candidates so far: `n` of them, the least last. */
typedef struct ranking {
    uint32_t id[RC_TOP];
    float logit[RC_TOP];
    unsigned n;
} ranking;

/* Ids come in ascending order: of equal logits the earlier stays in front. */
static void rank(ranking *r, uint32_t id, float logit)
{
    unsigned at;

    if (r->n == RC_TOP && !(logit > r->logit[RC_TOP - 1]))
        return;
    if (r->n < RC_TOP)
        r->n++;
    for (at = r->n - 1; at && logit > r->logit[at - 1]; at--) {
        r->id[at] = r->id[at - 1];
        r->logit[at] = r->logit[at - 1];
    }
    r->id[at] = id;
    r->logit[at] = logit;
}

/* False at the first logit that is not finite. */
static bool rank_each(ranking *r, const float *logits, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        if (!isfinite(logits[i]))
            return false;
        rank(r, (uint32_t)i, logits[i]);
    }
    return true;
}

/* Nothing here to rank, nothing that is not finite. Most blocks: a new candidate is rare. */
static bool dull(const float *logits, float least)
{
    int odd = 0;

    for (size_t i = 0; i < BLOCK; i++)
        odd |= !(logits[i] <= least) | !(logits[i] >= -FLT_MAX);
    return !odd;
}

static bool rank_all(ranking *r, const float *logits, size_t vocab)
{
    size_t i = vocab < BLOCK ? vocab : BLOCK;

    if (!rank_each(r, logits, 0, i))
        return false;
    for (; i + BLOCK <= vocab; i += BLOCK)
        if (!dull(logits + i, r->logit[RC_TOP - 1]) && !rank_each(r, logits, i, i + BLOCK))
            return false;
    return rank_each(r, logits, i, vocab);
}

void rc_saying_of(rc_saying *out, const float *logits, size_t vocab, uint32_t next)
{
    ranking r = { .n = 0 };

    *out = (rc_saying){ .log_sum = (double)NAN, .logprob = (double)NAN };
    for (unsigned k = 0; k < RC_TOP; k++)
        out->top[k] = (rc_candidate){ RC_NO_TOKEN, -INFINITY };
    if (!rank_all(&r, logits, vocab)) {
        out->broken = true;
        return;
    }
    const double most = (double)r.logit[0];
    out->log_sum = most + rc_log_f64(rc_exp_sum64_best()(logits, vocab, most));
    out->logprob = (double)logits[next] - out->log_sum;
    for (unsigned k = 0; k < r.n; k++)
        out->top[k] = (rc_candidate){ r.id[k], (float)((double)r.logit[k] - out->log_sum) };
}

double rc_saying_kl(const rc_saying *a, const float *logits_a, const rc_saying *b,
                    const float *logits_b, size_t vocab)
{
    if (a->broken || b->broken)
        return (double)NAN;
    return rc_divergence_best()(logits_a, logits_b, vocab, a->log_sum, b->log_sum);
}
