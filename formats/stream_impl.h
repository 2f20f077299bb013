/* formats/stream_impl.h - a stream from inside; for stream.c, stream_fetch.c and stream_hash.c.
 *
 * One lock guards all of it; it is never held while bytes are fetched, copied or digested. Blocks
 * are megabytes, so it is taken some thousand times a second at most.
 *
 * A file's digest takes its blocks in order, and so they are fetched for the first time:
 *
 *     0         hashed            frontier                nblocks
 *     | digested | here or coming  | not fetched yet        |
 *
 * A reader who is ahead of the frontier waits for what lies between. A block between `hashed`
 * and `frontier` never goes before it is digested; all others that nobody holds may go, and are
 * fetched again for their next reader. Hence nothing waits for ever: whatever fills the memory is
 * on its way in, being copied, or about to be digested, and then it may go. */
#ifndef RC_FORMATS_STREAM_IMPL_H
#define RC_FORMATS_STREAM_IMPL_H

#include <pthread.h>

#include "formats/source_early.h"
#include "formats/source_impl.h"
#include "formats/stream_log.h"
#include "formats/stream_plan.h"

#define RC_NO_BLOCK UINT32_MAX
enum { RC_STREAM_MAX_FETCHERS = 64, RC_STREAM_HASHERS = 4 };

typedef enum rc_block_state { RC_BLOCK_ABSENT, RC_BLOCK_COMING, RC_BLOCK_HERE } rc_block_state;

typedef struct rc_stream_block {
    uint32_t file, buffer;
    uint16_t pins; /* readers that wait for it or copy from it, and a digest at work */
    uint8_t state;
} rc_stream_block;

typedef struct rc_stream_file {
    rc_content_hasher hasher;         /* whoever set `hashing` has it */
    uint32_t hashed, frontier, saved; /* blocks; saved: in the log's state */
    uint32_t next_ready;              /* in the list of files with something to digest */
    bool digested, hashing;
    rc_stream_verdict verdict;
} rc_stream_file;

/* A reader without its block; on the reader's stack. */
typedef struct rc_stream_waiter {
    uint32_t extent, block;
    struct rc_stream_waiter *next; /* by extent */
} rc_stream_waiter;

typedef struct rc_stream_fetcher {
    struct rc_stream *stream;
    unsigned index;
    pthread_t thread;
} rc_stream_fetcher;

/* How many fetch at a time. */
typedef struct rc_stream_pace {
    unsigned now, most, misses;
    bool found, starved; /* starved: somebody had nothing to fetch since `since_ns` */
    uint64_t since_ns, nbytes, fetches;
    double before; /* bytes a second, with one less */
} rc_stream_pace;

struct rc_stream {
    rc_source *src;
    rc_mem *mem;
    rc_stream_opts opts;
    rc_stream_plan plan;
    rc_stream_known known;
    rc_stream_log *log; /* or NULL */
    bool sums, direct;  /* are sums kept? is it read past the page cache? */
    pthread_mutex_t lock;
    pthread_cond_t arrived; /* a block came, a digest ended, or something failed */
    pthread_cond_t work;    /* for fetchers */
    pthread_cond_t ready;   /* for digests */
    rc_stream_block *blocks;
    rc_stream_file *files;
    uint8_t *buffers;
    size_t stride;   /* bytes from one buffer to the next */
    uint32_t *holds; /* by buffer: its block */
    uint32_t *spare; /* buffers that hold none */
    uint32_t nbuffers, nspare;
    rc_stream_waiter *waiters;
    uint32_t walk;       /* extents before it have been fetched, or are being read */
    uint32_t ready_file; /* head of the list, or RC_NO_BLOCK */
    bool settling, quit, failed;
    rc_err why;
    size_t bad; /* file, or SIZE_MAX */
    rc_stream_pace pace;
    rc_stream_fetcher fetchers[RC_STREAM_MAX_FETCHERS];
    pthread_t hashers[RC_STREAM_HASHERS];
    unsigned nfetchers, nhashers;
};

/* All that follow: under the lock, unless they say otherwise. */

/** Nothing more is fetched; `err` is told to whoever waits, now or later. The first stays. */
void rc_stream_fail(rc_stream *s, const rc_err *err);
/** Let the block go if nobody will need it again. */
void rc_stream_release(rc_stream *s, uint32_t block);
/** Has its file's digest yet to take it? */
bool rc_stream_needs_hash(const rc_stream *s, uint32_t block);
/** The file is not what it should be: nothing is known of it any more. Fills err->file. */
void rc_stream_condemn(rc_stream *s, uint32_t file, rc_err *err);
/** Bytes of the block. */
size_t rc_stream_block_bytes(const rc_stream *s, uint32_t block);
uint8_t *rc_stream_buffer(const rc_stream *s, uint32_t block);

/** Without the lock, before the threads are started: what of its digest is known already? */
RC_MUST_CHECK
rc_code rc_stream_hash_begin(rc_stream *s, uint32_t file, rc_err *err);
/** The block came: is it the next of its file's digest? */
void rc_stream_hash_offer(rc_stream *s, uint32_t block);
/** Without the lock, after all threads: keep how far the digests came. */
void rc_stream_hash_save(rc_stream *s);
void *rc_stream_hash_run(void *stream);   /* thread */
void *rc_stream_fetch_run(void *fetcher); /* thread */

#endif
