/* verify/lint_rules.h - the tables of rules, and the checks that engines share; for lint*.c. */
#ifndef RC_VERIFY_LINT_RULES_H
#define RC_VERIFY_LINT_RULES_H

#include "verify/lint_facts.h"

extern const rc_lint_rule rc_lint_rules_vllm[], rc_lint_rules_sglang[], rc_lint_rules_llamacpp[],
    rc_lint_rules_ds4[]; /* a NULL id ends each */

/* lint_folder.c: folders of safetensors */
rc_lint_fn rc_lint_is_folder, rc_lint_files_agree, rc_lint_config_whole, rc_lint_model_type,
    rc_lint_architectures, rc_lint_format, rc_lint_quant_method, rc_lint_activation,
    rc_lint_block_size, rc_lint_fmt, rc_lint_scale_partners, rc_lint_scale_dtype, rc_lint_missing,
    rc_lint_shapes, rc_lint_weight_dtype, rc_lint_control, rc_lint_tables, rc_lint_ratios,
    rc_lint_routing, rc_lint_draft, rc_lint_tokenizer, rc_lint_chat;

/* lint_tp.c: what tensor parallelism must divide */
rc_lint_fn rc_lint_tp_heads, rc_lint_tp_groups, rc_lint_tp_experts, rc_lint_tp_intermediate,
    rc_lint_tp_blocks;

/* lint_int4.c: AWQ and compressed-tensors */
rc_lint_fn rc_lint_int4_method, rc_lint_awq_keys, rc_lint_ct_format, rc_lint_ct_format_of_all,
    rc_lint_ct_arguments, rc_lint_int4_modules_vllm, rc_lint_int4_modules_sglang,
    rc_lint_int4_experts, rc_lint_int4_names, rc_lint_int4_zeros, rc_lint_int4_wo_a,
    rc_lint_int4_wo_a_sglang, rc_lint_int4_joined, rc_lint_int4_tp, rc_lint_int4_tiles;

/* lint_gguf.c: GGUF files */
rc_lint_fn rc_lint_is_gguf, rc_lint_gguf_set, rc_lint_gguf_missing, rc_lint_gguf_extra,
    rc_lint_gguf_shapes, rc_lint_gguf_vocabulary;

/* How a key's value is typed: the loaders do not convert. */
typedef enum rc_lint_key_type {
    RC_LINT_U32,
    RC_LINT_F32,
    RC_LINT_BOOL,
    RC_LINT_U32_OR_LIST,
    RC_LINT_F32_OR_LIST,
    RC_LINT_INT_LIST,
    RC_LINT_F32_LIST,
    RC_LINT_F32_LOOSE, /* ds4: any number */
    RC_LINT_U64_LOOSE  /* ds4: u32 or u64 */
} rc_lint_key_type;

typedef struct rc_lint_key {
    const char *name; /* below the architecture */
    rc_lint_key_type type;
} rc_lint_key;

/** Each key is there (else `missing`) and has its type (else FAILS). */
void rc_lint_keys(const rc_lint_facts *f, rc_lint_finding *out, const rc_lint_key *keys, size_t n,
                  rc_lint_verdict missing);
/** general.architecture in buf, or "". */
const char *rc_lint_arch(const rc_lint_facts *f, char buf[64]);

#endif
