/* formats/archive_impl.h - the layouts that reader and writer share; for archive*.c only. */
#ifndef RC_FORMATS_ARCHIVE_IMPL_H
#define RC_FORMATS_ARCHIVE_IMPL_H

#include "formats/archive.h"

/* zstd's numbers */
#define RC_ZSTD_SKIPPABLE   0x184D2A50u /* .. 5F */
#define RC_ZSTD_SKIP_HEAD   8u
#define RC_ZSTD_SEEK_FRAME  0x184D2A5Eu
#define RC_ZSTD_SEEK_MAGIC  0x8F92EAB1u
#define RC_ZSTD_SEEK_FOOTER 9u
#define RC_ZSTD_SEEK_MAX    0x8000000u /* frames */

/* ours */
#define RC_ARCHIVE_MAGIC       "recastz1"
#define RC_ARCHIVE_END_MAGIC   "recastzt"
#define RC_ARCHIVE_TABLE_HEAD  32u
#define RC_ARCHIVE_FILE_BYTES  56u
#define RC_ARCHIVE_PIECE_BYTES 56u

static inline void rc_put_u32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static inline void rc_put_u64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static inline uint32_t rc_get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t rc_get_u64(const uint8_t *p)
{
    return rc_get_u32(p) | (uint64_t)rc_get_u32(p + 4) << 32;
}

/* A frame of the seek table. */
typedef struct rc_seek_entry {
    uint32_t stored, restored;
} rc_seek_entry;

/** The frames of an archive in order: head, planes, table, trailer. Start with a zeroed walk;
 *  false at the end. */
typedef struct rc_seek_walk {
    size_t piece; /* 0: the head is next; p + 1: plane `plane` of piece p; ... */
    unsigned plane;
} rc_seek_walk;
bool rc_seek_next(rc_seek_walk *walk, const rc_archive *a, rc_seek_entry table, rc_seek_entry *out);
uint64_t rc_seek_count(const rc_archive *a);

#endif
