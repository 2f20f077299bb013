/* convert/execute.h - run a plan: read, cast, hash, write, remember.
 *
 * Slots take chunks in reading order; each reads its input past the page cache,
 * casts under a compute permit, feeds the digests of its tensor in order, and
 * writes to the chunk's planned place. A finished parameter is recorded in the
 * journal, a finished shard is synced and recorded. Nothing has a final name yet:
 * that is publish.h. */
#ifndef RC_CONVERT_EXECUTE_H
#define RC_CONVERT_EXECUTE_H

#include "convert/journal.h"
#include "convert/smooth.h"
#include "formats/base/cli.h"
#include "formats/base/log.h"

typedef struct rc_execute_opts {
    unsigned threads;
    bool require_exact;
    bool allow_nonfinite, allow_zero;
    const rc_smooth *smooth; /* scalings of channels; or NULL */
    bool discard;            /* drop the output instead of writing it (benchmarks) */
    rc_progress *progress;   /* bytes written; may be NULL */
} rc_execute_opts;

/** Bring every shard of the plan's share to NAME.partial in `dir`. What the journal says is
 *  done is checked and kept. `journal` may be NULL with opts->discard.
 *    RC_E_NUMERIC   an inexact tile under require_exact; NaN, Inf, bad scales; a
 *                   weight that is all zero
 *    RC_E_OS        mem->limit leaves no room for one chunk
 *    RC_E_STOPPED, and whatever reading and writing report */
RC_MUST_CHECK
rc_code rc_execute(const rc_plan *plan, const rc_dir *dir, rc_journal *journal,
                   const rc_execute_opts *opts, rc_mem *mem, rc_err *err);

/** Bytes that an execution would add to the disk, given what is there. Of the whole: the parts of a
 *  conversion share a disk. */
uint64_t rc_execute_space(const rc_plan *plan, const rc_dir *dir);

/** Name of a shard's unfinished file, into buf; returns buf. */
#define RC_PARTIAL_NAME (RC_PLAN_NAME + 8)
const char *rc_partial_name(const rc_plan_shard *shard, char buf[RC_PARTIAL_NAME]);

#endif
