/* formats/hf_names.c - see hf_names.h. */
#include "formats/hf_names.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* '#' is a number. A module is followed by '.' or nothing; of two that begin alike the longer comes
 * first. */
typedef struct pair {
    const char *native, *hf;
} pair;

/* clang-format off */
static const pair globals[] = {
    { "embed",         "model.embed_tokens" },
    { "head",          "lm_head" },
    { "norm",          "model.norm" },
    { "hc_head_fn",    "model.hc_head.hc_fn" },
    { "hc_head_base",  "model.hc_head.hc_base" },
    { "hc_head_scale", "model.hc_head.hc_scale" },
};

#define BLOCK(native, hf) { "layers.#." native, "model.layers.#." hf }
static const pair blocks[] = {
    BLOCK("hc_attn_fn",    "attn_hc.fn"),
    BLOCK("hc_attn_base",  "attn_hc.base"),
    BLOCK("hc_attn_scale", "attn_hc.scale"),
    BLOCK("hc_ffn_fn",     "ffn_hc.fn"),
    BLOCK("hc_ffn_base",   "ffn_hc.base"),
    BLOCK("hc_ffn_scale",  "ffn_hc.scale"),
    BLOCK("attn_norm",     "input_layernorm"),
    BLOCK("ffn_norm",      "post_attention_layernorm"),

    BLOCK("attn.wq_a",      "self_attn.q_a_proj"),
    BLOCK("attn.q_norm",    "self_attn.q_a_norm"),
    BLOCK("attn.wq_b",      "self_attn.q_b_proj"),
    BLOCK("attn.wkv",       "self_attn.kv_proj"),
    BLOCK("attn.kv_norm",   "self_attn.kv_norm"),
    BLOCK("attn.attn_sink", "self_attn.sinks"),
    BLOCK("attn.wo_a",      "self_attn.o_a_proj"),
    BLOCK("attn.wo_b",      "self_attn.o_b_proj"),

    BLOCK("attn.compressor.wkv",   "self_attn.compressor.kv_proj"),
    BLOCK("attn.compressor.wgate", "self_attn.compressor.gate_proj"),
    BLOCK("attn.compressor.norm",  "self_attn.compressor.kv_norm"),
    BLOCK("attn.compressor.ape",   "self_attn.compressor.position_bias"),

    BLOCK("attn.indexer.wq_b",             "self_attn.compressor.indexer.q_b_proj"),
    BLOCK("attn.indexer.weights_proj",     "self_attn.compressor.indexer.scorer.weights_proj"),
    BLOCK("attn.indexer.compressor.wkv",   "self_attn.compressor.indexer.kv_proj"),
    BLOCK("attn.indexer.compressor.wgate", "self_attn.compressor.indexer.gate_proj"),
    BLOCK("attn.indexer.compressor.norm",  "self_attn.compressor.indexer.kv_norm"),
    BLOCK("attn.indexer.compressor.ape",   "self_attn.compressor.indexer.position_bias"),

    BLOCK("ffn.gate.bias_vl", "mlp.gate.e_score_correction_bias_vl"),
    BLOCK("ffn.gate.bias",    "mlp.gate.e_score_correction_bias"),
    BLOCK("ffn.gate",         "mlp.gate"),

    BLOCK("ffn.shared_experts.w1", "mlp.shared_experts.gate_proj"),
    BLOCK("ffn.shared_experts.w3", "mlp.shared_experts.up_proj"),
    BLOCK("ffn.shared_experts.w2", "mlp.shared_experts.down_proj"),
    BLOCK("ffn.experts.#.w1",      "mlp.experts.#.gate_proj"),
    BLOCK("ffn.experts.#.w3",      "mlp.experts.#.up_proj"),
    BLOCK("ffn.experts.#.w2",      "mlp.experts.#.down_proj"),
};
/* clang-format on */

/* Bytes of `name` that the pattern takes, its numbers to number[]; 0: it is none of this. */
static size_t match(const char *name, const char *pattern, const char *number[2], int digits[2])
{
    const char *at = name;
    unsigned n = 0;

    for (; *pattern; pattern++) {
        if (*pattern == '#') {
            number[n] = at;
            digits[n] = (int)strspn(at, "0123456789");
            if (digits[n] == 0)
                return 0;
            at += digits[n++];
        } else if (*at++ != *pattern) {
            return 0;
        }
    }
    return *at == '\0' || *at == '.' ? (size_t)(at - name) : 0;
}

/* A pattern with numbers put in, then the rest of a name. */
static bool spell(char out[RC_HF_NAME], const char *pattern, const char *const number[2],
                  const int digits[2], const char *rest)
{
    size_t at = 0;
    unsigned n = 0;

    for (; *pattern && at < RC_HF_NAME; pattern++) {
        if (*pattern == '#') {
            at += (size_t)snprintf(out + at, RC_HF_NAME - at, "%.*s", digits[n], number[n]);
            n++;
        } else {
            out[at++] = *pattern;
        }
    }
    return at < RC_HF_NAME &&
           at + (size_t)snprintf(out + at, RC_HF_NAME - at, "%s", rest) < RC_HF_NAME;
}

static bool translate(const pair *table, size_t n, bool to_hf, const char *name,
                      char out[RC_HF_NAME])
{
    for (size_t i = 0; i < n; i++) {
        const char *number[2];
        int digits[2];
        const size_t taken = match(name, to_hf ? table[i].native : table[i].hf, number, digits);

        if (taken)
            return spell(out, to_hf ? table[i].hf : table[i].native, number, digits, name + taken);
    }
    return false;
}

static bool keeps_its_name(const char *name)
{
    static const char *const prefixes[] = { "mtp.", "vision.", "aligner.", "image_" };

    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static bool either_way(const char *name, bool to_hf, char out[RC_HF_NAME])
{
    const bool block = strncmp(name, to_hf ? "layers." : "model.layers.", to_hf ? 7 : 13) == 0;

    if (block ? translate(blocks, sizeof blocks / sizeof *blocks, to_hf, name, out)
              : translate(globals, sizeof globals / sizeof *globals, to_hf, name, out))
        return true;
    return (size_t)snprintf(out, RC_HF_NAME, "%s", name) < RC_HF_NAME && keeps_its_name(name);
}

bool rc_hf_from_native(const char *native, char out[RC_HF_NAME])
{
    return either_way(native, true, out);
}

bool rc_hf_to_native(const char *hf, char out[RC_HF_NAME])
{
    return either_way(hf, false, out);
}
