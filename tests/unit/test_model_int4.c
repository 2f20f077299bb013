/* tests/unit/test_model_int4.c - binding 4-bit integers: both containers, all that may stand beside
 * them, and one fault at a time. */
#include "tests/unit/model_world.h"

#include "formats/hf_names.h"

#define CT                                                                                         \
    "\"quantization_config\":{\"quant_method\":\"compressed-tensors\","                            \
    "\"format\":\"pack-quantized\",\"config_groups\":{\"group_0\":{\"weights\":{"                  \
    "\"num_bits\":4,\"type\":\"int\",\"symmetric\":true,\"group_size\":32}}}}"
#define AWQ                                                                                        \
    "\"quantization_config\":{\"quant_method\":\"awq\",\"bits\":4,\"group_size\":64,"              \
    "\"zero_point\":true,\"version\":\"gemm\"}"
#define FP8                                                                                        \
    "\"quantization_config\":{\"activation_scheme\":\"dynamic\",\"fmt\":\"e4m3\","                 \
    "\"quant_method\":\"fp8\",\"scale_fmt\":\"ue8m0\",\"weight_block_size\":[128,128]}"
#define VARIANT  "V4 (custom sizes), INT4 experts "
#define EXPERT   "layers.2.ffn.experts.3.w2"
#define EXPERT_A "layers.0.ffn.experts.0.w1"

static const rc_int4_layout packed = { RC_STORE_PACKED, 32, false, RC_DTYPE_BF16 };
static const rc_int4_layout zeros = { RC_STORE_PACKED, 64, true, RC_DTYPE_F16 };
static const rc_int4_layout awq = { RC_STORE_AWQ, 64, true, RC_DTYPE_F16 };

/* A weight under this name, rows and columns given, into 4-bit integers. */
static void put_int4(const char *name, uint64_t rows, uint64_t cols, const rc_int4_layout *layout)
{
    const rc_param p = { .name = name, .rank = 2, .shape = { rows, cols } };
    rc_want want[RC_WANT_MAX];
    const unsigned n = rc_param_int4(&p, layout, want);

    for (unsigned k = 0; k < n; k++) {
        add(want[k].name, want[k].dtype, want[k].rank, want[k].shape[0], want[k].shape[1], 0);
        if (ends_with(want[k].name, ".weight_shape")) {
            w.at[w.n - 1].numbers[0] = rows;
            w.at[w.n - 1].numbers[1] = cols;
        }
    }
}

static void replace(const char *name, const rc_int4_layout *layout)
{
    const tensor t = *find(name);
    char scale[160];

    snprintf(scale, sizeof scale, "%.*s.scale", (int)strlen(name) - 7, name);
    drop(name);
    drop(scale);
    put_int4(t.name, t.shape[0], t.shape[1] * (t.dtype == RC_DTYPE_I8 ? 2 : 1), layout);
}

/* All routed experts whose names begin so. */
static void replace_experts(const char *prefix, const rc_int4_layout *layout)
{
    for (size_t i = 0; i < w.n;)
        if (w.at[i].dtype == RC_DTYPE_I8 && strncmp(w.at[i].name, prefix, strlen(prefix)) == 0) {
            char name[160];

            snprintf(name, sizeof name, "%s", w.at[i].name);
            replace(name, layout);
            i = 0;
        } else {
            i++;
        }
}

static void fresh_int4(const rc_int4_layout *layout)
{
    fresh();
    edit_config(FP8, layout->store == RC_STORE_AWQ ? AWQ : CT);
    if (layout->zeros && layout->store == RC_STORE_PACKED)
        edit_config("\"symmetric\":true,\"group_size\":32",
                    "\"symmetric\":false,\"group_size\":64");
    replace_experts("", layout);
}

static void test_int4_packed(void **state)
{
    const rc_bound *b;

    (void)state;
    fresh_int4(&packed);
    open_world();
    assert_int_equal(rc_model_traits(w.model)->experts, RC_STORE_PACKED);
    assert_int_equal(rc_model_traits(w.model)->expert_scale, RC_DTYPE_BF16);
    assert_int_equal(rc_model_traits(w.model)->dense, RC_STORE_FP8);
    b = rc_model_find(w.model, EXPERT ".weight");
    assert_int_equal(b->store, RC_STORE_PACKED);
    assert_int_equal(b->group, 32);
    assert_string_equal(b->weight->name, EXPERT ".weight_packed");
    assert_string_equal(b->shape->name, EXPERT ".weight_shape");
    assert_null(b->zero);
    close_world();
    expect_whole(VARIANT "(compressed-tensors W4A16)", 0);

    fresh_int4(&zeros);
    find(EXPERT ".weight_shape")->dtype = RC_DTYPE_I32; /* as some write it */
    find(EXPERT ".weight_scale")->dtype = RC_DTYPE_F32;
    open_world();
    b = rc_model_find(w.model, EXPERT ".weight");
    assert_int_equal(b->group, 64);
    assert_string_equal(b->zero->name, EXPERT ".weight_zero_point");
    close_world();
    expect_whole(VARIANT "(compressed-tensors W4A16)", 0);
}

static void test_int4_awq(void **state)
{
    (void)state;
    fresh_int4(&awq);
    open_world();
    assert_int_equal(rc_model_traits(w.model)->experts, RC_STORE_AWQ);
    assert_int_equal(rc_model_find(w.model, EXPERT ".weight")->group, 64);
    assert_string_equal(rc_model_find(w.model, EXPERT ".weight")->zero->name, EXPERT ".qzeros");
    close_world();
    expect_whole(VARIANT "(AWQ)", 0);
}

/* What stands beside the experts may be stored in any way. */
static void test_int4_beside(void **state)
{
    (void)state;
    fresh_int4(&packed);
    replace("layers.0.attn.wq_a.weight", &packed);
    for (size_t i = 0; i < w.n; i++) /* compressed-tensors names it so */
        if (ends_with(w.at[i].name, ".scale")) {
            strcpy(w.at[i].name + strlen(w.at[i].name) - strlen(".scale"), ".weight_scale");
            w.at[i].dtype = i % 2 ? RC_DTYPE_BF16 : RC_DTYPE_F32;
        }
    drop("layers.1.attn.wo_a.weight_scale");
    find("layers.1.attn.wo_a.weight")->dtype = RC_DTYPE_BF16;
    open_world();
    assert_int_equal(rc_model_traits(w.model)->dense, RC_STORE_PACKED);
    assert_int_equal(rc_model_find(w.model, "layers.1.attn.wo_a.weight")->store, RC_STORE_PLAIN);
    assert_int_equal(rc_model_find(w.model, "layers.1.attn.wkv.weight")->store, RC_STORE_FP8);
    close_world();
    expect_whole(VARIANT "(compressed-tensors W4A16)", 0);

    find("layers.1.attn.wo_a.weight")->dtype = RC_DTYPE_F16;
    find("head.weight")->dtype = RC_DTYPE_F32;
    expect_whole(VARIANT "(compressed-tensors W4A16)", 1);
}

static void test_int4_draft(void **state)
{
    (void)state;
    fresh();
    edit_config(FP8, AWQ);
    replace_experts("layers.", &awq);
    expect_whole(VARIANT "(AWQ)", 1); /* FP4 in the draft: a note */
    for (size_t i = 0; i < w.n; i++)
        if (strncmp(w.at[i].name, "mtp.", 4) == 0 && w.at[i].dtype == RC_DTYPE_I8) {
            char scale[160];

            snprintf(scale, sizeof scale, "%.*s.scale", (int)strlen(w.at[i].name) - 7,
                     w.at[i].name);
            w.at[i].dtype = RC_DTYPE_BF16;
            w.at[i].shape[1] *= 2;
            drop(scale);
            i = 0;
        }
    expect_whole(VARIANT "(AWQ)", 0);

    fresh();
    edit_config(FP8, AWQ);
    replace_experts("mtp.", &awq);
    replace_experts("layers.0.", &awq);
    replace_experts("layers.1.", &awq);
    replace_experts("layers.2.", &awq);
    replace_experts("layers.3.", &awq);
    open_world(); /* a layer of FP4 among the others is not a layout */
    assert_int_equal(rc_model_problems_total(w.model), 6 * 3);
    assert_string_equal(rc_model_problem(w.model, 0)->what.want, "BF16");
    close_world();
}

static void rename_all(void)
{
    for (size_t i = 0; i < w.n; i++) {
        char hf[RC_HF_NAME];

        assert_true(rc_hf_from_native(w.at[i].name, hf));
        snprintf(w.at[i].name, sizeof w.at[i].name, "%.150s", hf);
    }
}

static void test_int4_hf_names(void **state)
{
    (void)state;
    fresh_int4(&zeros);
    rename_all();
    expect_whole(VARIANT "(compressed-tensors W4A16)", 1);
    drop("model.layers.2.mlp.experts.3.down_proj.weight_zero_point");
    open_world(); /* then it is symmetric, which the config does not say */
    assert_int_equal(rc_model_problems_total(w.model), 1);
    close_world();
    drop("model.layers.2.mlp.experts.3.down_proj.weight_scale");
    expect_problem(RC_MISSING, "model.layers.2.mlp.experts.3.down_proj.weight_scale", "missing", "",
                   "");
    fresh_int4(&awq);
    rename_all();
    expect_whole(VARIANT "(AWQ)", 1);

    fresh(); /* not only beside 4-bit integers */
    rename_all();
    expect_whole("V4 (custom sizes)", 1);
    drop("model.layers.0.self_attn.kv_proj.scale");
    expect_problem(RC_MISSING, "model.layers.0.self_attn.kv_proj.scale", "missing", "", "");
}

static void test_int4_packed_faults(void **state)
{
    (void)state;
    fresh_int4(&packed);
    drop(EXPERT ".weight_scale");
    expect_problem(RC_MISSING, EXPERT ".weight_scale", "missing", "", "");
    fresh_int4(&packed);
    drop(EXPERT ".weight_shape");
    expect_problem(RC_MISSING, EXPERT ".weight_shape", "missing", "", "");
    fresh_int4(&packed);
    drop(EXPERT ".weight_packed");
    open_world();
    assert_string_equal(rc_model_problem(w.model, 0)->tensor, EXPERT ".weight");
    close_world();
    fresh_int4(&packed);
    find(EXPERT ".weight_packed")->dtype = RC_DTYPE_F32;
    expect_problem(RC_MALFORMED, EXPERT ".weight_packed", "wrong dtype", "I32", "F32");
    fresh_int4(&packed);
    find(EXPERT ".weight_packed")->shape[1] = 8;
    expect_problem(RC_MALFORMED, EXPERT ".weight_packed", "wrong shape", "[256, 16]", "[256, 8]");
    fresh_int4(&packed);
    find(EXPERT ".weight_scale")->dtype = RC_DTYPE_F8_E4M3;
    expect_problem(RC_MALFORMED, EXPERT ".weight_scale", "wrong dtype", "F16, BF16 or F32",
                   "F8_E4M3");
    for (uint64_t groups = 3; groups <= 8; groups += 5) { /* that do not divide, that are of 16 */
        char got[32];

        fresh_int4(&packed);
        find(EXPERT ".weight_scale")->shape[1] = groups;
        snprintf(got, sizeof got, "[256, %d]", (int)groups);
        expect_problem(RC_MALFORMED, EXPERT ".weight_scale", "groups", "[256, 128 / group]", got);
    }
    fresh_int4(&packed);
    find(EXPERT ".weight_scale")->shape[0] = 128;
    expect_problem(RC_MALFORMED, EXPERT ".weight_scale", "wrong shape", "[256, 4]", "[128, 4]");
    fresh_int4(&packed);
    find(EXPERT ".weight_shape")->shape[0] = 3;
    expect_problem(RC_MALFORMED, EXPERT ".weight_shape", "not a shape", "two I64", "I64");
    fresh_int4(&packed);
    find(EXPERT_A ".weight_shape")->numbers[1] = 128;
    expect_problem(RC_MALFORMED, EXPERT_A ".weight_shape", "another shape", "[128, 256]",
                   "[128, 128]");
    fresh_int4(&zeros);
    find(EXPERT ".weight_zero_point")->shape[0] = 256;
    expect_problem(RC_MALFORMED, EXPERT ".weight_zero_point", "wrong shape", "[32, 2]", "[256, 2]");
    fresh_int4(&packed);
    add("layers.0.attn.wkv.weight_shape", RC_DTYPE_I64, 1, 2, 0, 0);
    expect_problem(RC_EXTRA, "layers.0.attn.wkv.weight_shape", "4-bit", "", "");
    fresh_int4(&packed);
    add(EXPERT ".weight", RC_DTYPE_BF16, 2, 256, 128, 0);
    open_world();
    assert_int_equal(rc_model_problem(w.model, 0)->kind, RC_EXTRA);
    assert_non_null(strstr(rc_model_problem(w.model, 0)->what.msg, "second form"));
    close_world();
    fresh_int4(&packed);
    add(EXPERT ".scale", RC_DTYPE_F8_E8M0, 2, 256, 4, 0);
    expect_problem(RC_EXTRA, EXPERT ".scale", "second scale", "", "");
}

static void test_int4_awq_faults(void **state)
{
    (void)state;
    fresh_int4(&awq);
    drop(EXPERT ".qzeros");
    expect_problem(RC_MISSING, EXPERT ".qzeros", "missing", "", "");
    fresh_int4(&awq);
    find(EXPERT ".scales")->shape[0] = 8;
    expect_problem(RC_MALFORMED, EXPERT ".scales", "groups", "[128 / group, 256]", "[8, 256]");
    fresh_int4(&awq);
    find(EXPERT ".qzeros")->shape[0] = 4;
    expect_problem(RC_MALFORMED, EXPERT ".qzeros", "wrong shape", "[2, 32]", "[4, 32]");
    fresh_int4(&awq);
    add("layers.0.attn.wkv.qzeros", RC_DTYPE_I32, 2, 2, 16, 0);
    expect_problem(RC_EXTRA, "layers.0.attn.wkv.qzeros", "zero points", "", "");
    fresh_int4(&awq);
    for (size_t i = 0; i < w.n; i++) /* as GPTQ has it */
        if (ends_with(w.at[i].name, ".qweight")) {
            w.at[i].shape[0] /= 8;
            w.at[i].shape[1] *= 8;
        }
    open_ckpt();
    {
        rc_err err;

        assert_int_equal(rc_model_new(&w.model, w.ckpt, &w.mem, &err), RC_E_UNSUPPORTED);
        assert_non_null(strstr(err.msg, "GPTQ"));
    }
    close_world();
    fresh_int4(&packed);
    add(EXPERT ".weight_g_idx", RC_DTYPE_I32, 1, 128, 0, 0);
    expect_refusal(RC_E_UNSUPPORTED, EXPERT ".weight_g_idx", "actorder");
}

static void test_int4_config_contradicts(void **state)
{
    (void)state;
    fresh_int4(&packed);
    edit_config("\"group_size\":32", "\"group_size\":128");
    expect_problem(RC_MALFORMED, "", "group size", "groups of 32, symmetric",
                   "groups of 128, symmetric");
    fresh_int4(&packed);
    edit_config("\"symmetric\":true", "\"symmetric\":false");
    expect_problem(RC_MALFORMED, "", "symmetry", "groups of 32, symmetric",
                   "groups of 32, with zero points");
    fresh_int4(&packed);
    edit_config("\"format\":\"pack-quantized\"", "\"format\":\"mixed-precision\"");
    expect_problem(RC_MALFORMED, "", "format", "pack-quantized", "mixed-precision");
    edit_config("\"group_0\":{", "\"group_0\":{\"format\":\"pack-quantized\",");
    expect_whole(VARIANT "(compressed-tensors W4A16)", 0);
    fresh_int4(&packed);
    edit_config("\"num_bits\":4", "\"num_bits\":8");
    expect_problem(RC_MALFORMED, "", "describes no weights", "4-bit integers", "none");
    fresh_int4(&packed);
    edit_config("\"num_bits\":4", "\"num_bits\":4,\"actorder\":\"group\"");
    expect_problem(RC_MALFORMED, "", "actorder", "null", "group");
    fresh_int4(&packed);
    edit_config("\"quantization_config\"", "\"unquantization_config\"");
    expect_problem(RC_MALFORMED, "", "does not say so", "compressed-tensors", "none");
    fresh_int4(&awq);
    edit_config("\"gemm\"", "\"gemv\"");
    expect_problem(RC_MALFORMED, "", "version", "gemm", "gemv");
    fresh_int4(&awq);
    edit_config("\"bits\"", "\"w_bit\"");
    edit_config("\"group_size\"", "\"q_group_size\"");
    expect_whole(VARIANT "(AWQ)", 0);
    edit_config("\"q_group_size\":64", "\"q_group_size\":128");
    expect_problem(RC_MALFORMED, "", "group size", "groups of 64, with zero points",
                   "groups of 128, with zero points");
    fresh_int4(&awq);
    edit_config("\"quant_method\":\"awq\"", "\"quant_method\":\"gptq\"");
    expect_problem(RC_MALFORMED, "", "quant_method", "awq", "gptq");
}

static void test_int4_survives_allocation_failures(void **state)
{
    (void)state;
    fresh_int4(&packed);
    open_ckpt();
    for (size_t at = 1;; at++) {
        rc_mem mem = { .fail_at = at };
        rc_model *model;
        rc_err err;
        const rc_code rc = rc_model_new(&model, w.ckpt, &mem, &err);

        if (rc == RC_OK) {
            rc_model_free(&model);
            assert_int_equal(mem.used, 0);
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
        cmocka_unit_test(test_int4_packed),
        cmocka_unit_test(test_int4_awq),
        cmocka_unit_test(test_int4_beside),
        cmocka_unit_test(test_int4_draft),
        cmocka_unit_test(test_int4_hf_names),
        cmocka_unit_test(test_int4_packed_faults),
        cmocka_unit_test(test_int4_awq_faults),
        cmocka_unit_test(test_int4_config_contradicts),
        cmocka_unit_test(test_int4_survives_allocation_failures),
    };

    return cmocka_run_group_tests_name("model_int4", tests, NULL, NULL);
}
