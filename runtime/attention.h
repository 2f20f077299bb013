/* runtime/attention.h - one attention sublayer: queries, keys, compressed keys, the indexer's
 * choice, softmax with a sink, the grouped low-rank output.
 *
 * Every number of tokens goes the same way: a prompt is fed in runs of any length, a generated
 * token is a run of one, and the bits do not depend on how the runs were cut. */
#ifndef RC_RUNTIME_ATTENTION_H
#define RC_RUNTIME_ATTENTION_H

#include "runtime/block.h"
#include "runtime/linear.h"

/* What a block remembers of the positions it has seen: the window of the last keys, compressed
 * keys, index keys, and the tokens that do not fill a block yet. */
typedef struct rc_kv rc_kv;

RC_MUST_CHECK
rc_code rc_kv_new(rc_kv **out, rc_engine *e, const rc_block_id *id, rc_err *err);
void rc_kv_free(rc_kv **kv);
/** As new; the memory stays. */
void rc_kv_forget(rc_kv *kv);
/** What a watcher is told for position 0, when that is not 0. */
void rc_kv_set_origin(rc_kv *kv, uint64_t index);
/** Positions seen so far. */
uint64_t rc_kv_positions(const rc_kv *kv);
/** Bytes that it takes after `positions` of them, one at a time: for a plan. A run of n takes room
 *  for n keys more. */
uint64_t rc_kv_nbytes(const rc_config *config, uint32_t ratio, uint64_t positions);

/* Work space of attention: grown by the largest run, used by one block after the other. */
typedef struct rc_attention_work rc_attention_work;

RC_MUST_CHECK
rc_code rc_attention_work_new(rc_attention_work **out, rc_engine *e, rc_err *err);
void rc_attention_work_free(rc_attention_work **work);

/* The block's small tensors (norms, sinks, ape) and its bounds: found once, used for every run. */
typedef struct rc_attention rc_attention;

/** RC_E_UNSUPPORTED for sizes that the kernels cannot take: vectors that are not whole chunks of
 * 32, keys that are not whole blocks of 64 beside their rope part, an index_head_dim that is no
 *  power of two up to 512. Names the field. */
RC_MUST_CHECK
rc_code rc_attention_new(rc_attention **out, rc_engine *e, const rc_block_id *id, rc_err *err);
void rc_attention_free(rc_attention **a);
/** Ask for the weights in the order of use (rc_weights_want). The indexer's queries are asked for
 *  once a run has needed them. */
void rc_attention_want(const rc_attention *a);
/** Not needed any more for now (rc_weights_done). */
void rc_attention_done(const rc_attention *a);
/** y[t * D ..] = attention of x[t * D ..] (already normed), t < tokens, which are the positions
 *  that follow those that `kv` has seen; y may be x. `in` is used up. A run that fails leaves
 *  `kv` as it was. Memory of `work` grows with tokens: about H * C * 6 bytes each. */
RC_MUST_CHECK
rc_code rc_attention_run(rc_attention *a, rc_kv *kv, rc_attention_work *work, rc_input *in,
                         const float *x, size_t tokens, float *y, rc_err *err);

#endif
