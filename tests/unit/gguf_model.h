/* tests/unit/gguf_model.h - a whole model as a GGUF file, in the types of mainline's
 * converter, with keys and tensors that a test can change before it is written. */
#ifndef RC_TESTS_UNIT_GGUF_MODEL_H
#define RC_TESTS_UNIT_GGUF_MODEL_H

#include "formats/gguf_names.h"
#include "tests/unit/fixture.h"
#include "tests/unit/gguf_bytes.h"

enum { GM_MAX = 512 };

typedef struct gm_tensor {
    rc_gguf_place place;
    rc_dtype dtype;
    rc_param param; /* of the first that lies there; its name is gone */
    uint8_t *data;  /* NULL: zeros */
} gm_tensor;

typedef struct gm {
    rc_gguf_kind kind;
    rc_config config;
    const char *skip[4]; /* keys to leave out */
    gb extra;            /* and keys to add */
    unsigned nextra;
    gb keys;
    unsigned nkeys;
    gm_tensor at[GM_MAX];
    size_t n;
} gm;

static inline rc_dtype gm_dtype(const rc_param *p)
{
    if (p->dtype == RC_DTYPE_I64)
        return RC_DTYPE_I32;
    if (p->quant == RC_QUANT_EXPERT)
        return RC_DTYPE_MXFP4;
    if (p->quant == RC_QUANT_DENSE)
        return RC_DTYPE_Q8_0;
    return p->rank == 2 && p->dtype == RC_DTYPE_BF16 ? RC_DTYPE_BF16 : RC_DTYPE_F32;
}

static inline gm_tensor *gm_find(gm *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->at[i].place.name, name) == 0)
            return &m->at[i];
    return NULL;
}

static inline void gm_drop(gm *m, const char *name)
{
    gm_tensor *t = gm_find(m, name);

    assert_non_null(t);
    free(t->data);
    *t = m->at[--m->n];
}

/** All tensors of that kind of file, the draft's after the traits. */
static inline gm *gm_new(const rc_config *config, const rc_traits *traits, rc_gguf_kind kind)
{
    gm *m = calloc(1, sizeof *m);
    rc_mem mem = { 0 };
    rc_schema *s;
    rc_err err;

    assert_non_null(m);
    m->config = *config;
    m->kind = kind;
    if (rc_schema_new(&s, config, traits, &mem, &err) != RC_OK)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < rc_schema_count(s); i++) {
        const rc_param *p = rc_schema_at(s, i);
        gm_tensor *t = &m->at[m->n];

        if (!rc_gguf_place_of(&t->place, p, config, kind) || gm_find(m, t->place.name))
            continue;
        t->dtype = gm_dtype(p);
        t->param = *p;
        t->param.name = NULL;
        assert_true(++m->n < GM_MAX);
    }
    rc_schema_free(&s);
    return m;
}

static inline void gm_free(gm *m)
{
    for (size_t i = 0; i < m->n; i++)
        free(m->at[i].data);
    gb_free(&m->extra);
    gb_free(&m->keys);
    free(m);
}

/* "attention.head_count" -> "deepseek4.attention.head_count"; NULL when left out. */
static inline const char *gm_key(gm *m, const char *key)
{
    static char whole[100];

    snprintf(whole, sizeof whole, "%s%s",
             strchr("gt", key[0]) && strchr(key, '.') && strncmp(key, "general.", 8) == 0 ? ""
             : m->kind == RC_GGUF_DSPARK ? "dflash."
                                         : "deepseek4.",
             key);
    for (size_t i = 0; i < 4; i++)
        if (m->skip[i] && strcmp(m->skip[i], whole) == 0)
            return NULL;
    m->nkeys++;
    return whole;
}

static inline void gm_u32(gm *m, const char *key, uint32_t v)
{
    const char *whole = gm_key(m, key);

    if (whole)
        gb_kv_u32(&m->keys, whole, v);
}

static inline void gm_f32(gm *m, const char *key, double v)
{
    const char *whole = gm_key(m, key);

    if (whole)
        gb_kv_f32(&m->keys, whole, (float)v);
}

static inline void gm_str(gm *m, const char *key, const char *s)
{
    const char *whole = gm_key(m, key);

    if (whole)
        gb_kv_str(&m->keys, whole, s);
}

static inline void gm_keys(gm *m)
{
    const rc_config *c = &m->config;
    const bool dspark = m->kind == RC_GGUF_DSPARK;
    const uint32_t nextn = m->kind == RC_GGUF_EMBED || m->kind == RC_GGUF_MTP;
    const uint32_t blocks = dspark ? 3 : c->num_hidden_layers + nextn;
    const char *whole;

    m->nkeys = 0;
    m->keys.n = 0;
    gm_str(m, "general.architecture", dspark ? "dflash" : "deepseek4");
    if (m->kind == RC_GGUF_MTP_DS4) /* no embedding that would tell */
        gm_u32(m, "vocab_size", c->vocab_size);
    gm_u32(m, "block_count", blocks);
    gm_u32(m, "context_length", c->max_position_embeddings);
    gm_u32(m, "embedding_length", c->hidden_size);
    gm_u32(m, "attention.head_count", c->num_attention_heads);
    gm_u32(m, "attention.head_count_kv", 1);
    gm_u32(m, "attention.key_length", c->head_dim);
    gm_u32(m, "attention.value_length", c->head_dim);
    gm_f32(m, "attention.layer_norm_rms_epsilon", c->rms_norm_eps);
    gm_u32(m, "attention.q_lora_rank", c->q_lora_rank);
    gm_u32(m, "attention.output_lora_rank", c->o_lora_rank);
    gm_u32(m, "attention.output_group_count", c->o_groups);
    gm_u32(m, "attention.sliding_window", c->sliding_window);
    gm_f32(m, "attention.compress_rope_freq_base", c->compress_rope_theta);
    gm_u32(m, "attention.indexer.head_count", c->index_n_heads);
    gm_u32(m, "attention.indexer.key_length", c->index_head_dim);
    gm_u32(m, "attention.indexer.top_k", c->index_topk);
    gm_u32(m, "rope.dimension_count", c->qk_rope_head_dim);
    gm_f32(m, "rope.freq_base", c->rope_theta);
    gm_str(m, "rope.scaling.type", "yarn");
    gm_f32(m, "rope.scaling.factor", c->rope_factor);
    gm_u32(m, "rope.scaling.original_context_length", c->rope_original_max_position);
    gm_u32(m, "expert_count", c->n_routed_experts);
    gm_u32(m, "expert_used_count", c->num_experts_per_tok);
    gm_u32(m, "expert_feed_forward_length", c->moe_intermediate_size);
    gm_u32(m, "expert_shared_count", 1);
    gm_f32(m, "expert_weights_scale", c->routed_scaling_factor);
    gm_u32(m, "expert_gating_func", 4);
    gm_u32(m, "hash_layer_count", dspark ? 0 : c->num_hash_layers);
    gm_u32(m, "hyper_connection.count", c->hc_mult);
    gm_u32(m, "hyper_connection.sinkhorn_iterations", c->hc_sinkhorn_iters);
    gm_f32(m, "hyper_connection.epsilon", c->hc_eps);
    if ((whole = gm_key(m, "expert_weights_norm"))) {
        gb_key(&m->keys, whole, RC_GGUF_BOOL);
        gb_le(&m->keys, 1, 1);
    }
    if ((whole = gm_key(m, "swiglu_clamp_exp"))) {
        const float limit = (float)c->swiglu_limit;
        uint32_t bits;

        memcpy(&bits, &limit, 4);
        gb_kv_arr(&m->keys, whole, RC_GGUF_F32, blocks);
        for (uint32_t i = 0; i < blocks; i++)
            gb_u32(&m->keys, bits);
    }
    if ((whole = gm_key(m, "attention.compress_ratios"))) {
        const uint32_t n = dspark ? 3 : c->n_compress_ratios;

        gb_kv_arr(&m->keys, whole, RC_GGUF_I32, n);
        for (uint32_t i = 0; i < n; i++)
            gb_u32(&m->keys, dspark ? 0 : c->compress_ratios[i]);
    }
    if (nextn)
        gm_u32(m, "nextn_predict_layers", 1);
    if (dspark) {
        gm_u32(m, "block_size", c->dspark_block_size);
        if ((whole = gm_key(m, "target_layers"))) {
            gb_kv_arr(&m->keys, whole, RC_GGUF_I32, c->n_dspark_targets);
            for (uint32_t i = 0; i < c->n_dspark_targets; i++)
                gb_u32(&m->keys, c->dspark_target_layer_ids[i] + 1);
        }
    }
    gb_raw(&m->keys, m->extra.p, m->extra.n);
    m->nkeys += m->nextra;
}

/* File `no` of `count`, with every count-th tensor. */
static inline void gm_write_part(gm *m, const fx_dir *dir, const char *name, unsigned no,
                                 unsigned count, const gb *split, unsigned nsplit)
{
    gb b = { 0 };
    size_t n = 0, at;

    for (size_t i = no; i < m->n; i += count)
        n++;
    gb_head(&b, n, (no ? 0 : m->nkeys) + nsplit);
    if (no == 0)
        gb_raw(&b, m->keys.p, m->keys.n);
    gb_raw(&b, split->p, split->n);
    for (size_t i = no; i < m->n; i += count)
        gb_tensor(&b, m->at[i].place.name, m->at[i].dtype, m->at[i].place.rank,
                  m->at[i].place.shape);
    at = gb_data(&b);
    for (size_t i = no; i < m->n; i += count) {
        const rc_gguf_place *p = &m->at[i].place;
        uint64_t nbytes = rc_dtype_row_bytes(m->at[i].dtype, p->shape[p->rank - 1]);

        for (unsigned k = 0; k + 1 < p->rank; k++)
            nbytes *= p->shape[k];
        if (m->at[i].data)
            memcpy(b.p + at, m->at[i].data, (size_t)nbytes);
        at += (size_t)((nbytes + 31) / 32 * 32);
    }
    fx_write(dir, name, b.p, b.n);
    gb_free(&b);
}

static inline void gm_write(gm *m, const fx_dir *dir, const char *name)
{
    const gb none = { 0 };

    gm_keys(m);
    gm_write_part(m, dir, name, 0, 1, &none, 0);
}

/** Change the type of a tensor in a file that was written, to another of the same size. */
static inline void gm_retype(const fx_dir *dir, const char *file, const char *name, uint8_t id)
{
    static uint8_t bytes[65536]; /* the head of a small model */
    const size_t len = strlen(name);
    FILE *f = fopen(fx_path(dir, file), "r+b");
    size_t n, at = 0;

    assert_non_null(f);
    n = fread(bytes, 1, sizeof bytes, f);
    while (at + len + 4 < n &&
           (bytes[at + len] > RC_GGUF_MAX_RANK || memcmp(bytes + at, name, len)))
        at++;
    assert_true(at + len + 4 < n);
    at += len + 4 + 8 * (size_t)bytes[at + len];
    assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
    assert_int_equal(fputc(id, f), id);
    assert_int_equal(fclose(f), 0);
}

static inline void gm_split_keys(gb *b, uint32_t no, uint32_t count, uint32_t tensors)
{
    b->n = 0;
    gb_key(b, "split.no", RC_GGUF_U16);
    gb_le(b, no, 2);
    gb_key(b, "split.count", RC_GGUF_U16);
    gb_le(b, count, 2);
    gb_key(b, "split.tensors.count", RC_GGUF_I32);
    gb_u32(b, tensors);
}

/** PREFIX-00001-of-000NN.gguf, .. */
static inline void gm_write_set(gm *m, const fx_dir *dir, const char *prefix, unsigned count)
{
    gb split = { 0 };

    gm_keys(m);
    for (unsigned i = 0; i < count; i++) {
        char name[200];

        snprintf(name, sizeof name, "%s-%05u-of-%05u.gguf", prefix, i + 1, count);
        gm_split_keys(&split, i, count, (uint32_t)m->n);
        gm_write_part(m, dir, name, i, count, &split, 3);
    }
    gb_free(&split);
}

#endif
