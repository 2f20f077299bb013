/* runtime/hyper.c - see hyper.h. */
#include "runtime/hyper.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/act_round.h"
#include "kernels/exp.h"
#include "kernels/weighted_sum.h"
#include "runtime/threads.h"

enum { STRIP = 256 }; /* columns */

struct rc_hyper {
    rc_engine *e;
    const rc_bound *fn;
    float *base, *scale;
    unsigned n;    /* streams */
    unsigned rows; /* of fn: (2 + n) * n, or n for the head */
    float *m;      /* [room, rows] products with fn */
    size_t room;
};

rc_code rc_hyper_new(rc_hyper **out, rc_engine *e, const rc_block_id *id, const char *name,
                     rc_err *err)
{
    const unsigned n = e->config->hc_mult;
    const bool head = strcmp(name, "hc_head") == 0;
    char full[32];
    rc_hyper *h;
    rc_code rc;

    *out = NULL;
    if (n > RC_HYPER_MAX)
        return rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
                       "hc_mult %u: at most %u streams are run", n, RC_HYPER_MAX);
    h = rc_mem_get(e->mem, sizeof *h);
    if (!h)
        return rc_fail_nomem(err, e->mem, sizeof *h);
    h->e = e;
    h->n = n;
    h->rows = head ? n : (2 + n) * n;
    snprintf(full, sizeof full, "%s_fn", name);
    RC_TRY_GOTO(rc, done, rc_block_find(e, id, full, &h->fn, err));
    snprintf(full, sizeof full, "%s_base", name);
    RC_TRY_GOTO(rc, done, rc_block_small(e, id, full, h->rows, &h->base, err));
    snprintf(full, sizeof full, "%s_scale", name);
    RC_TRY_GOTO(rc, done, rc_block_small(e, id, full, head ? 1 : 3, &h->scale, err));
done:
    if (rc != RC_OK)
        rc_hyper_free(&h);
    *out = h;
    return rc;
}

void rc_hyper_free(rc_hyper **hc)
{
    rc_hyper *h = *hc;

    if (!h)
        return;
    rc_mem_put(h->e->mem, h->base);
    rc_mem_put(h->e->mem, h->scale);
    rc_mem_put(h->e->mem, h->m);
    rc_mem_put(h->e->mem, h);
    *hc = NULL;
}

void rc_hyper_want(const rc_hyper *h)
{
    rc_weights_want(h->e->weights, h->fn);
}

void rc_hyper_done(const rc_hyper *h)
{
    rc_weights_done(h->e->weights, h->fn);
}

size_t rc_hyper_mix(const rc_hyper *h)
{
    return (size_t)h->n + (size_t)h->n * h->n;
}

static void divide_rows(float *b, unsigned n, float eps)
{
    for (unsigned j = 0; j < n; j++) {
        float sum = 0;

        for (unsigned k = 0; k < n; k++)
            sum += b[j * n + k];
        for (unsigned k = 0; k < n; k++)
            b[j * n + k] /= sum + eps;
    }
}

static void divide_columns(float *b, unsigned n, float eps)
{
    for (unsigned k = 0; k < n; k++) {
        float sum = 0;

        for (unsigned j = 0; j < n; j++)
            sum += b[j * n + k];
        for (unsigned j = 0; j < n; j++)
            b[j * n + k] /= sum + eps;
    }
}

static void softmax_row(float *b, unsigned n, float eps)
{
    float most = b[0], sum = 0;

    for (unsigned k = 1; k < n; k++)
        most = fmaxf(most, b[k]);
    for (unsigned k = 0; k < n; k++)
        sum += b[k] = rc_exp_f32(b[k] - most);
    for (unsigned k = 0; k < n; k++)
        b[k] = b[k] / sum + eps;
}

void rc_sinkhorn(float *b, unsigned n, unsigned iters, float eps)
{
    for (unsigned j = 0; j < n; j++)
        softmax_row(b + j * n, n, eps);
    divide_columns(b, n, eps);
    for (unsigned i = 1; i < iters; i++) {
        divide_rows(b, n, eps);
        divide_columns(b, n, eps);
    }
}

/* m[(2 + n) * n], already times the inverse root mean square, to pre[n] and mix. */
static void split(const rc_hyper *h, const float *m, float *pre, float *mix)
{
    const unsigned n = h->n;
    const float eps = (float)h->e->config->hc_eps;

    for (unsigned j = 0; j < n; j++)
        pre[j] = rc_sigmoid_f32(m[j] * h->scale[0] + h->base[j]) + eps;
    if (!mix)
        return;
    for (unsigned j = 0; j < n; j++)
        mix[j] = 2 * rc_sigmoid_f32(m[n + j] * h->scale[1] + h->base[n + j]);
    for (unsigned j = 0; j < n * n; j++)
        mix[n + j] = m[2 * n + j] * h->scale[2] + h->base[2 * n + j];
    rc_sinkhorn(mix + n, n, h->e->config->hc_sinkhorn_iters, eps);
}

static void mix_in(const rc_hyper *hc, const float *h, float *m, float *u, float *mix)
{
    const size_t d = hc->e->config->hidden_size;
    const float mean = rc_sum_squares_best()(h, hc->n * d) / (float)(hc->n * d);
    const float scale = 1.0f / sqrtf(mean + (float)hc->e->config->rms_norm_eps);
    const float *stream[RC_HYPER_MAX];
    float pre[RC_HYPER_MAX];

    for (unsigned i = 0; i < hc->rows; i++)
        m[i] *= scale;
    split(hc, m, pre, mix);
    for (unsigned j = 0; j < hc->n; j++)
        stream[j] = h + j * d;
    rc_weighted_sum_best()(u, d, pre, hc->n, 1, stream, hc->n, d);
    rc_round_bf16(hc->e->numerics, u, d);
}

rc_code rc_hyper_pre(rc_hyper *hc, rc_input *in, const float *h, size_t tokens, float *u,
                     float *mix, rc_err *err)
{
    const size_t wide = (size_t)hc->n * hc->e->config->hidden_size;

    if (tokens > hc->room) {
        rc_mem_put(hc->e->mem, hc->m);
        hc->room = 0;
        hc->m = rc_mem_get(hc->e->mem, tokens * hc->rows * sizeof *hc->m);
        if (!hc->m)
            return rc_fail_nomem(err, hc->e->mem, tokens * hc->rows * sizeof *hc->m);
        hc->room = tokens;
    }
    RC_TRY(rc_input_set(in, RC_LINEAR_F32, h, wide, tokens, wide, err));
    RC_TRY(rc_linear(hc->e, hc->fn, 0, hc->rows, in, hc->m, hc->rows, err));
    RC_PARALLEL(rc_threads_for(hc->e->threads, tokens), for schedule(static))
    for (size_t t = 0; t < tokens; t++)
        mix_in(hc, h + t * wide, hc->m + t * hc->rows, u + t * hc->e->config->hidden_size,
               mix ? mix + t * rc_hyper_mix(hc) : NULL);
    return RC_OK;
}

/* A strip of columns at a time: the new streams need room beside the old ones. */
static void mix_out(const rc_hyper *hc, const float *y, const float *mix, float *h)
{
    const size_t d = hc->e->config->hidden_size;
    const unsigned n = hc->n;
    float p[RC_HYPER_MAX * (RC_HYPER_MAX + 1)], next[RC_HYPER_MAX * STRIP];

    for (unsigned k = 0; k < n; k++) {
        for (unsigned j = 0; j < n; j++)
            p[k * (n + 1) + j] =
                mix[n + j * n + k]; /* source j is the row, destination k the column */
        p[k * (n + 1) + n] = mix[k];
    }
    for (size_t i = 0; i < d; i += STRIP) {
        const size_t wide = d - i < STRIP ? d - i : STRIP;
        const float *from[RC_HYPER_MAX + 1];

        for (unsigned k = 0; k < n; k++)
            from[k] = h + k * d + i;
        from[n] = y + i;
        rc_weighted_sum_best()(next, wide, p, n + 1, n, from, n + 1, wide);
        rc_round_bf16(hc->e->numerics, next, n * wide);
        for (unsigned k = 0; k < n; k++)
            memcpy(h + k * d + i, next + k * wide, wide * sizeof *h);
    }
}

void rc_hyper_post(rc_hyper *hc, const float *y, const float *mix, size_t tokens, float *h)
{
    const size_t d = hc->e->config->hidden_size, wide = (size_t)hc->n * d;

    RC_PARALLEL(rc_threads_for(hc->e->threads, tokens), for schedule(static))
    for (size_t t = 0; t < tokens; t++)
        mix_out(hc, y + t * d, mix + t * rc_hyper_mix(hc), h + t * wide);
}
