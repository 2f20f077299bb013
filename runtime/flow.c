/* runtime/flow.c - the tokens on their way through the layers. See layer.h. */
#include "runtime/layer.h"

static size_t mix_of(const rc_config *c)
{
    return (size_t)c->hc_mult + (size_t)c->hc_mult * c->hc_mult;
}

uint64_t rc_flow_nbytes(const rc_config *c, size_t tokens, size_t run, uint64_t *spillable)
{
    const uint64_t d = c->hidden_size, wide = d * c->hc_mult;

    *spillable = tokens * (wide + 2 * d) * sizeof(float);
    return *spillable + tokens * (mix_of(c) + 2 * c->num_experts_per_tok) * sizeof(float) +
           run * (wide + 2 * d) * sizeof(float);
}

rc_code rc_flow_new(rc_flow **out, rc_engine *e, size_t tokens, size_t run, const char *scratch,
                    rc_err *err)
{
    const rc_config *c = e->config;
    const size_t d = c->hidden_size, wide = d * c->hc_mult, k = c->num_experts_per_tok;
    rc_flow *f = rc_mem_get(e->mem, sizeof *f);
    rc_code rc;

    *out = NULL;
    if (!f)
        return rc_fail_nomem(err, e->mem, sizeof *f);
    f->e = e;
    f->tokens = tokens;
    f->run = run < tokens ? run : tokens;
    f->mix = rc_mem_get(e->mem, tokens * mix_of(c) * sizeof *f->mix);
    f->expert = rc_mem_get(e->mem, tokens * k * sizeof *f->expert);
    f->weight = rc_mem_get(e->mem, tokens * k * sizeof *f->weight);
    f->hrun = rc_mem_get_pages(e->mem, f->run * wide * sizeof *f->hrun);
    f->u = rc_mem_get_pages(e->mem, f->run * d * sizeof *f->u);
    f->v = rc_mem_get_pages(e->mem, f->run * d * sizeof *f->v);
    if (!f->mix || !f->expert || !f->weight || !f->hrun || !f->u || !f->v) {
        uint64_t spillable;

        rc = rc_fail_nomem(err, e->mem, (size_t)rc_flow_nbytes(c, tokens, run, &spillable));
        goto done;
    }
    RC_TRY_GOTO(rc, done, rc_input_new(&f->in, e, err));
    RC_TRY_GOTO(rc, done, rc_attention_work_new(&f->attention, e, err));
    RC_TRY_GOTO(rc, done, rc_rows_new(&f->h, tokens, wide, scratch, e->mem, err));
    RC_TRY_GOTO(rc, done, rc_rows_new(&f->x, tokens, d, scratch, e->mem, err));
    RC_TRY_GOTO(rc, done, rc_rows_new(&f->y, tokens, d, scratch, e->mem, err));
done:
    if (rc != RC_OK)
        rc_flow_free(&f);
    *out = f;
    return rc;
}

void rc_flow_free(rc_flow **flow)
{
    rc_flow *f = *flow;
    rc_mem *mem;

    if (!f)
        return;
    mem = f->e->mem;
    rc_input_free(&f->in);
    rc_attention_work_free(&f->attention);
    rc_rows_free(&f->h);
    rc_rows_free(&f->x);
    rc_rows_free(&f->y);
    rc_mem_put(mem, f->mix);
    rc_mem_put(mem, f->expert);
    rc_mem_put(mem, f->weight);
    rc_mem_put(mem, f->hrun);
    rc_mem_put(mem, f->u);
    rc_mem_put(mem, f->v);
    rc_mem_put(mem, f);
    *flow = NULL;
}
