/* quantize/affine_avx512.c */
#include "quantize/affine_lanes.h"

AFFINE_FUNCTIONS(avx512)
