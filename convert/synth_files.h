/* convert/synth_files.h - the small files of a synthetic checkpoint. */
#ifndef RC_CONVERT_SYNTH_FILES_H
#define RC_CONVERT_SYNTH_FILES_H

#include "formats/base/io.h"
#include "formats/base/mem.h"
#include "formats/base/status.h"

/* What distinguishes the releases; the rest of config.json is common to them. */
typedef struct rc_preset {
    const char *like;
    bool fp8_experts; /* -Base: FP8 experts, every scale F32 */
    bool dspark;
    bool tiny;
    uint32_t hidden_size, num_hidden_layers, num_hash_layers;
    uint32_t num_attention_heads, head_dim, q_lora_rank, o_groups, o_lora_rank;
    uint32_t index_n_heads, index_topk;
    uint32_t n_routed_experts, num_experts_per_tok, moe_intermediate_size;
    uint32_t vocab_size, max_position_embeddings;
    uint32_t first_ratios[2]; /* of layers 0 and 1; then 4 and 128 take turns */
    uint32_t first_layer;     /* of the release that is layer 0 here */
    uint32_t markov_rank;
    double routed_scaling_factor;
} rc_preset;

/** By name, cut to `layers` from layer `first` on, and to `experts` (0 = all). RC_E_USAGE when that
 * cannot be. */
RC_MUST_CHECK
rc_code rc_preset_find(rc_preset *out, const char *like, uint32_t first, uint32_t layers,
                       uint32_t experts, rc_err *err);

/** config.json. NUL-terminated; put it back to mem. */
RC_MUST_CHECK
rc_code rc_preset_config(const rc_preset *preset, char **text, size_t *len, rc_mem *mem,
                         rc_err *err);

/** generation_config.json, tokenizer.json, tokenizer_config.json, LICENSE, encoding/:
 *  stand-ins that say so. The tokenizer is small but real (synth_tokenizer.h); that of
 *  `tiny` has a token for every id. */
RC_MUST_CHECK
rc_code rc_preset_side_files(const rc_preset *preset, const rc_dir *dir, rc_mem *mem, rc_err *err);
/** Remove them, as far as they are there. */
void rc_preset_remove_side_files(const rc_dir *dir);

#endif
