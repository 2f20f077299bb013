/* tests/unit/test_compressor.c - pooling of blocks, whatever the runs. */
#include "tests/unit/fixture.h"

#include <math.h>

#include "kernels/cpu.h"
#include "runtime/compressor.h"
#include "tests/unit/random.h"

enum { DIM = 32, MOST = 400, BLOCKS = MOST / 4 };

static float a[MOST * 2 * DIM], z[MOST * 2 * DIM];
static rc_mem mem;

static int setup(void **state)
{
    uint64_t seed = 11;

    (void)state;
    rnd_fill(a, MOST * 2 * DIM, 2, &seed);
    rnd_fill(z, MOST * 2 * DIM, 6, &seed);
    return 0;
}

/* Channel i of block b from the formula. Rows are [MOST, width]. */
static double pooled(size_t ratio, size_t b, size_t i)
{
    const size_t width = ratio == 4 ? 2 * DIM : DIM;
    double sum = 0, v = 0;

    for (size_t t = ratio == 4 && b > 0 ? ratio * b - ratio : ratio * b; t < ratio * (b + 1); t++) {
        const size_t half = ratio == 4 && t >= ratio * b ? DIM : 0;
        const double p = exp((double)z[t * width + half + i]);

        sum += p;
        v += p * a[t * width + half + i];
    }
    return v / sum;
}

/* All blocks of `tokens` tokens, fed in runs of `step`. */
static void pool_in_runs(float v[][DIM], size_t ratio, size_t tokens, size_t step)
{
    float work[3 * DIM];
    rc_pool pool;
    rc_err err;

    assert_int_equal(rc_pool_new(&pool, ratio, DIM, &mem, &err), RC_OK);
    for (size_t t = 0; t < tokens; t += step) {
        const size_t n = tokens - t < step ? tokens - t : step;
        const float *const at = a + t * pool.width, *const zt = z + t * pool.width;

        for (size_t b = t / ratio; b < (t + n) / ratio; b++)
            rc_pool_block(&pool, v[b], b, at, zt, t, work);
        rc_pool_keep(&pool, at, zt, t, n);
    }
    rc_pool_drop(&pool, &mem);
    assert_int_equal(mem.used, 0);
}

static void expect_formula(size_t ratio)
{
    static float v[BLOCKS][DIM];

    pool_in_runs(v, ratio, MOST, MOST);
    for (size_t b = 0; b < MOST / ratio; b++)
        for (size_t i = 0; i < DIM; i++)
            if (fabs(v[b][i] - pooled(ratio, b, i)) > 2e-6)
                fail_msg("ratio %zu, block %zu, channel %zu: %.9g, not %.9g", ratio, b, i,
                         (double)v[b][i], pooled(ratio, b, i));
}

static void test_compressor_pools_by_the_formula(void **state)
{
    (void)state;
    expect_formula(4);
    expect_formula(128);
}

static void expect_same_bits(size_t ratio)
{
    static float whole[BLOCKS][DIM], cut[BLOCKS][DIM];
    const size_t steps[] = { 1, 2, 3, 4, 5, 7, 8, 9, 127, 128, 129, 250 };

    pool_in_runs(whole, ratio, MOST, MOST);
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        memset(cut, 0, sizeof cut);
        pool_in_runs(cut, ratio, MOST, steps[k]);
        assert_memory_equal(whole, cut, MOST / ratio * sizeof *whole);
    }
}

static void test_compressor_cut_anyhow_gives_the_same_bits(void **state)
{
    (void)state;
    expect_same_bits(4);
    expect_same_bits(128);
}

static void test_compressor_every_instruction_set_gives_the_same_bits(void **state)
{
    static float best[BLOCKS][DIM], ref[BLOCKS][DIM];

    (void)state;
    pool_in_runs(best, 4, MOST, MOST);
    assert_true(rc_cpu_force("ref"));
    pool_in_runs(ref, 4, MOST, MOST);
    assert_true(rc_cpu_force("auto"));
    assert_memory_equal(best, ref, sizeof best);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compressor_pools_by_the_formula),
        cmocka_unit_test(test_compressor_cut_anyhow_gives_the_same_bits),
        cmocka_unit_test(test_compressor_every_instruction_set_gives_the_same_bits),
    };

    return cmocka_run_group_tests_name("compressor", tests, setup, NULL);
}
