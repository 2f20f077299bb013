/* tests/unit/test_mem.c - the books balance, limits hold, the chosen call fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "formats/base/mem.h"
#include "formats/base/names.h"

static bool all_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

static void test_mem_get_and_put(void **state)
{
    rc_mem mem = { 0 };
    unsigned char *a, *b, *c;
    char *s;

    (void)state;
    a = rc_mem_get(&mem, 1000);
    assert_true(all_zero(a, 1000));
    assert_true(mem.used >= 1000);
    b = rc_mem_get(&mem, 0);
    assert_non_null(b);
    c = rc_mem_get_pages(&mem, 3 * RC_PAGE + 1);
    assert_int_equal((uintptr_t)c % RC_PAGE, 0);
    memset(a, 7, 1000);
    a = rc_mem_grow(&mem, a, 100000);
    assert_int_equal(a[999], 7);
    assert_true(mem.used >= 100000 + 3 * RC_PAGE);
    a = rc_mem_grow(&mem, a, 10);
    assert_int_equal(a[9], 7);
    s = rc_mem_strdup(&mem, "abcdef", 3);
    assert_string_equal(s, "abc");
    rc_mem_put(&mem, a);
    rc_mem_put(&mem, b);
    rc_mem_put(&mem, c);
    rc_mem_put(&mem, s);
    rc_mem_put(&mem, NULL);
    assert_int_equal(mem.used, 0);
    assert_true(mem.peak >= 100000 + 3 * RC_PAGE);
    a = rc_mem_grow(&mem, NULL, 50);
    assert_non_null(a);
    rc_mem_put(&mem, a);
    assert_int_equal(mem.used, 0);
}

static void test_mem_limit(void **state)
{
    rc_mem mem = { .limit = 10000 };
    rc_err err;
    unsigned char *a, *b;

    (void)state;
    assert_null(rc_mem_get(&mem, 10001));
    assert_null(rc_mem_get(&mem, SIZE_MAX));
    assert_null(rc_mem_get_pages(&mem, SIZE_MAX - 100));
    assert_int_equal(mem.used, 0);
    a = rc_mem_get(&mem, 6000);
    assert_non_null(a);
    assert_null(rc_mem_get(&mem, 6000));
    assert_null(rc_mem_grow(&mem, a, 10001));
    a[5999] = 1; /* still valid */
    assert_int_equal(rc_fail_nomem(&err, &mem, 6000), RC_E_OS);
    assert_non_null(strstr(err.msg, "6000"));
    assert_non_null(strstr(err.want, "10000"));
    b = rc_mem_get(&mem, 3000);
    assert_non_null(b);
    rc_mem_put(&mem, a);
    rc_mem_put(&mem, b);
    assert_int_equal(mem.used, 0);
}

/* A block may end up a few bytes larger than asked. Being over by those must
 * not open the door to everything. */
static void test_mem_limit_holds_once_passed(void **state)
{
    (void)state;
    for (size_t limit = 900; limit < 1100; limit++) {
        rc_mem mem = { .limit = limit };
        unsigned char *a = rc_mem_grow(&mem, NULL, 100), *more;

        for (size_t n = 101; n < 2000; n++) {
            more = rc_mem_grow(&mem, a, n);
            if (!more)
                break;
            a = more;
        }
        assert_true(mem.used <= limit + 64);
        assert_null(rc_mem_grow(&mem, a, 1000000));
        assert_null(rc_mem_get(&mem, 1000000));
        assert_null(rc_mem_get_pages(&mem, 1000000));
        rc_mem_put(&mem, a);
        assert_int_equal(mem.used, 0);
    }
}

static void test_mem_fails_at_the_chosen_call(void **state)
{
    rc_mem mem = { .fail_at = 3 };
    void *a = rc_mem_get(&mem, 10), *b = rc_mem_get_pages(&mem, 10), *c;

    (void)state;
    assert_non_null(a);
    assert_non_null(b);
    assert_null(rc_mem_grow(&mem, a, 20));
    c = rc_mem_get(&mem, 10);
    assert_non_null(c);
    assert_int_equal(mem.calls, 4);
    rc_mem_put(&mem, a);
    rc_mem_put(&mem, b);
    rc_mem_put(&mem, c);
    assert_int_equal(mem.used, 0);
}

static void test_mem_arena(void **state)
{
    rc_mem mem = { 0 };
    rc_arena arena = { .mem = &mem };
    char *first = rc_arena_strdup(&arena, "first", 5);

    (void)state;
    for (size_t n = 0; n < 3000; n++) {
        unsigned char *p = rc_arena_get(&arena, n);

        assert_int_equal((uintptr_t)p % 16, 0);
        assert_true(all_zero(p, n));
        memset(p, 0xff, n);
    }
    assert_true(all_zero(rc_arena_get(&arena, 1000000), 1000000));
    assert_string_equal(first, "first");
    assert_null(rc_arena_get(&arena, SIZE_MAX));
    assert_null(rc_arena_get(&arena, SIZE_MAX - 20));
    rc_arena_free(&arena);
    rc_arena_free(&arena);
    assert_int_equal(mem.used, 0);
    mem.fail_at = mem.calls + 1;
    assert_null(rc_arena_strdup(&arena, "x", 1));
    rc_arena_free(&arena);
}

static char list[5000][8];

static const char *at(const void *owner, size_t i)
{
    return ((const char(*)[8])owner)[i];
}

static void test_mem_names(void **state)
{
    rc_mem mem = { 0 };
    rc_names t;

    (void)state;
    rc_names_init(&t, &mem, at, list);
    assert_true(rc_names_find(&t, "n1", 2) == RC_NAMES_NONE);
    for (size_t i = 0; i < 5000; i++) {
        snprintf(list[i], sizeof list[i], "n%zu", i);
        assert_true(rc_names_find(&t, list[i], strlen(list[i])) == RC_NAMES_NONE);
        assert_true(rc_names_add(&t, i));
    }
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(rc_names_find(&t, list[i], strlen(list[i])), i);
    assert_int_equal(rc_names_find(&t, "n123", 3), 12); /* by length, not to the NUL */
    assert_true(rc_names_find(&t, "n", 1) == RC_NAMES_NONE);
    assert_true(rc_names_find(&t, "", 0) == RC_NAMES_NONE);
    rc_names_free(&t);
    assert_int_equal(mem.used, 0);
    rc_names_init(&t, &mem, at, list);
    mem.fail_at = mem.calls + 1;
    assert_false(rc_names_add(&t, 0));
    rc_names_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mem_get_and_put),
        cmocka_unit_test(test_mem_limit),
        cmocka_unit_test(test_mem_limit_holds_once_passed),
        cmocka_unit_test(test_mem_fails_at_the_chosen_call),
        cmocka_unit_test(test_mem_arena),
        cmocka_unit_test(test_mem_names),
    };

    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
