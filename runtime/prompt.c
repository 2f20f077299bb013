/* runtime/prompt.c - see prompt.h. */
#include "runtime/prompt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static rc_code read_stream(rc_text *out, FILE *f, const char *name, rc_err *err)
{
    char buf[1 << 16];
    size_t n;

    rc_text_add(out, "", 0);
    while ((n = fread(buf, 1, sizeof buf, f)) > 0 && out->len <= RC_BPE_MAX_TEXT)
        rc_text_add(out, buf, n);
    if (out->failed)
        return rc_fail_nomem(err, out->mem, 2 * out->room);
    if (!ferror(f))
        return RC_OK;
    rc_fail_errno(err, errno, "cannot be read");
    rc_err_file(err, name);
    return err->code;
}

rc_code rc_prompt_file(rc_text *out, const char *path, rc_err *err)
{
    FILE *f;
    rc_code rc;

    if (!path || strcmp(path, "-") == 0)
        return read_stream(out, stdin, "standard input", err);
    f = fopen(path, "rb");
    if (!f) {
        rc_fail_errno(err, errno, "cannot be opened");
        rc_err_file(err, path);
        return err->code;
    }
    rc = read_stream(out, f, path, err);
    fclose(f);
    return rc;
}

static rc_code read_conversation(rc_text *out, const rc_prompt_words *w, rc_err *err)
{
    rc_text json = { .mem = out->mem };
    rc_code rc = rc_prompt_file(&json, w->messages, err);

    if (rc == RC_OK) {
        rc = rc_chat_messages(out, json.at, json.len, &w->opts, err);
        rc_err_file(rc == RC_OK ? NULL : err,
                    strcmp(w->messages, "-") == 0 ? "standard input" : w->messages);
    }
    rc_text_free(&json);
    return rc;
}

static rc_code read_plain(rc_text *out, const rc_prompt_words *w, rc_err *err)
{
    if (!w->text)
        return rc_prompt_file(out, w->file, err);
    rc_text_put(out, w->text);
    return out->failed ? rc_fail_nomem(err, out->mem, strlen(w->text)) : RC_OK;
}

rc_code rc_prompt_text(rc_text *out, const rc_prompt_words *w, rc_err *err)
{
    rc_text said = { .mem = out->mem };
    rc_code rc;

    if (w->messages)
        return read_conversation(out, w, err);
    if (!w->chat)
        return read_plain(out, w, err);
    rc = read_plain(&said, w, err);
    if (rc == RC_OK)
        rc = rc_chat_ask(out, w->system, said.at, said.len, &w->opts, err);
    rc_text_free(&said);
    return rc;
}

rc_code rc_prompt_ids(rc_ids *ids, const char *list, const char *option, uint32_t count,
                      rc_err *err)
{
    static const char gaps[] = ", \t\r\n";

    for (const char *p = list + strspn(list, gaps); *p; p += strspn(p, gaps)) {
        const size_t len = strcspn(p, gaps), digits = strspn(p, "0123456789");
        char shown[48];
        uint64_t id = 0;

        for (size_t i = 0; i < digits && id < count; i++)
            id = 10 * id + (uint64_t)(p[i] - '0');
        if (digits != len || id >= count)
            return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET,
                           "%s: '%s' is not an id of this vocabulary, 0 to %" PRIu32, option,
                           rc_escape(shown, sizeof shown, p, len), count - 1);
        if (!rc_ids_add(ids, (uint32_t)id))
            return rc_fail_nomem(err, ids->mem, 2 * ids->room * sizeof *ids->at);
        p += len;
    }
    return RC_OK;
}
