/* verify/alike.c - see alike.h. */
#include "verify/alike.h"

#include <string.h>

bool rc_alike_sizes(const rc_config *a, const rc_config *b)
{
    return a->vocab_size == b->vocab_size && a->hidden_size == b->hidden_size &&
           a->num_hidden_layers == b->num_hidden_layers && a->hc_mult == b->hc_mult;
}

static bool alike_attention(const rc_config *a, const rc_config *b)
{
    return a->num_attention_heads == b->num_attention_heads && a->head_dim == b->head_dim &&
           a->num_key_value_heads == b->num_key_value_heads &&
           a->qk_rope_head_dim == b->qk_rope_head_dim && a->q_lora_rank == b->q_lora_rank &&
           a->o_groups == b->o_groups && a->o_lora_rank == b->o_lora_rank &&
           a->sliding_window == b->sliding_window && a->index_n_heads == b->index_n_heads &&
           a->index_head_dim == b->index_head_dim && a->index_topk == b->index_topk &&
           a->rope_theta == b->rope_theta && a->compress_rope_theta == b->compress_rope_theta &&
           a->rope_factor == b->rope_factor && a->rope_beta_fast == b->rope_beta_fast &&
           a->rope_beta_slow == b->rope_beta_slow &&
           a->rope_original_max_position == b->rope_original_max_position &&
           memcmp(a->compress_ratios, b->compress_ratios,
                  a->num_hidden_layers * sizeof *a->compress_ratios) == 0;
}

static bool alike_experts(const rc_config *a, const rc_config *b)
{
    return a->num_hash_layers == b->num_hash_layers && a->n_routed_experts == b->n_routed_experts &&
           a->n_shared_experts == b->n_shared_experts &&
           a->num_experts_per_tok == b->num_experts_per_tok &&
           a->moe_intermediate_size == b->moe_intermediate_size &&
           a->norm_topk_prob == b->norm_topk_prob &&
           a->routed_scaling_factor == b->routed_scaling_factor &&
           a->swiglu_limit == b->swiglu_limit && strcmp(a->scoring_func, b->scoring_func) == 0;
}

bool rc_alike_config(const rc_config *a, const rc_config *b)
{
    return rc_alike_sizes(a, b) && alike_attention(a, b) && alike_experts(a, b) &&
           a->hc_sinkhorn_iters == b->hc_sinkhorn_iters && a->hc_eps == b->hc_eps &&
           a->rms_norm_eps == b->rms_norm_eps && a->tie_word_embeddings == b->tie_word_embeddings;
}

/* For each parameter of NATIVE: was it compared, and equal? A scaling that was undone to compare is
 * no equality: the same function, but other numbers on the way (--numerics native rounds those). */
static bool *equal_parameters(const rc_judge *judge, rc_mem *mem)
{
    const rc_model *m = rc_judge_native(judge)->model;
    const size_t n = rc_model_count(m);
    bool *equal = rc_mem_get(mem, n ? n : 1);

    for (size_t i = 0; equal && i < rc_judge_pairs(judge); i++) {
        const rc_pair *p = rc_judge_pair(judge, i);

        if (p->a)
            equal[p->a - rc_model_at(m, 0)] = rc_stats_exact(&p->stats) && !p->scaled;
    }
    return equal;
}

rc_code rc_alike_of(rc_alike *out, const rc_judge *judge, rc_mem *mem, rc_err *err)
{
    const rc_model *m;
    bool *equal;

    memset(out, 0, sizeof *out);
    if (!judge)
        return RC_OK;
    m = rc_judge_native(judge)->model;
    equal = equal_parameters(judge, mem);
    if (!equal)
        return rc_fail_nomem(err, mem, rc_model_count(m));
    out->config = rc_alike_config(rc_ckpt_config(rc_judge_native(judge)->ckpt),
                                  rc_ckpt_config(rc_judge_converted(judge)->ckpt));
    out->embed = out->head = true;
    memset(out->layer, true, sizeof out->layer);
    for (size_t i = 0; i < rc_model_count(m); i++) {
        const rc_param *p = rc_model_at(m, i)->param;
        bool *part = p->layer >= 0              ? &out->layer[p->layer]
                     : p->role == RC_ROLE_EMBED ? &out->embed
                                                : &out->head;

        if (!p->draft)
            *part = *part && equal[i];
    }
    if (rc_ckpt_config(rc_judge_native(judge)->ckpt)->tie_word_embeddings)
        out->head = out->head && out->embed;
    rc_mem_put(mem, equal);
    return RC_OK;
}
