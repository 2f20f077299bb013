/* formats/base/text.c - see text.h. */
#include "formats/base/text.h"

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

void rc_text_free(rc_text *t)
{
    rc_mem_put(t->mem, t->at);
    *t = (rc_text){ .mem = t->mem };
}
