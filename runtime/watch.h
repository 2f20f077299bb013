/* runtime/watch.h - somebody who looks on: traces, and the comparison of two models.
 *
 * Any function may be NULL. Layers are numbered as in the model, draft blocks go on after the last.
 * A function that fails stops the pass. Data are the pass's own: valid during the call. */
#ifndef RC_RUNTIME_WATCH_H
#define RC_RUNTIME_WATCH_H

#include "formats/base/status.h"

/* Where linears read. */
typedef enum rc_input_at {
    RC_INPUT_ATTN,   /* attn_norm's output [D]: wq_a, wkv, compressors, weights_proj */
    RC_INPUT_Q,      /* q_norm's output [Q]: wq_b, indexer.wq_b */
    RC_INPUT_O_A,    /* the heads' output, rotated back [H * C], a slice for each group: wo_a */
    RC_INPUT_O_B,    /* [o_groups * o_lora_rank]: wo_b */
    RC_INPUT_FFN,    /* ffn_norm's output [D], every token once: the router, shared w1 and w3 */
    RC_INPUT_EXPERT, /* the rows of that which chose `expert`: its w1 and w3 */
    RC_INPUT_DOWN,   /* its hidden state, routing weight included [I]: its w2 */
    RC_INPUT_SHARED_DOWN, /* the shared expert's [I]: its w2 */
    RC_INPUT_E_PROJ,      /* of a draft: the normed embedding [D] */
    RC_INPUT_H_PROJ,      /* of a draft: the normed streams [D], a row each */
    RC_INPUT_HEAD,        /* [D] */
    RC_INPUT_COUNT
} rc_input_at;

typedef struct rc_watch {
    void *ctx;
    /* Rows that linears read, before any rounding for the product: row t at x + t * ldx, `cols`
     * values. token[t]: the positions they belong to, as above; NULL: pos0 + t. Rows of one place
     * come in ascending order of token whatever the memory and the threads. expert: -1 but for
     * EXPERT and DOWN. */
    rc_code (*input)(void *ctx, uint32_t layer, rc_input_at at, int32_t expert, uint64_t pos0,
                     const uint32_t *token, size_t rows, size_t cols, const float *x, size_t ldx,
                     rc_err *err);
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
