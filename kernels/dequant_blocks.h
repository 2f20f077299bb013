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

/* X(dtype, name, elements of a block) for each type. */
#define RC_DEQUANT_BLOCKS_TYPES(X)                                                                 \
    X(Q4_0, q4_0, RC_BLOCK_SMALL)                                                                  \
    X(Q8_0, q8_0, RC_BLOCK_SMALL)                                                                  \
    X(Q2_K, q2_k, RC_BLOCK_SUPER)                                                                  \
    X(Q3_K, q3_k, RC_BLOCK_SUPER)                                                                  \
    X(Q4_K, q4_k, RC_BLOCK_SUPER)                                                                  \
    X(Q5_K, q5_k, RC_BLOCK_SUPER)                                                                  \
    X(Q6_K, q6_k, RC_BLOCK_SUPER)                                                                  \
    X(IQ2_XXS, iq2_xxs, RC_BLOCK_SUPER)                                                            \
    X(IQ4_XS, iq4_xs, RC_BLOCK_SUPER)                                                              \
    X(MXFP4, mxfp4, RC_BLOCK_SMALL)                                                                \
    X(NVFP4, nvfp4, RC_BLOCK_NVFP4)

#define RC_DEQUANT_BLOCKS_DECLARE(TYPE, type, nelems)                                              \
    rc_dequant_blocks_fn rc_dequant_##type##_ref, rc_dequant_##type##_avx2,                        \
        rc_dequant_##type##_avx512;
RC_DEQUANT_BLOCKS_TYPES(RC_DEQUANT_BLOCKS_DECLARE)
#undef RC_DEQUANT_BLOCKS_DECLARE

#endif
