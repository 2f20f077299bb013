/* verify/lint_int4.c - checkpoints in 4-bit integers: AWQ's container and compressed-tensors'.
 *
 * The tensors say how each matrix is stored, quantization_config what the engine makes room for.
 * Both engines ask for a scheme module by module, under names of their own, some of them for two
 * matrices at once; the expert that is asked for is number 0. */
#include <stdio.h>
#include <string.h>

#include "verify/lint_rules.h"
#include "verify/lint_scheme.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static bool is_int4(const rc_bound *b)
{
    return b->store == RC_STORE_PACKED || b->store == RC_STORE_AWQ;
}

/* Rules of this file have nothing to say of other layouts. */
static bool applies(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (f->layout == RC_LINT_AWQ || f->layout == RC_LINT_CT)
        return rc_lint_bound(f, out);
    rc_lint_skip(out, "no 4-bit integers");
    return false;
}

static bool applies_to(const rc_lint_facts *f, rc_lint_finding *out, rc_lint_layout layout)
{
    if (f->layout == layout)
        return applies(f, out);
    rc_lint_skip(out, "not this layout");
    return false;
}

static void in_config(rc_err *e)
{
    rc_err_file(e, "config.json");
}

/* -- what the config is ------------------------------------------------------- */

void rc_lint_int4_method(const rc_lint_facts *f, rc_lint_finding *out)
{
    const char *want = f->layout == RC_LINT_AWQ ? "awq" : "compressed-tensors", *got = "";
    char shown[80];
    rc_err *e;

    if (!applies(f, out) || (rc_lint_str(f->quant, "quant_method", &got) && !strcmp(got, want)))
        return;
    e = rc_lint_say(out, RC_LINT_FAILS, "quant_method is not that of the tensors");
    in_config(e);
    rc_err_want(e, "%s", want);
    rc_err_got(e, "%s", *got ? rc_escape(shown, sizeof shown, got, strlen(got)) : "nothing");
}

void rc_lint_awq_keys(const rc_lint_facts *f, rc_lint_finding *out)
{
    const char *version = "gemm";
    uint64_t bits = 0, group = 0;
    rc_err *e = NULL;

    if (!applies_to(f, out, RC_LINT_AWQ))
        return;
    if (!rc_lint_u64(f->quant, "bits", &bits) || bits != 4)
        e = rc_lint_say(out, RC_LINT_FAILS, "bits must be 4");
    else if (!rc_lint_u64(f->quant, "group_size", &group))
        e = rc_lint_say(out, RC_LINT_FAILS, "group_size is missing");
    else if (!rc_json_is(rc_json_member(f->quant, "zero_point"), RC_JSON_TRUE))
        e = rc_lint_say(out, RC_LINT_FAILS, "zero_point must be true: there are zero points");
    else if (rc_lint_str(f->quant, "version", &version) && strcmp(version, "gemm") != 0 &&
             strcmp(version, "GEMM") != 0)
        e = rc_lint_say(out, RC_LINT_WARNING, "version is not that of the layout, gemm");
    if (!e && !rc_json_member(f->quant, "modules_to_not_convert"))
        e = rc_lint_say(out, RC_LINT_WARNING,
                        "modules_to_not_convert is missing: engines guess by other names");
    in_config(e);
}

/* Each group's own format, else that of all. */
static void check_format(rc_lint_finding *out, const rc_lint_facts *f, const rc_json_node *g)
{
    const char *format = "", *want;
    rc_lint_answer a;
    rc_err *e;

    rc_lint_read_group(&a, g);
    want = a.scheme == RC_LINT_INT4 ? "pack-quantized" : "float-quantized";
    if (!rc_lint_str(g, "format", &format))
        (void)rc_lint_str(f->quant, "format", &format);
    if (a.scheme == RC_LINT_OTHER || strcmp(format, want) == 0)
        return;
    e = rc_lint_say(out, RC_LINT_FAILS,
                    "a group of config_groups has not the format of its weights");
    in_config(e);
    rc_err_want(e, "%s", want);
    rc_err_got(e, "%.40s", *format ? format : "nothing");
}

static const rc_json_node *first_group(const rc_lint_facts *f)
{
    const rc_json_node *groups = rc_json_member(f->quant, "config_groups");

    return rc_json_is(groups, RC_JSON_OBJECT) ? groups->child : NULL;
}

void rc_lint_ct_format(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!applies_to(f, out, RC_LINT_CT))
        return;
    if (!first_group(f))
        in_config(rc_lint_say(out, RC_LINT_FAILS, "config_groups is missing"));
    for (const rc_json_node *g = first_group(f); g; g = g->next)
        check_format(out, f, g);
}

/* SGLang's experts ask for the format of all, whatever their group says. */
void rc_lint_ct_format_of_all(const rc_lint_facts *f, rc_lint_finding *out)
{
    const char *format = "";
    rc_err *e;

    rc_lint_ct_format(f, out);
    if (f->layout != RC_LINT_CT || !f->model ||
        (rc_lint_str(f->quant, "format", &format) && strcmp(format, "pack-quantized") == 0))
        return;
    e = rc_lint_say(out, RC_LINT_FAILS, "experts are refused unless the format of all is theirs");
    in_config(e);
    rc_err_want(e, "\"format\": \"pack-quantized\"");
    rc_err_got(e, "%.40s", *format ? format : "nothing");
}

/* What a group may say besides. */
void rc_lint_ct_arguments(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!applies_to(f, out, RC_LINT_CT))
        return;
    for (const rc_json_node *g = first_group(f); g; g = g->next) {
        const rc_json_node *w = rc_json_member(g, "weights");
        const char *order = "", *strategy = "group";
        rc_lint_answer a;
        rc_err *e = NULL;

        rc_lint_read_group(&a, g);
        if (rc_lint_str(w, "actorder", &order) &&
            (strcmp(order, "group") == 0 || strcmp(order, "dynamic") == 0))
            e = rc_lint_say(out, RC_LINT_FAILS, "actorder of groups is no longer supported");
        else if (a.scheme == RC_LINT_OTHER)
            e = rc_lint_say(out, RC_LINT_FAILS,
                            "a group that is neither 4-bit integers nor FP8 in blocks of 128 with "
                            "input_activations");
        else if (a.scheme == RC_LINT_INT4 && a.size != 32 && a.size != 64 && a.size != 128)
            e = rc_lint_say(out, RC_LINT_FAILS, "no kernel for groups of this size");
        else if (a.scheme == RC_LINT_INT4 && rc_lint_str(w, "strategy", &strategy) &&
                 strcmp(strategy, "group") != 0)
            e = rc_lint_say(out, RC_LINT_FAILS, "strategy must be group");
        else if (rc_json_is(rc_json_member(w, "dynamic"), RC_JSON_TRUE))
            e = rc_lint_say(out, RC_LINT_FAILS, "weights cannot be dynamic");
        in_config(e);
    }
}

/* -- module by module ----------------------------------------------------------- */

/* A module, by the names of both engines within a block; a NULL name: it is never asked for. */
typedef struct module {
    const char *vllm, *sglang;
    const char *part[2]; /* parameters, without ".weight" */
    bool moe, draft;     /* draft: of a draft's block only */
} module;

static const module modules[] = {
    { "attn.fused_wqa_wkv", "self_attn.wqkv_a", { "attn.wq_a", "attn.wkv" }, false, false },
    { NULL, "self_attn.wq_a", { "attn.wq_a", NULL }, false, false },
    { NULL, "self_attn.wkv", { "attn.wkv", NULL }, false, false },
    { "attn.wq_b", "self_attn.wq_b", { "attn.wq_b", NULL }, false, false },
    { "attn.wo_a", NULL, { "attn.wo_a", NULL }, false, false },
    { "attn.wo_b", "self_attn.wo_b", { "attn.wo_b", NULL }, false, false },
    { "attn.indexer.wq_b", "self_attn.indexer.wq_b", { "attn.indexer.wq_b", NULL }, false, false },
    { "ffn.shared_experts.gate_up_proj",
      "mlp.shared_experts.gate_up_proj",
      { "ffn.shared_experts.w1", "ffn.shared_experts.w3" },
      false,
      false },
    { "ffn.shared_experts.down_proj",
      "mlp.shared_experts.down_proj",
      { "ffn.shared_experts.w2", NULL },
      false,
      false },
    { "ffn.experts.0.w1", "mlp.experts.0.gate_proj", { "ffn.experts.0.w1", NULL }, true, false },
    { "ffn.experts.0.w3", "mlp.experts.0.up_proj", { "ffn.experts.0.w3", NULL }, true, false },
    { "ffn.experts.0.w2", "mlp.experts.0.down_proj", { "ffn.experts.0.w2", NULL }, true, false },
    { "e_proj", "e_proj", { "e_proj", NULL }, false, true },
    { "h_proj", "h_proj", { "h_proj", NULL }, false, true },
};

/* One of them, in one block. */
typedef struct asked {
    const rc_lint_facts *f;
    rc_engine engine;
    bool draft;
    uint32_t block; /* of the main layers, or of the draft */
    const module *m;
    const rc_bound *part[2];
} asked;

static const rc_bound *find_part(const asked *a, const char *part)
{
    char name[96];

    snprintf(name, sizeof name, "%s.%" PRIu32 ".%s.weight", a->draft ? "mtp" : "layers", a->block,
             part);
    return rc_model_find(a->f->model, name);
}

/* The engine's name of a module, or of a part of it. */
static void spell(char buf[128], const asked *a, const char *name)
{
    const uint32_t layers = rc_ckpt_config(a->f->ckpt)->num_hidden_layers;

    if (!a->draft)
        snprintf(buf, 128, "model.layers.%" PRIu32 ".%s", a->block, name);
    else if (a->engine == RC_ENGINE_VLLM)
        snprintf(buf, 128, "model.layers.%" PRIu32 ".%s", layers + a->block, name);
    else
        snprintf(buf, 128, "model.%s%s", a->m->draft ? "" : "decoder.", name);
}

static void stored_as(rc_lint_answer *out, const rc_bound *b)
{
    *out = (rc_lint_answer){ .scheme = RC_LINT_OTHER };
    if (is_int4(b)) {
        out->scheme = RC_LINT_INT4;
        out->size = b->group;
        out->symmetric = !b->zero;
    } else if (b->store == RC_STORE_PLAIN) {
        out->scheme = RC_LINT_LEFT;
    } else if (b->store == RC_STORE_FP8) {
        out->scheme = b->scale && rc_lint_ends_with(b->scale->name, ".weight_scale")
                          ? RC_LINT_FP8
                          : RC_LINT_FP8_NATIVE;
    }
}

static bool agree(const rc_lint_answer *config, const rc_lint_answer *stored, rc_engine engine)
{
    if (config->scheme == RC_LINT_UNNAMED) /* SGLang stops there */
        return engine == RC_ENGINE_VLLM && stored->scheme == RC_LINT_LEFT;
    return config->scheme == stored->scheme &&
           (config->scheme != RC_LINT_INT4 ||
            (config->size == stored->size && config->symmetric == stored->symmetric));
}

static void disagree(rc_lint_finding *out, const asked *a, const char *name, const rc_bound *b,
                     const rc_lint_answer *config, const rc_lint_answer *stored)
{
    char want[96], got[96];
    rc_err *e;

    if (config->scheme == RC_LINT_UNCLEAR)
        e = rc_lint_say(out, RC_LINT_WARNING, "a pattern that is not understood here: %.80s",
                        config->pattern);
    else
        e = rc_lint_say(out, a->draft ? RC_LINT_WARNING : RC_LINT_FAILS,
                        "%s is not stored as quantization_config says%s", name,
                        a->draft ? ": the draft cannot be started" : "");
    if (!e)
        return;
    rc_lint_at(e, a->f, b->weight);
    rc_err_want(e, "%s", rc_lint_scheme_says(config, want));
    rc_err_got(e, "%s", rc_lint_scheme_says(stored, got));
    if (a->f->layout == RC_LINT_AWQ && stored->scheme >= RC_LINT_FP8)
        rc_err_hint(e, "AWQ describes 4-bit integers and nothing else: what is FP8 has to be BF16");
    else
        rc_err_hint(e, "recast convert RELEASE DIR --to w4a16 writes groups and ignore to match");
}

static void judge_module(rc_lint_finding *out, asked *a)
{
    const char *own = a->engine == RC_ENGINE_VLLM ? a->m->vllm : a->m->sglang;
    const bool fused = a->engine == RC_ENGINE_VLLM && !a->draft && a->m->part[1];
    char name[128], shard[2][128];
    rc_lint_module asks = { .name = name, .moe = a->m->moe };
    rc_lint_answer config, stored, other;

    spell(name, a, own);
    for (unsigned i = 0; i < 2 && fused; i++) {
        spell(shard[i], a, a->m->part[i]);
        asks.shard[i] = shard[i];
    }
    rc_lint_look_up(&config, a->f, a->engine, &asks);
    stored_as(&stored, a->part[0]);
    stored_as(&other, a->part[1] ? a->part[1] : a->part[0]);
    if (!agree(&config, &stored, a->engine))
        disagree(out, a, name, a->part[0], &config, &stored);
    else if (!agree(&config, &other, a->engine))
        disagree(out, a, name, a->part[1], &config, &other);
}

/* wq_a and wkv are one module in SGLang, unless an option of it keeps them apart, which 4-bit and
 * .weight_scale need. */
static bool is_asked(const asked *a)
{
    const bool apart = a->part[0]->store != RC_STORE_PLAIN;
    const bool joined = a->m->part[1] && strcmp(a->m->part[0], "attn.wq_a") == 0;
    const bool single = !a->m->vllm;

    if (a->engine == RC_ENGINE_VLLM)
        return !single;
    if (!a->m->sglang)
        return false;
    return joined ? !apart : single ? apart : true;
}

static void judge_block(rc_lint_finding *out, const rc_lint_facts *f, rc_engine engine, bool draft,
                        uint32_t block)
{
    for (size_t i = 0; i < COUNT(modules); i++) {
        asked a = { .f = f, .engine = engine, .draft = draft, .block = block, .m = &modules[i] };

        if (modules[i].draft && !draft)
            continue;
        a.part[0] = find_part(&a, modules[i].part[0]);
        a.part[1] = modules[i].part[1] ? find_part(&a, modules[i].part[1]) : NULL;
        if (a.part[0] && a.part[0]->weight &&
            (!modules[i].part[1] || (a.part[1] && a.part[1]->weight)) && is_asked(&a))
            judge_module(out, &a);
    }
}

static void judge_modules(const rc_lint_facts *f, rc_lint_finding *out, rc_engine engine)
{
    if (!applies(f, out))
        return;
    for (uint32_t i = 0; i < rc_ckpt_config(f->ckpt)->num_hidden_layers; i++)
        judge_block(out, f, engine, false, i);
    for (uint32_t i = 0; i < rc_model_traits(f->model)->draft_blocks; i++)
        judge_block(out, f, engine, true, i);
}

void rc_lint_int4_modules_vllm(const rc_lint_facts *f, rc_lint_finding *out)
{
    judge_modules(f, out, RC_ENGINE_VLLM);
}

void rc_lint_int4_modules_sglang(const rc_lint_facts *f, rc_lint_finding *out)
{
    judge_modules(f, out, RC_ENGINE_SGLANG);
}

/* -- the tensors ------------------------------------------------------------------ */

/* Of the experts of a layer one stands for all when a scheme is asked for: all must be alike. */
void rc_lint_int4_experts(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!applies(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i), *first;
        const rc_param *p = b->param;
        char name[96], want[96], got[96];
        rc_lint_answer x, y;
        rc_err *e;

        if (p->role != RC_ROLE_EXPERT || p->expert <= 0 || !b->weight)
            continue;
        snprintf(name, sizeof name, "%s.%" PRId32 ".ffn.experts.0.%s", p->draft ? "mtp" : "layers",
                 p->layer, strrchr(p->name, 'w') - strlen("w1."));
        first = rc_model_find(f->model, name);
        if (!first || !first->weight)
            continue;
        stored_as(&x, first);
        stored_as(&y, b);
        if (x.scheme == y.scheme && x.size == y.size && x.symmetric == y.symmetric)
            continue;
        e = rc_lint_say(out, RC_LINT_FAILS,
                        "not stored as expert 0, whose scheme is taken for all");
        if (!e)
            continue;
        rc_lint_at(e, f, b->weight);
        rc_err_want(e, "%s", rc_lint_scheme_says(&x, want));
        rc_err_got(e, "%s", rc_lint_scheme_says(&y, got));
    }
}

void rc_lint_int4_names(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!applies(f, out))
        return;
    for (size_t i = 0; i < rc_ckpt_count(f->ckpt); i++) {
        const rc_tensor *t = rc_ckpt_at(f->ckpt, i);
        rc_err *e;

        if (strncmp(t->name, "model.", 6) != 0 && strncmp(t->name, "lm_head.", 8) != 0)
            continue;
        e = rc_lint_say(out, RC_LINT_FAILS,
                        "names of transformers: the loader knows the release's");
        rc_lint_at(e, f, t);
        rc_err_hint(e, "convert without --names hf");
    }
}

/* Zero points of compressed-tensors lie in plain order; SGLang takes them for AWQ's. */
void rc_lint_int4_zeros(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!applies_to(f, out, RC_LINT_CT))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);
        rc_err *e;

        if (b->param->role != RC_ROLE_EXPERT || !b->zero)
            continue;
        e = rc_lint_say(out, RC_LINT_FAILS,
                        "zero points of experts are taken apart in AWQ's order: garbage");
        if (!e)
            continue;
        rc_lint_at(e, f, b->zero);
        rc_err_hint(e, "recast convert RELEASE DIR --to w4a16 --symmetric");
    }
}

static bool is_wo_a(const rc_bound *b)
{
    return b->weight && !b->param->draft && rc_lint_ends_with(b->param->name, ".attn.wo_a.weight");
}

/* The grouped product takes wo_a's weight itself: FP8 or BF16. */
void rc_lint_int4_wo_a(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!applies(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);
        rc_err *e;

        if (!is_wo_a(b))
            continue;
        if (b->store == RC_STORE_PLAIN) {
            rc_lint_say(out, RC_LINT_NOTE,
                        "wo_a in BF16 needs version 0.33 of the engine, or later");
            continue;
        }
        if (!is_int4(b))
            continue;
        e = rc_lint_say(out, RC_LINT_FAILS, "wo_a in 4 bits cannot be multiplied");
        if (!e)
            continue;
        rc_lint_at(e, f, b->weight);
        rc_err_want(e, "BF16, and in ignore");
        rc_err_got(e, "4-bit integers");
    }
}

/* SGLang has wo_a in BF16, and decodes FP8 only under the release's names. */
void rc_lint_int4_wo_a_sglang(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!applies(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);
        rc_err *e;

        if (!is_wo_a(b) || b->store == RC_STORE_PLAIN ||
            (b->store == RC_STORE_FP8 && b->scale && rc_lint_ends_with(b->scale->name, ".scale")))
            continue;
        e = rc_lint_say(out, RC_LINT_FAILS, "codes of wo_a are copied as numbers");
        if (!e)
            continue;
        rc_lint_at(e, f, b->weight);
        rc_err_want(e, "BF16, and in ignore");
        rc_err_got(e, "%s", is_int4(b) ? "4-bit integers" : "FP8 with .weight_scale");
    }
}

/* wq_a and wkv are joined while they are loaded, by names that 4-bit integers and .weight_scale do
 * not have. */
void rc_lint_int4_joined(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!applies(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);
        rc_lint_answer s;

        if (!b->weight || b->param->draft ||
            !rc_lint_ends_with(b->param->name, ".attn.wq_a.weight"))
            continue;
        stored_as(&s, b);
        if (s.scheme == RC_LINT_INT4 || s.scheme == RC_LINT_FP8) {
            rc_lint_say(out, RC_LINT_NOTE,
                        "start with SGLANG_OPT_FUSE_WQA_WKV=0: wq_a and wkv are dropped otherwise");
            return;
        }
    }
}

/* -- kernels and ranks ---------------------------------------------------------------- */

/* What is split over ranks: rows of w1 and w3, columns of w2. */
void rc_lint_int4_tp(const rc_lint_facts *f, rc_lint_finding *out)
{
    uint64_t size = 0, group = 0;
    const uint64_t tp = f->tp ? f->tp : 1;
    const rc_bound *b;
    rc_err *e;

    if (!applies(f, out) || !rc_lint_u64(f->config, "moe_intermediate_size", &size))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        b = rc_model_at(f->model, i);
        if (b->param->role == RC_ROLE_EXPERT && is_int4(b) && b->group > group)
            group = b->group;
    }
    if (!group || size % (tp * group) == 0) {
        if (group && size % (tp * 64) != 0)
            in_config(rc_lint_say(out, RC_LINT_WARNING,
                                  "a rank's part of moe_intermediate_size is no multiple of 64: "
                                  "slower kernels"));
        return;
    }
    e = rc_lint_say(out, RC_LINT_FAILS,
                    "moe_intermediate_size over %" PRIu64 " rank%s cuts through groups", tp,
                    tp == 1 ? "" : "s");
    in_config(e);
    rc_err_want(e, "a multiple of %" PRIu64, tp * group);
    rc_err_got(e, "%" PRIu64, size);
    rc_err_hint(e, "fewer ranks, expert parallelism, or smaller groups (--group 32)");
}

/* Marlin's tiles. */
void rc_lint_int4_tiles(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!applies(f, out))
        return;
    for (size_t i = 0; i < rc_model_count(f->model); i++) {
        const rc_bound *b = rc_model_at(f->model, i);
        rc_err *e;

        if (!is_int4(b) || !b->weight ||
            (b->param->shape[0] % 64 == 0 && b->param->shape[1] % 128 == 0))
            continue;
        e = rc_lint_say(out, RC_LINT_WARNING, "Marlin has no tiles for this shape: slower kernels");
        if (!e)
            continue;
        rc_lint_at(e, f, b->weight);
        rc_err_want(e, "rows a multiple of 64, columns of 128");
        rc_err_got(e, "%" PRIu64 " x %" PRIu64, b->param->shape[0], b->param->shape[1]);
    }
}
