/* tests/unit/test_python_json.c - JSON as Python spells it; the right column is Python's own:
 * json.dumps(json.loads(left), ensure_ascii=False). */
#include "fixture.h"

#include "formats/python_json.h"

static void expect(const char *json, const char *want)
{
    rc_mem mem = { 0 };
    rc_arena arena = { .mem = &mem };
    rc_text out = { .mem = &mem };
    const rc_json_node *root;
    rc_err err = { 0 };

    assert_int_equal(rc_json_tree(&root, (const uint8_t *)json, strlen(json), &arena, &err), RC_OK);
    rc_python_json(&out, root);
    assert_false(out.failed);
    assert_string_equal(out.at, want);
    assert_int_equal(out.len, strlen(want));
    rc_text_free(&out);
    rc_arena_free(&arena);
    assert_int_equal(mem.used, 0);
}

static void test_python_json_values(void **state)
{
    (void)state;
    expect("{}", "{}");
    expect("[ ]", "[]");
    expect("{\"b\":[1,{\"a\":null}],\"a\":true , \"c\":\"x\"}",
           "{\"b\": [1, {\"a\": null}], \"a\": true, \"c\": \"x\"}");
    expect("false", "false");
    expect("\"a/\\/\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\\u00e9\\ud83e\\ude77\"",
           "\"a//\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xc3\xa9\xf0\x9f\xa9\xb7\"");
    expect("{\"\\n\":1}", "{\"\\n\": 1}");
}

static void test_python_json_numbers(void **state)
{
    static const char *const cases[][2] = {
        { "0", "0" },
        { "-0", "0" },
        { "-0.0", "-0.0" },
        { "123456789012345678901234567890", "123456789012345678901234567890" },
        { "-5", "-5" },
        { "1.0", "1.0" },
        { "1e0", "1.0" },
        { "0.1", "0.1" },
        { "1.10", "1.1" },
        { "1e5", "100000.0" },
        { "1E+15", "1000000000000000.0" },
        { "1e16", "1e+16" },
        { "123456789012345678.0", "1.2345678901234568e+17" },
        { "1234567890123456.7", "1234567890123456.8" },
        { "0.0001", "0.0001" },
        { "0.00012", "0.00012" },
        { "1e-5", "1e-05" },
        { "1.5e-7", "1.5e-07" },
        { "0.30000000000000004", "0.30000000000000004" },
        { "5e-324", "5e-324" },
        { "1e-400", "0.0" },
        { "1e400", "Infinity" },
        { "-1e400", "-Infinity" },
        { "1.7976931348623157e308", "1.7976931348623157e+308" },
        { "9007199254740993.0", "9007199254740992.0" },
        { "100.5", "100.5" },
        { "2.5e-5", "2.5e-05" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(cases[i][0], cases[i][1]);
}

static void test_json_tree_members(void **state)
{
    static const char json[] = " {\"a\": [1, 2], \"b\": null, \"c\": {\"a\": \"x\"}}";
    rc_mem mem = { 0 };
    rc_arena arena = { .mem = &mem };
    const rc_json_node *root, *n;
    rc_err err = { 0 };

    (void)state;
    assert_int_equal(rc_json_tree(&root, (const uint8_t *)json, strlen(json), &arena, &err), RC_OK);
    n = rc_json_member(root, "a");
    assert_true(rc_json_is(n, RC_JSON_ARRAY));
    assert_int_equal(n->offset, 7);
    assert_string_equal(n->child->next->text, "2");
    assert_null(n->child->key);
    assert_null(n->child->next->next);
    assert_null(rc_json_member(root, "b"));
    assert_null(rc_json_member(root, "x"));
    assert_null(rc_json_member(n, "a"));
    assert_null(rc_json_member(NULL, "a"));
    assert_string_equal(rc_json_member(rc_json_member(root, "c"), "a")->text, "x");
    rc_arena_free(&arena);
    assert_int_equal(rc_json_tree(&root, (const uint8_t *)"{\"a\":}", 6, &arena, &err), RC_E_DATA);
    assert_int_equal(err.offset, 5);
    assert_null(root);
    rc_arena_free(&arena);
    assert_int_equal(mem.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_python_json_values),
        cmocka_unit_test(test_python_json_numbers),
        cmocka_unit_test(test_json_tree_members),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
