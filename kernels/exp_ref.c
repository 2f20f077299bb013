/* kernels/exp_ref.c */
#include "kernels/exp.h"

#include <math.h>
#include <stdint.h>

#include "kernels/codes.h"
#include "kernels/exp_terms.h"
#include "kernels/lanes.h"
#include "kernels/rounding.h"

static float exp_one(float x)
{
    float shifted, n, r, p;

    if (isnan(x))
        return rc_f32_of_bits(RC_F32_NAN);
    if (x < RC_EXP_LEAST)
        return 0;
    if (x > RC_EXP_MOST)
        return INFINITY;
    shifted = fmaf(x, RC_EXP_INV_LOG2, RC_EXP_ROUND);
    n = shifted - RC_EXP_ROUND;
    r = fmaf(-n, RC_EXP_LOG2_HIGH, x);
    r = fmaf(-n, RC_EXP_LOG2_LOW, r);
    p = fmaf(RC_EXP_C6, r, RC_EXP_C5);
    p = fmaf(p, r, RC_EXP_C4);
    p = fmaf(p, r, RC_EXP_C3);
    p = fmaf(p, r, RC_EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    /* The shift leaves n alone: the bits of ROUND above it go out. */
    return rc_f32_of_bits(rc_f32_bits(p) + (rc_f32_bits(shifted) << 23));
}

float rc_exp_sum_ref(float *p, const float *s, size_t n, float m)
{
    const rc_rounding saved = rc_rounding_enter();
    float lane[RC_LANES] = { 0 };
    float sum;

    for (size_t i = 0; i < n; i++) {
        p[i] = exp_one(s[i] - m);
        lane[i % RC_LANES] += p[i];
    }
    sum = rc_rounding_pin(rc_lanes_fold_f32(lane));
    rc_rounding_leave(saved);
    return sum;
}

static float swiglu_one(float a, float b, float limit, float scale)
{
    const float z = a > limit ? limit : a; /* a NaN stays */
    const float low = b < -limit ? -limit : b;
    const float v = scale * (z / (1.0f + exp_one(-z)) * (low > limit ? limit : low));

    return isnan(v) ? rc_f32_of_bits(RC_F32_NAN) : v;
}

void rc_swiglu_ref(float *v, const float *a, const float *b, size_t n, float limit, float scale)
{
    const rc_rounding saved = rc_rounding_enter();

    for (size_t i = 0; i < n; i++)
        v[i] = swiglu_one(a[i], b[i], limit, scale);
    rc_rounding_leave(saved);
}

float rc_exp_f32(float x)
{
    const rc_rounding saved = rc_rounding_enter();
    const float y = rc_rounding_pin(exp_one(rc_rounding_pin(x)));

    rc_rounding_leave(saved);
    return y;
}

float rc_sigmoid_f32(float x)
{
    const rc_rounding saved = rc_rounding_enter();
    const float e = exp_one(-rc_rounding_pin(x));
    const float y = rc_rounding_pin(1.0f / (1.0f + e));

    rc_rounding_leave(saved);
    return y;
}

/* log(1 + e) = k log 2 + log(1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), and log(1 + f) =
 * 2 atanh(t), t = f / (2 + f), |t| <= 0.172. Its series is cut after t^11: an error of 2^-33.
 * A small e is f itself, so that nothing is lost beside the 1. */
static double log1p_of(double e)
{
    double f = e, k = 0, t, square, series;

    if (e >= 0x1.a827999fcef32p-2) { /* sqrt(2) - 1 */
        int exponent;
        double part = frexp(1.0 + e, &exponent);
        if (part < 0x1.6a09e667f3bcdp-1) {
            part *= 2;
            exponent--;
        }
        f = part - 1.0;
        k = exponent;
    }
    t = f / (2.0 + f);
    square = t * t;
    series = 1.0 / 11;
    for (int odd = 9; odd >= 1; odd -= 2)
        series = series * square + 1.0 / odd;
    return k * 0x1.62e42fefa39efp-1 + 2 * t * series;
}

float rc_softplus_f32(float x)
{
    const rc_rounding saved = rc_rounding_enter();
    const float e = exp_one(rc_rounding_pin(x));
    const float y = rc_rounding_pin(x > 20 ? x : (float)log1p_of((double)e));

    rc_rounding_leave(saved);
    return isnan(y) ? rc_f32_of_bits(RC_F32_NAN) : y;
}

const rc_exp_sum_impl rc_exp_sum_impls[] = {
    { "ref", 0, rc_exp_sum_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_exp_sum_avx2 },
    { "avx512", RC_CPU_AVX512, rc_exp_sum_avx512 },
#endif
    { 0 },
};

const rc_swiglu_impl rc_swiglu_impls[] = {
    { "ref", 0, rc_swiglu_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_swiglu_avx2 },
    { "avx512", RC_CPU_AVX512, rc_swiglu_avx512 },
#endif
    { 0 },
};

RC_CPU_DEFINE_BEST(exp_sum)
RC_CPU_DEFINE_BEST(swiglu)
