/* verify/lint_sglang.c - what SGLang's loader of DeepSeek-V4 takes.
 *
 * It only warns of tensors that it cannot place and of parameters that stay empty: what is wrong
 * shows in what the model says. */
#include <string.h>

#include "verify/lint_rules.h"

#define SGLANG "sgl-project/sglang"

static const rc_lint_source
    model = { SGLANG, "python/sglang/srt/models/deepseek_v4.py", "commit 000328a" },
    config = { SGLANG, "python/sglang/srt/configs/deepseek_v4.py", "commit 008b79d" },
    fp8 = { SGLANG, "python/sglang/srt/layers/quantization/fp8.py and fp8_utils.py",
            "commit 00563d3" },
    loader = { SGLANG, "python/sglang/srt/model_loader/weight_utils.py", "excerpt, 2026" },
    ct = { SGLANG,
           "python/sglang/srt/layers/quantization/compressed_tensors/compressed_tensors.py and "
           "utils.py",
           "0.5.23" },
    ct_moe = { SGLANG,
               "python/sglang/srt/layers/quantization/compressed_tensors/schemes/"
               "compressed_tensors_wNa16_moe.py",
               "0.5.23" },
    awq = { SGLANG, "python/sglang/srt/layers/quantization/awq/awq.py", "0.5.23" },
    model_0523 = { SGLANG, "python/sglang/srt/models/deepseek_v4.py and deepseek_v4_nextn.py",
                   "0.5.23" },
    chat = { SGLANG, "python/sglang/srt/entrypoints/openai/encoding_dsv4.py", "commit 00370f2" };

static void check_layout(const rc_lint_facts *f, rc_lint_finding *out)
{
    rc_lint_verdict verdict = RC_LINT_FAILS;
    const char *why = "tensors of these names are dropped with a warning";
    rc_err *e;

    if (f->layout == RC_LINT_NATIVE)
        return;
    if (rc_lint_is_int4(f)) {
        if (f->layout == RC_LINT_AWQ)
            rc_lint_say(out, RC_LINT_NOTE,
                        "AWQ as of version 0.5.23, read, not run: earlier ones rename .scales and "
                        "drop it");
        return;
    }
    if (f->layout == RC_LINT_AWQ || f->layout == RC_LINT_CT)
        why = f->unbound.msg; /* not of the kinds that are */
    else if (f->layout == RC_LINT_GPTQ)
        why = "it cannot describe the FP8 attention";
    else if (f->layout == RC_LINT_NVFP4) {
        verdict = RC_LINT_WARNING;
        why = "not in the version that was read; ask for the one that serves it";
    }
    e = rc_lint_say(out, verdict, "%s: %s", rc_lint_layout_name(f->layout), why);
    rc_lint_at(e, f, f->mark);
    rc_err_hint(e, "recast convert RELEASE DIR --to fp8 makes a layout that is read");
}

/* The header of one expert decides; expert_dtype is not read. */
static void check_experts(const rc_lint_facts *f, rc_lint_finding *out)
{
    const rc_store store = rc_lint_experts(f);

    if (f->layout != RC_LINT_NATIVE)
        rc_lint_skip(out, "not judged: the layout is %s", rc_lint_layout_name(f->layout));
    else if (store == RC_STORE_FP8)
        rc_lint_say(out, RC_LINT_NOTE,
                    "FP8 experts are recognised; versions before May 2026 need "
                    "SGLANG_DSV4_FP4_EXPERTS=0");
    else if (store != RC_STORE_FP4) {
        rc_err *e = rc_lint_say(out, RC_LINT_FAILS, "experts of this type are taken for FP4");

        rc_err_tensor(e, "layers.0.ffn.experts.0.w1.weight");
        rc_err_want(e, "I8 (packed FP4) or F8_E4M3");
        rc_err_got(e, "%s", store == RC_STORE_PLAIN ? "BF16" : "another, or none");
        rc_err_hint(e, "recast convert RELEASE DIR --to fp8");
    }
}

static void check_extra(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!rc_lint_bound(f, out))
        return;
    for (size_t i = 0; i < rc_model_problems(f->model); i++)
        if (rc_model_problem(f->model, i)->kind == RC_EXTRA)
            rc_lint_quote(out, RC_LINT_WARNING, &rc_model_problem(f->model, i)->what);
    if (rc_model_opaque_count(f->model))
        rc_lint_say(out, RC_LINT_WARNING, "vision tensors are read by newer versions only");
}

static bool is_wo_a(const rc_bound *b)
{
    return b->weight && !b->param->draft && rc_lint_ends_with(b->param->name, ".attn.wo_a.weight");
}

/* wo_a is decoded to BF16 while it is loaded, if any wo_a has a tensor named .scale: then all
 * must have one. Otherwise FP8 codes are copied as numbers. */
static void check_wo_a(const rc_lint_facts *f, rc_lint_finding *out)
{
    bool any = false;

    if (rc_lint_is_int4(f))
        rc_lint_skip(out, "not judged: see sglang/int4-wo-a");
    if (rc_lint_is_int4(f) || !rc_lint_bound(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);

        any = any || (is_wo_a(b) && b->scale && !rc_lint_is_inv(b->scale->name));
    }
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);
        const bool fp8_weight = is_wo_a(b) && b->weight->dtype == RC_DTYPE_F8_E4M3;
        rc_err *e;

        if (!is_wo_a(b) || (any && b->scale && !rc_lint_is_inv(b->scale->name) && fp8_weight) ||
            (!any && !fp8_weight))
            continue;
        e = any ? rc_lint_say(out, RC_LINT_FAILS, "other layers' wo_a have a .scale: all must")
                : rc_lint_say(
                      out, RC_LINT_FAILS,
                      "FP8 codes of wo_a are copied as numbers: no tensor is named .wo_a.scale");
        if (!e)
            continue;
        rc_lint_at(e, f, b->weight);
        rc_err_want(e, "F8_E4M3 with wo_a.scale");
        rc_err_got(e, "%s, %s", rc_dtype_name(b->weight->dtype),
                   b->scale ? "scale under another name" : "no scale");
        rc_err_hint(e, "recast convert writes the names of the release");
    }
}

static void check_wo_a_scale(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (rc_lint_is_int4(f))
        rc_lint_skip(out, "not judged: see sglang/int4-wo-a");
    if (rc_lint_is_int4(f) || !rc_lint_bound(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);
        rc_err *e;

        if (!is_wo_a(b) || !b->scale || b->scale->dtype == RC_DTYPE_F32 ||
            b->scale->dtype == RC_DTYPE_F8_E8M0)
            continue;
        e = rc_lint_say(out, RC_LINT_FAILS, "the decoder of wo_a insists on the type of its scale");
        if (!e)
            continue;
        rc_lint_at(e, f, b->scale);
        rc_err_want(e, "F32 or F8_E8M0");
        rc_err_got(e, "%s", rc_dtype_name(b->scale->dtype));
    }
}

static void check_rope(const rc_lint_facts *f, rc_lint_finding *out)
{
    static const char *const keys[] = { "factor", "beta_fast", "beta_slow",
                                        "original_max_position_embeddings" };
    const rc_json_node *rope = rc_json_member(f->config, "rope_scaling");

    for (unsigned i = 0; i < 4; i++)
        if (!rope || !rc_json_member(rope, keys[i]))
            rc_err_file(
                rc_lint_say(out, RC_LINT_FAILS, "rope_scaling.%s is missing and read", keys[i]),
                "config.json");
}

static void check_kv_heads(const rc_lint_facts *f, rc_lint_finding *out)
{
    uint64_t n = 1;
    rc_err *e;

    if (!rc_lint_u64(f->config, "num_key_value_heads", &n) || n == 1)
        return;
    e = rc_lint_say(out, RC_LINT_FAILS, "num_key_value_heads must be 1");
    rc_err_file(e, "config.json");
    rc_err_want(e, "1");
    rc_err_got(e, "%" PRIu64, n);
}

const rc_lint_rule rc_lint_rules_sglang[] = {
    { "sglang/container", "a GGUF file where a folder is read", &loader, rc_lint_is_folder },
    { "sglang/layout", "AWQ, GPTQ, NVFP4, compressed-tensors, names of transformers", &model,
      check_layout },
    { "sglang/model-type", "model_type of the config class", &config, rc_lint_model_type },
    { "sglang/architectures", "the class that is loaded", &model, rc_lint_architectures },
    { "sglang/config", "keys that the model is built from are missing or make no sense", &config,
      rc_lint_config_whole },
    { "sglang/compress-ratios", "a list that is too short, or a ratio other than 0, 4, 128", &model,
      rc_lint_ratios },
    { "sglang/rope", "rope_scaling that lacks what is read", &model, check_rope },
    { "sglang/kv-heads", "num_key_value_heads other than 1", &model, check_kv_heads },
    { "sglang/routing", "scoring_func and topk_method", &model, rc_lint_routing },
    { "sglang/quant-method", "quantization_config missing, or of another method", &fp8,
      rc_lint_quant_method },
    { "sglang/activation-scheme", "block scales demand dynamic activations", &fp8,
      rc_lint_activation },
    { "sglang/block-size", "weight_block_size other than [128, 128], or missing", &fp8,
      rc_lint_block_size },
    { "sglang/scale-fmt", "scale_fmt and fmt as in the release", &fp8, rc_lint_fmt },
    { "sglang/int4-method", "4-bit integers under another quant_method", &ct, rc_lint_int4_method },
    { "sglang/awq-keys", "AWQ's own keys: bits, group_size, zero_point, modules_to_not_convert",
      &awq, rc_lint_awq_keys },
    { "sglang/ct-format", "a format of all other than pack-quantized, or of a group", &ct_moe,
      rc_lint_ct_format_of_all },
    { "sglang/ct-arguments", "a scheme that is not built: actorder, odd groups, unknown mixtures",
      &ct, rc_lint_ct_arguments },
    { "sglang/int4-modules", "a module that is stored unlike what targets and ignore make of it",
      &model_0523, rc_lint_int4_modules_sglang },
    { "sglang/int4-experts", "an expert stored unlike the first, which is asked for all", &ct_moe,
      rc_lint_int4_experts },
    { "sglang/int4-names", "names of transformers", &model_0523, rc_lint_int4_names },
    { "sglang/int4-zeros", "zero points of compressed-tensors, taken for AWQ's", &ct_moe,
      rc_lint_int4_zeros },
    { "sglang/int4-wo-a", "wo_a in 4 bits, or in FP8 under compressed-tensors' names", &model_0523,
      rc_lint_int4_wo_a_sglang },
    { "sglang/int4-joined", "wq_a and wkv, which are joined by name", &model_0523,
      rc_lint_int4_joined },
    { "sglang/int4-tiles", "matrices that Marlin has no tiles for", &ct_moe, rc_lint_int4_tiles },
    { "sglang/experts", "experts whose stored type is neither FP4 nor FP8", &config,
      check_experts },
    { "sglang/scale-missing", "a quantized weight without its scale", &model,
      rc_lint_scale_partners },
    { "sglang/scale-dtype", "dense scales that are neither F32 nor E8M0", &fp8,
      rc_lint_scale_dtype },
    { "sglang/wo-a", "wo_a in FP8 whose scale is not named .scale, or in some layers only", &model,
      check_wo_a },
    { "sglang/wo-a-scale", "a scale of wo_a that is neither F32 nor E8M0", &model,
      check_wo_a_scale },
    { "sglang/names", "a tensor that the loader drops", &model, check_extra },
    { "sglang/missing", "a parameter that nothing is loaded into", &model, rc_lint_missing },
    { "sglang/shapes", "wrong shapes", &model, rc_lint_shapes },
    { "sglang/weight-dtype", "a weight stored unlike the others of its kind", &model,
      rc_lint_weight_dtype },
    { "sglang/control-f32", "hc_*, attn_sink, ape, gate.bias that are not F32", &model,
      rc_lint_control },
    { "sglang/table-dtype", "tid2eid that is not of integers", &model, rc_lint_tables },
    { "sglang/files", "index and shards that disagree", &loader, rc_lint_files_agree },
    { "sglang/metadata-format", "shards without \"format\": \"pt\"", &loader, rc_lint_format },
    { "sglang/draft", "MTP or DSpark: what is done with it, what it lacks", &model, rc_lint_draft },
    { "sglang/tokenizer", "tokenizer files that are missing", &chat, rc_lint_tokenizer },
    { "sglang/chat", "no encoding/ and no template", &chat, rc_lint_chat },
    { "sglang/tp-heads", "--tp that does not divide the heads", &model, rc_lint_tp_heads },
    { "sglang/tp-groups", "--tp that does not divide o_groups", &model, rc_lint_tp_groups },
    { "sglang/tp-intermediate", "--tp that cuts through the FP8 blocks of experts", &fp8,
      rc_lint_tp_intermediate },
    { "sglang/tp-int4", "groups of experts that --tp cuts through", &ct_moe, rc_lint_int4_tp },
    { "sglang/tp-blocks", "--tp that cuts through the FP8 blocks of attention", &fp8,
      rc_lint_tp_blocks },
    { 0 },
};
