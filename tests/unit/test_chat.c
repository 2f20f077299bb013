/* tests/unit/test_chat.c - prompts, byte for byte: the release's own cases, and what they leave
 * out. tests/oracle/check_chat.py asks the release's encoder about random conversations. */
#include "fixture.h"

#include "formats/chat.h"
#include "tests/unit/data.h"

#define BOS  "<｜begin▁of▁sentence｜>"
#define EOS  "<｜end▁of▁sentence｜>"
#define USER "<｜User｜>"
#define BOT  "<｜Assistant｜>"
#define D    "｜DSML｜"

static const rc_chat_opts chat = { 0 }, thinking = { .thinking = true },
                          keeping = { .thinking = true, .keep_reasoning = true };

static rc_code encode(rc_text *out, const char *json, const rc_chat_opts *opts, rc_err *err)
{
    const size_t len = strlen(json);
    char *exact = malloc(len + 1);
    rc_code rc;

    memset(err, 0, sizeof *err);
    memcpy(exact, json, len);
    rc = rc_chat_messages(out, exact, len, opts, err);
    free(exact);
    assert_int_equal(err->code, rc);
    return rc;
}

static void expect(const char *json, const rc_chat_opts *opts, const char *want)
{
    rc_mem mem = { 0 };
    rc_text out = { .mem = &mem };
    rc_err err;

    if (encode(&out, json, opts, &err) != RC_OK)
        fail_msg("%s: %s", json, err.msg);
    assert_string_equal(out.at, want);
    assert_int_equal(out.len, strlen(want));
    rc_text_free(&out);
    assert_int_equal(mem.used, 0);
}

static void test_chat_official(void **state)
{
    static char json[8192], want[8192];

    (void)state;
    for (int i = 1; i <= 4; i++) {
        char name[64];

        snprintf(name, sizeof name, "encoding/test_input_%d.json", i);
        json[data_load(name, json, sizeof json - 1)] = '\0';
        snprintf(name, sizeof name, "encoding/test_output_%d.txt", i);
        want[data_load(name, want, sizeof want - 1)] = '\0';
        expect(json, i == 4 ? &chat : &thinking, want);
    }
}

#define S(text)    "{\"role\":\"system\",\"content\":\"" text "\"}"
#define U(text)    "{\"role\":\"user\",\"content\":\"" text "\"}"
#define A(text)    "{\"role\":\"assistant\",\"content\":\"" text "\",\"reasoning_content\":\"R\"}"
#define T(id)      "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"" id "\"}"
#define DEV(text)  "{\"role\":\"developer\",\"content\":\"" text "\"}"
#define CALL(args) "{\"function\":{\"name\":\"f\",\"arguments\":" args "}}"

static void test_chat_turns(void **state)
{
    (void)state;
    expect("[]", &chat, BOS);
    expect("[" U("Hi") "]", &chat, BOS USER "Hi" BOT "</think>");
    expect("[" S("S") "," U("Hi") "]", &thinking, BOS "S" USER "Hi" BOT "<think>");
    expect("[" U("a") "," U("b") "]", &chat, BOS USER "a\n\nb" BOT "</think>");
    expect("[" U("a") "," A("b") "]", &chat, BOS USER "a" BOT "</think>b" EOS);
    expect("[" U("a") "," A("b") "," U("c") "]", &thinking,
           BOS USER "a" BOT "</think>b" EOS USER "c" BOT "<think>");
    expect("[" U("a") "," A("b") "," U("c") "]", &keeping,
           BOS USER "a" BOT "<think>R</think>b" EOS USER "c" BOT "<think>");
    expect("[" U("a") "," A("b") "]", &thinking, BOS USER "a" BOT "<think>R</think>b" EOS);
    expect("[" A("b") "]", &thinking, BOS "R</think>b" EOS);
    expect("[{\"role\":\"assistant\",\"content\":\"b\",\"wo_eos\":true}]", &chat, BOS "b");
    expect("[" DEV("d") "," A("b") "," U("c") "]", &thinking, BOS "b" EOS USER "c" BOT "<think>");
    expect("[" DEV("d") "," A("b") "," U("c") "]", &chat,
           BOS USER "d" BOT "</think>b" EOS USER "c" BOT "</think>");
    /* Users around a developer's message that is dropped stay two turns. */
    expect("[" U("a") "," DEV("d") "," U("b") "]", &thinking, BOS USER "a" USER "b" BOT "<think>");
    expect("[" U("a") ",{\"role\":\"latest_reminder\",\"content\":\"now\"}," U("b") "]", &chat,
           BOS USER "a" BOT "</think><｜latest_reminder｜>now" USER "b" BOT "</think>");
}

static void test_chat_content(void **state)
{
    (void)state;
    expect("[{\"role\":\"user\"}]", &chat, BOS USER BOT "</think>");
    expect("[{\"role\":\"system\",\"content\":null},{\"role\":\"user\",\"content\":null}]", &chat,
           BOS USER BOT "</think>");
    expect(
        "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image\"},"
        "{\"type\":\"text\"},{}]}]",
        &chat, BOS USER "a\n\n[Unsupported image]\n\n\n\n[Unsupported None]" BOT "</think>");
    expect("[" U("{content} %s\\n\\u00e9\\\"") "]", &chat,
           BOS USER "{content} %s\né\"" BOT "</think>");
}

static void test_chat_tasks(void **state)
{
    (void)state;
    expect("[{\"role\":\"user\",\"content\":\"q\",\"task\":\"query\"}]", &chat,
           BOS USER "q<｜query｜>");
    expect("[{\"role\":\"user\",\"content\":\"q\",\"task\":\"action\"}," A("Search") "]", &thinking,
           BOS USER "q" BOT "<think><｜action｜>Search" EOS);
    expect("[{\"role\":\"user\",\"content\":\"q\",\"task\":\"action\"}]", &chat,
           BOS USER "q" BOT "</think><｜action｜>");
    /* A turn with a task takes no more text; one that has begun takes no task. */
    expect("[{\"role\":\"user\",\"content\":\"q\",\"task\":\"domain\"}," U("b") "]", &chat,
           BOS USER "q" USER "b" BOT "</think>");
    expect("[" U("b") ",{\"role\":\"user\",\"content\":\"q\",\"task\":\"domain\"}]", &chat,
           BOS USER "b\n\nq" BOT "</think>");
    expect("[" U("a") ",{\"role\":\"assistant\",\"content\":\"b\",\"task\":\"title\"}," A("T") "]",
           &chat, BOS USER "a" BOT "</think>b" EOS "<｜title｜>T" EOS);
}

#define CALLS_BEGIN "\n\n<" D "tool_calls>\n"
#define CALLS_END   "</" D "tool_calls>" EOS
#define INVOKE      "<" D "invoke name=\"f\">\n"
#define END         "</" D "invoke>\n"
#define PARAM(name, is, value)                                                                     \
    "<" D "parameter name=\"" name "\" string=\"" is "\">" value "</" D "parameter>\n"
#define CALLING(args) "[{\"role\":\"assistant\",\"tool_calls\":[" CALL(args) "]}]"

static void test_chat_calls(void **state)
{
    (void)state;
    expect(CALLING("\"{\\\"a\\\": \\\"x\\\", \\\"b\\\": [1, {\\\"c\\\": null}], \\\"d\\\":1e5}\""),
           &chat,
           BOS CALLS_BEGIN INVOKE PARAM("a", "true", "x") PARAM("b", "false", "[1, {\"c\": null}]")
               PARAM("d", "false", "100000.0") END CALLS_END);
    expect(CALLING("{\"a\":\"x\"}"), &chat,
           BOS CALLS_BEGIN INVOKE PARAM("a", "true", "x") END CALLS_END);
    expect(CALLING("\"{}\""), &chat, BOS CALLS_BEGIN INVOKE "\n" END CALLS_END);
    expect(CALLING("null"), &chat, BOS CALLS_BEGIN INVOKE "\n" END CALLS_END);
    expect(CALLING("\"no JSON\""), &chat,
           BOS CALLS_BEGIN INVOKE PARAM("arguments", "true", "no JSON") END CALLS_END);
    expect(CALLING("\"\""), &chat,
           BOS CALLS_BEGIN INVOKE PARAM("arguments", "true", "") END CALLS_END);
    expect("[{\"role\":\"assistant\",\"content\":\"b\",\"tool_calls\":[]}]", &chat, BOS "b" EOS);
}

static void test_chat_results_follow_the_calls(void **state)
{
    static const char calls[] =
        "[{\"role\":\"assistant\",\"tool_calls\":["
        "{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
        "{\"function\":{\"name\":\"f\",\"arguments\":\"{}\",\"id\":\"b\"}},"
        "{\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
        "{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},";
    static const char head[] = BOS CALLS_BEGIN INVOKE "\n" END INVOKE "\n" END INVOKE
                                                      "\n" END INVOKE "\n" END CALLS_END USER;
    char json[2048], want[2048];

    (void)state;
    /* a is the fourth call; z is none, and counts as the first; texts keep their places */
    snprintf(json, sizeof json, "%s%s]", calls, T("a") "," T("c") "," U("t") "," T("z") "," T("b"));
    snprintf(want, sizeof want, "%s%s", head,
             "<tool_result>z</tool_result>\n\n<tool_result>b</tool_result>\n\nt\n\n"
             "<tool_result>c</tool_result>\n\n<tool_result>a</tool_result>" BOT "</think>");
    expect(json, &chat, want);
    expect("[" T("b") "," T("a") "]", &chat,
           BOS USER "<tool_result>b</tool_result>\n\n<tool_result>a</tool_result>" BOT "</think>");
}

#define TOOL  "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"x\":1.50}}"
#define SHOWN "{\"name\": \"f\", \"x\": 1.5}\n"
#define FORMAT                                                                                     \
    "\n\n## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n"

/* Where the schemas stand; the text around them is in the release's cases. */
static void expect_tools(const char *json, const rc_chat_opts *opts, const char *before,
                         const char *after)
{
    rc_mem mem = { 0 };
    rc_text out = { .mem = &mem };
    rc_err err;
    const char *at;

    if (encode(&out, json, opts, &err) != RC_OK)
        fail_msg("%s", err.msg);
    assert_memory_equal(out.at, before, strlen(before));
    assert_memory_equal(out.at + strlen(before), "\n\n## Tools\n\n", 12);
    at = strstr(out.at, "### Available Tool Schemas\n\n" SHOWN "\nYou MUST strictly follow");
    assert_non_null(at);
    at = strstr(at, "to invoke tool calls.\n");
    assert_non_null(at);
    assert_string_equal(at + strlen("to invoke tool calls.\n"), after);
    rc_text_free(&out);
}

static void test_chat_tools(void **state)
{
    (void)state;
    expect_tools("[{\"role\":\"system\",\"content\":\"S\",\"tools\":[" TOOL
                 "]}," U("a") "," A("b") "," U("c") "]",
                 &thinking, BOS "S", USER "a" BOT "<think>R</think>b" EOS USER "c" BOT "<think>");
    expect_tools("{\"tools\":[" TOOL "],\"messages\":[" S("S") "," U("a") "]}", &chat, BOS "S",
                 USER "a" BOT "</think>");
    expect_tools("{\"messages\":[" U("a") "],\"tools\":[" TOOL "],\"response_format\":{\"a\":1}}",
                 &chat, BOS, FORMAT "{\"a\": 1}" USER "a" BOT "</think>");
    expect("[{\"role\":\"system\",\"content\":\"S\",\"tools\":[],\"response_format\":{}}]", &chat,
           BOS "S");
    expect("{\"messages\":[],\"response_format\":\"x\"}", &chat, BOS FORMAT "\"x\"");
    /* A user's tools are none, as in the encoder. */
    expect("[{\"role\":\"user\",\"content\":\"a\",\"tools\":[" TOOL "]}," A("b") "," U("c") "]",
           &thinking, BOS USER "a" BOT "</think>b" EOS USER "c" BOT "<think>");
}

static void test_chat_effort(void **state)
{
    const rc_chat_opts most = { .thinking = true, .max_effort = true }, no = { .max_effort = true };
    rc_mem mem = { 0 };
    rc_text out = { .mem = &mem };
    rc_err err;

    (void)state;
    assert_int_equal(encode(&out, "[" U("Hi") "]", &most, &err), RC_OK);
    assert_int_equal(out.len, strlen(BOS USER "Hi" BOT "<think>") + 476);
    assert_memory_equal(out.at + strlen(BOS), "Reasoning Effort: Absolute maximum", 34);
    rc_text_free(&out);
    expect("[" U("Hi") "]", &no, BOS USER "Hi" BOT "</think>");
    expect("[]", &most, BOS);
}

static void test_chat_ask(void **state)
{
    const rc_chat_opts most = { .thinking = true, .max_effort = true };
    rc_mem mem = { 0 };
    rc_text out = { .mem = &mem }, same = { .mem = &mem };
    rc_err err;

    (void)state;
    assert_int_equal(rc_chat_ask(&out, "S", "Hi", 2, &thinking, &err), RC_OK);
    assert_string_equal(out.at, BOS "S" USER "Hi" BOT "<think>");
    rc_text_free(&out);
    assert_int_equal(rc_chat_ask(&out, NULL, "a\0\xff", 3, &chat, &err), RC_OK);
    assert_memory_equal(out.at, BOS USER "a\0\xff" BOT "</think>", out.len);
    assert_int_equal(out.len, sizeof(BOS USER "a\0\xff" BOT "</think>") - 1);
    rc_text_free(&out);
    assert_int_equal(rc_chat_ask(&out, "S", "Hi", 2, &most, &err), RC_OK);
    assert_int_equal(encode(&same, "[" S("S") "," U("Hi") "]", &most, &err), RC_OK);
    assert_string_equal(out.at, same.at);
    rc_text_free(&out);
    rc_text_free(&same);
    assert_int_equal(mem.used, 0);
}

static void test_chat_refuses(void **state)
{
    static const struct {
        const char *json;
        uint64_t offset;
        const char *msg;
    } cases[] = {
        { "", 0, "" },
        { "{}", 0, "neither a list" },
        { "1", 0, "neither a list" },
        { "{\"messages\":{}}", 0, "neither a list" },
        { "[1]", 1, "a message is not an object" },
        { "[{}]", 1, "without a role" },
        { "[{\"role\":1}]", 1, "without a role" },
        { "[{\"role\":\"x\\n\"}]", 9, "unknown role: \"x\\x0a\"" },
        { "[{\"role\":\"user\",\"content\":1}]", 26, "content is not a text or a list" },
        { "[{\"role\":\"user\",\"content\":[1]}]", 27, "a part of content is not an object" },
        { "[{\"role\":\"user\",\"content\":[{\"type\":1}]}]", 35, "type is not a string" },
        { "[{\"role\":\"user\",\"content\":[{\"text\":1}]}]", 35, "text is not a string" },
        { "[{\"role\":\"user\",\"task\":\"x\"}]", 23, "unknown task" },
        { "[{\"role\":\"user\",\"task\":1}]", 23, "task is not a string" },
        { "[{\"role\":\"developer\"}]", 1, "without content" },
        { "[{\"role\":\"developer\",\"content\":\"\"}]", 1, "without content" },
        { "[{\"role\":\"system\",\"tools\":{}}]", 26, "tools is not a list" },
        { "[{\"role\":\"system\",\"tools\":[{}]}]", 27, "without a function" },
        { "{\"messages\":[" U("a") "],\"tools\":[1]}", 53, "without a function" },
        { "[{\"role\":\"tool\",\"tool_call_id\":1}]", 31, "tool_call_id is not a string" },
        { "[{\"role\":\"assistant\",\"wo_eos\":1}]", 30, "wo_eos is not true or false" },
        { "[{\"role\":\"assistant\",\"reasoning_content\":1}]", 41, "is not a string" },
        { "[{\"role\":\"assistant\",\"tool_calls\":1}]", 34, "tool_calls is not a list" },
        { "[{\"role\":\"assistant\",\"tool_calls\":[{}]}]", 35, "without a function.name" },
        { CALLING("1"), 71, "is not a JSON text or an object" },
        { CALLING("\"[1]\""), 71, "JSON, but no object" },
        { CALLING("\"null\""), 71, "JSON, but no object" },
        { "[{\"role\":\"user\",\"role\":\"user\"}]", 16, "duplicate key" },
        { "[{\"role\":\"user\"", 15, "too early" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rc_mem mem = { 0 };
        rc_text out = { .mem = &mem };
        rc_err err;

        if (encode(&out, cases[i].json, &thinking, &err) != RC_E_DATA ||
            err.offset != cases[i].offset || !strstr(err.msg, cases[i].msg))
            fail_msg("%s: @%d: %s; want @%d: %s", cases[i].json, (int)err.offset, err.msg,
                     (int)cases[i].offset, cases[i].msg);
        rc_text_free(&out);
        assert_int_equal(mem.used, 0);
    }
}

static void test_chat_without_memory(void **state)
{
    static const char json[] = "{\"tools\":[" TOOL "],\"messages\":[" U(
        "a") ","
             "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"x\",\"function\":{\"name\":\"f\","
             "\"arguments\":\"{\\\"a\\\":1}\"}}]}," T("y") "," T("x") "]}";

    (void)state;
    for (size_t at = 1; at < 1000; at++) {
        rc_mem mem = { .fail_at = at };
        rc_text out = { .mem = &mem };
        rc_err err;
        const rc_code rc = encode(&out, json, &thinking, &err);

        rc_text_free(&out);
        assert_int_equal(mem.used, 0);
        if (rc == RC_OK)
            return;
        assert_int_equal(rc, RC_E_OS);
    }
    fail();
}

/* Results and calls by the ten thousand are no more than so many. */
static void test_chat_many_calls(void **state)
{
    enum { N = 30000 };
    char *json = malloc(N * 200), *p = json;
    rc_mem mem = { 0 };
    rc_text out = { .mem = &mem };
    rc_err err;

    (void)state;
    p += sprintf(p, "[{\"role\":\"assistant\",\"tool_calls\":[");
    for (int i = 0; i < N; i++)
        p += sprintf(p, "%s{\"id\":\"%d\",\"function\":{\"name\":\"f\"}}", i ? "," : "", i);
    p += sprintf(p, "]}");
    for (int i = N; i-- > 0;)
        p += sprintf(p, ",{\"role\":\"tool\",\"tool_call_id\":\"%d\",\"content\":\"%d\"}", i, i);
    sprintf(p, "]");
    assert_int_equal(encode(&out, json, &chat, &err), RC_OK);
    assert_non_null(
        strstr(out.at, USER "<tool_result>0</tool_result>\n\n<tool_result>1</tool_result>"));
    assert_non_null(strstr(out.at, "<tool_result>29999</tool_result>" BOT));
    rc_text_free(&out);
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chat_official),
        cmocka_unit_test(test_chat_turns),
        cmocka_unit_test(test_chat_content),
        cmocka_unit_test(test_chat_tasks),
        cmocka_unit_test(test_chat_calls),
        cmocka_unit_test(test_chat_results_follow_the_calls),
        cmocka_unit_test(test_chat_tools),
        cmocka_unit_test(test_chat_effort),
        cmocka_unit_test(test_chat_ask),
        cmocka_unit_test(test_chat_refuses),
        cmocka_unit_test(test_chat_without_memory),
        cmocka_unit_test(test_chat_many_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
