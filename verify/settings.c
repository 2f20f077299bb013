/* verify/settings.c - see settings.h. */
#include "verify/settings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r"

static bool is_blank(char c)
{
    return memchr(BLANKS, c, sizeof BLANKS - 1) != NULL;
}

rc_word rc_word_trim(const char *at, size_t len)
{
    while (len && is_blank(*at)) {
        at++;
        len--;
    }
    while (len && is_blank(at[len - 1]))
        len--;
    return (rc_word){ at, len };
}

bool rc_word_is(rc_word w, const char *s)
{
    return strlen(s) == w.len && memcmp(w.at, s, w.len) == 0;
}

bool rc_word_number(rc_word w, double *out)
{
    char text[32], *end;

    if (w.len == 0 || w.len >= sizeof text)
        return false;
    memcpy(text, w.at, w.len);
    text[w.len] = '\0';
    if (strspn(text, "+-.0123456789eE") < w.len)
        return false;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

static rc_code read_line(rc_word line, const char *form, rc_setting_fn *fn, void *ctx, rc_err *err)
{
    const char *equals = line.len ? memchr(line.at, '=', line.len) : NULL;

    if (line.len == 0)
        return RC_OK;
    if (!equals)
        return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "not '%s'", form);
    const size_t left = (size_t)(equals - line.at);
    return fn(ctx, rc_word_trim(line.at, left), rc_word_trim(equals + 1, line.len - left - 1), err);
}

rc_code rc_settings_read(const char *text, size_t len, const char *form, rc_setting_fn *fn,
                         void *ctx, rc_err *err)
{
    const char *end = text + len;

    for (unsigned line = 1; text < end; line++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        const size_t n = (size_t)((stop ? stop : end) - text);
        const char *hash = memchr(text, '#', n);
        const rc_word w = rc_word_trim(text, hash ? (size_t)(hash - text) : n);
        const rc_code rc = read_line(w, form, fn, ctx, err);

        if (rc != RC_OK) {
            rc_err_got(err, "line %u", line);
            rc_err_want(err, "a line '%s'", form);
            return rc;
        }
        text = stop ? stop + 1 : end;
    }
    return RC_OK;
}
