/* tests/unit/test_dequant.c - every code under every scale, against the definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fenv.h>
#include <math.h>
#include <string.h>

#include "kernels/dequant_fp4.h"
#include "kernels/dequant_fp8.h"
#include "kernels/dequant_int4.h"
#include "kernels/e8m0.h"

static uint32_t bits_of(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double of_bf16(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;

    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

static const double e2m1[16] = { 0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6 };

static double e4m3(unsigned code)
{
    const int exponent = (int)(code >> 3 & 15), mantissa = (int)(code & 7);
    const double x = exponent ? ldexp(8 + mantissa, exponent - 10) : ldexp(mantissa, -9);

    return code & 0x80 ? -x : x;
}

/* A double as an f32 would have it when it is representable or too large. */
static void same_value(double got, double exact)
{
    if (fabs(exact) >= 0x1p128)
        assert_true(isinf(got) && signbit(got) == signbit(exact));
    else
        assert_true(got == exact && signbit(got) == signbit(exact));
}

static void test_fp4_all_codes_all_scales(void **state)
{
    uint8_t q[16], scale;
    float y[32];
    uint16_t h[32];

    (void)state;
    for (unsigned i = 0; i < 16; i++) /* element 2i is code i, 2i+1 its complement */
        q[i] = (uint8_t)(i | (15 - i) << 4);
    for (unsigned s = 0; s < 256; s++) {
        size_t infinite = 0;
        scale = (uint8_t)s;
        rc_dequant_fp4_ref(y, q, &scale, 32);
        const size_t inexact = rc_dequant_fp4_bf16_ref(h, q, &scale, 32);
        for (unsigned i = 0; i < 32; i++) {
            const double want = ldexp(e2m1[i & 1 ? 15 - i / 2 : i / 2], (int)s - 127);
            if (s == 255) {
                assert_int_equal(bits_of(y[i]), 0x7fc00000);
                assert_int_equal(h[i], 0x7fc0);
                continue;
            }
            same_value((double)y[i], want);
            same_value(of_bf16(h[i]), want);
            infinite += fabs(want) >= 0x1p128;
        }
        assert_int_equal(inexact, infinite);
        assert_int_equal(infinite != 0, s == 253 || s == 254);
    }
}

static void test_fp8_all_codes_all_scales(void **state)
{
    uint8_t q[256], bytes[2];
    float y[256], scales[2];
    uint16_t h[256];

    (void)state;
    for (unsigned i = 0; i < 256; i++)
        q[i] = (uint8_t)i;
    for (unsigned s = 0; s < 256; s++) {
        size_t lost = 0;
        bytes[0] = bytes[1] = (uint8_t)s;
        rc_e8m0_to_f32(scales, bytes, 2);
        rc_dequant_fp8_ref(y, q, scales, 256);
        const size_t inexact = rc_dequant_fp8_bf16_ref(h, q, scales, 256);
        for (unsigned i = 0; i < 256; i++) {
            const double want = ldexp(e4m3(i), (int)s - 127);
            if (s == 255 || (i & 0x7f) == 0x7f) {
                assert_int_equal(bits_of(y[i]), 0x7fc00000);
                assert_int_equal(h[i], 0x7fc0);
                continue;
            }
            same_value((double)y[i], want);
            lost += of_bf16(h[i]) != want;
            if (fabs(want) >= 0x1p-126) /* normal: four bits fit */
                same_value(of_bf16(h[i]), want);
            else
                assert_true(fabs(of_bf16(h[i]) - want) <= 0x1p-134);
        }
        assert_int_equal(inexact, lost);
    }
}

/* 1.125 * (1 + 2^-23) needs 27 bits. f32 rounds it, and bf16 of that is 1.125. */
static void test_fp8_product_beyond_f32_is_counted(void **state)
{
    const uint8_t q[3] = { 0x39, 0x38, 0x00 }; /* 1.125, 1, 0 */
    const float scale = 1 + 0x1p-23f;
    float y[3];
    uint16_t h[3];

    (void)state;
    rc_dequant_fp8_ref(y, q, &scale, 3);
    assert_true(y[0] == 1.125f + 0x1p-23f && y[1] == scale && y[2] == 0);
    assert_int_equal(rc_dequant_fp8_bf16_ref(h, q, &scale, 3), 2);
    assert_int_equal(h[0], 0x3f90);

    /* 2^-9 * 2^-141 is half of the smallest f32: both the product and what a fused
     * f32 check would find left over round to 0. It is lost all the same. */
    const uint8_t least = 0x01;
    const float tiny = 0x1p-141f;
    assert_int_equal(rc_dequant_fp8_bf16_ref(h, &least, &tiny, 1), 1);
    assert_int_equal(h[0], 0);
}

static void test_fp8_odd_scales(void **state)
{
    const uint8_t q[4] = { 0x00, 0x38, 0xb8, 0x7e }; /* 0 1 -1 448 */
    float y[4], scale = INFINITY;
    uint16_t h[4];

    (void)state;
    rc_dequant_fp8_ref(y, q, &scale, 4);
    assert_int_equal(bits_of(y[0]), 0x7fc00000);
    assert_true(isinf(y[1]) && y[2] == -INFINITY);
    assert_int_equal(rc_dequant_fp8_bf16_ref(h, q, &scale, 4), 0);
    scale = 0x1p120f; /* 448 * 2^120 overflows */
    assert_int_equal(rc_dequant_fp8_bf16_ref(h, q, &scale, 4), 1);
    assert_int_equal(h[3], 0x7f80);
}

/* Every code over every zero point, and the symmetric 8. */
static void test_int4_all_codes(void **state)
{
    const float scale[2] = { 0x1.8p-3f, -0x1.004p-10f };
    uint8_t q[32], zero[2];
    float y[64];

    (void)state;
    for (unsigned i = 0; i < 32; i++) /* element 2i is code i % 16, 2i+1 its complement */
        q[i] = (uint8_t)(i % 16 | (15 - i % 16) << 4);
    for (int z = 0; z <= 16; z++) {
        const int from = z == 16 ? 8 : z;

        zero[0] = zero[1] = (uint8_t)z;
        rc_dequant_int4_ref(y, q, scale, z == 16 ? NULL : zero, 32, 64);
        for (int i = 0; i < 64; i++) {
            const int code = i % 2 ? 15 - i / 2 % 16 : i / 2 % 16;

            assert_true((double)y[i] == (code - from) * (double)scale[i / 32]);
        }
    }
}

static void test_int4_odd_scales(void **state)
{
    const uint8_t q[16] = { 0x98 }; /* 8, 9, then 0 */
    float y[32], scale = INFINITY;

    (void)state;
    rc_dequant_int4_ref(y, q, &scale, NULL, 32, 32);
    assert_int_equal(bits_of(y[0]), 0x7fc00000); /* 0 times infinity */
    assert_true(y[1] == INFINITY && y[2] == -INFINITY);
    scale = -NAN;
    rc_dequant_int4_ref(y, q, &scale, NULL, 32, 32);
    assert_int_equal(bits_of(y[1]), 0x7fc00000);
    scale = 0x1p-149f; /* the least subnormal is not lost */
    rc_dequant_int4_ref(y, q, &scale, NULL, 32, 32);
    assert_true(y[2] == -0x1p-146f);
}

static void test_decoding_ignores_the_rounding_mode(void **state)
{
    static const int modes[] = { FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO };
    uint8_t q[128], scale4[8] = { 0, 1, 100, 127, 252, 253, 254, 255 };
    float want[256], got[256], scale = 0x1.23456p-3f;
    uint16_t h[256], g[256];

    (void)state;
    for (unsigned i = 0; i < 128; i++)
        q[i] = (uint8_t)(i * 5 + i / 16);
    for (unsigned m = 0; m < 3; m++) {
        rc_dequant_fp4_ref(want, q, scale4, 256);
        fesetround(modes[m]);
        rc_dequant_fp4_ref(got, q, scale4, 256);
        fesetround(FE_TONEAREST);
        assert_memory_equal(want, got, sizeof want);

        rc_dequant_fp8_ref(want, q, &scale, 128);
        const size_t a = rc_dequant_fp8_bf16_ref(h, q, &scale, 128);
        fesetround(modes[m]);
        rc_dequant_fp8_ref(got, q, &scale, 128);
        const size_t c = rc_dequant_fp8_bf16_ref(g, q, &scale, 128);
        assert_int_equal(fegetround(), modes[m]);
        fesetround(FE_TONEAREST);
        assert_memory_equal(want, got, 128 * sizeof *want);
        assert_memory_equal(h, g, 128 * sizeof *h);
        assert_int_equal(a, c);
    }
}

static void test_e8m0_round_trip_and_refusals(void **state)
{
    uint8_t e[256], back[256];
    float y[256];
    const float bad[] = { 0, -0.0f, -1, 3, INFINITY, NAN, 0x1p-128f, 0x1.8p-127f, 0x1.000002p0f };

    (void)state;
    for (unsigned i = 0; i < 256; i++)
        e[i] = (uint8_t)i;
    rc_e8m0_to_f32(y, e, 256);
    for (unsigned i = 0; i < 255; i++)
        assert_true((double)y[i] == ldexp(1, (int)i - 127));
    assert_int_equal(bits_of(y[0]), 0x00400000);
    assert_int_equal(bits_of(y[255]), 0x7fc00000);
    assert_int_equal(rc_f32_to_e8m0(back, y, 255), 0);
    assert_memory_equal(e, back, 255);
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(rc_f32_to_e8m0(back, bad + i, 1), 1);
        assert_int_equal(back[0], 255);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fp4_all_codes_all_scales),
        cmocka_unit_test(test_fp8_all_codes_all_scales),
        cmocka_unit_test(test_fp8_product_beyond_f32_is_counted),
        cmocka_unit_test(test_fp8_odd_scales),
        cmocka_unit_test(test_int4_all_codes),
        cmocka_unit_test(test_int4_odd_scales),
        cmocka_unit_test(test_decoding_ignores_the_rounding_mode),
        cmocka_unit_test(test_e8m0_round_trip_and_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
