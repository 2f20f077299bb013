/* kernels/pairs_ref.c */
#include "kernels/pairs.h"

void rc_pair_f32_ref(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i += RC_CHUNK)
        for (size_t j = 0; j < RC_PAIR_LANES; j++) {
            y[i + j] = x[i + 2 * j + 1];
            y[i + RC_PAIR_LANES + j] = x[i + 2 * j];
        }
}

void rc_unpair_f32_ref(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i += RC_CHUNK)
        for (size_t j = 0; j < RC_PAIR_LANES; j++) {
            y[i + 2 * j + 1] = x[i + j];
            y[i + 2 * j] = x[i + RC_PAIR_LANES + j];
        }
}

const rc_pair_f32_impl rc_pair_f32_impls[] = {
    { "ref", 0, rc_pair_f32_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_pair_f32_avx2 },
    { "avx512", RC_CPU_AVX512, rc_pair_f32_avx512 },
#endif
    { 0 },
};

const rc_unpair_f32_impl rc_unpair_f32_impls[] = {
    { "ref", 0, rc_unpair_f32_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_unpair_f32_avx2 },
    { "avx512", RC_CPU_AVX512, rc_unpair_f32_avx512 },
#endif
    { 0 },
};

RC_CPU_DEFINE_BEST(pair_f32)
RC_CPU_DEFINE_BEST(unpair_f32)
