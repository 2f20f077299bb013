/* convert/plan_int4.c - see plan_int4.h; the config is in plan_int4_config.c. */
#include "convert/plan_int4.h"

#include <stdio.h>
#include <string.h>

#include "formats/absorb.h"
#include "formats/hf_names.h"

static bool is_int4(rc_store store)
{
    return store == RC_STORE_AWQ || store == RC_STORE_PACKED;
}

static rc_store container(const rc_recipe *recipe)
{
    return recipe->target == RC_TO_AWQ ? RC_STORE_AWQ : RC_STORE_PACKED;
}

/* ------------------------------------------------------------------ recipe */

bool rc_plan_is_repack(const rc_model *model)
{
    return is_int4(rc_model_traits(model)->experts);
}

static rc_code refuse(const rc_model *model, const char *what, const char *hint, rc_err *err)
{
    rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "%s", what);
    rc_err_file(err, rc_source_where(rc_ckpt_source(rc_model_ckpt(model))));
    rc_err_hint(err, "%s", hint);
    return RC_E_UNSUPPORTED;
}

/* One quantization_config has one group. */
static rc_code take_source_groups(rc_recipe *recipe, const rc_model *model, rc_err *err)
{
    rc_int4_recipe *r = &recipe->int4;

    for (size_t i = 0; i < rc_model_count(model); i++) {
        const rc_bound *b = rc_model_at(model, i);

        if (b->store == RC_STORE_FP4 && recipe->draft != RC_DRAFT_DROP)
            return refuse(model, "experts of its draft are FP4: this container has no such",
                          "start from the original release, or leave the draft out with "
                          "--draft drop",
                          err);
        if (!is_int4(b->store))
            continue;
        if (r->group && (r->group != b->group || r->symmetric != !b->zero))
            return refuse(model, "its 4-bit tensors have groups of different kinds",
                          "start from the original release", err);
        r->group = b->group;
        r->symmetric = !b->zero;
        r->scale = recipe->target == RC_TO_AWQ ? RC_DTYPE_F16 : b->scale->dtype;
        if (b->param->quant == RC_QUANT_DENSE)
            r->scope = RC_SCOPE_ALL;
    }
    if (recipe->target == RC_TO_AWQ)
        r->symmetric = false;
    return RC_OK;
}

rc_code rc_plan_int4_recipe(rc_recipe *recipe, const rc_model *model, rc_err *err)
{
    /* of a part of a model the other readers would not be scaled */
    if (!recipe->int4.stats || recipe->int4.method == RC_METHOD_RTN || recipe->nglobs)
        recipe->int4.smooth = RC_SMOOTH_OFF;
    if (!rc_plan_is_repack(model))
        return RC_OK;
    if (!rc_recipe_is_int4(recipe))
        return refuse(model, "the experts are 4-bit integers: they were rounded already",
                      "start from the original release; or repack with --to awq or --to w4a16",
                      err);
    if (rc_model_traits(model)->experts == container(recipe))
        return refuse(model, "is of this container already", "there is nothing to convert", err);
    recipe->int4 = (rc_int4_recipe){ .repack = true, .hf_names = recipe->int4.hf_names };
    return take_source_groups(recipe, model, err);
}

/* ------------------------------------------------------------------- names */

/* The output's name of a tensor, in the plan's arena. */
static const char *name_of(rc_plan *p, const char *native)
{
    char hf[RC_HF_NAME];

    if (p->recipe.int4.hf_names && rc_hf_from_native(native, hf))
        native = hf;
    return rc_arena_strdup(&p->arena, native, strlen(native));
}

static rc_code place(rc_plan *p, rc_dest *d, const rc_want *want, rc_err *err)
{
    d->name = name_of(p, want->name);
    d->dtype = want->dtype;
    d->rank = want->rank;
    memcpy(d->shape, want->shape, sizeof want->shape);
    return d->name ? RC_OK : rc_fail_nomem(err, p->mem, sizeof want->name);
}

/* ---------------------------------------------------------- what it becomes */

static bool ends_with(const char *s, const char *tail)
{
    const size_t n = strlen(s), k = strlen(tail);

    return n >= k && strcmp(s + n - k, tail) == 0;
}

static rc_int4_fate fate_of_dense(const rc_recipe *r, const rc_bound *b)
{
    const bool wo_a = ends_with(b->param->name, ".wo_a.weight");

    if (r->int4.scope == RC_SCOPE_ALL && !wo_a)
        return RC_FATE_INT4;
    if (b->store == RC_STORE_PLAIN)
        return RC_FATE_KEEP;
    /* scaled columns would cost the tiles of FP8 their small values */
    return r->target == RC_TO_AWQ || wo_a ||
                   (r->int4.smooth != RC_SMOOTH_OFF && b->param->role == RC_ROLE_SHARED)
               ? RC_FATE_BF16
               : RC_FATE_FP8;
}

rc_int4_fate rc_int4_fate_of(const rc_recipe *r, const rc_bound *b)
{
    if (r->int4.repack)
        return is_int4(b->store)            ? RC_FATE_INT4
               : b->store == RC_STORE_PLAIN ? RC_FATE_KEEP
               : r->target == RC_TO_W4A16   ? RC_FATE_FP8
                                            : RC_FATE_BF16;
    return b->param->quant == RC_QUANT_EXPERT ? RC_FATE_INT4
           : b->param->quant == RC_QUANT_NONE ? RC_FATE_KEEP
                                              : fate_of_dense(r, b);
}

/* Attention is only worth scaling where it is requantized. */
static bool may_scale(const rc_recipe *r, const rc_param *p)
{
    rc_absorb point;

    if (r->int4.repack || r->int4.smooth == RC_SMOOTH_OFF ||
        !(rc_absorb_is_norm(p, &point) || rc_absorb_reads(p, &point)))
        return false;
    return point == RC_ABSORB_FFN || r->int4.scope == RC_SCOPE_ALL;
}

static uint64_t tile_count(const rc_job *job)
{
    return rc_ceil_div(job->rows, 128) * rc_ceil_div(job->cols, 128);
}

/* ------------------------------------------------------------------ plain */

static rc_code plan_plain(rc_plan *p, rc_job *job, const rc_bound *b, rc_dtype dtype, rc_err *err)
{
    rc_want want[2];
    const bool pow2 = p->recipe.int4.smooth == RC_SMOOTH_POW2;

    (void)rc_param_layout(b->param, RC_STORE_PLAIN, dtype, dtype, want);
    RC_TRY(place(p, &job->out[RC_PART_WEIGHT], &want[0], err));
    if (job->smoothed) {
        job->op = RC_OP_ENCODE;
        job->tiles = pow2 ? job->rows : 0; /* others round: loss is the point */
    } else if (b->store == RC_STORE_PLAIN) {
        rc_plan_copy(job, b->weight);
    } else {
        job->op = RC_OP_FP8_TO_BF16;
        job->tiles = tile_count(job);
    }
    return RC_OK;
}

/* compressed-tensors calls the scale so, and wants it in F32. */
static rc_code plan_fp8(rc_plan *p, rc_job *job, const rc_bound *b, rc_err *err)
{
    const int stem = (int)(strlen(b->param->name) - strlen(".weight"));
    rc_want want[2];

    (void)rc_param_layout(b->param, RC_STORE_FP8, RC_DTYPE_F8_E4M3, RC_DTYPE_F32, want);
    snprintf(want[1].name, sizeof want[1].name, "%.*s.weight_scale", stem, b->param->name);
    job->op = RC_OP_FP8_RESCALE;
    RC_TRY(place(p, &job->out[RC_PART_WEIGHT], &want[0], err));
    return place(p, &job->out[RC_PART_SCALE], &want[1], err);
}

/* -------------------------------------------------------------------- INT4 */

static rc_code refuse_width(const rc_job *job, uint32_t group, rc_err *err)
{
    rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
            job->cols % group ? "rows of %" PRIu64 " are not whole groups of %u"
                              : "%" PRIu64 " rows: 4-bit containers want a multiple of 8",
            job->cols % group ? job->cols : job->rows, group);
    rc_err_tensor(err, job->name);
    if (job->cols % group == 0)
        return RC_E_UNSUPPORTED;
    for (unsigned g = 64; g >= 32; g /= 2)
        if (job->cols % g == 0) {
            rc_err_hint(err, "--group %u divides them", g);
            return RC_E_UNSUPPORTED;
        }
    rc_err_hint(err, job->role == RC_ROLE_EXPERT
                         ? "no group does: 32 is the smallest"
                         : "no group does; --scope experts leaves it alone");
    return RC_E_UNSUPPORTED;
}

/* By what its name has behind the module's. */
static rc_part part_of(const char *tail)
{
    static const struct {
        const char *tail;
        rc_part part;
    } tails[] = {
        { ".weight_scale", RC_PART_SCALE },     { ".scales", RC_PART_SCALE },
        { ".weight_zero_point", RC_PART_ZERO }, { ".qzeros", RC_PART_ZERO },
        { ".weight_shape", RC_PART_SHAPE },
    };

    for (unsigned i = 0; i < sizeof tails / sizeof *tails; i++)
        if (strcmp(tail, tails[i].tail) == 0)
            return tails[i].part;
    return RC_PART_WEIGHT;
}

static rc_code plan_int4(rc_plan *p, rc_job *job, const rc_bound *b, rc_err *err)
{
    const rc_int4_recipe *r = &p->recipe.int4;
    const size_t stem_len = strlen(b->param->name) - strlen(".weight");
    rc_want want[RC_WANT_MAX];
    unsigned n;

    if (job->cols % r->group || job->rows % 8)
        return refuse_width(job, r->group, err);
    job->int4 = (rc_int4_layout){
        .store = container(&p->recipe), .group = r->group, .zeros = !r->symmetric, .scale = r->scale
    };
    n = rc_param_int4(b->param, &job->int4, want);
    for (unsigned i = 0; i < n; i++)
        RC_TRY(place(p, &job->out[part_of(want[i].name + stem_len)], &want[i], err));
    if (r->repack) {
        job->op = RC_OP_INT4_REPACK;
        job->zero = b->zero;
        job->tiles = job->rows;
        job->source_int4 = (rc_int4_layout){
            .store = b->store, .group = b->group, .zeros = b->zero, .scale = b->scale->dtype
        };
        return RC_OK;
    }
    job->op = RC_OP_INT4;
    job->importance = r->stats ? RC_IMPORTANCE_STATS : RC_IMPORTANCE_NONE;
    return RC_OK;
}

rc_code rc_plan_int4_bound(rc_plan *p, rc_job *job, const rc_bound *b, rc_err *err)
{
    const rc_param *param = b->param;

    job->param = param;
    job->role = param->role;
    job->expert = param->expert >= 0 ? (uint32_t)param->expert : 0;
    job->name = b->weight->name;
    job->weight = b->weight;
    job->scale = b->scale;
    job->rows = param->rank == 2 ? param->shape[0] : 1;
    job->cols = param->rank ? param->shape[param->rank - 1] : 1;
    job->smoothed = may_scale(&p->recipe, param);
    switch (rc_int4_fate_of(&p->recipe, b)) {
    case RC_FATE_INT4:
        return plan_int4(p, job, b, err);
    case RC_FATE_FP8:
        return plan_fp8(p, job, b, err);
    case RC_FATE_BF16:
        return plan_plain(p, job, b, RC_DTYPE_BF16, err);
    default:
        return plan_plain(p, job, b, b->weight->dtype, err);
    }
}
