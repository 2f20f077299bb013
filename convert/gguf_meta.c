/* convert/gguf_meta.c - see gguf_meta.h. */
#include "convert/gguf_meta.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { GATING_SQRTSOFTPLUS = 4, QUANTIZATION_VERSION = 2 };

/* Keys of the architecture start with its name. */
typedef struct keys {
    rc_ggufw *w;
    const char *arch;
    char buf[128];
} keys;

static const char *key(keys *k, const char *suffix)
{
    snprintf(k->buf, sizeof k->buf, "%s.%s", k->arch, suffix);
    return k->buf;
}

static void u32(keys *k, const char *suffix, uint32_t v)
{
    rc_ggufw_u32(k->w, key(k, suffix), v);
}

static void f32(keys *k, const char *suffix, double v)
{
    rc_ggufw_f32(k->w, key(k, suffix), (float)v);
}

/* llama.cpp's numbers of file types, by what the experts are. */
static uint32_t file_type(rc_dtype experts)
{
    switch (experts) {
    case RC_DTYPE_F32:
        return 0;
    case RC_DTYPE_F16:
        return 1;
    case RC_DTYPE_Q4_0:
        return 2;
    case RC_DTYPE_Q8_0:
        return 7;
    case RC_DTYPE_Q2_K:
        return 10;
    case RC_DTYPE_Q3_K:
        return 12;
    case RC_DTYPE_Q4_K:
        return 15;
    case RC_DTYPE_Q5_K:
        return 17;
    case RC_DTYPE_Q6_K:
        return 18;
    case RC_DTYPE_IQ2_XXS:
        return 19;
    case RC_DTYPE_IQ4_XS:
        return 30;
    case RC_DTYPE_BF16:
        return 32;
    case RC_DTYPE_NVFP4:
        return 39;
    default:
        return 38; /* MXFP4_MOE */
    }
}

/* "256x8.4B": experts, and the weights that one of them and all that is shared have. At
 * least two digits are shown. Source: gguf-py/gguf/utility.py. */
static void size_label(char *buf, size_t n, const rc_gguf_meta *m)
{
    static const struct {
        double unit;
        char suffix;
    } units[] = { { 1e12, 'T' }, { 1e9, 'B' }, { 1e6, 'M' }, { 1e3, 'K' } };
    const uint32_t experts = m->config->n_routed_experts;
    const double weights =
        (double)(m->params - m->expert_params * experts) + (double)m->expert_params;
    unsigned i = 0;

    while (i < 3 && weights <= units[i].unit)
        i++;
    snprintf(buf, n, "%ux%.*f%c", experts, nearbyint(weights / units[i].unit) < 10 ? 1 : 0,
             weights / units[i].unit, units[i].suffix);
}

static void write_general(rc_ggufw *w, const rc_gguf_meta *m, const char *arch)
{
    char label[48];

    rc_ggufw_str(w, "general.architecture", arch);
    rc_ggufw_str(w, "general.type", "model");
    rc_ggufw_str(w, "general.name", m->name);
    snprintf(label, sizeof label, "%.*s", (int)strcspn(m->name, " ,"), m->name);
    rc_ggufw_str(w, "general.basename", label);
    size_label(label, sizeof label, m);
    rc_ggufw_str(w, "general.size_label", label);
    if (m->license)
        rc_ggufw_str(w, "general.license", m->license);
    rc_ggufw_u32(w, "general.file_type", file_type(m->experts));
    if (m->quantized)
        rc_ggufw_u32(w, "general.quantization_version", QUANTIZATION_VERSION);
    if (!m->imatrix_file)
        return;
    rc_ggufw_str(w, "quantize.imatrix.file", m->imatrix_file);
    if (m->imatrix_dataset && *m->imatrix_dataset)
        rc_ggufw_str(w, "quantize.imatrix.dataset", m->imatrix_dataset);
    rc_ggufw_u32(w, "quantize.imatrix.entries_count", m->imatrix_entries);
    if (m->imatrix_chunks)
        rc_ggufw_u32(w, "quantize.imatrix.chunks_count", m->imatrix_chunks);
}

static uint32_t block_count(const rc_gguf_meta *m)
{
    switch (m->kind) {
    case RC_GGUF_EMBED:
    case RC_GGUF_MTP:
        return m->config->num_hidden_layers + m->draft_blocks;
    case RC_GGUF_DSPARK:
        return m->draft_blocks;
    default:
        return m->config->num_hidden_layers;
    }
}

static void write_attention(keys *k, const rc_gguf_meta *m)
{
    const rc_config *c = m->config;
    const bool windows = m->kind == RC_GGUF_DSPARK; /* whose stages compress nothing */
    const uint32_t n = windows ? m->draft_blocks : c->n_compress_ratios;

    u32(k, "attention.head_count", c->num_attention_heads);
    u32(k, "attention.head_count_kv", c->num_key_value_heads);
    u32(k, "attention.key_length", c->head_dim);
    u32(k, "attention.value_length", c->head_dim);
    f32(k, "attention.layer_norm_rms_epsilon", c->rms_norm_eps);
    u32(k, "attention.q_lora_rank", c->q_lora_rank);
    u32(k, "attention.output_lora_rank", c->o_lora_rank);
    u32(k, "attention.output_group_count", c->o_groups);
    u32(k, "attention.sliding_window", c->sliding_window);
    rc_ggufw_arr(k->w, key(k, "attention.compress_ratios"), RC_GGUF_I32, n);
    for (uint32_t i = 0; i < n; i++)
        rc_ggufw_put_i32(k->w, windows ? 0 : (int32_t)c->compress_ratios[i]);
    f32(k, "attention.compress_rope_freq_base", c->compress_rope_theta);
    u32(k, "attention.indexer.head_count", c->index_n_heads);
    u32(k, "attention.indexer.key_length", c->index_head_dim);
    u32(k, "attention.indexer.top_k", c->index_topk);
}

static void write_rope(keys *k, const rc_config *c)
{
    u32(k, "rope.dimension_count", c->qk_rope_head_dim);
    f32(k, "rope.freq_base", c->rope_theta);
    if (c->rope_factor <= 1)
        return;
    rc_ggufw_str(k->w, key(k, "rope.scaling.type"), "yarn");
    f32(k, "rope.scaling.factor", c->rope_factor);
    u32(k, "rope.scaling.original_context_length", c->rope_original_max_position);
    f32(k, "rope.scaling.yarn_beta_fast", c->rope_beta_fast);
    f32(k, "rope.scaling.yarn_beta_slow", c->rope_beta_slow);
}

/* One number for every block: ds4 wants an array, llama.cpp takes either. */
static void write_clamp(keys *k, const char *suffix, uint32_t blocks, double limit)
{
    rc_ggufw_arr(k->w, key(k, suffix), RC_GGUF_F32, blocks);
    for (uint32_t i = 0; i < blocks; i++)
        rc_ggufw_put_f32(k->w, (float)limit);
}

static void write_experts(keys *k, const rc_gguf_meta *m)
{
    const rc_config *c = m->config;

    u32(k, "expert_count", c->n_routed_experts);
    u32(k, "expert_used_count", c->num_experts_per_tok);
    u32(k, "expert_feed_forward_length", c->moe_intermediate_size);
    u32(k, "expert_shared_count", c->n_shared_experts);
    f32(k, "expert_weights_scale", c->routed_scaling_factor);
    rc_ggufw_bool(k->w, key(k, "expert_weights_norm"), c->norm_topk_prob);
    u32(k, "expert_gating_func", GATING_SQRTSOFTPLUS);
    write_clamp(k, "swiglu_clamp_exp", block_count(m), c->swiglu_limit);
    write_clamp(k, "swiglu_clamp_shexp", block_count(m), c->swiglu_limit);
}

static void write_draft(keys *k, const rc_gguf_meta *m)
{
    const rc_config *c = m->config;

    if (m->kind == RC_GGUF_EMBED || m->kind == RC_GGUF_MTP)
        u32(k, "nextn_predict_layers", m->draft_blocks);
    if (m->kind != RC_GGUF_DSPARK)
        return;
    u32(k, "block_size", c->dspark_block_size);
    rc_ggufw_arr(k->w, key(k, "target_layers"), RC_GGUF_I32, c->n_dspark_targets);
    for (uint32_t i = 0; i < c->n_dspark_targets; i++)
        rc_ggufw_put_i32(k->w, (int32_t)c->dspark_target_layer_ids[i] + 1);
}

static void write_model(rc_ggufw *w, const rc_gguf_meta *m, const char *arch)
{
    const rc_config *c = m->config;
    keys k = { .w = w, .arch = arch };

    u32(&k, "block_count", block_count(m));
    u32(&k, "context_length", c->max_position_embeddings);
    u32(&k, "embedding_length", c->hidden_size);
    if (m->kind != RC_GGUF_DSPARK)
        u32(&k, "embedding_length_out", c->hidden_size * c->hc_mult);
    u32(&k, "vocab_size", c->vocab_size);
    write_attention(&k, m);
    write_rope(&k, c);
    write_experts(&k, m);
    u32(&k, "hash_layer_count", m->kind == RC_GGUF_DSPARK ? 0 : c->num_hash_layers);
    u32(&k, "hyper_connection.count", c->hc_mult);
    u32(&k, "hyper_connection.sinkhorn_iterations", c->hc_sinkhorn_iters);
    f32(&k, "hyper_connection.epsilon", c->hc_eps);
    write_draft(&k, m);
}

/* --------------------------------------------------------------- tokenizer */

static void write_tokens(rc_ggufw *w, const rc_tokenizer *t)
{
    const uint32_t n = rc_tokenizer_count(t);
    rc_token_type type;
    size_t len;

    rc_ggufw_arr(w, "tokenizer.ggml.tokens", RC_GGUF_STR, n);
    for (uint32_t i = 0; i < n; i++) {
        const char *s = rc_tokenizer_token(t, i, &len, &type);

        rc_ggufw_put_str(w, s, len);
    }
    rc_ggufw_arr(w, "tokenizer.ggml.token_type", RC_GGUF_I32, n);
    for (uint32_t i = 0; i < n; i++) {
        (void)rc_tokenizer_token(t, i, &len, &type);
        rc_ggufw_put_i32(w, (int32_t)type);
    }
    if (!rc_tokenizer_merges(t))
        return; /* an empty array is refused by some readers */
    rc_ggufw_arr(w, "tokenizer.ggml.merges", RC_GGUF_STR, rc_tokenizer_merges(t));
    for (size_t i = 0; i < rc_tokenizer_merges(t); i++) {
        const char *s = rc_tokenizer_merge(t, i, &len);

        rc_ggufw_put_str(w, s, len);
    }
}

static void write_special(rc_ggufw *w, const rc_gguf_meta *m)
{
    const rc_tokenizer *t = m->tokenizer;
    const char *template = m->chat_template;
    uint32_t id;

    rc_ggufw_u32(w, "tokenizer.ggml.bos_token_id",
                 rc_tokenizer_bos(t, &id) ? id : m->config->bos_token_id);
    rc_ggufw_u32(w, "tokenizer.ggml.eos_token_id",
                 rc_tokenizer_eos(t, &id) ? id : m->config->eos_token_id);
    if (rc_tokenizer_pad(t, &id))
        rc_ggufw_u32(w, "tokenizer.ggml.padding_token_id", id);
    if (m->kind == RC_GGUF_DSPARK)
        rc_ggufw_u32(w, "tokenizer.ggml.mask_token_id", m->config->dspark_noise_token_id);
    if (rc_tokenizer_add_bos(t) >= 0)
        rc_ggufw_bool(w, "tokenizer.ggml.add_bos_token", rc_tokenizer_add_bos(t));
    if (rc_tokenizer_add_eos(t) >= 0)
        rc_ggufw_bool(w, "tokenizer.ggml.add_eos_token", rc_tokenizer_add_eos(t));
    if (!template)
        template = rc_tokenizer_template(t);
    rc_ggufw_str(w, "tokenizer.chat_template", template ? template : rc_chat_template());
}

void rc_gguf_meta_write(rc_ggufw *w, const rc_gguf_meta *m)
{
    const char *arch = m->kind == RC_GGUF_DSPARK ? "dflash" : "deepseek4";
    write_general(w, m, arch);
    write_model(w, m, arch);
    rc_ggufw_str(w, "tokenizer.ggml.model", "gpt2");
    rc_ggufw_str(w, "tokenizer.ggml.pre", rc_tokenizer_pre(m->tokenizer));
    write_tokens(w, m->tokenizer);
    write_special(w, m);
}

void rc_gguf_meta_split(rc_ggufw *w, uint16_t no, uint16_t count, int32_t tensors)
{
    rc_ggufw_u16(w, "split.no", no);
    rc_ggufw_u16(w, "split.count", count);
    rc_ggufw_i32(w, "split.tensors.count", tensors);
}
