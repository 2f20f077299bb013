/* runtime/windows.c - see windows.h. */
#include "runtime/windows.h"

/* What is cut: the text, and whether a BOS was put in front of it. */
typedef struct stood {
    const uint32_t *id;
    size_t n, front; /* tokens of the text; 0 or 1 */
    uint32_t bos;
} stood;

static rc_code check_sizes(uint32_t ctx, uint32_t stride, uint32_t skip, rc_err *err)
{
    if (ctx < 2)
        return rc_fail(
            err, RC_E_USAGE, RC_NO_OFFSET,
            "windows of %" PRIu32 " tokens: the first says what the second is, so 2 at least", ctx);
    if (stride < 1 || stride > ctx)
        return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET,
                       "a stride of %" PRIu32 " tokens: 1 up to the %" PRIu32 " of a window",
                       stride, ctx);
    if (skip > ctx - 2)
        return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET,
                       "%" PRIu32 " of the %" PRIu32 " tokens of a window skipped: nothing is left",
                       skip, ctx);
    return RC_OK;
}

/* The first position of a window that is scored. */
static size_t lead_of(const rc_windows *w, size_t window)
{
    const uint32_t done = w->ctx > w->stride ? w->ctx - w->stride - 1 : 0;

    return window && done > w->skip ? done : w->skip;
}

static size_t length_of(const rc_windows *w, size_t window)
{
    return window + 1 < w->windows ? w->ctx : w->tokens - window * w->ctx;
}

/* How many windows, of how many tokens. False: nothing is scored. */
static bool count(rc_windows *w, size_t n)
{
    const size_t more = n > w->ctx ? (size_t)rc_ceil_div(n - w->ctx, w->stride) : 0;
    size_t last = n - more * w->stride; /* tokens of the last window */
    size_t windows = more + 1;

    if (last < lead_of(w, more) + 2) {
        if (more == 0)
            return false;
        windows--;
        last = w->ctx;
    }
    w->windows = windows;
    w->scored = last - 1 - lead_of(w, windows - 1);
    for (size_t i = 0; i < 2 && i + 1 < windows; i++) /* the first, and all others between */
        w->scored += (w->ctx - 1 - lead_of(w, i)) * (i ? windows - 2 : 1);
    if (__builtin_mul_overflow(windows - 1, (size_t)w->ctx, &w->tokens) ||
        __builtin_add_overflow(w->tokens, last, &w->tokens))
        w->tokens = SIZE_MAX; /* no memory holds them */
    return true;
}

static void put(rc_windows *w, const stood *s)
{
    for (size_t i = 0; i < w->windows; i++) {
        const size_t from = i * w->stride, n = length_of(w, i);
        uint32_t *token = w->token + i * w->ctx;
        uint64_t *text = w->text + i * w->ctx;
        for (size_t j = 0; j < n; j++) {
            const bool in_text = from + j >= s->front;
            text[j] = in_text ? from + j - s->front : 0;
            token[j] = in_text ? s->id[text[j]] : s->bos;
        }
        if (s->bos != RC_NO_TOKEN)
            token[0] = s->bos;
    }
}

rc_code rc_windows_cut(rc_windows *out, const uint32_t *id, size_t n, uint32_t ctx, uint32_t stride,
                       uint32_t skip, uint32_t bos, rc_mem *mem, rc_err *err)
{
    const stood s = { id, n, bos != RC_NO_TOKEN && (n == 0 || id[0] != bos), bos };
    size_t nbytes;

    *out = (rc_windows){ .ctx = ctx, .stride = stride, .skip = skip, .bos = bos, .mem = mem };
    RC_TRY(check_sizes(ctx, stride, skip, err));
    if (n == 0 || !count(out, n + s.front)) {
        rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "a text of %zu tokens is too short", n);
        rc_err_want(err, "%zu tokens at least", (size_t)skip + 2 - s.front);
        return RC_E_USAGE;
    }
    if (__builtin_mul_overflow(out->tokens, sizeof *out->text + sizeof *out->token, &nbytes))
        nbytes = SIZE_MAX;
    out->text = nbytes == SIZE_MAX ? NULL : rc_mem_get(mem, nbytes);
    if (!out->text) {
        *out = (rc_windows){ .mem = mem };
        return rc_fail_nomem(err, mem, nbytes);
    }
    out->token = (uint32_t *)(void *)(out->text + out->tokens);
    put(out, &s);
    return RC_OK;
}

void rc_windows_free(rc_windows *w)
{
    if (w->text)
        rc_mem_put(w->mem, w->text);
    *w = (rc_windows){ .mem = w->mem };
}

void rc_windows_scored(const rc_windows *w, size_t i, size_t *begin, size_t *end)
{
    *begin = i * w->ctx + lead_of(w, i);
    *end = i * w->ctx + length_of(w, i) - 1;
}
