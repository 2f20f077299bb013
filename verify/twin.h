/* verify/twin.h - two models side by side on one text, layer by layer.
 *
 *     for each layer:   NATIVE runs it, CONVERTED runs it (or follows, where both are known to be
 *                       equal), their streams are compared
 *     for each scored position: both models' logits, a few positions at a time
 *
 * The weights of each are read once whatever the length of the text; memory does not grow with
 * vocabulary x positions. Digits depend on the weights' values and the text only. */
#ifndef RC_VERIFY_TWIN_H
#define RC_VERIFY_TWIN_H

#include <stdatomic.h>

#include "verify/alike.h"
#include "verify/behaviour.h"
#include "verify/layers.h"
#include "runtime/windows.h"

typedef struct rc_twin rc_twin;

typedef struct rc_twin_options {
    rc_forward_options run; /* numerics, threads, blas, scratch; mem_limit is for both together (0:
                               half of the machine's memory); the rest is not heeded */
    const rc_windows *windows;
    const rc_alike *alike;  /* what need not run twice */
    bool layers, own;       /* compare hidden states; and probe (a third run of CONVERTED) */
    double threshold;       /* of a layer's relative error */
    _Atomic uint64_t *done; /* counts up to rc_twin_steps(); or NULL */
} rc_twin_options;

/** Layers of each model, and one for the logits. */
uint64_t rc_twin_steps(const rc_model *a, const rc_twin_options *o);

/** Run both. All of the options are borrowed until rc_twin_free().
 *    RC_E_TENSORSET  sizes that two versions of one model share differ: names the field
 *    RC_E_NUMERIC    NATIVE gives no numbers: it is no measure
 *  and what rc_forward_new(), rc_forward_begin() and rc_forward_step() report, with the side's
 * folder in front of the file. */
RC_MUST_CHECK
rc_code rc_twin_run(rc_twin **out, const rc_subject *a, const rc_subject *b,
                    const rc_twin_options *o, rc_mem *mem, rc_err *err);
void rc_twin_free(rc_twin **twin);

const rc_behaviour *rc_twin_behaviour(const rc_twin *t);
const rc_layers *rc_twin_layers(const rc_twin *t); /* NULL when they were not asked for */
uint32_t rc_twin_shared(const rc_twin *t);         /* layers that were run once */
size_t rc_twin_peak(const rc_twin *t);             /* most bytes held by both models */

/** Mean KL of a third model from NATIVE on the same positions: CONVERTED with some parameters
 * swapped for NATIVE's (`swap`), or with NATIVE's config and all of CONVERTED's parameters
 * (`config_of_a`). Infinite where it says no numbers. CONVERTED's own pass is let go on the first
 * call. */
RC_MUST_CHECK
rc_code rc_twin_swapped(rc_twin *t, const rc_swap *swap, bool config_of_a, double *kl, rc_err *err);

#endif
