/* convert/pack.h - all files of a source into one archive (formats/archive.h), resumable.
 *
 * Shards are cut at the borders of their tensors, as their headers say; what has no header that
 * can be read is packed all the same, as bytes. Pieces are read and packed by several threads,
 * hashed and written in order: same source, same options, same archive, for any number of them.
 * The archive is NAME.partial until it is whole; NAME.journal says which pieces are in it. */
#ifndef RC_CONVERT_PACK_H
#define RC_CONVERT_PACK_H

#include "convert/pin.h"
#include "formats/archive.h"
#include "formats/base/cli.h"
#include "formats/source.h"

typedef struct rc_pack_opts {
    unsigned threads;
    int level; /* of zstd, 1..19; 0: ours */
    bool force, restart;
    rc_progress *progress; /* bytes of the source */
    const rc_log *log;
} rc_pack_opts;

typedef struct rc_pack_report {
    size_t files, pieces, kept;         /* kept: pieces of an earlier run */
    uint64_t nbytes, archive;           /* of the source; of the archive, or its estimate */
    uint64_t free;                      /* estimate: bytes free where the archive would be */
    uint64_t by_mode[RC_PACK_MODES][2]; /* bytes of the source, bytes packed */
} rc_pack_report;

/** The commit that an unfinished run into `archive` has of `where`, as rc_pin_find(). */
bool rc_pack_find_pin(const char *archive, const char *where, char commit[RC_PIN_COMMIT],
                      rc_mem *mem);

/** Pack `src` into the file `archive`.
 *    RC_E_CANTCREATE  the archive exists, and no opts->force; it would lie in its own source
 *    RC_E_RESUME      an unfinished run of another source, other options or another version
 *    RC_E_INTEGRITY   a file changed, or is not what its server states
 *    RC_E_LOCKED, RC_E_NOSPACE, RC_E_STOPPED, and whatever reading and writing report */
RC_MUST_CHECK
rc_code rc_pack_run(rc_source *src, const char *archive, const rc_pack_opts *opts,
                    rc_pack_report *report, rc_mem *mem, rc_err *err);

/** What rc_pack_run() would make, from up to 64 pieces that are packed and thrown away. */
RC_MUST_CHECK
rc_code rc_pack_estimate(rc_source *src, const char *archive, const rc_pack_opts *opts,
                         rc_pack_report *report, rc_mem *mem, rc_err *err);

#endif
