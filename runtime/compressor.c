/* runtime/compressor.c - blocks of tokens become one key. */
#include "runtime/compressor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/act_round.h"
#include "kernels/exp.h"
#include "kernels/pairs.h"
#include "runtime/norm.h"
#include "runtime/rope.h"
#include "runtime/threads.h"

/* ---- pooling ---- */

static bool overlaps(size_t ratio)
{
    return ratio == 4;
}

rc_code rc_pool_new(rc_pool *pool, size_t ratio, size_t dim, rc_mem *mem, rc_err *err)
{
    const size_t halves = overlaps(ratio) ? 2 : 1;
    const size_t slots = ratio * halves, width = dim * halves;
    const size_t nbytes = 2 * slots * width * sizeof(float);

    *pool = (rc_pool){ .ratio = ratio, .dim = dim, .slots = slots, .width = width };
    pool->a = rc_mem_get(mem, nbytes);
    if (!pool->a)
        return rc_fail_nomem(err, mem, nbytes);
    pool->z = pool->a + slots * width;
    return RC_OK;
}

void rc_pool_drop(rc_pool *pool, rc_mem *mem)
{
    rc_mem_put(mem, pool->a);
    pool->a = pool->z = NULL;
}

/* Where the channels of token `pos` lie that block `block` takes, in rows of a run or in the
 * pool's: the offset is the same for a and z. */
typedef struct place {
    bool old;
    size_t at;
} place;

static place find(const rc_pool *p, uint64_t block, uint64_t pos, uint64_t pos0)
{
    const bool own = pos >= block * p->ratio;
    const size_t channel = overlaps(p->ratio) && own ? p->dim : 0;
    const bool old = pos < pos0;
    const size_t row = (size_t)(old ? pos % p->slots : pos - pos0);

    return (place){ old, row * p->width + channel };
}

void rc_pool_block(const rc_pool *pool, float *v, uint64_t block, const float *a, const float *z,
                   uint64_t pos0, float *work)
{
    const uint64_t end = (block + 1) * pool->ratio;
    const uint64_t first = end > pool->slots ? end - pool->slots : 0;
    const size_t dim = pool->dim;
    rc_exp_sum_fn *const exp_sum = rc_exp_sum_best();
    float *const max = work, *const sum = work + dim, *const p = work + 2 * dim;

    for (size_t i = 0; i < dim; i++) {
        max[i] = -INFINITY;
        sum[i] = v[i] = 0;
    }
    for (uint64_t pos = first; pos < end; pos++) {
        const place at = find(pool, block, pos, pos0);
        const float *const zt = (at.old ? pool->z : z) + at.at;

        for (size_t i = 0; i < dim; i++)
            max[i] = zt[i] > max[i] ? zt[i] : max[i];
    }
    for (uint64_t pos = first; pos < end; pos++) {
        const place at = find(pool, block, pos, pos0);
        const float *const at_a = (at.old ? pool->a : a) + at.at;
        const float *const zt = (at.old ? pool->z : z) + at.at;

        for (size_t i = 0; i < dim; i++)
            p[i] = zt[i] - max[i];
        exp_sum(p, p, dim, 0); /* the sum over channels means nothing here */
        for (size_t i = 0; i < dim; i++) {
            sum[i] += p[i];
            v[i] += p[i] * at_a[i];
        }
    }
    for (size_t i = 0; i < dim; i++)
        v[i] /= sum[i];
}

void rc_pool_keep(rc_pool *pool, const float *a, const float *z, uint64_t pos0, size_t tokens)
{
    const size_t nbytes = pool->width * sizeof(float);

    for (size_t t = tokens > pool->slots ? tokens - pool->slots : 0; t < tokens; t++) {
        const size_t slot = (size_t)((pos0 + t) % pool->slots);

        memcpy(pool->a + slot * pool->width, a + t * pool->width, nbytes);
        memcpy(pool->z + slot * pool->width, z + t * pool->width, nbytes);
    }
}

/* ---- weights ---- */

static rc_code find_weight(const rc_compressor *c, const rc_block_id *id, const char *where,
                           const char *name, const rc_bound **bound, rc_err *err)
{
    char full[64];

    snprintf(full, sizeof full, "%scompressor.%s", where, name);
    return rc_block_find(c->e, id, full, bound, err);
}

static rc_code read_small(const rc_compressor *c, const rc_block_id *id, const char *where,
                          const char *name, size_t nelems, float **out, rc_err *err)
{
    char full[64];

    snprintf(full, sizeof full, "%scompressor.%s", where, name);
    return rc_block_small(c->e, id, full, nelems, out, err);
}

rc_code rc_compressor_open(rc_compressor *c, rc_engine *e, const rc_block_id *id, const char *where,
                           size_t dim, rc_err *err)
{
    *c = (rc_compressor){ .e = e,
                          .ratio = id->ratio,
                          .dim = dim,
                          .width = overlaps(id->ratio) ? 2 * dim : dim,
                          .index = strcmp(where, "attn.") != 0 };
    RC_TRY(find_weight(c, id, where, "wkv.weight", &c->wkv, err));
    RC_TRY(find_weight(c, id, where, "wgate.weight", &c->wgate, err));
    RC_TRY(read_small(c, id, where, "ape", c->ratio * c->width, &c->ape, err));
    return read_small(c, id, where, "norm.weight", dim, &c->norm, err);
}

void rc_compressor_close(rc_compressor *c)
{
    if (!c->e)
        return;
    rc_mem_put(c->e->mem, c->ape);
    rc_mem_put(c->e->mem, c->norm);
    c->ape = c->norm = NULL;
}

void rc_compressor_want(const rc_compressor *c)
{
    rc_weights_want(c->e->weights, c->wkv);
    rc_weights_want(c->e->weights, c->wgate);
}

void rc_compressor_done(const rc_compressor *c)
{
    rc_weights_done(c->e->weights, c->wkv);
    rc_weights_done(c->e->weights, c->wgate);
}

void rc_compressor_work_drop(rc_compressor_work *work, rc_mem *mem)
{
    rc_room_drop(&work->a, mem);
    rc_room_drop(&work->z, mem);
    rc_room_drop(&work->scratch, mem);
}

/* ---- a run ---- */

static void add_ape(const rc_compressor *c, float *z, uint64_t pos0, size_t tokens)
{
    for (size_t t = 0; t < tokens; t++) {
        const float *const ape = c->ape + (size_t)((pos0 + t) % c->ratio) * c->width;

        for (size_t i = 0; i < c->width; i++)
            z[t * c->width + i] += ape[i];
    }
}

/* From a pooled block to the key that is stored. v is used up. */
static void make_key(const rc_compressor *c, float *key, float *v, float *turn, const float *freq,
                     uint64_t block)
{
    const rc_numerics nm = c->e->numerics;
    const size_t dims = c->e->config->qk_rope_head_dim;

    rc_round_bf16(nm, v, c->dim);
    rc_norm_row(nm, v, v, c->norm, c->dim, c->e->config->rms_norm_eps);
    rc_rope_turn(turn, freq, dims, block * c->ratio);
    rc_rope_apply(nm, v + c->dim - dims, turn, dims);
    if (c->index) {
        rc_hadamard_best()(v, v, c->dim);
        rc_round_bf16(nm, v, c->dim);
        rc_round_index(nm, v, c->dim);
    } else {
        rc_round_key(nm, v, c->dim - dims);
    }
    rc_pair_f32_best()(key, v, c->dim);
}

static rc_code pool_blocks(const rc_compressor *c, const rc_pool *pool, rc_compressor_work *work,
                           const float *freq, uint64_t pos0, size_t tokens, rc_keys *keys,
                           rc_err *err)
{
    const uint64_t first = pos0 / c->ratio, end = (pos0 + tokens) / c->ratio;
    const size_t each = 5 * c->dim; /* v, a rotation, the pool's work */

    if (first == end)
        return RC_OK;
    RC_TRY(rc_room_reserve(&work->scratch, c->e->threads, each, sizeof(float), c->e->mem, err));
    RC_PARALLEL(c->e->threads, for schedule(dynamic))
    for (uint64_t b = first; b < end; b++) {
        float *const v = (float *)work->scratch.p + each * rc_thread();

        rc_pool_block(pool, v, b, work->a.p, work->z.p, pos0, v + 2 * c->dim);
        make_key(c, rc_keys_at(keys, (size_t)b), v, v + c->dim, freq, b);
    }
    return RC_OK;
}

rc_code rc_compressor_run(const rc_compressor *c, const rc_pool *pool, rc_compressor_work *work,
                          rc_input *in, const float *freq, uint64_t pos0, size_t tokens,
                          rc_keys *keys, rc_err *err)
{
    rc_mem *const mem = c->e->mem;

    RC_TRY(rc_room_reserve(&work->a, tokens, c->width, sizeof(float), mem, err));
    RC_TRY(rc_room_reserve(&work->z, tokens, c->width, sizeof(float), mem, err));
    RC_TRY(rc_linear(c->e, c->wkv, 0, c->width, in, work->a.p, c->width, err));
    RC_TRY(rc_linear(c->e, c->wgate, 0, c->width, in, work->z.p, c->width, err));
    add_ape(c, work->z.p, pos0, tokens);
    return pool_blocks(c, pool, work, freq, pos0, tokens, keys, err);
}

void rc_compressor_keep(const rc_compressor_work *work, rc_pool *pool, uint64_t pos0, size_t tokens)
{
    rc_pool_keep(pool, work->a.p, work->z.p, pos0, tokens);
}
