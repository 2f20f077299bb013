/* tests/unit/test_f16.c - half precision against its definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "kernels/codes.h"
#include "kernels/f16.h"

/* (-1)^s * 2^(e-15) * 1.f, or 2^-14 * 0.f. */
static double value(uint16_t h)
{
    const int exponent = h >> 10 & 31, fraction = h & 0x3ff;
    const double x = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);

    return h & 0x8000 ? -x : x;
}

static void test_f16_decodes_all(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 0x10000; i++) {
        const uint16_t h = (uint16_t)i;
        const float got = rc_f16_decode(h);
        if ((h & 0x7fff) > 0x7c00)
            assert_int_equal(rc_f32_bits(got), RC_F32_NAN);
        else if ((h & 0x7fff) == 0x7c00)
            assert_true(isinf(got) && (got < 0) == (h >> 15));
        else
            assert_true((double)got == value(h) && !signbit(got) == !(h >> 15));
    }
}

/* Both signs of x. */
static void expect(float x, uint16_t h)
{
    assert_int_equal(rc_f16_encode(x), h);
    assert_int_equal(rc_f16_encode(-x), h | 0x8000);
}

/* Every number, what lies halfway to the next, and its two neighbours; the last one's
 * next is 65536, where infinity begins. */
static void test_f16_encodes_to_nearest_even(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 0x7c00; i++) {
        const uint16_t h = (uint16_t)i, next = (uint16_t)(i + 1);
        const double up = i + 1 == 0x7c00 ? 65536 : value(next);
        const float half = (float)((value(h) + up) / 2);
        expect((float)value(h), h);
        expect(half, i & 1 ? next : h);
        expect(nextafterf(half, 0), h);
        expect(nextafterf(half, INFINITY), next);
    }
    expect(70000.0f, 0x7c00);
    expect(INFINITY, 0x7c00);
    expect(0x1.fffffep127f, 0x7c00);
    expect(0x1p-149f, 0);
}

static void test_f16_encodes_nan_as_one(void **state)
{
    (void)state;
    assert_int_equal(rc_f16_encode(NAN), 0x7e00);
    assert_int_equal(rc_f16_encode(rc_f32_of_bits(0xff800001u)), 0x7e00);
}

static void test_f16_counts_what_changed(void **state)
{
    const float x[] = {
        1, 0.1f, -0.0f, 65504, 65520, INFINITY, NAN, 0x1p-24f, 0x1p-25f, 0x1p-140f
    };
    uint16_t y[10];

    (void)state;
    for (const rc_f32_to_f16_impl *row = rc_f32_to_f16_impls; row->fn; row++)
        if ((row->need & ~rc_cpu_machine()) == 0)
            assert_int_equal(row->fn(y, x, 10), 4); /* 0.1, 65520, 2^-25, 2^-140 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f16_decodes_all),
        cmocka_unit_test(test_f16_encodes_to_nearest_even),
        cmocka_unit_test(test_f16_encodes_nan_as_one),
        cmocka_unit_test(test_f16_counts_what_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
