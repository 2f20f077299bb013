/* quantize/signed_avx512.c */
#include "quantize/signed_lanes.h"

SIGNED_FUNCTIONS(avx512)
