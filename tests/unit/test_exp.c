/* tests/unit/test_exp.c - exp and its kin against the C library in double. */
#include "kernels/exp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { STRIDE = 4099 }; /* through the bit patterns of f32: a million of them */

static float of_bits(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* The distance of y from `exact` in units of the last place of f32 there. */
static double ulps(float y, double exact)
{
    int exponent;

    frexp(exact, &exponent);
    return fabs((double)y - exact) / ldexp(1, exponent - 24);
}

/* Every STRIDEth f32 and, as those are mostly far out, the same count evenly over -100 .. 100. */
static float nth(uint32_t i)
{
    const uint32_t count = UINT32_MAX / STRIDE;

    return i < count ? of_bits(i * STRIDE) : (float)(i - count) * (200.0f / (float)count) - 100;
}

static void expect_within(float (*fn)(float), double (*exact)(double), double bound)
{
    double worst = 0;

    for (uint32_t i = 0; i < 2 * (UINT32_MAX / STRIDE); i++) {
        const float x = nth(i), y = isnan(x) ? 0 : fn(x);
        const double e = isnan(x) ? 0 : exact((double)x);
        if (isnan(x) || (e < 0x1p-126 && fabs((double)y - e) < 0x1p-126))
            continue;
        if (isinf(y) && e > 0x1.fffffep+127)
            continue;
        if (!(ulps(y, e) <= bound))
            fail_msg("%a: %a is %g ulp from %a", (double)x, (double)y, ulps(y, e), e);
        worst = ulps(y, e) > worst ? ulps(y, e) : worst;
    }
    assert_true(worst > 0.5); /* or nothing was compared */
}

static double exact_softplus(double x)
{
    return x > 20 ? x : log1p(exp(x));
}

static double exact_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static void test_exp_error(void **state)
{
    (void)state;
    expect_within(rc_exp_f32, exp, 0.902);
    expect_within(rc_softplus_f32, exact_softplus, 2);
    expect_within(rc_sigmoid_f32, exact_sigmoid, 3);
}

static void test_exp_ends(void **state)
{
    const float least = -0x1.5d589ep+6f, most = 0x1.62e42ep+6f;

    (void)state;
    assert_true(rc_exp_f32(0) == 1 && rc_exp_f32(-0.0f) == 1 && rc_exp_f32(0x1p-149f) == 1);
    assert_true(rc_exp_f32(least) >= 0x1p-126f);
    assert_int_equal(bits_of(rc_exp_f32(nextafterf(least, -100))), 0);
    assert_int_equal(bits_of(rc_exp_f32(-INFINITY)), 0);
    assert_true(rc_exp_f32(most) > 0x1.fffep+127f && isfinite(rc_exp_f32(most)));
    assert_true(isinf(rc_exp_f32(nextafterf(most, 100))) && isinf(rc_exp_f32(INFINITY)));
    assert_int_equal(bits_of(rc_exp_f32(of_bits(0xff812345))), 0x7fc00000);
    assert_true(rc_softplus_f32(20.5f) == 20.5f && isinf(rc_softplus_f32(INFINITY)));
    assert_true(rc_softplus_f32(-INFINITY) == 0 && rc_softplus_f32(-88) == 0);
    assert_int_equal(bits_of(rc_softplus_f32(-NAN)), 0x7fc00000);
    assert_true(rc_sigmoid_f32(INFINITY) == 1 && rc_sigmoid_f32(-INFINITY) == 0);
    assert_true(rc_sigmoid_f32(0) == 0.5f);
    assert_true(isnan(rc_sigmoid_f32(NAN)));
}

/* Every product of a softmax is a probability: larger inputs give no smaller results. */
static void test_exp_is_monotonic(void **state)
{
    float before = rc_exp_f32(-90);

    (void)state;
    for (int32_t i = -90 * 4096; i <= 90 * 4096; i++) {
        const float y = rc_exp_f32((float)i / 4096);
        assert_true(y >= before);
        before = y;
    }
}

static void test_exp_sum_order(void **state)
{
    const float far = -17.5f; /* exp is 2.5e-8: beside 1 it is lost, four of them are not */
    float s[64], p[64];

    (void)state;
    for (unsigned i = 0; i < 64; i++)
        s[i] = -INFINITY;
    s[0] = 3;
    s[16] = s[32] = s[48] = 3 + far;
    assert_true(rc_exp_sum_ref(p, s, 64, 3) == 1);
    assert_true(p[0] == 1 && p[1] == 0 && p[16] == rc_exp_f32(far));
    s[8] = s[24] = s[40] = s[56] = 3 + far; /* lane 8 adds them up first */
    assert_true(rc_exp_sum_ref(p, s, 64, 3) == 1 + 0x1p-23f);
    assert_true(rc_exp_sum_ref(p, s, 0, 3) == 0);
    s[5] = NAN;
    assert_int_equal(bits_of(rc_exp_sum_ref(p, s, 64, 3)), 0x7fc00000);
    assert_true(p[0] == 1 && isnan(p[5]));
}

static void test_swiglu_value(void **state)
{
    static const float limits[] = { INFINITY, 10, 0.5f };

    (void)state;
    for (unsigned k = 0; k < 3; k++)
        for (int i = -200; i <= 200; i++)
            for (int j = -60; j <= 60; j += 7) {
                const float a = (float)i * 0.17f, b = (float)j * 0.31f, limit = limits[k];
                const double z = fmin((double)a, (double)limit);
                const double up = fmax(fmin((double)b, (double)limit), -(double)limit);
                const double want = 1.5 * (z / (1 + exp(-z)) * up);
                float v;
                rc_swiglu_ref(&v, &a, &b, 1, limit, 1.5f);
                /* exp 0.9, then sum, quotient and two products, half an ulp each */
                assert_true(fabs((double)v - want) <= fabs(want) * 3.4 * 0x1p-23);
            }
}

static void test_swiglu_ends(void **state)
{
    const float a[6] = { -200, -INFINITY, INFINITY, NAN, 1, 0 };
    const float b[6] = { 2, 2, 2, 2, NAN, 5 };
    float v[6];

    (void)state;
    rc_swiglu_ref(v, a, b, 6, 10, 1);
    assert_true(v[0] == 0 && signbit(v[0]));
    for (unsigned i = 1; i < 5; i++)
        if (i != 2)
            assert_int_equal(bits_of(v[i]), 0x7fc00000);
    assert_true(v[2] == 10 / (1 + rc_exp_f32(-10)) * 2);
    assert_true(v[5] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp_error),        cmocka_unit_test(test_exp_ends),
        cmocka_unit_test(test_exp_is_monotonic), cmocka_unit_test(test_exp_sum_order),
        cmocka_unit_test(test_swiglu_value),     cmocka_unit_test(test_swiglu_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
