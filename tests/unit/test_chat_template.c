/* tests/unit/test_chat_template.c - the template is the file; what it renders is checked by
 * tests/oracle/check_template.py. */
#include "fixture.h"

#include "formats/tokenizer.h"

static void test_chat_template_is_the_file(void **state)
{
    const char *text = rc_chat_template(), *root = getenv("ROOT");
    char path[4096], have[32768];
    size_t n;
    FILE *f;

    (void)state;
    snprintf(path, sizeof path, "%s/formats/chat_template.jinja", root ? root : ".");
    f = fopen(path, "rb");
    assert_non_null(f);
    n = fread(have, 1, sizeof have, f);
    fclose(f);
    assert_true(n > 0 && n < sizeof have);
    assert_int_equal(strlen(text), n);
    assert_memory_equal(text, have, n);
}

/* llama.cpp knows by these words how to read the model's answer. */
static void test_chat_template_is_recognised(void **state)
{
    const char *text = rc_chat_template();

    (void)state;
    assert_non_null(strstr(text, "dsml_token"));
    assert_non_null(strstr(text, "DSML"));
    assert_non_null(strstr(text, "tool_calls"));
    assert_true(strlen(text) <= RC_TOKENIZER_MAX_TEMPLATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chat_template_is_the_file),
        cmocka_unit_test(test_chat_template_is_recognised),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
