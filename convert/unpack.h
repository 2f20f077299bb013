/* convert/unpack.h - an archive's files back in a folder, bit for bit, resumable.
 *
 * Files are written as NAME.partial; when every piece and the SHA-256 of every file is right and
 * on the disk, all get their names. What an earlier run left is compared with the archive's
 * digests and kept where it is right, so no journal is needed. */
#ifndef RC_CONVERT_UNPACK_H
#define RC_CONVERT_UNPACK_H

#include "formats/base/cli.h"
#include "formats/base/io.h"
#include "formats/source_archive.h"

typedef struct rc_unpack_opts {
    unsigned threads;
    bool force;            /* write among other files, and over those of the same names */
    rc_progress *progress; /* bytes restored */
} rc_unpack_opts;

typedef struct rc_unpack_report {
    size_t files, pieces, kept; /* kept: pieces that were there */
    uint64_t nbytes;
    bool complete; /* all was there already */
} rc_unpack_report;

/** Restore all files of `src`, an archive, into the folder `dst`, which is made.
 *    RC_E_CANTCREATE  dst holds other files, or other bytes under these names, and no opts->force
 *    RC_E_NOSPACE     less room than the files need
 *    RC_E_INTEGRITY   the archive is damaged: file, tensor (of a shard) and offset are named
 *    RC_E_LOCKED, RC_E_STOPPED, and whatever reading and writing report */
RC_MUST_CHECK
rc_code rc_unpack_run(rc_source *src, const char *dst, const rc_unpack_opts *opts,
                      rc_unpack_report *report, rc_mem *mem, rc_err *err);

#endif
