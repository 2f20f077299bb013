/* tests/unit/test_gates.c - gates from words and files, and held against figures. */
#include "verify/gates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

static rc_code set(rc_gates *g, rc_gate_kind kind, const char *value)
{
    rc_err err;

    return rc_gates_set(g, kind, value, true, &err);
}

static void test_gates_values(void **state)
{
    static const struct {
        const char *text;
        double share, number; /* as min-top1, as max-kl; negative: refused */
    } values[] = {
        { "0.98", 0.98, 0.98 }, { "98%", 0.98, -1 },  { " 98 % ", 0.98, -1 }, { "100%", 1, -1 },
        { "1", 1, 1 },          { "0", 0, 0 },        { "1e-3", 1e-3, 1e-3 }, { "98", -1, 98 },
        { "101%", -1, -1 },     { "1.01", -1, 1.01 }, { "-1", -1, -1 },       { "-1%", -1, -1 },
        { "", -1, -1 },         { "%", -1, -1 },      { "nan", -1, -1 },      { "inf", -1, -1 },
        { "0x1", -1, -1 },      { "1 2", -1, -1 },    { "1e999", -1, -1 },    { "98%%", -1, -1 },
        { "exact", -1, -1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        rc_gates g = RC_GATES_NONE;
        const rc_code share = set(&g, RC_GATE_TOP1, values[i].text);
        const rc_code number = set(&g, RC_GATE_KL, values[i].text);
        assert_int_equal(share, values[i].share < 0 ? RC_E_USAGE : RC_OK);
        assert_int_equal(number, values[i].number < 0 ? RC_E_USAGE : RC_OK);
        assert_true(g.set[RC_GATE_TOP1] == (share == RC_OK) &&
                    g.set[RC_GATE_KL] == (number == RC_OK));
        assert_true(share != RC_OK || g.bound[RC_GATE_TOP1] == values[i].share);
        assert_true(number != RC_OK || g.bound[RC_GATE_KL] == values[i].number);
        assert_true(rc_gates_any(&g) == (share == RC_OK || number == RC_OK));
    }
}

static void test_gates_file(void **state)
{
    static const char file[] = "# a conversion to be proud of\n\n"
                               "max-kl = 0.01\r\n"
                               "  max-kl-p99=0.2 # nats\n"
                               "min-top1 = 98%\n"
                               "max-ppl-ratio = 1.01\n"
                               "min-sqnr = 20\n"
                               "min-sqnr\texpert = 12\n"
                               "norm = exact";
    static const char twice[] = "max-kl = 1\nmin-top1 = 0.5\nmax-kl = 1\n";
    rc_gates g = RC_GATES_NONE;
    rc_err err;

    (void)state;
    assert_int_equal(set(&g, RC_GATE_KL_P99, "0.3"), RC_OK);
    assert_int_equal(rc_thresholds_word(&g.sqnr, "norm=30", &err), RC_OK);
    assert_int_equal(rc_gates_file(&g, file, sizeof file - 1, &err), RC_OK);
    assert_true(g.bound[RC_GATE_KL] == 0.01);
    assert_true(g.bound[RC_GATE_KL_P99] == 0.3); /* the command line wins */
    assert_true(g.bound[RC_GATE_TOP1] == 0.98 && g.bound[RC_GATE_PPL_RATIO] == 1.01);
    assert_true(rc_thresholds_of(&g.sqnr, RC_ROLE_EXPERT) == 12);
    assert_true(rc_thresholds_of(&g.sqnr, RC_ROLE_NORM) == 30);
    assert_true(rc_thresholds_of(&g.sqnr, RC_ROLE_HEAD) == 20);
    assert_int_equal(rc_gates_set(&g, RC_GATE_KL, "7", false, &err), RC_OK);
    assert_true(g.bound[RC_GATE_KL] == 0.01);
    assert_int_equal(rc_gates_set(&g, RC_GATE_KL, "7", true, &err), RC_OK);
    assert_true(g.bound[RC_GATE_KL] == 7);
    g = RC_GATES_NONE;
    assert_int_equal(rc_gates_file(&g, twice, sizeof twice - 1, &err), RC_E_USAGE);
}

/* min-sqnr on the command line, for every role, against the file's. */
static void test_gates_sqnr_of_all(void **state)
{
    static const char file[] = "min-sqnr = 20\nexpert = 12\n";
    rc_gates g = RC_GATES_NONE;
    rc_err err;

    (void)state;
    assert_int_equal(rc_thresholds_word(&g.sqnr, "30", &err), RC_OK);
    assert_int_equal(rc_gates_file(&g, file, sizeof file - 1, &err), RC_OK);
    assert_true(rc_thresholds_of(&g.sqnr, RC_ROLE_HEAD) == 30);
    assert_true(rc_thresholds_of(&g.sqnr, RC_ROLE_EXPERT) == 12);
    assert_true(g.sqnr.given && !rc_gates_any(&g));
}

static void test_gates_file_errors(void **state)
{
    static const struct {
        const char *text, *line, *says;
    } bad[] = {
        { "max-kl", "line 1", "not 'gate = bound'" },
        { "\n#\n = 3", "line 3", "no such gate, nor a role: ''" },
        { "max-kl = 1\nmax-kld = 2", "line 2", "no such gate, nor a role: 'max-kld'" },
        { "min-top1 = 98", "line 1", "a share above 1: '98'" },
        { "max-kl = 1%", "line 1", "no number from 0 up: '1%'" },
        { "max-kl =", "line 1", "no number from 0 up: ''" },
        { "min-sqnr = good", "line 1", "no number of dB, nor 'exact': 'good'" },
        { "min-sqnr experts = 1", "line 1", "no such role: 'experts'" },
        { "min-sqnrexpert = 1", "line 1", "no such gate, nor a role: 'min-sqnrexpert'" },
        { "max-kl = 1 = 2", "line 1", "no number from 0 up: '1 = 2'" },
        { "max-kl\x01 = 1", "line 1", "no such gate, nor a role: 'max-kl\\x01'" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rc_gates g = RC_GATES_NONE;
        rc_err err;
        assert_int_equal(rc_gates_file(&g, bad[i].text, strlen(bad[i].text), &err), RC_E_USAGE);
        assert_string_equal(err.msg, bad[i].says);
        assert_string_equal(err.got, bad[i].line);
        assert_string_equal(err.want, "a line 'gate = bound'");
    }
    for (unsigned k = 0; k < RC_GATE_KINDS; k++) { /* the hint names them all */
        rc_gates g = RC_GATES_NONE;
        rc_err err;
        assert_int_equal(rc_gates_file(&g, "x=1", 3, &err), RC_E_USAGE);
        assert_non_null(strstr(err.hint, rc_gate_name((rc_gate_kind)k)));
        assert_non_null(strstr(err.hint, "min-sqnr ROLE"));
    }
}

/* Not terminated: nothing past `len` is read. */
static void test_gates_file_length(void **state)
{
    const char text[] = { 'm', 'a', 'x', '-', 'k', 'l', '=', '2', '5' };
    rc_gates g = RC_GATES_NONE;
    rc_err err;

    (void)state;
    assert_int_equal(rc_gates_file(&g, text, 8, &err), RC_OK);
    assert_true(g.bound[RC_GATE_KL] == 2);
    assert_int_equal(rc_gates_file(&g, text, 0, &err), RC_OK);
}

static void test_gates_hold(void **state)
{
    rc_behaviour b = { .positions = 100,
                       .kl = { 0.01, 0.001 },
                       .kl_p99 = 0.25,
                       .same_top = { 0.97, 0.01 },
                       .ppl_ratio = { 1.02, 0.1 } };
    rc_gates g = RC_GATES_NONE;
    rc_gate_result r[RC_GATE_KINDS];

    (void)state;
    assert_int_equal(rc_gates_hold(&g, &b, r), 0);
    assert_int_equal(set(&g, RC_GATE_PPL_RATIO, "1.01"), RC_OK);
    assert_int_equal(set(&g, RC_GATE_KL, "0.01"), RC_OK);
    assert_int_equal(set(&g, RC_GATE_TOP1, "98%"), RC_OK);
    assert_int_equal(rc_gates_hold(&g, &b, r), 3);
    assert_true(r[0].kind == RC_GATE_KL && r[0].passes && r[0].bound == 0.01 &&
                r[0].measured == 0.01);
    assert_true(r[1].kind == RC_GATE_TOP1 && !r[1].passes && r[1].measured == 0.97);
    assert_true(r[2].kind == RC_GATE_PPL_RATIO && !r[2].passes && r[2].bound == 1.01);
    b.same_top.value = 0.98;
    b.ppl_ratio.value = 0.5; /* better than NATIVE */
    assert_int_equal(set(&g, RC_GATE_KL_P99, "0.2"), RC_OK);
    assert_int_equal(rc_gates_hold(&g, &b, r), 4);
    assert_true(r[0].passes && !r[1].passes && r[2].passes && r[3].passes);
    b.kl.value = (double)NAN;
    assert_int_equal(rc_gates_hold(&g, &b, r), 4);
    assert_false(r[0].passes);
    b.kl.value = 0;
    b.broken = 1;
    assert_int_equal(rc_gates_hold(&g, &b, r), 4);
    assert_false(r[0].passes || r[1].passes || r[2].passes || r[3].passes);
    b = (rc_behaviour){ .positions = 0 };
    assert_int_equal(rc_gates_hold(&g, &b, r), 4);
    assert_false(r[0].passes || r[1].passes || r[2].passes || r[3].passes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gates_values),      cmocka_unit_test(test_gates_file),
        cmocka_unit_test(test_gates_sqnr_of_all), cmocka_unit_test(test_gates_file_errors),
        cmocka_unit_test(test_gates_file_length), cmocka_unit_test(test_gates_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
