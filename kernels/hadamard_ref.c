/* kernels/hadamard_ref.c */
#include <math.h>

#include "kernels/act_round.h"
#include "kernels/codes.h"
#include "kernels/hadamard_scale.h"
#include "kernels/rounding.h"

static void butterflies(float *y, size_t n, size_t span)
{
    for (size_t i = 0; i < n; i += 2 * span)
        for (size_t j = i; j < i + span; j++) {
            const float a = y[j], b = y[j + span];
            y[j] = a + b;
            y[j + span] = a - b;
        }
}

void rc_hadamard_ref(float *y, const float *x, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    const float scale = rc_hadamard_scale(n);

    if (y != x)
        memcpy(y, x, n * sizeof *y);
    for (size_t span = 1; span < n; span *= 2)
        butterflies(y, n, span);
    for (size_t i = 0; i < n; i++) {
        const float v = y[i] * scale;
        y[i] = isnan(v) ? rc_f32_of_bits(RC_F32_NAN) : v;
    }
    rc_rounding_leave(saved);
}

const rc_hadamard_impl rc_hadamard_impls[] = {
    { "ref", 0, rc_hadamard_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_hadamard_avx2 },
    { "avx512", RC_CPU_AVX512, rc_hadamard_avx512 },
#endif
    { 0 },
};

RC_CPU_DEFINE_BEST(hadamard)
