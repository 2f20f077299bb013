/* formats/hub_cache_sums.h - NAME.blocks of a cache: which blocks of a file are there.
 *
 *     | magic 4 | kind 4 | bytes 8 | content 32 | block size 8 | XXH3-64 8 |   of the file
 *     | block 8 | XXH3-128 16 | XXH3-64 8 | ...                               each block
 *
 * Of several records of a block the last counts. The lock of a file is on this one. */
#ifndef RC_FORMATS_HUB_CACHE_SUMS_H
#define RC_FORMATS_HUB_CACHE_SUMS_H

#include "formats/base/hash.h"
#include "formats/base/io.h"
#include "formats/content.h"

typedef struct rc_cache_sums {
    uint64_t nbytes; /* of the file */
    rc_content_id content;
    size_t nblocks, have;
    uint8_t *has;    /* by block */
    rc_digest *sums; /* by block */
} rc_cache_sums;

/** Room for a file's. */
RC_MUST_CHECK
rc_code rc_cache_sums_make(rc_cache_sums *sums, uint64_t nbytes, const rc_content_id *content,
                           rc_mem *mem, rc_err *err);
void rc_cache_sums_drop(rc_cache_sums *sums, rc_mem *mem);
/** Take in a file's bytes; records that are damaged, or not whole, are none. False when they are
 *  not of this file. */
bool rc_cache_sums_parse(rc_cache_sums *sums, const uint8_t *bytes, size_t nbytes);
/** The same from a descriptor. */
bool rc_cache_sums_load(rc_cache_sums *sums, int fd, rc_mem *mem);
/** Begin the file anew, or cut off a record that is not whole. 0 or an errno value. */
int rc_cache_sums_restart(const rc_cache_sums *sums, int fd);
int rc_cache_sums_trim(int fd);
/** The block's bytes are in place: 0 or an errno value, then nothing was appended. */
int rc_cache_sums_append(int fd, uint64_t block, const rc_digest *sum);
/** Bytes of data that the file behind fd speaks of at most; false when it is none of ours. */
bool rc_cache_sums_extent(int fd, uint64_t *nbytes);

#endif
