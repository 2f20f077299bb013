/* tests/unit/test_awq.c - AWQ's scales and losses against their formulas in plain double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fenv.h>
#include <math.h>
#include <string.h>

#include "quantize/awq.h"
#include "tests/unit/random.h"

enum { COLS = 256, ROWS = 48 };

static void test_awq_power_is_pow(void **state)
{
    uint64_t seed = 21;

    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        const double x = ldexp(1 + fabs((double)rnd_f32(&seed)), (int)(80 * rnd_f32(&seed)));
        const double y = i % 3 ? (double)(i % 21) / 20 : (double)rnd_f32(&seed);
        const double want = pow(x, y);
        assert_true(fabs(rc_awq_power(x, y) - want) <= 1e-13 * want);
    }
    assert_true(rc_awq_power(0, 0) == 1 && rc_awq_power(0, 0.5) == 0);
    assert_true(rc_awq_power(3, 0) == 1 && rc_awq_power((double)INFINITY, 0) == 1);
    assert_true(rc_awq_power((double)INFINITY, 0.5) == (double)INFINITY);
    assert_true(isnan(rc_awq_power(-1, 0.5)));
}

static void fill_means(double *x_mean, double *w_mean, size_t n, uint64_t *seed)
{
    for (size_t k = 0; k < n; k++) {
        x_mean[k] = exp(3 * (double)rnd_f32(seed));
        w_mean[k] = 0.3 + 0.2 * (double)rnd_f32(seed);
    }
}

static void test_awq_scales_are_the_formula(void **state)
{
    double x_mean[COLS], w_mean[COLS], want[COLS];
    float s[COLS], snapped[COLS];
    uint64_t seed = 22;

    (void)state;
    for (unsigned i = 0; i < RC_AWQ_GRID; i++) {
        const double ratio = (double)i / RC_AWQ_GRID;
        double least = (double)INFINITY, most = 0;
        fill_means(x_mean, w_mean, COLS, &seed);
        x_mean[3] = 0;
        for (size_t k = 0; k < COLS; k++) {
            want[k] = fmax(pow(x_mean[k], ratio) / (pow(w_mean[k], 1 - ratio) + 1e-4), 1e-4);
            least = fmin(least, want[k]);
            most = fmax(most, want[k]);
        }
        rc_awq_scales(s, x_mean, w_mean, COLS, ratio, false);
        rc_awq_scales(snapped, x_mean, w_mean, COLS, ratio, true);
        for (size_t k = 0; k < COLS; k++) {
            int e;
            const double to = want[k] / sqrt(least * most);
            assert_true(fabs((double)s[k] - to) <= 1e-7 * to);
            assert_true(frexpf(snapped[k], &e) == 0.5f);
            assert_true(s[k] / snapped[k] > 0.7071f && s[k] / snapped[k] < 1.41422f);
        }
    }
}

static void test_awq_scales_of_no_number(void **state)
{
    double x_mean[8] = { 1, (double)NAN, (double)INFINITY, -1, 4, 1, 1, 16 };
    double w_mean[8] = { 1, 1, 1, 1, 1, (double)NAN, -1, 1 };
    float s[8];

    (void)state;
    rc_awq_scales(s, x_mean, w_mean, 8, 0.5, false);
    for (size_t k = 1; k < 7; k++)
        assert_true(k == 4 || s[k] == 1);
    assert_true(fabsf(s[0] - 0.5f) < 1e-6f && fabsf(s[4] - 1) < 1e-6f && fabsf(s[7] - 2) < 1e-6f);
    for (size_t k = 0; k < 8; k++)
        x_mean[k] = (double)NAN;
    rc_awq_scales(s, x_mean, w_mean, 8, 0.5, true);
    for (size_t k = 0; k < 8; k++)
        assert_true(s[k] == 1);
}

static void test_awq_weight_mean_adds_up(void **state)
{
    static float row[COLS];
    double sum[COLS] = { 0 }, want[COLS] = { 0 };
    uint64_t seed = 23;

    (void)state;
    for (unsigned r = 0; r < 5; r++) {
        rnd_fill(row, COLS, 0.1f, &seed);
        if (r == 2)
            memset(row, 0, sizeof row);
        rc_awq_weight_mean_add(sum, row, COLS, 64);
        for (size_t k = 0; k < COLS; k++) {
            float most = 0;
            for (size_t i = k / 64 * 64; i < k / 64 * 64 + 64; i++)
                most = fmaxf(most, fabsf(row[i]));
            want[k] += (double)fabsf(row[k]) / ((double)most + 1e-6);
        }
    }
    for (size_t k = 0; k < COLS; k++)
        assert_true(fabs(sum[k] - want[k]) <= 1e-12);
}

/* Salient inputs: few columns are thirty times as large. */
static void make_layer(float *w, double *x_mean, float *power, uint64_t *seed)
{
    for (size_t k = 0; k < COLS; k++) {
        const double size = exp((double)rnd_f32(seed)) * (k % 37 == 5 ? 30 : 1);
        x_mean[k] = 0.8 * size;
        power[k] = (float)(size * size);
    }
    for (size_t k = 0; k < (size_t)ROWS * COLS; k++)
        w[k] = 0.02f * (rnd_f32(seed) + rnd_f32(seed) + rnd_f32(seed));
}

static void test_awq_losses_are_the_formula(void **state)
{
    static float w[ROWS * COLS], power[COLS], s[RC_AWQ_GRID][COLS], work[2 * COLS], scaled[COLS];
    double x_mean[COLS], w_mean[COLS] = { 0 }, loss[RC_AWQ_GRID], best = (double)INFINITY;
    const float *scales[RC_AWQ_GRID];
    uint64_t seed = 24;

    (void)state;
    for (unsigned round = 0; round < 12; round++) {
        const rc_int4_kind kind = { 32u << round % 3, round / 3 % 2, RC_DTYPE_F16,
                                    round < 6 ? RC_INT4_NEAREST : RC_INT4_CLIP };
        uint8_t q[COLS], zero[COLS / 32];
        float scale[COLS / 32];
        const rc_int4_row out = { q, scale, zero };
        make_layer(w, x_mean, power, &seed);
        memset(w_mean, 0, sizeof w_mean);
        memset(loss, 0, sizeof loss);
        for (size_t r = 0; r < ROWS; r++)
            rc_awq_weight_mean_add(w_mean, w + r * COLS, COLS, kind.group);
        for (size_t k = 0; k < COLS; k++)
            w_mean[k] /= ROWS;
        for (unsigned i = 0; i < RC_AWQ_GRID; i++) {
            rc_awq_scales(s[i], x_mean, w_mean, COLS, (double)i / RC_AWQ_GRID, round % 2);
            scales[i] = s[i];
        }
        for (size_t r = 0; r < ROWS; r++)
            rc_awq_losses_best()(loss, w + r * COLS, power, scales, RC_AWQ_GRID, COLS, &kind, work);
        best = loss[0];
        for (unsigned i = 0; i < RC_AWQ_GRID; i++) {
            double want = 0;
            for (size_t r = 0; r < ROWS; r++) {
                float importance[COLS];
                rc_int4_tally tally = { 0 };
                for (size_t k = 0; k < COLS; k++) {
                    scaled[k] = w[r * COLS + k] * s[i][k];
                    importance[k] = power[k] / (s[i][k] * s[i][k]);
                }
                rc_int4_row_best()(&out, scaled, importance, COLS, &kind, &tally);
                for (size_t k = 0; k < COLS; k++) {
                    const double y = (double)(q[k] - zero[k / kind.group]) *
                                     (double)scale[k / kind.group] / (double)s[i][k];
                    const double off = (double)w[r * COLS + k] - y;
                    want += (double)power[k] * off * off;
                }
            }
            assert_true(fabs(loss[i] - want) <= 1e-4 * want);
            best = fmin(best, loss[i]);
        }
        if (kind.search == RC_INT4_NEAREST) /* which is why it is done */
            assert_true(best < 0.8 * loss[0]);
    }
}

/* The other operations are held to it by tests/check. */
static void test_awq_does_not_depend_on_rounding(void **state)
{
    static const int modes[] = { FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO };
    static double want_h[32 * 32], h[32 * 32];
    static float row[COLS], want_s[COLS], s[COLS];
    double x_mean[COLS], w_mean[COLS], want_sum[COLS], sum[COLS];
    uint64_t seed = 25;

    (void)state;
    fill_means(x_mean, w_mean, COLS, &seed);
    rnd_fill(row, COLS, 0.1f, &seed);
    for (unsigned m = 0; m < 4; m++) {
        for (size_t i = 0; i < 32 * 32; i++)
            h[i] = (i % 33 == 0 ? 1 : 0.3) / (double)(3 + i % 32) / (double)(3 + i / 32);
        memset(sum, 0, sizeof sum);
        fesetround(modes[m]);
        rc_int4_feedback_prepare(h, 32, 0.01);
        rc_awq_weight_mean_add(sum, row, COLS, 32);
        rc_awq_scales(s, x_mean, w_mean, COLS, 0.35, false);
        const double p = rc_awq_power(1.7, 0.35);
        fesetround(FE_TONEAREST);
        assert_true(p == rc_awq_power(1.7, 0.35));
        if (m == 0) {
            memcpy(want_h, h, sizeof h);
            memcpy(want_sum, sum, sizeof sum);
            memcpy(want_s, s, sizeof s);
        }
        assert_memory_equal(h, want_h, sizeof h);
        assert_memory_equal(sum, want_sum, sizeof sum);
        assert_memory_equal(s, want_s, sizeof s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_awq_power_is_pow),
        cmocka_unit_test(test_awq_scales_are_the_formula),
        cmocka_unit_test(test_awq_scales_of_no_number),
        cmocka_unit_test(test_awq_weight_mean_adds_up),
        cmocka_unit_test(test_awq_losses_are_the_formula),
        cmocka_unit_test(test_awq_does_not_depend_on_rounding),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
