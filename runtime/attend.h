/* runtime/attend.h - core attention of one position: scores, softmax with a sink, values.
 *
 *     s_j = (q_h . k_j) * C^-0.5,  m = max_j s_j
 *     o_h = (sum_j exp(s_j - m) k_j) / (sum_j exp(s_j - m) + exp(sink_h - m))
 *
 * One vector is both key and value, for all heads. The order of every sum follows from the order
 * of the candidates: pairs.h over C, exp.h's and weighted_sum.h's over j. In native the
 * exponentials are rounded to BF16 for the values but not for the denominator, as the
 * reference's tensor cores take them, and o is rounded to BF16.
 * Source: the official kernel.py, sparse_attn. */
#ifndef RC_RUNTIME_ATTEND_H
#define RC_RUNTIME_ATTEND_H

#include "runtime/numerics.h"

#define RC_ATTEND_HEADS 16u /* at a time */

/** `heads` (at most RC_ATTEND_HEADS) heads of one position over n > 0 candidates. q, o: [heads, C];
 *  q, o and keys are paired (kernels/pairs.h), C is a multiple of 32; o is not q. score: heads * n
 *  of work space. */
void rc_attend(rc_numerics nm, float *o, const float *q, size_t heads, size_t dim,
               const float *const *key, size_t n, const float *sink, float *score);

#endif
