/* runtime/kv_cache.h - inside an rc_kv: what one block of the model remembers of its positions.
 *
 * How much of it is valid follows from `positions` alone, which moves when a run is over: a
 * run that fails leaves all as it was. Keys are paired (kernels/pairs.h). */
#ifndef RC_RUNTIME_KV_CACHE_H
#define RC_RUNTIME_KV_CACHE_H

#include "runtime/attention.h"
#include "runtime/compressor.h"

struct rc_kv {
    rc_mem *mem;
    size_t dim, window; /* of a key, in positions */
    uint32_t ratio;
    uint64_t positions;
    uint64_t origin;     /* for a watcher: position p is origin + p */
    float *ring;         /* [slots, dim]: position p in slot p % slots */
    size_t slots;        /* at least the window's and a run's */
    rc_keys keys, index; /* one for each block of `ratio` positions */
    rc_pool pool, index_pool;
};

/** Room for a run of `tokens`. */
RC_MUST_CHECK
rc_code rc_kv_reserve(rc_kv *kv, size_t tokens, rc_err *err);

/** The key of a position of the run or of the window - 1 before it. */
static inline float *rc_kv_recent(const rc_kv *kv, uint64_t pos)
{
    return kv->ring + (size_t)(pos % kv->slots) * kv->dim;
}

/** Blocks that the token at `pos` sees: those that are complete with it. */
static inline size_t rc_kv_visible(const rc_kv *kv, uint64_t pos)
{
    return kv->ratio ? (size_t)((pos + 1) / kv->ratio) : 0;
}

#endif
