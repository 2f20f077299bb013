/* runtime/mtp.h - the multi-token prediction block of the release: one more layer that guesses the
 * token after the next.
 *
 *     x[n] = e_proj norm(embed[token], enorm) + h_proj norm(h[n], hnorm)       n = 0 .. N-1
 *     logits = head . norm(hc_head(block(x)))
 *
 * on the streams h after the last layer. e_proj, h_proj: [D, D]. The block is one of ratio 0 with
 * scored experts and a cache of its own; embedding and output matrix are the model's.
 * Source: the official model.py, class MTPBlock. It shows the block and not the loop around it;
 * that the streams of position p go with token p + 1 is DeepSeek-V3's practice. */
#ifndef RC_RUNTIME_MTP_H
#define RC_RUNTIME_MTP_H

#include "runtime/head.h"
#include "runtime/layer.h"

typedef struct rc_mtp rc_mtp;

/** `head`: with what makes logits, which some GGUF files have no place for. RC_E_TENSORSET where
 *  there is none (or another kind of draft: see rc_model_traits). */
RC_MUST_CHECK
rc_code rc_mtp_new(rc_mtp **out, rc_engine *e, size_t run, bool head, rc_err *err);
void rc_mtp_free(rc_mtp **m);

/** Replace the flow's streams by those after the block: token t goes with token[t]. The flow's
 * tokens are positions pos0 .., as in the layers. `logits`: they will be asked for next. */
RC_MUST_CHECK
rc_code rc_mtp_run(rc_mtp *m, rc_flow *flow, const uint32_t *token, bool logits, rc_err *err);
rc_head *rc_mtp_head(const rc_mtp *m); /* NULL without */

#endif
