/* kernels/dequant_fp8.h - one row of FP8 weights to f32 or bf16.
 *
 *     p = f32(e4m3(q[i]) * scale[i / 128])                    0 <= i < n
 *     y[i] = p, or bf16(p)
 *
 *  q      n E4M3 codes
 *  scale  ceil(n / 128) multipliers, any f32 (a row's share of the tile scales)
 *
 * Both roundings are to nearest even; a NaN, be it from the code or the scale, is
 * 0x7fc00000 (bf16: 0x7fc0). Source: OCP MX 1.0 (E4M3); product in f32, then
 * bf16, as the official DeepSeek-V4 inference/convert.py does for wo_a. With
 * scales that are powers of two the product is exact unless it leaves the
 * range. Every variant gives the bits of _ref on every input under any
 * rounding mode. No pointer needs more than its element's alignment. */
#ifndef RC_KERNELS_DEQUANT_FP8_H
#define RC_KERNELS_DEQUANT_FP8_H

#include <stddef.h>
#include <stdint.h>

#include "formats/blocks.h"
#include "kernels/cpu.h"

typedef void rc_dequant_fp8_fn(float *restrict y, const uint8_t *restrict q,
                               const float *restrict scale, size_t n);

/** The same to bf16. Returns how many elements differ from the product of code and
 *  scale in real numbers (4 by 24 bits: f32 may already have rounded it). NaN
 *  is not counted, nor infinity times an infinite scale. */
typedef size_t rc_dequant_fp8_bf16_fn(uint16_t *restrict y, const uint8_t *restrict q,
                                      const float *restrict scale, size_t n);

typedef struct rc_dequant_fp8_impl {
    const char *name;
    unsigned need; /* RC_CPU_ flags */
    rc_dequant_fp8_fn *fn;
} rc_dequant_fp8_impl;

typedef struct rc_dequant_fp8_bf16_impl {
    const char *name;
    unsigned need;
    rc_dequant_fp8_bf16_fn *fn;
} rc_dequant_fp8_bf16_impl;

/** Row 0 is the reference, rows run slow to fast, a NULL fn ends the table. */
extern const rc_dequant_fp8_impl rc_dequant_fp8_impls[];
extern const rc_dequant_fp8_bf16_impl rc_dequant_fp8_bf16_impls[];
rc_dequant_fp8_fn *rc_dequant_fp8_best(void);
rc_dequant_fp8_bf16_fn *rc_dequant_fp8_bf16_best(void);

rc_dequant_fp8_fn rc_dequant_fp8_ref, rc_dequant_fp8_avx2, rc_dequant_fp8_avx512;
rc_dequant_fp8_bf16_fn rc_dequant_fp8_bf16_ref, rc_dequant_fp8_bf16_avx2,
    rc_dequant_fp8_bf16_avx512;

#endif
