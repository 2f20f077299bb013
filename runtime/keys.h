/* runtime/keys.h - rows of floats that stay where they are while their number grows: the keys of a
 * long context, without a copy of the old ones at every step. */
#ifndef RC_RUNTIME_KEYS_H
#define RC_RUNTIME_KEYS_H

#include "formats/base/mem.h"

#define RC_KEYS_PAGE 256u /* rows allocated together */

typedef struct rc_keys {
    float **page;
    size_t pages, room; /* that are there, that the table has room for */
    size_t n;           /* elements of a row */
} rc_keys;

/** Rows [0, count) are there. New ones are zero. */
RC_MUST_CHECK
rc_code rc_keys_reserve(rc_keys *keys, uint64_t count, rc_mem *mem, rc_err *err);
void rc_keys_drop(rc_keys *keys, rc_mem *mem);
/** Bytes of `count` rows of n. */
uint64_t rc_keys_nbytes(uint64_t count, size_t n);

static inline float *rc_keys_at(const rc_keys *keys, size_t i)
{
    return keys->page[i / RC_KEYS_PAGE] + i % RC_KEYS_PAGE * keys->n;
}

#endif
