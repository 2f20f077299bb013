/* tests/unit/test_utf8.c - text that is cut inside characters. */
#include "fixture.h"

#include "formats/base/utf8.h"

static void test_utf8_whole(void **state)
{
    static const struct {
        const char *text;
        size_t whole;
    } cases[] = {
        { "", 0 },
        { "a", 1 },
        { "a\xc3", 1 },
        { "a\xc3\xa9", 3 },
        { "\xe2", 0 },
        { "\xe2\x82", 0 },
        { "\xe2\x82\xac", 3 },
        { "x\xf0\x9f\xa9", 1 },
        { "x\xf0\x9f\xa9\xb7", 5 },
        { "\xff", 1 }, /* nothing will mend these */
        { "a\x80", 2 },
        { "\xc0", 1 },
        { "\xe0\x80", 2 }, /* overlong */
        { "\xed\xa0", 2 }, /* a surrogate */
        { "\xf5\x80", 2 },
        { "\xc3\xa9\x80", 3 }, /* one too many */
        { "\x80\x80\x80\x80", 4 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(rc_utf8_whole(cases[i].text, strlen(cases[i].text)), cases[i].whole);
}

/* Byte by byte, whole characters come out, and in the end all bytes. */
static void test_utf8_push(void **state)
{
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\xa9\xb7\xff\xe2\x82z\xf0\x9f";
    rc_utf8_tail t = { 0 };
    char all[sizeof text + 8], out[1 + RC_UTF8_HELD];
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        const size_t k = rc_utf8_push(&t, text + i, 1, out);

        assert_true(k <= sizeof out && t.n <= RC_UTF8_HELD);
        memcpy(all + n, out, k);
        n += k;
        assert_int_equal(n + t.n, i + 1);
        assert_int_equal(rc_utf8_whole(all, n), n);
    }
    assert_int_equal(t.n, 2);
    memcpy(all + n, t.held, t.n);
    assert_memory_equal(all, text, sizeof text - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_whole),
        cmocka_unit_test(test_utf8_push),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
