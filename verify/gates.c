/* verify/gates.c - see gates.h. */
#include "verify/gates.h"

#include <stdio.h>
#include <string.h>

#define SQNR "min-sqnr"

static const struct {
    const char *name;
    bool least; /* the bound is the least that passes, else the most */
    bool share;
} gates[RC_GATE_KINDS] = {
    [RC_GATE_KL] = { "max-kl", false, false },
    [RC_GATE_KL_P99] = { "max-kl-p99", false, false },
    [RC_GATE_TOP1] = { "min-top1", true, true },
    [RC_GATE_PPL_RATIO] = { "max-ppl-ratio", false, false },
};

const char *rc_gate_name(rc_gate_kind kind)
{
    return gates[kind].name;
}

static bool read_bound(rc_gate_kind kind, rc_word w, double *out)
{
    const bool percent = gates[kind].share && w.len && w.at[w.len - 1] == '%';

    if (!rc_word_number(rc_word_trim(w.at, w.len - percent), out))
        return false;
    if (percent)
        *out /= 100;
    return *out >= 0;
}

static rc_code set_gate(rc_gates *g, rc_gate_kind kind, rc_word value, bool wins, rc_err *err)
{
    char shown[48];
    double bound;

    rc_escape(shown, sizeof shown, value.at, value.len);
    if (!read_bound(kind, value, &bound))
        return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "no number from 0 up: '%s'", shown);
    if (gates[kind].share && bound > 1) {
        rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "a share above 1: '%s'", shown);
        rc_err_hint(err, "write 98%% or 0.98");
        return RC_E_USAGE;
    }
    if (g->set[kind] && !wins)
        return RC_OK;
    g->set[kind] = true;
    g->bound[kind] = bound;
    return RC_OK;
}

rc_code rc_gates_set(rc_gates *g, rc_gate_kind kind, const char *value, bool wins, rc_err *err)
{
    return set_gate(g, kind, rc_word_trim(value, strlen(value)), wins, err);
}

/* "min-sqnr", with *role empty, or "min-sqnr ROLE". */
static bool is_sqnr(rc_word name, rc_word *role)
{
    const size_t n = strlen(SQNR);

    if (name.len < n || memcmp(name.at, SQNR, n) != 0)
        return false;
    *role = rc_word_trim(name.at + n, name.len - n);
    return role->len < name.len - n || name.len == n; /* a blank between them */
}

static rc_code fail_name(rc_word name, rc_err *err)
{
    char shown[48], names[80] = "";

    rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "no such gate, nor a role: '%s'",
            rc_escape(shown, sizeof shown, name.at, name.len));
    for (unsigned k = 0; k < RC_GATE_KINDS; k++) {
        const size_t used = strlen(names);

        snprintf(names + used, sizeof names - used, "%s ", gates[k].name);
    }
    rc_err_hint(err, "gates: %s" SQNR " '" SQNR " ROLE'", names);
    return RC_E_USAGE;
}

/* A file, and what its lines have set so far. */
typedef struct file {
    rc_gates *gates;
    bool kind[RC_GATE_KINDS], role[RC_ROLE_COUNT + 1]; /* the last: of all roles */
} file;

/* Of two bounds for one thing nobody knows which was meant. */
static rc_code once(bool *seen, rc_word name, rc_err *err)
{
    char shown[48];

    if (*seen)
        return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "'%s' has a bound already",
                       rc_escape(shown, sizeof shown, name.at, name.len));
    *seen = true;
    return RC_OK;
}

static rc_code take_line(void *ctx, rc_word name, rc_word value, rc_err *err)
{
    file *f = ctx;
    rc_word role;
    rc_role known;

    for (unsigned k = 0; k < RC_GATE_KINDS; k++)
        if (rc_word_is(name, gates[k].name)) {
            RC_TRY(once(&f->kind[k], name, err));
            return set_gate(f->gates, (rc_gate_kind)k, value, false, err);
        }
    if (!is_sqnr(name, &role)) {
        if (!rc_thresholds_role(name, &known))
            return fail_name(name, err);
        role = name;
    }
    if (role.len == 0 ||
        rc_thresholds_role(role, &known)) /* else the next line says what is wrong */
        RC_TRY(once(&f->role[role.len ? (size_t)known : RC_ROLE_COUNT], name, err));
    return rc_thresholds_set(&f->gates->sqnr, role, value, true, err);
}

rc_code rc_gates_file(rc_gates *g, const char *text, size_t len, rc_err *err)
{
    file f = { .gates = g };

    return rc_settings_read(text, len, "gate = bound", take_line, &f, err);
}

bool rc_gates_any(const rc_gates *g)
{
    for (unsigned k = 0; k < RC_GATE_KINDS; k++)
        if (g->set[k])
            return true;
    return false;
}

static double measured(rc_gate_kind kind, const rc_behaviour *b)
{
    switch (kind) {
    case RC_GATE_KL:
        return b->kl.value;
    case RC_GATE_KL_P99:
        return b->kl_p99;
    case RC_GATE_TOP1:
        return b->same_top.value;
    default:
        return b->ppl_ratio.value;
    }
}

size_t rc_gates_hold(const rc_gates *g, const rc_behaviour *b, rc_gate_result out[RC_GATE_KINDS])
{
    const bool sound = b->positions > 0 && b->broken == 0;
    size_t n = 0;

    for (unsigned k = 0; k < RC_GATE_KINDS; k++) {
        const double value = measured((rc_gate_kind)k, b), bound = g->bound[k];

        if (g->set[k])
            out[n++] = (rc_gate_result){ .kind = (rc_gate_kind)k,
                                         .bound = bound,
                                         .measured = value,
                                         .passes = sound && (gates[k].least ? value >= bound
                                                                            : value <= bound) };
    }
    return n;
}
