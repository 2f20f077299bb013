/* formats/inputs.c - see inputs.h. */
#include "formats/inputs.h"

#include <string.h>

static const struct reader {
    const char *name; /* below its block; of an expert below its number */
    rc_input_at at;
} readers[] = {
    { "attn.wq_a.weight", RC_INPUT_ATTN },
    { "attn.wkv.weight", RC_INPUT_ATTN },
    { "attn.compressor.wkv.weight", RC_INPUT_ATTN },
    { "attn.compressor.wgate.weight", RC_INPUT_ATTN },
    { "attn.indexer.weights_proj.weight", RC_INPUT_ATTN },
    { "attn.indexer.compressor.wkv.weight", RC_INPUT_ATTN },
    { "attn.indexer.compressor.wgate.weight", RC_INPUT_ATTN },
    { "attn.wq_b.weight", RC_INPUT_Q },
    { "attn.indexer.wq_b.weight", RC_INPUT_Q },
    { "attn.wo_a.weight", RC_INPUT_O_A },
    { "attn.wo_b.weight", RC_INPUT_O_B },
    { "ffn.gate.weight", RC_INPUT_FFN },
    { "ffn.shared_experts.w1.weight", RC_INPUT_FFN },
    { "ffn.shared_experts.w3.weight", RC_INPUT_FFN },
    { "ffn.shared_experts.w2.weight", RC_INPUT_SHARED_DOWN },
    { "e_proj.weight", RC_INPUT_E_PROJ },
    { "h_proj.weight", RC_INPUT_H_PROJ },
};

static const struct reader expert_readers[] = {
    { "w1.weight", RC_INPUT_EXPERT },
    { "w3.weight", RC_INPUT_EXPERT },
    { "w2.weight", RC_INPUT_DOWN },
};

const char *rc_input_name(rc_input_at at)
{
    static const char *const names[RC_INPUT_COUNT] = {
        [RC_INPUT_ATTN] = "the output of attn_norm",
        [RC_INPUT_Q] = "the output of q_norm",
        [RC_INPUT_O_A] = "the output of the heads (wo_a's input)",
        [RC_INPUT_O_B] = "the input of wo_b",
        [RC_INPUT_FFN] = "the output of ffn_norm",
        [RC_INPUT_EXPERT] = "the input of an expert",
        [RC_INPUT_DOWN] = "the hidden state of an expert (w2's input)",
        [RC_INPUT_SHARED_DOWN] = "the hidden state of the shared expert (w2's input)",
        [RC_INPUT_E_PROJ] = "the output of enorm",
        [RC_INPUT_H_PROJ] = "the output of hnorm",
        [RC_INPUT_HEAD] = "the input of the output matrix",
    };

    return names[at];
}

static bool look_up(const struct reader *rows, size_t n, const char *name, rc_input_at *at)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(rows[i].name, name) == 0) {
            *at = rows[i].at;
            return true;
        }
    return false;
}

bool rc_input_of(const rc_param *p, const rc_config *c, rc_input_at *at)
{
    const char *below = p->name;

    *at = RC_INPUT_HEAD;
    if (p->layer < 0)
        return strcmp(p->name, c->tie_word_embeddings ? "embed.weight" : "head.weight") == 0;
    for (unsigned dots = p->expert >= 0 ? 5 : 2; dots > 0; dots--)
        below = strchr(below, '.') + 1;
    if (p->expert >= 0)
        return look_up(expert_readers, sizeof expert_readers / sizeof *expert_readers, below, at);
    return look_up(readers, sizeof readers / sizeof *readers, below, at);
}

uint64_t rc_input_cols(rc_input_at at, const rc_config *c)
{
    switch (at) {
    case RC_INPUT_Q:
        return c->q_lora_rank;
    case RC_INPUT_O_A:
        return c->num_attention_heads / c->o_groups * c->head_dim;
    case RC_INPUT_O_B:
        return (uint64_t)c->o_groups * c->o_lora_rank;
    case RC_INPUT_DOWN:
    case RC_INPUT_SHARED_DOWN:
        return c->moe_intermediate_size;
    default:
        return c->hidden_size;
    }
}
