/* runtime/experts.h - the mixture of experts of one block.
 *
 *     expert(x) = w2 . (weight * silu(min(w1 x, limit)) * clamp(w3 x, -limit, limit))
 *     y = sum of the chosen experts in ascending order + shared expert (without weight)
 *
 * w1, w3: [I, D], w2: [D, I]. Expert by expert: each is read once for all the tokens that chose
 * it, and those that nobody chose are not read. Source: the official model.py, class Expert and
 * MoE. */
#ifndef RC_RUNTIME_EXPERTS_H
#define RC_RUNTIME_EXPERTS_H

#include "runtime/block.h"
#include "runtime/linear.h"
#include "runtime/rows.h"

typedef struct rc_experts rc_experts;

/** `run`: tokens that go through an expert at once, at most. */
RC_MUST_CHECK
rc_code rc_experts_new(rc_experts **out, rc_engine *e, const rc_block_id *id, size_t run,
                       rc_err *err);
void rc_experts_free(rc_experts **m);

/** Before anybody chose, ask for experts that some of `tokens` tokens will almost surely choose:
 * the disk is then busy while attention computes. And let them go, when nobody will run them. */
void rc_experts_want(rc_experts *m, size_t tokens);
void rc_experts_done(rc_experts *m);

/** y[t] = experts of x[t], both [tokens, D]; expert and weight: [tokens, K] as rc_router_pick()
 * gives them. pos0: position of the first, for a watcher. */
RC_MUST_CHECK
rc_code rc_experts_run(rc_experts *m, rc_input *in, rc_rows *x, const uint32_t *expert,
                       const float *weight, uint64_t pos0, size_t tokens, rc_rows *y, rc_err *err);

#endif
