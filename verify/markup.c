/* verify/markup.c - see markup.h. */
#include "verify/markup.h"

#include <string.h>
#include <unistr.h>

/* One character, or a byte that is part of none, and what a format makes of it. */
typedef void put_fn(rc_text *t, uint32_t c, const char *bytes, size_t n);

static void put_hex(rc_text *t, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        rc_text_printf(t, "\\x%02x", (unsigned)(uint8_t)bytes[i]);
}

/* Characters that `always` go to put() go there even when nothing could show them as they are. */
static void each(rc_text *t, const char *s, size_t len, const char *always, put_fn *put)
{
    for (size_t i = 0; i < len;) {
        ucs4_t c;
        const int k = u8_mbtoucr(&c, (const uint8_t *)s + i, len - i);
        const size_t n = k > 0 ? (size_t)k : 1;

        if (k > 0 && (rc_printable(c) || (c && c < 0x80 && strchr(always, (int)c))))
            put(t, c, s + i, n);
        else
            put_hex(t, s + i, n);
        i += n;
    }
}

static void put_xml(rc_text *t, uint32_t c, const char *bytes, size_t n)
{
    switch (c) {
    case '&':
        rc_text_put(t, "&amp;");
        break;
    case '<':
        rc_text_put(t, "&lt;");
        break;
    case '>':
        rc_text_put(t, "&gt;");
        break;
    case '"':
        rc_text_put(t, "&quot;");
        break;
    case '\'':
        rc_text_put(t, "&#39;");
        break;
    default:
        rc_text_add(t, bytes, n);
    }
}

void rc_markup_xml(rc_text *t, const char *s, size_t len)
{
    each(t, s, len, "", put_xml);
}

/* Markdown lets a backslash stand before any ASCII punctuation. */
static void put_md(rc_text *t, uint32_t c, const char *bytes, size_t n)
{
    if (c < 0x80 && strchr("\\`*_{}[]<>()#+!|~&", (int)c))
        rc_text_put(t, "\\");
    rc_text_add(t, bytes, n);
}

void rc_markup_md(rc_text *t, const char *s, size_t len)
{
    each(t, s, len, "", put_md);
}

/* In a table a bar ends the cell even in a code span, unless a backslash stands before it. */
static void put_code(rc_text *t, uint32_t c, const char *bytes, size_t n)
{
    if (c == '|')
        rc_text_put(t, "\\");
    rc_text_add(t, bytes, n);
}

/* The fence is longer than any run of backticks inside. */
void rc_markup_md_code(rc_text *t, const char *s, size_t len)
{
    size_t run = 0, fence = 1;

    for (size_t i = 0; i < len; i++) {
        run = s[i] == '`' ? run + 1 : 0;
        fence = run >= fence ? run + 1 : fence;
    }
    for (size_t i = 0; i < fence; i++)
        rc_text_put(t, "`");
    rc_text_put(t, fence > 1 || !len ? " " : "");
    each(t, s, len, "", put_code);
    rc_text_put(t, fence > 1 ? " " : "");
    for (size_t i = 0; i < fence; i++)
        rc_text_put(t, "`");
}

static void put_data(rc_text *t, uint32_t c, const char *bytes, size_t n)
{
    if (c == '%' || c == '\n' || c == '\r')
        rc_text_printf(t, "%%%02X", (unsigned)c);
    else
        rc_text_add(t, bytes, n);
}

static void put_property(rc_text *t, uint32_t c, const char *bytes, size_t n)
{
    if (c == ':' || c == ',')
        rc_text_printf(t, "%%%02X", (unsigned)c);
    else
        put_data(t, c, bytes, n);
}

void rc_markup_command(rc_text *t, const char *s, size_t len, bool property)
{
    each(t, s, len, "\n\r", property ? put_property : put_data);
}

static void put_token(rc_text *t, uint32_t c, const char *bytes, size_t n)
{
    if (c == '\n')
        rc_text_put(t, "<i>\xe2\x86\xb5</i>"); /* U+21B5 */
    else if (c == '\t')
        rc_text_put(t, "<i>\xe2\x86\xa6</i>"); /* U+21A6 */
    else if (c == ' ')
        rc_text_put(t, "<i>\xc2\xb7</i>"); /* U+00B7 */
    else
        put_xml(t, c, bytes, n);
}

static void put_running(rc_text *t, uint32_t c, const char *bytes, size_t n)
{
    if (c == ' ')
        rc_text_put(t, " ");
    else
        put_token(t, c, bytes, n);
    if (c == '\n')
        rc_text_put(t, "\n");
}

void rc_markup_token(rc_text *t, const char *bytes, size_t len, bool running)
{
    each(t, bytes, len, "\n\t", running ? put_running : put_token);
}
