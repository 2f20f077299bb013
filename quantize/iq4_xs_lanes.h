/* quantize/iq4_xs_lanes.h - IQ4_XS, one sub-block a lane, written once for both vector widths.
 *
 * Every lane does what iq4_xs.c does, operation by operation and in its order. The sixteen
 * scales are cheap by a property of the table: over the fifteen that are tried in the loop, x
 * times the inverse of the scale moves by at most 14 |x / max|, which ends above 98 where it
 * exceeds 11.5, the smallest distance of two thresholds, but thresholds there are 22 apart. So an
 * element takes at most two neighbouring codes in all of them, and which one is a
 * comparison with one threshold; what it adds to the two sums in either case is computed
 * once. */
#ifndef RC_QUANTIZE_IQ4_XS_LANES_H
#define RC_QUANTIZE_IQ4_XS_LANES_H

#include <math.h>
#include <string.h>

#include "kernels/block_tables.h"
#include "kernels/f16.h"
#include "quantize/iq4_xs.h"
#include "quantize/iq_lanes.h"

#if VEC >= 8 /* otherwise there are only the references */

#define SUB    RC_IQ4_SUB
#define LOWEST (-127)
#define TRIES  7

/* Threshold k lies half-way between the values k and k + 1, and a number on it gets the upper
 * code: their differences are exact where it matters. After the last one nothing does. */
static const float thresholds[16] = { -115.5f, -93.5f, -74.0f, -57.0f, -42.0f, -28.5f,
                                      -16.0f,  -4.5f,  7.0f,   19.0f,  31.5f,  45.5f,
                                      61.0f,   79.0f,  101.0f, NAN };
static const float values[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113 };

#if VEC == 16
typedef struct lookup {
    vec all;
} lookup;

VEC_INLINE lookup lookup_of(const float table[16])
{
    return (lookup){ vec_load(table) };
}
VEC_INLINE vec look_up(const lookup *t, veci index)
{
    return _mm512_permutexvar_ps(index, t->all);
}
VEC_INLINE vec multiply_add(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
VEC_INLINE veci plus_one_where(vecm m, veci x)
{
    return _mm512_mask_add_epi32(x, m, x, _mm512_set1_epi32(1));
}
VEC_INLINE veci high_nibble(veci high, veci low)
{
    return _mm512_or_si512(_mm512_slli_epi32(high, 4), low);
}
VEC_INLINE veci join_bytes(veci a, veci b, veci c, veci d)
{
    return _mm512_or_si512(_mm512_or_si512(a, _mm512_slli_epi32(b, 8)),
                           _mm512_or_si512(_mm512_slli_epi32(c, 16), _mm512_slli_epi32(d, 24)));
}
#else
typedef struct lookup {
    vec low, high;
} lookup;

VEC_INLINE lookup lookup_of(const float table[16])
{
    return (lookup){ vec_load(table), vec_load(table + 8) };
}
VEC_INLINE vec look_up(const lookup *t, veci index)
{
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(t->low, index),
                            _mm256_permutevar8x32_ps(t->high, index),
                            _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
}
VEC_INLINE vec multiply_add(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}
VEC_INLINE veci plus_one_where(vecm m, veci x)
{
    return _mm256_sub_epi32(x, _mm256_castps_si256(m));
}
VEC_INLINE veci high_nibble(veci high, veci low)
{
    return _mm256_or_si256(_mm256_slli_epi32(high, 4), low);
}
VEC_INLINE veci join_bytes(veci a, veci b, veci c, veci d)
{
    return _mm256_or_si256(_mm256_or_si256(a, _mm256_slli_epi32(b, 8)),
                           _mm256_or_si256(_mm256_slli_epi32(c, 16), _mm256_slli_epi32(d, 24)));
}
#endif

typedef struct tables {
    lookup thresholds, values;
} tables;

/* Codes of numbers within +-128: g is between k and k + 1 on threshold k, and grows. */
VEC_INLINE veci codes_within(const tables *t, vec x)
{
    const vec slope = multiply_add(vec_abs(x), vec_of(-0.000214f), vec_of(0.087f));
    const veci bucket = vec_whole(multiply_add(x, slope, vec_of(7.9f)));

    return plus_one_where(vec_at_most(look_up(&t->thresholds, bucket), x), bucket);
}

/* Of any numbers; NaN gives 15, as in the scalar. */
VEC_INLINE veci codes_of(const tables *t, vec x)
{
    return codes_within(t, vec_max(vec_min(x, vec_of(128)), vec_of(-128)));
}

typedef struct sub_blocks {
    vec x[SUB], w[SUB];
    /* the tries: below the threshold [0], else [1] */
    vec threshold[SUB], qx[2][SUB], q2[2][SUB];
} sub_blocks;

typedef struct best_fit {
    vec scale, merit;
} best_fit;

VEC_INLINE void keep_better(best_fit *best, vec qx, vec q2)
{
    const vec scale = qx / q2;
    const vecm better = vec_and(vec_less(vec_of(0), q2), vec_less(best->merit * q2, qx * qx));

    best->scale = vec_pick(better, scale, best->scale);
    best->merit = vec_pick(better, scale * qx, best->merit);
}

/* The first scale gives the largest value code 15, on the other side of zero than the tries. */
VEC_INLINE best_fit fit_first(const tables *t, const sub_blocks *b, vec max)
{
    const vec inverse = vec_of(1) / (-max / vec_of(LOWEST)), zero = vec_of(0);
    vec qx = zero, q2 = zero;

    for (unsigned i = 0; i < SUB; i++) {
        const vec q = look_up(&t->values, codes_within(t, inverse * b->x[i]));
        const vec wq = b->w[i] * q;
        qx += wq * b->x[i];
        q2 += wq * q;
    }
    const vec scale = vec_pick(vec_less(zero, q2), qx / q2, zero);
    return (best_fit){ scale, scale * qx };
}

/* What the tries have in common. The last one has the numbers that are nearest to zero: their
 * codes, and the next ones away from zero, are all that any try gives. */
VEC_INLINE void prepare_tries(const tables *t, sub_blocks *b, vec max)
{
    const vec inverse = vec_of(TRIES + LOWEST) / max, zero = vec_of(0);

    for (unsigned i = 0; i < SUB; i++) {
        const vec number = inverse * b->x[i];
        const veci code = codes_within(t, number);
        /* the lower of the two codes; from 0 there is none below */
        veci low = plus_one_where(vec_at_most(zero, number), veci_add(code, veci_of(-1)));
        low = veci_clamp(low, veci_of(0), veci_of(15));
        const vec q0 = look_up(&t->values, low);
        const vec q1 = look_up(&t->values, veci_add(low, veci_of(1)));
        b->threshold[i] = look_up(&t->thresholds, low);
        b->qx[0][i] = b->w[i] * q0 * b->x[i];
        b->qx[1][i] = b->w[i] * q1 * b->x[i];
        b->q2[0][i] = b->w[i] * q0 * q0;
        b->q2[1][i] = b->w[i] * q1 * q1;
    }
}

/* Tries k, k + 1 and k + 2: one load for three, and three chains of sums. */
VEC_INLINE void try_three(const sub_blocks *b, vec max, int k, best_fit *best)
{
    vec inverse[3], qx[3], q2[3];

    RC_UNROLL for (int t = 0; t < 3; t++)
    {
        inverse[t] = vec_of((float)(k + t + LOWEST)) / max;
        qx[t] = q2[t] = vec_of(0);
    }
    for (unsigned i = 0; i < SUB; i++) {
        RC_UNROLL for (int t = 0; t < 3; t++)
        {
            const vecm up = vec_at_most(b->threshold[i], inverse[t] * b->x[i]);
            qx[t] += vec_pick(up, b->qx[1][i], b->qx[0][i]);
            q2[t] += vec_pick(up, b->q2[1][i], b->q2[0][i]);
        }
    }
    RC_UNROLL for (int t = 0; t < 3; t++)
    {
        keep_better(best, qx[t], q2[t]);
    }
}

VEC_INLINE vec search(const tables *t, sub_blocks *b)
{
    const vec max = lanes_extreme(b->x, SUB);
    const vecm zeros = vec_equal(max, vec_of(0));
    best_fit best = fit_first(t, b, max);

    prepare_tries(t, b, max);
    for (int k = -TRIES; k <= TRIES; k += 3)
        try_three(b, max, k, &best);
    return vec_pick(zeros, vec_of(0), best.scale);
}

VEC_INLINE void load(sub_blocks *b, const float *x, const float *importance, vec sigma2)
{
    vec_load_rows(b->x, x, SUB, SUB);
    if (!importance) {
        for (unsigned i = 0; i < SUB; i++)
            b->w[i] = b->x[i] * b->x[i];
        return;
    }
    vec_load_rows(b->w, importance, SUB, SUB);
    for (unsigned i = 0; i < SUB; i++)
        b->w[i] = b->w[i] * vec_sqrt(sigma2 + b->x[i] * b->x[i]);
}

/* Codes under 1 / inverse, two a byte, sixteen bytes a sub-block. */
VEC_INLINE void put_codes(rc_block_iq4_xs *out, const tables *t, const sub_blocks *b, vec inverse)
{
    uint32_t words[4][VEC];
    veci pair[16];

    for (unsigned j = 0; j < 16; j++)
        pair[j] = high_nibble(codes_of(t, inverse * b->x[j + 16]), codes_of(t, inverse * b->x[j]));
    for (unsigned j = 0; j < 4; j++)
        veci_store(words[j],
                   join_bytes(pair[4 * j], pair[4 * j + 1], pair[4 * j + 2], pair[4 * j + 3]));
    for (unsigned lane = 0; lane < VEC; lane++)
        for (unsigned j = 0; j < 4; j++)
            memcpy(out[lane / RC_IQ4_SUBS].qs + lane % RC_IQ4_SUBS * 16 + 4 * j, &words[j][lane],
                   4);
}

/* d of each super-block, and the multiple of d that each sub-block has, into zeroed blocks;
 * returns one over it. */
VEC_INLINE vec put_scales(rc_block_iq4_xs *out, vec scale)
{
    float scales[VEC], d[VEC];
    vec multiple;
    float whole_multiple[VEC];

    vec_store(scales, scale);
    for (unsigned b = 0; b < IQ_SUPERS; b++) {
        const float *s = scales + b * RC_IQ4_SUBS;
        float max = 0;
        for (unsigned i = 0; i < RC_IQ4_SUBS; i++)
            max = fabsf(s[i]) > fabsf(max) ? s[i] : max;
        for (unsigned i = 0; i < RC_IQ4_SUBS; i++)
            d[b * RC_IQ4_SUBS + i] = -max / 32;
        rc_u16_put(out[b].d, rc_f16_encode(-max / 32));
    }
    const vec dv = vec_load(d), zero = vec_of(0);
    const vec inverse = vec_pick(vec_equal(dv, zero), zero, vec_of(1) / dv);

    multiple = lanes_round_within(inverse * scale, -32, 31);
    vec_store(whole_multiple, multiple);
    for (unsigned lane = 0; lane < VEC; lane++) {
        rc_block_iq4_xs *b = &out[lane / RC_IQ4_SUBS];
        rc_iq4_put_scale(b, lane % RC_IQ4_SUBS, (int)whole_multiple[lane]);
    }
    const vec step = dv * multiple;
    return vec_pick(vec_equal(step, zero), zero, vec_of(1) / step);
}

/* IQ_SUPERS super-blocks: iq_row_fn. */
VEC_INLINE void quantize_some(uint8_t *out, const float *x, const float *importance,
                              const float *sigma2)
{
    const tables t = { lookup_of(thresholds), lookup_of(values) };
    rc_block_iq4_xs blocks[IQ_SUPERS] = { 0 };
    float sigmas[VEC];
    sub_blocks b;

    for (unsigned lane = 0; lane < VEC; lane++)
        sigmas[lane] = sigma2[lane / RC_IQ4_SUBS];
    load(&b, x, importance, vec_load(sigmas));
    const vec inverse = put_scales(blocks, search(&t, &b));
    put_codes(blocks, &t, &b, inverse);
    memcpy(out, blocks, sizeof blocks);
}

/* rc_iq4_nearest_fn */
VEC_INLINE float nearest_codes(uint8_t *codes, const float *x, const float *w, float step)
{
    const tables t = { lookup_of(thresholds), lookup_of(values) };
    const vec inverse = vec_of(step != 0 ? 1 / step : 0);
    float sums[SUB];

    for (unsigned i = 0; i < SUB; i += VEC) {
        const vec xs = vec_load(x + i);
        const veci code = codes_of(&t, inverse * xs);
        const vec off = xs - vec_of(step) * look_up(&t.values, code);
        veci_store_bytes(codes + i, code);
        vec_store(sums + i, vec_load(w + i) * off * off);
    }
    for (unsigned i = 0; i < SUB / 2; i += VEC)
        vec_store(sums + i, vec_load(sums + i) + vec_load(sums + SUB / 2 + i));
    const __m256 eight = _mm256_add_ps(_mm256_loadu_ps(sums), _mm256_loadu_ps(sums + 8));
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));

    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

#undef SUB
#undef LOWEST
#undef TRIES

#endif
#endif
