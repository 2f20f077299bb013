/* verify/golden_look.h - what a golden file keeps of a layer, taken while the layer runs: a
 * checksum of the streams of each window, and sketches of the tokens that the format draws.
 *
 * A sketch is RC_GOLDEN_DIMS sums of a token's N * D values, each value taken positive or negative
 * as rc_golden_signs() has it: in double, in order, rounded to f32. Random projections keep
 * lengths: E |S x|^2 = RC_GOLDEN_DIMS |x|^2, so that the sketches of two models tell how far apart
 * they are (Johnson and Lindenstrauss; signs instead of normal numbers: Achlioptas 2003). */
#ifndef RC_VERIFY_GOLDEN_LOOK_H
#define RC_VERIFY_GOLDEN_LOOK_H

#include "formats/golden.h"
#include "runtime/watch.h"

typedef struct rc_golden_look rc_golden_look;

/** `head` is borrowed. RC_E_OS. */
RC_MUST_CHECK
rc_code rc_golden_look_new(rc_golden_look **out, const rc_golden_head *head, unsigned threads,
                           rc_mem *mem, rc_err *err);
void rc_golden_look_free(rc_golden_look **look);
/** To be given to the pass. It must bring tokens in order. */
const rc_watch *rc_golden_look_watch(const rc_golden_look *look);

/** What was seen of the layer that ran last, all of it; RC_E_INTERNAL when it did not run whole.
 *  sum[windows], sketch[sketched, RC_GOLDEN_DIMS]: valid until the next layer runs. */
RC_MUST_CHECK
rc_code rc_golden_look_layer(rc_golden_look *look, const rc_golden_sum **sum, const float **sketch,
                             rc_err *err);

#endif
