/* runtime/linear.h - y = W x for any stored W and any number of tokens. */
#ifndef RC_RUNTIME_LINEAR_H
#define RC_RUNTIME_LINEAR_H

#include "runtime/engine.h"

/* How the reference takes the input of a linear, and rounds its output (numerics native). */
typedef enum rc_linear_kind {
    RC_LINEAR_FP8,  /* input to FP8 by blocks of 128, output to BF16: FP8 and FP4 weights */
    RC_LINEAR_BF16, /* input as it is (BF16 by then), output to BF16: wo_a, weights_proj */
    RC_LINEAR_F32   /* input as it is, output in float: compressor, gate, head, hyper-connections */
} rc_linear_kind;

/* Input made ready: rows of n values in the layouts that kernels want. Made once, used for several
 * matrices. Belongs to one thread. */
typedef struct rc_input rc_input;

RC_MUST_CHECK
rc_code rc_input_new(rc_input **out, rc_engine *e, rc_err *err);
void rc_input_free(rc_input **in);
/** Take `tokens` rows of n (a multiple of 32) values, row t at x + t * ldx. Copies; grows its
 * memory as needed. */
RC_MUST_CHECK
rc_code rc_input_set(rc_input *in, rc_linear_kind kind, const float *x, size_t ldx, size_t tokens,
                     size_t n, rc_err *err);
/** The same for rows t[0], t[1], .. of x: the tokens that chose an expert. */
RC_MUST_CHECK
rc_code rc_input_gather(rc_input *in, rc_linear_kind kind, const float *x, size_t ldx,
                        const uint32_t *t, size_t tokens, size_t n, rc_err *err);

/** y[t * ldy + r - row] = W[r] . x[t] for rows [row, row + nrows) of W [rows, n], every token of
 * the input. Waits for the weights, shares the work among the threads. The bits depend on values
 * only: not on how W is stored, the number of tokens, threads, or the instruction set (unless
 * e->blas). RC_E_NUMERIC when W holds a NaN or infinity (names tensor and row). */
RC_MUST_CHECK
rc_code rc_linear(rc_engine *e, const rc_bound *w, uint64_t row, uint64_t nrows, rc_input *in,
                  float *y, size_t ldy, rc_err *err);

#endif
