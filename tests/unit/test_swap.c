/* tests/unit/test_swap.c - a pass some of whose parameters are another model's. */
#include "runtime/swap.h"

#include "convert/convert.h"
#include "formats/absorb.h"
#include "runtime/forward.h"
#include "tests/unit/runtime_model.h"

enum { N = 24, V = 384 };

static fx_dir dir;
static uint32_t token[N];

/* The files: a model, one with other values, and the first as GGUF: exact, and in Q2_K. */
static const char *const files[] = { "a", "b", "exact.gguf", "q2.gguf" };
enum { A, B, EXACT, Q2, FILES };
static float want[2][FILES][N * V]; /* by numerics: what each says */

/* Parameters whose names contain this. */
static bool takes(const void *ctx, const rc_param *param)
{
    return strstr(param->name, ctx) != NULL;
}

static rc_code take(void *ctx, uint64_t pos, size_t n, const float *logits, rc_err *err)
{
    (void)err;
    memcpy((float *)ctx + pos * V, logits, n * V * sizeof *logits);
    return RC_OK;
}

/* Logits of file `a` with the parameters of `b` that `which` names; NULL: no swap. */
static void run(int a, int b, const char *which, rc_numerics numerics, float *logits)
{
    rc_forward_options o = { .numerics = numerics, .threads = 2, .mem_limit = 256u << 20 };
    rc_swap swap = { .takes = takes, .ctx = which };
    rc_forward *f;
    rm own, other;
    rc_err err;

    rm_open(&own, fx_path(&dir, files[a]));
    rm_open(&other, fx_path(&dir, files[b]));
    swap.from = other.model;
    o.swap = which ? &swap : NULL;
    if (rc_forward_new(&f, own.model, &o, &err) != RC_OK ||
        rc_forward_feed(f, token, N, N, take, logits, &err) != RC_OK)
        fail_msg("%s from %s: %s", which, files[b], err.msg);
    rc_forward_free(&f);
    rm_close(&own);
    rm_close(&other);
}

static void to_gguf(const char *preset, const char *name)
{
    const rc_convert_opts opts = { .execute = { .threads = 2 } };
    rc_recipe how = { .target = RC_TO_GGUF, .draft = RC_DRAFT_SEPARATE };
    char dst[300], stem[RC_PLAN_NAME];
    rc_convert_report report;
    rc_plan *plan = NULL;
    rc_err err;
    rm m;

    rm_open(&m, fx_path(&dir, files[A]));
    snprintf(dst, sizeof dst, "%s/%s", dir.path, name);
    if (rc_convert_stem(dst, stem, &err) != RC_OK ||
        rc_gguf_recipe_new(&how.gguf, preset, NULL, NULL, 0, NULL, 0, &m.mem, &err) != RC_OK)
        fail_msg("%s", err.msg);
    how.stem = stem;
    if (rc_plan_new(&plan, m.model, &how, NULL, &m.mem, &err) != RC_OK ||
        rc_convert(plan, dst, &opts, &report, &m.mem, &err) != RC_OK)
        fail_msg("%s: %s", preset, err.msg);
    rc_plan_free(&plan);
    rc_gguf_recipe_free(&how.gguf);
    rm_close(&m);
}

static int setup(void **state)
{
    rc_synth_options tiny = { .like = "tiny", .threads = 2 };

    (void)state;
    dir = fx_open(NULL);
    rm_synth(fx_path(&dir, files[A]), &tiny);
    tiny.seed = 7;
    rm_synth(fx_path(&dir, files[B]), &tiny);
    to_gguf("mxfp4-bf16", files[EXACT]);
    to_gguf("q2_k", files[Q2]);
    for (size_t i = 0; i < N; i++)
        token[i] = (uint32_t)((i * i * 7 + 13 * i + 5) % V);
    for (int nm = 0; nm < 2; nm++)
        for (int i = 0; i < FILES; i++)
            run(i, i, NULL, nm ? RC_NUMERICS_NATIVE : RC_NUMERICS_F32, want[nm][i]);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fx_close(&dir);
    return 0;
}

static void expect(int a, int b, const char *which, int as)
{
    static float got[N * V];

    for (int nm = 0; nm < 2; nm++) {
        run(a, b, which, nm ? RC_NUMERICS_NATIVE : RC_NUMERICS_F32, got);
        if (memcmp(got, want[nm][as], sizeof got) != 0)
            fail_msg("%s with '%s' of %s, numerics %d: not what %s says", files[a], which, files[b],
                     nm, files[as]);
    }
}

static void test_swap_of_all_is_the_other(void **state)
{
    (void)state;
    expect(A, B, "", B);
    expect(A, Q2, "", Q2);
    expect(Q2, A, "", A);
    expect(A, A, "", A);
}

static void test_swap_of_nothing_is_the_own(void **state)
{
    (void)state;
    expect(A, B, "no such parameter", A);
    expect(Q2, A, "no such parameter", Q2);
}

/* The same values in another layout, wherever they are put. */
static void test_swap_of_equal_values(void **state)
{
    static const char *const which[] = { "layers.1.ffn.experts.3.w1", "attn.wo_a", "embed.weight",
                                         "layers.0.ffn.gate.tid2eid", "hc_attn" };

    (void)state;
    for (unsigned i = 0; i < sizeof which / sizeof *which; i++) {
        expect(A, EXACT, which[i], A);
        expect(EXACT, A, which[i], EXACT);
    }
}

/* Every kind of parameter counts, read one way or another: neither says what is said now. */
static void test_swap_of_some(void **state)
{
    static const char *const which[] = { "embed.weight",
                                         "head.weight",
                                         "hc_head",
                                         "layers.2.attn_norm",
                                         "layers.3.hc_ffn_fn",
                                         "layers.0.attn.attn_sink",
                                         "layers.2.attn.compressor.ape",
                                         "layers.2.attn.wkv",
                                         "layers.0.ffn.gate.tid2eid",
                                         "layers.4.ffn.gate.weight",
                                         "shared_experts.w2",
                                         "layers.3.ffn.experts." };
    static float got[N * V];

    (void)state;
    for (unsigned i = 0; i < sizeof which / sizeof *which; i++) {
        run(A, B, which[i], RC_NUMERICS_F32, got);
        if (memcmp(got, want[0][A], sizeof got) == 0 || memcmp(got, want[0][B], sizeof got) == 0)
            fail_msg("'%s' is not swapped alone", which[i]);
    }
}

/* One expert of Q2_K among those of the release. */
static void test_swap_of_an_expert(void **state)
{
    static float got[N * V];
    double off = 0, all = 0;

    (void)state;
    run(A, Q2, "layers.3.ffn.experts.5.", RC_NUMERICS_NATIVE, got);
    for (size_t i = 0; i < N * V; i++) {
        off += (got[i] - want[1][A][i]) * (double)(got[i] - want[1][A][i]);
        all += (want[1][Q2][i] - want[1][A][i]) * (double)(want[1][Q2][i] - want[1][A][i]);
    }
    assert_true(off > 0 && off < all);
}

/* Powers of two for the readers of a norm, and what undoes them for the norm. */
static float up[256], down[256];
static bool norms_too;

static const float *columns(const void *ctx, const rc_param *param)
{
    rc_absorb point;

    (void)ctx;
    if (rc_absorb_is_norm(param, &point))
        return norms_too ? down : NULL;
    return rc_absorb_reads(param, &point) ? up : NULL;
}

static void run_scaled(int a, int b, float *logits)
{
    rc_forward_options o = { .threads = 2, .mem_limit = 256u << 20 };
    rc_swap swap = { .takes = takes, .ctx = "", .columns = columns };
    rc_forward *f;
    rm own, other;
    rc_err err;

    rm_open(&own, fx_path(&dir, files[a]));
    rm_open(&other, fx_path(&dir, files[b]));
    assert_true(rc_ckpt_config(own.ckpt)->hidden_size <= 256);
    assert_true(rc_ckpt_config(own.ckpt)->q_lora_rank <= 256);
    swap.from = other.model;
    o.swap = &swap;
    if (rc_forward_new(&f, own.model, &o, &err) != RC_OK ||
        rc_forward_feed(f, token, N, N, take, logits, &err) != RC_OK)
        fail_msg("%s from %s: %s", files[a], files[b], err.msg);
    rc_forward_free(&f);
    rm_close(&own);
    rm_close(&other);
}

/* What all readers of a norm are multiplied by and the norm is divided by changes nothing, however
 * they are stored; half of it does. */
static void test_swap_with_scaled_columns(void **state)
{
    static float got[N * V];

    (void)state;
    for (int k = 0; k < 256; k++) {
        up[k] = (float)(1 << k % 5) / 4;
        down[k] = 1 / up[k];
    }
    for (int b = B; b < FILES; b++) {
        norms_too = true;
        run_scaled(A, b, got);
        if (memcmp(got, want[0][b], sizeof got) != 0)
            fail_msg("%s scaled does not say what it says", files[b]);
        norms_too = false;
        run_scaled(A, b, got);
        if (memcmp(got, want[0][b], sizeof got) == 0)
            fail_msg("columns of %s have no factors", files[b]);
    }
}

static void test_swap_refuses_other_shapes(void **state)
{
    const rc_synth_options options = { .like = "tiny", .threads = 2, .layers = 1, .experts = 4 };
    rc_forward_options o = { .threads = 1, .mem_limit = 256u << 20 };
    rc_swap swap = { .takes = takes, .ctx = "" };
    rc_mem mem = { 0 };
    rc_forward *f;
    rm own, other;
    rc_err err;

    (void)state;
    rm_synth(fx_path(&dir, "few"), &options);
    rm_open(&own, fx_path(&dir, files[A]));
    rm_open(&other, fx_path(&dir, "few"));
    swap.from = other.model;
    o.swap = &swap;
    o.mem = &mem;
    assert_int_equal(rc_forward_new(&f, own.model, &o, &err), RC_E_TENSORSET);
    assert_string_equal(err.msg, "the models differ in the shape of a parameter");
    assert_string_equal(err.tensor, "layers.0.ffn.gate.weight");
    assert_null(f);
    /* what the other lacks is missed when it is needed */
    swap.ctx = "layers.2.ffn.experts.1";
    assert_int_equal(rc_forward_new(&f, own.model, &o, &err), RC_OK);
    assert_int_equal(rc_forward_feed(f, token, 3, 0, NULL, NULL, &err), RC_E_TENSORSET);
    assert_string_equal(err.tensor, "layers.2.ffn.experts.1.w1.weight");
    rc_forward_free(&f);
    assert_int_equal(mem.used, 0);
    rm_close(&own);
    rm_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_swap_of_all_is_the_other),
        cmocka_unit_test(test_swap_of_nothing_is_the_own),
        cmocka_unit_test(test_swap_of_equal_values),
        cmocka_unit_test(test_swap_of_some),
        cmocka_unit_test(test_swap_of_an_expert),
        cmocka_unit_test(test_swap_with_scaled_columns),
        cmocka_unit_test(test_swap_refuses_other_shapes),
    };

    return cmocka_run_group_tests_name("swap", tests, setup, teardown);
}
