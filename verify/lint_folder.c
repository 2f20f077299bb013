/* verify/lint_folder.c - what the engines that read safetensors have in common. */
#include <stdio.h>
#include <string.h>

#include "verify/lint_rules.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

void rc_lint_is_folder(const rc_lint_facts *f, rc_lint_finding *out)
{
    rc_err *e;

    if (!rc_ckpt_gguf(f->ckpt))
        return;
    e = rc_lint_say(out, RC_LINT_FAILS, "a GGUF file: this engine reads a folder of safetensors");
    rc_err_hint(e, "recast convert RELEASE DIR --to fp8");
}

/* Of the index engines take the names of the files, and all tensors in them: what it says
 * besides matters to others. */
void rc_lint_files_agree(const rc_lint_facts *f, rc_lint_finding *out)
{
    for (size_t i = 0; i < f->faults.n && i < RC_CKPT_FAULTS; i++)
        rc_lint_quote(out, RC_LINT_WARNING, &f->faults.at[i]);
    if (f->warnings)
        rc_lint_quote(out, RC_LINT_WARNING, &f->warning);
    if (out->count)
        rc_err_hint(&out->what, "write the index again from the headers of the shards");
}

void rc_lint_config_whole(const rc_lint_facts *f, rc_lint_finding *out)
{
    const char *type = "";

    (void)rc_lint_str(f->config, "model_type", &type);
    if (strcmp(type, "deepseek_v4") != 0)
        rc_lint_skip(out, "not judged: the model_type is not that of V4");
    else if (f->faults.config.code != RC_OK)
        rc_lint_quote(out, RC_LINT_FAILS, &f->faults.config);
}

/* A string of config.json that must be one of two (`other` may be NULL). */
static void must_be(rc_lint_finding *out, rc_lint_verdict verdict, const rc_json_node *object,
                    const char *key, const char *want, const char *other)
{
    const char *got = NULL;
    char shown[80];
    rc_err *e;

    if (rc_lint_str(object, key, &got) &&
        (strcmp(got, want) == 0 || (other && strcmp(got, other) == 0)))
        return;
    e = rc_lint_say(out, verdict, "%s is %s", key, got ? "another" : "missing");
    rc_err_file(e, "config.json");
    rc_err_want(e, "%s", want);
    if (got)
        rc_err_got(e, "%s", rc_escape(shown, sizeof shown, got, strlen(got)));
}

void rc_lint_model_type(const rc_lint_facts *f, rc_lint_finding *out)
{
    must_be(out, RC_LINT_FAILS, f->config, "model_type", "deepseek_v4", NULL);
}

void rc_lint_architectures(const rc_lint_facts *f, rc_lint_finding *out)
{
    static const char want[] = "DeepseekV4ForCausalLM";
    const rc_json_node *list = rc_json_member(f->config, "architectures");
    const rc_json_node *first = rc_json_is(list, RC_JSON_ARRAY) ? list->child : NULL;
    char shown[80];
    rc_err *e;

    if (rc_json_is(first, RC_JSON_STRING) && strcmp(first->text, want) == 0)
        return;
    e = rc_lint_say(out, RC_LINT_FAILS, "architectures does not name the class to load");
    rc_err_file(e, "config.json");
    rc_err_want(e, "[\"%s\"]", want);
    if (rc_json_is(first, RC_JSON_STRING))
        rc_err_got(e, "%s", rc_escape(shown, sizeof shown, first->text, first->len));
}

void rc_lint_format(const rc_lint_facts *f, rc_lint_finding *out)
{
    rc_err *e;

    if (!f->no_formats)
        return;
    e = rc_lint_say(
        out, RC_LINT_WARNING,
        "no \"format\": \"pt\" in __metadata__: this engine does not look, transformers "
        "refuses the shard");
    rc_err_file(e, f->no_format);
    out->count = f->no_formats;
}

/* ---------------------------------------------------------------------- quantization */

static bool has_fp8(const rc_lint_facts *f)
{
    const rc_traits *t = rc_model_traits(f->model);

    return t->dense == RC_STORE_FP8 || t->experts == RC_STORE_FP8;
}

/* Only where weights are FP8: the fields say how. */
static bool describes_fp8(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!rc_lint_bound(f, out))
        return false;
    if (!has_fp8(f))
        rc_lint_skip(out, "no FP8 weights");
    return has_fp8(f);
}

void rc_lint_quant_method(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (f->layout != RC_LINT_NATIVE)
        rc_lint_skip(out, "not judged: the layout is %s", rc_lint_layout_name(f->layout));
    else if (f->model && !has_fp8(f) && rc_model_traits(f->model)->experts == RC_STORE_PLAIN) {
        if (f->quant)
            rc_err_file(rc_lint_say(out, RC_LINT_FAILS,
                                    "quantization_config describes weights that are BF16"),
                        "config.json");
    } else if (!f->quant) {
        rc_err *e = rc_lint_say(out, RC_LINT_FAILS,
                                "the weights are quantized and quantization_config is missing");

        rc_err_file(e, "config.json");
        rc_err_want(e, "{\"quant_method\": \"fp8\", ..}");
    } else {
        must_be(out, RC_LINT_FAILS, f->quant, "quant_method", "fp8", "deepseek_v4_fp8");
    }
}

void rc_lint_activation(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (f->quant && f->layout == RC_LINT_NATIVE)
        must_be(out, RC_LINT_FAILS, f->quant, "activation_scheme", "dynamic", NULL);
    else
        rc_lint_skip(out, "no quantization_config of FP8");
}

static bool is_128(const rc_json_node *n)
{
    return rc_json_is(n, RC_JSON_NUMBER) && strcmp(n->text, "128") == 0;
}

void rc_lint_block_size(const rc_lint_facts *f, rc_lint_finding *out)
{
    const rc_json_node *list;
    rc_err *e;

    if (!f->quant || f->layout != RC_LINT_NATIVE) {
        rc_lint_skip(out, "no quantization_config of FP8");
        return;
    }
    list = rc_json_member(f->quant, "weight_block_size");
    if (rc_json_is(list, RC_JSON_ARRAY) && is_128(list->child) && is_128(list->child->next) &&
        !list->child->next->next)
        return;
    e = rc_lint_say(out, RC_LINT_FAILS, "weight_block_size is %s",
                    list ? "not that of the scales" : "missing: scales per tensor are expected");
    rc_err_file(e, "config.json");
    rc_err_want(e, "[128, 128]");
}

void rc_lint_fmt(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!f->quant || f->layout != RC_LINT_NATIVE) {
        rc_lint_skip(out, "no quantization_config of FP8");
        return;
    }
    must_be(out, RC_LINT_WARNING, f->quant, "scale_fmt", "ue8m0", NULL);
    must_be(out, RC_LINT_WARNING, f->quant, "fmt", "e4m3", NULL);
    if (out->count)
        rc_err_hint(&out->what,
                    "recast convert keeps the fields; some versions index them unasked");
}

void rc_lint_scale_partners(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!describes_fp8(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);

        if (b->weight && !b->scale && (b->store == RC_STORE_FP8 || b->store == RC_STORE_FP4) &&
            !rc_lint_ends_with(b->param->name, ".attn.wo_a.weight"))
            rc_lint_at(rc_lint_say(out, RC_LINT_FAILS, "a quantized weight without its scale"), f,
                       b->weight);
    }
}

void rc_lint_scale_dtype(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!describes_fp8(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);
        const rc_dtype dtype = b->scale ? b->scale->dtype : RC_DTYPE_F32;
        rc_err *e;

        if (b->store != RC_STORE_FP8 || dtype == RC_DTYPE_F32 || dtype == RC_DTYPE_F8_E8M0 ||
            (dtype == RC_DTYPE_BF16 && rc_lint_is_int4(f))) /* as llm-compressor writes them */
            continue;
        e = dtype == RC_DTYPE_U8 || dtype == RC_DTYPE_I8
                ? rc_lint_say(out, RC_LINT_FAILS,
                              "exponent bytes typed as integers: copied as numbers")
                : rc_lint_say(out, RC_LINT_WARNING, "a scale of a type that no release has");
        if (!e)
            continue;
        rc_lint_at(e, f, b->scale);
        rc_err_want(e, "F32 or F8_E8M0");
        rc_err_got(e, "%s", rc_dtype_name(dtype));
    }
}

/* --------------------------------------------------------------------------- tensors */

void rc_lint_missing(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!rc_lint_bound(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);

        if (!b->weight && !b->param->draft)
            rc_err_tensor(
                rc_lint_say(out, RC_LINT_FAILS,
                            "missing: the parameter stays as memory was, and nobody says so"),
                b->param->name);
    }
}

static bool same_shape(const rc_tensor *t, const rc_want *want)
{
    bool same = t->rank == want->rank;

    for (unsigned i = 0; same && i < want->rank; i++)
        same = t->shape[i] == want->shape[i];
    return same;
}

static void spell(char buf[96], unsigned rank, const uint64_t *shape)
{
    size_t at = (size_t)snprintf(buf, 96, "[");

    for (unsigned i = 0; i < rank && at < 64; i++)
        at += (size_t)snprintf(buf + at, 96 - at, "%s%" PRIu64, i ? ", " : "", shape[i]);
    snprintf(buf + at, 96 - at, "]");
}

static void compare_shape(const rc_lint_facts *f, rc_lint_finding *out, const rc_tensor *t,
                          const rc_want *want)
{
    char a[96], b[96];
    rc_err *e;

    if (same_shape(t, want))
        return;
    e = rc_lint_say(out, RC_LINT_FAILS, "wrong shape");
    if (!e)
        return;
    spell(a, want->rank, want->shape);
    spell(b, t->rank, t->shape);
    rc_lint_at(e, f, t);
    rc_err_want(e, "%s", a);
    rc_err_got(e, "%s", b);
}

void rc_lint_shapes(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!rc_lint_bound(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);
        rc_want want[2];
        unsigned n;

        if (!b->weight || b->store == RC_STORE_PACKED || b->store == RC_STORE_AWQ)
            continue;
        n = rc_param_layout(b->param, b->store, b->weight->dtype, RC_DTYPE_F32, want);
        compare_shape(f, out, b->weight, &want[0]);
        if (n == 2 && b->scale)
            compare_shape(f, out, b->scale, &want[1]);
    }
    /* all parts of 4-bit integers were held against each other when they were bound */
    for (size_t i = 0; rc_lint_is_int4(f) && i < rc_model_problems(f->model); i++) {
        const rc_problem *p = rc_model_problem(f->model, i);

        if (p->kind == RC_MALFORMED && p->tensor[0])
            rc_lint_quote(out, RC_LINT_FAILS, &p->what);
    }
}

void rc_lint_weight_dtype(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!rc_lint_bound(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);
        rc_want want[2];
        rc_err *e;

        if (!b->weight || b->param->quant == RC_QUANT_NONE || b->store == RC_STORE_PACKED ||
            b->store == RC_STORE_AWQ)
            continue;
        rc_param_layout(b->param, b->store, RC_DTYPE_BF16, RC_DTYPE_F32, want);
        if (b->weight->dtype == want[0].dtype)
            continue;
        e = rc_lint_say(out, RC_LINT_FAILS, "stored unlike the other weights of its kind");
        if (!e)
            continue;
        rc_lint_at(e, f, b->weight);
        rc_err_want(e, "%s", rc_dtype_name(want[0].dtype));
        rc_err_got(e, "%s", rc_dtype_name(b->weight->dtype));
    }
}

static bool is_float(rc_dtype d)
{
    return d == RC_DTYPE_F32 || d == RC_DTYPE_BF16 || d == RC_DTYPE_F16;
}

/* The parameter has F32 and the loader converts: what is stored shorter has lost its digits
 * before. */
void rc_lint_control(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!rc_lint_bound(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);
        rc_err *e;

        if (!b->weight || b->param->quant != RC_QUANT_NONE || b->param->dtype != RC_DTYPE_F32 ||
            b->weight->dtype == RC_DTYPE_F32)
            continue;
        e = is_float(b->weight->dtype)
                ? rc_lint_say(out, RC_LINT_WARNING,
                              "a control tensor that is not F32 has lost digits")
                : rc_lint_say(out, RC_LINT_FAILS,
                              "a control tensor of this type is no such tensor");
        if (!e)
            continue;
        rc_lint_at(e, f, b->weight);
        rc_err_want(e, "F32");
        rc_err_got(e, "%s", rc_dtype_name(b->weight->dtype));
        rc_err_hint(e,
                    "convert from the release again: hc_*, attn_sink, ape and gate.bias stay F32");
    }
}

void rc_lint_tables(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!rc_lint_bound(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);
        rc_err *e;

        if (!b->weight || b->param->dtype != RC_DTYPE_I64 || b->weight->dtype == RC_DTYPE_I64 ||
            b->weight->dtype == RC_DTYPE_I32)
            continue;
        e = rc_lint_say(out, RC_LINT_FAILS, "the table of experts by token must be of integers");
        if (!e)
            continue;
        rc_lint_at(e, f, b->weight);
        rc_err_want(e, "I64 or I32");
        rc_err_got(e, "%s", rc_dtype_name(b->weight->dtype));
    }
}

/* ------------------------------------------------------------------- the model's keys */

void rc_lint_ratios(const rc_lint_facts *f, rc_lint_finding *out)
{
    const rc_json_node *list = rc_json_member(f->config, "compress_ratios");
    uint64_t layers = 0, n = 0;
    rc_err *e;

    (void)rc_lint_u64(f->config, "num_hidden_layers", &layers);
    for (const rc_json_node *r = rc_json_is(list, RC_JSON_ARRAY) ? list->child : NULL; r;
         r = r->next, n++)
        if (strcmp(r->text ? r->text : "", "0") != 0 && strcmp(r->text ? r->text : "", "4") != 0 &&
            strcmp(r->text ? r->text : "", "128") != 0) {
            e = rc_lint_say(out, RC_LINT_FAILS, "compress_ratios[%" PRIu64 "] is no ratio of V4",
                            n);
            rc_err_file(e, "config.json");
            rc_err_want(e, "0, 4 or 128");
        }
    if (n >= layers && n)
        return;
    e = rc_lint_say(out, RC_LINT_FAILS, "compress_ratios is shorter than the model");
    rc_err_file(e, "config.json");
    rc_err_want(e, "at least %" PRIu64 " entries", layers);
    rc_err_got(e, "%" PRIu64, n);
}

void rc_lint_routing(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (rc_json_member(f->config, "scoring_func"))
        must_be(out, RC_LINT_FAILS, f->config, "scoring_func", "sqrtsoftplus", NULL);
    must_be(out, RC_LINT_FAILS, f->config, "topk_method", "noaux_tc", NULL);
    if (out->count)
        rc_err_hint(&out->what, "gate.bias has no parameter to go to, or scores are other scores");
}

/* ----------------------------------------------------------------------------- drafts */

static void lacks_dspark_key(const rc_lint_facts *f, rc_lint_finding *out)
{
    static const char *const keys[] = { "dspark_target_layer_ids", "dspark_markov_rank",
                                        "dspark_block_size", "dspark_noise_token_id" };
    rc_err *e;

    for (size_t i = 0; i < COUNT(keys); i++)
        if (!rc_json_member(f->config, keys[i])) {
            e = rc_lint_say(out, RC_LINT_WARNING, "a DSpark draft without %s cannot be started",
                            keys[i]);
            rc_err_file(e, "config.json");
        }
}

static void lacks_draft_tensor(const rc_lint_facts *f, rc_lint_finding *out)
{
    for (size_t i = 0; f->model && i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);

        if (!b->weight && b->param->draft)
            rc_err_tensor(rc_lint_say(out, RC_LINT_WARNING, "missing in the draft"),
                          b->param->name);
    }
}

/* However its values are stored. */
static bool draft_has(const rc_lint_facts *f, const char *matrix)
{
    static const char *const kinds[] = { "weight", "weight_packed", "qweight" };
    char name[64];

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        snprintf(name, sizeof name, "mtp.0.%s.%s", matrix, kinds[i]);
        if (rc_ckpt_find(f->ckpt, name))
            return true;
    }
    return false;
}

/* The main model is loaded without it; a draft is asked for by an option. */
void rc_lint_draft(const rc_lint_facts *f, rc_lint_finding *out)
{
    const bool dspark = draft_has(f, "main_proj"), mtp = draft_has(f, "e_proj");
    uint64_t nextn = 0;
    rc_err *e;

    (void)rc_lint_u64(f->config, "num_nextn_predict_layers", &nextn);
    if (!dspark && !mtp) {
        if (nextn)
            rc_lint_say(
                out, RC_LINT_NOTE,
                "no draft here: start without speculative decoding (num_nextn_predict_layers "
                "is %" PRIu64 ")",
                nextn);
        return;
    }
    if (dspark)
        lacks_dspark_key(f, out);
    else if (nextn != 1) {
        e = rc_lint_say(out, RC_LINT_WARNING,
                        "num_nextn_predict_layers is not the draft's one block");
        rc_err_file(e, "config.json");
        rc_err_want(e, "1");
        rc_err_got(e, "%" PRIu64, nextn);
    }
    lacks_draft_tensor(f, out);
    rc_lint_say(out, RC_LINT_NOTE, "%s draft: skipped unless speculative decoding is asked for%s",
                dspark ? "DSpark" : "MTP",
                dspark ? ", which needs a version that knows DSpark" : "");
}

/* -------------------------------------------------------------------------- side files */

void rc_lint_tokenizer(const rc_lint_facts *f, rc_lint_finding *out)
{
    rc_err *e;

    if (!rc_lint_has_file(f, "tokenizer.json")) {
        e = rc_lint_say(out, RC_LINT_FAILS, "tokenizer.json is missing");
        rc_err_hint(e, "copy it from the release");
    }
    if (!rc_lint_has_file(f, "tokenizer_config.json")) {
        e = rc_lint_say(out, RC_LINT_WARNING,
                        "tokenizer_config.json is missing: special tokens are guessed");
        rc_err_hint(e, "copy it from the release");
    }
}

void rc_lint_chat(const rc_lint_facts *f, rc_lint_finding *out)
{
    rc_err *e;

    if (rc_lint_has_folder(f, "encoding") || rc_lint_has_file(f, "chat_template.jinja") ||
        (f->tokenizer_config && rc_json_member(f->tokenizer_config, "chat_template")))
        return;
    e = rc_lint_say(
        out, RC_LINT_WARNING,
        "neither encoding/ nor a chat template: only a server with an encoding of its own "
        "can chat");
    rc_err_hint(e, "copy encoding/ from the release");
}
