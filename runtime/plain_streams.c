/* runtime/plain_streams.c - hyper-connections: N residual streams instead of one.
 *
 * Each sublayer reads a weighted sum of the streams, and its output is added to each of them
 * with a weight of its own, while the streams are mixed among themselves. All these weights come
 * out of the streams themselves, by a small matrix; the mixing matrix is made doubly stochastic,
 * so that mixing over many layers neither grows nor dies. */
#include <math.h>

#include "runtime/plain_impl.h"

/* m = (fn . f) / rms(f), f being all streams end to end: m [rows of fn], and its base [same],
 * scale [3 or 1]. */
static rc_code mixes(rc_plain *p, rc_pl_mix *mix, const double *h, double **m, double **base,
                     double *scale, rc_err *err)
{
    const double rms = rc_pl_rms(p, h, p->N * p->D);

    RC_TRY(rc_pl_take(p, m, mix->fn.rows, err));
    RC_TRY(rc_pl_take(p, base, mix->base.cols, err));
    RC_TRY(rc_pl_product(p, &mix->fn, h, *m, err));
    RC_TRY(rc_pl_row(p, &mix->base, 0, *base, err));
    RC_TRY(rc_pl_row(p, &mix->scale, 0, scale, err));
    for (size_t i = 0; i < mix->fn.rows; i++)
        (*m)[i] *= rms;
    return RC_OK;
}

static void weighted_sum(const rc_plain *p, const double *pre, const double *h, double *u)
{
    for (size_t i = 0; i < p->D; i++) {
        u[i] = 0;
        for (size_t j = 0; j < p->N; j++)
            u[i] += pre[j] * h[j * p->D + i];
    }
}

static void softmax_rows(double *b, size_t n, double eps)
{
    for (double *row = b; row < b + n * n; row += n) {
        double max = row[0], sum = 0;

        for (size_t k = 1; k < n; k++)
            max = fmax(max, row[k]);
        for (size_t k = 0; k < n; k++) {
            row[k] = exp(row[k] - max);
            sum += row[k];
        }
        for (size_t k = 0; k < n; k++)
            row[k] = row[k] / sum + eps;
    }
}

/* Divide each run of n elements by its sum: rows (step 1 inside, n between) or columns. */
static void divide_by_sums(double *b, size_t n, size_t inside, size_t between, double eps)
{
    for (size_t j = 0; j < n; j++) {
        double sum = 0;

        for (size_t k = 0; k < n; k++)
            sum += b[j * between + k * inside];
        for (size_t k = 0; k < n; k++)
            b[j * between + k * inside] /= sum + eps;
    }
}

/* Sinkhorn: rows and columns divided by their sums in turn, until all sums are near 1. */
static void make_doubly_stochastic(const rc_plain *p, double *b)
{
    const double eps = p->config->hc_eps;

    softmax_rows(b, p->N, eps);
    divide_by_sums(b, p->N, p->N, 1, eps);
    for (uint32_t i = 1; i < p->config->hc_sinkhorn_iters; i++) {
        divide_by_sums(b, p->N, 1, p->N, eps);
        divide_by_sums(b, p->N, p->N, 1, eps);
    }
}

/* The rows of fn: N for pre, N for post, N x N for comb (from stream j to stream k in row j). */
rc_code rc_pl_gather(rc_plain *p, rc_pl_mix *mix, const double *h, double *u, double *post,
                     double *comb, rc_err *err)
{
    const size_t N = p->N;
    double *m, *base, *pre, scale[3];

    RC_TRY(rc_pl_take(p, &pre, N, err));
    RC_TRY(mixes(p, mix, h, &m, &base, scale, err));
    for (size_t j = 0; j < N; j++) {
        pre[j] = rc_pl_sigmoid(m[j] * scale[0] + base[j]) + p->config->hc_eps;
        post[j] = 2 * rc_pl_sigmoid(m[N + j] * scale[1] + base[N + j]);
    }
    for (size_t i = 0; i < N * N; i++)
        comb[i] = m[2 * N + i] * scale[2] + base[2 * N + i];
    make_doubly_stochastic(p, comb);
    weighted_sum(p, pre, h, u);
    return RC_OK;
}

rc_code rc_pl_scatter(rc_plain *p, const double *y, const double *post, const double *comb,
                      double *h, rc_err *err)
{
    double *old;

    RC_TRY(rc_pl_take(p, &old, p->N, err));
    for (size_t i = 0; i < p->D; i++) {
        for (size_t j = 0; j < p->N; j++)
            old[j] = h[j * p->D + i];
        for (size_t k = 0; k < p->N; k++) {
            double sum = 0;

            for (size_t j = 0; j < p->N; j++)
                sum += comb[j * p->N + k] * old[j];
            h[k * p->D + i] = post[k] * y[i] + sum;
        }
    }
    return RC_OK;
}

/* Only a weighted sum: nothing goes back to the streams. */
rc_code rc_pl_output_of(rc_plain *p, rc_pl_output *o, const double *h, double *hidden,
                        double *normed, rc_err *err)
{
    double *m, *base, scale[1];

    RC_TRY(mixes(p, &o->mix, h, &m, &base, scale, err));
    for (size_t j = 0; j < p->N; j++)
        m[j] = rc_pl_sigmoid(m[j] * scale[0] + base[j]) + p->config->hc_eps;
    weighted_sum(p, m, h, hidden);
    return rc_pl_norm(p, &o->norm, hidden, normed, err);
}
