/* kernels/e8m0.h - arrays of scales between E8M0 bytes and f32.
 *
 * One scale serves 32 weights or 16384, so this stays scalar: no table.
 * Source: OCP MX 1.0 (E8M0). */
#ifndef RC_KERNELS_E8M0_H
#define RC_KERNELS_E8M0_H

#include <stddef.h>
#include <stdint.h>

/** y[i] = 2^(x[i] - 127), exact; 255 gives the NaN 0x7fc00000. */
void rc_e8m0_to_f32(float *y, const uint8_t *x, size_t n);

/** y[i] = log2(x[i]) + 127. Returns how many x are not a power of two between
 *  2^-127 and 2^127 (zero, negative, NaN, infinite, other significands): for
 *  those y is 255. */
size_t rc_f32_to_e8m0(uint8_t *y, const float *x, size_t n);

#endif
