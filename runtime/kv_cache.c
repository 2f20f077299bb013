/* runtime/kv_cache.c - what one block of the model remembers of its positions. */
#include "runtime/kv_cache.h"

#include <string.h>

#define CSA 4u /* the ratio that has an indexer */

static rc_code make_pools(rc_kv *kv, const rc_config *c, rc_err *err)
{
    if (kv->ratio)
        RC_TRY(rc_pool_new(&kv->pool, kv->ratio, kv->dim, kv->mem, err));
    if (kv->ratio == CSA)
        RC_TRY(rc_pool_new(&kv->index_pool, kv->ratio, c->index_head_dim, kv->mem, err));
    return RC_OK;
}

rc_code rc_kv_new(rc_kv **out, rc_engine *e, const rc_block_id *id, rc_err *err)
{
    const rc_config *c = e->config;
    rc_kv *kv = rc_mem_get(e->mem, sizeof *kv);
    rc_code rc;

    *out = NULL;
    if (!kv)
        return rc_fail_nomem(err, e->mem, sizeof *kv);
    kv->mem = e->mem;
    kv->dim = c->head_dim;
    kv->window = c->sliding_window;
    kv->ratio = id->ratio;
    kv->keys.n = c->head_dim;
    kv->index.n = c->index_head_dim;
    rc = make_pools(kv, c, err);
    if (rc != RC_OK)
        rc_kv_free(&kv);
    *out = kv;
    return rc;
}

void rc_kv_free(rc_kv **kv)
{
    rc_kv *k = *kv;

    *kv = NULL;
    if (!k)
        return;
    rc_mem_put(k->mem, k->ring);
    rc_keys_drop(&k->keys, k->mem);
    rc_keys_drop(&k->index, k->mem);
    rc_pool_drop(&k->pool, k->mem);
    rc_pool_drop(&k->index_pool, k->mem);
    rc_mem_put(k->mem, k);
}

void rc_kv_forget(rc_kv *kv)
{
    kv->positions = 0;
    kv->origin = 0;
}

void rc_kv_set_origin(rc_kv *kv, uint64_t index)
{
    kv->origin = index;
}

uint64_t rc_kv_positions(const rc_kv *kv)
{
    return kv->positions;
}

static uint64_t pool_nbytes(uint32_t ratio, uint64_t dim)
{
    return (ratio == CSA ? 4u : 1u) * 2 * ratio * dim * sizeof(float);
}

uint64_t rc_kv_nbytes(const rc_config *config, uint32_t ratio, uint64_t positions)
{
    const uint64_t window = config->sliding_window;
    const uint64_t recent = 2 * positions < window ? 2 * positions : window;
    uint64_t n = sizeof(rc_kv) + recent * config->head_dim * sizeof(float);

    if (ratio)
        n += rc_keys_nbytes(positions / ratio, config->head_dim) +
             pool_nbytes(ratio, config->head_dim);
    if (ratio == CSA)
        n += rc_keys_nbytes(positions / ratio, config->index_head_dim) +
             pool_nbytes(ratio, config->index_head_dim);
    return n;
}

/* Positions of the window before the next one. */
static size_t looked_back_at(const rc_kv *kv)
{
    return kv->positions < kv->window - 1 ? (size_t)kv->positions : kv->window - 1;
}

/* Twice what is needed now, but never more than a full window and a run like this one: windows of
 * a hostile config are as large as the text. */
static rc_code grow_ring(rc_kv *kv, size_t tokens, rc_err *err)
{
    const size_t back = looked_back_at(kv), need = back + tokens, most = kv->window - 1 + tokens;
    const size_t slots = need < most / 2 ? 2 * need : most;
    uint64_t nbytes;
    float *ring;

    if (need <= kv->slots)
        return RC_OK;
    if (!rc_mul_u64(slots, kv->dim * sizeof *ring, &nbytes) || nbytes > SIZE_MAX / 2)
        return rc_fail_nomem(err, kv->mem, SIZE_MAX);
    ring = rc_mem_get(kv->mem, (size_t)nbytes);
    if (!ring)
        return rc_fail_nomem(err, kv->mem, (size_t)nbytes);
    for (uint64_t pos = kv->positions - back; pos < kv->positions; pos++)
        memcpy(ring + (size_t)(pos % slots) * kv->dim, rc_kv_recent(kv, pos),
               kv->dim * sizeof *ring);
    rc_mem_put(kv->mem, kv->ring);
    kv->ring = ring;
    kv->slots = slots;
    return RC_OK;
}

rc_code rc_kv_reserve(rc_kv *kv, size_t tokens, rc_err *err)
{
    const uint64_t end = kv->positions + tokens;

    if (end > UINT32_MAX) /* blocks are numbered in 32 bits */
        return rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "more than 2^32 positions");
    RC_TRY(grow_ring(kv, tokens, err));
    if (kv->ratio)
        RC_TRY(rc_keys_reserve(&kv->keys, end / kv->ratio, kv->mem, err));
    if (kv->ratio == CSA)
        RC_TRY(rc_keys_reserve(&kv->index, end / kv->ratio, kv->mem, err));
    return RC_OK;
}
