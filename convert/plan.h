/* convert/plan.h - a recipe resolved on a checkpoint.
 *
 * plan.c is what all targets share, plan_safetensors.c and plan_gguf.c are what a folder of
 * shards and a GGUF file have of their own.
 *
 * Before the first byte is written the plan knows every output tensor, its place
 * in every output shard, and every byte that will be read. It depends only on the
 * recipe and the source, never on threads, memory or what an earlier run left
 * behind: that is what makes a resumed run write the same bytes. */
#ifndef RC_CONVERT_PLAN_H
#define RC_CONVERT_PLAN_H

#include "convert/gguf_recipe.h"
#include "formats/calibration.h"
#include "formats/model.h"
#include "quantize/block_quant.h"

#define RC_PLAN_MAX_COLS 131072u /* of a quantized weight; the widest in the family has 21,504 */
#define RC_PLAN_NAME     248u    /* bytes of an output file's name, NUL included */

/* The small files of a conversion. In a folder of shards their names are fixed; beside a GGUF
 * file they carry its name. */
typedef struct rc_plan_names {
    char journal[RC_PLAN_NAME + 16], lock[RC_PLAN_NAME + 16];
    char ledger[RC_PLAN_NAME + 16], summary[RC_PLAN_NAME + 16];
    char smooth[RC_PLAN_NAME + 16]; /* of an unfinished run: scalings that were found */
    char parts[RC_PLAN_NAME + 16], join[RC_PLAN_NAME + 16]; /* of a conversion in parts: what they
                                                               have in common; join's journal */
    char source[RC_PLAN_NAME + 16]; /* which commit of a source beyond this machine (pin.h) */
    char blocks[RC_PLAN_NAME + 16]; /* sums of what was fetched of it (formats/stream.h) */
    char state[RC_PLAN_NAME + 16];  /* tensors that are half done (execute_state.c) */
} rc_plan_names;

/* A share of the output shards: part `no`, from 1, of `count`; count 0: the whole. */
typedef struct rc_share {
    uint32_t no, count;
} rc_share;

/** The names in a folder of shards, stem NULL, or beside the file STEM.gguf. */
void rc_plan_name_files(rc_plan_names *names, const char *stem, rc_share share);

typedef enum rc_plan_target {
    RC_TO_FP8,   /* routed experts F8_E4M3 + 128x128 scales, the rest as it is */
    RC_TO_BF16,  /* every quantized weight dequantized */
    RC_TO_AWQ,   /* AutoAWQ's container: experts INT4, what was FP8 INT4 or BF16 */
    RC_TO_W4A16, /* compressed-tensors' container: experts INT4, what was FP8 INT4 or as it is */
    RC_TO_GGUF   /* one file (or its splits) for llama.cpp and ds4 */
} rc_plan_target;

/* Where the MTP or DSpark blocks go. */
typedef enum rc_draft_way {
    RC_DRAFT_KEEP,     /* with the model: safetensors */
    RC_DRAFT_DROP,     /* nowhere */
    RC_DRAFT_EMBED,    /* GGUF: behind the layers of the same file (MTP only) */
    RC_DRAFT_SEPARATE, /* GGUF: a file of their own beside it */
    RC_DRAFT_AUTO /* GGUF: the same where a loader knows such a file, else nowhere; a plan's own
                     recipe says which */
} rc_draft_way;

/* INT4: what is requantized. */
typedef enum rc_int4_scope {
    RC_SCOPE_EXPERTS, /* routed experts; the rest stays FP8 (w4a16) or becomes BF16 (awq) */
    RC_SCOPE_ALL      /* attention, shared experts, drafts' projections too; wo_a is BF16 */
} rc_int4_scope;

typedef enum rc_int4_method {
    RC_METHOD_RTN,     /* nearest, ranges by weights alone (RC_INT4_CLIP without importance) */
    RC_METHOD_AWQ,     /* scaled channels, then AWQ's clip by importance */
    RC_METHOD_AWQ_PLUS /* scaled channels, RC_INT4_BEST, error feedback where moments are known */
} rc_int4_method;

/* INT4: how channels are scaled. */
typedef enum rc_smooth_way {
    RC_SMOOTH_OFF,
    RC_SMOOTH_POW2, /* powers of two: norms, router and FP8 neighbours stay exact */
    RC_SMOOTH_FREE  /* any; norms, router and compressors are rounded to BF16 */
} rc_smooth_way;

typedef struct rc_int4_recipe {
    uint32_t group; /* 32, 64, 128 */
    bool symmetric; /* w4a16; awq never is */
    rc_dtype scale; /* AWQ: F16; W4A16: BF16, or F16 when it is repacked from AWQ */
    rc_int4_scope scope;
    rc_int4_method method;
    rc_smooth_way smooth;
    const rc_calib *stats; /* or NULL: RTN, no scaling; borrowed */
    bool hf_names;         /* tensor names of transformers */
    bool repack;           /* the plan's own: the source's integers are kept */
} rc_int4_recipe;

/* What the user asked for, as far as it decides the output's bytes. */
typedef struct rc_recipe {
    rc_plan_target target;
    rc_dtype scale_dtype; /* FP8: F32 (as vLLM needs) or F8_E8M0 (as published for SGLang) */
    rc_draft_way draft;
    uint64_t shard_size;      /* bytes of tensor data a shard holds at most; 0 = as the source;
                                 GGUF: of a split; 0 = one file */
    const char *const *globs; /* only tensors that match one of them; none = all; not for GGUF */
    unsigned nglobs;
    /* GGUF only; all borrowed */
    rc_gguf_recipe *gguf;      /* a type for every tensor */
    const rc_imatrix *imatrix; /* or NULL */
    const char *imatrix_name;  /* its file, without folders */
    rc_effort effort;
    const char *stem;    /* of the files' names: "model" of "model.gguf" */
    rc_int4_recipe int4; /* AWQ and W4A16 only */
} rc_recipe;

/* What 4-bit checkpoints make of a parameter. */
typedef enum rc_int4_fate {
    RC_FATE_KEEP, /* plain: its type is kept */
    RC_FATE_INT4,
    RC_FATE_BF16,
    RC_FATE_FP8 /* codes as they are */
} rc_int4_fate;
rc_int4_fate rc_int4_fate_of(const rc_recipe *recipe, const rc_bound *bound);

/* What happens to one parameter. */
typedef enum rc_op {
    RC_OP_COPY,        /* bytes as they are */
    RC_OP_FP4_TO_FP8,  /* lossless re-tiling, with a verdict */
    RC_OP_FP8_RESCALE, /* codes as they are, scales re-typed (or re-fitted, with a verdict) */
    RC_OP_FP4_TO_BF16,
    RC_OP_FP8_TO_BF16,
    RC_OP_FP4_TO_MXFP4, /* the same codes and scales in GGUF's order */
    RC_OP_I64_TO_I32,   /* every value must fit */
    RC_OP_ENCODE,       /* decoded to f32, columns scaled, then into the output's type */
    RC_OP_INT4,         /* decoded, columns scaled, then to 4-bit integers */
    RC_OP_INT4_REPACK,  /* the same integers in the other container, scales with a verdict */
    RC_OP_COUNT
} rc_op;
const char *rc_op_name(rc_op op);

/* How the errors of an encoded row's columns are weighted. */
typedef enum rc_importance {
    RC_IMPORTANCE_NONE,
    RC_IMPORTANCE_MATRIX, /* from the importance matrix */
    RC_IMPORTANCE_STATS,  /* INT4: from the statistics; 1 where nothing is known */
    RC_IMPORTANCE_EQUAL,  /* 1 for every column: an expert that no token reached when the matrix
                             was made, as llama.cpp has it */
    RC_IMPORTANCE_ENERGY  /* from the weights: sum of the squares of each column, for types
                             that cannot do without */
} rc_importance;

/* Where an output tensor lies. */
typedef struct rc_dest {
    const char *name;
    rc_dtype dtype;
    unsigned rank;
    uint64_t shape[RC_ST_MAX_RANK]; /* of this parameter's part */
    uint64_t begin, nbytes;         /* in the output shard's file */
    uint64_t row_bytes, stride;     /* rows that do not lie side by side: bytes of one, and from
                                       one to the next; 0, 0 where they do */
} rc_dest;

/* The tensors that hold one parameter, in the source and in the output. */
typedef enum rc_part {
    RC_PART_WEIGHT,
    RC_PART_SCALE,
    RC_PART_ZERO,  /* INT4: zero points */
    RC_PART_SHAPE, /* compressed-tensors: rows and columns, I64 [2]; never read */
    RC_PART_COUNT
} rc_part;

/* One parameter's way from source to output. Its chunks are runs of whole rows
 * (of 128 for quantized weights), or the whole matrix where the output is transposed or needs to
 * know all of it; a chunk is what one thread does at a time. */
typedef struct rc_job {
    const char *name;
    rc_op op;
    const rc_param *param;                  /* NULL: a tensor that the schema does not know */
    const rc_tensor *weight, *scale, *zero; /* source; NULL when there is none */
    rc_dest out[RC_PART_COUNT];             /* name NULL when there is none */
    size_t shard;                           /* output shard of all */
    uint64_t rows, cols;                    /* logical; COPY: 1 x nbytes */
    /* where an importance matrix has its columns: entry, first of them, and how many are in a row;
     * NULL: nowhere */
    const char *imatrix_name;
    uint64_t col, pitch;
    uint64_t tiles; /* pieces that are encoded anew and should be exact, each with a verdict:
                       128x128 tiles, MXFP4 blocks, rows; 0 where loss is the point */
    rc_role role;
    uint32_t expert, experts; /* which matrix of a stack of how many; 0 of 1 */
    rc_importance importance; /* ENCODE into types that search, and INT4 */
    bool smoothed; /* a norm, or what reads one, that may be scaled (convert/smooth.h): norms are
                      divided and columns multiplied by what is found, if anything */
    rc_int4_layout int4, source_int4; /* group 0: no such integers in the output, the source */
} rc_job;

/** The source's tensor of a part, or NULL. */
const rc_tensor *rc_job_in(const rc_job *job, rc_part part);

typedef struct rc_plan_shard {
    char name[RC_PLAN_NAME]; /* of the finished file */
    char *head;              /* first bytes of the file */
    size_t head_len;
    uint64_t nbytes; /* whole file */
    uint64_t tensor_bytes;
    size_t jobs;
} rc_plan_shard;

typedef struct rc_plan rc_plan;

/** Plan. `model` and what the recipe points to are borrowed and must outlive the plan; the
 *  model must be whole. `log` (may be NULL) is told of choices that the user should know.
 *    RC_E_UNSUPPORTED  the source has no layout that this target can be made from; a type or
 *                      a group that a row does not divide into
 *    RC_E_USAGE        nothing matches the globs, or a rule; a draft that cannot go there
 *    RC_E_NOINPUT      GGUF without a tokenizer
 *    RC_E_TENSORSET    an importance matrix of another model */
RC_MUST_CHECK
rc_code rc_plan_new(rc_plan **out, const rc_model *model, const rc_recipe *recipe,
                    const rc_log *log, rc_mem *mem, rc_err *err);
void rc_plan_free(rc_plan **plan);

const rc_model *rc_plan_model(const rc_plan *plan);
const rc_recipe *rc_plan_recipe(const rc_plan *plan);
const rc_plan_names *rc_plan_names_of(const rc_plan *plan);
size_t rc_plan_jobs(const rc_plan *plan);
const rc_job *rc_plan_job(const rc_plan *plan, size_t i); /* in the order of reading */
size_t rc_plan_shards(const rc_plan *plan);
const rc_plan_shard *rc_plan_shard_at(const rc_plan *plan, size_t i);
size_t rc_plan_tensors(const rc_plan *plan);        /* output tensors */
uint64_t rc_plan_read_bytes(const rc_plan *plan);   /* of source tensors */
uint64_t rc_plan_tensor_bytes(const rc_plan *plan); /* of output tensors */
uint64_t rc_plan_file_bytes(const rc_plan *plan);   /* of output shards, headers included */
uint64_t rc_plan_tiles(const rc_plan *plan);

/* A plan is of the whole; what of it a run makes, and under which names it keeps its journal, is
 * its share (plan_share.c). Shards are shared out in runs of neighbours: a part then reads
 * neighbouring bytes of the source once, which hubs and disks serve best. The largest part is as
 * small as that allows, by bytes; no part is empty. It depends on the plan only. */
#define RC_SHARE_MAX 9999u

/** "3/8" as a share; false for anything else. */
bool rc_share_parse(const char *text, rc_share *out);
/** From now on the plan's run is of this share.
 *    RC_E_USAGE  more parts than shards; says how to get more */
RC_MUST_CHECK
rc_code rc_plan_take_share(rc_plan *plan, rc_share share, rc_err *err);
rc_share rc_plan_share(const rc_plan *plan);
bool rc_plan_is_mine(const rc_plan *plan, size_t shard);
/** The names of the whole's small files, whichever the share. */
void rc_plan_whole_names(const rc_plan *plan, rc_plan_names *names);

/* Of the share. */
typedef struct rc_share_size {
    size_t first, shards, jobs;
    uint64_t tensor_bytes, file_bytes, read_bytes;
} rc_share_size;
rc_share_size rc_plan_share_size(const rc_plan *plan);

/** The output's index and config.json, of safetensors targets; put the text back to mem. */
RC_MUST_CHECK
rc_code rc_plan_index(const rc_plan *plan, char **out, size_t *len, rc_mem *mem, rc_err *err);
RC_MUST_CHECK
rc_code rc_plan_config(const rc_plan *plan, char **out, size_t *len, rc_mem *mem, rc_err *err);

/** "fp8", "bf16", "awq", "w4a16" or "gguf"; "keep", "drop", "embed" or "separate". */
const char *rc_recipe_to(const rc_recipe *recipe);
const char *rc_recipe_draft(const rc_recipe *recipe);
bool rc_recipe_is_int4(const rc_recipe *recipe);       /* AWQ or W4A16 */
const char *rc_recipe_method(const rc_recipe *recipe); /* "rtn", "awq", "awq+" */
const char *rc_recipe_smooth(const rc_recipe *recipe); /* "off", "pow2", "free" */
const char *rc_recipe_scope(const rc_recipe *recipe);  /* "experts", "all" */
/** The recipe as one line ("fp8 scale=f32 draft=keep ..."), into buf; returns buf. */
const char *rc_recipe_text(const rc_recipe *recipe, char *buf, size_t n);

#endif
