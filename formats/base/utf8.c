/* formats/base/utf8.c - see utf8.h. */
#include "formats/base/utf8.h"

#include <string.h>
#include <unistr.h>

size_t rc_utf8_whole(const char *text, size_t len)
{
    const uint8_t *s = (const uint8_t *)text;
    ucs4_t c;

    /* An unfinished character begins at one of the last three bytes. */
    for (size_t back = 1; back <= RC_UTF8_HELD && back <= len; back++) {
        const uint8_t lead = s[len - back];

        if (lead >= 0xc0)
            return u8_mbtoucr(&c, s + len - back, back) == -2 ? len - back : len;
        if (lead < 0x80)
            break;
    }
    return len;
}

size_t rc_utf8_push(rc_utf8_tail *t, const char *bytes, size_t len, char *out)
{
    size_t all = t->n + len, whole;

    memcpy(out, t->held, t->n);
    memcpy(out + t->n, bytes, len);
    whole = rc_utf8_whole(out, all);
    t->n = all - whole;
    memcpy(t->held, out + whole, t->n);
    return whole;
}
