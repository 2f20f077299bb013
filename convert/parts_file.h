/* convert/parts_file.h - recast.parts.json: what all parts of one conversion have in common.
 *
 *     {
 *       "format": 1,
 *       "tool": "recast VERSION",
 *       "parts": 8,
 *       "source": "hf://ORG/NAME", "commit": "40 hex digits",      where the source has commits
 *       "recipe": "fp8 scale=f32 draft=keep ...", "recipe_digest": "32 hex digits",
 *       "source_digest": "32 hex digits",
 *       "replace": false,
 *       "arguments": ["--to", "fp8"]
 *     }
 *
 * The first part writes it, the others must agree with it, and join makes its plan by it: by
 * `source` and `arguments`, which must lead to the same digests. It goes when the parts are joined.
 * It may be another program's, or damaged: nothing in it is believed without a look. */
#ifndef RC_CONVERT_PARTS_FILE_H
#define RC_CONVERT_PARTS_FILE_H

#include "convert/journal.h"

#define RC_PARTS_MAX_ARGUMENTS 320u

typedef struct rc_parts {
    rc_arena arena; /* of the strings, when it was read */
    uint32_t count;
    const char *version, *source, *commit; /* commit NULL: there is none */
    const char *recipe, *recipe_digest, *source_digest;
    bool replace; /* the parts began with --force */
    const char *argument[RC_PARTS_MAX_ARGUMENTS];
    size_t arguments;
} rc_parts;

/** RC_E_NOINPUT there is none; RC_E_DATA; and what rc_dir_slurp() reports. */
RC_MUST_CHECK
rc_code rc_parts_read(rc_parts *out, const rc_dir *dir, const char *name, rc_mem *mem, rc_err *err);
void rc_parts_free(rc_parts *parts);
RC_MUST_CHECK
rc_code rc_parts_write(const rc_parts *parts, const rc_dir *dir, const char *name, rc_mem *mem,
                       rc_err *err);

/** Are those that began, `then`, and those that come to them the same work?
 *    RC_E_RESUME  no; says which */
RC_MUST_CHECK
rc_code rc_parts_agree(const rc_parts *then, const rc_parts *now, const char *name, rc_err *err);

#endif
