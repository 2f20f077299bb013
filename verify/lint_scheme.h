/* verify/lint_scheme.h - which scheme quantization_config gives to a module, as engines look it up;
 * for lint*.c.
 *
 * compressed-tensors: `ignore` first, then the targets of config_groups, in their order. A target
 * is a name, "re:" and what re.match() takes, or a class ("Linear"). AWQ: every linear whose name
 * does not contain one of modules_to_not_convert. Modules have the engine's own names. Source:
 * vllm-project/vllm and sgl-project/sglang, quantization/compressed_tensors/utils.py (and vLLM's
 * utils/config_utils.py), auto_awq.py, awq/awq.py. */
#ifndef RC_VERIFY_LINT_SCHEME_H
#define RC_VERIFY_LINT_SCHEME_H

#include "verify/lint_facts.h"

typedef enum rc_lint_scheme {
    RC_LINT_LEFT, /* not quantized */
    RC_LINT_INT4,
    RC_LINT_FP8,        /* blocks of 128 x 128 under ".weight_scale" */
    RC_LINT_FP8_NATIVE, /* the same under ".scale": SGLang's linear_fp8_config */
    RC_LINT_OTHER,      /* another one */
    RC_LINT_UNNAMED,    /* neither a target nor ignored */
    RC_LINT_SPLIT,      /* parts of a fused module are named apart */
    RC_LINT_UNCLEAR     /* a pattern that lint does not understand */
} rc_lint_scheme;

typedef struct rc_lint_answer {
    rc_lint_scheme scheme;
    const rc_json_node *group; /* of compressed-tensors, or NULL */
    uint64_t size;             /* INT4: columns under one scale; 0: not said */
    bool symmetric;
    const char *pattern; /* UNCLEAR: that one */
} rc_lint_answer;

typedef struct rc_lint_module {
    const char *name;     /* the engine's, whole: "model.layers.0.attn.wq_b" */
    const char *shard[2]; /* names of its parts where the engine knows it as fused; or NULL */
    bool moe;             /* one of an expert's matrices */
} rc_lint_module;

/** compressed-tensors or AWQ, whichever f->layout is. */
void rc_lint_look_up(rc_lint_answer *out, const rc_lint_facts *f, rc_engine engine,
                     const rc_lint_module *m);
/** What a group of config_groups says, without looking at its targets. */
void rc_lint_read_group(rc_lint_answer *out, const rc_json_node *group);
/** In words, for want and got: "4-bit integers, groups of 128, symmetric". */
const char *rc_lint_scheme_says(const rc_lint_answer *a, char buf[96]);

#endif
