/* quantize/search_lanes.h - the searches of search.h on VEC runs at once, one run a lane.
 *
 * Element i of all runs is vector i, so every lane does what the scalar does, operation by
 * operation and in its order: the results are the same to the bit. Where the scalar branches,
 * lanes that do not take the branch keep their values. Codes stay floats; instead of copying
 * the best ones along, a search returns from which scale they came. */
#ifndef RC_QUANTIZE_SEARCH_LANES_H
#define RC_QUANTIZE_SEARCH_LANES_H

#include <math.h>

#include "quantize/search.h"
#include "quantize/vec.h"

/* rc_search_round(), with whatever that gives out of range. */
VEC_INLINE veci lanes_round(vec x)
{
    const veci bits = veci_and(vec_bits(x + vec_of(RC_ROUND_MAGIC)), veci_of(0x7fffff));

    return veci_add(bits, veci_of(-0x400000));
}

VEC_INLINE vec lanes_round_within(vec x, int32_t low, int32_t high)
{
    return vec_from(veci_clamp(lanes_round(x), veci_of(low), veci_of(high)));
}

/* The same, sooner, for |x| <= 2^22 and whole limits. */
VEC_INLINE vec lanes_round_small(vec x, vec low, vec high)
{
    return vec_min(vec_max(vec_round(x), low), high);
}

VEC_INLINE vec lanes_extreme(const vec *x, unsigned n)
{
    vec largest = vec_of(0), value = vec_of(0);

    for (unsigned i = 0; i < n; i++) {
        const vecm more = vec_less(largest, vec_abs(x[i]));
        largest = vec_pick(more, vec_abs(x[i]), largest);
        value = vec_pick(more, x[i], value);
    }
    return vec_pick(vec_less(largest, vec_of(RC_SEARCH_ZERO)), vec_of(0), value);
}

typedef struct lanes_signed {
    vec scale;
    vec inverse; /* codes are round(inverse * x) + top; 0 where all codes are 0 */
} lanes_signed;

/* Moments of the codes under two scales: half the loads, and two chains of sums. */
VEC_INLINE void lanes_signed_moments(const vec *x, const vec *wx, const vec *w, unsigned n, int top,
                                     bool finite, const vec inverse[2], vec lx[2], vec l2[2])
{
    const vec low = vec_of((float)-top), high = vec_of((float)(top - 1));

    lx[0] = lx[1] = l2[0] = l2[1] = vec_of(0);
    for (unsigned i = 0; i < n; i++) {
        const vec a = finite ? lanes_round_small(inverse[0] * x[i], low, high)
                             : lanes_round_within(inverse[0] * x[i], -top, top - 1);
        const vec b = finite ? lanes_round_small(inverse[1] * x[i], low, high)
                             : lanes_round_within(inverse[1] * x[i], -top, top - 1);
        lx[0] += wx[i] * a;
        lx[1] += wx[i] * b;
        l2[0] += w[i] * a * a;
        l2[1] += w[i] * b * b;
    }
}

/* No branch: with so many lanes it would go either way, and a wrong guess costs more. */
VEC_INLINE void lanes_signed_better(lanes_signed *best, vec *least, vec inverse, vec lx, vec l2)
{
    const vecm better = vec_and(vec_less(vec_of(0), l2), vec_less(*least * l2, lx * lx));
    const vec scale = lx / l2;

    best->scale = vec_pick(better, scale, best->scale);
    best->inverse = vec_pick(better, inverse, best->inverse);
    *least = vec_pick(better, scale * lx, *least);
}

/* finite: so are all x, and no product with a scale is out of range. */
VEC_INLINE lanes_signed lanes_search_signed_any(const vec *x, const vec *w, unsigned n, int top,
                                                bool finite)
{
    /* in the scalar's order; the last once more, which changes nothing, to make pairs */
    static const float steps[20] = { 0, -9, -8, -7, -6, -5, -4, -3, -2, -1,
                                     1, 2,  3,  4,  5,  6,  7,  8,  9,  9 };
    const vec max = lanes_extreme(x, n), zero = vec_of(0);
    const vecm zeros = vec_equal(max, zero);
    vec wx[RC_SEARCH_MAX], inverse[2], lx[2], l2[2], least = zero;
    lanes_signed best = { zero, zero };

    for (unsigned i = 0; i < n; i++)
        wx[i] = w[i] * x[i];
    for (unsigned k = 0; k < 20; k += 2) {
        inverse[0] = vec_of(-((float)top + 0.1f * steps[k])) / max;
        inverse[1] = vec_of(-((float)top + 0.1f * steps[k + 1])) / max;
        lanes_signed_moments(x, wx, w, n, top, finite, inverse, lx, l2);
        if (k == 0) { /* the first is taken whatever it is */
            best.inverse = inverse[0];
            best.scale = vec_pick(vec_equal(l2[0], zero), zero, lx[0] / l2[0]);
            least = best.scale * lx[0];
        } else
            lanes_signed_better(&best, &least, inverse[0], lx[0], l2[0]);
        lanes_signed_better(&best, &least, inverse[1], lx[1], l2[1]);
    }
    if (!finite) /* an infinite extreme: all codes are 0 + top, as NaN gives them */
        best.inverse = vec_pick(vec_equal(best.inverse, zero), vec_of(NAN), best.inverse);
    best.scale = vec_pick(zeros, zero, best.scale);
    best.inverse = vec_pick(zeros, zero, best.inverse);
    return best;
}

/* As rc_search_signed(), x finite. */
VEC_INLINE lanes_signed lanes_search_signed(const vec *x, const vec *w, unsigned n, int top)
{
    return lanes_search_signed_any(x, w, n, top, true);
}

typedef struct lanes_codes {
    vec l[RC_SEARCH_MAX];
    vec lx, l2; /* moments, as in search.c */
} lanes_codes;

/* The lanes in which code l is plainly the one that value x asks for, as the others are: most of
 * them. Without a division, so it leaves out what is near a tie. lx, l2: of the others. */
VEC_INLINE vecm lanes_at_rest(vec x, vec l, vec lx, vec l2, int top, bool positive)
{
    const vec near = vec_of(0.499f), far = vec_of(1e6f); /* within what lanes_round() rounds */
    const vec off = x * l2 - l * lx;
    const vec above = vec_pick(vec_equal(l, vec_of((float)(positive ? top : top - 1))), far, near);
    const vec below = positive ? near : vec_pick(vec_equal(l, vec_of((float)-top)), far, near);

    return vec_and(vec_less(off, above * lx), vec_less(vec_of(0) - below * lx, off));
}

/* Move the code of element i, in the lanes of `may` where that pays: descend_*() in search.c. */
VEC_INLINE bool lanes_descend(lanes_codes *c, unsigned i, vec x, vec w, int top, bool positive,
                              vecm may)
{
    const vec wx = w * x, old = c->l[i], zero = vec_of(0);
    vec lx = c->lx - wx * old, l2 = c->l2 - w * old * old;

    if (positive) { /* few runs, mostly at rest; the caller of signed ones has left those out */
        may = vec_and_not(may, lanes_at_rest(x, old, lx, l2, top, positive));
        if (!vec_any(may))
            return false;
    }
    const veci to = veci_clamp(lanes_round(x * l2 / lx), veci_of(positive ? INT32_MIN : -top),
                               veci_of(positive ? top : top - 1));
    may = vec_and(may, vec_less(zero, lx));
    if (positive)
        may = vec_and(may, vec_less(zero, l2));
    may = vec_and_not(may, vec_equal(vec_from(to), old));
    lx += wx * vec_from(to);
    l2 += w * vec_from(to) * vec_from(to);
    if (!positive)
        may = vec_and(may, vec_less(zero, l2));
    may = vec_and(may, vec_less(c->lx * c->lx * l2, lx * lx * c->l2));
    /* unsigned codes are bytes in the scalar, which matters when `to` is out of range */
    c->l[i] = vec_pick(may, vec_from(positive ? veci_and(to, veci_of(0xff)) : to), old);
    c->lx = vec_pick(may, lx, c->lx);
    c->l2 = vec_pick(may, l2, c->l2);
    return vec_any(may);
}

VEC_INLINE vec lanes_scale(const lanes_codes *c, vecm may)
{
    const vec zero = vec_of(0);

    return vec_pick(vec_and(may, vec_less(zero, c->l2)), c->lx / c->l2, zero);
}

VEC_INLINE void lanes_moments(lanes_codes *c, const vec *x, const vec *w, unsigned n)
{
    c->lx = c->l2 = vec_of(0);
    for (unsigned i = 0; i < n; i++) {
        c->lx += w[i] * x[i] * c->l[i];
        c->l2 += w[i] * c->l[i] * c->l[i];
    }
}

/* The codes under the scale that the extreme of x asks for; the lanes that are no zeros. */
VEC_INLINE vecm lanes_signed_first(lanes_codes *c, const vec *x, unsigned n, int top)
{
    const vec max = lanes_extreme(x, n), low = vec_of((float)-top), high = vec_of((float)(top - 1));
    const vec inverse = low / max;

    for (unsigned i = 0; i < n; i++)
        c->l[i] = lanes_round_small(inverse * x[i], low, high);
    return vec_and_not(vec_equal(low, low), vec_equal(max, vec_of(0)));
}

/* The scale of rc_search_signed_descent() for the lanes whose first codes stay, which are four in
 * five; *restless are the others. */
VEC_INLINE vec lanes_signed_at_rest(const vec *x, unsigned n, int top, vecm *restless)
{
    lanes_codes c;
    const vecm some = lanes_signed_first(&c, x, n, top);
    vecm rest = some;
    vec w[RC_SEARCH_MAX];

    for (unsigned i = 0; i < n; i++)
        w[i] = x[i] * x[i];
    lanes_moments(&c, x, w, n);
    for (unsigned i = 0; i < n; i++) {
        const vec l = c.l[i], lx = c.lx - w[i] * x[i] * l, l2 = c.l2 - w[i] * l * l;
        rest = vec_and(rest, lanes_at_rest(x[i], l, lx, l2, top, false));
    }
    *restless = vec_and_not(some, rest);
    return lanes_scale(&c, some);
}

/* The scale of rc_search_signed_descent(), for so many groups at once: a step waits for the one
 * before it, through a division, so other groups' steps are done meanwhile. */
#define DESCENTS 4u

VEC_INLINE void lanes_search_signed_descent(vec scale[DESCENTS], vec (*x)[RC_SEARCH_MAX],
                                            unsigned n, int top)
{
    lanes_codes c[DESCENTS];
    vec w[DESCENTS][RC_SEARCH_MAX];
    vecm some[DESCENTS];

    for (unsigned d = 0; d < DESCENTS; d++) {
        for (unsigned i = 0; i < n; i++)
            w[d][i] = x[d][i] * x[d][i];
        some[d] = lanes_signed_first(&c[d], x[d], n, top);
        lanes_moments(&c[d], x[d], w[d], n);
    }
    for (int pass = 0; pass < RC_SEARCH_PASSES; pass++) {
        bool moved = false;
        for (unsigned i = 0; i < n; i++)
            RC_UNROLL for (unsigned d = 0; d < DESCENTS; d++)
            {
                moved |= lanes_descend(&c[d], i, x[d][i], w[d][i], top, false, some[d]);
            }
        if (!moved)
            break; /* a lane that comes to rest before the others stays at rest */
    }
    for (unsigned d = 0; d < DESCENTS; d++)
        scale[d] = lanes_scale(&c[d], some[d]);
}

VEC_INLINE vec lanes_positive_error(const vec *x, const vec *w, unsigned n, int top, vec inverse,
                                    bool first)
{
    const vec scale = vec_of(1) / inverse;
    const veci low = veci_of(INT32_MIN), high = veci_of(top);
    vec error = vec_of(0);

    for (unsigned i = 0; i < n; i++) {
        const veci l = lanes_round(inverse * x[i]);
        const veci q = first ? veci_and(l, veci_of(0xff)) : veci_clamp(l, low, high);
        const vec off = x[i] - scale * vec_from(q);
        error += w[i] * off * off;
    }
    return error;
}

/* As rc_search_positive(); codes in c->l. */
VEC_INLINE vec lanes_search_positive(lanes_codes *c, const vec *x, const vec *w, unsigned n,
                                     int top)
{
    vec max = vec_of(0);

    for (unsigned i = 0; i < n; i++)
        max = vec_max(max, x[i]);
    const vecm some = vec_at_most(vec_of(RC_SEARCH_ZERO), max);
    vec inverse = vec_of((float)top) / max;
    vec least = lanes_positive_error(x, w, n, top, inverse, true);

    for (int k = -4; k <= 4; k++) {
        const vec tried = vec_of(0.1f * (float)k + (float)top) / max;
        if (k == 0)
            continue;
        const vec error = lanes_positive_error(x, w, n, top, tried, false);
        const vecm better = vec_less(error, least);
        least = vec_pick(better, error, least);
        inverse = vec_pick(better, tried, inverse);
    }
    for (unsigned i = 0; i < n; i++)
        c->l[i] = lanes_round_within(inverse * x[i], INT32_MIN, top);
    lanes_moments(c, x, w, n);
    for (unsigned i = 0; i < n; i++) /* the scalar has bytes: -1, of a negative x, is 255 */
        c->l[i] = vec_from(veci_and(vec_whole(c->l[i]), veci_of(0xff)));
    for (int pass = 0; pass < RC_SEARCH_PASSES; pass++) {
        bool moved = false;
        for (unsigned i = 0; i < n; i++)
            moved |= lanes_descend(c, i, x[i], w[i], top, true, some);
        if (!moved)
            break;
    }
    for (unsigned i = 0; i < n; i++)
        c->l[i] = vec_pick(some, c->l[i], vec_of(0));
    return lanes_scale(c, some);
}

/* Two groups of VEC runs are searched side by side, as the sums of one are a chain of additions
 * that leaves the processor idle. */
#define GROUPS     2u
#define EACH_GROUP RC_UNROLL for (unsigned g = 0; g < GROUPS; g++)

/* VEC runs of n values as one group of a pair: element i at out[GROUPS * i]. Only `left` runs are
 * there, the others are zeros. */
VEC_INLINE void lanes_load(vec *out, const float *from, unsigned n, unsigned left)
{
    float padded[VEC * RC_SEARCH_MAX];

    if (left < VEC) {
        memset(padded, 0, sizeof padded);
        memcpy(padded, from, left * n * sizeof *from);
        from = padded;
    }
    vec_load_rows_apart(out, GROUPS, from, n, n);
}

typedef struct lanes_affine {
    vec scale[GROUPS], min[GROUPS];
    vec inverse[GROUPS], base[GROUPS]; /* codes are round(inverse * (x - base)) */
    vec sum_w[GROUPS];                 /* of the weights */
    vecm odd; /* not 0: some lane left the range where these operations are the scalar's */
} lanes_affine;

typedef struct lanes_affine_job {
    vec (*x)[GROUPS], (*w)[GROUPS];
    unsigned n;
    bool absolute;
    vec top, sum_w[GROUPS], sum_x[GROUPS];
    vec low[GROUPS], high[GROUPS];
    vecm flat[GROUPS]; /* all values the same */
    vec q[RC_SEARCH_MAX][GROUPS];
} lanes_affine_job;

VEC_INLINE void lanes_affine_error(const lanes_affine_job *j, const vec scale[GROUPS],
                                   const vec low[GROUPS], vec error[GROUPS])
{
    vec sum[GROUPS];

    EACH_GROUP sum[g] = vec_of(0);
    for (unsigned i = 0; i < j->n; i++)
        EACH_GROUP
        {
            const vec off = scale[g] * j->q[i][g] + low[g] - j->x[i][g], square = off * off;
            sum[g] += j->w[i][g] * (j->absolute ? vec_abs(off) : square);
        }
    EACH_GROUP error[g] = sum[g];
}

/* affine_fit() of search.c. */
VEC_INLINE void lanes_affine_fit(lanes_affine_job *j, const vec inverse[GROUPS], vec scale[GROUPS],
                                 vec low[GROUPS], vecm fits[GROUPS])
{
    const vec zero = vec_of(0);
    vec sum_l[GROUPS], sum_l2[GROUPS], sum_lx[GROUPS];

    EACH_GROUP sum_l[g] = sum_l2[g] = sum_lx[g] = zero;
    for (unsigned i = 0; i < j->n; i++)
        EACH_GROUP
        {
            const vec l = lanes_round_small(inverse[g] * (j->x[i][g] - j->low[g]), zero, j->top);
            const vec wl = j->w[i][g] * l;
            j->q[i][g] = l;
            sum_l[g] += wl;
            sum_l2[g] += wl * l;
            sum_lx[g] += wl * j->x[i][g];
        }
    EACH_GROUP
    {
        const vec det = j->sum_w[g] * sum_l2[g] - sum_l[g] * sum_l[g];
        const vec sw = j->sum_w[g], sx = j->sum_x[g];
        const vec offset = (sum_l2[g] * sx - sum_l[g] * sum_lx[g]) / det;
        const vecm above = vec_less(zero, offset);
        low[g] = vec_pick(above, zero, offset);
        scale[g] = (sw * sum_lx[g] - sx * sum_l[g]) / det;
        if (vec_any(above))
            scale[g] = vec_pick(above, sum_lx[g] / sum_l2[g], scale[g]);
        fits[g] = vec_less(zero, det);
    }
}

VEC_INLINE void lanes_affine_begin(lanes_affine_job *j)
{
    EACH_GROUP
    {
        vec low = j->x[0][g], high = low, sum_w = j->w[0][g], sum_x = sum_w * low;
        for (unsigned i = 1; i < j->n; i++) {
            low = vec_min(j->x[i][g], low);
            high = vec_max(j->x[i][g], high);
            sum_w += j->w[i][g];
            sum_x += j->w[i][g] * j->x[i][g];
        }
        j->low[g] = vec_min(low, vec_of(0));
        j->high[g] = high;
        j->sum_w[g] = sum_w;
        j->sum_x[g] = sum_x;
        j->flat[g] = vec_equal(high, j->low[g]);
    }
}

/* What the values and code 0 are apart, 1 where that is nothing. */
VEC_INLINE vec lanes_affine_span(const lanes_affine_job *j, unsigned g)
{
    return vec_pick(j->flat[g], vec_of(1), j->high[g] - j->low[g]);
}

/* The scale that the range of values asks for. */
VEC_INLINE void lanes_affine_first(lanes_affine_job *j, lanes_affine *best, vec least[GROUPS])
{
    const vec one = vec_of(1), huge = vec_of(1e30f);
    const vecm all = vec_equal(one, one);

    EACH_GROUP
    {
        best->inverse[g] = j->top / lanes_affine_span(j, g);
        best->base[g] = j->low[g];
        best->scale[g] = one / best->inverse[g];
        best->sum_w[g] = j->sum_w[g];
        const vecm sound =
            vec_and(vec_at_most(best->inverse[g], huge), vec_at_most(j->high[g] - j->low[g], huge));
        best->odd = g == 0 ? vec_and_not(all, sound) : vec_or(best->odd, vec_and_not(all, sound));
        for (unsigned i = 0; i < j->n; i++)
            j->q[i][g] =
                lanes_round_small(best->inverse[g] * (j->x[i][g] - j->low[g]), vec_of(0), j->top);
    }
    lanes_affine_error(j, best->scale, j->low, least);
}

/* As rc_search_affine(). */
VEC_INLINE void lanes_search_affine(lanes_affine *best, vec (*x)[GROUPS], vec (*w)[GROUPS],
                                    unsigned n, int top, const rc_affine_steps *steps)
{
    lanes_affine_job j = { .x = x, .w = w, .n = n, .absolute = steps->absolute };
    vec least[GROUPS], lowest[GROUPS];

    j.top = vec_of((float)top);
    lanes_affine_begin(&j);
    lanes_affine_first(&j, best, least);
    EACH_GROUP lowest[g] = j.low[g];
    for (unsigned k = 0; k < steps->count; k++) {
        const vec span = vec_of(steps->first + steps->step * (float)k + (float)top);
        vec inverse[GROUPS], scale[GROUPS], low[GROUPS], error[GROUPS];
        vecm fits[GROUPS];
        EACH_GROUP inverse[g] = span / lanes_affine_span(&j, g);
        lanes_affine_fit(&j, inverse, scale, low, fits);
        lanes_affine_error(&j, scale, low, error);
        EACH_GROUP
        {
            /* no value is further than this below code 0, so all roundings were right */
            const vec below = vec_abs(inverse[g] * (lowest[g] - j.low[g]));
            const vecm all = vec_equal(span, span);
            const vecm better =
                vec_and_not(vec_and(fits[g], vec_less(error[g], least[g])), j.flat[g]);
            best->odd = vec_or(best->odd, vec_and_not(all, vec_at_most(below, vec_of(1e6f))));
            least[g] = vec_pick(better, error[g], least[g]);
            best->scale[g] = vec_pick(better, scale[g], best->scale[g]);
            best->inverse[g] = vec_pick(better, inverse[g], best->inverse[g]);
            best->base[g] = vec_pick(better, j.low[g], best->base[g]);
            j.low[g] = vec_pick(better, low[g], j.low[g]);
        }
    }
    EACH_GROUP
    {
        best->scale[g] = vec_pick(j.flat[g], vec_of(0), best->scale[g]);
        best->inverse[g] = vec_pick(j.flat[g], vec_of(0), best->inverse[g]);
        best->min[g] = vec_of(0) - j.low[g];
    }
}

#endif
