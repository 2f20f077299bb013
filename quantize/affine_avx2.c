/* quantize/affine_avx2.c */
#include "quantize/affine_lanes.h"

AFFINE_FUNCTIONS(avx2)
