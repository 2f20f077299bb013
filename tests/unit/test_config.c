/* tests/unit/test_config.c - each field of config.json wrong in turn (faults B14 to B30). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/config.h"

/* A small model in the words of the published configs. */
static const char sound[] =
    "{\n"
    "  \"architectures\": [\"DeepseekV4ForCausalLM\", \"x\"],\n"
    "  \"attention_bias\": false,\n"
    "  \"bos_token_id\": 0, \"eos_token_id\": 1,\n"
    "  \"expert_dtype\": \"fp4\",\n"
    "  \"hc_eps\": 1e-06, \"hc_mult\": 4, \"hc_sinkhorn_iters\": 20,\n"
    "  \"head_dim\": 128, \"hidden_act\": \"silu\", \"hidden_size\": 256,\n"
    "  \"index_head_dim\": 128, \"index_n_heads\": 16, \"index_topk\": 8,\n"
    "  \"max_position_embeddings\": 4096, \"model_type\": \"deepseek_v4\",\n"
    "  \"moe_intermediate_size\": 128, \"n_routed_experts\": 6, \"n_shared_experts\": 1,\n"
    "  \"norm_topk_prob\": true, \"num_attention_heads\": 4, \"num_experts_per_tok\": 2,\n"
    "  \"num_hidden_layers\": 5, \"num_hash_layers\": 1, \"num_key_value_heads\": 1,\n"
    "  \"num_nextn_predict_layers\": 1, \"o_groups\": 2, \"o_lora_rank\": 128,\n"
    "  \"q_lora_rank\": 128, \"qk_rope_head_dim\": 64,\n"
    "  \"quantization_config\": {\"activation_scheme\": \"dynamic\", \"fmt\": \"e4m3\",\n"
    "    \"quant_method\": \"fp8\", \"scale_fmt\": \"ue8m0\", \"weight_block_size\": [128, 64]},\n"
    "  \"rms_norm_eps\": 1e-20,\n"
    "  \"rope_scaling\": {\"beta_fast\": 32, \"beta_slow\": 1, \"factor\": 16,\n"
    "    \"original_max_position_embeddings\": 65536, \"type\": \"yarn\"},\n"
    "  \"rope_theta\": 10000, \"routed_scaling_factor\": 1.5,\n"
    "  \"scoring_func\": \"sqrtsoftplus\", \"sliding_window\": 128, \"swiglu_limit\": 10.0,\n"
    "  \"tie_word_embeddings\": false, \"topk_method\": \"noaux_tc\", \"vocab_size\": 384,\n"
    "  \"compress_rope_theta\": 160000, \"compress_ratios\": [0, 4, 128, 4, 128, 0],\n"
    "  \"dspark_block_size\": 5, \"dspark_markov_rank\": 256, \"dspark_noise_token_id\": 100,\n"
    "  \"dspark_target_layer_ids\": [2, 3, 4]\n"
    "}\n";

static unsigned warnings;

static void on_warning(void *ctx, const rc_err *w)
{
    (void)ctx;
    (void)w;
    warnings++;
}

static rc_code parse(rc_config *c, const char *text, size_t len, rc_err *err)
{
    const rc_log log = { .warn = on_warning, .ctx = NULL };
    rc_mem mem = { 0 };
    uint8_t *exact = malloc(len ? len : 1);
    rc_code rc;

    warnings = 0;
    memset(err, 0, sizeof *err);
    memcpy(exact, text, len);
    rc = rc_config_parse(c, exact, len, &log, &mem, err);
    free(exact);
    assert_int_equal(mem.used, 0);
    assert_int_equal(err->code, rc);
    return rc;
}

/* The sound config with the first `from` replaced. */
static char *with(const char *from, const char *to)
{
    const char *at = strstr(sound, from);
    char *text = malloc(sizeof sound + strlen(to));

    assert_non_null(at);
    sprintf(text, "%.*s%s%s", (int)(at - sound), sound, to, at + strlen(from));
    return text;
}

static void test_config_reads(void **state)
{
    rc_config c;
    rc_err err;

    (void)state;
    assert_int_equal(parse(&c, sound, sizeof sound - 1, &err), RC_OK);
    assert_string_equal(c.model_type, "deepseek_v4");
    assert_string_equal(c.architecture, "DeepseekV4ForCausalLM");
    assert_string_equal(c.expert_dtype, "fp4");
    assert_string_equal(c.scoring_func, "sqrtsoftplus");
    assert_string_equal(c.topk_method, "noaux_tc");
    assert_int_equal(c.vocab_size, 384);
    assert_int_equal(c.hidden_size, 256);
    assert_int_equal(c.num_hidden_layers, 5);
    assert_int_equal(c.num_hash_layers, 1);
    assert_int_equal(c.num_attention_heads, 4);
    assert_int_equal(c.head_dim, 128);
    assert_int_equal(c.o_groups, 2);
    assert_int_equal(c.n_routed_experts, 6);
    assert_int_equal(c.hc_mult, 4);
    assert_int_equal(c.eos_token_id, 1);
    assert_true(c.norm_topk_prob);
    assert_false(c.tie_word_embeddings);
    assert_int_equal(c.n_compress_ratios, 6);
    assert_int_equal(c.compress_ratios[2], 128);
    assert_true(c.rms_norm_eps == 1e-20);
    assert_true(c.rope_theta == 10000 && c.compress_rope_theta == 160000);
    assert_true(c.rope_factor == 16 && c.rope_beta_fast == 32 && c.rope_beta_slow == 1);
    assert_int_equal(c.rope_original_max_position, 65536);
    assert_true(c.routed_scaling_factor == 1.5 && c.swiglu_limit == 10);
    assert_true(c.has_quantization);
    assert_string_equal(c.quant_method, "fp8");
    assert_string_equal(c.quant_fmt, "e4m3");
    assert_string_equal(c.quant_scale_fmt, "ue8m0");
    assert_string_equal(c.quant_activation, "dynamic");
    assert_int_equal(c.weight_block[0], 128);
    assert_int_equal(c.weight_block[1], 64);
    assert_int_equal(c.dspark_block_size, 5);
    assert_int_equal(c.n_dspark_targets, 3);
    assert_int_equal(c.dspark_target_layer_ids[2], 4);
    assert_int_equal(warnings, 0);
}

static void test_config_accepts_what_releases_differ_in(void **state)
{
    static const struct {
        const char *from, *to;
    } cases[] = {
        { "  \"expert_dtype\": \"fp4\",\n", "" },
        { "\"num_nextn_predict_layers\": 1, ", "" },
        { "\"num_nextn_predict_layers\": 1", "\"num_nextn_predict_layers\": 0" },
        { "\"fp4\"", "null" },
        { "\"hc_mult\": 4", "\"hc_mult\": 1" },
        { "\"hc_mult\": 4", "\"hc_mult\": 16" },
        { "\"attention_bias\": false", "\"dtype\": \"bfloat16\"" },
        { "\"attention_bias\": false", "\"torch_dtype\": \"bfloat16\"" },
        { "\"attention_bias\": false", "\"text_config_x\": {\"hidden_size\": 5}" },
        { "\"attention_bias\": false", "\"a\": [{\"hidden_size\": [5]}], \"b\": {\"c\": {}}" },
        { "\"attention_bias\": false", "\"rope_scaling.factor\": \"x\"" },
        { "\"attention_bias\": false", "\"head_dim\\u002e\": \"x\"" },
        { "\"x\"],", "{\"hidden_size\": [1, {}]}, [2]]," },
        { "\"dspark_block_size\": 5, ", "" },
        { "[2, 3, 4]", "[]" },
        { "[2, 3, 4]", "null" },
        { "[128, 64]", "null" },
        { "\"yarn\"", "\"yarn\", \"factor\\u005f\": 1" },
        { "\"factor\": 16,", "" },
        { "160000,", "160000.0,\r\n" },
        { "1e-20", "0.1e-400" },
        { "1e-20", "-0" },
    };
    rc_config c;
    rc_err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = with(cases[i].from, cases[i].to);

        if (parse(&c, text, strlen(text), &err) != RC_OK)
            print_error("%s: %s\n", cases[i].to, err.msg);
        assert_int_equal(err.code, RC_OK);
        free(text);
    }
}

static void test_config_optional_sections(void **state)
{
    char *text = with("\"quantization_config\": {\"activation", "\"q\": {\"activation");
    rc_config c;
    rc_err err;

    (void)state;
    assert_int_equal(parse(&c, text, strlen(text), &err), RC_OK);
    assert_false(c.has_quantization);
    assert_int_equal(c.weight_block[0], 0);
    assert_string_equal(c.quant_method, "");
    free(text);

    text = with("\"rope_scaling\": {", "\"rope_scaling\": null, \"r\": {");
    assert_int_equal(parse(&c, text, strlen(text), &err), RC_OK);
    assert_true(c.rope_factor == 1 && c.rope_beta_fast == 32 && c.rope_beta_slow == 1);
    assert_int_equal(c.rope_original_max_position, 4096);
    free(text);
}

/* The root's word counts, whichever comes first. */
static void test_config_expert_dtype_inside_quantization(void **state)
{
    static const struct {
        const char *from, *to, *want;
    } cases[] = {
        { "\"fmt\": \"e4m3\"", "\"expert_dtype\": \"fp8\"", "fp4" },
        { "\"architectures\"", "\"quantization_config\": {\"expert_dtype\": \"fp8\"}, \"a\"",
          "fp4" },
        { "\"expert_dtype\": \"fp4\",", "\"quantization_config\": {\"expert_dtype\": \"fp8\"},",
          "fp8" },
    };
    rc_config c;
    rc_err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = with(cases[i].from, cases[i].to);

        if (i > 0) /* one section only */
            memcpy(strstr(strstr(text, "\"fp8\"}") + 6, "\"quantization_config\""),
                   "\"quantization_c0nfig\"", 21);
        assert_int_equal(parse(&c, text, strlen(text), &err), RC_OK);
        assert_string_equal(c.expert_dtype, cases[i].want);
        free(text);
    }
}

static void test_config_refuses(void **state)
{
    static const struct {
        const char *from, *to;
        rc_code code;
        const char *says;
    } cases[] = {
        /* B18 */
        { "\"deepseek_v4\"", "\"deepseek_v3\"", RC_E_UNSUPPORTED, "model_type" },
        { "\"deepseek_v4\"", "\"deepseek_v41\"", RC_E_UNSUPPORTED, "DeepSeek-V4.1" },
        { "\"deepseek_v4\"", "7", RC_E_DATA, "model_type is not a string" },
        { "\"deepseek_v4\"", "null", RC_E_DATA, "model_type is not a string" },
        { "\"model_type\"", "\"m\"", RC_E_DATA, "model_type is missing" },
        /* B19 */
        { "\"num_hidden_layers\": 5", "\"num_hidden_layers\": -1", RC_E_DATA, "num_hidden_layers" },
        { "\"num_hidden_layers\": 5", "\"num_hidden_layers\": 0", RC_E_DATA, "num_hidden_layers" },
        { "\"num_hidden_layers\": 5", "\"num_hidden_layers\": 1000000000", RC_E_DATA,
          "num_hidden_layers is out of range" },
        { "\"num_hidden_layers\": 5", "\"num_hidden_layers\": 1e308", RC_E_DATA,
          "num_hidden_layers is not a whole number" },
        { "\"num_hidden_layers\": 5", "\"num_hidden_layers\": \"43\"", RC_E_DATA,
          "num_hidden_layers is not a whole number" },
        { "\"num_hidden_layers\": 5", "\"num_hidden_layers\": null", RC_E_DATA,
          "num_hidden_layers" },
        { "\"num_hidden_layers\": 5", "\"num_hidden_layers\": [5]", RC_E_DATA,
          "num_hidden_layers" },
        { "\"num_hidden_layers\": 5", "\"num_hidden_layers\": {\"a\":5}", RC_E_DATA,
          "num_hidden_layers" },
        { "\"num_hidden_layers\": 5", "\"num_hidden_layers\": 7", RC_E_DATA, "compress_ratios" },
        { "\"n_routed_experts\": 6", "\"n_routed_experts\": 0", RC_E_DATA, "n_routed_experts" },
        { "\"hidden_size\": 256", "\"hidden_size\": 1000000000", RC_E_DATA, "hidden_size" },
        { "\"vocab_size\": 384", "\"vocab_size\": 18446744073709551616", RC_E_DATA, "vocab_size" },
        { "\"vocab_size\": 384", "\"vocab_size\": 384.0", RC_E_DATA, "vocab_size" },
        { "\"vocab_size\": 384", "\"vocabulary\": 384", RC_E_DATA, "vocab_size is missing" },
        { "\"hc_mult\": 4", "\"hc_mult\": 17", RC_E_DATA, "hc_mult" },
        { "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": 0", RC_E_DATA, "tie_word" },
        { "\"sqrtsoftplus\"", "\"a name that is far too long for any scoring function\"", RC_E_DATA,
          "scoring_func is too long" },
        { "[\"DeepseekV4ForCausalLM\", \"x\"]", "\"DeepseekV4ForCausalLM\"", RC_E_DATA,
          "architectures is not a list" },
        { "[0, 4, 128, 4, 128, 0]", "[0, 4, 128, 4, 128.5, 0]", RC_E_DATA, "compress_ratios" },
        { "[0, 4, 128, 4, 128, 0]", "[0, 4, 128, [4], 128, 0]", RC_E_DATA, "compress_ratios" },
        { "[0, 4, 128, 4, 128, 0]", "4", RC_E_DATA, "compress_ratios is not a list" },
        { "[2, 3, 4]", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]", RC_E_DATA,
          "dspark_target_layer_ids has too many" },
        /* B21 */
        { "[128, 64]", "[128, 0]", RC_E_DATA, "quantization_config.weight_block_size" },
        { "[128, 64]", "[0, 128]", RC_E_DATA, "quantization_config.weight_block_size" },
        { "[128, 64]", "[-1, 128]", RC_E_DATA, "quantization_config.weight_block_size" },
        { "[128, 64]", "[128]", RC_E_DATA, "quantization_config.weight_block_size has too few" },
        { "[128, 64]", "[128, 128, 128]", RC_E_DATA, "weight_block_size has too many" },
        { "[128, 64]", "{}", RC_E_DATA, "weight_block_size is not a list" },
        { "{\"activation_scheme\": \"dynamic\", ", "[], \"x\": {", RC_E_DATA,
          "quantization_config is not an object" },
        /* B30 and other reals */
        { "1e-20", "1e400", RC_E_DATA, "rms_norm_eps" },
        { "1e-20", "-1e-6", RC_E_DATA, "rms_norm_eps" },
        { "1e-20", "\"1e-6\"", RC_E_DATA, "rms_norm_eps is not a number" },
        { "\"factor\": 16", "\"factor\": 0", RC_E_DATA, "rope_scaling.factor" },
        { "\"yarn\"", "\"linear\"", RC_E_UNSUPPORTED, "rope_scaling.type" },
        { "\"silu\"", "\"gelu\"", RC_E_UNSUPPORTED, "hidden_act" },
        /* two fields that contradict each other */
        { "\"qk_rope_head_dim\": 64", "\"qk_rope_head_dim\": 130", RC_E_DATA, "qk_rope_head_dim" },
        { "\"qk_rope_head_dim\": 64", "\"qk_rope_head_dim\": 63", RC_E_DATA, "odd" },
        { "\"o_groups\": 2", "\"o_groups\": 3", RC_E_DATA, "o_groups" },
        { "\"num_experts_per_tok\": 2", "\"num_experts_per_tok\": 7", RC_E_DATA, "per_tok" },
        { "\"num_hash_layers\": 1", "\"num_hash_layers\": 6", RC_E_DATA, "num_hash_layers" },
        /* B14, B16, B29 */
        { "\"vocab_size\": 384", "\"vocab_size\": 384, \"head_dim\": 128", RC_E_DATA,
          "duplicate key \"head_dim\", first at byte" },
        { "{\n", "\xef\xbb\xbf{\n", RC_E_DATA, "byte order mark" },
    };
    rc_config c;
    rc_err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = with(cases[i].from, cases[i].to);
        const rc_code rc = parse(&c, text, strlen(text), &err);

        if (rc != cases[i].code || !strstr(err.msg, cases[i].says))
            print_error("%s: %d %s\n", cases[i].to, (int)rc, err.msg);
        assert_int_equal(rc, cases[i].code);
        assert_non_null(strstr(err.msg, cases[i].says));
        free(text);
    }
}

static void test_config_says_where_and_what(void **state)
{
    char *text = with("\"hidden_size\": 256", "\"hidden_size\": 2560000000");
    char line[900], want[200];
    rc_config c;
    rc_err err;

    (void)state;
    assert_int_equal(parse(&c, text, strlen(text), &err), RC_E_DATA);
    snprintf(want, sizeof want,
             "@%d: hidden_size is out of range (want 1 to 16777216, got 2560000000) [data/65]",
             (int)(strstr(text, "2560000000") - text));
    assert_string_equal(rc_err_line(&err, line, sizeof line), want);
    free(text);
    text = with("\"deepseek_v4\"", "\"deepseek_v3\"");
    assert_int_equal(parse(&c, text, strlen(text), &err), RC_E_UNSUPPORTED);
    assert_string_equal(err.want, "deepseek_v4");
    assert_string_equal(err.got, "deepseek_v3");
    free(text);
}

/* Another model's file is answered by its type, not by the first odd field. */
static void test_config_of_another_model(void **state)
{
    static const struct {
        const char *text;
        rc_code code;
        const char *says;
    } cases[] = {
        { "{\"hidden_size\":\"x\",\"head_dim\":null,\"model_type\":\"llama\"}", RC_E_UNSUPPORTED,
          "model_type is not supported" },
        { "{\"model_type\":\"deepseek_v41\",\"text_config\":{\"hidden_size\":4096}}",
          RC_E_UNSUPPORTED, "DeepSeek-V4.1" },
        { "{\"model_type\":\"deepseek_v4\",\"text_config\":{\"hidden_size\":4096}}",
          RC_E_UNSUPPORTED, "DeepSeek-V4.1" },
        { "{\"text_config\":{\"hidden_size\":4096}}", RC_E_UNSUPPORTED, "DeepSeek-V4.1" },
        { "{}", RC_E_DATA, "is missing" },
        { "[]", RC_E_DATA, "not a JSON object" },
        { "\"deepseek_v4\"", RC_E_DATA, "not a JSON object" },
        { "{\"model_type\":\"llama\",}", RC_E_DATA, "malformed" },
    };
    rc_config c;
    rc_err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse(&c, cases[i].text, strlen(cases[i].text), &err), cases[i].code);
        assert_non_null(strstr(err.msg, cases[i].says));
    }
}

/* B22 */
static void test_config_ignores_code(void **state)
{
    char *text = with("\"attention_bias\": false", "\"auto_map\": {\"AutoModel\": \"evil.Model\"}, "
                                                   "\"_attn_implementation_internal\": \"x/y\"");
    rc_config c;
    rc_err err;

    (void)state;
    assert_int_equal(parse(&c, text, strlen(text), &err), RC_OK);
    assert_int_equal(warnings, 1);
    free(text);
}

/* B29: what the reader allows, and no more. */
static void test_config_depth(void **state)
{
    static char deep[100001];
    char *text;
    rc_config c;
    rc_err err;

    (void)state;
    for (int i = 0; i < 500; i++)
        memcpy(deep + i, "[", 1);
    memset(deep + 500, ']', 500);
    memcpy(deep, "\"attention_bias\":", 17); /* then 483 levels, unbalanced: */
    memset(deep + 17, '[', 483);
    memset(deep + 500, ']', 483);
    deep[983] = '\0';
    text = with("\"attention_bias\": false", deep);
    assert_int_equal(parse(&c, text, strlen(text), &err), RC_OK);
    free(text);
    memset(deep + 17, '[', sizeof deep - 18);
    deep[sizeof deep - 1] = '\0';
    text = with("\"attention_bias\": false", deep);
    assert_int_equal(parse(&c, text, strlen(text), &err), RC_E_DATA);
    assert_non_null(strstr(err.msg, "nested deeper"));
    free(text);
}

/* B17 */
static void test_config_cut_at_every_byte(void **state)
{
    rc_config c;
    rc_err err;

    (void)state;
    for (size_t n = 0; n < sizeof sound - 2; n++) {
        assert_int_equal(parse(&c, sound, n, &err), RC_E_DATA);
        assert_int_equal(err.offset, n);
    }
}

static void test_config_survives_any_single_byte(void **state)
{
    static const uint8_t bytes[] = { 0,   '"', '{', '}',  '[', ']',  ',',  ':',  '-',  '.',
                                     'e', '0', '9', '\\', ' ', '\n', 0x7f, 0x80, 0xc3, 0xff };
    char text[sizeof sound];
    rc_config c;
    rc_err err;

    (void)state;
    memcpy(text, sound, sizeof sound);
    for (size_t i = 0; i < sizeof sound - 1; i++)
        for (size_t k = 0; k < sizeof bytes; k++) {
            text[i] = (char)bytes[k];
            (void)!parse(&c, text, sizeof sound - 1, &err);
            text[i] = sound[i];
        }
}

static void test_config_no_memory_and_too_large(void **state)
{
    rc_config c;
    rc_code rc = RC_E_OS;

    (void)state;
    for (size_t k = 1; rc != RC_OK; k++) {
        rc_mem mem = { .fail_at = k };
        rc_err err = { 0 };

        rc = rc_config_parse(&c, (const uint8_t *)sound, sizeof sound - 1, NULL, &mem, &err);
        assert_true(rc == RC_OK || rc == RC_E_OS);
        assert_int_equal(mem.used, 0);
        assert_true(k < 50);
    }
    {
        rc_mem mem = { 0 };
        rc_err err = { 0 };

        assert_int_equal(rc_config_parse(&c, (const uint8_t *)"{", RC_CONFIG_MAX_BYTES + (size_t)1,
                                         NULL, &mem, &err),
                         RC_E_LIMIT);
        assert_int_equal(mem.calls, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_reads),
        cmocka_unit_test(test_config_accepts_what_releases_differ_in),
        cmocka_unit_test(test_config_optional_sections),
        cmocka_unit_test(test_config_expert_dtype_inside_quantization),
        cmocka_unit_test(test_config_refuses),
        cmocka_unit_test(test_config_says_where_and_what),
        cmocka_unit_test(test_config_of_another_model),
        cmocka_unit_test(test_config_ignores_code),
        cmocka_unit_test(test_config_depth),
        cmocka_unit_test(test_config_cut_at_every_byte),
        cmocka_unit_test(test_config_survives_any_single_byte),
        cmocka_unit_test(test_config_no_memory_and_too_large),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
