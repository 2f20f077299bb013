/* convert/convert.h - a whole conversion: preflight, lock, resume, execute, publish. */
#ifndef RC_CONVERT_CONVERT_H
#define RC_CONVERT_CONVERT_H

#include <limits.h>

#include "convert/execute.h"
#include "convert/ledger.h"
#include "convert/part.h"

typedef struct rc_convert_opts {
    rc_execute_opts execute;
    bool force;   /* replace a finished result, or use a folder that holds other things */
    bool restart; /* discard an unfinished run */
    const rc_log *log;
    _Atomic uint64_t *smoothed; /* counts blocks whose scalings are found; may be NULL */
} rc_convert_opts;

typedef struct rc_convert_report {
    rc_totals totals;
    rc_run run;
    uint64_t need, free;    /* bytes: preflight's figures */
    uint64_t disk;          /* which file system that is */
    uint64_t kept;          /* tensor bytes of an earlier run */
    size_t jobs_done, jobs; /* what is kept, after a failure too */
    bool already_complete;  /* of several targets; or a run that died after its last byte */
} rc_convert_report;

#define RC_CONVERT_TARGETS 16u /* of one run */

/* One of the outputs of a run. */
typedef struct rc_convert_target {
    const rc_plan *plan; /* all of one model */
    const char *dst;
    const rc_part_origin *origin; /* where the plan is of a part; else NULL */
    rc_convert_report report;     /* out: filled as far as it goes, on failure too */
} rc_convert_target;

/** What a GGUF file's companions are named after: "model" for "DIR/model.gguf", in buf.
 *  RC_E_USAGE when dst does not end in .gguf or its name is too long. */
RC_MUST_CHECK
rc_code rc_convert_stem(const char *dst, char buf[RC_PLAN_NAME], rc_err *err);

/** The folder that the output goes to: DST, or that of the file DST; in buf. */
const char *rc_convert_folder(const rc_plan *plan, const char *dst, char buf[PATH_MAX]);

/** What must be the same for a conversion to go on: version, recipe, source. */
rc_journal_id rc_convert_identity(const rc_plan *plan);

/** Refuse what cannot end well, before anything is written: DST is SRC or lies inside it (or the
 *  reverse), the same between two targets, a finished result without `force`, not enough space for
 *  all targets of a disk. Of several targets one that is complete already, from this source by this
 *  recipe, is none to refuse: its report says so, and there is nothing to do for it.
 *    RC_E_USAGE, RC_E_CANTCREATE, RC_E_NOSPACE */
RC_MUST_CHECK
rc_code rc_convert_preflight(rc_convert_target *targets, size_t n, const rc_convert_opts *opts,
                             rc_mem *mem, rc_err *err);

/** GGUF: the files as they will be, metadata and sizes, with holes for data. For trying a
 *  loader; nothing marks them as a result, and a conversion replaces them with `force`. */
RC_MUST_CHECK
rc_code rc_convert_hollow(const rc_plan *plan, const char *dst, const rc_convert_opts *opts,
                          rc_mem *mem, rc_err *err);

/** Convert in one pass over the source, each target into the folder `dst`, which is made if it is
 *  not there; for GGUF, into the file `dst` and its companions, in a folder that is there. What
 *  each becomes does not depend on the others. The first failure stops all; what is finished is
 *  kept. Nothing gets a final name before all targets are whole, and every file of a source beyond
 *  this machine is what its server states. RC_E_LIMIT: more than RC_CONVERT_TARGETS */
RC_MUST_CHECK
rc_code rc_convert_all(rc_convert_target *targets, size_t n, const rc_convert_opts *opts,
                       rc_mem *mem, rc_err *err);
/** The same with one target. */
RC_MUST_CHECK
rc_code rc_convert(const rc_plan *plan, const char *dst, const rc_convert_opts *opts,
                   rc_convert_report *report, rc_mem *mem, rc_err *err);

#endif
