/* convert/plan_int4_config.c - the quantization_config of 4-bit checkpoints.
 *
 * Loaders match modules under their own names: vLLM model.layers.3.attn.fused_wqa_wkv and
 * .ffn.experts.0.w1, SGLang .self_attn.wqkv_a and .mlp.experts.0.gate_proj, a draft block under
 * model.layers.<layers + i> or model.decoder. A regular expression therefore has all spellings of a
 * module, and nothing of what comes before. Sources: vLLM's and SGLang's deepseek_v4 models, their
 * compressed_tensors and awq configs; compressed-tensors' QuantizationConfig. */
#include <string.h>

#include "convert/plan_int4.h"
#include "formats/base/json.h"

enum { MAX_SUBSTRINGS = 4 };

/* Modules that loaders build alike, so that they must be stored alike. */
typedef struct modules {
    const char *says;
    const char *tails[3]; /* of native names, less ".weight" */
    const char *regex;
    const char *substrings[MAX_SUBSTRINGS]; /* for AutoAWQ's list */
} modules;

static const modules kinds[] = {
    { "routed experts",
      { ".w1", ".w2", ".w3" }, /* of role expert */
      "re:.*\\.(ffn|mlp)\\.experts\\.\\d+\\.(w1|w2|w3|gate_proj|up_proj|down_proj)$",
      { ".experts." } },
    { "shared experts",
      { ".shared_experts.w1", ".shared_experts.w2", ".shared_experts.w3" },
      "re:.*\\.shared_experts\\.(w1|w2|w3|gate_proj|up_proj|down_proj|gate_up_proj)$",
      { "shared_experts" } },
    { "attn.wq_a and attn.wkv",
      { ".attn.wq_a", ".attn.wkv" },
      "re:.*\\.(attn|self_attn)\\.(wq_a|wkv|fused_wqa_wkv|wqkv_a|q_a_proj|kv_proj)$",
      { "attn.wq_a", "attn.wkv", "attn.fused_wqa_wkv", "attn.wqkv_a" } },
    { "attn.wq_b",
      { ".attn.wq_b" },
      "re:.*\\.(attn|self_attn)\\.(wq_b|q_b_proj)$",
      { "attn.wq_b", "attn.q_b_proj" } },
    { "attn.wo_b",
      { ".attn.wo_b" },
      "re:.*\\.(attn|self_attn)\\.(wo_b|o_b_proj)$",
      { "attn.wo_b", "attn.o_b_proj" } },
    { "attn.wo_a", { ".attn.wo_a" }, "re:.*\\.(wo_a|o_a_proj)$", { "attn.wo_a", "attn.o_a_proj" } },
    { "attn.indexer.wq_b",
      { ".indexer.wq_b" },
      "re:.*\\.indexer\\.(wq_b|q_b_proj)$",
      { "indexer.wq_b", "indexer.q_b_proj" } },
    { "projections of drafts",
      { ".e_proj", ".h_proj", ".main_proj" },
      "re:.*\\.(e_proj|h_proj|main_proj|context_wkv_proj)$",
      { ".e_proj", ".h_proj", ".main_proj", ".context_wkv_proj" } }, /* gate_proj is none */
};
enum { NKINDS = sizeof kinds / sizeof *kinds };

/* Never quantized: loaders build them without asking, or must be told. */
static const char *const never_regex[] = {
    "head",
    "lm_head",
    "re:.*\\.head$",
    "re:.*embed.*",
    "re:.*\\.gate$",
    "re:.*compressor\\.(indexer\\.)?(wkv|wgate|wkv_gate|fused_wkv_wgate|kv_proj|gate_proj)$",
    "re:.*weights_proj$",
    "re:.*markov_head.*",
    "re:.*confidence_head.*",
};
static const char *const never_substring[] = {
    "embed",
    "head",
    "ffn.gate",
    "mlp.gate",
    "compressor.w",
    "compressor.kv",
    "compressor.gate",
    "compressor.fused",
    "weights_proj",
    "indexer.kv_proj",
    "indexer.gate_proj",
};

typedef enum stored { NOWHERE = 0, INT4 = 1, FP8 = 2, PLAIN = 4 } stored;

static bool is_of(const rc_param *p, const modules *m)
{
    const size_t n = strlen(p->name) - strlen(".weight");

    if (p->role == RC_ROLE_EXPERT)
        return m == kinds;
    for (unsigned i = 0; m != kinds && i < 3 && m->tails[i]; i++) {
        const size_t k = strlen(m->tails[i]);

        if (n >= k && strncmp(p->name + n - k, m->tails[i], k) == 0)
            return true;
    }
    return false;
}

/* How the planned tensors of each kind are stored. */
static rc_code look(const rc_plan *plan, unsigned found[NKINDS], rc_err *err)
{
    memset(found, 0, NKINDS * sizeof *found);
    for (size_t i = 0; i < plan->njobs; i++) {
        const rc_job *job = &plan->jobs[i];

        for (unsigned k = 0; job->param && job->param->quant != RC_QUANT_NONE && k < NKINDS; k++)
            if (is_of(job->param, &kinds[k]))
                found[k] |= job->int4.group ? INT4 : job->out[RC_PART_SCALE].name ? FP8 : PLAIN;
    }
    for (unsigned k = 0; k < NKINDS; k++)
        if (found[k] & (found[k] - 1)) {
            rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
                    "%s would not be stored alike in all blocks: loaders cannot be told",
                    kinds[k].says);
            rc_err_hint(err, "start from the original release, or leave the draft out with "
                             "--draft drop");
            return RC_E_UNSUPPORTED;
        }
    return RC_OK;
}

/* ------------------------------------------------------ compressed-tensors */

static void write_regexes(rc_jsonw *w, const unsigned found[NKINDS], stored which)
{
    for (unsigned k = 0; k < NKINDS; k++)
        if (found[k] == (unsigned)which)
            rc_jsonw_str(w, kinds[k].regex);
}

static void write_numbers(rc_jsonw *w, unsigned bits, const char *type, bool symmetric,
                          bool dynamic, uint32_t group)
{
    rc_jsonw_ku64(w, "num_bits", bits);
    rc_jsonw_kstr(w, "type", type);
    rc_jsonw_kbool(w, "symmetric", symmetric);
    rc_jsonw_kbool(w, "dynamic", dynamic);
    if (group) {
        rc_jsonw_kstr(w, "strategy", "group");
        rc_jsonw_ku64(w, "group_size", group);
        return;
    }
    rc_jsonw_kstr(w, "strategy", "block");
    rc_jsonw_key(w, "block_structure");
    rc_jsonw_array(w);
    rc_jsonw_u64(w, 128);
    rc_jsonw_u64(w, 128);
    rc_jsonw_array_end(w);
}

/* Weights in 4 bits, or in FP8 with activations that are rounded to it at run time. */
static void write_group(rc_jsonw *w, const char *name, const rc_plan *plan,
                        const unsigned found[NKINDS], stored which)
{
    const rc_int4_recipe *r = &plan->recipe.int4;

    rc_jsonw_key(w, name);
    rc_jsonw_object(w);
    rc_jsonw_key(w, "targets");
    rc_jsonw_array(w);
    write_regexes(w, found, which);
    rc_jsonw_array_end(w);
    rc_jsonw_kstr(w, "format", which == INT4 ? "pack-quantized" : "float-quantized");
    rc_jsonw_key(w, "weights");
    rc_jsonw_object(w);
    if (which == INT4)
        write_numbers(w, 4, "int", r->symmetric, false, r->group);
    else
        write_numbers(w, 8, "float", true, false, 0);
    rc_jsonw_object_end(w);
    rc_jsonw_key(w, "input_activations");
    if (which == INT4) {
        rc_jsonw_null(w);
    } else {
        rc_jsonw_object(w);
        write_numbers(w, 8, "float", true, true, 128);
        rc_jsonw_object_end(w);
    }
    rc_jsonw_key(w, "output_activations");
    rc_jsonw_null(w);
    rc_jsonw_object_end(w);
}

static bool any(const unsigned found[NKINDS], stored which)
{
    for (unsigned k = 0; k < NKINDS; k++)
        if (found[k] == (unsigned)which)
            return true;
    return false;
}

/* The format of all is pack-quantized even where a group has its own: SGLang's experts want that.
 */
static void write_compressed_tensors(rc_jsonw *w, const rc_plan *plan, const unsigned found[NKINDS])
{
    rc_jsonw_kstr(w, "quant_method", "compressed-tensors");
    rc_jsonw_kstr(w, "version", "0.12.0");
    rc_jsonw_kstr(w, "format", "pack-quantized");
    rc_jsonw_kstr(w, "quantization_status", "compressed");
    rc_jsonw_key(w, "config_groups");
    rc_jsonw_object(w);
    write_group(w, "group_0", plan, found, INT4);
    if (any(found, FP8))
        write_group(w, "group_1", plan, found, FP8);
    rc_jsonw_object_end(w);
    rc_jsonw_key(w, "ignore");
    rc_jsonw_array(w);
    for (unsigned i = 0; i < sizeof never_regex / sizeof *never_regex; i++)
        rc_jsonw_str(w, never_regex[i]);
    write_regexes(w, found, PLAIN);
    rc_jsonw_array_end(w);
    rc_jsonw_key(w, "kv_cache_scheme");
    rc_jsonw_null(w);
    rc_jsonw_key(w, "global_compression_ratio");
    rc_jsonw_null(w);
}

/* --------------------------------------------------------------------- AWQ */

static void write_awq(rc_jsonw *w, const rc_plan *plan, const unsigned found[NKINDS])
{
    rc_jsonw_kstr(w, "quant_method", "awq");
    rc_jsonw_ku64(w, "bits", 4);
    rc_jsonw_ku64(w, "group_size", plan->recipe.int4.group);
    rc_jsonw_kbool(w, "zero_point", true);
    rc_jsonw_kstr(w, "version", "gemm");
    rc_jsonw_key(w, "modules_to_not_convert");
    rc_jsonw_array(w);
    for (unsigned i = 0; i < sizeof never_substring / sizeof *never_substring; i++)
        rc_jsonw_str(w, never_substring[i]);
    if (plan->recipe.int4.scope == RC_SCOPE_EXPERTS)
        rc_jsonw_str(w, "attn."); /* with everything below it */
    for (unsigned k = 0; k < NKINDS; k++)
        for (unsigned i = 0; found[k] == PLAIN && i < MAX_SUBSTRINGS && kinds[k].substrings[i]; i++)
            rc_jsonw_str(w, kinds[k].substrings[i]);
    rc_jsonw_array_end(w);
}

rc_code rc_plan_int4_config(const rc_plan *plan, char **out, rc_mem *mem, rc_err *err)
{
    unsigned found[NKINDS];
    rc_jsonw *w;
    const char *text;
    size_t len;

    *out = NULL;
    RC_TRY(look(plan, found, err));
    w = rc_jsonw_new(mem, 0);
    if (!w)
        return rc_fail_nomem(err, mem, 1);
    rc_jsonw_object(w);
    if (plan->recipe.target == RC_TO_AWQ)
        write_awq(w, plan, found);
    else
        write_compressed_tensors(w, plan, found);
    rc_jsonw_object_end(w);
    text = rc_jsonw_text(w, &len);
    *out = text ? rc_mem_strdup(mem, text, len) : NULL;
    rc_jsonw_free(&w);
    return *out ? RC_OK : rc_fail_nomem(err, mem, 1);
}
