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
    { 0 },
};

const rc_matmul_bf16_impl rc_matmul_bf16_impls[] = {
    { "ref", 0, rc_matmul_bf16_ref },
    { 0 },
};

RC_CPU_DEFINE_BEST(matmul_f32)
RC_CPU_DEFINE_BEST(matmul_bf16)
