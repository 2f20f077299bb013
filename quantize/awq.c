/* quantize/awq.c - statistics of weights, and the scales of a ratio. */
#include "quantize/awq.h"

#include <math.h>

#include "kernels/divergence.h"
#include "kernels/rounding.h"

#define LEAST 1e-4

void rc_awq_weight_mean_add(double *sum, const float *row, size_t k, unsigned group)
{
    const rc_rounding saved = rc_rounding_enter();

    for (size_t at = 0; at < k; at += group) {
        float max = 0;
        for (size_t i = at; i < at + group; i++)
            max = fabsf(row[i]) > max ? fabsf(row[i]) : max;
        const double inverse = 1 / ((double)max + 1e-6);
        for (size_t i = at; i < at + group; i++)
            sum[i] += (double)fabsf(row[i]) * inverse;
    }
    rc_rounding_leave(saved);
}

double rc_awq_power(double x, double y)
{
    if (y == 0)
        return 1;
    return x == 0 ? 0 : rc_exp_f64(y * rc_log_f64(x));
}

/* 0: no number. */
static double wish(double x_mean, double w_mean, double ratio)
{
    const double s = rc_awq_power(x_mean, ratio) / (rc_awq_power(w_mean, 1 - ratio) + LEAST);

    if (!(s < (double)INFINITY)) /* infinite, or NaN */
        return 0;
    return s > LEAST ? s : LEAST;
}

/* 2^k with s / 2^k in [1 / sqrt(2), sqrt(2)). */
static double nearest_power(double s)
{
    int k;
    const double f = frexp(s, &k); /* 0.5 <= f < 1 */

    return ldexp(1, f < 0x1.6a09e667f3bcdp-1 ? k - 1 : k);
}

void rc_awq_scales(float *s, const double *x_mean, const double *w_mean, size_t k, double ratio,
                   bool snap)
{
    const rc_rounding saved = rc_rounding_enter();
    double least = (double)INFINITY, most = 0;

    ratio = rc_rounding_pin_f64(ratio);
    for (size_t i = 0; i < k; i++) {
        const double want = wish(x_mean[i], w_mean[i], ratio);
        if (want > 0) {
            least = want < least ? want : least;
            most = want > most ? want : most;
        }
    }
    const double middle = sqrt(most * least);
    for (size_t i = 0; i < k; i++) {
        const double want = wish(x_mean[i], w_mean[i], ratio), to = want / middle;
        if (want > 0)
            s[i] = (float)(snap ? nearest_power(to) : to);
        else
            s[i] = 1;
    }
    rc_rounding_leave(saved);
}
