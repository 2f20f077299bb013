/* tests/unit/test_calibration.c - files of statistics: written, read back, held against a model. */
#include "formats/calibration.h"

#include <math.h>

#include "formats/calibration_write.h"
#include "tests/unit/runtime_model.h"

enum { D = 256, I = 256, E = 8, K = 2, Q = 128, LAYERS = 5, R = 7, B = RC_CALIB_BLOCK };

static fx_dir dir;
static char said[512];

static void on_warning(void *ctx, const rc_err *w)
{
    (void)ctx;
    snprintf(said, sizeof said, "%s", w->msg);
}

static const rc_log sink = { .warn = on_warning };

static int setup(void **state)
{
    const rc_synth_options tiny = { .like = "tiny", .threads = 2 };

    (void)state;
    dir = fx_open(NULL);
    rm_synth(fx_path(&dir, "m"), &tiny);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fx_close(&dir);
    return 0;
}

/* ---- a file ---- */

static void ok(rc_code rc, const rc_err *err)
{
    if (rc != RC_OK)
        fail_msg("%s: %s", err->tensor, err->msg);
}

/* Any number that says which one it is. */
static double number(uint32_t block, unsigned at, size_t row, size_t col)
{
    return (double)(1 + block * 1000 + at * 50 + row * 7) + (double)(col % 64) / 64;
}

static void put_all(rc_calib_writer *w, uint32_t block, rc_input_at at, size_t rows, size_t cols)
{
    double *sq = calloc(rows * cols, sizeof *sq), *ab = calloc(rows * cols, sizeof *ab);
    double counts[E], seen[E];
    rc_calib_sums s = { rows, cols, sq, ab, counts, seen };
    rc_err err;

    for (size_t r = 0; r < rows; r++) {
        for (size_t k = 0; k < cols; k++) {
            sq[r * cols + k] = 64 * number(block, at, r, k);
            ab[r * cols + k] = 32 * number(block, at, r, k);
        }
        counts[r] = 64;
        seen[r] = at == RC_INPUT_Q ? 3e38 : (double)(10 + r); /* or more than can be counted */
    }
    ok(rc_calib_put(w, block, at, &s, &err), &err);
    free(sq);
    free(ab);
}

static size_t cols_of(const rc_config *c, rc_input_at at)
{
    switch ((int)at) {
    case RC_INPUT_Q:
        return c->q_lora_rank;
    case RC_INPUT_O_A:
        return c->num_attention_heads / c->o_groups * c->head_dim;
    case RC_INPUT_O_B:
        return c->o_groups * c->o_lora_rank;
    case RC_INPUT_DOWN:
    case RC_INPUT_SHARED_DOWN:
        return c->moe_intermediate_size;
    default:
        return c->hidden_size;
    }
}

static void put_block(rc_calib_writer *w, const rc_config *c, uint32_t block)
{
    static float x[R * D], weight[R * K];
    static uint32_t expert[R * K];
    static double cov[2 * B * (B + 1) / 2];
    rc_err err;

    for (unsigned at = 0; at < RC_INPUT_COUNT; at++)
        put_all(w, block, (rc_input_at)at, at == RC_INPUT_EXPERT || at == RC_INPUT_DOWN ? E : 1,
                cols_of(c, (rc_input_at)at));
    for (size_t i = 0; i < sizeof cov / sizeof *cov; i++)
        cov[i] = 12.0 * ((double)block + (double)i);
    ok(rc_calib_put_moments(w, block, RC_INPUT_EXPERT, 2, cov, &err), &err);
    for (size_t i = 0; i < R * D; i++)
        x[i] = (float)block - (float)i;
    for (size_t i = 0; i < R * K; i++) {
        expert[i] = (uint32_t)(i % E);
        weight[i] = 0.25f * (float)i;
    }
    ok(rc_calib_put_sample(w, block, x, expert, weight, &err), &err);
}

/* Statistics of the tiny model as `name`, with `change` in its keys. */
static void make(const char *name, void (*change)(rc_calib_plan *plan))
{
    rc_calib_plan plan = { .draft = true,
                           .moments = true,
                           .sample = R,
                           .draft_sample = R,
                           .tokens = 1000,
                           .windows = 4,
                           .ctx = 250,
                           .dataset = "made up",
                           .tokens_digest = "t",
                           .numerics = "native" };
    rc_calib_writer *w;
    rc_dir to;
    rc_err err;
    rm m;

    rm_open(&m, fx_path(&dir, "m"));
    plan.model = m.model;
    ok(rc_calib_model_digest(plan.model_digest, m.model, &err), &err);
    ok(rc_calib_tokenizer_digest(plan.tokenizer, m.model, &err), &err);
    if (change)
        change(&plan);
    ok(rc_dir_open(&to, dir.path, false, &err), &err);
    ok(rc_calib_writer_new(&w, &plan, &to, name, RC_OUT_NEW, &m.mem, &err), &err);
    for (uint32_t b = 0; b <= LAYERS; b++)
        put_block(w, m.e.config, b);
    ok(rc_calib_writer_finish(w, 3, &err), &err);
    rc_calib_writer_free(&w);
    rc_dir_close(&to);
    rm_close(&m);
}

static rc_calib *open_calib(const char *name, rc_mem *mem)
{
    rc_calib *c;
    rc_err err;

    said[0] = '\0';
    ok(rc_calib_open(&c, fx_path(&dir, name), &sink, mem, &err), &err);
    return c;
}

/* ---- reading ---- */

static void expect(const rc_calib *c, rm *m, const char *param, rc_calib_what what, uint32_t block,
                   unsigned at, size_t row, size_t n)
{
    static float got[4096];
    const rc_param *p = rc_schema_find(rc_model_schema(m->model), param);
    bool found;
    rc_err err;

    assert_non_null(p);
    ok(rc_calib_get(c, p, m->e.config, what, 0, got, &found, &err), &err);
    assert_true(found);
    assert_int_equal(p->shape[1], n);
    for (size_t i = 0; i < n; i++) {
        const double want = number(block, at, row, i) * (what == RC_CALIB_ABS ? 0.5 : 1);

        if (fabs(got[i] - want) > 1e-6 * want)
            fail_msg("%s column %zu: %g, not %g", param, i, (double)got[i], want);
    }
}

static void both(const rc_calib *c, rm *m, const char *param, uint32_t block, unsigned at,
                 size_t row, size_t n)
{
    expect(c, m, param, RC_CALIB_SQUARES, block, at, row, n);
    expect(c, m, param, RC_CALIB_ABS, block, at, row, n);
}

static void test_calibration_round_trip(void **state)
{
    rc_mem mem = { 0 };
    rc_calib *c;
    rm m;

    (void)state;
    make("s", NULL);
    rm_open(&m, fx_path(&dir, "m"));
    c = open_calib("s", &mem);
    assert_string_equal(said, "");
    assert_true(rc_calib_origin_of(c)->ours);
    assert_int_equal(rc_calib_origin_of(c)->tokens, 1000);
    assert_int_equal(rc_calib_origin_of(c)->moments, B);
    assert_string_equal(rc_calib_origin_of(c)->numerics, "native");
    assert_string_equal(rc_imatrix_dataset(rc_calib_imatrix(c)), "made up");
    both(c, &m, "layers.0.attn.wq_a.weight", 0, RC_INPUT_ATTN, 0, D);
    both(c, &m, "layers.2.attn.indexer.compressor.wgate.weight", 2, RC_INPUT_ATTN, 0, D);
    both(c, &m, "layers.2.attn.indexer.wq_b.weight", 2, RC_INPUT_Q, 0, Q);
    both(c, &m, "layers.4.attn.wo_a.weight", 4, RC_INPUT_O_A, 0, 256);
    both(c, &m, "layers.2.ffn.gate.weight", 2, RC_INPUT_FFN, 0, D);
    both(c, &m, "layers.2.ffn.shared_experts.w3.weight", 2, RC_INPUT_FFN, 0, D);
    both(c, &m, "layers.2.ffn.shared_experts.w2.weight", 2, RC_INPUT_SHARED_DOWN, 0, I);
    both(c, &m, "layers.3.ffn.experts.5.w3.weight", 3, RC_INPUT_EXPERT, 5, D);
    both(c, &m, "layers.3.ffn.experts.2.w2.weight", 3, RC_INPUT_DOWN, 2, I);
    both(c, &m, "mtp.0.ffn.experts.1.w1.weight", 5, RC_INPUT_EXPERT, 1, D);
    both(c, &m, "mtp.0.e_proj.weight", 5, RC_INPUT_E_PROJ, 0, D);
    both(c, &m, "mtp.0.h_proj.weight", 5, RC_INPUT_H_PROJ, 0, D);
    both(c, &m, "head.weight", 4, RC_INPUT_HEAD, 0, D);
    rc_calib_free(&c);
    assert_null(c);
    rm_close(&m);
    assert_int_equal(mem.used, 0);
}

static void test_calibration_what_has_none(void **state)
{
    static const char *const names[] = { "embed.weight",
                                         "norm.weight",
                                         "layers.0.hc_attn_fn",
                                         "layers.0.attn_norm.weight",
                                         "layers.0.ffn.gate.tid2eid",
                                         "layers.1.attn.compressor.ape" };
    rc_mem mem = { 0 };
    rc_calib *c;
    rc_err err;
    rm m;

    (void)state;
    make("s", NULL);
    rm_open(&m, fx_path(&dir, "m"));
    c = open_calib("s", &mem);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const rc_param *p = rc_schema_find(rc_model_schema(m.model), names[i]);
        bool found = true;

        assert_non_null(p);
        ok(rc_calib_get(c, p, m.e.config, RC_CALIB_ABS, 0, NULL, &found, &err), &err);
        assert_false(found);
    }
    rc_calib_free(&c);
    rm_close(&m);
}

static void test_calibration_seen(void **state)
{
    rc_mem mem = { 0 };
    rc_calib *c;
    uint64_t n;
    rc_err err;
    rm m;

    (void)state;
    make("s", NULL);
    rm_open(&m, fx_path(&dir, "m"));
    c = open_calib("s", &mem);
    ok(rc_calib_seen(c, rm_find(&m, "layers.3.ffn.experts.5.w1.weight")->param, m.e.config, &n,
                     &err),
       &err);
    assert_int_equal(n, 15);
    ok(rc_calib_seen(c, rm_find(&m, "layers.3.attn.wo_a.weight")->param, m.e.config, &n, &err),
       &err);
    assert_int_equal(n, 5); /* two groups of heads saw ten rows */
    ok(rc_calib_seen(c, rm_find(&m, "layers.3.attn.wq_b.weight")->param, m.e.config, &n, &err),
       &err);
    assert_true(n == UINT64_MAX);
    rc_calib_free(&c);
    rm_close(&m);
}

static void test_calibration_moments(void **state)
{
    static float got[B * B];
    rc_mem mem = { 0 };
    const rc_param *p;
    rc_calib *c;
    bool found;
    rc_err err;
    rm m;

    (void)state;
    make("s", NULL);
    rm_open(&m, fx_path(&dir, "m"));
    c = open_calib("s", &mem);
    p = rm_find(&m, "layers.3.ffn.experts.2.w3.weight")->param;
    ok(rc_calib_get(c, p, m.e.config, RC_CALIB_MOMENTS, 1, got, &found, &err), &err);
    assert_true(found);
    for (size_t i = 0; i < B; i++)
        for (size_t j = 0; j < B; j++) {
            const size_t a = i > j ? i : j, b = i > j ? j : i;
            const double want = 3 + (double)(B * (B + 1) / 2 + a * (a + 1) / 2 + b);

            assert_true(fabs((double)got[i * B + j] - want) < 1e-3);
        }
    ok(rc_calib_get(c, p, m.e.config, RC_CALIB_MOMENTS, 2, got, &found, &err), &err);
    assert_false(found); /* past the last block */
    p = rm_find(&m, "mtp.0.e_proj.weight")->param;
    ok(rc_calib_get(c, p, m.e.config, RC_CALIB_MOMENTS, 0, got, &found, &err), &err);
    assert_false(found);
    rc_calib_free(&c);
    rm_close(&m);
}

static void test_calibration_sample(void **state)
{
    rc_mem mem = { 0 };
    rc_calib_sample s;
    rc_calib *c;
    rc_err err;
    rm m;

    (void)state;
    make("s", NULL);
    rm_open(&m, fx_path(&dir, "m"));
    c = open_calib("s", &mem);
    ok(rc_calib_sample_get(c, LAYERS, m.e.config, &s, &mem, &err), &err);
    assert_int_equal(s.rows, R);
    assert_int_equal(s.cols, D);
    assert_int_equal(s.k, K);
    assert_true(s.x[R * D - 1] == (float)(LAYERS - (R * D - 1)));
    assert_int_equal(s.expert[9], 1);
    assert_true(s.weight[3] == 0.75f);
    rc_calib_sample_free(&s, &mem);
    ok(rc_calib_sample_get(c, LAYERS + 1, m.e.config, &s, &mem, &err), &err);
    assert_int_equal(s.rows, 0);
    rc_calib_free(&c);
    assert_int_equal(mem.used, 0);
    rm_close(&m);
}

/* ---- does it belong to the model? ---- */

static void other_sizes(rc_calib_plan *p)
{
    p->model_digest[0] = p->model_digest[0] == 'a' ? 'b' : 'a';
}

static void other_weights(rc_calib_plan *p)
{
    p->model_digest[20] = p->model_digest[20] == 'a' ? 'b' : 'a';
}

static void untold_weights(rc_calib_plan *p)
{
    memset(p->model_digest + 17, '0', 16);
}

static void other_tokenizer(rc_calib_plan *p)
{
    snprintf(p->tokenizer, sizeof p->tokenizer, "another");
}

static void no_tokenizer(rc_calib_plan *p)
{
    p->tokenizer[0] = '\0';
}

static void few_tokens(rc_calib_plan *p)
{
    p->tokens = 255;
}

static void test_calibration_check(void **state)
{
    static const struct {
        void (*change)(rc_calib_plan *plan);
        rc_code code;
        const char *says; /* of the error, or of a warning */
    } cases[] = {
        { NULL, RC_OK, NULL },
        { other_sizes, RC_E_TENSORSET, "other sizes" },
        { other_tokenizer, RC_E_TENSORSET, "another tokenizer" },
        { no_tokenizer, RC_OK, NULL },
        { other_weights, RC_OK, "other weights" },
        { untold_weights, RC_OK, NULL },
        { few_tokens, RC_OK, "255 tokens only" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rc_mem mem = { 0 };
        rc_calib *c;
        rc_err err = { 0 };
        rm m;

        make("s", cases[i].change);
        rm_open(&m, fx_path(&dir, "m"));
        c = open_calib("s", &mem);
        assert_int_equal(rc_calib_check(c, m.model, &sink, &err), cases[i].code);
        if (cases[i].says)
            assert_non_null(strstr(cases[i].code ? err.msg : said, cases[i].says));
        else
            assert_string_equal(said, "");
        rc_calib_free(&c);
        rm_close(&m);
    }
}

/* A .dat knows squares only, of the first layer's first matrix. */
static void test_calibration_plain_imatrix(void **state)
{
    static const char name[] = "blk.0.attn_q_a.weight";
    const int32_t head[] = { 1, (int32_t)strlen(name) }, calls[] = { 2, D };
    static float v[D], got[D];
    rc_mem mem = { 0 };
    const rc_param *p;
    rc_calib *c;
    uint64_t n;
    bool found;
    rc_err err;
    FILE *f;
    rm m;

    (void)state;
    for (size_t i = 0; i < D; i++)
        v[i] = 8.0f + (float)i;
    f = fopen(fx_path(&dir, "dat"), "wb");
    assert_non_null(f);
    fwrite(head, sizeof head, 1, f);
    fwrite(name, strlen(name), 1, f);
    fwrite(calls, sizeof calls, 1, f);
    fwrite(v, sizeof v, 1, f);
    assert_int_equal(fclose(f), 0);
    rm_open(&m, fx_path(&dir, "m"));
    c = open_calib("dat", &mem);
    assert_false(rc_calib_origin_of(c)->ours);
    ok(rc_calib_check(c, m.model, &sink, &err), &err);
    assert_string_equal(said, "");
    p = rm_find(&m, "layers.0.attn.wq_a.weight")->param;
    ok(rc_calib_get(c, p, m.e.config, RC_CALIB_SQUARES, 0, got, &found, &err), &err);
    assert_true(found && got[8] == 8.0f);
    ok(rc_calib_get(c, p, m.e.config, RC_CALIB_ABS, 0, got, &found, &err), &err);
    assert_true(found && got[24] == 4.0f);
    ok(rc_calib_get(c, p, m.e.config, RC_CALIB_MOMENTS, 0, got, &found, &err), &err);
    assert_false(found);
    ok(rc_calib_seen(c, p, m.e.config, &n, &err), &err);
    assert_int_equal(n, 0);
    p = rm_find(&m, "layers.0.attn.wkv.weight")->param;
    ok(rc_calib_get(c, p, m.e.config, RC_CALIB_SQUARES, 0, got, &found, &err), &err);
    assert_false(found);
    rc_calib_free(&c);

    f = fopen(fx_path(&dir, "dat"), "r+b"); /* half as many columns */
    assert_non_null(f);
    fseek(f, (long)(sizeof head + strlen(name) + 4), SEEK_SET);
    fwrite((const int32_t[]){ D / 2 }, 4, 1, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(
        truncate(fx_path(&dir, "dat"), (off_t)(sizeof head + strlen(name) + sizeof calls + 2 * D)),
        0);
    c = open_calib("dat", &mem);
    assert_int_equal(rc_calib_check(c, m.model, &sink, &err), RC_E_TENSORSET);
    assert_string_equal(err.tensor, name);
    rc_calib_free(&c);
    rm_close(&m);
    assert_int_equal(mem.used, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calibration_round_trip),
        cmocka_unit_test(test_calibration_what_has_none),
        cmocka_unit_test(test_calibration_seen),
        cmocka_unit_test(test_calibration_moments),
        cmocka_unit_test(test_calibration_sample),
        cmocka_unit_test(test_calibration_check),
        cmocka_unit_test(test_calibration_plain_imatrix),
    };

    return cmocka_run_group_tests_name("calibration", tests, setup, teardown);
}
