/* convert/synth.h - write a checkpoint of the true layout with made-up weights.
 *
 * Names, dtypes, shapes, shards, index and config are those of a release; the
 * values are random but look like weights (synth_fill.h). For tests, benchmarks and
 * rehearsals: a conversion of the real thing costs a download, this does not. */
#ifndef RC_CONVERT_SYNTH_H
#define RC_CONVERT_SYNTH_H

#include <stdatomic.h>

#include "formats/base/mem.h"
#include "formats/base/status.h"

/* The file that says whose weights these are; --force replaces such a folder only. */
#define RC_SYNTH_MARK "SYNTHETIC"
#define RC_SYNTH_LIKE "flash|flash-0731|flash-base|pro|pro-0813|tiny"

typedef struct rc_synth_options {
    const char *like; /* one of RC_SYNTH_LIKE */
    uint32_t first;   /* layer of the release to begin with */
    uint32_t layers;  /* keep so many main layers; 0 = all */
    uint32_t experts; /* keep so many routed experts a layer; 0 = all */
    uint64_t seed;
    bool hollow; /* headers only: the data are holes that read as zero */
    bool force;  /* replace an earlier synthetic checkpoint */
    unsigned threads;
    _Atomic uint64_t *done, *total; /* bytes of shards, for progress; may be NULL */
} rc_synth_options;

typedef struct rc_synth_result {
    uint64_t shards, tensors;
    uint64_t tensor_bytes; /* as metadata.total_size */
    uint64_t file_bytes;   /* of the shards */
} rc_synth_result;

/** Make folder `dst`. Shards are written as NAME.partial, synced and renamed when
 *  all are done, the index comes last: without it nothing looks finished. The same
 *  bytes for any number of threads. On failure what was made is removed.
 *    RC_E_USAGE       more layers or experts than the release has, or too few
 *    RC_E_CANTCREATE  dst holds something (and what --force may not replace)
 *    RC_E_NOSPACE     before the first byte, if the space is not there
 *    RC_E_LOCKED, RC_E_STOPPED, and what the disk reports */
RC_MUST_CHECK
rc_code rc_synth(const char *dst, const rc_synth_options *options, rc_synth_result *result,
                 rc_mem *mem, rc_err *err);

#endif
