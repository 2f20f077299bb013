/* runtime/collect.h - what activations are like: sums over the rows that linears read.
 *
 * It looks on while a block of the model runs (watch.h) and keeps for each place tokens, sums of
 * |x| and of x^2 in double, for experts one by one; where asked, second moments within blocks of
 * channels; and a sample of ffn_norm's output with what the router chose. When the block is over
 * all of it is written and forgotten: memory is a block's, whatever the number of tokens.
 *
 * Sums are over rows in their order, threads share columns: the same bits for any number of
 * threads, any memory and any instruction set. */
#ifndef RC_RUNTIME_COLLECT_H
#define RC_RUNTIME_COLLECT_H

#include "formats/calibration_write.h"
#include "runtime/watch.h"

typedef struct rc_collect rc_collect;

typedef struct rc_collect_options {
    unsigned threads; /* 0: all processors */
    bool moments;
    size_t sample;                 /* rows at most */
    uint64_t tokens, draft_tokens; /* that will come by, in a main block and in a draft's */
    uint64_t window;               /* tokens of a window, for messages */
    _Atomic uint64_t *rows; /* NULL, or counts up for progress: by num_experts_per_tok a token
                               before attention, by as many more when all its experts have run */
} rc_collect_options;

/** All memory is taken here. `config` is borrowed. */
RC_MUST_CHECK
rc_code rc_collect_new(rc_collect **out, const rc_config *config, const rc_collect_options *o,
                       rc_mem *mem, rc_err *err);
void rc_collect_free(rc_collect **c);

/** To be given to a pass. Its functions fail with RC_E_NUMERIC for an activation that is no number:
 *  layer, place and token are named. Moments of an expert are written when the next begins. */
const rc_watch *rc_collect_watch(const rc_collect *c);
/** Where statistics go; borrowed. To be set before the pass. */
void rc_collect_to(rc_collect *c, rc_calib_writer *writer);
/** A block (or the input of the output matrix, after the last one) is over: write what was
 *  seen. Experts with fewer than RC_CALIB_ENOUGH tokens are topped up; *few counts on. */
RC_MUST_CHECK
rc_code rc_collect_flush(rc_collect *c, uint32_t block, uint32_t *few, rc_err *err);

/** The token that row i of a sample of `rows` from `tokens` is. */
uint64_t rc_collect_sampled(size_t i, size_t rows, uint64_t tokens);

#endif
