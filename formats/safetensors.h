/* formats/safetensors.h - the header of one .safetensors shard.
 *
 *     0        8             8+N                        end of file
 *     | N: u64 | JSON header | tensor data, row-major   |
 *
 * Integers are little-endian. The header maps a name to {dtype, shape,
 * data_offsets}, offsets in bytes from 8+N. A shard is accepted only if its
 * tensors tile the data region exactly: no gap, no overlap, no tail.
 * Shards are downloads: every length here is hostile until checked. */
#ifndef RC_FORMATS_SAFETENSORS_H
#define RC_FORMATS_SAFETENSORS_H

#include "formats/base/log.h"
#include "formats/base/mem.h"
#include "formats/base/status.h"
#include "formats/dtype.h"

#define RC_ST_MAX_HEADER 100000000u /* bytes; the official reader's bound */
#define RC_ST_MAX_RANK   8
#define RC_ST_MAX_NAME   4096u    /* bytes of a tensor name; ours */
#define RC_ST_MAX_COUNT  1000000u /* tensors in one shard; ours */

typedef struct rc_st rc_st; /* a parsed header: opaque, immutable, shareable */

/** One tensor of a shard. Borrowed: valid until rc_st_free(). */
typedef struct rc_st_entry {
    const char *name; /* UTF-8, NUL-terminated, unique */
    rc_dtype dtype;
    unsigned rank;                  /* 0 (scalar) .. RC_ST_MAX_RANK */
    uint64_t shape[RC_ST_MAX_RANK]; /* elements, outermost first */
    uint64_t begin;                 /* bytes from the start of the file */
    uint64_t nbytes;                /* == product(shape) * bits(dtype) / 8 */
    uint64_t key_offset;            /* where the header names it, from the start of the file */
} rc_st_entry;

/** Check the first bytes of a shard and learn how long its header is, before
 *  anything is allocated for it. Recognises files that are something else
 *  (GGUF, zip, pickle, HTML, Git LFS or Xet pointer, swapped bytes) and says so.
 *
 *  head, head_len  what there is of the file's start, ideally 512 bytes
 *  file_len        size of the whole file, bytes
 *  *header_end     8 + N, at most file_len; 0 on failure
 *
 *  RC_E_DATA      too short, N beyond the file or over RC_ST_MAX_HEADER, or the
 *                 header does not start with '{' or spaces; err->offset is where
 *                 the file ends when it ends inside its header
 *  RC_E_INTERNAL  fewer than 8 bytes given of a file that has them */
RC_MUST_CHECK
rc_code rc_st_peek(const uint8_t *head, size_t head_len, uint64_t file_len, uint64_t *header_end,
                   rc_err *err);

/** Parse and validate a header. Source: the safetensors README, "Format".
 *
 *  head, head_len  the shard's first 8+N bytes; may be freed afterwards
 *  file_len        size of the whole shard, in bytes
 *  log             gets one warning for leading spaces or unknown fields; may be NULL
 *  mem             pays for *out
 *
 *  On success the caller owns *out: rc_st_free(). On failure *out is NULL,
 *  nothing leaks, and `err` (may be NULL) says
 *    RC_E_DATA         malformed, or tensors that do not tile the data;
 *                      err->offset is the byte of the shard to look at: in
 *                      the header, or where a hole, a tail or the cut begins
 *    RC_E_UNSUPPORTED  a dtype of the format that no V4 checkpoint can hold
 *    RC_E_LIMIT        more than RC_ST_MAX_COUNT tensors
 *    RC_E_INTERNAL     head_len < 8+N
 *    RC_E_OS           `mem` refused
 *
 *  Costs about 130 bytes a tensor besides its name, and 40 more while it runs. */
RC_MUST_CHECK
rc_code rc_st_new(rc_st **out, const uint8_t *head, size_t head_len, uint64_t file_len,
                  const rc_log *log, rc_mem *mem, rc_err *err);
void rc_st_free(rc_st **st); /* sets *st to NULL; freeing NULL is harmless */

size_t rc_st_count(const rc_st *st);
const rc_st_entry *rc_st_at(const rc_st *st, size_t i);           /* by position in the data */
const rc_st_entry *rc_st_find(const rc_st *st, const char *name); /* or NULL */
uint64_t rc_st_data_off(const rc_st *st);                         /* 8 + N */

#endif
