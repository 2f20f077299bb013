/* tests/unit/test_convert_gguf.c - recipes, layout and plan of GGUF files. */
#include "convert/convert.h"
#include "convert/synth.h"
#include "formats/gguf_write.h"
#include "tests/unit/fixture.h"

/* ----------------------------------------------------------------- recipes */

static const rc_param
    expert = { .role = RC_ROLE_EXPERT, .expert = 3, .rank = 2 },
    dense = { .role = RC_ROLE_ATTN,
              .expert = -1,
              .rank = 2,
              .quant = RC_QUANT_DENSE,
              .dtype = RC_DTYPE_BF16 },
    norm = { .role = RC_ROLE_NORM, .expert = -1, .rank = 1, .dtype = RC_DTYPE_BF16 },
    hc = { .role = RC_ROLE_HC, .expert = -1, .rank = 2, .dtype = RC_DTYPE_F32 },
    hash = { .role = RC_ROLE_ROUTER, .expert = -1, .rank = 2, .dtype = RC_DTYPE_I64 };

static rc_gguf_asked ask(const char *name, const rc_param *param, uint64_t cols)
{
    return (rc_gguf_asked){ .name = name, .param = param, .source = param->dtype, .cols = cols };
}

static rc_gguf_recipe *recipe(const char *preset, const char *file, const char *const *rules,
                              unsigned n, rc_mem *mem)
{
    rc_gguf_recipe *r;
    rc_err err;

    if (rc_gguf_recipe_new(&r, preset, "rules", file, file ? strlen(file) : 0, rules, n, mem,
                           &err) != RC_OK)
        fail_msg("%s: %s", preset, err.msg);
    return r;
}

static rc_dtype chosen(rc_gguf_recipe *r, const char *name, const rc_param *param, uint64_t cols)
{
    const rc_gguf_asked asked = ask(name, param, cols);
    rc_gguf_choice choice;
    rc_err err;

    if (rc_gguf_recipe_choose(r, &asked, &choice, &err) != RC_OK)
        fail_msg("%s: %s", name, err.msg);
    return choice.dtype;
}

/* Every preset that is announced is there, in any letter case. */
static void test_recipe_presets(void **state)
{
    char names[256];
    rc_mem mem = { 0 };
    unsigned n = 0;

    (void)state;
    snprintf(names, sizeof names, "%s", rc_gguf_presets());
    for (char *rest, *name = strtok_r(names, "|", &rest); name;
         name = strtok_r(NULL, "|", &rest), n++) {
        rc_gguf_recipe *r = recipe(name, NULL, NULL, 0, &mem);

        assert_string_equal(rc_gguf_recipe_preset(r), name);
        assert_int_equal(rc_gguf_recipe_is_ds4(r), strncmp(name, "ds4-", 4) == 0);
        assert_int_equal(chosen(r, "blk.0.attn_norm.weight", &norm, 256), RC_DTYPE_F32);
        assert_int_equal(chosen(r, "blk.0.ffn_gate_tid2eid.weight", &hash, 6), RC_DTYPE_I32);
        rc_gguf_recipe_free(&r);
    }
    assert_int_equal(n, 14);
    assert_int_equal(mem.used, 0);
}

static void test_recipe_ds4_has_two_expert_types(void **state)
{
    rc_mem mem = { 0 };
    rc_gguf_recipe *r = recipe("DS4-q2", NULL, NULL, 0, &mem);

    (void)state;
    assert_int_equal(chosen(r, "blk.1.ffn_down_exps.weight", &expert, 256), RC_DTYPE_Q2_K);
    assert_int_equal(chosen(r, "blk.1.ffn_gate_exps.weight", &expert, 256), RC_DTYPE_IQ2_XXS);
    assert_int_equal(chosen(r, "blk.1.hc_attn_fn.weight", &hc, 256), RC_DTYPE_F16);
    rc_gguf_recipe_free(&r);
}

/* The command line before the file, the file before the preset, the first that matches. */
static void test_recipe_order_of_rules(void **state)
{
    static const char *const rules[] = { " blk.1.* = Q6_K " };
    rc_mem mem = { 0 };
    rc_gguf_recipe *r =
        recipe("q4_k", "# all\n\n@expert = q5_k # some\r\nblk.2.*=q3_k", rules, 1, &mem);
    rc_err err;

    (void)state;
    assert_int_equal(chosen(r, "blk.1.ffn_up_exps.weight", &expert, 256), RC_DTYPE_Q6_K);
    assert_int_equal(chosen(r, "blk.2.ffn_up_exps.weight", &expert, 256), RC_DTYPE_Q5_K);
    assert_int_equal(chosen(r, "blk.2.attn_kv.weight", &dense, 256), RC_DTYPE_Q3_K);
    assert_int_equal(chosen(r, "blk.3.attn_kv.weight", &dense, 256), RC_DTYPE_Q8_0);
    assert_int_equal(rc_gguf_recipe_check_used(r, &err), RC_OK);
    rc_gguf_recipe_free(&r);
    assert_int_equal(mem.used, 0);
}

/* A preset's type gives way where it does not fit; a rule's does not. */
static void test_recipe_rows_that_do_not_divide(void **state)
{
    static const char *const rules[] = { "blk.1.*=q4_k" };
    rc_mem mem = { 0 };
    rc_gguf_recipe *r = recipe("q4_k", NULL, rules, 1, &mem);
    const rc_gguf_asked asked = ask("blk.1.ffn_up_exps.weight", &expert, 96);
    rc_gguf_choice choice;
    rc_err err;

    (void)state;
    assert_int_equal(chosen(r, "blk.2.ffn_up_exps.weight", &expert, 96), RC_DTYPE_Q8_0);
    assert_int_equal(chosen(r, "blk.2.ffn_up_exps.weight", &expert, 48), RC_DTYPE_BF16);
    assert_int_equal(rc_gguf_recipe_choose(r, &asked, &choice, &err), RC_E_UNSUPPORTED);
    assert_string_equal(err.tensor, asked.name);
    rc_gguf_recipe_free(&r);
}

/* A rule that names one tensor is obeyed or refused; a pattern passes over what it cannot mean. */
static void test_recipe_fixed_types(void **state)
{
    static const char
        *const named[] = { "blk.0.attn_norm.weight=q8_0", "blk.0.hc_attn_fn.weight=q8_0" },
               *const all[] = { "*=q8_0" }, *const same[] = { "blk.0.attn_norm.weight=f32" };
    const rc_gguf_asked asked[] = { ask("blk.0.attn_norm.weight", &norm, 256),
                                    ask("blk.0.hc_attn_fn.weight", &hc, 256) };
    rc_mem mem = { 0 };
    rc_gguf_recipe *r = recipe("q4_k", NULL, named, 2, &mem);
    rc_gguf_choice choice;
    rc_err err;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(rc_gguf_recipe_choose(r, &asked[i], &choice, &err), RC_E_UNSUPPORTED);
        assert_string_equal(err.tensor, asked[i].name);
    }
    rc_gguf_recipe_free(&r);
    r = recipe("q4_k", NULL, all, 1, &mem);
    assert_int_equal(chosen(r, asked[0].name, &norm, 256), RC_DTYPE_F32);
    assert_int_equal(chosen(r, asked[1].name, &hc, 256), RC_DTYPE_F32);
    rc_gguf_recipe_free(&r);
    r = recipe("q4_k", NULL, same, 1, &mem);
    assert_int_equal(chosen(r, asked[0].name, &norm, 256), RC_DTYPE_F32);
    rc_gguf_recipe_free(&r);
}

static void test_recipe_refuses(void **state)
{
    static const struct {
        const char *preset, *file, *rule;
        rc_code code;
        uint64_t offset;
    } cases[] = {
        { "q4_k_m", NULL, NULL, RC_E_USAGE, RC_NO_OFFSET },
        { "", NULL, NULL, RC_E_USAGE, RC_NO_OFFSET },
        { "q4_k", NULL, "", RC_E_USAGE, RC_NO_OFFSET },
        { "q4_k", NULL, "=q4_k", RC_E_USAGE, RC_NO_OFFSET },
        { "q4_k", NULL, "a=", RC_E_USAGE, RC_NO_OFFSET },
        { "q4_k", NULL, "a=q4_k=q5_k", RC_E_USAGE, RC_NO_OFFSET },
        { "q4_k", NULL, "@=q4_k", RC_E_USAGE, RC_NO_OFFSET },
        { "q4_k", "a=q4_k\nb\n", NULL, RC_E_DATA, 7 },
        { "q4_k", "\n  b = q9", NULL, RC_E_DATA, 3 },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *file = cases[i].file;
        rc_gguf_recipe *r;
        rc_mem mem = { 0 };
        rc_err err;

        assert_int_equal(rc_gguf_recipe_new(&r, cases[i].preset, "rules", file,
                                            file ? strlen(file) : 0, &cases[i].rule,
                                            cases[i].rule != NULL, &mem, &err),
                         cases[i].code);
        assert_null(r);
        assert_int_equal(err.offset, cases[i].offset);
        assert_int_equal(mem.used, 0);
    }
}

static void test_recipe_rule_unused(void **state)
{
    static const char *const rules[] = { "blk.9.*=q4_k" };
    rc_mem mem = { 0 };
    rc_gguf_recipe *r = recipe("q4_k", NULL, rules, 1, &mem);
    rc_err err;

    (void)state;
    (void)chosen(r, "blk.1.ffn_up_exps.weight", &expert, 256);
    assert_int_equal(rc_gguf_recipe_check_used(r, &err), RC_E_USAGE);
    rc_gguf_recipe_free(&r);
}

/* ------------------------------------------------------------------ layout */

static rc_code lay_out(rc_gguf_put *puts, size_t n, rc_mem *mem, rc_err *err)
{
    rc_ggufw *w = rc_ggufw_new(mem);
    uint64_t file_len;
    size_t head_len;
    char *head;
    rc_code rc;

    assert_non_null(w);
    rc = rc_gguf_layout(w, puts, n, &head, &head_len, &file_len, mem, err);
    if (rc == RC_OK) {
        assert_int_equal(head_len % 32, 0);
        assert_int_equal(file_len % 32, 0);
        assert_int_equal(puts[0].begin, head_len);
    } else {
        assert_null(head);
    }
    rc_mem_put(mem, head);
    rc_ggufw_free(&w);
    assert_int_equal(mem->used, 0);
    return rc;
}

static void test_layout_aligns(void **state)
{
    rc_gguf_put puts[] = {
        { .name = "a", .dtype = RC_DTYPE_F32, .rank = 1, .shape = { 1 } },
        { .name = "b", .dtype = RC_DTYPE_Q4_K, .rank = 3, .shape = { 2, 3, 256 } },
        { .name = "c", .dtype = RC_DTYPE_BF16, .rank = 2, .shape = { 16, 1 } },
    };
    rc_mem mem = { 0 };
    rc_err err;

    (void)state;
    assert_int_equal(lay_out(puts, 3, &mem, &err), RC_OK);
    assert_int_equal(puts[0].nbytes, 4);
    assert_int_equal(puts[1].begin, puts[0].begin + 32);
    assert_int_equal(puts[1].nbytes, (uint64_t)2 * 3 * 144);
    assert_int_equal(puts[2].begin, puts[1].begin + 864);
}

static void test_layout_refuses(void **state)
{
    static const char long_name[] =
        "0123456789012345678901234567890123456789012345678901234567890123";
    static const struct {
        rc_gguf_put put;
        rc_code code;
    } cases[] = {
        { { .name = long_name, .dtype = RC_DTYPE_F32, .rank = 1, .shape = { 1 } },
          RC_E_UNSUPPORTED },
        { { .name = long_name + 1, .dtype = RC_DTYPE_F32, .rank = 1, .shape = { 1 } }, RC_OK },
        { { .name = "a", .dtype = RC_DTYPE_Q4_K, .rank = 2, .shape = { 2, 255 } },
          RC_E_UNSUPPORTED },
        { { .name = "a", .dtype = RC_DTYPE_F8_E4M3, .rank = 1, .shape = { 32 } },
          RC_E_UNSUPPORTED },
        { { .name = "a", .dtype = RC_DTYPE_F32, .rank = 0 }, RC_E_UNSUPPORTED },
        { { .name = "a", .dtype = RC_DTYPE_F32, .rank = 5, .shape = { 1, 1, 1, 1 } },
          RC_E_UNSUPPORTED },
        { { .name = "a", .dtype = RC_DTYPE_F32, .rank = 2, .shape = { 1ull << 33, 1ull << 33 } },
          RC_E_LIMIT },
        { { .name = "a", .dtype = RC_DTYPE_F32, .rank = 1, .shape = { 1ull << 62 } }, RC_E_LIMIT },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        rc_gguf_put put = cases[i].put;
        rc_mem mem = { 0 };
        rc_err err;

        assert_int_equal(lay_out(&put, 1, &mem, &err), cases[i].code);
    }
}

/* ----------------------------------------------------------- without memory */

static rc_code convert(const char *src, const char *dst, rc_mem *mem, rc_err *err)
{
    static const char *const rules[] = { "blk.0.ffn_*_exps.weight=iq2_xxs" };
    const rc_convert_opts opts = { .execute = { .threads = 1, .require_exact = true },
                                   .force = true,
                                   .restart = true };
    rc_recipe how = { .target = RC_TO_GGUF, .draft = RC_DRAFT_SEPARATE, .stem = "m" };
    rc_convert_report report;
    rc_source *source;
    rc_ckpt *ckpt = NULL;
    rc_model *model = NULL;
    rc_plan *plan = NULL;
    rc_code rc = rc_gguf_recipe_new(&how.gguf, "q4_k", NULL, NULL, 0, rules, 1, mem, err);

    if (rc == RC_OK)
        rc = rc_source_open(&source, src, NULL, mem, err);
    if (rc == RC_OK)
        rc = rc_ckpt_open(&ckpt, source, NULL, mem, err);
    if (rc == RC_OK)
        rc = rc_model_new(&model, ckpt, mem, err);
    if (rc == RC_OK)
        rc = rc_plan_new(&plan, model, &how, NULL, mem, err);
    if (rc == RC_OK)
        rc = rc_convert(plan, dst, &opts, &report, mem, err);
    rc_plan_free(&plan);
    rc_model_free(&model);
    rc_ckpt_close(&ckpt);
    rc_gguf_recipe_free(&how.gguf);
    return rc;
}

/* Refused at the k-th allocation, for every k early on and then more rarely: an error, nothing
 * held, nothing that says it is complete. */
static void test_convert_gguf_survives_no_memory(void **state)
{
    const rc_synth_options options = { .like = "tiny", .threads = 1, .layers = 1, .experts = 2 };
    fx_dir dir = fx_open(NULL);
    char src[300], dst[300], summary[300];
    rc_synth_result made;
    rc_code rc = RC_E_OS;
    rc_mem mem = { 0 };
    rc_err err;

    (void)state;
    snprintf(src, sizeof src, "%s/src", dir.path);
    snprintf(dst, sizeof dst, "%s/m.gguf", dir.path);
    snprintf(summary, sizeof summary, "%s/m.recast.json", dir.path);
    if (rc_synth(src, &options, &made, &mem, &err) != RC_OK)
        fail_msg("synth: %s", err.msg);
    for (size_t k = 1; rc != RC_OK; k += k < 100 ? 3 : 1 + k / 16) {
        mem = (rc_mem){ .fail_at = k };
        rc = convert(src, dst, &mem, &err);
        if (rc != RC_OK && rc != RC_E_OS)
            fail_msg("allocation %zu: %s", k, err.msg);
        if (mem.used)
            fail_msg("allocation %zu: %zu bytes are held", k, (size_t)mem.used);
        assert_int_equal(access(summary, F_OK) == 0, rc == RC_OK);
    }
    fx_close(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipe_presets),
        cmocka_unit_test(test_recipe_ds4_has_two_expert_types),
        cmocka_unit_test(test_recipe_order_of_rules),
        cmocka_unit_test(test_recipe_rows_that_do_not_divide),
        cmocka_unit_test(test_recipe_fixed_types),
        cmocka_unit_test(test_recipe_refuses),
        cmocka_unit_test(test_recipe_rule_unused),
        cmocka_unit_test(test_layout_aligns),
        cmocka_unit_test(test_layout_refuses),
        cmocka_unit_test(test_convert_gguf_survives_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
