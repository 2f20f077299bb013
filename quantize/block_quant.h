/* quantize/block_quant.h - rows of f32 to the block types of GGUF.
 *
 * One table for all types. A quantizer turns one row into blocks; rows are
 * independent of each other. For each type there is a scalar reference, which gives the
 * bytes of ggml's reference encoder built without fused multiply-add, and faster variants
 * that give the bytes of our reference. Layouts: formats/blocks.h.
 * Source: ggml/src/ggml-quants.c, of which the algorithms are followed, not the text. */
#ifndef RC_QUANTIZE_BLOCK_QUANT_H
#define RC_QUANTIZE_BLOCK_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/dtype.h"

/** One row.
 *    out         n / block * block_bytes bytes, any alignment
 *    x           n finite values; n is a multiple of the type's block
 *    importance  n weights >= 0 of the squared errors, one a column; NULL: none.
 *                Types that do not search ignore it.
 *  No allocation, thread-safe, independent of the caller's rounding mode. */
typedef void rc_quant_row_fn(uint8_t *restrict out, const float *restrict x,
                             const float *restrict importance, size_t n);

typedef enum rc_effort {
    RC_EFFORT_REFERENCE, /* the bytes of ggml's reference */
    RC_EFFORT_BEST       /* a lower weighted error where we know how, else the reference */
} rc_effort;

/* One variant of one type's quantizer. Rows of one type run slow to fast; row 0 is the
 * reference. */
typedef struct rc_quant_impl {
    const char *name; /* "ref", "avx2", "avx512" */
    unsigned need;    /* RC_CPU_ flags */
    rc_quant_row_fn *fn;
} rc_quant_impl;

typedef struct rc_quantizer {
    rc_dtype dtype;
    bool searches;               /* uses an importance matrix */
    bool needs_importance;       /* cannot do without one (IQ2_XXS) */
    const rc_quant_impl *impls;  /* a NULL fn ends the table */
    const rc_quant_impl *better; /* for RC_EFFORT_BEST; NULL: nothing better than impls */
} rc_quantizer;

/** The quantizer of a type, or NULL when it has none. */
const rc_quantizer *rc_quantizer_of(rc_dtype dtype);

/** The fastest variant that the processor level in force (kernels/cpu.h) allows. */
rc_quant_row_fn *rc_quantizer_best(const rc_quantizer *q, rc_effort effort);

/* The table's rows, each in its own file. */
extern const rc_quantizer rc_quantizer_q4_0, rc_quantizer_q8_0, rc_quantizer_mxfp4,
    rc_quantizer_q2_k, rc_quantizer_q3_k, rc_quantizer_q4_k, rc_quantizer_q5_k, rc_quantizer_q6_k,
    rc_quantizer_iq2_xxs, rc_quantizer_iq4_xs;

#endif
