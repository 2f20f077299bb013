/* runtime/attention.c - one attention sublayer, in the order of the model.
 *
 *     qr = norm(wq_a x),  q_h = rope(norm(wq_b qr))_h      h < H heads of C
 *     k  = fp8(rope(norm(wkv x)))                          one vector: key and value of all heads
 *     o_h = attend(q_h, the window's keys and the compressed ones)
 *     y  = wo_b (wo_a_g unrope(o)_g)                       g < G groups of heads
 *
 * Source: the official model.py, class Attention; runtime/attend.h has the core. */
#include "runtime/attention.h"

#include "kernels/pairs.h"
#include "runtime/attend.h"
#include "runtime/indexer.h"
#include "runtime/kv_cache.h"
#include "runtime/norm.h"
#include "runtime/rope.h"
#include "runtime/threads.h"

#define CSA 4u /* the ratio that has an indexer */

struct rc_attention {
    rc_engine *e;
    rc_block_id id;
    const rc_bound *wq_a, *wkv, *wq_b, *wo_a, *wo_b;
    float *q_norm, *kv_norm, *sink; /* [Q], [C], [H] */
    float *freq;                    /* [R/2] */
    rc_compressor compressor;
    rc_indexer indexer;
    bool chose; /* the last run needed the indexer's queries */
};

struct rc_attention_work {
    rc_mem *mem;
    rc_room turn;    /* [tokens, R]: rotations */
    rc_room qr, k;   /* [tokens, Q], [tokens, C] */
    rc_room q;       /* [tokens, H * C]: queries, then what they found */
    rc_room low;     /* [tokens, G * O] */
    rc_room scratch; /* of one thread: queries, outputs, scores of some heads */
    rc_room key;     /* of one thread: pointers to the candidates */
    rc_compressor_work compressor;
    rc_indexer_work indexer;
};

rc_code rc_attention_work_new(rc_attention_work **out, rc_engine *e, rc_err *err)
{
    *out = rc_mem_get(e->mem, sizeof **out);
    if (!*out)
        return rc_fail_nomem(err, e->mem, sizeof **out);
    (*out)->mem = e->mem;
    return RC_OK;
}

void rc_attention_work_free(rc_attention_work **work)
{
    rc_attention_work *w = *work;

    *work = NULL;
    if (!w)
        return;
    rc_room_drop(&w->turn, w->mem);
    rc_room_drop(&w->qr, w->mem);
    rc_room_drop(&w->k, w->mem);
    rc_room_drop(&w->q, w->mem);
    rc_room_drop(&w->low, w->mem);
    rc_room_drop(&w->scratch, w->mem);
    rc_room_drop(&w->key, w->mem);
    rc_compressor_work_drop(&w->compressor, w->mem);
    rc_indexer_work_drop(&w->indexer, w->mem);
    rc_mem_put(w->mem, w);
}

/* ---- weights ---- */

static rc_code judge_sizes(const rc_config *c, uint32_t ratio, rc_err *err)
{
    const uint64_t group = (uint64_t)c->num_attention_heads / c->o_groups * c->head_dim;
    const uint32_t dim = c->index_head_dim;
    const struct {
        bool bad;
        const char *what;
    } rules[] = {
        { c->hidden_size % RC_CHUNK != 0, "hidden_size is not a multiple of 32" },
        { c->q_lora_rank % RC_CHUNK != 0, "q_lora_rank is not a multiple of 32" },
        { c->head_dim % RC_CHUNK != 0 || group % RC_CHUNK != 0,
          "head_dim is not a multiple of 32" },
        { (uint64_t)c->o_groups * c->o_lora_rank % RC_CHUNK != 0,
          "o_groups * o_lora_rank is not a multiple of 32" },
        { (c->head_dim - c->qk_rope_head_dim) % 64 != 0,
          "head_dim - qk_rope_head_dim is not a multiple of 64" },
        { ratio == CSA && (dim < RC_CHUNK || dim > RC_INDEX_MAX_DIM || (dim & (dim - 1)) != 0),
          "index_head_dim is not a power of two from 32 to 512" },
    };

    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].bad)
            return rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
                           "cannot compute attention of these sizes: %s", rules[i].what);
    return RC_OK;
}

static rc_code find_tensors(rc_attention *a, rc_err *err)
{
    const rc_config *c = a->e->config;
    rc_engine *const e = a->e;
    const size_t dims = c->qk_rope_head_dim;

    RC_TRY(rc_block_find(e, &a->id, "attn.wq_a.weight", &a->wq_a, err));
    RC_TRY(rc_block_find(e, &a->id, "attn.wkv.weight", &a->wkv, err));
    RC_TRY(rc_block_find(e, &a->id, "attn.wq_b.weight", &a->wq_b, err));
    RC_TRY(rc_block_find(e, &a->id, "attn.wo_a.weight", &a->wo_a, err));
    RC_TRY(rc_block_find(e, &a->id, "attn.wo_b.weight", &a->wo_b, err));
    RC_TRY(rc_block_small(e, &a->id, "attn.q_norm.weight", c->q_lora_rank, &a->q_norm, err));
    RC_TRY(rc_block_small(e, &a->id, "attn.kv_norm.weight", c->head_dim, &a->kv_norm, err));
    RC_TRY(rc_block_small(e, &a->id, "attn.attn_sink", c->num_attention_heads, &a->sink, err));
    if (a->id.ratio)
        RC_TRY(rc_compressor_open(&a->compressor, e, &a->id, "attn.", c->head_dim, err));
    if (a->id.ratio == CSA)
        RC_TRY(rc_indexer_open(&a->indexer, e, &a->id, err));
    a->freq = rc_mem_get(e->mem, dims / 2 * sizeof *a->freq);
    if (!a->freq)
        return rc_fail_nomem(err, e->mem, dims / 2 * sizeof *a->freq);
    rc_rope_frequencies(a->freq, c, a->id.ratio);
    return RC_OK;
}

rc_code rc_attention_new(rc_attention **out, rc_engine *e, const rc_block_id *id, rc_err *err)
{
    rc_attention *a;
    rc_code rc;

    *out = NULL;
    RC_TRY(judge_sizes(e->config, id->ratio, err));
    a = rc_mem_get(e->mem, sizeof *a);
    if (!a)
        return rc_fail_nomem(err, e->mem, sizeof *a);
    a->e = e;
    a->id = *id;
    rc = find_tensors(a, err);
    if (rc != RC_OK)
        rc_attention_free(&a);
    *out = a;
    return rc;
}

void rc_attention_free(rc_attention **attention)
{
    rc_attention *a = *attention;

    *attention = NULL;
    if (!a)
        return;
    rc_mem_put(a->e->mem, a->q_norm);
    rc_mem_put(a->e->mem, a->kv_norm);
    rc_mem_put(a->e->mem, a->sink);
    rc_mem_put(a->e->mem, a->freq);
    rc_compressor_close(&a->compressor);
    rc_indexer_close(&a->indexer);
    rc_mem_put(a->e->mem, a);
}

void rc_attention_want(const rc_attention *a)
{
    rc_weights *const w = a->e->weights;

    rc_weights_want(w, a->wq_a);
    rc_weights_want(w, a->wkv);
    if (a->id.ratio)
        rc_compressor_want(&a->compressor);
    if (a->id.ratio == CSA)
        rc_indexer_want(&a->indexer, a->chose);
    rc_weights_want(w, a->wq_b);
    rc_weights_want(w, a->wo_a);
    rc_weights_want(w, a->wo_b);
}

void rc_attention_done(const rc_attention *a)
{
    rc_weights *const w = a->e->weights;

    rc_weights_done(w, a->wq_a);
    rc_weights_done(w, a->wkv);
    if (a->id.ratio)
        rc_compressor_done(&a->compressor);
    if (a->id.ratio == CSA)
        rc_indexer_done(&a->indexer);
    rc_weights_done(w, a->wq_b);
    rc_weights_done(w, a->wo_a);
    rc_weights_done(w, a->wo_b);
}

/* ---- a run ---- */

/* A run on its way. */
typedef struct run {
    rc_attention *a;
    rc_kv *kv;
    rc_attention_work *w;
    rc_input *in;
    const float *x;
    size_t tokens;
    uint64_t pos0;
} run;

static rc_code reserve(const run *r, rc_err *err)
{
    const rc_config *c = r->a->e->config;
    rc_attention_work *const w = r->w;
    const size_t n = r->tokens, heads = (size_t)c->num_attention_heads * c->head_dim;

    RC_TRY(rc_kv_reserve(r->kv, n, err));
    RC_TRY(rc_room_reserve(&w->turn, n, c->qk_rope_head_dim, sizeof(float), w->mem, err));
    RC_TRY(rc_room_reserve(&w->qr, n, c->q_lora_rank, sizeof(float), w->mem, err));
    RC_TRY(rc_room_reserve(&w->k, n, c->head_dim, sizeof(float), w->mem, err));
    RC_TRY(rc_room_reserve(&w->q, n, heads, sizeof(float), w->mem, err));
    return rc_room_reserve(&w->low, n, (size_t)c->o_groups * c->o_lora_rank, sizeof(float), w->mem,
                           err);
}

static void norm_queries(const run *r)
{
    const rc_engine *e = r->a->e;
    const size_t rank = e->config->q_lora_rank;
    float *const qr = r->w->qr.p;

    RC_PARALLEL(rc_threads_for(e->threads, r->tokens), for schedule(static))
    for (size_t t = 0; t < r->tokens; t++)
        rc_norm_row(e->numerics, qr + t * rank, qr + t * rank, r->a->q_norm, rank,
                    e->config->rms_norm_eps);
}

/* The rotations of the run's positions; its keys, to the window. */
static void make_keys(const run *r)
{
    const rc_engine *e = r->a->e;
    const size_t dim = e->config->head_dim, dims = e->config->qk_rope_head_dim;

    RC_PARALLEL(rc_threads_for(e->threads, r->tokens), for schedule(static))
    for (size_t t = 0; t < r->tokens; t++) {
        float *const turn = (float *)r->w->turn.p + t * dims, *const k =
                                                                  (float *)r->w->k.p + t * dim;

        rc_rope_turn(turn, r->a->freq, dims, r->pos0 + t);
        rc_norm_row(e->numerics, k, k, r->a->kv_norm, dim, e->config->rms_norm_eps);
        rc_rope_apply(e->numerics, k + dim - dims, turn, dims);
        rc_round_key(e->numerics, k, dim - dims);
        rc_pair_f32_best()(rc_kv_recent(r->kv, r->pos0 + t), k, dim);
    }
}

static rc_code project(const run *r, rc_err *err)
{
    const rc_config *c = r->a->e->config;
    const size_t n = r->tokens;

    RC_TRY(rc_input_set(r->in, RC_LINEAR_FP8, r->x, c->hidden_size, n, c->hidden_size, err));
    RC_TRY(
        rc_linear(r->a->e, r->a->wq_a, 0, c->q_lora_rank, r->in, r->w->qr.p, c->q_lora_rank, err));
    RC_TRY(rc_linear(r->a->e, r->a->wkv, 0, c->head_dim, r->in, r->w->k.p, c->head_dim, err));
    norm_queries(r);
    make_keys(r);
    return RC_OK;
}

/* Keys of the blocks that the run completes, and which of them each token looks at. */
static rc_code compress(const run *r, rc_err *err)
{
    const rc_config *c = r->a->e->config;
    rc_attention *const a = r->a;
    rc_attention_work *const w = r->w;

    if (a->id.ratio) {
        RC_TRY(rc_input_set(r->in, RC_LINEAR_F32, r->x, c->hidden_size, r->tokens, c->hidden_size,
                            err));
        RC_TRY(rc_compressor_run(&a->compressor, &r->kv->pool, &w->compressor, r->in, a->freq,
                                 r->pos0, r->tokens, &r->kv->keys, err));
    }
    if (a->id.ratio == CSA) {
        RC_TRY(rc_compressor_run(&a->indexer.compressor, &r->kv->index_pool, &w->indexer.compressor,
                                 r->in, a->freq, r->pos0, r->tokens, &r->kv->index, err));
        a->chose = rc_indexer_chooses(&a->indexer, r->kv, r->tokens);
        RC_TRY(rc_indexer_run(&a->indexer, r->kv, &w->indexer, r->in, r->x, w->qr.p, w->turn.p,
                              r->tokens, err));
    }
    return RC_OK;
}

/* The most candidates that a token of the run has. */
static size_t most_candidates(const run *r)
{
    const uint64_t end = r->pos0 + r->tokens;
    const size_t recent = end < r->kv->window ? (size_t)end : r->kv->window;

    return recent + (r->a->id.ratio == CSA ? r->w->indexer.each : rc_kv_visible(r->kv, end - 1));
}

/* Candidates of one token: the window, then compressed keys, each ascending. */
static size_t gather(const run *r, size_t t, const float **key)
{
    const rc_kv *kv = r->kv;
    const uint64_t pos = r->pos0 + t;
    const size_t sees = rc_kv_visible(kv, pos);
    size_t n = 0;

    for (uint64_t p = pos < kv->window ? 0 : pos - (kv->window - 1); p <= pos; p++)
        key[n++] = rc_kv_recent(kv, p);
    if (kv->ratio == CSA) {
        const uint32_t *const block =
            (const uint32_t *)r->w->indexer.block.p + t * r->w->indexer.each;
        const size_t count = ((const uint32_t *)r->w->indexer.count.p)[t];

        for (size_t b = 0; b < count; b++)
            key[n++] = rc_keys_at(&kv->keys, block[b]);
    } else {
        for (size_t b = 0; b < sees; b++)
            key[n++] = rc_keys_at(&kv->keys, b);
    }
    return n;
}

/* Some heads of one token: q [heads, C] is replaced by what they found. */
static void attend_heads(const run *r, size_t t, size_t head, size_t heads, float *q,
                         const float **key, float *scratch)
{
    const rc_engine *e = r->a->e;
    const size_t dim = e->config->head_dim, dims = e->config->qk_rope_head_dim;
    const float *const turn = (const float *)r->w->turn.p + t * dims;
    const size_t n = gather(r, t, key);
    float *const paired = scratch, *const o = scratch + heads * dim;

    for (size_t h = 0; h < heads; h++) {
        rc_norm_head(e->numerics, q + h * dim, dim, e->config->rms_norm_eps);
        rc_rope_apply(e->numerics, q + h * dim + dim - dims, turn, dims);
        rc_pair_f32_best()(paired + h * dim, q + h * dim, dim);
    }
    rc_attend(e->numerics, o, paired, heads, dim, key, n, r->a->sink + head, o + heads * dim);
    for (size_t h = 0; h < heads; h++) {
        rc_unpair_f32_best()(q + h * dim, o + h * dim, dim);
        rc_rope_undo(e->numerics, q + h * dim + dim - dims, turn, dims);
    }
}

/* Heads of one task: many share the keys in cache, few keep all threads busy when there is a token
 * only. */
static size_t heads_at_once(const run *r)
{
    const size_t all = r->a->e->config->num_attention_heads;
    size_t n = RC_ATTEND_HEADS;

    while (n > 1 && (n > all || r->tokens * all < 2 * n * r->a->e->threads))
        n /= 2;
    return n;
}

static rc_code attend(const run *r, rc_err *err)
{
    const rc_config *c = r->a->e->config;
    const unsigned threads = r->a->e->threads;
    const size_t all = c->num_attention_heads, dim = c->head_dim;
    const size_t some = heads_at_once(r), parts = (all + some - 1) / some;
    const size_t most = most_candidates(r), each = some * (2 * dim + most);
    rc_attention_work *const w = r->w;

    RC_TRY(rc_room_reserve(&w->scratch, threads, each, sizeof(float), w->mem, err));
    RC_TRY(rc_room_reserve(&w->key, threads, most, sizeof(const float *), w->mem, err));
    RC_PARALLEL(threads, for schedule(dynamic))
    for (size_t i = 0; i < r->tokens * parts; i++) {
        const size_t t = i / parts, head = i % parts * some;
        const size_t heads = all - head < some ? all - head : some;

        attend_heads(r, t, head, heads, (float *)w->q.p + (t * all + head) * dim,
                     (const float **)w->key.p + rc_thread() * most,
                     (float *)w->scratch.p + rc_thread() * each);
    }
    return RC_OK;
}

static rc_code show(const run *r, rc_input_at at, const float *x, size_t cols, rc_err *err)
{
    const rc_input_rows rows = {
        .layer = r->a->id.layer, .at = at, .expert = -1, .pos0 = r->kv->origin + r->pos0
    };

    return rc_show_input(r->a->e, &rows, x, r->tokens, cols, err);
}

/* Each group of heads to its O values, then all of them to y. */
static rc_code give_out(const run *r, float *y, rc_err *err)
{
    const rc_config *c = r->a->e->config;
    const size_t all = (size_t)c->num_attention_heads * c->head_dim, group = all / c->o_groups;
    const size_t rank = c->o_lora_rank, low = c->o_groups * rank, n = r->tokens;
    const float *const o = r->w->q.p;
    float *const mid = r->w->low.p;

    RC_TRY(show(r, RC_INPUT_O_A, o, all, err));
    for (size_t g = 0; g < c->o_groups; g++) {
        RC_TRY(rc_input_set(r->in, RC_LINEAR_BF16, o + g * group, all, n, group, err));
        RC_TRY(rc_linear(r->a->e, r->a->wo_a, g * rank, rank, r->in, mid + g * rank, low, err));
    }
    RC_TRY(show(r, RC_INPUT_O_B, mid, low, err));
    RC_TRY(rc_input_set(r->in, RC_LINEAR_FP8, mid, low, n, low, err));
    return rc_linear(r->a->e, r->a->wo_b, 0, c->hidden_size, r->in, y, c->hidden_size, err);
}

/* The run is over: its positions have been seen. */
static void commit(const run *r)
{
    if (r->a->id.ratio)
        rc_compressor_keep(&r->w->compressor, &r->kv->pool, r->pos0, r->tokens);
    if (r->a->id.ratio == CSA)
        rc_compressor_keep(&r->w->indexer.compressor, &r->kv->index_pool, r->pos0, r->tokens);
    r->kv->positions += r->tokens;
}

rc_code rc_attention_run(rc_attention *a, rc_kv *kv, rc_attention_work *work, rc_input *in,
                         const float *x, size_t tokens, float *y, rc_err *err)
{
    const rc_config *c = a->e->config;
    const size_t heads = (size_t)c->num_attention_heads * c->head_dim;
    const run r = { a, kv, work, in, x, tokens, rc_kv_positions(kv) };

    if (tokens == 0)
        return RC_OK;
    RC_TRY(reserve(&r, err));
    RC_TRY(project(&r, err));
    RC_TRY(show(&r, RC_INPUT_Q, work->qr.p, c->q_lora_rank, err));
    RC_TRY(compress(&r, err));
    RC_TRY(
        rc_input_set(in, RC_LINEAR_FP8, work->qr.p, c->q_lora_rank, tokens, c->q_lora_rank, err));
    RC_TRY(rc_linear(a->e, a->wq_b, 0, heads, in, work->q.p, heads, err));
    RC_TRY(attend(&r, err));
    RC_TRY(give_out(&r, y, err));
    commit(&r);
    return RC_OK;
}
