/* tests/unit/test_tokenizer.c - vocabularies that lie (faults B16, B17, B24 to B29), and the
 * types and texts that GGUF gets. */
#include "fixture.h"

#include "formats/byte_level.h"
#include "formats/tokenizer.h"

/* clang-format off */
#define SPLITS                                                                                     \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\p{N}{1,3}\"},"                               \
    "\"behavior\":\"Isolated\",\"invert\":false},"                                                 \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[一-龥぀-ゟ゠-ヿ]+\"},"                          \
    "\"behavior\":\"Isolated\",\"invert\":false},"                                                 \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[!\\\"#$%&'()*+,\\\\-./:;<=>?@\\\\[\\\\\\\\\\\\]"\
    "^_`{|}~][A-Za-z]+|[^\\r\\n\\\\p{L}\\\\p{P}\\\\p{S}]?[\\\\p{L}\\\\p{M}]+| ?"                   \
    "[\\\\p{P}\\\\p{S}]+[\\r\\n]*|\\\\s*[\\r\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},"                      \
    "\"behavior\":\"Isolated\",\"invert\":false},"
/* clang-format on */
#define BYTES                                                                                      \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":"      \
    "false}"
#define SEQUENCE(x) "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[" x "]}"
#define PRE         SEQUENCE(SPLITS BYTES)
#define ADDED(x)    "\"added_tokens\":[" x "]"
#define BPE(x)      "\"model\":{\"type\":\"BPE\"," x "}"

static char said[1024]; /* all warnings */

static void on_warning(void *ctx, const rc_err *w)
{
    (void)ctx;
    strncat(said, w->msg, sizeof said - strlen(said) - 2);
    strcat(said, "\n");
}

static rc_code parse_n(rc_tokenizer **out, const char *json, size_t len, const char *config,
                       uint32_t vocab_size, rc_mem *mem, rc_err *err)
{
    const rc_log log = { .warn = on_warning, .ctx = NULL };
    const size_t config_len = config ? strlen(config) : 0;
    uint8_t *a = malloc(len + 1), *b = malloc(config_len + 1);
    rc_code rc;

    said[0] = '\0';
    memset(err, 0, sizeof *err);
    memcpy(a, json, len);
    memcpy(b, config ? config : "", config_len);
    rc = rc_tokenizer_parse(out, a, len, config ? b : NULL, config_len, vocab_size, &log, mem, err);
    free(a); /* nothing may point into them */
    free(b);
    assert_int_equal(err->code, rc);
    assert_int_equal(*out != NULL, rc == RC_OK);
    if (rc != RC_OK)
        assert_int_equal(mem->used, 0);
    return rc;
}

static rc_tokenizer *parse(const char *json, const char *config, uint32_t vocab_size, rc_mem *mem)
{
    rc_err err;
    rc_tokenizer *t;

    if (parse_n(&t, json, strlen(json), config, vocab_size, mem, &err) != RC_OK)
        fail_msg("%s: %s", err.file, err.msg);
    return t;
}

static void expect(const rc_tokenizer *t, uint32_t id, const char *text, rc_token_type type)
{
    size_t len;
    rc_token_type got;
    const char *s = rc_tokenizer_token(t, id, &len, &got);

    assert_string_equal(s, text);
    assert_int_equal(len, strlen(text));
    assert_int_equal(got, type);
}

static const char sound[] = "{\"version\":\"1.0\"," ADDED(
    "{\"id\":0,\"content\":\"<｜begin▁of▁sentence｜>\",\"special\":true},"
    "{\"id\":1,\"content\":\"<｜User｜>\",\"normalized\":false,\"special\":false},"
    "{\"id\":6,\"content\":\"<think>\",\"special\":false},"
    "{\"id\":7,\"content\":\"a▁b\",\"special\":false},"
    "{\"id\":9,\"content\":\"<|EOT|>\"}") ","
                                          "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[]"
                                          "}," PRE ","
                                          "\"post_processor\":{\"type\":\"ByteLevel\"},\"decoder\":"
                                          "{\"type\":\"ByteLevel\"}," BPE(
                                              "\"dropout\":null,\"unk_token\":null,\"byte_"
                                              "fallback\":false,"
                                              "\"vocab\":{\"<｜begin▁of▁sentence｜>\":0,\"a\":2,"
                                              "\"b\":3,\"Ġ\":4,\"ab\":5,\"Ġab\":10},"
                                              "\"merges\":[\"a b\",[\"Ġ\",\"ab\"]]") "}";
static const char sound_config[] =
    "{\"add_bos_token\":false,\"bos_token\":{\"__type\":\"AddedToken\",\"content\":"
    "\"<｜begin▁of▁sentence｜>\",\"lstrip\":false},\"eos_token\":\"<|EOT|>\",\"pad_token\":null,"
    "\"chat_template\":\"{{ bos_token }}\",\"model_max_length\":1000000,\"x\":{\"content\":\"a\"}}";

static void test_tokenizer_reads(void **state)
{
    rc_mem mem = { 0 };
    rc_tokenizer *t = parse(sound, sound_config, 12, &mem);
    uint32_t id = 99;
    size_t len;

    (void)state;
    assert_int_equal(rc_tokenizer_count(t), 12);
    expect(t, 0, "<｜begin▁of▁sentence｜>", RC_TOKEN_CONTROL);
    expect(t, 1, "<｜User｜>", RC_TOKEN_CONTROL); /* looks special */
    expect(t, 2, "a", RC_TOKEN_NORMAL);
    expect(t, 4, "Ġ", RC_TOKEN_NORMAL);
    expect(t, 5, "ab", RC_TOKEN_NORMAL);
    expect(t, 6, "<think>", RC_TOKEN_USER);
    expect(t, 7, "a b", RC_TOKEN_USER);
    expect(t, 8, "[PAD8]", RC_TOKEN_UNUSED);
    expect(t, 9, "<|EOT|>", RC_TOKEN_CONTROL);
    expect(t, 10, "Ġab", RC_TOKEN_NORMAL);
    expect(t, 11, "[PAD11]", RC_TOKEN_UNUSED);
    assert_int_equal(rc_tokenizer_merges(t), 2);
    assert_string_equal(rc_tokenizer_merge(t, 0, &len), "a b");
    assert_string_equal(rc_tokenizer_merge(t, 1, &len), "Ġ ab");
    assert_int_equal(len, 5);
    assert_true(rc_tokenizer_bos(t, &id) && id == 0);
    assert_true(rc_tokenizer_eos(t, &id) && id == 9);
    assert_false(rc_tokenizer_pad(t, &id));
    assert_int_equal(rc_tokenizer_add_bos(t), 0);
    assert_int_equal(rc_tokenizer_add_eos(t), 0); /* the post-processor says so */
    assert_string_equal(rc_tokenizer_pre(t), "joyai-llm");
    assert_string_equal(rc_tokenizer_template(t), "{{ bos_token }}");
    assert_string_equal(said, "253 of the 256 bytes have no token: text with them cannot be "
                              "tokenized\n2 of 12 ids have no token; they become \"[PAD<id>]\"\n");
    rc_tokenizer_free(&t);
    assert_null(t);
    assert_int_equal(mem.used, 0);
}

#define SMALL "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[]"

static void test_tokenizer_without_config(void **state)
{
    rc_mem mem = { 0 };
    rc_tokenizer *t = parse("{" PRE "," BPE(SMALL) "}", NULL, 3, &mem);
    uint32_t id;

    (void)state;
    assert_false(rc_tokenizer_bos(t, &id) || rc_tokenizer_eos(t, &id));
    assert_int_equal(rc_tokenizer_add_bos(t), -1);
    assert_int_equal(rc_tokenizer_add_eos(t), -1);
    assert_null(rc_tokenizer_template(t));
    rc_tokenizer_free(&t);
}

static void test_tokenizer_knows_the_pre_tokenizer(void **state)
{
    static const struct {
        const char *pre;
        bool joyai;
    } cases[] = {
        { PRE, true },
        /* what is not said takes the library's default, and that is another cut */
        { SEQUENCE(SPLITS "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"), false },
        { SEQUENCE(SPLITS "{\"type\":\"ByteLevel\",\"use_regex\":false}"), false },
        { SEQUENCE(SPLITS SPLITS BYTES), false },
        { SEQUENCE(SPLITS BYTES "," BYTES), false },
        { SEQUENCE(BYTES), false },
        { "\"pre_tokenizer\":" BYTES, false },
        { SEQUENCE("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a+)+$\"},\"behavior\":"
                   "\"Isolated\",\"invert\":false}," BYTES),
          false },
    };
    rc_digest digest[sizeof cases / sizeof *cases];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rc_mem mem = { 0 };
        char json[4096];
        rc_tokenizer *t;

        snprintf(json, sizeof json, "{%s," BPE(SMALL) "}", cases[i].pre);
        t = parse(json, NULL, 3, &mem);
        assert_int_equal(rc_tokenizer_pre(t) != NULL, cases[i].joyai);
        digest[i] = rc_tokenizer_pre_digest(t);
        for (size_t k = 0; k < i; k++)
            assert_false(rc_digest_equal(&digest[k], &digest[i]));
        rc_tokenizer_free(&t);
    }
}

/* Line ends in the expressions may be written \\r in place of \r. */
static void test_tokenizer_knows_escaped_line_ends(void **state)
{
    rc_mem mem = { 0 };
    char json[4096], *out = json;
    rc_tokenizer *t;

    (void)state;
    for (const char *p = "{" PRE "," BPE(SMALL) "}"; *p; p++) {
        if (p[0] == '\\' && (p[1] == 'r' || p[1] == 'n'))
            *out++ = '\\';
        *out++ = *p;
        if (p[0] == '\\') /* a pair */
            *out++ = *++p;
    }
    *out = '\0';
    t = parse(json, NULL, 3, &mem);
    assert_string_equal(rc_tokenizer_pre(t), "joyai-llm");
    rc_tokenizer_free(&t);
}

static void test_tokenizer_refuses(void **state)
{
    static const struct {
        const char *json;
        rc_code code;
        const char *says;
    } cases[] = {
        { "[]", RC_E_DATA, "not a JSON object" },
        { "7", RC_E_DATA, "not a JSON object" },
        { "{}", RC_E_DATA, "model.vocab is missing" },
        { "{\"model\":[]}", RC_E_DATA, "model is not an object" },
        { "{\"model\":null}", RC_E_DATA, "model.vocab is missing" },
        { "{\"added_tokens\":{}}", RC_E_DATA, "added_tokens is not a list" },
        { "{\"pre_tokenizer\":\"a\"}", RC_E_DATA, "pre_tokenizer is not an object" },
        { "{" PRE "," BPE("\"vocab\":[]") "}", RC_E_DATA, "model.vocab is not an object" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":-1}") "}", RC_E_DATA, "not a whole number" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":0.5}") "}", RC_E_DATA, "not a whole number" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":\"0\"}") "}", RC_E_DATA, "not a whole number" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":{}}") "}", RC_E_DATA, "not a whole number" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":1e3}") "}", RC_E_DATA, "not a whole number" },
        { "{" PRE "," BPE("\"vocab\":{\"\":0}") "}", RC_E_DATA, "a token is empty" },
        { "{" PRE "," BPE("\"vocab\":{\"a\\u0000b\":0}") "}", RC_E_DATA, "NUL" },
        { "{" PRE "," BPE("\"vocab\":{\"\\ud800\":0}") "}", RC_E_DATA, "" },
        { "{" PRE "," BPE("\"vocab\":{\"a\xff\":0}") "}", RC_E_DATA, "" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":0,\"a\":1}") "}", RC_E_DATA, "duplicate key" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":0,\"b\":0}") "}", RC_E_DATA,
          "id 0 twice: \"a\" and \"b\"" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":3}") "}", RC_E_TENSORSET, "no id 3 for token \"a\"" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":1000000000}") "}", RC_E_TENSORSET, "1000000000" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":2147483648}") "}", RC_E_DATA, "2147483648" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":18446744073709551616}") "}", RC_E_DATA,
          "not a whole number" },
        { "{" PRE "," BPE("\"vocab\":{\"a b\":0}") "}", RC_E_UNSUPPORTED,
          "token 0 is not spelled in byte-level characters" },
        { "{" PRE "," BPE("\"vocab\":{\"一\":0}") "}", RC_E_UNSUPPORTED, "byte-level characters" },
        { "{" PRE "," BPE(SMALL ",\"x\":1") "," ADDED("{\"id\":1,\"content\":\"a\"}") "}",
          RC_E_DATA, "token \"a\" has two ids, 0 and 1" },
        { "{" ADDED("{\"id\":1,\"content\":\"a\"}") "," PRE "," BPE(SMALL) "}", RC_E_DATA,
          "token \"a\" has two ids, 1 and 0" },
        { "{" ADDED("{\"id\":1,\"content\":\"x\"},{\"id\":1,\"content\":\"x\"}") "}", RC_E_DATA,
          "id 1 twice" },
        { "{" ADDED("{\"id\":1}") "}", RC_E_DATA, "content is missing" },
        { "{" ADDED("{\"content\":\"a\"}") "}", RC_E_DATA, "id is missing" },
        { "{" ADDED("{\"id\":true}") "}", RC_E_DATA, "id is not a whole number" },
        { "{" ADDED("{\"content\":1}") "}", RC_E_DATA, "content is not a string" },
        { "{" ADDED("{\"content\":\"\"}") "}", RC_E_DATA, "a token is empty" },
        { "{" ADDED("{\"special\":1}") "}", RC_E_DATA, "special is not" },
        { "{" ADDED("[]") "}", RC_E_DATA, "not an object" },
        { "{" PRE "," BPE("\"vocab\":{},\"merges\":{}") "}", RC_E_DATA, "merges is not a list" },
        { "{" PRE "," BPE("\"vocab\":{},\"merges\":[1]") "}", RC_E_DATA, "neither" },
        { "{" PRE "," BPE("\"vocab\":{},\"merges\":[[\"a\"]]") "}", RC_E_DATA, "neither" },
        { "{" PRE "," BPE("\"vocab\":{},\"merges\":[[\"a\",\"b\",\"c\"]]") "}", RC_E_DATA,
          "neither" },
        { "{" PRE "," BPE("\"vocab\":{},\"merges\":[[\"a\",\"b c\"]]") "}", RC_E_DATA, "neither" },
        { "{" PRE "," BPE("\"vocab\":{},\"merges\":[[\"a\",[]]]") "}", RC_E_DATA, "neither" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":0},\"merges\":[\"a\"]") "}", RC_E_DATA,
          "\"a\" is not \"A B\"" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":0},\"merges\":[\" a\"]") "}", RC_E_DATA,
          "not \"A B\"" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":0},\"merges\":[\"a \"]") "}", RC_E_DATA,
          "not \"A B\"" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":0},\"merges\":[\"\"]") "}", RC_E_DATA, "not \"A B\"" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]") "}", RC_E_DATA,
          "not \"A B\"" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b\"]") "}", RC_E_DATA,
          "makes a token" },
        { "{" PRE "," BPE("\"vocab\":{\"a\":0,\"ab\":1},\"merges\":[\"a b\"]") "}", RC_E_DATA,
          "names or makes" },
        { "{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", RC_E_UNSUPPORTED, "model.type" },
        { "{\"model\":{\"vocab\":{\"a\":0}}}", RC_E_UNSUPPORTED, "model.type is missing" },
        { "{" BPE(SMALL) "}", RC_E_UNSUPPORTED, "the pre-tokenizer is not byte-level" },
        { "{\"pre_tokenizer\":{\"type\":\"Metaspace\"}," BPE(SMALL) "}", RC_E_UNSUPPORTED,
          "not byte-level" },
        { "{" PRE "," BPE("\"byte_fallback\":true") "}", RC_E_UNSUPPORTED, "byte_fallback" },
        { "{" PRE "," BPE("\"ignore_merges\":true") "}", RC_E_UNSUPPORTED, "ignore_merges" },
        { "{" PRE "," BPE("\"end_of_word_suffix\":\"</w>\"") "}", RC_E_UNSUPPORTED,
          "end_of_word_suffix" },
        { "\xef\xbb\xbf{}", RC_E_DATA, "byte order mark" },
        { "{} x", RC_E_DATA, "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rc_mem mem = { 0 };
        rc_err err;
        rc_tokenizer *t;
        const rc_code rc = parse_n(&t, cases[i].json, strlen(cases[i].json), NULL, 3, &mem, &err);

        if (rc != cases[i].code || !strstr(err.msg, cases[i].says))
            print_error("%s: %s\n", cases[i].json, err.msg);
        assert_int_equal(rc, cases[i].code);
        assert_non_null(strstr(err.msg, cases[i].says));
        assert_string_equal(err.file, "tokenizer.json");
    }
}

static void test_tokenizer_bounds(void **state)
{
    rc_mem mem = { 0 };
    rc_err err;
    rc_tokenizer *t;
    const size_t n = 1 << 20;
    char *json = malloc(n + 200), *config = malloc(2 * n);

    (void)state;
    /* B27 */
    memset(json, 'x', n + 100);
    memcpy(json, "{\"added_tokens\":[{\"id\":0,\"content\":\"", 37 - 1);
    strcpy(json + 36 + n, "\"}]}");
    assert_int_equal(parse_n(&t, json, strlen(json), NULL, 1, &mem, &err), RC_E_DATA);
    assert_non_null(strstr(err.msg, "too long"));
    /* B28 */
    strcpy(config, "{\"chat_template\":\"");
    memset(config + 18, 'x', n + 1);
    strcpy(config + 18 + n + 1, "\"}");
    assert_int_equal(parse_n(&t, sound, sizeof sound - 1, config, 12, &mem, &err), RC_E_LIMIT);
    assert_string_equal(err.file, "tokenizer_config.json");
    config[18 + n] = '"'; /* one less: as long as may be */
    strcpy(config + 19 + n, "}");
    t = parse(sound, config, 12, &mem);
    assert_int_equal(strlen(rc_tokenizer_template(t)), n);
    rc_tokenizer_free(&t);
    free(json);
    free(config);
}

static void test_tokenizer_config(void **state)
{
    static const struct {
        const char *config;
        rc_code code;
        const char *says; /* the error, or a warning */
    } cases[] = {
        { "[]", RC_E_DATA, "not a JSON object" },
        { "{", RC_E_DATA, "" },
        { "{\"bos_token\":\"nobody\"}", RC_OK, "bos_token is not an added token: \"nobody\"" },
        { "{\"pad_token\":{\"content\":\"b\"}}", RC_OK, "pad_token is not an added token" },
        { "{\"add_eos_token\":true}", RC_OK, "add_eos_token is true, but" },
        { "{\"chat_template\":[{\"name\":\"a\",\"template\":\"b\"}]}", RC_OK, "is left out" },
        { "{\"bos_token\":7,\"add_bos_token\":\"yes\"}", RC_OK, "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rc_mem mem = { 0 };
        rc_err err;
        rc_tokenizer *t;
        uint32_t id;

        assert_int_equal(parse_n(&t, sound, sizeof sound - 1, cases[i].config, 12, &mem, &err),
                         cases[i].code);
        assert_non_null(strstr(err.code ? err.msg : said, cases[i].says));
        if (err.code) {
            assert_string_equal(err.file, "tokenizer_config.json");
            continue;
        }
        assert_false(rc_tokenizer_bos(t, &id) || rc_tokenizer_pad(t, &id));
        assert_null(rc_tokenizer_template(t));
        rc_tokenizer_free(&t);
    }
}

/* B17: cut anywhere, the offset is the cut or something before it. */
static void test_tokenizer_cut_everywhere(void **state)
{
    (void)state;
    for (size_t n = 0; n + 1 < sizeof sound; n++) {
        rc_mem mem = { 0 };
        rc_err err;
        rc_tokenizer *t;

        assert_int_equal(parse_n(&t, sound, n, NULL, 12, &mem, &err), RC_E_DATA);
        assert_true(err.offset <= n);
    }
}

static void test_tokenizer_without_memory(void **state)
{
    rc_code rc = RC_E_OS;

    (void)state;
    for (size_t k = 1; rc != RC_OK; k++) {
        rc_mem mem = { .fail_at = k };
        rc_err err;
        rc_tokenizer *t;

        rc = parse_n(&t, sound, sizeof sound - 1, sound_config, 12, &mem, &err);
        assert_true(rc == RC_OK || rc == RC_E_OS);
        rc_tokenizer_free(&t);
        assert_int_equal(mem.used, 0);
        assert_true(k < 1000);
    }
}

/* As many tokens and merges as a release has: a chain of merges over the base letters. */
static void test_tokenizer_true_size(void **state)
{
    enum { COUNT = 129280, LETTERS = 26, WORDS = LETTERS * LETTERS * LETTERS * 6 };
    rc_mem mem = { 0 };
    rc_err err;
    rc_tokenizer *t;
    char *json = malloc(16 << 20), *p = json;
    unsigned id = 0;

    (void)state;
    p += sprintf(p, "%s", "{" PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{");
    for (unsigned i = 0; i < LETTERS; i++)
        p += sprintf(p, "\"%c\":%u,", 'a' + i, id++);
    for (unsigned i = 0; i < LETTERS * LETTERS; i++)
        p += sprintf(p, "\"%c%c\":%u,", 'a' + i / 26, 'a' + i % 26, id++);
    for (unsigned i = 0; i < WORDS; i++)
        p += sprintf(p, "\"%c%c%c%c\":%u%s", 'a' + i / 17576, 'a' + i / 676 % 26, 'a' + i / 26 % 26,
                     'a' + i % 26, id++, i + 1 < WORDS ? "," : "");
    p += sprintf(p, "},\"merges\":[");
    for (unsigned i = 0; i < LETTERS * LETTERS; i++)
        p += sprintf(p, "\"%c %c\",", 'a' + i / 26, 'a' + i % 26);
    for (unsigned i = 0; i < WORDS; i++)
        p += sprintf(p, "[\"%c%c\",\"%c%c\"]%s", 'a' + i / 17576, 'a' + i / 676 % 26,
                     'a' + i / 26 % 26, 'a' + i % 26, i + 1 < WORDS ? "," : "");
    p += sprintf(p, "]}}");
    assert_int_equal(parse_n(&t, json, (size_t)(p - json), NULL, COUNT, &mem, &err), RC_OK);
    assert_int_equal(rc_tokenizer_merges(t), LETTERS * LETTERS + WORDS);
    assert_true(mem.peak < (40u << 20));
    rc_tokenizer_free(&t);
    free(json);
}

static void test_byte_level_spelling(void **state)
{
    char seen[256][3];

    (void)state;
    for (unsigned b = 0; b < 256; b++) {
        size_t i = 0;
        uint8_t back = 0;
        const size_t n = rc_byte_level_spell(seen[b], (uint8_t)b);

        assert_int_equal(n, strlen(seen[b]));
        assert_true(rc_byte_level_read(seen[b], n, &i, &back));
        assert_int_equal(i, n);
        assert_int_equal(back, b);
        for (unsigned k = 0; k < b; k++)
            assert_string_not_equal(seen[k], seen[b]);
    }
    assert_string_equal(seen[' '], "Ġ");
    assert_string_equal(seen['\n'], "Ċ");
    assert_string_equal(seen[0x7f], "ġ");
    assert_string_equal(seen[0xa0], "ł");
    assert_string_equal(seen[0xad], "Ń");
    assert_string_equal(seen[0xff], "ÿ");
    for (const char *const *s =
             (const char *const[]){ " ", "\n", "\x7f", "\xc2\xad", "\xc5\x84", "一", "\xc4", NULL };
         *s; s++) {
        size_t i = 0;
        uint8_t back;

        assert_false(rc_byte_level_read(*s, strlen(*s), &i, &back));
        assert_int_equal(i, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenizer_reads),
        cmocka_unit_test(test_tokenizer_without_config),
        cmocka_unit_test(test_tokenizer_knows_the_pre_tokenizer),
        cmocka_unit_test(test_tokenizer_knows_escaped_line_ends),
        cmocka_unit_test(test_tokenizer_refuses),
        cmocka_unit_test(test_tokenizer_bounds),
        cmocka_unit_test(test_tokenizer_config),
        cmocka_unit_test(test_tokenizer_cut_everywhere),
        cmocka_unit_test(test_tokenizer_without_memory),
        cmocka_unit_test(test_tokenizer_true_size),
        cmocka_unit_test(test_byte_level_spelling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
