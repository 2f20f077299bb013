/* tests/unit/test_rope.c - frequencies, rotations, RMSNorm. */
#include "tests/unit/fixture.h"

#include <math.h>

#include "runtime/norm.h"
#include "runtime/rope.h"
#include "tests/unit/random.h"

enum { DIMS = 64 };

static const rc_config flash = { .qk_rope_head_dim = DIMS,
                                 .rope_theta = 10000,
                                 .compress_rope_theta = 160000,
                                 .rope_factor = 16,
                                 .rope_beta_fast = 32,
                                 .rope_beta_slow = 1,
                                 .rope_original_max_position = 65536 };

/* Computed once by the official precompute_freqs_cis. */
static void test_rope_frequencies_are_the_published(void **state)
{
    const struct {
        uint32_t ratio;
        unsigned i;
        double w;
    } known[] = {
        { 4, 0, 1 },
        { 4, 1, 0.687656045 },
        { 4, 15, 0.00363553851 },
        { 4, 16, 0.00226562493 },
        { 4, 18, 0.000849689706 },
        { 4, 20, 0.000296977785 },
        { 128, 24, 1.95312532e-05 },
        { 128, 25, 5.37231244e-06 },
        { 128, 31, 5.6805294e-07 },
        { 0, 0, 1 },
        { 0, 1, 0.749894202 },
        { 0, 8, 0.1 },
        { 0, 31, 0.00013335215 },
    };
    float w[DIMS / 2];

    (void)state;
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        rc_rope_frequencies(w, &flash, known[k].ratio);
        if (fabs(w[known[k].i] / known[k].w - 1) > 1.3e-7)
            fail_msg("ratio %u, pair %u: %.9g, not %.9g", known[k].ratio, known[k].i,
                     (double)w[known[k].i], known[k].w);
    }
}

/* Whatever a config may say, frequencies are numbers. */
static void test_rope_hostile_config_gives_numbers(void **state)
{
    const double betas[] = { 0, 1e-300, 1, 1e6 }, thetas[] = { 1, 1.0000001, 1e15 };
    float w[DIMS / 2];

    (void)state;
    for (size_t f = 0; f < 4; f++)
        for (size_t s = 0; s < 4; s++)
            for (size_t t = 0; t < 3; t++) {
                rc_config c = flash;

                c.rope_beta_fast = betas[f];
                c.rope_beta_slow = betas[s];
                c.compress_rope_theta = thetas[t];
                c.rope_original_max_position = 1;
                rc_rope_frequencies(w, &c, 4);
                for (size_t i = 0; i < DIMS / 2; i++)
                    assert_true(w[i] >= 0 && w[i] <= 1);
            }
}

static void test_rope_without_scaling_is_plain(void **state)
{
    rc_config c = flash;
    float w[DIMS / 2];

    (void)state;
    c.rope_original_max_position = 0;
    rc_rope_frequencies(w, &c, 4);
    for (size_t i = 0; i < DIMS / 2; i++)
        assert_true(fabs(w[i] / pow(160000, -(double)i / (DIMS / 2)) - 1) < 2e-7);
}

static void test_rope_turns_and_turns_back(void **state)
{
    const uint64_t positions[] = { 0, 1, 127, 65537, 1048575 };
    float w[DIMS / 2], turn[DIMS], x[DIMS], y[DIMS];
    uint64_t seed = 3;

    (void)state;
    rc_rope_frequencies(w, &flash, 0);
    for (size_t k = 0; k < 5; k++) {
        rnd_fill(x, DIMS, 1, &seed);
        memcpy(y, x, sizeof y);
        rc_rope_turn(turn, w, DIMS, positions[k]);
        rc_rope_apply(RC_NUMERICS_F32, y, turn, DIMS);
        for (size_t i = 0; i < DIMS; i += 2) {
            const double angle = (float)positions[k] * w[i / 2];

            assert_true(fabs(y[i] - (x[i] * cos(angle) - x[i + 1] * sin(angle))) < 2e-7);
            assert_true(fabs(y[i + 1] - (x[i] * sin(angle) + x[i + 1] * cos(angle))) < 2e-7);
        }
        rc_rope_undo(RC_NUMERICS_F32, y, turn, DIMS);
        for (size_t i = 0; i < DIMS; i++)
            assert_true(fabsf(y[i] - x[i]) < 4e-7f);
    }
}

/* cos 1 = 0.54030, sin 1 = 0.84147: BF16 has 8 bits of a mantissa. */
static void test_rope_native_rounds(void **state)
{
    const float one[1] = { 1 };
    float turn[2], x[2] = { 1, 0 };

    (void)state;
    rc_rope_turn(turn, one, 2, 1);
    rc_rope_apply(RC_NUMERICS_NATIVE, x, turn, 2);
    assert_true(x[0] == 0.5390625f && x[1] == 0.83984375f);
}

static void test_norm_row_is_the_formula(void **state)
{
    float x[100], w[100], y[100];
    double sum = 0;
    uint64_t seed = 5;

    (void)state;
    rnd_fill(x, 100, 3, &seed);
    rnd_fill(w, 100, 1, &seed);
    for (size_t i = 0; i < 100; i++)
        sum += (double)x[i] * x[i];
    rc_norm_row(RC_NUMERICS_F32, y, x, w, 100, 0.25);
    for (size_t i = 0; i < 100; i++)
        assert_true(fabs(y[i] - w[i] * x[i] / sqrt(sum / 100 + 0.25)) < 1e-6);
    rc_norm_head(RC_NUMERICS_F32, x, 100, 0.25);
    for (size_t i = 0; i < 100; i++)
        assert_true(fabs(y[i] - (double)w[i] * x[i]) < 1e-6);
}

/* 1.2890625^2 = 1.66168.. -> 1.6640625 in BF16, and a mean of such; its root is 0.77519.. of f32
 * but 0.7734375 of the steps in BF16, the product 0.99698.. -> 0.99609375. */
static void test_norm_head_native_rounds_each_step(void **state)
{
    float x[160];

    (void)state;
    for (size_t i = 0; i < 160; i++)
        x[i] = i % 2 ? 1.2890625f : -1.2890625f;
    rc_norm_head(RC_NUMERICS_NATIVE, x, 160, 1e-6);
    for (size_t i = 0; i < 160; i++)
        assert_true(x[i] == (i % 2 ? 0.99609375f : -0.99609375f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rope_frequencies_are_the_published),
        cmocka_unit_test(test_rope_hostile_config_gives_numbers),
        cmocka_unit_test(test_rope_without_scaling_is_plain),
        cmocka_unit_test(test_rope_turns_and_turns_back),
        cmocka_unit_test(test_rope_native_rounds),
        cmocka_unit_test(test_norm_row_is_the_formula),
        cmocka_unit_test(test_norm_head_native_rounds_each_step),
    };

    return cmocka_run_group_tests_name("rope", tests, NULL, NULL);
}
