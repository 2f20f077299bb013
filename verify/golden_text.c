/* verify/golden_text.c - the text of a golden file: windows to ids and back, and where it came
 * from.
 *
 * Ids are stored, not windows: windows may overlap. Windows are what was run, so ids are taken back
 * out of them; what BOS replaced in every window that had it was never seen by the model, and BOS
 * stands there in the file too. */
#include <string.h>

#include "verify/golden_text.h"

/* Where in the text the last token stands, plus one. */
size_t rc_golden_text_length(const rc_windows *w)
{
    uint64_t most = 0;

    for (size_t i = 0; i < w->tokens; i++)
        most = w->text[i] > most ? w->text[i] : most;
    return (size_t)most + 1;
}

/* Is token i of the windows not the text's own? One that was put in front of the text has the place
 * of the token behind it. */
static bool is_put_in(const rc_windows *w, size_t i)
{
    if (w->bos == RC_NO_TOKEN || i % w->ctx != 0)
        return false;
    return i != 0 || (w->tokens > 1 && w->text[1] == 0);
}

void rc_golden_text_ids(const rc_windows *w, uint32_t *id, size_t n)
{
    for (size_t i = 0; i < n; i++)
        id[i] = w->bos;
    for (size_t i = 0; i < w->tokens; i++)
        if (!is_put_in(w, i))
            id[w->text[i]] = w->token[i];
}

void rc_golden_tokens_digest(const rc_windows *windows, char hex[33])
{
    const rc_digest d = rc_hash(windows->token, windows->tokens * sizeof *windows->token);

    rc_digest_hex(&d, hex);
}

static rc_code check_cut(const rc_golden_head *h, const rc_windows *w, rc_err *err)
{
    char hex[33];

    rc_golden_tokens_digest(w, hex);
    if (w->windows == h->windows && w->tokens == h->window_tokens && w->scored == h->scored &&
        strcmp(hex, h->tokens) == 0)
        return RC_OK;
    return rc_fail(err, RC_E_DATA, RC_NO_OFFSET,
                   "the text of the golden file does not give the windows that its header has");
}

rc_code rc_golden_windows(rc_golden *golden, rc_windows *out, rc_mem *mem, rc_err *err)
{
    const rc_golden_head *h = rc_golden_head_of(golden);
    const size_t n = (size_t)h->text_tokens;
    uint32_t *id = rc_mem_get(mem, n * sizeof *id);
    rc_code rc = id ? RC_OK : rc_fail_nomem(err, mem, n * sizeof *id);

    *out = (rc_windows){ .mem = mem };
    if (rc == RC_OK)
        rc = rc_golden_tokens(golden, id, err);
    if (rc == RC_OK) {
        rc = rc_windows_cut(out, id, n, h->ctx, h->stride, h->skip, h->bos, mem, err);
        if (rc == RC_E_USAGE)
            rc = rc_recode(err, RC_E_DATA);
    }
    if (rc == RC_OK)
        rc = check_cut(h, out, err);
    if (rc != RC_OK)
        rc_windows_free(out);
    rc_mem_put(mem, id);
    return rc;
}

static const char *said(const char *s)
{
    return *s ? s : NULL;
}

void rc_golden_provenance(const rc_golden *golden, rc_provenance *out)
{
    const rc_golden_head *h = rc_golden_head_of(golden);

    out->native = said(h->native);
    out->native_variant = said(h->variant);
    out->text = said(h->text);
    out->numerics = said(h->numerics);
    out->golden_version = said(h->version);
    out->revision = said(h->revision);
    memcpy(out->config, h->config, sizeof out->config);
    memcpy(out->tokens, h->tokens, sizeof out->tokens);
}
