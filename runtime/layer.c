/* runtime/layer.c - see layer.h. */
#include "runtime/layer.h"

#include "formats/base/stop.h"
#include "runtime/experts.h"
#include "runtime/hyper.h"
#include "runtime/norm.h"
#include "runtime/router.h"

struct rc_layer {
    rc_engine *e;
    rc_block_id id;
    rc_hyper *hc_attn, *hc_ffn;
    float *attn_norm, *ffn_norm; /* [D] */
    rc_attention *attention;
    rc_kv *kv; /* made when it is needed */
    rc_router *router;
    rc_experts *experts;
};

rc_code rc_layer_new(rc_layer **out, rc_engine *e, const rc_block_id *id, size_t run, rc_err *err)
{
    const size_t d = e->config->hidden_size;
    rc_layer *l = rc_mem_get(e->mem, sizeof *l);
    rc_code rc;

    *out = NULL;
    if (!l)
        return rc_fail_nomem(err, e->mem, sizeof *l);
    l->e = e;
    l->id = *id;
    RC_TRY_GOTO(rc, done, rc_hyper_new(&l->hc_attn, e, id, "hc_attn", err));
    RC_TRY_GOTO(rc, done, rc_block_small(e, id, "attn_norm.weight", d, &l->attn_norm, err));
    RC_TRY_GOTO(rc, done, rc_attention_new(&l->attention, e, id, err));
    RC_TRY_GOTO(rc, done, rc_hyper_new(&l->hc_ffn, e, id, "hc_ffn", err));
    RC_TRY_GOTO(rc, done, rc_block_small(e, id, "ffn_norm.weight", d, &l->ffn_norm, err));
    RC_TRY_GOTO(rc, done, rc_router_new(&l->router, e, id, err));
    RC_TRY_GOTO(rc, done, rc_experts_new(&l->experts, e, id, run, err));
done:
    if (rc != RC_OK)
        rc_layer_free(&l);
    *out = l;
    return rc;
}

void rc_layer_free(rc_layer **layer)
{
    rc_layer *l = *layer;

    if (!l)
        return;
    rc_hyper_free(&l->hc_attn);
    rc_hyper_free(&l->hc_ffn);
    rc_mem_put(l->e->mem, l->attn_norm);
    rc_mem_put(l->e->mem, l->ffn_norm);
    rc_attention_free(&l->attention);
    rc_kv_free(&l->kv);
    rc_router_free(&l->router);
    rc_experts_free(&l->experts);
    rc_mem_put(l->e->mem, l);
    *layer = NULL;
}

void rc_layer_forget(rc_layer *l)
{
    if (l->kv)
        rc_kv_forget(l->kv);
}

void rc_layer_want(rc_layer *l, size_t tokens)
{
    rc_hyper_want(l->hc_attn);
    rc_attention_want(l->attention);
    rc_hyper_want(l->hc_ffn);
    rc_router_want(l->router);
    rc_experts_want(l->experts, tokens);
}

static void attention_done(const rc_layer *l)
{
    rc_hyper_done(l->hc_attn);
    rc_attention_done(l->attention);
    rc_hyper_done(l->hc_ffn);
    rc_router_done(l->router);
}

void rc_layer_done(rc_layer *l)
{
    attention_done(l);
    rc_experts_done(l->experts);
}

static rc_code watch_sublayer(const rc_layer *l, unsigned which, uint64_t pos, size_t n,
                              const float *y, rc_err *err)
{
    const rc_watch *w = l->e->watch;

    return w && w->sublayer ? w->sublayer(w->ctx, l->id.layer, which, pos, n, y, err) : RC_OK;
}

/* The output of a norm, f->u. */
static rc_code show_norm(const rc_layer *l, const rc_flow *f, rc_input_at at, uint64_t pos,
                         size_t n, rc_err *err)
{
    const rc_input_rows rows = { .layer = l->id.layer, .at = at, .expert = -1, .pos0 = pos };

    return rc_show_input(l->e, &rows, f->u, n, l->e->config->hidden_size, err);
}

/* Tokens [t0, t0 + n): attention, and what the experts will need. */
static rc_code attention_of(rc_layer *l, rc_flow *f, size_t t0, size_t n, rc_err *err)
{
    const rc_config *c = l->e->config;
    const rc_watch *w = l->e->watch;
    const size_t k = c->num_experts_per_tok, mix = rc_hyper_mix(l->hc_ffn);
    const uint64_t pos = f->pos0 + t0;

    RC_TRY(rc_rows_load(f->h, t0, n, f->hrun, err));
    RC_TRY(rc_hyper_pre(l->hc_attn, f->in, f->hrun, n, f->u, f->mix + t0 * mix, err));
    rc_norm_rows(l->e->numerics, l->e->threads, f->u, l->attn_norm, n, l->e->config->hidden_size,
                 l->e->config->rms_norm_eps);
    RC_TRY(show_norm(l, f, RC_INPUT_ATTN, pos, n, err));
    RC_TRY(rc_attention_run(l->attention, l->kv, f->attention, f->in, f->u, n, f->v, err));
    RC_TRY(watch_sublayer(l, 0, pos, n, f->v, err));
    rc_hyper_post(l->hc_attn, f->v, f->mix + t0 * mix, n, f->hrun);
    if (w && w->middle)
        RC_TRY(w->middle(w->ctx, l->id.layer, pos, n, f->hrun, err));

    RC_TRY(rc_hyper_pre(l->hc_ffn, f->in, f->hrun, n, f->u, f->mix + t0 * mix, err));
    rc_norm_rows(l->e->numerics, l->e->threads, f->u, l->ffn_norm, n, l->e->config->hidden_size,
                 l->e->config->rms_norm_eps);
    RC_TRY(show_norm(l, f, RC_INPUT_FFN, pos, n, err));
    RC_TRY(rc_router_pick(l->router, f->in, f->u, f->id + t0, n, f->expert + t0 * k,
                          f->weight + t0 * k, err));
    if (w && w->experts)
        RC_TRY(w->experts(w->ctx, l->id.layer, pos, n, k, f->expert + t0 * k, f->weight + t0 * k,
                          err));
    RC_TRY(rc_rows_store(f->x, t0, n, f->u, err));
    return rc_rows_store(f->h, t0, n, f->hrun, err);
}

/* Tokens [t0, t0 + n): the experts' output back onto the streams. */
static rc_code streams_of(rc_layer *l, rc_flow *f, size_t t0, size_t n, rc_err *err)
{
    const rc_watch *w = l->e->watch;
    const uint64_t pos = f->pos0 + t0;

    RC_TRY(rc_rows_load(f->h, t0, n, f->hrun, err));
    RC_TRY(rc_rows_load(f->y, t0, n, f->v, err));
    RC_TRY(watch_sublayer(l, 1, pos, n, f->v, err));
    rc_hyper_post(l->hc_ffn, f->v, f->mix + t0 * rc_hyper_mix(l->hc_ffn), n, f->hrun);
    if (w && w->streams)
        RC_TRY(w->streams(w->ctx, l->id.layer, pos, n, f->hrun, err));
    return rc_rows_store(f->h, t0, n, f->hrun, err);
}

typedef rc_code run_fn(rc_layer *l, rc_flow *f, size_t t0, size_t n, rc_err *err);

/* Tokens [begin, end). */
static rc_code in_runs(rc_layer *l, rc_flow *f, size_t begin, size_t end, run_fn *fn, rc_err *err)
{
    for (size_t t0 = begin; t0 < end; t0 += f->run) {
        RC_TRY(rc_stop_check(err));
        RC_TRY(fn(l, f, t0, end - t0 < f->run ? end - t0 : f->run, err));
    }
    return RC_OK;
}

/* No run crosses the end of a window; the next begins without a past. */
static rc_code in_windows(rc_layer *l, rc_flow *f, rc_err *err)
{
    for (size_t w0 = 0; w0 < f->tokens; w0 += f->window) {
        const size_t left = f->tokens - w0;

        rc_kv_forget(l->kv);
        rc_kv_set_origin(l->kv, w0);
        RC_TRY(in_runs(l, f, w0, w0 + (left < f->window ? left : f->window), attention_of, err));
    }
    rc_kv_free(&l->kv); /* or dozens of layers would hold what nobody asks for again */
    return RC_OK;
}

rc_code rc_layer_run(rc_layer *l, rc_flow *f, void (*next)(void *ctx), void *ctx, rc_err *err)
{
    rc_layer_want(l, f->tokens);
    if (!l->kv)
        RC_TRY(rc_kv_new(&l->kv, l->e, &l->id, err));
    RC_TRY(f->window ? in_windows(l, f, err) : in_runs(l, f, 0, f->tokens, attention_of, err));
    attention_done(l);
    if (next)
        next(ctx);
    RC_TRY(rc_experts_run(l->experts, f->in, f->x, f->expert, f->weight, f->pos0, f->tokens, f->y,
                          err));
    return in_runs(l, f, 0, f->tokens, streams_of, err);
}
