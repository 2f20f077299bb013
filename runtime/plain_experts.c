/* runtime/plain_experts.c - the second sublayer: K of E experts, and one that everybody has. */
#include <math.h>

#include "runtime/plain_impl.h"

static double softplus(double v)
{
    return v > 20 ? v : log1p(exp(v)); /* 20: where the release takes them for equal */
}

static double silu(double v)
{
    return v * rc_pl_sigmoid(v);
}

/* y += w2 . (weight * silu(w1 x) * (w3 x)), with both factors held within the limit: up on both
 * sides, gate from above. */
static rc_code add_expert(rc_plain *p, rc_pl_expert *e, double weight, const double *x, double *y,
                          rc_err *err)
{
    const double limit = p->config->swiglu_limit;
    double *gate, *up, *out;

    RC_TRY(rc_pl_take(p, &gate, e->w1.rows, err));
    RC_TRY(rc_pl_take(p, &up, e->w3.rows, err));
    RC_TRY(rc_pl_take(p, &out, p->D, err));
    RC_TRY(rc_pl_product(p, &e->w1, x, gate, err));
    RC_TRY(rc_pl_product(p, &e->w3, x, up, err));
    for (size_t i = 0; i < e->w1.rows; i++) {
        if (limit > 0) {
            gate[i] = fmin(gate[i], limit);
            up[i] = fmin(fmax(up[i], -limit), limit);
        }
        gate[i] = weight * (silu(gate[i]) * up[i]);
    }
    RC_TRY(rc_pl_product(p, &e->w2, gate, out, err));
    for (size_t i = 0; i < p->D; i++)
        y[i] += out[i];
    return RC_OK;
}

/* The first layers choose by token alone: row `token` of a table [V, K]. */
static rc_code by_token(rc_plain *p, rc_pl_experts *f, uint32_t token, bool *chosen, rc_err *err)
{
    const size_t K = f->tid2eid.cols, E = p->config->n_routed_experts;
    const rc_bound *b = f->tid2eid.bound;
    int64_t *expert = rc_arena_get(&p->scratch, K * sizeof *expert);

    if (!expert)
        return rc_fail_nomem(err, p->mem, K * sizeof *expert);
    RC_TRY(rc_pl_integers(p, &f->tid2eid, token, expert, err));
    for (size_t i = 0; i < K; i++) {
        const uint64_t at = ((b->row + token) * K + i) * (b->weight->dtype == RC_DTYPE_I64 ? 8 : 4);

        if (expert[i] < 0 || (uint64_t)expert[i] >= E) {
            rc_pl_fail_at(p, &f->tid2eid, at, RC_E_DATA, err, "token %" PRIu32 " goes to no expert",
                          token);
            rc_err_want(err, "0 .. %zu", E - 1);
            rc_err_got(err, "%" PRId64, expert[i]);
            return RC_E_DATA;
        }
        if (chosen[expert[i]])
            return rc_pl_fail_at(p, &f->tid2eid, at, RC_E_DATA, err,
                                 "token %" PRIu32 " goes to expert %" PRId64 " twice", token,
                                 expert[i]);
        chosen[expert[i]] = true;
    }
    return RC_OK;
}

/* The others by score: the bias decides who is chosen, not how much it counts. */
static rc_code by_score(rc_plain *p, rc_pl_experts *f, const double *score, bool *chosen,
                        rc_err *err)
{
    const size_t E = p->config->n_routed_experts;
    double *biased;

    RC_TRY(rc_pl_take(p, &biased, E, err));
    RC_TRY(rc_pl_row(p, &f->bias, 0, biased, err));
    for (size_t e = 0; e < E; e++)
        biased[e] += score[e];
    rc_pl_top(biased, E, p->config->num_experts_per_tok, chosen);
    return RC_OK;
}

/* Experts [K], ascending, and their weights: score over the sum of those chosen, scaled. */
static rc_code route(rc_plain *p, rc_pl_experts *f, const double *x, uint32_t token,
                     uint32_t *expert, double *weight, rc_err *err)
{
    const size_t E = p->config->n_routed_experts;
    bool *chosen = rc_arena_get(&p->scratch, E);
    double *score, sum = 0;
    size_t n = 0;

    if (!chosen)
        return rc_fail_nomem(err, p->mem, E);
    RC_TRY(rc_pl_take(p, &score, E, err));
    RC_TRY(rc_pl_product(p, &f->gate, x, score, err));
    for (size_t e = 0; e < E; e++)
        score[e] = sqrt(softplus(score[e]));
    RC_TRY(f->tid2eid.bound ? by_token(p, f, token, chosen, err)
                            : by_score(p, f, score, chosen, err));
    for (size_t e = 0; e < E; e++)
        if (chosen[e]) {
            expert[n] = (uint32_t)e;
            weight[n++] = score[e];
            sum += score[e];
        }
    for (size_t i = 0; i < n; i++)
        weight[i] = weight[i] / sum * p->config->routed_scaling_factor;
    return RC_OK;
}

rc_code rc_pl_think(rc_plain *p, rc_pl_block *b, const double *x, uint64_t pos, uint32_t token,
                    double *y, rc_err *err)
{
    const size_t K = p->config->num_experts_per_tok;
    uint32_t *expert = rc_arena_get(&p->scratch, K * sizeof *expert);
    double *weight;

    if (!expert)
        return rc_fail_nomem(err, p->mem, K * sizeof *expert);
    RC_TRY(rc_pl_take(p, &weight, K, err));
    RC_TRY(route(p, &b->ffn, x, token, expert, weight, err));
    if (p->watch.experts)
        p->watch.experts(p->watch.ctx, b->layer, pos, expert, weight);
    for (size_t i = 0; i < p->D; i++)
        y[i] = 0;
    for (size_t i = 0; i < K; i++)
        RC_TRY(add_expert(p, &b->ffn.routed[expert[i]], weight[i], x, y, err));
    return add_expert(p, &b->ffn.shared, 1, x, y, err);
}
