/* formats/model.c - traits from tensors, binding, and the list of what is wrong; GGUF files
 * are bound in model_gguf.c.
 *
 * Binding goes over the tensors, not over the parameters: each tensor finds its
 * place in the schema or is left over, so nothing can be overlooked. */
#include "formats/model_impl.h"
#include "formats/source_early.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char *shard_of(const rc_model *m, const rc_tensor *t)
{
    return rc_ckpt_shard(m->ckpt, t->shard)->name;
}

static bool ends_with(const char *s, const char *suffix)
{
    const size_t n = strlen(s), k = strlen(suffix);

    return n >= k && strcmp(s + n - k, suffix) == 0;
}

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool rc_model_push(rc_mem *mem, struct rc_tensor_list *list, const rc_tensor *t)
{
    if (list->n == list->room) {
        const size_t room = list->room ? 2 * list->room : 64;
        void *grown = rc_mem_grow(mem, list->at, room * sizeof *list->at);

        if (!grown)
            return false;
        list->at = grown;
        list->room = room;
    }
    list->at[list->n++] = t;
    return true;
}

/* layouts of others */

/* Named by what their tensors are called, the telling ones first: a model that
 * has several of these is the first of them. */
static const struct {
    bool prefix;
    const char *mark, *layout;
} foreign[] = {
    { false, ".weight_scale_2", "ModelOpt NVFP4" },
    { false, ".weight_g_idx", "compressed-tensors, columns in another order (actorder)" },
    { false, ".g_idx", "GPTQ" },
    { false, ".weight_packed", "compressed-tensors, packed, other than INT4 experts" },
    { false, ".qweight", "AWQ or GPTQ" },
    { false, ".qzeros", "AWQ or GPTQ" },
    { false, ".weight_scale", "compressed-tensors or ModelOpt" },
    { false, ".input_scale", "ModelOpt, static activation scales" },
    { false, ".absmax", "bitsandbytes" },
    { true, "model.layers.", "transformers names" },
    { true, "model.embed_tokens.", "transformers names" },
};

/* ModelOpt's NVFP4 replaces the routed experts and keeps the release's names: that is read. */
static bool is_nvfp4_part(const char *name)
{
    return strstr(name, ".ffn.experts.") && !starts_with(name, "model.") &&
           (ends_with(name, ".weight_scale_2") || ends_with(name, ".weight_scale") ||
            ends_with(name, ".input_scale"));
}

/* Is there a second scale beside codes in bytes without a sign, as ModelOpt writes them? */
static bool has_nvfp4(const rc_ckpt *ckpt)
{
    for (size_t i = 0; i < rc_ckpt_count(ckpt); i++) {
        const char *name = rc_ckpt_at(ckpt, i)->name;
        const rc_tensor *weight;
        char of[256];

        if (!is_nvfp4_part(name) || !ends_with(name, ".weight_scale_2"))
            continue;
        snprintf(of, sizeof of, "%.*s", (int)(strlen(name) - strlen("_scale_2")), name);
        weight = rc_ckpt_find(ckpt, of);
        if (weight && weight->dtype == RC_DTYPE_U8)
            return true;
    }
    return false;
}

static rc_code refuse_foreign(const rc_model *m, rc_err *err)
{
    const rc_config *c = rc_ckpt_config(m->ckpt);
    const rc_tensor *seen[COUNT(foreign)] = { 0 };
    char shown[80];

    for (size_t i = 0; i < rc_ckpt_count(m->ckpt); i++) {
        const rc_tensor *t = rc_ckpt_at(m->ckpt, i);

        if ((m->nvfp4 && is_nvfp4_part(t->name)) || rc_model_int4_name(m, t->name))
            continue;
        for (size_t k = 0; k < COUNT(foreign); k++)
            if (!seen[k] && (foreign[k].prefix ? !m->hf && starts_with(t->name, foreign[k].mark)
                                               : ends_with(t->name, foreign[k].mark)))
                seen[k] = t;
        if (t->rank == 3 && strstr(t->name, ".experts")) {
            rc_fail(err, RC_E_UNSUPPORTED, t->begin, "experts stacked into one tensor of rank 3");
            rc_err_tensor(err, t->name);
            rc_err_file(err, shard_of(m, t));
            return RC_E_UNSUPPORTED;
        }
    }
    for (size_t k = 0; k < COUNT(foreign); k++)
        if (seen[k]) {
            rc_fail(err, RC_E_UNSUPPORTED, seen[k]->begin,
                    "the layout of another program (%s): '%s'", foreign[k].layout, foreign[k].mark);
            rc_err_tensor(err, seen[k]->name);
            rc_err_file(err, shard_of(m, seen[k]));
            rc_err_hint(err, "read are: FP4, FP8, BF16, NVFP4, AWQ and compressed-tensors W4A16 "
                             "experts, a tensor each, and GGUF; start from the original release");
            return RC_E_UNSUPPORTED;
        }
    if (m->int4 != RC_STORE_COUNT)
        return RC_OK; /* held against the tensors later */
    if (c->quant_method[0] && strcmp(c->quant_method, "fp8") != 0 &&
        strcmp(c->quant_method, "deepseek_v4_fp8") != 0) {
        rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
                "quantization_config.quant_method is not one this version reads");
        rc_err_want(err, "fp8");
        rc_err_got(err, "%s",
                   rc_escape(shown, sizeof shown, c->quant_method, strlen(c->quant_method)));
        rc_err_file(err, "config.json");
        return RC_E_UNSUPPORTED;
    }
    return RC_OK;
}

/* traits */

static bool is_float(rc_dtype dtype)
{
    return dtype == RC_DTYPE_F16 || dtype == RC_DTYPE_BF16 || dtype == RC_DTYPE_F32;
}

/* The scale beside `weight` under any of its names, or NULL. */
static const rc_tensor *scale_beside(const rc_model *m, const char *weight)
{
    static const char *const suffix[] = { ".scale", ".weight_scale_inv", ".weight_scale" };
    const size_t base = strlen(weight) - strlen(".weight");
    char name[256];

    for (size_t i = 0; i < COUNT(suffix); i++) {
        const rc_tensor *t;

        snprintf(name, sizeof name, "%.*s%s", (int)base, weight, suffix[i]);
        if ((t = rc_model_tensor(m, name)))
            return t;
    }
    return NULL;
}

/* The weight of that name, in 4-bit integers or not, or NULL. */
static const rc_tensor *weight_called(const rc_model *m, const char *name)
{
    const rc_tensor *t = rc_model_tensor(m, name);
    char other[256];

    if (t || m->int4 == RC_STORE_COUNT)
        return t;
    snprintf(other, sizeof other, "%.*s%s", (int)(strlen(name) - strlen(".weight")), name,
             m->int4 == RC_STORE_AWQ ? ".qweight" : ".weight_packed");
    return rc_model_tensor(m, other);
}

/* The scale dtype of the first expert in 4-bit integers. */
static rc_dtype int4_scale(const rc_model *m)
{
    const char *end = m->int4 == RC_STORE_AWQ ? ".scales" : ".weight_scale";

    for (size_t i = 0; i < rc_ckpt_count(m->ckpt); i++) {
        const rc_tensor *t = rc_ckpt_at(m->ckpt, i);

        if (ends_with(t->name, end) && strstr(t->name, ".experts."))
            return t->dtype;
    }
    return RC_DTYPE_F16;
}

/* How a kind of weight is stored: the first main layer that has it with a dtype
 * we know. Later layers are held against that answer when they are bound. */
static rc_code probe(const rc_model *m, const char *suffix, rc_store first_guess, rc_store *store,
                     rc_dtype *scale, rc_err *err)
{
    const uint32_t layers = rc_ckpt_config(m->ckpt)->num_hidden_layers;
    const rc_tensor *odd = NULL;
    char name[128];

    *store = first_guess;
    *scale = RC_DTYPE_F8_E8M0;
    for (uint32_t l = 0; l < layers; l++) {
        const rc_tensor *t, *s;

        snprintf(name, sizeof name, "layers.%" PRIu32 ".%s", l, suffix);
        if (!(t = weight_called(m, name)))
            continue;
        if (m->int4 != RC_STORE_COUNT && rc_model_is_int4(t)) {
            *store = m->int4;
            *scale = int4_scale(m);
            return RC_OK;
        }
        if (t->dtype == RC_DTYPE_F8_E4M3)
            *store = RC_STORE_FP8;
        else if (t->dtype == RC_DTYPE_BF16 || (m->int4 != RC_STORE_COUNT && is_float(t->dtype)))
            *store = RC_STORE_PLAIN;
        else if (t->dtype == RC_DTYPE_I8 && first_guess == RC_STORE_FP4)
            *store = RC_STORE_FP4;
        else if (t->dtype == RC_DTYPE_U8 && first_guess == RC_STORE_FP4 && m->nvfp4)
            *store = RC_STORE_NVFP4;
        else {
            odd = odd ? odd : t;
            continue;
        }
        s = scale_beside(m, name);
        if (*store == RC_STORE_FP8 && s &&
            (s->dtype == RC_DTYPE_F32 || (m->int4 != RC_STORE_COUNT && s->dtype == RC_DTYPE_BF16)))
            *scale = s->dtype;
        if (*store == RC_STORE_NVFP4)
            *scale = RC_DTYPE_F8_E4M3;
        return RC_OK;
    }
    if (!odd)
        return RC_OK; /* missing everywhere: binding says so */
    rc_fail(err, RC_E_UNSUPPORTED, odd->begin, "weights stored as %s", rc_dtype_name(odd->dtype));
    rc_err_want(err, first_guess == RC_STORE_FP4 ? "I8 (packed FP4), F8_E4M3 or BF16"
                                                 : "F8_E4M3 or BF16");
    rc_err_got(err, "%s", rc_dtype_name(odd->dtype));
    rc_err_tensor(err, odd->name);
    rc_err_file(err, shard_of(m, odd));
    return RC_E_UNSUPPORTED;
}

static bool is_vision(const char *name)
{
    return starts_with(name, "vision.") || starts_with(name, "aligner.") ||
           starts_with(name, "image_");
}

static rc_code read_traits(rc_model *m, rc_err *err)
{
    const rc_config *c = rc_ckpt_config(m->ckpt);
    rc_traits *t = &m->traits;
    bool any_draft = false, second_block = false;

    for (size_t i = 0; i < rc_ckpt_count(m->ckpt); i++) {
        char buf[RC_HF_NAME];
        const char *name = rc_model_native(m, rc_ckpt_at(m->ckpt, i)->name, buf);

        if (starts_with(name, "mtp.")) {
            any_draft = true;
            second_block = second_block || starts_with(name, "mtp.1.");
        }
        if (is_vision(name) || ends_with(name, ".ffn.gate.bias_vl"))
            t->vision = true;
    }
    if (weight_called(m, "mtp.0.main_proj.weight"))
        t->draft = RC_DRAFT_DSPARK;
    else if (weight_called(m, "mtp.0.e_proj.weight"))
        t->draft = RC_DRAFT_MTP;
    else if (any_draft) /* the telling tensor is missing: take the next best evidence */
        t->draft = second_block || c->n_dspark_targets ? RC_DRAFT_DSPARK : RC_DRAFT_MTP;
    t->draft_blocks = t->draft == RC_DRAFT_DSPARK ? 3 : t->draft == RC_DRAFT_MTP ? 1 : 0;

    RC_TRY(probe(m, "attn.wq_a.weight", RC_STORE_FP8, &t->dense, &t->dense_scale, err));
    if (m->int4 != RC_STORE_COUNT) { /* also where some experts are not */
        t->experts = m->int4;
        t->expert_scale = int4_scale(m);
        return RC_OK;
    }
    return probe(m, "ffn.experts.0.w1.weight", RC_STORE_FP4, &t->experts, &t->expert_scale, err);
}

/* problems and notes */

rc_err *rc_model_add_problem(rc_model *m, rc_problem_kind kind, const char *tensor,
                             const rc_tensor *where)
{
    rc_problem *p;
    char *name;

    m->total++;
    if (m->kept[kind] == RC_MODEL_KEPT || m->nomem)
        return NULL;
    if (m->nproblems == m->room) {
        const size_t room = m->room ? 2 * m->room : 16;
        void *grown = rc_mem_grow(m->mem, m->problem, room * sizeof *m->problem);

        m->nomem = !grown;
        if (!grown)
            return NULL;
        m->problem = grown;
        m->room = room;
    }
    name = rc_arena_strdup(&m->names, tensor, strlen(tensor));
    m->nomem = !name;
    if (!name)
        return NULL;
    m->kept[kind]++;
    p = &m->problem[m->nproblems++];
    p->kind = kind;
    p->tensor = name;
    rc_fail(&p->what, RC_E_TENSORSET, where ? where->begin : RC_NO_OFFSET, "%s", "");
    if (tensor[0])
        rc_err_tensor(&p->what, tensor);
    if (where)
        rc_err_file(&p->what, shard_of(m, where));
    return &p->what;
}

void rc_model_say(rc_err *e, const char *fmt, ...)
{
    va_list ap;

    if (!e)
        return;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
}

void rc_model_config_problem(rc_model *m, const char *want, const char *got, const char *what)
{
    rc_err *e = rc_model_add_problem(m, RC_MALFORMED, "", NULL);
    char shown[80];

    rc_err_file(e, "config.json");
    rc_model_say(e, "%s", what);
    rc_err_want(e, "%s", want);
    rc_err_got(e, "%s", rc_escape(shown, sizeof shown, got, strlen(got)));
}

rc_err *rc_model_add_note(rc_model *m)
{
    rc_err *e = &m->note[m->nnotes++];

    rc_fail(e, RC_OK, RC_NO_OFFSET, "%s", "");
    return e;
}

const char *rc_model_spell_shape(char buf[96], unsigned rank, const uint64_t *shape)
{
    size_t at = 0;

    buf[at++] = '[';
    for (unsigned i = 0; i < rank && at < 90; i++)
        at += (size_t)snprintf(buf + at, 96 - at, "%s%" PRIu64, i ? ", " : "", shape[i]);
    if (at > 94)
        at = 94;
    buf[at] = ']';
    buf[at + 1] = '\0';
    return buf;
}

/* the config against the tensors */

static void check_config(rc_model *m)
{
    const rc_config *c = rc_ckpt_config(m->ckpt);
    const rc_traits *t = &m->traits;
    const bool int4 = m->int4 != RC_STORE_COUNT; /* held to more in model_int4.c */
    const bool fp8 = !int4 && (t->dense == RC_STORE_FP8 || t->experts == RC_STORE_FP8);
    const bool plain = t->dense == RC_STORE_PLAIN && t->experts == RC_STORE_PLAIN;
    const char *stored = t->experts == RC_STORE_FP4 || t->experts == RC_STORE_NVFP4 ? "fp4"
                         : t->experts == RC_STORE_FP8                               ? "fp8"
                                                                                    : "bf16";
    const bool nvfp4 = t->experts == RC_STORE_NVFP4 && strcmp(c->expert_dtype, "nvfp4") == 0;
    char got[32];

    if (c->expert_dtype[0] && !nvfp4 && !int4 && strcmp(c->expert_dtype, stored) != 0)
        rc_model_config_problem(
            m, stored, c->expert_dtype,
            "expert_dtype contradicts the tensors (layers.0.ffn.experts.0.w1.weight)");
    if (fp8 && !c->has_quantization)
        rc_model_config_problem(m, "quantization_config", "none",
                                "the weights are FP8 but the config does not say so");
    if (plain && c->has_quantization)
        rc_model_config_problem(m, "none", "quantization_config",
                                "the config describes quantized weights but they are BF16");
    if (fp8 && c->has_quantization && (c->weight_block[0] || c->weight_block[1]) &&
        (c->weight_block[0] != 128 || c->weight_block[1] != 128)) {
        snprintf(got, sizeof got, "[%" PRIu32 ", %" PRIu32 "]", c->weight_block[0],
                 c->weight_block[1]);
        rc_model_config_problem(m, "[128, 128]", got, "quantization_config.weight_block_size");
    }
    if (t->draft != RC_DRAFT_NONE && c->num_nextn_predict_layers == 0)
        rc_model_config_problem(
            m, "1", "0", "num_nextn_predict_layers: there are draft tensors (mtp.*) all the same");
}

/* binding */

/* The quantized parameter that `name` is a part of, when it ends so; else NULL. */
static const rc_param *param_with(const rc_schema *schema, const char *name, const char *suffix)
{
    const rc_param *p;
    char weight[160];
    size_t base;

    if (!ends_with(name, suffix))
        return NULL;
    base = strlen(name) - strlen(suffix);
    if (base + sizeof ".weight" > sizeof weight)
        return NULL;
    snprintf(weight, sizeof weight, "%.*s.weight", (int)base, name);
    p = rc_schema_find(schema, weight);
    return p && p->quant != RC_QUANT_NONE ? p : NULL;
}

/* What tensors beside ".weight" are, where the layout has them. */
typedef enum part_of { WEIGHT, SCALE, ZERO, SHAPE } part_of;

static const struct {
    const char *end;
    part_of part;
    bool usual, nvfp4; /* in the releases' layouts, in ModelOpt's */
} parts[] = {
    { ".scale", SCALE, true, true },          { ".weight_scale_inv", SCALE, true, true },
    { ".weight_scale", SCALE, false, true },  { ".scales", SCALE, false, false },
    { ".qweight", WEIGHT, false, false },     { ".weight_packed", WEIGHT, false, false },
    { ".qzeros", ZERO, false, false },        { ".weight_zero_point", ZERO, false, false },
    { ".weight_shape", SHAPE, false, false },
};

/* The quantized parameter that a tensor is a part of, by DeepSeek's name; NULL when of none. */
static const rc_param *param_of_part(const rc_model *m, const char *name, part_of *part)
{
    for (size_t i = 0; i < COUNT(parts); i++) {
        const bool had =
            parts[i].usual || (m->nvfp4 && parts[i].nvfp4) || rc_model_int4_name(m, parts[i].end);
        const rc_param *p = had ? param_with(m->schema, name, parts[i].end) : NULL;

        *part = parts[i].part;
        if (p)
            return p;
    }
    return NULL;
}

/* Where a bound keeps such a part. */
static const rc_tensor **place_of(rc_bound *b, part_of part)
{
    return part == WEIGHT  ? &b->weight
           : part == SCALE ? &b->scale
           : part == ZERO  ? &b->zero
                           : &b->shape;
}

/* What NVFP4 has besides: one number for the tensor, looked for later, and one for activations that
 * says nothing of the weights. */
static bool is_nvfp4_number(const rc_model *m, const char *name)
{
    return m->nvfp4 && (param_with(m->schema, name, ".weight_scale_2") ||
                        param_with(m->schema, name, ".input_scale"));
}

static rc_code assign_tensors(rc_model *m, rc_err *err)
{
    const rc_param *first = rc_schema_at(m->schema, 0);

    for (size_t i = 0; i < rc_ckpt_count(m->ckpt); i++) {
        const rc_tensor *t = rc_ckpt_at(m->ckpt, i);
        char buf[RC_HF_NAME];
        const char *name = rc_model_native(m, t->name, buf);
        part_of part = WEIGHT;
        const rc_param *p = rc_schema_find(m->schema, name);
        const rc_param *owner = p ? p : param_of_part(m, name, &part);
        const rc_tensor **place = owner ? place_of(&m->bound[owner - first], part) : NULL;
        bool stored = true;

        if (place && !*place)
            *place = t;
        else if (!owner && is_vision(name))
            stored = rc_model_push(m->mem, &m->opaque, t);
        else if (owner || !is_nvfp4_number(m, name))
            stored = rc_model_push(m->mem, &m->extra, t);
        if (!stored)
            return rc_fail_nomem(err, m->mem, m->opaque.n * sizeof t);
    }
    return RC_OK;
}

static void check_shape(rc_model *m, const rc_tensor *t, const rc_want *want)
{
    bool same = t->rank == want->rank;
    char a[96], b[96];
    rc_err *e;

    for (unsigned i = 0; same && i < want->rank; i++)
        same = t->shape[i] == want->shape[i];
    if (same)
        return;
    e = rc_model_add_problem(m, RC_MALFORMED, t->name, t);
    rc_model_say(e, "wrong shape");
    rc_err_want(e, "%s", rc_model_spell_shape(a, want->rank, want->shape));
    rc_err_got(e, "%s", rc_model_spell_shape(b, t->rank, t->shape));
}

static void wrong_dtype(rc_model *m, const rc_tensor *t, rc_dtype want)
{
    rc_err *e = rc_model_add_problem(m, RC_MALFORMED, t->name, t);

    rc_model_say(e, "wrong dtype");
    rc_err_want(e, "%s", rc_dtype_name(want));
    rc_err_got(e, "%s", rc_dtype_name(t->dtype));
}

/* A parameter that no release quantizes: only norms may differ, and only by being
 * wider than usual; beside 4-bit integers all that are BF16 in a release. */
static void check_plain(rc_model *m, rc_bound *b)
{
    const rc_tensor *t = b->weight;
    rc_want want[2];

    b->store = RC_STORE_PLAIN;
    if (t->dtype != b->param->dtype) {
        const bool wider =
            m->int4 != RC_STORE_COUNT && b->param->dtype == RC_DTYPE_BF16 && is_float(t->dtype);

        if (!wider && (b->param->role != RC_ROLE_NORM || t->dtype != RC_DTYPE_F32)) {
            wrong_dtype(m, t, b->param->dtype);
            return;
        }
        ++*(wider ? &m->wider : &m->f32_norms);
    }
    rc_param_layout(b->param, RC_STORE_PLAIN, t->dtype, t->dtype, want);
    check_shape(m, t, &want[0]);
}

static void check_scale(rc_model *m, const rc_bound *b, const rc_want *want)
{
    char buf[RC_HF_NAME];
    rc_err *e;

    if (!b->scale) {
        e = rc_model_add_problem(m, RC_MISSING, rc_model_filed(m, want->name, buf), NULL);
        rc_err_file(e, shard_of(m, b->weight));
        rc_model_say(e, "missing: its weight cannot be read without it");
        return;
    }
    if (b->scale->dtype != want->dtype)
        wrong_dtype(m, b->scale, want->dtype);
    else
        check_shape(m, b->scale, want);
}

/* A parameter that releases quantize must be stored as all of its kind are, or
 * be the one exception that was published. */
static void check_quantized(rc_model *m, rc_bound *b)
{
    const bool expert = b->param->quant == RC_QUANT_EXPERT;
    const rc_store usual = expert ? m->traits.experts : m->traits.dense;
    const rc_dtype scale = expert ? m->traits.expert_scale : m->traits.dense_scale;
    const rc_tensor *t = b->weight;
    rc_want want[2];
    rc_err *e;

    b->store = t->dtype == RC_DTYPE_F8_E4M3        ? RC_STORE_FP8
               : t->dtype == RC_DTYPE_BF16         ? RC_STORE_PLAIN
               : expert && t->dtype == RC_DTYPE_I8 ? RC_STORE_FP4
               : expert && t->dtype == RC_DTYPE_U8 ? RC_STORE_NVFP4
                                                   : RC_STORE_COUNT;
    if (usual == RC_STORE_NVFP4 && b->store == RC_STORE_FP4 && b->param->draft) {
        m->fp4_draft++;
    } else if (b->store != usual) {
        if (b->store != RC_STORE_PLAIN || b->scale || !ends_with(t->name, ".attn.wo_a.weight")) {
            b->store = usual;
            rc_param_layout(b->param, usual, b->param->dtype, scale, want);
            wrong_dtype(m, t, want[0].dtype);
            return;
        }
        m->plain_wo_a++;
    }
    if (rc_param_layout(b->param, b->store, RC_DTYPE_BF16, scale, want) == 2) {
        check_shape(m, t, &want[0]);
        check_scale(m, b, &want[1]);
        return;
    }
    check_shape(m, t, &want[0]);
    if (b->scale) {
        e = rc_model_add_problem(m, RC_EXTRA, b->scale->name, b->scale);
        rc_model_say(e, "a scale beside a weight that is not quantized (%s)",
                     rc_dtype_name(t->dtype));
    }
}

/* Zero points and a shape belong to 4-bit integers alone. */
static void refuse_int4_parts(rc_model *m, const rc_bound *b)
{
    const rc_tensor *t[2] = { b->zero, b->shape };

    for (unsigned i = 0; i < 2; i++)
        if (t[i])
            rc_model_say(rc_model_add_problem(m, RC_EXTRA, t[i]->name, t[i]),
                         "%s beside a weight that is not in 4-bit integers",
                         i ? "a shape" : "zero points");
}

/* Beside 4-bit integers every quantized parameter is stored as it likes: FP8 with any scales, BF16
 * or wider, and experts of a draft as FP4. */
static rc_code check_free(rc_model *m, rc_bound *b, rc_err *err)
{
    const rc_tensor *t = b->weight, *s = b->scale;
    rc_want want[2];

    if (rc_model_is_int4(t))
        return rc_model_check_int4(m, b, err);
    b->store = RC_STORE_PLAIN;
    if (t->dtype == RC_DTYPE_F8_E4M3) {
        b->store = RC_STORE_FP8;
    } else if (t->dtype == RC_DTYPE_I8 && b->param->draft && b->param->quant == RC_QUANT_EXPERT) {
        b->store = RC_STORE_FP4;
        m->fp4_draft++;
    } else if (!is_float(t->dtype)) {
        wrong_dtype(m, t, RC_DTYPE_BF16);
        return RC_OK;
    } else {
        m->wider += t->dtype != RC_DTYPE_BF16;
    }
    if (rc_param_layout(b->param, b->store, t->dtype,
                        s && (s->dtype == RC_DTYPE_BF16 || s->dtype == RC_DTYPE_F32)
                            ? s->dtype
                            : RC_DTYPE_F8_E8M0,
                        want) == 2)
        check_scale(m, b, &want[1]);
    else if (s)
        rc_model_say(rc_model_add_problem(m, RC_EXTRA, s->name, s),
                     "a scale beside a weight that is not quantized (%s)", rc_dtype_name(t->dtype));
    check_shape(m, t, &want[0]);
    refuse_int4_parts(m, b);
    return RC_OK;
}

/* A problem of the number that an NVFP4 tensor is scaled by. */
static void bad_gain(rc_model *m, rc_bound *b, rc_problem_kind kind, const char *name,
                     const rc_tensor *t, const char *what)
{
    rc_err *e = rc_model_add_problem(m, kind, name, t);

    if (!t)
        rc_err_file(e, shard_of(m, b->weight));
    rc_model_say(e, "%s", what);
    rc_err_want(e, "one F32, finite and above 0");
    b->gain = NAN; /* no value of this weight is known */
}

static rc_code read_gain(rc_model *m, rc_bound *b, rc_err *err)
{
    const size_t base = strlen(b->param->name) - strlen(".weight");
    const rc_tensor *t;
    char name[256];

    snprintf(name, sizeof name, "%.*s.weight_scale_2", (int)base, b->param->name);
    t = rc_ckpt_find(m->ckpt, name);
    if (!t) {
        bad_gain(m, b, RC_MISSING, name, NULL, "missing: its weight cannot be read without it");
        return RC_OK;
    }
    if (t->dtype != RC_DTYPE_F32 || t->nbytes != sizeof b->gain) {
        bad_gain(m, b, RC_MALFORMED, name, t, "not a number");
        return RC_OK;
    }
    RC_TRY(rc_source_read_early(rc_ckpt_source(m->ckpt), rc_ckpt_shard(m->ckpt, t->shard)->file,
                                t->begin, &b->gain, sizeof b->gain, err));
    if (!isfinite(b->gain) || b->gain <= 0)
        bad_gain(m, b, RC_MALFORMED, name, t, "not a scale");
    return RC_OK;
}

static void check_missing(rc_model *m, rc_bound *b)
{
    char buf[RC_HF_NAME];
    rc_err *e = rc_model_add_problem(m, RC_MISSING, rc_model_filed(m, b->param->name, buf), NULL);

    b->store = b->param->quant == RC_QUANT_EXPERT  ? m->traits.experts
               : b->param->quant == RC_QUANT_DENSE ? m->traits.dense
                                                   : RC_STORE_PLAIN;
    if (b->scale)
        rc_err_file(e, shard_of(m, b->scale));
    rc_model_say(e, "missing%s", b->scale ? ": its scale is there without it" : "");
}

/* What a tensor that has no place was probably meant to be. */
static void explain_extra(rc_model *m, const rc_tensor *t)
{
    const rc_config *c = rc_ckpt_config(m->ckpt);
    rc_err *e = rc_model_add_problem(m, RC_EXTRA, t->name, t);
    char buf[RC_HF_NAME];
    const char *name = rc_model_native(m, t->name, buf);
    const char *expert = strstr(name, ".ffn.experts.");
    unsigned long layer, number;
    part_of part = WEIGHT;

    if (sscanf(name, "layers.%9lu.", &layer) == 1 && layer >= c->num_hidden_layers) {
        rc_model_say(e, "belongs to a layer beyond num_hidden_layers");
        rc_err_want(e, "layer < %" PRIu32, c->num_hidden_layers);
        rc_err_got(e, "%lu", layer);
    } else if (expert && sscanf(expert, ".ffn.experts.%9lu.", &number) == 1 &&
               number >= c->n_routed_experts) {
        rc_model_say(e, "belongs to an expert beyond n_routed_experts");
        rc_err_want(e, "expert < %" PRIu32, c->n_routed_experts);
        rc_err_got(e, "%lu", number);
    } else if (param_of_part(m, name, &part)) {
        rc_model_say(e, part == SCALE ? "a second scale of the same weight"
                                      : "a second form of the same weight");
    } else if (rc_schema_find(m->schema, name)) {
        rc_model_say(e, "a second form of the same weight");
    } else if (strcmp(name, "head.weight") == 0) {
        rc_model_say(e, "the config ties the head to the embedding (tie_word_embeddings)");
    } else {
        rc_model_say(e, "unknown tensor");
    }
}

static rc_code check_set(rc_model *m, rc_err *err)
{
    check_config(m);
    for (size_t i = 0; i < rc_schema_count(m->schema); i++) {
        rc_bound *b = &m->bound[i];

        if (!b->weight)
            check_missing(m, b);
        else if (b->param->quant == RC_QUANT_NONE)
            check_plain(m, b);
        else if (m->int4 != RC_STORE_COUNT)
            RC_TRY(check_free(m, b, err));
        else
            check_quantized(m, b);
        if (b->weight && b->store == RC_STORE_NVFP4)
            RC_TRY(read_gain(m, b, err));
    }
    if (m->int4 != RC_STORE_COUNT)
        rc_model_check_int4_config(m);
    for (size_t i = 0; i < m->extra.n; i++)
        explain_extra(m, m->extra.at[i]);
    return RC_OK;
}

static void write_notes(rc_model *m)
{
    const rc_config *c = rc_ckpt_config(m->ckpt);

    if (m->traits.draft == RC_DRAFT_NONE && c->num_nextn_predict_layers)
        rc_model_say(rc_model_add_note(m),
                     "no draft tensors (mtp.*), although the config provides for a draft");
    if (m->f32_norms)
        rc_model_say(rc_model_add_note(m), "%zu norms are stored as F32, releases have BF16",
                     m->f32_norms);
    if (m->plain_wo_a)
        rc_model_say(rc_model_add_note(m),
                     "%zu attn.wo_a.weight are stored as BF16 without a scale", m->plain_wo_a);
    if (m->fp4_draft)
        rc_model_say(rc_model_add_note(m), "%zu experts of the draft are FP4, those of layers %s",
                     m->fp4_draft, m->int4 != RC_STORE_COUNT ? "INT4" : "NVFP4");
    if (m->wider)
        rc_model_say(rc_model_add_note(m),
                     "%zu tensors are stored as F16 or F32, releases have BF16", m->wider);
    if (m->hf)
        rc_model_say(rc_model_add_note(m), "tensors have the names of transformers");
    if (m->opaque.n)
        rc_model_say(rc_model_add_note(m), "%zu vision tensors are kept as they are", m->opaque.n);
}

static void write_variant(rc_model *m)
{
    const rc_config *c = rc_ckpt_config(m->ckpt);
    const rc_traits *t = &m->traits;
    const uint32_t D = c->hidden_size, L = c->num_hidden_layers, E = c->n_routed_experts;
    const bool flash = D == 4096 && L == 43 && E == 256, pro = D == 7168 && L == 61 && E == 384;
    const char *layout = "";

    if (t->experts == RC_STORE_PACKED)
        layout = ", INT4 experts (compressed-tensors W4A16)";
    else if (t->experts == RC_STORE_AWQ)
        layout = ", INT4 experts (AWQ)";
    else if (t->experts == RC_STORE_PLAIN && t->dense == RC_STORE_PLAIN)
        layout = ", BF16";
    else if (t->experts == RC_STORE_PLAIN)
        layout = ", BF16 experts";
    else if (t->dense == RC_STORE_PLAIN)
        layout = ", BF16 outside the experts";
    else if (t->experts == RC_STORE_FP8 && t->expert_scale == RC_DTYPE_F32)
        layout = t->dense_scale == RC_DTYPE_F32 ? ", FP8 experts, F32 scales (layout of Base)"
                                                : ", FP8 experts with F32 scales";
    else if (t->experts == RC_STORE_FP8)
        layout = ", FP8 experts";
    else if (t->experts == RC_STORE_NVFP4)
        layout = ", NVFP4 experts (ModelOpt)";
    snprintf(m->variant, sizeof m->variant, "%s%s%s%s",
             flash ? "V4-Flash"
             : pro ? "V4-Pro"
                   : "V4 (custom sizes)",
             t->vision ? "-Vision" : "",
             t->draft == RC_DRAFT_NONE  ? ", no draft"
             : t->draft == RC_DRAFT_MTP ? ""
             : flash                    ? " with DSpark (as 0731)"
             : pro                      ? " with DSpark (as 0813)"
                                        : " with DSpark",
             layout);
}

rc_code rc_model_expand(rc_model *m, const char *config_file, rc_err *err)
{
    const rc_code rc = rc_schema_new(&m->schema, rc_ckpt_config(m->ckpt), &m->traits, m->mem, err);
    size_t n;

    if (rc != RC_OK) {
        rc_err_file(err, config_file);
        return rc;
    }
    n = rc_schema_count(m->schema);
    m->bound = rc_mem_get(m->mem, n * sizeof *m->bound);
    if (!m->bound)
        return rc_fail_nomem(err, m->mem, n * sizeof *m->bound);
    for (size_t i = 0; i < n; i++) {
        const rc_param *p = rc_schema_at(m->schema, i);

        m->bound[i].param = p;
        m->bound[i].gain = 1;
        m->bound[i].pitch = p->rank ? p->shape[p->rank - 1] : 1;
    }
    return RC_OK;
}

static rc_code bind_safetensors(rc_model *m, rc_err *err)
{
    m->nvfp4 = has_nvfp4(m->ckpt);
    m->hf = rc_model_has_hf_names(m->ckpt);
    if (!m->nvfp4)
        m->int4 = rc_model_find_int4(m->ckpt);
    RC_TRY(refuse_foreign(m, err));
    if (m->int4 != RC_STORE_COUNT)
        RC_TRY(rc_model_read_int4_config(m, err));
    RC_TRY(read_traits(m, err));
    RC_TRY(rc_model_expand(m, "config.json", err));
    RC_TRY(assign_tensors(m, err));
    RC_TRY(check_set(m, err));
    write_notes(m);
    write_variant(m);
    return RC_OK;
}

rc_code rc_model_new(rc_model **out, rc_ckpt *ckpt, rc_mem *mem, rc_err *err)
{
    rc_model *m = rc_mem_get(mem, sizeof *m);
    rc_code rc;

    *out = NULL;
    if (!m)
        return rc_fail_nomem(err, mem, sizeof *m);
    m->mem = m->names.mem = mem;
    m->ckpt = ckpt;
    m->int4 = RC_STORE_COUNT;
    rc = rc_ckpt_gguf(ckpt) ? rc_model_bind_gguf(m, err) : bind_safetensors(m, err);
    if (rc == RC_OK && m->nomem)
        rc = rc_fail_nomem(err, mem, m->nproblems * sizeof *m->problem);
    if (rc == RC_OK)
        *out = m;
    else
        rc_model_free(&m);
    return rc;
}

void rc_model_free(rc_model **model)
{
    rc_model *m = *model;

    if (!m)
        return;
    rc_schema_free(&m->schema);
    rc_mem_put(m->mem, m->bound);
    rc_mem_put(m->mem, m->opaque.at);
    rc_mem_put(m->mem, m->extra.at);
    rc_mem_put(m->mem, m->problem);
    rc_arena_free(&m->names);
    rc_mem_put(m->mem, m);
    *model = NULL;
}

rc_ckpt *rc_model_ckpt(const rc_model *model)
{
    return model->ckpt;
}

const rc_traits *rc_model_traits(const rc_model *model)
{
    return &model->traits;
}

const rc_schema *rc_model_schema(const rc_model *model)
{
    return model->schema;
}

const char *rc_model_variant(const rc_model *model)
{
    return model->variant;
}

size_t rc_model_count(const rc_model *model)
{
    return rc_schema_count(model->schema);
}

const rc_bound *rc_model_at(const rc_model *model, size_t i)
{
    return &model->bound[i];
}

const rc_bound *rc_model_find(const rc_model *model, const char *param)
{
    const rc_param *p = rc_schema_find(model->schema, param);

    return p ? &model->bound[p - rc_schema_at(model->schema, 0)] : NULL;
}

size_t rc_model_opaque_count(const rc_model *model)
{
    return model->opaque.n;
}

const rc_tensor *rc_model_opaque(const rc_model *model, size_t i)
{
    return model->opaque.at[i];
}

size_t rc_model_problems(const rc_model *model)
{
    return model->nproblems;
}

const rc_problem *rc_model_problem(const rc_model *model, size_t i)
{
    return &model->problem[i];
}

size_t rc_model_problems_total(const rc_model *model)
{
    return model->total;
}

size_t rc_model_notes(const rc_model *model)
{
    return model->nnotes;
}

const rc_err *rc_model_note(const rc_model *model, size_t i)
{
    return &model->note[i];
}

rc_code rc_model_require_whole(const rc_model *model, rc_err *err)
{
    if (!model->total)
        return RC_OK;
    if (err) {
        const size_t n = strlen(model->problem[0].what.msg);

        *err = model->problem[0].what;
        if (model->total > 1) {
            snprintf(err->msg + n, sizeof err->msg - n, "; %zu problems in all", model->total);
            rc_err_hint(err, "recast inspect lists them");
        }
    }
    return RC_E_TENSORSET;
}
