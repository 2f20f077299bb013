/* quantize/best_ref.c */
#include "quantize/best_lanes.h"

BEST_FUNCTIONS(ref)
