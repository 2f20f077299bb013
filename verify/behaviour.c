/* verify/behaviour.c - see behaviour.h.
 *
 * Of every position three numbers are kept, in the order of the text. Means, deviations from them
 * and quantiles are all taken from these at the end: no difference of large sums. */
#include "verify/behaviour.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/divergence.h"

struct rc_behaviour_sum {
    rc_mem *mem;
    uint64_t vocab, positions;
    size_t most, n;          /* there is room for, and held: not broken */
    double *kl, *logprob[2]; /* [n] */
    double *work;            /* [n] */
    uint64_t same_top;
    uint64_t shared[2][RC_TOP + 1]; /* positions with so many of 5, of 10 candidates in common */
    uint64_t tails;
    double tail_sum, tail_max;
    size_t nworst;
    rc_moment worst[RC_WORST];
};

static const unsigned overlaps[2] = { 5, 10 };

double rc_kl_bin_from(unsigned i)
{
    static const double decade[] = { 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4,
                                     1e-3,  1e-2, 1e-1, 1,    10,   100 };
    static const double quarter[] = { 1, 1.7782794100389228, 3.1622776601683795,
                                      5.6234132519034908 };

    return decade[i / 4] * quarter[i % 4];
}

rc_code rc_behaviour_new(rc_behaviour_sum **out, size_t positions, uint64_t vocab, rc_mem *mem,
                         rc_err *err)
{
    rc_behaviour_sum *s = rc_mem_get(mem, sizeof *s);
    uint64_t nbytes;

    *out = NULL;
    if (!s)
        return rc_fail_nomem(err, mem, sizeof *s);
    if (!rc_mul_u64(positions, 4 * sizeof *s->kl, &nbytes) || nbytes > SIZE_MAX)
        nbytes = SIZE_MAX; /* more than there is */
    *s = (rc_behaviour_sum){ .mem = mem, .vocab = vocab, .most = positions };
    s->kl = nbytes == SIZE_MAX ? NULL : rc_mem_get(mem, (size_t)nbytes);
    if (!s->kl) {
        rc_mem_put(mem, s);
        return rc_fail_nomem(err, mem, (size_t)nbytes);
    }
    s->logprob[0] = s->kl + positions;
    s->logprob[1] = s->logprob[0] + positions;
    s->work = s->logprob[1] + positions;
    *out = s;
    return RC_OK;
}

void rc_behaviour_free(rc_behaviour_sum **sum)
{
    if (*sum) {
        rc_mem *mem = (*sum)->mem;
        rc_mem_put(mem, (*sum)->kl);
        rc_mem_put(mem, *sum);
    }
    *sum = NULL;
}

static bool among(uint32_t id, const rc_candidate *top, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        if (top[k].id == id)
            return true;
    return false;
}

/* How many of a's first n candidates are among b's first n. */
static unsigned in_common(const rc_saying *a, const rc_saying *b, unsigned n)
{
    unsigned count = 0;

    for (unsigned k = 0; k < n && a->top[k].id != RC_NO_TOKEN; k++)
        count += among(a->top[k].id, b->top, n);
    return count;
}

/* Positions come in order: of equal ones the earlier stays in front. */
static void keep_worst(rc_behaviour_sum *s, const rc_moment *m)
{
    size_t at;

    if (m->kl == 0 || (s->nworst == RC_WORST && !(m->kl > s->worst[RC_WORST - 1].kl)))
        return;
    if (s->nworst < RC_WORST)
        s->nworst++;
    for (at = s->nworst - 1; at && m->kl > s->worst[at - 1].kl; at--)
        s->worst[at] = s->worst[at - 1];
    s->worst[at] = *m;
}

void rc_behaviour_add(rc_behaviour_sum *s, uint64_t index, double kl, const rc_saying *native,
                      const rc_saying *converted, double tail)
{
    s->positions++;
    if (native->broken || converted->broken || !isfinite(kl))
        return;
    assert(s->n < s->most);
    s->kl[s->n] = kl;
    s->logprob[0][s->n] = native->logprob;
    s->logprob[1][s->n] = converted->logprob;
    s->n++;
    s->same_top += native->top[0].id == converted->top[0].id;
    for (unsigned i = 0; i < 2; i++)
        s->shared[i][in_common(native, converted, overlaps[i])]++;
    if (tail >= 0) {
        s->tails++;
        s->tail_sum += tail;
        s->tail_max = tail > s->tail_max ? tail : s->tail_max;
    }
    keep_worst(s, &(rc_moment){ .index = index, .kl = kl, .said = { *native, *converted } });
}

/* A standard error from the mean of squared deviations. */
static double error_of(double variance, size_t n)
{
    return n < 2 ? 0 : sqrt(variance / (double)(n - 1));
}

static rc_figure_se mean_of(const double *x, size_t n)
{
    double sum = 0, squares = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[i];
    const double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    return (rc_figure_se){ mean, error_of(squares / (double)n, n) };
}

/* Of a count of 0 .. k, as a share of k; held[c] positions have c. */
static rc_figure_se share_of(const uint64_t *held, unsigned k, size_t n)
{
    double sum = 0, squares = 0;

    for (unsigned c = 0; c <= k; c++)
        sum += (double)held[c] * c;
    const double mean = sum / (double)n;
    for (unsigned c = 0; c <= k; c++)
        squares += (double)held[c] * (c - mean) * (c - mean);
    return (rc_figure_se){ mean / k, error_of(squares / (double)n, n) / k };
}

static rc_figure_se exp_of(rc_figure_se m)
{
    const double value = rc_exp_f64(m.value);

    return (rc_figure_se){ value, value * m.se };
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t n, double q)
{
    const double h = (double)(n - 1) * q;
    const size_t below = (size_t)h, above = below + 1 < n ? below + 1 : below;

    return sorted[below] + (sorted[above] - sorted[below]) * (h - (double)below);
}

static unsigned bin_of(double kl)
{
    unsigned i = 0;

    while (i + 1 < RC_KL_BINS && kl >= rc_kl_bin_from(i + 1))
        i++;
    return i;
}

static void finish_kl(const rc_behaviour_sum *s, rc_behaviour *out)
{
    out->kl = mean_of(s->kl, s->n);
    memcpy(s->work, s->kl, s->n * sizeof *s->kl);
    qsort(s->work, s->n, sizeof *s->work, by_value);
    out->kl_median = quantile(s->work, s->n, 0.5);
    out->kl_p90 = quantile(s->work, s->n, 0.9);
    out->kl_p95 = quantile(s->work, s->n, 0.95);
    out->kl_p99 = quantile(s->work, s->n, 0.99);
    out->kl_p999 = quantile(s->work, s->n, 0.999);
    out->kl_max = s->work[s->n - 1];
    for (size_t i = 0; i < s->n; i++)
        if (s->kl[i] == 0)
            out->kl_zero++;
        else
            out->kl_bins[bin_of(s->kl[i])]++;
}

static void finish_perplexity(const rc_behaviour_sum *s, rc_behaviour *out)
{
    for (unsigned side = 0; side < 2; side++) {
        for (size_t i = 0; i < s->n; i++)
            s->work[i] = -s->logprob[side][i];
        out->ppl[side] = exp_of(mean_of(s->work, s->n));
    }
    for (size_t i = 0; i < s->n; i++)
        s->work[i] = s->logprob[0][i] - s->logprob[1][i];
    out->ppl_ratio = exp_of(mean_of(s->work, s->n));
}

static void take_dp(const rc_behaviour_sum *s)
{
    for (size_t i = 0; i < s->n; i++)
        s->work[i] = rc_exp_f64(s->logprob[1][i]) - rc_exp_f64(s->logprob[0][i]);
}

static void finish_dp(const rc_behaviour_sum *s, rc_behaviour *out)
{
    rc_figure_se square;

    take_dp(s);
    for (size_t i = 0; i < s->n; i++)
        s->work[i] *= s->work[i];
    square = mean_of(s->work, s->n);
    out->rms_dp.value = sqrt(square.value);
    if (square.value > 0)
        out->rms_dp.se = square.se / (2 * out->rms_dp.value);
    take_dp(s);
    out->mean_dp = mean_of(s->work, s->n);
    qsort(s->work, s->n, sizeof *s->work, by_value);
    out->dp_min = s->work[0];
    out->dp_p1 = quantile(s->work, s->n, 0.01);
    out->dp_p5 = quantile(s->work, s->n, 0.05);
    out->dp_median = quantile(s->work, s->n, 0.5);
    out->dp_p95 = quantile(s->work, s->n, 0.95);
    out->dp_p99 = quantile(s->work, s->n, 0.99);
    out->dp_max = s->work[s->n - 1];
}

void rc_behaviour_finish(rc_behaviour_sum *s, rc_behaviour *out)
{
    *out = (rc_behaviour){ .positions = s->positions,
                           .broken = s->positions - s->n,
                           .vocab = s->vocab,
                           .truncated = s->tails > 0 };
    if (s->n == 0)
        return;
    finish_kl(s, out);
    finish_perplexity(s, out);
    finish_dp(s, out);
    const uint64_t same[2] = { s->n - s->same_top, s->same_top };
    out->same_top = share_of(same, 1, s->n);
    rc_figure_se *const overlap[2] = { &out->overlap5, &out->overlap10 };
    for (unsigned i = 0; i < 2; i++)
        *overlap[i] =
            share_of(s->shared[i], overlaps[i] < s->vocab ? overlaps[i] : (unsigned)s->vocab, s->n);
    if (s->tails)
        out->tail_mean = s->tail_sum / (double)s->tails;
    out->tail_max = s->tail_max;
    out->nworst = s->nworst;
    memcpy(out->worst, s->worst, s->nworst * sizeof *s->worst);
}
