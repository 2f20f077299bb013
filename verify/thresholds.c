/* verify/thresholds.c - see thresholds.h. */
#include "verify/thresholds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r"

/* A piece of the text, without the blanks around it. */
struct word {
    const char *at;
    size_t len;
};

static struct word trimmed(const char *at, size_t len)
{
    while (len && strchr(BLANKS, *at)) {
        at++;
        len--;
    }
    while (len && strchr(BLANKS, at[len - 1]))
        len--;
    return (struct word){ at, len };
}

static bool is(struct word w, const char *s)
{
    return strlen(s) == w.len && memcmp(w.at, s, w.len) == 0;
}

static bool read_db(struct word w, double *out)
{
    char text[32], *end;

    if (is(w, "exact")) {
        *out = INFINITY;
        return true;
    }
    if (w.len == 0 || w.len >= sizeof text || strspn(w.at, "+-.0123456789eE") < w.len)
        return false;
    memcpy(text, w.at, w.len);
    text[w.len] = '\0';
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

static bool read_role(struct word w, rc_role *out)
{
    for (unsigned r = 0; r < RC_ROLE_COUNT; r++)
        if (is(w, rc_role_name((rc_role)r))) {
            *out = (rc_role)r;
            return true;
        }
    return false;
}

static rc_code fail_role(struct word w, rc_err *err)
{
    char shown[48], names[160] = "";

    rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "no such role: '%s'",
            rc_escape(shown, sizeof shown, w.at, w.len));
    for (unsigned r = 0; r < RC_ROLE_COUNT; r++) {
        const size_t used = strlen(names);

        snprintf(names + used, sizeof names - used, "%s%s", r ? " " : "", rc_role_name((rc_role)r));
    }
    rc_err_hint(err, "roles: %s", names);
    return RC_E_USAGE;
}

static rc_code fail_db(struct word w, rc_err *err)
{
    char shown[48];

    rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "no number of dB, nor 'exact': '%s'",
            rc_escape(shown, sizeof shown, w.at, w.len));
    return RC_E_USAGE;
}

/* "role=dB" */
static rc_code read_pair(rc_thresholds *out, struct word w, const char *equals, bool keep,
                         rc_err *err)
{
    const size_t left = (size_t)(equals - w.at);
    const struct word name = trimmed(w.at, left);
    const struct word value = trimmed(equals + 1, w.len - left - 1);
    rc_role role;
    double db;

    if (!read_role(name, &role))
        return fail_role(name, err);
    if (!read_db(value, &db))
        return fail_db(value, err);
    out->given = true;
    if (keep && out->set[role])
        return RC_OK;
    out->set[role] = true;
    out->db[role] = db;
    return RC_OK;
}

rc_code rc_thresholds_word(rc_thresholds *out, const char *word, rc_err *err)
{
    const struct word w = trimmed(word, strlen(word));
    const char *equals = memchr(w.at, '=', w.len);

    if (equals)
        return read_pair(out, w, equals, false, err);
    if (!read_db(w, &out->all))
        return fail_db(w, err);
    out->given = true;
    return RC_OK;
}

rc_code rc_thresholds_file(rc_thresholds *out, const char *text, size_t len, rc_err *err)
{
    const char *end = text + len;

    for (unsigned line = 1; text < end; line++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        const size_t n = (size_t)((stop ? stop : end) - text);
        const char *hash = memchr(text, '#', n);
        const struct word w = trimmed(text, hash ? (size_t)(hash - text) : n);
        const char *equals = memchr(w.at, '=', w.len);
        rc_code rc = RC_OK;

        if (w.len && equals)
            rc = read_pair(out, w, equals, true, err);
        else if (w.len)
            rc = rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "not 'role = dB'");
        if (rc != RC_OK) {
            rc_err_got(err, "line %u", line);
            rc_err_want(err, "a line 'role = dB'");
            return rc;
        }
        text += n + 1;
    }
    return RC_OK;
}

double rc_thresholds_of(const rc_thresholds *t, rc_role role)
{
    return t->set[role] ? t->db[role] : t->all;
}
