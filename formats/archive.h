/* formats/archive.h - the container of recast's archives, .rcz: what lies where.
 *
 *     | head | frames of piece 0 | frames of piece 1 | ... | table | trailer | seek table |
 *
 * A sequence of zstd frames: ordinary tools list, test and decompress it. Head and trailer are
 * skippable frames, the table of contents is an ordinary one, and the seek table is the
 * one of zstd's seekable format, so that other readers can seek, too. A piece is a run of one
 * tensor, or of anything else in a file; archive_codec.h makes frames of it. Pieces follow each
 * other without gaps, in the order of the files and of their bytes. All layouts, byte by byte:
 * docs/archive.md.
 *
 * Archives are downloads: every length is hostile until checked. */
#ifndef RC_FORMATS_ARCHIVE_H
#define RC_FORMATS_ARCHIVE_H

#include "formats/archive_codec.h"
#include "formats/base/hash.h"
#include "formats/content.h"

#define RC_ARCHIVE_VERSION   1u
#define RC_ARCHIVE_HEAD      24u          /* bytes before the first frame */
#define RC_ARCHIVE_TRAILER   72u          /* bytes between the table and the seek table */
#define RC_ARCHIVE_MAX_NAME  511u         /* bytes of a file's name, one folder included; ours */
#define RC_ARCHIVE_MAX_TABLE (1ull << 30) /* bytes of a table, decompressed; ours */

typedef struct rc_archive_piece {
    uint64_t off;       /* in the file */
    uint64_t at;        /* of its first frame, in the archive */
    rc_packed packed;   /* bytes, mode, planes */
    rc_digest restored; /* XXH3-128 of the bytes */
    uint64_t stored;    /* XXH3-64 of the frames */
} rc_archive_piece;

typedef struct rc_archive_file {
    const char *name; /* safe: relative, at most one folder, no way out */
    uint64_t nbytes;
    size_t first, count;   /* pieces */
    rc_content_id content; /* SHA-256 of the whole */
} rc_archive_file;

/* The table of contents. The reader makes it with rc_archive_read(), the writer fills one. */
typedef struct rc_archive {
    rc_mem *mem;
    rc_archive_file *files; /* sorted by name */
    rc_archive_piece *pieces;
    size_t nfiles, npieces;
    char *names;      /* all names, each with its NUL */
    uint64_t nbytes;  /* restored, in all */
    uint64_t end;     /* of the frames of pieces: where the table begins */
    uint64_t archive; /* bytes of the archive */
} rc_archive;

static inline uint64_t rc_archive_stored(const rc_packed *p)
{
    return (uint64_t)p->frame[0] + p->frame[1] + p->frame[2];
}

/** XXH3-64 of the frames of a piece. */
uint64_t rc_archive_sum(const void *frames, size_t nbytes);

/** Is this the name of an archive: does it end in ".rcz"? */
bool rc_archive_is_name(const char *name);

/** May a file in an archive have this name of len bytes? */
bool rc_archive_name_is_safe(const char *name, size_t len);

/** Reads `nbytes` of the archive at `off`. */
typedef rc_code rc_archive_read_fn(void *ctx, uint64_t off, void *buf, size_t nbytes, rc_err *err);

/** Read the table of an archive of `nbytes`. The caller owns *out: rc_archive_free().
 *    RC_E_DATA        no archive, or one cut short; a table that contradicts itself
 *    RC_E_UNSUPPORTED an archive of another version
 *    RC_E_INTEGRITY   head, trailer or table are damaged
 *    RC_E_UNSAFEPATH  a file's name leads outside
 *    RC_E_LIMIT, RC_E_OS, and what `read` reports */
RC_MUST_CHECK
rc_code rc_archive_read(rc_archive **out, rc_archive_read_fn *read, void *ctx, uint64_t nbytes,
                        rc_mem *mem, rc_err *err);
void rc_archive_free(rc_archive **archive);

/** Compare the head and the seek table, which reading does not need, with what the table calls
 *  for. RC_E_INTEGRITY */
RC_MUST_CHECK
rc_code rc_archive_check_ends(const rc_archive *a, rc_archive_read_fn *read, void *ctx,
                              rc_err *err);

/** The piece of file `f` that has byte `off`, off < nbytes of the file. */
size_t rc_archive_find(const rc_archive *a, const rc_archive_file *f, uint64_t off);

/** Write the head. */
void rc_archive_head(uint8_t head[RC_ARCHIVE_HEAD]);
/** Everything behind the frames of the pieces, that end at a->end: table, trailer and seek table.
 *  *tail is the caller's (mem). RC_E_LIMIT */
RC_MUST_CHECK
rc_code rc_archive_tail(const rc_archive *a, uint8_t **tail, size_t *len, rc_mem *mem, rc_err *err);

#endif
