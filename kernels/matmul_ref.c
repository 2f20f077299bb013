/* kernels/matmul_ref.c */
#include "kernels/matmul.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/rounding.h"

/* A subnormal is a zero of its sign. */
static float flush(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}

static float fold(float lane[RC_PAIR_LANES], bool flushed)
{
    for (unsigned half = RC_PAIR_LANES / 2; half > 0; half /= 2)
        for (unsigned j = 0; j < half; j++) {
            const float sum = lane[j] + lane[j + half];
            lane[j] = flushed ? flush(sum) : sum;
        }
    return lane[0];
}

void rc_matmul_f32_ref(float *y, size_t ldy, const float *const *w, size_t rows,
                       const float *const *x, size_t tokens, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();

    for (size_t t = 0; t < tokens; t++)
        for (size_t r = 0; r < rows; r++) {
            float lane[RC_PAIR_LANES] = { 0 };
            for (size_t i = 0; i < n; i++)
                lane[i % RC_PAIR_LANES] = fmaf(w[r][i], x[t][i], lane[i % RC_PAIR_LANES]);
            y[t * ldy + r] = fold(lane, false);
        }
    rc_rounding_leave(saved);
}

static float widen(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;

    memcpy(&x, &bits, sizeof x);
    return flush(x);
}

/* One half of VDPBF16PS. A result is subnormal if it is below 2^-126 when rounded to 24 bits
 * with no lower bound on the exponent. fmaf() has that bound, and rounds some of
 * those to 2^-126: this value alone is looked at again, 60 binades up, where nothing
 * underflows. (Nothing overflows: an operand above 2^67 leaves no bits as low as 2^-126.) */
static float step(float a, float b, float sum)
{
    const float r = fmaf(a, b, sum);

    if (fabsf(r) == 0x1p-126f && fabsf(fmaf(a * 0x1p60f, b, sum * 0x1p60f)) < 0x1p-66f)
        return copysignf(0, r);
    return flush(r);
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
                *sum = step(widen(w[r][i + 1]), widen(x[t][i + 1]), *sum);
                *sum = step(widen(w[r][i]), widen(x[t][i]), *sum);
            }
            y[t * ldy + r] = fold(lane, true);
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
