/* convert/publish.h - from finished shards to a finished checkpoint.
 *
 * Side files, config, index and ledger are written under temporary names (a GGUF file has
 * only the ledger beside it); then everything gets its final name, the index after the
 * shards and the summary, recast.json, last of all. Until it exists the output is not complete, and
 * the same command completes it. */
#ifndef RC_CONVERT_PUBLISH_H
#define RC_CONVERT_PUBLISH_H

#include "convert/ledger.h"
#include "formats/base/log.h"

/** Publish. Every job of the plan must have a result, every shard must be synced.
 *  An older result in the folder stays whole until then and is replaced now.
 *    replace  GGUF: remove splits and drafts of an older result that have no place in this
 *    RC_E_INTEGRITY  a source file changed during the run
 *  Warnings name side files that are left out (pickles, huge files). */
RC_MUST_CHECK
rc_code rc_publish(const rc_finished *done, const rc_dir *dir, const rc_run *run,
                   const rc_totals *totals, bool replace, const rc_log *log, rc_mem *mem,
                   rc_err *err);

/** Take away what a run keeps beside its unfinished files; the journal last. */
RC_MUST_CHECK
rc_code rc_publish_clean_up(const rc_plan *plan, const rc_dir *dir, rc_err *err);

/** Everything of it that can fail without a disk: the config that cannot be edited, the
 *  memory limit too small for the index or a side file. Now, rather than after hours. */
RC_MUST_CHECK
rc_code rc_publish_rehearse(const rc_plan *plan, rc_mem *mem, rc_err *err);

/** Is there a finished conversion in the folder, under the plan's names? */
bool rc_publish_is_complete(const rc_plan *plan, const rc_dir *dir);

/** GGUF: a file that looks like a split or a draft of an older result, and that this one
 *  would not replace: its name, if there is one. */
bool rc_publish_finds_stranger(const rc_plan *plan, const rc_dir *dir, char name[RC_PLAN_NAME]);

/** Would publishing take a file of this name, beside its own, for one of this output's? */
bool rc_publish_owns(const rc_plan *plan, const char *name);

/** Bytes of the side files that would come along. */
uint64_t rc_publish_side_bytes(const rc_plan *plan);
/** Can all side files be read? To be asked before hours of work, not after: refuses what
 *  rc_source_read() would (a FIFO, a link that leaves the folder, no permission to look). */
RC_MUST_CHECK
rc_code rc_publish_check_sides(const rc_plan *plan, rc_err *err);

#endif
