/* quantize/best_lanes.h - the rounds of best.h, one sub-block a lane.
 *
 * Included once for each instruction set, and once without. */
#ifndef RC_QUANTIZE_BEST_LANES_H
#define RC_QUANTIZE_BEST_LANES_H

#include "kernels/f16.h"
#include "kernels/rounding.h"
#include "quantize/best.h"
#include "quantize/search_lanes.h"

#define ROUNDS     3u
#define BATCH      4u /* blocks: whole pairs of groups for all types */
#define BATCH_SUBS (BATCH * RC_AFFINE_SUBS)
#define PAIR       (GROUPS * VEC)

typedef struct best_batch {
    const rc_best_kind *kind;
    const float *x, *importance;
    unsigned blocks, subs; /* subs: of one block */
    /* the values and weights of all sub-blocks, transposed */
    vec xs[BATCH * RC_BLOCK_SUPER / PAIR][GROUPS], ws[BATCH * RC_BLOCK_SUPER / PAIR][GROUPS];
    /* by sub-block: d and dmin of its block, its integers, its error */
    float d[BATCH_SUBS], dmin[BATCH_SUBS], scale[BATCH_SUBS], min[BATCH_SUBS], error[BATCH_SUBS];
    /* sums of w, w x, w q, w q^2 and w x q; q is q - centre */
    float w1[BATCH_SUBS], wx[BATCH_SUBS], wq[BATCH_SUBS], wqq[BATCH_SUBS], wxq[BATCH_SUBS];
    bool odd;
    rc_best_state now[BATCH], best[BATCH];
    double least[BATCH];
} best_batch;

VEC_INLINE void best_load(best_batch *b, unsigned sub)
{
    const unsigned all = b->blocks * b->subs;

    for (unsigned first = 0; first < BATCH * b->subs; first += VEC) {
        const unsigned left = first < all ? all - first : 0, at = left ? first * sub : 0;
        vec *x = &b->xs[first / PAIR * sub][first / VEC % GROUPS];
        vec *w = &b->ws[first / PAIR * sub][first / VEC % GROUPS];
        lanes_load(x, b->x + at, sub, left);
        if (b->importance)
            lanes_load(w, b->importance + at, sub, left);
        for (unsigned i = 0; !b->importance && i < sub; i++)
            w[GROUPS * i] = vec_of(1);
    }
}

/* What each sub-block alone would like. */
VEC_INLINE void best_search(best_batch *b, unsigned sub)
{
    const rc_best_kind *kind = b->kind;
    vec x[RC_SEARCH_MAX];
    lanes_affine found = { .odd = vec_less(vec_of(0), vec_of(0)) };

    for (unsigned first = 0; first < b->blocks * b->subs; first += PAIR) {
        const unsigned row = first / PAIR * sub;
        if (!kind->centre) {
            lanes_search_affine(&found, b->xs + row, b->ws + row, sub, kind->top, &kind->steps);
            b->odd |= vec_any(found.odd);
        }
        for (unsigned g = 0; g < GROUPS; g++) {
            if (kind->centre) { /* the extreme has the lowest code */
                for (unsigned i = 0; i < sub; i++)
                    x[i] = b->xs[row + i][g];
                found.scale[g] = lanes_extreme(x, sub) / vec_of((float)-kind->centre);
                found.min[g] = vec_of(0);
            }
            vec_store(b->scale + first + g * VEC, found.scale[g]);
            vec_store(b->min + first + g * VEC, found.min[g]);
        }
    }
}

/* x is about scale * q - min: the nearest code. */
VEC_INLINE vec best_code(vec x, vec inverse, vec min, vec top)
{
    return lanes_round_small((x + min) * inverse, vec_of(0), top);
}

VEC_INLINE vec best_inverse(vec scale)
{
    return vec_pick(vec_equal(scale, vec_of(0)), vec_of(0), vec_of(1) / scale);
}

/* min, or what stands for it where codes are centred */
VEC_INLINE vec best_min(const best_batch *b, vec scale, vec min)
{
    const vec centred = scale * vec_of((float)b->kind->centre);

    return b->kind->centre ? centred : min;
}

VEC_INLINE void best_error(const best_batch *b, unsigned row, unsigned sub, const vec scale[GROUPS],
                           const vec min[GROUPS], vec error[GROUPS])
{
    const vec top = vec_of((float)b->kind->top);
    vec inverse[GROUPS], sum[GROUPS];

    EACH_GROUP
    {
        inverse[g] = best_inverse(scale[g]);
        sum[g] = vec_of(0);
    }
    for (unsigned i = row; i < row + sub; i++)
        EACH_GROUP
        {
            const vec x = b->xs[i][g], q = best_code(x, inverse[g], min[g], top);
            const vec off = scale[g] * q - min[g] - x;
            sum[g] += b->ws[i][g] * off * off;
        }
    EACH_GROUP error[g] = sum[g];
}

VEC_INLINE void best_moments(best_batch *b, unsigned first, unsigned row, unsigned sub)
{
    const vec top = vec_of((float)b->kind->top), zero = vec_of(0);
    const vec centre = vec_of((float)b->kind->centre);

    for (unsigned g = 0; g < GROUPS; g++, first += VEC) {
        const vec scale = vec_load(b->d + first) * vec_load(b->scale + first);
        const vec min = best_min(b, scale, vec_load(b->dmin + first) * vec_load(b->min + first));
        const vec inverse = best_inverse(scale);
        vec w1 = zero, wx = zero, wq = zero, wqq = zero, wxq = zero;
        for (unsigned i = row; i < row + sub; i++) {
            const vec x = b->xs[i][g], w = b->ws[i][g];
            const vec q = best_code(x, inverse, min, top) - centre;
            w1 += w;
            wx += w * x;
            wq += w * q;
            wqq += w * q * q;
            wxq += w * q * x;
        }
        vec_store(b->w1 + first, w1);
        vec_store(b->wx + first, wx);
        vec_store(b->wq + first, wq);
        vec_store(b->wqq + first, wqq);
        vec_store(b->wxq + first, wxq);
    }
}

typedef struct best_choice {
    vec scale[GROUPS], min[GROUPS], least[GROUPS];
} best_choice;

VEC_INLINE void best_try(const best_batch *b, best_choice *best, unsigned first, unsigned sub,
                         float sign, float by_scale, float by_min)
{
    const vec low = vec_of((float)b->kind->low_scale), high = vec_of((float)b->kind->high_scale);
    vec s[GROUPS], m[GROUPS], scale[GROUPS], min[GROUPS], error[GROUPS];

    EACH_GROUP
    {
        s[g] = vec_load(b->scale + first + g * VEC) * vec_of(sign) + vec_of(by_scale);
        m[g] = vec_load(b->min + first + g * VEC) + vec_of(by_min);
        s[g] = vec_min(vec_max(s[g], low), high);
        m[g] = vec_min(vec_max(m[g], vec_of(0)), high);
        scale[g] = vec_load(b->d + first + g * VEC) * s[g];
        min[g] = best_min(b, scale[g], vec_load(b->dmin + first + g * VEC) * m[g]);
    }
    best_error(b, first / PAIR * sub, sub, scale, min, error);
    EACH_GROUP
    {
        const vecm better = vec_less(error[g], best->least[g]);
        best->least[g] = vec_pick(better, error[g], best->least[g]);
        best->scale[g] = vec_pick(better, s[g], best->scale[g]);
        best->min[g] = vec_pick(better, m[g], best->min[g]);
    }
}

/* Each sub-block to its best integers within reach of those it has. */
VEC_INLINE void best_integers(best_batch *b, unsigned sub, int reach_scale, int reach_min)
{
    for (unsigned first = 0; first < b->blocks * b->subs; first += PAIR) {
        best_choice best;
        EACH_GROUP
        {
            best.scale[g] = vec_load(b->scale + first + g * VEC);
            best.min[g] = vec_load(b->min + first + g * VEC);
            best.least[g] = vec_of(INFINITY);
        }
        for (int s = -reach_scale; s <= reach_scale; s++)
            for (int m = -reach_min; m <= reach_min; m++)
                best_try(b, &best, first, sub, 1, (float)s, (float)m);
        /* minus the scale: the other side has the code that has no twin */
        for (int s = -reach_scale; b->kind->centre && s <= reach_scale; s++)
            best_try(b, &best, first, sub, -1, (float)s, 0);
        EACH_GROUP
        {
            vec_store(b->scale + first + g * VEC, best.scale[g]);
            vec_store(b->min + first + g * VEC, best.min[g]);
            vec_store(b->error + first + g * VEC, best.least[g]);
        }
        best_moments(b, first, first / PAIR * sub, sub);
    }
}

/* A block's state to its sub-blocks, and back. */
static void best_scatter(best_batch *b, unsigned block)
{
    const rc_best_state *s = &b->now[block];

    for (unsigned i = 0, j = block * b->subs; i < b->subs; i++, j++) {
        b->d[j] = rc_f16_decode(s->d);
        b->dmin[j] = rc_f16_decode(s->dmin);
        b->scale[j] = (float)s->scale[i];
        b->min[j] = (float)s->min[i];
    }
}

/* Keep the best state of the block, and move its d and dmin. */
static void best_gather(best_batch *b, unsigned block)
{
    rc_best_state *s = &b->now[block];
    rc_best_sums sums = { 0 };
    double error = 0;

    for (unsigned i = 0, j = block * b->subs; i < b->subs; i++, j++) {
        const double scale = (double)b->scale[j], min = (double)b->min[j];
        s->scale[i] = (int16_t)b->scale[j];
        s->min[i] = (int16_t)b->min[j];
        error += (double)b->error[j];
        sums.aa += scale * scale * (double)b->wqq[j];
        sums.ab += scale * min * (double)b->wq[j];
        sums.bb += min * min * (double)b->w1[j];
        sums.xa += scale * (double)b->wxq[j];
        sums.xb += min * (double)b->wx[j];
    }
    if (error < b->least[block]) {
        b->least[block] = error;
        b->best[block] = *s;
    }
    rc_best_refit(s, &sums);
}

VEC_INLINE void best_finish(const best_batch *b, unsigned block, uint8_t *restrict out,
                            unsigned sub)
{
    const rc_best_state *s = &b->best[block];
    const float *x = b->x + block * RC_BLOCK_SUPER;
    uint8_t q[RC_BLOCK_SUPER];

    if (b->odd || !(b->least[block] < (double)INFINITY)) {
        b->kind->reference(out, x, b->importance ? b->importance + block * RC_BLOCK_SUPER : NULL,
                           RC_BLOCK_SUPER);
        return;
    }
    for (unsigned j = 0; j < b->subs; j++) {
        const vec scale = vec_of(rc_f16_decode(s->d) * (float)s->scale[j]);
        const vec min = best_min(b, scale, vec_of(rc_f16_decode(s->dmin) * (float)s->min[j]));
        for (unsigned i = j * sub; i < (j + 1) * sub; i += VEC) {
            const vec top = vec_of((float)b->kind->top);
            const vec l = best_code(vec_load(x + i), best_inverse(scale), min, top);
            veci_store_bytes(q + i, lanes_round(l));
        }
    }
    b->kind->pack(out, s->d, s->dmin, s->scale, s->min, q);
}

VEC_INLINE void best_run(best_batch *b, uint8_t *restrict out, unsigned sub)
{
    const rc_best_kind *kind = b->kind;

    unsigned exact = 0, rounds = ROUNDS;

    b->odd = false;
    best_load(b, sub);
    while (exact < b->blocks && rc_best_exact(kind, &b->now[exact], b->x + exact * RC_BLOCK_SUPER))
        exact++;
    if (exact == b->blocks)
        rounds = 1;
    else
        best_search(b, sub);
    for (unsigned k = 0; k < b->blocks; k++) {
        b->least[k] = (double)INFINITY;
        if (exact < b->blocks)
            rc_best_start(kind, &b->now[k], b->x + k * RC_BLOCK_SUPER, b->scale + k * b->subs,
                          b->min + k * b->subs);
    }
    for (unsigned round = 0; round < rounds && !b->odd; round++) {
        for (unsigned k = 0; k < b->blocks; k++)
            best_scatter(b, k);
        if (exact == b->blocks)
            best_integers(b, sub, 0, 0);
        else if (round == 0)
            best_integers(b, sub, kind->reach_scale, kind->reach_min);
        else
            best_integers(b, sub, 1, kind->centre ? 0 : 1);
        for (unsigned k = 0; k < b->blocks; k++)
            best_gather(b, k);
    }
    for (unsigned k = 0; k < b->blocks; k++)
        best_finish(b, k, out + k * kind->block_bytes, sub);
}

VEC_INLINE void best_row(const rc_best_kind *kind, uint8_t *restrict out, const float *restrict x,
                         const float *restrict importance, size_t n, unsigned sub)
{
    const rc_rounding saved = rc_rounding_enter();
    best_batch b;

    memset(&b, 0, sizeof b);
    b.kind = kind;
    b.subs = RC_BLOCK_SUPER / sub;
    for (size_t at = 0; at < n; at += b.blocks * RC_BLOCK_SUPER) {
        const size_t left = (n - at) / RC_BLOCK_SUPER;
        b.blocks = left < BATCH ? (unsigned)left : BATCH;
        b.x = x + at;
        b.importance = importance ? importance + at : NULL;
        best_run(&b, out + at / RC_BLOCK_SUPER * kind->block_bytes, sub);
    }
    rc_rounding_leave(saved);
}

static void best_row_16(const rc_best_kind *kind, uint8_t *restrict out, const float *restrict x,
                        const float *restrict importance, size_t n)
{
    best_row(kind, out, x, importance, n, 16);
}

static void best_row_32(const rc_best_kind *kind, uint8_t *restrict out, const float *restrict x,
                        const float *restrict importance, size_t n)
{
    best_row(kind, out, x, importance, n, 32);
}

/* The functions of one instruction set. */
#define BEST_FUNCTION(type, sub, isa)                                                              \
    void rc_best_##type##_##isa(uint8_t *restrict out, const float *restrict x,                    \
                                const float *restrict importance, size_t n)                        \
    {                                                                                              \
        best_row_##sub(&rc_best_##type, out, x, importance, n);                                    \
    }
#define BEST_FUNCTIONS(isa)                                                                        \
    BEST_FUNCTION(q2_k, 16, isa)                                                                   \
    BEST_FUNCTION(q3_k, 16, isa)                                                                   \
    BEST_FUNCTION(q4_k, 32, isa)                                                                   \
    BEST_FUNCTION(q5_k, 32, isa)                                                                   \
    BEST_FUNCTION(q6_k, 16, isa)

#endif
