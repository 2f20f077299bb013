/* runtime/indexer.c - which compressed keys a token looks at. */
#include "runtime/indexer.h"

#include <math.h>
#include <string.h>

#include "kernels/act_round.h"
#include "kernels/matmul.h"
#include "runtime/rope.h"
#include "runtime/threads.h"
#include "runtime/top_k.h"

#define SCORES_AT_ONCE (4u << 20) /* elements: a run's tokens are taken in batches that fit */

/* ---- without weights ---- */

void rc_index_query(rc_numerics nm, float *q, size_t dim, const float *turn, size_t dims)
{
    float natural[RC_INDEX_MAX_DIM];

    rc_rope_apply(nm, q + dim - dims, turn, dims);
    rc_hadamard_best()(natural, q, dim);
    rc_round_bf16(nm, natural, dim);
    rc_round_index(nm, natural, dim);
    rc_pair_f32_best()(q, natural, dim);
}

/* s[b] += relu(dot[b]) * w. dot is used up. */
static void add_head(rc_numerics nm, float *s, float *dot, float w, size_t n)
{
    rc_round_bf16(nm, dot, n);
    for (size_t b = 0; b < n; b++)
        dot[b] = (dot[b] > 0 ? dot[b] : 0) * w;
    rc_round_bf16(nm, dot, n);
    for (size_t b = 0; b < n; b++)
        s[b] += dot[b];
}

void rc_index_scores(rc_numerics nm, float *s, const float *q, const float *w, size_t heads,
                     size_t dim, const float *const *key, size_t n, float *work)
{
    rc_matmul_f32_fn *const matmul = rc_matmul_f32_best();
    const float *query[RC_INDEX_HEADS];

    memset(s, 0, n * sizeof *s);
    for (size_t h = 0; h < heads; h += RC_INDEX_HEADS) {
        const size_t some = heads - h < RC_INDEX_HEADS ? heads - h : RC_INDEX_HEADS;

        for (size_t i = 0; i < some; i++)
            query[i] = q + (h + i) * dim;
        matmul(work, n, key, n, query, some, dim);
        for (size_t i = 0; i < some; i++)
            add_head(nm, s, work + i * n, w[h + i], n);
    }
    rc_round_bf16(nm, s, n);
}

/* ---- weights ---- */

rc_code rc_indexer_open(rc_indexer *x, rc_engine *e, const rc_block_id *id, rc_err *err)
{
    const rc_config *c = e->config;

    *x = (rc_indexer){ .e = e,
                       .heads = c->index_n_heads,
                       .dim = c->index_head_dim,
                       .top_k = c->index_topk,
                       .layer = id->layer };
    RC_TRY(rc_block_find(e, id, "attn.indexer.wq_b.weight", &x->wq_b, err));
    RC_TRY(rc_block_find(e, id, "attn.indexer.weights_proj.weight", &x->weights_proj, err));
    return rc_compressor_open(&x->compressor, e, id, "attn.indexer.", x->dim, err);
}

void rc_indexer_close(rc_indexer *x)
{
    rc_compressor_close(&x->compressor);
}

void rc_indexer_want(const rc_indexer *x, bool choosing)
{
    rc_compressor_want(&x->compressor);
    if (choosing) {
        rc_weights_want(x->e->weights, x->wq_b);
        rc_weights_want(x->e->weights, x->weights_proj);
    }
}

void rc_indexer_done(const rc_indexer *x)
{
    rc_compressor_done(&x->compressor);
    rc_weights_done(x->e->weights, x->wq_b);
    rc_weights_done(x->e->weights, x->weights_proj);
}

void rc_indexer_work_drop(rc_indexer_work *work, rc_mem *mem)
{
    rc_compressor_work_drop(&work->compressor, mem);
    rc_room_drop(&work->query, mem);
    rc_room_drop(&work->weight, mem);
    rc_room_drop(&work->score, mem);
    rc_room_drop(&work->block, mem);
    rc_room_drop(&work->count, mem);
    rc_room_drop(&work->scratch, mem);
}

/* ---- a run ---- */

bool rc_indexer_chooses(const rc_indexer *x, const rc_kv *kv, size_t tokens)
{
    return rc_kv_visible(kv, kv->positions + tokens - 1) > x->top_k;
}

/* Queries and their weights of all tokens. */
static rc_code make_queries(const rc_indexer *x, rc_indexer_work *work, rc_input *in,
                            const float *act, const float *qr, const float *turn, size_t tokens,
                            rc_err *err)
{
    const rc_numerics nm = x->e->numerics;
    const rc_config *c = x->e->config;
    const size_t dims = c->qk_rope_head_dim, width = x->heads * x->dim;
    const float scale = (float)(1 / sqrt((double)x->dim) / sqrt((double)x->heads));
    float *q, *w;

    RC_TRY(rc_room_reserve(&work->query, tokens, width, sizeof *q, x->e->mem, err));
    RC_TRY(rc_room_reserve(&work->weight, tokens, x->heads, sizeof *w, x->e->mem, err));
    q = work->query.p;
    w = work->weight.p;
    RC_TRY(rc_input_set(in, RC_LINEAR_FP8, qr, c->q_lora_rank, tokens, c->q_lora_rank, err));
    RC_TRY(rc_linear(x->e, x->wq_b, 0, width, in, q, width, err));
    RC_TRY(rc_input_set(in, RC_LINEAR_BF16, act, c->hidden_size, tokens, c->hidden_size, err));
    RC_TRY(rc_linear(x->e, x->weights_proj, 0, x->heads, in, w, x->heads, err));
    RC_PARALLEL(x->e->threads, for schedule(static))
    for (size_t i = 0; i < tokens * x->heads; i++)
        rc_index_query(nm, q + i * x->dim, x->dim, turn + i / x->heads * dims, dims);
    for (size_t i = 0; i < tokens * x->heads; i++)
        w[i] *= scale;
    rc_round_bf16(nm, w, tokens * x->heads);
    return RC_OK;
}

/* Scores of tokens [t0, t0 + batch) over the first `most` blocks, row by row; those that a token
 * does not see are left alone. */
static void score_batch(const rc_indexer *x, const rc_kv *kv, rc_indexer_work *work, size_t t0,
                        size_t batch, size_t most)
{
    const size_t parts = (most + RC_INDEX_KEYS - 1) / RC_INDEX_KEYS, width = x->heads * x->dim;
    const float *const q = work->query.p, *const w = work->weight.p;
    float *const score = work->score.p, *const scratch = work->scratch.p;

    RC_PARALLEL(x->e->threads, for schedule(dynamic))
    for (size_t i = 0; i < batch * parts; i++) {
        const size_t t = t0 + i / parts, from = i % parts * RC_INDEX_KEYS;
        const size_t sees = rc_kv_visible(kv, kv->positions + t);
        const size_t left = sees > from ? sees - from : 0;
        const size_t n = left < RC_INDEX_KEYS ? left : RC_INDEX_KEYS;
        const float *key[RC_INDEX_KEYS];

        for (size_t b = 0; b < n; b++)
            key[b] = rc_keys_at(&kv->index, from + b);
        if (n > 0 && sees > x->top_k)
            rc_index_scores(x->e->numerics, score + i / parts * most + from, q + t * width,
                            w + t * x->heads, x->heads, x->dim, key, n,
                            scratch + rc_thread() * RC_INDEX_WORK);
    }
}

static void choose_batch(const rc_indexer *x, const rc_kv *kv, rc_indexer_work *work, size_t t0,
                         size_t batch, size_t most)
{
    const float *const score = work->score.p;
    uint32_t *const block = work->block.p, *const count = work->count.p;

    RC_PARALLEL(x->e->threads, for schedule(dynamic))
    for (size_t i = 0; i < batch; i++) {
        const size_t t = t0 + i, sees = rc_kv_visible(kv, kv->positions + t);
        uint32_t *const chosen = block + t * work->each;

        if (sees > x->top_k) {
            count[t] = (uint32_t)rc_top_k(chosen, score + i * most, sees, x->top_k);
            continue;
        }
        count[t] = (uint32_t)sees;
        for (size_t b = 0; b < sees; b++)
            chosen[b] = (uint32_t)b;
    }
}

static rc_code tell(const rc_indexer *x, const rc_kv *kv, const rc_indexer_work *work,
                    size_t tokens, rc_err *err)
{
    const rc_watch *watch = x->e->watch;

    if (!watch || !watch->blocks)
        return RC_OK;
    for (size_t t = 0; t < tokens; t++) {
        const uint64_t pos = kv->positions + t;

        RC_TRY(watch->blocks(watch->ctx, x->layer, kv->origin + pos,
                             ((const uint32_t *)work->count.p)[t], rc_kv_visible(kv, pos),
                             (const uint32_t *)work->block.p + t * work->each, err));
    }
    return RC_OK;
}

rc_code rc_indexer_run(const rc_indexer *x, const rc_kv *kv, rc_indexer_work *work, rc_input *in,
                       const float *act, const float *qr, const float *turn, size_t tokens,
                       rc_err *err)
{
    const size_t most = rc_kv_visible(kv, kv->positions + tokens - 1);
    const bool chooses = rc_indexer_chooses(x, kv, tokens);
    const size_t fit = chooses && most > SCORES_AT_ONCE / tokens ? SCORES_AT_ONCE / most : tokens;
    const size_t batch = fit ? fit : 1;
    rc_mem *const mem = x->e->mem;

    work->each = most < x->top_k ? most : x->top_k;
    RC_TRY(rc_room_reserve(&work->block, tokens, work->each, sizeof(uint32_t), mem, err));
    RC_TRY(rc_room_reserve(&work->count, tokens, 1, sizeof(uint32_t), mem, err));
    if (chooses) {
        RC_TRY(rc_room_reserve(&work->score, batch, most, sizeof(float), mem, err));
        RC_TRY(
            rc_room_reserve(&work->scratch, x->e->threads, RC_INDEX_WORK, sizeof(float), mem, err));
        RC_TRY(make_queries(x, work, in, act, qr, turn, tokens, err));
    }
    for (size_t t = 0; t < tokens; t += batch) {
        const size_t n = tokens - t < batch ? tokens - t : batch;

        if (chooses)
            score_batch(x, kv, work, t, n, most);
        choose_batch(x, kv, work, t, n, most);
    }
    return tell(x, kv, work, tokens, err);
}
