/* tests/unit/test_tokenizer_gguf.c - a vocabulary from the keys of a GGUF file. */
#include "fixture.h"

#include "formats/byte_level.h"
#include "formats/tokenizer.h"
#include "tests/unit/gguf_bytes.h"

/* One file, of which a case changes one thing. */
typedef struct keys {
    const char *model, *pre;   /* NULL: not there */
    const char *last;          /* text of the last token */
    const char *merge;         /* of the last merge */
    const char *leave_out;     /* a key */
    uint32_t last_type, types; /* types: more or less than tokens */
    rc_gguf_type elem;         /* of the tokens */
} keys;

static const keys sound = { "gpt2", "joyai-llm",   "<|EOT|>", "Ġ ab",
                            NULL,   RC_TOKEN_USER, 0,         RC_GGUF_STR };
/* Model, pre-tokenizer, last token, last merge, key that is not there, type of the last token. */
#define KEYS(model, pre, last, merge, out, type)                                                   \
    {                                                                                              \
        model, pre, last, merge, out, type, 0, RC_GGUF_STR                                         \
    }
#define ALL(last, merge, type) KEYS("gpt2", "joyai-llm", last, merge, NULL, type)
enum { TOKENS = 256 + 5 };

static bool wanted(const keys *k, const char *key)
{
    return !k->leave_out || strcmp(k->leave_out, key) != 0;
}

static void put_tokens(gb *b, const keys *k)
{
    static const char *const more[] = { "ab", "Ġab", "<s>", "[PAD259]" };

    gb_kv_arr(b, "tokenizer.ggml.tokens", k->elem, TOKENS);
    for (unsigned i = 0; k->elem != RC_GGUF_STR && i < TOKENS; i++)
        gb_u32(b, i);
    for (unsigned i = 0; k->elem == RC_GGUF_STR && i < TOKENS; i++) {
        char text[3];

        if (i < 256)
            rc_byte_level_spell(text, (uint8_t)i);
        gb_str(b, i < 256 ? text : i < 260 ? more[i - 256] : k->last);
    }
}

static void put_types(gb *b, const keys *k)
{
    static const uint32_t more[] = { RC_TOKEN_NORMAL, RC_TOKEN_NORMAL, RC_TOKEN_CONTROL,
                                     RC_TOKEN_UNUSED };
    const uint32_t n = TOKENS + k->types;

    gb_kv_arr(b, "tokenizer.ggml.token_type", RC_GGUF_I32, n);
    for (unsigned i = 0; i < n; i++)
        gb_u32(b, i < 256 ? RC_TOKEN_NORMAL : i < 260 ? more[i - 256] : k->last_type);
}

static void put_keys(gb *b, const keys *k)
{
    if (k->model)
        gb_kv_str(b, "tokenizer.ggml.model", k->model);
    if (k->pre)
        gb_kv_str(b, "tokenizer.ggml.pre", k->pre);
    if (wanted(k, "tokenizer.ggml.tokens"))
        put_tokens(b, k);
    if (wanted(k, "tokenizer.ggml.token_type"))
        put_types(b, k);
    if (wanted(k, "tokenizer.ggml.merges")) {
        gb_kv_arr(b, "tokenizer.ggml.merges", RC_GGUF_STR, 2);
        gb_str(b, "a b");
        gb_str(b, k->merge);
    }
    gb_kv_u32(b, "tokenizer.ggml.bos_token_id", 258);
    gb_kv_u32(b, "tokenizer.ggml.eos_token_id", 99999);
}

static rc_code parse(rc_tokenizer **out, const keys *k, uint32_t vocab_size, rc_mem *mem,
                     rc_err *err)
{
    static const uint64_t shape[] = { 1 };
    gb b = { 0 };
    int n = 2 + (k->model != NULL) + (k->pre != NULL);
    rc_gguf *g;
    uint8_t *head;
    rc_mem whole = { 0 };
    rc_code rc;

    n += wanted(k, "tokenizer.ggml.tokens") + wanted(k, "tokenizer.ggml.token_type") +
         wanted(k, "tokenizer.ggml.merges");
    gb_head(&b, 1, (uint64_t)n);
    put_keys(&b, k);
    gb_tensor(&b, "t", RC_DTYPE_F32, 1, shape);
    gb_data(&b);
    head = rc_mem_get(&whole, b.n);
    memcpy(head, b.p, b.n);
    memset(err, 0, sizeof *err);
    if (rc_gguf_new(&g, head, b.n, b.n, NULL, &whole, err) != RC_OK)
        fail_msg("%s", err->msg);
    rc = rc_tokenizer_from_gguf(out, g, vocab_size, NULL, mem, err);
    rc_gguf_free(&g); /* nothing may point into it */
    gb_free(&b);
    assert_int_equal(whole.used, 0);
    assert_int_equal(err->code, rc);
    assert_int_equal(*out != NULL, rc == RC_OK);
    return rc;
}

static void test_tokenizer_gguf_reads(void **state)
{
    rc_mem mem = { 0 };
    rc_tokenizer *t;
    rc_merge_ids m;
    rc_err err;
    rc_token_type type;
    uint32_t id;
    size_t len;
    bool early = false;

    (void)state;
    assert_int_equal(parse(&t, &sound, 300, &mem, &err), RC_OK);
    assert_int_equal(rc_tokenizer_count(t), TOKENS);
    assert_string_equal(rc_tokenizer_token(t, 257, &len, &type), "Ġab");
    assert_int_equal(type, RC_TOKEN_NORMAL);
    assert_string_equal(rc_tokenizer_added(t, 258, &len, &early), "<s>");
    assert_true(early && len == 3);
    assert_null(rc_tokenizer_added(t, 257, &len, &early));
    assert_null(rc_tokenizer_added(t, 259, &len, &early));
    assert_true(rc_tokenizer_in_vocab(t, 257) && !rc_tokenizer_in_vocab(t, 259));
    assert_string_equal(rc_tokenizer_added(t, 260, &len, &early), "<|EOT|>");
    assert_int_equal(rc_tokenizer_merges(t), 2);
    rc_tokenizer_merge_ids(t, 1, &m);
    assert_true(m.left == ' ' && m.right == 256 && m.made == 257);
    assert_true(rc_tokenizer_bos(t, &id) && id == 258);
    assert_false(rc_tokenizer_eos(t, &id));
    assert_string_equal(rc_tokenizer_pre(t), "joyai-llm");
    assert_null(rc_tokenizer_extras(t));
    rc_tokenizer_free(&t);
    assert_int_equal(mem.used, 0);
}

static void test_tokenizer_gguf_refuses(void **state)
{
    static const struct {
        rc_code code;
        const char *msg;
        uint32_t vocab_size;
        keys k;
    } cases[] = {
        { RC_OK, "", 300, KEYS("gpt2", "deepseek-v3", "x y", "a b", NULL, 4) },
        { RC_OK, "", TOKENS, KEYS("gpt2", "joyai-llm", "x", "", "tokenizer.ggml.merges", 5) },
        { RC_E_NOINPUT, "no tokenizer", 300, KEYS(NULL, "joyai-llm", "x y", "a b", NULL, 4) },
        { RC_E_UNSUPPORTED, "tokenizer.ggml.model is another", 300,
          KEYS("llama", "joyai-llm", "x y", "a b", NULL, 4) },
        { RC_E_UNSUPPORTED, "tokenizer.ggml.pre is another", 300,
          KEYS("gpt2", "llama-bpe", "x y", "a b", NULL, 4) },
        { RC_E_UNSUPPORTED, "tokenizer.ggml.pre is another", 300,
          KEYS("gpt2", NULL, "x y", "a b", NULL, 4) },
        { RC_E_DATA, "tokens is missing", 300,
          KEYS("gpt2", "joyai-llm", "x y", "a b", "tokenizer.ggml.tokens", 4) },
        { RC_E_DATA, "token_type is missing", 300,
          KEYS("gpt2", "joyai-llm", "x y", "a b", "tokenizer.ggml.token_type", 4) },
        { RC_E_DATA,
          "tokens is not an array of strings",
          300,
          { "gpt2", "joyai-llm", "x y", "a b", NULL, 4, 0, RC_GGUF_U32 } },
        { RC_E_DATA,
          "not one for each token",
          300,
          { "gpt2", "joyai-llm", "x y", "a b", NULL, 4, 1, RC_GGUF_STR } },
        { RC_E_DATA,
          "not one for each token",
          300,
          { "gpt2", "joyai-llm", "x y", "a b", NULL, 4, (uint32_t)-1, RC_GGUF_STR } },
        { RC_E_TENSORSET, "more than the model has", TOKENS - 1, ALL("x y", "a b", 4) },
        { RC_E_DATA, "token_type: 0 of token 260", 300, ALL("x y", "a b", 0) },
        { RC_E_DATA, "token_type: 6 of token 260", 300, ALL("x y", "a b", 6) },
        { RC_E_DATA, "a token is empty", 300, ALL("", "a b", 4) },
        { RC_E_DATA, "token \"ab\" has two ids, 256 and 260", 300, ALL("ab", "a b", 4) },
        { RC_E_UNSUPPORTED, "not spelled in byte-level", 300, ALL("x y", "a b", 1) },
        { RC_E_DATA, "tokenizer.ggml.merges: \"ab\" is not", 300, ALL("x y", "ab", 4) },
        { RC_E_DATA, "tokenizer.ggml.merges: \"b a\" names or makes", 300, ALL("x y", "b a", 4) },
        { RC_E_DATA, "tokenizer.ggml.merges: \"Q QQ\" names or makes", 300, ALL("x y", "Q QQ", 4) },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rc_mem mem = { 0 };
        rc_err err;
        rc_tokenizer *t;
        const rc_code rc = parse(&t, &cases[i].k, cases[i].vocab_size, &mem, &err);

        if (rc != cases[i].code || !strstr(err.msg, cases[i].msg))
            fail_msg("case %zu: %d, '%s'; want %d, '%s'", i, (int)rc, err.msg, (int)cases[i].code,
                     cases[i].msg);
        rc_tokenizer_free(&t);
        assert_int_equal(mem.used, 0);
    }
}

static void test_tokenizer_gguf_without_memory(void **state)
{
    (void)state;
    for (size_t at = 1; at < 1000; at++) {
        rc_mem mem = { .fail_at = at };
        rc_err err;
        rc_tokenizer *t;
        const rc_code rc = parse(&t, &sound, 300, &mem, &err);

        rc_tokenizer_free(&t);
        assert_int_equal(mem.used, 0);
        if (rc == RC_OK)
            return;
        assert_int_equal(rc, RC_E_OS);
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenizer_gguf_reads),
        cmocka_unit_test(test_tokenizer_gguf_refuses),
        cmocka_unit_test(test_tokenizer_gguf_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
