/* quantize/best_avx512.c */
#include "quantize/best_lanes.h"

BEST_FUNCTIONS(avx512)
