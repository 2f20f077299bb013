/* tests/unit/test_par.c - the crew: every item once, turns in order, permits, errors, stop. */
#include "formats/base/par.h"
#include "formats/base/stop.h"
#include "tests/unit/fixture.h"

#include <pthread.h>
#include <stdatomic.h>

enum { ITEMS = 600, TURNS = 3 };

typedef struct crew {
    _Atomic unsigned ran[ITEMS], computing, most;
    rc_turn turn[TURNS];
    uint64_t order[TURNS][ITEMS]; /* guarded by the turn */
    uint64_t norder[TURNS];
    uint64_t bad[4]; /* items that fail */
    unsigned nbad, stop_at;
} crew;

static rc_code item(void *ctx, rc_par *par, unsigned slot, uint64_t i, rc_err *err)
{
    crew *c = ctx;
    const uint64_t turn = i % TURNS;
    unsigned now, most;

    (void)slot;
    c->ran[i]++;
    if (c->stop_at && i == c->stop_at)
        rc_stop_request(15);
    if (!rc_turn_wait(par, &c->turn[turn], i / TURNS))
        return rc_fail(err, RC_E_STOPPED, RC_NO_OFFSET, "echo");
    rc_par_compute_begin(par);
    now = ++c->computing;
    most = c->most;
    while (now > most && !atomic_compare_exchange_weak(&c->most, &most, now))
        ;
    c->order[turn][c->norder[turn]++] = i;
    c->computing--;
    rc_par_compute_end(par);
    for (unsigned b = 0; b < c->nbad; b++)
        if (c->bad[b] == i)
            return rc_fail(err, RC_E_IO, i, "item %d", (int)i);
    rc_turn_next(par, &c->turn[turn]);
    return RC_OK;
}

static void test_par_runs_all_in_order(void **state)
{
    static const unsigned shapes[][2] = { { 1, 1 }, { 2, 1 }, { 8, 3 }, { 68, 64 }, { 999, 2 } };

    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        crew c = { 0 };
        rc_err err;

        assert_int_equal(rc_par_run(ITEMS, shapes[s][0], shapes[s][1], item, &c, &err), RC_OK);
        for (unsigned i = 0; i < ITEMS; i++) {
            assert_int_equal(c.ran[i], 1);
            assert_int_equal(c.order[i % TURNS][i / TURNS], i);
        }
        assert_true(c.most <= shapes[s][1]);
    }
}

static void test_par_of_nothing(void **state)
{
    rc_err err;

    (void)state;
    assert_int_equal(rc_par_run(0, 4, 4, item, NULL, &err), RC_OK);
    assert_int_equal(rc_par_run(0, 0, 1, item, NULL, &err), RC_OK); /* no slot was made */
}

/* Whoever waits for a turn or a permit is woken; the error is a failed item's own. */
static void test_par_error_ends_waits(void **state)
{
    (void)state;
    for (unsigned slots = 1; slots <= 40; slots += 13) {
        crew c = { .bad = { 100, 101, 250 }, .nbad = 3 };
        rc_err err;

        assert_int_equal(rc_par_run(ITEMS, slots, 2, item, &c, &err), RC_E_IO);
        assert_true(err.offset == 100 || err.offset == 101);
        assert_int_equal(c.ran[ITEMS - 1], 0);
    }
}

static rc_code all_fail(void *ctx, rc_par *par, unsigned slot, uint64_t i, rc_err *err)
{
    pthread_barrier_t *together = ctx;

    (void)par;
    (void)slot;
    pthread_barrier_wait(together);
    return rc_fail(err, i ? RC_E_IO : RC_E_STOPPED, i, "item");
}

/* Of several errors the lowest item's, and never an echo ("stopped") for a cause. */
static void test_par_tells_the_cause(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        pthread_barrier_t together;
        rc_err err;

        pthread_barrier_init(&together, NULL, 4);
        assert_int_equal(rc_par_run(4, 4, 4, all_fail, &together, &err), RC_E_IO);
        assert_int_equal(err.offset, 1);
        pthread_barrier_destroy(&together);
    }
}

static void test_par_stops_for_a_signal(void **state)
{
    crew c = { .stop_at = 50 };
    rc_err err;

    (void)state;
    assert_int_equal(rc_par_run(ITEMS, 6, 2, item, &c, &err), RC_E_STOPPED);
    assert_string_equal(err.msg, "stopped by a signal");
    assert_int_equal(c.ran[ITEMS - 1], 0);
    assert_int_equal(rc_stop_signal(), 15);
    rc_stop_request(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_par_runs_all_in_order),  cmocka_unit_test(test_par_of_nothing),
        cmocka_unit_test(test_par_error_ends_waits),   cmocka_unit_test(test_par_tells_the_cause),
        cmocka_unit_test(test_par_stops_for_a_signal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
