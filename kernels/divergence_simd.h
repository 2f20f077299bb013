/* kernels/divergence_simd.h - the formulas and loops that both vector variants have in common.
 *
 * The including file defines WIDTH (doubles in a register), the type `reg` and the steps declared
 * below. A tail is padded, and what comes of the padding is dropped. */
#ifndef RC_KERNELS_DIVERGENCE_SIMD_H
#define RC_KERNELS_DIVERGENCE_SIMD_H

#if defined(__AVX2__) /* nothing here is for files without an instruction set */

#include <math.h>
#include <string.h>

#include "kernels/divergence.h"
#include "kernels/exp64_terms.h"
#include "kernels/lanes.h"
#include "kernels/rounding.h"
#include "kernels/unroll.h"

#define REGS        (RC_LANES / WIDTH)
#define STEP_INLINE static inline __attribute__((always_inline))

STEP_INLINE reg reg_set(double x);
STEP_INLINE reg reg_load(const float *p); /* WIDTH floats */
STEP_INLINE void reg_store(double *p, reg x);
STEP_INLINE reg reg_add(reg a, reg b);
STEP_INLINE reg reg_sub(reg a, reg b);
STEP_INLINE reg reg_mul(reg a, reg b);
STEP_INLINE reg reg_fma(reg a, reg b, reg c);  /* a b + c */
STEP_INLINE reg reg_fnma(reg a, reg b, reg c); /* c - a b */
STEP_INLINE reg reg_scale(reg p, reg shifted); /* add the low bits of `shifted` to p's exponent */
/* Where x < bound, x not at most bound (or NaN), x == 0: yes, else no. */
STEP_INLINE reg reg_where_less(reg x, double bound, reg yes, reg no);
STEP_INLINE reg reg_where_past(reg x, double bound, reg yes, reg no);
STEP_INLINE reg reg_where_zero(reg x, reg yes, reg no);
STEP_INLINE int reg_any_less(reg x, double bound);

typedef struct power {
    reg y, n, square_p; /* exp(x); the n of exp64_terms.h, and r^2 P */
} power;

STEP_INLINE power power_of(reg x)
{
    const reg round = reg_set(RC_EXP64_ROUND);
    const reg shifted = reg_fma(x, reg_set(RC_EXP64_INV_LOG2), round);
    power out = { .n = reg_sub(shifted, round) };
    reg r = reg_fnma(out.n, reg_set(RC_EXP64_LOG2_HIGH), x), p = reg_set(RC_EXP64_C12), square;

    r = reg_fnma(out.n, reg_set(RC_EXP64_LOG2_LOW), r);
    p = reg_fma(p, r, reg_set(RC_EXP64_C11));
    p = reg_fma(p, r, reg_set(RC_EXP64_C10));
    p = reg_fma(p, r, reg_set(RC_EXP64_C9));
    p = reg_fma(p, r, reg_set(RC_EXP64_C8));
    p = reg_fma(p, r, reg_set(RC_EXP64_C7));
    p = reg_fma(p, r, reg_set(RC_EXP64_C6));
    p = reg_fma(p, r, reg_set(RC_EXP64_C5));
    p = reg_fma(p, r, reg_set(RC_EXP64_C4));
    p = reg_fma(p, r, reg_set(RC_EXP64_C3));
    p = reg_fma(p, r, reg_set(RC_EXP64_C2));
    square = reg_mul(r, r);
    out.square_p = reg_mul(square, p);
    out.y = reg_scale(reg_add(reg_fma(square, p, r), reg_set(1)), shifted);
    out.y = reg_where_less(x, RC_EXP64_LEAST, reg_set(0), out.y);
    out.y = reg_where_past(x, RC_EXP64_MOST, reg_add(x, reg_set((double)INFINITY)), out.y);
    return out;
}

/* p (exp(e) - 1 - e) of WIDTH places; difference = la - lb. */
STEP_INLINE reg term_of(const float *a, const float *b, reg la, reg lb, reg difference)
{
    const reg x = reg_load(a), y = reg_load(b);
    const reg log_p = reg_sub(x, la), e = reg_add(reg_sub(y, x), difference);
    const power p = power_of(log_p), ratio = power_of(e);
    const reg far = reg_sub(reg_sub(ratio.y, reg_set(1)), e);
    reg term = reg_mul(p.y, reg_where_zero(ratio.n, ratio.square_p, far));

    if (reg_any_less(log_p, RC_EXP64_LEAST))
        term = reg_where_less(log_p, RC_EXP64_LEAST, power_of(reg_sub(y, lb)).y, term);
    return term;
}

/* Add the first `left` terms of a tail, sum them all up, and answer with the one NaN. */
STEP_INLINE double finish(const reg sum[REGS], const reg tail[REGS], size_t left)
{
    double lane[RC_LANES], more[RC_LANES], total;

    RC_UNROLL
    for (unsigned j = 0; j < REGS; j++) {
        reg_store(lane + j * WIDTH, sum[j]);
        reg_store(more + j * WIDTH, tail[j]);
    }
    for (size_t j = 0; j < left; j++)
        lane[j] += more[j];
    total = rc_lanes_fold(lane);
    return isnan(total) ? (double)NAN : total;
}

STEP_INLINE double exp_sum_of(const float *s, size_t n, double m)
{
    const rc_rounding saved = rc_rounding_enter();
    const reg most = reg_set(m);
    float rest[RC_LANES] = { 0 };
    reg sum[REGS], tail[REGS];
    size_t i = 0;
    double total;

    RC_UNROLL
    for (unsigned j = 0; j < REGS; j++)
        sum[j] = reg_set(0);
    for (; i + RC_LANES <= n; i += RC_LANES) {
        RC_UNROLL
        for (unsigned j = 0; j < REGS; j++)
            sum[j] = reg_add(sum[j], power_of(reg_sub(reg_load(s + i + j * WIDTH), most)).y);
    }
    if (i < n)
        memcpy(rest, s + i, (n - i) * sizeof *s);
    RC_UNROLL
    for (unsigned j = 0; j < REGS; j++)
        tail[j] = power_of(reg_sub(reg_load(rest + j * WIDTH), most)).y;
    total = rc_rounding_pin_f64(finish(sum, tail, n - i));
    rc_rounding_leave(saved);
    return total;
}

STEP_INLINE double divergence_of(const float *a, const float *b, size_t n, double la, double lb)
{
    const rc_rounding saved = rc_rounding_enter();
    const reg log_a = reg_set(rc_rounding_pin_f64(la)), log_b = reg_set(rc_rounding_pin_f64(lb));
    const reg difference = reg_sub(log_a, log_b);
    float x[RC_LANES] = { 0 }, y[RC_LANES] = { 0 };
    reg sum[REGS], tail[REGS];
    size_t i = 0;
    double total;

    RC_UNROLL
    for (unsigned j = 0; j < REGS; j++)
        sum[j] = reg_set(0);
    for (; i + RC_LANES <= n; i += RC_LANES) {
        RC_UNROLL
        for (unsigned j = 0; j < REGS; j++)
            sum[j] = reg_add(
                sum[j], term_of(a + i + j * WIDTH, b + i + j * WIDTH, log_a, log_b, difference));
    }
    if (i < n) {
        memcpy(x, a + i, (n - i) * sizeof *a);
        memcpy(y, b + i, (n - i) * sizeof *b);
    }
    RC_UNROLL
    for (unsigned j = 0; j < REGS; j++)
        tail[j] = term_of(x + j * WIDTH, y + j * WIDTH, log_a, log_b, difference);
    total = rc_rounding_pin_f64(finish(sum, tail, n - i));
    rc_rounding_leave(saved);
    return total;
}

#endif /* __AVX2__ */
#endif
