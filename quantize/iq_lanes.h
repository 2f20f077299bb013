/* quantize/iq_lanes.h - a row in steps of as many super-blocks as fill a vector with sub-blocks. */
#ifndef RC_QUANTIZE_IQ_LANES_H
#define RC_QUANTIZE_IQ_LANES_H

#include <string.h>

#include "formats/blocks.h"
#include "kernels/rounding.h"
#include "quantize/search_lanes.h"

#if VEC >= 8 /* otherwise there are only the references */

#define IQ_SUB    32u                             /* elements of a sub-block */
#define IQ_SUPERS (VEC * IQ_SUB / RC_BLOCK_SUPER) /* super-blocks in the lanes of a vector */
#define IQ_AHEAD  8u                              /* those whose squares are summed together */

/* IQ_SUPERS super-blocks; sigma2 has the mean squares. `importance` may be NULL where the type
 * allows it. */
typedef void iq_row_fn(uint8_t *out, const float *x, const float *importance, const float *sigma2);

#if VEC == 16
VEC_INLINE void veci_store(uint32_t *p, veci x)
{
    _mm512_storeu_si512(p, x);
}
#else
VEC_INLINE void veci_store(uint32_t *p, veci x)
{
    _mm256_storeu_si256((__m256i *)(void *)p, x);
}
#endif

/* `factor` times the sum of squares of up to IQ_AHEAD super-blocks. Each sum is in order, but
 * they run side by side: one alone waits for itself most of the time. */
VEC_INLINE void iq_mean_squares(float sigma2[IQ_AHEAD], const float *x, size_t count, float factor)
{
    float sum[IQ_AHEAD] = { 0 };

    if (count >= IQ_AHEAD) {
        for (size_t i = 0; i < RC_BLOCK_SUPER; i++) {
            RC_UNROLL for (size_t b = 0; b < IQ_AHEAD; b++)
            {
                const float value = x[b * RC_BLOCK_SUPER + i];
                sum[b] += value * value;
            }
        }
    } else
        for (size_t i = 0; i < count * RC_BLOCK_SUPER; i++)
            sum[i / RC_BLOCK_SUPER] += x[i] * x[i];
    for (size_t b = 0; b < IQ_AHEAD; b++)
        sigma2[b] = sum[b] * factor;
}

/* Fewer super-blocks than lanes: zeros for the missing ones. */
VEC_INLINE void iq_last(iq_row_fn *some, uint8_t *out, const float *x, const float *importance,
                        const float *sigma2, size_t count, size_t block_bytes)
{
    float padded[2][VEC * IQ_SUB] = { { 0 }, { 0 } };
    uint8_t blocks[IQ_SUPERS * 256];

    memcpy(padded[0], x, count * RC_BLOCK_SUPER * sizeof *x);
    if (importance)
        memcpy(padded[1], importance, count * RC_BLOCK_SUPER * sizeof *x);
    some(blocks, padded[0], importance ? padded[1] : NULL, sigma2);
    memcpy(out, blocks, count * block_bytes);
}

/* sigma2 is `factor` times the sum of squares of each super-block. */
VEC_INLINE void iq_row(iq_row_fn *some, size_t block_bytes, float factor, uint8_t *out,
                       const float *x, const float *importance, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    const size_t nblocks = n / RC_BLOCK_SUPER;
    float sigma2[IQ_AHEAD + IQ_SUPERS] = { 0 };

    for (size_t b = 0, count; b < nblocks; b += count) {
        const size_t left = nblocks - b, at = b * RC_BLOCK_SUPER;
        const float *imp = importance ? importance + at : NULL;

        if (b % IQ_AHEAD == 0)
            iq_mean_squares(sigma2, x + at, left, factor);
        count = left < IQ_SUPERS ? left : IQ_SUPERS;
        if (count < IQ_SUPERS)
            iq_last(some, out + b * block_bytes, x + at, imp, sigma2 + b % IQ_AHEAD, count,
                    block_bytes);
        else
            some(out + b * block_bytes, x + at, imp, sigma2 + b % IQ_AHEAD);
    }
    rc_rounding_leave(saved);
}

#endif
#endif
