/* tests/unit/test_hub_listing.c - addresses of hubs, and what hubs say. */
#include "formats/hub_address.h"
#include "formats/hub_listing.h"
#include "tests/unit/fixture.h"

static rc_hub_address at;

static rc_code parse(const char *where)
{
    assert_true(rc_is_hub_address(where));
    return rc_hub_address_parse(&at, where, NULL);
}

static void test_hub_address_good(void **state)
{
    (void)state;
    assert_int_equal(parse("hf://deepseek-ai/DeepSeek-V4.1"), RC_OK);
    assert_string_equal(at.repo, "deepseek-ai/DeepSeek-V4.1");
    assert_string_equal(at.revision, "main");
    assert_string_equal(at.folder, "");
    assert_int_equal(parse("HF://a/b@v1.0/sub/folder/"), RC_OK);
    assert_string_equal(at.repo, "a/b");
    assert_string_equal(at.revision, "v1.0");
    assert_string_equal(at.folder, "sub/folder");
    assert_int_equal(parse("hf://a/b@refs/pr/7/sub"), RC_OK);
    assert_string_equal(at.revision, "refs/pr/7");
    assert_string_equal(at.folder, "sub");
    assert_int_equal(parse("hf://a/b@feature%2Fx"), RC_OK);
    assert_string_equal(at.revision, "feature/x");
    assert_int_equal(parse("hf://a/b/q4/m-00001-of-00002.gguf"), RC_OK);
    assert_string_equal(at.folder, "q4");
    assert_string_equal(at.file, "m-00001-of-00002.gguf");
    assert_int_equal(parse("hf://a/b/c.rcz"), RC_OK);
    assert_string_equal(at.folder, "");
    assert_string_equal(at.file, "c.rcz");
}

static void test_hub_address_bad(void **state)
{
    static const char *const bad[] = {
        "hf://",
        "hf://a",
        "hf://a/",
        "hf:///b",
        "hf://a/b@",
        "hf://../b",
        "hf://a/..",
        "hf://a b/c",
        "hf://a/b/../c",
        "hf://a/b//c",
        "hf://a/b?c",
        "hf://a/b/c?d",
        "hf://a/b@..",
        "hf://a/b@x%2F..",
        "hf://a/b@%00",
        "hf://u:p@h/b",
        "hf://datasets/a/b",
        "hf://a/b--c",
        "hf://a/.b",
        "hf://a/b/c\\d",
        "hf://a/b/c\nd",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (parse(bad[i]) != RC_E_USAGE)
            fail_msg("%s is accepted", bad[i]);
}

static void test_hub_address_web(void **state)
{
    rc_err err;

    (void)state;
    assert_int_equal(rc_web_address_check("https://h/a", "it", &err), RC_OK);
    assert_int_equal(rc_web_address_check("http://127.0.0.1:8/a", "it", &err), RC_OK);
    assert_int_equal(rc_web_address_check("http://[::1]/", "it", &err), RC_OK);
    assert_int_equal(rc_web_address_check("http://h/a", "it", &err), RC_E_USAGE);
    assert_int_equal(rc_web_address_check("   ", "it", &err), RC_E_USAGE);
    assert_int_equal(rc_web_address_check("https://h/a?token=secret", "it", &err), RC_E_USAGE);
    assert_null(strstr(err.msg, "secret"));
    assert_int_equal(rc_web_address_check("https://u:secret@h/a", "it", &err), RC_E_USAGE);
    assert_null(strstr(err.msg, "secret"));
    assert_null(strstr(err.hint, "secret"));
}

/* -- lists ----------------------------------------------------------------- */

#define SHA "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define GIT "00112233445566778899aabbccddeeff00112233"

typedef struct seen {
    rc_hub_entry last;
    char path[64];
    unsigned n;
} seen;

static rc_code see(void *ctx, const rc_hub_entry *e, rc_err *err)
{
    seen *s = ctx;

    (void)err;
    s->last = *e;
    snprintf(s->path, sizeof s->path, "%s", e->path);
    s->n++;
    return RC_OK;
}

static rc_code tree(seen *s, const char *text)
{
    rc_mem mem = { 0 };
    rc_err err;
    const rc_code rc = (*s = (seen){ 0 }, rc_hub_tree(text, strlen(text), see, s, &mem, &err));

    assert_int_equal(mem.used, 0);
    return rc;
}

static void test_hub_tree_good(void **state)
{
    seen s;

    (void)state;
    assert_int_equal(tree(&s, "[]"), RC_OK);
    assert_int_equal(tree(&s, "[{\"type\":\"directory\",\"oid\":\"x\",\"size\":0,\"path\":\"sub\"},"
                              "{\"type\":\"file\",\"oid\":\"" GIT "\",\"size\":5,\"path\":"
                              "\"a.json\",\"lfs\":null,\"other\":[{}]}]"),
                     RC_OK);
    assert_int_equal(s.n, 1);
    assert_string_equal(s.path, "a.json");
    assert_true(s.last.nbytes == 5 && s.last.content.kind == RC_CONTENT_GIT);
    assert_int_equal(tree(&s, "[{\"path\":\"d/m.safetensors\",\"type\":\"file\",\"size\":7,"
                              "\"oid\":\"" GIT "\",\"lfs\":{\"oid\":\"" SHA "\",\"size\":7,"
                              "\"pointerSize\":1},\"xetHash\":\"y\"}]"),
                     RC_OK);
    assert_true(s.last.nbytes == 7 && s.last.content.kind == RC_CONTENT_SHA256);
}

static void refuses(const char *text, rc_code code)
{
    seen s;

    if (tree(&s, text) != code)
        fail_msg("%s", text);
}

#define FILE_OF(path, size, oid)                                                                   \
    "[{\"type\":\"file\",\"path\":\"" path "\",\"size\":" size ",\"oid\":\"" oid "\"}]"

static void test_hub_tree_bad(void **state)
{
    (void)state;
    refuses("17", RC_E_DATA);
    refuses("{}", RC_E_DATA);
    refuses("[17]", RC_E_DATA);
    refuses("[{\"type\":\"file\",", RC_E_DATA);
    refuses(FILE_OF("a", "-5", GIT), RC_E_DATA);
    refuses(FILE_OF("a", "\"many\"", GIT), RC_E_DATA);
    refuses(FILE_OF("a", "1", "zz"), RC_E_DATA);
    refuses(FILE_OF("a", "1", SHA), RC_E_DATA);
    refuses(FILE_OF("a", "9223372036854775807", GIT), RC_E_LIMIT);
    refuses(FILE_OF("../x", "1", GIT), RC_E_UNSAFEPATH);
    refuses(FILE_OF("a/../x", "1", GIT), RC_E_UNSAFEPATH);
    refuses(FILE_OF("a/..", "1", GIT), RC_E_UNSAFEPATH);
    refuses(FILE_OF("./x", "1", GIT), RC_E_UNSAFEPATH);
    refuses(FILE_OF("/etc/passwd", "1", GIT), RC_E_UNSAFEPATH);
    refuses(FILE_OF("a//b", "1", GIT), RC_E_UNSAFEPATH);
    refuses(FILE_OF("a/", "1", GIT), RC_E_UNSAFEPATH);
    refuses(FILE_OF("", "1", GIT), RC_E_UNSAFEPATH);
    refuses(FILE_OF("a\\\\b", "1", GIT), RC_E_UNSAFEPATH);
    refuses(FILE_OF("a\\r\\nHost: x", "1", GIT), RC_E_UNSAFEPATH);
    refuses("[{\"type\":\"file\",\"path\":\"a\",\"size\":3,\"lfs\":{\"oid\":\"zz\",\"size\":3}}]",
            RC_E_DATA);
    refuses("[{\"type\":\"file\",\"path\":\"a\",\"size\":3,\"lfs\":{\"oid\":\"" SHA
            "\",\"size\":4}}]",
            RC_E_DATA);
}

static rc_code commit(char out[RC_HUB_COMMIT], const char *text)
{
    rc_mem mem = { 0 };
    const rc_code rc = rc_hub_commit(out, text, strlen(text), &mem, NULL);

    assert_int_equal(mem.used, 0);
    return rc;
}

static void test_hub_commit(void **state)
{
    char out[RC_HUB_COMMIT];

    (void)state;
    assert_int_equal(commit(out, "{\"id\":\"a/b\",\"sha\":\"" GIT "\",\"siblings\":[]}"), RC_OK);
    assert_string_equal(out, GIT);
    assert_int_equal(commit(out, "{\"sha\":null}"), RC_E_DATA);
    assert_int_equal(commit(out, "{\"sha\":\"../../x\"}"), RC_E_DATA);
    assert_int_equal(commit(out, "{\"sha\":\"" SHA "\"}"), RC_E_DATA);
    assert_int_equal(commit(out, "[]"), RC_E_DATA);
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hub_address_good), cmocka_unit_test(test_hub_address_bad),
        cmocka_unit_test(test_hub_address_web),  cmocka_unit_test(test_hub_tree_good),
        cmocka_unit_test(test_hub_tree_bad),     cmocka_unit_test(test_hub_commit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
