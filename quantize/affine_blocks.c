/* quantize/affine_blocks.c - the reference and the tables of Q2_K, Q4_K and Q5_K. */
#include "quantize/affine_blocks.h"

#include <math.h>

#include "kernels/block_tables.h"
#include "kernels/f16.h"
#include "kernels/rounding.h"
#include "quantize/best.h"
#include "quantize/kquants.h"

static void pack_q2_k(uint8_t *restrict block, const rc_affine_scales *restrict s,
                      const uint8_t *restrict q)
{
    rc_block_q2_k *b = (rc_block_q2_k *)(void *)block;

    for (unsigned j = 0; j < 16; j++)
        b->scales[j] = (uint8_t)(s->scale[j] | s->min[j] << 4);
    rc_kquant_pack_twos(b->qs, q);
    rc_u16_put(b->d, s->d);
    rc_u16_put(b->dmin, s->dmin);
}

static void pack_q4_k(uint8_t *restrict block, const rc_affine_scales *restrict s,
                      const uint8_t *restrict q)
{
    rc_block_q4_k *b = (rc_block_q4_k *)(void *)block;

    rc_u16_put(b->d, s->d);
    rc_u16_put(b->dmin, s->dmin);
    rc_k4_pack(b->scales, s->scale, s->min);
    for (unsigned pair = 0; pair < 4; pair++, q += 64)
        for (unsigned l = 0; l < 32; l++)
            b->qs[32 * pair + l] = (uint8_t)(q[l] | q[l + 32] << 4);
}

static void pack_q5_k(uint8_t *restrict block, const rc_affine_scales *restrict s,
                      const uint8_t *restrict q)
{
    rc_block_q5_k *b = (rc_block_q5_k *)(void *)block;

    rc_u16_put(b->d, s->d);
    rc_u16_put(b->dmin, s->dmin);
    rc_k4_pack(b->scales, s->scale, s->min);
    memset(b->qh, 0, sizeof b->qh);
    for (unsigned pair = 0; pair < 4; pair++, q += 64)
        for (unsigned l = 0; l < 32; l++) {
            const unsigned fifths = q[l] >> 4 | q[l + 32] >> 4 << 1;
            b->qs[32 * pair + l] = (uint8_t)((q[l] & 15) | q[l + 32] << 4);
            b->qh[l] = (uint8_t)(b->qh[l] | fifths << 2 * pair);
        }
}

const rc_affine_kind rc_affine_q2_k = {
    .sub = 16,
    .block_bytes = sizeof(rc_block_q2_k),
    .top = 3,
    .top_scale = 15,
    .level = false,
    .spread = 1,
    .plain = { -0.5f, 0.1f, 16, true },
    .weighted = { -0.9f, 0.05f, 37, false },
    .pack = pack_q2_k,
};
const rc_affine_kind rc_affine_q4_k = {
    .sub = 32,
    .block_bytes = sizeof(rc_block_q4_k),
    .top = 15,
    .top_scale = 63,
    .level = true,
    .spread = 2,
    .plain = { -1.0f, 0.1f, 21, false },
    .weighted = { -0.9f, 0.05f, 37, false },
    .pack = pack_q4_k,
};
const rc_affine_kind rc_affine_q5_k = {
    .sub = 32,
    .block_bytes = sizeof(rc_block_q5_k),
    .top = 31,
    .top_scale = 63,
    .level = true,
    .spread = 2,
    .plain = { -0.5f, 0.1f, 16, false },
    .weighted = { -0.9f, 0.05f, 37, false },
    .pack = pack_q5_k,
};

/* A block on its way. */
typedef struct block_state {
    float scale[RC_AFFINE_SUBS], min[RC_AFFINE_SUBS];
    float weight[RC_AFFINE_SUBS]; /* sum over the sub-block, with importance */
    uint8_t q[RC_BLOCK_SUPER];
    rc_affine_scales rounded;
} block_state;

static void search_plain(const rc_affine_kind *kind, block_state *b, const float *x)
{
    float w[RC_SEARCH_MAX];

    for (unsigned j = 0; j < RC_BLOCK_SUPER / kind->sub; j++, x += kind->sub) {
        float sum = 0;
        for (unsigned i = 0; i < kind->sub; i++)
            sum += x[i] * x[i];
        const float level = kind->level ? sqrtf(sum / (float)kind->sub) : 0;
        for (unsigned i = 0; i < kind->sub; i++)
            w[i] = level + fabsf(x[i]);
        const rc_affine found =
            rc_search_affine(b->q + j * kind->sub, x, w, kind->sub, kind->top, &kind->plain);
        b->scale[j] = found.scale;
        b->min[j] = found.min;
    }
}

static void search_weighted(const rc_affine_kind *kind, block_state *b, const float *x,
                            const float *importance)
{
    const float spread = kind->spread * rc_kquant_sum_squares(x) / (float)RC_BLOCK_SUPER;
    float w[RC_SEARCH_MAX];

    for (unsigned j = 0; j < RC_BLOCK_SUPER / kind->sub; j++) {
        b->weight[j] = 0;
        for (unsigned i = 0; i < kind->sub; i++) {
            w[i] = importance[i] * sqrtf(spread + x[i] * x[i]);
            b->weight[j] += w[i];
        }
        const rc_affine found =
            rc_search_affine(b->q + j * kind->sub, x, w, kind->sub, kind->top, &kind->weighted);
        b->scale[j] = found.scale;
        b->min[j] = found.min;
        x += kind->sub;
        importance += kind->sub;
    }
}

/* Integers for one kind of number, sized by the largest; returns d or dmin. */
static uint16_t round_by_largest(uint8_t *q, const float *x, unsigned n, int top)
{
    float max = 0;

    for (unsigned j = 0; j < n; j++)
        max = x[j] > max ? x[j] : max;
    const float inverse = max > 0 ? (float)top / max : 0;
    for (unsigned j = 0; j < n; j++) {
        const uint8_t l = (uint8_t)rc_search_round(inverse * x[j]);
        q[j] = l > top ? (uint8_t)top : l;
    }
    return rc_f16_encode(max / (float)top);
}

void rc_affine_round(const rc_affine_kind *kind, rc_affine_scales *s, const float *scale,
                     const float *min)
{
    const unsigned subs = RC_BLOCK_SUPER / kind->sub;

    s->d = round_by_largest(s->scale, scale, subs, kind->top_scale);
    s->dmin = round_by_largest(s->min, min, subs, kind->top_scale);
}

static void round_weighted(const rc_affine_kind *kind, block_state *b)
{
    const unsigned subs = RC_BLOCK_SUPER / kind->sub;
    rc_affine_scales *s = &b->rounded;

    s->d = rc_f16_encode(rc_search_positive(s->scale, b->scale, b->weight, subs, kind->top_scale));
    s->dmin = rc_f16_encode(rc_search_positive(s->min, b->min, b->weight, subs, kind->top_scale));
}

static void assign(const rc_affine_kind *kind, block_state *b, const float *x)
{
    const rc_affine_scales *s = &b->rounded;
    uint8_t *q = b->q;

    for (unsigned j = 0; j < RC_BLOCK_SUPER / kind->sub; j++) {
        const float scale = rc_f16_decode(s->d) * (float)s->scale[j];
        const float min = rc_f16_decode(s->dmin) * (float)s->min[j];
        /* under scale 0 any code will do: the search's stay */
        for (unsigned i = 0; scale != 0 && i < kind->sub; i++)
            q[i] = (uint8_t)rc_search_round_within((x[i] + min) / scale, 0, kind->top);
        q += kind->sub;
        x += kind->sub;
    }
}

void rc_affine_row_ref(const rc_affine_kind *kind, uint8_t *restrict out, const float *restrict x,
                       const float *restrict importance, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    block_state b;

    for (size_t at = 0; at < n; at += RC_BLOCK_SUPER, out += kind->block_bytes) {
        if (importance) {
            search_weighted(kind, &b, x + at, importance + at);
            round_weighted(kind, &b);
        } else {
            search_plain(kind, &b, x + at);
            rc_affine_round(kind, &b.rounded, b.scale, b.min);
        }
        assign(kind, &b, x + at);
        kind->pack(out, &b.rounded, b.q);
    }
    rc_rounding_leave(saved);
}

void rc_quant_q2_k_ref(uint8_t *restrict out, const float *restrict x,
                       const float *restrict importance, size_t n)
{
    rc_affine_row_ref(&rc_affine_q2_k, out, x, importance, n);
}

void rc_quant_q4_k_ref(uint8_t *restrict out, const float *restrict x,
                       const float *restrict importance, size_t n)
{
    rc_affine_row_ref(&rc_affine_q4_k, out, x, importance, n);
}

void rc_quant_q5_k_ref(uint8_t *restrict out, const float *restrict x,
                       const float *restrict importance, size_t n)
{
    rc_affine_row_ref(&rc_affine_q5_k, out, x, importance, n);
}

RC_KQUANT_TABLE(q2_k, RC_DTYPE_Q2_K)
RC_KQUANT_TABLE(q4_k, RC_DTYPE_Q4_K)
RC_KQUANT_TABLE(q5_k, RC_DTYPE_Q5_K)
