/* runtime/experts.c - see experts.h. */
#include "runtime/experts.h"

#include <math.h>
#include <stdio.h>

#include "kernels/exp.h"
#include "runtime/threads.h"

/* Tokens for each expert at which practically all of them are chosen: exp(-4) are not. */
#define SURE 4u

enum { W1, W3, W2, MATRICES };

typedef struct matrices {
    const rc_bound *w[MATRICES];
} matrices;

struct rc_experts {
    rc_engine *e;
    size_t run;
    uint32_t layer; /* for a watcher, as is .. */
    matrices *expert, shared;
    uint32_t depth; /* experts whose weights are asked for beyond the one at work */
    uint32_t ahead; /* experts below it were asked for before anybody chose */

    uint32_t *from; /* [E + 1]: where the tokens of each expert begin in `token` */

    /* there while it runs */
    uint64_t pos0;          /* .. the position of the first token */
    uint32_t *token;        /* ordered by expert, then token */
    float *weight;          /* theirs */
    float *x, *a, *b, *out; /* [run, D], [run, I] twice, [run, D] */
};

static rc_code find(rc_engine *e, const rc_block_id *id, const char *which, matrices *m,
                    rc_err *err)
{
    static const char *const names[MATRICES] = { "w1", "w3", "w2" };
    char name[64];

    for (unsigned i = 0; i < MATRICES; i++) {
        snprintf(name, sizeof name, "ffn.%s.%s.weight", which, names[i]);
        RC_TRY(rc_block_find(e, id, name, &m->w[i], err));
    }
    return RC_OK;
}

static rc_code find_all(rc_experts *m, const rc_block_id *id, rc_err *err)
{
    const uint32_t n = m->e->config->n_routed_experts;

    m->expert = rc_mem_get(m->e->mem, n * sizeof *m->expert);
    m->from = rc_mem_get(m->e->mem, (n + 1) * sizeof *m->from);
    if (!m->expert || !m->from)
        return rc_fail_nomem(err, m->e->mem, n * sizeof *m->expert);
    for (uint32_t i = 0; i < n; i++) {
        char which[32];

        snprintf(which, sizeof which, "experts.%u", i);
        RC_TRY(find(m->e, id, which, &m->expert[i], err));
    }
    /* half of the budget: the rest is for what comes after them */
    m->depth = (uint32_t)(rc_weights_fit(m->e->weights, m->expert[0].w[W1]) / (2 * MATRICES));
    m->depth = m->depth < 1 ? 1 : m->depth < n ? m->depth : n;
    return find(m->e, id, "shared_experts", &m->shared, err);
}

static void drop_buffers(rc_experts *m)
{
    float **const at[] = { &m->weight, &m->x, &m->a, &m->b, &m->out };

    for (unsigned k = 0; k < sizeof at / sizeof *at; k++) {
        rc_mem_put(m->e->mem, *at[k]);
        *at[k] = NULL;
    }
    rc_mem_put(m->e->mem, m->token);
    m->token = NULL;
}

/* Only for the time of a run: dozens of blocks share this memory. */
static rc_code buffers(rc_experts *m, size_t rows, rc_err *err)
{
    const size_t d = m->e->config->hidden_size, i = m->e->config->moe_intermediate_size;
    float **const at[] = { &m->x, &m->a, &m->b, &m->out };
    const size_t wide[] = { d, i, i, d };

    for (unsigned k = 0; k < 4; k++) {
        *at[k] = rc_mem_get_pages(m->e->mem, rows * wide[k] * sizeof(float));
        if (!*at[k])
            return rc_fail_nomem(err, m->e->mem, rows * wide[k] * sizeof(float));
    }
    return RC_OK;
}

rc_code rc_experts_new(rc_experts **out, rc_engine *e, const rc_block_id *id, size_t run,
                       rc_err *err)
{
    rc_experts *m = rc_mem_get(e->mem, sizeof *m);
    rc_code rc;

    *out = NULL;
    if (!m)
        return rc_fail_nomem(err, e->mem, sizeof *m);
    m->e = e;
    m->run = run;
    m->layer = id->layer;
    rc = find_all(m, id, err);
    if (rc != RC_OK)
        rc_experts_free(&m);
    *out = m;
    return rc;
}

void rc_experts_free(rc_experts **experts)
{
    rc_experts *m = *experts;

    if (!m)
        return;
    rc_mem_put(m->e->mem, m->expert);
    rc_mem_put(m->e->mem, m->from);
    rc_mem_put(m->e->mem, m);
    *experts = NULL;
}

static void want(const rc_experts *m, const matrices *w)
{
    for (unsigned i = 0; i < MATRICES; i++)
        rc_weights_want(m->e->weights, w->w[i]);
}

static void done(const rc_experts *m, const matrices *w)
{
    for (unsigned i = 0; i < MATRICES; i++)
        rc_weights_done(m->e->weights, w->w[i]);
}

void rc_experts_want(rc_experts *m, size_t tokens)
{
    const rc_config *c = m->e->config;

    if (tokens * c->num_experts_per_tok / c->n_routed_experts >= SURE) {
        m->ahead = m->depth;
        for (uint32_t i = 0; i < m->ahead; i++)
            want(m, &m->expert[i]);
    }
}

void rc_experts_done(rc_experts *m)
{
    for (uint32_t i = 0; i < m->ahead; i++)
        done(m, &m->expert[i]);
    m->ahead = 0;
}

/* Tokens by expert: a counting sort. */
static rc_code sort_tokens(rc_experts *m, const uint32_t *expert, const float *weight,
                           size_t tokens, rc_err *err)
{
    const uint32_t n = m->e->config->n_routed_experts, k = m->e->config->num_experts_per_tok;
    const size_t all = tokens * k;

    m->token = rc_mem_get(m->e->mem, all * sizeof *m->token);
    m->weight = rc_mem_get(m->e->mem, all * sizeof *m->weight);
    if (!m->token || !m->weight)
        return rc_fail_nomem(err, m->e->mem, all * sizeof *m->token);
    for (uint32_t i = 0; i <= n; i++)
        m->from[i] = 0;
    for (size_t i = 0; i < all; i++)
        m->from[expert[i] + 1]++;
    for (uint32_t i = 0; i < n; i++)
        m->from[i + 1] += m->from[i];
    for (size_t i = 0; i < all; i++) { /* from[e] moves to the end of e, then back */
        const uint32_t at = m->from[expert[i]]++;

        m->token[at] = (uint32_t)(i / k);
        m->weight[at] = weight[i];
    }
    for (uint32_t i = n; i > 0; i--)
        m->from[i] = m->from[i - 1];
    m->from[0] = 0;
    return RC_OK;
}

/* out[n, D] = the expert on x[n, D]; weight NULL: 1. `rows`: for a watcher. */
static rc_code run_expert(rc_experts *m, rc_input *in, const matrices *w, const float *weight,
                          size_t n, rc_input_rows rows, rc_err *err)
{
    const rc_config *c = m->e->config;
    const size_t d = c->hidden_size, wide = c->moe_intermediate_size;
    const float limit = c->swiglu_limit > 0 ? (float)c->swiglu_limit : INFINITY;

    if (rows.at == RC_INPUT_EXPERT) /* the shared one reads what everybody has seen already */
        RC_TRY(rc_show_input(m->e, &rows, m->x, n, d, err));
    RC_TRY(rc_input_set(in, RC_LINEAR_FP8, m->x, d, n, d, err));
    RC_TRY(rc_linear(m->e, w->w[W1], 0, wide, in, m->a, wide, err));
    RC_TRY(rc_linear(m->e, w->w[W3], 0, wide, in, m->b, wide, err));
    RC_PARALLEL(rc_threads_for(m->e->threads, n), for schedule(static))
    for (size_t t = 0; t < n; t++) {
        float *a = m->a + t * wide;

        rc_swiglu_best()(a, a, m->b + t * wide, wide, limit, weight ? weight[t] : 1);
        rc_round_bf16(m->e->numerics, a, wide);
    }
    rows.at = rows.at == RC_INPUT_EXPERT ? RC_INPUT_DOWN : rows.at;
    RC_TRY(rc_show_input(m->e, &rows, m->a, n, wide, err));
    RC_TRY(rc_input_set(in, RC_LINEAR_FP8, m->a, wide, n, wide, err));
    return rc_linear(m->e, w->w[W2], 0, d, in, m->out, d, err);
}

/* The next expert that somebody chose, from i on. */
static uint32_t next_used(const rc_experts *m, uint32_t i)
{
    while (i < m->e->config->n_routed_experts && m->from[i] == m->from[i + 1])
        i++;
    return i;
}

static rc_code routed(rc_experts *m, rc_input *in, rc_rows *x, rc_rows *y, rc_err *err)
{
    const uint32_t n = m->e->config->n_routed_experts;
    rc_input_rows rows = { .layer = m->layer, .at = RC_INPUT_EXPERT, .pos0 = m->pos0 };
    uint32_t wanted = next_used(m, 0);

    for (uint32_t i = 0; i < m->ahead; i++)
        if (m->from[i] == m->from[i + 1])
            done(m, &m->expert[i]);
    m->ahead = 0;
    for (uint32_t k = 0; k < m->depth && wanted < n; k++, wanted = next_used(m, wanted + 1))
        want(m, &m->expert[wanted]);
    for (uint32_t i = next_used(m, 0); i < n; i = next_used(m, i + 1)) {
        if (wanted < n) {
            want(m, &m->expert[wanted]);
            wanted = next_used(m, wanted + 1);
        }
        rows.expert = (int32_t)i;
        for (uint32_t at = m->from[i]; at < m->from[i + 1];) {
            const uint32_t left = m->from[i + 1] - at;
            const size_t now = left < m->run ? left : m->run;

            RC_TRY(rc_rows_gather(x, m->token + at, now, m->x, err));
            rows.token = m->token + at;
            RC_TRY(run_expert(m, in, &m->expert[i], m->weight + at, now, rows, err));
            RC_TRY(rc_rows_add(y, m->token + at, now, m->out, err));
            at += (uint32_t)now;
        }
        done(m, &m->expert[i]);
    }
    return RC_OK;
}

static rc_code shared(rc_experts *m, rc_input *in, rc_rows *x, rc_rows *y, size_t tokens,
                      rc_err *err)
{
    rc_input_rows rows = { .layer = m->layer, .at = RC_INPUT_SHARED_DOWN, .expert = -1 };
    const size_t d = m->e->config->hidden_size;

    for (size_t t0 = 0; t0 < tokens; t0 += m->run) {
        const size_t n = tokens - t0 < m->run ? tokens - t0 : m->run;

        RC_TRY(rc_rows_load(x, t0, n, m->x, err));
        rows.pos0 = m->pos0 + t0;
        RC_TRY(run_expert(m, in, &m->shared, NULL, n, rows, err));
        RC_TRY(rc_rows_load(y, t0, n, m->x, err));
        for (size_t i = 0; i < n * d; i++)
            m->x[i] += m->out[i];
        rc_round_bf16(m->e->numerics, m->x, n * d);
        RC_TRY(rc_rows_store(y, t0, n, m->x, err));
    }
    return RC_OK;
}

rc_code rc_experts_run(rc_experts *m, rc_input *in, rc_rows *x, const uint32_t *expert,
                       const float *weight, uint64_t pos0, size_t tokens, rc_rows *y, rc_err *err)
{
    rc_code rc;

    m->pos0 = pos0;
    RC_TRY(rc_rows_clear(y, err));
    rc = sort_tokens(m, expert, weight, tokens, err);
    if (rc == RC_OK)
        rc = buffers(m, tokens < m->run ? tokens : m->run, err);
    if (rc == RC_OK)
        rc = routed(m, in, x, y, err);
    if (rc == RC_OK) {
        want(m, &m->shared);
        rc = shared(m, in, x, y, tokens, err);
    }
    done(m, &m->shared);
    drop_buffers(m);
    return rc;
}
