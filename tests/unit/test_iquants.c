/* tests/unit/test_iquants.c - IQ2_XXS and IQ4_XS against ggml's own encoders.
 *
 * tests/data/iquants/README.md says how the vectors were made. */
#include <math.h>
#include <string.h>

#include "formats/blocks.h"
#include "kernels/block_tables.h"
#include "kernels/dequant_blocks.h"
#include "quantize/block_quant.h"
#include "quantize/iq2_grid.h"
#include "tests/unit/data.h"

enum { ROWS = 8, COLS = 1024, BLOCKS = COLS / RC_BLOCK_SUPER, WEIGHTS = 4, MAX_BLOCK = 136 };

static float rows[ROWS][COLS];
static float importance[WEIGHTS][COLS]; /* of row r: r % WEIGHTS */

static int load_rows(void **state)
{
    (void)state;
    data_load_all("iquants/rows.f32", rows, sizeof rows);
    data_load_all("iquants/importance.f32", importance, sizeof importance);
    return 0;
}

static const float *weights_of(unsigned row)
{
    return importance[row % WEIGHTS];
}

static void expect_bytes(const rc_quantizer *q, const char *path, bool weighted)
{
    const size_t block = rc_dtype_block_bytes(q->dtype);
    uint8_t want[ROWS][BLOCKS * MAX_BLOCK], got[BLOCKS * MAX_BLOCK];

    data_load_all(path, want, ROWS * BLOCKS * block);
    for (unsigned r = 0; r < ROWS; r++) {
        const uint8_t *expected = *want + r * BLOCKS * block;
        q->impls[0].fn(got, rows[r], weighted ? weights_of(r) : NULL, COLS);
        for (size_t i = 0; i < BLOCKS * block; i++)
            if (got[i] != expected[i])
                fail_msg("%s: byte %zu of block %zu of row %u is %02x, not %02x", path, i % block,
                         i / block, r, got[i], expected[i]);
    }
}

static void test_iq4_xs_gives_ggmls_bytes(void **state)
{
    (void)state;
    expect_bytes(&rc_quantizer_iq4_xs, "iquants/rows.iq4_xs", false);
    expect_bytes(&rc_quantizer_iq4_xs, "iquants/rows.iq4_xs_importance", true);
}

static void test_iq2_xxs_gives_ggmls_bytes(void **state)
{
    (void)state;
    expect_bytes(&rc_quantizer_iq2_xxs, "iquants/rows.iq2_xxs_importance", true);
}

/* Sum of w (x - y)^2 as a share of that of w x^2. */
static double weighted_error(const rc_quantizer *q, rc_quant_row_fn *fn, unsigned row)
{
    const float *w = weights_of(row);
    uint8_t blocks[BLOCKS * MAX_BLOCK];
    float y[COLS];
    double lost = 0, all = 0;

    fn(blocks, rows[row], w, COLS);
    rc_dequant_blocks_impls(q->dtype)[0].fn(y, blocks, COLS);
    for (unsigned i = 0; i < COLS; i++) {
        lost += w[i] * ((double)rows[row][i] - y[i]) * ((double)rows[row][i] - y[i]);
        all += w[i] * (double)rows[row][i] * rows[row][i];
    }
    return lost / all;
}

/* What comes back is what went in, as far as 4.25 and 2.06 bits go: Gaussian, values of FP4,
 * Gaussian with outliers. */
static void test_iquants_decode_to_the_row(void **state)
{
    static const double most[2][3] = { { 0.01, 0.01, 0.01 }, { 0.15, 0.15, 0.30 } };
    static const rc_quantizer *const types[2] = { &rc_quantizer_iq4_xs, &rc_quantizer_iq2_xxs };

    (void)state;
    for (unsigned t = 0; t < 2; t++)
        for (unsigned r = 0; r < 3; r++) {
            const double error = weighted_error(types[t], types[t]->impls[0].fn, r);
            if (!(error < most[t][r]))
                fail_msg("%s: row %u has error %g", rc_dtype_name(types[t]->dtype), r, error);
        }
}

/* The effort that costs time never loses, and on the first three rows gains. */
static void expect_better(const rc_quantizer *q, double gain)
{
    for (unsigned r = 0; r < ROWS; r++) {
        const double plain = weighted_error(q, q->impls[0].fn, r);
        const double better = weighted_error(q, q->better[0].fn, r);
        if (!(better <= plain * (r < 3 ? gain : 1.000001)))
            fail_msg("%s, row %u: error %g, was %g", rc_dtype_name(q->dtype), r, better, plain);
    }
}

static void test_iquants_better_is_better(void **state)
{
    (void)state;
    expect_better(&rc_quantizer_iq4_xs, 0.99);
    expect_better(&rc_quantizer_iq2_xxs, 0.95);
}

static void test_iq2_grid_has_points_and_neighbours(void **state)
{
    const rc_iq2_grid *grid = rc_iq2_grid_get();
    unsigned points = 0;

    (void)state;
    for (unsigned t = 0; t < RC_IQ2_TUPLES; t++) {
        const rc_iq2_tuple *tuple = &grid->tuples[t];
        points += tuple->count == 0;
        assert_true(tuple->first + tuple->count <= RC_IQ2_NEIGHBOURS);
        assert_true(tuple->count == 0 || grid->neighbours[tuple->first] == tuple->point);
    }
    assert_int_equal(points, 256);
    /* tuple 0 is point 0; the digits of the last tuple are all 2, and no point's */
    assert_int_equal(grid->tuples[0].count, 0);
    assert_int_equal(grid->tuples[0].point, 0);
    assert_int_not_equal(grid->tuples[RC_IQ2_TUPLES - 1].count, 0);
}

/* A list for vectors is part of the list of the reference, in its order. */
static void test_iq2_lists_are_in_order(void **state)
{
    const rc_iq2_grid *grid = rc_iq2_grid_get();

    (void)state;
    for (unsigned lanes = 8; lanes <= 16; lanes += 8) {
        const rc_iq2_lists *lists = rc_iq2_lists_get(lanes);
        for (unsigned t = 0; t < RC_IQ2_TUPLES; t++) {
            const rc_iq2_tuple *all = &grid->tuples[t];
            const rc_iq2_list *list = &lists->lists[t];
            unsigned next = 0, n = list->nvectors;

            assert_int_equal(n == 0, all->count == 0);
            for (unsigned p = 0; p < n * lanes; p++) {
                const uint16_t digits = lists->digits[list->first + p % n * lanes + p / n];
                if (digits == 0xffff)
                    continue;
                while (next < all->count &&
                       rc_iq2_xxs_digits[grid->neighbours[all->first + next]] != digits)
                    next++;
                assert_true(next++ < all->count);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_iq4_xs_gives_ggmls_bytes),
        cmocka_unit_test(test_iq2_xxs_gives_ggmls_bytes),
        cmocka_unit_test(test_iquants_decode_to_the_row),
        cmocka_unit_test(test_iquants_better_is_better),
        cmocka_unit_test(test_iq2_grid_has_points_and_neighbours),
        cmocka_unit_test(test_iq2_lists_are_in_order),
    };

    return cmocka_run_group_tests(tests, load_rows, NULL);
}
