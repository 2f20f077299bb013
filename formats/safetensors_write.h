/* formats/safetensors_write.h - lay out one shard before a byte of it is written.
 *
 * Order as the official writer's: larger alignment first, then by name, so that
 * every tensor starts aligned for its type. The header is padded with spaces (as
 * the format allows) until the alignment class that holds the most bytes starts
 * on a page: those bytes can then go to the disk without passing the page cache. */
#ifndef RC_FORMATS_SAFETENSORS_WRITE_H
#define RC_FORMATS_SAFETENSORS_WRITE_H

#include "formats/base/mem.h"
#include "formats/base/status.h"
#include "formats/dtype.h"
#include "formats/safetensors.h"

typedef struct rc_st_put {
    const char *name;
    rc_dtype dtype;
    unsigned rank;
    uint64_t shape[RC_ST_MAX_RANK];
    void *tag;       /* the caller's; travels with the entry through the sort */
    uint64_t nbytes; /* out */
    uint64_t begin;  /* out: from the start of the file */
} rc_st_put;

/** Sort puts[n] into file order, fill begin and nbytes, and build the file's first
 *  bytes: length, JSON with {"format":"pt"} metadata, padding.
 *    *head      *head_len bytes to write at offset 0; put back to mem
 *    *file_len  size of the whole shard
 *  RC_E_OS memory; RC_E_LIMIT header over RC_ST_MAX_HEADER or sizes over 2^63;
 *  RC_E_INTERNAL two entries of one name. */
RC_MUST_CHECK
rc_code rc_st_layout(rc_st_put *puts, size_t n, char **head, size_t *head_len, uint64_t *file_len,
                     rc_mem *mem, rc_err *err);

#endif
