/* quantize/iq2_xxs_avx512.c */
#include "quantize/iq2_xxs_lanes.h"

void rc_quant_iq2_xxs_avx512(uint8_t *restrict out, const float *restrict x,
                             const float *restrict importance, size_t n)
{
    iq_row(quantize_some, sizeof(rc_block_iq2_xxs), 1.0f / RC_BLOCK_SUPER, out, x, importance, n);
}
