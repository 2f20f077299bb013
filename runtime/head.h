/* runtime/head.h - from the streams to logits. Source: the official model.py, class ParallelHead.
 */
#ifndef RC_RUNTIME_HEAD_H
#define RC_RUNTIME_HEAD_H

#include "runtime/block.h"
#include "runtime/linear.h"

typedef struct rc_head rc_head;

/** hc_head_* and norm of the model (draft NULL), or of a draft block, which shares the model's
 * output matrix. With tie_word_embeddings that is the embedding. */
RC_MUST_CHECK
rc_code rc_head_new(rc_head **out, rc_engine *e, const rc_block_id *draft, rc_err *err);
void rc_head_free(rc_head **h);
/** Ask for the output matrix (rc_weights_want), and let it go. */
void rc_head_want(const rc_head *h);
void rc_head_done(const rc_head *h);

/** logits[t * V ..] = head . norm(hc_head(h[t])), h: [tokens, N, D]; u: room for [tokens, D]. pos0:
 *  position of the first, for a watcher; logits NULL: for a watcher only. */
RC_MUST_CHECK
rc_code rc_head_run(rc_head *h, rc_input *in, const float *streams, uint64_t pos0, size_t tokens,
                    float *u, float *logits, rc_err *err);

#endif
