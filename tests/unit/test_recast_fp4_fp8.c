/* tests/unit/test_recast_fp4_fp8.c - the tile rule, against values worked out here.
 *
 * Nothing of kernels/codes.h is used: E4M3 is a list of numbers built from its
 * definition, and rounding is a search in that list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fenv.h>
#include <math.h>
#include <string.h>

#include "kernels/recast_fp4_fp8.h"

static const double e2m1[16] = { 0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6 };

/* E4M3 by its definition; code 0x7f is left out. */
static double e4m3(unsigned code)
{
    const int exponent = (int)(code >> 3 & 15), mantissa = (int)(code & 7);
    const double x = exponent ? ldexp(8 + mantissa, exponent - 10) : ldexp(mantissa, -9);

    return code & 0x80 ? -x : x;
}

/* Nearest code, even on ties, 448 at most. The list is ordered, so the first of
 * two equally near codes is the lower one. */
static uint8_t nearest(double x)
{
    unsigned best = 0;

    for (unsigned c = 1; c < 0x7f; c++) {
        const double d = fabs(e4m3(c) - fabs(x)), d0 = fabs(e4m3(best) - fabs(x));
        if (d < d0 || (d == d0 && (c & 1) == 0))
            best = c;
    }
    return (uint8_t)(best | (signbit(x) ? 0x80 : 0));
}

typedef struct band {
    size_t rows, cols;
    uint8_t codes[128 * 128], scales[128 * 8], out[128 * 256];
    rc_fp8_tile tiles[2];
} band;

static band b;

static void clear(size_t rows, size_t cols, uint8_t codes, uint8_t scale)
{
    memset(&b, 0, sizeof b);
    b.rows = rows;
    b.cols = cols;
    memset(b.codes, codes, rows * cols / 2);
    memset(b.scales, scale, rows * cols / 32);
}

static void set_group(size_t row, size_t group, uint8_t codes, uint8_t scale)
{
    memset(b.codes + row * b.cols / 2 + 16 * group, codes, 16);
    b.scales[row * b.cols / 32 + group] = scale;
}

static void recast(void)
{
    rc_recast_fp4_fp8_ref(b.out, b.cols, b.tiles, b.codes, b.scales, b.rows, b.cols, false);
}

static double source(size_t row, size_t col)
{
    const uint8_t byte = b.codes[row * b.cols / 2 + col / 2];

    return ldexp(e2m1[col & 1 ? byte >> 4 : byte & 15],
                 b.scales[row * b.cols / 32 + col / 32] - 127);
}

static double stored(size_t row, size_t col)
{
    return ldexp(e4m3(b.out[row * b.cols + col]), b.tiles[col / 128].scale - 127);
}

static void expect_kept(void)
{
    for (size_t r = 0; r < b.rows; r++)
        for (size_t c = 0; c < b.cols; c++) {
            assert_true(stored(r, c) == source(r, c));
            assert_int_equal(signbit(stored(r, c)) != 0, signbit(source(r, c)) != 0);
        }
}

static void first(size_t row, size_t col, double src, double sto)
{
    rc_fp8_inexact at;

    assert_true(rc_fp4_fp8_first_inexact(&at, b.tiles, b.codes, b.scales, b.rows, b.cols));
    assert_int_equal(at.row, row);
    assert_int_equal(at.col, col);
    assert_true(isnan(src) ? isnan(at.source) : at.source == src);
    assert_true(isnan(sto) ? isnan(at.stored) : at.stored == sto);
}

static void expect_no_inexact(void)
{
    rc_fp8_inexact at;

    assert_false(rc_fp4_fp8_first_inexact(&at, b.tiles, b.codes, b.scales, b.rows, b.cols));
}

/* Low nibble first; value 1 beside -6, by hand: with one scale S = 127, E = 121,
 * 1 * 2^6 = 64 is 0x68 (exponent 13, mantissa 0), -6 * 2^6 = -384 is 0xfc. */
static void test_recast_by_hand(void **state)
{
    (void)state;
    clear(1, 32, 0xf2, 127);
    recast();
    assert_int_equal(b.tiles[0].scale, 121);
    assert_int_equal(b.out[0], 0x68);
    assert_int_equal(b.out[1], 0xfc);
    assert_int_equal(b.out[31], 0xfc);
}

/* One tile after the official rule in doubles: S / 2^6, values rounded. */
static void test_recast_is_the_official_rule_in_range(void **state)
{
    uint32_t z = 1;

    (void)state;
    for (unsigned round = 0; round < 40; round++) {
        clear(1 + round * 3, 256, 0, 0);
        for (size_t i = 0; i < b.rows * b.cols / 2; i++)
            b.codes[i] = (uint8_t)((z = z * 1664525 + 1013904223) >> 24);
        for (size_t i = 0; i < b.rows * b.cols / 32; i++)
            b.scales[i] = (uint8_t)(6 + round * 5 + ((z = z * 1664525 + 1013904223) >> 24) % 15);
        recast();
        for (size_t t = 0; t < 2; t++) {
            double largest = 0;
            for (size_t r = 0; r < b.rows; r++)
                for (size_t g = 4 * t; g < 4 * t + 4; g++)
                    largest = fmax(largest, ldexp(1, b.scales[r * 8 + g] - 127));
            assert_true(ldexp(1, b.tiles[t].scale - 127) == largest / 64);
            assert_int_equal(b.tiles[t].exact, 1);
            for (size_t r = 0; r < b.rows; r++)
                for (size_t c = 128 * t; c < 128 * t + 128; c++)
                    assert_int_equal(b.out[r * 256 + c], nearest(source(r, c) / (largest / 64)));
        }
        expect_kept();
        expect_no_inexact();
    }
}

/* Every code at every distance: rounding in the normal and the subnormal range. */
static void test_recast_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (int down = 0; down < 40; down++) {
        bool all = true;
        clear(2, 128, 0x77, 100);
        for (size_t i = 0; i < 64; i++)
            b.codes[64 + i] = (uint8_t)(i % 8 << 1 | (i % 8 << 1 | 1) << 4);
        memset(b.scales + 4, 100 - down, 4);
        recast();
        for (size_t c = 0; c < 128; c++) {
            assert_int_equal(b.out[128 + c], nearest(ldexp(source(1, c), 127 - 94)));
            all = all && stored(1, c) == source(1, c);
        }
        assert_int_equal(b.tiles[0].scale, 94);
        assert_int_equal(b.tiles[0].exact, all);
        assert_int_equal(all, down <= 14);
        assert_int_equal(b.tiles[0].lo, 100 - down);
        assert_int_equal(b.tiles[0].hi, 100);
    }
}

static void test_recast_spread_14_is_exact_and_15_is_not(void **state)
{
    (void)state;
    clear(128, 128, 0x77, 120);
    set_group(77, 2, 0x11, 106);
    recast();
    assert_int_equal(b.tiles[0].exact, 1);
    assert_int_equal(b.out[77 * 128 + 64], 1);
    expect_kept();

    set_group(77, 2, 0x11, 105);
    recast();
    assert_int_equal(b.tiles[0].exact, 0);
    assert_int_equal(b.tiles[0].scale, 114);
    assert_int_equal(b.tiles[0].lo, 105);
    assert_int_equal(b.out[77 * 128 + 64], 0); /* half a step: to even */
    first(77, 64, ldexp(0.5, 105 - 127), 0);
}

/* A group of larger codes survives a bit or three more. */
static void test_recast_spread_15_of_large_codes(void **state)
{
    (void)state;
    clear(128, 128, 0x77, 120);
    set_group(3, 0, 0x62, 105); /* 1 and 4 */
    recast();
    assert_int_equal(b.tiles[0].exact, 1);
    set_group(3, 0, 0x66, 103); /* 4 only */
    recast();
    assert_int_equal(b.tiles[0].exact, 1);
    expect_kept();
    set_group(3, 0, 0x66, 102);
    recast();
    assert_int_equal(b.tiles[0].exact, 0);
}

/* The largest scale belongs to zeros, or to small codes: a smaller E keeps all. */
static void test_recast_takes_a_smaller_scale_when_that_is_exact(void **state)
{
    (void)state;
    clear(128, 128, 0x77, 120);
    set_group(5, 1, 0x11, 100); /* needs E <= 108 */
    for (size_t r = 0; r < 128; r++)
        for (size_t g = 0; g < 4; g++)
            if (r != 5 || g != 1)
                set_group(r, g, 0x00, 120);
    recast();
    assert_int_equal(b.tiles[0].exact, 1);
    assert_int_equal(b.tiles[0].scale, 108);
    assert_int_equal(b.tiles[0].lo, 100);
    assert_int_equal(b.tiles[0].hi, 100);
    expect_kept();

    set_group(0, 0, 0x99, 117); /* -0.5: exact up to 2^9, so down to E = 108 */
    recast();
    assert_int_equal(b.tiles[0].exact, 1);
    assert_int_equal(b.tiles[0].scale, 108);
    expect_kept();

    set_group(0, 0, 0x99, 118); /* now nothing is: the official scale stays */
    recast();
    assert_int_equal(b.tiles[0].exact, 0);
    assert_int_equal(b.tiles[0].scale, 114);
    first(5, 32, ldexp(0.5, 100 - 127), 0);
}

static void test_recast_small_scales_saturate(void **state)
{
    (void)state;
    for (unsigned s = 0; s < 7; s++) {
        clear(1, 128, 0xf1, (uint8_t)s);
        recast();
        assert_int_equal(b.tiles[0].scale, 0);
        assert_int_equal(b.tiles[0].exact, 1);
        expect_kept();
    }
}

/* Two codes meet in one tile: every pair of scales, judged by brute force. */
static void test_recast_verdict_for_all_pairs_of_scales(void **state)
{
    (void)state;
    for (unsigned s = 0; s < 255; s++)
        for (unsigned t = 0; t < 255; t += 2) {
            const unsigned p = (s * 7 + t) % 8, q = (s + t * 3) % 8; /* two codes */
            const int top = (int)(s > t ? s : t), official = top > 6 ? top - 6 : 0;
            int want = official;
            clear(1, 64, 0, 0);
            set_group(0, 0, (uint8_t)(p * 17), (uint8_t)s);
            set_group(0, 1, (uint8_t)(q * 17), (uint8_t)t);
            for (; want >= 0; want--) {
                const double x = ldexp(e2m1[p], (int)s - want), y = ldexp(e2m1[q], (int)t - want);
                if (e4m3(nearest(x)) == x && e4m3(nearest(y)) == y)
                    break;
                if (official - want > 60)
                    want = 0; /* far out of reach */
            }
            recast();
            assert_int_equal(b.tiles[0].exact, want >= 0);
            assert_int_equal(b.tiles[0].scale, want >= 0 ? want : official);
        }
}

static void test_recast_zero_tiles_and_minus_zero(void **state)
{
    (void)state;
    clear(128, 128, 0x80, 50);
    b.scales[17] = 90;
    b.scales[18] = 0;
    recast();
    assert_int_equal(b.tiles[0].scale, 84);
    assert_int_equal(b.tiles[0].exact, 1);
    assert_true(b.tiles[0].lo > b.tiles[0].hi);
    for (size_t i = 0; i < 128 * 128; i++)
        assert_int_equal(b.out[i], i & 1 ? 0x80 : 0x00);
}

static void test_recast_nan_scale(void **state)
{
    (void)state;
    clear(128, 256, 0x31, 127);
    b.scales[8 * 9 + 2] = 255;
    recast();
    assert_int_equal(b.tiles[0].nan, 1);
    assert_int_equal(b.tiles[0].exact, 0);
    assert_int_equal(b.tiles[0].scale, 121);
    assert_int_equal(b.tiles[0].hi, 127);
    assert_int_equal(b.tiles[1].nan, 0);
    assert_int_equal(b.tiles[1].exact, 1);
    for (size_t c = 0; c < 256; c++)
        assert_int_equal(b.out[9 * 256 + c] == 0x7f, c >= 64 && c < 96);
    first(9, 64, (double)NAN, (double)NAN);

    clear(2, 32, 0x31, 255);
    recast();
    assert_int_equal(b.tiles[0].scale, 0);
    assert_int_equal(b.tiles[0].nan, 1);
    assert_true(b.tiles[0].lo > b.tiles[0].hi);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(b.out[i], 0x7f);
}

static void test_recast_ragged_last_tile(void **state)
{
    (void)state;
    clear(3, 160, 0x77, 100);
    for (size_t r = 0; r < 3; r++)
        set_group(r, 4, 0x11, 40);
    recast();
    assert_int_equal(b.tiles[0].scale, 94);
    assert_int_equal(b.tiles[1].scale, 34);
    assert_int_equal(b.tiles[1].lo, 40);
    expect_kept();
}

/* G13: whatever the rounding mode, the same bytes and the same verdict. */
static void test_recast_ignores_the_rounding_mode(void **state)
{
    static const int modes[] = { FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO };
    static band want;

    (void)state;
    clear(128, 256, 0, 0);
    for (size_t i = 0; i < sizeof b.codes; i++)
        b.codes[i] = (uint8_t)(i * 37 + i / 256);
    for (size_t i = 0; i < sizeof b.scales; i++)
        b.scales[i] = (uint8_t)(80 + i * 13 % 19);
    recast();
    assert_int_equal(b.tiles[0].exact, 0);
    want = b;
    for (unsigned m = 0; m < 3; m++) {
        memset(b.out, 0, sizeof b.out);
        fesetround(modes[m]);
        recast();
        fesetround(FE_TONEAREST);
        assert_memory_equal(want.out, b.out, sizeof b.out);
        assert_memory_equal(want.tiles, b.tiles, sizeof b.tiles);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recast_by_hand),
        cmocka_unit_test(test_recast_is_the_official_rule_in_range),
        cmocka_unit_test(test_recast_rounds_to_nearest_even),
        cmocka_unit_test(test_recast_spread_14_is_exact_and_15_is_not),
        cmocka_unit_test(test_recast_spread_15_of_large_codes),
        cmocka_unit_test(test_recast_takes_a_smaller_scale_when_that_is_exact),
        cmocka_unit_test(test_recast_small_scales_saturate),
        cmocka_unit_test(test_recast_verdict_for_all_pairs_of_scales),
        cmocka_unit_test(test_recast_zero_tiles_and_minus_zero),
        cmocka_unit_test(test_recast_nan_scale),
        cmocka_unit_test(test_recast_ragged_last_tile),
        cmocka_unit_test(test_recast_ignores_the_rounding_mode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
