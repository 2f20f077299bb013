/* convert/join.h - from the finished parts of a conversion to its result.
 *
 * The parts' journals say what each of them wrote. Join looks that all are finished, reads back
 * every byte and compares, merges journals and scalings, and publishes what a whole run would have
 * published: the same bytes but for `run` in recast.json. Then the parts' own files go.
 *
 * It keeps a journal (names.join) of the shards that it has checked and of the beginning of
 * publishing: killed anywhere, it goes on there. */
#ifndef RC_CONVERT_JOIN_H
#define RC_CONVERT_JOIN_H

#include "convert/convert.h"

typedef struct rc_join_opts {
    unsigned threads;
    bool trust; /* do not read the shards back: their sizes will do */
    const rc_log *log;
    rc_progress *progress; /* bytes read back; may be NULL */
} rc_join_opts;

/** Join the parts in dst (as for rc_convert). The plan is of the whole; it is made to be of each
 *  part for a while.
 *    RC_E_NOINPUT    no parts, or some are missing or unfinished: says which
 *    RC_E_LOCKED     a part or another join runs
 *    RC_E_RESUME     the plan is not that of the parts; parts that disagree
 *    RC_E_INTEGRITY  a shard is not what its part wrote: file, part and tensor
 *  `report` is filled as by rc_convert(). */
RC_MUST_CHECK
rc_code rc_join(rc_plan *plan, const char *dst, const rc_join_opts *opts, rc_convert_report *report,
                rc_mem *mem, rc_err *err);

#endif
