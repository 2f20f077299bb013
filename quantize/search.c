/* quantize/search.c - the reference of every search; scalar and obvious.
 *
 * `a * b * c` is (a * b) * c, and sums run over the elements in order: see search.h. */
#include "quantize/search.h"

#include <math.h>

typedef struct moments { /* of codes l and values x under weights w */
    float lx, l2;
} moments;

/* The value of largest magnitude, with its sign; the first of equals. 0: all count as zero. */
static float extreme(const float *x, unsigned n)
{
    float largest = 0, value = 0;

    for (unsigned i = 0; i < n; i++)
        if (fabsf(x[i]) > largest) {
            largest = fabsf(x[i]);
            value = x[i];
        }
    return largest < RC_SEARCH_ZERO ? 0 : value;
}

static moments signed_moments(const float *x, const float *w, unsigned n, int top, float inverse)
{
    moments m = { 0, 0 };

    for (unsigned i = 0; i < n; i++) {
        const float l = (float)rc_search_round_within(inverse * x[i], -top, top - 1);
        m.lx += w[i] * x[i] * l;
        m.l2 += w[i] * l * l;
    }
    return m;
}

float rc_search_signed(uint8_t *q, const float *x, const float *w, unsigned n, int top)
{
    const float max = extreme(x, n);

    memset(q, 0, n);
    if (max == 0)
        return 0;
    /* the extreme value gets code -top: the side that has one more code */
    float inverse = (float)-top / max;
    moments m = signed_moments(x, w, n, top, inverse);
    float scale = m.l2 != 0 ? m.lx / m.l2 : 0;
    float best = scale * m.lx;

    for (int k = -9; k <= 9; k++) {
        const float tried = -((float)top + 0.1f * (float)k) / max;
        if (k == 0)
            continue;
        m = signed_moments(x, w, n, top, tried);
        /* with the best scale for these codes, the error falls as lx^2 / l2 grows */
        if (m.l2 > 0 && m.lx * m.lx > best * m.l2) {
            inverse = tried;
            scale = m.lx / m.l2;
            best = scale * m.lx;
        }
    }
    for (unsigned i = 0; i < n; i++)
        q[i] = (uint8_t)(top + rc_search_round_within(inverse * x[i], -top, top - 1));
    return scale;
}

/* Would element i do better with another code, given the codes of the others? */
static bool descend_signed(float x, float w, int8_t *l, int top, moments *m)
{
    moments next = { m->lx - w * x * (float)*l, m->l2 - w * (float)*l * (float)*l };

    if (!(next.lx > 0))
        return false;
    const int32_t to = rc_search_round_within(x * next.l2 / next.lx, -top, top - 1);
    if (to == *l)
        return false;
    next.lx += w * x * (float)to;
    next.l2 += w * (float)to * (float)to;
    if (!(next.l2 > 0 && next.lx * next.lx * m->l2 > m->lx * m->lx * next.l2))
        return false;
    *l = (int8_t)to;
    *m = next;
    return true;
}

float rc_search_signed_descent(uint8_t *q, const float *x, unsigned n, int top)
{
    const float max = extreme(x, n);
    int8_t l[RC_SEARCH_MAX];
    moments m = { 0, 0 };

    memset(q, 0, n);
    if (max == 0)
        return 0;
    const float inverse = (float)-top / max;

    for (unsigned i = 0; i < n; i++) {
        const float w = x[i] * x[i];
        l[i] = (int8_t)rc_search_round_within(inverse * x[i], -top, top - 1);
        m.lx += w * x[i] * (float)l[i];
        m.l2 += w * (float)l[i] * (float)l[i];
    }
    for (int pass = 0; pass < RC_SEARCH_PASSES; pass++) {
        bool moved = false;
        for (unsigned i = 0; i < n; i++)
            moved |= descend_signed(x[i], x[i] * x[i], &l[i], top, &m);
        if (!moved)
            break;
    }
    for (unsigned i = 0; i < n; i++)
        q[i] = (uint8_t)(l[i] + top);
    return m.l2 > 0 ? m.lx / m.l2 : 0;
}

static int32_t round_up_to(float x, int32_t high)
{
    const int32_t l = rc_search_round(x);

    return l > high ? high : l;
}

static bool descend_positive(float x, float w, uint8_t *l, int top, moments *m)
{
    moments next = { m->lx - w * x * (float)*l, m->l2 - w * (float)*l * (float)*l };

    if (!(next.lx > 0 && next.l2 > 0))
        return false;
    const int32_t to = round_up_to(x * next.l2 / next.lx, top);
    if (to == *l)
        return false;
    next.lx += w * x * (float)to;
    next.l2 += w * (float)to * (float)to;
    if (!(next.lx * next.lx * m->l2 > m->lx * m->lx * next.l2))
        return false;
    *l = (uint8_t)to;
    *m = next;
    return true;
}

/* Sum of w (x - l / inverse)^2. The first scale tried takes its codes as bytes, unclamped. */
static float positive_error(const float *x, const float *w, unsigned n, int top, float inverse,
                            bool first)
{
    const float scale = 1 / inverse;
    float error = 0;

    for (unsigned i = 0; i < n; i++) {
        const int32_t l = rc_search_round(inverse * x[i]);
        const float off = x[i] - scale * (float)(first ? (uint8_t)l : l > top ? top : l);
        error += w[i] * off * off;
    }
    return error;
}

float rc_search_positive(uint8_t *q, const float *x, const float *w, unsigned n, int top)
{
    float max = 0;
    moments m = { 0, 0 };

    for (unsigned i = 0; i < n; i++)
        max = max > x[i] ? max : x[i];
    memset(q, 0, n);
    if (max < RC_SEARCH_ZERO)
        return 0;
    float inverse = (float)top / max;
    float least = positive_error(x, w, n, top, inverse, true);

    for (int k = -4; k <= 4; k++) {
        const float tried = (0.1f * (float)k + (float)top) / max;
        const float error = k == 0 ? least : positive_error(x, w, n, top, tried, false);
        if (error < least) {
            least = error;
            inverse = tried;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        const int32_t l = round_up_to(inverse * x[i], top);
        q[i] = (uint8_t)l;
        m.lx += w[i] * x[i] * (float)l;
        m.l2 += w[i] * (float)l * (float)l;
    }
    for (int pass = 0; pass < RC_SEARCH_PASSES; pass++) {
        bool moved = false;
        for (unsigned i = 0; i < n; i++)
            moved |= descend_positive(x[i], w[i], &q[i], top, &m);
        if (!moved)
            break;
    }
    return m.l2 > 0 ? m.lx / m.l2 : 0;
}

typedef struct affine_job {
    const float *x, *w;
    unsigned n;
    int top;
    bool absolute;
    float low, high;    /* what code 0 stands for so far, at first the smallest value or 0 */
    float sum_w, sum_x; /* sums of w and w x */
} affine_job;

static float affine_error(const affine_job *j, const uint8_t *q, float scale, float low)
{
    float error = 0;

    for (unsigned i = 0; i < j->n; i++) {
        const float off = scale * (float)q[i] + low - j->x[i];
        error += j->w[i] * (j->absolute ? fabsf(off) : off * off);
    }
    return error;
}

/* Codes under one scale, then scale and offset by least squares; an offset above 0, which the
 * format cannot hold, becomes 0. False: the codes determine no scale. */
static bool affine_fit(const affine_job *j, uint8_t *q, float inverse, float *scale, float *low)
{
    float sum_l = 0, sum_l2 = 0, sum_lx = 0;

    for (unsigned i = 0; i < j->n; i++) {
        const int32_t l = rc_search_round_within(inverse * (j->x[i] - j->low), 0, j->top);
        const float wl = j->w[i] * (float)l;
        q[i] = (uint8_t)l;
        sum_l += wl;
        sum_l2 += wl * (float)l;
        sum_lx += wl * j->x[i];
    }
    const float det = j->sum_w * sum_l2 - sum_l * sum_l;
    if (!(det > 0))
        return false;
    *scale = (j->sum_w * sum_lx - j->sum_x * sum_l) / det;
    *low = (sum_l2 * j->sum_x - sum_l * sum_lx) / det;
    if (*low > 0) {
        *low = 0;
        *scale = sum_lx / sum_l2;
    }
    return true;
}

rc_affine rc_search_affine(uint8_t *q, const float *x, const float *w, unsigned n, int top,
                           const rc_affine_steps *steps)
{
    affine_job j = { x, w, n, top, steps->absolute, x[0], x[0], w[0], w[0] * x[0] };
    uint8_t tried[RC_SEARCH_MAX];

    for (unsigned i = 1; i < n; i++) {
        j.low = x[i] < j.low ? x[i] : j.low;
        j.high = x[i] > j.high ? x[i] : j.high;
        j.sum_w += w[i];
        j.sum_x += w[i] * x[i];
    }
    if (j.low > 0)
        j.low = 0;
    memset(q, 0, n);
    if (j.high == j.low)
        return (rc_affine){ 0, -j.low };
    const float inverse = (float)top / (j.high - j.low);
    float best = 1 / inverse;

    for (unsigned i = 0; i < n; i++)
        q[i] = (uint8_t)rc_search_round_within(inverse * (x[i] - j.low), 0, top);
    float least = affine_error(&j, q, best, j.low);

    for (unsigned k = 0; k < steps->count; k++) {
        const float span = steps->first + steps->step * (float)k + (float)top;
        float scale, low;
        if (!affine_fit(&j, tried, span / (j.high - j.low), &scale, &low))
            continue;
        const float error = affine_error(&j, tried, scale, low);
        if (error < least) {
            least = error;
            best = scale;
            j.low = low; /* later steps start from here */
            memcpy(q, tried, n);
        }
    }
    return (rc_affine){ best, -j.low };
}
