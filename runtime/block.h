/* runtime/block.h - one block of the model: which it is, and the small tensors that it needs. */
#ifndef RC_RUNTIME_BLOCK_H
#define RC_RUNTIME_BLOCK_H

#include "runtime/engine.h"

/* Which block: "layers.7." or "mtp.0.". */
typedef struct rc_block_id {
    char prefix[24];
    uint32_t layer; /* for a watch; draft blocks go on after the last layer */
    uint32_t ratio; /* 0 window only, 4 compressed + indexer (CSA), 128 heavily compressed (HCA) */
    bool hash;      /* experts by token id */
} rc_block_id;

/** The bound of "PREFIX" "name". */
RC_MUST_CHECK
rc_code rc_block_find(rc_engine *e, const rc_block_id *id, const char *name, const rc_bound **bound,
                      rc_err *err);
/** The same parameter decoded whole; see rc_weights_small(). */
RC_MUST_CHECK
rc_code rc_block_small(rc_engine *e, const rc_block_id *id, const char *name, size_t nelems,
                       float **out, rc_err *err);

#endif
