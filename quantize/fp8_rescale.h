/* quantize/fp8_rescale.h - an FP8 tile under any scale, under a power of two instead.
 *
 *     E    = smallest byte with 2^(E-127) >= scale, at most 254
 *     code'= e4m3(e4m3(code) * scale / 2^(E-127))     nearest, ties to even code
 *
 * The scale is rounded up first and the values follow it, so nothing saturates (but
 * under a scale beyond 2^127, which E8M0 does not reach: such a tile is not exact).
 * A tile whose scale is a power of two already keeps its codes. */
#ifndef RC_QUANTIZE_FP8_RESCALE_H
#define RC_QUANTIZE_FP8_RESCALE_H

#include <stddef.h>
#include <stdint.h>

/** Fill map[256], old code to new code, and return E. `scale` is finite and >= 0;
 *  0 gives E = 0 and all codes zero (signs kept). NaN codes stay NaN. */
uint8_t rc_fp8_rescale_map(uint8_t map[256], float scale);

/** Nearest E4M3 magnitude code (0 .. 0x7e) of |x|, ties to even, saturating at 448. */
uint8_t rc_e4m3_nearest(double x);

#endif
