/* formats/stream_plan.h - which blocks of a source will be needed, by whom, and when.
 *
 * Each file is cut into blocks of one size, numbered through all files. A use is an extent that
 * touches a block; uses are named by the extent's position in the order that was announced, so
 * the next use of a block, and the block whose next use is farthest away, are known beforehand.
 * 16 bytes an extent, 4 a use, 8 a block: some 25 MB for a checkpoint of 900 GB in chunks of
 * 2 MiB. No locks: the stream's own guards it. */
#ifndef RC_FORMATS_STREAM_PLAN_H
#define RC_FORMATS_STREAM_PLAN_H

#include "formats/stream.h"

#define RC_NO_USE UINT32_MAX

/* Bytes are named by where they are, had all files' blocks been laid end to end. */
typedef struct rc_planned {
    uint64_t at, nbytes;
} rc_planned;

typedef struct rc_stream_plan {
    size_t block; /* bytes */
    size_t nfiles, nblocks, nextents;
    uint32_t *first; /* of nfiles + 1: each file's first block */
    rc_planned *extents;
    uint8_t *claimed;  /* by extent: somebody is reading it, or has */
    uint32_t *uses_at; /* of nblocks + 1: each block's first use */
    uint32_t *uses;    /* extents, ascending within a block; see stream_plan.c */
    uint32_t *cursor;  /* by block: its first use that is not over */
} rc_stream_plan;

/** Number the blocks; no extents yet. RC_E_LIMIT */
RC_MUST_CHECK
rc_code rc_stream_plan_blocks(rc_stream_plan *plan, const rc_source *src, size_t block, rc_mem *mem,
                              rc_err *err);
/** Extents of no bytes are left out.
 *    RC_E_INTERNAL  an extent beyond the end of its file
 *    RC_E_LIMIT */
RC_MUST_CHECK
rc_code rc_stream_plan_extents(rc_stream_plan *plan, const rc_source *src, const rc_extent *extents,
                               size_t n, rc_mem *mem, rc_err *err);
void rc_stream_plan_drop(rc_stream_plan *plan, rc_mem *mem);

/** The first extent of exactly these bytes that nobody has claimed; false when there is none. */
bool rc_stream_plan_claim(rc_stream_plan *plan, size_t file, uint64_t off, size_t nbytes,
                          uint32_t *extent);
/** RC_NO_USE when there is no more. */
uint32_t rc_stream_plan_next_use(const rc_stream_plan *plan, size_t block);
/** The extent has what it needs of the block. */
void rc_stream_plan_used(rc_stream_plan *plan, size_t block, uint32_t extent);
/** Blocks that the extent touches. */
size_t rc_stream_plan_from(const rc_stream_plan *plan, uint32_t extent);
size_t rc_stream_plan_to(const rc_stream_plan *plan, uint32_t extent); /* the last */
/** Does any extent touch it? */
bool rc_stream_plan_touches(const rc_stream_plan *plan, size_t block);

#endif
