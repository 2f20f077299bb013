/* kernels/compare_f32_avx512.c - equal rows first, then the general case.
 *
 * While the bits of a and b agree, aa, bb and ab are one sum and dd stays 0:
 * a quarter of the arithmetic, for what a lossless conversion always is. At the
 * first difference the sum becomes three. A NaN or infinity among equal bits
 * shows in the sum itself; the row then starts over in the general case. Pairs
 * that are left out enter as 0, which leaves a lane as it is. */
#include "kernels/compare_f32.h"

#include <immintrin.h>
#include <stdbool.h>

#include "kernels/lanes.h"
#include "kernels/rounding.h"

#define NOT_FINITE 0x99 /* vfpclass: quiet NaN, both infinities, signalling NaN */
#define ANY_NAN    0x81
#define ANY_INF    0x18

static inline __m512d low(__m512 x)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(x));
}

static inline __m512d high(__m512 x)
{
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
}

static inline uint64_t bits(__mmask16 m)
{
    return (uint64_t)__builtin_popcount(m);
}

static __attribute__((noinline)) __mmask16 count_special(rc_comparison *out, __m512 a, __m512 b)
{
    const __mmask16 na = _mm512_fpclass_ps_mask(a, ANY_NAN), nb = _mm512_fpclass_ps_mask(b, ANY_NAN);
    const __mmask16 ia = _mm512_fpclass_ps_mask(a, ANY_INF), ib = _mm512_fpclass_ps_mask(b, ANY_INF);

    out->nan_a += bits(na);
    out->nan_b += bits(nb);
    out->inf_a += bits(ia);
    out->inf_b += bits(ib);
    out->nan_both += bits(na & nb);
    out->differ -= bits(na & nb); /* the caller's comparison counts them */
    return na | nb | ia | ib;
}

static __attribute__((noinline)) void raise_max(rc_comparison *out, __m512d d0, __m512d d1,
                                                size_t first)
{
    double d[RC_LANES];

    _mm512_storeu_pd(d, d0);
    _mm512_storeu_pd(d + 8, d1);
    for (unsigned i = 0; i < RC_LANES; i++)
        if (d[i] > out->max_diff) {
            out->max_diff = d[i];
            out->max_at = first + i;
        }
}

static double fold(__m512d lo, __m512d hi)
{
    double lane[RC_LANES];

    _mm512_storeu_pd(lane, lo);
    _mm512_storeu_pd(lane + 8, hi);
    return rc_lanes_fold(lane);
}

void rc_compare_f32_avx512(rc_comparison *out, const float *a, const float *b, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    const __m512d zero = _mm512_setzero_pd();
    __m512d aa0 = zero, aa1 = zero, bb0, bb1, ab0, ab1, dd0 = zero, dd1 = zero;
    __m512d max = zero;
    size_t i = 0;

    *out = RC_COMPARISON_NONE;
    for (; i + 64 <= n; i += 64) {
        __m512 x[4];
        __m512i unequal = _mm512_setzero_si512();
        for (unsigned j = 0; j < 4; j++) {
            x[j] = _mm512_loadu_ps(a + i + 16 * j);
            const __m512i y = _mm512_loadu_si512(b + i + 16 * j);
            unequal = _mm512_ternarylogic_epi64(unequal, _mm512_castps_si512(x[j]), y, 0xf6);
        }
        if (_mm512_test_epi64_mask(unequal, unequal))
            break;
        for (unsigned j = 0; j < 4; j++) {
            const __m512d x0 = low(x[j]), x1 = high(x[j]);
            aa0 = _mm512_fmadd_pd(x0, x0, aa0);
            aa1 = _mm512_fmadd_pd(x1, x1, aa1);
        }
    }
    if (_mm512_fpclass_pd_mask(aa0, NOT_FINITE) | _mm512_fpclass_pd_mask(aa1, NOT_FINITE)) {
        aa0 = aa1 = zero;
        i = 0;
    }
    bb0 = ab0 = aa0;
    bb1 = ab1 = aa1;

    for (; i < n; i += 16) {
        const __mmask16 m = (__mmask16)(n - i >= 16 ? 0xffff : (1u << (n - i)) - 1);
        __m512 x = _mm512_maskz_loadu_ps(m, a + i), y = _mm512_maskz_loadu_ps(m, b + i);
        const __mmask16 unequal = _mm512_cmp_ps_mask(x, y, _CMP_NEQ_UQ);
        out->differ += bits(unequal);
        if (_mm512_fpclass_ps_mask(x, NOT_FINITE) | _mm512_fpclass_ps_mask(y, NOT_FINITE)) {
            const __mmask16 keep = (__mmask16)~count_special(out, x, y);
            x = _mm512_maskz_mov_ps(keep, x);
            y = _mm512_maskz_mov_ps(keep, y);
        }
        const __m512d x0 = low(x), x1 = high(x), y0 = low(y), y1 = high(y);
        aa0 = _mm512_fmadd_pd(x0, x0, aa0);
        aa1 = _mm512_fmadd_pd(x1, x1, aa1);
        bb0 = _mm512_fmadd_pd(y0, y0, bb0);
        bb1 = _mm512_fmadd_pd(y1, y1, bb1);
        ab0 = _mm512_fmadd_pd(x0, y0, ab0);
        ab1 = _mm512_fmadd_pd(x1, y1, ab1);
        if (!unequal)
            continue;
        const __m512d d0 = _mm512_sub_pd(x0, y0), d1 = _mm512_sub_pd(x1, y1);
        const __m512d m0 = _mm512_abs_pd(d0), m1 = _mm512_abs_pd(d1);
        dd0 = _mm512_fmadd_pd(d0, d0, dd0);
        dd1 = _mm512_fmadd_pd(d1, d1, dd1);
        if (_mm512_cmp_pd_mask(_mm512_max_pd(m0, m1), max, _CMP_GT_OQ)) {
            raise_max(out, m0, m1, i);
            max = _mm512_set1_pd(out->max_diff);
        }
    }
    out->aa = fold(aa0, aa1);
    out->bb = fold(bb0, bb1);
    out->ab = fold(ab0, ab1);
    out->dd = fold(dd0, dd1);
    rc_rounding_leave(saved);
}
