/* tests/unit/test_model.c - binding: every layout, and what is wrong. INT4: test_model_int4.c. */
#include "tests/unit/model_world.h"

#include <math.h>

/* layouts that are whole */

static void test_model_native(void **state)
{
    (void)state;
    fresh();
    open_world();
    assert_int_equal(rc_model_traits(w.model)->draft, RC_DRAFT_MTP);
    assert_int_equal(rc_model_traits(w.model)->experts, RC_STORE_FP4);
    assert_int_equal(rc_model_traits(w.model)->dense, RC_STORE_FP8);
    assert_false(rc_model_traits(w.model)->vision);
    assert_null(rc_model_find(w.model, "layers.0.ffn.experts.0.w1.scale"));
    assert_ptr_equal(rc_model_ckpt(w.model), w.ckpt);
    close_world();
    expect_whole("V4 (custom sizes)", 0);
}

static void test_model_dspark(void **state)
{
    (void)state;
    fresh_dspark();
    expect_whole("V4 (custom sizes) with DSpark", 0);
}

static void test_model_other_stores(void **state)
{
    rc_traits t = mtp;

    (void)state;
    fresh();
    edit_config("\"expert_dtype\":\"fp4\",", "");
    t.experts = RC_STORE_FP8;
    fill(&t);
    expect_whole("V4 (custom sizes), FP8 experts", 0);
    t.expert_scale = RC_DTYPE_F32;
    fill(&t);
    expect_whole("V4 (custom sizes), FP8 experts with F32 scales", 0);
    t.dense_scale = RC_DTYPE_F32;
    fill(&t);
    expect_whole("V4 (custom sizes), FP8 experts, F32 scales (layout of Base)", 0);

    t.experts = t.dense = RC_STORE_PLAIN;
    edit_config(
        "\"quantization_config\":{\"activation_scheme\":\"dynamic\",\"fmt\":\"e4m3\","
        "\"quant_method\":\"fp8\",\"scale_fmt\":\"ue8m0\",\"weight_block_size\":[128,128]},",
        "");
    fill(&t);
    expect_whole("V4 (custom sizes), BF16", 0);
}

static void test_model_other_scale_suffix(void **state)
{
    (void)state;
    fresh();
    for (size_t i = 0; i < w.n; i++)
        if (ends_with(w.at[i].name, ".scale"))
            strcpy(w.at[i].name + strlen(w.at[i].name) - strlen(".scale"), ".weight_scale_inv");
    expect_whole("V4 (custom sizes)", 0);
}

/* A published re-pack has these; C11. */
static void test_model_notes(void **state)
{
    (void)state;
    fresh();
    for (size_t i = 0; i < w.n;) {
        tensor *t = &w.at[i++];

        if (ends_with(t->name, ".attn.wo_a.weight"))
            t->dtype = RC_DTYPE_BF16;
        else if (ends_with(t->name, "norm.weight"))
            t->dtype = RC_DTYPE_F32;
        else if (ends_with(t->name, ".attn.wo_a.scale"))
            w.at[--i] = w.at[--w.n];
    }
    open_world();
    assert_int_equal(rc_model_find(w.model, "layers.3.attn.wo_a.weight")->store, RC_STORE_PLAIN);
    assert_non_null(strstr(rc_model_note(w.model, 0)->msg, "norms are stored as F32"));
    assert_non_null(strstr(rc_model_note(w.model, 1)->msg, "6 attn.wo_a.weight"));
    close_world();
    expect_whole("V4 (custom sizes)", 2);
}

static void test_model_without_draft(void **state)
{
    (void)state;
    fresh();
    for (size_t i = 0; i < w.n;)
        if (strncmp(w.at[i].name, "mtp.", 4) == 0)
            w.at[i] = w.at[--w.n];
        else
            i++;
    expect_whole("V4 (custom sizes), no draft", 1);
}

static void test_model_vision(void **state)
{
    rc_traits t = mtp;

    (void)state;
    snprintf(w.config, sizeof w.config, "%s", fx_config);
    t.vision = true;
    fill(&t);
    add("vision.blocks.0.norm1.weight", RC_DTYPE_BF16, 1, 64, 0, 0);
    add("aligner.w1.bias", RC_DTYPE_BF16, 1, 64, 0, 0);
    add("image_start", RC_DTYPE_BF16, 1, 256, 0, 0);
    open_world();
    assert_int_equal(rc_model_opaque_count(w.model), 3);
    assert_string_equal(rc_model_opaque(w.model, 2)->name, "image_start");
    assert_non_null(rc_model_find(w.model, "mtp.0.ffn.gate.bias_vl"));
    close_world();
    expect_whole("V4 (custom sizes)-Vision", 1);
}

/* one fault at a time */

static void test_model_missing(void **state)
{
    static const char *const names[] = {
        "layers.2.ffn.experts.4.w2.weight", /* C01 */
        "layers.0.attn_norm.weight",
        "head.weight", /* C16 */
        "layers.1.attn.indexer.compressor.ape",
        "layers.0.ffn.gate.tid2eid",
        "mtp.0.hnorm.weight", /* C15: half a draft */
        "mtp.0.e_proj.weight",
        "layers.0.attn.wq_a.weight", /* where traits are read */
        "layers.0.ffn.experts.0.w1.weight",
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fresh();
        drop(names[i]);
        expect_problem(RC_MISSING, names[i], "missing", "", "");
    }
    fresh_dspark();
    drop("mtp.0.main_proj.weight");
    expect_problem(RC_MISSING, "mtp.0.main_proj.weight", "its scale is there", "", "");
}

static void test_model_missing_scale(void **state)
{
    (void)state;
    fresh(); /* C02 */
    drop("layers.2.ffn.experts.4.w2.scale");
    expect_problem(RC_MISSING, "layers.2.ffn.experts.4.w2.scale", "cannot be read without it", "",
                   "");
    fresh(); /* C03 */
    drop("layers.1.attn.wkv.weight");
    expect_problem(RC_MISSING, "layers.1.attn.wkv.weight", "its scale is there", "", "");
}

struct fault {
    const char *tensor;
    rc_dtype dtype;
    unsigned rank;
    uint64_t shape[3];
    const char *says, *want, *got;
};

static void test_model_malformed(void **state)
{
    static const struct fault faults[] = {
        /* C04 */
        { "layers.2.ffn.experts.4.w2.scale",
          RC_DTYPE_F32,
          2,
          { 256, 4 },
          "dtype",
          "F8_E8M0",
          "F32" },
        { "layers.2.attn.wq_b.scale", RC_DTYPE_F32, 2, { 4, 1 }, "dtype", "F8_E8M0", "F32" },
        /* C05: transposed */
        { "layers.2.attn.wq_b.scale", RC_DTYPE_F8_E8M0, 2, { 1, 4 }, "shape", "[4, 1]", "[1, 4]" },
        /* C07, C09, C10 */
        { "layers.2.ffn.experts.4.w2.weight",
          RC_DTYPE_I8,
          2,
          { 256, 128 },
          "shape",
          "[256, 64]",
          "[256, 128]" },
        { "layers.2.ffn.experts.4.w2.scale",
          RC_DTYPE_F8_E8M0,
          2,
          { 256, 8 },
          "shape",
          "[256, 4]",
          "[256, 8]" },
        { "layers.2.ffn.experts.4.w2.weight",
          RC_DTYPE_I8,
          2,
          { 64, 256 },
          "shape",
          "[256, 64]",
          "[64, 256]" },
        /* C08 */
        { "layers.2.attn.wq_b.weight", RC_DTYPE_I8, 2, { 512, 128 }, "dtype", "F8_E4M3", "I8" },
        { "embed.weight", RC_DTYPE_I8, 2, { 384, 256 }, "dtype", "BF16", "I8" },
        /* one layer unlike the others */
        { "layers.2.attn.wq_b.weight", RC_DTYPE_BF16, 2, { 512, 128 }, "dtype", "F8_E4M3", "BF16" },
        { "layers.2.ffn.experts.4.w2.weight",
          RC_DTYPE_F8_E4M3,
          2,
          { 256, 128 },
          "dtype",
          "I8",
          "F8_E4M3" },
        /* C11: only norms may be wider */
        { "head.weight", RC_DTYPE_F32, 2, { 384, 256 }, "dtype", "BF16", "F32" },
        { "layers.2.attn.attn_sink", RC_DTYPE_BF16, 1, { 4 }, "dtype", "F32", "BF16" },
        { "layers.0.ffn.gate.tid2eid", RC_DTYPE_I32, 2, { 384, 2 }, "dtype", "I64", "I32" },
        /* C17, B24 */
        { "norm.weight", RC_DTYPE_BF16, 1, { 0 }, "shape", "[256]", "[0]" },
        { "embed.weight", RC_DTYPE_BF16, 2, { 383, 256 }, "shape", "[384, 256]", "[383, 256]" },
        { "norm.weight", RC_DTYPE_BF16, 3, { 1, 1, 256 }, "shape", "[256]", "[1, 1, 256]" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        const struct fault *f = &faults[i];
        tensor *t;

        fresh();
        t = find(f->tensor);
        t->dtype = f->dtype;
        t->rank = f->rank;
        memcpy(t->shape, f->shape, sizeof t->shape);
        expect_problem(RC_MALFORMED, f->tensor, f->says, f->want, f->got);
    }
}

static void test_model_extra(void **state)
{
    (void)state;
    fresh(); /* C12 */
    add("layers.0.attn.wq_c.weight", RC_DTYPE_BF16, 1, 8, 0, 0);
    expect_problem(RC_EXTRA, "layers.0.attn.wq_c.weight", "unknown", "", "");
    fresh(); /* C13 */
    add("layers.5.attn_norm.weight", RC_DTYPE_BF16, 1, 256, 0, 0);
    expect_problem(RC_EXTRA, "layers.5.attn_norm.weight", "beyond", "layer < 5", "5");
    fresh(); /* C14 */
    add("layers.1.ffn.experts.6.w1.weight", RC_DTYPE_I8, 2, 128, 128, 0);
    expect_problem(RC_EXTRA, "layers.1.ffn.experts.6.w1.weight", "beyond", "expert < 6", "6");
    fresh(); /* a hyper-connection's own scale is a parameter, this is none */
    add("layers.1.hc_attn.scale", RC_DTYPE_F32, 1, 3, 0, 0);
    expect_problem(RC_EXTRA, "layers.1.hc_attn.scale", "unknown", "", "");
    fresh();
    add("layers.1.attn.wkv.weight_scale_inv", RC_DTYPE_F8_E8M0, 2, 1, 2, 0);
    expect_problem(RC_EXTRA, "layers.1.attn.wkv.weight_scale_inv", "second scale", "", "");
    fresh();
    edit_config("\"tie_word_embeddings\":false", "\"tie_word_embeddings\":true");
    expect_problem(RC_EXTRA, "head.weight", "ties", "", "");
    fresh_dspark(); /* no more than three draft blocks */
    add("mtp.3.attn_norm.weight", RC_DTYPE_BF16, 1, 256, 0, 0);
    expect_problem(RC_EXTRA, "mtp.3.attn_norm.weight", "unknown", "", "");
}

static void test_model_config_contradicts(void **state)
{
    (void)state;
    fresh(); /* B20 */
    edit_config("\"expert_dtype\":\"fp4\"", "\"expert_dtype\":\"fp8\"");
    expect_problem(RC_MALFORMED, "", "experts.0.w1.weight", "fp4", "fp8");
    fresh(); /* B21 */
    edit_config("\"quantization_config\":{", "\"unquantization_config\":{");
    expect_problem(RC_MALFORMED, "", "FP8", "quantization_config", "none");
    fresh();
    edit_config("[128,128]}", "[64,128]}");
    expect_problem(RC_MALFORMED, "", "weight_block_size", "[128, 128]", "[64, 128]");
    fresh(); /* C15 */
    edit_config("\"num_nextn_predict_layers\":1", "\"num_nextn_predict_layers\":0");
    expect_problem(RC_MALFORMED, "", "num_nextn_predict_layers", "1", "0");
    fresh();
    edit_config("4,128,0]", "4,128]");
    expect_refusal(RC_E_TENSORSET, "", "compress_ratios is too short");
}

static void test_model_foreign_layouts(void **state)
{
    static const struct {
        const char *tensor;
        unsigned rank;
        const char *says;
    } marks[] = {
        { "layers.0.ffn.experts.0.w1.qweight", 2, "AWQ" }, /* C22 */
        { "layers.0.ffn.experts.0.w1.g_idx", 1, "GPTQ" },
        { "layers.0.attn.wq_a.weight_packed", 2, "compressed-tensors" },
        { "layers.0.ffn.experts.0.w1.weight_scale_2", 1, "NVFP4" },
        { "layers.0.ffn.experts.w13", 3, "rank 3" }, /* C10 */
        { "model.layers.0.attn.wkv.weight", 2, "transformers" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        fresh();
        add("layers.0.ffn.experts.0.w1.weight_scale", RC_DTYPE_F8_E4M3, 2, 128, 16, 0);
        add(marks[i].tensor, RC_DTYPE_I32, marks[i].rank, 2, 2, 2);
        if (i == 5)
            drop("layers.0.ffn.experts.0.w1.weight_scale");
        expect_refusal(RC_E_UNSUPPORTED, marks[i].tensor, marks[i].says);
    }
    fresh();
    edit_config("\"quant_method\":\"fp8\"", "\"quant_method\":\"awq\"");
    expect_refusal(RC_E_UNSUPPORTED, "", "quant_method");
    fresh();
    for (size_t i = 0; i < w.n; i++)
        if (strstr(w.at[i].name, ".ffn.experts.0.w1.weight"))
            w.at[i].dtype = RC_DTYPE_U8;
    expect_refusal(RC_E_UNSUPPORTED, "layers.0.ffn.experts.0.w1.weight", "stored as U8");
}

/* Of files full of holes every second scale reads as 0. */
static void test_model_nvfp4(void **state)
{
    rc_traits nvfp4 = mtp;
    size_t experts = 0, n;

    (void)state;
    fresh();
    nvfp4.experts = RC_STORE_NVFP4;
    nvfp4.expert_scale = RC_DTYPE_F8_E4M3;
    fill(&nvfp4);
    n = w.n;
    for (size_t i = 0; i < n; i++)
        if (w.at[i].dtype == RC_DTYPE_U8) {
            char name[200];

            snprintf(name, sizeof name, "%s_scale_2", w.at[i].name);
            add(name, RC_DTYPE_F32, experts % 2, 1, 0, 0); /* a scalar, or one in a row */
            snprintf(name, sizeof name, "%.*s.input_scale", (int)strlen(w.at[i].name) - 7,
                     w.at[i].name);
            add(name, RC_DTYPE_F32, 0, 0, 0, 0);
            experts++;
        }
    add("layers.0.ffn.experts.9999.w1.input_scale", RC_DTYPE_F32, 0, 0, 0, 0);
    open_world();
    assert_int_equal(rc_model_traits(w.model)->experts, RC_STORE_NVFP4);
    assert_int_equal(rc_model_traits(w.model)->expert_scale, RC_DTYPE_F8_E4M3);
    assert_int_equal(rc_model_problems_total(w.model), experts + 1);
    for (size_t i = 0; i < experts; i++)
        assert_string_equal(rc_model_problem(w.model, i)->what.msg, "not a scale");
    assert_int_equal(rc_model_problem(w.model, experts)->kind, RC_EXTRA);
    assert_true(isnan(rc_model_find(w.model, "layers.0.ffn.experts.0.w1.weight")->gain));
    assert_true(rc_model_find(w.model, "layers.0.attn.wkv.weight")->gain == 1);
    close_world();

    /* a matrix without its second scale, or with one of another type */
    drop("layers.1.ffn.experts.0.w3.weight_scale_2");
    find("layers.0.ffn.experts.0.w2.weight_scale_2")->dtype = RC_DTYPE_BF16;
    find("layers.0.ffn.experts.1.w2.weight_scale")->dtype = RC_DTYPE_F8_E8M0;
    open_world();
    assert_int_equal(rc_model_problems_total(w.model), experts + 2);
    for (size_t i = 0; i < experts + 2; i++) {
        const rc_problem *p = rc_model_problem(w.model, i);
        const char *says = strstr(p->tensor, "layers.1.ffn.experts.0.w3")   ? "missing"
                           : strstr(p->tensor, "layers.0.ffn.experts.0.w2") ? "not a number"
                           : ends_with(p->tensor, "layers.0.ffn.experts.1.w2.weight_scale")
                               ? "wrong dtype"
                           : strstr(p->tensor, ".9999.") ? "belongs"
                                                         : "not a scale";

        if (!strstr(p->what.msg, says))
            fail_msg("%s: %s, want %s", p->tensor, p->what.msg, says);
    }
    close_world();
}

static void test_model_counts_beyond_what_it_keeps(void **state)
{
    rc_err err;

    (void)state;
    fresh();
    drop("head.weight");
    for (unsigned i = 0; i < RC_MODEL_KEPT + 100; i++) {
        char name[32];

        snprintf(name, sizeof name, "odd.%u", i);
        add(name, RC_DTYPE_U8, 1, 1, 0, 0);
    }
    open_world();
    assert_int_equal(rc_model_problems_total(w.model), RC_MODEL_KEPT + 101);
    assert_int_equal(rc_model_problems(w.model), RC_MODEL_KEPT + 1);
    assert_int_equal(rc_model_require_whole(w.model, &err), RC_E_TENSORSET);
    assert_string_equal(err.tensor, "head.weight");
    assert_non_null(strstr(err.msg, "501 problems in all"));
    close_world();
}

static void test_model_survives_allocation_failures(void **state)
{
    (void)state;
    fresh();
    drop("head.weight");
    add("odd", RC_DTYPE_U8, 1, 1, 0, 0);
    add("vision.odd", RC_DTYPE_U8, 1, 1, 0, 0);
    open_ckpt();
    for (size_t at = 1;; at++) {
        rc_mem mem = { .fail_at = at };
        rc_model *model;
        rc_err err;
        const rc_code rc = rc_model_new(&model, w.ckpt, &mem, &err);

        if (rc == RC_OK) {
            rc_model_free(&model);
            assert_int_equal(mem.used, 0);
            assert_true(at > 5);
            break;
        }
        assert_int_equal(rc, RC_E_OS);
        assert_null(model);
        assert_int_equal(mem.used, 0);
    }
    close_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_native),
        cmocka_unit_test(test_model_dspark),
        cmocka_unit_test(test_model_other_stores),
        cmocka_unit_test(test_model_other_scale_suffix),
        cmocka_unit_test(test_model_notes),
        cmocka_unit_test(test_model_without_draft),
        cmocka_unit_test(test_model_vision),
        cmocka_unit_test(test_model_missing),
        cmocka_unit_test(test_model_missing_scale),
        cmocka_unit_test(test_model_malformed),
        cmocka_unit_test(test_model_extra),
        cmocka_unit_test(test_model_config_contradicts),
        cmocka_unit_test(test_model_foreign_layouts),
        cmocka_unit_test(test_model_nvfp4),
        cmocka_unit_test(test_model_counts_beyond_what_it_keeps),
        cmocka_unit_test(test_model_survives_allocation_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
