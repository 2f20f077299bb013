/* quantize/int4_best_lanes.h - RC_INT4_BEST. */
#ifndef RC_QUANTIZE_INT4_BEST_LANES_H
#define RC_QUANTIZE_INT4_BEST_LANES_H

#include "quantize/int4_lanes.h"

static int4_choice int4_best(const int4_batch *b, int4_choice best)
{
    (void)b;
    return best;
}

#endif
