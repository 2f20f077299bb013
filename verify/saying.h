/* verify/saying.h - what a model says at one position, out of its logits there.
 *
 * P(i) = exp(logit i - log_sum), log_sum = m + log sum_i exp(logit i - m), m the largest logit. In
 * double, with an exp and a log of our own (kernels/divergence.h): the same digits on every
 * machine.
 *
 * These functions read their arguments and write their result, nothing else: call them for many
 * positions at once. */
#ifndef RC_VERIFY_SAYING_H
#define RC_VERIFY_SAYING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/windows.h"

enum { RC_TOP = 10 }; /* candidates kept */

typedef struct rc_candidate {
    uint32_t id;   /* or RC_NO_TOKEN */
    float logprob; /* natural */
} rc_candidate;

typedef struct rc_saying {
    double log_sum;           /* log sum exp of the logits */
    double logprob;           /* of the token that came */
    rc_candidate top[RC_TOP]; /* likeliest first, of equals the lowest id first; past the vocabulary
                                 RC_NO_TOKEN with -infinity */
    bool broken;              /* a NaN or an infinity (of either sign) among the logits: the two
                                 numbers are NaN then, and there are no candidates */
} rc_saying;

/** Of a row of logits [vocab], vocab > 0; `next` < vocab is the token that came. */
void rc_saying_of(rc_saying *out, const float *logits, size_t vocab, uint32_t next);
/** KL divergence of b from a in nats: sum_i P_a(i) log(P_a(i) / P_b(i)). Never negative, +0 exactly
 * for equal logits, accurate however small; NaN when either is broken. */
double rc_saying_kl(const rc_saying *a, const float *logits_a, const rc_saying *b,
                    const float *logits_b, size_t vocab);

#endif
