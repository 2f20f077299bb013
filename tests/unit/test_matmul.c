/* tests/unit/test_matmul.c - the references of the products, from their definitions: the layout,
 * the order of sums, and sums of numbers for which every order is exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/matmul.h"
#include "kernels/weighted_sum.h"

#define N      96u
#define ROWS   5u
#define TOKENS 3u

static uint16_t upper(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/* Integers from -8 to 8: sums of products of 4096 of them are exact in f32, in any order. */
static float small_integer(void)
{
    return (float)(rand() % 17 - 8);
}

static void test_pairs_put_odd_elements_first(void **state)
{
    float x[2 * RC_CHUNK], y[2 * RC_CHUNK], back[2 * RC_CHUNK];

    (void)state;
    for (unsigned i = 0; i < 2 * RC_CHUNK; i++)
        x[i] = (float)i;
    rc_pair_f32_ref(y, x, 2 * RC_CHUNK);
    for (unsigned j = 0; j < 16; j++) {
        assert_true(y[j] == (float)(2 * j + 1));
        assert_true(y[16 + j] == (float)(2 * j));
        assert_true(y[32 + j] == (float)(32 + 2 * j + 1));
        assert_true(y[48 + j] == (float)(32 + 2 * j));
    }
    rc_unpair_f32_ref(back, y, 2 * RC_CHUNK);
    assert_memory_equal(back, x, sizeof x);
}

static void test_matmul_is_a_product(void **state)
{
    float w[ROWS][N], x[TOKENS][N], wp[ROWS][N], xp[TOKENS][N], y[TOKENS][ROWS + 2];
    uint16_t wh[ROWS][N], xh[TOKENS][N];
    const float *w_rows[ROWS], *x_rows[TOKENS];
    const uint16_t *wh_rows[ROWS], *xh_rows[TOKENS];

    (void)state;
    srand(1);
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t i = 0; i < N; i++)
            wh[r][i] = upper(w[r][i] = small_integer());
        rc_pair_f32_ref(wp[r], w[r], N);
        w_rows[r] = wp[r];
        wh_rows[r] = wh[r];
    }
    for (size_t t = 0; t < TOKENS; t++) {
        for (size_t i = 0; i < N; i++)
            xh[t][i] = upper(x[t][i] = small_integer());
        rc_pair_f32_ref(xp[t], x[t], N);
        x_rows[t] = xp[t];
        xh_rows[t] = xh[t];
    }
    for (unsigned bf16 = 0; bf16 < 2; bf16++) {
        for (size_t t = 0; t < TOKENS; t++)
            y[t][ROWS] = y[t][ROWS + 1] = -1;
        if (bf16)
            rc_matmul_bf16_ref(y[0], ROWS + 2, wh_rows, ROWS, xh_rows, TOKENS, N);
        else
            rc_matmul_f32_ref(y[0], ROWS + 2, w_rows, ROWS, x_rows, TOKENS, N);
        for (size_t t = 0; t < TOKENS; t++) {
            for (size_t r = 0; r < ROWS; r++) {
                double sum = 0;
                for (size_t i = 0; i < N; i++)
                    sum += (double)w[r][i] * (double)x[t][i];
                assert_true((double)y[t][r] == sum);
            }
            assert_true(y[t][ROWS] == -1 && y[t][ROWS + 1] == -1);
        }
    }
}

/* One row by one token, given in the natural order; both kernels must agree. */
static float product(const float *w, const float *x, size_t n)
{
    float wp[N], xp[N], y, z;
    uint16_t wh[N], xh[N];

    for (size_t i = 0; i < n; i++) {
        wh[i] = upper(w[i]);
        xh[i] = upper(x[i]);
    }
    rc_pair_f32_ref(wp, w, n);
    rc_pair_f32_ref(xp, x, n);
    rc_matmul_f32_ref(&y, 1, (const float *const[]){ wp }, 1, (const float *const[]){ xp }, 1, n);
    rc_matmul_bf16_ref(&z, 1, (const uint16_t *const[]){ wh }, 1, (const uint16_t *const[]){ xh },
                       1, n);
    assert_true(y == z);
    return y;
}

/* 2^24 absorbs a 1 that is added to it and keeps one that came before: the order shows. */
static void test_matmul_sums_in_the_stated_order(void **state)
{
    float w[N] = { 0 }, x[N];

    (void)state;
    for (size_t i = 0; i < N; i++)
        x[i] = 1;
    w[1] = 0x1p24f; /* odd first: the 1 is lost, 2^24 goes */
    w[0] = 1;
    w[33] = -0x1p24f;
    assert_true(product(w, x, 64) == 0);
    w[1] = 1; /* 1 + 2^24 is lost as well, but 1 - 2^24 + ... is not */
    w[0] = -0x1p24f;
    w[33] = 0x1p24f;
    assert_true(product(w, x, 64) == 1);
    memset(w, 0, sizeof w); /* lanes 0 and 8 meet first, then 0 and 4 */
    w[2 * 0] = 0x1p24f;
    w[2 * 8] = -0x1p24f;
    w[2 * 4] = 1;
    assert_true(product(w, x, 32) == 1);
    w[2 * 8] = 1; /* lost */
    w[2 * 4] = -0x1p24f;
    assert_true(product(w, x, 32) == 0);
    memset(w, 0, sizeof w); /* products are not rounded: (1 + 2^-7)^2 - 1 - 2^-6 = 2^-14 */
    w[1] = x[0] = x[1] = 1 + 0x1p-7f;
    w[0] = -1;
    assert_true(product(w, x, 32) == (1 + 0x1p-7f) * (1 + 0x1p-7f) - (1 + 0x1p-7f));
}

static void test_matmul_has_ieee_infinities(void **state)
{
    float w[N] = { 0 }, x[N] = { 0 };

    (void)state;
    w[5] = INFINITY;
    x[5] = -2;
    assert_true(product(w, x, 32) == -INFINITY);
    x[5] = 0;
    float wp[N], xp[N], y;
    rc_pair_f32_ref(wp, w, 32);
    rc_pair_f32_ref(xp, x, 32);
    rc_matmul_f32_ref(&y, 1, (const float *const[]){ wp }, 1, (const float *const[]){ xp }, 1, 32);
    assert_true(isnan(y));
}

static float product_bf16(float w1, float x1, float w0, float x0)
{
    uint16_t w[RC_CHUNK] = { upper(w0), upper(w1) }, x[RC_CHUNK] = { upper(x0), upper(x1) };
    float y;

    rc_matmul_bf16_ref(&y, 1, (const uint16_t *const[]){ w }, 1, (const uint16_t *const[]){ x }, 1,
                       RC_CHUNK);
    return y;
}

static void test_matmul_bf16_flushes_subnormals(void **state)
{
    (void)state;
    assert_true(product_bf16(0x1p-126f, 1, 0, 0) == 0x1p-126f);
    assert_true(product_bf16(0x1p-127f, 0x1p100f, 0, 0) == 0); /* an operand */
    assert_true(product_bf16(0x1p-100f, 0x1p-27f, 0, 0) == 0); /* a result */
    assert_true(product_bf16(0x1.8p-126f, 1, -0x1p-126f, 1) == 0);
    /* (1 - 2^-8) (1 + 2^-7) 2^-126 is normal; (1 - 2^-14) 2^-126 is not */
    assert_true(product_bf16(0x1.fep-64f, 0x1.02p-63f, 0, 0) == 0x1.fep-1f * 0x1.02p-126f);
    assert_true(product_bf16(0x1.fcp-64f, 0x1.02p-63f, 0, 0) == 0);
    /* 2^-126 - 2^-151 is 2^-126 when rounded to 24 bits; 2^-126 - 2^-150 is 24 bits itself, but
     * not a subnormal, where 2^-126 is nearest (a tie) */
    assert_true(product_bf16(0x1p-126f, 1, -0x1p-75f, 0x1p-76f) == 0x1p-126f);
    assert_true(product_bf16(0x1p-126f, 1, -0x1p-75f, 0x1p-75f) == 0);
}

static void test_weighted_sum_is_a_chain(void **state)
{
    float p[2][5], k[4][16], y[2][18], want;
    const float *rows[4] = { k[0], k[1], k[2], k[3] };

    (void)state;
    srand(2);
    for (size_t h = 0; h < 2; h++)
        for (size_t c = 0; c < 5; c++)
            p[h][c] = (float)rand() / (float)RAND_MAX;
    for (size_t c = 0; c < 4; c++)
        for (size_t d = 0; d < 16; d++)
            k[c][d] = (float)rand() / (float)RAND_MAX - 0.5f;
    y[0][16] = y[0][17] = -1;
    rc_weighted_sum_ref(y[0], 18, p[0], 5, 2, rows, 4, 16);
    for (size_t h = 0; h < 2; h++)
        for (size_t d = 0; d < 16; d++) {
            double exact = 0;
            want = 0;
            for (size_t c = 0; c < 4; c++) {
                exact += (double)p[h][c] * (double)k[c][d];
                want = fmaf(p[h][c], k[c][d], want);
            }
            assert_true(y[h][d] == want && fabs((double)want - exact) < 4 * 0x1p-24 * 2);
        }
    assert_true(y[0][16] == -1 && y[0][17] == -1);
    rc_weighted_sum_ref(y[0], 18, p[0], 5, 2, rows, 0, 16);
    assert_true(y[1][3] == 0 && !signbit(y[1][3]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs_put_odd_elements_first),
        cmocka_unit_test(test_matmul_is_a_product),
        cmocka_unit_test(test_matmul_sums_in_the_stated_order),
        cmocka_unit_test(test_matmul_has_ieee_infinities),
        cmocka_unit_test(test_matmul_bf16_flushes_subnormals),
        cmocka_unit_test(test_weighted_sum_is_a_chain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
