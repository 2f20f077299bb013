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

/* A job under way: from its first chunk to its last. */
typedef struct rc_exec_job {
    rc_exec_hashes *hashes;
    rc_turn turn;
    uint64_t chunks_left;
    rc_verdict verdict;
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
    pthread_mutex_t lock; /* guards shards, jobs, and the counts inside */
} rc_exec;

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

#endif
