/* quantize/int4_moments.c - from second moments to the factor of the error feedback.
 *
 * With H = V D V^T, V unit upper triangular and D diagonal, H^-1 = V^-T D^-1 V^-1: its upper
 * Cholesky factor is U = D^-1/2 V^-1, and U divided by its diagonal is V^-1. So H is never
 * inverted. V comes from the last column on; both steps work in the upper triangle, the lower one
 * keeps H for another attempt. */
#include <math.h>
#include <string.h>

#include "kernels/rounding.h"
#include "quantize/int4.h"

enum { ATTEMPTS = 64 };

/* False: H with `add` on its diagonal is not positive definite. d: D. */
static bool factor(double *h, const double *diagonal, double add, size_t n, double *d)
{
    for (size_t j = n; j-- > 0;) {
        double v[RC_INT4_BLOCK]; /* row j of V times D */
        double rest = diagonal[j] + add;
        for (size_t k = j + 1; k < n; k++) {
            v[k] = h[j * n + k] * d[k];
            rest -= h[j * n + k] * v[k];
        }
        d[j] = rest;
        if (!(rest > 0) || !(rest < (double)INFINITY))
            return false;
        for (size_t i = 0; i < j; i++) {
            double sum = h[j * n + i];
            for (size_t k = j + 1; k < n; k++)
                sum -= h[i * n + k] * v[k];
            h[i * n + j] = sum / rest;
        }
    }
    return true;
}

/* V to V^-1: column j of it is that of the identity, less what later columns of V put there. */
static void invert(double *h, size_t n)
{
    for (size_t j = n; j-- > 0;)
        for (size_t i = j; i-- > 0;) {
            double sum = h[i * n + j];
            for (size_t k = i + 1; k < j; k++)
                sum += h[i * n + k] * h[k * n + j];
            h[i * n + j] = -sum;
        }
}

static void finish(double *h, size_t n, const double *d, bool good)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            if (j < i || (j > i && !good))
                h[i * n + j] = 0;
            else if (j == i)
                h[i * n + j] = good ? 1 / sqrt(d[i]) : 1;
        }
}

static void prepare(double *h, size_t n, double damp)
{
    double diagonal[RC_INT4_BLOCK], d[RC_INT4_BLOCK], mean = 0;
    bool good = false;

    for (size_t i = 0; i < n; i++) {
        diagonal[i] = h[i * n + i];
        mean += diagonal[i];
    }
    mean /= (double)n;
    for (unsigned k = 0; k < ATTEMPTS && !good && mean > 0; k++) {
        good = factor(h, diagonal, damp * mean, n, d);
        damp = damp > 0 ? 2 * damp : 1e-6;
    }
    if (good)
        invert(h, n);
    finish(h, n, d, good);
}

void rc_int4_feedback_prepare(double *h, size_t n, double damp)
{
    const rc_rounding saved = rc_rounding_enter();

    prepare(h, n, rc_rounding_pin_f64(damp));
    rc_rounding_leave(saved);
}
