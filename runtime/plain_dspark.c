/* runtime/plain_dspark.c - the DSpark draft: B tokens proposed at once.
 *
 * A few blocks of their own (mtp.*), window only, whose windows hold nothing of their own making:
 * keys come from the main model. Of each position, the streams after a few late layers are
 * averaged, joined and projected to one vector, and every draft block keys that vector with its
 * own wkv.
 *
 * A proposal then runs one block of B tokens through all draft blocks: the token just chosen, and
 * B - 1 times a token that means nothing. All B see the window and each other, forwards too. What
 * comes out of place i predicts the token after it, corrected by what tends to follow its
 * predecessor: a table [V, M] times a table [V, M], called the Markov head. So the layers run once,
 * and only the choice goes one by one. */
#include <string.h>

#include "runtime/plain_impl.h"

/* ------------------------------------------------------------ what the main model gives */

void rc_pl_dspark_see(rc_plain *p, size_t layer, const double *h)
{
    const rc_config *c = p->config;
    double *mean = p->dspark.hidden;
    size_t earlier = 0;

    if (p->draft != RC_DRAFT_DSPARK)
        return;
    /* joined in the order of the layers, whatever the order of the list */
    for (uint32_t i = 0; i < c->n_dspark_targets; i++)
        earlier += c->dspark_target_layer_ids[i] < layer;
    for (uint32_t i = 0; i < c->n_dspark_targets; i++) {
        if (c->dspark_target_layer_ids[i] != layer)
            continue;
        mean += earlier * p->D;
        for (size_t d = 0; d < p->D; d++) {
            mean[d] = 0;
            for (size_t n = 0; n < p->N; n++)
                mean[d] += h[n * p->D + d];
            mean[d] /= (double)p->N;
        }
        return;
    }
}

rc_code rc_pl_dspark_absorb(rc_plain *p, rc_err *err)
{
    rc_pl_dspark *d = &p->dspark;
    double *x;

    RC_TRY(rc_pl_take(p, &x, p->D, err));
    RC_TRY(rc_pl_product(p, &d->main_proj, d->hidden, x, err));
    RC_TRY(rc_pl_norm(p, &d->main_norm, x, x, err));
    for (size_t i = p->nlayers; i < p->nblocks; i++) {
        rc_pl_attention *a = &p->layers[i].attn;

        RC_TRY(rc_pl_key(p, a, x, p->pos, a->window + (size_t)(p->pos % p->W) * p->C, err));
    }
    return RC_OK;
}

/* ------------------------------------------------------------------------- a proposal */

/* Place i of the proposal is position p->pos + i; the window ends before. */
static rc_code attend_block(rc_plain *p, rc_pl_attention *a, rc_pl_sublayer *s, size_t B,
                            rc_err *err)
{
    const double **kv = rc_arena_get(&p->scratch, (p->W + B) * sizeof *kv);
    double *low, *q, *own;
    size_t n;

    if (!kv)
        return rc_fail_nomem(err, p->mem, (p->W + B) * sizeof *kv);
    RC_TRY(rc_pl_take(p, &low, a->wq_a.rows, err));
    RC_TRY(rc_pl_take(p, &q, a->wq_b.rows, err));
    RC_TRY(rc_pl_take(p, &own, B * p->C, err));
    n = rc_pl_window(p, a, p->pos - 1, kv);
    for (size_t i = 0; i < B; i++) {
        kv[n + i] = own + i * p->C;
        RC_TRY(rc_pl_key(p, a, s[i].u, p->pos + i, own + i * p->C, err));
    }
    for (size_t i = 0; i < B; i++) {
        RC_TRY(rc_pl_queries(p, a, s[i].u, p->pos + i, low, q, err));
        RC_TRY(rc_pl_look(p, a, q, kv, n + B, p->pos + i, s[i].y, err));
    }
    return RC_OK;
}

/* h [B, N, D] through one draft block: as any layer, but that its places attend together. */
static rc_code through_block(rc_plain *p, rc_pl_block *b, double *h, size_t B, uint32_t token,
                             rc_err *err)
{
    const size_t each = p->N * p->D;
    rc_pl_sublayer *s = rc_arena_get(&p->scratch, B * sizeof *s);

    if (!s)
        return rc_fail_nomem(err, p->mem, B * sizeof *s);
    for (size_t i = 0; i < B; i++)
        RC_TRY(rc_pl_begin(p, &s[i], &b->attn_mix, &b->attn_norm, h + i * each, err));
    RC_TRY(attend_block(p, &b->attn, s, B, err));
    for (size_t i = 0; i < B; i++) {
        RC_TRY(rc_pl_scatter(p, s[i].y, s[i].post, s[i].comb, h + i * each, err));
        RC_TRY(rc_pl_second(p, b, h + i * each, p->pos + i, token, err));
        if (p->watch.streams)
            p->watch.streams(p->watch.ctx, b->layer, p->pos + i, h + i * each);
    }
    return RC_OK;
}

static uint32_t likeliest(const double *logits, size_t n)
{
    size_t best = 0;

    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return (uint32_t)best;
}

/* Place i: logits = head . normed + w2 . w1[the token before]; confidence = proj . (hidden, w1[..])
 * with hidden as it was before the norm. */
static rc_code choose(rc_plain *p, const double *h, uint32_t before, uint32_t *token,
                      double *logits, double *confidence, rc_err *err)
{
    rc_pl_dspark *d = &p->dspark;
    const size_t V = p->config->vocab_size, M = d->markov_w1.cols;
    double *seen, *normed, *follows, sum;

    RC_TRY(rc_pl_take(p, &seen, p->D + M, err));
    RC_TRY(rc_pl_take(p, &normed, p->D, err));
    RC_TRY(rc_pl_take(p, &follows, V, err));
    RC_TRY(rc_pl_output_of(p, &d->output, h, seen, normed, err));
    RC_TRY(rc_pl_row(p, &d->markov_w1, before, seen + p->D, err));
    RC_TRY(rc_pl_product(p, &p->head, normed, logits, err));
    RC_TRY(rc_pl_product(p, &d->markov_w2, seen + p->D, follows, err));
    for (size_t v = 0; v < V; v++)
        logits[v] += follows[v];
    *token = likeliest(logits, V);
    RC_TRY(rc_pl_product(p, &d->confidence, seen, &sum, err));
    if (confidence)
        *confidence = sum;
    return RC_OK;
}

static rc_code draft(rc_plain *p, uint32_t token, uint32_t *tokens, double *logits,
                     double *confidence, rc_err *err)
{
    const size_t B = rc_plain_draft_size(p), V = p->config->vocab_size, each = p->N * p->D;
    double *h, *own = NULL;

    if (B == 0)
        return rc_pl_fail_no_draft(p, "DSpark draft", err);
    if (p->pos == 0)
        return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "a draft continues a text: there is none");
    RC_TRY(rc_pl_take(p, &h, B * each, err));
    RC_TRY(rc_pl_take(p, &own, logits ? 1 : V, err));
    for (size_t i = 0; i < B; i++)
        RC_TRY(rc_pl_embed(p, i ? p->config->dspark_noise_token_id : token, h + i * each, err));
    for (size_t b = p->nlayers; b < p->nblocks; b++)
        RC_TRY(through_block(p, &p->layers[b], h, B, token, err));
    for (size_t i = 0; i < B; i++)
        RC_TRY(choose(p, h + i * each, i ? tokens[i - 1] : token, &tokens[i],
                      logits ? logits + i * V : own, confidence ? confidence + i : NULL, err));
    return RC_OK;
}

uint32_t rc_plain_draft_size(const rc_plain *p)
{
    return p->draft == RC_DRAFT_DSPARK ? p->config->dspark_block_size : 0;
}

rc_code rc_plain_draft(rc_plain *p, uint32_t token, uint32_t *tokens, double *logits,
                       double *confidence, rc_err *err)
{
    const rc_code rc = draft(p, token, tokens, logits, confidence, err);

    rc_arena_free(&p->scratch);
    return rc;
}
