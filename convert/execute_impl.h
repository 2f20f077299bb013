/* convert/execute_impl.h - an execution under way; for execute.c and execute_*.c only. */
#ifndef RC_CONVERT_EXECUTE_IMPL_H
#define RC_CONVERT_EXECUTE_IMPL_H

#include <pthread.h>

#include "convert/execute.h"
#include "formats/base/hash.h"
#include "formats/base/par.h"
#include "formats/stream.h"

typedef struct rc_exec_hashes {
    _Alignas(64) rc_hasher in[RC_PART_COUNT], out[RC_PART_COUNT];
} rc_exec_hashes;

/* A large job at a chunk's end. Plain bytes: it is kept in a file. */
typedef struct rc_exec_half {
    uint64_t job, rows; /* the first of it are done */
    rc_verdict verdict; /* of them */
    uint8_t in[RC_PART_COUNT][RC_HASH_STATE], out[RC_PART_COUNT][RC_HASH_STATE];
} rc_exec_half;

/* A job under way: from its first chunk to its last. */
typedef struct rc_exec_job {
    rc_exec_hashes *hashes;
    rc_turn turn;
    uint64_t first; /* chunk to begin with: those before it are kept from an earlier run */
    uint64_t chunks_left;
    rc_verdict verdict;
    /* of a large job, see execute_state.c */
    rc_exec_half *saved; /* the latest whose bytes are all written; first > 0: to begin with */
    rc_exec_half *mark;  /* the next, of which some bytes are not yet; or NULL */
    uint64_t mark_chunk, mark_left; /* it is before this chunk; so many before it are missing */
    uint64_t written;               /* chunks of this run */
    bool in_middle;                 /* hashes and verdict are not those of a chunk's end */
} rc_exec_job;

typedef struct rc_exec_shard {
    rc_out *out;
    size_t jobs_left;
    bool there; /* an unfinished file of the right size, to be gone on with */
} rc_exec_shard;

typedef struct rc_exec_target {
    rc_work *work;
    rc_exec_shard *shards;
    rc_exec_job *jobs; /* by job of the plan */
} rc_exec_target;

typedef struct rc_exec {
    const rc_execute_opts *opts;
    rc_mem *mem;
    rc_ckpt *ckpt; /* of all plans */
    rc_source *src;
    rc_exec_target *targets;
    size_t ntargets;
    pthread_mutex_t lock;       /* guards shards, jobs, and the counts inside */
    pthread_mutex_t state_lock; /* taken before `lock`: one writes a file of states at a time */
} rc_exec;

/** Done, or for another part of the work to do. */
bool rc_exec_is_done(const rc_exec_target *t, size_t job);
/** An error about a file of t's folder: name it so that it is one of a kind. */
rc_code rc_exec_name_output(const rc_exec *x, const rc_exec_target *t, rc_err *err);

/* ------------------------------------------------------------ execute_kept.c */

/** Learn what an earlier run left of `t`: journal and files are brought to agree. */
RC_MUST_CHECK
rc_code rc_exec_take_up(rc_exec *x, rc_exec_target *t, rc_err *err);
/** Forget a finished job, and that its shard is whole. */
RC_MUST_CHECK
rc_code rc_exec_forget(rc_exec_target *t, size_t job, rc_err *err);
/** Forget what is half done of a job. */
void rc_exec_drop_half(const rc_exec *x, rc_exec_job *job);
/** A run may have died between a shard's last job and its sync. */
RC_MUST_CHECK
rc_code rc_exec_sync_leftovers(rc_exec *x, rc_exec_target *t, rc_err *err);
/** Sync a shard whose jobs are all done, and record that. */
RC_MUST_CHECK
rc_code rc_exec_finish_shard(const rc_exec *x, rc_exec_target *t, size_t s, rc_err *err);

/* ---------------------------------------------------------- execute_stream.c */

/** Bytes [off, off + nbytes) of a tensor, as they are asked of the source. */
rc_extent rc_exec_extent(const rc_exec *x, const rc_tensor *t, uint64_t off, uint64_t nbytes);
/** Is the source read once, ahead? From beyond this machine always; else where several want it. */
bool rc_exec_streams(const rc_exec *x);
RC_MUST_CHECK
rc_code rc_exec_stream(const rc_exec *x, const rc_extent *extents, size_t n, size_t memory,
                       rc_err *err);
/** Forget finished jobs that were made of bytes which no sum is known of. *any is set if there
 *  are some. */
RC_MUST_CHECK
rc_code rc_exec_forget_unknown(const rc_exec *x, rc_exec_target *t, bool *any, rc_err *err);
/** After RC_E_INTEGRITY: forget, in all targets, what was made of a file that is at fault. */
void rc_exec_forget_bad_file(const rc_exec *x);

/* ----------------------------------------------------------- execute_state.c */

/** Is it worth while to go on inside the job? */
bool rc_exec_is_large(const rc_exec *x, const rc_job *job);
/** Read what an earlier run has half done, as far as it can be meant: jobs' `saved`. Whether the
 *  output's bytes are there is for execute_kept.c to see. */
RC_MUST_CHECK
rc_code rc_exec_load_halves(const rc_exec *x, rc_exec_target *t, rc_err *err);
/** Go on from there: hashes and verdict. */
void rc_exec_resume_half(rc_exec_job *job);
/** In the job's turn, the chunk before `chunk` being hashed: note the state, if it is time. */
RC_MUST_CHECK
rc_code rc_exec_mark(rc_exec *x, rc_exec_target *t, size_t job, uint64_t chunk, uint64_t chunk_rows,
                     rc_err *err);
/** A chunk is written: keep the state that waited for it, if one did. */
RC_MUST_CHECK
rc_code rc_exec_written(rc_exec *x, rc_exec_target *t, size_t job, uint64_t chunk, rc_err *err);
/** After a run that ends early: keep what can be kept. */
void rc_exec_keep_halves(rc_exec *x, uint64_t chunk_budget);

#endif
