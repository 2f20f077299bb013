/* tests/unit/test_sample.c - the next token from logits. */
#include "runtime/sample.h"

#include <math.h>

#include "tests/unit/fixture.h"
#include "tests/unit/random.h"

enum { N = 100, DRAWS = 20000 };

static uint32_t work[N];

static void test_sample_greedy_takes_the_first_of_equals(void **state)
{
    static const float logits[] = { -3, 2, 7, -1, 7, 7, 0 };
    rc_sampler s = { .temperature = 0, .top_p = 1, .state = 9 };

    (void)state;
    assert_int_equal(rc_sample_greedy(logits, 7), 2);
    assert_int_equal(rc_sample_greedy(logits + 3, 4), 1);
    assert_int_equal(rc_sample_greedy(logits, 1), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(rc_sample(&s, logits, 7, work), 2);
    assert_int_equal(s.state, 9); /* nothing drawn */
}

static void test_sample_same_seed_same_tokens(void **state)
{
    float logits[N];
    uint64_t seed = 3;
    unsigned other = 0;

    (void)state;
    rnd_fill(logits, N, 2, &seed);
    for (unsigned p = 0; p < 2; p++) {
        rc_sampler a = { .temperature = 0.8, .top_p = p ? 0.7 : 1, .state = 42 }, b = a, c = a;

        c.state = 43;
        for (int i = 0; i < 200; i++) {
            const uint32_t x = rc_sample(&a, logits, N, work);

            assert_true(x < N);
            assert_int_equal(x, rc_sample(&b, logits, N, work));
            other += x != rc_sample(&c, logits, N, work);
        }
    }
    assert_true(other > 200);
}

/* Four standard deviations of each token's count. */
static void check_counts(const unsigned *count, const double *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double mean = DRAWS * p[i], deviation = sqrt(mean * (1 - p[i]));

        if (fabs(count[i] - mean) > 4 * deviation + 1e-9)
            fail_msg("token %zu: drawn %u times, expected %.1f +- %.1f", i, count[i], mean,
                     deviation);
    }
}

static void draw(rc_sampler s, const float *logits, size_t n, unsigned *count)
{
    memset(count, 0, n * sizeof *count);
    for (int i = 0; i < DRAWS; i++)
        count[rc_sample(&s, logits, n, work)]++;
}

static void test_sample_draws_by_probability(void **state)
{
    static const float logits[] = { 1, 3, -2, 2.5f, 3, -200, 0 };
    static const double temperatures[] = { 0.5, 1, 2, 1e6 };
    unsigned count[7];

    (void)state;
    for (size_t t = 0; t < 4; t++) {
        double p[7], sum = 0;

        for (size_t i = 0; i < 7; i++)
            sum += p[i] = exp((logits[i] - 3) / temperatures[t]);
        for (size_t i = 0; i < 7; i++)
            p[i] /= sum;
        draw((rc_sampler){ temperatures[t], 1, 7 }, logits, 7, count);
        check_counts(count, p, 7);
    }
    /* so cold that all others are impossible */
    draw((rc_sampler){ 1e-300, 1, 7 }, logits, 7, count);
    assert_int_equal(count[1] + count[4], DRAWS);
    assert_true(count[4] > DRAWS / 3);
}

/* Probabilities 1/2, 1/4, 1/8, .. in shuffled places: the nucleus is known. */
static void test_sample_top_p_keeps_the_nucleus(void **state)
{
    static const unsigned place[] = { 5, 0, 3, 6, 1, 7, 2, 4 };
    static const struct {
        double top_p;
        unsigned kept;
    } cases[] = { { 1e-9, 1 }, { 0.49, 1 }, { 0.51, 2 }, { 0.74, 2 },
                  { 0.76, 3 }, { 0.87, 3 }, { 0.93, 4 }, { 0.999999, 8 } };
    float logits[8];
    unsigned count[8];

    (void)state;
    for (unsigned i = 0; i < 8; i++) /* the last two are as likely: together 2^-6 */
        logits[place[i]] = (float)(-log(2) * (i < 7 ? i : 6));
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double p[8] = { 0 }, sum = 0;

        for (unsigned i = 0; i < cases[c].kept; i++)
            sum += p[place[i]] = ldexp(1, -(int)(i < 7 ? i : 6));
        for (unsigned i = 0; i < 8; i++)
            p[i] /= sum;
        draw((rc_sampler){ 1, cases[c].top_p, 11 }, logits, 8, count);
        check_counts(count, p, 8);
    }
}

/* Of equally likely tokens the nucleus takes the lower ones. */
static void test_sample_top_p_ties(void **state)
{
    float logits[N] = { 0 };
    unsigned count[N];
    double p[N] = { 0 };

    (void)state;
    for (unsigned i = 0; i < 30; i++)
        p[i] = 1 / 30.;
    draw((rc_sampler){ 1, 0.295, 5 }, logits, N, count);
    check_counts(count, p, N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample_greedy_takes_the_first_of_equals),
        cmocka_unit_test(test_sample_same_seed_same_tokens),
        cmocka_unit_test(test_sample_draws_by_probability),
        cmocka_unit_test(test_sample_top_p_keeps_the_nucleus),
        cmocka_unit_test(test_sample_top_p_ties),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
