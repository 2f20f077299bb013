/* formats/model.h - a checkpoint understood: every parameter of the schema
 * bound to the tensors that hold it, whatever the layout. */
#ifndef RC_FORMATS_MODEL_H
#define RC_FORMATS_MODEL_H

#include "formats/checkpoint.h"
#include "formats/schema.h"

#define RC_MODEL_KEPT 400u /* problems kept of each kind; all are counted */

typedef struct rc_model rc_model;

typedef struct rc_bound {
    const rc_param *param;
    rc_store store;
    bool elsewhere;          /* this kind of file has no place for it: not missing */
    const rc_tensor *weight; /* NULL when missing (a problem says so), or elsewhere */
    const rc_tensor *scale;  /* NULL for PLAIN and BLOCKS, and when missing */
    const rc_tensor *zero;   /* PACKED and AWQ: zero points; NULL: symmetric */
    const rc_tensor *shape;  /* PACKED: its ".weight_shape", for whoever counts or copies */
    uint32_t group;          /* PACKED and AWQ: columns under one scale; else 0 */
    float gain;              /* NVFP4: the scale of all, as read from its file; else 1 */

    /* Where in `weight` it lies. A GGUF file stacks experts and joins matrices side by
     * side; otherwise 0, 0 and the parameter's own row. */
    uint64_t row, col; /* of its first element; rows count through the stack */
    uint64_t pitch;    /* elements in a row of the tensor */
} rc_bound;

typedef enum rc_problem_kind { RC_MISSING, RC_EXTRA, RC_MALFORMED } rc_problem_kind;

typedef struct rc_problem {
    rc_problem_kind kind;
    const char *tensor; /* "" when the config is at fault */
    rc_err what;        /* file, tensor, want/got as a message would say it */
} rc_problem;

/** Bind. Works out the traits from the tensors, then checks the set: names,
 *  dtypes, shapes, scale partners, agreement with the config. Suffixes `.scale` and
 *  `.weight_scale_inv` are both understood. Two harmless departures are only noted:
 *  norms in F32, and a BF16 attn.wo_a.weight without scale (a published re-pack).
 *  A draft that is wholly absent is fine; one that is half there is not.
 *  Where routed experts are 4-bit integers (PACKED, AWQ) every quantized parameter may be INT4, FP8
 *  or BF16 for itself; the scales of FP8 are then ".weight_scale" too. Names may be those of
 *  transformers (formats/hf_names.h); messages then have the file's.
 *  Routed experts may be ModelOpt's NVFP4, those of a draft then FP4 too; their scales
 *  ".weight_scale_2", one number each, are read here.
 *  In a GGUF file every parameter may be of any float or block type, and a table of
 *  integers I32; what the kind of file has no place for is elsewhere.
 *  Problems are collected, not thrown: fails only when nothing sensible can be said
 *    RC_E_TENSORSET    config and tensors contradict (see rc_schema_new)
 *    RC_E_UNSUPPORTED  the layout of another program (GPTQ, compressed-tensors other than
 *                      pack-quantized, NVFP4 outside routed experts, ..); names the evidence
 *    RC_E_LIMIT, RC_E_OS, and what reading a number reports
 *  `ckpt` is borrowed and must outlive the model. */
RC_MUST_CHECK
rc_code rc_model_new(rc_model **out, rc_ckpt *ckpt, rc_mem *mem, rc_err *err);
void rc_model_free(rc_model **model);

rc_ckpt *rc_model_ckpt(const rc_model *model);
const rc_traits *rc_model_traits(const rc_model *model);
const rc_schema *rc_model_schema(const rc_model *model);
/** A label for people, from sizes and traits: "V4-Flash", "V4-Pro with DSpark (as 0813)",
 *  "V4-Flash, FP8 experts, F32 scales (layout of Base)", "V4 (custom sizes), no draft".
 *  A layout tells nothing about the values: re-packs carry the label of their layout. */
const char *rc_model_variant(const rc_model *model);

size_t rc_model_count(const rc_model *model); /* parameters, in the schema's order */
const rc_bound *rc_model_at(const rc_model *model, size_t i);
const rc_bound *rc_model_find(const rc_model *model, const char *param); /* or NULL */
/** Tensors that are well known but in no schema with shapes (vision.*): kept as they
 *  are. In file order. */
size_t rc_model_opaque_count(const rc_model *model);
const rc_tensor *rc_model_opaque(const rc_model *model, size_t i);

/** Problems that can be looked at: the first RC_MODEL_KEPT of each kind. Config
 *  first, then in the schema's order, then extra tensors in file order. */
size_t rc_model_problems(const rc_model *model);
const rc_problem *rc_model_problem(const rc_model *model, size_t i);
/** All that there are. */
size_t rc_model_problems_total(const rc_model *model);
/** Departures that are no problem, to be told once (code RC_OK). */
size_t rc_model_notes(const rc_model *model);
const rc_err *rc_model_note(const rc_model *model, size_t i);
/** RC_OK when there are no problems; else RC_E_TENSORSET: the first, with the total
 *  count. */
RC_MUST_CHECK
rc_code rc_model_require_whole(const rc_model *model, rc_err *err);

#endif
