/* runtime/watch.h - somebody who looks on: traces, and the comparison of two models.
 *
 * Any function may be NULL. Layers are numbered as in the model, draft blocks go on after the last.
 * A function that fails stops the pass. Data are the pass's own: valid during the call. */
#ifndef RC_RUNTIME_WATCH_H
#define RC_RUNTIME_WATCH_H

#include "formats/inputs.h"

typedef struct rc_watch {
    void *ctx;
    /* Rows that linears read, before any rounding for the product: x [rows, cols]. Row r belongs to
     * position pos0 + token[r]; token NULL: pos0 + r, for H_PROJ pos0 + r / N. Rows of one place
     * come in ascending order of position whatever the memory and the threads, those of an expert
     * one after the other. expert: -1 but for EXPERT and DOWN. HEAD counts as part of the block
     * before it. */
    rc_code (*input)(void *ctx, uint32_t layer, rc_input_at at, int32_t expert, uint64_t pos0,
                     const uint32_t *token, size_t rows, size_t cols, const float *x, rc_err *err);
    /* The residual streams after a layer's attention, before its experts. As below. */
    rc_code (*middle)(void *ctx, uint32_t layer, uint64_t pos0, size_t tokens, const float *h,
                      rc_err *err);
    /* The residual streams after a layer: position pos0 + t, stream n at h + (t * N + n) * D. */
    rc_code (*streams)(void *ctx, uint32_t layer, uint64_t pos0, size_t tokens, const float *h,
                       rc_err *err);
    /* What a sublayer (0 attention, 1 experts) gave: [tokens, D]. */
    rc_code (*sublayer)(void *ctx, uint32_t layer, unsigned which, uint64_t pos0, size_t tokens,
                        const float *y, rc_err *err);
    /* Experts chosen, in ascending order, and their weights: [tokens, K]. */
    rc_code (*experts)(void *ctx, uint32_t layer, uint64_t pos0, size_t tokens, size_t k,
                       const uint32_t *id, const float *weight, rc_err *err);
    /* Blocks that the indexer chose for one position, ascending; `visible` of them were there. */
    rc_code (*blocks)(void *ctx, uint32_t layer, uint64_t pos, size_t n, size_t visible,
                      const uint32_t *block, rc_err *err);
} rc_watch;

#endif
