/* kernels/compare_f32_avx2.c - as the AVX-512 variant, which explains it.
 *
 * Sixteen lanes of double are four registers a sum. */
#include "kernels/compare_f32.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/lanes.h"
#include "kernels/rounding.h"

#define QUARTERS 4u

static inline __m256d four(const float *x)
{
    return _mm256_cvtps_pd(_mm_loadu_ps(x));
}

static double fold(const __m256d sum[QUARTERS])
{
    double lane[RC_LANES];

    for (unsigned j = 0; j < QUARTERS; j++)
        _mm256_storeu_pd(lane + 4 * j, sum[j]);
    return rc_lanes_fold(lane);
}

/* Counts what is not finite among sixteen pairs and makes those pairs 0. */
static __attribute__((noinline)) void drop_special(rc_comparison *out, float *x, float *y)
{
    for (unsigned i = 0; i < RC_LANES; i++) {
        out->nan_a += isnan(x[i]) != 0;
        out->nan_b += isnan(y[i]) != 0;
        out->inf_a += isinf(x[i]) != 0;
        out->inf_b += isinf(y[i]) != 0;
        if (isnan(x[i]) && isnan(y[i])) {
            out->nan_both++;
            out->differ--; /* the caller's comparison counts them */
        }
        if (!isfinite(x[i]) || !isfinite(y[i]))
            x[i] = y[i] = 0;
    }
}

static __attribute__((noinline)) void raise_max(rc_comparison *out, const float *x, const float *y,
                                                size_t first)
{
    for (unsigned i = 0; i < RC_LANES; i++) {
        const double d = fabs((double)x[i] - (double)y[i]);
        if (d > out->max_diff) {
            out->max_diff = d;
            out->max_at = first + i;
        }
    }
}

static inline int special(__m256i x)
{
    const __m256i exponent = _mm256_set1_epi32(0x7f800000);

    return _mm256_movemask_epi8(_mm256_cmpeq_epi32(_mm256_and_si256(x, exponent), exponent));
}

void rc_compare_f32_avx2(rc_comparison *out, const float *a, const float *b, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    __m256d aa[QUARTERS], bb[QUARTERS], ab[QUARTERS], dd[QUARTERS], max = _mm256_setzero_pd();
    int strange = 0;
    size_t i = 0;

    *out = RC_COMPARISON_NONE;
    for (unsigned j = 0; j < QUARTERS; j++)
        aa[j] = dd[j] = _mm256_setzero_pd();
    for (; i + RC_LANES <= n; i += RC_LANES) {
        const __m256i u = _mm256_xor_si256(
            _mm256_loadu_si256((const __m256i *)(const void *)(a + i)),
            _mm256_loadu_si256((const __m256i *)(const void *)(b + i)));
        const __m256i v = _mm256_xor_si256(
            _mm256_loadu_si256((const __m256i *)(const void *)(a + i + 8)),
            _mm256_loadu_si256((const __m256i *)(const void *)(b + i + 8)));
        const __m256i unequal = _mm256_or_si256(u, v);
        if (!_mm256_testz_si256(unequal, unequal))
            break;
        for (unsigned j = 0; j < QUARTERS; j++) {
            const __m256d x = four(a + i + 4 * j);
            aa[j] = _mm256_fmadd_pd(x, x, aa[j]);
        }
    }
    for (unsigned j = 0; j < QUARTERS; j++) /* infinity - infinity and NaN are unordered */
        strange |= _mm256_movemask_pd(
            _mm256_cmp_pd(_mm256_sub_pd(aa[j], aa[j]), _mm256_setzero_pd(), _CMP_UNORD_Q));
    if (strange) {
        for (unsigned j = 0; j < QUARTERS; j++)
            aa[j] = _mm256_setzero_pd();
        i = 0;
    }
    for (unsigned j = 0; j < QUARTERS; j++)
        bb[j] = ab[j] = aa[j];

    for (; i < n; i += RC_LANES) {
        const size_t left = n - i < RC_LANES ? n - i : RC_LANES;
        const float *x = a + i, *y = b + i;
        float padded[2][RC_LANES];
        __m256i x0, x1, y0, y1;

        if (left < RC_LANES) {
            memset(padded, 0, sizeof padded);
            memcpy(padded[0], x, left * sizeof *x);
            memcpy(padded[1], y, left * sizeof *y);
            x = padded[0];
            y = padded[1];
        }
        x0 = _mm256_loadu_si256((const __m256i *)(const void *)x);
        x1 = _mm256_loadu_si256((const __m256i *)(const void *)(x + 8));
        y0 = _mm256_loadu_si256((const __m256i *)(const void *)y);
        y1 = _mm256_loadu_si256((const __m256i *)(const void *)(y + 8));
        const unsigned unequal =
            (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_castsi256_ps(x0),
                                                       _mm256_castsi256_ps(y0), _CMP_NEQ_UQ)) |
            (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_castsi256_ps(x1),
                                                       _mm256_castsi256_ps(y1), _CMP_NEQ_UQ))
                << 8;
        out->differ += (unsigned)__builtin_popcount(unequal);
        if (special(x0) | special(x1) | special(y0) | special(y1)) {
            memmove(padded[0], x, sizeof padded[0]);
            memmove(padded[1], y, sizeof padded[1]);
            x = padded[0];
            y = padded[1];
            drop_special(out, padded[0], padded[1]);
        }
        for (unsigned j = 0; j < QUARTERS; j++) {
            const __m256d p = four(x + 4 * j), q = four(y + 4 * j), d = _mm256_sub_pd(p, q);
            aa[j] = _mm256_fmadd_pd(p, p, aa[j]);
            bb[j] = _mm256_fmadd_pd(q, q, bb[j]);
            ab[j] = _mm256_fmadd_pd(p, q, ab[j]);
            dd[j] = _mm256_fmadd_pd(d, d, dd[j]);
            const __m256d m = _mm256_andnot_pd(_mm256_set1_pd(-0.0), d);
            if (_mm256_movemask_pd(_mm256_cmp_pd(m, max, _CMP_GT_OQ))) {
                raise_max(out, x, y, i); /* all sixteen: again for a later quarter is harmless */
                max = _mm256_set1_pd(out->max_diff);
            }
        }
    }
    out->aa = fold(aa);
    out->bb = fold(bb);
    out->ab = fold(ab);
    out->dd = fold(dd);
    rc_rounding_leave(saved);
}
