/* verify/stats.c - see stats.h. */
#include "verify/stats.h"

#include <math.h>

/* Only where the kernel saw something that is not finite: rare, so plain. */
static void find_incomparable(rc_stats *s, const float *a, const float *b, size_t n, uint64_t first)
{
    for (size_t i = 0; i < n; i++) {
        if (isfinite(a[i]) && isfinite(b[i]))
            continue;
        if (a[i] == b[i] || (isnan(a[i]) && isnan(b[i])))
            continue;
        if (s->bad_at == UINT64_MAX) {
            s->bad_at = first + i;
            s->bad_a = a[i];
            s->bad_b = b[i];
        }
        s->incomparable++;
    }
}

void rc_stats_add(rc_stats *s, const float *a, const float *b, size_t n, uint64_t first)
{
    rc_comparison c = RC_COMPARISON_NONE;

    rc_compare_f32_best()(&c, a, b, n);
    if (c.max_at != UINT64_MAX && c.max_diff > s->sum.max_diff) {
        s->max_a = a[c.max_at];
        s->max_b = b[c.max_at];
    }
    if (c.differ && c.nan_a + c.nan_b + c.inf_a + c.inf_b)
        find_incomparable(s, a, b, n, first);
    rc_comparison_add(&s->sum, &c, first);
    s->n += n;
}

void rc_stats_merge(rc_stats *s, const rc_stats *later)
{
    if (later->sum.max_diff > s->sum.max_diff) {
        s->max_a = later->max_a;
        s->max_b = later->max_b;
    }
    if (s->bad_at == UINT64_MAX) {
        s->bad_at = later->bad_at;
        s->bad_a = later->bad_a;
        s->bad_b = later->bad_b;
    }
    rc_comparison_add(&s->sum, &later->sum, 0);
    s->incomparable += later->incomparable;
    s->n += later->n;
    for (unsigned i = 0; i < RC_STATS_POWERS; i++)
        s->powers.dd[i] += later->powers.dd[i];
    s->powers.aa += later->powers.aa;
}

bool rc_stats_exact(const rc_stats *s)
{
    return s->sum.differ == 0;
}

bool rc_stats_place(const rc_stats *s, uint64_t *at, float *a, float *b)
{
    const bool bad = s->bad_at != UINT64_MAX;

    if (rc_stats_exact(s))
        return false;
    *at = bad ? s->bad_at : s->sum.max_at;
    *a = bad ? s->bad_a : s->max_a;
    *b = bad ? s->bad_b : s->max_b;
    return true;
}

double rc_stats_rel(const rc_stats *s)
{
    if (s->sum.dd == 0)
        return 0;
    return sqrt(s->sum.dd / s->sum.aa); /* aa 0: +inf */
}

double rc_stats_sqnr(const rc_stats *s)
{
    if (s->sum.dd == 0)
        return INFINITY;
    return 10 * log10(s->sum.aa / s->sum.dd); /* aa 0: -inf */
}

double rc_stats_cosine(const rc_stats *s)
{
    if (s->sum.dd == 0)
        return 1;
    if (s->sum.aa == 0 || s->sum.bb == 0)
        return 0;
    return s->sum.ab / (sqrt(s->sum.aa) * sqrt(s->sum.bb));
}
