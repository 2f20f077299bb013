/* kernels/bf16.h - rows between bf16 and f32.
 *
 * bf16 is the upper half of an f32. Widening is exact, bit for bit, NaN
 * payloads included. Narrowing rounds to nearest even; overflow gives infinity;
 * a NaN keeps sign and upper payload and gets its quiet bit set. Integers
 * throughout: every variant gives the bits of _ref on every input. No pointer
 * needs more than its element's alignment. */
#ifndef RC_KERNELS_BF16_H
#define RC_KERNELS_BF16_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

typedef void rc_bf16_to_f32_fn(float *restrict y, const uint16_t *restrict x, size_t n);

/** Returns how many y[i] differ in value from x[i]; NaN is not counted. */
typedef size_t rc_f32_to_bf16_fn(uint16_t *restrict y, const float *restrict x, size_t n);

typedef struct rc_bf16_to_f32_impl {
    const char *name;
    unsigned need; /* RC_CPU_ flags */
    rc_bf16_to_f32_fn *fn;
} rc_bf16_to_f32_impl;

typedef struct rc_f32_to_bf16_impl {
    const char *name;
    unsigned need;
    rc_f32_to_bf16_fn *fn;
} rc_f32_to_bf16_impl;

/** Row 0 is the reference, rows run slow to fast, a NULL fn ends the table. */
extern const rc_bf16_to_f32_impl rc_bf16_to_f32_impls[];
extern const rc_f32_to_bf16_impl rc_f32_to_bf16_impls[];
rc_bf16_to_f32_fn *rc_bf16_to_f32_best(void);
rc_f32_to_bf16_fn *rc_f32_to_bf16_best(void);

rc_bf16_to_f32_fn rc_bf16_to_f32_ref, rc_bf16_to_f32_avx2, rc_bf16_to_f32_avx512;
rc_f32_to_bf16_fn rc_f32_to_bf16_ref, rc_f32_to_bf16_avx2, rc_f32_to_bf16_avx512;

#endif
