/* kernels/dequant_int4_ref.c */
#include "kernels/dequant_int4.h"

#include <math.h>

#include "kernels/codes.h"
#include "kernels/rounding.h"

void rc_dequant_int4_ref(float *restrict y, const uint8_t *restrict q, const float *restrict scale,
                         const uint8_t *restrict zero, size_t group, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();

    for (size_t i = 0; i < n; i++) {
        const int code = i & 1 ? q[i / 2] >> 4 : q[i / 2] & 15;
        const float v = (float)(code - (zero ? zero[i / group] : 8)) * scale[i / group];

        y[i] = isnan(v) ? rc_f32_of_bits(RC_F32_NAN) : v;
    }
    rc_rounding_leave(saved);
}

const rc_dequant_int4_impl rc_dequant_int4_impls[] = {
    { "ref", 0, rc_dequant_int4_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_dequant_int4_avx2 },
    { "avx512", RC_CPU_AVX512, rc_dequant_int4_avx512 },
#endif
    { 0 },
};

RC_CPU_DEFINE_BEST(dequant_int4)
