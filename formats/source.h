/* formats/source.h - a checkpoint's files, wherever they lie.
 *
 * List, size, identity, read range: all that the rest of recast knows about storage. A local
 * folder, or a file in one; a hub (hf://) or a folder of a web server; an archive of ours. Each
 * kind is a table of functions (source_impl.h) in a file of its own, source_KIND.c. */
#ifndef RC_FORMATS_SOURCE_H
#define RC_FORMATS_SOURCE_H

#include "formats/base/log.h"
#include "formats/base/mem.h"
#include "formats/base/status.h"
#include "formats/content.h"

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
    uint64_t mtime_ns;     /* identity together with nbytes, for local files; else 0 */
    uint64_t version;      /* the same for web folders: a hash of ETag or Last-Modified; else 0 */
    rc_content_id content; /* what the server, or the cache it lies in, says that it is */
    size_t own;            /* of the kind of source: position before the list was sorted */
} rc_source_file;

/* How sources beyond this machine are reached. Zero is a good default for each. */
typedef struct rc_source_opts {
    const char *endpoint; /* of hf://; NULL: "https://huggingface.co" */
    const char *token;    /* goes to the endpoint's host only, never further; or NULL */
    const char *ca_file;  /* certificates to believe beside the system's; or NULL */
    const char *cache;    /* folder that keeps what was fetched; NULL: nothing is kept */
    uint64_t cache_limit; /* bytes it may hold; 0: as the disk allows */
    const char *revision; /* commit of an earlier run that is gone on with; or NULL */
    unsigned connections; /* requests at a time, at most; 0: found by trying, up to 16 */
    unsigned retries;     /* of one request, beyond the first try; 0: 8. See no_retries */
    bool no_retries;      /* the first failure is the last */
    unsigned timeout;     /* seconds without a byte after which a try has failed; 0: 30 */
    bool offline;         /* open no socket: remote sources are RC_E_NOINPUT */
    const rc_log *log;
} rc_source_opts;

/* Where a source's bytes come from, for provenance. Strings belong to the source. */
typedef struct rc_source_origin {
    const char *kind;     /* "folder", "file", "hub", "url", "archive" */
    const char *endpoint; /* hub: without user, password and query; else NULL */
    const char *repo;     /* hub: "ORG/NAME"; else NULL */
    const char *revision; /* hub: as it was asked for, "main"; else NULL */
    const char *commit;   /* 40 hex digits, where it is known; else NULL */
    const char *folder;   /* hub: subfolder; else NULL */
    const char *url;      /* url: without user, password and query; else NULL */
} rc_source_origin;

/** Open what `where` names:
 *    hf://ORG/NAME[@REVISION][/SUBFOLDER]  of a hub; the revision becomes a commit now, and every
 *        request names that
 *    https://HOST/PATH                     a folder that any web server offers; http only for
 *        this machine itself
 *    FILE.rcz                              an archive of `recast pack`, wherever it lies
 *    FILE.gguf                             the list is that file and, when its name says that it
 *        is one of a set ("name-00001-of-00003.gguf"), those of the set that lie beside it
 *    anything else                         a local folder, two levels deep: all but folders,
 *        hidden names, and subfolders that may not be read
 *  In a folder NAME.safetensors.zst is listed, and read, as NAME.safetensors.
 *  What is not a file (a FIFO, a link that leads nowhere) is listed with 0 bytes and refused when
 *  read. Links that leave the folder are refused when they are read (RC_E_UNSAFEPATH), except the
 *  hub cache's own (snapshots/REV/name -> ../../blobs/HASH).
 *  `opts` (NULL: all defaults) and what it points to must outlive the source.
 *    RC_E_NOINPUT  no such folder, repository, revision; another kind of file; offline
 *    RC_E_USAGE    an address that is none
 *    RC_E_DENIED, RC_E_OS; RC_E_LIMIT for more than RC_SOURCE_MAX_FILES
 *    RC_E_TEMPORARY, RC_E_PROTOCOL, RC_E_DATA  the network, or what a server said */
RC_MUST_CHECK
rc_code rc_source_open(rc_source **out, const char *where, const rc_source_opts *opts, rc_mem *mem,
                       rc_err *err);
void rc_source_close(rc_source **src);

const char *rc_source_where(const rc_source *src); /* as the user named it, without secrets */
const rc_source_origin *rc_source_origin_of(const rc_source *src);
/** Is every byte fetched over a network? Then reading twice is to be avoided. */
bool rc_source_is_remote(const rc_source *src);
/** Bytes that came in over a network so far. */
uint64_t rc_source_fetched(const rc_source *src);
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

/** Read exactly nbytes at `off` of file i into buf. Thread-safe. Local: resumes after
 *  short reads and EINTR; keeps at most 8 descriptors open and does with fewer. Remote: one
 *  request, tried again as the options allow.
 *  Errors name the file, and the offset where there is one:
 *  RC_E_IO the disk failed; RC_E_INTEGRITY the file is shorter than listed, was
 *  replaced or removed; RC_E_OS no descriptor at all; RC_E_UNSAFEPATH; RC_E_NOINPUT
 *  not a file, or a link to nothing; RC_E_DENIED; RC_E_INTERNAL past the listed end; remote:
 *  RC_E_TEMPORARY retries are used up, RC_E_PROTOCOL the server is broken, RC_E_INTEGRITY the
 *  file there is another now; RC_E_STOPPED. */
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

/** Is file i still what was listed (local: size, mtime, inode)? RC_E_INTEGRITY if not. What was
 *  pinned to a commit cannot change and is not asked for. */
RC_MUST_CHECK
rc_code rc_source_recheck(rc_source *src, size_t i, rc_err *err);

/** The error for a file whose content is `got` and not what is stated of it. */
rc_code rc_source_fail_content(const rc_source *src, size_t i, const rc_content_id *got,
                               rc_err *err);

/** A whole small file; *out is NUL-terminated, put it back to mem. RC_E_LIMIT
 *  when larger than max_bytes, before anything is allocated. RC_E_INTEGRITY when its content is
 *  stated, and is another. */
RC_MUST_CHECK
rc_code rc_source_slurp(rc_source *src, size_t i, size_t max_bytes, uint8_t **out, size_t *out_len,
                        rc_mem *mem, rc_err *err);

#endif
