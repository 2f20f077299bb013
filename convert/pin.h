/* convert/pin.h - which commit of a hub's repository an unfinished conversion is of.
 *
 * A small JSON file beside the journal, there from the first byte on: {"where": what the user
 * named, "commit": what that was}. A resumed run opens that commit even where the branch has moved
 * on. Of sources that have no commit nothing is kept: the journal's identity tells them apart. */
#ifndef RC_CONVERT_PIN_H
#define RC_CONVERT_PIN_H

#include "formats/base/io.h"
#include "formats/source.h"

#define RC_PIN_COMMIT 65u /* bytes of a commit's hex digits, NUL included */

/** Keep the commit of `src`, if it has one, in the file `name`; else there is no such file. */
RC_MUST_CHECK
rc_code rc_pin_put(const rc_dir *dir, const char *name, const rc_source *src, rc_mem *mem,
                   rc_err *err);

/** The commit that is kept for `where`. False where there is none, or for another place, or the
 *  file is none of ours. */
bool rc_pin_find(const rc_dir *dir, const char *name, const char *where, char commit[RC_PIN_COMMIT],
                 rc_mem *mem);

#endif
