/* tests/unit/test_act_round.c - the references against numbers of torch and ml_dtypes, and against
 * the formats' definitions. tests/data/act_round/README.md says how the vectors were made. */
#include "kernels/act_round.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "tests/unit/data.h"

enum { ROWS = 34, COLS = 128, N = ROWS * COLS, TRANSFORMED = 8 };

static float rows[N];

static int load_rows(void **state)
{
    (void)state;
    data_load_all("act_round/rows.f32", rows, sizeof rows);
    return 0;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void expect_rows(rc_round_fp8_fn *fn, size_t block, const char *file)
{
    static float want[N], got[N];

    data_load_all(file, want, sizeof want);
    fn(got, rows, N, block);
    for (size_t i = 0; i < N; i++)
        if (bits_of(got[i]) != bits_of(want[i]))
            fail_msg("%s, row %zu, column %zu: %a gives %a, torch says %a", file, i / COLS,
                     i % COLS, (double)rows[i], (double)got[i], (double)want[i]);
}

static void test_act_round_equals_torch(void **state)
{
    (void)state;
    expect_rows(rc_round_fp8_ref, 128, "act_round/rows.fp8_128");
    expect_rows(rc_round_fp8_ref, 64, "act_round/rows.fp8_64");
    expect_rows(rc_round_fp4_ref, 32, "act_round/rows.fp4_32");
}

/* A block of x and its largest element: what becomes of x. */
static float beside(rc_round_fp8_fn *fn, float x, float largest)
{
    float v[32] = { x, largest };

    fn(v, v, 32, 32);
    return v[0];
}

/* Scales by hand. 448 * 2^k needs 2^k, the number after it twice that: there 0.0009765625
 * (2^-10), half of the smallest step under s = 1, is half a step of the next smaller one. */
static void test_act_round_scales(void **state)
{
    const float after = nextafterf(448, INFINITY);

    (void)state;
    assert_true(beside(rc_round_fp8_ref, 0x1p-9f, 448) == 0x1p-9f);
    assert_true(beside(rc_round_fp8_ref, 0x1.8p-10f, 448) == 0x1p-9f);
    assert_true(beside(rc_round_fp8_ref, 0x1p-10f, 448) == 0);
    assert_true(beside(rc_round_fp8_ref, 0x1p-9f, after) == 0);
    assert_true(beside(rc_round_fp8_ref, 0x1.8p-9f, after) == 0x1p-8f);
    assert_true(beside(rc_round_fp8_ref, after, after) == 448);
    assert_true(beside(rc_round_fp4_ref, 0.5f, 6) == 0.5f);
    assert_true(beside(rc_round_fp4_ref, 0.25f, 6) == 0);
    assert_true(beside(rc_round_fp4_ref, -0.75f, 6) == -1);
    assert_true(beside(rc_round_fp4_ref, 5, -6) == 4);
    assert_true(beside(rc_round_fp4_ref, 0.5f, nextafterf(6, 7)) == 0);
    /* the least scales: 1e-4 / 448 upwards is 2^-22, and 2^-126 */
    assert_true(beside(rc_round_fp8_ref, 0x1p-31f, 0) == 0x1p-31f);
    assert_true(beside(rc_round_fp8_ref, 0x1p-32f, 0) == 0);
    assert_true(beside(rc_round_fp4_ref, 0x1p-127f, 0) == 0x1p-127f);
    assert_true(beside(rc_round_fp4_ref, 0x1p-128f, 0) == 0);
    /* the largest: rounded up to 2^128 */
    assert_true(isinf(beside(rc_round_fp8_ref, FLT_MAX, 0)));
    assert_true(isinf(beside(rc_round_fp4_ref, FLT_MAX, 0)));
    assert_true(beside(rc_round_fp8_ref, 0x1.cp127f, 0) == 0x1.cp127f);
}

static void test_act_round_keeps_signs_of_zero(void **state)
{
    (void)state;
    assert_int_equal(bits_of(beside(rc_round_fp8_ref, -0.0f, 1)), 0x80000000);
    assert_int_equal(bits_of(beside(rc_round_fp8_ref, -0x1p-20f, 100)), 0x80000000);
    assert_int_equal(bits_of(beside(rc_round_fp4_ref, -0.0f, 0)), 0x80000000);
    assert_int_equal(bits_of(beside(rc_round_fp4_ref, 0.0f, -1)), 0);
}

static void test_act_round_strange_blocks_are_nan(void **state)
{
    static const float strange[] = { NAN, INFINITY, -INFINITY };

    (void)state;
    for (unsigned k = 0; k < 3; k++)
        for (unsigned at = 0; at < 128; at += 127) {
            float x[384];
            for (unsigned i = 0; i < 384; i++)
                x[i] = 1;
            x[128 + at] = strange[k];
            rc_round_fp8_ref(x, x, 384, 128);
            for (unsigned i = 0; i < 384; i++)
                assert_int_equal(bits_of(x[i]), i / 128 == 1 ? 0x7fc00000 : 0x3f800000);
            for (unsigned i = 0; i < 384; i++)
                x[i] = i == 128 + at / 4 ? strange[k] : -1;
            rc_round_fp4_ref(x, x, 384, 32);
            for (unsigned i = 0; i < 384; i++)
                assert_int_equal(bits_of(x[i]), i / 32 == 4 ? 0x7fc00000 : 0xbf800000);
        }
}

/* Rounding BF16 to FP8 loses nothing when the result becomes BF16. */
static void test_act_round_fp8_is_bf16(void **state)
{
    static float y[N], z[N];

    (void)state;
    rc_round_bf16_ref(y, rows, N);
    rc_round_fp8_ref(y, y, N, 128);
    rc_round_bf16_ref(z, y, N);
    assert_memory_equal(y, z, sizeof y);
}

/* No BF16 number is nearer, and of two equally near ones the result has an even code. */
static void expect_nearest_bf16(uint32_t bits)
{
    float x, y;

    memcpy(&x, &bits, sizeof x);
    rc_round_bf16_ref(&y, &x, 1);
    const int exponent = x == 0 || ilogbf(x) < -126 ? -126 : ilogbf(x);
    const double half_step = ldexp(1, exponent - 8), error = fabs((double)y - (double)x);
    assert_int_equal(bits_of(y) & 0xffff, 0);
    assert_true(error <= half_step);
    if (error == half_step)
        assert_int_equal(bits_of(y) & 0x10000, 0);
}

static void test_round_bf16_is_nearest(void **state)
{
    static const uint32_t low[] = { 0, 1, 0x7fff, 0x8000, 0x8001, 0xffff };
    float y, huge = FLT_MAX, nan;
    const uint32_t signalling = 0xff812345;

    (void)state;
    for (uint32_t top = 0; top < 0x7f7f; top++)
        for (unsigned k = 0; k < 6; k++)
            expect_nearest_bf16((top & 1) << 31 | top << 16 | low[k]);
    rc_round_bf16_ref(&y, &huge, 1);
    assert_true(isinf(y));
    memcpy(&nan, &signalling, sizeof nan);
    rc_round_bf16_ref(&y, &nan, 1);
    assert_int_equal(bits_of(y), 0xffc10000);
}

static void test_hadamard_equals_torch(void **state)
{
    static double want[TRANSFORMED * COLS];
    float got[COLS];

    (void)state;
    data_load_all("act_round/rows.hadamard", want, sizeof want);
    for (size_t r = 0; r < TRANSFORMED; r++) {
        rc_hadamard_ref(got, rows + r * COLS, COLS);
        double size = 0;
        for (size_t i = 0; i < COLS; i++)
            size += fabs((double)rows[r * COLS + i]) / sqrt(COLS);
        for (size_t i = 0; i < COLS;
             i++) /* seven roundings of partial sums, and two of the scale */
            assert_true(fabs((double)got[i] - want[r * COLS + i]) <= size * 9 * 0x1p-24);
    }
}

/* Integers small enough are exact, whatever the length: every sign of the definition counts. */
static void test_hadamard_signs(void **state)
{
    float x[RC_HADAMARD_MAX], y[RC_HADAMARD_MAX];

    (void)state;
    for (size_t n = 1; n <= RC_HADAMARD_MAX; n *= 2) {
        const float scale = (float)(1 / sqrt((double)n));
        for (size_t j = 0; j < n; j++)
            x[j] = (float)((j * 7919 + 13) % 1009) - 500;
        rc_hadamard_ref(y, x, n);
        for (size_t i = 0; i < n; i++) {
            double sum = 0;
            for (size_t j = 0; j < n; j++)
                sum += __builtin_popcountll(i & j) % 2 ? -(double)x[j] : (double)x[j];
            assert_true(y[i] == (float)sum * scale);
        }
    }
}

/* Each power of two in its own lane: the order is seen in what is lost. 2^24 and 1 in lane 0
 * leave 2^24; the same 1 in lane 8 meets it only at the end, together with others. */
static void test_sum_squares_order(void **state)
{
    float x[33] = { 0 };

    (void)state;
    x[0] = 4096;
    x[16] = x[32] = 1;
    assert_true(rc_sum_squares_ref(x, 33) == 0x1p24f);
    x[16] = x[32] = 0;
    x[8] = x[24] = 1;
    assert_true(rc_sum_squares_ref(x, 33) == 0x1p24f + 2);
    x[8] = x[24] = 0;
    x[4] = x[8] = 1; /* lane 8 comes first, and is lost */
    assert_true(rc_sum_squares_ref(x, 33) == 0x1p24f);
    x[8] = 0;
    x[12] = 1; /* joins lane 4 before lane 0 does */
    assert_true(rc_sum_squares_ref(x, 33) == 0x1p24f + 2);
    assert_true(rc_sum_squares_ref(x, 0) == 0);
}

static void test_sum_squares_value(void **state)
{
    (void)state;
    for (size_t r = 0; r < 14; r++) { /* Gaussian */
        double sum = 0;
        for (size_t i = 0; i < COLS; i++)
            sum += (double)rows[r * COLS + i] * (double)rows[r * COLS + i];
        const double got = (double)rc_sum_squares_ref(rows + r * COLS, COLS);
        assert_true(fabs(got - sum) <= sum * 12 * 0x1p-24); /* 8 additions a lane, 4 folds */
    }
    const float x[3] = { 1, NAN, 2 }, y[2] = { -INFINITY, 1 };
    assert_int_equal(bits_of(rc_sum_squares_ref(x, 3)), 0x7fc00000);
    assert_true(isinf(rc_sum_squares_ref(y, 2)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_act_round_equals_torch),
        cmocka_unit_test(test_act_round_scales),
        cmocka_unit_test(test_act_round_keeps_signs_of_zero),
        cmocka_unit_test(test_act_round_strange_blocks_are_nan),
        cmocka_unit_test(test_act_round_fp8_is_bf16),
        cmocka_unit_test(test_round_bf16_is_nearest),
        cmocka_unit_test(test_hadamard_equals_torch),
        cmocka_unit_test(test_hadamard_signs),
        cmocka_unit_test(test_sum_squares_order),
        cmocka_unit_test(test_sum_squares_value),
    };

    return cmocka_run_group_tests(tests, load_rows, NULL);
}
