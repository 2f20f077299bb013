/* tests/unit/test_kquants.c - Q2_K to Q6_K against ggml's own encoders.
 *
 * tests/data/kquants/README.md says how the vectors were made. */
#include "quantize/kquants.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/dequant_blocks.h"
#include "quantize/search.h"
#include "tests/unit/data.h"

enum { ROWS = 6, COLS = 2048, BLOCKS = COLS / RC_BLOCK_SUPER };

static const struct {
    const rc_quantizer *q;
    const char *name;
    size_t block_bytes;
} types[] = {
    { &rc_quantizer_q2_k, "q2_k", sizeof(rc_block_q2_k) },
    { &rc_quantizer_q3_k, "q3_k", sizeof(rc_block_q3_k) },
    { &rc_quantizer_q4_k, "q4_k", sizeof(rc_block_q4_k) },
    { &rc_quantizer_q5_k, "q5_k", sizeof(rc_block_q5_k) },
    { &rc_quantizer_q6_k, "q6_k", sizeof(rc_block_q6_k) },
};

enum { TYPES = sizeof types / sizeof *types };

static float rows[ROWS][COLS], importance[COLS];

static int load_rows(void **state)
{
    (void)state;
    data_load_all("kquants/rows.f32", rows, sizeof rows);
    data_load_all("kquants/importance.f32", importance, sizeof importance);
    return 0;
}

static void expect_bytes(unsigned type, bool weighted)
{
    const size_t row_bytes = BLOCKS * types[type].block_bytes;
    static uint8_t want[ROWS * BLOCKS * 256], got[BLOCKS * 256];
    char path[64];

    snprintf(path, sizeof path, "kquants/rows.%s%s", types[type].name,
             weighted ? "_importance" : "");
    data_load_all(path, want, ROWS * row_bytes);
    for (unsigned r = 0; r < ROWS; r++) {
        memset(got, 0xa5, sizeof got);
        types[type].q->impls[0].fn(got, rows[r], weighted ? importance : NULL, COLS);
        for (size_t i = 0; i < row_bytes; i++)
            if (got[i] != want[r * row_bytes + i])
                fail_msg("%s: row %u, block %zu, byte %zu is %02x, ggml's %02x", path, r,
                         i / types[type].block_bytes, i % types[type].block_bytes, got[i],
                         want[r * row_bytes + i]);
    }
}

static void test_kquants_gives_ggmls_bytes(void **state)
{
    (void)state;
    for (unsigned t = 0; t < TYPES; t++)
        expect_bytes(t, false);
}

static void test_kquants_gives_ggmls_bytes_with_importance(void **state)
{
    (void)state;
    for (unsigned t = 0; t < TYPES; t++)
        expect_bytes(t, true);
}

/* Each block depends on itself and its importance alone. */
static void test_kquants_blocks_are_independent(void **state)
{
    uint8_t whole[BLOCKS * 256], one[256];

    (void)state;
    for (unsigned t = 0; t < TYPES; t++)
        for (unsigned r = 0; r < ROWS; r++) {
            types[t].q->impls[0].fn(whole, rows[r], importance, COLS);
            for (unsigned k = 0; k < BLOCKS; k++) {
                const unsigned at = RC_BLOCK_SUPER * k;
                types[t].q->impls[0].fn(one, rows[r] + at, importance + at, RC_BLOCK_SUPER);
                assert_memory_equal(one, whole + k * types[t].block_bytes, types[t].block_bytes);
            }
        }
}

/* Sum of w (x - y)^2 over a row. */
static double row_error(rc_dtype dtype, rc_quant_row_fn *fn, const float *x, const float *w)
{
    static uint8_t blocks[BLOCKS * 256];
    static float y[COLS];
    double error = 0;

    fn(blocks, x, w, COLS);
    rc_dequant_blocks_impls(dtype)[0].fn(y, blocks, COLS);
    for (unsigned i = 0; i < COLS; i++)
        error +=
            (double)(w ? w[i] : 1) * ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return error;
}

/* Gaussian, FP4 and outliers: rows 0 to 2. */
static void test_kquants_best_is_better(void **state)
{
    (void)state;
    for (unsigned t = 0; t < TYPES; t++)
        for (unsigned k = 0; k < 6; k++) {
            const float *w = k < 3 ? NULL : importance;
            const rc_quantizer *q = types[t].q;
            const double had = row_error(q->dtype, q->impls[0].fn, rows[k % 3], w);
            const double has = row_error(q->dtype, q->better[0].fn, rows[k % 3], w);
            if (!(has < had))
                fail_msg("%s, row %u, importance %d: %g, the reference %g", types[t].name, k % 3,
                         w != NULL, has, had);
        }
}

static void test_kquants_best_keeps_fp4(void **state)
{
    (void)state;
    assert_true(row_error(RC_DTYPE_Q5_K, rc_quantizer_q5_k.better[0].fn, rows[1], NULL) == 0);
    assert_true(row_error(RC_DTYPE_Q5_K, rc_quantizer_q5_k.better[0].fn, rows[1], importance) == 0);
    assert_true(row_error(RC_DTYPE_Q6_K, rc_quantizer_q6_k.better[0].fn, rows[1], NULL) == 0);
    assert_true(row_error(RC_DTYPE_Q6_K, rc_quantizer_q6_k.better[0].fn, rows[1], importance) == 0);
}

static void test_search_exact_runs(void **state)
{
    const rc_affine_steps steps = { -0.9f, 0.05f, 37, false };
    float x[32], w[32];
    uint8_t q[32];

    (void)state;
    for (unsigned i = 0; i < 32; i++) {
        x[i] = 0.25f * (float)(i % 16) - 1;
        w[i] = 1;
    }
    /* a run that the format can say is said */
    const rc_affine found = rc_search_affine(q, x, w, 32, 15, &steps);
    assert_true(fabsf(found.scale - 0.25f) < 1e-6f && fabsf(found.min - 1) < 1e-6f);
    for (unsigned i = 0; i < 32; i++)
        assert_int_equal(q[i], i % 16);
    assert_true(fabsf(rc_search_signed(q, x, w, 32, 16)) > 0);

    for (unsigned i = 0; i < 32; i++)
        x[i] = 3.0f * (float)(i % 16);
    assert_true(rc_search_positive(q, x, w, 32, 15) == 3);
    for (unsigned i = 0; i < 32; i++)
        assert_int_equal(q[i], i % 16);
}

static void test_search_zeros(void **state)
{
    const rc_affine_steps steps = { -0.9f, 0.05f, 37, false };
    const float x[16] = { 0 },
                minus[16] = { -2, -2, -2, -2, -2, -2, -2, -2, -2, -2, -2, -2, -2, -2, -2, -2 };
    uint8_t q[16];

    (void)state;
    assert_true(rc_search_signed(q, x, x, 16, 4) == 0 && q[15] == 0);
    assert_true(rc_search_signed_descent(q, x, 16, 4) == 0 && q[15] == 0);
    assert_true(rc_search_positive(q, x, x, 16, 15) == 0 && q[15] == 0);
    const rc_affine none = rc_search_affine(q, x, x, 16, 3, &steps);
    assert_true(none.scale == 0 && none.min == 0);
    const rc_affine flat = rc_search_affine(q, minus, x, 16, 3, &steps);
    assert_true(flat.scale == 0 && flat.min == 2 && q[0] == 0);
}

static void test_search_round(void **state)
{
    (void)state;
    assert_int_equal(rc_search_round(0.5f), 0);
    assert_int_equal(rc_search_round(1.5f), 2);
    assert_int_equal(rc_search_round(-2.5f), -2);
    assert_int_equal(rc_search_round(-4194303), -4194303);
    assert_int_equal(rc_search_round_within(7, -4, 3), 3);
    assert_int_equal(rc_search_round(NAN), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kquants_gives_ggmls_bytes),
        cmocka_unit_test(test_kquants_gives_ggmls_bytes_with_importance),
        cmocka_unit_test(test_kquants_blocks_are_independent),
        cmocka_unit_test(test_kquants_best_is_better),
        cmocka_unit_test(test_kquants_best_keeps_fp4),
        cmocka_unit_test(test_search_exact_runs),
        cmocka_unit_test(test_search_zeros),
        cmocka_unit_test(test_search_round),
    };

    return cmocka_run_group_tests(tests, load_rows, NULL);
}
