/* kernels/act_round_format.h - what the two formats of act_round.h and the variants share.
 *
 * Numbers of a format with m bits of mantissa lie 2^(e - m) apart around 2^e, and below its
 * smallest normal as there. Adding and subtracting 2^23 such steps rounds to them, ties to even. */
#ifndef RC_KERNELS_ACT_ROUND_FORMAT_H
#define RC_KERNELS_ACT_ROUND_FORMAT_H

#include <stdint.h>

#include "kernels/codes.h"

typedef struct rc_round_format {
    float least_max;     /* of max |x| */
    float largest;       /* what the format holds */
    float inverse;       /* f32(1 / largest) */
    uint32_t least_bits; /* of the smallest normal, 2^-6 or 1, as f32 */
    uint32_t mantissa;   /* bits */
} rc_round_format;

#define RC_ROUND_FP8                                                                               \
    ((rc_round_format){ .least_max = 1e-4f,                                                        \
                        .largest = 448,                                                            \
                        .inverse = 1.0f / 448,                                                     \
                        .least_bits = 121u << 23,                                                  \
                        .mantissa = 3 })
#define RC_ROUND_FP4                                                                               \
    ((rc_round_format){ .least_max = 0x1.8p-124f,                                                  \
                        .largest = 6,                                                              \
                        .inverse = 1.0f / 6,                                                       \
                        .least_bits = 127u << 23,                                                  \
                        .mantissa = 1 })

/** The exponent field of a block's scale, from max |x|, finite: 1 .. 253, so that 254 minus it is
 *  that of 1 / s. */
static inline uint32_t rc_round_exponent(float max, rc_round_format f)
{
    const float t = (max > f.least_max ? max : f.least_max) * f.inverse;

    return (rc_f32_bits(t) + 0x7fffffu) >> 23;
}

#endif
