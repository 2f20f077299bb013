/* quantize/iq4_better.h - IQ4_XS with a lower error than ggml's encoder leaves.
 *
 * ggml's encoder chooses the scales of sub-blocks before it rounds them to 6 bits, and d before
 * it rounds that to f16. This starts from its blocks and improves the sum of w * (x - y)^2, y
 * the decoded value and w the importance, 1 without one: d is fitted to the codes by least squares;
 * then, for each sub-block, its scale and the three on either side are tried with the codes nearest
 * under each; twice. A block for which that is not lower stays as it was. */
#ifndef RC_QUANTIZE_IQ4_BETTER_H
#define RC_QUANTIZE_IQ4_BETTER_H

#include "quantize/block_quant.h"
#include "quantize/iq4_xs.h"

/** The codes of a sub-block nearest under `step`, and their error: (w * off) * off, off =
 *  x - step * value; term i and term i + 16 first, then halves of the sixteen sums. */
typedef float rc_iq4_nearest_fn(uint8_t codes[RC_IQ4_SUB], const float x[RC_IQ4_SUB],
                                const float w[RC_IQ4_SUB], float step);

rc_iq4_nearest_fn rc_iq4_nearest_ref, rc_iq4_nearest_avx2, rc_iq4_nearest_avx512;

extern const rc_quant_impl rc_iq4_better_impls[];

#endif
