/* runtime/router.h - which experts a token goes to, and with what weights.
 *
 *     s = sqrt(softplus(gate x))                        [E]
 *     the K experts with the largest s + bias (ties: the lower number), or tid2eid[token] in hash
 * layers weight = s / (sum of the chosen s) * routed_scaling_factor
 *
 * Source: the official model.py, class Gate. */
#ifndef RC_RUNTIME_ROUTER_H
#define RC_RUNTIME_ROUTER_H

#include "runtime/block.h"
#include "runtime/linear.h"

typedef struct rc_router rc_router;

/** RC_E_UNSUPPORTED scoring_func other than sqrtsoftplus. */
RC_MUST_CHECK
rc_code rc_router_new(rc_router **out, rc_engine *e, const rc_block_id *id, rc_err *err);
void rc_router_free(rc_router **r);
void rc_router_want(const rc_router *r);
void rc_router_done(const rc_router *r);

/** For each of `tokens` rows x [D] and token ids: `expert` [tokens, K] ascending, `weight` [tokens,
 * K]. RC_E_DATA a hash table that points past the experts. */
RC_MUST_CHECK
rc_code rc_router_pick(rc_router *r, rc_input *in, const float *x, const uint32_t *id,
                       size_t tokens, uint32_t *expert, float *weight, rc_err *err);

/** The k largest of score[n] (ties: the lower index), ascending by index. k <= n. */
void rc_pick_largest(const float *score, size_t n, size_t k, uint32_t *pick);

#endif
