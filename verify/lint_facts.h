/* verify/lint_facts.h - what rules look at, and how they say what they found; for lint*.c. */
#ifndef RC_VERIFY_LINT_FACTS_H
#define RC_VERIFY_LINT_FACTS_H

#include "formats/base/json_tree.h"
#include "formats/model.h"
#include "verify/lint.h"

/* Layouts that are told apart before anything is bound to the schema. */
typedef enum rc_lint_layout {
    RC_LINT_NATIVE, /* names of the release: FP4, FP8 or BF16 experts */
    RC_LINT_AWQ,
    RC_LINT_GPTQ,
    RC_LINT_CT, /* compressed-tensors, packed */
    RC_LINT_CT_FP8,
    RC_LINT_NVFP4, /* ModelOpt */
    RC_LINT_BNB,
    RC_LINT_HF,     /* names of transformers */
    RC_LINT_STACKED /* experts in one tensor of rank 3 */
} rc_lint_layout;

struct rc_lint_facts {
    rc_mem *mem;
    rc_ckpt *ckpt;
    rc_ckpt_faults faults;
    rc_model *model; /* NULL when the tensors could not be bound .. */
    rc_err unbound;  /* .. and why */
    uint32_t tp;

    /* a folder's */
    rc_arena text;
    const rc_json_node *config; /* root of config.json, NULL for a GGUF file */
    const rc_json_node *quant;  /* quantization_config, or NULL */
    const rc_json_node *tokenizer_config;
    rc_lint_layout layout;
    const rc_tensor *mark; /* the tensor that told the layout */
    const char *no_format; /* a shard whose __metadata__ has no "format": "pt" */
    size_t no_formats;

    rc_err warning; /* the first that the readers gave */
    size_t warnings;
};

/** Say it. The worst verdict counts; of equals the first stays, and the rest are counted.
 *  Returns the evidence to be completed (file, tensor, want, got, hint), or NULL when this one
 *  is only counted; all rc_err_*() accept that. */
RC_PRINTF(3, 4)
rc_err *rc_lint_say(rc_lint_finding *out, rc_lint_verdict verdict, const char *fmt, ...);
/** The rule does not apply. */
RC_PRINTF(2, 3) void rc_lint_skip(rc_lint_finding *out, const char *fmt, ...);
/** The evidence of a reader's error. */
void rc_lint_quote(rc_lint_finding *out, rc_lint_verdict verdict, const rc_err *err);
/** A tensor as evidence: its name and file. */
void rc_lint_at(rc_err *e, const rc_lint_facts *f, const rc_tensor *t);

/* config.json; all of these say false when the key is absent, null, or of another type */
bool rc_lint_str(const rc_json_node *object, const char *key, const char **out);
bool rc_lint_u64(const rc_json_node *object, const char *key, uint64_t *out);
/** expert_dtype as engines read it that look at the root only. */
bool rc_lint_expert_dtype(const rc_lint_facts *f, const char **out);

/** Is the file in the folder? */
bool rc_lint_has_file(const rc_lint_facts *f, const char *name);
bool rc_lint_has_folder(const rc_lint_facts *f, const char *name);

/** True when the model is bound; else the finding becomes skipped, with the reason. */
bool rc_lint_bound(const rc_lint_facts *f, rc_lint_finding *out);
/** The store of routed experts, told by the first one: RC_STORE_COUNT when nobody knows. */
rc_store rc_lint_experts(const rc_lint_facts *f);
/** The scale of a quantized parameter is under its other name, .weight_scale_inv? */
bool rc_lint_is_inv(const char *name);
/** Bound, and in 4-bit integers of AWQ's or compressed-tensors' kind? */
bool rc_lint_is_int4(const rc_lint_facts *f);
const char *rc_lint_layout_name(rc_lint_layout layout);
bool rc_lint_ends_with(const char *s, const char *suffix);

#endif
