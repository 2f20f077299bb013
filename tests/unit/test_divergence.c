/* tests/unit/test_divergence.c - exp and log in double against the C library's long double; the
 * sums against numbers of Python's decimal and against long double. */
#include "kernels/divergence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>

#include "tests/unit/random.h"

enum { POINTS = 300000, MANY = 4096 };

/* The distance of y from `exact` in units of the last place of double there. */
static double ulps(double y, long double exact)
{
    int exponent;

    frexpl(exact, &exponent);
    return (double)(fabsl((long double)y - exact) / ldexpl(1, exponent - 53));
}

static double uniform(uint64_t *seed, double from, double to)
{
    const double coarse = (double)rnd_f32(seed), fine = (double)rnd_f32(seed);

    return from + (to - from) * (0.5 + 0.5 * coarse + 0x1p-24 * fine);
}

static void expect_within(double (*fn)(double), long double (*exact)(long double), double from,
                          double to, double bound)
{
    uint64_t seed = 77;
    double worst = 0;

    for (unsigned i = 0; i < POINTS; i++) {
        const double x = uniform(&seed, from, to), error = ulps(fn(x), exact((long double)x));
        if (!(error <= bound))
            fail_msg("%a gives %a, %g ulp off", x, fn(x), error);
        worst = error > worst ? error : worst;
    }
    assert_true(worst > 0.49); /* or nothing was compared */
}

static void test_exp64_error(void **state)
{
    (void)state;
    expect_within(rc_exp_f64, expl, -708, 709.78, 0.99);
    expect_within(rc_exp_f64, expl, -1, 1, 0.99);
    expect_within(rc_exp_f64, expl, -40, 0, 0.99);
}

static void test_exp64_ends(void **state)
{
    const double most = 0x1.62e42fefa39efp+9;

    (void)state;
    assert_true(rc_exp_f64(0) == 1 && rc_exp_f64(-0.0) == 1 && rc_exp_f64(-0x1p-1074) == 1);
    assert_true(rc_exp_f64(-708) >= DBL_MIN && rc_exp_f64(nextafter(-708, -709)) == 0);
    assert_true(rc_exp_f64(-INFINITY) == 0 && !signbit(rc_exp_f64(-INFINITY)));
    assert_true(isfinite(rc_exp_f64(most)) && ulps(rc_exp_f64(most), expl((long double)most)) < 1);
    assert_true(isinf(rc_exp_f64(nextafter(most, 800))) && isinf(rc_exp_f64(INFINITY)));
    assert_true(isnan(rc_exp_f64(NAN)) && isnan(rc_exp_f64(-NAN)));
}

static void test_log64_error(void **state)
{
    uint64_t seed = 5;

    (void)state;
    expect_within(rc_log_f64, logl, 0.5, 2, 0.6);
    expect_within(rc_log_f64, logl, 1, 129280, 0.6);
    for (int k = -1074; k < 1024; k++) { /* subnormals too */
        const double x = ldexp(uniform(&seed, 1, 2), k);
        assert_true(ulps(rc_log_f64(x), logl((long double)x)) < 0.6);
    }
}

static void test_log64_ends(void **state)
{
    (void)state;
    assert_true(rc_log_f64(1) == 0 && !signbit(rc_log_f64(1)));
    assert_true(rc_log_f64(2) == 0x1.62e42fefa39efp-1);
    assert_true(rc_log_f64(0) == -INFINITY && rc_log_f64(-0.0) == -INFINITY);
    assert_true(rc_log_f64(INFINITY) == INFINITY);
    assert_true(isnan(rc_log_f64(-1)) && isnan(rc_log_f64(-INFINITY)) && isnan(rc_log_f64(NAN)));
}

static void test_exp_sum64_order(void **state)
{
    const float far = -37.5f; /* exp is 5.2e-17: beside 1 it is lost, four of them are not */
    float s[64];

    (void)state;
    for (unsigned i = 0; i < 64; i++)
        s[i] = -INFINITY;
    s[0] = 3;
    s[16] = s[32] = s[48] = 3 + far;
    assert_true(rc_exp_sum64_ref(s, 64, 3) == 1);
    s[8] = s[24] = s[40] = s[56] = 3 + far; /* lane 8 adds them up first */
    assert_true(rc_exp_sum64_ref(s, 64, 3) == 1 + 0x1p-52);
    assert_true(rc_exp_sum64_ref(s, 0, 3) == 0);
    s[5] = NAN;
    assert_true(isnan(rc_exp_sum64_ref(s, 64, 3)));
}

static double log_sum(const float *s, size_t n)
{
    float most = s[0];

    for (size_t i = 1; i < n; i++)
        most = s[i] > most ? s[i] : most;
    return (double)most + rc_log_f64(rc_exp_sum64_ref(s, n, (double)most));
}

static double kl(const float *a, const float *b, size_t n)
{
    return rc_divergence_ref(a, b, n, log_sum(a, n), log_sum(b, n));
}

/* sum p (expm1(e) - e) with all in long double; of small e by the series. */
static double kl_long(const float *a, const float *b, size_t n)
{
    long double za = 0, zb = 0, sum = 0, c;

    for (size_t i = 0; i < n; i++) {
        za += expl((long double)a[i]);
        zb += expl((long double)b[i]);
    }
    c = logl(za) - logl(zb);
    for (size_t i = 0; i < n; i++) {
        const long double e = (long double)b[i] - (long double)a[i] + c;
        long double rest = 0;
        if (fabsl(e) < 0.125L)
            for (int k = 16; k >= 2; k--)
                rest = (rest * e + 1) / k;
        sum += expl((long double)a[i]) / za * (fabsl(e) < 0.125L ? rest * e * e : expm1l(e) - e);
    }
    return (double)sum;
}

/* From almost everything to 1e-13: b is a with an error of `part`. */
static void test_divergence_small(void **state)
{
    static float a[MANY], b[MANY];
    uint64_t seed = 3;

    (void)state;
    for (double part = 8; part > 1e-6; part /= 3) {
        double want, got;
        for (size_t i = 0; i < MANY; i++) {
            a[i] = 9 * rnd_f32(&seed);
            b[i] = a[i] + (float)part * rnd_f32(&seed);
        }
        want = kl_long(a, b, MANY);
        got = kl(a, b, MANY);
        if (!(fabs(got - want) <= 1e-13 * want))
            fail_msg("errors of %g: %.17g, not %.17g", part, got, want);
        assert_true(got > 0);
    }
}

/* One logit a last place off: some 1e-19, where a sum of p log(p / q) gives noise of 1e-16. */
static void test_divergence_least(void **state)
{
    static float a[MANY], b[MANY];
    uint64_t seed = 4;
    double want, got;

    (void)state;
    for (size_t i = 0; i < MANY; i++)
        b[i] = a[i] = 2 * rnd_f32(&seed);
    b[17] = nextafterf(b[17], 9);
    want = kl_long(a, b, MANY);
    got = kl(a, b, MANY);
    assert_true(want > 0 && want < 1e-17);
    assert_true(fabs(got - want) <= 1e-9 * want);
}

static void test_divergence_equal(void **state)
{
    static float a[MANY];
    uint64_t seed = 9;

    (void)state;
    for (size_t i = 0; i < MANY; i++)
        a[i] = i % 7 ? 30 * rnd_f32(&seed) : -900;
    a[3] = -INFINITY;
    for (size_t n = 4; n < MANY; n = n * 3 + 1) {
        const double zero = kl(a, a, n);
        assert_true(zero == 0 && !signbit(zero));
    }
}

/* Two tokens: by hand. */
static void test_divergence_value(void **state)
{
    const float half[2] = { 0, 0 }, all[2] = { 0, -INFINITY }, far[2] = { 0, -2000 };
    const double log2 = rc_log_f64(2);

    (void)state;
    assert_true(log_sum(half, 2) == log2);
    assert_true(fabs(kl(all, half, 2) - log2) < 1e-15); /* the other's q is what it lacks */
    assert_true(fabs(kl(far, half, 2) - log2) < 1e-15);
    assert_true(kl(half, all, 2) == INFINITY);
    assert_true(fabs(kl(half, far, 2) - (1000 - log2)) < 1e-12);
    assert_true(isnan(rc_divergence_ref((float[]){ 0, NAN }, half, 2, log2, log2)));
    assert_true(isnan(rc_divergence_ref(half, (float[]){ NAN, 0 }, 2, log2, log2)));
    assert_true(isnan(rc_divergence_ref(all, (float[]){ 0, NAN }, 2, 0, log2)));
    assert_true(rc_divergence_ref(half, half, 0, 1, 2) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp64_error),      cmocka_unit_test(test_exp64_ends),
        cmocka_unit_test(test_log64_error),      cmocka_unit_test(test_log64_ends),
        cmocka_unit_test(test_exp_sum64_order),  cmocka_unit_test(test_divergence_small),
        cmocka_unit_test(test_divergence_least), cmocka_unit_test(test_divergence_equal),
        cmocka_unit_test(test_divergence_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
