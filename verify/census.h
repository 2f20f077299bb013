/* verify/census.h - what a checkpoint consists of, counted from its headers. */
#ifndef RC_VERIFY_CENSUS_H
#define RC_VERIFY_CENSUS_H

#include "formats/model.h"

typedef struct rc_tally {
    uint64_t tensors; /* stored: a quantized parameter is a weight and a scale */
    uint64_t params;  /* logical parameters (matrices, vectors) */
    uint64_t values;  /* logical elements of those, tables of integers left out */
    uint64_t nbytes;  /* stored, scales included */
} rc_tally;

/* metadata.total_size of the index against the tensors' bytes. */
typedef enum rc_index_says {
    RC_INDEX_NONE,   /* a single file without an index */
    RC_INDEX_SILENT, /* an index without a usable total_size */
    RC_INDEX_AGREES,
    RC_INDEX_DIFFERS
} rc_index_says;

typedef struct rc_census {
    rc_tally all;                          /* every stored tensor, bound or not */
    rc_tally by_dtype[RC_DTYPE_COUNT + 1]; /* the last: types that we cannot decode */
    rc_tally by_role[RC_ROLE_COUNT];
    char stored[RC_ROLE_COUNT][64]; /* how: "FP4+E8M0", "BF16, F32", cut with ".." */
    uint64_t unplaced;              /* tensors that belong to no parameter: see the problems */
    uint64_t file_bytes;            /* of all shards, headers included */

    /* Values of the main model, of the draft, and of the main model for one token:
     * num_experts_per_tok of n_routed_experts, and one row of the embedding. */
    uint64_t values_main, values_draft, values_active;

    /* Main layers, by attention (compress_ratios) and by routing. */
    uint32_t window, csa, hca; /* ratio 0, 4, 128 */
    uint32_t hashed, scored;

    rc_index_says index;
    uint64_t index_total; /* what the index says, when it says something */
} rc_census;

/** Count. Reads nothing but the index (again, for its total_size).
 *  RC_E_OS memory, and what reading the index reports. */
RC_MUST_CHECK
rc_code rc_census_take(rc_census *out, const rc_model *model, rc_mem *mem, rc_err *err);

/** The index of a checkpoint and its total_size; also used by the judge. */
RC_MUST_CHECK
rc_code rc_census_index(rc_index_says *says, uint64_t *total, rc_ckpt *ckpt, rc_mem *mem,
                        rc_err *err);
const char *rc_index_says_name(rc_index_says says);

#endif
