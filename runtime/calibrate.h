/* runtime/calibrate.h - a text through the whole model once, for its statistics.
 *
 * All windows go through a layer, its statistics are written, then the next is read. After each
 * layer everything that is needed to go on is on the disk beside the result NAME:
 *
 *     NAME.partial            the statistics of the layers that are done, at their places
 *     NAME.partial.streams-0  the residual streams after the last layer, to the bit;
 *     NAME.partial.streams-1  the layer before it had the other one
 *     NAME.partial.state      whose they are, and which layer is next
 *     NAME.partial.lock
 *
 * The state is written after what it speaks of is synced, so a run may be ended at any moment. The
 * file is the same to the byte whether or not it was, and for any threads, memory and instruction
 * set. */
#ifndef RC_RUNTIME_CALIBRATE_H
#define RC_RUNTIME_CALIBRATE_H

#include "formats/base/target.h"
#include "runtime/forward.h"
#include "runtime/windows.h"

enum { RC_CALIBRATE_SAMPLE = 512 }; /* rows of a block's sample, by default */

typedef struct rc_calibrate_options {
    rc_forward_options run;    /* `mem` pays for all; watch and steps are set here */
    const rc_windows *windows; /* stride = ctx */
    const char *dataset;       /* what the text is called */
    bool moments;
    size_t sample;
    bool restart;                  /* throw away what an earlier run left */
    bool replace;                  /* a file of that name */
    _Atomic uint64_t *done, *kept; /* by this run and earlier ones; by earlier ones: in parts, of
                                      which a step has rc_calibrate_parts() */
} rc_calibrate_options;

typedef struct rc_calibrate_report {
    uint32_t steps;        /* layers and draft blocks */
    uint32_t resumed;      /* of these, done by an earlier run */
    bool draft;            /* a draft's block has statistics */
    const char *no_draft;  /* why not, where there is one; static */
    uint32_t few;          /* experts with fewer than RC_CALIB_ENOUGH tokens */
    uint64_t state_nbytes; /* of the two files of streams, while it ran */
    uint64_t bytes_read, spilled;
    double wait_s;
} rc_calibrate_report;

/** Layers and draft blocks that statistics are made of. */
uint32_t rc_calibrate_steps(const rc_model *model);
/** What each of them counts for in progress. */
uint64_t rc_calibrate_parts(const rc_model *model, const rc_windows *windows);

/** Calibrate. `model` is whole, `target` open; `dat` (may be closed) gets the same in the legacy
 *  format.
 *    RC_E_CANTCREATE  the file is there already, and not to be replaced
 *    RC_E_RESUME      an earlier run left a state of another model, text or options (says which)
 *    RC_E_INTEGRITY   its files are damaged
 *    RC_E_LOCKED      another run is at it
 *    RC_E_NUMERIC     an activation that is no number
 *    RC_E_NOSPACE     at once, not hours later
 *  and what running reports. After an error or a signal the same call goes on. */
RC_MUST_CHECK
rc_code rc_calibrate(const rc_target *target, const rc_target *dat, rc_model *model,
                     const rc_calibrate_options *o, rc_calibrate_report *report, rc_mem *mem,
                     rc_err *err);

#endif
