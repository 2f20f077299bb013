/* quantize/affine_lanes.h - Q2_K, Q4_K and Q5_K, one sub-block a lane.
 *
 * Included once for each instruction set. A row is done in batches of VEC / 2 blocks: the
 * sub-blocks of a batch are searched VEC at a time, transposed; then, with importance, its scales
 * and its mins are rounded together, one block a lane, as a scalar would need longer for that
 * than the search takes; then codes are assigned in the order of memory. Batches in which a lane
 * left the range where the vector search is exact (values below 1e-29 or so) are the reference's.
 */
#ifndef RC_QUANTIZE_AFFINE_LANES_H
#define RC_QUANTIZE_AFFINE_LANES_H

#include "kernels/f16.h"
#include "kernels/rounding.h"
#include "quantize/affine_blocks.h"
#include "quantize/kquants.h"
#include "quantize/search_lanes.h"

#if VEC > 1 /* without vectors there is the reference */

#define BATCH      (VEC / 2)
#define BATCH_SUBS (BATCH * RC_AFFINE_SUBS)

typedef struct affine_batch {
    const rc_affine_kind *kind;
    const float *x, *importance;
    unsigned blocks, subs; /* subs: of one block */
    /* by sub-block; the scales of the whole batch, then its mins. */
    float found[2 * BATCH_SUBS], weight[2 * BATCH_SUBS];
    float inverse[BATCH_SUBS], base[BATCH_SUBS]; /* where the search's codes are from */
    float spread[BATCH_SUBS];                    /* of the block */
    bool odd;
    rc_affine_scales rounded[BATCH];
} affine_batch;

/* Group g of w becomes its weights; with importance it comes in as that. */
VEC_INLINE void affine_weigh(const affine_batch *b, vec (*w)[GROUPS], vec (*x)[GROUPS], unsigned g,
                             unsigned first, unsigned sub)
{
    if (b->importance) {
        const vec spread = vec_load(b->spread + first);
        for (unsigned i = 0; i < sub; i++)
            w[i][g] = w[i][g] * vec_sqrt(spread + x[i][g] * x[i][g]);
    } else {
        vec level = vec_of(0);
        if (b->kind->level) {
            for (unsigned i = 0; i < sub; i++)
                level += x[i][g] * x[i][g];
            level = vec_sqrt(level / vec_of((float)sub));
        }
        for (unsigned i = 0; i < sub; i++)
            w[i][g] = level + vec_abs(x[i][g]);
    }
}

VEC_INLINE void affine_search(affine_batch *b, unsigned first, unsigned sub)
{
    const rc_affine_kind *kind = b->kind;
    const unsigned all = b->blocks * b->subs;
    vec x[RC_SEARCH_MAX][GROUPS], w[RC_SEARCH_MAX][GROUPS];
    lanes_affine found;

    for (unsigned g = 0; g < GROUPS; g++) {
        const unsigned from = first + g * VEC, left = from < all ? all - from : 0;
        const unsigned at = left ? from * sub : 0;
        lanes_load(&x[0][g], b->x + at, sub, left);
        if (b->importance)
            lanes_load(&w[0][g], b->importance + at, sub, left);
        affine_weigh(b, w, x, g, from, sub);
    }
    lanes_search_affine(&found, x, w, sub, kind->top,
                        b->importance ? &kind->weighted : &kind->plain);
    b->odd |= vec_any(found.odd);
    for (unsigned g = 0; g < GROUPS; g++, first += VEC) {
        vec_store(b->found + first, found.scale[g]);
        vec_store(b->found + BATCH * b->subs + first, found.min[g]);
        vec_store(b->inverse + first, found.inverse[g]);
        vec_store(b->base + first, found.base[g]);
        vec_store(b->weight + first, found.sum_w[g]);
        vec_store(b->weight + BATCH * b->subs + first, found.sum_w[g]);
    }
}

/* With importance: lanes 0 .. BATCH-1 are the scales of a block, the others its mins. */
static void affine_round_batch(affine_batch *b)
{
    vec x[RC_AFFINE_SUBS], w[RC_AFFINE_SUBS];
    lanes_codes codes;
    float d[VEC], q[RC_AFFINE_SUBS][VEC];

    vec_load_rows(x, b->found, b->subs, b->subs);
    vec_load_rows(w, b->weight, b->subs, b->subs);
    vec_store(d, lanes_search_positive(&codes, x, w, b->subs, b->kind->top_scale));
    for (unsigned j = 0; j < b->subs; j++)
        vec_store(q[j], codes.l[j]);
    for (unsigned k = 0; k < b->blocks; k++) {
        rc_affine_scales *s = &b->rounded[k];
        s->d = rc_f16_encode(d[k]);
        s->dmin = rc_f16_encode(d[BATCH + k]);
        for (unsigned j = 0; j < b->subs; j++) {
            s->scale[j] = (uint8_t)q[j][k];
            s->min[j] = (uint8_t)q[j][BATCH + k];
        }
    }
}

VEC_INLINE void affine_assign(const affine_batch *b, unsigned block, uint8_t *q, unsigned sub)
{
    const rc_affine_scales *s = &b->rounded[block];
    const float d = rc_f16_decode(s->d), dmin = rc_f16_decode(s->dmin);
    const veci low = veci_of(0), high = veci_of(b->kind->top);
    const float *x = b->x + block * RC_BLOCK_SUPER;

    for (unsigned j = 0; j < b->subs; j++) {
        const float scale = d * (float)s->scale[j], min = dmin * (float)s->min[j];
        const vec inverse = vec_of(b->inverse[block * b->subs + j]);
        const vec base = vec_of(b->base[block * b->subs + j]);
        for (unsigned i = 0; i < sub; i += VEC, x += VEC, q += VEC) {
            const vec fit = (vec_load(x) + vec_of(min)) / vec_of(scale);
            const vec found = inverse * (vec_load(x) - base);
            veci_store_bytes(q, veci_clamp(lanes_round(scale != 0 ? fit : found), low, high));
        }
    }
}

VEC_INLINE void affine_run(affine_batch *b, uint8_t *restrict out, unsigned sub)
{
    uint8_t q[RC_BLOCK_SUPER];

    b->odd = false;
    if (b->importance)
        rc_kquant_spreads(b->spread, b->x, b->blocks, b->subs, b->kind->spread);
    for (unsigned first = 0; first < b->blocks * b->subs; first += GROUPS * VEC)
        affine_search(b, first, sub);
    if (b->odd) {
        rc_affine_row_ref(b->kind, out, b->x, b->importance, b->blocks * RC_BLOCK_SUPER);
        return;
    }
    if (b->importance)
        affine_round_batch(b);
    for (unsigned k = 0; k < b->blocks; k++) {
        if (!b->importance)
            rc_affine_round(b->kind, &b->rounded[k], b->found + k * b->subs,
                            b->found + (BATCH + k) * b->subs);
        affine_assign(b, k, q, sub);
        b->kind->pack(out + k * b->kind->block_bytes, &b->rounded[k], q);
    }
}

VEC_INLINE void affine_row(const rc_affine_kind *kind, uint8_t *restrict out,
                           const float *restrict x, const float *restrict importance, size_t n,
                           unsigned sub)
{
    const rc_rounding saved = rc_rounding_enter();
    affine_batch b = { .kind = kind, .subs = RC_BLOCK_SUPER / sub };

    for (size_t at = 0; at < n; at += b.blocks * RC_BLOCK_SUPER) {
        const size_t left = (n - at) / RC_BLOCK_SUPER;
        b.blocks = left < BATCH ? (unsigned)left : BATCH;
        b.x = x + at;
        b.importance = importance ? importance + at : NULL;
        affine_run(&b, out + at / RC_BLOCK_SUPER * kind->block_bytes, sub);
    }
    rc_rounding_leave(saved);
}

/* The loops are compiled for each length of a sub-block; kinds of one length share them. */
static void affine_row_16(const rc_affine_kind *kind, uint8_t *restrict out,
                          const float *restrict x, const float *restrict importance, size_t n)
{
    affine_row(kind, out, x, importance, n, 16);
}

static void affine_row_32(const rc_affine_kind *kind, uint8_t *restrict out,
                          const float *restrict x, const float *restrict importance, size_t n)
{
    affine_row(kind, out, x, importance, n, 32);
}

/* The functions of one instruction set. */
#define AFFINE_FUNCTION(type, sub, isa)                                                            \
    void rc_quant_##type##_##isa(uint8_t *restrict out, const float *restrict x,                   \
                                 const float *restrict importance, size_t n)                       \
    {                                                                                              \
        affine_row_##sub(&rc_affine_##type, out, x, importance, n);                                \
    }
#define AFFINE_FUNCTIONS(isa)                                                                      \
    AFFINE_FUNCTION(q2_k, 16, isa)                                                                 \
    AFFINE_FUNCTION(q4_k, 32, isa)                                                                 \
    AFFINE_FUNCTION(q5_k, 32, isa)

#endif
#endif
