/* runtime/forward.c - see forward.h. */
#include "runtime/forward.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "formats/base/par.h"
#include "formats/base/stop.h"
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
    rc_mtp *mtp;         /* with `keep`; what it lacks is better known before the prompt is run */
    bool keep;           /* the flow of a feed, for a draft */
    uint32_t first, end; /* layers */
    rc_flow *flow;       /* on its way, or kept; else NULL */
    rc_rows *aside;      /* streams for rc_forward_probe(); or NULL */
    uint32_t next;       /* layer of the flow */
    bool logits;         /* somebody wants them afterwards */
    bool no_logits;      /* nobody ever will */
    uint32_t *shifted;   /* tokens of rc_forward_draft_windows(); or NULL */
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
    f->no_logits = o->no_logits;
    f->e = (rc_engine){ .config = c,
                        .numerics = o->numerics,
                        .threads = o->threads ? o->threads : rc_par_cpus(),
                        .blas = o->blas,
                        .mem = o->mem ? o->mem : &f->own,
                        .watch = o->watch };
    f->e.mem->limit = (size_t)limit;
    /* an eighth for a run, a quarter for the state of the tokens, the rest is other tables */
    RC_TRY_GOTO(rc, done,
                rc_weights_open(&f->e.weights, model, o->swap, (size_t)(limit / 2), READERS,
                                f->e.mem, err));
    RC_TRY_GOTO(rc, done, rc_weights_find(f->e.weights, "embed.weight", &f->embed, err));
    RC_TRY_GOTO(rc, done, rc_head_new(&f->head, &f->e, NULL, err));
    if (f->keep)
        RC_TRY_GOTO(rc, done, rc_mtp_new(&f->mtp, &f->e, f->run, !o->no_logits, err));
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
    rc_rows_free(&f->aside);
    rc_mem_put(f->e.mem, f->shifted);
    rc_weights_close(&f->e.weights);
    rc_mem_put(&own, f);
    *forward = NULL;
}

void rc_forward_forget(rc_forward *f)
{
    rc_flow_free(&f->flow);
    rc_rows_free(&f->aside);
    for (uint32_t i = f->first; i < f->end; i++)
        if (f->layer[i]) {
            rc_layer_done(f->layer[i]);
            rc_layer_forget(f->layer[i]);
        }
    rc_head_done(f->head);
    rc_mem_put(f->e.mem, f->shifted);
    f->shifted = NULL;
    f->pos = 0;
}

/* -- tokens ---------------------------------------------------------------- */

/* `longest`: tokens of the longest sequence, which goes on from f->pos. */
static rc_code check_tokens(const rc_forward *f, const uint32_t *token, size_t n, size_t longest,
                            rc_err *err)
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
    if (c->max_position_embeddings && f->pos + longest > c->max_position_embeddings) {
        rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "%" PRIu64 " positions are more than the model has",
                f->pos + longest);
        rc_err_want(err, "max_position_embeddings, %" PRIu32, c->max_position_embeddings);
        return RC_E_USAGE;
    }
    return RC_OK;
}

/* The N streams of each token begin as copies of its embedding. */
static rc_code embed(rc_forward *f, rc_flow *flow, rc_err *err)
{
    const size_t d = f->e.config->hidden_size, n = f->e.config->hc_mult;

    for (size_t t0 = 0; t0 < flow->tokens; t0 += flow->run) {
        const size_t now = flow->tokens - t0 < flow->run ? flow->tokens - t0 : flow->run;

        RC_TRY(rc_stop_check(err));
        RC_TRY(rc_weights_rows(f->e.weights, f->embed, flow->id + t0, now, flow->hrun, n * d, err));
        for (size_t t = 0; t < now; t++)
            for (size_t k = 1; k < n; k++)
                memcpy(flow->hrun + (t * n + k) * d, flow->hrun + t * n * d, d * sizeof(float));
        RC_TRY(rc_rows_store(flow->h, t0, now, flow->hrun, err));
    }
    return RC_OK;
}

/* The state of the tokens may take a quarter of the limit: where more goes. */
static const char *place_for(const rc_forward *f, uint64_t nbytes)
{
    return nbytes > f->e.mem->limit / 4 ? f->scratch : NULL;
}

static void note_spilled(rc_forward *f, uint64_t nbytes)
{
    f->spilled = nbytes > f->spilled ? nbytes : f->spilled;
}

/* Tokens at the first layer. window 0: they follow those seen. */
static rc_code start(rc_forward *f, const uint32_t *token, size_t n, size_t window, rc_err *err)
{
    uint64_t spillable;
    const char *scratch = place_for(f, rc_flow_nbytes(f->e.config, n, f->run, &spillable));

    RC_TRY(rc_flow_new(&f->flow, &f->e, n, f->run, scratch, err));
    note_spilled(f, scratch ? spillable : 0);
    f->flow->window = window;
    f->flow->pos0 = f->pos;
    f->flow->id = token;
    f->next = f->first;
    f->pos += n;
    return embed(f, f->flow, err);
}

/* -- a layer at a time ----------------------------------------------------- */

rc_code rc_forward_begin(rc_forward *f, const uint32_t *token, size_t n, size_t window, rc_err *err)
{
    const size_t most = window < n ? window : n;

    if (f->flow || f->pos != 0)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "the pass is not at its beginning");
    if (most == 0)
        return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "%s",
                       n ? "windows of no tokens" : "there are no tokens to run");
    RC_TRY(check_tokens(f, token, n, most, err));
    f->logits = !f->no_logits;
    return start(f, token, n, most, err);
}

uint32_t rc_forward_next_layer(const rc_forward *f)
{
    return f->next;
}

uint32_t rc_forward_end_layer(const rc_forward *f)
{
    return f->end;
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

/* What comes after the layer whose experts are at work. */
static void ask_ahead(void *ctx)
{
    const rc_forward *f = ctx;

    if (f->next + 1 < f->end)
        rc_layer_want(f->layer[f->next + 1], f->flow->tokens);
    else if (f->logits)
        rc_head_want(f->head);
}

static rc_code require_layer(const rc_forward *f, rc_err *err)
{
    return f->flow && f->next < f->end
               ? RC_OK
               : rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "there is no layer to run");
}

static void count_layer(rc_forward *f)
{
    f->next++;
    if (f->steps)
        (*f->steps)++;
}

rc_code rc_forward_step(rc_forward *f, rc_err *err)
{
    RC_TRY(require_layer(f, err));
    RC_TRY(layer_at(f, f->next, err));
    if (f->next + 1 < f->end)
        RC_TRY(layer_at(f, f->next + 1, err));
    RC_TRY(rc_layer_run(f->layer[f->next], f->flow, ask_ahead, f, err));
    count_layer(f);
    return RC_OK;
}

rc_code rc_forward_resume(rc_forward *f, uint32_t layer, rc_err *err)
{
    if (!f->flow || f->flow->window == 0 || f->next != f->first || layer <= f->first ||
        layer > f->end)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "the pass cannot go on at layer %" PRIu32,
                       layer);
    f->next = layer;
    return RC_OK;
}

/* `other` runs tokens like ours and has come to `layer`. */
static rc_code require_alike(const rc_forward *f, const rc_forward *other, uint32_t layer,
                             rc_err *err)
{
    const rc_flow *a = f->flow, *b = other->flow;

    return b && a->tokens == b->tokens && a->window == b->window && a->pos0 == b->pos0 &&
                   rc_rows_width(a->h) == rc_rows_width(b->h) && other->next == layer &&
                   memcmp(a->id, b->id, a->tokens * sizeof *a->id) == 0
               ? RC_OK
               : rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET,
                         "the other pass is not at layer %" PRIu32 " of the same tokens", layer);
}

/* From table to table, a run of the flow at a time. */
static rc_code copy_streams(rc_flow *flow, rc_rows *to, rc_rows *from, rc_err *err)
{
    for (size_t t0 = 0; t0 < flow->tokens; t0 += flow->run) {
        const size_t n = flow->tokens - t0 < flow->run ? flow->tokens - t0 : flow->run;

        RC_TRY(rc_rows_load(from, t0, n, flow->hrun, err));
        RC_TRY(rc_rows_store(to, t0, n, flow->hrun, err));
    }
    return RC_OK;
}

rc_code rc_forward_follow(rc_forward *f, rc_forward *other, rc_err *err)
{
    RC_TRY(require_layer(f, err));
    RC_TRY(require_alike(f, other, f->next + 1, err));
    RC_TRY(copy_streams(f->flow, f->flow->h, other->flow->h, err));
    if (f->layer[f->next])
        rc_layer_done(f->layer[f->next]); /* a step may have asked for it */
    count_layer(f);
    return RC_OK;
}

static rc_code make_aside(rc_forward *f, rc_err *err)
{
    const size_t n = f->flow->tokens, width = rc_rows_width(f->flow->h);
    const uint64_t nbytes = (uint64_t)n * width * sizeof(float);
    uint64_t spillable;
    const uint64_t had = rc_flow_nbytes(f->e.config, n, f->run, &spillable);

    if (f->aside)
        return RC_OK;
    RC_TRY(rc_rows_new(&f->aside, n, width, place_for(f, had + nbytes), f->e.mem, err));
    note_spilled(f, rc_rows_spilled(f->aside));
    return RC_OK;
}

/* Of the flow the streams alone outlive a layer: with others in their place it can be run. */
rc_code rc_forward_probe(rc_forward *f, rc_forward *other, rc_err *err)
{
    rc_rows *own;
    rc_code rc;

    RC_TRY(require_layer(f, err));
    RC_TRY(require_alike(f, other, f->next, err));
    RC_TRY(layer_at(f, f->next, err));
    RC_TRY(make_aside(f, err));
    RC_TRY(copy_streams(f->flow, f->aside, other->flow->h, err));
    own = f->flow->h;
    f->flow->h = f->aside;
    rc = rc_layer_run(f->layer[f->next], f->flow, NULL, NULL, err);
    f->flow->h = own;
    return rc;
}

static rc_code require_tokens(const rc_forward *f, size_t at, size_t n, size_t most, rc_err *err)
{
    return f->flow && n <= most && at <= f->flow->tokens && n <= f->flow->tokens - at
               ? RC_OK
               : rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "there are no such tokens");
}

rc_code rc_forward_streams(rc_forward *f, size_t at, size_t n, float *h, rc_err *err)
{
    RC_TRY(require_tokens(f, at, n, SIZE_MAX, err));
    return rc_rows_load(f->flow->h, at, n, h, err);
}

rc_code rc_forward_set_streams(rc_forward *f, size_t at, size_t n, const float *h, rc_err *err)
{
    RC_TRY(require_tokens(f, at, n, SIZE_MAX, err));
    return rc_rows_store(f->flow->h, at, n, h, err);
}

static rc_code say(rc_head *head, rc_flow *flow, size_t at, size_t n, float *logits, rc_err *err)
{
    RC_TRY(rc_rows_load(flow->h, at, n, flow->hrun, err));
    return rc_head_run(head, flow->in, flow->hrun, flow->pos0 + at, n, flow->u, logits, err);
}

static rc_code require_end(const rc_forward *f, rc_err *err)
{
    return f->flow && f->next == f->end
               ? RC_OK
               : rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "not all layers have been run");
}

rc_code rc_forward_show_head(rc_forward *f, rc_err *err)
{
    rc_flow *const flow = f->flow;

    RC_TRY(require_end(f, err));
    for (size_t t0 = 0; t0 < flow->tokens; t0 += flow->run) {
        RC_TRY(rc_stop_check(err));
        RC_TRY(say(f->head, flow, t0, flow->tokens - t0 < flow->run ? flow->tokens - t0 : flow->run,
                   NULL, err));
    }
    return RC_OK;
}

rc_code rc_forward_logits(rc_forward *f, size_t at, size_t n, float *logits, rc_err *err)
{
    RC_TRY(require_tokens(f, at, n, f->run, err));
    if (f->next < f->end || f->no_logits)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "logits before the last layer");
    return say(f->head, f->flow, at, n, logits, err);
}

size_t rc_forward_run(const rc_forward *f)
{
    return f->run;
}

/* -- feeding --------------------------------------------------------------- */

/* Logits of the flow's last `tail` tokens. */
static rc_code logits_of(rc_forward *f, rc_head *head, size_t tail, rc_logits_fn *fn, void *ctx,
                         rc_err *err)
{
    rc_flow *const flow = f->flow;
    const size_t vocab = f->e.config->vocab_size, fit = LOGITS_BYTES / (vocab * sizeof(float));
    const size_t most = fit < 1 ? 1 : fit < flow->run ? fit : flow->run;
    float *logits =
        rc_mem_get_pages(f->e.mem, (most < tail ? most : tail) * vocab * sizeof *logits);
    rc_code rc = logits ? RC_OK : rc_fail_nomem(err, f->e.mem, most * vocab * sizeof *logits);

    for (size_t t0 = flow->tokens - tail; rc == RC_OK && t0 < flow->tokens; t0 += most) {
        const size_t n = flow->tokens - t0 < most ? flow->tokens - t0 : most;

        rc = say(head, flow, t0, n, logits, err);
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
    rc_code rc;

    if (n == 0)
        return RC_OK;
    if (f->flow && f->flow->window)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "windows have nothing to follow");
    if (f->no_logits && fn)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "this pass makes no logits");
    rc_flow_free(&f->flow);
    RC_TRY(check_tokens(f, token, n, n, err));
    f->logits = fn && tail;
    rc = start(f, token, n, 0, err);
    while (rc == RC_OK && f->next < f->end)
        rc = rc_forward_step(f, err);
    if (rc == RC_OK && f->logits)
        rc = logits_of(f, f->head, tail < n ? tail : n, fn, ctx, err);
    if (rc != RC_OK || !f->keep)
        rc_flow_free(&f->flow);
    return rc;
}

rc_code rc_forward_draft(rc_forward *f, unsigned shift, rc_logits_fn *fn, void *ctx, rc_err *err)
{
    rc_flow *flow = f->flow;
    rc_code rc;

    RC_TRY(require_mtp(f->model, err));
    if (!f->keep || f->no_logits || !flow || flow->window || flow->pos0 != 0)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "no streams were kept for the draft");
    if (flow->tokens <= shift)
        return RC_OK;
    flow->tokens -= shift;
    rc = rc_mtp_run(f->mtp, flow, flow->id + shift, true, err);
    if (rc == RC_OK)
        rc = logits_of(f, rc_mtp_head(f->mtp), flow->tokens, fn, ctx, err);
    rc_flow_free(&f->flow);
    return rc;
}

/* Streams of tokens [from, from + n) to `to`, which is no further back. */
static rc_code move_streams(rc_flow *flow, size_t to, size_t from, size_t n, rc_err *err)
{
    for (size_t t0 = 0; t0 < n; t0 += flow->run) {
        const size_t now = n - t0 < flow->run ? n - t0 : flow->run;

        RC_TRY(rc_rows_load(flow->h, from + t0, now, flow->hrun, err));
        RC_TRY(rc_rows_store(flow->h, to + t0, now, flow->hrun, err));
    }
    return RC_OK;
}

/* The flow without the last token of each window, and the tokens that go with it. */
static rc_code drop_last(rc_forward *f, rc_err *err)
{
    rc_flow *const flow = f->flow;
    size_t kept = 0;

    f->shifted = rc_mem_get(f->e.mem, flow->tokens * sizeof *f->shifted);
    if (!f->shifted)
        return rc_fail_nomem(err, f->e.mem, flow->tokens * sizeof *f->shifted);
    for (size_t w0 = 0; w0 < flow->tokens; w0 += flow->window) {
        const size_t left = flow->tokens - w0;
        const size_t n = (left < flow->window ? left : flow->window) - 1;

        RC_TRY(move_streams(flow, kept, w0, n, err));
        memcpy(f->shifted + kept, flow->id + w0 + 1, n * sizeof *f->shifted);
        kept += n;
    }
    flow->tokens = kept;
    flow->window--;
    flow->id = f->shifted;
    return RC_OK;
}

rc_code rc_forward_draft_windows(rc_forward *f, rc_err *err)
{
    rc_code rc;

    RC_TRY(require_mtp(f->model, err));
    RC_TRY(require_end(f, err));
    if (!f->keep || f->flow->window == 0 || f->shifted)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "there are no windows for the draft");
    rc = drop_last(f, err);
    if (rc == RC_OK && f->flow->tokens)
        rc = rc_mtp_run(f->mtp, f->flow, f->shifted, false, err);
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
