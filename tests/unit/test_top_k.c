/* tests/unit/test_top_k.c - the largest of many scores. */
#include "tests/unit/fixture.h"

#include <math.h>
#include <stdbool.h>

#include "runtime/top_k.h"
#include "tests/unit/random.h"

enum { MOST = 3000 };

/* Score i comes before score j: what the header promises, pair by pair. */
static bool before(const float *s, size_t i, size_t j)
{
    if (isnan(s[i]) || isnan(s[j]))
        return isnan(s[j]) && (!isnan(s[i]) || i < j);
    return s[i] > s[j] || (s[i] == s[j] && i < j);
}

static void expect_largest(const float *s, size_t n, size_t k)
{
    static uint32_t got[MOST];
    const size_t count = rc_top_k(got, s, n, k);
    size_t next = 0;

    assert_int_equal(count, k < n ? k : n);
    for (size_t i = 0; i < n; i++) {
        size_t better = 0;

        for (size_t j = 0; j < n; j++)
            better += j != i && before(s, j, i);
        if (better < k)
            assert_int_equal(got[next++], i);
    }
    assert_int_equal(next, count);
}

static void test_top_k_takes_the_largest(void **state)
{
    static float s[MOST];
    const size_t ns[] = { 1, 2, 9, 300, MOST }, ks[] = { 1, 2, 8, 299, 512, MOST };
    uint64_t seed = 1;

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        rnd_fill(s, ns[i], 100, &seed);
        for (size_t j = 0; j < 6; j++)
            expect_largest(s, ns[i], ks[j]);
    }
}

/* Scores of BF16 are often equal. */
static void test_top_k_of_equals_takes_the_first(void **state)
{
    static float s[MOST];
    uint64_t seed = 2;

    (void)state;
    for (size_t i = 0; i < 700; i++)
        s[i] = floorf(rnd_f32(&seed) * 4);
    for (size_t k = 1; k < 700; k += 58)
        expect_largest(s, 700, k);
    memset(s, 0, sizeof s);
    expect_largest(s, 700, 5);
}

static void test_top_k_orders_what_is_odd(void **state)
{
    const float s[] = { -0.0f,     NAN, 0.0f,  INFINITY,   -INFINITY, -NAN,
                        0x1p-149f, -1,  1e38f, -0x1p-149f, 0.0f,      -0.0f };
    const size_t n = sizeof s / sizeof *s;

    (void)state;
    for (size_t k = 1; k <= n; k++)
        expect_largest(s, n, k);
}

static void test_top_k_of_nothing_is_nothing(void **state)
{
    const float s[1] = { 1 };
    uint32_t out[1];

    (void)state;
    assert_int_equal(rc_top_k(out, s, 0, 5), 0);
    assert_int_equal(rc_top_k(out, s, 1, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_top_k_takes_the_largest),
        cmocka_unit_test(test_top_k_of_equals_takes_the_first),
        cmocka_unit_test(test_top_k_orders_what_is_odd),
        cmocka_unit_test(test_top_k_of_nothing_is_nothing),
    };

    return cmocka_run_group_tests_name("top_k", tests, NULL, NULL);
}
