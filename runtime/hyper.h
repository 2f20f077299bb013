/* runtime/hyper.h - manifold-constrained hyper-connections: N residual streams, a mixture of them
 * into each sublayer, its output back onto all of them.
 *
 * h: [tokens, N, D] streams, stream-major. fn: [(2 + N) * N, N * D], base: [(2 + N) * N], scale:
 * [3]. Source: the official model.py, Block.hc_pre and hc_post, ParallelHead.hc_head. */
#ifndef RC_RUNTIME_HYPER_H
#define RC_RUNTIME_HYPER_H

#include "runtime/block.h"
#include "runtime/linear.h"

#define RC_HYPER_MAX 8u /* streams */

typedef struct rc_hyper rc_hyper;

/** `name`: "hc_attn", "hc_ffn", or "hc_head" (fn [N, N * D], base [N], scale [1]).
 *  RC_E_UNSUPPORTED more than RC_HYPER_MAX streams. */
RC_MUST_CHECK
rc_code rc_hyper_new(rc_hyper **out, rc_engine *e, const rc_block_id *id, const char *name,
                     rc_err *err);
void rc_hyper_free(rc_hyper **h);
void rc_hyper_want(const rc_hyper *h);
void rc_hyper_done(const rc_hyper *h);

/** Values of `mix` for one token: N for the output, N * N for the streams. */
size_t rc_hyper_mix(const rc_hyper *h);

/** u[t] = sum_j pre_j h[t, j], [tokens, D]; mix[t] = what rc_hyper_post() needs. For "hc_head"
 * there is no mix (NULL). */
RC_MUST_CHECK
rc_code rc_hyper_pre(rc_hyper *hc, rc_input *in, const float *h, size_t tokens, float *u,
                     float *mix, rc_err *err);

/** h[t, k] = post_k y[t] + sum_j comb[j][k] h[t, j], in place. */
void rc_hyper_post(rc_hyper *hc, const float *y, const float *mix, size_t tokens, float *h);

/** The Sinkhorn iteration on b[n][n], in place: softmax of the rows plus eps, columns, then
 *  iters - 1 times rows and columns, each divided by its sum + eps. */
void rc_sinkhorn(float *b, unsigned n, unsigned iters, float eps);

#endif
