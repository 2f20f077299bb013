/* tests/unit/test_schema.c - the schema against the published checkpoints. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/released.h"

static rc_schema *make_schema(const rc_config *c, const rc_traits *t, rc_mem *mem)
{
    rc_schema *s;
    rc_err err;

    if (rc_schema_new(&s, c, t, mem, &err) != RC_OK)
        fail_msg("%s (want %s, got %s)", err.msg, err.want, err.got);
    return s;
}

static void check_totals(const rc_config *c, const rc_traits *t, uint64_t tensors, uint64_t nbytes)
{
    rc_mem mem = { .limit = 64u << 20 }; /* metadata stays below 64 MiB */
    rc_schema *s = make_schema(c, t, &mem);
    uint64_t n = 0, sum = 0;

    for (size_t i = 0; i < rc_schema_count(s); i++) {
        const rc_param *p = rc_schema_at(s, i);
        rc_want want[2];
        const unsigned k = rc_param_native(p, t, want);

        for (unsigned j = 0; j < k; j++)
            sum += want[j].nbytes;
        n += k;
        assert_ptr_equal(rc_schema_find(s, p->name), p);
    }
    assert_int_equal(n, tensors);
    if (nbytes)
        assert_int_equal(sum, nbytes);
    rc_schema_free(&s);
    assert_null(s);
    assert_int_equal(mem.used, 0);
}

static void test_schema_flash(void **state)
{
    const rc_config c = released_config(false, 1);

    (void)state;
    check_totals(&c, &native_mtp, 69187, 159609485896);
}

static void test_schema_pro(void **state)
{
    const rc_config c = released_config(true, 1);

    (void)state;
    check_totals(&c, &native_mtp, 145116, 864704792696);
}

static void test_schema_flash_0731(void **state)
{
    const rc_config c = released_config(false, 3);

    (void)state;
    check_totals(&c, &native_dspark, 72317, 166878536440);
}

static void test_schema_pro_0813(void **state)
{
    const rc_config c = released_config(true, 3);

    (void)state;
    check_totals(&c, &native_dspark, 149782, 892727580904);
}

/* Same names as Flash; FP8 experts and F32 scales make it about 293 GB. */
static void test_schema_flash_base(void **state)
{
    const rc_config c = released_config(false, 1);
    rc_traits t = native_mtp;
    rc_mem mem = { 0 };
    rc_schema *s;
    rc_want want[2];

    (void)state;
    t.experts = RC_STORE_FP8;
    t.expert_scale = t.dense_scale = RC_DTYPE_F32;
    check_totals(&c, &t, 69187, 0);

    s = make_schema(&c, &t, &mem);
    assert_int_equal(
        rc_param_native(rc_schema_find(s, "layers.42.ffn.experts.255.w2.weight"), &t, want), 2);
    assert_int_equal(want[0].dtype, RC_DTYPE_F8_E4M3);
    assert_int_equal(want[0].shape[0], 4096);
    assert_int_equal(want[0].shape[1], 2048);
    assert_int_equal(want[1].dtype, RC_DTYPE_F32);
    assert_int_equal(want[1].shape[0], 32);
    assert_int_equal(want[1].shape[1], 16);
    rc_schema_free(&s);
}

/* 72,633 published, less the 267 of the tower itself. */
static void test_schema_vision_text_side(void **state)
{
    const rc_config c = released_config(false, 3);
    rc_traits t = native_dspark;
    rc_mem mem = { 0 };
    rc_schema *s;

    (void)state;
    t.vision = true;
    check_totals(&c, &t, 72317 + 49, 0);
    s = make_schema(&c, &t, &mem);
    assert_non_null(rc_schema_find(s, "layers.0.ffn.gate.bias"));
    assert_non_null(rc_schema_find(s, "layers.0.ffn.gate.tid2eid"));
    assert_non_null(rc_schema_find(s, "layers.0.ffn.gate.bias_vl"));
    assert_non_null(rc_schema_find(s, "mtp.2.ffn.gate.bias_vl"));
    assert_null(rc_schema_find(s, "mtp.2.ffn.gate.tid2eid"));
    rc_schema_free(&s);
}

struct row {
    const char *name;
    unsigned nwant;
    rc_dtype dtype;
    unsigned rank;
    uint64_t shape[2], scale[2];
    rc_role role;
    int32_t layer, expert;
    bool draft;
};

static void check_rows(const rc_schema *s, const rc_traits *t, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct row *r = &rows[i];
        const rc_param *p = rc_schema_find(s, r->name);
        rc_want want[2];

        if (!p)
            fail_msg("no %s", r->name);
        assert_int_equal(rc_param_native(p, t, want), r->nwant);
        assert_string_equal(want[0].name, r->name);
        assert_int_equal(want[0].dtype, r->dtype);
        assert_int_equal(want[0].rank, r->rank);
        for (unsigned j = 0; j < r->rank; j++)
            assert_int_equal(want[0].shape[j], r->shape[j]);
        if (r->nwant == 2) {
            assert_int_equal(want[1].shape[0], r->scale[0]);
            assert_int_equal(want[1].shape[1], r->scale[1]);
            assert_int_equal(want[1].dtype, RC_DTYPE_F8_E8M0);
            assert_string_equal(want[1].name + strlen(want[1].name) - 6, ".scale");
        }
        assert_int_equal(p->role, r->role);
        assert_int_equal(p->layer, r->layer);
        assert_int_equal(p->expert, r->expert);
        assert_int_equal(p->draft, r->draft);
    }
}

/* Rows of the published table of Flash-0731. */
static void test_schema_shapes(void **state)
{
    static const struct row rows[] = {
        { "embed.weight",
          1,
          RC_DTYPE_BF16,
          2,
          { 129280, 4096 },
          { 0 },
          RC_ROLE_EMBED,
          -1,
          -1,
          false },
        { "layers.0.hc_attn_fn",
          1,
          RC_DTYPE_F32,
          2,
          { 24, 16384 },
          { 0 },
          RC_ROLE_HC,
          0,
          -1,
          false },
        { "layers.0.hc_attn_scale", 1, RC_DTYPE_F32, 1, { 3 }, { 0 }, RC_ROLE_HC, 0, -1, false },
        { "layers.0.attn.wq_b.weight",
          2,
          RC_DTYPE_F8_E4M3,
          2,
          { 32768, 1024 },
          { 256, 8 },
          RC_ROLE_ATTN,
          0,
          -1,
          false },
        { "layers.0.attn.wo_a.weight",
          2,
          RC_DTYPE_F8_E4M3,
          2,
          { 8192, 4096 },
          { 64, 32 },
          RC_ROLE_ATTN,
          0,
          -1,
          false },
        { "layers.2.attn.compressor.wkv.weight",
          1,
          RC_DTYPE_BF16,
          2,
          { 1024, 4096 },
          { 0 },
          RC_ROLE_COMPRESSOR,
          2,
          -1,
          false },
        { "layers.2.attn.compressor.ape",
          1,
          RC_DTYPE_F32,
          2,
          { 4, 1024 },
          { 0 },
          RC_ROLE_COMPRESSOR,
          2,
          -1,
          false },
        { "layers.3.attn.compressor.ape",
          1,
          RC_DTYPE_F32,
          2,
          { 128, 512 },
          { 0 },
          RC_ROLE_COMPRESSOR,
          3,
          -1,
          false },
        { "layers.2.attn.indexer.compressor.ape",
          1,
          RC_DTYPE_F32,
          2,
          { 4, 256 },
          { 0 },
          RC_ROLE_INDEXER,
          2,
          -1,
          false },
        { "layers.2.attn.indexer.weights_proj.weight",
          1,
          RC_DTYPE_BF16,
          2,
          { 64, 4096 },
          { 0 },
          RC_ROLE_INDEXER,
          2,
          -1,
          false },
        { "layers.2.ffn.gate.tid2eid",
          1,
          RC_DTYPE_I64,
          2,
          { 129280, 6 },
          { 0 },
          RC_ROLE_ROUTER,
          2,
          -1,
          false },
        { "layers.3.ffn.gate.bias",
          1,
          RC_DTYPE_F32,
          1,
          { 256 },
          { 0 },
          RC_ROLE_ROUTER,
          3,
          -1,
          false },
        { "layers.7.ffn.experts.9.w1.weight",
          2,
          RC_DTYPE_I8,
          2,
          { 2048, 2048 },
          { 2048, 128 },
          RC_ROLE_EXPERT,
          7,
          9,
          false },
        { "layers.7.ffn.experts.9.w2.weight",
          2,
          RC_DTYPE_I8,
          2,
          { 4096, 1024 },
          { 4096, 64 },
          RC_ROLE_EXPERT,
          7,
          9,
          false },
        { "layers.7.ffn.shared_experts.w2.weight",
          2,
          RC_DTYPE_F8_E4M3,
          2,
          { 4096, 2048 },
          { 32, 16 },
          RC_ROLE_SHARED,
          7,
          -1,
          false },
        { "hc_head_scale", 1, RC_DTYPE_F32, 1, { 1 }, { 0 }, RC_ROLE_HC, -1, -1, false },
        { "norm.weight", 1, RC_DTYPE_BF16, 1, { 4096 }, { 0 }, RC_ROLE_NORM, -1, -1, false },
        { "mtp.0.main_proj.weight",
          2,
          RC_DTYPE_F8_E4M3,
          2,
          { 4096, 12288 },
          { 32, 96 },
          RC_ROLE_DRAFT,
          0,
          -1,
          true },
        { "mtp.1.ffn.experts.255.w3.weight",
          2,
          RC_DTYPE_I8,
          2,
          { 2048, 2048 },
          { 2048, 128 },
          RC_ROLE_EXPERT,
          1,
          255,
          true },
        { "mtp.2.markov_head.markov_w1.weight",
          1,
          RC_DTYPE_BF16,
          2,
          { 129280, 256 },
          { 0 },
          RC_ROLE_DRAFT,
          2,
          -1,
          true },
        { "mtp.2.confidence_head.proj.weight",
          1,
          RC_DTYPE_BF16,
          2,
          { 1, 4352 },
          { 0 },
          RC_ROLE_DRAFT,
          2,
          -1,
          true },
    };
    static const char *const absent[] = {
        "layers.43.attn_norm.weight",
        "layers.0.attn.compressor.ape",
        "layers.3.attn.indexer.wq_b.weight",
        "layers.0.ffn.gate.bias",
        "layers.3.ffn.gate.tid2eid",
        "layers.3.ffn.gate.bias_vl",
        "mtp.0.e_proj.weight",
        "mtp.0.norm.weight",
        "mtp.1.main_norm.weight",
        "layers.0.ffn.experts.256.w1.weight",
        "head.scale",
        "",
    };
    const rc_config c = released_config(false, 3);
    rc_mem mem = { 0 };
    rc_schema *s = make_schema(&c, &native_dspark, &mem);

    (void)state;
    check_rows(s, &native_dspark, rows, sizeof rows / sizeof *rows);
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        assert_null(rc_schema_find(s, absent[i]));
    rc_schema_free(&s);
}

static void test_schema_order_is_the_models(void **state)
{
    const rc_config c = released_config(false, 1);
    rc_mem mem = { 0 };
    rc_schema *s = make_schema(&c, &native_mtp, &mem);
    size_t head = 0;

    (void)state;
    assert_string_equal(rc_schema_at(s, 0)->name, "embed.weight");
    for (size_t i = 0; i < rc_schema_count(s); i++)
        if (strcmp(rc_schema_at(s, i)->name, "head.weight") == 0)
            head = i;
    for (size_t i = 0; i < rc_schema_count(s); i++)
        assert_int_equal(rc_schema_at(s, i)->draft, i > head);
    rc_schema_free(&s);
}

/* The other layouts of one parameter, partial blocks included. */
static void test_schema_layouts(void **state)
{
    const rc_param p = { .name = "layers.0.attn.wkv.weight", .rank = 2, .shape = { 576, 7168 } };
    rc_want want[2];

    (void)state;
    assert_int_equal(rc_param_layout(&p, RC_STORE_FP8, RC_DTYPE_BF16, RC_DTYPE_F32, want), 2);
    assert_string_equal(want[1].name, "layers.0.attn.wkv.scale");
    assert_int_equal(want[1].shape[0], 5);
    assert_int_equal(want[1].shape[1], 56);
    assert_int_equal(want[1].nbytes, 5 * 56 * 4);
    assert_int_equal(rc_param_layout(&p, RC_STORE_PLAIN, RC_DTYPE_BF16, RC_DTYPE_F32, want), 1);
    assert_int_equal(want[0].nbytes, 576 * 7168 * 2);
    assert_int_equal(rc_param_layout(&p, RC_STORE_FP4, RC_DTYPE_BF16, RC_DTYPE_F32, want), 2);
    assert_int_equal(want[0].nbytes, 576 * 3584);
    assert_int_equal(want[1].dtype, RC_DTYPE_F8_E8M0);
}

static void expect_want(const rc_want *w, const char *name, rc_dtype dtype, unsigned rank,
                        uint64_t rows, uint64_t cols, uint64_t nbytes)
{
    assert_string_equal(w->name, name);
    assert_int_equal(w->dtype, dtype);
    assert_int_equal(w->rank, rank);
    assert_int_equal(w->shape[0], rows);
    assert_int_equal(w->shape[1], cols);
    assert_int_equal(w->nbytes, nbytes);
}

static void test_schema_int4(void **state)
{
    const rc_param p = { .name = "a.w1.weight", .rank = 2, .shape = { 2048, 4096 } };
    rc_int4_layout l = { RC_STORE_PACKED, 128, false, RC_DTYPE_BF16 };
    rc_want w[RC_WANT_MAX];

    (void)state;
    assert_int_equal(rc_param_int4(&p, &l, w), 3);
    expect_want(&w[0], "a.w1.weight_packed", RC_DTYPE_I32, 2, 2048, 512, 4194304);
    expect_want(&w[1], "a.w1.weight_scale", RC_DTYPE_BF16, 2, 2048, 32, 131072);
    expect_want(&w[2], "a.w1.weight_shape", RC_DTYPE_I64, 1, 2, 0, 16);
    l.zeros = true;
    assert_int_equal(rc_param_int4(&p, &l, w), 4);
    expect_want(&w[2], "a.w1.weight_zero_point", RC_DTYPE_I32, 2, 256, 32, 32768);
    expect_want(&w[3], "a.w1.weight_shape", RC_DTYPE_I64, 1, 2, 0, 16);
    l = (rc_int4_layout){ RC_STORE_AWQ, 32, true, RC_DTYPE_F16 };
    assert_int_equal(rc_param_int4(&p, &l, w), 3);
    expect_want(&w[0], "a.w1.qweight", RC_DTYPE_I32, 2, 4096, 256, 4194304);
    expect_want(&w[1], "a.w1.scales", RC_DTYPE_F16, 2, 128, 2048, 524288);
    expect_want(&w[2], "a.w1.qzeros", RC_DTYPE_I32, 2, 128, 256, 131072);
    assert_string_equal(rc_store_name(RC_STORE_PACKED), "packed");
    assert_string_equal(rc_store_name(RC_STORE_AWQ), "awq");
}

static void test_schema_tied_head(void **state)
{
    rc_config c = released_config(false, 1);
    rc_mem mem = { 0 };
    rc_schema *s;

    (void)state;
    c.tie_word_embeddings = true;
    s = make_schema(&c, &native_mtp, &mem);
    assert_null(rc_schema_find(s, "head.weight"));
    rc_schema_free(&s);
}

static void refuse(const rc_config *c, const rc_traits *t, rc_code code, const char *says)
{
    rc_mem mem = { .limit = 64u << 20 };
    rc_schema *s;
    rc_err err;

    assert_int_equal(rc_schema_new(&s, c, t, &mem, &err), code);
    assert_int_equal(err.code, code);
    if (!strstr(err.msg, says) && !strstr(err.want, says) && !strstr(err.got, says))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
    assert_null(s);
    assert_int_equal(mem.used, 0);
}

static void test_schema_refuses_contradictions(void **state)
{
    rc_config c = released_config(false, 1);

    (void)state;
    refuse(&c, &native_dspark, RC_E_TENSORSET, "compress_ratios is too short");
    c.compress_ratios[7] = 64;
    refuse(&c, &native_mtp, RC_E_TENSORSET, "layer 7");
    c = released_config(false, 1);
    c.compress_ratios[43] = 5;
    refuse(&c, &native_mtp, RC_E_TENSORSET, "draft block 0");
    c = released_config(false, 1);
    c.moe_intermediate_size = 2040;
    refuse(&c, &native_mtp, RC_E_TENSORSET, "2040");
    c = released_config(false, 1);
    c.q_lora_rank = 0;
    refuse(&c, &native_mtp, RC_E_TENSORSET, "q_lora_rank");
    c = released_config(false, 1);
    c.o_groups = 7;
    refuse(&c, &native_mtp, RC_E_TENSORSET, "o_groups");
    c = released_config(false, 3);
    c.dspark_markov_rank = 0;
    refuse(&c, &native_dspark, RC_E_TENSORSET, "dspark_markov_rank");
    c = released_config(false, 3);
    c.n_dspark_targets = 0;
    refuse(&c, &native_dspark, RC_E_TENSORSET, "dspark_target_layer_ids");
    c = released_config(false, 1);
    c.n_shared_experts = 2;
    refuse(&c, &native_mtp, RC_E_TENSORSET, "n_shared_experts 2");
}

/* The largest values that rc_config_parse() lets through. */
static void test_schema_refuses_absurd_sizes(void **state)
{
    rc_config c = released_config(false, 1);

    (void)state;
    c.num_hidden_layers = 512;
    c.n_routed_experts = 65536;
    c.n_compress_ratios = 513;
    for (unsigned i = 43; i < 513; i++)
        c.compress_ratios[i] = 0;
    refuse(&c, &native_mtp, RC_E_LIMIT, "more than");
    c = released_config(false, 1);
    c.num_attention_heads = c.head_dim = c.q_lora_rank = 1u << 24;
    refuse(&c, &native_mtp, RC_E_TENSORSET, "too large");
}

static void test_schema_survives_allocation_failures(void **state)
{
    const rc_config c = released_config(false, 1);

    (void)state;
    for (size_t at = 1;; at++) {
        rc_mem mem = { .fail_at = at };
        rc_schema *s;
        rc_err err;
        const rc_code rc = rc_schema_new(&s, &c, &native_mtp, &mem, &err);

        if (rc == RC_OK) {
            rc_schema_free(&s);
            assert_int_equal(mem.used, 0);
            assert_true(at > 3);
            return;
        }
        assert_int_equal(rc, RC_E_OS);
        assert_null(s);
        assert_int_equal(mem.used, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema_flash),
        cmocka_unit_test(test_schema_pro),
        cmocka_unit_test(test_schema_flash_0731),
        cmocka_unit_test(test_schema_pro_0813),
        cmocka_unit_test(test_schema_flash_base),
        cmocka_unit_test(test_schema_vision_text_side),
        cmocka_unit_test(test_schema_shapes),
        cmocka_unit_test(test_schema_order_is_the_models),
        cmocka_unit_test(test_schema_layouts),
        cmocka_unit_test(test_schema_int4),
        cmocka_unit_test(test_schema_tied_head),
        cmocka_unit_test(test_schema_refuses_contradictions),
        cmocka_unit_test(test_schema_refuses_absurd_sizes),
        cmocka_unit_test(test_schema_survives_allocation_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
