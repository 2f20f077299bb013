/* runtime/attend.c - core attention of one position. */
#include "runtime/attend.h"

#include <math.h>

#include "kernels/exp.h"
#include "kernels/matmul.h"
#include "kernels/weighted_sum.h"

enum { LANES = 16 };

/* Scale in place and return the largest. In lanes, for a chain of comparisons would take longer
 * than the products that made the scores; a maximum does not mind the order. */
static float scale_scores(float *s, size_t n, float scale)
{
    float lane[LANES], m = -INFINITY;
    size_t i = 0;

    for (size_t j = 0; j < LANES; j++)
        lane[j] = m;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            const float v = s[i + j] * scale;

            s[i + j] = v;
            lane[j] = v > lane[j] ? v : lane[j];
        }
    for (; i < n; i++) {
        s[i] *= scale;
        lane[0] = s[i] > lane[0] ? s[i] : lane[0];
    }
    for (size_t j = 0; j < LANES; j++)
        m = lane[j] > m ? lane[j] : m;
    return m;
}

/* n is a multiple of the lanes. */
static void divide(float *o, size_t n, float by)
{
    for (size_t i = 0; i < n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            o[i + j] /= by;
}

void rc_attend(rc_numerics nm, float *o, const float *q, size_t heads, size_t dim,
               const float *const *key, size_t n, const float *sink, float *score)
{
    const float scale = (float)(1 / sqrt((double)dim));
    rc_exp_sum_fn *const exp_sum = rc_exp_sum_best();
    const float *query[RC_ATTEND_HEADS];
    float below[RC_ATTEND_HEADS];

    for (size_t h = 0; h < heads; h++)
        query[h] = q + h * dim;
    rc_matmul_f32_best()(score, n, key, n, query, heads, dim);
    for (size_t h = 0; h < heads; h++) {
        float *const p = score + h * n;
        const float m = scale_scores(p, n, scale);

        below[h] = exp_sum(p, p, n, m) + rc_exp_f32(sink[h] - m);
        rc_round_bf16(nm, p, n);
    }
    rc_weighted_sum_best()(o, dim, score, n, heads, key, n, dim);
    for (size_t h = 0; h < heads; h++)
        divide(o + h * dim, dim, below[h]);
    rc_round_bf16(nm, o, heads * dim);
}
