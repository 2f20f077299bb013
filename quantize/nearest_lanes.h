/* quantize/nearest_lanes.h - the types of nearest.h, a block at a time in vectors.
 *
 * Included once for each instruction set. Every element gets the scalar's operations; only
 * the largest magnitude is found in another order, which changes nothing. */
#ifndef RC_QUANTIZE_NEAREST_LANES_H
#define RC_QUANTIZE_NEAREST_LANES_H

#if defined(__AVX2__) /* nothing here is for files without an instruction set */

#include <string.h>

#include "kernels/block_tables.h"
#include "kernels/f16.h"
#include "kernels/rounding.h"
#include "quantize/nearest.h"
#include "quantize/search_lanes.h"

#define PER_BLOCK (RC_BLOCK_SMALL / VEC) /* vectors */
#define PER_HALF  (PER_BLOCK / 2)

#if defined(__AVX512F__)
VEC_INLINE float vec_largest(vec x)
{
    return _mm512_reduce_max_ps(x);
}
/* A bit for each lane. */
VEC_INLINE unsigned vecm_bits(vecm m)
{
    return m;
}
VEC_INLINE veci vec_truncated(vec x)
{
    return _mm512_cvttps_epi32(x);
}
/* low + 16 high, as bytes. */
VEC_INLINE void veci_store_nibbles(uint8_t *p, veci low, veci high)
{
    veci_store_bytes(p, _mm512_or_si512(low, _mm512_slli_epi32(high, 4)));
}
VEC_INLINE vec vec_with_sign(vec magnitude, vec sign)
{
    return _mm512_or_ps(magnitude, _mm512_and_ps(sign, vec_of(-0.0f)));
}
#else
VEC_INLINE float vec_largest(vec x)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));

    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}
VEC_INLINE unsigned vecm_bits(vecm m)
{
    return (unsigned)_mm256_movemask_ps(m);
}
VEC_INLINE veci vec_truncated(vec x)
{
    return _mm256_cvttps_epi32(x);
}
VEC_INLINE void veci_store_nibbles(uint8_t *p, veci low, veci high)
{
    veci_store_bytes(p, _mm256_or_si256(low, _mm256_slli_epi32(high, 4)));
}
VEC_INLINE vec vec_with_sign(vec magnitude, vec sign)
{
    return _mm256_or_ps(magnitude, _mm256_and_ps(sign, vec_of(-0.0f)));
}
#endif

VEC_INLINE float load_block(vec v[PER_BLOCK], const float *x)
{
    vec largest = vec_of(0);

    RC_UNROLL for (unsigned k = 0; k < PER_BLOCK; k++)
    {
        v[k] = vec_load(x + VEC * k);
        largest = vec_max(largest, vec_abs(v[k]));
    }
    return vec_largest(largest);
}

VEC_INLINE void put_f16(uint8_t p[2], float d)
{
    rc_u16_put(p, _cvtss_sh(d, _MM_FROUND_TO_NEAREST_INT));
}

/* Adding the largest number below a half and cutting off rounds halves away from zero: what
 * is just below a half stays below the next integer. */
VEC_INLINE void q8_0_block(rc_block_q8_0 *b, const float *x)
{
    vec v[PER_BLOCK];
    const float d = load_block(v, x) / 127.0f;
    const vec inverse = vec_of(rc_nearest_inverse(d)), half = vec_of(0x1.fffffep-2f);

    put_f16(b->d, d);
    RC_UNROLL for (unsigned k = 0; k < PER_BLOCK; k++)
    {
        const vec y = v[k] * inverse;
        veci_store_bytes(b->qs + VEC * k, vec_truncated(y + vec_with_sign(half, y)));
    }
}

/* The first value of that magnitude. */
VEC_INLINE float first_of(const vec v[PER_BLOCK], const float *x, float magnitude)
{
    uint32_t found = 0;

    RC_UNROLL for (unsigned k = 0; k < PER_BLOCK; k++)
    {
        found |= vecm_bits(vec_equal(vec_abs(v[k]), vec_of(magnitude))) << VEC * k;
    }
    return magnitude > 0 ? x[__builtin_ctz(found)] : 0;
}

VEC_INLINE void q4_0_block(rc_block_q4_0 *b, const float *x)
{
    vec v[PER_BLOCK];
    veci q[PER_BLOCK];
    const float largest = load_block(v, x), d = first_of(v, x, largest) / -8.0f;
    const vec inverse = vec_of(rc_nearest_inverse(d));

    put_f16(b->d, d);
    RC_UNROLL for (unsigned k = 0; k < PER_BLOCK; k++)
    {
        q[k] = vec_truncated(vec_min(v[k] * inverse + vec_of(8.5f), vec_of(15)));
    }
    RC_UNROLL for (unsigned k = 0; k < PER_HALF; k++)
    {
        veci_store_nibbles(b->qs + VEC * k, q[k], q[k + PER_HALF]);
    }
}

/* VEC blocks with importance, one a lane. */
VEC_INLINE void q4_0_search(rc_block_q4_0 *b, const float *x, const float *importance, float spread)
{
    vec v[RC_BLOCK_SMALL], w[RC_BLOCK_SMALL];
    float scale[VEC], inverse[VEC];

    vec_load_rows(v, x, RC_BLOCK_SMALL, RC_BLOCK_SMALL);
    vec_load_rows(w, importance, RC_BLOCK_SMALL, RC_BLOCK_SMALL);
    for (unsigned i = 0; i < RC_BLOCK_SMALL; i++)
        w[i] = w[i] * vec_sqrt(vec_of(spread) + v[i] * v[i]);
    const lanes_signed best = lanes_search_signed(v, w, RC_BLOCK_SMALL, RC_Q4_0_TOP);
    vec_store(scale, best.scale);
    vec_store(inverse, best.inverse);

    for (unsigned k = 0; k < VEC; k++, b++, x += RC_BLOCK_SMALL) {
        veci q[PER_BLOCK];
        rc_u16_put(b->d, rc_f16_encode(scale[k]));
        RC_UNROLL for (unsigned i = 0; i < PER_BLOCK; i++)
        {
            const vec code = lanes_round_small(vec_of(inverse[k]) * vec_load(x + VEC * i),
                                               vec_of(-RC_Q4_0_TOP), vec_of(RC_Q4_0_TOP - 1));
            const int offset = inverse[k] == 0 ? 0 : RC_Q4_0_TOP;
            q[i] = veci_add(vec_truncated(code), veci_of(offset));
        }
        RC_UNROLL for (unsigned i = 0; i < PER_HALF; i++)
        {
            veci_store_nibbles(b->qs + VEC * i, q[i], q[i + PER_HALF]);
        }
    }
}

/* Halfway points of the magnitudes, in steps of the halved scale; what is above counts. */
VEC_INLINE void mxfp4_block(rc_block_mxfp4 *b, const float *x)
{
    static const float halfway[7] = { 0.5f, 1.5f, 2.5f, 3.5f, 5, 7, 10 };
    vec v[PER_BLOCK], q[PER_BLOCK];
    const vec one = vec_of(1), zero = vec_of(0);

    b->e = rc_mxfp4_scale(load_block(v, x));
    const float half = rc_mxfp4_half(b->e);

    RC_UNROLL for (unsigned k = 0; k < PER_BLOCK; k++)
    {
        const vecm minus = vec_less(v[k], vec_of(-halfway[0] * half));
        q[k] = vec_pick(minus, vec_of(8), zero);
        RC_UNROLL for (unsigned i = 0; i < 7; i++)
        {
            const vecm above = vec_less(vec_of(halfway[i] * half), vec_abs(v[k]));
            q[k] += vec_pick(above, one, zero);
        }
    }
    RC_UNROLL for (unsigned k = 0; k < PER_HALF; k++)
    {
        veci_store_nibbles(b->qs + VEC * k, vec_truncated(q[k]), vec_truncated(q[k + PER_HALF]));
    }
}

VEC_INLINE void q8_0_row(uint8_t *restrict out, const float *restrict x, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    rc_block_q8_0 *b = (rc_block_q8_0 *)(void *)out;

    for (size_t at = 0; at < n; at += RC_BLOCK_SMALL)
        q8_0_block(b++, x + at);
    rc_rounding_leave(saved);
}

VEC_INLINE void mxfp4_row(uint8_t *restrict out, const float *restrict x, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    rc_block_mxfp4 *b = (rc_block_mxfp4 *)(void *)out;

    for (size_t at = 0; at < n; at += RC_BLOCK_SMALL)
        mxfp4_block(b++, x + at);
    rc_rounding_leave(saved);
}

/* Lanes without a block of the row search zeros. */
VEC_INLINE void q4_0_search_rest(rc_block_q4_0 *b, const float *x, const float *importance,
                                 size_t n, float spread)
{
    float values[VEC * RC_BLOCK_SMALL] = { 0 }, weights[VEC * RC_BLOCK_SMALL] = { 0 };
    rc_block_q4_0 blocks[VEC];

    memcpy(values, x, n * sizeof *x);
    memcpy(weights, importance, n * sizeof *importance);
    q4_0_search(blocks, values, weights, spread);
    memcpy(b, blocks, n / RC_BLOCK_SMALL * sizeof *b);
}

VEC_INLINE void q4_0_row(uint8_t *restrict out, const float *restrict x,
                         const float *restrict importance, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    const size_t batch = VEC * RC_BLOCK_SMALL;
    rc_block_q4_0 *b = (rc_block_q4_0 *)(void *)out;

    if (importance) {
        const float spread = rc_q4_0_spread(x, n);
        size_t at = 0;
        for (; at + batch <= n; at += batch, b += VEC)
            q4_0_search(b, x + at, importance + at, spread);
        if (at < n)
            q4_0_search_rest(b, x + at, importance + at, n - at, spread);
    } else {
        for (size_t at = 0; at < n; at += RC_BLOCK_SMALL)
            q4_0_block(b++, x + at);
    }
    rc_rounding_leave(saved);
}

#define NEAREST_ROWS(isa)                                                                          \
    void rc_quant_q8_0_##isa(uint8_t *restrict out, const float *restrict x,                       \
                             const float *restrict importance, size_t n)                           \
    {                                                                                              \
        (void)importance;                                                                          \
        q8_0_row(out, x, n);                                                                       \
    }                                                                                              \
    void rc_quant_mxfp4_##isa(uint8_t *restrict out, const float *restrict x,                      \
                              const float *restrict importance, size_t n)                          \
    {                                                                                              \
        (void)importance;                                                                          \
        mxfp4_row(out, x, n);                                                                      \
    }                                                                                              \
    void rc_quant_q4_0_##isa(uint8_t *restrict out, const float *restrict x,                       \
                             const float *restrict importance, size_t n)                           \
    {                                                                                              \
        q4_0_row(out, x, importance, n);                                                           \
    }

#endif

#endif
