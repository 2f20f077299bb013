/* verify/windows.h - a text cut into pieces that a model can be judged on.
 *
 *     text       |t0 t1 t2 ...                                  |
 *     window 0   |---- ctx ----|
 *     window 1        stride ->|---- ctx ----|        each a sequence of its own
 *     scored     |=============|        |====|        what no earlier window scored,
 *                                                     and not the first `skip` of a window
 *
 * Position i of a window says what token i + 1 of it is; its last position says nothing that can be
 * checked. With `bos` the first token of every window is that token: it stands before the text, and
 * takes the place of the first token of each later window.
 * Source: llama.cpp's perplexity tool (windows end to end, skip = ctx / 2, BOS put over the first
 * token); Hugging Face's strided perplexity (skip 0, stride < ctx). */
#ifndef RC_VERIFY_WINDOWS_H
#define RC_VERIFY_WINDOWS_H

#include "formats/base/mem.h"
#include "formats/base/status.h"

#define RC_NO_TOKEN UINT32_MAX

typedef struct rc_windows {
    uint32_t ctx, stride, skip;
    uint32_t bos;    /* or RC_NO_TOKEN */
    size_t windows, tokens;
    uint32_t *token; /* [tokens]: all windows one after another, each of ctx but the last */
    uint64_t *text;  /* [tokens]: where in the text each came from (BOS: where it stands) */
    size_t scored;   /* positions in all */
    rc_mem *mem;
} rc_windows;

/** Cut. 2 <= ctx; 1 <= stride <= ctx; skip < ctx. A last window that would score nothing is left
 *  out. RC_E_USAGE contradictory sizes, or a text with nothing to score (says how long it would
 *  have to be); RC_E_OS no memory. */
RC_MUST_CHECK
rc_code rc_windows_cut(rc_windows *out, const uint32_t *id, size_t n, uint32_t ctx, uint32_t stride,
                       uint32_t skip, uint32_t bos, rc_mem *mem, rc_err *err);
void rc_windows_free(rc_windows *w);

/** The scored run of window i: token indices [*begin, *end), for each of which token[index + 1] is
 *  what came. May be empty. */
void rc_windows_scored(const rc_windows *w, size_t i, size_t *begin, size_t *end);

#endif
