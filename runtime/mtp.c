/* runtime/mtp.c - see mtp.h. */
#include "runtime/mtp.h"

#include "runtime/norm.h"

struct rc_mtp {
    rc_engine *e;
    const rc_bound *embed, *e_proj, *h_proj;
    float *enorm, *hnorm; /* [D] */
    float *projected;     /* [run, N * D] */
    rc_layer *layer;
    rc_head *head;
};

rc_code rc_mtp_new(rc_mtp **out, rc_engine *e, size_t run, bool head, rc_err *err)
{
    const rc_config *c = e->config;
    const size_t d = c->hidden_size, room = run * d * c->hc_mult * sizeof(float);
    const rc_block_id id = { .prefix = "mtp.0.", .layer = c->num_hidden_layers };
    rc_mtp *m = rc_mem_get(e->mem, sizeof *m);
    rc_code rc;

    *out = NULL;
    if (!m)
        return rc_fail_nomem(err, e->mem, sizeof *m);
    m->e = e;
    RC_TRY_GOTO(rc, done, rc_weights_find(e->weights, "embed.weight", &m->embed, err));
    RC_TRY_GOTO(rc, done, rc_block_find(e, &id, "e_proj.weight", &m->e_proj, err));
    RC_TRY_GOTO(rc, done, rc_block_find(e, &id, "h_proj.weight", &m->h_proj, err));
    RC_TRY_GOTO(rc, done, rc_block_small(e, &id, "enorm.weight", d, &m->enorm, err));
    RC_TRY_GOTO(rc, done, rc_block_small(e, &id, "hnorm.weight", d, &m->hnorm, err));
    RC_TRY_GOTO(rc, done, rc_layer_new(&m->layer, e, &id, run, err));
    if (head)
        RC_TRY_GOTO(rc, done, rc_head_new(&m->head, e, &id, err));
    m->projected = rc_mem_get_pages(e->mem, room);
    if (!m->projected)
        rc = rc_fail_nomem(err, e->mem, room);
done:
    if (rc != RC_OK)
        rc_mtp_free(&m);
    *out = m;
    return rc;
}

void rc_mtp_free(rc_mtp **mtp)
{
    rc_mtp *m = *mtp;

    if (!m)
        return;
    rc_mem_put(m->e->mem, m->enorm);
    rc_mem_put(m->e->mem, m->hnorm);
    rc_mem_put(m->e->mem, m->projected);
    rc_layer_free(&m->layer);
    rc_head_free(&m->head);
    rc_mem_put(m->e->mem, m);
    *mtp = NULL;
}

/* h_proj of the normed streams [n, N, D], plus e_proj of the normed embeddings [n, D]. */
static rc_code combine(rc_mtp *m, rc_flow *f, size_t t0, size_t n, rc_err *err)
{
    rc_input_rows rows = { .layer = m->e->config->num_hidden_layers,
                           .at = RC_INPUT_E_PROJ,
                           .expert = -1,
                           .pos0 = f->pos0 + t0 };
    const size_t d = m->e->config->hidden_size, streams = m->e->config->hc_mult;

    rc_norm_rows(m->e->numerics, m->e->threads, f->u, m->enorm, n, m->e->config->hidden_size,
                 m->e->config->rms_norm_eps);
    RC_TRY(rc_show_input(m->e, &rows, f->u, n, d, err));
    RC_TRY(rc_input_set(f->in, RC_LINEAR_FP8, f->u, d, n, d, err));
    RC_TRY(rc_linear(m->e, m->e_proj, 0, d, f->in, f->v, d, err));
    rc_norm_rows(m->e->numerics, m->e->threads, f->hrun, m->hnorm, n * streams,
                 m->e->config->hidden_size, m->e->config->rms_norm_eps);
    rows.at = RC_INPUT_H_PROJ;
    RC_TRY(rc_show_input(m->e, &rows, f->hrun, n * streams, d, err));
    RC_TRY(rc_input_set(f->in, RC_LINEAR_FP8, f->hrun, d, n * streams, d, err));
    RC_TRY(rc_linear(m->e, m->h_proj, 0, d, f->in, m->projected, d, err));
    for (size_t t = 0; t < n * streams; t++) {
        float *x = m->projected + t * d;

        for (size_t i = 0; i < d; i++)
            x[i] += f->v[t / streams * d + i];
        rc_round_bf16(m->e->numerics, x, d);
    }
    return RC_OK;
}

static void want_head(void *ctx)
{
    const rc_mtp *m = ctx;

    rc_head_want(m->head);
}

rc_code rc_mtp_run(rc_mtp *m, rc_flow *f, const uint32_t *token, bool logits, rc_err *err)
{
    const size_t d = m->e->config->hidden_size;

    for (size_t t0 = 0; t0 < f->tokens; t0 += f->run) {
        const size_t n = f->tokens - t0 < f->run ? f->tokens - t0 : f->run;

        RC_TRY(rc_weights_rows(m->e->weights, m->embed, token + t0, n, f->u, d, err));
        RC_TRY(rc_rows_load(f->h, t0, n, f->hrun, err));
        RC_TRY(combine(m, f, t0, n, err));
        RC_TRY(rc_rows_store(f->h, t0, n, m->projected, err));
    }
    rc_layer_forget(m->layer);
    return rc_layer_run(m->layer, f, logits ? want_head : NULL, m, err);
}

rc_head *rc_mtp_head(const rc_mtp *m)
{
    return m->head;
}
