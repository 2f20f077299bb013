/* runtime/runner.c - see runner.h. */
#include "runtime/runner.h"

#include "runtime/plain.h"
#include "runtime/sample.h"

struct rc_runner {
    rc_mem mem; /* of the plain pass */
    rc_forward *fast;
    rc_model *model;

    rc_plain *plain;
    const rc_watch *watch;
    _Atomic uint64_t *steps;
    double *wide;  /* [V] */
    float *narrow; /* room for logits and for what a watch sees */
    uint32_t *guess;
    uint64_t pos;
    rc_err watching; /* what the watch said */
};

/* -- what the plain pass shows, in float ----------------------------------- */

static const float *narrow(rc_runner *r, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        r->narrow[i] = (float)x[i];
    return r->narrow;
}

static void see_streams(void *ctx, uint32_t layer, uint64_t pos, const double *h)
{
    rc_runner *r = ctx;
    const rc_config *c = rc_ckpt_config(rc_model_ckpt(r->model));
    const size_t n = (size_t)c->hc_mult * c->hidden_size;

    if (r->watch->streams && r->watching.code == RC_OK &&
        r->watch->streams(r->watch->ctx, layer, pos, 1, narrow(r, h, n), &r->watching) == RC_OK)
        return;
}

static void see_experts(void *ctx, uint32_t layer, uint64_t pos, const uint32_t *expert,
                        const double *weight)
{
    rc_runner *r = ctx;
    const size_t k = rc_ckpt_config(rc_model_ckpt(r->model))->num_experts_per_tok;

    if (r->watch->experts && r->watching.code == RC_OK &&
        r->watch->experts(r->watch->ctx, layer, pos, 1, k, expert, narrow(r, weight, k),
                          &r->watching) == RC_OK)
        return;
}

static void see_blocks(void *ctx, uint32_t layer, uint64_t pos, const uint32_t *block, size_t n)
{
    rc_runner *r = ctx;

    if (r->watch->blocks && r->watching.code == RC_OK &&
        r->watch->blocks(r->watch->ctx, layer, pos, n, (size_t)((pos + 1) / 4), block,
                         &r->watching) == RC_OK)
        return;
}

/* -- new and free ---------------------------------------------------------- */

static rc_code new_plain(rc_runner *r, const rc_forward_options *o, rc_err *err)
{
    const rc_config *c = rc_ckpt_config(rc_model_ckpt(r->model));
    const rc_plain_watch watch = {
        .ctx = r, .streams = see_streams, .experts = see_experts, .blocks = see_blocks
    };
    const size_t limit = (size_t)rc_forward_memory(o->mem_limit), vocab = c->vocab_size;
    const size_t wide = (size_t)c->hc_mult * c->hidden_size, most = vocab > wide ? vocab : wide;

    r->mem.limit = limit;
    r->wide = rc_mem_get(&r->mem, vocab * sizeof *r->wide);
    r->narrow = rc_mem_get(&r->mem, most * sizeof *r->narrow);
    if (!r->wide || !r->narrow)
        return rc_fail_nomem(err, &r->mem, most * sizeof *r->wide);
    RC_TRY(rc_plain_new(&r->plain, r->model, limit / 2, &r->mem, err));
    r->watch = o->watch;
    r->steps = o->steps;
    if (o->watch)
        rc_plain_set_watch(r->plain, &watch);
    return RC_OK;
}

rc_code rc_runner_new(rc_runner **out, rc_model *model, const rc_forward_options *o, bool plain,
                      rc_err *err)
{
    rc_mem own = { 0 };
    rc_runner *r = rc_mem_get(&own, sizeof *r);
    rc_code rc;

    *out = NULL;
    if (!r)
        return rc_fail_nomem(err, &own, sizeof *r);
    if (o->keep_streams && rc_model_traits(model)->draft == RC_DRAFT_NONE) {
        rc_mem_put(&own, r);
        rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "the model has no draft");
        rc_err_hint(err, "a draft in a file beside a .gguf is not read: run what was converted");
        return RC_E_UNSUPPORTED;
    }
    r->model = model;
    rc = plain ? new_plain(r, o, err) : rc_forward_new(&r->fast, model, o, err);
    if (rc != RC_OK)
        rc_runner_free(&r);
    *out = r;
    return rc;
}

void rc_runner_free(rc_runner **runner)
{
    rc_runner *r = *runner;
    rc_mem own = { 0 };

    if (!r)
        return;
    rc_forward_free(&r->fast);
    rc_plain_free(&r->plain);
    rc_mem_put(&r->mem, r->wide);
    rc_mem_put(&r->mem, r->narrow);
    rc_mem_put(&own, r);
    *runner = NULL;
}

/* -- feeding --------------------------------------------------------------- */

/* What the draft says after the position just stepped through, whose next token is known. */
static rc_code guess_plain(rc_runner *r, uint32_t next, uint32_t *guess, rc_err *err)
{
    const size_t vocab = rc_ckpt_config(rc_model_ckpt(r->model))->vocab_size;
    uint32_t proposed[64];

    if (rc_model_traits(r->model)->draft == RC_DRAFT_MTP) {
        RC_TRY(rc_plain_mtp_step(r->plain, rc_plain_streams(r->plain), next, r->wide, NULL, err));
        *guess = rc_sample_greedy(narrow(r, r->wide, vocab), vocab);
        return RC_OK;
    }
    if (rc_plain_draft_size(r->plain) > sizeof proposed / sizeof *proposed)
        return rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "a draft of more than 64 tokens");
    RC_TRY(rc_plain_draft(r->plain, next, proposed, NULL, NULL, err));
    *guess = proposed[0];
    return RC_OK;
}

static rc_code step(rc_runner *r, uint32_t token, bool logits, rc_logits_fn *fn, void *ctx,
                    rc_err *err)
{
    const size_t vocab = rc_ckpt_config(rc_model_ckpt(r->model))->vocab_size;

    RC_TRY(rc_plain_step(r->plain, token, logits ? r->wide : NULL, err));
    if (r->watching.code != RC_OK) {
        if (err)
            *err = r->watching;
        return r->watching.code;
    }
    return logits ? fn(ctx, r->pos, 1, narrow(r, r->wide, vocab), err) : RC_OK;
}

static rc_code feed_plain(rc_runner *r, const uint32_t *token, size_t n, size_t tail,
                          rc_logits_fn *fn, void *ctx, rc_err *err)
{
    for (size_t i = 0; i < n; i++, r->pos++) {
        RC_TRY(step(r, token[i], fn && i + tail >= n, fn, ctx, err));
        if (r->guess && i + 1 < n)
            RC_TRY(guess_plain(r, token[i + 1], &r->guess[i], err));
        if (r->steps)
            (*r->steps)++;
    }
    r->guess = NULL;
    return RC_OK;
}

rc_code rc_runner_feed(rc_runner *r, const uint32_t *token, size_t n, size_t tail, rc_logits_fn *fn,
                       void *ctx, rc_err *err)
{
    return r->fast ? rc_forward_feed(r->fast, token, n, tail, fn, ctx, err)
                   : feed_plain(r, token, n, tail, fn, ctx, err);
}

/* -- drafts ---------------------------------------------------------------- */

typedef struct guesses {
    uint32_t *at;
    size_t vocab;
} guesses;

static rc_code take_guesses(void *ctx, uint64_t pos, size_t n, const float *logits, rc_err *err)
{
    const guesses *g = ctx;

    (void)err;
    for (size_t t = 0; t < n; t++)
        g->at[pos + t] = rc_sample_greedy(logits + t * g->vocab, g->vocab);
    return RC_OK;
}

rc_code rc_runner_draft(rc_runner *r, uint32_t *guess, rc_err *err)
{
    guesses g = { guess, rc_ckpt_config(rc_model_ckpt(r->model))->vocab_size };

    if (r->fast)
        return rc_forward_draft(r->fast, 1, take_guesses, &g, err);
    r->guess = guess;
    return RC_OK;
}

rc_runner_cost rc_runner_cost_of(const rc_runner *r)
{
    rc_runner_cost c = { .peak = r->mem.peak };

    if (r->fast)
        c = (rc_runner_cost){ rc_forward_statistics(r->fast), rc_forward_spilled(r->fast),
                              rc_forward_peak(r->fast) };
    return c;
}
