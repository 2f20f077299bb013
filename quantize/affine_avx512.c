/* quantize/affine_avx512.c */
#include "quantize/affine_lanes.h"

void rc_quant_q2_k_avx512(uint8_t *restrict out, const float *restrict x,
                          const float *restrict importance, size_t n)
{
    affine_row_16(&rc_affine_q2_k, out, x, importance, n);
}

void rc_quant_q4_k_avx512(uint8_t *restrict out, const float *restrict x,
                          const float *restrict importance, size_t n)
{
    affine_row_32(&rc_affine_q4_k, out, x, importance, n);
}

void rc_quant_q5_k_avx512(uint8_t *restrict out, const float *restrict x,
                          const float *restrict importance, size_t n)
{
    affine_row_32(&rc_affine_q5_k, out, x, importance, n);
}
