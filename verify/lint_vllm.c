/* verify/lint_vllm.c - what vLLM's loader of DeepSeek-V4 takes.
 *
 * It is strict about names (a tensor that it cannot place raises) and lenient about values
 * (everything is copied into a parameter of a type that was chosen from config.json): what goes
 * wrong there goes wrong silently. */
#include <string.h>

#include "verify/lint_rules.h"

#define VLLM "vllm-project/vllm"

static const rc_lint_source
    quant_config = { VLLM, "vllm/models/deepseek_v4/quant_config.py", "commit 234b8eb" },
    model = { VLLM, "vllm/models/deepseek_v4/nvidia/model.py", "commit 0101ca2" },
    attention = { VLLM, "vllm/models/deepseek_v4/attention.py", "commit 0484480" },
    o_proj = { VLLM, "vllm/models/deepseek_v4/nvidia/ops/o_proj.py", "commit 055e47c" },
    mtp = { VLLM, "vllm/models/deepseek_v4/nvidia/mtp.py and dspark.py",
            "commits 0050eb8, 0343572" },
    fp8 = { VLLM, "vllm/model_executor/layers/quantization/fp8.py and utils/fp8_utils.py",
            "commit 0071b24" },
    registry = { VLLM, "vllm/model_executor/models/registry.py", "excerpt, 2026" },
    loader = { VLLM, "vllm/model_executor/model_loader/weight_utils.py", "excerpt, 2026" },
    tokenizers = { VLLM, "vllm/tokenizers/deepseek_v4.py and deepseek_v4_encoding.py",
                   "commits 5dff544, 591f7b5" },
    ct = { VLLM,
           "vllm/model_executor/layers/quantization/compressed_tensors/compressed_tensors.py and "
           "utils.py",
           "0.33.0" },
    ct_moe = { VLLM,
               "vllm/model_executor/layers/quantization/compressed_tensors/compressed_tensors_moe/"
               "compressed_tensors_moe_wna16.py",
               "0.33.0" },
    awq = { VLLM, "vllm/model_executor/layers/quantization/auto_awq.py", "0.33.0" },
    o_proj_bf16 = { VLLM, "vllm/models/deepseek_v4/nvidia/ops/o_proj.py", "0.33.0" },
    model_033 = { VLLM, "vllm/models/deepseek_v4/nvidia/model.py and mtp.py", "0.33.0" },
    issue_e8m0 = { VLLM, "issue 43416, pull request 51946 (open)", "August 2026" };

static void check_layout(const rc_lint_facts *f, rc_lint_finding *out)
{
    const char *algo = "", *method = "";
    rc_lint_verdict verdict = RC_LINT_FAILS;
    const char *why = "the loader has no place for these names";
    rc_err *e;

    if (f->layout == RC_LINT_NATIVE)
        return;
    if (rc_lint_is_int4(f)) {
        if (f->layout == RC_LINT_AWQ)
            rc_lint_say(out, RC_LINT_NOTE, "AWQ beside BF16, as of version 0.33: read, not run");
        return;
    }
    (void)rc_lint_str(f->quant, "moe_quant_algo", &algo);
    (void)rc_lint_str(f->quant, "quant_method", &method);
    if (f->layout == RC_LINT_AWQ || f->layout == RC_LINT_CT)
        why = f->unbound.msg; /* not of the kinds that are */
    else if (f->layout == RC_LINT_GPTQ)
        why = "it cannot describe the FP8 attention";
    else if (f->layout == RC_LINT_NVFP4 && strcmp(algo, "NVFP4") == 0) {
        verdict = RC_LINT_NOTE;
        why = "moe_quant_algo says so; newer versions only";
    } else if (f->layout == RC_LINT_NVFP4 && strncmp(method, "fp8", 3) != 0) {
        verdict = RC_LINT_WARNING;
        why = "newer versions only";
    } else if (f->layout == RC_LINT_NVFP4)
        why = "without moe_quant_algo the experts are taken for MXFP4";
    e = rc_lint_say(out, verdict, "%s: %s", rc_lint_layout_name(f->layout), why);
    rc_lint_at(e, f, f->mark);
    rc_err_hint(e, "recast convert RELEASE DIR --to fp8 makes a layout that is read");
}

/* Absent means "fp4" to the loader. In quantization_config it is not looked for. */
static void check_expert_dtype_missing(const rc_lint_facts *f, rc_lint_finding *out)
{
    const rc_store store = rc_lint_experts(f);
    const char *stated;
    rc_err *e;

    if (store != RC_STORE_FP8 || rc_lint_expert_dtype(f, &stated))
        return;
    e = rc_lint_say(out, RC_LINT_FAILS,
                    rc_lint_str(f->quant, "expert_dtype", &stated)
                        ? "expert_dtype is in quantization_config, not at the root: "
                          "the FP8 experts are taken for FP4"
                        : "expert_dtype is missing: the FP8 experts are taken for "
                          "FP4");
    rc_err_file(e, "config.json");
    rc_err_want(e, "\"fp8\"");
    rc_err_got(e, "nothing, which is \"fp4\"");
    rc_err_hint(e, "add \"expert_dtype\": \"fp8\" at the root, as recast convert --to fp8 does");
}

static void check_expert_dtype(const rc_lint_facts *f, rc_lint_finding *out)
{
    const rc_store store = rc_lint_experts(f);
    const char *stored = store == RC_STORE_FP8 ? "fp8" : store == RC_STORE_FP4 ? "fp4" : NULL;
    const char *stated = "fp4";
    char shown[80];
    rc_err *e;

    if (f->layout == RC_LINT_NVFP4)
        stored = "fp4";
    if (rc_lint_is_int4(f))
        return; /* the key chooses nothing there */
    if (!rc_lint_expert_dtype(f, &stated))
        return;
    if (!stored && (strcmp(stated, "fp4") == 0 || strcmp(stated, "fp8") == 0)) {
        if (store != RC_STORE_PLAIN)
            rc_lint_skip(out, "not judged: nobody knows how the experts are stored");
        else
            stored = "neither (BF16)";
    }
    if (stored ? strcmp(stored, stated) == 0 : out->verdict == RC_LINT_SKIPPED)
        return;
    e = rc_lint_say(out, RC_LINT_FAILS, "expert_dtype is not how the experts are stored");
    rc_err_file(e, "config.json");
    rc_err_want(e, "%s", stored ? stored : "fp4 or fp8");
    rc_err_got(e, "%s", rc_escape(shown, sizeof shown, stated, strlen(stated)));
}

/* The bytes of E8M0 scales of experts go into the parameter as they are. FP4 experts have bytes
 * there; FP8 experts have F32, and exponent 120 becomes 120.0. */
static void check_expert_scale(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!rc_lint_bound(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);
        rc_err *e;

        if (b->param->quant != RC_QUANT_EXPERT || b->store != RC_STORE_FP8 || !b->scale ||
            b->scale->dtype != RC_DTYPE_F8_E8M0)
            continue;
        e = rc_lint_say(
            out, RC_LINT_FAILS,
            "E8M0 scales of FP8 experts are copied as bytes into F32: garbage, no message");
        if (!e)
            continue;
        rc_lint_at(e, f, b->scale);
        rc_err_want(e, "F32");
        rc_err_got(e, "F8_E8M0");
        rc_err_hint(e, "recast convert RELEASE DIR --to fp8 (F32 scales are its default)");
    }
}

static void check_fp4_scale(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!rc_lint_bound(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);
        rc_err *e;

        if (b->store != RC_STORE_FP4 || !b->scale || b->scale->dtype == RC_DTYPE_F8_E8M0 ||
            b->scale->dtype == RC_DTYPE_U8)
            continue;
        e = rc_lint_say(out, RC_LINT_FAILS,
                        "the parameter holds exponent bytes: other numbers are cut");
        if (!e)
            continue;
        rc_lint_at(e, f, b->scale);
        rc_err_want(e, "F8_E8M0");
        rc_err_got(e, "%s", rc_dtype_name(b->scale->dtype));
    }
}

/* .scale is renamed by what the experts are; .weight_scale_inv is taken as it is, and FP4
 * experts have no such parameter. */
static void check_scale_names(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!rc_lint_bound(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);
        rc_err *e;

        if (b->store != RC_STORE_FP4 || !b->scale || !rc_lint_is_inv(b->scale->name))
            continue;
        e = rc_lint_say(out, RC_LINT_FAILS, "FP4 experts have no parameter of this name");
        if (!e)
            continue;
        rc_lint_at(e, f, b->scale);
        rc_err_want(e, ".scale");
        rc_err_got(e, ".weight_scale_inv");
    }
}

static void check_extra(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!rc_lint_bound(f, out))
        return;
    for (size_t i = 0; i < rc_model_problems(f->model); i++) {
        const rc_problem *p = rc_model_problem(f->model, i);

        if (p->kind == RC_EXTRA && strncmp(p->tensor, "mtp.", 4) != 0)
            rc_lint_quote(out, RC_LINT_FAILS, &p->what);
    }
    if (rc_model_opaque_count(f->model))
        rc_lint_say(out, RC_LINT_WARNING, "vision tensors are read by newer versions only");
}

/* The product with wo_a runs in FP8, on its bytes and scale. */
static void check_wo_a(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (rc_lint_is_int4(f))
        rc_lint_skip(out, "not judged: see vllm/int4-wo-a");
    if (rc_lint_is_int4(f) || !rc_lint_bound(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);
        rc_err *e;

        if (!b->weight || b->param->draft ||
            !rc_lint_ends_with(b->param->name, ".attn.wo_a.weight") ||
            (b->weight->dtype == RC_DTYPE_F8_E4M3 && b->scale))
            continue;
        e = rc_lint_say(out, RC_LINT_FAILS, "wo_a must be FP8 and have its scale");
        if (!e)
            continue;
        rc_lint_at(e, f, b->weight);
        rc_err_want(e, "F8_E4M3 with a scale");
        rc_err_got(e, "%s%s", rc_dtype_name(b->weight->dtype), b->scale ? "" : ", no scale");
        rc_err_hint(e, "recast convert RELEASE DIR --to fp8 keeps it");
    }
}

static void check_hardware(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (rc_lint_experts(f) == RC_STORE_FP4)
        rc_lint_say(
            out, RC_LINT_NOTE,
            "FP4 experts: Blackwell computes with them, Hopper decodes them (Marlin), older "
            "processors lack FP8, too");
}

const rc_lint_rule rc_lint_rules_vllm[] = {
    { "vllm/container", "a GGUF file where a folder is read", &loader, rc_lint_is_folder },
    { "vllm/layout", "AWQ, GPTQ, NVFP4, compressed-tensors, names of transformers", &quant_config,
      check_layout },
    { "vllm/model-type", "model_type chooses the FP8 method of V4", &quant_config,
      rc_lint_model_type },
    { "vllm/architectures", "the class that is loaded", &registry, rc_lint_architectures },
    { "vllm/config", "keys that the model is built from are missing or make no sense", &attention,
      rc_lint_config_whole },
    { "vllm/compress-ratios", "a list that is too short, or a ratio other than 0, 4, 128",
      &attention, rc_lint_ratios },
    { "vllm/routing", "scoring_func and topk_method: gate.bias has a place only for noaux_tc",
      &model, rc_lint_routing },
    { "vllm/quant-method", "quantization_config missing, or of another method", &quant_config,
      rc_lint_quant_method },
    { "vllm/activation-scheme", "block scales demand dynamic activations", &fp8,
      rc_lint_activation },
    { "vllm/block-size", "weight_block_size other than [128, 128], or missing", &fp8,
      rc_lint_block_size },
    { "vllm/scale-fmt", "scale_fmt and fmt: some versions index them unasked", &fp8, rc_lint_fmt },
    { "vllm/int4-method", "4-bit integers under another quant_method", &ct, rc_lint_int4_method },
    { "vllm/awq-keys", "AWQ's own keys: bits, group_size, zero_point, modules_to_not_convert", &awq,
      rc_lint_awq_keys },
    { "vllm/ct-format", "a group of config_groups without the format of its weights", &ct,
      rc_lint_ct_format },
    { "vllm/ct-arguments", "a scheme that is not built: actorder, odd groups, unknown mixtures",
      &ct, rc_lint_ct_arguments },
    { "vllm/int4-modules", "a module that is stored unlike what targets and ignore make of it",
      &model_033, rc_lint_int4_modules_vllm },
    { "vllm/int4-experts", "an expert stored unlike the first, which is asked for all", &ct_moe,
      rc_lint_int4_experts },
    { "vllm/int4-names", "names of transformers", &model_033, rc_lint_int4_names },
    { "vllm/int4-wo-a", "wo_a in 4 bits", &o_proj_bf16, rc_lint_int4_wo_a },
    { "vllm/int4-tiles", "matrices that Marlin has no tiles for", &ct_moe, rc_lint_int4_tiles },
    { "vllm/expert-dtype-missing", "FP8 experts without expert_dtype are taken for FP4",
      &quant_config, check_expert_dtype_missing },
    { "vllm/expert-dtype", "expert_dtype that is not how the experts are stored", &quant_config,
      check_expert_dtype },
    { "vllm/expert-scale-e8m0", "E8M0 scales of FP8 experts load as garbage", &issue_e8m0,
      check_expert_scale },
    { "vllm/fp4-scale-dtype", "scales of FP4 experts that are not exponent bytes", &model,
      check_fp4_scale },
    { "vllm/scale-names", ".weight_scale_inv beside FP4 experts", &model, check_scale_names },
    { "vllm/scale-missing", "a quantized weight without its scale", &model,
      rc_lint_scale_partners },
    { "vllm/scale-dtype", "dense scales that are neither F32 nor E8M0", &quant_config,
      rc_lint_scale_dtype },
    { "vllm/names", "a tensor that the loader cannot place", &model, check_extra },
    { "vllm/missing", "a parameter that nothing is loaded into", &model, rc_lint_missing },
    { "vllm/shapes", "wrong shapes", &model, rc_lint_shapes },
    { "vllm/weight-dtype", "a weight stored unlike the others of its kind", &model,
      rc_lint_weight_dtype },
    { "vllm/wo-a", "wo_a that is not FP8, or has no scale", &o_proj, check_wo_a },
    { "vllm/control-f32", "hc_*, attn_sink, ape, gate.bias that are not F32", &model,
      rc_lint_control },
    { "vllm/table-dtype", "tid2eid that is not of integers", &model, rc_lint_tables },
    { "vllm/files", "index and shards that disagree", &loader, rc_lint_files_agree },
    { "vllm/metadata-format", "shards without \"format\": \"pt\"", &loader, rc_lint_format },
    { "vllm/draft", "MTP or DSpark: what is done with it, what it lacks", &mtp, rc_lint_draft },
    { "vllm/tokenizer", "tokenizer files that are missing", &tokenizers, rc_lint_tokenizer },
    { "vllm/chat", "no encoding/ and no template", &tokenizers, rc_lint_chat },
    { "vllm/fp4-hardware", "which processors compute FP4 experts", &quant_config, check_hardware },
    { "vllm/tp-heads", "--tp that does not divide the heads", &attention, rc_lint_tp_heads },
    { "vllm/tp-groups", "--tp that does not divide o_groups", &attention, rc_lint_tp_groups },
    { "vllm/tp-experts", "--tp that does not divide the experts", &model, rc_lint_tp_experts },
    { "vllm/tp-intermediate", "--tp that cuts through the FP8 blocks of experts", &fp8,
      rc_lint_tp_intermediate },
    { "vllm/tp-int4", "groups of experts that --tp cuts through", &ct_moe, rc_lint_int4_tp },
    { "vllm/tp-blocks", "--tp that cuts through the FP8 blocks of attention", &fp8,
      rc_lint_tp_blocks },
    { 0 },
};
