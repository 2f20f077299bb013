/* convert/plan.c - see plan.h. */
#include "convert/plan.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/json.h"
#include "formats/safetensors_write.h"

struct rc_plan {
    rc_mem *mem;
    const rc_model *model;
    rc_recipe recipe;
    rc_job *jobs;
    size_t njobs;
    rc_plan_shard *shards;
    size_t nshards, ntensors;
    uint64_t read_bytes, tensor_bytes, file_bytes, tiles;
};

const char *rc_op_name(rc_op op)
{
    static const char *const names[RC_OP_COUNT] = {
        [RC_OP_COPY] = "copy",
        [RC_OP_FP4_TO_FP8] = "fp4-to-fp8",
        [RC_OP_FP8_RESCALE] = "fp8-rescale",
        [RC_OP_FP4_TO_BF16] = "fp4-to-bf16",
        [RC_OP_FP8_TO_BF16] = "fp8-to-bf16",
    };

    return names[op];
}

const char *rc_recipe_text(const rc_recipe *r, char *buf, size_t n)
{
    int at = snprintf(buf, n, "%s", r->target == RC_TO_FP8 ? "fp8" : "bf16");

    if (r->target == RC_TO_FP8)
        at += snprintf(buf + at, n - (size_t)at, " scale=%s",
                       r->scale_dtype == RC_DTYPE_F32 ? "f32" : "e8m0");
    at += snprintf(buf + at, n - (size_t)at, " draft=%s", r->drop_draft ? "drop" : "keep");
    at += snprintf(buf + at, n - (size_t)at, " shard-size=%" PRIu64, r->shard_size);
    for (unsigned i = 0; i < r->nglobs && (size_t)at + 1 < n; i++)
        at += snprintf(buf + at, n - (size_t)at, " tensors=%s", r->globs[i]);
    return buf;
}

static bool wanted(const rc_recipe *r, const char *name)
{
    if (r->drop_draft && strncmp(name, "mtp.", 4) == 0)
        return false;
    for (unsigned i = 0; i < r->nglobs; i++)
        if (fnmatch(r->globs[i], name, 0) == 0)
            return true;
    return r->nglobs == 0;
}

static void keep_shape(rc_dest *dest, const rc_tensor *t, rc_dtype dtype)
{
    dest->name = t->name;
    dest->dtype = dtype;
    dest->rank = t->rank;
    memcpy(dest->shape, t->shape, sizeof dest->shape);
}

static void take_want(rc_dest *dest, const char *name, const rc_want *want)
{
    dest->name = name;
    dest->dtype = want->dtype;
    dest->rank = want->rank;
    memcpy(dest->shape, want->shape, sizeof want->shape);
}

static void plan_copy(rc_job *job, const rc_tensor *t)
{
    job->op = RC_OP_COPY;
    job->name = t->name;
    job->weight = t;
    job->rows = 1;
    job->cols = t->nbytes;
    keep_shape(&job->out_weight, t, t->dtype);
}

static uint64_t tile_count(const rc_job *job)
{
    return rc_ceil_div(job->rows, 128) * rc_ceil_div(job->cols, 128);
}

/* Every E8M0 scale is an F32 number, but not the reverse. */
static bool may_refit(rc_dtype from, rc_dtype to)
{
    return from == RC_DTYPE_F32 && to == RC_DTYPE_F8_E8M0;
}

static void plan_fp8(rc_job *job, const rc_bound *b, const rc_recipe *recipe)
{
    rc_want want[2];

    (void)rc_param_layout(b->param, RC_STORE_FP8, RC_DTYPE_F8_E4M3, recipe->scale_dtype, want);
    job->op = b->store == RC_STORE_FP4 ? RC_OP_FP4_TO_FP8 : RC_OP_FP8_RESCALE;
    if (job->op == RC_OP_FP4_TO_FP8 || may_refit(b->scale->dtype, recipe->scale_dtype))
        job->tiles = tile_count(job);
    take_want(&job->out_weight, b->weight->name, &want[0]);
    take_want(&job->out_scale, b->scale->name, &want[1]);
}

static void plan_bf16(rc_job *job, const rc_bound *b)
{
    rc_want want[2];

    (void)rc_param_layout(b->param, RC_STORE_PLAIN, RC_DTYPE_BF16, RC_DTYPE_F32, want);
    job->op = b->store == RC_STORE_FP4 ? RC_OP_FP4_TO_BF16 : RC_OP_FP8_TO_BF16;
    job->tiles = tile_count(job);
    take_want(&job->out_weight, b->weight->name, &want[0]);
}

static void plan_bound(rc_job *job, const rc_bound *b, const rc_recipe *recipe)
{
    if (b->store == RC_STORE_PLAIN) {
        plan_copy(job, b->weight);
        return;
    }
    job->name = b->weight->name;
    job->weight = b->weight;
    job->scale = b->scale;
    job->rows = b->param->shape[0];
    job->cols = b->param->shape[1];
    if (recipe->target == RC_TO_BF16)
        plan_bf16(job, b);
    else
        plan_fp8(job, b, recipe);
}

static int reading_order(const void *a, const void *b)
{
    const rc_tensor *x = ((const rc_job *)a)->weight, *y = ((const rc_job *)b)->weight;

    if (x->shard != y->shard)
        return x->shard < y->shard ? -1 : 1;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static rc_code list_jobs(rc_plan *p, rc_err *err)
{
    const size_t nbound = rc_model_count(p->model), nopaque = rc_model_opaque_count(p->model);
    bool routed = false;

    p->jobs = rc_mem_get(p->mem, (nbound + nopaque) * sizeof *p->jobs);
    if (!p->jobs)
        return rc_fail_nomem(err, p->mem, (nbound + nopaque) * sizeof *p->jobs);
    for (size_t i = 0; i < nbound; i++) {
        const rc_bound *b = rc_model_at(p->model, i);

        routed |= b->param->role == RC_ROLE_EXPERT && b->store != RC_STORE_PLAIN;
        if (wanted(&p->recipe, b->weight->name))
            plan_bound(&p->jobs[p->njobs++], b, &p->recipe);
    }
    for (size_t i = 0; i < nopaque; i++) {
        const rc_tensor *t = rc_model_opaque(p->model, i);

        if (wanted(&p->recipe, t->name))
            plan_copy(&p->jobs[p->njobs++], t);
    }
    if (!routed) {
        rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
                "the experts are neither FP4 nor FP8: there is nothing to convert");
        rc_err_file(err, rc_source_where(rc_ckpt_source(rc_model_ckpt(p->model))));
        rc_err_hint(err, "convert from the native checkpoint");
        return RC_E_UNSUPPORTED;
    }
    for (size_t i = 0; i < p->njobs; i++)
        if (p->jobs[i].scale && p->jobs[i].cols > RC_PLAN_MAX_COLS) {
            rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "more than %u columns", RC_PLAN_MAX_COLS);
            rc_err_tensor(err, p->jobs[i].name);
            return RC_E_LIMIT;
        }
    if (!p->njobs)
        return rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET, "no tensor matches --tensors");
    qsort(p->jobs, p->njobs, sizeof *p->jobs, reading_order);
    return RC_OK;
}

static uint64_t dest_bytes(const rc_dest *d)
{
    uint64_t n = d->name ? rc_dtype_bits(d->dtype) / 8 : 0;

    for (unsigned i = 0; i < d->rank; i++)
        n *= d->shape[i]; /* bounded: the schema and the source's header checked it */
    return n;
}

/* Without --shard-size the output has the source's shards (less empty ones). */
static size_t assign_shards(rc_plan *p)
{
    size_t shard = 0;
    uint64_t filled = 0;

    for (size_t i = 0; i < p->njobs; i++) {
        rc_job *job = &p->jobs[i];
        const uint64_t nbytes = dest_bytes(&job->out_weight) + dest_bytes(&job->out_scale);
        const bool next = p->recipe.shard_size
                              ? filled && nbytes > p->recipe.shard_size - filled
                              : i && job->weight->shard != p->jobs[i - 1].weight->shard;

        if (next) {
            shard++;
            filled = 0;
        }
        job->shard = shard;
        filled = nbytes > UINT64_MAX - filled ? UINT64_MAX : filled + nbytes;
        if (p->recipe.shard_size && filled > p->recipe.shard_size)
            filled = p->recipe.shard_size; /* one tensor larger than a shard */
    }
    return shard + 1;
}

static void put_of(rc_st_put *put, rc_dest *dest)
{
    *put = (rc_st_put){ .name = dest->name, .dtype = dest->dtype, .rank = dest->rank, .tag = dest };
    memcpy(put->shape, dest->shape, sizeof put->shape);
}

static rc_code lay_out_shard(rc_plan *p, size_t s, size_t first, size_t end, rc_err *err)
{
    rc_plan_shard *shard = &p->shards[s];
    rc_st_put *puts = rc_mem_get(p->mem, 2 * (end - first) * sizeof *puts);
    size_t n = 0;
    rc_code rc;

    if (!puts)
        return rc_fail_nomem(err, p->mem, 2 * (end - first) * sizeof *puts);
    for (size_t i = first; i < end; i++) {
        put_of(&puts[n++], &p->jobs[i].out_weight);
        if (p->jobs[i].out_scale.name)
            put_of(&puts[n++], &p->jobs[i].out_scale);
    }
    rc = rc_st_layout(puts, n, &shard->head, &shard->head_len, &shard->nbytes, p->mem, err);
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        rc_dest *dest = puts[i].tag;

        dest->begin = puts[i].begin;
        dest->nbytes = puts[i].nbytes;
        shard->tensor_bytes += puts[i].nbytes;
    }
    shard->jobs = end - first;
    p->ntensors += n;
    p->tensor_bytes += shard->tensor_bytes;
    p->file_bytes += shard->nbytes;
    rc_mem_put(p->mem, puts);
    return rc;
}

static rc_code lay_out(rc_plan *p, rc_err *err)
{
    const size_t nshards = assign_shards(p);
    size_t first = 0;

    p->shards = rc_mem_get(p->mem, nshards * sizeof *p->shards);
    if (!p->shards)
        return rc_fail_nomem(err, p->mem, nshards * sizeof *p->shards);
    p->nshards = nshards;
    for (size_t s = 0; s < nshards; s++) {
        size_t end = first;

        while (end < p->njobs && p->jobs[end].shard == s)
            end++;
        snprintf(p->shards[s].name, sizeof p->shards[s].name, "model-%05zu-of-%05zu.safetensors",
                 s + 1, nshards);
        RC_TRY(lay_out_shard(p, s, first, end, err));
        first = end;
    }
    for (size_t i = 0; i < p->njobs; i++) {
        p->read_bytes += p->jobs[i].weight->nbytes;
        p->read_bytes += p->jobs[i].scale ? p->jobs[i].scale->nbytes : 0;
        p->tiles += p->jobs[i].tiles;
    }
    return RC_OK;
}

rc_code rc_plan_new(rc_plan **out, const rc_model *model, const rc_recipe *recipe, rc_mem *mem,
                    rc_err *err)
{
    rc_plan *p = rc_mem_get(mem, sizeof *p);
    rc_code rc;

    *out = NULL;
    if (!p)
        return rc_fail_nomem(err, mem, sizeof *p);
    p->mem = mem;
    p->model = model;
    p->recipe = *recipe;
    rc = list_jobs(p, err);
    if (rc == RC_OK)
        rc = lay_out(p, err);
    *out = p;
    if (rc != RC_OK)
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
    rc_mem_put(p->mem, p);
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

typedef struct index_row {
    const char *tensor, *shard;
} index_row;

static int by_tensor(const void *a, const void *b)
{
    return strcmp(((const index_row *)a)->tensor, ((const index_row *)b)->tensor);
}

static rc_code finish_text(rc_jsonw *w, char **out, size_t *len, rc_mem *mem, rc_err *err)
{
    const char *text = rc_jsonw_text(w, len);

    *out = text ? rc_mem_get(mem, *len + 2) : NULL;
    if (!*out)
        return rc_fail_nomem(err, mem, text ? *len + 2 : 1);
    memcpy(*out, text, *len);
    (*out)[(*len)++] = '\n';
    return RC_OK;
}

rc_code rc_plan_index(const rc_plan *p, char **out, size_t *len, rc_mem *mem, rc_err *err)
{
    index_row *rows = rc_mem_get(mem, p->ntensors * sizeof *rows);
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    size_t n = 0;
    rc_code rc;

    *out = NULL;
    if (!rows || !w)
        RC_TRY_GOTO(rc, done, rc_fail_nomem(err, mem, p->ntensors * sizeof *rows));
    for (size_t i = 0; i < p->njobs; i++) {
        const rc_job *job = &p->jobs[i];

        rows[n++] = (index_row){ job->out_weight.name, p->shards[job->shard].name };
        if (job->out_scale.name)
            rows[n++] = (index_row){ job->out_scale.name, p->shards[job->shard].name };
    }
    qsort(rows, n, sizeof *rows, by_tensor);
    rc_jsonw_object(w);
    rc_jsonw_key(w, "metadata");
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "total_size", p->tensor_bytes);
    rc_jsonw_object_end(w);
    rc_jsonw_key(w, "weight_map");
    rc_jsonw_object(w);
    for (size_t i = 0; i < n; i++)
        rc_jsonw_kstr(w, rows[i].tensor, rows[i].shard);
    rc_jsonw_object_end(w);
    rc_jsonw_object_end(w);
    rc = finish_text(w, out, len, mem, err);
done:
    rc_jsonw_free(&w);
    rc_mem_put(mem, rows);
    return rc;
}

/* What loaders dispatch on must say what the tensors are: vLLM takes an absent
 * expert_dtype for "fp4", and a quantization_config makes it look for scales. */
rc_code rc_plan_config(const rc_plan *p, char **out, size_t *len, rc_mem *mem, rc_err *err)
{
    rc_json_edit edits[8];
    size_t n = 0, text_len;
    const uint8_t *text = rc_ckpt_config_text(rc_model_ckpt(p->model), &text_len);

    if (p->recipe.target == RC_TO_FP8) {
        edits[n++] = (rc_json_edit){ "expert_dtype", "\"fp8\"" };
    } else {
        edits[n++] = (rc_json_edit){ "expert_dtype", NULL };
        edits[n++] = (rc_json_edit){ "quantization_config", NULL };
    }
    if (p->recipe.drop_draft) {
        edits[n++] = (rc_json_edit){ "num_nextn_predict_layers", "0" };
        edits[n++] = (rc_json_edit){ "dspark_block_size", NULL };
        edits[n++] = (rc_json_edit){ "dspark_noise_token_id", NULL };
        edits[n++] = (rc_json_edit){ "dspark_target_layer_ids", NULL };
        edits[n++] = (rc_json_edit){ "dspark_markov_rank", NULL };
    }
    return rc_json_edit_root(text, text_len, edits, n, out, len, mem, err);
}
