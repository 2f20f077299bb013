/* tests/unit/test_json.c - what is JSON, where it stops being JSON, and both ways of writing it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/json.h"

/* Events as text: each as TYPE[text]@offset/depth. */
typedef struct trace {
    char text[4096];
    size_t at;
    size_t events;
    size_t stop_after; /* refuse this event; 0 = never */
} trace;

static rc_code record(void *ctx, const rc_json_event *ev, rc_err *err)
{
    static const char types[] = "{}[]ksntf0";
    trace *t = ctx;

    t->events++;
    if (t->at < sizeof t->text - 200) {
        t->at += (size_t)snprintf(t->text + t->at, sizeof t->text - t->at, "%c", types[ev->type]);
        if (ev->type == RC_JSON_KEY || ev->type == RC_JSON_STRING || ev->type == RC_JSON_NUMBER)
            t->at += (size_t)snprintf(t->text + t->at, sizeof t->text - t->at, "<%.*s>",
                                      (int)(ev->len < 60 ? ev->len : 60), ev->text);
        t->at += (size_t)snprintf(t->text + t->at, sizeof t->text - t->at, "%d/%u ",
                                  (int)ev->offset, ev->depth);
    }
    if (t->events == t->stop_after)
        return rc_fail(err, RC_E_LIMIT, ev->offset, "stop here");
    return RC_OK;
}

static rc_code parse_n(const char *text, size_t len, trace *t, rc_err *err)
{
    rc_mem mem = { 0 };
    uint8_t *exact = malloc(len ? len : 1); /* so that a sanitizer sees one byte too far */
    rc_code rc;

    memcpy(exact, text, len);
    memset(t, 0, sizeof *t);
    memset(err, 0, sizeof *err);
    rc = rc_json_parse(exact, len, 0, record, t, &mem, err);
    free(exact);
    assert_int_equal(mem.used, 0);
    return rc;
}

static void test_json_events(void **state)
{
    static const struct {
        const char *text, *events;
    } cases[] = {
        { "{}", "{0/0 }1/0 " },
        { " [ ] ", "[1/0 ]3/0 " },
        { "12", "n<12>0/0 " },
        { "  -0.5e+10", "n<-0.5e+10>2/0 " },
        { "true\n", "t0/0 " },
        { "\"a\\u0041\\n\"", "s<aA\n>0/0 " },
        { "{\"a\" : [1,\t2 , \"x\" ],\r\n \"b\":{\"c\":null}}",
          "{0/0 k<a>1/1 [7/1 n<1>8/2 n<2>11/2 s<x>15/2 ]19/1 k<b>24/1 {28/1 k<c>29/2 033/2 }37/1 "
          "}38/0 " },
        { "[false,true]", "[0/0 f1/1 t7/1 ]11/0 " },
        { "[\"\\ud83d\\ude00\",\"\xf0\x9f\x98\x80\"]",
          "[0/0 s<\xf0\x9f\x98\x80>1/1 s<\xf0\x9f\x98\x80>16/1 ]22/0 " },
        { "[1e400,123456789012345678901234567890]",
          "[0/0 n<1e400>1/1 n<123456789012345678901234567890>7/1 ]37/0 " },
        { "{\"a\":{\"a\":1},\"b\":{\"a\":1}}", "{0/0 k<a>1/1 {5/1 k<a>6/2 n<1>10/2 }11/1 k<b>13/1 "
                                               "{17/1 k<a>18/2 n<1>22/2 }23/1 }24/0 " },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        trace t;
        rc_err err;

        assert_int_equal(parse_n(cases[i].text, strlen(cases[i].text), &t, &err), RC_OK);
        assert_string_equal(t.text, cases[i].events);
    }
}

/* Print the text with a caret under the byte, so that a failure shows itself. */
static void show(const char *text, size_t len, uint64_t want, const rc_err *err)
{
    char line[200];

    rc_escape(line, sizeof line, text, len > 40 ? 40 : len);
    print_error("%s\n  want offset %d, got %d: %s\n", line, (int)want, (int)err->offset, err->msg);
}

typedef struct bad_case {
    const char *text;
    size_t len; /* 0 = strlen */
    uint64_t offset;
    const char *says;
} bad_case;

static const bad_case bad_cases[] = {
    { "", 0, 0, "empty" },
    { "  \n", 0, 3, "too early" },
    { "{", 0, 1, "too early" },
    { "[1,", 0, 3, "too early" },
    { "{\"a\":", 0, 5, "too early" },
    { "[tru", 0, 4, "too early" },
    { "[12", 0, 3, "too early" },
    { "-", 0, 1, "too early" },
    { "\"abc", 0, 4, "too early" },
    { "[\"a\\", 0, 4, "too early" },
    { "[\"a\\u12", 0, 7, "too early" },
    { "[\"\\ud800", 0, 8, "too early" },
    { "[\"\\ud800\\", 0, 9, "too early" },
    { "[\"\\ud800\\u", 0, 10, "too early" },
    { "[\"\\ud800\\udc0", 0, 13, "too early" },
    { "[\"\xf0\x9f", 0, 4, "too early" },
    { "{}x", 0, 2, "trailing" },
    { "{} {", 0, 3, "trailing" },
    { "{}\0", 3, 2, "control character" },
    { "1 2", 0, 2, "trailing" },
    { "[1],", 0, 3, "trailing" },
    { "[1,]", 0, 3, "unallowed" },
    { "[,1]", 0, 1, "unallowed" },
    { "{\"a\":1,}", 0, 7, "key" },
    { "{\"a\":1,,}", 0, 7, "key" },
    { "{\"a\" 1}", 0, 5, "colon" },
    { "{\"a\",1}", 0, 4, "colon" },
    { "{1:2}", 0, 1, "key" },
    { "{'a':2}", 0, 1, "invalid char" },
    { "[1 2]", 0, 3, "','" },
    { "[\"a\" \"b\"]", 0, 5, "','" },
    { "[}", 0, 1, "unallowed" },
    { "{\"a\":1]", 0, 6, "'}'" },
    /* numbers: A37 */
    { "[+1]", 0, 1, "" },
    { "[01]", 0, 2, "" },
    { "[1_0]", 0, 2, "" },
    { "[0x10]", 0, 2, "" },
    { "[.5]", 0, 1, "" },
    { "[1.]", 0, 3, "" },
    { "[1.e5]", 0, 3, "" },
    { "[1e]", 0, 3, "" },
    { "[1e+]", 0, 4, "" },
    { "[-]", 0, 2, "" },
    { "[--1]", 0, 2, "" },
    { "[NaN]", 0, 1, "" },
    { "[Infinity]", 0, 1, "" },
    { "[nul]", 0, 4, "" },
    { "[nullx]", 0, 5, "" },
    { "[True]", 0, 1, "" },
    { "[/*x*/1]", 0, 1, "" },
    { "[1//x\n]", 0, 2, "" },
    /* white space that YAJL would take */
    { "[1,\v2]", 0, 3, "control character" },
    { "[1,\f2]", 0, 3, "control character" },
    { "[1,\xc2\xa0 2]", 0, 3, "invalid char" },
    /* encodings: A07, A10, A11, B16 */
    { "\xef\xbb\xbf{}", 0, 0, "byte order mark" },
    { "\xff\xfe{\0}\0", 6, 0, "UTF-16" },
    { "{\0}\0", 4, 1, "control character" },
    { "[\"a\xff\"]", 0, 3, "invalid UTF-8 in a string: \"a\\xff" },
    { "[\"\xc0\x80\"]", 0, 2, "invalid UTF-8" },
    { "[\"\xed\xa0\x80\"]", 0, 2, "invalid UTF-8" },
    { "[\"\xf4\x90\x80\x80\"]", 0, 2, "invalid UTF-8" },
    { "[\"\xe2\x82\"]", 0, 2, "invalid UTF-8" },
    { "[\xff]", 0, 1, "invalid UTF-8" },
    { "[\"\\ud800\"]", 0, 2, "lone surrogate" },
    { "[\"\\ud800\\n\"]", 0, 2, "lone surrogate" },
    { "[\"\\ud800\\ud800\"]", 0, 2, "lone surrogate" },
    { "[\"\\ud800\\u0041\"]", 0, 2, "lone surrogate" },
    { "[\"x\\uDFFF\"]", 0, 3, "lone surrogate" },
    { "[\"a\\u0000b\"]", 0, 3, "NUL" },
    { "[\"a\0b\"]", 7, 3, "control character in a string" },
    { "[\"a\nb\"]", 0, 3, "control character in a string" },
    { "[\"\\x41\"]", 0, 3, "escape" },
    { "[\"\\u00g0\"]", 0, 6, "escape" },
    /* the first fault in the text is the one named */
    { "[01,\"\xff\"]", 0, 2, "" },
    { "{\"a\":1,\"a\":\"\\ud800\"}", 0, 7, "duplicate" },
    { "[1,,\"unfinished", 0, 3, "unallowed" },
    /* doubled keys: A12, B14 */
    { "{\"a\":1,\"a\":1}", 0, 7, "duplicate key \"a\", first at byte 1" },
    { "{\"a\":1,\"\\u0061\":1}", 0, 7, "duplicate key \"a\", first at byte 1" },
    { "{\"x\":[{\"\":1,\"b\":2,\"\":3}]}", 0, 18, "duplicate key \"\", first at byte 7" },
    { "{\"a\":{\"b\":1},\"c\":1,\"a\":2}", 0, 19, "duplicate key \"a\", first at byte 1" },
    { "{\"\\u001b[31m\":1,\"\\u001b[31m\":1}", 0, 16, "duplicate key \"\\x1b[31m\"" },
    { "{\"%n%s\":1,\"%n%s\":1}", 0, 10, "duplicate key \"%n%s\"" },
};

static void test_json_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_cases / sizeof *bad_cases; i++) {
        const bad_case *c = &bad_cases[i];
        const size_t len = c->len ? c->len : strlen(c->text);
        trace t;
        rc_err err;
        const rc_code rc = parse_n(c->text, len, &t, &err);

        if (rc != RC_E_DATA || err.offset != c->offset || !strstr(err.msg, c->says))
            show(c->text, len, c->offset, &err);
        assert_int_equal(rc, RC_E_DATA);
        assert_int_equal(err.code, RC_E_DATA);
        assert_int_equal(err.offset, c->offset);
        assert_non_null(strstr(err.msg, c->says));
        assert_null(strchr(err.msg, '\n'));
        assert_null(strchr(err.msg, '\x1b'));
    }
}

static void test_json_base_is_added_to_every_offset(void **state)
{
    rc_mem mem = { 0 };
    rc_err err = { 0 };
    trace t = { .at = 0 };

    (void)state;
    assert_int_equal(rc_json_parse((const uint8_t *)"[1]", 3, 1000, record, &t, &mem, &err), RC_OK);
    assert_string_equal(t.text, "[1000/0 n<1>1001/1 ]1002/0 ");
    assert_int_equal(rc_json_parse((const uint8_t *)"[1,]", 4, 1000, record, &t, &mem, &err),
                     RC_E_DATA);
    assert_int_equal(err.offset, 1003);
    assert_int_equal(rc_json_parse((const uint8_t *)"[1", 2, 1000, record, &t, &mem, &err),
                     RC_E_DATA);
    assert_int_equal(err.offset, 1002);
    assert_int_equal(
        rc_json_parse((const uint8_t *)"{\"a\":1,\"a\":1}", 13, 1000, record, &t, &mem, &err),
        RC_E_DATA);
    assert_int_equal(err.offset, 1007);
    assert_non_null(strstr(err.msg, "first at byte 1001"));
}

/* A34, B29. */
static void test_json_depth(void **state)
{
    static char text[400000];
    trace t;
    rc_err err;

    (void)state;
    memset(text, '[', RC_JSON_MAX_DEPTH);
    memset(text + RC_JSON_MAX_DEPTH, ']', RC_JSON_MAX_DEPTH);
    assert_int_equal(parse_n(text, 2 * RC_JSON_MAX_DEPTH, &t, &err), RC_OK);
    memset(text, '[', RC_JSON_MAX_DEPTH + 1);
    memset(text + RC_JSON_MAX_DEPTH + 1, ']', RC_JSON_MAX_DEPTH + 1);
    assert_int_equal(parse_n(text, 2 * RC_JSON_MAX_DEPTH + 2, &t, &err), RC_E_DATA);
    assert_int_equal(err.offset, RC_JSON_MAX_DEPTH);
    assert_non_null(strstr(err.msg, "512"));
    memset(text, '[', sizeof text);
    assert_int_equal(parse_n(text, sizeof text, &t, &err), RC_E_DATA);
    assert_int_equal(err.offset, RC_JSON_MAX_DEPTH);
    for (size_t i = 0; i + 5 <= sizeof text; i += 5)
        memcpy(text + i, "{\"a\":", 5);
    assert_int_equal(parse_n(text, sizeof text, &t, &err), RC_E_DATA);
    assert_int_equal(err.offset, 5 * RC_JSON_MAX_DEPTH);
}

/* A09, B17: every prefix is refused, at its end. */
static void test_json_cut_at_every_byte(void **state)
{
    static const char text[] =
        "{\"a\\u00e9\\ud83d\\ude00\":[1,-2.5e-3,true,false,null,\"x\\n\xe2\x82\xac\"],\"b\":{}}";
    trace t;
    rc_err err;

    (void)state;
    assert_int_equal(parse_n(text, sizeof text - 1, &t, &err), RC_OK);
    for (size_t n = 0; n < sizeof text - 1; n++) {
        assert_int_equal(parse_n(text, n, &t, &err), RC_E_DATA);
        assert_int_equal(err.offset, n);
    }
}

static void test_json_survives_any_single_byte(void **state)
{
    char text[] =
        "{\"a\\u00e9\\ud83d\\ude00\":[1,-2.5e-3,true,null,\"x\\n\xe2\x82\xac\"],\"b\":{}}";
    trace t;
    rc_err err;

    (void)state;
    for (size_t i = 0; i < sizeof text - 1; i++)
        for (int c = 0; c < 256; c++) {
            const char was = text[i];
            rc_code rc;

            text[i] = (char)c;
            rc = parse_n(text, sizeof text - 1, &t, &err);
            assert_true(rc == RC_OK || (rc == RC_E_DATA && err.offset <= sizeof text - 1));
            text[i] = was;
        }
}

static void test_json_callers_refusal_is_passed_on(void **state)
{
    rc_mem mem = { 0 };
    rc_err err = { 0 };

    (void)state;
    for (size_t k = 1; k <= 8; k++) {
        trace t = { .stop_after = k };
        const char *text = "{\"a\":[1,\"s\"],\"b\":true}";

        assert_int_equal(
            rc_json_parse((const uint8_t *)text, strlen(text), 0, record, &t, &mem, &err),
            RC_E_LIMIT);
        assert_int_equal(t.events, k);
        assert_string_equal(err.msg, "stop here");
        assert_int_equal(mem.used, 0);
    }
}

/* Strings with escapes around every size at which YAJL's buffer doubles: the
 * reserve must hold (it aborts when it does not). */
static void test_json_memory_reserve_holds(void **state)
{
    static char text[70000];
    trace t;
    rc_err err;

    (void)state;
    for (size_t size = 1024; size <= 65536; size *= 2)
        for (size_t n = size - 40; n <= size + 40; n++) {
            text[0] = '[';
            text[1] = '"';
            memset(text + 2, 'a', n);
            memcpy(text + 2, "\\n", 2);
            memcpy(text + 2 + n, "\"]", 2);
            assert_int_equal(parse_n(text, n + 4, &t, &err), RC_OK);
            memcpy(text + n, "\\n", 2);
            assert_int_equal(parse_n(text, n + 4, &t, &err), RC_OK);
            /* cut inside the string, and a document that is one long number */
            assert_int_equal(parse_n(text, n + 1, &t, &err), RC_E_DATA);
            memset(text, '7', n);
            assert_int_equal(parse_n(text, n, &t, &err), RC_OK);
            text[0] = '[';
            assert_int_equal(parse_n(text, n, &t, &err), RC_E_DATA);
            assert_int_equal(err.offset, n);
        }
}

static size_t many_keys(char *text, size_t n)
{
    size_t at = 0;

    text[at++] = '{';
    for (size_t i = 0; i < n; i++)
        at += (size_t)sprintf(text + at, "%s\"key%zu\":{\"a\":%zu,\"b\":{}}", i ? "," : "", i, i);
    text[at++] = '}';
    return at;
}

static void test_json_many_keys(void **state)
{
    char *text = malloc(2000000);
    size_t len = many_keys(text, 20000);
    trace t;
    rc_err err;

    (void)state;
    assert_int_equal(parse_n(text, len, &t, &err), RC_OK);
    assert_int_equal(t.events, 20000 * 8 + 2);
    memcpy(text + len - 1, ",\"key7\":0}", 10);
    assert_int_equal(parse_n(text, len + 9, &t, &err), RC_E_DATA);
    assert_int_equal(err.offset, len);
    assert_non_null(strstr(err.msg, "duplicate key \"key7\""));
    free(text);
}

static void test_json_no_memory(void **state)
{
    char text[8192];
    const size_t len = many_keys(text, 150);
    rc_code rc = RC_E_OS;

    (void)state;
    for (size_t k = 1; rc != RC_OK; k++) {
        rc_mem mem = { .fail_at = k };
        rc_err err = { 0 };
        trace t = { .at = 0 };

        rc = rc_json_parse((const uint8_t *)text, len, 0, record, &t, &mem, &err);
        assert_true(rc == RC_OK || rc == RC_E_OS);
        assert_int_equal(err.code, rc);
        assert_int_equal(mem.used, 0);
        assert_true(k < 100);
    }
}

static void test_json_memory_is_bounded(void **state)
{
    static char text[1000000];
    rc_mem mem = { .limit = 65536 };
    rc_err err = { 0 };
    trace t = { .at = 0 };

    (void)state;
    memset(text, ' ', sizeof text);
    memcpy(text, "{\"a\":[", 6);
    for (size_t i = 6; i + 4 < sizeof text; i += 4)
        memcpy(text + i, "1.5,", 4);
    memcpy(text + sizeof text - 3, "1]}", 3);
    assert_int_equal(rc_json_parse((const uint8_t *)text, sizeof text, 0, record, &t, &mem, &err),
                     RC_OK);
}

static rc_json_event number(const char *text)
{
    return (rc_json_event){ .type = RC_JSON_NUMBER, .text = text, .len = strlen(text) };
}

/* A19, A20, B30. */
static void test_json_numbers(void **state)
{
    static const struct {
        const char *text;
        bool whole;
        uint64_t u64;
        bool finite;
        double f64;
    } cases[] = {
        { "0", true, 0, true, 0 },
        { "18446744073709551615", true, UINT64_MAX, true, 18446744073709551616.0 },
        { "18446744073709551616", false, 0, true, 18446744073709551616.0 },
        { "99999999999999999999999", false, 0, true, 1e23 },
        { "-1", false, 0, true, -1 },
        { "2.0", false, 0, true, 2 },
        { "1e2", false, 0, true, 100 },
        { "0.1", false, 0, true, 0.1 },
        { "1e-20", false, 0, true, 1e-20 },
        { "0.1e-400", false, 0, true, 0 },
        { "1e400", false, 0, false, 0 },
        { "-1e400", false, 0, false, 0 },
        { "4.9e-324", false, 0, true, 4.9e-324 },
    };
    char longest[1100];
    double f;
    uint64_t u;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const rc_json_event ev = number(cases[i].text);

        assert_int_equal(rc_json_u64(&ev, &u), cases[i].whole);
        if (cases[i].whole)
            assert_true(u == cases[i].u64);
        assert_int_equal(rc_json_f64(&ev, &f), cases[i].finite);
        if (cases[i].finite)
            assert_true(f == cases[i].f64);
    }
    {
        const rc_json_event ev = number("-0");

        assert_true(rc_json_f64(&ev, &f) && f == 0 && signbit(f));
    }
    memset(longest, '1', sizeof longest);
    longest[1024] = '\0';
    {
        const rc_json_event ev = number(longest);

        assert_false(rc_json_f64(&ev, &f));
        assert_false(rc_json_u64(&ev, &u));
    }
    {
        const rc_json_event ev = { .type = RC_JSON_STRING, .text = "1", .len = 1 };

        assert_false(rc_json_f64(&ev, &f));
        assert_false(rc_json_u64(&ev, &u));
    }
}

static void write_sample(rc_jsonw *w)
{
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "name", "a\"b\\c\n\x1b/\xe2\x82\xac");
    rc_jsonw_kstr(w, "bad", "x\xff\\");
    rc_jsonw_ku64(w, "big", UINT64_MAX);
    rc_jsonw_key(w, "list");
    rc_jsonw_array(w);
    rc_jsonw_i64(w, INT64_MIN);
    rc_jsonw_f64(w, 0.1);
    rc_jsonw_f64(w, 1e-6);
    rc_jsonw_f64(w, NAN);
    rc_jsonw_bool(w, true);
    rc_jsonw_raw(w, "1.50", 4);
    rc_jsonw_array_end(w);
    rc_jsonw_key(w, "none");
    rc_jsonw_object(w);
    rc_jsonw_object_end(w);
    rc_jsonw_key(w, "empty");
    rc_jsonw_array(w);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

static void test_json_writes(void **state)
{
    rc_mem mem = { 0 };
    rc_jsonw *w = rc_jsonw_new(&mem, 0);
    const char *text;
    size_t len;
    trace t;
    rc_err err;

    (void)state;
    write_sample(w);
    text = rc_jsonw_text(w, &len);
    assert_string_equal(
        text, "{\"name\":\"a\\\"b\\\\c\\n\\u001B/\xe2\x82\xac\",\"bad\":\"x\\\\xff\\\\\\\\\","
              "\"big\":18446744073709551615,\"list\":[-9223372036854775808,0.1,"
              "1e-06,null,true,1.50],\"none\":{},\"empty\":[]}");
    assert_int_equal(len, strlen(text));
    assert_int_equal(parse_n(text, len, &t, &err), RC_OK);
    rc_jsonw_reset(w);
    rc_jsonw_str(w, "again");
    assert_string_equal(rc_jsonw_text(w, NULL), "\"again\"");
    rc_jsonw_free(&w);
    assert_null(w);

    w = rc_jsonw_new(&mem, 2);
    write_sample(w);
    text = rc_jsonw_text(w, &len);
    assert_non_null(strstr(text, "\n  \"list\": [\n    -9223372036854775808,\n"));
    assert_non_null(strstr(text, "\n  \"none\": {},\n  \"empty\": []\n}\n"));
    assert_int_equal(parse_n(text, len, &t, &err), RC_OK);
    rc_jsonw_reset(w);
    rc_jsonw_object(w);
    rc_jsonw_object_end(w);
    assert_string_equal(rc_jsonw_text(w, NULL), "{}\n");
    rc_jsonw_free(&w);
    assert_int_equal(mem.used, 0);
}

/* Shortest text that reads back. */
static void test_json_writes_doubles_exactly(void **state)
{
    rc_mem mem = { 0 };
    rc_jsonw *w = rc_jsonw_new(&mem, 0);
    uint64_t bits = 1;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        double v;
        char *end;

        bits = bits * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        memcpy(&v, &bits, sizeof v);
        if (v - v != 0)
            continue;
        rc_jsonw_reset(w);
        rc_jsonw_f64(w, v);
        assert_true(strtod(rc_jsonw_text(w, NULL), &end) == v && *end == '\0');
    }
    rc_jsonw_free(&w);
}

static void test_json_writer_remembers_misuse(void **state)
{
    rc_mem mem = { 0 };
    rc_jsonw *w = rc_jsonw_new(&mem, 0);

    (void)state;
    rc_jsonw_object(w);
    rc_jsonw_u64(w, 1); /* a number for a key */
    rc_jsonw_object_end(w);
    assert_null(rc_jsonw_text(w, NULL));
    rc_jsonw_reset(w);
    for (int i = 0; i < 1000; i++)
        rc_jsonw_array(w);
    assert_null(rc_jsonw_text(w, NULL));
    rc_jsonw_reset(w);
    rc_jsonw_null(w);
    assert_string_equal(rc_jsonw_text(w, NULL), "null");
    rc_jsonw_null(w);
    assert_null(rc_jsonw_text(w, NULL));
    rc_jsonw_free(&w);
}

static void test_json_writer_no_memory(void **state)
{
    const char *text = NULL;

    (void)state;
    for (size_t k = 1; !text; k++) {
        rc_mem mem = { .fail_at = k };
        rc_jsonw *w = rc_jsonw_new(&mem, 2);

        if (w) {
            for (int i = 0; i < 5; i++) {
                rc_jsonw_reset(w);
                write_sample(w);
            }
            text = rc_jsonw_text(w, NULL);
        }
        rc_jsonw_free(&w);
        assert_int_equal(mem.used, 0);
        assert_true(k < 100);
    }
}

static void test_json_edits(void **state)
{
    static const struct {
        const char *text;
        rc_json_edit edits[3];
        size_t n;
        const char *out;
    } cases[] = {
        { "{}", { { "a", "1" } }, 1, "{\n  \"a\": 1\n}\n" },
        { "{}", { { "a", NULL } }, 1, "{}\n" },
        { " { } ", { { NULL, NULL } }, 0, "{}\n" },
        { "{\"a\":1,\"b\":[1, 2],\"c\":1.50}",
          { { "b", NULL } },
          1,
          "{\n  \"a\":1,\n  \"c\":1.50\n}\n" },
        { "{\"a\":1}", { { "a", NULL } }, 1, "{}\n" },
        { "{\"a\":1 , \"b\" : \"x, \" }",
          { { "a", "{\"z\":0}" }, { "n", "\"new\"" } },
          2,
          "{\n  \"a\": {\"z\":0},\n  \"b\" : \"x, \",\n  \"n\": \"new\"\n}\n" },
        { "{\n  \"x\": 1e-06,\n  \"y\": {\n    \"x\": 10.0\n  }\n}\n",
          { { "x", "2" } },
          1,
          "{\n  \"x\": 2,\n  \"y\": {\n    \"x\": 10.0\n  }\n}\n" },
        { "{\"\\u0061\\\"\":1}", { { "a\"", "2" } }, 1, "{\n  \"\\u0061\\\"\": 2\n}\n" },
        { "{}", { { "q\"\n", "2" } }, 1, "{\n  \"q\\\"\\n\": 2\n}\n" },
        { "{\"a\":1,\"b\":2,\"c\":3}",
          { { "c", NULL }, { "a", NULL }, { "b", "4" } },
          3,
          "{\n  \"b\": 4\n}\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rc_code rc = RC_E_OS;

        for (size_t k = 1; rc != RC_OK; k++) {
            rc_mem mem = { .fail_at = k };
            rc_err err = { 0 };
            char *out;
            size_t len;

            rc = rc_json_edit_root((const uint8_t *)cases[i].text, strlen(cases[i].text),
                                   cases[i].edits, cases[i].n, &out, &len, &mem, &err);
            assert_true(rc == RC_OK || rc == RC_E_OS);
            if (rc == RC_OK) {
                assert_string_equal(out, cases[i].out);
                assert_int_equal(len, strlen(out));
            } else {
                assert_null(out);
            }
            rc_mem_put(&mem, out);
            assert_int_equal(mem.used, 0);
            assert_true(k < 100);
        }
    }
}

static void test_json_edit_refuses(void **state)
{
    static const struct {
        const char *text;
        rc_json_edit edits[2];
        size_t n;
        rc_code code;
    } cases[] = {
        { "[]", { { "a", "1" } }, 1, RC_E_DATA },
        { "1", { { "a", "1" } }, 1, RC_E_DATA },
        { "{\"a\":1", { { "a", "1" } }, 1, RC_E_DATA },
        { "{\"a\":1,\"a\":2}", { { "a", "1" } }, 1, RC_E_DATA },
        { "{}", { { "a", "1,2" } }, 1, RC_E_INTERNAL },
        { "{}", { { "a", "" } }, 1, RC_E_INTERNAL },
        { "{}", { { "a", "1" }, { "a", "2" } }, 2, RC_E_INTERNAL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rc_mem mem = { 0 };
        rc_err err = { 0 };
        char *out;
        size_t len;

        assert_int_equal(rc_json_edit_root((const uint8_t *)cases[i].text, strlen(cases[i].text),
                                           cases[i].edits, cases[i].n, &out, &len, &mem, &err),
                         cases[i].code);
        assert_null(out);
        assert_int_equal(mem.used, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_events),
        cmocka_unit_test(test_json_refuses),
        cmocka_unit_test(test_json_base_is_added_to_every_offset),
        cmocka_unit_test(test_json_depth),
        cmocka_unit_test(test_json_cut_at_every_byte),
        cmocka_unit_test(test_json_survives_any_single_byte),
        cmocka_unit_test(test_json_callers_refusal_is_passed_on),
        cmocka_unit_test(test_json_memory_reserve_holds),
        cmocka_unit_test(test_json_many_keys),
        cmocka_unit_test(test_json_no_memory),
        cmocka_unit_test(test_json_memory_is_bounded),
        cmocka_unit_test(test_json_numbers),
        cmocka_unit_test(test_json_writes),
        cmocka_unit_test(test_json_writes_doubles_exactly),
        cmocka_unit_test(test_json_writer_remembers_misuse),
        cmocka_unit_test(test_json_writer_no_memory),
        cmocka_unit_test(test_json_edits),
        cmocka_unit_test(test_json_edit_refuses),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
