/* formats/base/json_edit.c - change some root keys, keep every other byte.
 *
 * What is kept is copied from the text as it stands, key and value together:
 * no number is respelled and no long list is broken over lines, and a document
 * may be as deep as the reader allows. */
#include <string.h>

#include "formats/base/json.h"

typedef struct editor {
    const char *text;
    const rc_json_edit *edits;
    size_t nedits;
    bool *done;               /* which edits met their key */
    size_t member;            /* where the current member's key starts */
    const rc_json_edit *edit; /* what to do with it, or NULL */
    bool in_member, any;
    rc_mem *mem;
    char *out;
    size_t len, cap;
} editor;

static rc_code put(editor *e, const char *s, size_t n, rc_err *err)
{
    if (e->cap - e->len <= n) {
        const size_t cap = 2 * (e->cap + n) + 256;
        char *grown = rc_mem_grow(e->mem, e->out, cap);

        if (!grown)
            return rc_fail_nomem(err, e->mem, cap);
        e->out = grown;
        e->cap = cap;
    }
    memcpy(e->out + e->len, s, n);
    e->len += n;
    e->out[e->len] = '\0';
    return RC_OK;
}

static rc_code begin_member(editor *e, rc_err *err)
{
    RC_TRY(put(e, e->any ? ",\n  " : "\n  ", e->any ? 4 : 3, err));
    e->any = true;
    return RC_OK;
}

/* A member of which only the key is known yet: its own text, and the new value. */
static rc_code put_value(editor *e, const rc_json_edit *edit, rc_err *err)
{
    RC_TRY(put(e, ": ", 2, err));
    return put(e, edit->value, strlen(edit->value), err);
}

/* The current member ends before `next`, which starts the next key or is the
 * closing brace. */
static rc_code end_member(editor *e, size_t next, rc_err *err)
{
    size_t end = next;

    if (!e->in_member)
        return RC_OK;
    e->in_member = false;
    if (e->edit && !e->edit->value)
        return RC_OK;
    while (strchr(" \t\r\n,", e->text[end - 1]))
        end--;
    RC_TRY(begin_member(e, err));
    if (!e->edit)
        return put(e, e->text + e->member, end - e->member, err);
    end = e->member + 1; /* past the opening quote, to the closing one */
    while (e->text[end] != '"')
        end += e->text[end] == '\\' ? 2 : 1;
    RC_TRY(put(e, e->text + e->member, end + 1 - e->member, err));
    return put_value(e, e->edit, err);
}

static rc_code on_event(void *ctx, const rc_json_event *ev, rc_err *err)
{
    editor *e = ctx;

    if (ev->depth == 0 && ev->type != RC_JSON_OBJECT && ev->type != RC_JSON_OBJECT_END)
        return rc_fail(err, RC_E_DATA, ev->offset, "not a JSON object");
    if (ev->depth == 0 && ev->type == RC_JSON_OBJECT_END)
        return end_member(e, (size_t)ev->offset, err);
    if (ev->depth != 1 || ev->type != RC_JSON_KEY)
        return RC_OK;
    RC_TRY(end_member(e, (size_t)ev->offset, err));
    e->in_member = true;
    e->member = (size_t)ev->offset;
    e->edit = NULL;
    for (size_t i = 0; i < e->nedits; i++)
        if (strlen(e->edits[i].key) == ev->len && memcmp(e->edits[i].key, ev->text, ev->len) == 0) {
            e->edit = &e->edits[i];
            e->done[i] = true;
        }
    return RC_OK;
}

static rc_code append_missing(editor *e, rc_err *err)
{
    for (size_t i = 0; i < e->nedits; i++) {
        rc_jsonw *w;
        const char *key;
        size_t len;
        rc_code rc;

        if (e->done[i] || !e->edits[i].value)
            continue;
        w = rc_jsonw_new(e->mem, 0);
        if (!w)
            return rc_fail_nomem(err, e->mem, 0);
        rc_jsonw_str(w, e->edits[i].key);
        key = rc_jsonw_text(w, &len);
        rc = key ? begin_member(e, err) : rc_fail_nomem(err, e->mem, 0);
        if (rc == RC_OK)
            rc = put(e, key, len, err);
        if (rc == RC_OK)
            rc = put_value(e, &e->edits[i], err);
        rc_jsonw_free(&w);
        RC_TRY(rc);
    }
    return RC_OK;
}

static rc_code ignore(void *ctx, const rc_json_event *ev, rc_err *err)
{
    (void)ctx;
    (void)ev;
    (void)err;
    return RC_OK;
}

/* The edits come from our own code: a bad one is our mistake, and must not
 * become a bad file. */
static rc_code check_edits(const rc_json_edit *edits, size_t nedits, rc_mem *mem, rc_err *err)
{
    for (size_t i = 0; i < nedits; i++) {
        rc_code rc = RC_OK;

        for (size_t j = 0; j < i; j++)
            if (strcmp(edits[i].key, edits[j].key) == 0)
                return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "key %s is edited twice",
                               edits[i].key);
        if (edits[i].value)
            rc = rc_json_parse((const uint8_t *)edits[i].value, strlen(edits[i].value), 0, ignore,
                               NULL, mem, err);
        if (rc == RC_E_DATA)
            return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "new value of %s is not JSON",
                           edits[i].key);
        RC_TRY(rc);
    }
    return RC_OK;
}

rc_code rc_json_edit_root(const uint8_t *text, size_t len, const rc_json_edit *edits, size_t nedits,
                          char **out, size_t *out_len, rc_mem *mem, rc_err *err)
{
    editor e = { .text = (const char *)text, .edits = edits, .nedits = nedits, .mem = mem };
    rc_code rc;

    *out = NULL;
    *out_len = 0;
    RC_TRY(check_edits(edits, nedits, mem, err));
    e.done = rc_mem_get(mem, nedits * sizeof *e.done);
    if (!e.done)
        return rc_fail_nomem(err, mem, nedits * sizeof *e.done);
    RC_TRY_GOTO(rc, done, put(&e, "{", 1, err));
    RC_TRY_GOTO(rc, done, rc_json_parse(text, len, 0, on_event, &e, mem, err));
    RC_TRY_GOTO(rc, done, append_missing(&e, err));
    RC_TRY_GOTO(rc, done, put(&e, e.any ? "\n}\n" : "}\n", e.any ? 3 : 2, err));
    *out = e.out;
    *out_len = e.len;
    e.out = NULL;
done:
    rc_mem_put(mem, e.done);
    rc_mem_put(mem, e.out);
    return rc;
}
