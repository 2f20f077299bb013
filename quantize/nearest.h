/* quantize/nearest.h - the block types that only round: Q8_0, Q4_0 without importance, MXFP4.
 *
 *     Q8_0   d = max |x| / 127                q = x / d to nearest, halves away from zero
 *     Q4_0   d = (x of largest |x|) / -8      q = x / d + 8.5 downwards, at most 15
 *     MXFP4  2^e = largest power <= max |x|, over 4    the nearest code, of two the smaller
 *
 * x / d is x * (1 / d), and q is found before d is rounded to f16: the bytes are ggml's. Where
 * ggml converts numbers that its integers cannot hold, blocks are as if zero: Q8_0 and Q4_0
 * where 1 / d overflows, MXFP4 (below 2^-125) with e = 0 and the codes nearest under that.
 * Q4_0 with importance is a search: search.h.
 * Source: ggml/src/ggml-quants.c, quantize_row_*_ref. */
#ifndef RC_QUANTIZE_NEAREST_H
#define RC_QUANTIZE_NEAREST_H

#include <math.h>

#include "formats/blocks.h"
#include "kernels/codes.h"
#include "kernels/cpu.h"
#include "quantize/block_quant.h"

rc_quant_row_fn rc_quant_q8_0_ref, rc_quant_q8_0_avx2, rc_quant_q8_0_avx512;
rc_quant_row_fn rc_quant_q4_0_ref, rc_quant_q4_0_avx2, rc_quant_q4_0_avx512;
rc_quant_row_fn rc_quant_mxfp4_ref, rc_quant_mxfp4_avx2, rc_quant_mxfp4_avx512;

/* The row of a type in the table of quantizers, with its variants. */
#if defined(__x86_64__)
#define RC_NEAREST_VECTORS(type)                                                                   \
    { "avx2", RC_CPU_AVX2, rc_quant_##type##_avx2 },                                               \
        { "avx512", RC_CPU_AVX512, rc_quant_##type##_avx512 },
#else
#define RC_NEAREST_VECTORS(type)
#endif
#define RC_NEAREST_TABLE(type, dtype_, searches_)                                                  \
    static const rc_quant_impl type##_impls[] = {                                                  \
        { "ref", 0, rc_quant_##type##_ref },                                                       \
        RC_NEAREST_VECTORS(type){ 0 },                                                             \
    };                                                                                             \
    const rc_quantizer rc_quantizer_##type = { .dtype = dtype_,                                    \
                                               .searches = searches_,                              \
                                               .impls = type##_impls };

#define RC_Q4_0_TOP 8 /* codes are -8 .. 7, stored plus 8 */

static inline float rc_nearest_inverse(float d)
{
    const float inverse = 1.0f / d;

    return isfinite(inverse) ? inverse : 0.0f;
}

/** The scale byte of a MXFP4 block with this largest magnitude: floor(log2(max)) - 2 + 127, where
 *  log2 rounds to f32 and so reaches the integer a little early. */
uint8_t rc_mxfp4_scale(float max);

/** Half of the scale, 2^(e - 128): MXFP4 codes are integers under that. */
static inline float rc_mxfp4_half(uint8_t e)
{
    return rc_f32_of_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

/** What the importance of a row's columns is multiplied with for Q4_0: the weight of x is
 *  importance * sqrt(spread + x^2). */
static inline float rc_q4_0_spread(const float *x, size_t n)
{
    float sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum / (float)n;
}

#endif
