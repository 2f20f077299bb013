/* runtime/trace.c - see trace.h. */
#include "runtime/trace.h"

#include <stdio.h>
#include <string.h>

enum { HIDDEN, EXPERTS, WEIGHTS, BLOCKS, KINDS };

struct rc_trace {
    rc_mem *mem;
    const rc_config *config;
    rc_tensor_file *file;
    rc_watch watch;
    uint32_t first, end;
    size_t n;
    size_t (*at)[KINDS]; /* by layer: the tensor of each kind */
    int32_t *row;        /* of blocks */
    size_t most;         /* B */
};

static rc_code streams(void *ctx, uint32_t layer, uint64_t pos, size_t tokens, const float *h,
                       rc_err *err)
{
    const rc_trace *t = ctx;
    const uint64_t wide = (uint64_t)t->config->hc_mult * t->config->hidden_size * 4;

    if (layer >= t->end || pos >= t->n)
        return RC_OK;
    return rc_tensor_file_write(t->file, t->at[layer - t->first][HIDDEN], pos * wide, h,
                                tokens * (size_t)wide, err);
}

static rc_code experts(void *ctx, uint32_t layer, uint64_t pos, size_t tokens, size_t k,
                       const uint32_t *id, const float *weight, rc_err *err)
{
    const rc_trace *t = ctx;

    if (layer >= t->end || pos >= t->n)
        return RC_OK;
    RC_TRY(rc_tensor_file_write(t->file, t->at[layer - t->first][EXPERTS], pos * k * 4, id,
                                tokens * k * 4, err));
    return rc_tensor_file_write(t->file, t->at[layer - t->first][WEIGHTS], pos * k * 4, weight,
                                tokens * k * 4, err);
}

static rc_code blocks(void *ctx, uint32_t layer, uint64_t pos, size_t n, size_t visible,
                      const uint32_t *block, rc_err *err)
{
    const rc_trace *t = ctx;

    (void)visible;
    if (layer >= t->end || pos >= t->n)
        return RC_OK;
    for (size_t i = 0; i < t->most; i++)
        t->row[i] = i < n ? (int32_t)block[i] : -1;
    return rc_tensor_file_write(t->file, t->at[layer - t->first][BLOCKS], pos * t->most * 4, t->row,
                                t->most * 4, err);
}

static size_t add(rc_tensor_spec *specs, size_t *n, const char *what, uint32_t layer,
                  rc_dtype dtype, unsigned rank, const uint64_t shape[3])
{
    rc_tensor_spec *s = &specs[*n];

    snprintf(s->name, sizeof s->name, "%s.%u", what, layer);
    s->dtype = dtype;
    s->rank = rank;
    memcpy(s->shape, shape, sizeof s->shape);
    return (*n)++;
}

/* All tensors but the first, which is `tokens`. */
static size_t list(rc_trace *t, rc_tensor_spec *specs)
{
    const rc_config *c = t->config;
    const uint64_t hidden[3] = { t->n, c->hc_mult, c->hidden_size };
    const uint64_t chosen[3] = { t->n, c->num_experts_per_tok, 0 };
    const uint64_t picked[3] = { t->n, t->most, 0 };
    size_t n = 1;

    specs[0] = (rc_tensor_spec){ "tokens", RC_DTYPE_I64, 1, { t->n } };
    for (uint32_t l = t->first; l < t->end; l++) {
        size_t *at = t->at[l - t->first];

        at[HIDDEN] = add(specs, &n, "hidden", l, RC_DTYPE_F32, 3, hidden);
        at[EXPERTS] = add(specs, &n, "experts", l, RC_DTYPE_I32, 2, chosen);
        at[WEIGHTS] = add(specs, &n, "expert_weights", l, RC_DTYPE_F32, 2, chosen);
        if (c->compress_ratios[l] == 4)
            at[BLOCKS] = add(specs, &n, "blocks", l, RC_DTYPE_I32, 2, picked);
    }
    return n;
}

static rc_code make_file(rc_trace *t, const rc_target *target, const uint32_t *token, rc_err *err)
{
    const size_t most = 1 + (size_t)(t->end - t->first) * KINDS;
    rc_tensor_spec *specs = rc_mem_get(t->mem, most * sizeof *specs);
    rc_code rc;

    if (!specs)
        return rc_fail_nomem(err, t->mem, most * sizeof *specs);
    rc = rc_tensor_file_new(&t->file, target, specs, list(t, specs), t->mem, err);
    for (size_t i = 0; rc == RC_OK && i < t->n; i++) {
        const int64_t id = token[i];

        rc = rc_tensor_file_write(t->file, 0, i * sizeof id, &id, sizeof id, err);
    }
    rc_mem_put(t->mem, specs);
    return rc;
}

rc_code rc_trace_new(rc_trace **out, const rc_target *target, const rc_config *config,
                     uint32_t first, uint32_t end, const uint32_t *token, size_t n, rc_mem *mem,
                     rc_err *err)
{
    rc_trace *t = rc_mem_get(mem, sizeof *t);
    rc_code rc;

    *out = NULL;
    if (!t)
        return rc_fail_nomem(err, mem, sizeof *t);
    *t = (rc_trace){ .mem = mem, .config = config, .first = first, .end = end, .n = n };
    t->watch = (rc_watch){ .ctx = t, .streams = streams, .experts = experts, .blocks = blocks };
    t->most = n / 4 < config->index_topk ? n / 4 : config->index_topk;
    t->most = t->most ? t->most : 1;
    t->at = rc_mem_get(mem, (end - first) * sizeof *t->at);
    t->row = rc_mem_get(mem, t->most * sizeof *t->row);
    rc = t->at && t->row ? make_file(t, target, token, err) : rc_fail_nomem(err, mem, 0);
    if (rc != RC_OK)
        rc_trace_free(&t);
    *out = t;
    return rc;
}

const rc_watch *rc_trace_watch(const rc_trace *t)
{
    return &t->watch;
}

rc_code rc_trace_finish(rc_trace *t, rc_err *err)
{
    return rc_tensor_file_finish(t->file, err);
}

void rc_trace_free(rc_trace **trace)
{
    rc_trace *t = *trace;

    if (!t)
        return;
    rc_tensor_file_free(&t->file);
    rc_mem_put(t->mem, t->at);
    rc_mem_put(t->mem, t->row);
    rc_mem_put(t->mem, t);
    *trace = NULL;
}
