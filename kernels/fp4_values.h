/* kernels/fp4_values.h - what an FP4 code is under each scale, as BF16.
 *
 * Internal. Sixteen values for each E8M0 byte: e2m1(code) * 2^(byte - 127), exact; from 2^128 on
 * infinite, all NaN for byte 255. 8 KiB, of which real weights use some ten rows. */
#ifndef RC_KERNELS_FP4_VALUES_H
#define RC_KERNELS_FP4_VALUES_H

#include <stdint.h>

extern const uint16_t rc_fp4_values[256][16];

#endif
