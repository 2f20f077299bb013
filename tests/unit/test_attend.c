/* tests/unit/test_attend.c - the core of attention, and the indexer's scores, against double. */
#include "tests/unit/fixture.h"

#include <math.h>
#include <stdbool.h>

#include "kernels/cpu.h"
#include "kernels/pairs.h"
#include "runtime/attend.h"
#include "runtime/indexer.h"
#include "runtime/rope.h"
#include "tests/unit/random.h"

enum { HEADS = 5, DIM = 96, MOST = 150 };

static float q[HEADS * DIM], k[MOST][DIM], sink[HEADS];  /* natural */
static float paired_q[HEADS * DIM], paired_k[MOST][DIM]; /* as kernels want them */
static float score[HEADS * MOST], paired_o[HEADS * DIM], o[DIM];
static const float *key[MOST];

static int setup(void **state)
{
    uint64_t seed = 21;

    (void)state;
    rnd_fill(q, HEADS * DIM, 4, &seed);
    rnd_fill(k[0], MOST * DIM, 2, &seed);
    rnd_fill(sink, HEADS, 5, &seed);
    for (size_t h = 0; h < HEADS; h++)
        rc_pair_f32_best()(paired_q + h * DIM, q + h * DIM, DIM);
    for (size_t j = 0; j < MOST; j++) {
        rc_pair_f32_best()(paired_k[j], k[j], DIM);
        key[j] = paired_k[j];
    }
    return 0;
}

static double dot(const float *x, const float *y, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * y[i];
    return sum;
}

/* Head h over the first n keys: the formula. */
static void attended(double *y, size_t h, size_t n)
{
    const double scale = 1 / sqrt((double)DIM);
    double below = exp((double)sink[h]);

    memset(y, 0, DIM * sizeof *y);
    for (size_t j = 0; j < n; j++) {
        const double p = exp(dot(q + h * DIM, k[j], DIM) * scale);

        below += p;
        for (size_t i = 0; i < DIM; i++)
            y[i] += p * k[j][i];
    }
    for (size_t i = 0; i < DIM; i++)
        y[i] /= below;
}

/* The largest difference from the formula. */
static double difference(rc_numerics nm, size_t n)
{
    double worst = 0, y[DIM];

    rc_attend(nm, paired_o, paired_q, HEADS, DIM, key, n, sink, score);
    for (size_t h = 0; h < HEADS; h++) {
        attended(y, h, n);
        rc_unpair_f32_best()(o, paired_o + h * DIM, DIM);
        for (size_t i = 0; i < DIM; i++)
            worst = fmax(worst, fabs(o[i] - y[i]));
    }
    return worst;
}

static void test_attend_is_the_formula(void **state)
{
    (void)state;
    assert_true(difference(RC_NUMERICS_F32, 1) < 3e-6);
    assert_true(difference(RC_NUMERICS_F32, 16) < 3e-6);
    assert_true(difference(RC_NUMERICS_F32, MOST) < 3e-6);
}

static void test_attend_native_is_as_near_as_bf16(void **state)
{
    const double d = difference(RC_NUMERICS_NATIVE, MOST);

    (void)state;
    assert_true(d < 0.02 && d > 1e-5);
    for (size_t i = 0; i < HEADS * DIM; i++)
        assert_true(paired_o[i] == rnd_cut_bf16(paired_o[i]));
}

/* Two equal keys of 1: probabilities 1, 1; a third so much smaller that its 1/3 is seen only where
 * nothing is rounded to BF16. The denominator is not. */
static void test_attend_native_rounds_probabilities_only(void **state)
{
    static float x[3][32], query[32], out[32], s[3];
    const float *const at[3] = { x[0], x[1], x[2] };
    const float third = -1.0986123f * 5.656854f, no_sink[1] = { -INFINITY }; /* ln 3, 32^.5 */
    const double p = exp((double)(third / 5.656854f));

    (void)state;
    query[0] = 1;
    x[2][0] = third; /* score: -ln 3 */
    x[0][1] = x[1][1] = x[2][1] = 1;
    rc_attend(RC_NUMERICS_NATIVE, out, query, 1, 32, at, 3, no_sink, s);
    assert_true(s[0] == 1 && s[1] == 1 && s[2] == 0.333984375f); /* bf16(1/3) */
    assert_true(fabs((2 + 0.333984375) / (2 + p) - 1) > 1e-4);
    assert_true(out[1] == 1); /* 1.00028 in BF16 */
    rc_attend(RC_NUMERICS_F32, out, query, 1, 32, at, 3, no_sink, s);
    assert_true(fabs(s[2] - p) < 1e-7 && fabs(out[1] - 1.0) < 1e-6);
}

static void test_attend_sink_takes_its_share(void **state)
{
    static float x[32], query[32], out[32], s[1];
    const float *const at[1] = { x };
    const float big[1] = { 1000 }, zero[1] = { 0 };

    (void)state;
    x[3] = 8;
    rc_attend(RC_NUMERICS_F32, out, query, 1, 32, at, 1, zero, s);
    assert_true(out[3] == 4); /* exp 0 beside exp 0 */
    rc_attend(RC_NUMERICS_F32, out, query, 1, 32, at, 1, big, s);
    assert_true(out[3] == 0); /* infinity below */
}

/* Heads are one another's business in no way: one at a time, all at once, any instruction set. */
static void test_attend_bits_do_not_depend_on_company(void **state)
{
    static float all[HEADS * DIM];

    (void)state;
    rc_attend(RC_NUMERICS_NATIVE, all, paired_q, HEADS, DIM, key, MOST, sink, score);
    for (int ref = 0; ref < 2; ref++) {
        assert_true(rc_cpu_force(ref ? "ref" : "auto"));
        for (size_t h = 0; h < HEADS; h++)
            rc_attend(RC_NUMERICS_NATIVE, paired_o + h * DIM, paired_q + h * DIM, 1, DIM, key, MOST,
                      sink + h, score);
        assert_memory_equal(all, paired_o, sizeof all);
    }
    assert_true(rc_cpu_force("auto"));
}

enum { J = 19, INDEX_DIM = 64, KEYS = 70 };

static float index_q[J * INDEX_DIM], index_k[KEYS][INDEX_DIM], weight[J];

/* Scores are made of dots of rotated, mixed vectors: the Hadamard matrix is orthogonal, so in f32
 * the plain rotated vectors must give the same. */
static void test_indexer_scores_are_the_formula(void **state)
{
    static float work[RC_INDEX_WORK], s[KEYS], qn[J * INDEX_DIM], kn[KEYS][INDEX_DIM];
    const float turn[4] = { 0.6f, 0.8f, 0, 1 };
    const float *keys[KEYS];
    uint64_t seed = 31;

    (void)state;
    rnd_fill(index_q, J * INDEX_DIM, 1, &seed);
    rnd_fill(index_k[0], KEYS * INDEX_DIM, 1, &seed);
    rnd_fill(weight, J, 1, &seed);
    memcpy(qn, index_q, sizeof qn);
    memcpy(kn, index_k, sizeof kn);
    for (size_t h = 0; h < J; h++) {
        rc_index_query(RC_NUMERICS_F32, index_q + h * INDEX_DIM, INDEX_DIM, turn, 4);
        rc_rope_apply(RC_NUMERICS_F32, qn + h * INDEX_DIM + INDEX_DIM - 4, turn, 4);
    }
    for (size_t j = 0; j < KEYS; j++) {
        const float still[2] = { 1, 0 };

        rc_index_query(RC_NUMERICS_F32, index_k[j], INDEX_DIM, still, 2);
        keys[j] = index_k[j];
    }
    rc_index_scores(RC_NUMERICS_F32, s, index_q, weight, J, INDEX_DIM, keys, KEYS, work);
    for (size_t j = 0; j < KEYS; j++) {
        double want = 0;

        for (size_t h = 0; h < J; h++)
            want += fmax(dot(qn + h * INDEX_DIM, kn[j], INDEX_DIM), 0) * weight[h];
        if (fabs(s[j] - want) > 1e-5)
            fail_msg("block %zu: %.9g, not %.9g", j, (double)s[j], want);
    }
}

/* dot 1.00390625 is between BF16's 1 and 1.0078125: to even, 1. Times 3.015625 it stays. Two such
 * heads, and a negative dot that counts for nothing. */
static void test_indexer_native_rounds_each_step(void **state)
{
    static float query[3 * 32], x[32], work[RC_INDEX_WORK];
    const float *const keys[1] = { x };
    const float w[3] = { 3.015625f, 3.015625f, -5 };
    float s[1];

    (void)state;
    x[0] = 1;
    query[0] = query[32] = 1.00390625f;
    query[64] = -1;
    rc_index_scores(RC_NUMERICS_NATIVE, s, query, w, 3, 32, keys, 1, work);
    assert_true(s[0] == 6.03125f);
    rc_index_scores(RC_NUMERICS_F32, s, query, w, 3, 32, keys, 1, work);
    assert_true(s[0] == 2 * 3.015625f * 1.00390625f);
}

static void test_indexer_query_native_is_fp4(void **state)
{
    const float turn[2] = { 1, 0 }, grid[] = { 0, 0.5f, 1, 1.5f, 2, 3, 4, 6 };
    float v[64], largest = 0, scale;
    uint64_t seed = 41;

    (void)state;
    rnd_fill(v, 64, 1, &seed);
    rc_index_query(RC_NUMERICS_NATIVE, v, 64, turn, 2);
    for (size_t b = 0; b < 2; b++) { /* pairs keep chunks of 32 together: blocks stay whole */
        for (size_t i = 0; i < 32; i++)
            largest = fmaxf(largest, fabsf(v[32 * b + i]));
        for (scale = 1; largest / scale > 6; scale *= 2)
            ;
        for (; largest / scale <= 3; scale /= 2)
            ;
        for (size_t i = 0; i < 32; i++) {
            bool found = false;

            for (size_t g = 0; g < 8; g++)
                found |= fabsf(v[32 * b + i]) == grid[g] * scale;
            assert_true(found);
        }
        largest = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attend_is_the_formula),
        cmocka_unit_test(test_attend_native_is_as_near_as_bf16),
        cmocka_unit_test(test_attend_native_rounds_probabilities_only),
        cmocka_unit_test(test_attend_sink_takes_its_share),
        cmocka_unit_test(test_attend_bits_do_not_depend_on_company),
        cmocka_unit_test(test_indexer_scores_are_the_formula),
        cmocka_unit_test(test_indexer_native_rounds_each_step),
        cmocka_unit_test(test_indexer_query_native_is_fp4),
    };

    return cmocka_run_group_tests_name("attend", tests, setup, NULL);
}
