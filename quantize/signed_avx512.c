/* quantize/signed_avx512.c */
#include "quantize/signed_lanes.h"

void rc_quant_q3_k_avx512(uint8_t *restrict out, const float *restrict x,
                          const float *restrict importance, size_t n)
{
    q3_k_row(out, x, importance, n);
}

void rc_quant_q6_k_avx512(uint8_t *restrict out, const float *restrict x,
                          const float *restrict importance, size_t n)
{
    q6_k_row(out, x, importance, n);
}
