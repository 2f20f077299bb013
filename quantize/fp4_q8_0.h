/* quantize/fp4_q8_0.h - FP4 rows of the native checkpoint to Q8_0 blocks, without the floats.
 *
 * A group of 32 FP4 weights is a block of Q8_0. Its largest magnitude is one of eight codes,
 * which fixes d up to a power of two and, with it, all sixteen possible results: a lookup.
 * The bytes are those of rc_dequant_fp4_ref() followed by rc_quant_q8_0_ref(). A group with
 * a value that is no finite f32 (scale 255, or one that overflows) becomes d = NaN, codes 0.
 *
 *     out    n / 32 blocks       q, scale    as for kernels/dequant_fp4.h
 *
 * Returns how many blocks have a d that is infinite or NaN: their values are lost. */
#ifndef RC_QUANTIZE_FP4_Q8_0_H
#define RC_QUANTIZE_FP4_Q8_0_H

#include <stddef.h>
#include <stdint.h>

#include "formats/blocks.h"
#include "kernels/cpu.h"

typedef size_t rc_fp4_q8_0_fn(uint8_t *restrict out, const uint8_t *restrict q,
                              const uint8_t *restrict scale, size_t n);

typedef struct rc_fp4_q8_0_impl {
    const char *name;
    unsigned need; /* RC_CPU_ flags */
    rc_fp4_q8_0_fn *fn;
} rc_fp4_q8_0_impl;

/** Row 0 is the reference, rows run slow to fast, a NULL fn ends the table. */
extern const rc_fp4_q8_0_impl rc_fp4_q8_0_impls[];
rc_fp4_q8_0_fn *rc_fp4_q8_0_best(void);
rc_fp4_q8_0_fn rc_fp4_q8_0_ref, rc_fp4_q8_0_avx2, rc_fp4_q8_0_avx512;

/* Scales for which all that the reference computes is normal, so that a power of two more
 * or less changes no rounding but that of d to f16. */
#define RC_FP4_Q8_0_MIN 16u
#define RC_FP4_Q8_0_MAX 240u

/** d of a group under scale 127, by its largest magnitude's code. */
extern const float rc_fp4_q8_0_d[8];
/** Row k: the results of the sixteen codes in a group whose largest magnitude is code k. */
extern const int8_t rc_fp4_q8_0_codes[8][16];

#endif
