/* formats/source.h - a checkpoint's files, wherever they lie.
 *
 * List, size, identity, read range: all that the rest of recast knows about
 * storage. A local folder today, or a GGUF file in one; a hub is another implementation. */
#ifndef RC_FORMATS_SOURCE_H
#define RC_FORMATS_SOURCE_H

#include "formats/base/log.h"
#include "formats/base/mem.h"
#include "formats/base/status.h"

#define RC_SOURCE_MAX_FILES 65536u /* in one folder; ours */

/* The name of one file of a split set: "PREFIX-00002-of-00003.gguf". */
typedef struct rc_split_name {
    size_t prefix; /* bytes of PREFIX */
    uint32_t no, count;
} rc_split_name;
/** False when the name is none, or says that it is file 0 or one beyond the last. */
bool rc_split_name_of(rc_split_name *out, const char *name);

typedef struct rc_source rc_source;

typedef struct rc_source_file {
    const char *name; /* relative to the root, '/' between folders, sorted bytewise */
    uint64_t nbytes;
    uint64_t mtime_ns; /* identity together with nbytes, for local files */
} rc_source_file;

/** Open a local folder and list what it holds, two levels deep: everything but
 *  folders, hidden names, and subfolders that may not be read. Or open one GGUF file,
 *  "dir/name.gguf": then the list is that file and, when its name says that it is one of a
 *  set ("name-00001-of-00003.gguf"), those of the set that lie beside it.
 What is not a file
 *  (a FIFO, a link that leads nowhere) is listed with 0 bytes and refused when read.
 *  Links that leave the folder are refused when they are read (RC_E_UNSAFEPATH),
 *  except the hub cache's own (snapshots/REV/name -> ../../blobs/HASH).
 *  RC_E_NOINPUT when there is no such folder or it is another file; RC_E_DENIED;
 *  RC_E_LIMIT for more than RC_SOURCE_MAX_FILES; RC_E_OS. */
RC_MUST_CHECK
rc_code rc_source_open(rc_source **out, const char *where, rc_mem *mem, rc_err *err);
void rc_source_close(rc_source **src);

const char *rc_source_where(const rc_source *src); /* as the user named it */
/** The file that was named; NULL for a folder. */
const char *rc_source_named(const rc_source *src);
/** "folder/name", as the user would name a file of this source. Cut to n bytes. */
const char *rc_source_path(const rc_source *src, const char *name, char *buf, size_t n);
size_t rc_source_count(const rc_source *src);
const rc_source_file *rc_source_at(const rc_source *src, size_t i);
bool rc_source_find(const rc_source *src, const char *name, size_t *i);

/** Does the folder lie in memory (a tmpfs)? Reads then cost a copy and no waiting, and are best
 *  made in pieces that stay in cache. */
bool rc_source_in_memory(const rc_source *src);

/** Read exactly nbytes at `off` of file i into buf. Thread-safe; resumes after
 *  short reads and EINTR; keeps at most 8 descriptors open and does with fewer.
 *  Errors name the file, and the offset where there is one:
 *  RC_E_IO the disk failed; RC_E_INTEGRITY the file is shorter than listed, was
 *  replaced or removed; RC_E_OS no descriptor at all; RC_E_UNSAFEPATH; RC_E_NOINPUT
 *  not a file, or a link to nothing; RC_E_DENIED; RC_E_INTERNAL past the listed end. */
RC_MUST_CHECK
rc_code rc_source_read(rc_source *src, size_t i, uint64_t off, void *buf, size_t nbytes,
                       rc_err *err);

/** The same past the page cache where the file system can (direct I/O), for data
 *  that is read once. `buf` comes from rc_mem_get_pages() and holds at least
 *  nbytes + 2 * RC_PAGE; *data points at the nbytes inside it. Falls back to an
 *  ordinary read: same bytes. */
RC_MUST_CHECK
rc_code rc_source_read_direct(rc_source *src, size_t i, uint64_t off, size_t nbytes, uint8_t *buf,
                              size_t buf_len, const uint8_t **data, rc_err *err);

/** Is file i still what was listed (size, mtime, inode)? RC_E_INTEGRITY if not. */
RC_MUST_CHECK
rc_code rc_source_recheck(rc_source *src, size_t i, rc_err *err);

/** A whole small file; *out is NUL-terminated, put it back to mem. RC_E_LIMIT
 *  when larger than max_bytes, before anything is allocated. */
RC_MUST_CHECK
rc_code rc_source_slurp(rc_source *src, size_t i, size_t max_bytes, uint8_t **out, size_t *out_len,
                        rc_mem *mem, rc_err *err);

#endif
