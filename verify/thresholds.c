/* verify/thresholds.c - see thresholds.h. */
#include "verify/thresholds.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool read_db(rc_word w, double *out)
{
    if (rc_word_is(w, "exact")) {
        *out = INFINITY;
        return true;
    }
    return rc_word_number(w, out);
}

bool rc_thresholds_role(rc_word w, rc_role *out)
{
    for (unsigned r = 0; r < RC_ROLE_COUNT; r++)
        if (rc_word_is(w, rc_role_name((rc_role)r))) {
            *out = (rc_role)r;
            return true;
        }
    return false;
}

static rc_code fail_role(rc_word w, rc_err *err)
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

static rc_code fail_db(rc_word w, rc_err *err)
{
    char shown[48];

    rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "no number of dB, nor 'exact': '%s'",
            rc_escape(shown, sizeof shown, w.at, w.len));
    return RC_E_USAGE;
}

static void set_one(bool *set, double *to, double db, bool keep)
{
    if (!keep || !*set)
        *to = db;
    *set = true;
}

rc_code rc_thresholds_set(rc_thresholds *out, rc_word name, rc_word value, bool keep, rc_err *err)
{
    rc_role role = 0;
    double db;

    if (name.len && !rc_thresholds_role(name, &role))
        return fail_role(name, err);
    if (!read_db(value, &db))
        return fail_db(value, err);
    out->given = true;
    if (name.len)
        set_one(&out->set[role], &out->db[role], db, keep);
    else
        set_one(&out->all_set, &out->all, db, keep);
    return RC_OK;
}

rc_code rc_thresholds_word(rc_thresholds *out, const char *word, rc_err *err)
{
    const rc_word w = rc_word_trim(word, strlen(word));
    const char *equals = memchr(w.at, '=', w.len);
    const size_t left = equals ? (size_t)(equals - w.at) : 0;

    if (!equals)
        return rc_thresholds_set(out, (rc_word){ w.at, 0 }, w, false, err);
    if (left == 0) /* "=3" is no role, and not every role */
        return fail_role((rc_word){ w.at, 0 }, err);
    return rc_thresholds_set(out, rc_word_trim(w.at, left),
                             rc_word_trim(equals + 1, w.len - left - 1), false, err);
}

static rc_code take_line(void *ctx, rc_word name, rc_word value, rc_err *err)
{
    if (name.len == 0)
        return fail_role(name, err);
    return rc_thresholds_set(ctx, name, value, true, err);
}

rc_code rc_thresholds_file(rc_thresholds *out, const char *text, size_t len, rc_err *err)
{
    return rc_settings_read(text, len, "role = dB", take_line, out, err);
}

double rc_thresholds_of(const rc_thresholds *t, rc_role role)
{
    return t->set[role] ? t->db[role] : t->all;
}
