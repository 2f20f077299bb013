/* tests/unit/test_splitter.c - where text is cut; tests/oracle/check_bpe.py compares whole
 * tokenizations with the `tokenizers` library. */
#include "fixture.h"

#include "formats/splitter.h"

typedef struct pieces {
    char text[4096]; /* with '|' between */
    size_t n, stop;  /* stop: fail at that piece; 0: never */
} pieces;

static rc_code on_piece(void *ctx, const char *piece, size_t len, rc_err *err)
{
    pieces *p = ctx;

    assert_true(len > 0);
    if (++p->n == p->stop)
        return rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "enough");
    strcat(p->text, p->n > 1 ? "|" : "");
    strncat(p->text, piece, len);
    return RC_OK;
}

static void expect_with(bool jit, const char *text, const char *want)
{
    rc_mem mem = { 0 };
    rc_err err = { 0 };
    pieces p = { 0 };
    rc_splitter *s;
    char *exact = malloc(strlen(text) + 1); /* without a NUL behind: a sanitizer sees overruns */

    memcpy(exact, text, strlen(text));
    assert_int_equal(rc_splitter_new(&s, jit, &mem, &err), RC_OK);
    assert_int_equal(rc_splitter_run(s, exact, strlen(text), on_piece, &p, &err), RC_OK);
    assert_string_equal(p.text, want);
    rc_splitter_free(&s);
    assert_null(s);
    assert_int_equal(mem.used, 0);
    free(exact);
}

static void test_splitter_cuts(void **state)
{
    static const char *const cases[][2] = {
        { "", "" },
        { "a", "a" },
        { "1234", "123|4" },
        { "don't", "don|'t" },
        { "a  b", "a| | b" },
        { "a  1", "a|  |1" },
        { "!!hello", "!!|hello" },
        { "a.b.c", "a|.b|.c" },
        { ">;\n", ">;\n" },
        { "  x \n\n y  ", " | x| \n\n| y|  " },
        { "x=1;\r\ny", "x|=|1|;\r\n|y" },
        { "12\xc2\xbd\xe2\x85\xa7", "12\xc2\xbd|\xe2\x85\xa7" }, /* digits of any kind */
        { "abc龥龦の・a", "abc|龥|龦|の|・|a" }, /* U+9FA5 is the last in the class */
        { "é́x", "é́x" },                          /* a mark goes with letters */
        { "\xe2\x80\x8bx", "\xe2\x80\x8bx" },    /* U+200B: neither */
        { "a\xc2\xa0 \xe3\x80\x80\x62", "a|\xc2\xa0 |\xe3\x80\x80\x62" },
        { "a\xe1\xa0\x8e\xe1\xa0\x8e\x62",
          "a|\xe1\xa0\x8e|\xe1\xa0\x8e\x62" },             /* U+180E: no space */
        { " \xf0\x9f\xa9\xb7!x", " \xf0\x9f\xa9\xb7!|x" }, /* a symbol since Unicode 15 */
        { "\x01\x02x\x1fy", "\x01|\x02x|\x1fy" },
        { "#include <a.h>", "#include| <|a|.h|>" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_with(true, cases[i][0], cases[i][1]);
        expect_with(false, cases[i][0], cases[i][1]);
    }
}

typedef struct sum {
    size_t n, bytes;
} sum;

static rc_code add_up(void *ctx, const char *piece, size_t len, rc_err *err)
{
    sum *s = ctx;

    (void)piece;
    (void)err;
    s->n++;
    s->bytes += len;
    return RC_OK;
}

/* What makes an expression look at the same text again and again; none may pass PCRE2's limits. */
static void test_splitter_takes_long_runs(void **state)
{
    static const char *const runs[] = { " ", "\n", " \n",  "a",  "1",  "!",
                                        "é", "の", "\x01", "a ", " !", "\t\r" };
    enum { N = 300000 };
    char *text = malloc(3 * N + 8);

    (void)state;
    for (size_t i = 0; i < 2 * sizeof runs / sizeof *runs; i++) {
        const char *run = runs[i / 2];
        rc_mem mem = { 0 };
        rc_err err = { 0 };
        rc_splitter *s;
        size_t n = 0;
        sum got = { 0 };

        while (n < N) {
            memcpy(text + n, run, strlen(run));
            n += strlen(run);
        }
        text[n++] = 'x';
        assert_int_equal(rc_splitter_new(&s, i % 2, &mem, &err), RC_OK);
        if (rc_splitter_run(s, text, n, add_up, &got, &err) != RC_OK)
            fail_msg("%zu: %s", i, err.msg);
        assert_int_equal(got.bytes, n);
        rc_splitter_free(&s);
    }
    free(text);
}

static void test_splitter_passes_errors_on(void **state)
{
    rc_mem mem = { 0 };
    rc_err err = { 0 };
    pieces p = { .stop = 3 };
    rc_splitter *s;

    (void)state;
    assert_int_equal(rc_splitter_new(&s, true, &mem, &err), RC_OK);
    assert_int_equal(rc_splitter_run(s, "a b c d", 7, on_piece, &p, &err), RC_E_DATA);
    assert_string_equal(err.msg, "enough");
    assert_int_equal(p.n, 3);
    rc_splitter_free(&s);
}

static void test_splitter_without_memory(void **state)
{
    (void)state;
    for (size_t at = 1; at < 1000; at++) {
        rc_mem mem = { .fail_at = at };
        rc_err err = { 0 };
        sum got = { 0 };
        rc_splitter *s;
        rc_code rc = rc_splitter_new(&s, false, &mem, &err);

        if (rc == RC_OK)
            rc = rc_splitter_run(s, "Hello, world 123", 16, add_up, &got, &err);
        rc_splitter_free(&s);
        assert_int_equal(mem.used, 0);
        if (rc == RC_OK && mem.calls < at)
            return;
        if (mem.calls >= at)
            assert_int_equal(rc, RC_E_OS);
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_splitter_cuts),
        cmocka_unit_test(test_splitter_takes_long_runs),
        cmocka_unit_test(test_splitter_passes_errors_on),
        cmocka_unit_test(test_splitter_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
