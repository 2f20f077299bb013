/* runtime/head.c - see head.h. */
#include "runtime/head.h"

#include "runtime/hyper.h"
#include "runtime/norm.h"

struct rc_head {
    rc_engine *e;
    rc_hyper *hc;
    float *norm;            /* [D] */
    const rc_bound *matrix; /* [V, D] */
    uint32_t layer;         /* the block before it, for a watcher */
};

rc_code rc_head_new(rc_head **out, rc_engine *e, const rc_block_id *draft, rc_err *err)
{
    const rc_block_id top = { .prefix = "" };
    const rc_block_id *id = draft ? draft : &top;
    rc_head *h = rc_mem_get(e->mem, sizeof *h);
    rc_code rc;

    *out = NULL;
    if (!h)
        return rc_fail_nomem(err, e->mem, sizeof *h);
    h->e = e;
    h->layer = draft ? draft->layer : e->config->num_hidden_layers - 1;
    RC_TRY_GOTO(rc, done, rc_hyper_new(&h->hc, e, id, "hc_head", err));
    RC_TRY_GOTO(rc, done,
                rc_block_small(e, id, "norm.weight", e->config->hidden_size, &h->norm, err));
    RC_TRY_GOTO(rc, done,
                rc_weights_find(e->weights,
                                e->config->tie_word_embeddings ? "embed.weight" : "head.weight",
                                &h->matrix, err));
done:
    if (rc != RC_OK)
        rc_head_free(&h);
    *out = h;
    return rc;
}

void rc_head_free(rc_head **head)
{
    rc_head *h = *head;

    if (!h)
        return;
    rc_hyper_free(&h->hc);
    rc_mem_put(h->e->mem, h->norm);
    rc_mem_put(h->e->mem, h);
    *head = NULL;
}

void rc_head_want(const rc_head *h)
{
    rc_hyper_want(h->hc);
    rc_weights_want(h->e->weights, h->matrix);
}

void rc_head_done(const rc_head *h)
{
    rc_hyper_done(h->hc);
    rc_weights_done(h->e->weights, h->matrix);
}

rc_code rc_head_run(rc_head *h, rc_input *in, const float *streams, uint64_t pos0, size_t tokens,
                    float *u, float *logits, rc_err *err)
{
    const rc_input_rows rows = {
        .layer = h->layer, .at = RC_INPUT_HEAD, .expert = -1, .pos0 = pos0
    };
    const size_t d = h->e->config->hidden_size, vocab = h->e->config->vocab_size;

    RC_TRY(rc_hyper_pre(h->hc, in, streams, tokens, u, NULL, err));
    rc_norm_rows(h->e->numerics, h->e->threads, u, h->norm, tokens, d, h->e->config->rms_norm_eps);
    RC_TRY(rc_show_input(h->e, &rows, u, tokens, d, err));
    if (!logits)
        return RC_OK;
    RC_TRY(rc_input_set(in, RC_LINEAR_F32, u, d, tokens, d, err));
    return rc_linear(h->e, h->matrix, 0, vocab, in, logits, vocab, err);
}
