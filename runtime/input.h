/* runtime/input.h - a product's input from inside; for input.c and linear.c only. */
#ifndef RC_RUNTIME_INPUT_H
#define RC_RUNTIME_INPUT_H

#include "runtime/linear.h"

struct rc_input {
    rc_engine *e;
    rc_linear_kind kind;
    size_t tokens, n;

    /* Numerics native: natural BF16 rows, which hold the values exactly. f32: paired rows; in
     * native made of the BF16 ones when a matrix is not exact in BF16. */
    uint16_t *half;
    const uint16_t **half_row;
    float *pairs;
    const float **pair_row;
    bool has_pairs;
    /* For BLAS: natural f32 rows, one after the other; then there are no others at first. */
    float *flat, *panel;
    bool has_flat;
    size_t half_room, pairs_room, rows_room, flat_room, panel_room; /* elements */

    uint8_t *scratch; /* threads x stride bytes */
    size_t scratch_room, stride;
};

/** Room for n elements in `panel`. */
RC_MUST_CHECK
rc_code rc_input_panel(rc_input *in, size_t n, rc_err *err);
/** See that `pair_row` is there. */
RC_MUST_CHECK
rc_code rc_input_need_pairs(rc_input *in, rc_err *err);
/** nbytes (a multiple of 64) of scratch for each thread: in->scratch + thread * in->stride. */
RC_MUST_CHECK
rc_code rc_input_scratch(rc_input *in, size_t nbytes, rc_err *err);

#endif
