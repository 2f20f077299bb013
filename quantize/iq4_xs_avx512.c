/* quantize/iq4_xs_avx512.c */
#include "quantize/iq4_better.h"
#include "quantize/iq4_xs_lanes.h"

void rc_quant_iq4_xs_avx512(uint8_t *restrict out, const float *restrict x,
                            const float *restrict importance, size_t n)
{
    iq_row(quantize_some, sizeof(rc_block_iq4_xs), 2.0f / RC_BLOCK_SUPER, out, x, importance, n);
}

float rc_iq4_nearest_avx512(uint8_t codes[RC_IQ4_SUB], const float x[RC_IQ4_SUB],
                            const float w[RC_IQ4_SUB], float step)
{
    return nearest_codes(codes, x, w, step);
}
