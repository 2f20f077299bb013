/* convert/smooth_sites.c - which norms may take up a scaling, and how their readers are read. */
#include <string.h>

#include "convert/smooth_impl.h"

/* May this reader be scaled, and is it one of those that profit? */
static bool may_scale(const rc_plan *plan, const rc_bound *b, bool *int4)
{
    const rc_int4_fate fate = rc_int4_fate_of(rc_plan_recipe(plan), b);

    *int4 = fate == RC_FATE_INT4;
    return fate != RC_FATE_FP8;
}

static bool dropped(const rc_plan *plan, const rc_param *p)
{
    return p->draft && rc_plan_recipe(plan)->draft == RC_DRAFT_DROP;
}

/* Readers of a norm follow it in the model's order, before the next block's: gather those that
 * become INT4. False: one of them has to stay as it is. */
static bool gather(const rc_plan *plan, size_t from, rc_smooth_site *site, const rc_bound **readers)
{
    const rc_model *model = rc_plan_model(plan);
    const char *norm = site->norm->param->name;

    for (size_t i = from; i < rc_model_count(model); i++) {
        const rc_bound *b = rc_model_at(model, i);
        rc_absorb point;
        char name[64];
        bool int4;

        if (b->param->layer != site->norm->param->layer ||
            b->param->draft != site->norm->param->draft)
            break;
        if (!rc_absorb_reads(b->param, &point) || point != site->point ||
            strcmp(rc_absorb_norm_name(b->param, point, name), norm) != 0)
            continue;
        if (!may_scale(plan, b, &int4))
            return false;
        if (!site->all || b->param->role == RC_ROLE_SHARED)
            site->all = b;
        if (int4)
            readers[site->readers++] = b;
    }
    return site->readers > 0;
}

rc_code rc_smooth_list(const rc_plan *plan, rc_smooth_site **sites, const rc_bound ***readers,
                       size_t *n, rc_mem *mem, rc_err *err)
{
    const rc_model *model = rc_plan_model(plan);
    const uint32_t layers = rc_ckpt_config(rc_model_ckpt(model))->num_hidden_layers;
    const size_t count = rc_model_count(model);
    size_t used = 0;

    *n = 0;
    *sites = rc_mem_get(mem, count * sizeof **sites);
    *readers = rc_mem_get(mem, count * sizeof **readers);
    if (!*sites || !*readers)
        return rc_fail_nomem(err, mem, count * sizeof **sites);
    for (size_t i = 0; i < count; i++) {
        const rc_bound *b = rc_model_at(model, i);
        rc_smooth_site *site = &(*sites)[*n];

        *site = (rc_smooth_site){ .norm = b, .reader = *readers + used };
        if (!rc_absorb_is_norm(b->param, &site->point) || dropped(plan, b->param))
            continue;
        site->n = (size_t)b->param->shape[0];
        site->block = (uint32_t)b->param->layer + (b->param->draft ? layers : 0);
        if (!gather(plan, i + 1, site, *readers + used))
            continue;
        used += site->readers;
        ++*n;
    }
    return RC_OK;
}

/* ---------------------------------------------------------------- rows */

static rc_code room(void **buf, size_t *len, size_t need, rc_mem *mem, rc_err *err)
{
    if (*len >= need)
        return RC_OK;
    rc_mem_put(mem, *buf);
    *len = 0;
    *buf = rc_mem_get_pages(mem, need);
    if (!*buf)
        return rc_fail_nomem(err, mem, need);
    *len = need;
    return RC_OK;
}

rc_code rc_smooth_read(rc_smooth_rows *r, const rc_plan *plan, const rc_bound *b, uint64_t row,
                       uint64_t n, rc_mem *mem, rc_err *err)
{
    rc_ckpt *ckpt = rc_model_ckpt(rc_plan_model(plan));
    const rc_extent x = rc_decoder_extent(b, row, n);
    const size_t cols = (size_t)b->param->shape[1];

    RC_TRY(room(&r->weight, &r->weight_len, x.weight_len + 2 * RC_PAGE, mem, err));
    RC_TRY(room(&r->scale, &r->scale_len, x.scale_len + 2 * RC_PAGE, mem, err));
    RC_TRY(room(&r->work, &r->work_len, rc_decoder_work(cols), mem, err));
    rc_decoder_lay_out(&r->piece, b);
    r->piece.row0 = row;
    r->piece.work = r->work;
    RC_TRY(rc_ckpt_read(ckpt, b->weight, x.weight_off, x.weight_len, r->weight, r->weight_len,
                        &r->piece.weight, err));
    r->piece.scale = NULL;
    if (!x.scale_len)
        return RC_OK;
    return rc_ckpt_read(ckpt, b->scale, x.scale_off, x.scale_len, r->scale, r->scale_len,
                        &r->piece.scale, err);
}

void rc_smooth_rows_free(rc_smooth_rows *r, rc_mem *mem)
{
    rc_mem_put(mem, r->weight);
    rc_mem_put(mem, r->scale);
    rc_mem_put(mem, r->work);
    *r = (rc_smooth_rows){ 0 };
}
