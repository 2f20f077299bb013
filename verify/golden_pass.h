/* verify/golden_pass.h - a model over the windows of a golden file: layer by layer, then the logits
 * of scored positions. What recording and comparing share. */
#ifndef RC_VERIFY_GOLDEN_PASS_H
#define RC_VERIFY_GOLDEN_PASS_H

#include "runtime/forward.h"
#include "verify/golden_look.h"
#include "runtime/windows.h"

typedef struct rc_golden_pass {
    rc_mem *mem;
    const rc_golden_head *head;
    const rc_windows *windows;
    unsigned threads;
    rc_forward *forward;
    rc_golden_look *look;
    float *logits; /* [block, vocab]: of tokens [at, at + n) */
    size_t block, at, n;
} rc_golden_pass;

/** Begin. `head`, `windows` are borrowed; of `run` numerics, threads, memory and scratch are
 * heeded. Errors as rc_forward_new() and rc_forward_begin(). Free it whatever comes. */
RC_MUST_CHECK
rc_code rc_golden_pass_open(rc_golden_pass *p, rc_model *model, const rc_golden_head *head,
                            const rc_windows *windows, const rc_forward_options *run, rc_mem *mem,
                            rc_err *err);
void rc_golden_pass_close(rc_golden_pass *p);

/** Run the next layer; what was seen of it is in look. */
RC_MUST_CHECK
rc_code rc_golden_pass_layer(rc_golden_pass *p, rc_err *err);
/** After the last layer: the logits of tokens [at, at + *n), some of [at, end), at < end: rows
 *  [*n, vocab], valid until the next call. Ask in ascending order. */
RC_MUST_CHECK
rc_code rc_golden_pass_rows(rc_golden_pass *p, size_t at, size_t end, const float **rows, size_t *n,
                            rc_err *err);

/* A section of logits: positions [at, at + n) of window w. */
typedef struct rc_golden_run {
    size_t window, at, n, end; /* end: of the window's scored positions */
} rc_golden_run;

/** The first (of a zeroed `r`) or next one; false when there is none left. */
bool rc_golden_run_next(rc_golden_run *r, const rc_golden_pass *p);

#endif
