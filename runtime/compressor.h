/* runtime/compressor.h - blocks of `ratio` tokens become one key.
 *
 *     a_t = wkv x_t,  z_t = wgate x_t + ape[t mod r]
 *     v = sum_t p_t a_t,  p = softmax of z over the tokens of the block, for each channel alone
 *
 * then RMSNorm, the rotation of the block's first position, and the rounding that its use calls
 * for. Where r = 4 blocks overlap: rows are twice as wide, and a block takes the first half of
 * the channels from the four tokens before it, the second half from its own. The first
 * block has none before it. Source: the official model.py, class Compressor.
 *
 * A main compressor makes keys of attention, an index compressor those of the indexer. */
#ifndef RC_RUNTIME_COMPRESSOR_H
#define RC_RUNTIME_COMPRESSOR_H

#include "runtime/block.h"
#include "runtime/linear.h"
#include "runtime/room.h"
#include "runtime/keys.h"

/* ---- pooling: what one compressor remembers between two runs ---- */

/* The rows a and z of the last `slots` tokens, as many as a block takes; token t in slot
 * t mod slots. */
typedef struct rc_pool {
    size_t ratio, dim;   /* tokens of a block, channels of its key */
    size_t slots, width; /* tokens that a block takes, channels of a row */
    float *a, *z;        /* [slots, width] */
} rc_pool;

RC_MUST_CHECK
rc_code rc_pool_new(rc_pool *pool, size_t ratio, size_t dim, rc_mem *mem, rc_err *err);
void rc_pool_drop(rc_pool *pool, rc_mem *mem);

/** v[dim]: block `block`, whose last token has been seen. a, z: rows of the tokens from `pos0` on
 *  (ape added); earlier ones are taken from the pool. work: 3 * dim. */
void rc_pool_block(const rc_pool *pool, float *v, uint64_t block, const float *a, const float *z,
                   uint64_t pos0, float *work);
/** Remember the rows of a run for the next. */
void rc_pool_keep(rc_pool *pool, const float *a, const float *z, uint64_t pos0, size_t tokens);

/* ---- one compressor of a block of the model ---- */

typedef struct rc_compressor {
    rc_engine *e;
    const rc_bound *wkv, *wgate;
    float *ape, *norm; /* [ratio, width], [dim] */
    size_t ratio, dim, width;
    bool index; /* Hadamard and FP4, else FP8 */
} rc_compressor;

/** where: "attn." or "attn.indexer." */
RC_MUST_CHECK
rc_code rc_compressor_open(rc_compressor *c, rc_engine *e, const rc_block_id *id, const char *where,
                           size_t dim, rc_err *err);
void rc_compressor_close(rc_compressor *c);
/** Ask for the weights ahead; let them go. */
void rc_compressor_want(const rc_compressor *c);
void rc_compressor_done(const rc_compressor *c);

/* The rows of a run, until they are kept; scratch of the threads. */
typedef struct rc_compressor_work {
    rc_room a, z, scratch;
} rc_compressor_work;
void rc_compressor_work_drop(rc_compressor_work *work, rc_mem *mem);

/** Keys of the blocks that `tokens` positions from pos0 on complete, paired, to keys (which has
 *  the room). in: x of the run, RC_LINEAR_F32. freq: rc_rope_frequencies(). The pool is only
 *  read: rc_compressor_keep() makes the run part of it. */
RC_MUST_CHECK
rc_code rc_compressor_run(const rc_compressor *c, const rc_pool *pool, rc_compressor_work *work,
                          rc_input *in, const float *freq, uint64_t pos0, size_t tokens,
                          rc_keys *keys, rc_err *err);
void rc_compressor_keep(const rc_compressor_work *work, rc_pool *pool, uint64_t pos0,
                        size_t tokens);

#endif
