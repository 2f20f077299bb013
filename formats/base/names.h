/* formats/base/names.h - find the position of a name in somebody's array.
 *
 * An open-addressing table of positions; the names stay where they are. The
 * hash is seeded per table, so that names from a download cannot be prepared
 * to collide. */
#ifndef RC_FORMATS_BASE_NAMES_H
#define RC_FORMATS_BASE_NAMES_H

#include "formats/base/mem.h"

#define RC_NAMES_NONE SIZE_MAX

/** The name at position i of the owner's array, NUL-terminated. */
typedef const char *rc_names_at(const void *owner, size_t i);

typedef struct rc_names {
    rc_mem *mem;
    rc_names_at *at;
    const void *owner;
    uint32_t *slot; /* position + 1, 0 = free */
    size_t nslots;  /* power of two, or 0 */
    size_t count;
    uint64_t seed;
} rc_names;

void rc_names_init(rc_names *t, rc_mem *mem, rc_names_at *at, const void *owner);
/** Make room for `count` names in all. False when `mem` refuses. */
RC_MUST_CHECK
bool rc_names_reserve(rc_names *t, size_t count);
/** Enter position i (< 2^31), whose name is not in the table yet; grows as needed. */
RC_MUST_CHECK
bool rc_names_add(rc_names *t, size_t i);
/** Position of the name of len bytes, or RC_NAMES_NONE. */
size_t rc_names_find(const rc_names *t, const char *name, size_t len);
void rc_names_free(rc_names *t);

#endif
