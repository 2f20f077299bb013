/* formats/base/hash.h - content digests: an adapter to xxHash.
 *
 * XXH3-128 in its canonical (big-endian) form, printed as 32 hex digits: what
 * `xxhsum -H2` prints for the same bytes. It finds corruption and mix-ups at
 * memory speed; it does not resist an adversary. */
#ifndef RC_FORMATS_BASE_HASH_H
#define RC_FORMATS_BASE_HASH_H

#define XXH_STATIC_LINKING_ONLY /* the state's size, to place it ourselves */
#include <xxhash.h>

#include "formats/base/status.h"

typedef struct rc_digest {
    uint8_t bytes[16];
} rc_digest;

typedef XXH3_state_t rc_hasher; /* aligned to 64 bytes */

void rc_hash_begin(rc_hasher *hasher);
void rc_hash_add(rc_hasher *hasher, const void *data, size_t nbytes);
/** A length and the bytes, so that two fields cannot run together. */
void rc_hash_field(rc_hasher *hasher, const void *data, size_t nbytes);
rc_digest rc_hash_end(const rc_hasher *hasher);
rc_digest rc_hash(const void *data, size_t nbytes);

/* A hasher under way as plain bytes, to be gone on with in another run on this machine. Bytes of
 * another build of the library are told by their layout. */
#define RC_HASH_STATE sizeof(rc_hasher)
void rc_hash_save(uint8_t state[RC_HASH_STATE], const rc_hasher *hasher);
void rc_hash_load(rc_hasher *hasher, const uint8_t state[RC_HASH_STATE]);
uint64_t rc_hash_layout(void);

bool rc_digest_equal(const rc_digest *a, const rc_digest *b);
/** 32 hex digits and a NUL into buf[33]; returns buf. */
const char *rc_digest_hex(const rc_digest *digest, char buf[33]);

#endif
