/* kernels/weighted_sum_ref.c */
#include "kernels/weighted_sum.h"

#include <math.h>

#include "kernels/rounding.h"

void rc_weighted_sum_ref(float *y, size_t ldy, const float *p, size_t ldp, size_t heads,
                         const float *const *k, size_t count, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();

    for (size_t h = 0; h < heads; h++)
        for (size_t d = 0; d < n; d++) {
            float sum = 0;
            for (size_t c = 0; c < count; c++)
                sum = fmaf(p[h * ldp + c], k[c][d], sum);
            y[h * ldy + d] = sum;
        }
    rc_rounding_leave(saved);
}

const rc_weighted_sum_impl rc_weighted_sum_impls[] = {
    { "ref", 0, rc_weighted_sum_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_weighted_sum_avx2 },
    { "avx512", RC_CPU_AVX512, rc_weighted_sum_avx512 },
#endif
    { 0 },
};

RC_CPU_DEFINE_BEST(weighted_sum)
