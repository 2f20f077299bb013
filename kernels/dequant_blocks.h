/* kernels/dequant_blocks.h - one row of GGUF blocks to f32.
 *
 *     y[0 .. n)  from n / block * block_bytes bytes; n is a multiple of the block
 *
 * Types: Q4_0 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ2_XXS IQ4_XS MXFP4 NVFP4. Layouts and formulas:
 * formats/blocks.h. Every variant gives the bits of the reference on every input; a NaN
 * or infinite scale gives what the formula gives (any NaN is 0x7fc00000), a MXFP4 scale
 * byte of 255 gives NaN. No pointer needs more than its element's alignment.
 * Source: ggml/src/ggml-quants.c, the dequantize_row_* functions. */
#ifndef RC_KERNELS_DEQUANT_BLOCKS_H
#define RC_KERNELS_DEQUANT_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "formats/blocks.h"
#include "formats/dtype.h"
#include "kernels/cpu.h"

typedef void rc_dequant_blocks_fn(float *restrict y, const uint8_t *restrict blocks, size_t n);

typedef struct rc_dequant_blocks_impl {
    const char *name;
    unsigned need; /* RC_CPU_ flags */
    rc_dequant_blocks_fn *fn;
} rc_dequant_blocks_impl;

/** The variants for a type: row 0 is the reference, rows run slow to fast, a NULL fn ends
 *  the table. NULL when the type is no block type. */
const rc_dequant_blocks_impl *rc_dequant_blocks_impls(rc_dtype dtype);
/** The fastest that the level in force allows; NULL when the type is no block type. */
rc_dequant_blocks_fn *rc_dequant_blocks_best(rc_dtype dtype);

#endif
