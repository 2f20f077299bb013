/* convert/part.h - a share of a conversion, beside others in the same folder.
 *
 * The parts of a conversion run on as many machines as like, at the same time or one after the
 * other, and know of each other only that they do the same work (parts_file.h). Each has a journal,
 * a lock and scalings of its own and writes its own shards. None gives final names: join.h does.
 *
 * Whoever begins (a whole run, a part, join) takes the whole's lock. A part lets it go once it has
 * its own; so that a whole run and join exclude all, and parts only themselves. */
#ifndef RC_CONVERT_PART_H
#define RC_CONVERT_PART_H

#include "convert/parts_file.h"
#include "convert/plan.h"

/* Where the work comes from, to be told to join. */
typedef struct rc_part_origin {
    const char *source; /* as join would have to name it */
    const char *const *argument;
    size_t arguments; /* at most RC_PARTS_MAX_ARGUMENTS */
} rc_part_origin;

/** May what the plan's share is, the whole or a part, go on in this folder? *ours: it is one of
 *  the parts that are there.
 *    RC_E_RESUME  a part where an unfinished whole run lies, or the whole where parts do */
RC_MUST_CHECK
rc_code rc_part_refuse(const rc_plan *plan, const rc_dir *dir, bool *ours, rc_err *err);

/** Join the work in `dir`: hold the part's lock, and agree with the other parts. `id` is the whole
 *  conversion's. `force` is what the first part to come was told.
 *    RC_E_LOCKED  this part runs already, or join or a whole run does
 *    RC_E_RESUME  other options, source, version, number of parts; join has begun */
RC_MUST_CHECK
rc_code rc_part_enter(const rc_plan *plan, const rc_dir *dir, const rc_journal_id *id,
                      const rc_part_origin *origin, bool force, int *lock, rc_mem *mem,
                      rc_err *err);

/** Are all shards of the plan's share synced, and there? `named`: under their final names is well,
 *  too. */
bool rc_part_is_finished(const rc_plan *plan, const rc_dir *dir, const rc_journal *journal,
                         bool named);

/** What a part's run has begun to write is not what join has checked. */
RC_MUST_CHECK
rc_code rc_part_spoil_join(const rc_plan *plan, const rc_dir *dir, rc_err *err);

/** What the plan's work has in common, borrowed from plan, id and origin. hex: two digests. */
void rc_part_describe(rc_parts *out, const rc_plan *plan, const rc_journal_id *id,
                      const rc_part_origin *origin, char hex[2][33]);

#endif
