/* kernels/hadamard_scale.h - f32(n^-0.5) for n = 2^k: exact, or sqrt(1/2) times a power of two. */
#ifndef RC_KERNELS_HADAMARD_SCALE_H
#define RC_KERNELS_HADAMARD_SCALE_H

#include <stddef.h>

static inline float rc_hadamard_scale(size_t n)
{
    float scale = 1;

    for (; n >= 4; n /= 4)
        scale *= 0.5f;
    return n == 2 ? scale * 0x1.6a09e6p-1f : scale;
}

#endif
