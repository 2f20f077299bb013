/* tests/unit/test_trie.c - the leftmost word, and the longest of those. */
#include "fixture.h"

#include "formats/trie.h"

static void expect(const rc_trie *t, const char *text, size_t from, size_t begin, size_t end,
                   uint32_t id)
{
    size_t b, e;
    uint32_t i;
    char *exact = malloc(strlen(text) + 1);
    bool found;

    memcpy(exact, text, strlen(text));
    found = rc_trie_find(t, exact, strlen(text), from, &b, &e, &i);
    free(exact);
    assert_int_equal(found, end != 0);
    if (!found)
        return;
    assert_int_equal(b, begin);
    assert_int_equal(e, end);
    assert_int_equal(i, id);
}

static void test_trie_finds(void **state)
{
    static const char *const words[] = { "<a>", "<a><b>", "b", "abcd", "bc", "\xff\x80", "<" };
    rc_mem mem = { 0 };
    rc_trie t = { .mem = &mem };

    (void)state;
    expect(&t, "<a>", 0, 0, 0, 0);
    for (uint32_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_true(rc_trie_add(&t, words[i], strlen(words[i]), i));
    expect(&t, "<a>", 0, 0, 3, 0);
    expect(&t, "x<a><b>", 0, 1, 7, 1);
    expect(&t, "<a><c", 0, 0, 3, 0); /* the longer one breaks off */
    expect(&t, "<a><c", 3, 3, 4, 6);
    expect(&t, "abc", 0, 1, 3, 4); /* so does abcd; then what begins further right */
    expect(&t, "abcd", 0, 0, 4, 3);
    expect(&t, "a\xff\x80", 0, 1, 3, 5);
    expect(&t, "ac\xff", 0, 0, 0, 0);
    expect(&t, "", 0, 0, 0, 0);
    expect(&t, "b", 1, 0, 0, 0);
    assert_true(rc_trie_add(&t, "b", 1, 9));
    expect(&t, "b", 0, 0, 1, 9);
    rc_trie_free(&t);
    assert_int_equal(mem.used, 0);
}

static void test_trie_without_memory(void **state)
{
    rc_mem mem = { .limit = 8000 };
    rc_trie t = { .mem = &mem };
    char word[] = "aaaa";
    uint32_t n = 0;

    (void)state;
    while (n < 100000 && rc_trie_add(&t, word, 4, n)) {
        n++;
        word[n % 4]++;
    }
    assert_true(n > 10 && n < 100000);
    expect(&t, "aaaa", 0, 0, 4, 0); /* what was added is still there */
    rc_trie_free(&t);
    assert_int_equal(mem.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trie_finds),
        cmocka_unit_test(test_trie_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
