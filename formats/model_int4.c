/* formats/model_int4.c - weights in 4-bit integers: compressed-tensors' pack-quantized and
 * AutoAWQ's "GEMM", told from what only looks like them, and bound part by part. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/hf_names.h"
#include "formats/int4_config.h"
#include "formats/model_impl.h"
#include "formats/source_early.h"

static bool ends_with(const char *s, const char *suffix)
{
    const size_t n = strlen(s), k = strlen(suffix);

    return n >= k && strcmp(s + n - k, suffix) == 0;
}

/* -- names ------------------------------------------------------------------ */

bool rc_model_has_hf_names(const rc_ckpt *ckpt)
{
    for (size_t i = 0; i < rc_ckpt_count(ckpt); i++) {
        const char *name = rc_ckpt_at(ckpt, i)->name;

        if (strncmp(name, "model.layers.", 13) == 0 &&
            (strstr(name, ".self_attn.") || strstr(name, ".mlp.")))
            return true;
    }
    return false;
}

const char *rc_model_native(const rc_model *m, const char *name, char buf[RC_HF_NAME])
{
    return m->hf && rc_hf_to_native(name, buf) ? buf : name;
}

const char *rc_model_filed(const rc_model *m, const char *native, char buf[RC_HF_NAME])
{
    return m->hf && rc_hf_from_native(native, buf) ? buf : native;
}

const rc_tensor *rc_model_tensor(const rc_model *m, const char *native)
{
    char buf[RC_HF_NAME];

    return rc_ckpt_find(m->ckpt, rc_model_filed(m, native, buf));
}

/* -- which container ---------------------------------------------------------- */

static bool is_of_expert(const char *name)
{
    return strstr(name, ".ffn.experts.") || strstr(name, ".mlp.experts.");
}

/* Columns of the expert's matrix that a tensor is of. */
static uint64_t inputs_of(const rc_ckpt *ckpt, const rc_tensor *t)
{
    const rc_config *c = rc_ckpt_config(ckpt);
    const bool down = strstr(t->name, ".w2.") || strstr(t->name, ".down_proj.");

    return down ? c->moe_intermediate_size : c->hidden_size;
}

/* [i, o / 8]; GPTQ has qweight [i / 8, o] under the same name. */
static bool is_awq(const rc_ckpt *ckpt, const rc_tensor *t)
{
    return ends_with(t->name, ".qweight") && t->dtype == RC_DTYPE_I32 && t->rank == 2 &&
           t->shape[0] == inputs_of(ckpt, t);
}

/* [o, i / 8] */
static bool is_packed(const rc_ckpt *ckpt, const rc_tensor *t)
{
    return ends_with(t->name, ".weight_packed") && t->dtype == RC_DTYPE_I32 && t->rank == 2 &&
           t->shape[1] == rc_ceil_div(inputs_of(ckpt, t), 8);
}

rc_store rc_model_find_int4(const rc_ckpt *ckpt)
{
    for (size_t i = 0; i < rc_ckpt_count(ckpt); i++) {
        const rc_tensor *t = rc_ckpt_at(ckpt, i);

        if (!is_of_expert(t->name))
            continue;
        if (is_packed(ckpt, t))
            return RC_STORE_PACKED;
        if (is_awq(ckpt, t))
            return RC_STORE_AWQ;
    }
    return RC_STORE_COUNT;
}

bool rc_model_int4_name(const rc_model *m, const char *name)
{
    static const char *const packed[] = { ".weight_packed", ".weight_scale", ".weight_shape",
                                          ".weight_zero_point" };
    static const char *const awq[] = { ".qweight", ".scales", ".qzeros", ".weight_scale" };

    for (unsigned i = 0; i < 4 && m->int4 != RC_STORE_COUNT; i++)
        if (ends_with(name, m->int4 == RC_STORE_AWQ ? awq[i] : packed[i]))
            return true;
    return false;
}

bool rc_model_is_int4(const rc_tensor *weight)
{
    return ends_with(weight->name, ".weight_packed") || ends_with(weight->name, ".qweight");
}

const char *rc_model_int4_method(const rc_model *m)
{
    return m->int4 == RC_STORE_AWQ ? "awq" : m->int4 == RC_STORE_PACKED ? "compressed-tensors" : "";
}

/* -- one parameter -------------------------------------------------------------- */

static bool same_shape(const rc_tensor *t, const rc_want *want)
{
    return t->rank == want->rank &&
           memcmp(t->shape, want->shape, want->rank * sizeof *want->shape) == 0;
}

static bool require_shape(rc_model *m, const rc_tensor *t, const rc_want *want)
{
    char a[96], b[96];
    rc_err *e;

    if (same_shape(t, want))
        return true;
    e = rc_model_add_problem(m, RC_MALFORMED, t->name, t);
    rc_model_say(e, "wrong shape");
    rc_err_want(e, "%s", rc_model_spell_shape(a, want->rank, want->shape));
    rc_err_got(e, "%s", rc_model_spell_shape(b, t->rank, t->shape));
    return false;
}

static bool require_i32(rc_model *m, const rc_tensor *t)
{
    rc_err *e;

    if (t->dtype == RC_DTYPE_I32)
        return true;
    e = rc_model_add_problem(m, RC_MALFORMED, t->name, t);
    rc_model_say(e, "wrong dtype");
    rc_err_want(e, "I32");
    rc_err_got(e, "%s", rc_dtype_name(t->dtype));
    return false;
}

static bool missing(rc_model *m, const rc_bound *b, const rc_want *want)
{
    char buf[RC_HF_NAME];
    rc_err *e = rc_model_add_problem(m, RC_MISSING, rc_model_filed(m, want->name, buf), NULL);

    rc_err_file(e, rc_ckpt_shard(m->ckpt, b->weight->shard)->name);
    rc_model_say(e, "missing: its weight cannot be read without it");
    return false;
}

static bool superfluous(rc_model *m, const rc_tensor *t, const char *what)
{
    rc_model_say(rc_model_add_problem(m, RC_EXTRA, t->name, t), "%s", what);
    return false;
}

/* Columns under one scale, from the scales' shape; 0, and a problem, where no group fits. */
static uint32_t group_of(rc_model *m, const rc_bound *b)
{
    const uint64_t cols = b->param->shape[1], rows = b->param->shape[0];
    const bool awq = b->store == RC_STORE_AWQ;
    const rc_tensor *s = b->scale;
    const uint64_t groups = s->rank == 2 ? s->shape[awq ? 0 : 1] : 0;
    const uint64_t group = groups && cols % groups == 0 ? cols / groups : 0;
    char shape[96];
    rc_err *e;

    if (group == 32 || group == 64 || group == 128)
        return (uint32_t)group;
    e = rc_model_add_problem(m, RC_MALFORMED, s->name, s);
    rc_model_say(e, "these are not scales of groups of 32, 64 or 128 columns");
    if (awq)
        rc_err_want(e, "[%" PRIu64 " / group, %" PRIu64 "]", cols, rows);
    else
        rc_err_want(e, "[%" PRIu64 ", %" PRIu64 " / group]", rows, cols);
    rc_err_got(e, "%s", rc_model_spell_shape(shape, s->rank, s->shape));
    return 0;
}

static bool scale_fits(rc_model *m, const rc_tensor *t)
{
    rc_err *e;

    if (t->dtype == RC_DTYPE_F16 || t->dtype == RC_DTYPE_BF16 || t->dtype == RC_DTYPE_F32)
        return true;
    e = rc_model_add_problem(m, RC_MALFORMED, t->name, t);
    rc_model_say(e, "wrong dtype");
    rc_err_want(e, "F16, BF16 or F32");
    rc_err_got(e, "%s", rc_dtype_name(t->dtype));
    return false;
}

/* The numbers of a shape are read once for each shape of the model: a file has tens of thousands
 * of them, 16 bytes each, and a source may be far away. */
static bool is_new_shape(rc_model *m, const rc_param *p)
{
    const size_t room = sizeof m->shape_seen / sizeof *m->shape_seen;

    for (size_t i = 0; i < m->nshapes; i++)
        if (m->shape_seen[i][0] == p->shape[0] && m->shape_seen[i][1] == p->shape[1])
            return false;
    if (m->nshapes == room)
        return false;
    memcpy(m->shape_seen[m->nshapes++], p->shape, sizeof *m->shape_seen);
    return true;
}

static uint64_t integer(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;

    while (n-- > 0)
        v = v << 8 | p[n];
    return v;
}

static rc_code read_shape(rc_model *m, const rc_bound *b, const rc_tensor *t, rc_err *err)
{
    const unsigned size = t->dtype == RC_DTYPE_I64 ? 8 : 4;
    uint64_t shape[2];
    uint8_t bytes[16];
    char want[96], got[96];
    rc_err *e;

    RC_TRY(rc_source_read_early(rc_ckpt_source(m->ckpt), rc_ckpt_shard(m->ckpt, t->shard)->file,
                                t->begin, bytes, 2 * (size_t)size, err));
    shape[0] = integer(bytes, size);
    shape[1] = integer(bytes + size, size);
    if (memcmp(shape, b->param->shape, sizeof shape) == 0)
        return RC_OK;
    e = rc_model_add_problem(m, RC_MALFORMED, t->name, t);
    rc_model_say(e, "says another shape than the weight has");
    rc_err_want(e, "%s", rc_model_spell_shape(want, 2, b->param->shape));
    rc_err_got(e, "%s", rc_model_spell_shape(got, 2, shape));
    return RC_OK;
}

static rc_code check_shape_tensor(rc_model *m, const rc_bound *b, const rc_want *want, rc_err *err)
{
    const rc_tensor *t = b->shape;
    rc_err *e;

    if (!t) {
        (void)missing(m, b, want);
        return RC_OK;
    }
    if ((t->dtype != RC_DTYPE_I64 && t->dtype != RC_DTYPE_I32) || !same_shape(t, want)) {
        e = rc_model_add_problem(m, RC_MALFORMED, t->name, t);
        rc_model_say(e, "not a shape");
        rc_err_want(e, "two I64");
        rc_err_got(e, "%s", rc_dtype_name(t->dtype));
        return RC_OK;
    }
    return is_new_shape(m, b->param) ? read_shape(m, b, t, err) : RC_OK;
}

/* Scales and zero points are there, under the names of this container. */
static bool has_parts(rc_model *m, rc_bound *b, const rc_want want[RC_WANT_MAX])
{
    const bool awq = b->store == RC_STORE_AWQ;
    bool whole = true;

    if (b->scale && !ends_with(b->scale->name, awq ? ".scales" : ".weight_scale"))
        whole = superfluous(m, b->scale, "a scale that 4-bit integers have no use for");
    else if (!b->scale)
        whole = missing(m, b, &want[1]);
    if (!b->zero && awq)
        whole = missing(m, b, &want[2]);
    return whole;
}

static bool check_parts(rc_model *m, rc_bound *b)
{
    const rc_param *p = b->param;
    rc_int4_layout layout = { b->store, 32, b->zero || b->store == RC_STORE_AWQ, RC_DTYPE_F16 };
    rc_want want[RC_WANT_MAX];
    bool whole;

    if (p->rank != 2 || p->shape[0] % 8 || p->shape[1] % 32) {
        rc_err *e = rc_model_add_problem(m, RC_MALFORMED, b->weight->name, b->weight);
        char shape[96];

        rc_model_say(e, "a matrix that 4-bit integers cannot hold");
        rc_err_want(e, "rows a multiple of 8, columns of 32");
        rc_err_got(e, "%s", rc_model_spell_shape(shape, p->rank, p->shape));
        return false;
    }
    (void)rc_param_int4(p, &layout, want);
    whole = require_i32(m, b->weight) && require_shape(m, b->weight, &want[0]);
    if (!has_parts(m, b, want) || !scale_fits(m, b->scale) || !(layout.group = group_of(m, b)))
        return false;
    (void)rc_param_int4(p, &layout, want);
    whole = require_shape(m, b->scale, &want[1]) && whole;
    if (b->zero)
        whole = require_i32(m, b->zero) && require_shape(m, b->zero, &want[2]) && whole;
    b->group = whole ? layout.group : 0; /* nobody reads by a layout that is not whole */
    return whole;
}

/* The first description in the config that fits; -1: none. */
static int described(const rc_int4_config *c, const rc_bound *b)
{
    for (unsigned i = 0; i < c->n; i++)
        if (c->at[i].group == b->group &&
            (b->store == RC_STORE_AWQ || c->at[i].symmetric == !b->zero))
            return (int)i;
    return -1;
}

rc_code rc_model_check_int4(rc_model *m, rc_bound *b, rc_err *err)
{
    rc_int4_layout layout = { RC_STORE_PACKED, 32, false, RC_DTYPE_F16 };
    rc_want want[RC_WANT_MAX];

    b->store = ends_with(b->weight->name, ".qweight") ? RC_STORE_AWQ : RC_STORE_PACKED;
    if (b->store == RC_STORE_PACKED) { /* its name is the last */
        (void)rc_param_int4(b->param, &layout, want);
        RC_TRY(check_shape_tensor(m, b, &want[2], err));
    }
    if (check_parts(m, b) && described(&m->says, b) < 0 && !m->undescribed)
        m->undescribed = b;
    return RC_OK;
}

/* -- the config ------------------------------------------------------------------ */

rc_code rc_model_read_int4_config(rc_model *m, rc_err *err)
{
    size_t len;
    const uint8_t *text = rc_ckpt_config_text(m->ckpt, &len);

    return rc_int4_config_parse(&m->says, text, len, m->mem, err);
}

static void spell_says(char buf[64], uint32_t group, bool symmetric)
{
    snprintf(buf, 64, "groups of %" PRIu32 ", %s", group,
             symmetric ? "symmetric" : "with zero points");
}

void rc_model_check_int4_config(rc_model *m)
{
    const rc_config *c = rc_ckpt_config(m->ckpt);
    const rc_int4_config *says = &m->says;
    char want[64], got[64];

    if (!c->has_quantization) {
        rc_model_config_problem(m, rc_model_int4_method(m), "none",
                                "the weights are 4-bit integers but the config does not say so");
        return;
    }
    if (strcmp(c->quant_method, rc_model_int4_method(m)) != 0)
        rc_model_config_problem(m, rc_model_int4_method(m), c->quant_method,
                                "quantization_config.quant_method contradicts the tensors");
    if (m->int4 == RC_STORE_AWQ && says->version[0] && strcmp(says->version, "gemm") != 0 &&
        strcmp(says->version, "GEMM") != 0)
        rc_model_config_problem(m, "gemm", says->version,
                                "quantization_config.version: not how these tensors lie");
    for (unsigned i = 0; m->int4 == RC_STORE_PACKED && i < says->n; i++) {
        if (says->at[i].format[0] && strcmp(says->at[i].format, "pack-quantized") != 0)
            rc_model_config_problem(m, "pack-quantized", says->at[i].format,
                                    "quantization_config: format of the 4-bit integers");
        if (strcmp(says->at[i].actorder, "group") == 0 ||
            strcmp(says->at[i].actorder, "dynamic") == 0)
            rc_model_config_problem(
                m, "null", says->at[i].actorder,
                "quantization_config: actorder, but columns are in their order");
    }
    if (says->n == 0) {
        rc_model_config_problem(
            m, "4-bit integers", "none",
            "quantization_config describes no weights of the kind that is here");
    } else if (m->undescribed) {
        spell_says(want, m->undescribed->group,
                   m->undescribed->store == RC_STORE_PACKED && !m->undescribed->zero);
        spell_says(got, says->at[0].group,
                   m->undescribed->store == RC_STORE_PACKED && says->at[0].symmetric);
        rc_model_config_problem(m, want, got,
                                "quantization_config: group size or symmetry of the tensors");
    }
}
