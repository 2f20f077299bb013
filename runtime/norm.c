/* runtime/norm.c - RMSNorm. */
#include "runtime/norm.h"

#include <math.h>

#include "kernels/act_round.h"
#include "runtime/threads.h"

void rc_norm_row(rc_numerics nm, float *y, const float *x, const float *w, size_t n, double eps)
{
    const float mean = rc_sum_squares_best()(x, n) / (float)n;
    const float scale = 1.0f / sqrtf(mean + (float)eps);

    for (size_t i = 0; i < n; i++)
        y[i] = w[i] * (x[i] * scale);
    rc_round_bf16(nm, y, n);
}

void rc_norm_rows(rc_numerics nm, unsigned threads, float *x, const float *w, size_t rows, size_t n,
                  double eps)
{
    RC_PARALLEL(rc_threads_for(threads, rows), for schedule(static))
    for (size_t t = 0; t < rows; t++)
        rc_norm_row(nm, x + t * n, x + t * n, w, n, eps);
}

enum { LANES = 16, STRIP = 128 };

/* sum of bf16(x^2), element i to lane i % 16: the squares are rounded, so this is not the sum of
 * squares that a kernel has. */
static float sum_rounded_squares(const float *x, size_t n)
{
    float lane[LANES] = { 0 }, square[STRIP];

    for (size_t i = 0; i < n; i += STRIP) {
        const size_t len = n - i < STRIP ? n - i : STRIP;

        for (size_t j = 0; j < len; j++)
            square[j] = x[i + j] * x[i + j];
        rc_round_bf16(RC_NUMERICS_NATIVE, square, len);
        for (size_t j = 0; j < len; j++)
            lane[j % LANES] += square[j];
    }
    for (size_t h = LANES / 2; h; h /= 2)
        for (size_t j = 0; j < h; j++)
            lane[j] += lane[j + h];
    return lane[0];
}

void rc_norm_head(rc_numerics nm, float *x, size_t n, double eps)
{
    const bool native = nm == RC_NUMERICS_NATIVE;
    float v = (native ? sum_rounded_squares(x, n) : rc_sum_squares_best()(x, n)) / (float)n;

    rc_round_bf16(nm, &v, 1);
    v += (float)eps;
    rc_round_bf16(nm, &v, 1);
    v = 1.0f / sqrtf(v);
    rc_round_bf16(nm, &v, 1);
    for (size_t i = 0; i < n; i++)
        x[i] *= v;
    rc_round_bf16(nm, x, n);
}
