/* tests/unit/test_safetensors.c - headers that lie, one fault at a time (faults A01 to A38). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/safetensors.h"

typedef struct warnings {
    unsigned n;
    char last[300];
} warnings;

static void on_warning(void *ctx, const rc_err *w)
{
    warnings *got = ctx;

    got->n++;
    snprintf(got->last, sizeof got->last, "%s", w->msg);
}

/* A shard whose length field is `n`, then the header text, then `data` zeros. */
typedef struct shard {
    uint8_t *bytes;
    size_t len;
} shard;

static shard make_n(uint64_t n, const char *header, size_t header_len, size_t data)
{
    shard s = { .len = 8 + header_len + data };

    s.bytes = calloc(1, s.len);
    for (int i = 0; i < 8; i++)
        s.bytes[i] = (uint8_t)(n >> (8 * i));
    memcpy(s.bytes + 8, header, header_len);
    return s;
}

static rc_code parse(const uint8_t *head, size_t head_len, uint64_t file_len, rc_err *err,
                     warnings *w)
{
    rc_mem mem = { 0 };
    const rc_log log = { .warn = on_warning, .ctx = w };
    rc_st *st;
    rc_code rc;

    memset(w, 0, sizeof *w);
    memset(err, 0, sizeof *err);
    rc = rc_st_new(&st, head, head_len, file_len, &log, &mem, err);
    if (rc == RC_OK) { /* whatever is accepted tiles the file */
        uint64_t at = rc_st_data_off(st);

        for (size_t i = 0; i < rc_st_count(st); i++) {
            const rc_st_entry *t = rc_st_at(st, i);

            assert_int_equal(t->begin, at);
            at += t->nbytes;
            assert_ptr_equal(rc_st_find(st, t->name), t);
        }
        assert_int_equal(at, file_len);
    } else {
        assert_null(st);
        assert_int_equal(err->code, rc);
    }
    rc_st_free(&st);
    assert_int_equal(mem.used, 0);
    return rc;
}

#define T(name, dtype, shape, begin, end)                                                          \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end \
    "]}"

static const char sound[] =
    "{\"__metadata__\":{\"format\":\"pt\"}," T("b", "F32", "[2,2]", 4, 20) "," T(
        "a", "BF16", "[2]", 0, 4) "," T("scalar", "I64", "[]", 20, 28) "," T("empty", "F8_E4M3",
                                                                             "[0,128]", 20, 20) "}";

static void test_safetensors_reads_a_shard(void **state)
{
    shard s = make_n(sizeof sound - 1, sound, sizeof sound - 1, 28);
    rc_mem mem = { 0 };
    rc_err err = { 0 };
    rc_st *st;
    const rc_st_entry *t;
    uint64_t header_end;

    (void)state;
    assert_int_equal(rc_st_peek(s.bytes, 64, s.len, &header_end, &err), RC_OK);
    assert_int_equal(header_end, 8 + sizeof sound - 1);
    assert_int_equal(rc_st_new(&st, s.bytes, (size_t)header_end, s.len, NULL, &mem, &err), RC_OK);
    free(s.bytes);
    assert_int_equal(rc_st_count(st), 4);
    assert_int_equal(rc_st_data_off(st), header_end);
    assert_string_equal(rc_st_at(st, 0)->name, "a");
    assert_string_equal(rc_st_at(st, 1)->name, "b");
    assert_string_equal(rc_st_at(st, 2)->name, "empty");
    assert_string_equal(rc_st_at(st, 3)->name, "scalar");
    t = rc_st_find(st, "b");
    assert_int_equal(t->dtype, RC_DTYPE_F32);
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[1], 2);
    assert_int_equal(t->begin, header_end + 4);
    assert_int_equal(t->nbytes, 16);
    assert_memory_equal(sound + t->key_offset - 8, "\"b\"", 3);
    assert_int_equal(rc_st_find(st, "scalar")->rank, 0);
    assert_int_equal(rc_st_find(st, "empty")->nbytes, 0);
    assert_null(rc_st_find(st, "c"));
    assert_null(rc_st_find(st, ""));
    assert_null(rc_st_find(st, "__metadata__"));
    rc_st_free(&st);
    assert_null(st);
    assert_int_equal(mem.used, 0);
}

typedef struct header_case {
    const char *header;
    size_t data; /* bytes that follow */
    rc_code code;
    int64_t offset; /* -1: do not care */
    const char *tensor, *says;
} header_case;

static const header_case cases[] = {
    /* accepted */
    { "{}", 0, RC_OK, 0, "", "" },
    { "{}  \n ", 0, RC_OK, 0, "", "" },
    { "{\"__metadata__\":{}}", 0, RC_OK, 0, "", "" },
    { "{" T("a", "F32", "[1]", 0, 4) "}", 4, RC_OK, 0, "", "" },
    { "{" T("a", "I8", "[0]", 0, 0) "}", 0, RC_OK, 0, "", "" },
    { "{" T("a", "I8", "[1,1,1,1,1,1,1,3]", 0, 3) "}", 3, RC_OK, 0, "", "" },
    { "{" T("0a", "I8", "[0]", 2, 2) "," T("1", "I8", "[2]", 2, 4) "," T("2", "I8", "[2]", 0,
                                                                         2) "}",
      4, RC_OK, 0, "", "" },
    /* A07 */
    { "\xef\xbb\xbf{}", 0, RC_E_DATA, 8, "", "JSON object" },
    { "[]", 0, RC_E_DATA, 8, "", "JSON object" },
    { "\n{}", 0, RC_E_DATA, 8, "", "JSON object" },
    { " []", 0, RC_E_DATA, 9, "", "JSON object" },
    { " \t{}", 0, RC_E_DATA, 9, "", "JSON object" },
    { "  ", 0, RC_E_DATA, 10, "", "too early" },
    /* A08, A37 */
    { "{}x", 0, RC_E_DATA, 10, "", "trailing" },
    { "{},{}", 0, RC_E_DATA, 10, "", "trailing" },
    { "{\"a\":{\"shape\":[01]}}", 0, RC_E_DATA, 24, "", "" },
    { "{\"a\":{\"shape\":[1,]}}", 0, RC_E_DATA, 25, "", "" },
    /* A10, A11, A33 */
    { "{\"a\xff\":{}}", 0, RC_E_DATA, 11, "", "\\xff" },
    { "{\"a\\u0000b\":{}}", 0, RC_E_DATA, 11, "", "NUL" },
    { "{\"\\ud83d\":{}}", 0, RC_E_DATA, 10, "", "surrogate" },
    { "{\"\":{}}", 0, RC_E_DATA, 9, "", "empty" },
    { "{\"x\\u001b[2J\\u202e\":5}", 0, RC_E_DATA, 28, "x\\x1b[2J\\xe2\\x80\\xae", "object" },
    { "{\"%n%s\":5}", 0, RC_E_DATA, 16, "%n%s", "object" },
    /* A12 */
    { "{" T("a", "I8", "[1]", 0, 1) "," T("a", "I8", "[1]", 0, 1) "}", 1, RC_E_DATA, 61, "",
      "duplicate key \"a\", first at byte 9" },
    { "{\"a\":{\"dtype\":\"I8\",\"dtype\":\"I8\"}}", 0, RC_E_DATA, 27, "",
      "duplicate key \"dtype\"" },
    /* A13, A14 */
    { "{\"__metadata__\":1}", 0, RC_E_DATA, 24, "", "__metadata__" },
    { "{\"__metadata__\":null}", 0, RC_E_DATA, 24, "", "__metadata__" },
    { "{\"__metadata__\":[]}", 0, RC_E_DATA, 24, "", "__metadata__" },
    { "{\"__metadata__\":{\"a\":1}}", 0, RC_E_DATA, 29, "", "__metadata__" },
    { "{\"__metadata__\":{\"a\":{}}}", 0, RC_E_DATA, 29, "", "__metadata__" },
    { "{" T("__metadata__", "I8", "[1]", 0, 1) "}", 1, RC_E_DATA, -1, "", "__metadata__" },
    { "{\"__metadata__\":{},\"__metadata__\":{}}", 0, RC_E_DATA, 27, "", "duplicate" },
    /* A16 */
    { "{\"a\":5}", 0, RC_E_DATA, 13, "a", "not an object" },
    { "{\"a\":{}}", 0, RC_E_DATA, 13, "a", "dtype is missing" },
    { "{\"a\":{\"dtype\":\"I8\",\"data_offsets\":[0,0]}}", 0, RC_E_DATA, 13, "a",
      "shape is missing" },
    { "{\"a\":{\"dtype\":\"I8\",\"shape\":[0]}}", 0, RC_E_DATA, 13, "a",
      "data_offsets is missing" },
    /* A17, A18 */
    { "{" T("a", "F8_E4M3X", "[1]", 0, 1) "}", 1, RC_E_DATA, 22, "a", "F8_E4M3X" },
    { "{" T("a", "f32", "[1]", 0, 4) "}", 4, RC_E_DATA, 22, "a", "f32" },
    { "{\"a\":{\"dtype\":7}}", 0, RC_E_DATA, 22, "a", "string" },
    { "{\"a\":{\"dtype\":null}}", 0, RC_E_DATA, 22, "a", "string" },
    { "{\"a\":{\"dtype\":[\"F32\"]}}", 0, RC_E_DATA, 22, "a", "string" },
    { "{" T("a", "C64", "[1]", 0, 8) "}", 8, RC_E_UNSUPPORTED, 13, "a", "C64" },
    { "{" T("a", "F6_E2M3", "[4]", 0, 3) "}", 3, RC_E_UNSUPPORTED, 13, "a", "F6_E2M3" },
    { "{" T("a", "F8_E4M3FNUZ", "[1]", 0, 1) "}", 1, RC_E_UNSUPPORTED, 13, "a", "F8_E4M3FNUZ" },
    /* A19, A20, A21 */
    { "{" T("a", "I8", "[1,-1]", 0, 1) "}", 1, RC_E_DATA, -1, "a", "shape[1]" },
    { "{" T("a", "I8", "[2.0]", 0, 1) "}", 1, RC_E_DATA, -1, "a", "shape[0]" },
    { "{" T("a", "I8", "[1e2]", 0, 1) "}", 1, RC_E_DATA, -1, "a", "shape[0]" },
    { "{" T("a", "I8", "[\"1\"]", 0, 1) "}", 1, RC_E_DATA, -1, "a", "shape[0]" },
    { "{" T("a", "I8", "[null]", 0, 1) "}", 1, RC_E_DATA, -1, "a", "shape[0]" },
    { "{" T("a", "I8", "[[1]]", 0, 1) "}", 1, RC_E_DATA, -1, "a", "shape[0]" },
    { "{" T("a", "I8", "[{}]", 0, 1) "}", 1, RC_E_DATA, -1, "a", "shape[0]" },
    { "{" T("a", "I8", "5", 0, 1) "}", 1, RC_E_DATA, -1, "a", "not a list" },
    { "{" T("a", "I8", "{\"x\":1}", 0, 1) "}", 1, RC_E_DATA, -1, "a", "not a list" },
    { "{" T("a", "I8", "[18446744073709551616]", 0, 1) "}", 1, RC_E_DATA, -1, "a", "shape[0]" },
    { "{" T("a", "I8", "[9223372036854775808]", 0, 1) "}", 1, RC_E_DATA, -1, "a", "overflow" },
    { "{" T("a", "I8", "[4294967296,4294967296]", 0, 0) "}", 0, RC_E_DATA, -1, "a", "overflow" },
    { "{" T("a", "F32", "[2305843009213693952]", 0, 0) "}", 0, RC_E_DATA, -1, "a", "overflow" },
    { "{" T("a", "I8", "[18446744073709551615,18446744073709551615,0]", 0, 0) "}", 0, RC_E_DATA, -1,
      "a", "overflow" },
    /* A22, A23 */
    { "{" T("a", "I8", "[3,0]", 0, 1) "}", 1, RC_E_DATA, -1, "a", "do not span" },
    { "{" T("a", "I8", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1, RC_E_DATA, -1, "a", "more than 8" },
    /* A24 */
    { "{" T("a", "I8", "[1]", 1, 0) "}", 1, RC_E_DATA, -1, "a", "end before they begin" },
    { "{" T("a", "I8", "[1]", -1, 0) "}", 1, RC_E_DATA, -1, "a", "data_offsets[0]" },
    { "{" T("a", "I8", "[1]", 0, 1.0) "}", 1, RC_E_DATA, -1, "a", "data_offsets[1]" },
    { "{\"a\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, RC_E_DATA, -1, "a",
      "pair" },
    { "{\"a\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, RC_E_DATA, -1, "a",
      "more than 2" },
    { "{\"a\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":{}}}", 1, RC_E_DATA, -1, "a",
      "not a list" },
    /* A25, A29 */
    { "{" T("a", "I8", "[4]", 0, 5) "}", 4, RC_E_DATA, -1, "a", "past the data section" },
    { "{" T("a", "I8", "[4]", 0, 1099511627780) "}", 4, RC_E_DATA, -1, "a",
      "past the data section" },
    { "{" T("a", "I8", "[4]", 1099511627776, 1099511627780) "}", 4, RC_E_DATA, 9, "a",
      "past the data section" },
    { "{" T("a", "I8", "[4]", 0, 4) "," T("b", "I8", "[4]", 4, 8) "}", 3, RC_E_DATA, 116, "a",
      "ends inside this tensor" },
    { "{" T("a", "I8", "[4]", 0, 4) "," T("b", "I8", "[4]", 4, 8) "}", 4, RC_E_DATA, 117, "b",
      "ends inside this tensor" },
    /* A26, A27, A28 */
    { "{" T("a", "I8", "[4]", 0, 4) "," T("b", "I8", "[4]", 0, 4) "}", 4, RC_E_DATA, 61, "b",
      "overlaps tensor a" },
    { "{" T("a", "I8", "[4]", 0, 4) "," T("b", "I8", "[4]", 3, 7) "}", 7, RC_E_DATA, 61, "b",
      "overlaps tensor a" },
    { "{" T("a", "I8", "[4]", 0, 4) "," T("b", "I8", "[0]", 3, 3) "}", 4, RC_E_DATA, -1, "b",
      "overlaps tensor a" },
    { "{" T("a", "I8", "[4]", 0, 4) "," T("b", "I8", "[2]", 6, 8) "}", 8, RC_E_DATA, 117, "b",
      "bytes 4 to 6" },
    { "{" T("a", "I8", "[4]", 1, 5) "}", 5, RC_E_DATA, 61, "a", "bytes 0 to 1" },
    { "{" T("a", "I8", "[4]", 0, 4) "}", 7, RC_E_DATA, 65, "", "3 bytes after" },
    { "{}", 1, RC_E_DATA, 10, "", "1 bytes after" },
    /* A30, A31 */
    { "{" T("a", "F32", "[2]", 0, 7) "}", 7, RC_E_DATA, -1, "a", "do not span" },
    { "{" T("a", "F32", "[2]", 0, 9) "}", 9, RC_E_DATA, -1, "a", "do not span" },
    { "{" T("a", "F4", "[3]", 0, 1) "}", 1, RC_E_DATA, -1, "a", "whole number of bytes" },
};

static void test_safetensors_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const header_case *c = &cases[i];
        const size_t len = strlen(c->header);
        shard s = make_n(len, c->header, len, c->data);
        rc_err err;
        warnings w;
        const rc_code rc = parse(s.bytes, s.len, s.len, &err, &w);

        if (rc != c->code || (rc && (!strstr(err.msg, c->says) || strcmp(err.tensor, c->tensor) ||
                                     (c->offset >= 0 && err.offset != (uint64_t)c->offset)))) {
            char line[900];

            print_error("%s\n  want @%d, got %s\n", c->header, (int)c->offset,
                        rc ? rc_err_line(&err, line, sizeof line) : "ok");
            fail();
        }
        free(s.bytes);
    }
}

/* want and got, in the words of the message format. */
static void test_safetensors_says_both_numbers(void **state)
{
    static const char text[] = "{" T("a", "F32", "[2]", 0, 9) "}";
    shard s = make_n(sizeof text - 1, text, sizeof text - 1, 9);
    char line[900];
    rc_err err;
    warnings w;

    (void)state;
    assert_int_equal(parse(s.bytes, s.len, s.len, &err, &w), RC_E_DATA);
    assert_string_equal(rc_err_line(&err, line, sizeof line),
                        "a: @55: data_offsets do not span what shape and dtype need "
                        "(want 8 bytes, got 9) [data/65]");
    free(s.bytes);
}

static void test_safetensors_peek(void **state)
{
    /* clang-format off */
    static const struct {
        const char *head; size_t len; uint64_t file_len;
        rc_code code; uint64_t offset; const char *says, *hint;
    } peeks[] = {
        /* A01 */
        { "", 0, 0, RC_E_DATA, 0, "file is 0 bytes, need at least 8", "" },
        { "\2\0\0\0\0\0\0", 7, 7, RC_E_DATA, 0, "file is 7 bytes, need at least 8", "" },
        /* A02 */
        { "\0\0\0\0\0\0\0\0", 8, 8, RC_E_DATA, 8, "not a JSON object", "" },
        { "\1\0\0\0\0\0\0\0{", 9, 9, RC_E_DATA, 8, "not a JSON object", "" },
        { "\2\0\0\0\0\0\0\0{}", 10, 10, RC_OK, 0, "", "" },
        { "\2\0\0\0\0\0\0\0{}", 8, 10, RC_OK, 0, "", "" },
        /* A03, A04, A05 */
        { "\xe8\3\0\0\0\0\0\0{}", 10, 100, RC_E_DATA, 100, "1000 bytes stated, 92", "again" },
        { "\0\0\0\0\0\x20\0\0{}", 10, 100, RC_E_DATA, 0, "35184372088832 bytes, limit 100000000", "" },
        { "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, 100, RC_E_DATA, 0, "18446744073709551615", "" },
        { "\xf8\xff\xff\xff\xff\xff\xff\xff{}", 10, 100, RC_E_DATA, 0, "18446744073709551608", "" },
        { "\0\0\0\0\0\0\0\x80{}", 10, 100, RC_E_DATA, 0, "9223372036854775808", "" },
        { "\1\xe1\xf5\5\0\0\0\0{}", 10, 200000000, RC_E_DATA, 0,
          "header 100000001 bytes, limit 100000000", "" },
        { "\0\xe1\xf5\5\0\0\0\0{}", 10, 100000008, RC_OK, 0, "", "" },
        /* A35 */
        { "\0\0\0\0\0\0\1\0{}", 10, 300, RC_E_DATA, 0, "bytes swapped", "byte order?" },
        /* A36 */
        { "GGUF\3\0\0\0\2\0\0\0\0\0\0\0", 16, 5000, RC_E_DATA, 0, "GGUF", "" },
        { "PK\3\4\x14\0\0\0\0\0", 10, 5000, RC_E_DATA, 0, "zip", ".safetensors" },
        { "\x80\2\x8a\nl\xfc\x9c" "F\xf9 j\xa8P\x19.\x80", 15, 5000, RC_E_DATA, 0, "pickle", "" },
        { "\x80\2\0\0\0\0\0\0[]", 10, 5000, RC_E_DATA, 8, "not a JSON object", "" },
        { "<!DOCTYPE html><html>", 21, 5000, RC_E_DATA, 0, "HTML", "" },
        { "\n\n <html lang=\"en\">", 18, 5000, RC_E_DATA, 0, "HTML", "" },
        { "version https://git-lfs.github.com/spec/v1\noid", 46, 134, RC_E_DATA, 0, "Git LFS", "lfs" },
        { "# xet version 0\nfilesize = 5", 28, 134, RC_E_DATA, 0, "Xet", "" },
        { "Entry not found", 15, 15, RC_E_DATA, 0, "a text", "" },
        { "{\"error\":\"Invalid username\"}", 28, 28, RC_E_DATA, 0, "a text", "" },
        { "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, 5000, RC_E_DATA, 0, "unfinished download", "" },
        { "\1", 1, 100, RC_E_INTERNAL, 0, "", "" },
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < sizeof peeks / sizeof *peeks; i++) {
        rc_err err = { 0 };
        uint64_t header_end;
        const rc_code rc = rc_st_peek((const uint8_t *)peeks[i].head, peeks[i].len,
                                      peeks[i].file_len, &header_end, &err);

        if (rc != peeks[i].code || err.offset != peeks[i].offset || !strstr(err.msg, peeks[i].says))
            print_error("case %zu: %s @%d\n", i, err.msg, (int)err.offset);
        assert_int_equal(rc, peeks[i].code);
        assert_int_equal(err.offset, peeks[i].offset);
        assert_non_null(strstr(err.msg, peeks[i].says));
        assert_non_null(strstr(err.hint, peeks[i].hint));
        assert_true(header_end <= peeks[i].file_len);
    }
}

/* A07, A15: said once, and without effect. */
static void test_safetensors_warns(void **state)
{
    static const char text[] =
        "   {\"a\":{\"dtype\":\"I8\",\"strides\":[{\"x\":[1]},2],\"shape\":[1],"
        "\"data_offsets\":[0,1],\"more\":{\"dtype\":5}},"
        "\"b\":{\"x\":0,\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[1,2]}}";
    shard s = make_n(sizeof text - 1, text, sizeof text - 1, 2);
    rc_err err;
    warnings w;

    (void)state;
    assert_int_equal(parse(s.bytes, s.len, s.len, &err, &w), RC_OK);
    assert_int_equal(w.n, 2);
    assert_non_null(strstr(w.last, "strides"));
    free(s.bytes);
}

/* A33 */
static void test_safetensors_name_lengths(void **state)
{
    static char text[1100000];
    warnings w;
    rc_err err;

    (void)state;
    for (size_t n = RC_ST_MAX_NAME; n <= RC_ST_MAX_NAME + 1; n++) {
        size_t at = 0;
        shard s;

        at += (size_t)sprintf(text, "{\"");
        memset(text + at, 'n', n);
        at += n;
        at += (size_t)sprintf(text + at,
                              "\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}");
        s = make_n(at, text, at, 1);
        assert_int_equal(parse(s.bytes, s.len, s.len, &err, &w),
                         n == RC_ST_MAX_NAME ? RC_OK : RC_E_DATA);
        free(s.bytes);
    }
    memset(text, 'n', sizeof text);
    memcpy(text, "{\"", 2);
    memcpy(text + sizeof text - 4, "\":5}", 4);
    {
        shard s = make_n(sizeof text, text, sizeof text, 0);

        assert_int_equal(parse(s.bytes, s.len, s.len, &err, &w), RC_E_DATA);
        assert_int_equal(err.offset, 9);
        assert_non_null(strstr(err.msg, "too long"));
        free(s.bytes);
    }
}

/* A34 */
static void test_safetensors_depth(void **state)
{
    static char text[200000];
    static const char start[] = "{\"a\":{\"x\":";
    shard s;
    rc_err err;
    warnings w;

    (void)state;
    memset(text, '[', sizeof text);
    memcpy(text, start, sizeof start - 1);
    s = make_n(sizeof text, text, sizeof text, 0);
    assert_int_equal(parse(s.bytes, s.len, s.len, &err, &w), RC_E_DATA);
    assert_non_null(strstr(err.msg, "nested deeper"));
    assert_int_equal(err.offset, 8 + sizeof start - 1 + 510);
    free(s.bytes);
}

/* A09, A29: cut the file, and cut the header while its length field follows. */
static void test_safetensors_cut_at_every_byte(void **state)
{
    const size_t header = sizeof sound - 1;
    shard s = make_n(header, sound, header, 28);
    rc_err err;
    warnings w;

    (void)state;
    assert_int_equal(parse(s.bytes, s.len, s.len, &err, &w), RC_OK);
    for (size_t n = 0; n < s.len; n++) {
        shard cut = { malloc(n ? n : 1), n };

        memcpy(cut.bytes, s.bytes, n);
        assert_int_equal(parse(cut.bytes, n, n, &err, &w), RC_E_DATA);
        if (n >= 8 + header) {
            const size_t have = n - 8 - header;

            assert_string_equal(err.tensor, have < 4 ? "a" : have < 20 ? "b" : "scalar");
            assert_non_null(strstr(err.msg, "ends inside this tensor"));
        }
        assert_int_equal(err.offset, n < 8 ? 0 : n);
        free(cut.bytes);
    }
    for (size_t n = 0; n < header; n++) {
        shard cut = make_n(n, sound, n, 0);

        assert_int_equal(parse(cut.bytes, cut.len, cut.len, &err, &w), RC_E_DATA);
        assert_int_equal(err.offset, n < 2 ? 8 : 8 + n);
        free(cut.bytes);
    }
    free(s.bytes);
}

/* A38: every byte takes every value; parse() checks whatever is accepted. */
static void test_safetensors_survives_any_single_byte(void **state)
{
    shard s = make_n(sizeof sound - 1, sound, sizeof sound - 1, 28);

    (void)state;
    for (size_t i = 0; i < 8 + sizeof sound - 1; i++)
        for (int c = 0; c < 256; c++) {
            const uint8_t was = s.bytes[i];
            rc_err err;
            warnings w;

            s.bytes[i] = (uint8_t)c;
            (void)!parse(s.bytes, s.len, s.len, &err, &w);
            s.bytes[i] = was;
        }
    free(s.bytes);
}

static void test_safetensors_no_memory(void **state)
{
    static char text[40000];
    size_t at = 0;
    shard s;
    rc_code rc = RC_E_OS;

    (void)state;
    at += (size_t)sprintf(text, "{");
    for (int i = 0; i < 300; i++) /* last first, so that it has to be sorted */
        at += (size_t)sprintf(text + at,
                              "%s\"t%d\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                              i ? "," : "", i, 299 - i, 300 - i);
    at += (size_t)sprintf(text + at, "}");
    s = make_n(at, text, at, 300);
    for (size_t k = 1; rc != RC_OK; k++) {
        rc_mem mem = { .fail_at = k };
        rc_err err = { 0 };
        rc_st *st;

        rc = rc_st_new(&st, s.bytes, s.len, s.len, NULL, &mem, &err);
        assert_true(rc == RC_OK || rc == RC_E_OS);
        assert_int_equal(err.code, rc);
        if (rc == RC_OK) {
            assert_string_equal(rc_st_at(st, 0)->name, "t299");
            assert_string_equal(rc_st_at(st, 299)->name, "t0");
        }
        rc_st_free(&st);
        assert_int_equal(mem.used, 0);
        assert_true(k < 200);
    }
    free(s.bytes);
}

/* A06: as long as the format allows, and nearly all of it spaces. */
static void test_safetensors_padded_to_the_cap(void **state)
{
    const size_t len = RC_ST_MAX_HEADER;
    shard s = { calloc(1, 8 + len), 8 + len };
    rc_mem mem = { .limit = 100000 };
    rc_err err = { 0 };
    rc_st *st;

    (void)state;
    memset(s.bytes + 8, ' ', len);
    memcpy(s.bytes + 8, "{}", 2);
    for (int i = 0; i < 8; i++)
        s.bytes[i] = (uint8_t)((uint64_t)len >> (8 * i));
    assert_int_equal(rc_st_new(&st, s.bytes, s.len, s.len, NULL, &mem, &err), RC_OK);
    assert_int_equal(rc_st_count(st), 0);
    rc_st_free(&st);
    free(s.bytes);
}

/* A32, and the cap on the number of tensors. */
static void test_safetensors_a_million_tensors(void **state)
{
    const size_t n = RC_ST_MAX_COUNT;
    char *text = malloc(90000000);
    size_t at = 0;
    shard s;
    rc_err err;
    rc_st *st;
    rc_mem mem = { .limit = (size_t)256 << 20 };

    (void)state;
    text[at++] = '{';
    for (size_t i = 0; i < n; i++)
        at += (size_t)sprintf(
            text + at, "%s\"expert.%zu\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,4]}",
            i ? "," : "", i);
    text[at++] = '}';
    s = make_n(at, text, at, 4);
    err = (rc_err){ 0 };
    assert_int_equal(rc_st_new(&st, s.bytes, s.len, s.len, NULL, &mem, &err), RC_E_DATA);
    assert_non_null(strstr(err.msg, "overlaps tensor expert.0"));
    assert_int_equal(mem.used, 0);
    free(s.bytes);

    at--;
    at += (size_t)sprintf(text + at, ",\"one more\":{}}");
    s = make_n(at, text, at, 4);
    assert_int_equal(rc_st_new(&st, s.bytes, s.len, s.len, NULL, &mem, &err), RC_E_LIMIT);
    free(s.bytes);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safetensors_reads_a_shard),
        cmocka_unit_test(test_safetensors_headers),
        cmocka_unit_test(test_safetensors_says_both_numbers),
        cmocka_unit_test(test_safetensors_peek),
        cmocka_unit_test(test_safetensors_warns),
        cmocka_unit_test(test_safetensors_name_lengths),
        cmocka_unit_test(test_safetensors_depth),
        cmocka_unit_test(test_safetensors_cut_at_every_byte),
        cmocka_unit_test(test_safetensors_survives_any_single_byte),
        cmocka_unit_test(test_safetensors_no_memory),
        cmocka_unit_test(test_safetensors_padded_to_the_cap),
        cmocka_unit_test(test_safetensors_a_million_tensors),
    };

    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
