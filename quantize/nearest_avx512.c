/* quantize/nearest_avx512.c - see nearest_lanes.h. */
#include "quantize/nearest_lanes.h"

NEAREST_ROWS(avx512)
