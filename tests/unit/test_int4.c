/* tests/unit/test_int4.c - rows to 4-bit integers: the formulas, the order of the searches, what is
 * counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "kernels/codes.h"
#include "kernels/cpu.h"
#include "kernels/f16.h"
#include "quantize/int4.h"
#include "tests/unit/random.h"

enum { COLS = 1024 };

static const rc_dtype types[] = { RC_DTYPE_F16, RC_DTYPE_BF16, RC_DTYPE_F32 };

typedef struct row {
    uint8_t q[COLS], zero[COLS / 32];
    float scale[COLS / 32];
    rc_int4_tally tally;
} row;

static void quantize(row *r, const float *x, const float *importance, size_t n,
                     const rc_int4_kind *kind)
{
    const rc_int4_row out = { r->q, r->scale, r->zero };

    memset(r, 0, sizeof *r);
    rc_int4_row_best()(&out, x, importance, n, kind, &r->tally);
}

static float stored(rc_dtype type, float s)
{
    if (type == RC_DTYPE_F16)
        return rc_f16_decode(rc_f16_encode(s));
    return type == RC_DTYPE_BF16 ? rc_bf16_value(rc_bf16_round(s)) : s;
}

static float value(const row *r, size_t k, unsigned group)
{
    return (float)(r->q[k] - r->zero[k / group]) * r->scale[k / group];
}

static double loss_of(const row *r, const float *x, const float *importance, size_t n,
                      unsigned group)
{
    double sum = 0;

    for (size_t k = 0; k < n; k++) {
        const double off = (double)x[k] - (double)value(r, k, group);
        sum += (importance ? (double)importance[k] : 1) * off * off;
    }
    return sum;
}

static float clamp(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x;
}

/* RC_INT4_NEAREST on a part of the range, as the header says it, one group. */
static void plain(row *r, size_t g, const float *x, float part, const rc_int4_kind *kind)
{
    float min = 0, max = 0;

    for (size_t k = 0; k < kind->group; k++) {
        min = x[k] < min ? x[k] : min;
        max = x[k] > max ? x[k] : max;
    }
    min *= part;
    max *= part;
    const float s =
        stored(kind->scale, kind->symmetric ? fmaxf(max, -min) / 7.5f : (max - min) / 15);
    const float zero = kind->symmetric ? 8 : clamp(nearbyintf(-min / s), 0, 15);
    r->scale[g] = s;
    r->zero[g] = (uint8_t)zero;
    for (size_t k = 0; k < kind->group; k++)
        r->q[g * kind->group + k] = (uint8_t)clamp(nearbyintf(x[k] / s) + zero, 0, 15);
}

static void fill(float *x, uint64_t *seed)
{
    for (size_t k = 0; k < COLS; k++)
        x[k] =
            0.01f * (rnd_f32(seed) + rnd_f32(seed) + rnd_f32(seed)) * (k % 61 == 3 ? 5.0f : 1.0f);
}

static void fill_weights(float *w, uint64_t *seed)
{
    for (size_t k = 0; k < COLS; k++)
        w[k] = expf(2 * rnd_f32(seed));
}

static void test_int4_nearest_is_the_formula(void **state)
{
    static row got, want;
    static float x[COLS];
    uint64_t seed = 7;

    (void)state;
    for (unsigned round = 0; round < 18 * 4; round++) {
        const rc_int4_kind kind = { 32u << round % 3, round / 3 % 2, types[round / 6 % 3],
                                    RC_INT4_NEAREST };
        fill(x, &seed);
        quantize(&got, x, NULL, COLS, &kind);
        for (size_t g = 0; g < COLS / kind.group; g++)
            plain(&want, g, x + g * kind.group, 1, &kind);
        assert_memory_equal(got.q, want.q, COLS);
        for (size_t g = 0; g < COLS / kind.group; g++) {
            assert_true(got.scale[g] == want.scale[g]);
            assert_int_equal(got.zero[g], want.zero[g]);
        }
        assert_int_equal(got.tally.groups, COLS / kind.group);
        assert_int_equal(got.tally.clipped, 0);
        assert_true(got.tally.loss == got.tally.loss_nearest);
        assert_true(fabs(got.tally.loss - loss_of(&got, x, NULL, COLS, kind.group)) <=
                    1e-5 * got.tally.loss);
    }
}

/* The least of ten ranges; two of them may be as good as equal. */
static void test_int4_clip_takes_the_best_of_ten_ranges(void **state)
{
    static row got, one;
    static float x[COLS], w[COLS];
    uint64_t seed = 8;

    (void)state;
    for (unsigned round = 0; round < 18 * 4; round++) {
        const rc_int4_kind kind = { 32u << round % 3, round / 3 % 2, types[round / 6 % 3],
                                    RC_INT4_CLIP };
        uint64_t clipped = 0;
        double want = 0;
        fill(x, &seed);
        fill_weights(w, &seed);
        quantize(&got, x, w, COLS, &kind);
        for (size_t at = 0; at < COLS; at += kind.group) {
            double least = (double)INFINITY;
            for (unsigned i = 0; i < 10; i++) {
                plain(&one, 0, x + at, 1 - (float)i / 20, &kind);
                least = fmin(least, loss_of(&one, x + at, w + at, kind.group, kind.group));
            }
            want += least;
            plain(&one, 0, x + at, 1, &kind);
            clipped += got.scale[at / kind.group] < one.scale[0];
        }
        assert_true(fabs(got.tally.loss - want) <= 1e-5 * want);
        assert_true(clipped > 0);
        assert_int_equal(got.tally.clipped, clipped);
    }
}

static void test_int4_searches_are_never_worse(void **state)
{
    static row r[3];
    static float x[COLS], w[COLS];
    uint64_t seed = 9;
    unsigned better = 0, rows = 0;

    (void)state;
    for (unsigned round = 0; round < 18 * 40; round++) {
        rc_int4_kind kind = { 32u << round % 3, round / 3 % 2, types[round / 6 % 3], 0 };
        const float *importance = round % 5 ? w : NULL;
        const size_t n = kind.group; /* one group: nothing makes up for another */
        fill(x, &seed);
        fill_weights(w, &seed);
        if (round % 7 == 0)
            for (size_t k = 0; k < COLS; k++)
                x[k] = rc_e2m1_value((unsigned)(fabsf(x[k]) * 1e6f) & 15);
        for (unsigned s = RC_INT4_NEAREST; s <= RC_INT4_BEST; s++) {
            kind.search = (rc_int4_search)s;
            quantize(&r[s], x, importance, n, &kind);
            const double loss = loss_of(&r[s], x, importance, n, kind.group);
            assert_true(fabs(r[s].tally.loss - loss) <= 1e-5 * loss);
            assert_true(r[s].tally.loss_nearest == r[0].tally.loss);
            assert_true(s == 0 || r[s].tally.loss <= r[s - 1].tally.loss);
        }
        better += r[2].tally.loss < r[1].tally.loss;
        rows++;
    }
    assert_in_range(better, rows / 2, rows);
}

/* E2M1 under one power of two for each 32 columns. */
static void fill_fp4(float *x, unsigned most, uint64_t *seed)
{
    for (size_t from = 0; from < COLS; from += 32) {
        const float size = ldexpf(1, -8 - (int)(from / 32 % 4));
        for (size_t k = from; k < from + 32; k++) {
            const int at = (int)((rnd_f32(seed) + 1) * 8) & 15;
            const float v = rc_e2m1_value((unsigned)at);
            x[k] = fabsf(v) <= (float)most ? v * size : size;
        }
    }
}

/* Magnitudes up to 3 are up to six halves: seven codes either side hold them. */
static void test_int4_best_meets_fp4(void **state)
{
    static row clip, best;
    static float x[COLS];
    uint64_t seed = 10;

    (void)state;
    for (unsigned symmetric = 0; symmetric < 2; symmetric++) {
        rc_int4_kind kind = { 32, symmetric, RC_DTYPE_BF16, RC_INT4_BEST };
        fill_fp4(x, 3, &seed);
        quantize(&best, x, NULL, COLS, &kind);
        assert_true(best.tally.loss == 0);
        for (size_t k = 0; k < COLS; k++)
            assert_true(value(&best, k, 32) == x[k]);
        fill_fp4(x, 6, &seed);
        quantize(&best, x, NULL, COLS, &kind);
        kind.search = RC_INT4_CLIP;
        quantize(&clip, x, NULL, COLS, &kind);
        assert_true(best.tally.loss < 0.9 * clip.tally.loss);
    }
}

static void test_int4_counts_what_f16_cannot_hold(void **state)
{
    static row r;
    static float x[COLS];
    uint64_t seed = 11;

    (void)state;
    for (unsigned s = 0; s < 6; s++) {
        const rc_int4_kind kind = { 32, s % 2, RC_DTYPE_F16, (rc_int4_search)(s / 2) };
        const uint8_t zero = kind.symmetric ? 8 : 0;
        fill(x, &seed);
        for (size_t k = 0; k < 128; k++) {
            x[k] *= 0x1p-22f;       /* to a scale below half of the least there is */
            x[128 + k] = -0.0f;     /* zeros are not lost */
            x[256 + k] *= 0x1p28f;  /* beyond the largest */
            x[384 + k] *= 0x1p-10f; /* few bits are left */
        }
        quantize(&r, x, NULL, COLS, &kind);
        assert_int_equal(r.tally.groups, COLS / 32);
        assert_int_equal(r.tally.lost, 8);
        assert_int_equal(r.tally.subnormal, 4);
        for (size_t k = 0; k < 384; k++) {
            assert_int_equal(r.q[k], zero);
            assert_int_equal(r.zero[k / 32], zero);
            assert_true(r.scale[k / 32] == 1);
        }
        assert_true(fabs(r.tally.loss - loss_of(&r, x, NULL, COLS, 32)) <= 1e-5 * r.tally.loss);
    }
}

/* -- error feedback -------------------------------------------------------- */

/* E[x x^T] of inputs of which each is a mixture of few: correlated, columns of many sizes. */
static void make_moments(double *h, size_t n, uint64_t *seed)
{
    enum { SAMPLES = 400, SOURCES = 24 };
    static float mix[SOURCES][RC_INT4_BLOCK];
    float x[RC_INT4_BLOCK], source[SOURCES];

    memset(h, 0, n * n * sizeof *h);
    for (size_t s = 0; s < SOURCES; s++)
        rnd_fill(mix[s], n, 1, seed);
    for (unsigned t = 0; t < SAMPLES; t++) {
        rnd_fill(source, SOURCES, 1, seed);
        for (size_t i = 0; i < n; i++) {
            x[i] = rnd_f32(seed) * 0.5f;
            for (size_t s = 0; s < SOURCES; s++)
                x[i] += source[s] * mix[s][i];
            x[i] *= i % 9 == 0 ? 4.0f : 1.0f;
        }
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                h[i * n + j] += (double)x[i] * (double)x[j] / SAMPLES;
    }
}

/* U^T U (H + damp) is the identity, U being what prepare gives with its diagonal multiplied in. */
static void test_int4_factor_is_that_of_the_inverse(void **state)
{
    static double h[RC_INT4_BLOCK * RC_INT4_BLOCK], u[RC_INT4_BLOCK * RC_INT4_BLOCK],
        uh[RC_INT4_BLOCK * RC_INT4_BLOCK];
    uint64_t seed = 12;

    (void)state;
    for (size_t n = 32; n <= RC_INT4_BLOCK; n += 96) {
        double mean = 0, worst = 0;
        make_moments(h, n, &seed);
        memcpy(u, h, n * n * sizeof *h);
        rc_int4_feedback_prepare(u, n, 0.01);
        for (size_t i = 0; i < n; i++)
            mean += h[i * n + i] / (double)n;
        for (size_t i = 0; i < n; i++) {
            h[i * n + i] += 0.01 * mean;
            for (size_t j = 0; j < i; j++)
                assert_true(u[i * n + j] == 0);
            for (size_t j = i + 1; j < n; j++)
                u[i * n + j] *= u[i * n + i];
        }
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                uh[i * n + j] = 0;
                for (size_t k = i; k < n; k++)
                    uh[i * n + j] += u[i * n + k] * h[k * n + j];
            }
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                double sum = i == j ? -1 : 0;
                for (size_t k = 0; k <= i; k++)
                    sum += u[k * n + i] * uh[k * n + j];
                worst = fmax(worst, fabs(sum));
            }
        assert_true(worst < 1e-9);
    }
}

static void expect_identity(const double *h, size_t n)
{
    for (size_t i = 0; i < n * n; i++)
        assert_true(h[i] == (i % (n + 1) == 0 ? 1 : 0));
}

static void test_int4_factor_of_bad_moments(void **state)
{
    static double h[32 * 32];

    (void)state;
    rc_int4_feedback_prepare(h, 32, 0.01);
    expect_identity(h, 32);
    for (size_t i = 0; i < 32 * 32; i++)
        h[i] = i == 40 ? (double)NAN : i % 33 == 0;
    rc_int4_feedback_prepare(h, 32, 0.01);
    for (size_t i = 0; i < 32 * 32; i++)
        assert_true(isfinite(h[i]));
    h[33] = (double)NAN;
    rc_int4_feedback_prepare(h, 32, 0.01);
    expect_identity(h, 32);
    /* all ones: positive definite only with something added; minus on it: only with much */
    for (unsigned damp = 0; damp < 2; damp++) {
        for (size_t i = 0; i < 32 * 32; i++)
            h[i] = damp && i % 33 ? -1 : 1;
        rc_int4_feedback_prepare(h, 32, 0);
        for (size_t i = 0; i < 32; i++)
            assert_true(h[i * 33] > 0 && isfinite(h[i * 33]));
        assert_true(h[1] != 0);
    }
}

static double full_loss(const uint8_t *q, const row *r, const float *x, const double *h, size_t n,
                        unsigned group)
{
    double d[RC_INT4_BLOCK], sum = 0;

    for (size_t k = 0; k < n; k++)
        d[k] = (double)x[k] - (double)((float)(q[k] - r->zero[k / group]) * r->scale[k / group]);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            sum += d[i] * h[i * n + j] * d[j];
    return sum;
}

static void test_int4_feedback_lowers_the_full_loss(void **state)
{
    enum { N = RC_INT4_BLOCK, ROWS = 40 };
    static double h[N * N], prepared[N * N];
    static float x[COLS], u[N * N], importance[N];
    static row plain_row, fed;
    uint64_t seed = 13;

    (void)state;
    for (unsigned round = 0; round < 18; round++) {
        const rc_int4_kind kind = { 32u << round % 3, round / 3 % 2, RC_DTYPE_F16,
                                    (rc_int4_search)(round / 6) };
        double without = 0, with = 0;
        make_moments(h, N, &seed);
        memcpy(prepared, h, sizeof h);
        rc_int4_feedback_prepare(prepared, N, 0.01);
        for (size_t i = 0; i < N * N; i++)
            u[i] = (float)prepared[i];
        for (size_t k = 0; k < N; k++)
            importance[k] = (float)h[k * (N + 1)];
        for (unsigned r = 0; r < ROWS; r++) {
            const rc_int4_row out = { fed.q, fed.scale, fed.zero };
            fill(x, &seed);
            quantize(&plain_row, x, importance, N, &kind);
            memset(&fed.tally, 0, sizeof fed.tally);
            rc_int4_feedback_best()(&out, 1, x, N, importance, u, N, &kind, &fed.tally);
            assert_memory_equal(fed.scale, plain_row.scale, N / kind.group * sizeof *fed.scale);
            assert_true(fed.tally.loss_nearest == plain_row.tally.loss_nearest);
            assert_true(fed.tally.loss >= plain_row.tally.loss);
            assert_true(fabs(fed.tally.loss - loss_of(&fed, x, importance, N, kind.group)) <=
                        1e-5 * fed.tally.loss);
            without += full_loss(plain_row.q, &plain_row, x, h, N, kind.group);
            with += full_loss(fed.q, &fed, x, h, N, kind.group);
        }
        assert_true(with < 0.8 * without);
    }
}

/* Without correlations there is nothing to make up for; and groups without a scale stay zero. */
static void test_int4_feedback_of_independent_columns(void **state)
{
    enum { N = 160, ROWS = 19 }; /* the last block is narrow */
    static float x[ROWS * N], row_of[COLS], u[128 * 128 + 32 * 32];
    static uint8_t q[ROWS * N], zero[ROWS * N / 32];
    static float scale[ROWS * N / 32];
    const rc_int4_kind kind = { 32, false, RC_DTYPE_F16, RC_INT4_CLIP };
    const rc_int4_row out = { q, scale, zero };
    rc_int4_tally tally = { 0 }, want = { 0 };
    static row r;
    uint64_t seed = 14;

    (void)state;
    for (size_t i = 0; i < 128; i++)
        u[i * 129] = 2;
    for (size_t i = 0; i < 32; i++)
        u[128 * 128 + i * 33] = 3;
    for (size_t k = 0; k < ROWS; k++) {
        fill(row_of, &seed);
        memcpy(x + k * N, row_of, N * sizeof *x);
        memset(x + k * N + 32, 0, 32 * sizeof *x);
    }
    rc_int4_feedback_best()(&out, ROWS, x, N, NULL, u, N, &kind, &tally);
    for (size_t k = 0; k < ROWS; k++) {
        quantize(&r, x + k * N, NULL, N, &kind);
        assert_memory_equal(q + k * N, r.q, N);
        assert_memory_equal(scale + k * N / 32, r.scale, N / 32 * sizeof *scale);
        assert_memory_equal(zero + k * N / 32, r.zero, N / 32);
        want.loss += r.tally.loss;
    }
    assert_int_equal(tally.groups, ROWS * N / 32);
    assert_true(fabs(tally.loss - want.loss) <= 1e-6 * want.loss);
    for (size_t i = 0; i < 127; i++) /* what column 0 lost goes to the zeros: they stay */
        u[i + 1] = 1;
    rc_int4_feedback_best()(&out, ROWS, x, N, NULL, u, N, &kind, &tally);
    for (size_t k = 0; k < ROWS; k++)
        for (size_t i = 32; i < 64; i++)
            assert_int_equal(q[k * N + i], zero[k * N / 32 + 1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_int4_nearest_is_the_formula),
        cmocka_unit_test(test_int4_clip_takes_the_best_of_ten_ranges),
        cmocka_unit_test(test_int4_searches_are_never_worse),
        cmocka_unit_test(test_int4_best_meets_fp4),
        cmocka_unit_test(test_int4_counts_what_f16_cannot_hold),
        cmocka_unit_test(test_int4_factor_is_that_of_the_inverse),
        cmocka_unit_test(test_int4_factor_of_bad_moments),
        cmocka_unit_test(test_int4_feedback_lowers_the_full_loss),
        cmocka_unit_test(test_int4_feedback_of_independent_columns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
