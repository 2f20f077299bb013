/* runtime/windows.h - a text cut into pieces that a model can be judged on.
 *
 *     stood      |t0 t1 t2 ...                                  |
 *     window 0   |---- ctx ----|
 *     window 1        stride ->|---- ctx ----|        each a sequence of its own
 *     scored     |===========| |       |=====|        what no earlier window scored,
 *                                                     and not the first `skip` of a window
 *
 * What is cut, s, is the text, with `bos` in front of it unless it begins with it. Window w holds
 * s[w stride .. w stride + ctx), the last one what is left of that; the first token of each
 * window after the first gives way to `bos`.
 *
 * Position i of a window says what token i + 1 of it is; its last position says nothing that can be
 * checked. Of a window of n tokens the positions [lead, n - 1) are scored: lead = skip in the first
 * window, max(skip, ctx - stride - 1) in the others, where the window before it left off.
 * So every token is predicted at most once, never a BOS that was put in; and with skip = 0 every
 * token but s[0] (stride < ctx), or but the first of each window (stride = ctx). A window after
 * which nothing would be scored is the last; one that would itself score nothing is left out.
 *
 * Source: llama.cpp's perplexity tool (stride = ctx, skip = ctx / 2, BOS put over the first token
 * of each window; it drops a last window that is not whole: cut the text to a multiple of ctx for
 * its figures); Hugging Face's strided perplexity (skip 0, stride < ctx). */
#ifndef RC_RUNTIME_WINDOWS_H
#define RC_RUNTIME_WINDOWS_H

#include "formats/base/mem.h"
#include "formats/base/status.h"

#define RC_NO_TOKEN UINT32_MAX

typedef struct rc_windows {
    uint32_t ctx, stride, skip;
    uint32_t bos; /* or RC_NO_TOKEN */
    size_t windows, tokens;
    uint32_t *token; /* [tokens]: all windows one after another, each of ctx but the last */
    uint64_t *text;  /* [tokens]: where in the text each came from; a BOS that was put in: the token
                        it replaces, or (in front of the text) 0 */
    size_t scored;   /* positions in all, > 0 */
    rc_mem *mem;
} rc_windows;

/** Cut a text of n tokens. 2 <= ctx; 1 <= stride <= ctx; skip <= ctx - 2; bos may be RC_NO_TOKEN.
 *    RC_E_USAGE other sizes, or a text with nothing to score (says how long it would have to be)
 *    RC_E_OS    no memory: windows that overlap hold every token about ctx / stride times
 *  After an error *out is empty, and rc_windows_free() harmless. */
RC_MUST_CHECK
rc_code rc_windows_cut(rc_windows *out, const uint32_t *id, size_t n, uint32_t ctx, uint32_t stride,
                       uint32_t skip, uint32_t bos, rc_mem *mem, rc_err *err);
void rc_windows_free(rc_windows *w);

/** The scored run of window i < windows: token indices [*begin, *end), never empty; for each of
 * them token[index + 1] is what came. */
void rc_windows_scored(const rc_windows *w, size_t i, size_t *begin, size_t *end);

#endif
