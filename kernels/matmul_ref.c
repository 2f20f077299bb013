/* kernels/matmul_ref.c */
#include "kernels/matmul.h"

#include <math.h>
#include <string.h>

#include "kernels/pair_sum.h"
#include "kernels/rounding.h"

void rc_matmul_f32_ref(float *y, size_t ldy, const float *const *w, size_t rows,
                       const float *const *x, size_t tokens, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();

    for (size_t t = 0; t < tokens; t++)
        for (size_t r = 0; r < rows; r++) {
            float lane[RC_PAIR_LANES] = { 0 };
            for (size_t i = 0; i < n; i++)
                lane[i % RC_PAIR_LANES] = fmaf(w[r][i], x[t][i], lane[i % RC_PAIR_LANES]);
            y[t * ldy + r] = rc_pair_fold(lane, false);
        }
    rc_rounding_leave(saved);
}

static float widen(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;

    memcpy(&x, &bits, sizeof x);
    return rc_flush(x);
}

void rc_matmul_bf16_ref(float *y, size_t ldy, const uint16_t *const *w, size_t rows,
                        const uint16_t *const *x, size_t tokens, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();

    for (size_t t = 0; t < tokens; t++)
        for (size_t r = 0; r < rows; r++) {
            float lane[RC_PAIR_LANES] = { 0 };
            for (size_t i = 0; i < n; i += 2) {
                float *sum = &lane[i / 2 % RC_PAIR_LANES];
                *sum = rc_bf16_step(widen(w[r][i + 1]), widen(x[t][i + 1]), *sum);
                *sum = rc_bf16_step(widen(w[r][i]), widen(x[t][i]), *sum);
            }
            y[t * ldy + r] = rc_pair_fold(lane, true);
        }
    rc_rounding_leave(saved);
}

const rc_matmul_f32_impl rc_matmul_f32_impls[] = {
    { "ref", 0, rc_matmul_f32_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_matmul_f32_avx2 },
    { "avx512", RC_CPU_AVX512, rc_matmul_f32_avx512 },
#endif
    { 0 },
};

const rc_matmul_bf16_impl rc_matmul_bf16_impls[] = {
    { "ref", 0, rc_matmul_bf16_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_matmul_bf16_avx2 },
    { "avx512", RC_CPU_AVX512, rc_matmul_bf16_avx512 },
    { "avx512bf16", RC_CPU_BF16, rc_matmul_bf16_avx512bf16 },
#endif
    { 0 },
};

RC_CPU_DEFINE_BEST(matmul_f32)
RC_CPU_DEFINE_BEST(matmul_bf16)
