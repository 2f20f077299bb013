/* verify/cmd_verify_files.h - the reports of `recast verify` as files. Their folders are opened
 * before hours of work, not after. */
#ifndef RC_VERIFY_CMD_VERIFY_FILES_H
#define RC_VERIFY_CMD_VERIFY_FILES_H

#include "formats/base/target.h"
#include "verify/outcome.h"

typedef struct rc_verify_paths {
    const char *json, *junit, *html, *md, *record; /* NULL: not asked for */
} rc_verify_paths;

enum { RC_VERIFY_RECORD = 4, RC_VERIFY_FILES }; /* reports, then the golden file */
typedef struct rc_verify_files {
    rc_target at[RC_VERIFY_FILES];
} rc_verify_files;

#define RC_VERIFY_FILES_NONE                                                                       \
    ((rc_verify_files){                                                                            \
        { RC_TARGET_NONE, RC_TARGET_NONE, RC_TARGET_NONE, RC_TARGET_NONE, RC_TARGET_NONE } })

/** RC_E_USAGE two of them are one file, under whatever paths; what rc_target_open() reports. */
RC_MUST_CHECK
rc_code rc_verify_files_open(rc_verify_files *f, const rc_verify_paths *paths, rc_err *err);
void rc_verify_files_close(rc_verify_files *f);
/** RC_E_USAGE when one of them would take the place of `path` (NULL: nothing), which is read. */
RC_MUST_CHECK
rc_code rc_verify_files_spare(const rc_verify_files *f, const char *path, rc_err *err);
/** Write the reports that were asked for. */
RC_MUST_CHECK
rc_code rc_verify_files_write(const rc_verify_files *f, const rc_outcome *o, rc_mem *mem,
                              rc_err *err);
/** Print annotations for GitHub Actions on stdout. */
RC_MUST_CHECK
rc_code rc_verify_annotate(const rc_outcome *o, rc_mem *mem, rc_err *err);

#endif
