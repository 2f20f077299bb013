/* runtime/router.c - see router.h. */
#include "runtime/router.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/exp.h"

struct rc_router {
    rc_engine *e;
    rc_block_id id;
    const rc_bound *gate; /* [E, D] */
    float *bias;          /* [E]; NULL in hash layers */
    float *score;         /* [room, E] */
    size_t room;
};

rc_code rc_router_new(rc_router **out, rc_engine *e, const rc_block_id *id, rc_err *err)
{
    rc_router *r;
    rc_code rc;

    *out = NULL;
    if (strcmp(e->config->scoring_func, "sqrtsoftplus") != 0) {
        char shown[40];

        rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "the runtime cannot run this scoring_func");
        rc_err_file(err, "config.json");
        rc_err_want(err, "sqrtsoftplus");
        rc_err_got(err, "%s",
                   rc_escape(shown, sizeof shown, e->config->scoring_func,
                             strlen(e->config->scoring_func)));
        return RC_E_UNSUPPORTED;
    }
    r = rc_mem_get(e->mem, sizeof *r);
    if (!r)
        return rc_fail_nomem(err, e->mem, sizeof *r);
    r->e = e;
    r->id = *id;
    rc = rc_block_find(e, id, "ffn.gate.weight", &r->gate, err);
    if (rc == RC_OK && !id->hash)
        rc = rc_block_small(e, id, "ffn.gate.bias", e->config->n_routed_experts, &r->bias, err);
    if (rc != RC_OK)
        rc_router_free(&r);
    *out = r;
    return rc;
}

void rc_router_free(rc_router **router)
{
    rc_router *r = *router;

    if (!r)
        return;
    rc_mem_put(r->e->mem, r->bias);
    rc_mem_put(r->e->mem, r->score);
    rc_mem_put(r->e->mem, r);
    *router = NULL;
}

void rc_router_want(const rc_router *r)
{
    rc_weights_want(r->e->weights, r->gate);
}

void rc_router_done(const rc_router *r)
{
    rc_weights_done(r->e->weights, r->gate);
}

static void sort_ascending(uint32_t *a, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const uint32_t v = a[i];
        size_t j = i;

        for (; j > 0 && a[j - 1] > v; j--)
            a[j] = a[j - 1];
        a[j] = v;
    }
}

void rc_pick_largest(const float *score, size_t n, size_t k, uint32_t *pick)
{
    for (size_t i = 0; i < k; i++) {
        size_t best = n;

        for (size_t j = 0; j < n; j++) {
            bool taken = false;

            for (size_t p = 0; p < i && !taken; p++)
                taken = pick[p] == j;
            if (!taken && (best == n || score[j] > score[best]))
                best = j;
        }
        pick[i] = (uint32_t)best;
    }
    sort_ascending(pick, k);
}

static rc_code from_table(rc_router *r, const uint32_t *id, size_t tokens, uint32_t *expert,
                          rc_err *err)
{
    const rc_config *c = r->e->config;
    char name[64];

    snprintf(name, sizeof name, "%sffn.gate.tid2eid", r->id.prefix);
    RC_TRY(rc_weights_ints(r->e->weights, name, id, tokens, c->num_experts_per_tok,
                           c->n_routed_experts, expert, err));
    for (size_t t = 0; t < tokens; t++)
        sort_ascending(expert + t * c->num_experts_per_tok, c->num_experts_per_tok);
    return RC_OK;
}

static void pick_by_score(const rc_router *r, const float *score, uint32_t *expert, float *biased)
{
    const rc_config *c = r->e->config;

    for (uint32_t i = 0; i < c->n_routed_experts; i++)
        biased[i] = score[i] + r->bias[i];
    rc_pick_largest(biased, c->n_routed_experts, c->num_experts_per_tok, expert);
}

static void weigh(const rc_config *c, const float *score, const uint32_t *expert, float *weight)
{
    const uint32_t k = c->num_experts_per_tok;
    float sum = 0;

    for (uint32_t i = 0; i < k; i++)
        sum += score[expert[i]];
    for (uint32_t i = 0; i < k; i++)
        weight[i] = score[expert[i]] / sum * (float)c->routed_scaling_factor;
}

/* One more row of scores is room for the biased ones. */
static rc_code scores_for(rc_router *r, size_t tokens, rc_err *err)
{
    const size_t nbytes = (tokens + 1) * r->e->config->n_routed_experts * sizeof *r->score;

    if (tokens <= r->room)
        return RC_OK;
    rc_mem_put(r->e->mem, r->score);
    r->room = 0;
    r->score = rc_mem_get(r->e->mem, nbytes);
    if (!r->score)
        return rc_fail_nomem(err, r->e->mem, nbytes);
    r->room = tokens;
    return RC_OK;
}

rc_code rc_router_pick(rc_router *r, rc_input *in, const float *x, const uint32_t *id,
                       size_t tokens, uint32_t *expert, float *weight, rc_err *err)
{
    const rc_config *c = r->e->config;
    const uint32_t n = c->n_routed_experts, k = c->num_experts_per_tok;

    RC_TRY(scores_for(r, tokens, err));
    RC_TRY(rc_input_set(in, RC_LINEAR_F32, x, c->hidden_size, tokens, c->hidden_size, err));
    RC_TRY(rc_linear(r->e, r->gate, 0, n, in, r->score, n, err));
    if (r->id.hash)
        RC_TRY(from_table(r, id, tokens, expert, err));
    for (size_t t = 0; t < tokens; t++) {
        float *score = r->score + t * n;

        for (uint32_t i = 0; i < n; i++)
            score[i] = sqrtf(rc_softplus_f32(score[i]));
        if (!r->id.hash)
            pick_by_score(r, score, expert + t * k, r->score + tokens * n);
        weigh(c, score, expert + t * k, weight + t * k);
    }
    return RC_OK;
}
