/* tests/unit/test_kernels.c - bf16, scan, compare_f32 and the choice of a variant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "kernels/bf16.h"
#include "kernels/compare_f32.h"
#include "kernels/recast_fp4_fp8.h"
#include "kernels/scan.h"

static float of_bits(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

static double of_bf16(uint16_t half)
{
    return (double)of_bits((uint32_t)half << 16);
}

/* Rounding seen from the values: no bf16 neighbour is nearer, ties have an even
 * code. Every upper half, with the lower halves around a tie. */
static void test_bf16_is_nearest_even(void **state)
{
    static const uint16_t low[] = { 0, 1, 0x7fff, 0x8000, 0x8001, 0xffff };

    (void)state;
    for (uint32_t top = 0; top < 0x7f80; top++)
        for (unsigned k = 0; k < 6; k++)
            for (uint32_t sign = 0; sign < 2; sign++) {
                const float x = of_bits(sign << 31 | top << 16 | low[k]);
                const double lower = of_bf16((uint16_t)top), exact = fabs((double)x);
                const double upper = top == 0x7f7f ? 0x1p128 : of_bf16((uint16_t)(top + 1));
                const bool up =
                    upper - exact < exact - lower || (upper - exact == exact - lower && (top & 1));
                uint16_t y;
                const size_t inexact = rc_f32_to_bf16_ref(&y, &x, 1);
                assert_int_equal(y, sign << 15 | (top + up));
                assert_int_equal(inexact, low[k] != 0);
            }
}

static void test_bf16_nan_stays_nan(void **state)
{
    const float x[3] = { of_bits(0x7f800001), of_bits(0xffffffff), of_bits(0x7fc12345) };
    uint16_t y[3];

    (void)state;
    assert_int_equal(rc_f32_to_bf16_ref(y, x, 3), 0);
    assert_int_equal(y[0], 0x7fc0);
    assert_int_equal(y[1], 0xffff);
    assert_int_equal(y[2], 0x7fc1);
}

static void test_bf16_widening_keeps_all_bits(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 65536; i++) {
        const uint16_t x = (uint16_t)i;
        uint32_t bits;
        float y;
        rc_bf16_to_f32_ref(&y, &x, 1);
        memcpy(&bits, &y, sizeof bits);
        assert_int_equal(bits, (uint32_t)i << 16);
    }
}

static void expect_scan(rc_dtype dtype, const void *data, size_t n, uint64_t nan, uint64_t inf,
                        uint64_t first, bool zero)
{
    rc_scan_result r;

    rc_scan_ref(&r, dtype, data, n);
    assert_int_equal(r.nan, nan);
    assert_int_equal(r.inf, inf);
    assert_true(r.first_bad == first);
    assert_int_equal(r.all_zero, zero);
}

static void test_scan_counts(void **state)
{
    const uint8_t fp8[] = { 0, 0x7e, 0x7f, 0xff, 0x78 }, e8m0[] = { 0, 254, 0x7f, 255 };
    const uint16_t bf16[] = { 0x7f7f, 0x7f80, 0xff80, 0x7f81, 0x0001 };
    const float f32[] = { 0, -INFINITY, NAN, 0x1p-149f }, zeros[2] = { 0, 0 }, minus = -0.0f;

    (void)state;
    expect_scan(RC_DTYPE_F8_E4M3, fp8, 5, 2, 0, 2, false);
    expect_scan(RC_DTYPE_F8_E8M0, e8m0, 4, 1, 0, 3, false);
    expect_scan(RC_DTYPE_BF16, bf16, 5, 1, 2, 1, false);
    expect_scan(RC_DTYPE_F32, f32, 4, 1, 1, 1, false);
    expect_scan(RC_DTYPE_F32, zeros, 2, 0, 0, UINT64_MAX, true);
    expect_scan(RC_DTYPE_F32, &minus, 1, 0, 0, UINT64_MAX, false);
    expect_scan(RC_DTYPE_BF16, bf16, 0, 0, 0, UINT64_MAX, true);
}

static void test_scan_pieces_add_up(void **state)
{
    const uint8_t data[6] = { 0, 0, 0x7f, 1, 0x7f, 0 };
    rc_scan_result total = RC_SCAN_NONE, piece;

    (void)state;
    rc_scan_ref(&piece, RC_DTYPE_F8_E4M3, data + 4, 2);
    rc_scan_add(&total, &piece, 4);
    assert_true(total.first_bad == 4);
    rc_scan_ref(&piece, RC_DTYPE_F8_E4M3, data, 4);
    rc_scan_add(&total, &piece, 0);
    assert_int_equal(total.nan, 2);
    assert_true(total.first_bad == 2);
    assert_false(total.all_zero);
}

static void test_compare_by_hand(void **state)
{
    const float a[] = { 1, 2, -3, 0.0f, NAN, NAN, INFINITY, INFINITY, 4 };
    const float b[] = { 1, 4, -5, -0.0f, NAN, 1, INFINITY, 1, -INFINITY };
    rc_comparison r;

    (void)state;
    rc_compare_f32_ref(&r, a, b, 9);
    assert_true(r.aa == 1 + 4 + 9 && r.bb == 1 + 16 + 25 && r.ab == 1 + 8 + 15 && r.dd == 4 + 4);
    assert_true(r.max_diff == 2);
    assert_int_equal(r.max_at, 1);
    assert_int_equal(r.differ, 5); /* 2:4, -3:-5, NaN:1, inf:1, 4:-inf */
    assert_int_equal(r.nan_both, 1);
    assert_int_equal(r.nan_a, 2);
    assert_int_equal(r.nan_b, 1);
    assert_int_equal(r.inf_a, 2);
    assert_int_equal(r.inf_b, 2);
}

/* The order of the sum is part of the contract: 2^53 swallows a lone 1, and
 * lanes i and i + 16 meet before lanes i and i + 1. */
static void test_compare_sums_in_sixteen_lanes(void **state)
{
    float a[32] = { 0 };
    rc_comparison r;

    (void)state;
    a[0] = 0x1p27f; /* squared: 2^54 */
    a[16] = 1;
    a[1] = 1;
    a[17] = 1.5f; /* lane 1 holds 3.25, rounds 2^54 up to + 4 */
    rc_compare_f32_ref(&r, a, a, 32);
    assert_true(r.aa == 0x1p54 + 4);
    assert_true(r.bb == r.aa && r.ab == r.aa && r.dd == 0);
    assert_true(r.max_diff == 0 && r.max_at == UINT64_MAX && r.differ == 0);
}

static void test_comparison_add(void **state)
{
    const float a[4] = { 0, 0, 1, 1 }, b[4] = { 3, 0, 1, 4 };
    rc_comparison total = RC_COMPARISON_NONE, row;

    (void)state;
    rc_compare_f32_ref(&row, a + 2, b + 2, 2);
    rc_comparison_add(&total, &row, 2);
    assert_true(total.max_at == 3);
    rc_compare_f32_ref(&row, a, b, 2);
    rc_comparison_add(&total, &row, 0);
    assert_true(total.max_diff == 3 && total.max_at == 0 && total.dd == 18 && total.differ == 2);
}

static void test_cpu_force(void **state)
{
    (void)state;
    assert_false(rc_cpu_force("sse9"));
    assert_false(rc_cpu_force(""));
    assert_true(rc_cpu_force("ref"));
    assert_string_equal(rc_cpu_level_name(), "ref");
    assert_int_equal(rc_cpu_flags(), 0);
    assert_ptr_equal(rc_recast_fp4_fp8_best(), rc_recast_fp4_fp8_ref);
    assert_int_equal(rc_cpu_force("avx2"), (rc_cpu_machine() & RC_CPU_AVX2) != 0);
    assert_int_equal(rc_cpu_force("avx512"), (rc_cpu_machine() & RC_CPU_AVX512) != 0);
    assert_true(rc_cpu_force("auto"));
    assert_int_equal(rc_cpu_flags(), rc_cpu_machine());
    for (const rc_recast_fp4_fp8_impl *p = rc_recast_fp4_fp8_impls; p->fn; p++)
        if ((p->need & ~rc_cpu_machine()) == 0 && !(p[1].fn && !(p[1].need & ~rc_cpu_machine())))
            assert_ptr_equal(rc_recast_fp4_fp8_best(), p->fn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bf16_is_nearest_even),
        cmocka_unit_test(test_bf16_nan_stays_nan),
        cmocka_unit_test(test_bf16_widening_keeps_all_bits),
        cmocka_unit_test(test_scan_counts),
        cmocka_unit_test(test_scan_pieces_add_up),
        cmocka_unit_test(test_compare_by_hand),
        cmocka_unit_test(test_compare_sums_in_sixteen_lanes),
        cmocka_unit_test(test_comparison_add),
        cmocka_unit_test(test_cpu_force),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
