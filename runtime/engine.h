/* runtime/engine.h - what every part of the forward pass works with. */
#ifndef RC_RUNTIME_ENGINE_H
#define RC_RUNTIME_ENGINE_H

#include "runtime/numerics.h"
#include "runtime/watch.h"
#include "runtime/weights.h"

typedef struct rc_engine {
    const rc_config *config;
    rc_weights *weights;
    rc_numerics numerics;
    unsigned threads; /* of OpenMP loops */
    bool blas;        /* dense products of many tokens by BLIS: faster or not, not the same bits */
    rc_mem *mem;
    const rc_watch *watch; /* or NULL */
} rc_engine;

/* Rows that linears are about to read, of one place; see rc_watch.input. */
typedef struct rc_input_rows {
    uint32_t layer;
    rc_input_at at;
    int32_t expert; /* or -1 */
    uint64_t pos0;
    const uint32_t *token; /* or NULL */
} rc_input_rows;

/** Show x [rows, cols] to whoever looks on. */
RC_MUST_CHECK
static inline rc_code rc_show_input(const rc_engine *e, const rc_input_rows *which, const float *x,
                                    size_t rows, size_t cols, rc_err *err)
{
    const rc_watch *w = e->watch;

    return w && w->input ? w->input(w->ctx, which->layer, which->at, which->expert, which->pos0,
                                    which->token, rows, cols, x, err)
                         : RC_OK;
}

#endif
