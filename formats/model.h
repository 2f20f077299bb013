/* formats/model.h - a checkpoint understood: every parameter of the schema
 * bound to the tensors that hold it, whatever the layout. */
#ifndef RC_FORMATS_MODEL_H
#define RC_FORMATS_MODEL_H

#include "formats/checkpoint.h"
#include "formats/schema.h"

typedef struct rc_model rc_model;

typedef struct rc_bound {
    const rc_param *param;
    rc_store store;
    const rc_tensor *weight; /* NULL only in a model opened as `partial` */
    const rc_tensor *scale;  /* NULL for PLAIN */
} rc_bound;

typedef enum rc_problem_kind { RC_MISSING, RC_EXTRA, RC_MALFORMED } rc_problem_kind;

typedef struct rc_problem {
    rc_problem_kind kind;
    const char *tensor;
    rc_err what; /* file, tensor, want/got as a message would say it */
} rc_problem;

/** Bind. Works out the traits from the tensors, then checks the set: names,
 *  dtypes, shapes, scale partners, agreement with the config. Suffixes `.scale` and
 *  `.weight_scale_inv` are both understood. Problems are collected, not thrown:
 *  fails only when nothing sensible can be said (RC_E_TENSORSET, RC_E_UNSUPPORTED
 *  for layouts of others, with the evidence; RC_E_OS).
 *  `ckpt` is borrowed and must outlive the model. */
RC_MUST_CHECK
rc_code rc_model_new(rc_model **out, rc_ckpt *ckpt, rc_mem *mem, rc_err *err);
void rc_model_free(rc_model **model);

rc_ckpt *rc_model_ckpt(const rc_model *model);
const rc_traits *rc_model_traits(const rc_model *model);
const rc_schema *rc_model_schema(const rc_model *model);
/** "V4-Flash", "V4-Flash-0731", "V4-Pro-Base", "V4 (custom sizes)", ...: a label from
 *  sizes and traits, for people. */
const char *rc_model_variant(const rc_model *model);

size_t rc_model_count(const rc_model *model); /* parameters, in the schema's order */
const rc_bound *rc_model_at(const rc_model *model, size_t i);
const rc_bound *rc_model_find(const rc_model *model, const char *param); /* or NULL */
/** Tensors that are well known but in no schema with shapes (vision.*): kept as they
 *  are. In file order. */
size_t rc_model_opaque_count(const rc_model *model);
const rc_tensor *rc_model_opaque(const rc_model *model, size_t i);

size_t rc_model_problems(const rc_model *model);
const rc_problem *rc_model_problem(const rc_model *model, size_t i);
/** RC_OK when there are none; else the first as an error, with the total count. */
RC_MUST_CHECK
rc_code rc_model_require_whole(const rc_model *model, rc_err *err);

#endif
