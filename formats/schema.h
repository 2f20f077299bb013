/* formats/schema.h - which tensors a DeepSeek-V4 checkpoint has.
 *
 * A *parameter* is a matrix or vector of the model under its logical shape:
 * "layers.0.ffn.experts.3.w1.weight" is [2048, 4096] whether it is stored as
 * packed FP4 + E8M0 groups, as FP8 + 128x128 scales, or as BF16. The schema
 * lists parameters, derived from the config and from a few traits that are
 * read off the tensors; a *layout* says how each one is stored.
 * Source: the official inference/model.py and the published headers
 * (tests/data/counts.md has the figures it must reproduce). */
#ifndef RC_FORMATS_SCHEMA_H
#define RC_FORMATS_SCHEMA_H

#include "formats/base/mem.h"
#include "formats/base/status.h"
#include "formats/config.h"
#include "formats/dtype.h"

#define RC_SCHEMA_MAX_PARAMS 500000u /* V4-Pro has 75,000; ours, it bounds memory to 60 MB */

typedef enum rc_draft { RC_DRAFT_NONE, RC_DRAFT_MTP, RC_DRAFT_DSPARK } rc_draft;
const char *rc_draft_name(rc_draft draft);

/* What a parameter is for; the unit of every table by role. */
typedef enum rc_role {
    RC_ROLE_EMBED,      /* embed.weight */
    RC_ROLE_HEAD,       /* head.weight */
    RC_ROLE_NORM,       /* all RMSNorm gains, those inside other groups included */
    RC_ROLE_HC,         /* hyper-connections, hc_head included */
    RC_ROLE_ATTN,       /* wq_a, wq_b, wkv, wo_a, wo_b, sinks */
    RC_ROLE_COMPRESSOR, /* attn.compressor.* */
    RC_ROLE_INDEXER,    /* attn.indexer.*, its compressor included */
    RC_ROLE_ROUTER,     /* gate.weight, gate.bias, gate.bias_vl, gate.tid2eid */
    RC_ROLE_SHARED,     /* shared experts */
    RC_ROLE_EXPERT,     /* routed experts */
    RC_ROLE_DRAFT,      /* matrices of a draft beyond a layer: e_proj, main_proj, .. */
    RC_ROLE_VISION,     /* vision.*, aligner.*, image_* */
    RC_ROLE_COUNT
} rc_role;
const char *rc_role_name(rc_role role);

/* How a parameter is stored. */
typedef enum rc_store {
    RC_STORE_PLAIN,  /* one tensor of `dtype` under the logical shape */
    RC_STORE_FP8,    /* F8_E4M3 [o, i] + scale [ceil(o/128), ceil(i/128)], E8M0 or F32 */
    RC_STORE_FP4,    /* I8 [o, i/2], low nibble first, + E8M0 scale [o, i/32] */
    RC_STORE_BLOCKS, /* in a GGUF file: rows of blocks that hold their own scales */
    RC_STORE_NVFP4,  /* ModelOpt's, only read: U8 [o, i/2], low nibble first, + F8_E4M3
                        ".weight_scale"  [o, i/16] + one F32 ".weight_scale_2" (rc_bound.gain) */
    RC_STORE_PACKED, /* compressed-tensors pack-quantized INT4: "weight_packed" I32 [o, i/8] +
                        "weight_scale" [o, i/G] + "weight_shape" I64 [2] and, when asymmetric,
                        "weight_zero_point" I32 [o/8, i/G]; see kernels/int4_pack.h */
    RC_STORE_AWQ,    /* AutoAWQ "GEMM" INT4, transposed: "qweight" I32 [i, o/8] + "scales" F16
                        [i/G, o] + "qzeros" I32 [i/G, o/8] */
    RC_STORE_COUNT
} rc_store;
const char *rc_store_name(rc_store store);

/* What the native release quantizes; decides how each parameter may be stored. */
typedef enum rc_quant {
    RC_QUANT_NONE,  /* BF16, F32 or I64, as `dtype` says */
    RC_QUANT_DENSE, /* FP8 in every native release */
    RC_QUANT_EXPERT /* FP4, or FP8 in -Base and re-packs */
} rc_quant;

typedef struct rc_param {
    const char *name; /* with ".weight" where the tensor has it; owned by the schema */
    rc_role role;
    rc_quant quant;
    rc_dtype dtype; /* native dtype of a PLAIN parameter */
    unsigned rank;
    uint64_t shape[2]; /* logical, outermost first; rank 0..2 */
    int32_t layer;     /* main layer, or -1 outside; draft blocks count from 0 too */
    int32_t expert;    /* or -1 */
    bool draft;        /* under mtp.* */
} rc_param;

/* Read off the tensors, never off the name of the release. */
typedef struct rc_traits {
    rc_draft draft;
    uint32_t draft_blocks; /* 0; 1 for MTP; 3 for DSpark */
    rc_store experts; /* of routed experts: FP4, FP8, PLAIN (BF16), NVFP4, PACKED, AWQ, or BLOCKS */
    rc_store dense;   /* of RC_QUANT_DENSE parameters: FP8, PLAIN (BF16), or BLOCKS. Where experts
                         are PACKED or AWQ not all need be alike, and this is how the first
                         attn.wq_a is stored: perhaps as experts are */
    rc_dtype expert_scale; /* F8_E8M0 or F32; F8_E4M3 for NVFP4; BF16, F16 or F32 for PACKED, AWQ */
    rc_dtype dense_scale;
    bool vision;
} rc_traits;

typedef struct rc_schema rc_schema;

/** All parameters of a model in the order of the model: embedding, layers, output
 *  (hc_head, norm, head), draft blocks. Of the traits only `draft`, `draft_blocks`,
 *  `experts` and `vision` matter. Vision parameters have no published shapes and are
 *  not listed. A tied head (tie_word_embeddings) is no parameter.
 *  RC_E_TENSORSET when config and traits contradict (compress_ratios too short,
 *  a ratio other than 0, 4 or 128, a dimension that no layout can hold);
 *  RC_E_LIMIT over RC_SCHEMA_MAX_PARAMS, before anything is allocated. */
RC_MUST_CHECK
rc_code rc_schema_new(rc_schema **out, const rc_config *config, const rc_traits *traits,
                      rc_mem *mem, rc_err *err);
void rc_schema_free(rc_schema **schema);
size_t rc_schema_count(const rc_schema *schema);
const rc_param *rc_schema_at(const rc_schema *schema, size_t i);
const rc_param *rc_schema_find(const rc_schema *schema, const char *name); /* or NULL */

/* One stored tensor, as a layout wants it. */
typedef struct rc_want {
    char name[256];
    rc_dtype dtype;
    unsigned rank;
    uint64_t shape[2];
    uint64_t nbytes;
} rc_want;

/** The tensors that hold `param` under `store`: want[0] the weight and, for FP8, FP4 and NVFP4,
 *  want[1] its scale (".weight" -> ".scale", of NVFP4 ".weight_scale"). Returns how many: 1 or 2.
 *  `dtype` is used for PLAIN (native dtype or BF16), `scale` for FP8. */
unsigned rc_param_layout(const rc_param *param, rc_store store, rc_dtype dtype, rc_dtype scale,
                         rc_want want[2]);
enum { RC_WANT_MAX = 4 };

/* How a matrix lies in 4-bit integers. */
typedef struct rc_int4_layout {
    rc_store store; /* PACKED or AWQ */
    uint32_t group; /* columns under one scale: 32, 64 or 128 */
    bool zeros;     /* zero points are stored; AWQ always has them */
    rc_dtype scale; /* BF16, F16 or F32; AWQ: F16 */
} rc_int4_layout;

/** The tensors that hold `param` (a matrix) as `layout` says: codes, scales, zero points (or not),
 *  and for PACKED last the shape. Returns how many: 3 or 4, or PACKED without zeros 3. Rows and
 *  columns must be multiples of 8 and of the group: the caller checks. */
unsigned rc_param_int4(const rc_param *param, const rc_int4_layout *layout,
                       rc_want want[RC_WANT_MAX]);

/** The same as the native release described by `traits` stores it. */
unsigned rc_param_native(const rc_param *param, const rc_traits *traits, rc_want want[2]);

#endif
