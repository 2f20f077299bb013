/* quantize/signed_lanes.h - Q3_K and Q6_K, one sub-block a lane.
 *
 * Included once for each instruction set. A row is done in batches of VEC blocks: sub-blocks
 * are searched VEC at a time, transposed; with importance the scales of Q3_K are searched in
 * turn, one block a lane; then codes are assigned in the order of memory. */
#ifndef RC_QUANTIZE_SIGNED_LANES_H
#define RC_QUANTIZE_SIGNED_LANES_H

#include "kernels/f16.h"
#include "kernels/rounding.h"
#include "quantize/kquants.h"
#include "quantize/search_lanes.h"
#include "quantize/signed_blocks.h"

#define SUB        RC_SIGNED_SUB
#define BATCH      VEC
#define BATCH_SUBS (BATCH * SUB)

typedef struct signed_batch {
    const float *x, *importance;
    unsigned blocks;
    /* by sub-block of the batch; beyond the batch's end, anything */
    float found[BATCH_SUBS], weight[BATCH_SUBS], spread[BATCH_SUBS];
    float inverse[BATCH_SUBS]; /* the search's codes are round(inverse * x); 0: all 0 */
    uint8_t scale[BATCH][SUB];
    uint16_t d[BATCH];
} signed_batch;

/* Codes of one sub-block, under its scale or, when that is 0, as the search had them. */
VEC_INLINE void signed_assign(uint8_t *q, const float *x, float scale, float inverse, int top)
{
    const veci low = veci_of(-top), high = veci_of(top - 1), offset = veci_of(top);

    if (scale == 0 && inverse == 0) {
        memset(q, 0, SUB);
        return;
    }
    for (unsigned i = 0; i < SUB; i += VEC) {
        const vec fit = vec_load(x + i) / vec_of(scale), found = vec_of(inverse) * vec_load(x + i);
        const veci l = veci_clamp(lanes_round(scale != 0 ? fit : found), low, high);
        veci_store_bytes(q + i, veci_add(l, offset));
    }
}

/* Weights of VEC sub-blocks from importance and x, for Q3_K. */
VEC_INLINE void signed_weigh(signed_batch *b, unsigned first, const vec x[SUB], vec w[SUB])
{
    const vec spread = vec_load(b->spread + first);
    vec sum = vec_of(0);

    vec_load_rows(w, b->importance + SUB * first, SUB, SUB);
    for (unsigned i = 0; i < SUB; i++) {
        w[i] = w[i] * vec_sqrt(spread + x[i] * x[i]);
        sum += w[i];
    }
    vec_store(b->weight + first, sum);
}

/* Sub-blocks whose codes move, gathered from the batch until they fill some vectors. */
#define RESTLESS (DESCENTS * VEC)

typedef struct restless {
    unsigned n, sub[RESTLESS];
    float x[RESTLESS][SUB];
} restless;

static void q3_k_descend(signed_batch *b, restless *r)
{
    vec x[DESCENTS][RC_SEARCH_MAX], found[DESCENTS];
    float scale[RESTLESS];

    for (unsigned d = 0; d < DESCENTS; d++)
        vec_load_rows(x[d], r->x[d * VEC], SUB, SUB);
    lanes_search_signed_descent(found, x, SUB, RC_Q3_K_TOP);
    for (unsigned d = 0; d < DESCENTS; d++)
        vec_store(scale + d * VEC, found[d]);
    for (unsigned k = 0; k < r->n; k++)
        b->found[r->sub[k]] = scale[k];
    r->n = 0;
}

static void q3_k_search_plain(signed_batch *b)
{
    restless r = { 0 };
    vec x[SUB];
    vecm moving;

    for (unsigned first = 0; first < b->blocks * SUB; first += VEC) {
        vec_load_rows(x, b->x + SUB * first, SUB, SUB);
        vec_store(b->found + first, lanes_signed_at_rest(x, SUB, RC_Q3_K_TOP, &moving));
        for (unsigned lanes = vec_lanes(moving); lanes; lanes &= lanes - 1) {
            r.sub[r.n] = first + (unsigned)__builtin_ctz(lanes);
            memcpy(r.x[r.n], b->x + SUB * r.sub[r.n], sizeof r.x[0]);
            if (++r.n == RESTLESS)
                q3_k_descend(b, &r);
        }
    }
    if (r.n)
        q3_k_descend(b, &r);
}

static void q3_k_search_weighted(signed_batch *b)
{
    vec x[SUB], w[SUB];

    for (unsigned first = 0; first < b->blocks * SUB; first += VEC) {
        vec_load_rows(x, b->x + SUB * first, SUB, SUB);
        signed_weigh(b, first, x, w);
        const lanes_signed found = lanes_search_signed(x, w, SUB, RC_Q3_K_TOP);
        vec_store(b->found + first, found.scale);
        vec_store(b->inverse + first, found.inverse);
    }
}

/* With importance: one block a lane. Huge weights may have given scales that are no numbers. */
static void q3_k_round_batch(signed_batch *b)
{
    vec x[SUB], w[SUB];
    float d[VEC], inverse[VEC];

    vec_load_rows(x, b->found, SUB, SUB);
    vec_load_rows(w, b->weight, SUB, SUB);
    const lanes_signed found = lanes_search_signed_any(x, w, SUB, RC_Q3_K_SCALES, false);
    vec_store(d, found.scale);
    vec_store(inverse, found.inverse);
    for (unsigned k = 0; k < b->blocks; k++) {
        signed_assign(b->scale[k], b->found + k * SUB, 0, inverse[k], RC_Q3_K_SCALES);
        b->d[k] = rc_f16_encode(d[k]);
    }
}

static void q3_k_finish(const signed_batch *b, unsigned block, rc_block_q3_k *restrict out)
{
    const float *x = b->x + block * RC_BLOCK_SUPER, d = rc_f16_decode(b->d[block]);
    uint8_t q[RC_BLOCK_SUPER];

    for (unsigned j = 0; j < SUB; j++) {
        const float scale = d * (float)(b->scale[block][j] - RC_Q3_K_SCALES);
        if (scale == 0 && !b->importance) /* rare: the search again, for its codes */
            rc_search_signed_descent(q + SUB * j, x + SUB * j, SUB, RC_Q3_K_TOP);
        else
            signed_assign(q + SUB * j, x + SUB * j, scale, b->inverse[block * SUB + j],
                          RC_Q3_K_TOP);
    }
    rc_q3_k_pack_block(out, b->d[block], b->scale[block], q);
}

VEC_INLINE void q3_k_row(uint8_t *restrict out, const float *restrict x,
                         const float *restrict importance, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    rc_block_q3_k *blocks = (rc_block_q3_k *)(void *)out;
    signed_batch b = { 0 };

    for (size_t at = 0; at < n; at += b.blocks * RC_BLOCK_SUPER, blocks += b.blocks) {
        const size_t left = (n - at) / RC_BLOCK_SUPER;
        b.blocks = left < BATCH ? (unsigned)left : BATCH;
        b.x = x + at;
        b.importance = importance ? importance + at : NULL;
        if (importance)
            rc_kquant_spreads(b.spread, b.x, b.blocks, SUB, 2);
        if (importance) {
            q3_k_search_weighted(&b);
            q3_k_round_batch(&b);
        } else
            q3_k_search_plain(&b);
        for (unsigned k = 0; k < b.blocks; k++) {
            if (!importance)
                b.d[k] = rc_q3_k_round(b.scale[k], b.found + k * SUB);
            q3_k_finish(&b, k, &blocks[k]);
        }
    }
    rc_rounding_leave(saved);
}

VEC_INLINE void q6_k_block(rc_block_q6_k *restrict out, const float *x, const float *importance)
{
    vec v[SUB], w[SUB];
    float found[SUB], inverse[SUB];
    int8_t scale[SUB];
    uint8_t q[RC_BLOCK_SUPER];
    uint16_t d;

    for (unsigned first = 0; first < SUB; first += VEC) {
        vec_load_rows(v, x + SUB * first, SUB, SUB);
        if (importance)
            vec_load_rows(w, importance + SUB * first, SUB, SUB);
        for (unsigned i = 0; !importance && i < SUB; i++)
            w[i] = v[i] * v[i];
        const lanes_signed best = lanes_search_signed(v, w, SUB, RC_Q6_K_TOP);
        vec_store(found + first, best.scale);
        vec_store(inverse + first, best.inverse);
    }
    if (!rc_q6_k_round(&d, scale, found)) {
        memset(out, 0, sizeof *out);
        return;
    }
    for (unsigned j = 0; j < SUB; j++)
        signed_assign(q + SUB * j, x + SUB * j, rc_f16_decode(d) * (float)scale[j], inverse[j],
                      RC_Q6_K_TOP);
    rc_q6_k_pack_block(out, d, scale, q);
}

VEC_INLINE void q6_k_row(uint8_t *restrict out, const float *restrict x,
                         const float *restrict importance, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    rc_block_q6_k *b = (rc_block_q6_k *)(void *)out;

    for (size_t at = 0; at < n; at += RC_BLOCK_SUPER, b++)
        q6_k_block(b, x + at, importance ? importance + at : NULL);
    rc_rounding_leave(saved);
}

/* The functions of one instruction set. */
#define SIGNED_FUNCTION(type, isa)                                                                 \
    void rc_quant_##type##_##isa(uint8_t *restrict out, const float *restrict x,                   \
                                 const float *restrict importance, size_t n)                       \
    {                                                                                              \
        type##_row(out, x, importance, n);                                                         \
    }
#define SIGNED_FUNCTIONS(isa)                                                                      \
    SIGNED_FUNCTION(q3_k, isa)                                                                     \
    SIGNED_FUNCTION(q6_k, isa)

#endif
