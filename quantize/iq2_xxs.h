/* quantize/iq2_xxs.h - the variants of the IQ2_XXS quantizer; the contract is block_quant.h.
 *
 * Per super-block of 256: sigma2 is the mean of x^2, and the weight w of an error is
 * importance * sqrt(sigma2 + x^2). A sub-block of 32 is four runs of eight. Signs come off
 * first; as a run can store only an even number of them, the element with the least w x^2
 * gets the wrong one where the number is odd. A first scale comes from rc_search_positive();
 * around it thirteen are tried: a run's tuple of nearest digits, or else the neighbour with
 * the least error (quantize/iq2_grid.h, which weighs errors by sqrt(w)), then the scale
 * fitted to the points by weighted least squares, and the best fit stays. Under its scale
 * the points are chosen once more. The scales become 4-bit multiples of d.
 * Source: ggml/src/ggml-quants.c, quantize_row_iq2_xxs_impl(). */
#ifndef RC_QUANTIZE_IQ2_XXS_H
#define RC_QUANTIZE_IQ2_XXS_H

#include "formats/blocks.h"
#include "quantize/block_quant.h"
#include "quantize/iq2_grid.h"

#define RC_IQ2_SUB  32u /* elements of a sub-block */
#define RC_IQ2_SUBS 8u  /* sub-blocks of a super-block */
#define RC_IQ2_RUNS 4u  /* runs of a sub-block */

/** One super-block, between rc_rounding_enter() and rc_rounding_leave(): what the variants
 *  call for values that they do not handle themselves. */
void rc_quant_iq2_xxs_block(rc_block_iq2_xxs *b, const float *x, const float *importance);

/** The point of a run: that of its nearest digits, else their neighbour of least error. */
uint8_t rc_iq2_xxs_choose(const rc_iq2_grid *grid, const float *x, const float *root_w, float scale,
                          float inverse);

/** The end of a super-block: d and the sub-blocks' scales, of which `longest` is the largest,
 *  after points and signs. */
void rc_iq2_xxs_put_scales(rc_block_iq2_xxs *b, const float scales[RC_IQ2_SUBS], float longest);

rc_quant_row_fn rc_quant_iq2_xxs_ref, rc_quant_iq2_xxs_avx2, rc_quant_iq2_xxs_avx512;

#endif
