/* quantize/best.c - the types, where to start, and the fit of d and dmin. */
#include "quantize/best.h"

#include <math.h>
#include <string.h>

#include "kernels/f16.h"
#include "quantize/kquants.h"
#include "quantize/signed_blocks.h"

static void pack_affine(const rc_affine_kind *kind, uint8_t *restrict block, uint16_t d,
                        uint16_t dmin, const int16_t *restrict scale, const int16_t *restrict min,
                        const uint8_t *restrict q)
{
    rc_affine_scales s = { .d = d, .dmin = dmin };

    for (unsigned j = 0; j < RC_BLOCK_SUPER / kind->sub; j++) {
        s.scale[j] = (uint8_t)scale[j];
        s.min[j] = (uint8_t)min[j];
    }
    kind->pack(block, &s, q);
}

#define PACK_AFFINE(type)                                                                          \
    static void pack_##type(uint8_t *restrict block, uint16_t d, uint16_t dmin,                    \
                            const int16_t *restrict scale, const int16_t *restrict min,            \
                            const uint8_t *restrict q)                                             \
    {                                                                                              \
        pack_affine(&rc_affine_##type, block, d, dmin, scale, min, q);                             \
    }
PACK_AFFINE(q2_k)
PACK_AFFINE(q4_k)
PACK_AFFINE(q5_k)

static void pack_q3_k(uint8_t *restrict block, uint16_t d, uint16_t dmin,
                      const int16_t *restrict scale, const int16_t *restrict min,
                      const uint8_t *restrict q)
{
    uint8_t stored[RC_SIGNED_SUB];

    (void)dmin;
    (void)min;
    for (unsigned j = 0; j < RC_SIGNED_SUB; j++)
        stored[j] = (uint8_t)(scale[j] + RC_Q3_K_SCALES);
    rc_q3_k_pack_block((rc_block_q3_k *)(void *)block, d, stored, q);
}

static void pack_q6_k(uint8_t *restrict block, uint16_t d, uint16_t dmin,
                      const int16_t *restrict scale, const int16_t *restrict min,
                      const uint8_t *restrict q)
{
    int8_t stored[RC_SIGNED_SUB];

    (void)dmin;
    (void)min;
    for (unsigned j = 0; j < RC_SIGNED_SUB; j++)
        stored[j] = (int8_t)scale[j];
    rc_q6_k_pack_block((rc_block_q6_k *)(void *)block, d, stored, q);
}

/* Reaches and steps: by measurement. The steps of Q4_K and Q5_K
 * go to scales that clip the extremes, which pays where few values are extreme: FP4. */
const rc_best_kind rc_best_q2_k = {
    .sub = 16,
    .block_bytes = sizeof(rc_block_q2_k),
    .top = 3,
    .high_scale = 15,
    .reach_scale = 3,
    .reach_min = 3,
    .steps = { -0.9f, 0.1f, 20, false },
    .pack = pack_q2_k,
    .reference = rc_quant_q2_k_ref,
};
const rc_best_kind rc_best_q3_k = {
    .sub = 16,
    .block_bytes = sizeof(rc_block_q3_k),
    .top = 2 * RC_Q3_K_TOP - 1,
    .centre = RC_Q3_K_TOP,
    .low_scale = -RC_Q3_K_SCALES,
    .high_scale = RC_Q3_K_SCALES - 1,
    .reach_scale = 14,
    .lattice = true,
    .pack = pack_q3_k,
    .reference = rc_quant_q3_k_ref,
};
const rc_best_kind rc_best_q4_k = {
    .sub = 32,
    .block_bytes = sizeof(rc_block_q4_k),
    .top = 15,
    .high_scale = 63,
    .reach_scale = 6,
    .reach_min = 4,
    .steps = { -6, 0.5f, 20, false },
    .lattice = true,
    .pack = pack_q4_k,
    .reference = rc_quant_q4_k_ref,
};
const rc_best_kind rc_best_q5_k = {
    .sub = 32,
    .block_bytes = sizeof(rc_block_q5_k),
    .top = 31,
    .high_scale = 63,
    .reach_scale = 6,
    .reach_min = 4,
    .steps = { -6, 0.5f, 20, false },
    .lattice = true,
    .pack = pack_q5_k,
    .reference = rc_quant_q5_k_ref,
};
const rc_best_kind rc_best_q6_k = {
    .sub = 16,
    .block_bytes = sizeof(rc_block_q6_k),
    .top = 2 * RC_Q6_K_TOP - 1,
    .centre = RC_Q6_K_TOP,
    .low_scale = -128,
    .high_scale = 127,
    .reach_scale = 16,
    .lattice = true,
    .pack = pack_q6_k,
    .reference = rc_quant_q6_k_ref,
};

/* The power of two of which all n values are multiples, by -15 .. 15. 0: there is none. All
 * zeros: infinity. */
static float lattice_of(const float *x, unsigned n)
{
    uint32_t most = 0,
             least = 256; /* of the magnitudes' bits; of the exponents of their last bits */

    for (unsigned i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7fffffff;
        if (bits == 0)
            continue;
        if ((bits & 0xfffff) != 0 || bits < 4u << 23)
            return 0; /* more than four bits, or too small to bother */
        const uint32_t four = 8 | (bits >> 20 & 7);
        const uint32_t last = (bits >> 23) - (four & 1 ? 3 : four & 2 ? 2 : four & 4 ? 1 : 0);
        least = last < least ? last : least;
        most = bits > most ? bits : most;
    }
    if (most == 0)
        return INFINITY;
    /* the bits of 15 are those of 1 plus this */
    return most <= (least << 23) + 0x1f00000 ? ldexpf(1, (int)least - 127) : 0;
}

static int16_t round_within(float x, int low, int high)
{
    /* no number, or out of range of the rounding: clamped all the same */
    if (!(x < (float)high))
        return (int16_t)high;
    return (int16_t)(x > (float)low ? rc_search_round(x) : low);
}

static void round_all(const rc_best_kind *kind, rc_best_state *s, float d, float dmin,
                      const float *scale, const float *min)
{
    memset(s, 0, sizeof *s);
    s->d = rc_f16_encode(d);
    s->dmin = rc_f16_encode(dmin);
    for (unsigned j = 0; j < RC_BLOCK_SUPER / kind->sub; j++) {
        if (d != 0)
            s->scale[j] = round_within(scale[j] / d, kind->low_scale, kind->high_scale);
        if (dmin != 0)
            s->min[j] = round_within(min[j] / dmin, 0, kind->high_scale);
    }
}

/* The largest is the integer of largest magnitude. */
static void start_by_range(const rc_best_kind *kind, rc_best_state *s, const float *scale,
                           const float *min)
{
    const float most = (float)(kind->centre ? kind->low_scale : kind->high_scale);
    float largest = 0, largest_min = 0;

    for (unsigned j = 0; j < RC_BLOCK_SUPER / kind->sub; j++) {
        largest = fabsf(scale[j]) > fabsf(largest) ? scale[j] : largest;
        largest_min = min[j] > largest_min ? min[j] : largest_min;
    }
    round_all(kind, s, largest / most, largest_min / (float)kind->high_scale, scale, min);
}

typedef struct lattice {
    float step[RC_AFFINE_SUBS]; /* of a sub-block; 0 for zeros */
    float least;
} lattice;

/* False: the block is on none, or its sub-blocks are too far apart, or all zeros. */
static bool find_lattice(const rc_best_kind *kind, lattice *l, const float *x)
{
    float most = 0;

    l->least = INFINITY;
    for (unsigned j = 0; j < RC_BLOCK_SUPER / kind->sub; j++) {
        const float step = lattice_of(x + j * kind->sub, kind->sub);
        if (step == 0)
            return false;
        l->least = step < l->least ? step : l->least;
        l->step[j] = step < INFINITY ? step : 0;
        most = l->step[j] > most ? l->step[j] : most;
    }
    return most > 0 && l->least >= 0x1p-24f && most <= (float)kind->high_scale * l->least;
}

bool rc_best_exact(const rc_best_kind *kind, rc_best_state *s, const float *x)
{
    lattice l;

    if (!kind->lattice || kind->top < 31 || !find_lattice(kind, &l, x))
        return false;
    /* codes k + 16 and a min of 16 steps, or k + centre */
    round_all(kind, s, l.least, kind->centre ? 0 : 16 * l.least, l.step, l.step);
    for (unsigned j = 0; j < RC_AFFINE_SUBS && !kind->centre; j++)
        s->min[j] = s->scale[j];
    return l.least <= 0x1p11f; /* 16 steps are a half, too */
}

/* d and dmin: the finest powers of two that still hold the largest. */
static bool start_on_lattice(const rc_best_kind *kind, rc_best_state *s, const float *x,
                             const float *scale, const float *min)
{
    const float high = (float)kind->high_scale + 0.5f;
    float largest = 0, largest_min = 0;
    lattice l;

    if (!kind->lattice || !find_lattice(kind, &l, x))
        return false;
    for (unsigned j = 0; j < RC_BLOCK_SUPER / kind->sub; j++) {
        largest = fabsf(scale[j]) > largest ? fabsf(scale[j]) : largest;
        largest_min = min[j] > largest_min ? min[j] : largest_min;
    }
    float d = l.least, dmin;
    if (largest > d * high)
        return false;
    while (2 * largest <= d * high && d > 0x1p-24f)
        d /= 2;
    for (dmin = d; largest_min > dmin * high;)
        dmin *= 2;
    round_all(kind, s, d, dmin, scale, min);
    return true;
}

void rc_best_start(const rc_best_kind *kind, rc_best_state *s, const float *x, const float *scale,
                   const float *min)
{
    if (!rc_best_exact(kind, s, x) && !start_on_lattice(kind, s, x, scale, min))
        start_by_range(kind, s, scale, min);
}

void rc_best_refit(rc_best_state *s, const rc_best_sums *m)
{
    const double det = m->aa * m->bb - m->ab * m->ab;
    double d = m->aa > 0 ? m->xa / m->aa : 0, dmin = 0;

    if (det > 1e-9 * m->aa * m->bb) {
        d = (m->xa * m->bb - m->xb * m->ab) / det;
        dmin = (m->xa * m->ab - m->xb * m->aa) / det;
    }
    s->d = rc_f16_encode((float)d);
    s->dmin = rc_f16_encode(dmin > 0 ? (float)dmin : 0);
}
