/* kernels/f16.h - IEEE half precision, a row at a time.
 *
 *     rc_f16_to_f32: exact; NaN gives 0x7fc00000
 *     rc_f32_to_f16: round to nearest even; overflow gives infinity, NaN gives 0x7e00.
 *                    Returns how many finite values the result does not equal.
 * Every variant gives the bits of _ref on every input under any rounding mode and with
 * flush-to-zero on. */
#ifndef RC_KERNELS_F16_H
#define RC_KERNELS_F16_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

typedef void rc_f16_to_f32_fn(float *restrict y, const uint16_t *restrict x, size_t n);
typedef size_t rc_f32_to_f16_fn(uint16_t *restrict y, const float *restrict x, size_t n);

typedef struct rc_f16_to_f32_impl {
    const char *name;
    unsigned need;
    rc_f16_to_f32_fn *fn;
} rc_f16_to_f32_impl;

typedef struct rc_f32_to_f16_impl {
    const char *name;
    unsigned need;
    rc_f32_to_f16_fn *fn;
} rc_f32_to_f16_impl;

extern const rc_f16_to_f32_impl rc_f16_to_f32_impls[];
extern const rc_f32_to_f16_impl rc_f32_to_f16_impls[];
rc_f16_to_f32_fn *rc_f16_to_f32_best(void);
rc_f32_to_f16_fn *rc_f32_to_f16_best(void);
rc_f16_to_f32_fn rc_f16_to_f32_ref, rc_f16_to_f32_avx2, rc_f16_to_f32_avx512;
rc_f32_to_f16_fn rc_f32_to_f16_ref, rc_f32_to_f16_avx2, rc_f32_to_f16_avx512;

/** One value each, for scales inside blocks. */
float rc_f16_decode(uint16_t h);
uint16_t rc_f16_encode(float f);

#endif
