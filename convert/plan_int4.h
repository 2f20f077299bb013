/* convert/plan_int4.h - what each parameter becomes in AutoAWQ's and compressed-tensors' 4-bit
 * containers, and the quantization_config that says so to loaders.
 *
 *              experts   attention, shared experts, drafts     wo_a   norms, router, ..
 *     awq      INT4      BF16; INT4 with scope all             BF16   as they are
 *     w4a16    INT4      FP8; INT4 with scope all              BF16   as they are
 *
 * wo_a is BF16 everywhere: no loader takes it in 4 bits, and the two that matter do not agree on
 * the name of its FP8 scale. Shared experts of w4a16 are BF16 where channels may be scaled
 * (convert/smooth.h), which FP8 tiles cannot follow without loss. A source that is one of the containers gives
 * the other with the same integers. */
#ifndef RC_CONVERT_PLAN_INT4_H
#define RC_CONVERT_PLAN_INT4_H

#include "convert/plan_impl.h"

/** Does the source hold 4-bit integers of one of the containers? */
bool rc_plan_is_repack(const rc_model *model);

/** Settle the recipe: of a repack, group and symmetry are the source's, and nothing is searched.
 *    RC_E_UNSUPPORTED  the source is of the same container already, or of another target's; groups
 *                      of different sizes */
RC_MUST_CHECK
rc_code rc_plan_int4_recipe(rc_recipe *recipe, const rc_model *model, rc_err *err);

/** Plan one parameter. RC_E_UNSUPPORTED: rows or columns that groups or words do not divide. */
RC_MUST_CHECK
rc_code rc_plan_int4_bound(rc_plan *plan, rc_job *job, const rc_bound *bound, rc_err *err);

/** The value of quantization_config, for what is really planned; put it back to mem.
 *    RC_E_UNSUPPORTED  modules of one kind in different layouts, which loaders cannot be told */
RC_MUST_CHECK
rc_code rc_plan_int4_config(const rc_plan *plan, char **out, rc_mem *mem, rc_err *err);

#endif
