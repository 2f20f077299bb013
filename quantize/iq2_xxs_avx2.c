/* quantize/iq2_xxs_avx2.c */
#include "quantize/iq2_better.h"
#include "quantize/iq2_xxs_lanes.h"

void rc_quant_iq2_xxs_avx2(uint8_t *restrict out, const float *restrict x,
                           const float *restrict importance, size_t n)
{
    iq_row(quantize_some, sizeof(rc_block_iq2_xxs), 1.0f / RC_BLOCK_SUPER, out, x, importance, n);
}

float rc_iq2_best_point_avx2(uint8_t *point, const float x[RC_IQ2_RUN], const float w[RC_IQ2_RUN],
                             float scale, bool odd)
{
    return best_of_all(rc_iq2_lists_get(VEC), point, x, w, scale, odd);
}
