/* tests/unit/test_behaviour.c - sayings and figures against numbers of numpy, scipy and decimal
 * (tests/data/behaviour/README.md), and small cases by hand. */
#include "verify/behaviour.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "tests/unit/data.h"
#include "tests/unit/random.h"

enum { LARGE = 129280, ROW = 8, FIGURES = 32 + RC_KL_BINS };

typedef struct text {
    const char *name;
    size_t vocab, positions;
} text;

static const text texts[] = { { "small", 7, 24 }, { "middle", 512, 240 }, { "large", LARGE, 6 } };
static float native[LARGE], converted[LARGE];

static uint64_t mixed(uint64_t z)
{
    z = (z + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static float unit(uint64_t bits)
{
    return (float)(bits & 0xffffff) * 0x1p-23f - 1;
}

static float cube(uint64_t z, float scale)
{
    const float u = unit(z >> 40);

    return u * u * u * scale;
}

/* As make_rows() in tests/oracle/make_behaviour.py. */
static void make_rows(uint64_t position, size_t vocab)
{
    static const float scales[] = { 6, 24, 2 }, differ[] = { 0, 0x1p-20f, 0x1p-8f, 0x1p-3f, 1 };
    const float scale = scales[position / 6 % 3];

    for (uint64_t i = 0; i < vocab; i++) {
        const uint64_t z = mixed((2 * position << 32) + i);
        float *a = native + i, *b = converted + i;
        *a = cube(z, scale);
        *b = position % 6 < 5 ? *a + unit(z) * differ[position % 6]
                              : cube(mixed(((2 * position + 1) << 32) + i), scale);
        if (position % 4 == 3) {
            *a = floorf(*a * 2) * 0.5f;
            *b = floorf(*b * 2) * 0.5f;
        }
    }
}

static double bits_of(const float *x, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        sum += bits;
    }
    return (double)sum;
}

static void expect_near(double got, double want, double part, double least, const char *what,
                        size_t at)
{
    if (!(fabs(got - want) <= part * fabs(want) + least))
        fail_msg("%s %zu: %.17g, not %.17g", what, at, got, want);
}

/* Both sayings and the divergence of a position, held against a row of numbers. */
static double expect_row(const text *t, size_t position, const double want[ROW],
                         const uint32_t top[2 * RC_TOP], rc_saying said[2])
{
    const float *logits[2] = { native, converted };
    double kl;

    make_rows(position, t->vocab);
    for (unsigned side = 0; side < 2; side++) {
        rc_saying *s = said + side;
        assert_true(bits_of(logits[side], t->vocab) == want[side]);
        rc_saying_of(s, logits[side], t->vocab, (uint32_t)want[2]);
        assert_false(s->broken);
        expect_near(s->log_sum, want[3 + side], 1e-14, 0, "log sum, position", position);
        expect_near(s->logprob, want[5 + side], 1e-13, 1e-14, "logprob, position", position);
        for (unsigned k = 0; k < RC_TOP; k++) {
            assert_int_equal(s->top[k].id, top[side * RC_TOP + k]);
            if (s->top[k].id != RC_NO_TOKEN)
                assert_true(s->top[k].logprob ==
                            (float)((double)logits[side][s->top[k].id] - s->log_sum));
        }
    }
    kl = rc_saying_kl(said, native, said + 1, converted, t->vocab);
    /* a sum of p log(p / q) has noise, as of p and q in double */
    expect_near(kl, want[7], 1e-12, 1e-14, "kl, position", position);
    assert_true((kl == 0) == (want[7] == 0));
    return kl;
}

static void expect_se(rc_figure_se got, const double **want, const char *what)
{
    expect_near(got.value, (*want)[0], 1e-12, 1e-14, what, 0);
    expect_near(got.se, (*want)[1], 1e-12, 1e-14, what, 1);
    *want += 2;
}

static void expect_figures(const rc_behaviour *b, const double *want)
{
    const double quantiles[] = { b->kl_median, b->kl_p90,  b->kl_p95,
                                 b->kl_p99,    b->kl_p999, b->kl_max };
    const double dp[] = { b->dp_min, b->dp_p1,  b->dp_p5, b->dp_median,
                          b->dp_p95, b->dp_p99, b->dp_max };

    expect_se(b->kl, &want, "kl");
    for (size_t i = 0; i < 6; i++)
        expect_near(quantiles[i], *want++, 1e-12, 1e-14, "kl quantile", i);
    expect_se(b->same_top, &want, "same top");
    expect_se(b->overlap5, &want, "overlap 5");
    expect_se(b->overlap10, &want, "overlap 10");
    expect_se(b->ppl[0], &want, "perplexity of NATIVE");
    expect_se(b->ppl[1], &want, "perplexity of CONVERTED");
    expect_se(b->ppl_ratio, &want, "perplexity ratio");
    expect_se(b->mean_dp, &want, "mean dp");
    expect_se(b->rms_dp, &want, "rms dp");
    for (size_t i = 0; i < 7; i++)
        expect_near(dp[i], *want++, 1e-12, 1e-14, "dp quantile", i);
    assert_true((double)b->kl_zero == *want++);
    for (size_t i = 0; i < RC_KL_BINS; i++)
        assert_true((double)b->kl_bins[i] == want[i]);
}

static void expect_text(const text *t)
{
    double *rows = malloc(t->positions * ROW * sizeof *rows), figures[FIGURES];
    uint32_t *top = malloc(t->positions * 2 * RC_TOP * sizeof *top);
    rc_behaviour_sum *sum;
    rc_behaviour out;
    rc_mem mem = { 0 };
    rc_err err;
    char name[64];

    assert_true(rows && top);
    snprintf(name, sizeof name, "behaviour/%s.rows.f64", t->name);
    data_load_all(name, rows, t->positions * ROW * sizeof *rows);
    snprintf(name, sizeof name, "behaviour/%s.top.u32", t->name);
    data_load_all(name, top, t->positions * 2 * RC_TOP * sizeof *top);
    snprintf(name, sizeof name, "behaviour/%s.figures.f64", t->name);
    data_load_all(name, figures, sizeof figures);
    assert_int_equal(rc_behaviour_new(&sum, t->positions, t->vocab, &mem, &err), RC_OK);
    for (size_t i = 0; i < t->positions; i++) {
        rc_saying said[2];
        const double kl = expect_row(t, i, rows + i * ROW, top + i * 2 * RC_TOP, said);
        rc_behaviour_add(sum, i, kl, said, said + 1, -1);
    }
    rc_behaviour_finish(sum, &out);
    assert_int_equal(out.positions, t->positions);
    assert_true(out.broken == 0 && out.vocab == t->vocab && !out.truncated);
    expect_figures(&out, figures);
    rc_behaviour_free(&sum);
    assert_int_equal(mem.used, 0);
    free(rows);
    free(top);
}

static void test_behaviour_equals_numpy(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_text(texts + i);
}

/* Forty digits, of divergences from 1e-13 to 20. */
static void test_saying_kl_exact(void **state)
{
    double want[24];

    (void)state;
    data_load_all("behaviour/middle.exact.f64", want, sizeof want);
    for (size_t i = 0; i < 24; i++) {
        rc_saying said[2];
        make_rows(i, 512);
        rc_saying_of(said, native, 512, 0);
        rc_saying_of(said + 1, converted, 512, 0);
        expect_near(rc_saying_kl(said, native, said + 1, converted, 512), want[i], 2e-14, 0,
                    "kl, position", i);
    }
}

/* The digits do not depend on the instruction set. */
static void test_saying_same_on_every_machine(void **state)
{
    static const char *const level[] = { "avx2", "avx512" };

    (void)state;
    for (uint64_t position = 0; position < 24; position++) {
        const size_t vocab = 1000 + position;
        rc_saying want[2], got[2];
        double kl;
        make_rows(position, vocab);
        assert_true(rc_cpu_force("ref"));
        rc_saying_of(want, native, vocab, 5);
        rc_saying_of(want + 1, converted, vocab, 5);
        kl = rc_saying_kl(want, native, want + 1, converted, vocab);
        for (unsigned i = 0; i < 2; i++) {
            double other;
            if (!rc_cpu_force(level[i]))
                continue;
            rc_saying_of(got, native, vocab, 5);
            rc_saying_of(got + 1, converted, vocab, 5);
            other = rc_saying_kl(got, native, got + 1, converted, vocab);
            assert_memory_equal(&other, &kl, sizeof kl);
            for (unsigned side = 0; side < 2; side++) {
                assert_true(got[side].log_sum == want[side].log_sum);
                assert_true(got[side].logprob == want[side].logprob);
                assert_memory_equal(got[side].top, want[side].top, sizeof want->top);
            }
        }
    }
    assert_true(rc_cpu_force("auto"));
}

/* Rows of few different values, of every length about the size of a block. */
static void test_saying_candidates(void **state)
{
    uint64_t seed = 11;
    float x[300];

    (void)state;
    for (size_t vocab = 1; vocab < 300; vocab++) {
        bool taken[300] = { false };
        rc_saying s;
        for (size_t i = 0; i < vocab; i++)
            x[i] = floorf((float)(vocab % 5 * 20 + 2) * rnd_f32(&seed));
        rc_saying_of(&s, x, vocab, 0);
        for (unsigned k = 0; k < RC_TOP; k++) {
            size_t best = vocab;
            for (size_t i = 0; i < vocab; i++)
                if (!taken[i] && (best == vocab || x[i] > x[best]))
                    best = i;
            if (best == vocab) {
                assert_int_equal(s.top[k].id, RC_NO_TOKEN);
                assert_true(s.top[k].logprob == -INFINITY);
                continue;
            }
            taken[best] = true;
            assert_int_equal(s.top[k].id, best);
        }
    }
}

static void test_saying_broken(void **state)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    float x[200];
    rc_saying s, sound;

    (void)state;
    for (size_t i = 0; i < 200; i++)
        x[i] = (float)(i % 7);
    x[3] = -FLT_MAX;
    rc_saying_of(&sound, x, 200, 3);
    assert_false(sound.broken);
    assert_true(sound.logprob < -1e38);
    for (size_t vocab = 1; vocab <= 200; vocab++)
        for (size_t at = vocab % 3; at < vocab; at += 9) {
            const float was = x[at];
            x[at] = bad[at % 3];
            rc_saying_of(&s, x, vocab, 0);
            assert_true(s.broken && isnan(s.log_sum) && isnan(s.logprob));
            assert_int_equal(s.top[0].id, RC_NO_TOKEN);
            if (vocab == 200) {
                assert_true(isnan(rc_saying_kl(&s, x, &sound, x, vocab)));
                assert_true(isnan(rc_saying_kl(&sound, x, &s, x, vocab)));
            }
            x[at] = was;
        }
    x[0] = FLT_MAX;
    x[1] = FLT_MAX;
    rc_saying_of(&s, x, 200, 0);
    assert_false(s.broken);
    assert_true(s.log_sum == (double)FLT_MAX); /* log 2 is far below its last place */
}

/* A saying of ten tokens from `first` on. */
static rc_saying saying(uint32_t first, double logprob)
{
    rc_saying s = { .logprob = logprob };

    for (uint32_t k = 0; k < RC_TOP; k++)
        s.top[k] = (rc_candidate){ first + k, -1.0f };
    return s;
}

static rc_behaviour_sum *new_sum(size_t positions, rc_mem *mem)
{
    rc_behaviour_sum *sum;
    rc_err err;

    assert_int_equal(rc_behaviour_new(&sum, positions, 100, mem, &err), RC_OK);
    return sum;
}

static void test_behaviour_by_hand(void **state)
{
    const double log2 = 0x1.62e42fefa39efp-1;
    rc_mem mem = { 0 };
    rc_behaviour_sum *sum = new_sum(5, &mem);
    rc_saying broken = { .broken = true };
    rc_behaviour b, again;

    (void)state;
    for (unsigned i = 0; i < 4; i++) { /* kl 4 3 2 1; P 1/2, Q 1/4, but 1/2 of the last two */
        const rc_saying p = saying(0, -log2), q = saying(i, i < 2 ? -2 * log2 : -log2);
        rc_behaviour_add(sum, 10 + i, 4 - i, &p, &q, -1);
    }
    rc_behaviour_add(sum, 14, (double)NAN, &broken, &broken, -1);
    rc_behaviour_finish(sum, &b);
    assert_true(b.positions == 5 && b.broken == 1 && b.vocab == 100);
    assert_true(b.kl.value == 2.5 && fabs(b.kl.se - sqrt(1.25 / 3)) < 1e-15);
    assert_true(b.kl_median == 2.5 && fabs(b.kl_p90 - 3.7) < 1e-15 && b.kl_max == 4);
    assert_true(b.same_top.value == 0.25 && fabs(b.same_top.se - 0.25) < 1e-15);
    assert_true(fabs(b.overlap10.value - 0.85) < 1e-15); /* 10 9 8 7 of 10 */
    assert_true(fabs(b.overlap5.value - 0.7) < 1e-15);   /* 5 4 3 2 of 5 */
    assert_true(fabs(b.ppl[0].value - 2) < 1e-15 && b.ppl[0].se == 0);
    assert_true(fabs(b.ppl[1].value - 2 * sqrt(2)) < 1e-15);
    assert_true(fabs(b.ppl_ratio.value - sqrt(2)) < 1e-15);
    assert_true(fabs(b.ppl_ratio.se - sqrt(2) * log2 / 2 / sqrt(3)) < 1e-15);
    assert_true(fabs(b.mean_dp.value + 0.125) < 1e-15);
    assert_true(fabs(b.rms_dp.value - 0.25 / sqrt(2)) < 1e-15);
    assert_true(fabs(b.rms_dp.se - 1.0 / 32 / sqrt(3) / (2 * 0.25 / sqrt(2))) < 1e-15);
    assert_true(fabs(b.dp_min + 0.25) < 1e-15 && b.dp_max == 0);
    assert_true(b.nworst == 4 && b.worst[0].index == 10 && b.worst[3].index == 13);
    assert_true(b.worst[1].said[0].logprob == -log2 && b.worst[1].said[1].top[0].id == 1);
    rc_behaviour_finish(sum, &again);
    assert_memory_equal(&again.kl, &b.kl,
                        offsetof(rc_behaviour, worst) - offsetof(rc_behaviour, kl));
    rc_behaviour_free(&sum);
    assert_int_equal(mem.used, 0);
}

static void test_behaviour_of_nothing(void **state)
{
    rc_mem mem = { 0 };
    rc_behaviour_sum *sum = new_sum(0, &mem);
    rc_saying broken = { .broken = true };
    rc_behaviour b;

    (void)state;
    rc_behaviour_finish(sum, &b);
    assert_true(b.positions == 0 && b.broken == 0 && b.kl.value == 0 && b.ppl[0].value == 0);
    rc_behaviour_add(sum, 0, 0, &broken, &broken, -1);
    rc_behaviour_finish(sum, &b);
    assert_true(b.positions == 1 && b.broken == 1 && b.same_top.value == 0 && b.nworst == 0);
    rc_behaviour_free(&sum);
    rc_behaviour_free(&sum);
}

/* The same model twice: 0 and 1 exactly, and no error of any. One position more: no error known. */
static void test_behaviour_of_equals(void **state)
{
    rc_mem mem = { 0 };
    rc_behaviour_sum *sum = new_sum(30, &mem);
    rc_behaviour b;

    (void)state;
    for (unsigned i = 0; i < 30; i++) {
        const rc_saying p = saying(i, -0.1 * i);
        rc_behaviour_add(sum, i, 0, &p, &p, -1);
        rc_behaviour_finish(sum, &b);
        assert_true(b.kl.value == 0 && b.kl.se == 0 && b.kl_max == 0 && b.kl_zero == i + 1);
        assert_true(b.same_top.value == 1 && b.same_top.se == 0);
        assert_true(b.overlap5.value == 1 && b.overlap10.value == 1 && b.overlap10.se == 0);
        assert_true(b.ppl[0].value == b.ppl[1].value && (b.ppl[0].se > 0) == (i > 0));
        assert_true(b.ppl_ratio.value == 1 && b.ppl_ratio.se == 0);
        assert_true(b.mean_dp.value == 0 && b.rms_dp.value == 0 && b.rms_dp.se == 0);
        assert_true(b.nworst == 0);
    }
    rc_behaviour_free(&sum);
}

static void test_behaviour_worst(void **state)
{
    rc_mem mem = { 0 };
    rc_behaviour_sum *sum = new_sum(500, &mem);
    const rc_saying p = saying(0, -1);
    double kl[500];
    rc_behaviour b;
    uint64_t seed = 21;

    (void)state;
    for (size_t i = 0; i < 500; i++) { /* many equals */
        kl[i] = floor(20 * fabs((double)rnd_f32(&seed)));
        rc_behaviour_add(sum, 1000 + i, kl[i], &p, &p, -1);
    }
    rc_behaviour_finish(sum, &b);
    assert_int_equal(b.nworst, RC_WORST);
    for (size_t k = 0; k < RC_WORST; k++) {
        size_t best = 0;
        for (size_t i = 0; i < 500; i++)
            best = kl[i] > kl[best] ? i : best;
        assert_true(b.worst[k].kl == kl[best] && b.worst[k].index == 1000 + best);
        kl[best] = -1;
    }
    rc_behaviour_free(&sum);
}

static unsigned bin_of(double kl)
{
    rc_mem mem = { 0 };
    rc_behaviour_sum *sum = new_sum(1, &mem);
    const rc_saying p = saying(0, -1);
    unsigned found = RC_KL_BINS;
    rc_behaviour b;

    rc_behaviour_add(sum, 0, kl, &p, &p, -1);
    rc_behaviour_finish(sum, &b);
    for (unsigned i = 0; i < RC_KL_BINS; i++)
        if (b.kl_bins[i])
            found = i;
    assert_true((found == RC_KL_BINS) == (kl == 0) && b.kl_zero == (kl == 0));
    rc_behaviour_free(&sum);
    return found;
}

static void test_behaviour_bins(void **state)
{
    (void)state;
    assert_true(rc_kl_bin_from(0) == 1e-10 && rc_kl_bin_from(40) == 1);
    assert_true(rc_kl_bin_from(RC_KL_BINS) == 100);
    for (unsigned i = 0; i < RC_KL_BINS; i++) {
        const double from = rc_kl_bin_from(i);
        assert_true(fabs(from / pow(10, i / 4.0 - 10) - 1) < 1e-14);
        assert_int_equal(bin_of(from), i);
        assert_int_equal(bin_of(nextafter(from, 0)), i ? i - 1 : 0);
    }
    assert_int_equal(bin_of(1e-300), 0);
    assert_int_equal(bin_of(1e9), RC_KL_BINS - 1);
    assert_int_equal(bin_of(0), RC_KL_BINS);
}

static void test_behaviour_tail(void **state)
{
    rc_mem mem = { 0 };
    rc_behaviour_sum *sum = new_sum(4, &mem);
    const rc_saying p = saying(0, -1);
    const double tails[] = { 0, 0.25, 0.5, 0.25 };
    rc_behaviour b;

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        rc_behaviour_add(sum, i, 1, &p, &p, tails[i]);
    rc_behaviour_finish(sum, &b);
    assert_true(b.truncated && b.tail_mean == 0.25 && b.tail_max == 0.5);
    rc_behaviour_free(&sum);
}

static void test_behaviour_memory(void **state)
{
    rc_behaviour_sum *sum;
    rc_err err;

    (void)state;
    for (size_t fail_at = 1; fail_at < 3; fail_at++) {
        rc_mem mem = { .fail_at = fail_at };
        assert_int_equal(rc_behaviour_new(&sum, 1000, 100, &mem, &err), RC_E_OS);
        assert_null(sum);
        assert_int_equal(mem.used, 0);
    }
    rc_mem mem = { .limit = 1 << 20 };
    assert_int_equal(rc_behaviour_new(&sum, SIZE_MAX / 8, 100, &mem, &err), RC_E_OS);
    assert_int_equal(rc_behaviour_new(&sum, 1 << 15, 100, &mem, &err), RC_E_OS);
    assert_int_equal(rc_behaviour_new(&sum, 1 << 14, 100, &mem, &err), RC_OK);
    rc_behaviour_free(&sum);
    assert_int_equal(mem.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_behaviour_equals_numpy),
        cmocka_unit_test(test_saying_kl_exact),
        cmocka_unit_test(test_saying_same_on_every_machine),
        cmocka_unit_test(test_saying_candidates),
        cmocka_unit_test(test_saying_broken),
        cmocka_unit_test(test_behaviour_by_hand),
        cmocka_unit_test(test_behaviour_of_nothing),
        cmocka_unit_test(test_behaviour_of_equals),
        cmocka_unit_test(test_behaviour_worst),
        cmocka_unit_test(test_behaviour_bins),
        cmocka_unit_test(test_behaviour_tail),
        cmocka_unit_test(test_behaviour_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
