/* tests/unit/test_status.c - error records as one line, whatever the input tried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "formats/base/log.h"
#include "formats/base/status.h"

static void test_status_escape(void **state)
{
    static const struct {
        const char *in;
        size_t len; /* 0 = strlen */
        const char *out;
    } cases[] = {
        { "", 0, "" },
        { "plain name.weight", 0, "plain name.weight" },
        { "a\\b", 0, "a\\\\b" },
        { "a\nb\tc\r", 0, "a\\x0ab\\x09c\\x0d" },
        { "\x1b[31mred", 0, "\\x1b[31mred" },
        { "a\0b", 3, "a\\x00b" },
        { "\x7f", 0, "\\x7f" },
        { "\xc2\x9b", 0, "\\xc2\\x9b" }, /* C1: one-byte escape sequence */
        { "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 0, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "\xe2\x80\xae"
          "txt",
          0, "\\xe2\\x80\\xaetxt" },              /* right-to-left override */
        { "\xe2\x81\xa6", 0, "\\xe2\\x81\\xa6" }, /* isolate */
        { "\xe2\x80\x8b", 0, "\\xe2\\x80\\x8b" }, /* zero-width space */
        { "\xef\xbb\xbf", 0, "\\xef\\xbb\\xbf" },
        { "a\xff", 0, "a\\xff" },
        { "\xc0\xaf", 0, "\\xc0\\xaf" },
        { "\xed\xa0\x80", 0, "\\xed\\xa0\\x80" },
        { "\xe2\x82", 0, "\\xe2\\x82" },
        { "%n%s%x", 0, "%n%s%x" },
    };
    char out[64];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t len = cases[i].len ? cases[i].len : strlen(cases[i].in);

        assert_ptr_equal(rc_escape(out, sizeof out, cases[i].in, len), out);
        assert_string_equal(out, cases[i].out);
    }
}

/* Whatever the room, the result ends in it, and no character is cut in two. */
static void test_status_escape_cuts(void **state)
{
    static const char in[] = "ab\x1b\xe2\x82\xac\\\xff"
                             "cdefghijklmnopq";
    char out[64];

    (void)state;
    for (size_t n = 0; n < sizeof out; n++) {
        memset(out, '#', sizeof out);
        rc_escape(out, n, in, sizeof in - 1);
        for (size_t i = n; i < sizeof out; i++)
            assert_int_equal(out[i], '#');
        if (n)
            assert_true(memchr(out, '\0', n) != NULL);
    }
    rc_escape(out, 9, in, sizeof in - 1);
    assert_string_equal(out, "ab\\x1b..");
    rc_escape(out, 11, in, sizeof in - 1);
    assert_string_equal(out, "ab\\x1b..");
    rc_escape(out, 12, in, sizeof in - 1);
    assert_string_equal(out, "ab\\x1b\xe2\x82\xac..");
}

static void test_status_line(void **state)
{
    char line[1200];
    rc_err err;

    (void)state;
    assert_int_equal(rc_fail(&err, RC_E_DATA, 1482, "data_offsets end past data section"),
                     RC_E_DATA);
    rc_err_want(&err, "<= %d", 65536);
    rc_err_got(&err, "%d", 70000);
    rc_err_tensor(&err, "layers.7.attn.wq_a.weight");
    rc_err_file(&err, "model-00003-of-00046.safetensors");
    assert_string_equal(rc_err_line(&err, line, sizeof line),
                        "model-00003-of-00046.safetensors: layers.7.attn.wq_a.weight: @1482: "
                        "data_offsets end past data section (want <= 65536, got 70000) [data/65]");
    (void)!rc_fail(&err, RC_E_LIMIT, RC_NO_OFFSET, "%s", "too many");
    assert_string_equal(rc_err_line(&err, line, sizeof line), "too many [limit/84]");
    for (size_t n = 1; n < 30; n++) {
        rc_err_line(&err, line, n);
        assert_true(strlen(line) < n);
    }
}

/* The innermost answer stays; a new failure starts afresh; NULL is accepted. */
static void test_status_context(void **state)
{
    rc_err err;

    (void)state;
    (void)!rc_fail(&err, RC_E_DATA, RC_NO_OFFSET, "x");
    rc_err_file(&err, "inner");
    rc_err_file(&err, "outer");
    rc_err_tensor(&err, "a\x1b%n");
    rc_err_tensor(&err, "b");
    rc_err_offset(&err, 5);
    rc_err_offset(&err, 6);
    rc_err_hint(&err, "one");
    rc_err_hint(&err, "two");
    assert_string_equal(err.file, "inner");
    assert_string_equal(err.tensor, "a\\x1b%n");
    assert_int_equal(err.offset, 5);
    assert_string_equal(err.hint, "one");
    (void)!rc_fail(&err, RC_E_IO, 7, "y");
    assert_string_equal(err.file, "");
    assert_string_equal(err.tensor, "");
    assert_string_equal(err.hint, "");
    assert_int_equal(err.code, RC_E_IO);

    assert_int_equal(rc_fail(NULL, RC_E_DATA, 0, "x"), RC_E_DATA);
    assert_int_equal(rc_fail_errno(NULL, ENOSPC, "x"), RC_E_NOSPACE);
    rc_err_file(NULL, "a");
    rc_err_tensor(NULL, "a");
    rc_err_offset(NULL, 1);
    rc_err_want(NULL, "a");
    rc_err_got(NULL, "a");
    rc_err_hint(NULL, "a");
}

static void test_status_long_parts_are_cut(void **state)
{
    char line[2000], longest[5000];
    rc_err err;

    (void)state;
    memset(longest, '\x1b', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    (void)!rc_fail(&err, RC_E_DATA, 1, "%s", longest);
    rc_err_file(&err, longest);
    rc_err_tensor(&err, longest);
    rc_err_want(&err, "%s", longest);
    rc_err_got(&err, "%s", longest);
    rc_err_hint(&err, "%s", longest);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    assert_string_equal(err.tensor + strlen(err.tensor) - 2, "..");
    rc_err_line(&err, line, sizeof line);
    assert_non_null(strstr(line, "[data/65]"));
}

static void test_status_errno(void **state)
{
    static const struct {
        int errnum;
        rc_code code;
    } cases[] = {
        { ENOSPC, RC_E_NOSPACE }, { EDQUOT, RC_E_NOSPACE },  { EFBIG, RC_E_NOSPACE },
        { EACCES, RC_E_DENIED },  { EPERM, RC_E_DENIED },    { EROFS, RC_E_DENIED },
        { ENOENT, RC_E_NOINPUT }, { ENOTDIR, RC_E_NOINPUT }, { ENOMEM, RC_E_OS },
        { EMFILE, RC_E_OS },      { ENFILE, RC_E_OS },       { EAGAIN, RC_E_OS },
        { EIO, RC_E_IO },         { 99999, RC_E_IO },        { ELOOP, RC_E_CANTCREATE },
    };
    rc_err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(rc_fail_errno(&err, cases[i].errnum, "write %d bytes", 7), cases[i].code);
        assert_int_equal(err.code, cases[i].code);
        assert_true(strncmp(err.msg, "write 7 bytes: ", 15) == 0 && err.msg[15]);
        assert_true(err.offset == RC_NO_OFFSET);
    }
}

static void test_status_classes(void **state)
{
    static const struct {
        rc_code code;
        const char *class;
        bool again;
    } cases[] = {
        { RC_OK, "ok", false },
        { RC_E_DATA, "data", false },
        { RC_E_OS, "os", true },
        { RC_E_TEMPORARY, "temporary", true },
        { RC_E_NOSPACE, "no-space", true },
        { RC_E_TENSORSET, "tensor-set", false },
        { RC_E_RESUME, "resume-mismatch", false },
        { (rc_code)99, "internal", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(rc_code_class(cases[i].code), cases[i].class);
        assert_int_equal(rc_code_resumable(cases[i].code), cases[i].again);
    }
}

static void test_status_arithmetic(void **state)
{
    uint64_t v;

    (void)state;
    assert_true(rc_mul_u64(UINT64_C(1) << 32, (UINT64_C(1) << 32) - 1, &v));
    assert_false(rc_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &v));
    assert_true(rc_add_u64(UINT64_MAX - 1, 1, &v) && v == UINT64_MAX);
    assert_false(rc_add_u64(UINT64_MAX, 1, &v));
    assert_int_equal(rc_ceil_div(0, 128), 0);
    assert_int_equal(rc_ceil_div(1, 128), 1);
    assert_int_equal(rc_ceil_div(128, 128), 1);
    assert_true(rc_ceil_div(UINT64_MAX, 2) == UINT64_C(1) << 63);
}

static void collect(void *ctx, const rc_err *w)
{
    *(rc_err *)ctx = *w;
}

static void test_status_warning(void **state)
{
    rc_err got = { 0 };
    const rc_log log = { .warn = collect, .ctx = &got }, silent = { 0 };

    (void)state;
    rc_warn(NULL, "f", "t", 1, "x");
    rc_warn(&silent, "f", "t", 1, "x");
    rc_warn(&log, "f\n", NULL, 12, "%d spaces", 3);
    assert_string_equal(got.file, "f\\x0a");
    assert_string_equal(got.tensor, "");
    assert_string_equal(got.msg, "3 spaces");
    assert_int_equal(got.offset, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_escape),
        cmocka_unit_test(test_status_escape_cuts),
        cmocka_unit_test(test_status_line),
        cmocka_unit_test(test_status_context),
        cmocka_unit_test(test_status_long_parts_are_cut),
        cmocka_unit_test(test_status_errno),
        cmocka_unit_test(test_status_classes),
        cmocka_unit_test(test_status_arithmetic),
        cmocka_unit_test(test_status_warning),
    };

    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
