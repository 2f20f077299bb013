/* convert/plan.h - a recipe resolved on a checkpoint.
 *
 * Before the first byte is written the plan knows every output tensor, its place
 * in every output shard, and every byte that will be read. It depends only on the
 * recipe and the source, never on threads, memory or what an earlier run left
 * behind: that is what makes a resumed run write the same bytes. */
#ifndef RC_CONVERT_PLAN_H
#define RC_CONVERT_PLAN_H

#include "formats/model.h"

#define RC_PLAN_MAX_COLS 131072u /* of a quantized weight; the widest in the family has 21,504 */

typedef enum rc_target {
    RC_TO_FP8, /* routed experts F8_E4M3 + 128x128 scales, the rest as it is */
    RC_TO_BF16 /* every quantized weight dequantized */
} rc_target;

/* What the user asked for, as far as it decides the output's bytes. */
typedef struct rc_recipe {
    rc_target target;
    rc_dtype scale_dtype; /* FP8: F32 (as vLLM needs) or F8_E8M0 (as published for SGLang) */
    bool drop_draft;
    uint64_t shard_size;      /* bytes of tensor data a shard holds at most; 0 = as the source */
    const char *const *globs; /* only tensors that match one of them; none = all */
    unsigned nglobs;
} rc_recipe;

/* What happens to one parameter. */
typedef enum rc_op {
    RC_OP_COPY,        /* bytes as they are */
    RC_OP_FP4_TO_FP8,  /* lossless re-tiling, with a verdict */
    RC_OP_FP8_RESCALE, /* codes as they are, scales re-typed (or re-fitted, with a verdict) */
    RC_OP_FP4_TO_BF16,
    RC_OP_FP8_TO_BF16,
    RC_OP_COUNT
} rc_op;
const char *rc_op_name(rc_op op);

/* Where an output tensor lies. */
typedef struct rc_dest {
    const char *name;
    rc_dtype dtype;
    unsigned rank;
    uint64_t shape[RC_ST_MAX_RANK];
    uint64_t begin, nbytes; /* in the output shard's file */
} rc_dest;

/* One parameter's way from source to output. Its chunks are runs of whole rows
 * (of 128 for quantized weights); a chunk is what one thread does at a time. */
typedef struct rc_job {
    const char *name;
    rc_op op;
    const rc_tensor *weight, *scale; /* source; scale NULL when there is none */
    rc_dest out_weight, out_scale;   /* out_scale.name NULL when there is none */
    size_t shard;                    /* output shard of both */
    uint64_t rows, cols;             /* logical; COPY: 1 x nbytes */
    uint64_t tiles;                  /* 128x128 tiles that are encoded anew, each with a verdict */
} rc_job;

typedef struct rc_plan_shard {
    char name[64];
    char *head; /* first bytes of the file */
    size_t head_len;
    uint64_t nbytes; /* whole file */
    uint64_t tensor_bytes;
    size_t jobs;
} rc_plan_shard;

typedef struct rc_plan rc_plan;

/** Plan. `model` is borrowed and must outlive the plan; it must be whole.
 *    RC_E_UNSUPPORTED  the source has no layout that this target can be made from
 *    RC_E_USAGE        nothing matches the globs */
RC_MUST_CHECK
rc_code rc_plan_new(rc_plan **out, const rc_model *model, const rc_recipe *recipe, rc_mem *mem,
                    rc_err *err);
void rc_plan_free(rc_plan **plan);

const rc_model *rc_plan_model(const rc_plan *plan);
const rc_recipe *rc_plan_recipe(const rc_plan *plan);
size_t rc_plan_jobs(const rc_plan *plan);
const rc_job *rc_plan_job(const rc_plan *plan, size_t i); /* in the order of reading */
size_t rc_plan_shards(const rc_plan *plan);
const rc_plan_shard *rc_plan_shard_at(const rc_plan *plan, size_t i);
size_t rc_plan_tensors(const rc_plan *plan);        /* output tensors */
uint64_t rc_plan_read_bytes(const rc_plan *plan);   /* of source tensors */
uint64_t rc_plan_tensor_bytes(const rc_plan *plan); /* of output tensors */
uint64_t rc_plan_file_bytes(const rc_plan *plan);   /* of output shards, headers included */
uint64_t rc_plan_tiles(const rc_plan *plan);

/** The output's index and config.json; put the text back to mem. */
RC_MUST_CHECK
rc_code rc_plan_index(const rc_plan *plan, char **out, size_t *len, rc_mem *mem, rc_err *err);
RC_MUST_CHECK
rc_code rc_plan_config(const rc_plan *plan, char **out, size_t *len, rc_mem *mem, rc_err *err);

/** The recipe as one line ("fp8 scale=f32 draft=keep ..."), into buf; returns buf. */
const char *rc_recipe_text(const rc_recipe *recipe, char *buf, size_t n);

#endif
