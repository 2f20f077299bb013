/* formats/gguf_config.c - the keys in the words of config.json. */
#include "formats/gguf_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/json.h"

enum { MAX_LIST = 4096, MAX_TEXT = 64, GATING_SQRTSOFTPLUS = 4 };

/* A field that is a key's value. */
struct field {
    const char *name, *key; /* the key after "deepseek4." */
    bool uniform;           /* may be an array, one entry a layer, that are all the same */
};

static const struct field fields[] = {
    { "hidden_size", "embedding_length", false },
    { "max_position_embeddings", "context_length", false },
    { "num_attention_heads", "attention.head_count", false },
    { "num_key_value_heads", "attention.head_count_kv", false },
    { "head_dim", "attention.key_length", false },
    { "qk_rope_head_dim", "rope.dimension_count", false },
    { "rms_norm_eps", "attention.layer_norm_rms_epsilon", false },
    { "q_lora_rank", "attention.q_lora_rank", false },
    { "o_lora_rank", "attention.output_lora_rank", false },
    { "o_groups", "attention.output_group_count", false },
    { "sliding_window", "attention.sliding_window", false },
    { "compress_rope_theta", "attention.compress_rope_freq_base", false },
    { "index_n_heads", "attention.indexer.head_count", false },
    { "index_head_dim", "attention.indexer.key_length", false },
    { "index_topk", "attention.indexer.top_k", false },
    { "rope_theta", "rope.freq_base", false },
    { "n_routed_experts", "expert_count", false },
    { "num_experts_per_tok", "expert_used_count", false },
    { "moe_intermediate_size", "expert_feed_forward_length", true },
    { "n_shared_experts", "expert_shared_count", false },
    { "routed_scaling_factor", "expert_weights_scale", false },
    { "norm_topk_prob", "expert_weights_norm", false },
    { "swiglu_limit", "swiglu_clamp_exp", true },
    { "hc_mult", "hyper_connection.count", false },
    { "hc_sinkhorn_iters", "hyper_connection.sinkhorn_iterations", false },
    { "hc_eps", "hyper_connection.epsilon", false },
};

/* Of files with the main model, or of MTP blocks that are numbered after its layers. */
static const struct field layer_fields[] = {
    { "num_hash_layers", "hash_layer_count", false },
    { "compress_ratios", "attention.compress_ratios", false },
};

static const struct field rope_fields[] = {
    { "type", "rope.scaling.type", false },
    { "factor", "rope.scaling.factor", false },
    { "original_max_position_embeddings", "rope.scaling.original_context_length", false },
    { "beta_fast", "rope.scaling.yarn_beta_fast", false },
    { "beta_slow", "rope.scaling.yarn_beta_slow", false },
};

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* The file being described. */
struct source {
    const rc_gguf *g;
    const rc_gguf_facts *facts;
    const char *arch;
    rc_jsonw *w;
    rc_err *err;
};

static const char *arch_of(rc_gguf_kind kind)
{
    return kind == RC_GGUF_DSPARK ? "dflash" : "deepseek4";
}

static const rc_gguf_kv *find(const rc_gguf *g, const char *arch, const char *key)
{
    char whole[96];

    snprintf(whole, sizeof whole, "%s.%s", arch, key);
    return rc_gguf_find(g, whole);
}

static bool get_u64(const rc_gguf *g, const char *arch, const char *key, uint64_t *out)
{
    char whole[96];

    snprintf(whole, sizeof whole, "%s.%s", arch, key);
    return rc_gguf_get_u64(g, whole, out);
}

/* ----------------------------------------------------------------------- the kind */

static rc_code fail_arch(const char *arch, rc_err *err)
{
    char shown[64];

    rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "general.architecture is not supported");
    rc_err_want(err, "deepseek4, or dflash with hyper-connections");
    rc_err_got(err, "%s", rc_escape(shown, sizeof shown, arch, strlen(arch)));
    return RC_E_UNSUPPORTED;
}

/* The loader believes in a draft when its eh_proj is there, whatever the key says. */
static bool has_nextn(const rc_gguf *g, bool (*has)(void *, const char *), void *ctx)
{
    uint64_t blocks, nextn;
    char name[64];

    if (!get_u64(g, "deepseek4", "block_count", &blocks) ||
        !get_u64(g, "deepseek4", "nextn_predict_layers", &nextn) || nextn == 0 || nextn > blocks)
        return false;
    snprintf(name, sizeof name, "blk.%" PRIu64 ".nextn.eh_proj.weight", blocks - nextn);
    return has(ctx, name);
}

rc_code rc_gguf_kind_of(rc_gguf_kind *out, const rc_gguf *g, bool (*has)(void *, const char *),
                        void *ctx, rc_err *err)
{
    char arch[64];

    *out = RC_GGUF_MAIN;
    if (!rc_gguf_get_str(g, "general.architecture", arch, sizeof arch))
        return rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "general.architecture is missing");
    if (strcmp(arch, "dflash") == 0 && find(g, "dflash", "hyper_connection.count"))
        *out = RC_GGUF_DSPARK;
    else if (strcmp(arch, "deepseek4") != 0)
        return fail_arch(arch, err);
    else if (has(ctx, "mtp.0.attn_norm.weight"))
        *out = RC_GGUF_MTP_DS4;
    else if (has_nextn(g, has, ctx))
        *out = has(ctx, "blk.0.attn_norm.weight") ? RC_GGUF_EMBED : RC_GGUF_MTP;
    return RC_OK;
}

const char *rc_gguf_kind_name(rc_gguf_kind kind)
{
    static const char *const names[] = { "main model", "main model with draft", "draft (MTP)",
                                         "draft (DSpark)", "draft (MTP, names of ds4)" };

    return names[kind];
}

/* ---------------------------------------------------------------- values as JSON */

/* An F32 as people wrote it: 1e-06, not 9.99999997e-07. */
static double as_written(double v)
{
    const float f = (float)v;
    char text[32];

    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)f);
        if (strtof(text, NULL) == f)
            return strtod(text, NULL);
    }
    return v; /* NaN: not written as a number, and refused as such */
}

/* Element i of an array, or the only value. */
static void put_number(rc_jsonw *w, const rc_gguf_kv *kv, uint64_t i)
{
    const rc_gguf_type type = kv->type == RC_GGUF_ARR ? kv->elem : kv->type;
    rc_gguf_kv one = { .type = RC_GGUF_ARR, .elem = type, .count = kv->count, .data = kv->data };
    uint64_t u;
    double f;

    if (rc_gguf_arr_u64(&one, i, &u))
        rc_jsonw_u64(w, u);
    else if (rc_gguf_arr_f64(&one, i, &f))
        rc_jsonw_f64(w, type == RC_GGUF_F32 ? as_written(f) : f);
    else if (type == RC_GGUF_BOOL)
        rc_jsonw_bool(w, kv->data[i] != 0);
    else
        rc_jsonw_i64(w, -1); /* negative: out of every range */
}

static bool same_element(const rc_gguf_kv *kv, uint64_t i)
{
    uint64_t a, b;
    double x, y;

    if (rc_gguf_arr_u64(kv, 0, &a))
        return rc_gguf_arr_u64(kv, i, &b) && a == b;
    return rc_gguf_arr_f64(kv, 0, &x) && rc_gguf_arr_f64(kv, i, &y) && x == y;
}

static rc_code put_list(const struct source *s, const struct field *f, const rc_gguf_kv *kv)
{
    if (kv->elem == RC_GGUF_STR || kv->count > MAX_LIST)
        return rc_fail(s->err, RC_E_DATA, RC_NO_OFFSET, "%s.%s is no list of a few numbers",
                       s->arch, f->key);
    if (f->uniform) {
        for (uint64_t i = 1; i < kv->count; i++)
            if (!same_element(kv, i))
                return rc_fail(s->err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
                               "%s.%s differs between layers, at layer %" PRIu64, s->arch, f->key,
                               i);
        if (kv->count == 0)
            return rc_fail(s->err, RC_E_DATA, RC_NO_OFFSET, "%s.%s is empty", s->arch, f->key);
        put_number(s->w, kv, 0);
        return RC_OK;
    }
    rc_jsonw_array(s->w);
    for (uint64_t i = 0; i < kv->count; i++)
        put_number(s->w, kv, i);
    rc_jsonw_array_end(s->w);
    return RC_OK;
}

static rc_code put_field(const struct source *s, const struct field *f)
{
    const rc_gguf_kv *kv = find(s->g, s->arch, f->key);

    if (!kv)
        return RC_OK; /* who needs it says so */
    rc_jsonw_key(s->w, f->name);
    if (kv->type == RC_GGUF_ARR)
        return put_list(s, f, kv);
    if (kv->type == RC_GGUF_STR)
        rc_jsonw_strn(s->w, (const char *)kv->data,
                      kv->count < MAX_TEXT ? (size_t)kv->count : MAX_TEXT);
    else
        put_number(s->w, kv, 0);
    return RC_OK;
}

static rc_code put_fields(const struct source *s, const struct field *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        RC_TRY(put_field(s, &all[i]));
    return RC_OK;
}

/* ------------------------------------------------------------- what needs a thought */

/* blocks: of the file. A file of MTP blocks counts the main layers too. */
static rc_code put_layers(const struct source *s, uint64_t blocks)
{
    const rc_gguf_kind kind = s->facts->kind;
    uint64_t nextn = 0;

    if (kind == RC_GGUF_DSPARK) {
        rc_jsonw_ku64(s->w, "num_hidden_layers", 1);
        rc_jsonw_ku64(s->w, "num_hash_layers", 0);
        rc_jsonw_ku64(s->w, "num_nextn_predict_layers", 1);
        rc_jsonw_key(s->w, "compress_ratios");
        rc_jsonw_array(s->w);
        for (uint64_t i = 0; i <= blocks; i++) /* the main layer that stands for all, too */
            rc_jsonw_u64(s->w, 0);
        rc_jsonw_array_end(s->w);
        return RC_OK;
    }
    if (kind == RC_GGUF_EMBED || kind == RC_GGUF_MTP)
        (void)get_u64(s->g, s->arch, "nextn_predict_layers", &nextn);
    rc_jsonw_ku64(s->w, "num_hidden_layers", blocks - nextn);
    if (nextn || kind == RC_GGUF_MTP_DS4)
        rc_jsonw_ku64(s->w, "num_nextn_predict_layers", nextn ? nextn : 1);
    return put_fields(s, layer_fields, COUNT(layer_fields));
}

static rc_code put_dspark(const struct source *s)
{
    const rc_gguf_kv *targets = find(s->g, s->arch, "target_layers");
    uint64_t v;

    if (get_u64(s->g, s->arch, "block_size", &v))
        rc_jsonw_ku64(s->w, "dspark_block_size", v);
    if (rc_gguf_get_u64(s->g, "tokenizer.ggml.mask_token_id", &v))
        rc_jsonw_ku64(s->w, "dspark_noise_token_id", v);
    rc_jsonw_ku64(s->w, "dspark_markov_rank", s->facts->markov_rank);
    if (!targets || targets->type != RC_GGUF_ARR || targets->count > RC_CONFIG_MAX_TARGETS)
        return rc_fail(s->err, RC_E_DATA, RC_NO_OFFSET,
                       "%s.target_layers is missing, or no list of a few layers", s->arch);
    rc_jsonw_key(s->w, "dspark_target_layer_ids"); /* counted from 0; the key counts from 1 */
    rc_jsonw_array(s->w);
    for (uint64_t i = 0; i < targets->count; i++)
        rc_jsonw_i64(s->w, rc_gguf_arr_u64(targets, i, &v) && v <= INT32_MAX ? (int64_t)v - 1 : -1);
    rc_jsonw_array_end(s->w);
    return RC_OK;
}

static rc_code put_routing(const struct source *s)
{
    uint64_t gating = 0;

    if (!get_u64(s->g, s->arch, "expert_gating_func", &gating) || gating != GATING_SQRTSOFTPLUS) {
        rc_fail(s->err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "%s.expert_gating_func", s->arch);
        rc_err_want(s->err, "%d (sqrtsoftplus)", GATING_SQRTSOFTPLUS);
        rc_err_got(s->err, "%" PRIu64, gating);
        return RC_E_UNSUPPORTED;
    }
    rc_jsonw_kstr(s->w, "scoring_func", "sqrtsoftplus");
    return RC_OK;
}

static rc_code put_rope(const struct source *s)
{
    rc_code rc;

    if (!find(s->g, s->arch, "rope.scaling.type"))
        return RC_OK;
    rc_jsonw_key(s->w, "rope_scaling");
    rc_jsonw_object(s->w);
    rc = put_fields(s, rope_fields, COUNT(rope_fields));
    rc_jsonw_object_end(s->w);
    return rc;
}

/* ------------------------------------------------------------------- the tokenizer */

static const rc_gguf_kv *list_of(const rc_gguf *g, const char *key, rc_gguf_type elem, bool *bad)
{
    const rc_gguf_kv *kv = rc_gguf_find(g, key);

    if (kv && (kv->type != RC_GGUF_ARR || kv->elem != elem)) {
        *bad = true;
        return NULL;
    }
    return kv;
}

/* Arrays that are read side by side have to be of one length. *tokens: 0 without any. */
static rc_code check_tokenizer(const rc_gguf *g, uint64_t *tokens, rc_err *err)
{
    static const struct {
        const char *key;
        rc_gguf_type elem;
    } beside[] = { { "tokenizer.ggml.scores", RC_GGUF_F32 },
                   { "tokenizer.ggml.token_type", RC_GGUF_I32 } };
    bool bad = false;
    const rc_gguf_kv *list = list_of(g, "tokenizer.ggml.tokens", RC_GGUF_STR, &bad);

    if (bad)
        return rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "tokenizer.ggml.tokens is no list of strings");
    *tokens = list ? list->count : 0;
    for (size_t i = 0; i < COUNT(beside); i++) {
        const rc_gguf_kv *kv = list_of(g, beside[i].key, beside[i].elem, &bad);

        if (!bad && (!kv || kv->count == *tokens))
            continue;
        rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "%s does not go with tokenizer.ggml.tokens",
                beside[i].key);
        rc_err_want(err, "%" PRIu64 " of %s", *tokens,
                    beside[i].elem == RC_GGUF_F32 ? "F32" : "I32");
        if (kv)
            rc_err_got(err, "%" PRIu64, kv->count);
        else
            rc_err_got(err, "another type");
        return RC_E_DATA;
    }
    (void)list_of(g, "tokenizer.ggml.merges", RC_GGUF_STR, &bad);
    return bad ? rc_fail(err, RC_E_DATA, RC_NO_OFFSET,
                         "tokenizer.ggml.merges is no list of strings")
               : RC_OK;
}

static rc_code put_vocabulary(const struct source *s)
{
    uint64_t tokens = 0, stated = 0, size, id;

    RC_TRY(check_tokenizer(s->g, &tokens, s->err));
    (void)get_u64(s->g, s->arch, "vocab_size", &stated);
    size = stated ? stated : s->facts->vocab ? s->facts->vocab : tokens;
    if (tokens && tokens != size) {
        rc_fail(s->err, RC_E_TENSORSET, RC_NO_OFFSET,
                "tokenizer.ggml.tokens is not the vocabulary");
        rc_err_want(s->err, "%" PRIu64 " tokens", size);
        rc_err_got(s->err, "%" PRIu64, tokens);
        return RC_E_TENSORSET;
    }
    rc_jsonw_ku64(s->w, "vocab_size", size);
    if (rc_gguf_get_u64(s->g, "tokenizer.ggml.bos_token_id", &id))
        rc_jsonw_ku64(s->w, "bos_token_id", id);
    if (rc_gguf_get_u64(s->g, "tokenizer.ggml.eos_token_id", &id))
        rc_jsonw_ku64(s->w, "eos_token_id", id);
    return RC_OK;
}

/* --------------------------------------------------------------------- all together */

static rc_code check_keys(const struct source *s, uint64_t *blocks)
{
    uint64_t key = 0, value = 0, nextn = 0;

    if (!get_u64(s->g, s->arch, "block_count", blocks) || *blocks == 0 ||
        *blocks > RC_CONFIG_MAX_LAYERS) {
        rc_fail(s->err, RC_E_DATA, RC_NO_OFFSET, "%s.block_count is missing or out of range",
                s->arch);
        rc_err_want(s->err, "1 to %u", RC_CONFIG_MAX_LAYERS);
        return RC_E_DATA;
    }
    if (get_u64(s->g, s->arch, "attention.key_length", &key) &&
        get_u64(s->g, s->arch, "attention.value_length", &value) && key != value) {
        rc_fail(s->err, RC_E_DATA, RC_NO_OFFSET, "%s.attention.value_length is not key_length",
                s->arch);
        rc_err_want(s->err, "%" PRIu64, key);
        rc_err_got(s->err, "%" PRIu64, value);
        return RC_E_DATA;
    }
    if (get_u64(s->g, s->arch, "nextn_predict_layers", &nextn) && nextn >= *blocks)
        return rc_fail(s->err, RC_E_DATA, RC_NO_OFFSET,
                       "%s.nextn_predict_layers leaves no layer of block_count", s->arch);
    return RC_OK;
}

static rc_code put_config(const struct source *s)
{
    uint64_t blocks;

    RC_TRY(check_keys(s, &blocks));
    rc_jsonw_object(s->w);
    rc_jsonw_kstr(s->w, "model_type", "deepseek_v4");
    RC_TRY(put_vocabulary(s));
    RC_TRY(put_layers(s, blocks));
    RC_TRY(put_fields(s, fields, COUNT(fields)));
    RC_TRY(put_routing(s));
    RC_TRY(put_rope(s));
    if (s->facts->kind == RC_GGUF_DSPARK)
        RC_TRY(put_dspark(s));
    rc_jsonw_object_end(s->w);
    return RC_OK;
}

/* Which key the field that the parser complains of came from. */
static void name_key(const struct source *s)
{
    static const struct {
        const struct field *at;
        size_t n;
        const char *prefix;
    } tables[] = { { fields, COUNT(fields), "" },
                   { layer_fields, COUNT(layer_fields), "" },
                   { rope_fields, COUNT(rope_fields), "rope_scaling." } };

    if (!s->err)
        return;
    s->err->offset = RC_NO_OFFSET; /* of a text that nobody has */
    for (size_t t = 0; t < COUNT(tables); t++)
        for (size_t i = 0; i < tables[t].n; i++) {
            char name[64];
            const int n =
                snprintf(name, sizeof name, "%s%s ", tables[t].prefix, tables[t].at[i].name);

            if (strncmp(s->err->msg, name, (size_t)n) == 0)
                rc_err_hint(s->err, "it comes from the key %s.%s", s->arch, tables[t].at[i].key);
        }
}

rc_code rc_gguf_config(rc_config *out, uint8_t **text, size_t *len, const rc_gguf *g,
                       const rc_gguf_facts *facts, const rc_log *log, rc_mem *mem, rc_err *err)
{
    struct source s = {
        .g = g, .facts = facts, .arch = arch_of(facts->kind), .w = rc_jsonw_new(mem, 0), .err = err
    };
    const char *json;
    rc_code rc;

    *text = NULL;
    *len = 0;
    if (!s.w)
        return rc_fail_nomem(err, mem, 0);
    RC_TRY_GOTO(rc, done, put_config(&s));
    json = rc_jsonw_text(s.w, len);
    *text = json ? (uint8_t *)rc_mem_strdup(mem, json, *len) : NULL;
    if (!*text) {
        rc = rc_fail_nomem(err, mem, *len);
        goto done;
    }
    rc = rc_config_parse(out, *text, *len, log, mem, err);
    if (rc != RC_OK)
        name_key(&s);
done:
    rc_jsonw_free(&s.w);
    if (rc != RC_OK) {
        rc_mem_put(mem, *text);
        *text = NULL;
    }
    return rc;
}
