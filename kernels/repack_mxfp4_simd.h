/* kernels/repack_mxfp4_simd.h - what the vector variants have in common.
 *
 * 64 blocks of 17 bytes are 17 cache lines: the *strip* in which the vector variants
 * work, so that lines can be written whole. What comes before the first strip that starts
 * a line, and after the last, is written block by block. */
#ifndef RC_KERNELS_REPACK_MXFP4_SIMD_H
#define RC_KERNELS_REPACK_MXFP4_SIMD_H

#include "kernels/repack_mxfp4.h"

#define STRIP_BLOCKS 64u
#define STRIP_BYTES  (STRIP_BLOCKS * sizeof(rc_block_mxfp4))
#define CODE_BYTES   (RC_FP4_GROUP / 2)

/* How many of n blocks precede the first that starts a line. 17 * 49 is 1 modulo 64. */
static inline size_t blocks_to_line(const uint8_t *out, size_t n)
{
    const size_t blocks = (64 - (uintptr_t)out % 64) * 49 % 64;

    return blocks < n ? blocks : n;
}

#endif
