/* formats/base/text.c - see text.h. */
#include "formats/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool make_room(rc_text *t, size_t len)
{
    size_t room = t->room ? t->room : 256;
    char *grown;

    if (t->failed || len >= SIZE_MAX / 4 - t->len)
        return false;
    while (room <= t->len + len)
        room *= 2;
    if (room == t->room)
        return true;
    grown = rc_mem_grow(t->mem, t->at, room);
    if (!grown)
        return false;
    t->at = grown;
    t->room = room;
    return true;
}

void rc_text_add(rc_text *t, const char *bytes, size_t len)
{
    if (!make_room(t, len)) {
        t->failed = true;
        return;
    }
    if (len)
        memcpy(t->at + t->len, bytes, len);
    t->len += len;
    t->at[t->len] = '\0';
}

void rc_text_put(rc_text *t, const char *s)
{
    rc_text_add(t, s, strlen(s));
}

void rc_text_printf(rc_text *t, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !make_room(t, (size_t)n)) {
        t->failed = true;
        return;
    }
    va_start(ap, fmt);
    vsnprintf(t->at + t->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    t->len += (size_t)n;
}

rc_code rc_text_take(rc_text *t, char **out, size_t *len, rc_err *err)
{
    rc_code rc = RC_OK;

    rc_text_add(t, "", 0); /* so that an empty text is one, too */
    *out = NULL;
    if (t->failed) {
        rc = rc_fail_nomem(err, t->mem, 2 * t->room);
        rc_text_free(t);
        return rc;
    }
    *out = t->at;
    *len = t->len;
    *t = (rc_text){ .mem = t->mem };
    return rc;
}

void rc_text_free(rc_text *t)
{
    rc_mem_put(t->mem, t->at);
    *t = (rc_text){ .mem = t->mem };
}
