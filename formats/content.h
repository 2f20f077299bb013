/* formats/content.h - what a file's bytes are said to be: the identities that hubs and people
 * state, and computing them. An adapter to OpenSSL's libcrypto, which uses the processor's
 * SHA instructions. */
#ifndef RC_FORMATS_CONTENT_H
#define RC_FORMATS_CONTENT_H

#include "formats/base/status.h"

typedef enum rc_content_kind {
    RC_CONTENT_UNKNOWN,
    RC_CONTENT_SHA256, /* of the bytes: LFS and Xet files, SHA256SUMS */
    RC_CONTENT_GIT /* git's blob id: SHA-1 of "blob SIZE\0" and the bytes; small files of a hub */
} rc_content_kind;

typedef struct rc_content_id {
    rc_content_kind kind;
    uint8_t bytes[32]; /* 20 of GIT */
} rc_content_id;

#define RC_CONTENT_HEX 65u
/** Lower-case hex digits and a NUL, "" for UNKNOWN; returns buf. */
const char *rc_content_hex(const rc_content_id *id, char buf[RC_CONTENT_HEX]);
/** 64 hex digits make a SHA256, 40 a GIT; false for anything else. */
bool rc_content_parse(rc_content_id *id, const char *hex, size_t len);
bool rc_content_equal(const rc_content_id *a, const rc_content_id *b);

/* The state of a digest under way. Plain bytes: it may be kept in a file of this machine's and
 * gone on with in another run. */
typedef struct rc_content_hasher {
    rc_content_kind kind;
    uint64_t nbytes;                /* so far */
    _Alignas(8) uint8_t state[120]; /* of the library */
} rc_content_hasher;

/** `kind` is not UNKNOWN; `file_bytes` is the size of the whole, which GIT begins with. */
void rc_content_begin(rc_content_hasher *hasher, rc_content_kind kind, uint64_t file_bytes);
void rc_content_add(rc_content_hasher *hasher, const void *data, size_t nbytes);
/** Can a state that was kept in a file be gone on with, whatever wrote it? Then nothing worse than
 *  another digest comes of it. */
bool rc_content_resumable(const rc_content_hasher *hasher);
/** The hasher itself stays as it was. */
rc_content_id rc_content_end(const rc_content_hasher *hasher);

#endif
