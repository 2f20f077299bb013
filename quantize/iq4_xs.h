/* quantize/iq4_xs.h - the variants of the IQ4_XS quantizer; the contract is block_quant.h.
 *
 * Per super-block of 256: sigma2 is twice the mean of x^2; the weight of an error is
 * importance * sqrt(sigma2 + x^2), or x^2 without importance. Per sub-block of 32, sixteen
 * scales are tried: codes are the nearest of the table's sixteen values, the scale is
 * re-fitted to them by weighted least squares, and the best fit stays. The scales become
 * 6-bit multiples of d, and the codes are chosen again under those.
 * Source: ggml/src/ggml-quants.c, quantize_iq4_xs(). */
#ifndef RC_QUANTIZE_IQ4_XS_H
#define RC_QUANTIZE_IQ4_XS_H

#include "formats/blocks.h"
#include "quantize/block_quant.h"

#define RC_IQ4_SUB  32u /* elements of a sub-block */
#define RC_IQ4_SUBS 8u  /* sub-blocks of a super-block */

/** The code whose value is nearest to x, the upper one of equals. NaN gives 15. */
uint8_t rc_iq4_code(float x);

/** The scale -32 .. 31 of sub-block s, into a block whose scales are zero so far. */
static inline void rc_iq4_put_scale(rc_block_iq4_xs *b, unsigned s, int scale)
{
    const unsigned stored = (unsigned)(scale + 32);

    b->scales_l[s / 2] |= (uint8_t)((stored & 15) << s % 2 * 4);
    b->scales_h[s / 4] |= (uint8_t)(stored >> 4 << s % 4 * 2);
}

rc_quant_row_fn rc_quant_iq4_xs_ref, rc_quant_iq4_xs_avx2, rc_quant_iq4_xs_avx512;

#endif
