/* verify/lint_ds4.c - what ds4 takes: one shape, one type for each tensor.
 *
 * ds4 binds tensors by name into a fixed layout and stops at the first thing that is not as it
 * expects. It does not look at general.architecture, nor at tensors that it does not know. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "verify/lint_rules.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const rc_lint_source ds4 = { "antirez/ds4", "ds4.c", "commit 8d57664, 21 May 2026" };

/* Keys of numbers, and the only value that is taken. */
static const struct {
    const char *name;
    uint64_t want;
} shape[] = {
    { "block_count", 43 },
    { "embedding_length", 4096 },
    { "vocab_size", 129280 },
    { "attention.head_count", 64 },
    { "attention.head_count_kv", 1 },
    { "attention.key_length", 512 },
    { "attention.value_length", 512 },
    { "rope.dimension_count", 64 },
    { "attention.output_group_count", 8 },
    { "attention.q_lora_rank", 1024 },
    { "attention.output_lora_rank", 1024 },
    { "expert_count", 256 },
    { "expert_used_count", 6 },
    { "expert_feed_forward_length", 2048 },
    { "expert_shared_count", 1 },
    { "hash_layer_count", 3 },
    { "attention.sliding_window", 128 },
    { "attention.indexer.head_count", 64 },
    { "attention.indexer.key_length", 128 },
    { "attention.indexer.top_k", 512 },
    { "hyper_connection.count", 4 },
    { "hyper_connection.sinkhorn_iterations", 20 },
};

static const struct {
    const char *name;
    double want;
} values[] = {
    { "rope.freq_base", 10000 },
    { "rope.scaling.factor", 16 },
    { "rope.scaling.yarn_beta_fast", 32 },
    { "rope.scaling.yarn_beta_slow", 1 },
    { "rope.scaling.original_context_length", 65536 },
    { "attention.compress_rope_freq_base", 160000 },
    { "expert_weights_scale", 1.5 },
    { "attention.layer_norm_rms_epsilon", 1e-6 },
    { "hyper_connection.epsilon", 1e-6 },
};

static const rc_lint_key others[] = {
    { "expert_weights_norm", RC_LINT_BOOL },
    { "attention.compress_ratios", RC_LINT_INT_LIST },
    { "swiglu_clamp_exp", RC_LINT_F32_LIST },
};

static const rc_gguf *head(const rc_lint_facts *f)
{
    return rc_ckpt_gguf(f->ckpt);
}

/* A draft's file is only asked for its tensors. */
static bool has_keys(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (rc_ckpt_kind(f->ckpt) != RC_GGUF_MTP_DS4)
        return true;
    rc_lint_skip(out, "the keys of a draft's file are not looked at");
    return false;
}

static void check_keys(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!has_keys(f, out))
        return;
    for (size_t i = 0; i < COUNT(shape); i++)
        rc_lint_keys(f, out, &(rc_lint_key){ shape[i].name, RC_LINT_U32 }, 1, RC_LINT_FAILS);
    for (size_t i = 0; i < COUNT(values); i++)
        rc_lint_keys(f, out,
                     &(rc_lint_key){ values[i].name, rc_lint_ends_with(values[i].name, "_length")
                                                         ? RC_LINT_U64_LOOSE
                                                         : RC_LINT_F32_LOOSE },
                     1, RC_LINT_FAILS);
    rc_lint_keys(f, out, others, COUNT(others), RC_LINT_FAILS);
}

static void other_value(rc_lint_finding *out, const char *key, double want, double got)
{
    rc_err *e = rc_lint_say(out, RC_LINT_FAILS, "%s is not that of V4-Flash, the only shape", key);

    rc_err_want(e, "%.9g", want);
    rc_err_got(e, "%.9g", got);
}

static void check_shape(const rc_lint_facts *f, rc_lint_finding *out)
{
    char name[96];
    uint64_t got;

    if (!has_keys(f, out))
        return;
    for (size_t i = 0; i < COUNT(shape); i++) {
        snprintf(name, sizeof name, "deepseek4.%s", shape[i].name);
        if (rc_gguf_get_u64(head(f), name, &got) && got != shape[i].want)
            other_value(out, name, (double)shape[i].want, (double)got);
    }
}

/* As close as ds4 compares. */
static bool is_value(double got, double want)
{
    return fabs(got - want) <= 1e-6 * (fabs(want) > 1 ? fabs(want) : 1);
}

static void check_values(const rc_lint_facts *f, rc_lint_finding *out)
{
    char name[96];
    double got;
    uint64_t whole;
    bool norm;

    if (!has_keys(f, out))
        return;
    for (size_t i = 0; i < COUNT(values); i++) {
        snprintf(name, sizeof name, "deepseek4.%s", values[i].name);
        if (!rc_gguf_get_f64(head(f), name, &got)) {
            if (!rc_gguf_get_u64(head(f), name, &whole))
                continue;
            got = (double)whole;
        }
        if (!is_value(got, values[i].want))
            other_value(out, name, values[i].want, got);
    }
    if (rc_gguf_get_bool(head(f), "deepseek4.expert_weights_norm", &norm) && !norm)
        other_value(out, "deepseek4.expert_weights_norm", 1, 0);
    if (rc_gguf_get_u64(head(f), "deepseek4.expert_group_count", &whole) && whole)
        other_value(out, "deepseek4.expert_group_count", 0, (double)whole);
}

static uint64_t flash_ratio(uint64_t layer)
{
    return layer < 2 ? 0 : layer % 2 ? 128 : 4;
}

static void check_lists(const rc_lint_facts *f, rc_lint_finding *out)
{
    const rc_gguf_kv *ratios = rc_gguf_find(head(f), "deepseek4.attention.compress_ratios");
    const rc_gguf_kv *clamp = rc_gguf_find(head(f), "deepseek4.swiglu_clamp_exp");
    const uint64_t layers = shape[0].want;
    uint64_t ratio;
    double limit;

    if (!has_keys(f, out) || !ratios || !clamp)
        return;
    if (ratios->count < layers || clamp->count < layers) {
        rc_err *e = rc_lint_say(out, RC_LINT_FAILS,
                                "compress_ratios or swiglu_clamp_exp is shorter "
                                "than the model");

        rc_err_want(e, "%" PRIu64, layers);
        rc_err_got(e, "%" PRIu64 " and %" PRIu64, ratios->count, clamp->count);
        return;
    }
    for (uint64_t i = 0; i < layers; i++) {
        if (rc_gguf_arr_u64(ratios, i, &ratio) && ratio != flash_ratio(i))
            other_value(out, "a ratio of deepseek4.attention.compress_ratios",
                        (double)flash_ratio(i), (double)ratio);
        if (rc_gguf_arr_f64(clamp, i, &limit) && !is_value(limit, 10))
            other_value(out, "an entry of deepseek4.swiglu_clamp_exp", 10, limit);
    }
}

static void check_single(const rc_lint_facts *f, rc_lint_finding *out)
{
    rc_err *e;

    rc_lint_gguf_set(f, out);
    if (rc_ckpt_shards(f->ckpt) == 1)
        return;
    e = rc_lint_say(out, RC_LINT_FAILS, "ds4 opens one file: this is a set of %zu",
                    rc_ckpt_shards(f->ckpt));
    rc_err_hint(e, "convert again without --split-size");
}

/* ------------------------------------------------------------------------------- types */

/* A tensor's name below its block, and the types that are taken. */
struct typed {
    const char *name, *types;
};

static const struct typed of_root[] = {
    { "token_embd.weight", "F16" },     { "output.weight", "Q8_0" },
    { "output_norm.weight", "F32" },    { "output_hc_fn.weight", "F16" },
    { "output_hc_base.weight", "F32" }, { "output_hc_scale.weight", "F32" },
};

#define EXPERTS "IQ2_XXS Q2_K Q4_K"

static const struct typed of_block[] = {
    { "hc_attn_fn.weight", "F16" },
    { "hc_attn_base.weight", "F32" },
    { "hc_attn_scale.weight", "F32" },
    { "hc_ffn_fn.weight", "F16" },
    { "hc_ffn_base.weight", "F32" },
    { "hc_ffn_scale.weight", "F32" },
    { "attn_norm.weight", "F32" },
    { "ffn_norm.weight", "F32" },
    { "attn_q_a.weight", "Q8_0" },
    { "attn_q_a_norm.weight", "F32" },
    { "attn_q_b.weight", "Q8_0" },
    { "attn_kv.weight", "Q8_0" },
    { "attn_kv_a_norm.weight", "F32" },
    { "attn_sinks.weight", "F32" },
    { "attn_output_a.weight", "Q8_0" },
    { "attn_output_b.weight", "Q8_0" },
    { "attn_compressor_ape.weight", "F16" },
    { "attn_compressor_kv.weight", "F16" },
    { "attn_compressor_gate.weight", "F16" },
    { "attn_compressor_norm.weight", "F32" },
    { "indexer.attn_q_b.weight", "F16" },
    { "indexer.proj.weight", "F16" },
    { "indexer_compressor_ape.weight", "F16" },
    { "indexer_compressor_kv.weight", "F16" },
    { "indexer_compressor_gate.weight", "F16" },
    { "indexer_compressor_norm.weight", "F32" },
    { "ffn_gate_inp.weight", "F16" },
    { "exp_probs_b.bias", "F32" },
    { "ffn_gate_tid2eid.weight", "I32" },
    { "ffn_gate_shexp.weight", "Q8_0" },
    { "ffn_up_shexp.weight", "Q8_0" },
    { "ffn_down_shexp.weight", "Q8_0" },
    { "e_proj.weight", "Q8_0" },
    { "h_proj.weight", "Q8_0" },
    { "enorm.weight", "F32" },
    { "hnorm.weight", "F32" },
    { "norm.weight", "F32" },
    { "hc_head_fn.weight", "F16 F32" },
    { "hc_head_base.weight", "F32" },
    { "hc_head_scale.weight", "F32" },
};

/* A draft's matrices that may be wide. */
static bool is_plain_in_draft(const char *name)
{
    return strcmp(name, "hc_attn_fn.weight") == 0 || strcmp(name, "hc_ffn_fn.weight") == 0 ||
           strcmp(name, "ffn_gate_inp.weight") == 0;
}

/* Is `type` a word of `types`? */
static bool is_among(const char *types, const char *type)
{
    const size_t n = strlen(type);

    for (const char *at = strstr(types, type); at; at = strstr(at + 1, type))
        if ((at == types || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
            return true;
    return false;
}

/* What follows "blk.7." or "mtp.0."; NULL for a tensor of the root. */
static const char *below_block(const char *name, bool *draft)
{
    const char *dot;

    *draft = strncmp(name, "mtp.", 4) == 0;
    if (!*draft && strncmp(name, "blk.", 4) != 0)
        return NULL;
    dot = strchr(name + 4, '.');
    return dot ? dot + 1 : NULL;
}

static const char *types_of(const char *name)
{
    bool draft;
    const char *below = below_block(name, &draft);
    const struct typed *table = below ? of_block : of_root;
    const size_t n = below ? COUNT(of_block) : COUNT(of_root);

    if (draft && below && is_plain_in_draft(below))
        return "F16 F32";
    for (size_t i = 0; i < n; i++)
        if (strcmp(table[i].name, below ? below : name) == 0)
            return table[i].types;
    return NULL; /* not looked at, or an expert's */
}

static void wrong_type(const rc_lint_facts *f, rc_lint_finding *out, const rc_tensor *t,
                       const char *want, const char *msg, const char *hint)
{
    rc_err *e = rc_lint_say(out, RC_LINT_FAILS, "%s", msg);

    if (!e)
        return;
    rc_lint_at(e, f, t);
    rc_err_want(e, "%s", want);
    rc_err_got(e, "%s", rc_tensor_type(t));
    rc_err_hint(e, "%s", hint);
}

static void check_types(const rc_lint_facts *f, rc_lint_finding *out)
{
    for (size_t i = 0; i < rc_ckpt_count(f->ckpt); i++) {
        const rc_tensor *t = rc_ckpt_at(f->ckpt, i);
        const char *types = types_of(t->name);

        if (types && !is_among(types, rc_tensor_type(t)))
            wrong_type(f, out, t, types, "ds4 takes one type for this tensor",
                       "recast convert RELEASE NAME.gguf --to gguf:ds4-q2 (or ds4-q4)");
    }
}

static void check_experts(const rc_lint_facts *f, rc_lint_finding *out)
{
    for (size_t i = 0; i < rc_ckpt_count(f->ckpt); i++) {
        const rc_tensor *t = rc_ckpt_at(f->ckpt, i);

        if (rc_lint_ends_with(t->name, "_exps.weight") && !is_among(EXPERTS, rc_tensor_type(t)))
            wrong_type(f, out, t, "IQ2_XXS, Q2_K or Q4_K", "ds4 has no product with such experts",
                       "recast convert RELEASE NAME.gguf --to gguf:ds4-q2 (or ds4-q4)");
    }
}

static void check_gate_up(const rc_lint_facts *f, rc_lint_finding *out)
{
    for (size_t i = 0; i < rc_ckpt_count(f->ckpt); i++) {
        const rc_tensor *up = rc_ckpt_at(f->ckpt, i), *gate;
        const size_t stem = strlen(up->name) - strlen("up_exps.weight");
        char name[128];

        if (!rc_lint_ends_with(up->name, ".ffn_up_exps.weight"))
            continue;
        snprintf(name, sizeof name, "%.*sgate_exps.weight", (int)stem, up->name);
        gate = rc_ckpt_find(f->ckpt, name);
        if (gate && strcmp(rc_tensor_type(gate), rc_tensor_type(up)) != 0)
            wrong_type(f, out, up, rc_tensor_type(gate),
                       "gate and up of a layer must be of one type", "give both the same --type");
    }
}

/* ----------------------------------------------------------------- draft and tokenizer */

static void check_draft(const rc_lint_facts *f, rc_lint_finding *out)
{
    char buf[64];
    rc_err *e;

    if (rc_ckpt_kind(f->ckpt) == RC_GGUF_MTP_DS4) {
        rc_lint_say(out, RC_LINT_NOTE, "a draft of ds4: named beside the model with --mtp");
        return;
    }
    if (rc_ckpt_kind(f->ckpt) == RC_GGUF_MAIN && strcmp(rc_lint_arch(f, buf), "dflash") != 0)
        return;
    e = rc_lint_say(out, RC_LINT_FAILS,
                    rc_ckpt_kind(f->ckpt) == RC_GGUF_EMBED
                        ? "a draft embedded in the model, as llama.cpp has it"
                        : "a draft of llama.cpp's");
    rc_err_want(e, "the model alone; a draft with names mtp.0.* in its own file");
    rc_err_hint(e, "recast convert RELEASE NAME.gguf --to gguf:ds4-q2 --draft separate");
}

/* Texts that ds4 looks up in the tokens. */
static const char *const specials[] = {
    "<\xef\xbd\x9c"
    "begin\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>",
    "<\xef\xbd\x9c"
    "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>",
    "<\xef\xbd\x9cUser\xef\xbd\x9c>",
    "<\xef\xbd\x9c"
    "Assistant\xef\xbd\x9c>",
    "<think>",
    "</think>",
    "\xef\xbd\x9c"
    "DSML\xef\xbd\x9c",
};

static bool is_token(const rc_gguf_kv *tokens, const char *text)
{
    const uint8_t *at = tokens->data;
    const char *s;
    uint64_t i = 0;
    size_t len;

    while (rc_gguf_arr_str(tokens, &at, &i, &s, &len))
        if (len == strlen(text) && memcmp(s, text, len) == 0)
            return true;
    return false;
}

static bool is_text_list(const rc_gguf_kv *kv)
{
    return kv && kv->type == RC_GGUF_ARR && kv->elem == RC_GGUF_STR;
}

static void check_tokenizer(const rc_lint_facts *f, rc_lint_finding *out)
{
    const rc_gguf_kv *tokens = rc_gguf_find(head(f), "tokenizer.ggml.tokens");
    char shown[80];

    if (!has_keys(f, out))
        return;
    if (!is_text_list(tokens) || !is_text_list(rc_gguf_find(head(f), "tokenizer.ggml.merges"))) {
        rc_lint_say(out, RC_LINT_FAILS, "tokenizer.ggml.tokens or merges is missing");
        return;
    }
    for (size_t i = 0; i < COUNT(specials); i++)
        if (!is_token(tokens, specials[i]))
            rc_lint_say(out, RC_LINT_FAILS, "no token %s",
                        rc_escape(shown, sizeof shown, specials[i], strlen(specials[i])));
}

const rc_lint_rule rc_lint_rules_ds4[] = {
    { "ds4/container", "a folder where a GGUF file is read", &ds4, rc_lint_is_gguf },
    { "ds4/single-file", "a set of files", &ds4, check_single },
    { "ds4/draft", "a draft that is embedded, or of llama.cpp", &ds4, check_draft },
    { "ds4/keys", "keys that are missing (vocab_size ..) or of another type", &ds4, check_keys },
    { "ds4/flash-shape", "any shape but that of V4-Flash", &ds4, check_shape },
    { "ds4/values", "constants other than those of V4-Flash", &ds4, check_values },
    { "ds4/lists", "compress_ratios or swiglu_clamp_exp other than those of V4-Flash", &ds4,
      check_lists },
    { "ds4/missing", "missing tensors", &ds4, rc_lint_gguf_missing },
    { "ds4/shapes", "wrong shapes", &ds4, rc_lint_gguf_shapes },
    { "ds4/tensor-types", "a tensor of another type than the one that is taken", &ds4,
      check_types },
    { "ds4/expert-types", "experts that are not IQ2_XXS, Q2_K or Q4_K (MXFP4)", &ds4,
      check_experts },
    { "ds4/gate-up", "gate and up of a layer of different types", &ds4, check_gate_up },
    { "ds4/tokenizer", "tokens, merges or a special token missing", &ds4, check_tokenizer },
    { "ds4/vocabulary", "more or fewer tokens than rows of the embedding", &ds4,
      rc_lint_gguf_vocabulary },
    { 0 },
};
