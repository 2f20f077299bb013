/* quantize/affine_blocks.h - Q2_K, Q4_K and Q5_K: what their variants share.
 *
 * All three store y = d * scale * q - dmin * min: a sub-block has small integers for its scale
 * and its min, a block has d and dmin. A block is quantized in four steps:
 *
 *     1. search   each sub-block alone: scale and min as f32 (search.h)
 *     2. round    those to the integers; d and dmin follow, as f16
 *     3. assign   codes once more, for what the integers and halves really say
 *     4. pack     bits into the block
 *
 * Steps 1 and 3 are the arithmetic, which the variants in affine_lanes.h do many at once; so
 * are the sums of step 2 with importance. The rest is here. */
#ifndef RC_QUANTIZE_AFFINE_BLOCKS_H
#define RC_QUANTIZE_AFFINE_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "formats/blocks.h"
#include "quantize/search.h"

#define RC_AFFINE_SUBS 16u /* sub-blocks of a block, at most */

/* What goes into a block beside its codes. */
typedef struct rc_affine_scales {
    uint8_t scale[RC_AFFINE_SUBS], min[RC_AFFINE_SUBS];
    uint16_t d, dmin; /* f16 */
} rc_affine_scales;

typedef struct rc_affine_kind {
    unsigned sub; /* elements of a sub-block: 16 or 32 */
    unsigned block_bytes;
    int top;       /* largest code */
    int top_scale; /* largest integer scale and min */
    bool level;    /* weights without importance are |x| + rms(x), not |x| */
    float spread;  /* weights with importance are that * sqrt(spread * mean x^2 + x^2) */
    rc_affine_steps plain, weighted; /* the search without and with importance */
    void (*pack)(uint8_t *restrict block, const rc_affine_scales *restrict s,
                 const uint8_t *restrict q);
} rc_affine_kind;

extern const rc_affine_kind rc_affine_q2_k, rc_affine_q4_k, rc_affine_q5_k;

/** The scalar reference: n elements, a multiple of 256. */
void rc_affine_row_ref(const rc_affine_kind *kind, uint8_t *restrict out, const float *restrict x,
                       const float *restrict importance, size_t n);

/** Step 2 without importance: the largest scale and the largest min fit exactly. */
void rc_affine_round(const rc_affine_kind *kind, rc_affine_scales *s, const float *scale,
                     const float *min);

#endif
