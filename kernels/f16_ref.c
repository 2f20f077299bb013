/* kernels/f16_ref.c */
#include "kernels/f16.h"

#include "kernels/codes.h"

#define F16_INF 0x7c00u
#define F16_NAN 0x7e00u

float rc_f16_decode(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31,
                   fraction = h & 0x3ff;

    if (exponent == 31)
        return rc_f32_of_bits(fraction ? RC_F32_NAN : sign | 0x7f800000u);
    if (exponent == 0) /* subnormal: steps of 2^-24, all normal in f32 */
        return rc_f32_of_bits(sign | rc_f32_bits((float)fraction * 0x1p-24f));
    return rc_f32_of_bits(sign | (exponent - 15 + 127) << 23 | fraction << 13);
}

/* The upper bits of a significand, `drop` bits shorter, to nearest even. */
static uint32_t shorten(uint32_t significand, unsigned drop)
{
    const uint32_t kept = significand >> drop, rest = significand & ((1u << drop) - 1);
    const uint32_t half = 1u << (drop - 1);

    return kept + (rest > half || (rest == half && (kept & 1)));
}

uint16_t rc_f16_encode(float f)
{
    const uint32_t bits = rc_f32_bits(f), magnitude = bits & 0x7fffffffu;
    const uint32_t sign = bits >> 16 & 0x8000, exponent = magnitude >> 23;

    if (magnitude > 0x7f800000u)
        return F16_NAN;
    if (exponent >= 143) /* 2^16 and up */
        return (uint16_t)(sign | F16_INF);
    if (exponent >= 113) /* 2^-14 and up: normal; a carry may reach infinity */
        return (uint16_t)(sign | shorten(magnitude - (112u << 23), 13));
    if (exponent >= 102) /* 2^-25 and up: in steps of 2^-24 */
        return (uint16_t)(sign | shorten((magnitude & 0x7fffff) | 0x800000, 126 - exponent));
    return (uint16_t)sign;
}

void rc_f16_to_f32_ref(float *restrict y, const uint16_t *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = rc_f16_decode(x[i]);
}

size_t rc_f32_to_f16_ref(uint16_t *restrict y, const float *restrict x, size_t n)
{
    size_t inexact = 0;

    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = rc_f32_bits(x[i]);
        y[i] = rc_f16_encode(x[i]);
        inexact += (bits & 0x7f800000u) != 0x7f800000u && rc_f32_bits(rc_f16_decode(y[i])) != bits;
    }
    return inexact;
}

const rc_f16_to_f32_impl rc_f16_to_f32_impls[] = {
    { "ref", 0, rc_f16_to_f32_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_f16_to_f32_avx2 },
    { "avx512", RC_CPU_AVX512, rc_f16_to_f32_avx512 },
#endif
    { 0 },
};

const rc_f32_to_f16_impl rc_f32_to_f16_impls[] = {
    { "ref", 0, rc_f32_to_f16_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_f32_to_f16_avx2 },
    { "avx512", RC_CPU_AVX512, rc_f32_to_f16_avx512 },
#endif
    { 0 },
};

RC_CPU_DEFINE_BEST(f16_to_f32)
RC_CPU_DEFINE_BEST(f32_to_f16)
