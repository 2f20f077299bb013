/* tests/unit/test_pattern.c - the answers are those of Python's re.match(). */
#include "verify/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

typedef struct row {
    const char *pattern, *text;
    rc_pattern_answer want;
} row;

static void check(const row *r)
{
    const rc_pattern_answer got = rc_pattern_match(r->pattern, r->text);

    if (got != r->want)
        fail_msg("'%s' on '%s': %d, want %d", r->pattern, r->text, (int)got, (int)r->want);
}

static void test_pattern_matches(void **state)
{
    static const row rows[] = {
        { "", "", RC_PATTERN_YES },
        { "a", "abc", RC_PATTERN_YES },
        { "b", "abc", RC_PATTERN_NO },
        { ".*b", "abc", RC_PATTERN_YES },
        { "abc$", "abcd", RC_PATTERN_NO },
        { "abc$", "abc", RC_PATTERN_YES },
        { "^abc\\Z", "abc", RC_PATTERN_YES },
        { "a^bc", "abc", RC_PATTERN_NO },
        { "(.*\\.)?mtp\\..*", "mtp.0.ffn", RC_PATTERN_YES },
        { "(.*\\.)?mtp\\..*", "model.mtp.0", RC_PATTERN_YES },
        { "(.*\\.)?mtp\\..*", "xmtp.0", RC_PATTERN_NO },
        { ".*layers\\.43\\..*", "model.layers.43.attn", RC_PATTERN_YES },
        { ".*layers\\.43\\..*", "model.layers.430.attn", RC_PATTERN_NO },
        { ".*\\.experts\\.\\d+\\.(w1|w2|w3)$", "layers.0.ffn.experts.12.w2", RC_PATTERN_YES },
        { ".*\\.experts\\.\\d+\\.(w1|w2|w3)$", "layers.0.ffn.experts..w2", RC_PATTERN_NO },
        { ".*\\.experts\\.\\d+\\.(?:w1|w2|w3)$", "ffn.experts.1.w22", RC_PATTERN_NO },
        { "a|b|", "c", RC_PATTERN_YES },
        { "(a|b)+c", "ababc", RC_PATTERN_YES },
        { "(a*)*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", RC_PATTERN_NO },
        { "(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", RC_PATTERN_NO },
        { "ab?c", "ac", RC_PATTERN_YES },
        { "ab?c", "abbc", RC_PATTERN_NO },
        { "ab*?c", "abbbc", RC_PATTERN_YES },
        { "[a-c]+\\.", "abc.", RC_PATTERN_YES },
        { "[^.]+$", "a.b", RC_PATTERN_NO },
        { "[]x]$", "]", RC_PATTERN_YES },
        { "[\\d_-]+$", "1-2_3", RC_PATTERN_YES },
        { "[\\w.]+$", "a.b", RC_PATTERN_YES },
        { "\\W", "a", RC_PATTERN_NO },
        { "\\s\\S", " x", RC_PATTERN_YES },
        { "q_proj", "q_proj_x", RC_PATTERN_YES },
        { "\\xff", "x", RC_PATTERN_UNKNOWN },
        { "a{2}", "aa", RC_PATTERN_UNKNOWN },
        { "(?!a)b", "b", RC_PATTERN_UNKNOWN },
        { "(?i)a", "A", RC_PATTERN_UNKNOWN },
        { "(a", "a", RC_PATTERN_UNKNOWN },
        { "a)", "a", RC_PATTERN_UNKNOWN },
        { "[a", "a", RC_PATTERN_UNKNOWN },
        { "[b-a]", "a", RC_PATTERN_UNKNOWN },
        { "*a", "a", RC_PATTERN_UNKNOWN },
        { "a**", "a", RC_PATTERN_UNKNOWN },
        { "a\\", "a", RC_PATTERN_UNKNOWN },
        { "(a)\\1", "aa", RC_PATTERN_UNKNOWN },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(&rows[i]);
}

/* Whatever it is: an answer, soon. */
static void test_pattern_bounds(void **state)
{
    static char deep[4000], text[4000];

    (void)state;
    memset(deep, '(', sizeof deep - 1);
    assert_int_equal(rc_pattern_match(deep, "a"), RC_PATTERN_UNKNOWN);
    memset(deep, '|', sizeof deep - 1);
    assert_int_equal(rc_pattern_match(deep, "a"), RC_PATTERN_UNKNOWN);
    memset(deep, 'a', sizeof deep - 1);
    assert_int_equal(rc_pattern_match(deep, "a"), RC_PATTERN_UNKNOWN);
    memset(text, 'a', sizeof text - 1);
    for (size_t i = 0; i < 400; i += 4)
        memcpy(deep + i, "a*.?", 4);
    deep[400] = '$';
    deep[401] = '\0';
    assert_int_equal(rc_pattern_match(deep, text), RC_PATTERN_YES);
    /* Every cut of a pattern with everything in it. */
    {
        static const char all[] = "(?:a|[^b-d\\s]+?\\.|(x*y)?)$^\\Z.\\d";
        char cut[sizeof all];

        for (size_t n = 0; n < sizeof all; n++) {
            memcpy(cut, all, n);
            cut[n] = '\0';
            (void)rc_pattern_match(cut, "layers.0");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pattern_matches),
        cmocka_unit_test(test_pattern_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
