/* tests/unit/test_hf_names.c - every name has one other name, and leads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/hf_names.h"
#include "tests/unit/released.h"

static void test_hf_pairs(void **state)
{
    static const char *const pairs[][2] = {
        { "embed.weight", "model.embed_tokens.weight" },
        { "head.weight", "lm_head.weight" },
        { "norm.weight", "model.norm.weight" },
        { "hc_head_base", "model.hc_head.hc_base" },
        { "layers.12.hc_ffn_fn", "model.layers.12.ffn_hc.fn" },
        { "layers.0.attn_norm.weight", "model.layers.0.input_layernorm.weight" },
        { "layers.0.attn.wq_b.weight_packed", "model.layers.0.self_attn.q_b_proj.weight_packed" },
        { "layers.0.attn.attn_sink", "model.layers.0.self_attn.sinks" },
        { "layers.2.attn.compressor.norm.weight",
          "model.layers.2.self_attn.compressor.kv_norm.weight" },
        { "layers.2.attn.indexer.wq_b.scale",
          "model.layers.2.self_attn.compressor.indexer.q_b_proj.scale" },
        { "layers.2.attn.indexer.compressor.ape",
          "model.layers.2.self_attn.compressor.indexer.position_bias" },
        { "layers.2.attn.indexer.weights_proj.weight",
          "model.layers.2.self_attn.compressor.indexer.scorer.weights_proj.weight" },
        { "layers.3.ffn.gate.weight", "model.layers.3.mlp.gate.weight" },
        { "layers.3.ffn.gate.bias", "model.layers.3.mlp.gate.e_score_correction_bias" },
        { "layers.3.ffn.gate.tid2eid", "model.layers.3.mlp.gate.tid2eid" },
        { "layers.3.ffn.shared_experts.w2", "model.layers.3.mlp.shared_experts.down_proj" },
        { "layers.3.ffn.experts.255.w3.qzeros", "model.layers.3.mlp.experts.255.up_proj.qzeros" },
        { "mtp.0.attn.wq_a.weight", "mtp.0.attn.wq_a.weight" },
        { "vision.patch.weight", "vision.patch.weight" },
    };
    char out[RC_HF_NAME];

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_true(rc_hf_from_native(pairs[i][0], out));
        assert_string_equal(out, pairs[i][1]);
        assert_true(rc_hf_to_native(pairs[i][1], out));
        assert_string_equal(out, pairs[i][0]);
    }
}

static void test_hf_others_are_copied(void **state)
{
    static const char *const others[] = { "",
                                          "layers.",
                                          "layers.x.attn.wkv",
                                          "embedding.weight",
                                          "model.layers.1.attn.wkv.weight",
                                          "layers.1.ffn.other" };
    char out[RC_HF_NAME], name[2 * RC_HF_NAME];

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_false(rc_hf_from_native(others[i], out));
        assert_string_equal(out, others[i]);
        assert_false(rc_hf_to_native(others[i], out));
        assert_string_equal(out, others[i]);
    }
    memset(name, '0', sizeof name); /* too long, in each part of a name */
    name[sizeof name - 1] = '\0';
    memcpy(name, "layers.", 7);
    memcpy(name + RC_HF_NAME - 20, ".attn.wkv", 10);
    assert_false(rc_hf_from_native(name, out));
    memcpy(name + RC_HF_NAME - 20, ".attn.wkv.weight0000", 20);
    assert_false(rc_hf_from_native(name, out));
    memcpy(name, "mtp.", 4);
    assert_false(rc_hf_to_native(name, out));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All names of Flash: each leads back, and no two are one. */
static void check_schema(const rc_config *config, const rc_traits *traits)
{
    rc_mem mem = { 0 };
    rc_schema *s;
    rc_err err;
    char **all;
    size_t n;

    if (rc_schema_new(&s, config, traits, &mem, &err) != RC_OK)
        fail_msg("%s", err.msg);
    n = rc_schema_count(s);
    all = calloc(n, sizeof *all);
    assert_non_null(all);
    for (size_t i = 0; i < n; i++) {
        const char *name = rc_schema_at(s, i)->name;
        char hf[RC_HF_NAME], back[RC_HF_NAME];

        if (!rc_hf_from_native(name, hf))
            fail_msg("%s has no other name", name);
        assert_true(rc_hf_to_native(hf, back));
        assert_string_equal(back, name);
        assert_int_equal(strncmp(name, "mtp.", 4) == 0, strcmp(hf, name) == 0);
        all[i] = strdup(hf);
    }
    qsort(all, n, sizeof *all, by_name);
    for (size_t i = 1; i < n; i++)
        assert_string_not_equal(all[i - 1], all[i]);
    for (size_t i = 0; i < n; i++)
        free(all[i]);
    free(all);
    rc_schema_free(&s);
}

static void test_hf_whole_schema(void **state)
{
    const rc_config april = released_config(false, 1), july = released_config(false, 3);
    rc_traits seeing = native_mtp;

    (void)state;
    seeing.vision = true;
    check_schema(&april, &seeing);
    check_schema(&july, &native_dspark);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hf_pairs),
        cmocka_unit_test(test_hf_others_are_copied),
        cmocka_unit_test(test_hf_whole_schema),
    };

    return cmocka_run_group_tests_name("hf_names", tests, NULL, NULL);
}
