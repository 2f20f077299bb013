/* quantize/best_avx2.c */
#include "quantize/best_lanes.h"

BEST_FUNCTIONS(avx2)
