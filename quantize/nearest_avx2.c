/* quantize/nearest_avx2.c - see nearest_lanes.h. */
#include "quantize/nearest_lanes.h"

NEAREST_ROWS(avx2)
