/* quantize/signed_blocks.h - Q3_K and Q6_K: what their variants share.
 *
 * Both store y = d * scale * (q - top) in sub-blocks of 16, scale a small signed integer. The
 * four steps are those of affine_blocks.h without a min; here a scale may be negative, as the
 * value of largest magnitude takes the code -top, of which there is no positive twin. */
#ifndef RC_QUANTIZE_SIGNED_BLOCKS_H
#define RC_QUANTIZE_SIGNED_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/blocks.h"

#define RC_SIGNED_SUB  16u /* elements of a sub-block, and sub-blocks of a block */
#define RC_Q3_K_TOP    4
#define RC_Q3_K_SCALES 32 /* a scale is stored plus this: 0 .. 63 */
#define RC_Q6_K_TOP    32

/** Step 2 of Q3_K without importance; returns d. */
uint16_t rc_q3_k_round(uint8_t scale[RC_SIGNED_SUB], const float found[RC_SIGNED_SUB]);
/** Step 2 of Q6_K. False: all scales count as zero, the block is 210 bytes of 0. */
bool rc_q6_k_round(uint16_t *d, int8_t scale[RC_SIGNED_SUB], const float found[RC_SIGNED_SUB]);

/** Step 4. */
void rc_q3_k_pack_block(rc_block_q3_k *restrict b, uint16_t d, const uint8_t scale[RC_SIGNED_SUB],
                        const uint8_t *restrict q);
void rc_q6_k_pack_block(rc_block_q6_k *restrict b, uint16_t d, const int8_t scale[RC_SIGNED_SUB],
                        const uint8_t *restrict q);

#endif
