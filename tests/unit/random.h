/* tests/unit/random.h - numbers to compute with: the same on every run. */
#ifndef RC_TESTS_UNIT_RANDOM_H
#define RC_TESTS_UNIT_RANDOM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** Uniform in [-1, 1), 24 bits; the seed is not 0. */
static inline float rnd_f32(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (float)(*seed >> 40) * 0x1p-23f - 1;
}

static inline void rnd_fill(float *x, size_t n, float scale, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = rnd_f32(seed) * scale;
}

/** The upper half of the bits: a BF16 number. */
static inline float rnd_cut_bf16(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    bits &= 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
