/* formats/base/target.h - a file that will be written, as folder and name. The folder is opened
 * before hours of work, not after. */
#ifndef RC_FORMATS_BASE_TARGET_H
#define RC_FORMATS_BASE_TARGET_H

#include "formats/base/io.h"

typedef struct rc_target {
    rc_dir dir;
    char folder[4096];
    const char *name; /* NULL: no file was asked for */
} rc_target;

/** A target that is not open: rc_target_close() is harmless. */
#define RC_TARGET_NONE ((rc_target){ .dir = { .fd = -1 } })

/** `path` is borrowed; NULL opens nothing. RC_E_CANTCREATE no name, no folder, or a link or
 * device is there, which would be replaced; RC_E_DENIED. */
RC_MUST_CHECK
rc_code rc_target_open(rc_target *t, const char *path, rc_err *err);
void rc_target_close(rc_target *t);

/** The same name in the same folder, under whatever paths; false where one is not open. */
bool rc_target_same(const rc_target *a, const rc_target *b);
/** Does it take the place of the file that `path` (may be NULL) names? */
bool rc_target_is(const rc_target *t, const char *path);

#endif
