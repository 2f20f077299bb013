/* tests/unit/test_scaled.c - which power of a scaling a reader has taken up, and undoing it.
 * Finding a scaling in a checkpoint is in tests/cli/verify/smoothed.sh. */
#include "verify/scaled.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>

enum { N = 64, ROWS = 32 };

/* A point of N channels: s is 1 +- `spread` by turns, or powers of two for 0. */
static void make_point(rc_scaled_point *p, float s[2 * N], float spread)
{
    for (unsigned k = 0; k < N; k++) {
        s[k] = spread == 0 ? ldexpf(1, (int)(k % 5) - 2) : 1 + spread * (float)(k % 3) / 2;
        s[N + k] = 1 / s[k];
    }
    *p = (rc_scaled_point){ .n = N, .s = s, .undo = s + N };
}

/* The same on every machine. */
static float noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 16777216.0f - 0.5f;
}

/* Weigh rows that were scaled by s to `power` and then rounded by `rounding`. */
static unsigned power_of(float spread, double power, float rounding)
{
    float s[2 * N], a[N], b[N];
    uint32_t state = 7;
    rc_powers sums = { 0 };
    rc_scaled_point p;

    make_point(&p, s, spread);
    for (unsigned row = 0; row < ROWS; row++) {
        for (unsigned k = 0; k < N; k++) {
            a[k] = noise(&state);
            b[k] = (float)(((double)a[k] + (double)(rounding * noise(&state))) *
                           pow((double)s[k], power));
        }
        rc_scaled_undo(&p, false, a, b);
        rc_scaled_weigh(&sums, &p, a, b);
    }
    return rc_scaled_power(&sums);
}

static void test_scaled_power(void **state)
{
    static const double powers[] = { 0, 0.5, 1, 2, -1 };

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(power_of(0, powers[i], 0), i);
        assert_int_equal(power_of(0, powers[i], 0.1f), i);
        assert_int_equal(power_of(1, powers[i], 0.1f), i);
    }
    /* factors near 1 under the rounding of 4 bits: only what is clear is said */
    assert_int_equal(power_of(0.3f, 0, 0.1f), RC_SCALED_NONE);
    assert_int_equal(power_of(0.3f, 1, 0.1f), RC_SCALED_ONCE);
    assert_int_equal(power_of(0.01f, 0, 0.1f), RC_SCALED_ONCE);
    assert_int_equal(power_of(0.01f, 1, 0.1f), RC_SCALED_ONCE);
}

/* What is no such matrix at all has taken up nothing. */
static void test_scaled_garbage(void **state)
{
    float s[2 * N], a[N], b[N];
    uint32_t seed = 3;
    rc_powers sums = { 0 };
    rc_scaled_point p;

    (void)state;
    make_point(&p, s, 0);
    assert_int_equal(rc_scaled_power(&sums), RC_SCALED_ONCE); /* nothing was weighed */
    for (unsigned row = 0; row < ROWS; row++) {
        for (unsigned k = 0; k < N; k++) {
            a[k] = noise(&seed);
            b[k] = k == 7 ? NAN : k == 8 ? INFINITY : noise(&seed);
        }
        rc_scaled_weigh(&sums, &p, a, b);
    }
    assert_int_equal(rc_scaled_power(&sums), RC_SCALED_ONCE);
}

/* A gain comes back to the bit, whatever the factor; another one does not. */
static void test_scaled_undo_norm(void **state)
{
    float s[2 * N], a[N], b[N];
    uint32_t seed = 11;
    rc_scaled_point p;

    (void)state;
    make_point(&p, s, 0);
    for (unsigned k = 0; k < N; k++) {
        a[k] = 1 + noise(&seed);
        b[k] = 0.37f + noise(&seed) / 4;
        p.s[k] = a[k] / b[k];
    }
    b[5] *= 1.001f;
    rc_scaled_undo(&p, true, a, b);
    for (unsigned k = 0; k < N; k++)
        assert_true((a[k] == b[k]) == (k != 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scaled_power),
        cmocka_unit_test(test_scaled_garbage),
        cmocka_unit_test(test_scaled_undo_norm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
