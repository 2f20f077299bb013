/* quantize/search.h - the scale of one short run of values, found by trying scales.
 *
 * All types of GGUF that search do one of these: each tries a few scales near the one that the
 * largest value asks for, rounds the values under it, and fits the scale to the codes by
 * weighted least squares. The order of every sum, and of the operations in a term, is part
 * of the contract: the vector variants (search_lanes.h) and ggml's own encoder do the same, so
 * that bytes can be compared.
 *
 *     x, w  n values, and the weights >= 0 of their squared errors
 *     q     n codes, what the values round to; also when the scale is 0
 *
 * n is at most RC_SEARCH_MAX. Call between rc_rounding_enter() and rc_rounding_leave().
 * Source: ggml/src/ggml-quants.c. */
#ifndef RC_QUANTIZE_SEARCH_H
#define RC_QUANTIZE_SEARCH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define RC_SEARCH_MAX    32u
#define RC_SEARCH_ZERO   1e-15f /* a run whose largest magnitude is below this counts as zeros */
#define RC_SEARCH_PASSES 5      /* of a descent, at most */
#define RC_ROUND_MAGIC   12582912.0f /* 1.5 * 2^23: adding it leaves the integer in the low bits */

/** The nearest integer, ties to even. Right for |x| <= 2^22; beyond that, and for NaN, the
 *  integer is meaningless but always the same, which is what the encoders here rely on. */
static inline int32_t rc_search_round(float x)
{
    const float shifted = x + RC_ROUND_MAGIC;
    int32_t bits;

    memcpy(&bits, &shifted, sizeof bits);
    return (bits & 0x7fffff) - 0x400000;
}

static inline int32_t rc_search_round_within(float x, int32_t low, int32_t high)
{
    const int32_t l = rc_search_round(x);

    return l < low ? low : l > high ? high : l;
}

/** x ~ scale * (q - top), q in 0 .. 2 top - 1. Tries 19 scales. Zeros: scale 0, q all 0. */
float rc_search_signed(uint8_t *q, const float *x, const float *w, unsigned n, int top);

/** The same fit by coordinate descent from the first scale, weights x^2: one code at a time
 *  moves where that lowers the error, in up to five passes. */
float rc_search_signed_descent(uint8_t *q, const float *x, unsigned n, int top);

/** x ~ scale * q, q in 0 .. top, x >= 0. Tries nine scales, then descends. IQ2_XXS has a few
 *  negative values among its own: their codes wrap to bytes, as in ggml, and the scale that
 *  comes of it is only its first. */
float rc_search_positive(uint8_t *q, const float *x, const float *w, unsigned n, int top);

/* x ~ scale * q - min, q in 0 .. top, min >= 0. The scales tried put the range of x on
 * top + first, top + first + step, ... codes: `count` of them, and before them on top. */
typedef struct rc_affine_steps {
    float first, step;
    unsigned count;
    bool absolute; /* compare sums of w |error| instead of w error^2 */
} rc_affine_steps;

typedef struct rc_affine {
    float scale, min;
} rc_affine;

/** A run of equal values <= 0 has scale 0, q all 0 and min its negated value. */
rc_affine rc_search_affine(uint8_t *q, const float *x, const float *w, unsigned n, int top,
                           const rc_affine_steps *steps);

#endif
