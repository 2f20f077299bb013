/* runtime/layer.h - one block of the model: attention and experts, each between hyper-connections.
 *
 *     (u, mix) = hc_attn(h);  h = hc_post(attention(norm(u)), mix, h)
 *     (u, mix) = hc_ffn(h);   h = hc_post(experts(norm(u)), mix, h)
 *
 * All tokens go through it, then its weights may go. Source: the official model.py, class Block. */
#ifndef RC_RUNTIME_LAYER_H
#define RC_RUNTIME_LAYER_H

#include "runtime/attention.h"
#include "runtime/linear.h"
#include "runtime/rows.h"

/* The tokens on their way through the layers, and room to work on a run of them. Zeroed but for
 * what rc_flow_new() makes: window, pos0 and id are the caller's to set. */
typedef struct rc_flow {
    rc_engine *e;
    size_t tokens, run; /* in all; at once through attention */
    size_t window;      /* each so many tokens are a sequence of their own; 0: all are one, which
                           follows what was seen before */
    uint64_t pos0;      /* position of the first; with windows 0, and positions are indices */
    const uint32_t *id; /* [tokens] */
    rc_rows *h, *x, *y; /* [tokens, N * D] streams; [tokens, D] input and output of the experts */
    float *mix;         /* [tokens, N + N * N] */
    uint32_t *expert;   /* [tokens, K] */
    float *weight;      /* [tokens, K] */
    float *hrun;        /* [run, N * D] */
    float *u, *v;       /* [run, D] */
    rc_input *in;
    rc_attention_work *attention;
} rc_flow;

/** Room for `tokens`. `scratch`: a folder for what would not fit, or NULL. */
RC_MUST_CHECK
rc_code rc_flow_new(rc_flow **out, rc_engine *e, size_t tokens, size_t run, const char *scratch,
                    rc_err *err);
void rc_flow_free(rc_flow **flow);
/** Bytes of a flow in memory, and those that a scratch file would take from it. */
uint64_t rc_flow_nbytes(const rc_config *config, size_t tokens, size_t run, uint64_t *spillable);

typedef struct rc_layer rc_layer;

/** Finds the tensors and reads the small ones. `run`: as the flow's. */
RC_MUST_CHECK
rc_code rc_layer_new(rc_layer **out, rc_engine *e, const rc_block_id *id, size_t run, rc_err *err);
void rc_layer_free(rc_layer **layer);
/** Forget the positions seen. */
void rc_layer_forget(rc_layer *layer);

/** Ask for the weights that `tokens` tokens will need first; and let go what was asked for. */
void rc_layer_want(rc_layer *layer, size_t tokens);
void rc_layer_done(rc_layer *layer);
/** All tokens of the flow: window by window through attention, then together through the experts.
 *  Once these are at work `next` (may be NULL) is called: to ask for the weights that are needed
 *  after them. With windows nothing is remembered afterwards. */
RC_MUST_CHECK
rc_code rc_layer_run(rc_layer *layer, rc_flow *flow, void (*next)(void *ctx), void *ctx,
                     rc_err *err);

#endif
