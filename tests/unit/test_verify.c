/* tests/unit/test_verify.c - the judge, against damage of every kind and against
 * figures worked out the long way. */
#include "tests/unit/fixture.h"

#include <math.h>
#include <time.h>

#include "convert/synth.h"
#include "kernels/codes.h"
#include "kernels/cpu.h"
#include "verify/judge.h"
#include "verify/report.h"

/* Two folders, made once: `a`, and `other` whose weights are all different. */
static fx_dir dir;
static char a_path[300], other_path[300], b_path[300];

static void make(const char *path, uint64_t seed)
{
    const rc_synth_options options = { .like = "tiny", .seed = seed, .threads = 2, .force = true };
    rc_synth_result result;
    rc_mem mem = { 0 };
    rc_err err;

    if (rc_synth(path, &options, &result, &mem, &err) != RC_OK)
        fail_msg("synth: %s", err.msg);
}

static int make_folders(void **state)
{
    (void)state;
    dir = fx_open(NULL);
    snprintf(a_path, sizeof a_path, "%s/a", dir.path);
    snprintf(other_path, sizeof other_path, "%s/other", dir.path);
    snprintf(b_path, sizeof b_path, "%s/b", dir.path);
    make(a_path, 0);
    make(other_path, 1);
    return 0;
}

static int remove_folders(void **state)
{
    (void)state;
    fx_close(&dir);
    return 0;
}

/* A fresh copy of `a` to do harm to. */
static void fresh_b(void)
{
    make(b_path, 0);
}

/* One comparison, opened and closed by each test. */
static struct {
    rc_mem mem;
    rc_subject a, b;
    rc_judge *judge;
    rc_err err;
} t;

static const rc_judge_rules exactly = { .max_rel_err = INFINITY };

static void set_all(rc_judge_rules *rules, double db)
{
    for (unsigned r = 0; r < RC_ROLE_COUNT; r++)
        rules->min_sqnr[r] = db;
}

static rc_code open_judge(const char *a, const char *b, const rc_judge_rules *rules)
{
    memset(&t, 0, sizeof t);
    assert_int_equal(rc_subject_open(&t.a, a, NULL, NULL, &t.mem, &t.err), RC_OK);
    assert_int_equal(rc_subject_open(&t.b, b, NULL, NULL, &t.mem, &t.err), RC_OK);
    return rc_judge_new(&t.judge, &t.a, &t.b, rules, &t.mem, &t.err);
}

/* The verdict on a and b. */
static rc_code judge(const char *a, const char *b, const rc_judge_rules *rules, unsigned threads)
{
    assert_int_equal(open_judge(a, b, rules), RC_OK);
    assert_int_equal(rc_judge_run(t.judge, threads, NULL, &t.err), RC_OK);
    return rc_judge_verdict(t.judge, &t.err);
}

static void done(void)
{
    rc_judge_free(&t.judge);
    rc_subject_close(&t.a);
    rc_subject_close(&t.b);
    assert_int_equal(t.mem.used, 0);
}

static const rc_pair *pair_named(const char *name)
{
    for (size_t i = 0; i < rc_judge_pairs(t.judge); i++)
        if (strcmp(rc_judge_pair(t.judge, i)->name, name) == 0)
            return rc_judge_pair(t.judge, i);
    fail_msg("no pair %s", name);
    return NULL;
}

/* Overwrite bytes of a tensor of folder `path`; returns the offset in its shard. */
static uint64_t poke(const char *path, const char *tensor, uint64_t off, const void *bytes,
                     size_t n)
{
    rc_mem mem = { 0 };
    rc_subject s;
    rc_err err;
    const rc_tensor *x;
    char file[600];
    uint64_t at;
    FILE *f;

    assert_int_equal(rc_subject_open(&s, path, NULL, NULL, &mem, &err), RC_OK);
    x = rc_ckpt_find(s.ckpt, tensor);
    assert_non_null(x);
    assert_true(off + n <= x->nbytes);
    at = x->begin + off;
    snprintf(file, sizeof file, "%s/%s", path, rc_ckpt_shard(s.ckpt, x->shard)->name);
    rc_subject_close(&s);
    f = fopen(file, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    return at;
}

/* All bytes of a stored tensor; free() them. */
static uint8_t *peek(const char *path, const char *tensor, size_t *nbytes)
{
    rc_mem mem = { 0 };
    rc_subject s;
    rc_err err;
    const rc_tensor *x;
    const uint8_t *data;
    uint8_t *buf, *out;

    assert_int_equal(rc_subject_open(&s, path, NULL, NULL, &mem, &err), RC_OK);
    x = rc_ckpt_find(s.ckpt, tensor);
    assert_non_null(x);
    *nbytes = (size_t)x->nbytes;
    buf = rc_mem_get_pages(&mem, *nbytes + 2 * RC_PAGE);
    assert_int_equal(rc_ckpt_read(s.ckpt, x, 0, *nbytes, buf, *nbytes + 2 * RC_PAGE, &data, &err),
                     RC_OK);
    out = malloc(*nbytes);
    assert_non_null(out);
    memcpy(out, data, *nbytes);
    rc_mem_put(&mem, buf);
    rc_subject_close(&s);
    return out;
}

/* figures */

static void test_stats_of_nothing_and_of_equal_rows(void **state)
{
    const float x[5] = { 1, -2, 0, 0x1p-149f, 3e38f };
    rc_stats s = RC_STATS_NONE;
    uint64_t at;
    float a, b;

    (void)state;
    assert_true(rc_stats_exact(&s));
    rc_stats_add(&s, x, x, 5, 0);
    assert_true(rc_stats_exact(&s));
    assert_false(rc_stats_place(&s, &at, &a, &b));
    assert_true(s.n == 5 && rc_stats_rel(&s) == 0 && rc_stats_cosine(&s) == 1);
    assert_true(isinf(rc_stats_sqnr(&s)) && rc_stats_sqnr(&s) > 0);
}

static void test_stats_by_hand(void **state)
{
    const float x[4] = { 3, 0, 4, -0.0f }, y[4] = { 3, 1, 4, 0.0f };
    rc_stats s = RC_STATS_NONE;
    uint64_t at;
    float a, b;

    (void)state;
    rc_stats_add(&s, x, y, 4, 100);
    assert_int_equal(s.sum.differ, 1); /* -0 equals 0 */
    assert_true(rc_stats_place(&s, &at, &a, &b) && at == 101 && a == 0 && b == 1);
    assert_true(rc_stats_rel(&s) == 0.2); /* 1 / 5 */
    assert_true(fabs(rc_stats_sqnr(&s) - 13.979400086720377) < 1e-13);
    assert_true(fabs(rc_stats_cosine(&s) - 25 / (5 * sqrt(26))) < 1e-15);
}

static void test_stats_of_one_sided_zero(void **state)
{
    const float zero[2] = { 0, 0 }, one[2] = { 1, 1 };
    rc_stats s = RC_STATS_NONE, r = RC_STATS_NONE;

    (void)state;
    rc_stats_add(&s, zero, one, 2, 0);
    assert_true(isinf(rc_stats_rel(&s)) && rc_stats_sqnr(&s) == -INFINITY);
    assert_true(rc_stats_cosine(&s) == 0);
    rc_stats_add(&r, one, zero, 2, 0);
    assert_true(rc_stats_rel(&r) == 1 && rc_stats_sqnr(&r) == 0 && rc_stats_cosine(&r) == 0);
}

static void test_stats_count_what_is_not_finite(void **state)
{
    const float x[6] = { NAN, NAN, 1, INFINITY, INFINITY, -INFINITY };
    const float y[6] = { NAN, 1, NAN, INFINITY, 1, INFINITY };
    rc_stats s = RC_STATS_NONE;
    uint64_t at;
    float a, b;

    (void)state;
    rc_stats_add(&s, x, y, 6, 10);
    assert_int_equal(s.sum.differ, 4);
    assert_int_equal(s.incomparable, 4);
    assert_true(s.sum.dd == 0);
    assert_true(rc_stats_place(&s, &at, &a, &b) && at == 11 && isnan(a) && b == 1);
    assert_false(rc_stats_exact(&s));
}

static void test_stats_merge_keeps_the_first_of_equal_errors(void **state)
{
    const float x[3] = { 0, 0, 0 }, y[3] = { 0, 2, -2 };
    rc_stats s = RC_STATS_NONE, later = RC_STATS_NONE;

    (void)state;
    rc_stats_add(&s, x, y, 3, 0);
    rc_stats_add(&later, x, y, 3, 3);
    rc_stats_merge(&s, &later);
    assert_true(s.sum.max_at == 1 && s.max_b == 2 && s.sum.differ == 4 && s.n == 6);
}

/* the same */

static void test_identical_is_exact(void **state)
{
    rc_judge_role roles[RC_ROLE_COUNT], all;

    (void)state;
    fresh_b();
    assert_int_equal(judge(a_path, b_path, &exactly, 2), RC_OK);
    assert_string_equal(rc_outcome_verdict(&(rc_outcome){ .judge = t.judge }), "exact");
    assert_int_equal(rc_judge_pairs(t.judge), rc_model_count(t.a.model));
    for (size_t i = 0; i < rc_judge_pairs(t.judge); i++) {
        const rc_pair *p = rc_judge_pair(t.judge, i);

        assert_true(rc_stats_exact(&p->stats) && p->stats.sum.dd == 0 &&
                    p->stats.sum.max_diff == 0);
        assert_true(p->stats.n == p->rows * p->cols);
        assert_true(rc_stats_rel(&p->stats) == 0 && rc_stats_cosine(&p->stats) == 1);
    }
    rc_judge_roles(t.judge, roles, &all);
    assert_true(all.exact == all.params && all.failed == 0 && all.worst_sqnr == INFINITY);
    assert_int_equal(rc_judge_findings(t.judge)->total[RC_FAULT], 0);
    done();
}

/* one bit */

struct harm {
    const char *tensor, *param;
    uint64_t off; /* byte */
    uint8_t flip;
    uint64_t row, col; /* where it must be found */
};

static void test_one_bit_is_found(void **state)
{
    static const struct harm harms[] = {
        /* packed FP4 [256, 128]: the high nibble is the odd column */
        { "layers.2.ffn.experts.3.w1.weight", "layers.2.ffn.experts.3.w1.weight", 128 * 5 + 9, 0x40,
          5, 19 },
        { "layers.2.ffn.experts.3.w1.weight", "layers.2.ffn.experts.3.w1.weight", 128 * 5 + 9, 0x04,
          5, 18 },
        { "layers.0.attn.wq_a.weight", "layers.0.attn.wq_a.weight", 256 * 7 + 200, 0x08, 7, 200 },
        { "embed.weight", "embed.weight", 2 * (256 * 100 + 31) + 1, 0x01, 100, 31 },
        { "layers.1.hc_attn_base", "layers.1.hc_attn_base", 4 * 3 + 2, 0x40, 0, 3 },
        { "layers.0.ffn.gate.tid2eid", "layers.0.ffn.gate.tid2eid", 8 * (2 * 11 + 1), 0x01, 11, 1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof harms / sizeof *harms; i++) {
        const struct harm *h = &harms[i];
        const rc_pair *p;
        uint64_t at, offset;
        float x, y;
        size_t n;
        uint8_t *bytes, byte;

        fresh_b();
        bytes = peek(b_path, h->tensor, &n);
        byte = bytes[h->off] ^ h->flip;
        free(bytes);
        offset = poke(b_path, h->tensor, h->off, &byte, 1);
        assert_int_equal(judge(a_path, b_path, &exactly, 2), RC_DIFFERS);
        assert_string_equal(t.err.tensor, h->param);
        /* of an element of several bytes the first is named */
        assert_true(t.err.offset <= offset && offset - t.err.offset < 8);
        p = pair_named(h->param);
        assert_int_equal(p->stats.sum.differ, 1);
        assert_true(rc_stats_place(&p->stats, &at, &x, &y));
        assert_int_equal(at / p->shape[p->rank - 1], h->row);
        assert_int_equal(at % p->shape[p->rank - 1], h->col);
        for (size_t k = 0; k < rc_judge_pairs(t.judge); k++)
            if (rc_judge_pair(t.judge, k) != p)
                assert_true(rc_stats_exact(&rc_judge_pair(t.judge, k)->stats));
        done();
    }
}

static void test_a_scale_moves_its_whole_tile(void **state)
{
    const char *tensor = "layers.2.ffn.experts.3.w1.scale";
    const rc_pair *p;
    size_t n;
    uint8_t *bytes, byte;

    (void)state;
    fresh_b();
    bytes = peek(b_path, tensor, &n);
    byte = (uint8_t)(bytes[8 * 20 + 3] + 1); /* row 20, columns 96..127, doubled */
    free(bytes);
    poke(b_path, tensor, 8 * 20 + 3, &byte, 1);
    assert_int_equal(judge(a_path, b_path, &exactly, 1), RC_DIFFERS);
    p = pair_named("layers.2.ffn.experts.3.w1.weight");
    assert_true(p->stats.sum.differ > 8 && p->stats.sum.differ <= 32);
    assert_int_equal(p->stats.sum.max_at / 256, 20);
    assert_int_equal(p->stats.sum.max_at % 256 / 32, 3);
    assert_true(p->stats.max_b == 2 * p->stats.max_a);
    done();
}

/* the long way: every figure of some parameters, in plain double */

struct sums {
    double aa, bb, ab, dd, max;
    size_t max_at, n;
};

static void add_up(struct sums *s, double x, double y)
{
    s->aa += x * x;
    s->bb += y * y;
    s->ab += x * y;
    s->dd += (x - y) * (x - y);
    if (fabs(x - y) > s->max) {
        s->max = fabs(x - y);
        s->max_at = s->n;
    }
    s->n++;
}

static void near(double got, double want)
{
    if (fabs(got - want) > 1e-11 * fabs(want))
        fail_msg("%.17g instead of %.17g", got, want);
}

static void check_sums(const char *param, const struct sums *s)
{
    const rc_pair *p = pair_named(param);

    assert_int_equal(p->stats.n, s->n);
    near(rc_stats_rel(&p->stats), sqrt(s->dd / s->aa));
    near(rc_stats_sqnr(&p->stats), 10 * log10(s->aa / s->dd));
    near(rc_stats_cosine(&p->stats), s->ab / sqrt(s->aa * s->bb));
    assert_true(p->stats.sum.max_diff == s->max);
    assert_int_equal(p->stats.sum.max_at, s->max_at);
}

static double fp4_at(const uint8_t *q, const uint8_t *scale, size_t i)
{
    const unsigned code = i % 2 ? q[i / 2] >> 4 : q[i / 2] & 15;

    return (double)rc_e2m1_value(code) * ldexp(1, scale[i / 32] - 127);
}

static void test_figures_are_those_of_a_plain_computation(void **state)
{
    static const char *const fp4 = "layers.3.ffn.experts.1.w2", *const fp8 = "layers.2.attn.wq_b";
    char name[128];
    size_t n, m;
    uint8_t *qa, *qb, *sa, *sb;
    struct sums s = { 0 };

    (void)state;
    assert_int_equal(judge(a_path, other_path, &exactly, 2), RC_DIFFERS);

    snprintf(name, sizeof name, "%s.weight", fp4);
    qa = peek(a_path, name, &n);
    qb = peek(other_path, name, &n);
    snprintf(name, sizeof name, "%s.scale", fp4);
    sa = peek(a_path, name, &m);
    sb = peek(other_path, name, &m);
    for (size_t i = 0; i < 2 * n; i++)
        add_up(&s, fp4_at(qa, sa, i), fp4_at(qb, sb, i));
    snprintf(name, sizeof name, "%s.weight", fp4);
    check_sums(name, &s);
    free(qa), free(qb), free(sa), free(sb);

    s = (struct sums){ 0 };
    snprintf(name, sizeof name, "%s.weight", fp8);
    {
        const rc_pair *p = pair_named(name);
        const size_t cols = (size_t)p->cols, across = (cols + 127) / 128;

        qa = peek(a_path, name, &n);
        qb = peek(other_path, name, &n);
        snprintf(name, sizeof name, "%s.scale", fp8);
        sa = peek(a_path, name, &m);
        sb = peek(other_path, name, &m);
        for (size_t i = 0; i < n; i++) {
            const size_t tile = i / cols / 128 * across + i % cols / 128;

            add_up(&s, (double)rc_e4m3_value(qa[i]) * ldexp(1, sa[tile] - 127),
                   (double)rc_e4m3_value(qb[i]) * ldexp(1, sb[tile] - 127));
        }
    }
    snprintf(name, sizeof name, "%s.weight", fp8);
    check_sums(name, &s);
    free(qa), free(qb), free(sa), free(sb);

    s = (struct sums){ 0 };
    qa = peek(a_path, "head.weight", &n);
    qb = peek(other_path, "head.weight", &n);
    for (size_t i = 0; i < n; i += 2)
        add_up(&s, (double)rc_bf16_value((uint16_t)(qa[i] | qa[i + 1] << 8)),
               (double)rc_bf16_value((uint16_t)(qb[i] | qb[i + 1] << 8)));
    check_sums("head.weight", &s);
    free(qa), free(qb);
    done();
}

/* every digit, whatever runs it */

static char *report(unsigned threads, size_t mem_limit)
{
    rc_mem mem = { 0 };
    rc_jsonw *w;
    const char *text;
    char *copy;
    rc_code rc;

    assert_int_equal(open_judge(a_path, other_path, &exactly), RC_OK);
    t.mem.limit = mem_limit ? t.mem.used + mem_limit : 0;
    rc = rc_judge_run(t.judge, threads, NULL, &t.err);
    t.mem.limit = 0;
    if (rc != RC_OK)
        fail_msg("%s (%s)", t.err.msg, t.err.want);
    w = rc_jsonw_new(&mem, 2);
    assert_non_null(w);
    rc_report_json(w, &(rc_outcome){ .judge = t.judge, .findings = rc_judge_findings(t.judge) });
    text = rc_jsonw_text(w, NULL);
    assert_non_null(text);
    copy = malloc(strlen(text) + 1);
    assert_non_null(copy);
    strcpy(copy, text);
    rc_jsonw_free(&w);
    done();
    return copy;
}

static void test_digits_depend_on_nothing(void **state)
{
    static const unsigned threads[] = { 1, 2, 3, 8, 64 };
    static const char *const cpus[] = { "ref", "avx2", "avx512" };
    char *first = report(1, 0);

    (void)state;
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        char *again = report(threads[i], i % 2 ? 3 << 20 : 0);

        assert_string_equal(first, again);
        free(again);
    }
    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++) {
        char *again;

        if (!rc_cpu_force(cpus[i]))
            continue;
        again = report(2, 0);
        assert_string_equal(first, again);
        free(again);
    }
    rc_cpu_force("auto");
    free(first);
}

/* bounds */

static void test_bounds(void **state)
{
    rc_judge_rules rules = exactly;
    const uint8_t nan[2] = { 0xc0, 0x7f };
    uint8_t *bytes, byte;
    size_t n;

    (void)state;
    fresh_b();
    bytes = peek(b_path, "head.weight", &n);
    byte = bytes[1000] ^ 1; /* the last bit of a bf16: some 48 dB */
    free(bytes);
    poke(b_path, "head.weight", 1000, &byte, 1);
    rules.lossy = true;
    set_all(&rules, 40);
    assert_int_equal(judge(a_path, b_path, &rules, 1), RC_OK);
    assert_string_equal(rc_outcome_verdict(&(rc_outcome){ .judge = t.judge }), "within bounds");
    done();
    set_all(&rules, 200);
    assert_int_equal(judge(a_path, b_path, &rules, 1), RC_DIFFERS);
    done();
    set_all(&rules, -INFINITY);
    rules.max_rel_err = 1e-9;
    assert_int_equal(judge(a_path, b_path, &rules, 1), RC_DIFFERS);
    done();
    /* no bound admits a NaN that NATIVE does not have */
    rules.max_rel_err = INFINITY;
    poke(b_path, "head.weight", 2000, nan, 2);
    assert_int_equal(judge(a_path, b_path, &rules, 1), RC_DIFFERS);
    assert_int_equal(pair_named("head.weight")->stats.incomparable, 1);
    assert_int_equal(pair_named("head.weight")->stats.sum.nan_b, 1);
    assert_int_equal(t.err.offset, pair_named("head.weight")->tb->begin + 2000);
    done();
}

static void test_nan_on_both_sides_is_equal_and_told(void **state)
{
    const uint8_t nan[2] = { 0xc0, 0x7f };
    char twin[300];

    (void)state;
    fresh_b();
    snprintf(twin, sizeof twin, "%s/twin", dir.path);
    make(twin, 0);
    poke(b_path, "norm.weight", 8, nan, 2);
    poke(twin, "norm.weight", 8, nan, 2);
    assert_int_equal(judge(b_path, twin, &exactly, 1), RC_OK);
    assert_int_equal(rc_judge_findings(t.judge)->total[RC_WARNING], 1);
    assert_int_equal(pair_named("norm.weight")->stats.sum.nan_both, 1);
    done();
}

/* sets and configs */

/* Replace every `from` by `to`, of the same length, in a file of folder b. */
static void replace(const char *name, const char *from, const char *to)
{
    const size_t k = strlen(from);
    char path[600];
    uint8_t *bytes;
    long n;
    FILE *f;

    assert_int_equal(k, strlen(to));
    snprintf(path, sizeof path, "%s/%s", b_path, name);
    f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    n = ftell(f);
    rewind(f);
    bytes = malloc((size_t)n);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)n, f), n);
    for (size_t i = 0; i + k <= (size_t)n; i++)
        if (memcmp(bytes + i, from, k) == 0)
            memcpy(bytes + i, to, k);
    rewind(f);
    assert_int_equal(fwrite(bytes, 1, (size_t)n, f), n);
    fclose(f);
    free(bytes);
}

static void rename_tensor(const char *from, const char *to)
{
    rc_mem mem = { 0 };
    rc_subject s;
    rc_err err;
    char shard[300], x[200], y[200];

    assert_int_equal(rc_subject_open(&s, b_path, NULL, NULL, &mem, &err), RC_OK);
    assert_non_null(rc_ckpt_find(s.ckpt, from));
    snprintf(shard, sizeof shard, "%s",
             rc_ckpt_shard(s.ckpt, rc_ckpt_find(s.ckpt, from)->shard)->name);
    rc_subject_close(&s);
    snprintf(x, sizeof x, "\"%s\"", from);
    snprintf(y, sizeof y, "\"%s\"", to);
    replace(shard, x, y);
    replace("model.safetensors.index.json", x, y);
}

static void test_missing_and_extra(void **state)
{
    (void)state;
    fresh_b();
    rename_tensor("layers.1.attn.q_norm.weight", "layers.1.attn.x_norm.weight");
    assert_int_equal(judge(a_path, b_path, &exactly, 1), RC_E_TENSORSET);
    assert_string_equal(rc_outcome_verdict(&(rc_outcome){ .judge = t.judge }), "broken set");
    assert_int_equal(rc_judge_findings(t.judge)->total[RC_FAULT], 2);
    assert_string_equal(t.err.tensor, "layers.1.attn.q_norm.weight");
    /* the others were compared all the same */
    assert_int_equal(rc_judge_pairs(t.judge), rc_model_count(t.a.model) - 1);
    done();

    /* NATIVE must be whole */
    assert_int_equal(open_judge(b_path, a_path, &exactly), RC_E_TENSORSET);
    assert_non_null(strstr(t.err.file, b_path));
    done();
}

static void test_config_is_compared(void **state)
{
    static const struct {
        const char *from, *to;
        rc_code verdict;
        rc_level level;
    } edits[] = {
        { "\"rope_theta\": 10000", "\"rope_theta\": 20000", RC_DIFFERS, RC_FAULT },
        { "\"rope_theta\": 10000", "\"rope_theta\": 1.0e4", RC_OK, RC_LEVELS },
        { "\"dynamic\"", "\"dynamix\"", RC_DIFFERS, RC_FAULT },
        { "\"scale_fmt\"", "\"scale_fmx\"", RC_OK, RC_WARNING },
        { "\"fp4\"", "\"fp8\"", RC_E_TENSORSET, RC_FAULT },
        { "\"initializer_range\": 0.02", "\"initializer_range\": 0.03", RC_OK, RC_NOTE },
    };

    (void)state;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        rc_code rc;

        fresh_b();
        replace("config.json", edits[i].from, edits[i].to);
        rc = judge(a_path, b_path, &exactly, 1);
        if (rc != edits[i].verdict)
            fail_msg("%s: %d", edits[i].to, (int)rc);
        for (unsigned level = 0; level < RC_LEVELS; level++)
            if ((rc_judge_findings(t.judge)->total[level] != 0) != (level == edits[i].level))
                fail_msg("%s: level %u", edits[i].to, level);
        done();
    }
}

static void test_globs(void **state)
{
    static const char *const globs[] = { "layers.1.attn.*", "head.weight" };
    static const char *const none[] = { "nothing.*" };
    static const char *const precise[] = { "layers.1.attn.wq_a.weight" };
    rc_judge_rules rules = exactly;

    (void)state;
    fresh_b();
    rename_tensor("layers.0.attn.q_norm.weight", "layers.0.attn.x_norm.weight");
    rules.globs = globs;
    rules.nglobs = 2;
    assert_int_equal(judge(a_path, b_path, &rules, 1), RC_OK); /* the harm is elsewhere */
    for (size_t i = 0; i < rc_judge_pairs(t.judge); i++)
        assert_true(rc_glob_any(globs, 2, rc_judge_pair(t.judge, i)->name));
    done();
    /* a pattern does not hide that a parameter it matches has lost its scale */
    rename_tensor("layers.1.attn.wq_a.scale", "layers.1.attn.wq_x.scale");
    assert_int_equal(judge(a_path, b_path, &rules, 1), RC_E_TENSORSET);
    assert_string_equal(t.err.tensor, "layers.1.attn.wq_a.scale");
    done();
    rules.globs = precise;
    rules.nglobs = 1;
    assert_int_equal(judge(a_path, b_path, &rules, 1), RC_E_TENSORSET);
    assert_string_equal(t.err.tensor, "layers.1.attn.wq_a.weight");
    done();
    rules.globs = none;
    rules.nglobs = 1;
    assert_int_equal(open_judge(a_path, b_path, &rules), RC_E_USAGE);
    done();
}

/* Tensors outside the schema: a seeing model, made of `b` by one more shard. */
static void add_vision(const char *path)
{
    static const char *const f32[] = { "layers.0.ffn.gate.bias",    "layers.0.ffn.gate.bias_vl",
                                       "layers.1.ffn.gate.bias_vl", "layers.2.ffn.gate.bias_vl",
                                       "layers.3.ffn.gate.bias_vl", "layers.4.ffn.gate.bias_vl",
                                       "mtp.0.ffn.gate.bias_vl" };
    fx_dir folder;
    char header[2000] = "{", map[2000] = "\"weight_map\": {", line[200];
    size_t at = 0, n, k;
    char *index, *place;
    FILE *f;

    snprintf(folder.path, sizeof folder.path, "%s", path);
    for (size_t i = 0; i < 7; i++, at += 32) {
        snprintf(line, sizeof line,
                 "\"%s\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[%zu,%zu]},", f32[i], at,
                 at + 32);
        strcat(header, line);
        snprintf(line, sizeof line, "\"%s\": \"vision.safetensors\", ", f32[i]);
        strcat(map, line);
    }
    snprintf(line, sizeof line,
             "\"vision.patch\":{\"dtype\":\"BF16\",\"shape\":[2,3,4],\"data_offsets\":[%zu,%zu]}}",
             at, at + 48);
    strcat(header, line);
    strcat(map, "\"vision.patch\": \"vision.safetensors\", ");
    fx_shard(&folder, "vision.safetensors", header, 0, at + 48);

    f = fopen(fx_path(&folder, "model.safetensors.index.json"), "rb");
    assert_non_null(f);
    index = calloc(1, 1 << 20);
    assert_non_null(index);
    n = fread(index, 1, 1 << 19, f);
    fclose(f);
    place = strstr(index, "\"weight_map\": {");
    assert_non_null(place);
    k = strlen("\"weight_map\": {");
    memmove(place + strlen(map), place + k, n - (size_t)(place + k - index) + 1);
    memcpy(place, map, strlen(map));
    fx_text(&folder, "model.safetensors.index.json", index);
    free(index);
}

static void test_tensors_outside_the_schema_are_bytes(void **state)
{
    char twin[300];
    const rc_pair *p;
    const uint8_t other = 0x55;

    (void)state;
    fresh_b();
    snprintf(twin, sizeof twin, "%s/twin", dir.path);
    make(twin, 0);
    add_vision(b_path);
    add_vision(twin);
    assert_int_equal(judge(b_path, twin, &exactly, 2), RC_OK);
    p = pair_named("vision.patch");
    assert_true(!p->values && p->stats.n == 24 && p->role == RC_ROLE_VISION);
    done();
    poke(twin, "vision.patch", 2 * 17 + 1, &other, 1);
    assert_int_equal(judge(b_path, twin, &exactly, 2), RC_DIFFERS);
    assert_string_equal(t.err.tensor, "vision.patch");
    assert_int_equal(pair_named("vision.patch")->stats.bad_at, 17);
    assert_int_equal(t.err.offset, pair_named("vision.patch")->tb->begin + 2 * 17);
    done();
    fresh_b(); /* without them, CONVERTED has a shape of its own */
    assert_int_equal(judge(twin, b_path, &exactly, 1), RC_E_TENSORSET);
    done();
}

/* memory */

static void test_memory_limit(void **state)
{
    (void)state;
    assert_int_equal(open_judge(a_path, other_path, &exactly), RC_OK);
    t.mem.limit = t.mem.used + 20000;
    assert_int_equal(rc_judge_run(t.judge, 2, NULL, &t.err), RC_E_OS);
    assert_non_null(strstr(t.err.want, "--mem-limit"));
    t.mem.limit = 0;
    assert_int_equal(rc_judge_run(t.judge, 2, NULL, &t.err), RC_OK);
    done();
}

static void test_every_allocation_may_fail(void **state)
{
    rc_mem mem = { 0 };
    rc_judge *j = NULL;
    char *text = NULL;
    size_t len;

    (void)state;
    assert_int_equal(open_judge(a_path, other_path, &exactly), RC_OK);
    do {
        rc_code rc;

        mem.fail_at++;
        mem.calls = 0;
        rc = rc_judge_new(&j, &t.a, &t.b, &exactly, &mem, &t.err);
        if (rc == RC_OK)
            rc = rc_judge_run(j, 1, NULL, &t.err);
        if (rc == RC_OK)
            rc = rc_report_junit(&text, &len,
                                 &(rc_outcome){ .judge = j, .findings = rc_judge_findings(j) },
                                 &mem, &t.err);
        /* buffers beyond the first set are optional */
        if (rc != RC_OK && (rc != RC_E_OS || mem.calls < mem.fail_at))
            fail_msg("allocation %zu: %s", mem.fail_at, t.err.msg);
        rc_judge_free(&j);
        rc_mem_put(&mem, text);
        text = NULL;
        assert_int_equal(mem.used, 0);
    } while (mem.calls >= mem.fail_at);
    assert_true(mem.fail_at > 50);
    done();
}

/* reports */

static size_t occurrences(const char *text, const char *what)
{
    size_t n = 0;

    for (const char *p = text; (p = strstr(p, what)); p++)
        n++;
    return n;
}

static void test_junit(void **state)
{
    char *text, want[64];
    size_t len;

    (void)state;
    assert_int_equal(judge(a_path, other_path, &exactly, 2), RC_DIFFERS);
    assert_int_equal(
        rc_report_junit(&text, &len,
                        &(rc_outcome){ .judge = t.judge, .findings = rc_judge_findings(t.judge) },
                        &t.mem, &t.err),
        RC_OK);
    assert_int_equal(strlen(text), len);
    snprintf(want, sizeof want, "tests=\"%zu\"", occurrences(text, "<testcase "));
    assert_non_null(strstr(text, want));
    snprintf(want, sizeof want, "failures=\"%zu\"", occurrences(text, "<failure "));
    assert_non_null(strstr(text, want));
    assert_true(occurrences(text, "<failure ") > 10);
    rc_mem_put(&t.mem, text);
    done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stats_of_nothing_and_of_equal_rows),
        cmocka_unit_test(test_stats_by_hand),
        cmocka_unit_test(test_stats_of_one_sided_zero),
        cmocka_unit_test(test_stats_count_what_is_not_finite),
        cmocka_unit_test(test_stats_merge_keeps_the_first_of_equal_errors),
        cmocka_unit_test(test_identical_is_exact),
        cmocka_unit_test(test_one_bit_is_found),
        cmocka_unit_test(test_a_scale_moves_its_whole_tile),
        cmocka_unit_test(test_figures_are_those_of_a_plain_computation),
        cmocka_unit_test(test_digits_depend_on_nothing),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_nan_on_both_sides_is_equal_and_told),
        cmocka_unit_test(test_missing_and_extra),
        cmocka_unit_test(test_config_is_compared),
        cmocka_unit_test(test_globs),
        cmocka_unit_test(test_tensors_outside_the_schema_are_bytes),
        cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_junit),
    };

    return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
