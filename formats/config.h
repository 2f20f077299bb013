/* formats/config.h - config.json of a DeepSeek-V4 checkpoint.
 *
 * Field names are the file's own. Everything is bounded here, once, so that
 * no later product of two sizes can overflow or ask for absurd memory. */
#ifndef RC_FORMATS_CONFIG_H
#define RC_FORMATS_CONFIG_H

#include "formats/base/log.h"
#include "formats/base/mem.h"
#include "formats/base/status.h"

#define RC_CONFIG_MAX_LAYERS  512u      /* num_hidden_layers; compress_ratios has a few more */
#define RC_CONFIG_MAX_BYTES   16777216u /* of config.json */
#define RC_CONFIG_MAX_DIM     16777216u /* hidden_size, vocab_size, ... */
#define RC_CONFIG_MAX_EXPERTS 65536u
#define RC_CONFIG_MAX_TARGETS 16u

typedef struct rc_config {
    char model_type[32];
    char architecture[64]; /* architectures[0] */
    char expert_dtype[16]; /* "" when absent: look at the stored dtype */
    char scoring_func[32], topk_method[32];

    uint32_t vocab_size, hidden_size, num_hidden_layers, num_hash_layers;
    uint32_t num_nextn_predict_layers; /* never trusted for the number of draft blocks */
    uint32_t num_attention_heads, num_key_value_heads, head_dim, qk_rope_head_dim;
    uint32_t q_lora_rank, o_groups, o_lora_rank, sliding_window;
    uint32_t index_n_heads, index_head_dim, index_topk;
    uint32_t n_routed_experts, n_shared_experts, num_experts_per_tok, moe_intermediate_size;
    uint32_t hc_mult, hc_sinkhorn_iters, max_position_embeddings;
    uint32_t bos_token_id, eos_token_id;
    bool tie_word_embeddings, norm_topk_prob;

    uint32_t compress_ratios[RC_CONFIG_MAX_LAYERS + 16]; /* main layers, then draft blocks */
    uint32_t n_compress_ratios;

    double rms_norm_eps, hc_eps, rope_theta, compress_rope_theta;
    double routed_scaling_factor, swiglu_limit;
    double rope_factor, rope_beta_fast, rope_beta_slow; /* rope_scaling.* */
    uint32_t rope_original_max_position;

    bool has_quantization; /* quantization_config */
    char quant_method[32], quant_fmt[16], quant_scale_fmt[16], quant_activation[16];
    uint32_t weight_block[2]; /* rows, columns; 0, 0 when absent */

    /* DSpark drafts only; 0 when absent */
    uint32_t dspark_block_size, dspark_markov_rank, dspark_noise_token_id;
    uint32_t dspark_target_layer_ids[RC_CONFIG_MAX_TARGETS], n_dspark_targets;
} rc_config;

/** Parse config.json bytes. Fields that a V4 forward pass or layout needs must
 *  be there and in range; unknown fields are ignored (auto_map with a warning).
 *  Absent or null: rope_scaling gives factor 1, num_nextn_predict_layers 0,
 *  num_key_value_heads 1, norm_topk_prob true, quantization_config nothing.
 *  expert_dtype may stand at the root (which wins) or in quantization_config.
 *    RC_E_DATA         malformed, a field of the wrong type, missing, or out of
 *                      range (the message names it), or two fields that contradict
 *                      each other
 *    RC_E_UNSUPPORTED  model_type is not deepseek_v4 (said before any complaint about
 *                      a field); deepseek_v41, or a nested text_config, is named as
 *                      recognised and not handled by this version; rope_scaling.type
 *                      other than yarn, hidden_act other than silu
 *    RC_E_LIMIT        larger than RC_CONFIG_MAX_BYTES */
RC_MUST_CHECK
rc_code rc_config_parse(rc_config *out, const uint8_t *text, size_t len, const rc_log *log,
                        rc_mem *mem, rc_err *err);

#endif
