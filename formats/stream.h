/* formats/stream.h - a source read once: ahead of its readers, in bounded memory, identity kept.
 *
 * Whoever knows beforehand what will be read, and in which order, says so; from then on
 * rc_source_read*() of these extents is served from blocks in memory that several fetchers bring
 * in large aligned ranges, as far ahead as the memory allows. A block is fetched once and dropped
 * after its last reader; where memory is too small for that it is fetched again, and must be the
 * same again. Three things follow:
 *
 *   - several conversions of one source cost one pass over it (extents are listed once a reader);
 *   - a hub is read in large ranges over several connections, nothing lies on a disk;
 *   - each file's digest is computed as it flows and compared with what the server states.
 *
 * A file's digest takes its bytes in order, so they are fetched in that order for the first time: a
 * reader who is ahead waits for what lies before him. What was digested may be let go of, and the
 * block that is needed last goes first, so that a second region of a file (scales before their
 * weights) costs a second fetch at most where memory is small.
 *
 * What was fetched is remembered in a log of block sums, so that a later run can trust what an
 * earlier one used: all bytes that were ever used are bytes of the file whose digest is compared.
 */
#ifndef RC_FORMATS_STREAM_H
#define RC_FORMATS_STREAM_H

#include "formats/base/io.h"
#include "formats/source.h"

/* A run of bytes that will be read with one call. */
typedef struct rc_extent {
    size_t file; /* of the source */
    uint64_t off, nbytes;
} rc_extent;

typedef struct rc_stream_opts {
    size_t memory;        /* bytes of blocks held at most, all taken at the beginning; lists beside
                             it: 40 bytes an extent and 60 a block of 8 MiB. Below RC_STREAM_MIN
                             blocks are smaller */
    unsigned connections; /* fetches at a time, at most; 0: found by trying, up to 16 (local: 4).
                             Never more than half of the blocks in memory */
    bool digests;         /* compute and compare digests of files whose content is stated and that
                             the extents take most of (see rc_stream_verdict) */
    bool whole;           /* of files that the extents take anything of: what they leave is fetched
                             for the digest alone */
    const rc_dir *dirs;   /* folders that each keep a copy of the log; none: no log is kept */
    const char *const *log_names; /* of the log in each folder */
    size_t ndirs;
    _Atomic uint64_t *fetched; /* bytes that came in, for progress; may be NULL */
    const rc_log *log;
} rc_stream_opts;

#define RC_STREAM_MIN ((size_t)32 << 20)

typedef struct rc_stream rc_stream;

/** Stream `src` (`opts` may go, what it points to stays): extents in the order in which they will
 * be asked for (by several threads, so more or less), each as often as it is listed. They are
 * copied. Other reads go past the stream. The log of an earlier run in one of the folders is gone
 * on with. One stream at a time. No extents at all are fine: to ask rc_stream_remembers() first,
 * let go, and stream the rest. RC_E_OS         memory, threads RC_E_RESUME     a log that is not of
 * this source Reads report what rc_source_read() would, and RC_E_INTEGRITY where a digest, or a
 * block that was fetched again, is not what it was. */
RC_MUST_CHECK
rc_code rc_source_stream(rc_source *src, const rc_extent *extents, size_t n,
                         const rc_stream_opts *opts, rc_err *err);

/** Was every block of this extent fetched in this run or in one that the log remembers? What an
 *  earlier run made of bytes that no sum is kept of has to be made again. True where no digests
 *  are asked for. */
bool rc_stream_remembers(const rc_source *src, const rc_extent *extent);

/** The log is on the disk up to here: to be called before anything that depends on its sums is
 *  recorded as durable. Thread-safe; harmless when there is no stream or log. */
RC_MUST_CHECK
rc_code rc_source_stream_sync(rc_source *src, rc_err *err);

/** Fetch what no extent asked for of the files that are digested, and compare all digests. To be
 *  called when everything was read and before anything is delivered. Waits.
 *    RC_E_INTEGRITY  a file is not what the server states: see rc_stream_bad_file() */
RC_MUST_CHECK
rc_code rc_source_settle(rc_source *src, rc_err *err);

/** After RC_E_INTEGRITY: the file that is at fault, if one is. Its part of the log is forgotten:
 *  what was made of it has to be made again. */
bool rc_stream_bad_file(const rc_source *src, size_t *file);

/* What became of a file's identity. */
typedef enum rc_stream_verdict {
    RC_STREAM_UNSTATED, /* the server says nothing about its content */
    RC_STREAM_PARTIAL,  /* the extents are less than nine tenths of it, or nothing of it with
                           rc_stream_opts.whole: it was not read whole */
    RC_STREAM_UNFINISHED,
    RC_STREAM_EQUAL
} rc_stream_verdict;
rc_stream_verdict rc_stream_verdict_of(const rc_source *src, size_t file);

/** Stop fetching and let go; the log stays, synced. Harmless when there is no stream. */
void rc_source_unstream(rc_source *src);

/** For source.c: a read that the stream may know. *served is false where it does not. */
RC_MUST_CHECK
rc_code rc_stream_read(rc_stream *stream, size_t file, uint64_t off, void *buf, size_t nbytes,
                       bool *served, rc_err *err);

#endif
