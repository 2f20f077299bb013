/* quantize/iq2_better.h - IQ2_XXS with a lower error than ggml's encoder leaves.
 *
 * ggml's encoder takes the grid for 1, 3, 5 times a scale, but it decodes to 8, 25, 43 eighths
 * of it; it settles signs before points; and 4 bits of scale come after both. This starts from
 * its blocks and improves the sum of importance * (x - y)^2 itself, y the decoded value: d is
 * fitted to the points and signs by least squares; then, for each sub-block, its scale and the
 * two next to it are tried, each run with the best of all 256 points under the best signs it can
 * have; twice. A block for which that is not lower stays as it was. */
#ifndef RC_QUANTIZE_IQ2_BETTER_H
#define RC_QUANTIZE_IQ2_BETTER_H

#include <stdbool.h>

#include "formats/blocks.h"
#include "quantize/block_quant.h"
#include "quantize/iq2_grid.h"

/** The point for a run of magnitudes x >= 0 under weights w, and its error: the sum in order of
 *  (w * off) * off, off = scale * value - x. When `odd`, the least (w * x) * value times
 *  4 * scale comes on top: what one wrong sign costs. The first of equals. */
typedef float rc_iq2_best_point_fn(uint8_t *point, const float x[RC_IQ2_RUN],
                                   const float w[RC_IQ2_RUN], float scale, bool odd);

rc_iq2_best_point_fn rc_iq2_best_point_ref, rc_iq2_best_point_avx2, rc_iq2_best_point_avx512;

extern const rc_quant_impl rc_iq2_better_impls[];

#endif
