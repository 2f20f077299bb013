/* tests/unit/released.h - the sizes of the published models. */
#ifndef RC_TESTS_UNIT_RELEASED_H
#define RC_TESTS_UNIT_RELEASED_H

#include "formats/schema.h"

/* Flash and Pro, as released in April. */
static inline rc_config released_config(bool pro, unsigned draft_blocks)
{
    rc_config c = {
        .vocab_size = 129280,
        .hidden_size = pro ? 7168 : 4096,
        .num_hidden_layers = pro ? 61 : 43,
        .num_hash_layers = 3,
        .num_nextn_predict_layers = 1,
        .num_attention_heads = pro ? 128 : 64,
        .num_key_value_heads = 1,
        .head_dim = 512,
        .qk_rope_head_dim = 64,
        .q_lora_rank = pro ? 1536 : 1024,
        .o_groups = pro ? 16 : 8,
        .o_lora_rank = 1024,
        .sliding_window = 128,
        .index_n_heads = 64,
        .index_head_dim = 128,
        .index_topk = pro ? 1024 : 512,
        .n_routed_experts = pro ? 384 : 256,
        .n_shared_experts = 1,
        .num_experts_per_tok = 6,
        .moe_intermediate_size = pro ? 3072 : 2048,
        .hc_mult = 4,
    };

    for (unsigned i = 0; i < c.num_hidden_layers; i++)
        c.compress_ratios[i] = i >= 2 ? (i % 2 ? 128 : 4) : pro ? 128 : 0;
    c.n_compress_ratios = c.num_hidden_layers + draft_blocks; /* the draft's are 0 */
    if (draft_blocks == 3) {
        c.dspark_block_size = 5;
        c.dspark_noise_token_id = 128799;
        c.dspark_markov_rank = pro ? 512 : 256;
        c.n_dspark_targets = 3;
        for (unsigned i = 0; i < 3; i++)
            c.dspark_target_layer_ids[i] = c.num_hidden_layers - 3 + i;
    }
    return c;
}

static const rc_traits native_mtp = { .draft = RC_DRAFT_MTP,
                                      .draft_blocks = 1,
                                      .experts = RC_STORE_FP4,
                                      .dense = RC_STORE_FP8,
                                      .expert_scale = RC_DTYPE_F8_E8M0,
                                      .dense_scale = RC_DTYPE_F8_E8M0 };
static const rc_traits native_dspark = { .draft = RC_DRAFT_DSPARK,
                                         .draft_blocks = 3,
                                         .experts = RC_STORE_FP4,
                                         .dense = RC_STORE_FP8,
                                         .expert_scale = RC_DTYPE_F8_E8M0,
                                         .dense_scale = RC_DTYPE_F8_E8M0 };

#endif
