/* quantize/kquants.h - what all five K types share beside their searches. */
#ifndef RC_QUANTIZE_KQUANTS_H
#define RC_QUANTIZE_KQUANTS_H

#include <stdint.h>

#include "formats/blocks.h"
#include "kernels/cpu.h"
#include "quantize/block_quant.h"

rc_quant_row_fn rc_quant_q2_k_ref, rc_quant_q2_k_avx2, rc_quant_q2_k_avx512;
rc_quant_row_fn rc_quant_q3_k_ref, rc_quant_q3_k_avx2, rc_quant_q3_k_avx512;
rc_quant_row_fn rc_quant_q4_k_ref, rc_quant_q4_k_avx2, rc_quant_q4_k_avx512;
rc_quant_row_fn rc_quant_q5_k_ref, rc_quant_q5_k_avx2, rc_quant_q5_k_avx512;
rc_quant_row_fn rc_quant_q6_k_ref, rc_quant_q6_k_avx2, rc_quant_q6_k_avx512;

#define RC_KQUANT_IMPLS(name, type)                                                                \
    {                                                                                              \
        { "ref", 0, rc_##name##_##type##_ref },                                                    \
            { "avx2", RC_CPU_AVX2, rc_##name##_##type##_avx2 },                                    \
            { "avx512", RC_CPU_AVX512, rc_##name##_##type##_avx512 }, { 0 },                       \
    }

/* The row of a type in the table of quantizers, with its variants. */
#define RC_KQUANT_TABLE(type, dtype_)                                                              \
    static const rc_quant_impl type##_impls[] = RC_KQUANT_IMPLS(quant, type);                      \
    static const rc_quant_impl type##_better[] = RC_KQUANT_IMPLS(best, type);                      \
    const rc_quantizer rc_quantizer_##type = {                                                     \
        .dtype = dtype_, .searches = true, .impls = type##_impls, .better = type##_better          \
    };

/** Over one block, in order. */
static inline float rc_kquant_sum_squares(const float *x)
{
    float sum = 0;

    for (unsigned i = 0; i < RC_BLOCK_SUPER; i++)
        sum += x[i] * x[i];
    return sum;
}

#define RC_KQUANT_BATCH 16u /* blocks that the vector variants do together, at most */

/** factor * mean x^2 of each block of a batch, for each of its `subs` sub-blocks. The sums run
 *  side by side: each alone is a chain of 256 additions. */
static inline void rc_kquant_spreads(float *spread, const float *x, unsigned blocks, unsigned subs,
                                     float factor)
{
    float sum[RC_KQUANT_BATCH] = { 0 };

    for (unsigned i = 0; i < RC_BLOCK_SUPER; i++)
        for (unsigned k = 0; k < blocks; k++)
            sum[k] += x[k * RC_BLOCK_SUPER + i] * x[k * RC_BLOCK_SUPER + i];
    for (unsigned j = 0; j < blocks * subs; j++)
        spread[j] = factor * sum[j / subs] / (float)RC_BLOCK_SUPER;
}

/** 256 codes of two bits as Q2_K and Q3_K store them. */
static inline void rc_kquant_pack_twos(uint8_t *restrict qs, const uint8_t *restrict q)
{
    for (unsigned half = 0; half < 2; half++, qs += 32, q += 128)
        for (unsigned l = 0; l < 32; l++)
            qs[l] = (uint8_t)(q[l] | q[l + 32] << 2 | q[l + 64] << 4 | q[l + 96] << 6);
}

#endif
