/* convert/execute.h - run plans of one source: read, cast, hash, write, remember.
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
    uint64_t keep_every; /* bytes of a tensor after which its state is kept; 0: 128 MiB */
    bool require_exact;
    bool allow_nonfinite, allow_zero;
    bool discard;          /* drop the output instead of writing it (benchmarks) */
    rc_progress *progress; /* bytes written; may be NULL */
    unsigned connections;  /* to a source beyond this machine, at most; 0: found by trying */
    /* where the log of what came from there lies, in each target's folder; they outlive the stream,
     * which is left open for whoever wants to know what became of the source */
    const rc_dir *log_dirs;
    const char *const *log_names;
    size_t nlogs;
    const rc_log *log;
} rc_execute_opts;

/* One target of an execution. */
typedef struct rc_work {
    const rc_plan *plan;
    const rc_dir *dir;       /* may be NULL with opts->discard, and so may the journal */
    rc_journal *journal;     /* of the plan */
    const rc_smooth *smooth; /* scalings of channels; or NULL */
    const char *name;        /* as the user named it, for messages */
    rc_digest identity;      /* what a kept state has to be of */
    uint64_t kept;           /* out: bytes that an earlier run had finished */
} rc_work;

/** Bring every shard of every plan's share to NAME.partial in its folder, in one pass over the
 * source that all plans have in common (n >= 1): chunks of all targets are taken as they lie in the
 * source, and what one target gets does not depend on the others. What a journal says is done is
 * checked and kept; of a large tensor that is half done too. The first failure, of whichever
 * target, stops all; with several targets it names the one. RC_E_NUMERIC   an inexact tile under
 * require_exact; NaN, Inf, bad scales; a weight that is all zero RC_E_OS        mem->limit leaves
 * no room for one chunk RC_E_INTEGRITY a file of the source is not what its server states; what was
 * made of it is forgotten RC_E_STOPPED, and whatever reading and writing report */
RC_MUST_CHECK
rc_code rc_execute(rc_work *works, size_t n, const rc_execute_opts *opts, rc_mem *mem, rc_err *err);

/* With several targets a name alone does not say whose file it is, nor a judgement over the source
 * who asked for it. */
void rc_err_in_folder(rc_err *err, const char *folder); /* FOLDER/FILE: ... */
void rc_err_for(rc_err *err, const char *name);         /* ...; for NAME */

/** Bytes that an execution would add to the disk, given what is there. Of the whole: the parts of a
 *  conversion share a disk. */
uint64_t rc_execute_space(const rc_plan *plan, const rc_dir *dir);

/** Name of a shard's unfinished file, into buf; returns buf. */
#define RC_PARTIAL_NAME (RC_PLAN_NAME + 8)
const char *rc_partial_name(const rc_plan_shard *shard, char buf[RC_PARTIAL_NAME]);

#endif
