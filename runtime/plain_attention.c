/* runtime/plain_attention.c - attention: a window of single tokens, and compressed blocks of all
 * that lies before.
 *
 * Every head sees the same vectors, and a vector is key and value at once. What a position sees:
 *
 *   r = 0    the last W tokens, itself included
 *   r = 128  these, and one vector for every complete block of 128 tokens
 *   r = 4    these, and the T blocks of 4 tokens that the indexer likes best
 *
 * A block that is complete is seen even while its tokens are still in the window. */
#include <math.h>
#include <string.h>

#include "runtime/plain_impl.h"

/* ------------------------------------------------------- queries, keys, the way out */

/* low = norm(wq_a x) [Q];  q = wq_b low, a head has length sqrt(C), the last R of it know where
 * they are. */
rc_code rc_pl_queries(rc_plain *p, rc_pl_attention *a, const double *x, uint64_t pos, double *low,
                      double *q, rc_err *err)
{
    RC_TRY(rc_pl_product(p, &a->wq_a, x, low, err));
    RC_TRY(rc_pl_norm(p, &a->q_norm, low, low, err));
    RC_TRY(rc_pl_product(p, &a->wq_b, low, q, err));
    for (double *head = q; head < q + a->wq_b.rows; head += p->C) {
        const double rms = rc_pl_rms(p, head, p->C);

        for (size_t i = 0; i < p->C; i++)
            head[i] *= rms;
        rc_pl_rope(p, a->turn, head, p->C, pos, false);
    }
    return RC_OK;
}

rc_code rc_pl_key(rc_plain *p, rc_pl_attention *a, const double *x, uint64_t pos, double *kv,
                  rc_err *err)
{
    RC_TRY(rc_pl_product(p, &a->wkv, x, kv, err));
    RC_TRY(rc_pl_norm(p, &a->kv_norm, kv, kv, err));
    rc_pl_rope(p, a->turn, kv, p->C, pos, false);
    return RC_OK;
}

/* One head: o [C] = sum of softmax(q . kv / sqrt(C)) kv. The sink takes part in the softmax as a
 * score that has no vector, so that a head can look at nothing. */
static void look_of(const rc_plain *p, const double *q, const double *const *kv, size_t n,
                    double sink, double *score, double *o)
{
    double max = -HUGE_VAL, sum;

    for (size_t j = 0; j < n; j++) {
        score[j] = 0;
        for (size_t i = 0; i < p->C; i++)
            score[j] += q[i] * kv[j][i];
        score[j] /= sqrt((double)p->C);
        max = fmax(max, score[j]);
    }
    sum = exp(sink - max);
    for (size_t j = 0; j < n; j++) {
        const double weight = exp(score[j] - max);

        sum += weight;
        for (size_t i = 0; i < p->C; i++)
            o[i] += weight * kv[j][i];
    }
    for (size_t i = 0; i < p->C; i++)
        o[i] /= sum;
}

/* y = wo_b . (wo_a's rows of group g) . (heads of group g): G groups, each to O values first. */
static rc_code way_out(rc_plain *p, rc_pl_attention *a, const double *o, double *y, rc_err *err)
{
    const size_t O = p->config->o_lora_rank, G = p->config->o_groups;
    double *low;

    RC_TRY(rc_pl_take(p, &low, G * O, err));
    for (size_t g = 0; g < G; g++)
        RC_TRY(rc_pl_product_of(p, &a->wo_a, g * O, O, o + g * a->wo_a.cols, low + g * O, err));
    return rc_pl_product(p, &a->wo_b, low, y, err);
}

/* Values were turned as keys are, to where they came from; turned back by where they are looked
 * at from, they carry the distance. */
rc_code rc_pl_look(rc_plain *p, rc_pl_attention *a, const double *q, const double *const *kv,
                   size_t n, uint64_t pos, double *y, rc_err *err)
{
    const size_t H = p->config->num_attention_heads;
    double *sink, *score, *o;

    RC_TRY(rc_pl_take(p, &sink, H, err));
    RC_TRY(rc_pl_take(p, &score, n, err));
    RC_TRY(rc_pl_take(p, &o, H * p->C, err));
    RC_TRY(rc_pl_row(p, &a->sink, 0, sink, err));
    for (size_t h = 0; h < H; h++) {
        look_of(p, q + h * p->C, kv, n, sink[h], score, o + h * p->C);
        rc_pl_rope(p, a->turn, o + h * p->C, p->C, pos, true);
    }
    return way_out(p, a, o, y, err);
}

/* -------------------------------------------------------------------- the compressor */

/* v [d] = sum over candidates of softmax(gate) * value, each channel for itself.
 *
 * With f = 1 the candidates are the r tokens of the block. With f = 2 a token has two vectors of
 * d: the first stands for it in the block after its own, the second in its own; so block b pools
 * the first halves of block b - 1 and the second halves of block b. Before block 0 is nothing. */
static void pool(const rc_pl_compressor *c, bool first_block, double *v)
{
    const size_t d = c->width, n = c->factor * c->ratio;
    const size_t from = first_block && c->factor == 2 ? c->ratio : 0;

    for (size_t i = 0; i < d; i++) {
        double max = -HUGE_VAL, sum = 0, pooled = 0;

        for (size_t t = from; t < n; t++)
            max = fmax(max, c->gate[t * c->factor * d + t / c->ratio * d + i]);
        for (size_t t = from; t < n; t++) {
            const size_t at = t * c->factor * d + t / c->ratio * d + i;
            const double weight = exp(c->gate[at] - max);

            sum += weight;
            pooled += weight * c->value[at];
        }
        v[i] = pooled / sum;
    }
}

static rc_code new_block(rc_plain *p, rc_pl_compressor *c, double **v, rc_err *err)
{
    if (c->n == c->room) {
        const size_t more = c->room ? 2 * c->room : 16, nbytes = more * c->width * sizeof(double);
        double *grown = rc_mem_grow(p->mem, c->blocks, nbytes);

        if (!grown)
            return rc_fail_nomem(err, p->mem, nbytes);
        c->blocks = grown;
        c->room = more;
    }
    *v = c->blocks + c->n * c->width;
    return RC_OK;
}

/* The token at position pos joins; when it is the last of its block, the block is done: it stands
 * where its first token stood. */
static rc_code compress(rc_plain *p, const rc_pl_attention *a, rc_pl_compressor *c, const double *x,
                        uint64_t pos, bool *done, rc_err *err)
{
    const size_t r = c->ratio, wide = c->factor * c->width;
    const size_t slot = (c->factor - 1) * r + (size_t)(pos % r);
    double *value = c->value + slot * wide, *gate = c->gate + slot * wide, *ape, *v = NULL;

    RC_TRY(rc_pl_product(p, &c->wkv, x, value, err));
    RC_TRY(rc_pl_product(p, &c->wgate, x, gate, err));
    RC_TRY(rc_pl_take(p, &ape, wide, err));
    RC_TRY(rc_pl_row(p, &c->ape, (size_t)(pos % r), ape, err));
    for (size_t i = 0; i < wide; i++)
        gate[i] += ape[i];
    *done = (pos + 1) % r == 0;
    if (!*done)
        return RC_OK;

    RC_TRY(new_block(p, c, &v, err));
    pool(c, c->n == 0, v);
    if (c->factor == 2) {
        memcpy(c->value, c->value + r * wide, r * wide * sizeof(double));
        memcpy(c->gate, c->gate + r * wide, r * wide * sizeof(double));
    }
    RC_TRY(rc_pl_norm(p, &c->norm, v, v, err));
    rc_pl_rope(p, a->turn, v, c->width, c->n * r, false);
    c->n++;
    return RC_OK;
}

/* ----------------------------------------------------------------------- the indexer */

/* score[b] = sum over J heads of relu(q_h . key_b) * weight_h. Queries come from the same low
 * vector as those of attention; keys are blocks of a compressor of its own. Both are turned by a
 * Hadamard matrix, which changes no product: it evens out what is about to be quantized, there
 * where something is quantized. */
static rc_code score_blocks(rc_plain *p, rc_pl_attention *a, const double *x, const double *low,
                            uint64_t pos, double *score, rc_err *err)
{
    const size_t J = p->config->index_n_heads, c = a->index.width;
    double *q, *weight;

    RC_TRY(rc_pl_take(p, &q, J * c, err));
    RC_TRY(rc_pl_take(p, &weight, J, err));
    RC_TRY(rc_pl_product(p, &a->index_wq_b, low, q, err));
    RC_TRY(rc_pl_product(p, &a->index_weights, x, weight, err));
    for (size_t h = 0; h < J; h++) {
        rc_pl_rope(p, a->turn, q + h * c, c, pos, false);
        rc_pl_hadamard(q + h * c, c);
        weight[h] /= sqrt((double)c) * sqrt((double)J);
    }
    for (size_t b = 0; b < a->index.n; b++)
        for (size_t h = 0; h < J; h++) {
            double dot = 0;

            for (size_t i = 0; i < c; i++)
                dot += q[h * c + i] * a->index.blocks[b * c + i];
            score[b] += fmax(dot, 0) * weight[h];
        }
    return RC_OK;
}

/* Which blocks a position sees: all of them, or those that the indexer chooses. */
static rc_code choose(rc_plain *p, rc_pl_block *b, const double *x, const double *low, uint64_t pos,
                      uint32_t **block, size_t *n, rc_err *err)
{
    rc_pl_attention *a = &b->attn;
    const size_t have = a->compressor.n;
    bool *chosen = rc_arena_get(&p->scratch, have);
    double *score;
    bool done;

    *n = 0;
    *block = rc_arena_get(&p->scratch, have * sizeof **block);
    if (!chosen || !*block)
        return rc_fail_nomem(err, p->mem, have * sizeof **block);
    memset(chosen, true, have);
    if (a->ratio == 4) {
        RC_TRY(compress(p, a, &a->index, x, pos, &done, err));
        if (done)
            rc_pl_hadamard(a->index.blocks + (a->index.n - 1) * a->index.width, a->index.width);
        RC_TRY(rc_pl_take(p, &score, have, err));
        RC_TRY(score_blocks(p, a, x, low, pos, score, err));
        rc_pl_top(score, have, p->config->index_topk, chosen);
    }
    for (size_t i = 0; i < have; i++)
        if (chosen[i])
            (*block)[(*n)++] = (uint32_t)i;
    if (a->ratio == 4 && p->watch.blocks)
        p->watch.blocks(p->watch.ctx, b->layer, pos, *block, *n);
    return RC_OK;
}

/* ------------------------------------------------------------------------ all of it */

size_t rc_pl_window(const rc_plain *p, const rc_pl_attention *a, uint64_t pos, const double **kv)
{
    const uint64_t first = pos + 1 < p->W ? 0 : pos + 1 - p->W;
    size_t n = 0;

    for (uint64_t t = first; t <= pos; t++)
        kv[n++] = a->window + (size_t)(t % p->W) * p->C;
    return n;
}

rc_code rc_pl_attend(rc_plain *p, rc_pl_block *b, const double *x, uint64_t pos, double *y,
                     rc_err *err)
{
    rc_pl_attention *a = &b->attn;
    double *low, *q;
    const double **kv;
    uint32_t *block = NULL;
    size_t n, nblocks = 0;
    bool done;

    RC_TRY(rc_pl_take(p, &low, a->wq_a.rows, err));
    RC_TRY(rc_pl_take(p, &q, a->wq_b.rows, err));
    RC_TRY(rc_pl_queries(p, a, x, pos, low, q, err));
    RC_TRY(rc_pl_key(p, a, x, pos, a->window + (size_t)(pos % p->W) * p->C, err));
    if (a->ratio) {
        RC_TRY(compress(p, a, &a->compressor, x, pos, &done, err));
        RC_TRY(choose(p, b, x, low, pos, &block, &nblocks, err));
    }
    kv = rc_arena_get(&p->scratch, (p->W + nblocks) * sizeof *kv);
    if (!kv)
        return rc_fail_nomem(err, p->mem, (p->W + nblocks) * sizeof *kv);
    n = rc_pl_window(p, a, pos, kv);
    for (size_t i = 0; i < nblocks; i++)
        kv[n++] = a->compressor.blocks + block[i] * p->C;
    return rc_pl_look(p, a, q, kv, n, pos, y, err);
}
