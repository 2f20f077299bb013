/* quantize/int4_lanes.h - the searches of int4.h, one group a lane.
 *
 * Included once for each instruction set, and once without: a vector is then a float. VEC groups
 * are transposed, and every lane adds up its own group in the order of columns: bytes and losses
 * are the same for every width, by construction.
 *
 * Searches compare losses under codes from x * (1 / scale), in units of the scale. What a search
 * found is then held against NEAREST (and RC_INT4_BEST against RC_INT4_CLIP) by the loss of the
 * codes that are written, which come from x / scale: the better method is never the worse. */
#ifndef RC_QUANTIZE_INT4_LANES_H
#define RC_QUANTIZE_INT4_LANES_H

#include "kernels/codes.h"
#include "kernels/f16.h"
#include "kernels/rounding.h"
#include "quantize/int4.h"
#include "quantize/vec.h"

#define INT4_TRIES  5u /* scales that are tried in one pass over the groups */
#define INT4_RANGES 10u

typedef struct int4_batch {
    const rc_int4_kind *kind;
    bool weighted;
    vec x[RC_INT4_MAX_GROUP], w[RC_INT4_MAX_GROUP]; /* column k of each lane's group */
    vec min, max;                                   /* of the group, 0 taken in */
} int4_batch;

/* y = clamp(round(x / scale), low, high) * scale; the zero point is -low. A group that has no
 * scale has bounds of 0. */
typedef struct int4_choice {
    vec scale, low, high, loss;
} int4_choice;

/* To the type that scales are stored in, and back; and the power of two that is not above. */
#if defined(__AVX512F__)
VEC_INLINE vec int4_to_f16(vec x)
{
    return _mm512_cvtph_ps(_mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
VEC_INLINE vec int4_power(vec x)
{
    return _mm512_and_ps(x, _mm512_castsi512_ps(_mm512_set1_epi32(0x7f800000)));
}
VEC_INLINE vec int4_to_bf16(vec x)
{
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i sum = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));

    return _mm512_castsi512_ps(_mm512_and_si512(sum, _mm512_set1_epi32((int)0xffff0000)));
}
#elif defined(__AVX2__)
VEC_INLINE vec int4_to_f16(vec x)
{
    return _mm256_cvtph_ps(_mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
VEC_INLINE vec int4_power(vec x)
{
    return _mm256_and_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32(0x7f800000)));
}
VEC_INLINE vec int4_to_bf16(vec x)
{
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i sum = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));

    return _mm256_castsi256_ps(_mm256_and_si256(sum, _mm256_set1_epi32((int)0xffff0000)));
}
#else
VEC_INLINE vec int4_to_f16(vec x)
{
    return rc_f16_decode(rc_f16_encode(x));
}
VEC_INLINE vec int4_power(vec x)
{
    return rc_f32_of_bits(rc_f32_bits(x) & 0x7f800000);
}
VEC_INLINE vec int4_to_bf16(vec x)
{
    return rc_bf16_value(rc_bf16_round(x));
}
#endif

VEC_INLINE vec int4_stored(const int4_batch *b, vec scale)
{
    switch (b->kind->scale) {
    case RC_DTYPE_F16:
        return int4_to_f16(scale);
    case RC_DTYPE_BF16:
        return int4_to_bf16(scale);
    default:
        return scale;
    }
}

VEC_INLINE vec int4_clamp(vec x, vec low, vec high)
{
    return vec_min(vec_max(x, low), high);
}

/* VEC groups that lie one after the other. */
VEC_INLINE void int4_load(int4_batch *b, const float *x, const float *importance)
{
    const unsigned group = b->kind->group;
    vec min = vec_of(0), max = vec_of(0);

    vec_load_rows(b->x, x, group, group);
    b->weighted = importance != NULL;
    if (importance)
        vec_load_rows(b->w, importance, group, group);
    for (unsigned k = 0; k < group; k++) {
        min = vec_min(min, b->x[k]);
        max = vec_max(max, b->x[k]);
    }
    b->min = min;
    b->max = max;
}

/* -- losses ---------------------------------------------------------------- */

VEC_INLINE void int4_try_by(const int4_batch *b, bool weighted, const vec scale[INT4_TRIES],
                            const vec low[INT4_TRIES], vec loss[INT4_TRIES])
{
    vec inverse[INT4_TRIES], high[INT4_TRIES], sum[INT4_TRIES];

    RC_UNROLL for (unsigned t = 0; t < INT4_TRIES; t++)
    {
        inverse[t] = vec_of(1) / scale[t];
        high[t] = low[t] + vec_of(15);
        sum[t] = vec_of(0);
    }
    for (unsigned k = 0; k < b->kind->group; k++) {
        const vec x = b->x[k];
        RC_UNROLL for (unsigned t = 0; t < INT4_TRIES; t++)
        {
            const vec at = x * inverse[t], off = at - int4_clamp(vec_round(at), low[t], high[t]);
            sum[t] += weighted ? b->w[k] * (off * off) : off * off;
        }
    }
    RC_UNROLL for (unsigned t = 0; t < INT4_TRIES; t++)
    {
        loss[t] = sum[t] * (scale[t] * scale[t]);
    }
}

/* The best of TRIES scales and lower bounds; of equals the first. No scale that is 0 or infinite
 * is taken: its loss is no number. */
static void int4_try(const int4_batch *b, int4_choice *best, const vec scale[INT4_TRIES],
                     const vec low[INT4_TRIES])
{
    vec loss[INT4_TRIES];

    if (b->weighted)
        int4_try_by(b, true, scale, low, loss);
    else
        int4_try_by(b, false, scale, low, loss);
    RC_UNROLL for (unsigned t = 0; t < INT4_TRIES; t++)
    {
        const vecm less = vec_less(loss[t], best->loss);
        best->scale = vec_pick(less, scale[t], best->scale);
        best->low = vec_pick(less, low[t], best->low);
        best->loss = vec_pick(less, loss[t], best->loss);
    }
    best->high = best->low + vec_of(15);
}

/* The loss of the codes that would be written. */
static void int4_measure(const int4_batch *b, int4_choice *c)
{
    vec sum = vec_of(0);

    for (unsigned k = 0; k < b->kind->group; k++) {
        const vec x = b->x[k], code = int4_clamp(vec_round(x / c->scale), c->low, c->high);
        const vec off = x - code * c->scale;
        sum += b->weighted ? b->w[k] * (off * off) : off * off;
    }
    c->loss = sum;
}

/* -- searches -------------------------------------------------------------- */

/* The group's range, or a part of it. */
VEC_INLINE void int4_range(const int4_batch *b, float part, vec *scale, vec *low)
{
    const vec min = b->min * vec_of(part), max = b->max * vec_of(part);

    if (b->kind->symmetric) {
        *scale = int4_stored(b, vec_max(max, vec_of(0) - min) / vec_of(7.5f));
        *low = vec_of(-8);
    } else {
        *scale = int4_stored(b, (max - min) / vec_of(15));
        *low = int4_clamp(vec_round(min / *scale), vec_of(-15), vec_of(0));
    }
}

static int4_choice int4_clip(const int4_batch *b)
{
    int4_choice best = { .loss = vec_of(INFINITY), .scale = vec_of(1), .low = vec_of(-8) };

    for (unsigned first = 0; first < INT4_RANGES; first += INT4_TRIES) {
        vec scale[INT4_TRIES], low[INT4_TRIES];
        for (unsigned t = 0; t < INT4_TRIES; t++)
            int4_range(b, 1 - (float)(first + t) / 20, &scale[t], &low[t]);
        int4_try(b, &best, scale, low);
    }
    return best;
}

#endif
