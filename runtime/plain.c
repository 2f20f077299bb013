/* runtime/plain.c - the way of a token through the model. */
#include "runtime/plain.h"

#include <string.h>

#include "formats/base/stop.h"
#include "runtime/plain_impl.h"

/* ---------------------------------------------------------------------- one token */

rc_code rc_pl_embed(rc_plain *p, uint32_t token, double *h, rc_err *err)
{
    if (token >= p->config->vocab_size) {
        rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "there is no such token");
        rc_err_want(err, "0 .. %" PRIu32, p->config->vocab_size - 1);
        rc_err_got(err, "%" PRIu32, token);
        return RC_E_USAGE;
    }
    RC_TRY(rc_pl_row(p, &p->embed, token, h, err));
    for (size_t n = 1; n < p->N; n++)
        memcpy(h + n * p->D, h, p->D * sizeof *h);
    return RC_OK;
}

rc_code rc_pl_begin(rc_plain *p, rc_pl_sublayer *s, rc_pl_mix *mix, rc_pl_weight *norm,
                    const double *h, rc_err *err)
{
    RC_TRY(rc_pl_take(p, &s->u, p->D, err));
    RC_TRY(rc_pl_take(p, &s->y, p->D, err));
    RC_TRY(rc_pl_take(p, &s->post, p->N, err));
    RC_TRY(rc_pl_take(p, &s->comb, p->N * p->N, err));
    RC_TRY(rc_pl_gather(p, mix, h, s->u, s->post, s->comb, err));
    return rc_pl_norm(p, norm, s->u, s->u, err);
}

static rc_code first(rc_plain *p, rc_pl_block *b, double *h, uint64_t pos, rc_err *err)
{
    rc_pl_sublayer s;

    RC_TRY(rc_pl_begin(p, &s, &b->attn_mix, &b->attn_norm, h, err));
    RC_TRY(rc_pl_attend(p, b, s.u, pos, s.y, err));
    return rc_pl_scatter(p, s.y, s.post, s.comb, h, err);
}

rc_code rc_pl_second(rc_plain *p, rc_pl_block *b, double *h, uint64_t pos, uint32_t token,
                     rc_err *err)
{
    rc_pl_sublayer s;

    RC_TRY(rc_pl_begin(p, &s, &b->ffn_mix, &b->ffn_norm, h, err));
    RC_TRY(rc_pl_think(p, b, s.u, pos, token, s.y, err));
    return rc_pl_scatter(p, s.y, s.post, s.comb, h, err);
}

/* A layer: attention and experts, each between a gather and a scatter. There is no other
 * residual. */
static rc_code through(rc_plain *p, rc_pl_block *b, double *h, uint64_t pos, uint32_t token,
                       rc_err *err)
{
    RC_TRY(rc_stop_check(err));
    RC_TRY(first(p, b, h, pos, err));
    RC_TRY(rc_pl_second(p, b, h, pos, token, err));
    if (p->watch.streams)
        p->watch.streams(p->watch.ctx, b->layer, pos, h);
    rc_arena_free(&p->scratch);
    return RC_OK;
}

static rc_code to_logits(rc_plain *p, rc_pl_output *o, const double *h, double *logits, rc_err *err)
{
    double *hidden, *normed;

    if (!logits)
        return RC_OK;
    RC_TRY(rc_pl_take(p, &hidden, p->D, err));
    RC_TRY(rc_pl_take(p, &normed, p->D, err));
    RC_TRY(rc_pl_output_of(p, o, h, hidden, normed, err));
    return rc_pl_product(p, &p->head, normed, logits, err);
}

static rc_code step(rc_plain *p, uint32_t token, double *logits, rc_err *err)
{
    double *h = p->streams;

    RC_TRY(rc_pl_embed(p, token, h, err));
    for (size_t l = 0; l < p->nlayers; l++) {
        RC_TRY(through(p, &p->layers[l], h, p->pos, token, err));
        rc_pl_dspark_see(p, l, h);
    }
    RC_TRY(to_logits(p, &p->output, h, logits, err));
    if (p->draft == RC_DRAFT_DSPARK)
        RC_TRY(rc_pl_dspark_absorb(p, err));
    p->pos++;
    return RC_OK;
}

rc_code rc_plain_step(rc_plain *p, uint32_t token, double *logits, rc_err *err)
{
    const rc_code rc = step(p, token, logits, err);

    rc_arena_free(&p->scratch);
    return rc;
}

/* The streams of a position and the embedding of the token that follows, each normed and mapped,
 * are summed: the same embedding goes to every stream. Then a layer, and an output of its own. */
static rc_code mtp_step(rc_plain *p, const double *streams, uint32_t token, double *logits,
                        double *out, rc_err *err)
{
    rc_pl_mtp *m = &p->mtp;
    const size_t N = p->N, D = p->D;
    double *x, *e, *g;

    if (p->draft != RC_DRAFT_MTP)
        return rc_pl_fail_no_draft(p, "MTP block", err);
    x = rc_mem_get(p->mem, N * D * sizeof *x); /* outlives the scratch of the layer */
    if (!x)
        return rc_fail_nomem(err, p->mem, N * D * sizeof *x);

    rc_code rc;

    RC_TRY_GOTO(rc, done, rc_pl_take(p, &e, D, err));
    RC_TRY_GOTO(rc, done, rc_pl_take(p, &g, D, err));
    RC_TRY_GOTO(rc, done, rc_pl_embed(p, token, x, err));
    RC_TRY_GOTO(rc, done, rc_pl_norm(p, &m->enorm, x, g, err));
    RC_TRY_GOTO(rc, done, rc_pl_product(p, &m->e_proj, g, e, err));
    for (size_t n = 0; n < N; n++) {
        RC_TRY_GOTO(rc, done, rc_pl_norm(p, &m->hnorm, streams + n * D, g, err));
        RC_TRY_GOTO(rc, done, rc_pl_product(p, &m->h_proj, g, x + n * D, err));
        for (size_t i = 0; i < D; i++)
            x[n * D + i] += e[i];
    }
    RC_TRY_GOTO(rc, done, through(p, &p->layers[p->nlayers], x, m->pos, token, err));
    RC_TRY_GOTO(rc, done, to_logits(p, &m->output, x, logits, err));
    if (out)
        memcpy(out, x, N * D * sizeof *x);
    m->pos++;
done:
    rc_mem_put(p->mem, x);
    return rc;
}

rc_code rc_plain_mtp_step(rc_plain *p, const double *streams, uint32_t token, double *logits,
                          double *out, rc_err *err)
{
    const rc_code rc = mtp_step(p, streams, token, logits, out, err);

    rc_arena_free(&p->scratch);
    return rc;
}

const double *rc_plain_streams(const rc_plain *p)
{
    return p->streams;
}

void rc_plain_set_watch(rc_plain *p, const rc_plain_watch *watch)
{
    p->watch = watch ? *watch : (rc_plain_watch){ 0 };
}
