/* formats/gguf_names.c - the two vocabularies side by side, and the places they imply.
 *
 * A row gives the name of a parameter below its block ("layers.7.", "mtp.0.") and the name
 * below the GGUF block ("blk.7."). Experts lose their number: the stack has it. */
#include "formats/gguf_names.h"

#include <stdio.h>
#include <string.h>

/* Sets of kinds of files. */
#define IN(kind)  (1u << (kind))
#define IN_MAIN   (IN(RC_GGUF_MAIN) | IN(RC_GGUF_EMBED)) /* files with the main layers */
#define IN_BLOCKS (IN(RC_GGUF_EMBED) | IN(RC_GGUF_MTP))  /* MTP blocks behind the main ones */
#define IN_DSPARK IN(RC_GGUF_DSPARK)
#define IN_DS4    IN(RC_GGUF_MTP_DS4)
#define IN_ALL    (IN_MAIN | IN_BLOCKS | IN_DSPARK | IN_DS4)

struct row {
    const char *native, *gguf;
    unsigned kinds;
};

/* clang-format off */
static const struct row root_rows[] = {
    { "embed.weight",  "token_embd.weight",      IN_MAIN | IN(RC_GGUF_MTP) },
    { "norm.weight",   "output_norm.weight",     IN_MAIN | IN(RC_GGUF_MTP) },
    { "head.weight",   "output.weight",          IN_MAIN | IN(RC_GGUF_MTP) },
    { "hc_head_fn",    "output_hc_fn.weight",    IN_MAIN },
    { "hc_head_base",  "output_hc_base.weight",  IN_MAIN },
    { "hc_head_scale", "output_hc_scale.weight", IN_MAIN },
};

static const struct row block_rows[] = {
    { "hc_attn_fn",          "hc_attn_fn.weight",     IN_ALL },
    { "hc_attn_base",        "hc_attn_base.weight",   IN_ALL },
    { "hc_attn_scale",       "hc_attn_scale.weight",  IN_ALL },
    { "attn_norm.weight",    "attn_norm.weight",      IN_ALL },
    { "attn.wq_a.weight",    "attn_q_a.weight",       IN_ALL },
    { "attn.q_norm.weight",  "attn_q_a_norm.weight",  IN_ALL },
    { "attn.wq_b.weight",    "attn_q_b.weight",       IN_ALL },
    { "attn.wkv.weight",     "attn_kv.weight",        IN_ALL },
    { "attn.kv_norm.weight", "attn_kv_a_norm.weight", IN_ALL },

    { "attn.compressor.wkv.weight",   "attn_compressor_kv.weight",   IN_ALL },
    { "attn.compressor.wgate.weight", "attn_compressor_gate.weight", IN_ALL },
    { "attn.compressor.ape",          "attn_compressor_ape.weight",  IN_ALL },
    { "attn.compressor.norm.weight",  "attn_compressor_norm.weight", IN_ALL },

    /* a dot after the indexer for two of them, underscores for its compressor */
    { "attn.indexer.wq_b.weight",             "indexer.attn_q_b.weight",        IN_ALL },
    { "attn.indexer.weights_proj.weight",     "indexer.proj.weight",            IN_ALL },
    { "attn.indexer.compressor.wkv.weight",   "indexer_compressor_kv.weight",   IN_ALL },
    { "attn.indexer.compressor.wgate.weight", "indexer_compressor_gate.weight", IN_ALL },
    { "attn.indexer.compressor.ape",          "indexer_compressor_ape.weight",  IN_ALL },
    { "attn.indexer.compressor.norm.weight",  "indexer_compressor_norm.weight", IN_ALL },

    { "attn.attn_sink",   "attn_sinks.weight",    IN_ALL },
    { "attn.wo_a.weight", "attn_output_a.weight", IN_ALL },
    { "attn.wo_b.weight", "attn_output_b.weight", IN_ALL },

    { "hc_ffn_fn",        "hc_ffn_fn.weight",        IN_ALL },
    { "hc_ffn_base",      "hc_ffn_base.weight",      IN_ALL },
    { "hc_ffn_scale",     "hc_ffn_scale.weight",     IN_ALL },
    { "ffn_norm.weight",  "ffn_norm.weight",         IN_ALL },
    { "ffn.gate.weight",  "ffn_gate_inp.weight",     IN_ALL },
    { "ffn.gate.bias",    "exp_probs_b.bias",        IN_ALL },
    { "ffn.gate.bias_vl", "exp_probs_b_vl.bias",     IN_MAIN | IN_BLOCKS },
    { "ffn.gate.tid2eid", "ffn_gate_tid2eid.weight", IN_ALL },

    { "ffn.shared_experts.w1.weight", "ffn_gate_shexp.weight", IN_ALL },
    { "ffn.shared_experts.w3.weight", "ffn_up_shexp.weight",   IN_ALL },
    { "ffn.shared_experts.w2.weight", "ffn_down_shexp.weight", IN_ALL },
};

static const struct row expert_rows[] = { /* below "ffn.experts.N." */
    { "w1.weight", "ffn_gate_exps.weight", IN_ALL },
    { "w3.weight", "ffn_up_exps.weight",   IN_ALL },
    { "w2.weight", "ffn_down_exps.weight", IN_ALL },
};

/* What a draft's block has besides, where it stays in the block .. */
static const struct row draft_block_rows[] = {
    { "enorm.weight",  "nextn.enorm.weight",            IN_BLOCKS },
    { "hnorm.weight",  "nextn.hnorm.weight",            IN_BLOCKS },
    { "e_proj.weight", "nextn.eh_proj.weight",          IN_BLOCKS },
    { "h_proj.weight", "nextn.eh_proj.weight",          IN_BLOCKS },
    { "norm.weight",   "nextn.shared_head_norm.weight", IN_BLOCKS },

    { "enorm.weight",  "enorm.weight",         IN_DS4 },
    { "hnorm.weight",  "hnorm.weight",         IN_DS4 },
    { "e_proj.weight", "e_proj.weight",        IN_DS4 },
    { "h_proj.weight", "h_proj.weight",        IN_DS4 },
    { "norm.weight",   "norm.weight",          IN_DS4 },
    { "hc_head_fn",    "hc_head_fn.weight",    IN_DS4 },
    { "hc_head_base",  "hc_head_base.weight",  IN_DS4 },
    { "hc_head_scale", "hc_head_scale.weight", IN_DS4 },
};

/* .. and where a file of its own gives it the root. */
static const struct row draft_root_rows[] = {
    { "hc_head_fn",    "output_hc_fn.weight",    IN(RC_GGUF_MTP) | IN_DSPARK },
    { "hc_head_base",  "output_hc_base.weight",  IN(RC_GGUF_MTP) | IN_DSPARK },
    { "hc_head_scale", "output_hc_scale.weight", IN(RC_GGUF_MTP) | IN_DSPARK },
    { "norm.weight",   "output_norm.weight",     IN_DSPARK },

    { "main_proj.weight",             "fc.weight",              IN_DSPARK },
    { "main_norm.weight",             "enc.output_norm.weight", IN_DSPARK },
    { "markov_head.markov_w1.weight", "markov_w1.weight",       IN_DSPARK },
    { "markov_head.markov_w2.weight", "markov_w2.weight",       IN_DSPARK },
    { "confidence_head.proj.weight",  "conf_proj.weight",       IN_DSPARK },
};
/* clang-format on */

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char *look_up(const struct row *rows, size_t n, const char *native, rc_gguf_kind kind)
{
    for (size_t i = 0; i < n; i++)
        if (rows[i].kinds & IN(kind) && strcmp(rows[i].native, native) == 0)
            return rows[i].gguf;
    return NULL;
}

/* What follows the n-th dot. */
static const char *below(const char *name, unsigned n)
{
    while (n-- > 0)
        name = strchr(name, '.') + 1;
    return name;
}

/* Only where the block that the file calls N is the parameter's. */
static bool has_block(const rc_param *p, rc_gguf_kind kind)
{
    return p->draft ? kind != RC_GGUF_MAIN : kind == RC_GGUF_MAIN || kind == RC_GGUF_EMBED;
}

static void spell(char out[RC_GGUF_MAX_NAME + 1], const rc_param *p, const rc_config *c,
                  rc_gguf_kind kind, const char *suffix)
{
    const bool behind = p->draft && (kind == RC_GGUF_EMBED || kind == RC_GGUF_MTP);
    const uint32_t block = (uint32_t)p->layer + (behind ? c->num_hidden_layers : 0);

    snprintf(out, RC_GGUF_MAX_NAME + 1, "%s.%" PRIu32 ".%s",
             kind == RC_GGUF_MTP_DS4 ? "mtp" : "blk", block, suffix);
}

/* The name, or false. */
static bool name_of(char out[RC_GGUF_MAX_NAME + 1], const rc_param *p, const rc_config *c,
                    rc_gguf_kind kind)
{
    const bool hashed = !p->draft && p->layer >= 0 && (uint32_t)p->layer < c->num_hash_layers;
    const char *native, *found = NULL;

    if (p->layer < 0) {
        found = look_up(root_rows, COUNT(root_rows), p->name, kind);
        snprintf(out, RC_GGUF_MAX_NAME + 1, "%s", found ? found : "");
        return found;
    }
    if (!has_block(p, kind))
        return false;
    native = below(p->name, p->expert >= 0 ? 5 : 2);
    if (p->expert >= 0)
        found = look_up(expert_rows, COUNT(expert_rows), native, kind);
    else if (!(hashed && strcmp(native, "ffn.gate.bias") == 0)) /* there for images only */
        found = look_up(block_rows, COUNT(block_rows), native, kind);
    if (!found && p->draft)
        found = look_up(draft_block_rows, COUNT(draft_block_rows), native, kind);
    if (found) {
        spell(out, p, c, kind, found);
        return true;
    }
    if (p->draft)
        found = look_up(draft_root_rows, COUNT(draft_root_rows), native, kind);
    snprintf(out, RC_GGUF_MAX_NAME + 1, "%s", found ? found : "");
    return found;
}

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), k = strlen(end);

    return n >= k && strcmp(s + n - k, end) == 0;
}

bool rc_gguf_place_of(rc_gguf_place *out, const rc_param *param, const rc_config *config,
                      rc_gguf_kind kind)
{
    *out = (rc_gguf_place){ .rank = param->rank };
    if (!name_of(out->name, param, config, kind))
        return false;
    memcpy(out->shape, param->shape, sizeof param->shape);
    if (param->expert >= 0) {
        out->rank = 3;
        out->shape[0] = config->n_routed_experts;
        out->shape[1] = param->shape[0];
        out->shape[2] = param->shape[1];
        out->row = (uint64_t)param->expert * param->shape[0];
        out->part = true;
    } else if (ends_with(out->name, ".nextn.eh_proj.weight")) {
        out->shape[1] = 2 * param->shape[1];
        out->col = ends_with(param->name, ".h_proj.weight") ? param->shape[1] : 0;
        out->part = true;
    }
    return true;
}
