/* tests/unit/test_index.c - weight maps that lie, and names that lead elsewhere (faults B01 to
 * B16). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/index.h"

static unsigned warnings;

static void on_warning(void *ctx, const rc_err *w)
{
    (void)ctx;
    (void)w;
    warnings++;
}

static rc_code parse_n(rc_index **out, const char *text, size_t len, rc_mem *mem, rc_err *err)
{
    const rc_log log = { .warn = on_warning, .ctx = NULL };
    uint8_t *exact = malloc(len ? len : 1);
    rc_code rc;

    warnings = 0;
    memset(err, 0, sizeof *err);
    memcpy(exact, text, len);
    rc = rc_index_new(out, exact, len, &log, mem, err);
    free(exact); /* nothing may point into it */
    assert_int_equal(err->code, rc);
    assert_int_equal(*out != NULL, rc == RC_OK);
    return rc;
}

static const char sound[] =
    "{\"metadata\":{\"total_size\":28,\"x\":[1]},\"weight_map\":{"
    "\"head.weight\":\"model-00003-of-00003.safetensors\","
    "\"embed.weight\":\"model-00001-of-00003.safetensors\",\r\n"
    "\"layers.0.a\":\"model-00002-of-00003.safetensors\","
    "\"layers.0.b\":\"model-00002-of-00003.safetensors\"},\"more\":[{\"weight_map\":1}]}";

static void test_index_reads(void **state)
{
    rc_mem mem = { 0 };
    rc_err err;
    rc_index *x;
    uint64_t total;

    (void)state;
    assert_int_equal(parse_n(&x, sound, sizeof sound - 1, &mem, &err), RC_OK);
    assert_int_equal(rc_index_count(x), 4);
    assert_int_equal(rc_index_shards(x), 3);
    assert_string_equal(rc_index_tensor(x, 0), "head.weight");
    assert_string_equal(rc_index_tensor(x, 3), "layers.0.b");
    assert_int_equal(rc_index_shard_of(x, 0), 2);
    assert_int_equal(rc_index_shard_of(x, 1), 0);
    assert_int_equal(rc_index_shard_of(x, 2), 1);
    assert_int_equal(rc_index_shard_of(x, 3), 1);
    assert_string_equal(rc_index_shard(x, 0), "model-00001-of-00003.safetensors");
    assert_string_equal(rc_index_shard(x, 2), "model-00003-of-00003.safetensors");
    assert_true(rc_index_total_size(x, &total) && total == 28);
    assert_int_equal(warnings, 0);
    rc_index_free(&x);
    assert_null(x);
    assert_int_equal(mem.used, 0);
}

static void test_index_refuses(void **state)
{
    static const struct {
        const char *text;
        rc_code code;
        int64_t offset;
        const char *tensor, *says;
    } cases[] = {
        { "[]", RC_E_DATA, 0, "", "not a JSON object" },
        { "{}", RC_E_DATA, 0, "", "weight_map is missing" },
        { "{\"weight_map\":{}}", RC_E_DATA, 0, "", "weight_map is empty" },
        { "{\"weight_map\":[]}", RC_E_DATA, 14, "", "not an object" },
        { "{\"weight_map\":null}", RC_E_DATA, 14, "", "not an object" },
        { "{\"weight_map\":{\"\":\"a\"}}", RC_E_DATA, 15, "", "empty" },
        { "{\"weight_map\":{\"t\":1}}", RC_E_DATA, 19, "t", "not a string" },
        { "{\"weight_map\":{\"t\":[\"a\"]}}", RC_E_DATA, 19, "t", "not a string" },
        { "{\"weight_map\":{\"t\":\"\"}}", RC_E_DATA, 19, "t", "no shard name" },
        { "{\"weight_map\":{\"t\":\".\"}}", RC_E_DATA, 19, "t", "no shard name" },
        { "{\"weight_map\":{\"t\":\"a\\u0000b\"}}", RC_E_DATA, 21, "", "NUL" },
        /* B03, B04 */
        { "{\"weight_map\":{\"t\":\"..\"}}", RC_E_UNSAFEPATH, 19, "t", "\"..\"" },
        { "{\"weight_map\":{\"t\":\"../x.safetensors\"}}", RC_E_UNSAFEPATH, 19, "t", "../x" },
        { "{\"weight_map\":{\"t\":\"a/../../x\"}}", RC_E_UNSAFEPATH, 19, "t", "" },
        { "{\"weight_map\":{\"t\":\"/abs/x\"}}", RC_E_UNSAFEPATH, 19, "t", "" },
        { "{\"weight_map\":{\"t\":\"..\\\\x\"}}", RC_E_UNSAFEPATH, 19, "t", "..\\\\x" },
        { "{\"weight_map\":{\"t\":\"C:\\\\x\"}}", RC_E_UNSAFEPATH, 19, "t", "" },
        { "{\"weight_map\":{\"t\":\"file:///x\"}}", RC_E_UNSAFEPATH, 19, "t", "" },
        { "{\"weight_map\":{\"t\":\"https://other/x\"}}", RC_E_UNSAFEPATH, 19, "t", "" },
        { "{\"weight_map\":{\"t\":\"x?y\"}}", RC_E_UNSAFEPATH, 19, "t", "" },
        { "{\"weight_map\":{\"t\":\"x#y\"}}", RC_E_UNSAFEPATH, 19, "t", "" },
        { "{\"weight_map\":{\"t\":\"x\\r\\ny\"}}", RC_E_UNSAFEPATH, 19, "t", "x\\x0d\\x0ay" },
        { "{\"weight_map\":{\"t\":\"x\\u001b[2J\"}}", RC_E_UNSAFEPATH, 19, "t", "\\x1b" },
        /* B12 */
        { "{\"weight_map\":{\"t\":\"m-00001-of-00002.safetensors\"}}", RC_E_TENSORSET, -1, "",
          "does not list the whole set" },
        { "{\"weight_map\":{\"t\":\"m-1-of-2.safetensors\",\"u\":\"m-2-of-2.safetensors\","
          "\"v\":\"m-3-of-2.safetensors\"}}",
          RC_E_TENSORSET, -1, "", "does not list the whole set" },
        { "{\"weight_map\":{\"t\":\"m-1-of-2.safetensors\",\"u\":\"n-2-of-2.safetensors\"}}",
          RC_E_TENSORSET, -1, "", "" },
        { "{\"weight_map\":{\"t\":\"m-1-of-2.safetensors\",\"u\":\"m-1-of-3.safetensors\"}}",
          RC_E_TENSORSET, -1, "", "" },
        { "{\"weight_map\":{\"t\":\"m-1-of-99999999999999999999999999.safetensors\"}}",
          RC_E_TENSORSET, -1, "", "" },
        /* B14 */
        { "{\"weight_map\":{\"t\":\"a\",\"t\":\"a\"}}", RC_E_DATA, 23, "",
          "duplicate key \"t\", first at byte 15" },
        { "{\"weight_map\":{\"t\":\"a\"},\"weight_map\":{\"u\":\"a\"}}", RC_E_DATA, 24, "",
          "duplicate key" },
        /* B16 */
        { "\xef\xbb\xbf{\"weight_map\":{\"t\":\"a\"}}", RC_E_DATA, 0, "", "byte order mark" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rc_mem mem = { 0 };
        rc_err err;
        rc_index *x;
        const rc_code rc = parse_n(&x, cases[i].text, strlen(cases[i].text), &mem, &err);

        if (rc != cases[i].code || !strstr(err.msg, cases[i].says))
            print_error("%s: %s\n", cases[i].text, err.msg);
        assert_int_equal(rc, cases[i].code);
        if (cases[i].offset >= 0)
            assert_int_equal(err.offset, cases[i].offset);
        else
            assert_true(err.offset == RC_NO_OFFSET);
        assert_string_equal(err.tensor, cases[i].tensor);
        assert_non_null(strstr(err.msg, cases[i].says));
        assert_int_equal(mem.used, 0);
    }
}

/* Sets may be several, unpadded, and lie between other names. */
static void test_index_whole_sets(void **state)
{
    static const char text[] =
        "{\"weight_map\":{\"a\":\"m-1-of-2.safetensors\",\"b\":\"m-1-of-2-x.safetensors\","
        "\"c\":\"m-2-of-2.safetensors\",\"d\":\"m-1-of-1.safetensors\",\"e\":\"-of-3.safetensors\","
        "\"f\":\"n-of-7-1-of-1.safetensors\",\"g\":\"m-1-of-5.bin\",\"h\":\"m1-of-5.safetensors\"}"
        "}";
    rc_mem mem = { 0 };
    rc_err err;
    rc_index *x;

    (void)state;
    assert_int_equal(parse_n(&x, text, sizeof text - 1, &mem, &err), RC_OK);
    assert_int_equal(rc_index_shards(x), 8);
    rc_index_free(&x);
}

/* B11: never more than a warning. */
static void test_index_total_size(void **state)
{
    static const char *const odd[] = { "-1",        "28.0",
                                       "1e3",       "\"28\"",
                                       "null",      "[28]",
                                       "{\"a\":1}", "1000000000000000000000000000000" };

    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        char text[200];
        rc_mem mem = { 0 };
        rc_err err;
        rc_index *x;
        uint64_t total;

        snprintf(text, sizeof text,
                 "{\"metadata\":{\"total_size\":%s},\"weight_map\":{\"t\":\"a\"}}", odd[i]);
        assert_int_equal(parse_n(&x, text, strlen(text), &mem, &err), RC_OK);
        assert_int_equal(warnings, 1);
        assert_false(rc_index_total_size(x, &total));
        rc_index_free(&x);
    }
}

/* B15, decided before a byte is looked at. */
static void test_index_too_large(void **state)
{
    rc_mem mem = { 0 };
    rc_err err = { 0 };
    rc_index *x;

    (void)state;
    assert_int_equal(
        rc_index_new(&x, (const uint8_t *)"{", RC_INDEX_MAX_BYTES + (size_t)1, NULL, &mem, &err),
        RC_E_LIMIT);
    assert_int_equal(mem.calls, 0);
}

/* B17 */
static void test_index_cut_at_every_byte(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof sound - 1; n++) {
        rc_mem mem = { 0 };
        rc_err err;
        rc_index *x;

        assert_int_equal(parse_n(&x, sound, n, &mem, &err), RC_E_DATA);
        assert_int_equal(err.offset, n);
        assert_int_equal(mem.used, 0);
    }
}

static void test_index_survives_any_single_byte(void **state)
{
    char text[sizeof sound];

    (void)state;
    memcpy(text, sound, sizeof sound);
    for (size_t i = 0; i < sizeof sound - 1; i++)
        for (int c = 0; c < 256; c++) {
            rc_mem mem = { 0 };
            rc_err err;
            rc_index *x;

            text[i] = (char)c;
            (void)!parse_n(&x, text, sizeof sound - 1, &mem, &err);
            for (size_t k = 0; x && k < rc_index_shards(x); k++)
                assert_true(
                    rc_name_is_safe(rc_index_shard(x, k), strlen(rc_index_shard(x, k)), false));
            rc_index_free(&x);
            text[i] = sound[i];
        }
}

static size_t many_shards(char *text, size_t n)
{
    size_t at = (size_t)sprintf(text, "{\"weight_map\":{");

    for (size_t i = 0; i < n; i++)
        at += (size_t)sprintf(text + at, "%s\"t%zu\":\"s%zu\"", i ? "," : "", i, n - i);
    return at + (size_t)sprintf(text + at, "}}");
}

static void test_index_many_shards(void **state)
{
    const size_t n = 200000;
    char *text = malloc(40 * n);
    const size_t len = many_shards(text, n);
    rc_mem mem = { 0 };
    rc_err err;
    rc_index *x;

    (void)state;
    assert_int_equal(parse_n(&x, text, len, &mem, &err), RC_OK);
    assert_int_equal(rc_index_shards(x), n);
    for (size_t i = 0; i < n; i++) {
        char want[24];

        snprintf(want, sizeof want, "s%zu", n - i);
        assert_string_equal(rc_index_shard(x, rc_index_shard_of(x, i)), want);
    }
    rc_index_free(&x);
    free(text);
}

static void test_index_no_memory(void **state)
{
    char text[8000];
    const size_t len = many_shards(text, 200);
    rc_code rc = RC_E_OS;

    (void)state;
    for (size_t k = 1; rc != RC_OK; k++) {
        rc_mem mem = { .fail_at = k };
        rc_err err;
        rc_index *x;

        rc = parse_n(&x, text, len, &mem, &err);
        assert_true(rc == RC_OK || rc == RC_E_OS);
        rc_index_free(&x);
        assert_int_equal(mem.used, 0);
        assert_true(k < 200);
    }
}

static void test_index_safe_names(void **state)
{
    static const struct {
        const char *name;
        bool file, path;
    } names[] = {
        { "model.safetensors", true, true },
        { "a b\xc3\xa9.txt", true, true },
        { ".gitattributes", true, true },
        { "...", true, true },
        { "a..b", true, true },
        { "inference/model.py", false, true },
        { "a/b/c", false, true },
        { "", false, false },
        { ".", false, false },
        { "..", false, false },
        { "/a", false, false },
        { "a/", false, false },
        { "a//b", false, false },
        { "./a", false, false },
        { "a/.", false, false },
        { "a/./b", false, false },
        { "../a", false, false },
        { "a/..", false, false },
        { "a/../b", false, false },
        { "a\\b", false, false },
        { "C:a", false, false },
        { "a?b", false, false },
        { "a#b", false, false },
        { "a\nb", false, false },
        { "a\x7f", false, false },
    };
    char longest[300];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const size_t len = strlen(names[i].name);

        assert_int_equal(rc_name_is_safe(names[i].name, len, false), names[i].file);
        assert_int_equal(rc_name_is_safe(names[i].name, len, true), names[i].path);
    }
    assert_false(rc_name_is_safe("a\0b", 3, true));
    memset(longest, 'a', sizeof longest);
    assert_true(rc_name_is_safe(longest, 255, false));
    assert_false(rc_name_is_safe(longest, 256, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index_reads),
        cmocka_unit_test(test_index_refuses),
        cmocka_unit_test(test_index_whole_sets),
        cmocka_unit_test(test_index_total_size),
        cmocka_unit_test(test_index_too_large),
        cmocka_unit_test(test_index_cut_at_every_byte),
        cmocka_unit_test(test_index_survives_any_single_byte),
        cmocka_unit_test(test_index_many_shards),
        cmocka_unit_test(test_index_no_memory),
        cmocka_unit_test(test_index_safe_names),
    };

    return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
