/* quantize/best.h - the K types with a lower error than the reference's.
 *
 * What is minimized, block by block, is the sum of importance * (x - y)^2, y being what the
 * finished block says: integers and halves included. (The reference fits each sub-block alone,
 * under weights of its own, then rounds d and the integers in turn, and lives with the result.) In
 * rounds,
 *
 *     the integers move   each sub-block tries its scale and its min against those around them,
 *                         with the nearest codes for each
 *     d and dmin move     to the least squares over the whole block, given codes and integers
 *
 * Neither step raises the error, but for the rounding of d and dmin to halves: the best round is
 * kept. Where the rounds start matters more than how many there are:
 *
 *     by range      d such that the largest scale has the largest integer, as the reference
 *     on a lattice  where a block came from FP4: x = k 2^e, |k| <= 15, e by sub-block. d and dmin
 * are powers of two, so that one sub-block's good scale is the next one's too. Q5_K and Q6_K then
 * say such blocks without any error.
 *
 * All variants give the same bytes. */
#ifndef RC_QUANTIZE_BEST_H
#define RC_QUANTIZE_BEST_H

#include <stddef.h>
#include <stdint.h>

#include "formats/blocks.h"
#include "quantize/affine_blocks.h"
#include "quantize/block_quant.h"

typedef struct rc_best_kind {
    unsigned sub; /* elements of a sub-block: 16 or 32 */
    unsigned block_bytes;
    int top;                    /* largest code; y = d scale q - dmin min, or, if centred, */
    int centre;                 /* not 0: y = d scale (q - centre), there is no min */
    int low_scale, high_scale;  /* of the integers; mins go from 0 to high_scale */
    int reach_scale, reach_min; /* how far the first round looks */
    rc_affine_steps steps;      /* the search before the first round, if not centred */
    bool lattice;               /* try to start on one */
    /* min is all 0 if centred */
    void (*pack)(uint8_t *restrict block, uint16_t d, uint16_t dmin, const int16_t *restrict scale,
                 const int16_t *restrict min, const uint8_t *restrict q);
    rc_quant_row_fn *reference; /* for blocks whose errors are no numbers */
} rc_best_kind;

extern const rc_best_kind rc_best_q2_k, rc_best_q3_k, rc_best_q4_k, rc_best_q5_k, rc_best_q6_k;

/* A block's scales. */
typedef struct rc_best_state {
    uint16_t d, dmin; /* f16 */
    int16_t scale[RC_AFFINE_SUBS], min[RC_AFFINE_SUBS];
} rc_best_state;

/** Start from what each sub-block alone would like. */
void rc_best_start(const rc_best_kind *kind, rc_best_state *s, const float *x, const float *scale,
                   const float *min);

/** A start that needs no search and leaves no error; false: there is none. */
bool rc_best_exact(const rc_best_kind *kind, rc_best_state *s, const float *x);

/* Sums over a block, of A = scale q (q - centre) and B = min, weighted. */
typedef struct rc_best_sums {
    double aa, ab, bb, xa, xb;
} rc_best_sums;

/** d and dmin to the least squares. */
void rc_best_refit(rc_best_state *s, const rc_best_sums *sums);

rc_quant_row_fn rc_best_q2_k_ref, rc_best_q2_k_avx2, rc_best_q2_k_avx512;
rc_quant_row_fn rc_best_q3_k_ref, rc_best_q3_k_avx2, rc_best_q3_k_avx512;
rc_quant_row_fn rc_best_q4_k_ref, rc_best_q4_k_avx2, rc_best_q4_k_avx512;
rc_quant_row_fn rc_best_q5_k_ref, rc_best_q5_k_avx2, rc_best_q5_k_avx512;
rc_quant_row_fn rc_best_q6_k_ref, rc_best_q6_k_avx2, rc_best_q6_k_avx512;

#endif
