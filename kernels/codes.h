/* kernels/codes.h - one stored element at a time, as the formats define it.
 *
 * For the reference variants and for rare cases; nothing here is fast.
 * Sources: OCP Microscaling Formats (MX) 1.0 for E2M1, E4M3 and E8M0. */
#ifndef RC_KERNELS_CODES_H
#define RC_KERNELS_CODES_H

#include <stdint.h>
#include <string.h>

#define RC_F32_NAN   0x7fc00000u /* the only NaN that a decoder writes */
#define RC_BF16_NAN  0x7fc0u
#define RC_E8M0_NAN  255u
#define RC_E4M3_NAN  0x7fu
#define RC_E4M3_MAX  0x7eu /* 448 */
#define RC_E8M0_BIAS 127

static inline float rc_f32_of_bits(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t rc_f32_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/** E2M1: sign, then 0 0.5 1 1.5 2 3 4 6. Code 8 is -0. */
static inline float rc_e2m1_value(unsigned code)
{
    static const float magnitude[8] = { 0, 0.5f, 1, 1.5f, 2, 3, 4, 6 };

    return code & 8 ? -magnitude[code & 7] : magnitude[code & 7];
}

/** E4M3: bias 7, subnormals in steps of 2^-9, no infinity, 0x7f and 0xff are NaN. */
static inline float rc_e4m3_value(unsigned code)
{
    const uint32_t exponent = code >> 3 & 15, mantissa = code & 7;
    float x;

    if ((code & 0x7f) == RC_E4M3_NAN)
        return rc_f32_of_bits(RC_F32_NAN);
    if (exponent == 0)
        x = (float)mantissa * 0x1p-9f;
    else
        x = rc_f32_of_bits((exponent - 7 + 127) << 23 | mantissa << 20);
    return code & 0x80 ? -x : x;
}

/** E8M0: 2^(byte-127); byte 0 is the subnormal 2^-127, 255 is NaN. */
static inline float rc_e8m0_value(unsigned byte)
{
    if (byte == RC_E8M0_NAN)
        return rc_f32_of_bits(RC_F32_NAN);
    return rc_f32_of_bits(byte == 0 ? 0x00400000u : (uint32_t)byte << 23);
}

static inline float rc_bf16_value(uint16_t bits)
{
    return rc_f32_of_bits((uint32_t)bits << 16);
}

/** Round to nearest, ties to even; overflow gives infinity. A NaN stays one:
 *  sign and upper payload are kept, the quiet bit is set. */
static inline uint16_t rc_bf16_round(float x)
{
    const uint32_t bits = rc_f32_bits(x);

    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
