/* kernels/bf16_ref.c */
#include "kernels/bf16.h"

#include "kernels/codes.h"

/* Through memcpy: a float that passes a register of the x87 would lose payloads. */
void rc_bf16_to_f32_ref(float *restrict y, const uint16_t *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = (uint32_t)x[i] << 16;
        memcpy(y + i, &bits, sizeof bits);
    }
}

size_t rc_f32_to_bf16_ref(uint16_t *restrict y, const float *restrict x, size_t n)
{
    size_t inexact = 0;

    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = rc_f32_bits(x[i]);
        y[i] = rc_bf16_round(x[i]);
        inexact += (bits & 0x7fffffffu) <= 0x7f800000u && (bits & 0xffff) != 0;
    }
    return inexact;
}

const rc_bf16_to_f32_impl rc_bf16_to_f32_impls[] = {
    { "ref", 0, rc_bf16_to_f32_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_bf16_to_f32_avx2 },
    { "avx512", RC_CPU_AVX512, rc_bf16_to_f32_avx512 },
#endif
    { 0 },
};

const rc_f32_to_bf16_impl rc_f32_to_bf16_impls[] = {
    { "ref", 0, rc_f32_to_bf16_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_f32_to_bf16_avx2 },
    { "avx512", RC_CPU_AVX512, rc_f32_to_bf16_avx512 },
#endif
    { 0 },
};

RC_CPU_DEFINE_BEST(bf16_to_f32)
RC_CPU_DEFINE_BEST(f32_to_bf16)
