/* formats/base/json_write.c - writing: YAJL's generator into a buffer of ours.
 *
 * The first failure (memory, or a call that makes no JSON) is remembered and
 * every later call does nothing, so that callers check once, at the end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>
#include <yajl/yajl_gen.h>

#include "formats/base/json.h"
#include "formats/base/yajl_mem.h"

struct rc_jsonw {
    rc_mem *mem;
    rc_yajl_mem ymem; /* the generator's own state; it is small and never grows */
    yajl_gen gen;
    char *text;
    size_t len, cap; /* bytes; there is always room for a NUL */
    size_t opened;   /* len after the "{" or "[" that was written last, if nothing followed */
    bool failed;
};

static void print(void *ctx, const char *s, size_t n)
{
    rc_jsonw *w = ctx;

    if (w->failed)
        return;
    if (n >= w->cap - w->len) {
        size_t cap = w->cap ? w->cap : 256;
        char *grown = NULL;

        while (cap - w->len <= n && cap <= SIZE_MAX / 4)
            cap *= 2;
        if (cap - w->len > n)
            grown = rc_mem_grow(w->mem, w->text, cap);
        if (!grown) {
            w->failed = true;
            return;
        }
        w->text = grown;
        w->cap = cap;
    }
    memcpy(w->text + w->len, s, n);
    w->len += n;
    w->text[w->len] = '\0';
}

rc_jsonw *rc_jsonw_new(rc_mem *mem, unsigned indent)
{
    rc_jsonw *w = rc_mem_get(mem, sizeof *w);

    if (!w)
        return NULL;
    w->mem = mem;
    if (!rc_yajl_mem_init(&w->ymem, mem, 0)) {
        rc_mem_put(mem, w);
        return NULL;
    }
    w->gen = yajl_gen_alloc(&w->ymem.funcs);
    yajl_gen_config(w->gen, yajl_gen_print_callback, print, w);
    if (indent) {
        yajl_gen_config(w->gen, yajl_gen_beautify, 1);
        yajl_gen_config(w->gen, yajl_gen_indent_string, "  ");
    }
    return w;
}

void rc_jsonw_free(rc_jsonw **wp)
{
    rc_jsonw *w = *wp;

    *wp = NULL;
    if (!w)
        return;
    yajl_gen_free(w->gen);
    rc_yajl_mem_free(&w->ymem);
    rc_mem_put(w->mem, w->text);
    rc_mem_put(w->mem, w);
}

static void note(rc_jsonw *w, yajl_gen_status status)
{
    if (status != yajl_gen_status_ok)
        w->failed = true;
    w->opened = 0;
}

/* After "{" or "[": YAJL breaks the line at once, which is ugly in "{}". */
static void opened(rc_jsonw *w, yajl_gen_status status)
{
    note(w, status);
    w->opened = w->len;
}

static void closed(rc_jsonw *w, char bracket, yajl_gen_status (*close)(yajl_gen))
{
    const size_t empty = w->opened;
    bool last;

    note(w, close(w->gen));
    if (w->failed || !empty)
        return;
    last = w->text[w->len - 1] == '\n'; /* the document's end */
    for (w->len = empty; w->text[w->len - 1] == '\n';)
        w->len--;
    print(w, &bracket, 1);
    if (last)
        print(w, "\n", 1);
}

void rc_jsonw_object(rc_jsonw *w)
{
    opened(w, yajl_gen_map_open(w->gen));
}

void rc_jsonw_object_end(rc_jsonw *w)
{
    closed(w, '}', yajl_gen_map_close);
}

void rc_jsonw_array(rc_jsonw *w)
{
    opened(w, yajl_gen_array_open(w->gen));
}

void rc_jsonw_array_end(rc_jsonw *w)
{
    closed(w, ']', yajl_gen_array_close);
}

void rc_jsonw_strn(rc_jsonw *w, const char *s, size_t len)
{
    char *escaped;
    size_t room;

    if (!u8_check((const uint8_t *)s, len)) {
        note(w, yajl_gen_string(w->gen, (const unsigned char *)s, len));
        return;
    }
    room = len <= SIZE_MAX / 8 ? 4 * len + 3 : 0;
    escaped = room ? rc_mem_get(w->mem, room) : NULL;
    if (!escaped) {
        w->failed = true;
        return;
    }
    rc_escape(escaped, room, s, len);
    note(w, yajl_gen_string(w->gen, (const unsigned char *)escaped, strlen(escaped)));
    rc_mem_put(w->mem, escaped);
}

void rc_jsonw_str(rc_jsonw *w, const char *s)
{
    rc_jsonw_strn(w, s, strlen(s));
}

void rc_jsonw_key(rc_jsonw *w, const char *key)
{
    rc_jsonw_str(w, key);
}

void rc_jsonw_raw(rc_jsonw *w, const char *number, size_t len)
{
    note(w, yajl_gen_number(w->gen, number, len));
}

void rc_jsonw_u64(rc_jsonw *w, uint64_t v)
{
    char buf[24];

    rc_jsonw_raw(w, buf, (size_t)snprintf(buf, sizeof buf, "%" PRIu64, v));
}

void rc_jsonw_i64(rc_jsonw *w, int64_t v)
{
    char buf[24];

    rc_jsonw_raw(w, buf, (size_t)snprintf(buf, sizeof buf, "%" PRId64, v));
}

void rc_jsonw_f64(rc_jsonw *w, double v)
{
    char buf[40];
    int n = 0;

    if (v - v != 0) { /* JSON has no word for it */
        rc_jsonw_null(w);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        n = snprintf(buf, sizeof buf, "%.*g", digits, v);
        if (strtod(buf, NULL) == v)
            break;
    }
    rc_jsonw_raw(w, buf, (size_t)n);
}

void rc_jsonw_bool(rc_jsonw *w, bool v)
{
    note(w, yajl_gen_bool(w->gen, v));
}

void rc_jsonw_null(rc_jsonw *w)
{
    note(w, yajl_gen_null(w->gen));
}

void rc_jsonw_kstr(rc_jsonw *w, const char *key, const char *s)
{
    rc_jsonw_key(w, key);
    rc_jsonw_str(w, s);
}

void rc_jsonw_ku64(rc_jsonw *w, const char *key, uint64_t v)
{
    rc_jsonw_key(w, key);
    rc_jsonw_u64(w, v);
}

void rc_jsonw_kf64(rc_jsonw *w, const char *key, double v)
{
    rc_jsonw_key(w, key);
    rc_jsonw_f64(w, v);
}

void rc_jsonw_kbool(rc_jsonw *w, const char *key, bool v)
{
    rc_jsonw_key(w, key);
    rc_jsonw_bool(w, v);
}

const char *rc_jsonw_text(rc_jsonw *w, size_t *len)
{
    print(w, "", 0); /* so that an empty text is one, too */
    if (w->failed)
        return NULL;
    if (len)
        *len = w->len;
    return w->text;
}

rc_code rc_jsonw_finish(rc_jsonw *w, char **out, size_t *len, rc_mem *mem, rc_err *err)
{
    const char *text = rc_jsonw_text(w, len);

    *out = text ? rc_mem_get(mem, *len + 2) : NULL;
    if (!*out)
        return rc_fail_nomem(err, mem, text ? *len + 2 : 1);
    memcpy(*out, text, *len);
    (*out)[(*len)++] = '\n';
    return RC_OK;
}

void rc_jsonw_reset(rc_jsonw *w)
{
    yajl_gen_reset(w->gen, NULL);
    w->len = 0;
    w->opened = 0;
    w->failed = false;
}
