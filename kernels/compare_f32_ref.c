/* kernels/compare_f32_ref.c */
#include "kernels/compare_f32.h"

#include <math.h>

#include "kernels/lanes.h"
#include "kernels/rounding.h"

void rc_compare_f32_ref(rc_comparison *out, const float *a, const float *b, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    double aa[RC_LANES] = { 0 }, bb[RC_LANES] = { 0 }, ab[RC_LANES] = { 0 }, dd[RC_LANES] = { 0 };

    *out = RC_COMPARISON_NONE;
    for (size_t i = 0; i < n; i++) {
        const double x = (double)a[i], y = (double)b[i], d = x - y;
        const size_t lane = i % RC_LANES;

        out->nan_a += isnan(x) != 0;
        out->nan_b += isnan(y) != 0;
        out->inf_a += isinf(x) != 0;
        out->inf_b += isinf(y) != 0;
        if (isnan(x) && isnan(y))
            out->nan_both++;
        else if (x != y)
            out->differ++;
        if (!isfinite(x) || !isfinite(y))
            continue;
        aa[lane] = fma(x, x, aa[lane]);
        bb[lane] = fma(y, y, bb[lane]);
        ab[lane] = fma(x, y, ab[lane]);
        dd[lane] = fma(d, d, dd[lane]);
        if (fabs(d) > out->max_diff) {
            out->max_diff = fabs(d);
            out->max_at = i;
        }
    }
    out->aa = rc_lanes_fold(aa);
    out->bb = rc_lanes_fold(bb);
    out->ab = rc_lanes_fold(ab);
    out->dd = rc_lanes_fold(dd);
    rc_rounding_leave(saved);
}

void rc_comparison_add(rc_comparison *total, const rc_comparison *row, uint64_t first)
{
    const rc_rounding saved = rc_rounding_enter();

    total->aa += row->aa;
    total->bb += row->bb;
    total->ab += row->ab;
    total->dd += row->dd;
    total->differ += row->differ;
    total->nan_both += row->nan_both;
    total->nan_a += row->nan_a;
    total->nan_b += row->nan_b;
    total->inf_a += row->inf_a;
    total->inf_b += row->inf_b;
    if (row->max_at != UINT64_MAX &&
        (row->max_diff > total->max_diff ||
         (row->max_diff == total->max_diff && first + row->max_at < total->max_at))) {
        total->max_diff = row->max_diff;
        total->max_at = first + row->max_at;
    }
    rc_rounding_leave(saved);
}

const rc_compare_f32_impl rc_compare_f32_impls[] = {
    { "ref", 0, rc_compare_f32_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_compare_f32_avx2 },
    { "avx512", RC_CPU_AVX512, rc_compare_f32_avx512 },
#endif
    { 0 },
};

RC_CPU_DEFINE_BEST(compare_f32)
