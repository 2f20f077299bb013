/* quantize/iq4_xs_avx2.c */
#include "quantize/iq4_xs_lanes.h"

void rc_quant_iq4_xs_avx2(uint8_t *restrict out, const float *restrict x,
                          const float *restrict importance, size_t n)
{
    quantize_row(out, x, importance, n);
}
