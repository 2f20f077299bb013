/* tests/unit/test_draw.c - the sample of parameters: who is drawn, what may be said of the others,
 * and that nobody else is read. */
#include "tests/unit/fixture.h"

#include <math.h>

#include "convert/synth.h"
#include "verify/draw.h"

/* A model by name: 3 single tensors, LAYERS x (2 norms + 20 experts). */
enum { LAYERS = 10, ALL = 3 + LAYERS * 22 };
static char name[ALL][40];
static rc_pair pair[ALL];

static void put(size_t at, rc_role role, int32_t layer, const char *what, unsigned i)
{
    snprintf(name[at], sizeof name[at], "%d.%s.%u", layer, what, i);
    pair[at] = (rc_pair){ .name = name[at], .role = role, .layer = layer };
}

static int fill(void **state)
{
    size_t at = 0;

    (void)state;
    put(at++, RC_ROLE_EMBED, -1, "embed", 0);
    for (int32_t l = 0; l < LAYERS; l++) {
        for (unsigned i = 0; i < 2; i++)
            put(at++, RC_ROLE_NORM, l, "norm", i);
        for (unsigned i = 0; i < 20; i++)
            put(at++, RC_ROLE_EXPERT, l, "expert", i);
    }
    put(at++, RC_ROLE_HEAD, -1, "head", 0);
    put(at++, RC_ROLE_NORM, -1, "norm", 0);
    return at == ALL ? 0 : 1;
}

static size_t draw(bool taken[ALL], size_t want, uint64_t seed)
{
    rc_mem mem = { 0 };
    size_t cover, n = 0;
    rc_err err;

    assert_int_equal(rc_draw(taken, &cover, pair, ALL, want, seed, &mem, &err), RC_OK);
    assert_int_equal(mem.used, 0);
    for (size_t i = 0; i < ALL; i++)
        n += taken[i];
    assert_int_equal(n, want);
    return cover;
}

static unsigned roles(const bool taken[ALL])
{
    unsigned seen = 0;

    for (size_t i = 0; i < ALL; i++)
        seen |= taken[i] ? 1u << pair[i].role : 0;
    return seen;
}

static void test_draw_sees_every_role_and_many_layers(void **state)
{
    const unsigned every =
        1u << RC_ROLE_EMBED | 1u << RC_ROLE_HEAD | 1u << RC_ROLE_NORM | 1u << RC_ROLE_EXPERT;
    bool taken[ALL];

    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        assert_int_equal(draw(taken, 4, seed), 4);
        assert_int_equal(roles(taken), every);
        assert_true(rc_draw_layers(pair, ALL, taken) >= 1);
        (void)draw(taken, 20, seed); /* 10 are cover: the roles, and 6 layers or more */
        assert_int_equal(roles(taken), every);
        assert_true(rc_draw_layers(pair, ALL, taken) >= 7);
        assert_true(draw(taken, 40, seed) <= 14);
        assert_int_equal(rc_draw_layers(pair, ALL, taken), LAYERS);
        assert_true(draw(taken, 2, seed) <= 2);
        (void)draw(taken, ALL, seed);
    }
}

/* Worked out with xxhsum -H2 and a few lines of Python. */
static void test_draw_is_the_same_everywhere(void **state)
{
    static const size_t want[] = { 0, 40, 48, 87, 169, 178, 186, 206, 211, 221 };
    bool a[ALL], b[ALL];
    size_t k = 0, differ = 0;

    (void)state;
    (void)draw(a, 10, 1);
    (void)draw(b, 10, 1);
    assert_memory_equal(a, b, sizeof a);
    for (size_t i = 0; i < ALL; i++)
        if (a[i])
            assert_int_equal(i, want[k++]);
    assert_int_equal(k, 10);
    (void)draw(b, 10, 2);
    for (size_t i = 0; i < ALL; i++)
        differ += a[i] != b[i];
    assert_true(differ > 4);
}

/* What is drawn past the cover must be drawn with one probability, or the statement about the
 * others were wrong. Of one role, a layer of 2 and two of 40: the cover takes one of each layer,
 * and 17 of the other 79 are drawn blindly. An order shared by both would take the second of the
 * small layer too rarely. */
static void test_draw_is_blind_past_the_cover(void **state)
{
    enum { SEEDS = 4000, N = 82, WANT = 20 };
    const double q = 17.0 / 79;
    rc_pair p[N];
    double taken_small = 0, taken_large = 0;

    (void)state;
    for (size_t i = 0; i < N; i++)
        p[i] = (rc_pair){ .name = name[i],
                          .role = RC_ROLE_EXPERT,
                          .layer = i < 2 ? 0 : 1 + (int32_t)(i % 2) };
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        rc_mem mem = { 0 };
        bool taken[N];
        size_t cover;
        rc_err err;

        assert_int_equal(rc_draw(taken, &cover, p, N, WANT, seed, &mem, &err), RC_OK);
        assert_int_equal(cover, 3);
        for (size_t i = 0; i < N; i++)
            *(i < 2 ? &taken_small : &taken_large) += taken[i];
    }
    assert_true(fabs(taken_small / (2 * SEEDS) - (1.0 / 2 + 1.0 / 2 * q)) < 0.02);
    assert_true(fabs(taken_large / (80 * SEEDS) - (1.0 / 40 + 39.0 / 40 * q)) < 0.005);
}

/* The bound by its definition, with lgamma. */
static double miss(uint64_t population, uint64_t drawn, uint64_t bad)
{
    const double M = (double)population, m = (double)drawn, D = (double)bad;

    if (bad > population - drawn)
        return 0;
    return exp(lgamma(M - D + 1) - lgamma(M - D - m + 1) - lgamma(M + 1) + lgamma(M - m + 1));
}

static void test_draw_bound(void **state)
{
    (void)state;
    for (uint64_t M = 1; M < 400; M += 7)
        for (uint64_t m = 0; m <= M; m += 1 + M / 9) {
            const uint64_t d = rc_draw_fewer_than(M, m);

            if (d <= M - m)
                assert_true(miss(M, m, d) <= 0.05 + 1e-9);
            else
                assert_int_equal(d, M - m + 1);
            assert_true(miss(M, m, d - 1) > 0.05 - 1e-9);
        }
    assert_int_equal(rc_draw_fewer_than(1000000, 300), 9935); /* about 3 M / m */
    assert_int_equal(rc_draw_fewer_than(100, 100), 1);
    assert_int_equal(rc_draw_fewer_than(100, 0), 101);
}

/* -- a judge ----------------------------------------------------------------- */

static fx_dir dir;
static char a_path[300], b_path[300];

static void make(const char *path)
{
    const rc_synth_options options = { .like = "tiny", .threads = 2, .force = true };
    rc_synth_result result;
    rc_mem mem = { 0 };
    rc_err err;

    if (rc_synth(path, &options, &result, &mem, &err) != RC_OK)
        fail_msg("synth: %s", err.msg);
}

static int make_folders(void **state)
{
    dir = fx_open(NULL);
    snprintf(a_path, sizeof a_path, "%s/a", dir.path);
    snprintf(b_path, sizeof b_path, "%s/b", dir.path);
    make(a_path);
    make(b_path);
    return fill(state);
}

static int remove_folders(void **state)
{
    (void)state;
    fx_close(&dir);
    return 0;
}

static struct {
    rc_mem mem;
    rc_subject a, b;
    rc_judge *judge;
    rc_err err;
} t;

static void open_judge(const rc_judge_rules *rules)
{
    memset(&t, 0, sizeof t);
    assert_int_equal(rc_subject_open(&t.a, a_path, NULL, NULL, &t.mem, &t.err), RC_OK);
    assert_int_equal(rc_subject_open(&t.b, b_path, NULL, NULL, &t.mem, &t.err), RC_OK);
    assert_int_equal(rc_judge_new(&t.judge, &t.a, &t.b, rules, &t.mem, &t.err), RC_OK);
}

static void close_judge(void)
{
    rc_judge_free(&t.judge);
    rc_subject_close(&t.a);
    rc_subject_close(&t.b);
    assert_int_equal(t.mem.used, 0);
}

/* Bytes that this process has asked the system for; 0 where it does not say. */
static uint64_t bytes_read(void)
{
    unsigned long long n = 0;
    FILE *f = fopen("/proc/self/io", "r");

    if (f) {
        if (fscanf(f, "rchar: %llu", &n) != 1)
            n = 0;
        fclose(f);
    }
    return n;
}

static void test_sample_reads_only_what_was_drawn(void **state)
{
    const rc_judge_rules rules = { .max_rel_err = INFINITY, .sample = 25, .seed = 9 };
    rc_judge_sample s;
    uint64_t want = 0, before, after;
    char says[300];

    (void)state;
    open_judge(&rules);
    assert_int_equal(rc_judge_pairs(t.judge), 25);
    for (size_t i = 0; i < 25; i++) {
        const rc_pair *p = rc_judge_pair(t.judge, i);

        want += p->ta->nbytes + p->tb->nbytes;
        want += p->a && p->a->scale ? p->a->scale->nbytes + p->b->scale->nbytes : 0;
    }
    assert_int_equal(rc_judge_nbytes(t.judge), want);
    before = bytes_read();
    assert_int_equal(rc_judge_run(t.judge, 2, NULL, &t.err), RC_OK);
    after = bytes_read();
    if (before) /* a read past the page cache is of whole pages */
        assert_in_range(after - before, want, want + 25 * 4 * 2 * RC_PAGE + 4096);
    assert_int_equal(rc_judge_verdict(t.judge, &t.err), RC_OK);
    assert_true(rc_judge_sampled(t.judge, &s));
    assert_int_equal(s.params, 25);
    assert_int_equal(s.of, 312);
    assert_int_equal(s.failed, 0);
    assert_int_equal(s.fewer, rc_draw_fewer_than(312 - s.cover, 25 - s.cover));
    assert_non_null(strstr(rc_judge_sample_says(t.judge, says, sizeof says), "25 of 312"));
    close_judge();
}

/* A parameter of b that was drawn, or was not, with one byte changed. */
static void damage(bool drawn)
{
    const rc_judge_rules rules = { .max_rel_err = INFINITY, .sample = 25, .seed = 9 };
    char file[700], tensor[200];
    const rc_tensor *hit = NULL;
    rc_judge_sample s;
    uint8_t byte;
    FILE *f;

    open_judge(&rules);
    for (size_t i = 0; i < rc_model_count(t.b.model) && !hit; i++) {
        const rc_bound *b = rc_model_at(t.b.model, i);
        bool in = false;

        for (size_t k = 0; k < rc_judge_pairs(t.judge); k++)
            in = in || strcmp(rc_judge_pair(t.judge, k)->name, b->param->name) == 0;
        if (in == drawn && b->param->role == RC_ROLE_EXPERT)
            hit = b->weight;
    }
    assert_non_null(hit);
    snprintf(tensor, sizeof tensor, "%s", hit->name);
    snprintf(file, sizeof file, "%s/%s", b_path, rc_ckpt_shard(t.b.ckpt, hit->shard)->name);
    f = fopen(file, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)hit->begin, SEEK_SET), 0);
    assert_int_equal(fread(&byte, 1, 1, f), 1);
    byte ^= 1;
    assert_int_equal(fseek(f, (long)hit->begin, SEEK_SET), 0);
    assert_int_equal(fwrite(&byte, 1, 1, f), 1);
    assert_int_equal(fclose(f), 0);
    close_judge();

    open_judge(&rules);
    assert_int_equal(rc_judge_run(t.judge, 2, NULL, &t.err), RC_OK);
    assert_int_equal(rc_judge_verdict(t.judge, &t.err), drawn ? RC_DIFFERS : RC_OK);
    if (drawn)
        assert_string_equal(t.err.tensor, tensor);
    assert_true(rc_judge_sampled(t.judge, &s));
    assert_int_equal(s.failed, drawn);
    assert_true(drawn ? s.fewer == 0 : s.fewer > 0);
    close_judge();
    make(b_path);
}

static void test_sample_finds_what_it_looks_at(void **state)
{
    (void)state;
    damage(true);
    damage(false);
}

static void test_sample_of_more_than_there_are_is_everything(void **state)
{
    static const char *const globs[] = { "layers.1.*" };
    const rc_judge_rules rules = {
        .max_rel_err = INFINITY, .sample = 1000, .globs = globs, .nglobs = 1
    };
    rc_judge_sample s;
    char says[300];

    (void)state;
    open_judge(&rules);
    assert_int_equal(rc_judge_pairs(t.judge), 49);
    assert_int_equal(rc_judge_run(t.judge, 1, NULL, &t.err), RC_OK);
    assert_true(rc_judge_sampled(t.judge, &s));
    assert_int_equal(s.params, 49);
    assert_int_equal(s.of, 49);
    assert_int_equal(s.fewer, 0);
    assert_string_equal(rc_judge_sample_says(t.judge, says, sizeof says),
                        "a sample, 49 of 49 parameters, 1 of 1 layers");
    close_judge();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draw_sees_every_role_and_many_layers),
        cmocka_unit_test(test_draw_is_the_same_everywhere),
        cmocka_unit_test(test_draw_is_blind_past_the_cover),
        cmocka_unit_test(test_draw_bound),
        cmocka_unit_test(test_sample_reads_only_what_was_drawn),
        cmocka_unit_test(test_sample_finds_what_it_looks_at),
        cmocka_unit_test(test_sample_of_more_than_there_are_is_everything),
    };

    return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
