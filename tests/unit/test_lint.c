/* tests/unit/test_lint.c - the tables of rules, how findings add up, and what is read of a model
 * that contradicts itself. What each rule finds is tested in tests/cli/lint. */
#include "tests/unit/fixture.h"

#include "formats/index.h"
#include "verify/lint_rules.h"

static fx_dir dir;
static rc_mem mem;
static rc_err err;

static int setup(void **state)
{
    (void)state;
    memset(&mem, 0, sizeof mem);
    memset(&err, 0, sizeof err);
    dir = fx_open(NULL);
    fx_text(&dir, "config.json", fx_config);
    fx_text(&dir, "tokenizer_config.json", "{\"chat_template\":\"x\"}");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fx_close(&dir);
    return 0;
}

/* One shard of F32 vectors of these names ("a,b"), without __metadata__ unless `meta`. */
static void vectors(const char *file, const char *names, const char *meta)
{
    char header[4096], *at = header;
    size_t off = 0;

    at += sprintf(at, "{%s", meta);
    for (const char *sep = *meta ? "," : ""; *names; sep = ",", off += 8) {
        const int len = (int)strcspn(names, ",");

        at += sprintf(at, "%s\"%.*s\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[%zu,%zu]}",
                      sep, len, names, off, off + 8);
        names += len;
        names += *names == ',';
    }
    strcpy(at, "}");
    fx_shard(&dir, file, header, 1, off);
}

static rc_lint_facts *opened(uint32_t tp)
{
    rc_lint_facts *f;

    if (rc_lint_open(&f, dir.path, NULL, tp, &mem, &err) != RC_OK)
        fail_msg("%s: %s", err.file, err.msg);
    return f;
}

static void closed(rc_lint_facts **f)
{
    rc_lint_close(f);
    assert_null(*f);
    assert_int_equal(mem.used, 0);
}

/* ---------------------------------------------------------------------- the tables */

static void test_lint_rules_have_ids_of_their_engine(void **state)
{
    (void)state;
    for (unsigned k = 0; k < RC_ENGINES; k++) {
        const char *engine = rc_engine_name((rc_engine)k);
        size_t n;
        const rc_lint_rule *r = rc_lint_rules((rc_engine)k, &n);

        assert_true(n > 10);
        assert_true(rc_lint_ends_with(r[0].id, "/container"));
        for (size_t i = 0; i < n; i++) {
            assert_memory_equal(r[i].id, engine, strlen(engine));
            assert_int_equal(r[i].id[strlen(engine)], '/');
            assert_true(r[i].catches[0] && r[i].source->repo[0] && r[i].source->path[0]);
            assert_true(r[i].source->version[0] && r[i].check);
            for (size_t j = 0; j < i; j++)
                assert_string_not_equal(r[i].id, r[j].id);
        }
    }
}

static void test_lint_findings_keep_the_worst(void **state)
{
    rc_lint_finding out = { .verdict = RC_LINT_OK };

    (void)state;
    assert_non_null(rc_lint_say(&out, RC_LINT_NOTE, "note"));
    assert_non_null(rc_lint_say(&out, RC_LINT_WARNING, "first %d", 1));
    assert_null(rc_lint_say(&out, RC_LINT_WARNING, "second"));
    assert_null(rc_lint_say(&out, RC_LINT_NOTE, "late note"));
    assert_int_equal(out.count, 2);
    assert_string_equal(out.what.msg, "first 1");
    rc_err_want(rc_lint_say(&out, RC_LINT_FAILS, "worse"), "x");
    assert_int_equal(out.verdict, RC_LINT_FAILS);
    assert_int_equal(out.count, 1);
    assert_string_equal(out.what.want, "x");
    rc_lint_skip(&out, "too late");
    assert_int_equal(out.verdict, RC_LINT_FAILS);
}

/* -------------------------------------------------------------------------- reading */

static void test_lint_reads_on_past_a_config_that_is_refused(void **state)
{
    rc_lint_facts *f;

    (void)state;
    vectors("model.safetensors", "norm.weight,embed.weight", "");
    fx_text(&dir, "config.json", "{\"model_type\":\"deepseek_v4\",\"hidden_size\":\"large\"}");
    f = opened(0);
    assert_int_equal(f->faults.config.code, RC_E_DATA);
    assert_int_equal(rc_ckpt_config(f->ckpt)->hidden_size, 0);
    assert_int_equal(rc_ckpt_count(f->ckpt), 2);
    assert_null(f->model);
    closed(&f);

    fx_text(&dir, "config.json", "[1, 2"); /* what cannot be read is an error */
    assert_int_equal(rc_lint_open(&f, dir.path, NULL, 0, &mem, &err), RC_E_DATA);
    assert_null(f);
    assert_int_equal(mem.used, 0);
    fx_text(&dir, "config.json", "[1, 2]");
    assert_int_equal(rc_lint_open(&f, dir.path, NULL, 0, &mem, &err), RC_E_DATA);
    assert_int_equal(mem.used, 0);
}

static void test_lint_collects_what_index_and_shards_say(void **state)
{
    rc_lint_facts *f;

    (void)state;
    vectors("a.safetensors", "twin,a", "");
    vectors("b.safetensors", "twin,b", "");
    fx_text(&dir, RC_INDEX_NAME,
            "{\"metadata\":{},\"weight_map\":{\"twin\":\"b.safetensors\",\"a\":\"a.safetensors\","
            "\"b\":\"b.safetensors\"}}");
    f = opened(0);
    assert_int_equal(f->faults.n, 2); /* the twin, and where the index says that it is */
    assert_string_equal(f->faults.at[0].tensor, "twin");
    assert_string_equal(rc_ckpt_shard(f->ckpt, rc_ckpt_find(f->ckpt, "twin")->shard)->name,
                        "a.safetensors");
    assert_int_equal(f->faults.config.code, RC_OK);
    closed(&f);
}

static void test_lint_looks_for_the_format_of_each_shard(void **state)
{
    static const struct {
        const char *meta;
        bool found;
    } cases[] = {
        { "", false },
        { "\"__metadata__\":{\"format\":\"pt\"}", true },
        { "\"__metadata__\":{\"a\":\"b\",\"format\":\"pt\",\"c\":\"pt\"}", true },
        { "\"__metadata__\":{\"format\":\"np\"}", false },
        { "\"__metadata__\":{\"other\":\"pt\"}", false },
        { "\"format\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rc_lint_facts *f;

        vectors("model.safetensors", "a", cases[i].meta);
        f = opened(0);
        assert_int_equal(f->no_formats, cases[i].found ? 0 : 1);
        closed(&f);
    }
}

static void test_lint_tells_layouts_apart(void **state)
{
    static const struct {
        const char *names;
        rc_lint_layout layout;
    } cases[] = {
        { "layers.0.ffn.experts.0.w1.weight", RC_LINT_NATIVE },
        { "e.weight_scale,e.weight_scale_2", RC_LINT_NVFP4 },
        { "e.weight_scale,e.weight_packed", RC_LINT_CT },
        { "e.qweight,e.qzeros,e.scales", RC_LINT_AWQ },
        { "e.qweight,e.qzeros,e.g_idx", RC_LINT_GPTQ },
        { "e.weight.absmax", RC_LINT_BNB },
        { "e.weight_scale", RC_LINT_CT_FP8 },
        { "model.layers.0.input_layernorm.weight", RC_LINT_HF },
        { "e.weight_scale_inv,e.scale", RC_LINT_NATIVE },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rc_lint_facts *f;

        vectors("model.safetensors", cases[i].names, "");
        f = opened(0);
        assert_int_equal(f->layout, cases[i].layout);
        assert_true((f->mark != NULL) == (f->layout != RC_LINT_NATIVE));
        closed(&f);
    }
}

static void test_lint_survives_any_failed_allocation(void **state)
{
    rc_lint_facts *f = NULL;
    rc_code rc = RC_E_OS;
    size_t k;

    (void)state;
    vectors("a.safetensors", "twin,a", "");
    vectors("b.safetensors", "twin,b", "");
    fx_text(&dir, RC_INDEX_NAME,
            "{\"metadata\":{},\"weight_map\":{\"twin\":\"b.safetensors\",\"a\":\"a.safetensors\","
            "\"b\":\"b.safetensors\"}}");
    for (k = 1; rc != RC_OK && k < 5000; k++) {
        mem = (rc_mem){ .fail_at = k };
        rc = rc_lint_open(&f, dir.path, NULL, 2, &mem, &err);
        if (rc != RC_OK) {
            assert_int_equal(rc, RC_E_OS);
            assert_null(f);
            assert_int_equal(mem.used, 0);
        }
    }
    assert_true(k > 10);
    mem.fail_at = 0;
    closed(&f);
}

/* ---------------------------------------------------------------- tensor parallelism */

/* The worst that the rules of --tp say of these sizes. */
static rc_lint_verdict split(unsigned heads, unsigned groups, unsigned experts, unsigned inner,
                             uint32_t tp)
{
    rc_lint_fn *const checks[] = { rc_lint_tp_heads, rc_lint_tp_groups, rc_lint_tp_experts,
                                   rc_lint_tp_intermediate, rc_lint_tp_blocks };
    rc_lint_verdict worst = RC_LINT_SKIPPED;
    rc_lint_facts *f;
    char text[512];

    snprintf(text, sizeof text,
             "{\"num_attention_heads\":%u,\"head_dim\":512,\"o_groups\":%u,\"o_lora_rank\":1024,"
             "\"n_routed_experts\":%u,\"moe_intermediate_size\":%u,\"model_type\":\"deepseek_v4\"}",
             heads, groups, experts, inner);
    fx_text(&dir, "config.json", text);
    vectors("model.safetensors", "a", "");
    f = opened(tp);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        rc_lint_finding out = { .verdict = RC_LINT_OK };

        checks[i](f, &out);
        worst = out.verdict > worst ? out.verdict : worst;
    }
    closed(&f);
    return worst;
}

static void test_lint_knows_how_far_the_releases_split(void **state)
{
    (void)state;
    assert_int_equal(split(64, 8, 256, 2048, 1), RC_LINT_SKIPPED);
    for (uint32_t tp = 2; tp <= 8; tp *= 2) {
        assert_int_equal(split(64, 8, 256, 2048, tp), RC_LINT_OK);   /* Flash */
        assert_int_equal(split(128, 16, 384, 3072, tp), RC_LINT_OK); /* Pro */
    }
    assert_int_equal(split(64, 8, 256, 2048, 16), RC_LINT_FAILS);     /* 8 output groups */
    assert_int_equal(split(128, 16, 384, 3072, 16), RC_LINT_WARNING); /* 192 inner columns each */
    assert_int_equal(split(64, 8, 256, 2048, 3), RC_LINT_FAILS);
    assert_int_equal(split(64, 8, 252, 2048, 8), RC_LINT_FAILS);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_lint_rules_have_ids_of_their_engine),
        TEST(test_lint_findings_keep_the_worst),
        TEST(test_lint_reads_on_past_a_config_that_is_refused),
        TEST(test_lint_collects_what_index_and_shards_say),
        TEST(test_lint_looks_for_the_format_of_each_shard),
        TEST(test_lint_tells_layouts_apart),
        TEST(test_lint_survives_any_failed_allocation),
        TEST(test_lint_knows_how_far_the_releases_split),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
