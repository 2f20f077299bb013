/* convert/plan_impl.h - the plan from inside; for plan*.c only. */
#ifndef RC_CONVERT_PLAN_IMPL_H
#define RC_CONVERT_PLAN_IMPL_H

#include "convert/plan.h"

struct rc_plan {
    rc_mem *mem;
    rc_arena arena; /* names that nobody else owns */
    const rc_model *model;
    rc_recipe recipe;
    rc_plan_names names;
    rc_job *jobs;
    size_t njobs;
    rc_plan_shard *shards;
    size_t nshards, ntensors;
    rc_share share;
    size_t mine, nmine; /* shards of the share: the first, and how many */
    uint64_t read_bytes, tensor_bytes, file_bytes, tiles;
};

/* Each fills jobs, in reading order, and shards. */
RC_MUST_CHECK
rc_code rc_plan_fill_safetensors(rc_plan *plan, rc_err *err);
RC_MUST_CHECK
rc_code rc_plan_fill_gguf(rc_plan *plan, const rc_log *log, rc_err *err);

/** Room for n jobs. */
RC_MUST_CHECK
rc_code rc_plan_room(rc_plan *plan, size_t n, rc_err *err);
/** By the source's shards, then by place. */
void rc_plan_sort(rc_plan *plan);
/** A copy of the source tensor's bytes. */
void rc_plan_copy(rc_job *job, const rc_tensor *t);

#endif
