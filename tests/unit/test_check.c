/* test_check.c - SHA256SUMS and recast.json as strangers may write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "formats/ledger_read.h"
#include "verify/sha256sums.h"

#define Z16   "0123456789abcdef"
#define SUM   Z16 Z16 Z16 Z16
#define UPPER "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"

/* ------------------------------------------------------------------ SHA256SUMS */

static const struct {
    const char *text, *name; /* of the first entry */
    size_t n;
} good_sums[] = {
    { SUM "  a\n", "a", 1 },
    { SUM "  a", "a", 1 },
    { SUM " *a\n", "a", 1 },
    { UPPER "  a\r\n", "a", 1 },
    { "\\" SUM "  a\\\\b\\nc\\rd\n", "a\\b\nc\rd", 1 },
    { SUM "  a\\nb\n", "a\\nb", 1 }, /* not an escape without the mark */
    { "SHA256 (a b) = " SUM "\n", "a b", 1 },
    { "SHA256 (a) = b) = " SUM "\n", "a) = b", 1 },
    { "\\SHA256 (a\\nb) = " SUM "\n", "a\nb", 1 },
    { "# " SUM "  x\n\n" SUM "  ./sub/a\n", "sub/a", 1 },
    { SUM "  ././a\n", "a", 1 },
    { "\xef\xbb\xbf" SUM "  a\n", "a", 1 },
    { SUM "   a\n", " a", 1 }, /* a name may begin with a space */
    { SUM "  b\n" SUM "  a\n", "a", 2 },
    { SUM "  ..a\n", "..a", 1 },
    { SUM "  a..\n", "a..", 1 },
};

static void test_sums_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good_sums / sizeof *good_sums; i++) {
        const char *text = good_sums[i].text;
        rc_mem mem = { 0 };
        char hex[RC_CONTENT_HEX];
        rc_sums sums;
        rc_err err;

        assert_int_equal(rc_sums_parse(&sums, (const uint8_t *)text, strlen(text), &mem, &err),
                         RC_OK);
        assert_int_equal(sums.n, good_sums[i].n);
        assert_string_equal(sums.at[0].name, good_sums[i].name);
        assert_string_equal(rc_content_hex(&sums.at[0].content, hex), SUM);
        assert_ptr_equal(rc_sums_find(&sums, good_sums[i].name), &sums.at[0]);
        assert_null(rc_sums_find(&sums, "none"));
        rc_sums_free(&sums);
        assert_int_equal(mem.used, 0);
    }
}

static const struct {
    const char *text;
    rc_code code;
    uint64_t offset;
} bad_sums[] = {
    { "", RC_E_DATA, RC_NO_OFFSET },
    { "# nothing\n", RC_E_DATA, RC_NO_OFFSET },
    { "hello\n", RC_E_DATA, 0 },
    { SUM "  a\n" SUM " a\n", RC_E_DATA, 68 },
    { SUM "  a\nx" SUM "  b\n", RC_E_DATA, 68 },
    { SUM "  a\n" SUM "  a\n", RC_E_DATA, RC_NO_OFFSET },
    { SUM "  a\n" SUM "  ./a\n", RC_E_DATA, RC_NO_OFFSET },
    { SUM "  \n", RC_E_DATA, 0 },
    { "g" Z16 Z16 Z16 "0123456789abcde  a\n", RC_E_DATA, 0 },
    { "MD5 (a) = " Z16 Z16 "\n", RC_E_DATA, 0 },
    { "SHA256 () = " SUM "\n", RC_E_DATA, 0 },
    { "\\" SUM "  a\\\n", RC_E_DATA, 0 },
    { "\\" SUM "  a\\x\n", RC_E_DATA, 0 },
    { SUM "  /a\n", RC_E_UNSAFEPATH, 0 },
    { SUM "  ../a\n", RC_E_UNSAFEPATH, 0 },
    { SUM "  a/../../b\n", RC_E_UNSAFEPATH, 0 },
    { SUM "  a/..\n", RC_E_UNSAFEPATH, 0 },
    { SUM "  ..\n", RC_E_UNSAFEPATH, 0 },
    { SUM "  a//b\n", RC_E_UNSAFEPATH, 0 },
    { SUM "  a/\n", RC_E_UNSAFEPATH, 0 },
    { "SHA256 (../a) = " SUM "\n", RC_E_UNSAFEPATH, 0 },
};

static void test_sums_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_sums / sizeof *bad_sums; i++) {
        const char *text = bad_sums[i].text;
        rc_mem mem = { 0 };
        rc_sums sums;
        rc_err err;

        assert_int_equal(rc_sums_parse(&sums, (const uint8_t *)text, strlen(text), &mem, &err),
                         bad_sums[i].code);
        assert_int_equal(err.offset, bad_sums[i].offset);
        rc_sums_free(&sums);
        assert_int_equal(mem.used, 0);
    }
}

static void test_sums_are_written(void **state)
{
    static const char *const names[] = { "b", "a/c", "new\nline", "back\\slash", " x" };
    rc_mem mem = { 0 };
    rc_sums sums = { .arena.mem = &mem }, again;
    rc_content_id id;
    char *text;
    size_t len;
    rc_err err;

    (void)state;
    assert_true(rc_content_parse(&id, SUM, 64));
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(rc_sums_add(&sums, names[i], strlen(names[i]), &id, &err), RC_OK);
    assert_int_equal(rc_sums_text(&sums, &text, &len, &err), RC_OK);
    assert_string_equal(text, SUM "   x\n" SUM "  a/c\n" SUM "  b\n"
                                  "\\" SUM "  back\\\\slash\n\\" SUM "  new\\nline\n");
    assert_int_equal(rc_sums_parse(&again, (const uint8_t *)text, len, &mem, &err), RC_OK);
    assert_int_equal(again.n, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(again.at[i].name, sums.at[i].name);
    rc_sums_free(&again);
    rc_sums_free(&sums);
    rc_mem_put(&mem, text);
    assert_int_equal(mem.used, 0);
}

/* ----------------------------------------------------------------- recast.json */

#define D32        Z16 Z16
#define LEDGER     "\"ledger\":{\"file\":\"recast.jsonl\",\"xxh3_128\":\"" D32 "\"}"
#define V1(shards) "{\"format\":1," LEDGER ",\"shards\":[" shards "]}"

static rc_code parse(const char *text, rc_err *err)
{
    rc_mem mem = { 0 };
    rc_manifest *m;
    const rc_code rc = rc_manifest_new(&m, (const uint8_t *)text, strlen(text), &mem, err);

    assert_true((rc == RC_OK) == (m != NULL));
    rc_manifest_free(&m);
    assert_int_equal(mem.used, 0);
    return rc;
}

static void test_old_manifest(void **state)
{
    rc_err err;

    (void)state;
    assert_int_equal(parse(V1(""), &err), RC_OK);
    assert_int_equal(parse(V1("{\"file\":\"a\",\"bytes\":3}"), &err), RC_OK);
}

static const struct {
    const char *text;
    rc_code code;
} bad_manifests[] = {
    { "", RC_E_DATA },
    { "[]", RC_E_DATA },
    { "{}", RC_E_DATA },
    { "{\"format\":0}", RC_E_DATA },
    { "{\"format\":3}", RC_E_UNSUPPORTED },
    { "{\"format\":99999999999999999999}", RC_E_DATA },
    { "{\"format\":1}", RC_E_DATA },
    { "{\"format\":1,\"ledger\":[],\"shards\":[]}", RC_E_DATA },
    { "{\"format\":1," LEDGER ",\"shards\":{}}", RC_E_DATA },
    { V1("1"), RC_E_DATA },
    { V1("{\"file\":\"a\"}"), RC_E_DATA },
    { V1("{\"file\":\"a\",\"bytes\":-1}"), RC_E_DATA },
    { V1("{\"file\":\"a\",\"bytes\":1.5}"), RC_E_DATA },
    { V1("{\"file\":\"a\",\"bytes\":9223372036854775808}"), RC_E_DATA },
    { V1("{\"file\":\"a\",\"bytes\":3,\"sha256\":\"12\"}"), RC_E_DATA },
    { V1("{\"file\":\"a\",\"bytes\":3,\"sha256\":7}"), RC_E_DATA },
    { V1("{\"file\":\"a\",\"bytes\":3},{\"file\":\"a\",\"bytes\":3}"), RC_E_DATA },
    { V1("{\"file\":\"recast.jsonl\",\"bytes\":3}"), RC_E_DATA },
    { V1("{\"file\":\"a\",\"bytes\":3,\"head_bytes\":4,\"head_xxh3_128\":\"" D32 "\"}"),
      RC_E_DATA },
    { V1("{\"file\":\"a\",\"bytes\":3,\"head_bytes\":2}"), RC_E_DATA },
    { V1("{\"file\":\"\",\"bytes\":3}"), RC_E_UNSAFEPATH },
    { V1("{\"file\":\"/a\",\"bytes\":3}"), RC_E_UNSAFEPATH },
    { V1("{\"file\":\"../a\",\"bytes\":3}"), RC_E_UNSAFEPATH },
    { V1("{\"file\":\"a/../b\",\"bytes\":3}"), RC_E_UNSAFEPATH },
    { V1("{\"file\":\"a/./b\",\"bytes\":3}"), RC_E_UNSAFEPATH },
    { "{\"format\":2," LEDGER ",\"shards\":[]}", RC_E_DATA },
    { "{\"format\":2," LEDGER ",\"shards\":[],\"files\":[]}", RC_E_DATA },
    { "{\"format\":2," LEDGER ",\"shards\":[{\"file\":\"a\",\"bytes\":3}],\"files\":[],"
      "\"run\":{\"xxh3_128\":\"" D32 "\"}}",
      RC_E_DATA },
    { "{\"format\":2," LEDGER ",\"shards\":[],\"files\":[],\"run\":{\"xxh3_128\":\"" D32 "\"}}",
      RC_E_INTEGRITY },
    { "{\"format\":2," LEDGER ",\"shards\":[],\"files\":[],\"run\":{\"xxh3_128\":"
      "\"\\u0030123456789abcdef" Z16 "\"}}",
      RC_E_INTEGRITY },
};

static void test_bad_manifests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_manifests / sizeof *bad_manifests; i++) {
        rc_err err;

        if (parse(bad_manifests[i].text, &err) != bad_manifests[i].code)
            fail_msg("%s: %d %s", bad_manifests[i].text, (int)err.code, err.msg);
    }
}

/* With its own digest put right, and with each byte of it changed. */
static void test_signed_manifest(void **state)
{
    char text[] = "{\"format\":2,\"tool\":\"t\"," LEDGER
                  ",\"shards\":[{\"file\":\"a\",\"bytes\":3,\"head_bytes\":2,\"head_xxh3_128\":"
                  "\"" D32 "\"}],\"files\":[{\"file\":\"s/b\",\"bytes\":0,\"sha256\":\"" SUM
                  "\"}],\"run\":{\"xxh3_128\":\"00000000000000000000000000000000\"}}";
    const size_t len = strlen(text), at = len - 35;
    const rc_digest digest = rc_hash(text, len);
    rc_mem mem = { 0 };
    rc_manifest *m;
    char hex[33];
    rc_err err;

    (void)state;
    memcpy(text + at, rc_digest_hex(&digest, hex), 32);
    assert_int_equal(rc_manifest_new(&m, (const uint8_t *)text, len, &mem, &err), RC_OK);
    assert_int_equal(rc_manifest_format(m), 2);
    assert_string_equal(rc_manifest_tool(m), "t");
    assert_string_equal(rc_manifest_ledger(m)->name, "recast.jsonl");
    assert_true(rc_manifest_ledger(m)->nbytes == RC_NO_BYTES);
    assert_int_equal(rc_manifest_shards(m), 1);
    assert_int_equal(rc_manifest_shard(m, 0)->head_bytes, 2);
    assert_int_equal(rc_manifest_files(m), 1);
    assert_string_equal(rc_manifest_file(m, 0)->name, "s/b");
    rc_manifest_free(&m);
    for (size_t i = 0; i < len; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            text[i] = (char)(text[i] ^ 1 << bit);
            assert_int_not_equal(parse(text, &err), RC_OK);
            text[i] = (char)(text[i] ^ 1 << bit);
        }
    assert_int_equal(parse(text, &err), RC_OK);
}

/* --------------------------------------------------------------- recast.jsonl */

static rc_code read_one(rc_ledger_part *part, const char *more, rc_arena *arena)
{
    char text[512];
    rc_ledger_line line;
    rc_code rc;
    rc_err err;

    snprintf(text, sizeof text,
             "{\"tensor\":\"t\",\"shard\":\"s\",\"out\":{\"weight\":{\"tensor\":\"w\","
             "\"xxh3_128\":\"" D32 "\",%s}}}",
             more);
    rc = rc_ledger_line_read(&line, (const uint8_t *)text, strlen(text), arena, &err);
    *part = line.parts[0];
    return rc;
}

static void test_ledger_parts(void **state)
{
    rc_mem mem = { 0 };
    rc_arena arena = { .mem = &mem };
    rc_ledger_part p;

    (void)state;
    assert_int_equal(read_one(&p, "\"bytes\":6", &arena), RC_OK);
    assert_false(p.placed);
    assert_int_equal(read_one(&p, "\"bytes\":6,\"begin\":4", &arena), RC_OK);
    assert_true(p.placed && p.begin == 4 && p.span == 6 && !p.stride);
    assert_int_equal(read_one(&p, "\"bytes\":6,\"begin\":4,\"row_bytes\":2,\"stride\":5", &arena),
                     RC_OK);
    assert_int_equal(p.span, 12);
    assert_int_equal(read_one(&p, "\"bytes\":5,\"begin\":4,\"row_bytes\":2,\"stride\":5", &arena),
                     RC_E_DATA);
    assert_int_equal(read_one(&p, "\"bytes\":6,\"begin\":4,\"row_bytes\":3,\"stride\":2", &arena),
                     RC_E_DATA);
    assert_int_equal(read_one(&p, "\"bytes\":6,\"begin\":4,\"stride\":2", &arena), RC_E_DATA);
    assert_int_equal(read_one(&p, "\"bytes\":0,\"begin\":4,\"row_bytes\":1,\"stride\":1", &arena),
                     RC_E_DATA);
    assert_int_equal(read_one(&p, "\"bytes\":6,\"begin\":18446744073709551613", &arena), RC_E_DATA);
    assert_int_equal(
        read_one(&p, "\"bytes\":16,\"row_bytes\":1,\"stride\":9223372036854775807", &arena),
        RC_E_DATA);
    assert_int_equal(read_one(&p, "\"begin\":4", &arena), RC_E_DATA);
    rc_arena_free(&arena);
    assert_int_equal(mem.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_are_read),    cmocka_unit_test(test_sums_are_refused),
        cmocka_unit_test(test_sums_are_written), cmocka_unit_test(test_old_manifest),
        cmocka_unit_test(test_bad_manifests),    cmocka_unit_test(test_signed_manifest),
        cmocka_unit_test(test_ledger_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
