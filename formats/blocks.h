/* formats/blocks.h - weights that share a scale: group sizes, and the block types of GGUF.
 *
 * A row of a block type is a run of blocks, each a struct below: bytes in the order of the
 * file, alignment 1, no padding, integers little-endian. `f16` is IEEE half precision. i is
 * the element's index in its block, q its code, y its value; a product or difference rounds
 * to f32 from left to right. Codes are "split" where the low nibbles of a run of bytes are
 * one run of elements and the high nibbles the next one of the same length.
 * Source: ggml/src/ggml-common.h (layouts), ggml-quants.c (formulas). */
#ifndef RC_FORMATS_BLOCKS_H
#define RC_FORMATS_BLOCKS_H

#include <stdint.h>

#define RC_FP4_GROUP 32u  /* weights of one row under one E8M0 scale of an FP4 matrix */
#define RC_FP8_TILE  128u /* rows, and columns, under one scale of an FP8 matrix */

/* Elements of a block. */
#define RC_BLOCK_SMALL 32u  /* Q4_0, Q8_0, MXFP4 */
#define RC_BLOCK_NVFP4 64u  /* four sub-blocks of 16 */
#define RC_BLOCK_SUPER 256u /* the K and IQ types: sub-blocks of 16 or 32 under one d */

/* y = (q - 8) * d. Split: byte j is elements j and j + 16. */
typedef struct rc_block_q4_0 {
    uint8_t d[2]; /* f16 */
    uint8_t qs[16];
} rc_block_q4_0;

/* y = q * d, q signed. Quantizers write -127 .. 127. */
typedef struct rc_block_q8_0 {
    uint8_t d[2]; /* f16 */
    uint8_t qs[32];
} rc_block_q8_0;

/* y = e2m1(q) * 2^(e - 127), the FP4 of the native checkpoint with other nibbles together:
 * byte j is elements j and j + 16. Code 8 is +0, not -0; e = 255 is NaN to OCP MX and to
 * recast, a number to ggml. */
typedef struct rc_block_mxfp4 {
    uint8_t e; /* E8M0 */
    uint8_t qs[16];
} rc_block_mxfp4;

/* y = e2m1(q) * d. Sub-block t: elements 16t .. 16t+15, scale d[t], bytes qs[8t+j] are
 * elements 16t+j and 16t+8+j. UE4M3 is E4M3 of which bit 7 is ignored: 0x7f is 0, but 0xff
 * the 480 that its bits would be. Code 8 is +0. */
typedef struct rc_block_nvfp4 {
    uint8_t d[4]; /* UE4M3 */
    uint8_t qs[32];
} rc_block_nvfp4;

/* y = d * scale * q - dmin * min, sub-blocks of 16; of byte s of `scales` the low nibble is
 * the scale, the high one the min of sub-block s. Bits 2t of qs[32h + l] are element
 * 128h + 32t + l, for l < 32 and t < 4. */
typedef struct rc_block_q2_k {
    uint8_t scales[16];
    uint8_t qs[64];
    uint8_t d[2], dmin[2]; /* f16 */
} rc_block_q2_k;

/* y = d * (scale - 32) * (q - 4), sub-blocks of 16. The low two bits of q as in Q2_K; bit 4
 * is bit 4h + t of hmask[l]. Scales are 6 bits: see rc_q3_k_scale(). */
typedef struct rc_block_q3_k {
    uint8_t hmask[32];
    uint8_t qs[64];
    uint8_t scales[12];
    uint8_t d[2]; /* f16 */
} rc_block_q3_k;

/* y = d * scale * q - dmin * min, sub-blocks of 32. Split: byte 32p + l is elements 64p + l
 * (sub-block 2p) and 64p + 32 + l. Scales and mins are 6 bits: see rc_k4_scale(). */
typedef struct rc_block_q4_k {
    uint8_t d[2], dmin[2]; /* f16 */
    uint8_t scales[12];
    uint8_t qs[128];
} rc_block_q4_k;

/* As Q4_K with a fifth bit: that of element 32s + l is bit s of qh[l]. */
typedef struct rc_block_q5_k {
    uint8_t d[2], dmin[2]; /* f16 */
    uint8_t scales[12];
    uint8_t qh[32];
    uint8_t qs[128];
} rc_block_q5_k;

/* y = d * scale * (q - 32), sub-blocks of 16, scales signed bytes. Half h is elements 128h ..
 * 128h+127, of which run t is the 32 from 128h + 32t on. Low four bits of element l of run
 * t: byte ql[64h + 32 (t % 2) + l], its low nibble for t < 2, else its high one. Upper two
 * bits: bits 2t of qh[32h + l]. */
typedef struct rc_block_q6_k {
    uint8_t ql[128];
    uint8_t qh[64];
    uint8_t scales[16];
    uint8_t d[2]; /* f16 */
} rc_block_q6_k;

/* y = d * (0.5 + scale) * 0.25 * grid[index][j] * sign, sub-blocks of 32. Sub-block s is 8
 * bytes: the grid indices of four runs of 8 elements, then u32 w. Bits 7r of w are seven
 * signs of run r (1 is minus; the eighth makes the minus signs even: rc_iq2_signs()), its
 * top four bits the scale. */
typedef struct rc_block_iq2_xxs {
    uint8_t d[2]; /* f16 */
    uint8_t qs[64];
} rc_block_iq2_xxs;

/* y = d * (scale - 32) * rc_iq4_values[q], sub-blocks of 32. Split: byte 16s + j is elements
 * 32s + j and 32s + 16 + j. Scales are 6 bits: nibble s of scales_l, above it bits 2s of
 * the u16 scales_h. */
typedef struct rc_block_iq4_xs {
    uint8_t d[2]; /* f16 */
    uint8_t scales_h[2];
    uint8_t scales_l[4];
    uint8_t qs[128];
} rc_block_iq4_xs;

#endif
