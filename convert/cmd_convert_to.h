/* convert/cmd_convert_to.h - what --to names: targets, the options that go with each, and their
 * recipes; for cmd_convert.c. */
#ifndef RC_CONVERT_CMD_CONVERT_TO_H
#define RC_CONVERT_CMD_CONVERT_TO_H

#include "convert/cmd_convert_int4.h"
#include "convert/convert.h"

/* Options that belong to some formats only. */
typedef struct rc_to_words {
    const char *scale_dtype, *draft, *recipe, *imatrix, *effort; /* NULL: not given */
    uint64_t shard_size, split_size;
    rc_opt_list tensors, types;
    rc_int4_words int4;
    bool hollow;
} rc_to_words;

#define RC_TO_FORMAT 64u

typedef struct rc_to {
    char format[RC_TO_FORMAT]; /* "fp8", "gguf:q4_k" */
    const char *dst;
    rc_to_words words; /* of all that were given those that go with the format */
    rc_recipe recipe;
    /* what the recipe points to */
    rc_gguf_recipe *gguf;
    rc_imatrix *imatrix;
    rc_calib *stats;
    char stem[RC_PLAN_NAME];
} rc_to;

typedef struct rc_to_list {
    rc_to at[RC_CONVERT_TARGETS];
    size_t n;
} rc_to_list;

/** Take the values of --to apart: FORMAT=DST, or FORMAT for the one whose DST is the second
 *  argument (`dst`, or NULL). Options apply to every target that they go with; one that goes with
 *  none is a usage error, and so is a contradiction. -1, or the exit code. */
int rc_to_parse(rc_to_list *out, const rc_opt_list *to, const char *dst, const rc_to_words *words,
                const char *src);

bool rc_to_is_gguf(const rc_to *to);

/** What of a recipe does not need the model: is to be done before hours of reading. The caller
 *  frees with rc_to_drop(), after failures too. */
RC_MUST_CHECK
rc_code rc_to_load(rc_to *to, rc_mem *mem, rc_err *err);
/** The rest. */
RC_MUST_CHECK
rc_code rc_to_resolve(rc_to *to, const rc_model *model, rc_mem *mem, rc_err *err);
void rc_to_drop(rc_to *to);

#endif
