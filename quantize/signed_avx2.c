/* quantize/signed_avx2.c */
#include "quantize/signed_lanes.h"

SIGNED_FUNCTIONS(avx2)
