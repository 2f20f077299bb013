/* quantize/int4_avx2.c - see int4_lanes.h. */
#include "quantize/int4_functions.h"

INT4_FUNCTIONS(avx2)
