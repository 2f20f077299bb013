/* convert/pack_plan.h - where the files of a source are cut into pieces. */
#ifndef RC_CONVERT_PACK_PLAN_H
#define RC_CONVERT_PACK_PLAN_H

#include "formats/archive.h"
#include "formats/source.h"

typedef struct rc_pack_plan {
    rc_mem *mem;
    rc_archive archive; /* files and pieces of the source's files, in its order; nothing packed */
    size_t *file;       /* of each piece */
    rc_dtype *dtype;    /* of each piece; RC_DTYPE_COUNT: of no tensor */
    size_t capacity;
} rc_pack_plan;

/** Read the headers of shards and GGUF files, and cut. `plan` is zeroed; rc_pack_plan_free() in
 *  any case. RC_E_UNSAFEPATH: a name that no archive may hold; RC_E_OS, and what reading reports.
 */
RC_MUST_CHECK
rc_code rc_pack_plan_make(rc_pack_plan *plan, rc_source *src, rc_mem *mem, rc_err *err);
void rc_pack_plan_free(rc_pack_plan *plan);

#endif
