/* tests/unit/test_synth_tokenizer.c - what synth writes is a tokenizer by the rules of the
 * reader that reads real ones. tests/oracle/check_tokenizer.py asks the `tokenizers` library. */
#include "fixture.h"

#include "convert/synth_tokenizer.h"
#include "formats/tokenizer.h"

static char said[512];

static void on_warning(void *ctx, const rc_err *w)
{
    (void)ctx;
    strncat(said, w->msg, sizeof said - strlen(said) - 1);
}

static rc_tokenizer *make(uint32_t vocab_size, rc_mem *mem)
{
    const rc_log log = { .warn = on_warning, .ctx = NULL };
    char *json, *config;
    size_t len, config_len;
    rc_tokenizer *t;
    rc_err err;

    said[0] = '\0';
    assert_int_equal(rc_synth_tokenizer(&json, &len, vocab_size, mem, &err), RC_OK);
    assert_int_equal(rc_synth_tokenizer_config(&config, &config_len, "made up", 4096, mem, &err),
                     RC_OK);
    if (rc_tokenizer_parse(&t, (const uint8_t *)json, len, (const uint8_t *)config, config_len,
                           vocab_size, &log, mem, &err) != RC_OK)
        fail_msg("%s: %s", err.file, err.msg);
    rc_mem_put(mem, json);
    rc_mem_put(mem, config);
    return t;
}

static rc_token_type find(const rc_tokenizer *t, const char *text, uint32_t *id)
{
    for (*id = 0; *id < rc_tokenizer_count(t); ++*id) {
        rc_token_type type;
        size_t len;

        if (strcmp(rc_tokenizer_token(t, *id, &len, &type), text) == 0)
            return type;
    }
    fail_msg("there is no %s", text);
    return RC_TOKEN_UNKNOWN;
}

static void expect_common(const rc_tokenizer *t)
{
    /* what ds4 looks up by its text, and refuses to go without */
    static const char *const needed[] = { "<｜begin▁of▁sentence｜>",
                                          "<｜end▁of▁sentence｜>",
                                          "<｜User｜>",
                                          "<｜Assistant｜>",
                                          "<think>",
                                          "</think>",
                                          "｜DSML｜" };
    uint32_t id = 99;

    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        assert_int_equal(find(t, needed[i], &id), i < 4 ? RC_TOKEN_CONTROL : RC_TOKEN_USER);
    assert_true(rc_tokenizer_bos(t, &id) && id == 0);
    assert_true(rc_tokenizer_eos(t, &id) && id == 1);
    assert_true(rc_tokenizer_pad(t, &id) && id == 1);
    assert_int_equal(rc_tokenizer_add_bos(t), 0);
    assert_int_equal(rc_tokenizer_add_eos(t), 0);
    assert_string_equal(rc_tokenizer_pre(t), "joyai-llm");
    assert_null(rc_tokenizer_template(t));
    assert_int_equal(find(t, "!", &id), RC_TOKEN_NORMAL); /* ids of a release's */
    assert_int_equal(id, 3);
    find(t, "Ġ", &id);
    assert_int_equal(id, 223);
    find(t, "Ġthe", &id);
}

static void test_synth_tokenizer_small(void **state)
{
    (void)state;
    for (uint32_t vocab = RC_SYNTH_MIN_VOCAB; vocab <= 512; vocab += 64) {
        rc_mem mem = { 0 };
        rc_tokenizer *t = make(vocab, &mem);

        expect_common(t);
        assert_string_equal(said, ""); /* a token for every id, and for every byte */
        rc_tokenizer_free(&t);
        assert_int_equal(mem.used, 0);
    }
}

static void test_synth_tokenizer_full(void **state)
{
    static const struct {
        const char *text;
        uint32_t id;
    } places[] = {
        { "<｜place▁holder▁no▁0｜>", 128000 },
        { "<｜place▁holder▁no▁799｜>", 128799 },
        { "<｜User｜>", 128803 },
        { "</think>", 128822 },
        { "｜DSML｜", 128825 },
        { "<｜end_of_query｜>", 128846 },
        { "<|place_holder_mm_span_0021|>", 128847 },
        { "<|place_holder_mm_span_0435|>", 129261 },
        { "[PAD129262]", 129262 },
    };
    rc_mem mem = { 0 };
    rc_tokenizer *t = make(129280, &mem);
    uint32_t id;

    (void)state;
    expect_common(t);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        find(t, places[i].text, &id);
        assert_int_equal(id, places[i].id);
    }
    assert_string_equal(said, "18 of 129280 ids have no token; they become \"[PAD<id>]\"");
    assert_true(rc_tokenizer_merges(t) > 400);
    rc_tokenizer_free(&t);
    assert_int_equal(mem.used, 0);
}

static void test_synth_tokenizer_without_memory(void **state)
{
    rc_code rc = RC_E_OS;

    (void)state;
    for (size_t k = 1; rc != RC_OK; k++) {
        rc_mem mem = { .fail_at = k };
        rc_err err;
        char *text;
        size_t len;

        rc = rc_synth_tokenizer(&text, &len, RC_SYNTH_MIN_VOCAB, &mem, &err);
        assert_true(rc == RC_OK || rc == RC_E_OS);
        rc_mem_put(&mem, text);
        assert_int_equal(mem.used, 0);
        assert_true(k < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_synth_tokenizer_small),
        cmocka_unit_test(test_synth_tokenizer_full),
        cmocka_unit_test(test_synth_tokenizer_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
