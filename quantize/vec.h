/* quantize/vec.h - one vector of floats, as wide as the file that includes it is compiled for.
 *
 * Code above this header is written once and compiled for each instruction set; without any of
 * them a vector is one float. Floats add,
 * subtract, multiply and divide with the C operators, which round as scalars do; the rest is
 * here. Comparisons with NaN are false, min and max give their second operand then. */
#ifndef RC_QUANTIZE_VEC_H
#define RC_QUANTIZE_VEC_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "kernels/unroll.h"

#define VEC_INLINE static inline __attribute__((always_inline, unused))

#if defined(__AVX512F__)
#define VEC 16u
typedef __m512 vec;
typedef __m512i veci;
typedef __mmask16 vecm;

VEC_INLINE vec vec_of(float x)
{
    return _mm512_set1_ps(x);
}
VEC_INLINE vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
VEC_INLINE void vec_store(float *p, vec x)
{
    _mm512_storeu_ps(p, x);
}
VEC_INLINE vec vec_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}
VEC_INLINE vec vec_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}
VEC_INLINE vec vec_sqrt(vec x)
{
    return _mm512_sqrt_ps(x);
}
VEC_INLINE vec vec_abs(vec x)
{
    return _mm512_abs_ps(x);
}
/* To the nearest integer, ties to even. */
VEC_INLINE vec vec_round(vec x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
VEC_INLINE vecm vec_less(vec a, vec b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
VEC_INLINE vecm vec_at_most(vec a, vec b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ);
}
VEC_INLINE vecm vec_equal(vec a, vec b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}
VEC_INLINE vecm vec_and(vecm a, vecm b)
{
    return a & b;
}
VEC_INLINE vecm vec_and_not(vecm a, vecm b)
{
    return (vecm)(a & ~b);
}
VEC_INLINE vecm vec_or(vecm a, vecm b)
{
    return a | b;
}
VEC_INLINE bool vec_any(vecm m)
{
    return m != 0;
}
VEC_INLINE bool vec_all(vecm m)
{
    return m == 0xffff;
}
/* Bit k is lane k. */
VEC_INLINE unsigned vec_lanes(vecm m)
{
    return m;
}
VEC_INLINE vec vec_pick(vecm m, vec yes, vec no)
{
    return _mm512_mask_blend_ps(m, no, yes);
}
VEC_INLINE veci veci_of(int32_t x)
{
    return _mm512_set1_epi32(x);
}
VEC_INLINE veci veci_clamp(veci x, veci low, veci high)
{
    return _mm512_min_epi32(_mm512_max_epi32(x, low), high);
}
VEC_INLINE veci veci_and(veci a, veci b)
{
    return _mm512_and_si512(a, b);
}
VEC_INLINE veci veci_add(veci a, veci b)
{
    return _mm512_add_epi32(a, b);
}
VEC_INLINE veci vec_bits(vec x)
{
    return _mm512_castps_si512(x);
}
VEC_INLINE vec vec_from(veci x)
{
    return _mm512_cvtepi32_ps(x);
}
/* Cut towards zero. */
VEC_INLINE veci vec_whole(vec x)
{
    return _mm512_cvttps_epi32(x);
}
/* The low bytes of all elements. */
VEC_INLINE void veci_store_bytes(uint8_t *p, veci x)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(x));
}

/* A VEC x VEC matrix: rows become columns. */
VEC_INLINE void vec_transpose(vec r[VEC])
{
    vec t[VEC];

    RC_UNROLL for (unsigned i = 0; i < VEC; i += 2)
    {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    RC_UNROLL for (unsigned i = 0; i < VEC; i += 4)
    {
        for (unsigned k = 0; k < 2; k++) {
            const __m512d a = _mm512_castps_pd(t[i + k]), b = _mm512_castps_pd(t[i + k + 2]);
            r[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            r[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    }
    RC_UNROLL for (unsigned k = 0; k < 4; k++)
    {
        for (unsigned i = 0; i < VEC; i += 8) {
            t[i + k] = _mm512_shuffle_f32x4(r[i + k], r[i + k + 4], 0x88);
            t[i + k + 4] = _mm512_shuffle_f32x4(r[i + k], r[i + k + 4], 0xdd);
        }
    }
    RC_UNROLL for (unsigned k = 0; k < 8; k++)
    {
        r[k] = _mm512_shuffle_f32x4(t[k], t[k + 8], 0x88);
        r[k + 8] = _mm512_shuffle_f32x4(t[k], t[k + 8], 0xdd);
    }
}
#elif defined(__AVX2__)
#define VEC 8u
typedef __m256 vec;
typedef __m256i veci;
typedef __m256 vecm; /* all bits of an element, or none */

VEC_INLINE vec vec_of(float x)
{
    return _mm256_set1_ps(x);
}
VEC_INLINE vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
VEC_INLINE void vec_store(float *p, vec x)
{
    _mm256_storeu_ps(p, x);
}
VEC_INLINE vec vec_min(vec a, vec b)
{
    return _mm256_min_ps(a, b);
}
VEC_INLINE vec vec_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}
VEC_INLINE vec vec_sqrt(vec x)
{
    return _mm256_sqrt_ps(x);
}
VEC_INLINE vec vec_abs(vec x)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}
VEC_INLINE vec vec_round(vec x)
{
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
VEC_INLINE vecm vec_less(vec a, vec b)
{
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}
VEC_INLINE vecm vec_at_most(vec a, vec b)
{
    return _mm256_cmp_ps(a, b, _CMP_LE_OQ);
}
VEC_INLINE vecm vec_equal(vec a, vec b)
{
    return _mm256_cmp_ps(a, b, _CMP_EQ_OQ);
}
VEC_INLINE vecm vec_and(vecm a, vecm b)
{
    return _mm256_and_ps(a, b);
}
VEC_INLINE vecm vec_and_not(vecm a, vecm b)
{
    return _mm256_andnot_ps(b, a);
}
VEC_INLINE vecm vec_or(vecm a, vecm b)
{
    return _mm256_or_ps(a, b);
}
VEC_INLINE bool vec_any(vecm m)
{
    return _mm256_movemask_ps(m) != 0;
}
VEC_INLINE bool vec_all(vecm m)
{
    return _mm256_movemask_ps(m) == 0xff;
}
VEC_INLINE unsigned vec_lanes(vecm m)
{
    return (unsigned)_mm256_movemask_ps(m);
}
VEC_INLINE vec vec_pick(vecm m, vec yes, vec no)
{
    return _mm256_blendv_ps(no, yes, m);
}
VEC_INLINE veci veci_of(int32_t x)
{
    return _mm256_set1_epi32(x);
}
VEC_INLINE veci veci_clamp(veci x, veci low, veci high)
{
    return _mm256_min_epi32(_mm256_max_epi32(x, low), high);
}
VEC_INLINE veci veci_and(veci a, veci b)
{
    return _mm256_and_si256(a, b);
}
VEC_INLINE veci veci_add(veci a, veci b)
{
    return _mm256_add_epi32(a, b);
}
VEC_INLINE veci vec_bits(vec x)
{
    return _mm256_castps_si256(x);
}
VEC_INLINE vec vec_from(veci x)
{
    return _mm256_cvtepi32_ps(x);
}
VEC_INLINE veci vec_whole(vec x)
{
    return _mm256_cvttps_epi32(x);
}
VEC_INLINE void veci_store_bytes(uint8_t *p, veci x)
{
    const __m256i low = _mm256_and_si256(x, _mm256_set1_epi32(0xff));
    const __m128i words =
        _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));

    _mm_storel_epi64((__m128i *)(void *)p, _mm_packus_epi16(words, words));
}

VEC_INLINE void vec_transpose(vec r[VEC])
{
    vec t[VEC];

    RC_UNROLL for (unsigned i = 0; i < VEC; i += 2)
    {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    RC_UNROLL for (unsigned i = 0; i < VEC; i += 4)
    {
        for (unsigned k = 0; k < 2; k++) {
            const __m256d a = _mm256_castps_pd(t[i + k]), b = _mm256_castps_pd(t[i + k + 2]);
            r[i + 2 * k] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
            r[i + 2 * k + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
        }
    }
    RC_UNROLL for (unsigned k = 0; k < 4; k++)
    {
        t[k] = _mm256_permute2f128_ps(r[k], r[k + 4], 0x20);
        t[k + 4] = _mm256_permute2f128_ps(r[k], r[k + 4], 0x31);
    }
    RC_UNROLL for (unsigned k = 0; k < VEC; k++)
    {
        r[k] = t[k];
    }
}
#else
#define VEC 1u
typedef float vec;
typedef int32_t veci;
typedef bool vecm;

VEC_INLINE vec vec_of(float x)
{
    return x;
}
VEC_INLINE vec vec_load(const float *p)
{
    return *p;
}
VEC_INLINE void vec_store(float *p, vec x)
{
    *p = x;
}
VEC_INLINE vec vec_min(vec a, vec b)
{
    return a < b ? a : b;
}
VEC_INLINE vec vec_max(vec a, vec b)
{
    return a > b ? a : b;
}
VEC_INLINE vec vec_sqrt(vec x)
{
    return sqrtf(x);
}
VEC_INLINE vec vec_abs(vec x)
{
    return fabsf(x);
}
VEC_INLINE vec vec_round(vec x)
{
    return fabsf(x) < 0x1p22f ? x + 0x1.8p23f - 0x1.8p23f : x; /* where it matters */
}
VEC_INLINE vecm vec_less(vec a, vec b)
{
    return a < b;
}
VEC_INLINE vecm vec_at_most(vec a, vec b)
{
    return a <= b;
}
VEC_INLINE vecm vec_equal(vec a, vec b)
{
    return a == b;
}
VEC_INLINE vecm vec_and(vecm a, vecm b)
{
    return a && b;
}
VEC_INLINE vecm vec_and_not(vecm a, vecm b)
{
    return a && !b;
}
VEC_INLINE vecm vec_or(vecm a, vecm b)
{
    return a || b;
}
VEC_INLINE bool vec_any(vecm m)
{
    return m;
}
VEC_INLINE bool vec_all(vecm m)
{
    return m;
}
VEC_INLINE unsigned vec_lanes(vecm m)
{
    return m;
}
VEC_INLINE vec vec_pick(vecm m, vec yes, vec no)
{
    return m ? yes : no;
}
VEC_INLINE veci veci_of(int32_t x)
{
    return x;
}
VEC_INLINE veci veci_clamp(veci x, veci low, veci high)
{
    return x < low ? low : x > high ? high : x;
}
VEC_INLINE veci veci_and(veci a, veci b)
{
    return a & b;
}
VEC_INLINE veci veci_add(veci a, veci b)
{
    return a + b;
}
VEC_INLINE veci vec_bits(vec x)
{
    veci bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}
VEC_INLINE vec vec_from(veci x)
{
    return (vec)x;
}
VEC_INLINE veci vec_whole(vec x)
{
    return (veci)x;
}
VEC_INLINE void veci_store_bytes(uint8_t *p, veci x)
{
    *p = (uint8_t)x;
}
VEC_INLINE void vec_transpose(vec r[VEC])
{
    (void)r;
}
#endif

/* VEC rows of n floats, `stride` apart: element i of row k to lane k of out[i * step]. Reads, and
 * writes, n rounded up to whole vectors. */
VEC_INLINE void vec_load_rows_apart(vec *out, size_t step, const float *rows, size_t stride,
                                    unsigned n)
{
    for (unsigned from = 0; from < n; from += VEC) {
        vec r[VEC];
        RC_UNROLL for (unsigned k = 0; k < VEC; k++)
        {
            r[k] = vec_load(rows + k * stride + from);
        }
        vec_transpose(r);
        RC_UNROLL for (unsigned k = 0; k < VEC; k++)
        {
            out[(from + k) * step] = r[k];
        }
    }
}

VEC_INLINE void vec_load_rows(vec *out, const float *rows, size_t stride, unsigned n)
{
    vec_load_rows_apart(out, 1, rows, stride, n);
}

#endif
