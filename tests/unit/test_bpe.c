/* tests/unit/test_bpe.c - text to ids and back. tests/oracle/check_bpe.py compares with the
 * `tokenizers` library; here are the rules one by one, on vocabularies small enough to see. */
#include "fixture.h"

#include "convert/synth_tokenizer.h"
#include "formats/base/json.h"
#include "formats/bpe.h"
#include "formats/byte_level.h"
#include "formats/pre_tokenizer.h"

/* ------------------------------------------------------------- vocabularies */

static void put_pre_tokenizer(rc_jsonw *w)
{
    rc_jsonw_key(w, "pre_tokenizer");
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "type", "Sequence");
    rc_jsonw_key(w, "pretokenizers");
    rc_jsonw_array(w);
    for (size_t i = 0; i < RC_SPLITS; i++) {
        rc_jsonw_object(w);
        rc_jsonw_kstr(w, "type", "Split");
        rc_jsonw_key(w, "pattern");
        rc_jsonw_object(w);
        rc_jsonw_kstr(w, "Regex", rc_joyai_splits[i]);
        rc_jsonw_object_end(w);
        rc_jsonw_kstr(w, "behavior", "Isolated");
        rc_jsonw_kbool(w, "invert", false);
        rc_jsonw_object_end(w);
    }
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "type", "ByteLevel");
    rc_jsonw_kbool(w, "add_prefix_space", false);
    rc_jsonw_kbool(w, "use_regex", false);
    rc_jsonw_object_end(w);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

typedef struct added {
    const char *text;
    bool normalized, lstrip;
} added;

/* Do two merges make the same token? */
static bool same_text(const char *a, const char *b)
{
    while (*a || *b) {
        a += *a == ' ';
        b += *b == ' ';
        if (*a != *b)
            return false;
        a += *a != '\0';
        b += *b != '\0';
    }
    return true;
}

/* 256 bytes (less those of `without`) with their own numbers, then what the merges make, then the
 * added tokens from 1000 on. Merges: "A B", spelled; lists end with NULL. */
static char *make_json(const char *const *merges, const added *more, const char *without,
                       size_t *len, rc_mem *mem)
{
    rc_jsonw *w = rc_jsonw_new(mem, 0);
    uint64_t id = 256;
    rc_err err;
    char *json;

    rc_jsonw_object(w);
    rc_jsonw_key(w, "added_tokens");
    rc_jsonw_array(w);
    for (uint64_t i = 0; more && more[i].text; i++) {
        rc_jsonw_object(w);
        rc_jsonw_ku64(w, "id", 1000 + i);
        rc_jsonw_kstr(w, "content", more[i].text);
        rc_jsonw_kbool(w, "normalized", more[i].normalized);
        rc_jsonw_kbool(w, "lstrip", more[i].lstrip);
        rc_jsonw_object_end(w);
    }
    rc_jsonw_array_end(w);
    put_pre_tokenizer(w);
    rc_jsonw_key(w, "model");
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "type", "BPE");
    rc_jsonw_key(w, "vocab");
    rc_jsonw_object(w);
    for (unsigned b = 0; b < 256; b++) {
        char text[3];

        rc_byte_level_spell(text, (uint8_t)b);
        if (!without || !strchr(without, (int)b) || !b)
            rc_jsonw_ku64(w, text, b);
    }
    for (size_t i = 0; merges[i]; i++) {
        char text[64];
        const char *space = strchr(merges[i], ' ');
        bool again = false;

        snprintf(text, sizeof text, "%.*s%s", (int)(space - merges[i]), merges[i], space + 1);
        for (size_t k = 0; k < i; k++) /* two ways to one token */
            again = again || same_text(merges[k], merges[i]);
        if (!again)
            rc_jsonw_ku64(w, text, id++);
    }
    rc_jsonw_object_end(w);
    rc_jsonw_key(w, "merges");
    rc_jsonw_array(w);
    for (size_t i = 0; merges[i]; i++)
        rc_jsonw_str(w, merges[i]);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
    rc_jsonw_object_end(w);
    assert_int_equal(rc_jsonw_finish(w, &json, len, mem, &err), RC_OK);
    rc_jsonw_free(&w);
    return json;
}

static rc_code build(rc_bpe **out, const char *json, size_t len, rc_mem *mem, rc_err *err)
{
    rc_tokenizer *t;
    const rc_code rc =
        rc_tokenizer_parse(&t, (const uint8_t *)json, len, NULL, 0, 0, NULL, mem, err);

    *out = NULL;
    return rc == RC_OK ? rc_bpe_new(out, &t, mem, err) : rc;
}

static rc_bpe *make(const char *const *merges, const added *more, const char *without, rc_mem *mem)
{
    size_t len;
    char *json = make_json(merges, more, without, &len, mem);
    rc_err err = { 0 };
    rc_bpe *b;

    if (build(&b, json, len, mem, &err) != RC_OK)
        fail_msg("%s", err.msg);
    rc_mem_put(mem, json);
    return b;
}

static rc_bpe *make_synth(rc_mem *mem)
{
    rc_err err = { 0 };
    size_t len;
    char *json;
    rc_bpe *b;

    assert_int_equal(rc_synth_tokenizer(&json, &len, 1024, mem, &err), RC_OK);
    if (build(&b, json, len, mem, &err) != RC_OK)
        fail_msg("%s", err.msg);
    rc_mem_put(mem, json);
    return b;
}

/* ------------------------------------------------------------------- helpers */

/* Encode, decode, and see that nothing got lost. The ids are the caller's. */
static rc_ids encode(const rc_bpe *b, const char *text, size_t len, rc_mem *mem)
{
    rc_ids ids = { .mem = mem };
    rc_err err = { 0 };
    char *exact = malloc(len + 1), *back = malloc(len + 1);
    size_t n = 0;

    memcpy(exact, text, len);
    if (rc_bpe_encode(b, exact, len, &ids, &err) != RC_OK)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < ids.n; i++) {
        size_t k;
        const char *bytes = rc_bpe_bytes(b, ids.at[i], &k);

        assert_non_null(bytes);
        assert_true(k <= len - n);
        memcpy(back + n, bytes, k);
        n += k;
    }
    assert_int_equal(n, len);
    assert_memory_equal(back, text, len);
    free(exact);
    free(back);
    return ids;
}

static void expect(const rc_bpe *b, const char *text, const char *want)
{
    rc_mem mem = { 0 };
    rc_ids ids = encode(b, text, strlen(text), &mem);
    char got[1024] = "";
    size_t n = 0;

    for (size_t i = 0; i < ids.n; i++)
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%" PRIu32, i ? " " : "", ids.at[i]);
    assert_string_equal(got, want);
    rc_mem_put(&mem, ids.at);
    assert_int_equal(mem.used, 0);
}

/* --------------------------------------------------------------------- tests */

static void test_bpe_joins_by_rank(void **state)
{
    static const char *const merges[] = { "b c", "a b", "a bc", "ab c", "x x", "xx xx", NULL };
    rc_mem mem = { 0 };
    rc_bpe *b = make(merges, NULL, NULL, &mem);

    (void)state;
    expect(b, "", "");
    expect(b, "a", "97");
    expect(b, "ab", "257");
    expect(b, "abc", "258"); /* b c first, though a b stands further left */
    expect(b, "abd", "257 100");
    expect(b, "aab", "97 257");
    expect(b, "xxx", "259 120"); /* of equals the left one */
    expect(b, "xxxx", "260");
    expect(b, "xxxxx", "260 120");
    expect(b, "xxxxxxx", "260 259 120");
    expect(b, "ab ab", "257 32 257"); /* not across pieces: "ab| ab" */
    expect(b, "a1b", "97 49 98");
    rc_bpe_free(&b);
    assert_null(b);
    assert_int_equal(mem.used, 0);
}

/* As a map that is filled in order: the later of two equal merges has the say. */
static void test_bpe_doubled_merge(void **state)
{
    static const char *const merges[] = { "a b", "b c", "a b", NULL };
    rc_mem mem = { 0 };
    rc_bpe *b = make(merges, NULL, NULL, &mem);

    (void)state;
    expect(b, "abc", "97 257");
    rc_bpe_free(&b);
}

static void test_bpe_added_tokens(void **state)
{
    static const char *const merges[] = { "< a", NULL };
    static const added more[] = {
        { "<a>", false, false },
        { "<a><b>", false, false },
        { "b>", true, false },
        { ">x", true, false },
        { "<x", false, false },
        { "x y", true, false },
        { 0 },
    };
    rc_mem mem = { 0 };
    rc_bpe *b = make(merges, more, NULL, &mem);
    uint32_t id = 0;

    (void)state;
    expect(b, "<a>", "1000");
    expect(b, "<a><a><b><a", "1000 1001 256");
    expect(b, "b>x", "1002 120");   /* leftmost */
    expect(b, "b><x", "1002 1004"); /* the normalized ones come after the others */
    expect(b, ">x<x", "1003 1004");
    expect(b, "><x", "62 1004");
    expect(b, "Ġ ", "196 160 32"); /* a character like any other */
    expect(b, "ax yb", "97 1005 98");
    assert_true(rc_bpe_added(b, "<a>", &id) && id == 1000);
    assert_true(rc_bpe_added(b, "b>", &id) && id == 1002);
    assert_false(rc_bpe_added(b, "<a", &id) || rc_bpe_added(b, "<a>b", &id) ||
                 rc_bpe_added(b, "", &id));
    rc_bpe_free(&b);
    assert_int_equal(mem.used, 0);
}

/* No UTF-8: each such run is a piece, and its bytes are kept. */
static void test_bpe_broken_text(void **state)
{
    static const char *const merges[] = { "ÿ ÿ", "a ÿ", NULL };
    static const added more[] = { { "｜", false, false }, { 0 } };
    rc_mem mem = { 0 };
    rc_bpe *b = make(merges, more, NULL, &mem);
    rc_ids ids;
    char all[70000];

    (void)state;
    expect(b, "a\xff", "97 255");
    expect(b, "\xff\xff\x61\xff", "256 97 255");
    expect(b, "\xe2\x82", "226 130");
    expect(b, "\xe2\x82\xac", "226 130 172");
    expect(b, "\xef\xbd\xef\xbd\x9c\xef", "239 189 1000 239");
    expect(b, "\xed\xa0\x80", "237 160 128"); /* a surrogate */
    expect(b, "1\xf8", "49 248");
    ids = encode(b, "a\0b", 3, &mem);
    assert_true(ids.n == 3 && ids.at[1] == 0);
    rc_mem_put(&mem, ids.at);
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (char)fx_byte(i);
    ids = encode(b, all, sizeof all, &mem);
    rc_mem_put(&mem, ids.at);
    rc_bpe_free(&b);
    assert_int_equal(mem.used, 0);
}

static void test_bpe_refuses_a_byte_without_token(void **state)
{
    static const char *const merges[] = { NULL };
    rc_mem mem = { 0 };
    rc_bpe *b = make(merges, NULL, "z\x7f", &mem);
    rc_ids ids = { .mem = &mem };
    rc_err err = { 0 };

    (void)state;
    assert_int_equal(rc_bpe_encode(b, "xyz", 3, &ids, &err), RC_E_DATA);
    assert_string_equal(err.msg, "the vocabulary has no token for byte 0x7a of the text");
    assert_int_equal(rc_bpe_encode(b, "xy", 2, &ids, &err), RC_OK);
    assert_int_equal(rc_bpe_encode(b, "", RC_BPE_MAX_TEXT + 1ul, &ids, &err), RC_E_LIMIT);
    rc_mem_put(&mem, ids.at);
    rc_bpe_free(&b);
    assert_int_equal(mem.used, 0);
}

static void test_bpe_bytes_of_ids(void **state)
{
    static const char *const merges[] = { "Ġ a", NULL };
    static const added more[] = { { "<｜▁pad▁｜>", false, false }, { "a▁b", true, false }, { 0 } };
    rc_mem mem = { 0 };
    rc_bpe *b = make(merges, more, NULL, &mem);
    size_t len;

    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        const char *bytes = rc_bpe_bytes(b, i, &len);

        assert_int_equal(len, 1);
        assert_int_equal((uint8_t)*bytes, i);
    }
    assert_memory_equal(rc_bpe_bytes(b, 256, &len), " a", 2);
    assert_int_equal(len, 2);
    assert_non_null(rc_bpe_bytes(b, 500, &len)); /* unused */
    assert_int_equal(len, 0);
    assert_memory_equal(rc_bpe_bytes(b, 1000, &len), more[0].text, strlen(more[0].text));
    assert_int_equal(len, strlen(more[0].text));
    assert_memory_equal(rc_bpe_bytes(b, 1001, &len), "a▁b", strlen("a▁b"));
    assert_null(rc_bpe_bytes(b, 1002, &len));
    assert_null(rc_bpe_bytes(b, UINT32_MAX, &len));
    assert_int_equal(len, 0);
    expect(b, "a▁b a b", "1001 256 32 98"); /* GGUF's spelling is not the text's */
    rc_bpe_free(&b);
}

static void refuse(const char *json, size_t len, const char *want)
{
    rc_mem mem = { 0 };
    rc_err err = { 0 };
    rc_bpe *b;

    assert_int_equal(build(&b, json, len, &mem, &err), RC_E_UNSUPPORTED);
    assert_null(b);
    if (!strstr(err.msg, want))
        fail_msg("'%s' does not say '%s'", err.msg, want);
    assert_int_equal(mem.used, 0);
}

/* What would give other ids than the library's is refused, not left out. */
static void test_bpe_refuses_what_it_does_not_do(void **state)
{
    static const char *const merges[] = { "a b", NULL };
    static const added strips[] = { { "<x>", false, true }, { 0 } };
    rc_mem mem = { 0 };
    size_t len;
    char *json = make_json(merges, strips, NULL, &len, &mem), *at, *changed;

    (void)state;
    refuse(json, len, "an added token that looks at what is beside it");
    rc_mem_put(&mem, json);
    json = make_json(merges, NULL, NULL, &len, &mem);
    changed = malloc(len + 100);
    at = strstr(json, "\"model\":{");
    assert_non_null(at);
    sprintf(changed, "%.*s\"normalizer\":{\"type\":\"NFC\"},%s", (int)(at - json), json, at);
    refuse(changed, strlen(changed), "a normalizer");
    sprintf(changed, "%.*s\"model\":{\"dropout\":0.1,%s", (int)(at - json), json, at + 9);
    refuse(changed, strlen(changed), "dropout");
    memcpy(changed, json, len + 1);
    memcpy(strstr(changed, "Isolated"), "Removed!", 8);
    refuse(changed, len, "pre-tokenizer");
    free(changed);
    rc_mem_put(&mem, json);
    assert_int_equal(mem.used, 0);
}

static void test_bpe_synthetic(void **state)
{
    static const char text[] =
        "The model reads tokens, 12345 of them.\n\n\tint main(void) { return 0; }\n"
        "模型读入文字。カタカナ Ünïcödé 🚀👩‍🚀 "
        "<｜User｜>Hi<｜Assistant｜><think>";
    rc_mem mem = { 0 };
    rc_bpe *b = make_synth(&mem);
    rc_ids ids = encode(b, text, strlen(text), &mem);
    uint32_t user = 0;

    (void)state;
    assert_true(ids.n < strlen(text) * 2 / 3);
    assert_true(rc_bpe_added(b, "<｜User｜>", &user));
    assert_true(rc_bpe_added(b, "<think>", &user) && ids.at[ids.n - 1] == user);
    assert_true(rc_bpe_added(b, "<｜Assistant｜>", &user) && ids.at[ids.n - 2] == user);
    rc_mem_put(&mem, ids.at);
    rc_bpe_free(&b);
    assert_int_equal(mem.used, 0);
}

/* Long pieces without a place to cut: an hour if it were quadratic. */
static void test_bpe_long_pieces(void **state)
{
    static const char *const runs[] = { "a", "th", "的", "!", "\xff", "\n", " " };
    enum { N = 1 << 20 };
    rc_mem mem = { 0 };
    rc_bpe *b = make_synth(&mem);
    char *text = malloc(N + 8);

    (void)state;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        rc_ids ids;
        size_t n = 0;

        for (; n < N; n += strlen(runs[i]))
            memcpy(text + n, runs[i], strlen(runs[i]));
        ids = encode(b, text, n, &mem);
        rc_mem_put(&mem, ids.at);
    }
    free(text);
    rc_bpe_free(&b);
    assert_int_equal(mem.used, 0);
}

static void test_bpe_without_memory(void **state)
{
    static const char *const merges[] = { "a b", "ab c", NULL };
    static const added more[] = { { "<a>", false, false }, { "<b>", true, false }, { 0 } };
    rc_mem none = { 0 };
    size_t len;
    char *json = make_json(merges, more, NULL, &len, &none);

    (void)state;
    for (size_t at = 1; at < 2000; at++) {
        rc_mem mem = { .fail_at = at };
        rc_ids ids = { .mem = &mem };
        rc_err err = { 0 };
        rc_bpe *b;
        rc_code rc = build(&b, json, len, &mem, &err);

        if (rc == RC_OK)
            rc = rc_bpe_encode(b, "abc <a> abc <b> 123\xff", 20, &ids, &err);
        rc_bpe_free(&b);
        rc_mem_put(&mem, ids.at);
        assert_int_equal(mem.used, 0);
        if (mem.calls < at) {
            assert_int_equal(rc, RC_OK);
            rc_mem_put(&none, json);
            return;
        }
        assert_true(rc == RC_E_OS || rc == RC_OK); /* without machine code it goes on */
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bpe_joins_by_rank),
        cmocka_unit_test(test_bpe_doubled_merge),
        cmocka_unit_test(test_bpe_added_tokens),
        cmocka_unit_test(test_bpe_broken_text),
        cmocka_unit_test(test_bpe_refuses_a_byte_without_token),
        cmocka_unit_test(test_bpe_bytes_of_ids),
        cmocka_unit_test(test_bpe_refuses_what_it_does_not_do),
        cmocka_unit_test(test_bpe_synthetic),
        cmocka_unit_test(test_bpe_long_pieces),
        cmocka_unit_test(test_bpe_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
