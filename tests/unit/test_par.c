/* tests/unit/test_par.c - a crew of threads: every item once, and none at all. */
#include "formats/base/par.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static rc_code count(void *ctx, rc_par *par, unsigned slot, uint64_t item, rc_err *err)
{
    _Atomic unsigned *seen = ctx;

    (void)par;
    (void)slot;
    (void)err;
    seen[item]++;
    return RC_OK;
}

static void test_par_runs_every_item_once(void **state)
{
    _Atomic unsigned seen[100] = { 0 };
    rc_err err;

    (void)state;
    assert_int_equal(rc_par_run(100, 7, 3, count, seen, &err), RC_OK);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
}

/* A caller that found nothing to do has made no slots either. */
static void test_par_without_items_needs_no_slot(void **state)
{
    rc_err err;

    (void)state;
    assert_int_equal(rc_par_run(0, 0, 1, count, NULL, &err), RC_OK);
    assert_int_equal(rc_par_run(0, 4, 2, count, NULL, &err), RC_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_par_runs_every_item_once),
        cmocka_unit_test(test_par_without_items_needs_no_slot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
