/* convert/plan_safetensors.c - the plan of a folder of shards. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/plan_impl.h"
#include "convert/plan_int4.h"
#include "formats/base/json.h"
#include "formats/safetensors_write.h"

static bool wanted(const rc_recipe *r, const char *name)
{
    if (r->draft == RC_DRAFT_DROP && strncmp(name, "mtp.", 4) == 0)
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
    rc_plan_copy(job, t);
    keep_shape(&job->out[RC_PART_WEIGHT], t, t->dtype);
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
    take_want(&job->out[RC_PART_WEIGHT], b->weight->name, &want[0]);
    take_want(&job->out[RC_PART_SCALE], b->scale->name, &want[1]);
}

static void plan_bf16(rc_job *job, const rc_bound *b)
{
    rc_want want[2];

    (void)rc_param_layout(b->param, RC_STORE_PLAIN, RC_DTYPE_BF16, RC_DTYPE_F32, want);
    job->op = b->store == RC_STORE_FP4 ? RC_OP_FP4_TO_BF16 : RC_OP_FP8_TO_BF16;
    job->tiles = tile_count(job);
    take_want(&job->out[RC_PART_WEIGHT], b->weight->name, &want[0]);
}

static void plan_fp8_or_bf16(rc_job *job, const rc_bound *b, const rc_recipe *recipe)
{
    job->param = b->param;
    job->role = b->param->role;
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

static rc_code plan_bound(rc_plan *p, rc_job *job, const rc_bound *b, rc_err *err)
{
    if (rc_recipe_is_int4(&p->recipe))
        return rc_plan_int4_bound(p, job, b, err);
    plan_fp8_or_bf16(job, b, &p->recipe);
    return RC_OK;
}

static rc_code list_jobs(rc_plan *p, rc_err *err)
{
    const bool from_bf16 = rc_recipe_is_int4(&p->recipe); /* it can be made from plain experts */
    const size_t nbound = rc_model_count(p->model), nopaque = rc_model_opaque_count(p->model);
    bool routed = false;

    RC_TRY(rc_plan_room(p, nbound + nopaque, err));
    for (size_t i = 0; i < nbound; i++) {
        const rc_bound *b = rc_model_at(p->model, i);

        routed |= b->param->role == RC_ROLE_EXPERT && (b->store != RC_STORE_PLAIN || from_bf16);
        if (wanted(&p->recipe, b->weight->name))
            RC_TRY(plan_bound(p, &p->jobs[p->njobs++], b, err));
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
    if (!p->njobs)
        return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "no tensor matches --tensors");
    rc_plan_sort(p);
    return RC_OK;
}

static uint64_t dest_bytes(const rc_dest *d)
{
    uint64_t n = d->name ? rc_dtype_bits(d->dtype) / 8 : 0;

    for (unsigned i = 0; i < d->rank; i++)
        n *= d->shape[i]; /* bounded: the schema and the source's header checked it */
    return n;
}

static uint64_t job_bytes(const rc_job *job)
{
    uint64_t n = 0;

    for (unsigned part = 0; part < RC_PART_COUNT; part++)
        n += dest_bytes(&job->out[part]);
    return n;
}

/* Without --shard-size the output has the source's shards (less empty ones). */
static size_t assign_shards(rc_plan *p)
{
    size_t shard = 0;
    uint64_t filled = 0;

    for (size_t i = 0; i < p->njobs; i++) {
        rc_job *job = &p->jobs[i];
        const uint64_t nbytes = job_bytes(job);
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
    rc_st_put *puts = rc_mem_get(p->mem, RC_PART_COUNT * (end - first) * sizeof *puts);
    size_t n = 0;
    rc_code rc;

    if (!puts)
        return rc_fail_nomem(err, p->mem, RC_PART_COUNT * (end - first) * sizeof *puts);
    for (size_t i = first; i < end; i++)
        for (unsigned part = 0; part < RC_PART_COUNT; part++)
            if (p->jobs[i].out[part].name)
                put_of(&puts[n++], &p->jobs[i].out[part]);
    rc = rc_st_layout(puts, n, &shard->head, &shard->head_len, &shard->nbytes, p->mem, err);
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        rc_dest *dest = puts[i].tag;

        dest->begin = puts[i].begin;
        dest->nbytes = puts[i].nbytes;
        shard->tensor_bytes += puts[i].nbytes;
    }
    p->ntensors += n;
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
    return RC_OK;
}

rc_code rc_plan_fill_safetensors(rc_plan *p, rc_err *err)
{
    RC_TRY(list_jobs(p, err));
    return lay_out(p, err);
}

/* -------------------------------------------------------- index and config */

typedef struct index_row {
    const char *tensor, *shard;
} index_row;

static int by_tensor(const void *a, const void *b)
{
    return strcmp(((const index_row *)a)->tensor, ((const index_row *)b)->tensor);
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

        for (unsigned part = 0; part < RC_PART_COUNT; part++)
            if (job->out[part].name)
                rows[n++] = (index_row){ job->out[part].name, p->shards[job->shard].name };
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
    rc = rc_jsonw_finish(w, out, len, mem, err);
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
    char *int4 = NULL;
    rc_code rc;

    if (rc_recipe_is_int4(&p->recipe)) {
        RC_TRY(rc_plan_int4_config(p, &int4, mem, err));
        edits[n++] = (rc_json_edit){ "expert_dtype", NULL }; /* of FP4 and FP8 only */
        edits[n++] = (rc_json_edit){ "quantization_config", int4 };
    } else if (p->recipe.target == RC_TO_FP8) {
        edits[n++] = (rc_json_edit){ "expert_dtype", "\"fp8\"" };
    } else {
        edits[n++] = (rc_json_edit){ "expert_dtype", NULL };
        edits[n++] = (rc_json_edit){ "quantization_config", NULL };
    }
    if (p->recipe.draft == RC_DRAFT_DROP) {
        edits[n++] = (rc_json_edit){ "num_nextn_predict_layers", "0" };
        edits[n++] = (rc_json_edit){ "dspark_block_size", NULL };
        edits[n++] = (rc_json_edit){ "dspark_noise_token_id", NULL };
        edits[n++] = (rc_json_edit){ "dspark_target_layer_ids", NULL };
        edits[n++] = (rc_json_edit){ "dspark_markov_rank", NULL };
    }
    rc = rc_json_edit_root(text, text_len, edits, n, out, len, mem, err);
    rc_mem_put(mem, int4);
    return rc;
}
