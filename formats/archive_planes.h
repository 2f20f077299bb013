/* formats/archive_planes.h - numbers taken apart into planes that compress, and put together again.
 *
 * All are exact for every bit pattern, or say that they cannot. Elements are little-endian bytes,
 * nothing need be aligned. In a plane of nibbles element 2i is in the low half of byte i.
 *
 * The FP4 modes take E4M3 or BF16 numbers apart that are E2M1 numbers times a power of two, in
 * groups of 32 (what a re-pack of native weights holds). Magnitudes with one bit of mantissa stand
 * on a *ladder*: 2^t on rung 2t, 1.5 * 2^t on rung 2t + 1. The E2M1 codes 2 .. 7 (1 .. 6) are six
 * rungs in turn and code 1 (0.5) is two below code 2. Rungs are counted E4M3  from 2^-9, the least,
 * on rung 0:            0 .. 35 BF16  as the upper 9 bits of the magnitude:       2 .. 509
 * (subnormal ones do not qualify) A group's exponent is half the rung of its largest element, which
 * thereby becomes code 6 or 7, and 0 if all are zero. No greater power of two holds a group that
 * this one does not, so it is the only one to try. */
#ifndef RC_FORMATS_ARCHIVE_PLANES_H
#define RC_FORMATS_ARCHIVE_PLANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_LADDER_GROUP    32u /* elements */
#define RC_LADDER_FP8_MOST 17u /* greatest exponent of a group of E4M3 */

/* One instruction set. Counts are elements, or groups of 32 where so named. */
typedef struct rc_planes_impl {
    const char *name;
    /* BF16: exponents [n]; signs (bit 7) and mantissas [n] */
    void (*split_bf16)(uint8_t *exponent, uint8_t *rest, const uint8_t *src, size_t n);
    void (*join_bf16)(uint8_t *dst, const uint8_t *exponent, const uint8_t *rest, size_t n);
    /* E4M3, n even: nibbles of exponents [n / 2]; of signs (bit 3) and mantissas [n / 2] */
    void (*split_fp8)(uint8_t *exponent, uint8_t *rest, const uint8_t *src, size_t n);
    void (*join_fp8)(uint8_t *dst, const uint8_t *exponent, const uint8_t *rest, size_t n);
    /* Binary32: byte b of element i to planes[b * stride + i] */
    void (*split_f32)(uint8_t *planes, size_t stride, const uint8_t *src, size_t n);
    void (*join_f32)(uint8_t *dst, const uint8_t *planes, size_t stride, size_t n);
    /* Codes [16 * groups], sign in bit 3; exponents [groups]. False: some group does not qualify,
     * and the planes are unspecified. */
    bool (*split_fp8_fp4)(uint8_t *codes, uint8_t *exponent, const uint8_t *src, size_t groups);
    bool (*split_bf16_fp4)(uint8_t *codes, uint8_t *exponent, const uint8_t *src, size_t groups);
    /* Codes that splitting does not make give unspecified bytes. E4M3: no exponent is greater than
     * RC_LADDER_FP8_MOST. */
    void (*join_fp8_fp4)(uint8_t *dst, const uint8_t *codes, const uint8_t *exponent,
                         size_t groups);
    void (*join_bf16_fp4)(uint8_t *dst, const uint8_t *codes, const uint8_t *exponent,
                          size_t groups);
} rc_planes_impl;

extern const rc_planes_impl rc_planes_ref, rc_planes_avx2, rc_planes_avx512;

/** Can this machine run it? */
bool rc_planes_runs(const rc_planes_impl *impl);
/** The fastest that this machine can run. */
const rc_planes_impl *rc_planes_best(void);

#define RC_LADDER_OFF 255u /* the rung of what is on none */

/** 0 for a zero, 1 + its rung, or RC_LADDER_OFF, of an E4M3 magnitude below 128. */
uint8_t rc_ladder_fp8(unsigned magnitude);
/** The E4M3 byte of a code and its group's exponent; 0 where there is none. */
uint8_t rc_ladder_to_fp8(unsigned code, unsigned exponent);

#endif
