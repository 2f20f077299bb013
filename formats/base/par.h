/* formats/base/par.h - a bounded crew for work that alternates between the disk
 * and the processor.
 *
 * Items are started in order, each by one of `slots` threads, and at most
 * `threads` of them compute at the same time: while some wait for the disk,
 * others work, so reading, computing and writing overlap without queues. A slot
 * owns its buffers: memory is slots x buffers, whatever the number of items. */
#ifndef RC_FORMATS_BASE_PAR_H
#define RC_FORMATS_BASE_PAR_H

#include "formats/base/mem.h"
#include "formats/base/status.h"

#define RC_PAR_MAX_SLOTS 256u

typedef struct rc_par rc_par;

/** One item. Returning an error stops the crew: no new items are started, the
 *  waits below return at once, and rc_par_run() returns the failed item's error
 *  (of several, the lowest item's). */
typedef rc_code rc_par_fn(void *ctx, rc_par *par, unsigned slot, uint64_t item, rc_err *err);

/** Run fn for items 0 .. nitems-1. `threads` is at least 1, and so is `slots` where there
 *  is an item.
 *  RC_E_OS when no thread can be started (fewer than asked for is fine);
 *  RC_E_STOPPED when a signal asked to stop (see stop.h). */
RC_MUST_CHECK
rc_code rc_par_run(uint64_t nitems, unsigned slots, unsigned threads, rc_par_fn *fn, void *ctx,
                   rc_err *err);

/** Around computing; waits while `threads` others compute. */
void rc_par_compute_begin(rc_par *par);
void rc_par_compute_end(rc_par *par);

/* Doing a thing in order although items finish out of order, such as hashing the
 * chunks of one tensor. Items are started in order, so waiting for a smaller
 * ticket cannot deadlock. A turn starts at ticket 0. */
typedef struct rc_turn {
    uint64_t next;
} rc_turn;

/** Wait until it is `ticket`'s turn. False when the crew is stopping: give up. */
bool rc_turn_wait(rc_par *par, const rc_turn *turn, uint64_t ticket);
/** Let the next ticket in. */
void rc_turn_next(rc_par *par, rc_turn *turn);

/** Slots for items of `each` bytes of buffers: half again as many as threads, so that some wait for
 *  the disk while others compute, as far as the memory that is left pays for them; at least 1. */
unsigned rc_par_slots(unsigned threads, const rc_mem *mem, size_t reserved, size_t each);

/** Number of processors this process may use. */
unsigned rc_par_cpus(void);

#endif
