/* formats/hub_cache_room.h - how much a cache folder holds, and letting go of what was used
 * longest ago. */
#ifndef RC_FORMATS_HUB_CACHE_ROOM_H
#define RC_FORMATS_HUB_CACHE_ROOM_H

#include "formats/base/io.h"

#define RC_CACHE_NAME 224 /* bytes of a name in the folder, without its ending */
#define RC_CACHE_SUMS ".blocks"
#define RC_CACHE_PART ".partial"

/** Remove whole files that nobody has locked, the one used longest ago first, until the folder
 *  holds `most` bytes or there are none. *left: bytes that it holds then. */
void rc_cache_make_room(const rc_dir *root, uint64_t most, uint64_t *left);
/** Remove one file of a folder in it, its sums last: without them it is nothing. */
void rc_cache_remove(int folder, const char *name);

#endif
