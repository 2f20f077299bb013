/* convert/plan.c - see plan.h. */
#include "convert/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/plan_impl.h"
#include "convert/plan_int4.h"

const char *rc_op_name(rc_op op)
{
    static const char *const names[RC_OP_COUNT] = {
        [RC_OP_COPY] = "copy",
        [RC_OP_FP4_TO_FP8] = "fp4-to-fp8",
        [RC_OP_FP8_RESCALE] = "fp8-rescale",
        [RC_OP_FP4_TO_BF16] = "fp4-to-bf16",
        [RC_OP_FP8_TO_BF16] = "fp8-to-bf16",
        [RC_OP_FP4_TO_MXFP4] = "fp4-to-mxfp4",
        [RC_OP_I64_TO_I32] = "i64-to-i32",
        [RC_OP_ENCODE] = "encode",
        [RC_OP_INT4] = "int4",
        [RC_OP_INT4_REPACK] = "int4-repack",
    };

    return names[op];
}

const char *rc_recipe_to(const rc_recipe *r)
{
    static const char *const targets[] = { "fp8", "bf16", "awq", "w4a16", "gguf" };

    return targets[r->target];
}

const char *rc_recipe_draft(const rc_recipe *r)
{
    static const char *const ways[] = { "keep", "drop", "embed", "separate", "auto" };

    return ways[r->draft];
}

bool rc_recipe_is_int4(const rc_recipe *r)
{
    return r->target == RC_TO_AWQ || r->target == RC_TO_W4A16;
}

const char *rc_recipe_method(const rc_recipe *r)
{
    static const char *const methods[] = { "rtn", "awq", "awq+" };

    return methods[r->int4.method];
}

const char *rc_recipe_smooth(const rc_recipe *r)
{
    static const char *const ways[] = { "off", "pow2", "free" };

    return ways[r->int4.smooth];
}

const char *rc_recipe_scope(const rc_recipe *r)
{
    return r->int4.scope == RC_SCOPE_ALL ? "all" : "experts";
}

/* Add to a text that may be full. */
__attribute__((format(printf, 4, 5))) static void add(char *buf, size_t n, size_t *at,
                                                      const char *fmt, ...)
{
    va_list args;
    int more;

    va_start(args, fmt);
    more = vsnprintf(buf + *at, n - *at, fmt, args);
    va_end(args);
    *at = more > 0 && (size_t)more < n - *at ? *at + (size_t)more : n - 1;
}

const char *rc_recipe_text(const rc_recipe *r, char *buf, size_t n)
{
    size_t at = 0;

    add(buf, n, &at, "%s", rc_recipe_to(r));
    if (r->target == RC_TO_FP8)
        add(buf, n, &at, " scale=%s", r->scale_dtype == RC_DTYPE_F32 ? "f32" : "e8m0");
    if (r->int4.repack)
        add(buf, n, &at, " repacked%s", r->int4.hf_names ? " names=hf" : "");
    else if (rc_recipe_is_int4(r))
        add(buf, n, &at, " group=%u %s scope=%s method=%s smooth=%s stats=%s%s", r->int4.group,
            r->int4.symmetric ? "symmetric" : "asymmetric", rc_recipe_scope(r), rc_recipe_method(r),
            rc_recipe_smooth(r), r->int4.stats ? "yes" : "no", r->int4.hf_names ? " names=hf" : "");
    if (r->target == RC_TO_GGUF)
        add(buf, n, &at, " types=%.100s imatrix=%s effort=%s", rc_gguf_recipe_text(r->gguf),
            r->imatrix ? "yes" : "no", r->effort == RC_EFFORT_BEST ? "best" : "reference");
    add(buf, n, &at, " draft=%s", rc_recipe_draft(r));
    add(buf, n, &at, " shard-size=%" PRIu64, r->shard_size);
    for (unsigned i = 0; i < r->nglobs; i++)
        add(buf, n, &at, " tensors=%s", r->globs[i]);
    return buf;
}

/* ------------------------------------------------------------------- common */

static int reading_order(const void *a, const void *b)
{
    const rc_job *x = a, *y = b;

    if (x->weight->shard != y->weight->shard)
        return x->weight->shard < y->weight->shard ? -1 : 1;
    if (x->weight->begin != y->weight->begin)
        return x->weight->begin < y->weight->begin ? -1 : 1;
    return (x->shard > y->shard) - (x->shard < y->shard); /* one source, two files */
}

void rc_plan_sort(rc_plan *p)
{
    qsort(p->jobs, p->njobs, sizeof *p->jobs, reading_order);
}

rc_code rc_plan_room(rc_plan *p, size_t n, rc_err *err)
{
    p->jobs = rc_mem_get(p->mem, n * sizeof *p->jobs);
    return p->jobs ? RC_OK : rc_fail_nomem(err, p->mem, n * sizeof *p->jobs);
}

void rc_plan_copy(rc_job *job, const rc_tensor *t)
{
    job->op = RC_OP_COPY;
    job->name = t->name;
    job->weight = t;
    job->rows = 1;
    job->cols = t->nbytes;
}

static rc_code check_widths(const rc_plan *p, rc_err *err)
{
    for (size_t i = 0; i < p->njobs; i++)
        if (p->jobs[i].op != RC_OP_COPY && p->jobs[i].op != RC_OP_I64_TO_I32 &&
            p->jobs[i].cols > RC_PLAN_MAX_COLS) {
            rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "more than %u columns", RC_PLAN_MAX_COLS);
            rc_err_tensor(err, p->jobs[i].name);
            return RC_E_LIMIT;
        }
    return RC_OK;
}

static void add_up(rc_plan *p)
{
    for (size_t s = 0; s < p->nshards; s++) {
        p->tensor_bytes += p->shards[s].tensor_bytes;
        p->file_bytes += p->shards[s].nbytes;
    }
    for (size_t i = 0; i < p->njobs; i++) {
        for (unsigned part = 0; part < RC_PART_COUNT; part++) {
            const rc_tensor *t = rc_job_in(&p->jobs[i], (rc_part)part);

            p->read_bytes += t ? t->nbytes : 0;
        }
        p->tiles += p->jobs[i].tiles;
        p->shards[p->jobs[i].shard].jobs++;
    }
}

/* Already rounded once for other engines: the release's own weights are the better source. */
static rc_code refuse_nvfp4(const rc_model *model, rc_err *err)
{
    const rc_source *src = rc_ckpt_source(rc_model_ckpt(model));

    if (rc_model_traits(model)->experts != RC_STORE_NVFP4)
        return RC_OK;
    rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
            "ModelOpt's NVFP4 experts can be verified and run, not converted");
    rc_err_file(err, rc_source_where(src));
    rc_err_hint(err, "start from the original release");
    return RC_E_UNSUPPORTED;
}

rc_code rc_plan_new(rc_plan **out, const rc_model *model, const rc_recipe *recipe,
                    const rc_log *log, rc_mem *mem, rc_err *err)
{
    rc_plan *p = rc_mem_get(mem, sizeof *p);
    rc_code rc = refuse_nvfp4(model, err);

    *out = p;
    if (!p)
        return rc_fail_nomem(err, mem, sizeof *p);
    p->mem = mem;
    p->arena.mem = mem;
    p->model = model;
    p->recipe = *recipe;
    if (rc == RC_OK)
        rc = rc_plan_int4_recipe(&p->recipe, model, err);
    if (rc == RC_OK)
        rc = recipe->target == RC_TO_GGUF ? rc_plan_fill_gguf(p, log, err)
                                          : rc_plan_fill_safetensors(p, err);
    if (rc == RC_OK)
        rc = check_widths(p, err);
    if (rc == RC_OK)
        rc = rc_plan_take_share(p, (rc_share){ 0 }, err);
    if (rc == RC_OK)
        add_up(p);
    else
        rc_plan_free(out);
    return rc;
}

void rc_plan_free(rc_plan **plan)
{
    rc_plan *p = *plan;

    *plan = NULL;
    if (!p)
        return;
    for (size_t i = 0; i < p->nshards; i++)
        rc_mem_put(p->mem, p->shards[i].head);
    rc_mem_put(p->mem, p->shards);
    rc_mem_put(p->mem, p->jobs);
    rc_arena_free(&p->arena);
    rc_mem_put(p->mem, p);
}

const rc_tensor *rc_job_in(const rc_job *job, rc_part part)
{
    switch (part) {
    case RC_PART_WEIGHT:
        return job->weight;
    case RC_PART_SCALE:
        return job->scale;
    case RC_PART_ZERO:
        return job->zero;
    default:
        return NULL;
    }
}

const rc_plan_names *rc_plan_names_of(const rc_plan *plan)
{
    return &plan->names;
}

const rc_model *rc_plan_model(const rc_plan *plan)
{
    return plan->model;
}

const rc_recipe *rc_plan_recipe(const rc_plan *plan)
{
    return &plan->recipe;
}

size_t rc_plan_jobs(const rc_plan *plan)
{
    return plan->njobs;
}

const rc_job *rc_plan_job(const rc_plan *plan, size_t i)
{
    return &plan->jobs[i];
}

size_t rc_plan_shards(const rc_plan *plan)
{
    return plan->nshards;
}

const rc_plan_shard *rc_plan_shard_at(const rc_plan *plan, size_t i)
{
    return &plan->shards[i];
}

size_t rc_plan_tensors(const rc_plan *plan)
{
    return plan->ntensors;
}

uint64_t rc_plan_read_bytes(const rc_plan *plan)
{
    return plan->read_bytes;
}

uint64_t rc_plan_tensor_bytes(const rc_plan *plan)
{
    return plan->tensor_bytes;
}

uint64_t rc_plan_file_bytes(const rc_plan *plan)
{
    return plan->file_bytes;
}

uint64_t rc_plan_tiles(const rc_plan *plan)
{
    return plan->tiles;
}
