/* kernels/dequant_blocks_simd.h - what the vector variants have in common.
 *
 * Every type comes down to signed byte codes times a scale, of some types less a min, for
 * sixteen elements at a time. Unpacking codes is byte arithmetic on vectors of 32 bytes,
 * written once, here; a variant supplies the steps below. Blocks whose scale is
 * infinite or NaN are the reference's, so no result here is a NaN.
 *
 * Scales are themselves codes times d, hence spread() makes them too, sixteen at a time. */
#ifndef RC_KERNELS_DEQUANT_BLOCKS_SIMD_H
#define RC_KERNELS_DEQUANT_BLOCKS_SIMD_H

#if defined(__AVX2__) /* nothing here is for files without an instruction set */

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/block_tables.h"
#include "kernels/codes.h"
#include "kernels/dequant_blocks.h"
#include "kernels/rounding.h"
#include "kernels/unroll.h"

typedef uint8_t bytes __attribute__((vector_size(32))); /* arithmetic element by element */

/* The steps of a variant: y[i] = q[i] * d; -q[i] where bit i is set; and for 32 elements, of
 * which each half has a scale, the first step, and that less a min. The latter two alone
 * make results, so they choose the order of elements; scales are always in theirs. */
static inline void spread(float y[16], __m128i q, float d);
static inline __m256i negated(__m256i q, uint32_t minus);
static inline void spread32(float y[32], __m256i q, float d0, float d1);
static inline void spread32_min(float y[32], __m256i q, const float d[2], const float m[2]);

static inline bytes load(const uint8_t p[32])
{
    bytes v;

    memcpy(&v, p, sizeof v);
    return v;
}

static inline __m128i load16(const uint8_t p[16])
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline bool finite(const uint8_t f16[2])
{
    return (f16[1] & 0x7c) != 0x7c;
}

static inline float f16_at(const uint8_t f16[2])
{
    return _cvtsh_ss(rc_u16_at(f16));
}

/* Sixteen bytes of codes, split: low nibbles, then high ones. */
static inline __m256i split16(const uint8_t qs[16])
{
    const __m128i x = load16(qs);

    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(x, 4), x), _mm256_set1_epi8(15));
}

static inline __m256i looked_up(const int8_t table[16], __m256i q)
{
    const __m128i t = _mm_loadu_si128((const __m128i *)(const void *)table);

    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(t), q);
}

static inline void spread_k4(float *y, bytes q, float d, float m)
{
    spread32_min(y, (__m256i)q, (const float[2]){ d, d }, (const float[2]){ m, m });
}

/* Two more steps, for 32 split nibbles that stand for the sixteen values of a table; and for 64,
 * numbers themselves, each half with a scale and a min. A variant may have its own. */
#if !defined(DEQUANT_BLOCKS_OWN_NIBBLES)
static inline void spread_split(float y[32], const uint8_t qs[16], const int8_t table[16], float d)
{
    spread32(y, looked_up(table, split16(qs)), d, d);
}

static inline void spread_nibbles(float y[64], const uint8_t qs[32], const float d[2],
                                  const float m[2])
{
    const bytes x = load(qs);

    spread_k4(y, x & 15, d[0], m[0]);
    spread_k4(y + 32, x >> 4, d[1], m[1]);
}
#else
static inline void spread_split(float y[32], const uint8_t qs[16], const int8_t table[16], float d);
static inline void spread_nibbles(float y[64], const uint8_t qs[32], const float d[2],
                                  const float m[2]);
#endif

static inline bool q4_0(float *y, const rc_block_q4_0 *b)
{
    static const int8_t values[16] = { -8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7 };

    spread_split(y, b->qs, values, f16_at(b->d));
    return finite(b->d);
}

static inline bool q8_0(float *y, const rc_block_q8_0 *b)
{
    const float d = f16_at(b->d);

    spread32(y, (__m256i)load(b->qs), d, d);
    return finite(b->d);
}

/* Codes are doubled, so the scale is halved: 2^(e-128). No subnormal, here or in the result,
 * so it works where they count as zero; the two scales that would need one are rare. */
static inline bool mxfp4(float *y, const rc_block_mxfp4 *b)
{
    const float d = rc_f32_of_bits((uint32_t)(b->e - 1) << 23);

    spread_split(y, b->qs, rc_e2m1_doubled, d);
    return b->e >= 2 && b->e != RC_E8M0_NAN;
}

/* Half the scale. The exponent field of an E4M3 is that of an f32 with another bias. */
static inline float ue4m3_half(uint8_t e)
{
    return e == RC_E4M3_NAN ? 0.0f : rc_f32_of_bits((e & 0x7fu) << 20) * 0x1p119f;
}

static inline bool nvfp4(float *y, const rc_block_nvfp4 *b)
{
    for (unsigned t = 0; t < 4; t += 2) { /* a split run is 8 bytes, so two make a vector */
        const __m256i v = looked_up(rc_e2m1_doubled, split16(b->qs + 8 * t));
        spread32(y + 16 * t, _mm256_permute4x64_epi64(v, _MM_SHUFFLE(3, 1, 2, 0)),
                 ue4m3_half(b->d[t]), ue4m3_half(b->d[t + 1]));
    }
    return true;
}

static inline bool q2_k(float *y, const rc_block_q2_k *b)
{
    const __m128i sc = load16(b->scales), nibble = _mm_set1_epi8(15);
    float d[16], m[16];

    spread(d, _mm_and_si128(sc, nibble), f16_at(b->d));
    spread(m, _mm_and_si128(_mm_srli_epi16(sc, 4), nibble), f16_at(b->dmin));
    for (unsigned h = 0; h < 2; h++) {
        const bytes x = load(b->qs + 32 * h);
        RC_UNROLL
        for (unsigned t = 0; t < 4; t++) {
            const unsigned s = 8 * h + 2 * t;
            spread32_min(y + 16 * s, (__m256i)(x >> 2 * t & 3), d + s, m + s);
        }
    }
    return finite(b->d) && finite(b->dmin);
}

static inline bool q3_k(float *y, const rc_block_q3_k *b)
{
    const uint32_t lo = rc_u32_at(b->scales), hi = rc_u32_at(b->scales + 4);
    const uint32_t top = rc_u32_at(b->scales + 8), nibble = 0x0f0f0f0f, two = 0x03030303;
    const __m128i sc = _mm_setr_epi32((int)((lo & nibble) | (top & two) << 4),
                                      (int)((hi & nibble) | (top >> 2 & two) << 4),
                                      (int)((lo >> 4 & nibble) | (top >> 4 & two) << 4),
                                      (int)((hi >> 4 & nibble) | (top >> 6 & two) << 4));
    const bytes mask = load(b->hmask);
    float d[16];

    spread(d, _mm_sub_epi8(sc, _mm_set1_epi8(32)), f16_at(b->d));
    for (unsigned h = 0; h < 2; h++) {
        const bytes x = load(b->qs + 32 * h), high = mask >> 4 * h;
        RC_UNROLL
        for (unsigned t = 0; t < 4; t++) {
            const unsigned s = 8 * h + 2 * t;
            const bytes q = (x >> 2 * t & 3) + ((high >> t & 1) << 2) - 4;
            spread32(y + 16 * s, (__m256i)q, d[s], d[s + 1]);
        }
    }
    return finite(b->d);
}

/* Eight scales d and mins m of Q4_K and Q5_K; the other halves of the arrays are filler. */
static inline void k4_scales(float d[16], float m[16], const uint8_t s[12], float all, float min)
{
    const uint32_t a = rc_u32_at(s), b = rc_u32_at(s + 4), c = rc_u32_at(s + 8);
    const uint32_t six = 0x3f3f3f3f, nibble = 0x0f0f0f0f, two = 0x03030303;
    const uint32_t d4 = (c & nibble) | (a >> 6 & two) << 4;
    const uint32_t m4 = (c >> 4 & nibble) | (b >> 6 & two) << 4;

    spread(d, _mm_setr_epi32((int)(a & six), (int)d4, 0, 0), all);
    spread(m, _mm_setr_epi32((int)(b & six), (int)m4, 0, 0), min);
}

static inline bool q4_k(float *y, const rc_block_q4_k *b)
{
    float d[16], m[16];

    k4_scales(d, m, b->scales, f16_at(b->d), f16_at(b->dmin));
    for (unsigned s = 0; s < 8; s += 2)
        spread_nibbles(y + 32 * s, b->qs + 16 * s, d + s, m + s);
    return finite(b->d) && finite(b->dmin);
}

static inline bool q5_k(float *y, const rc_block_q5_k *b)
{
    const bytes high = load(b->qh);
    float d[16], m[16];

    k4_scales(d, m, b->scales, f16_at(b->d), f16_at(b->dmin));
    RC_UNROLL
    for (unsigned s = 0; s < 8; s += 2) {
        const bytes x = load(b->qs + 16 * s);
        spread_k4(y + 32 * s, (x & 15) | (high >> s & 1) << 4, d[s], m[s]);
        spread_k4(y + 32 * s + 32, x >> 4 | (high >> (s + 1) & 1) << 4, d[s + 1], m[s + 1]);
    }
    return finite(b->d) && finite(b->dmin);
}

static inline bool q6_k(float *y, const rc_block_q6_k *b)
{
    float d[16];

    spread(d, load16(b->scales), f16_at(b->d));
    for (unsigned h = 0; h < 2; h++) {
        const bytes low[2] = { load(b->ql + 64 * h), load(b->ql + 64 * h + 32) };
        const bytes high = load(b->qh + 32 * h);
        RC_UNROLL
        for (unsigned t = 0; t < 4; t++) {
            const unsigned s = 8 * h + 2 * t;
            const bytes q = (low[t % 2] >> t / 2 * 4 & 15) | (high >> 2 * t & 3) << 4;
            spread32(y + 16 * s, (__m256i)(q - 32), d[s], d[s + 1]);
        }
    }
    return finite(b->d);
}

static inline bool iq2_xxs(float *y, const rc_block_iq2_xxs *b)
{
    const float d = f16_at(b->d);

    for (unsigned s = 0; s < 8; s++) {
        const uint8_t *sub = b->qs + 8 * s;
        const uint32_t w = rc_u32_at(sub + 4);
        /* seven signs a byte, then their parity for the eighth: bits 0 .. 3 of p are free
         * of the next byte's after the first step, fewer after each */
        uint32_t minus =
            (w & 0x7f) | (w << 1 & 0x7f00) | (w << 2 & 0x7f0000) | (w << 3 & 0x7f000000);
        uint32_t p = minus ^ minus >> 4;
        p ^= p >> 2;
        p ^= p >> 1;
        minus |= (p & 0x01010101) << 7;
        const __m256i q = _mm256_setr_epi64x(
            (long long)rc_iq2_xxs_grid[sub[0]], (long long)rc_iq2_xxs_grid[sub[1]],
            (long long)rc_iq2_xxs_grid[sub[2]], (long long)rc_iq2_xxs_grid[sub[3]]);
        const float scale = d * (0.5f + (float)(int)(w >> 28)) * 0.25f;
        spread32(y + 32 * s, negated(q, minus), scale, scale);
    }
    return finite(b->d);
}

static inline bool iq4_xs(float *y, const rc_block_iq4_xs *b)
{
    const float d = f16_at(b->d);

    for (unsigned s = 0; s < 8; s++) {
        const float scale = d * (float)(rc_iq4_xs_scale(b, s) - 32);
        spread_split(y + 32 * s, b->qs + 16 * s, rc_iq4_values, scale);
    }
    return finite(b->d);
}

#define DEQUANT_BLOCKS_ROW(type, nelems, isa)                                                      \
    void rc_dequant_##type##_##isa(float *restrict y, const uint8_t *restrict blocks, size_t n)    \
    {                                                                                              \
        const rc_rounding saved = rc_rounding_enter();                                             \
        for (size_t i = 0; i < n; i += nelems, blocks += sizeof(rc_block_##type))                  \
            if (!type(y + i, (const rc_block_##type *)(const void *)blocks))                       \
                rc_dequant_##type##_ref(y + i, blocks, nelems);                                    \
        rc_rounding_leave(saved);                                                                  \
    }

#endif

#endif
