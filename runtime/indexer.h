/* runtime/indexer.h - which compressed keys a token looks at, where there are more than index_topk.
 *
 *     s_b = sum_h relu(q_h . k_b) * w_h      over the blocks b that the token sees
 *
 * q from the low-rank queries of the attention, rotated, through a Hadamard matrix and FP4, as
 * the keys k_b of the index compressor; w_h = (weights_proj x)_h * c^-0.5 * J^-0.5. In native every
 * step is rounded to BF16. The choice is that of runtime/top_k.h. While a token sees no more
 * than index_topk blocks it looks at all of them, and nothing is computed but keys for later.
 * Source: the official model.py, class Indexer. */
#ifndef RC_RUNTIME_INDEXER_H
#define RC_RUNTIME_INDEXER_H

#include "runtime/compressor.h"
#include "runtime/kv_cache.h"

/* ---- without weights ---- */

#define RC_INDEX_MAX_DIM 512u /* of a Hadamard matrix */
#define RC_INDEX_KEYS    256u /* scored at a time */
#define RC_INDEX_HEADS   16u
#define RC_INDEX_WORK    (RC_INDEX_KEYS * RC_INDEX_HEADS) /* elements */

/** One head of a query, [dim] in place: rotated by `turn` (over its last `dims` elements), through
 *  the Hadamard matrix, rounded, paired. */
void rc_index_query(rc_numerics nm, float *q, size_t dim, const float *turn, size_t dims);

/** s[n], n at most RC_INDEX_KEYS, of one position. q: [heads, dim], keys: both paired. work:
 *  RC_INDEX_WORK elements. The sum over heads is in their order. */
void rc_index_scores(rc_numerics nm, float *s, const float *q, const float *w, size_t heads,
                     size_t dim, const float *const *key, size_t n, float *work);

/* ---- the indexer of a block of the model ---- */

typedef struct rc_indexer {
    rc_engine *e;
    const rc_bound *wq_b, *weights_proj;
    rc_compressor compressor;
    size_t heads, dim, top_k;
    uint32_t layer;
} rc_indexer;

RC_MUST_CHECK
rc_code rc_indexer_open(rc_indexer *x, rc_engine *e, const rc_block_id *id, rc_err *err);
void rc_indexer_close(rc_indexer *x);
/** Ask for the weights ahead, those of queries if `choosing`; let them go. */
void rc_indexer_want(const rc_indexer *x, bool choosing);
void rc_indexer_done(const rc_indexer *x);

/* Blocks that each token of a run looks at: count[t] of them, ascending, from block + t * each. */
typedef struct rc_indexer_work {
    rc_compressor_work compressor;
    rc_room query, weight, score, block, count, scratch;
    size_t each;
} rc_indexer_work;
void rc_indexer_work_drop(rc_indexer_work *work, rc_mem *mem);

/** Does some token of the run see more blocks than it may look at? */
bool rc_indexer_chooses(const rc_indexer *x, const rc_kv *kv, size_t tokens);

/** Fill `work` for a run that follows what `kv` has seen and whose index keys are there. act: x,
 * [tokens, D]; qr: [tokens, Q], the normed low-rank queries; turn: [tokens, R]. `in` is used up. */
RC_MUST_CHECK
rc_code rc_indexer_run(const rc_indexer *x, const rc_kv *kv, rc_indexer_work *work, rc_input *in,
                       const float *act, const float *qr, const float *turn, size_t tokens,
                       rc_err *err);

#endif
