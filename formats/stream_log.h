/* formats/stream_log.h - what a stream has fetched, kept through any kind of end.
 *
 * A file of fixed records like a journal's: appended one write at a time, each with its own
 * checksum. A torn or damaged record is no record.
 *
 *     record: | magic 4 | kind 4 | file 4 | generation 4 | index 8 | payload 136 | XXH3-64 8 |
 *
 *     header  index: bytes of a block; payload: digest of names, sizes and contents of all files
 *     block   index: of the block in its file; payload: XXH3-128 of its bytes. Written before
 *             anybody gets to see them
 *     state   payload: of the digest of the file's first bytes, an rc_content_hasher
 *     forget  what was said of the file by lesser generations is void
 *
 * Each record names the generation of its file, so that a forget record that was lost is still
 * noticed by what follows it. */
#ifndef RC_FORMATS_STREAM_LOG_H
#define RC_FORMATS_STREAM_LOG_H

#include "formats/base/hash.h"
#include "formats/base/io.h"
#include "formats/base/log.h"
#include "formats/content.h"

#define RC_STREAM_RECORD 168u /* bytes */

/* What is known of the blocks of a source. */
typedef struct rc_stream_known {
    size_t nfiles, nblocks;
    size_t block;              /* bytes */
    const uint32_t *first;     /* of nfiles + 1: each file's first block */
    uint32_t *generation;      /* by file */
    rc_content_hasher *hasher; /* by file; of kind UNKNOWN where there is none */
    rc_digest *sums;           /* by block */
    uint8_t *has;              /* by block: is there a sum? */
} rc_stream_known;

/** `first` is borrowed. */
RC_MUST_CHECK
rc_code rc_stream_known_make(rc_stream_known *known, size_t nfiles, const uint32_t *first,
                             size_t block, rc_mem *mem, rc_err *err);
void rc_stream_known_drop(rc_stream_known *known, rc_mem *mem);
/** Nothing is known of this file any more; its generation is the next. */
void rc_stream_known_forget(rc_stream_known *known, size_t file);

/** Take in records (whole ones; a rest is left out). Header records are passed over. True when
 *  none was damaged. */
bool rc_stream_log_replay(rc_stream_known *known, const uint8_t *bytes, size_t nbytes);
/** After all records: a digest of blocks that no sum is known of is nothing to go on with. */
void rc_stream_known_settle(rc_stream_known *known);

typedef struct rc_stream_log rc_stream_log;

/** Look at the logs that are there. *block: bytes of a block in the first that is of this source,
 *  or unchanged where there is none.
 *    RC_E_RESUME  a log of another source */
RC_MUST_CHECK
rc_code rc_stream_log_open(rc_stream_log **out, const rc_dir *dirs, const char *const *names,
                           size_t ndirs, const rc_digest *source, size_t *block, const rc_log *log,
                           rc_mem *mem, rc_err *err);
/** Read what they say, and write each anew with what all of them together say: whole and short. */
RC_MUST_CHECK
rc_code rc_stream_log_load(rc_stream_log *log, rc_stream_known *known, rc_err *err);
/** Append to each copy. Thread-safe. After a failure each further call fails: a torn record must
 *  stay the last. */
RC_MUST_CHECK
rc_code rc_stream_log_block(rc_stream_log *log, uint32_t file, uint32_t generation, uint64_t block,
                            const rc_digest *sum, rc_err *err);
RC_MUST_CHECK
rc_code rc_stream_log_state(rc_stream_log *log, uint32_t file, uint32_t generation,
                            const rc_content_hasher *hasher, rc_err *err);
/** Durable before it returns. */
RC_MUST_CHECK
rc_code rc_stream_log_forget(rc_stream_log *log, uint32_t file, uint32_t generation, rc_err *err);
RC_MUST_CHECK
rc_code rc_stream_log_sync(rc_stream_log *log, rc_err *err);
void rc_stream_log_close(rc_stream_log **log);

#endif
