/* runtime/forward.c - see forward.h. */
#include "runtime/forward.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "formats/base/par.h"
#include "runtime/mtp.h"

#define RUN_TOKENS   256u         /* at once through attention */
#define LOGITS_BYTES (128u << 20) /* of logits at a time */
#define READERS      2u

struct rc_forward {
    rc_mem own; /* where no account was given */
    rc_engine e;
    rc_model *model;
    const rc_bound *embed;
    rc_layer **layer; /* found on first use */
    rc_head *head;
    rc_mtp *mtp;   /* with `keep`; what it lacks is better known before the prompt is run */
    rc_flow *flow; /* kept of the last feed, for a draft; else NULL */
    bool keep;
    uint32_t first, end; /* layers */
    size_t run;
    const char *scratch;
    _Atomic uint64_t *steps;
    uint64_t pos, spilled;
};

/* -- sizes ----------------------------------------------------------------- */

static rc_code check_sizes(const rc_config *c, rc_err *err)
{
    const struct {
        const char *name;
        uint64_t n, of;
    } want[] = {
        { "hidden_size", c->hidden_size, 32 },
        { "head_dim", c->head_dim, 32 },
        { "qk_rope_head_dim", c->qk_rope_head_dim, 32 },
        { "q_lora_rank", c->q_lora_rank, 32 },
        { "o_lora_rank", c->o_lora_rank, 32 },
        { "moe_intermediate_size", c->moe_intermediate_size, 32 },
        { "index_head_dim", c->index_head_dim, 32 },
        { "head_dim - qk_rope_head_dim", c->head_dim - c->qk_rope_head_dim, 64 },
        { "num_attention_heads", c->num_attention_heads, c->o_groups ? c->o_groups : 1 },
    };

    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        if (want[i].n % want[i].of) {
            rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "the runtime cannot run this %s",
                    want[i].name);
            rc_err_file(err, "config.json");
            rc_err_want(err, "a multiple of %" PRIu64, want[i].of);
            rc_err_got(err, "%" PRIu64, want[i].n);
            return RC_E_UNSUPPORTED;
        }
    return RC_OK;
}

uint64_t rc_forward_memory(uint64_t mem_limit)
{
    const long n = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);

    if (mem_limit)
        return mem_limit;
    return n > 0 && page > 0 ? (uint64_t)n * (uint64_t)page / 2 : UINT64_C(4) << 30;
}

/* What a run of tokens takes inside attention and the products, about. */
static uint64_t run_nbytes(const rc_config *c, size_t run)
{
    const uint64_t q = (uint64_t)c->num_attention_heads * c->head_dim;

    return run *
           (5 * q + 8 * (uint64_t)c->hidden_size * c->hc_mult +
            4 * (uint64_t)c->moe_intermediate_size) *
           sizeof(float);
}

/* Runs shrink until they take an eighth of the limit. */
static size_t choose_run(const rc_config *c, uint64_t limit)
{
    size_t run = RUN_TOKENS;

    while (run > 8 && run_nbytes(c, run) > limit / 8)
        run /= 2;
    return run;
}

static rc_code require_mtp(rc_model *model, rc_err *err)
{
    const rc_draft draft = rc_model_traits(model)->draft;

    if (draft == RC_DRAFT_MTP)
        return RC_OK;
    rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "the model has no MTP block to run");
    rc_err_want(err, "draft MTP");
    rc_err_got(err, "%s", rc_draft_name(draft));
    if (draft == RC_DRAFT_DSPARK)
        rc_err_hint(err, "--numerics f64 runs a DSpark draft");
    return RC_E_UNSUPPORTED;
}

/* -- new and free ---------------------------------------------------------- */

rc_code rc_forward_new(rc_forward **out, rc_model *model, const rc_forward_options *o, rc_err *err)
{
    const rc_config *c = rc_ckpt_config(rc_model_ckpt(model));
    const uint64_t limit = rc_forward_memory(o->mem_limit);
    rc_mem own = { 0 };
    rc_forward *f;
    rc_code rc;

    *out = NULL;
    RC_TRY(check_sizes(c, err));
    if (o->keep_streams)
        RC_TRY(require_mtp(model, err));
    f = rc_mem_get(&own, sizeof *f);
    if (!f)
        return rc_fail_nomem(err, &own, sizeof *f);
    f->model = model;
    f->end = o->end && o->end < c->num_hidden_layers ? o->end : c->num_hidden_layers;
    f->first = o->first < f->end ? o->first : f->end;
    f->run = choose_run(c, limit);
    f->scratch = o->scratch;
    f->steps = o->steps;
    f->keep = o->keep_streams;
    f->e = (rc_engine){ .config = c,
                        .numerics = o->numerics,
                        .threads = o->threads ? o->threads : rc_par_cpus(),
                        .blas = o->blas,
                        .mem = o->mem ? o->mem : &f->own,
                        .watch = o->watch };
    f->e.mem->limit = (size_t)limit;
    /* an eighth for a run, a quarter for the state of the tokens, the rest is other tables */
    RC_TRY_GOTO(rc, done,
                rc_weights_open(&f->e.weights, model, (size_t)(limit / 2), READERS, f->e.mem, err));
    RC_TRY_GOTO(rc, done, rc_weights_find(f->e.weights, "embed.weight", &f->embed, err));
    RC_TRY_GOTO(rc, done, rc_head_new(&f->head, &f->e, NULL, err));
    if (f->keep)
        RC_TRY_GOTO(rc, done, rc_mtp_new(&f->mtp, &f->e, f->run, err));
    f->layer = rc_mem_get(f->e.mem, c->num_hidden_layers * sizeof(rc_layer *));
    if (!f->layer)
        rc = rc_fail_nomem(err, f->e.mem, c->num_hidden_layers * sizeof(rc_layer *));
done:
    if (rc != RC_OK)
        rc_forward_free(&f);
    *out = f;
    return rc;
}

void rc_forward_free(rc_forward **forward)
{
    rc_forward *f = *forward;
    rc_mem own = { 0 };

    if (!f)
        return;
    for (uint32_t i = f->first; f->layer && i < f->end; i++)
        rc_layer_free(&f->layer[i]);
    rc_mem_put(f->e.mem, f->layer);
    rc_head_free(&f->head);
    rc_mtp_free(&f->mtp);
    rc_flow_free(&f->flow);
    rc_weights_close(&f->e.weights);
    rc_mem_put(&own, f);
    *forward = NULL;
}

void rc_forward_forget(rc_forward *f)
{
    rc_flow_free(&f->flow);
    for (uint32_t i = f->first; i < f->end; i++)
        if (f->layer[i])
            rc_layer_forget(f->layer[i]);
    f->pos = 0;
}

/* -- feeding --------------------------------------------------------------- */

static rc_code check_tokens(const rc_forward *f, const uint32_t *token, size_t n, rc_err *err)
{
    const rc_config *c = f->e.config;

    for (size_t i = 0; i < n; i++)
        if (token[i] >= c->vocab_size) {
            rc_fail(err, RC_E_USAGE, RC_NO_OFFSET,
                    "token %" PRIu32 " at position %" PRIu64 " is past the vocabulary", token[i],
                    f->pos + i);
            rc_err_want(err, "below %" PRIu32, c->vocab_size);
            return RC_E_USAGE;
        }
    if (c->max_position_embeddings && f->pos + n > c->max_position_embeddings) {
        rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "%" PRIu64 " positions are more than the model has",
                f->pos + n);
        rc_err_want(err, "max_position_embeddings, %" PRIu32, c->max_position_embeddings);
        return RC_E_USAGE;
    }
    return RC_OK;
}

static rc_code layer_at(rc_forward *f, uint32_t i, rc_err *err)
{
    const rc_config *c = f->e.config;
    rc_block_id id = { .layer = i, .ratio = c->compress_ratios[i], .hash = i < c->num_hash_layers };

    if (f->layer[i])
        return RC_OK;
    snprintf(id.prefix, sizeof id.prefix, "layers.%u.", i);
    return rc_layer_new(&f->layer[i], &f->e, &id, f->run, err);
}

/* The N streams of each token begin as copies of its embedding. */
static rc_code embed(rc_forward *f, rc_flow *flow, rc_err *err)
{
    const size_t d = f->e.config->hidden_size, n = f->e.config->hc_mult;

    for (size_t t0 = 0; t0 < flow->tokens; t0 += flow->run) {
        const size_t now = flow->tokens - t0 < flow->run ? flow->tokens - t0 : flow->run;

        RC_TRY(rc_weights_rows(f->e.weights, f->embed, flow->id + t0, now, flow->hrun, n * d, err));
        for (size_t t = 0; t < now; t++)
            for (size_t k = 1; k < n; k++)
                memcpy(flow->hrun + (t * n + k) * d, flow->hrun + t * n * d, d * sizeof(float));
        RC_TRY(rc_rows_store(flow->h, t0, now, flow->hrun, err));
    }
    return RC_OK;
}

/* What comes after a layer, while its experts are at work. */
typedef struct after {
    rc_forward *f;
    rc_layer *next; /* NULL: the head, if anybody wants logits */
    size_t tokens;
    bool logits;
} after;

static void want_after(void *ctx)
{
    const after *a = ctx;

    if (a->next)
        rc_layer_want(a->next, a->tokens);
    else if (a->logits)
        rc_head_want(a->f->head);
}

static rc_code through_layers(rc_forward *f, rc_flow *flow, bool logits, rc_err *err)
{
    for (uint32_t i = f->first; i < f->end; i++) {
        const bool more = i + 1 < f->end;
        after a = { f, NULL, flow->tokens, logits };

        RC_TRY(layer_at(f, i, err));
        if (more)
            RC_TRY(layer_at(f, i + 1, err));
        a.next = more ? f->layer[i + 1] : NULL;
        RC_TRY(rc_layer_run(f->layer[i], flow, want_after, &a, err));
        if (f->steps)
            (*f->steps)++;
    }
    return RC_OK;
}

static rc_code logits_of(rc_forward *f, rc_head *head, rc_flow *flow, size_t tail, rc_logits_fn *fn,
                         void *ctx, rc_err *err)
{
    const size_t vocab = f->e.config->vocab_size, fit = LOGITS_BYTES / (vocab * sizeof(float));
    const size_t most = fit < 1 ? 1 : fit < flow->run ? fit : flow->run;
    float *logits =
        rc_mem_get_pages(f->e.mem, (most < tail ? most : tail) * vocab * sizeof *logits);
    rc_code rc = logits ? RC_OK : rc_fail_nomem(err, f->e.mem, most * vocab * sizeof *logits);

    for (size_t t0 = flow->tokens - tail; rc == RC_OK && t0 < flow->tokens; t0 += most) {
        const size_t n = flow->tokens - t0 < most ? flow->tokens - t0 : most;

        rc = rc_rows_load(flow->h, t0, n, flow->hrun, err);
        if (rc == RC_OK)
            rc = rc_head_run(head, flow->in, flow->hrun, n, flow->u, logits, err);
        if (rc == RC_OK)
            rc = fn(ctx, flow->pos0 + t0, n, logits, err);
    }
    rc_head_done(head);
    rc_mem_put(f->e.mem, logits);
    return rc;
}

rc_code rc_forward_feed(rc_forward *f, const uint32_t *token, size_t n, size_t tail,
                        rc_logits_fn *fn, void *ctx, rc_err *err)
{
    uint64_t spillable;
    const bool spill = rc_flow_nbytes(f->e.config, n, f->run, &spillable) > f->e.mem->limit / 4;
    rc_flow *flow;
    rc_code rc;

    if (n == 0)
        return RC_OK;
    rc_flow_free(&f->flow);
    RC_TRY(check_tokens(f, token, n, err));
    RC_TRY(rc_flow_new(&flow, &f->e, n, f->run, spill ? f->scratch : NULL, err));
    if (spill && spillable > f->spilled)
        f->spilled = spillable;
    flow->pos0 = f->pos;
    flow->id = token;
    rc = embed(f, flow, err);
    if (rc == RC_OK)
        rc = through_layers(f, flow, fn && tail, err);
    if (rc == RC_OK && fn && tail)
        rc = logits_of(f, f->head, flow, tail < n ? tail : n, fn, ctx, err);
    f->pos += n;
    if (f->keep && rc == RC_OK)
        f->flow = flow;
    else
        rc_flow_free(&flow);
    return rc;
}

rc_code rc_forward_draft(rc_forward *f, unsigned shift, rc_logits_fn *fn, void *ctx, rc_err *err)
{
    rc_flow *flow = f->flow;
    rc_code rc;

    RC_TRY(require_mtp(f->model, err));
    if (!flow || flow->pos0 != 0)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "no streams were kept for the draft");
    if (flow->tokens <= shift)
        return RC_OK;
    flow->tokens -= shift;
    rc = rc_mtp_run(f->mtp, flow, flow->id + shift, err);
    if (rc == RC_OK)
        rc = logits_of(f, rc_mtp_head(f->mtp), flow, flow->tokens, fn, ctx, err);
    rc_flow_free(&f->flow);
    return rc;
}

/* -- what it was ----------------------------------------------------------- */

uint64_t rc_forward_positions(const rc_forward *f)
{
    return f->pos;
}

rc_weights_stats rc_forward_statistics(const rc_forward *f)
{
    return rc_weights_statistics(f->e.weights);
}

uint64_t rc_forward_spilled(const rc_forward *f)
{
    return f->spilled;
}

size_t rc_forward_peak(const rc_forward *f)
{
    return f->e.mem->peak;
}
