/* kernels/dequant_fp4.h - one row of FP4 weights to f32 or bf16.
 *
 *     y[i] = e2m1(code i of q) * 2^(scale[i / 32] - 127)      0 <= i < n
 *
 *  q      n/2 bytes, low nibble is the even element
 *  scale  n/32 E8M0 bytes; 255 gives the NaN 0x7fc00000 (bf16: 0x7fc0)
 *  n      a multiple of 32
 *
 * Source: OCP MX 1.0 (E2M1, E8M0); nibble order: the official DeepSeek-V4
 * inference/convert.py. Exact, subnormals and -0 included, but for products of
 * 2^128 and more (scales 253 and 254 only), which become infinite. Every variant
 * gives the bits of _ref on every input under any rounding mode. No pointer
 * needs more than its element's alignment. */
#ifndef RC_KERNELS_DEQUANT_FP4_H
#define RC_KERNELS_DEQUANT_FP4_H

#include <stddef.h>
#include <stdint.h>

#include "formats/blocks.h"
#include "kernels/cpu.h"

typedef void rc_dequant_fp4_fn(float *restrict y, const uint8_t *restrict q,
                               const uint8_t *restrict scale, size_t n);

/** The same to bf16. Returns how many elements the result does not equal: those
 *  that became infinite. NaN is not counted. */
typedef size_t rc_dequant_fp4_bf16_fn(uint16_t *restrict y, const uint8_t *restrict q,
                                      const uint8_t *restrict scale, size_t n);

typedef struct rc_dequant_fp4_impl {
    const char *name;
    unsigned need; /* RC_CPU_ flags */
    rc_dequant_fp4_fn *fn;
} rc_dequant_fp4_impl;

typedef struct rc_dequant_fp4_bf16_impl {
    const char *name;
    unsigned need;
    rc_dequant_fp4_bf16_fn *fn;
} rc_dequant_fp4_bf16_impl;

/** Row 0 is the reference, rows run slow to fast, a NULL fn ends the table. */
extern const rc_dequant_fp4_impl rc_dequant_fp4_impls[];
extern const rc_dequant_fp4_bf16_impl rc_dequant_fp4_bf16_impls[];
rc_dequant_fp4_fn *rc_dequant_fp4_best(void);
rc_dequant_fp4_bf16_fn *rc_dequant_fp4_bf16_best(void);

rc_dequant_fp4_fn rc_dequant_fp4_ref, rc_dequant_fp4_avx2, rc_dequant_fp4_avx512;
rc_dequant_fp4_bf16_fn rc_dequant_fp4_bf16_ref, rc_dequant_fp4_bf16_avx2,
    rc_dequant_fp4_bf16_avx512;

#endif
