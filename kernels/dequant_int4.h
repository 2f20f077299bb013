/* kernels/dequant_int4.h - one row of packed 4-bit integers to f32.
 *
 *     y[k] = (nibble k of q - zero[k / group]) * scale[k / group]        0 <= k < n
 *
 *  q      n / 2 bytes, low nibble is the even element
 *  scale  n / group floats, the stored scales widened
 *  zero   n / group bytes, 0 .. 15; NULL: 8 everywhere (symmetric)
 *  group  32, 64 or 128;  n a multiple of it
 *
 * The product is exact unless it overflows or is subnormal: 5 bits times at most 11 (F16, BF16).
 * Every variant gives the bits of _ref on every input (one NaN) under any rounding mode.
 * Source: compressed-tensors' pack-quantized; AutoAWQ's dequantize_gemm. */
#ifndef RC_KERNELS_DEQUANT_INT4_H
#define RC_KERNELS_DEQUANT_INT4_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

typedef void rc_dequant_int4_fn(float *restrict y, const uint8_t *restrict q,
                                const float *restrict scale, const uint8_t *restrict zero,
                                size_t group, size_t n);

typedef struct rc_dequant_int4_impl {
    const char *name;
    unsigned need; /* RC_CPU_ flags */
    rc_dequant_int4_fn *fn;
} rc_dequant_int4_impl;

extern const rc_dequant_int4_impl rc_dequant_int4_impls[];
rc_dequant_int4_fn *rc_dequant_int4_best(void);
rc_dequant_int4_fn rc_dequant_int4_ref, rc_dequant_int4_avx2, rc_dequant_int4_avx512;

#endif
