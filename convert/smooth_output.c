/* convert/smooth_output.c - what a scaling does to what the experts say, on a sample of
 * activations.
 *
 *     h = weight * silu(min(w1 x, limit)) * clamp(w3 x, -limit, limit);   y = w2 h
 *
 * with w1 and w3 as they are, and rounded under each scaling that is tried; w2 does not depend on
 * it. The loss is the squared difference of y, summed over the sampled tokens of some experts.
 * Weights go through in tiles of rows; products are those of the runtime (kernels/matmul.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/columns.h"
#include "convert/smooth_impl.h"
#include "formats/base/par.h"
#include "formats/base/stop.h"
#include "kernels/exp.h"
#include "kernels/matmul.h"

enum {
    TOKENS = 64,                    /* of one expert, at most */
    VARIANTS = 2 + RC_SMOOTH_FINAL, /* as it is; rounded; rounded under each scaling */
    TILE = RC_SMOOTH_TILE
};

/* An expert with tokens in the sample. */
typedef struct expert {
    uint32_t number;
    size_t tokens;
    const rc_bound *w1, *w3, *w2;
} expert;

typedef struct slot {
    rc_smooth_rows rows;
    float *x;                         /* [TOKENS, D], paired */
    float *importance;                /* [D] */
    float *a[VARIANTS], *b[VARIANTS]; /* [TOKENS, I] */
    float *row, *scaled;              /* [max(D, I)] */
    float *tile;                      /* [TILE, max(D, I)], paired */
    float *y;                         /* [TOKENS, TILE] */
    uint8_t *q, *zero;                /* [D], [D / group] */
    float *scale;                     /* [D / group] */
} slot;

typedef struct pass {
    const rc_smooth_search *search;
    const float *s[VARIANTS]; /* of variants 1 ..; s[1] NULL: none */
    unsigned variants;
    rc_calib_sample sample;
    expert expert[RC_SMOOTH_EXPERTS];
    size_t experts;
    size_t d, wide; /* hidden size, width of an expert */
    slot *slot;
    double loss[RC_SMOOTH_EXPERTS][VARIANTS];
} pass;

/* ------------------------------------------------------------ the experts */

static int by_tokens(const void *a, const void *b)
{
    const expert *x = a, *y = b;

    if (x->tokens != y->tokens)
        return x->tokens > y->tokens ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static const rc_bound *matrix(const pass *p, uint32_t number, const char *which)
{
    const rc_param *norm = p->search->site->norm->param;
    char name[96];

    snprintf(name, sizeof name, "%.*sffn.experts.%" PRIu32 ".%s.weight",
             (int)(strlen(norm->name) - strlen(rc_absorb_norm(RC_ABSORB_FFN))), norm->name, number,
             which);
    return rc_model_find(rc_plan_model(p->search->plan), name);
}

/* Which of its places sampled token t has for an expert; k: none. A damaged file may have two. */
static size_t place_of(const rc_calib_sample *s, size_t t, uint32_t number)
{
    size_t k = 0;

    while (k < s->k && s->expert[t * s->k + k] != number)
        k++;
    return k;
}

/* Those with the most sampled tokens. */
static rc_code choose(pass *p, rc_err *err)
{
    const rc_calib_sample *s = &p->sample;
    const uint32_t n = p->search->config->n_routed_experts;
    expert *all = rc_mem_get(p->search->mem, n * sizeof *all);

    if (!all)
        return rc_fail_nomem(err, p->search->mem, n * sizeof *all);
    for (uint32_t e = 0; e < n; e++)
        all[e] = (expert){ .number = e };
    for (size_t i = 0; i < s->rows * s->k; i++)
        if (s->expert[i] < n && place_of(s, i / s->k, s->expert[i]) == i % s->k)
            all[s->expert[i]].tokens++;
    qsort(all, n, sizeof *all, by_tokens);
    for (uint32_t e = 0; e < n && p->experts < RC_SMOOTH_EXPERTS && all[e].tokens; e++) {
        expert *x = &p->expert[p->experts++];

        *x = all[e];
        x->tokens = x->tokens < TOKENS ? x->tokens : TOKENS;
        x->w1 = matrix(p, x->number, "w1");
        x->w3 = matrix(p, x->number, "w3");
        x->w2 = matrix(p, x->number, "w2");
    }
    rc_mem_put(p->search->mem, all);
    return RC_OK;
}

/* The expert's tokens, and with which weight it was chosen. */
static void load_tokens(const pass *p, const expert *e, slot *s, float *weight)
{
    size_t n = 0;

    for (size_t t = 0; t < p->sample.rows && n < e->tokens; t++) {
        const size_t k = place_of(&p->sample, t, e->number);

        if (k == p->sample.k)
            continue;
        rc_pair_f32_best()(s->x + n * p->d, p->sample.x + t * p->d, p->d);
        weight[n++] = p->sample.weight[t * p->sample.k + k];
    }
}

/* --------------------------------------------------------------- products */

/* y[t * ldy + r] for rows of the tile and the first n rows of x [.., cols], both paired. */
static void multiply(const float *tile, size_t rows, const float *x, size_t n, size_t cols,
                     float *y, size_t ldy)
{
    const float *w[TILE], *at[TOKENS];

    for (size_t r = 0; r < rows; r++)
        w[r] = tile + r * cols;
    for (size_t t = 0; t < n; t++)
        at[t] = x + t * cols;
    rc_matmul_f32_best()(y, ldy, w, rows, at, n, cols);
}

/* s->row as it will be read: columns times f, rounded, columns divided by f. */
static void round_row(const pass *p, slot *s, const float *f, float *out)
{
    const rc_int4_kind *kind = &p->search->kind;
    const rc_int4_row row = { .q = s->q, .scale = s->scale, .zero = s->zero };
    rc_int4_tally tally = { 0 };

    for (size_t k = 0; k < p->d; k++)
        s->scaled[k] = f ? s->row[k] * f[k] : s->row[k];
    rc_int4_row_best()(&row, s->scaled, s->importance, p->d, kind, &tally);
    for (size_t k = 0; k < p->d; k++) {
        const size_t g = k / kind->group;
        const float y = (float)(s->q[k] - s->zero[g]) * s->scale[g];

        out[k] = f ? y / f[k] : y;
    }
}

/* The importance of columns under a scaling. */
static rc_code load_importance(const pass *p, const rc_bound *b, slot *s, const float *f,
                               rc_err *err)
{
    bool found;

    RC_TRY(rc_calib_get(p->search->stats, b->param, p->search->config, RC_CALIB_SQUARES, 0,
                        s->importance, &found, err));
    rc_columns_weigh(s->importance, found, f, p->d);
    return RC_OK;
}

/* out[v] = W x for every variant of W: [tokens, wide] each. */
static rc_code project(const pass *p, const rc_bound *b, slot *s, size_t tokens,
                       float *const out[VARIANTS], rc_err *err)
{
    RC_TRY(rc_smooth_read(&s->rows, p->search->plan, b, 0, p->wide, p->search->mem, err));
    for (unsigned v = 0; v < p->variants; v++) {
        if (v)
            RC_TRY(load_importance(p, b, s, p->s[v], err));
        for (size_t r0 = 0; r0 < p->wide; r0 += TILE) {
            const size_t rows = p->wide - r0 < TILE ? p->wide - r0 : (size_t)TILE;

            RC_TRY(rc_stop_check(err));
            for (size_t r = 0; r < rows; r++) {
                s->rows.piece.how->decode_row(s->row, &s->rows.piece, r0 + r);
                if (v)
                    round_row(p, s, p->s[v], s->row);
                rc_pair_f32_best()(s->tile + r * p->d, s->row, p->d);
            }
            multiply(s->tile, rows, s->x, tokens, p->d, out[v] + r0, p->wide);
        }
    }
    return RC_OK;
}

/* a[v], paired: what the variant's hidden state is off by. */
static void differences(const pass *p, slot *s, const float *weight, size_t tokens)
{
    const double c = p->search->config->swiglu_limit;
    const float limit = c > 0 ? (float)c : INFINITY;

    for (unsigned v = 0; v < p->variants; v++)
        for (size_t t = 0; t < tokens; t++)
            rc_swiglu_best()(s->a[v] + t * p->wide, s->a[v] + t * p->wide, s->b[v] + t * p->wide,
                             p->wide, limit, weight[t]);
    for (unsigned v = 1; v < p->variants; v++)
        for (size_t t = 0; t < tokens; t++) {
            float *h = s->a[v] + t * p->wide;

            for (size_t i = 0; i < p->wide; i++)
                h[i] -= s->a[0][t * p->wide + i];
            memcpy(s->row, h, p->wide * sizeof *h);
            rc_pair_f32_best()(h, s->row, p->wide);
        }
}

/* loss[v] += the squares of w2 times these differences. */
static rc_code add_down(const pass *p, const rc_bound *b, slot *s, size_t tokens, double *loss,
                        rc_err *err)
{
    RC_TRY(rc_smooth_read(&s->rows, p->search->plan, b, 0, p->d, p->search->mem, err));
    for (size_t r0 = 0; r0 < p->d; r0 += TILE) {
        const size_t rows = p->d - r0 < TILE ? p->d - r0 : (size_t)TILE;

        RC_TRY(rc_stop_check(err));
        for (size_t r = 0; r < rows; r++) {
            s->rows.piece.how->decode_row(s->row, &s->rows.piece, r0 + r);
            rc_pair_f32_best()(s->tile + r * p->wide, s->row, p->wide);
        }
        for (unsigned v = 1; v < p->variants; v++) {
            multiply(s->tile, rows, s->a[v], tokens, p->wide, s->y, TILE);
            for (size_t t = 0; t < tokens; t++)
                for (size_t r = 0; r < rows; r++)
                    loss[v] += (double)s->y[t * TILE + r] * (double)s->y[t * TILE + r];
        }
    }
    return RC_OK;
}

static rc_code measure(void *ctx, rc_par *par, unsigned at, uint64_t item, rc_err *err)
{
    pass *p = ctx;
    slot *s = &p->slot[at];
    const expert *e = &p->expert[item];
    float weight[TOKENS];
    rc_code rc;

    rc_par_compute_begin(par);
    load_tokens(p, e, s, weight);
    rc = project(p, e->w1, s, e->tokens, s->a, err);
    if (rc == RC_OK)
        rc = project(p, e->w3, s, e->tokens, s->b, err);
    if (rc == RC_OK) {
        differences(p, s, weight, e->tokens);
        rc = add_down(p, e->w2, s, e->tokens, p->loss[item], err);
    }
    rc_par_compute_end(par);
    return rc;
}

/* ------------------------------------------------------------------ memory */

static rc_code slot_new(const pass *p, slot *s, rc_err *err)
{
    rc_mem *mem = p->search->mem;
    const size_t wider = p->d > p->wide ? p->d : p->wide;
    float **const at[] = { &s->x, &s->importance, &s->row, &s->scaled, &s->tile, &s->y, &s->scale };
    const size_t n[] = {
        TOKENS * p->d, p->d, wider, p->d, TILE * wider, TOKENS * TILE, p->d / p->search->kind.group
    };

    for (unsigned i = 0; i < sizeof at / sizeof *at; i++) {
        *at[i] = rc_mem_get_pages(mem, n[i] * sizeof(float));
        if (!*at[i])
            return rc_fail_nomem(err, mem, n[i] * sizeof(float));
    }
    for (unsigned v = 0; v < p->variants; v++) {
        s->a[v] = rc_mem_get_pages(mem, TOKENS * p->wide * sizeof(float));
        s->b[v] = rc_mem_get_pages(mem, TOKENS * p->wide * sizeof(float));
        if (!s->a[v] || !s->b[v])
            return rc_fail_nomem(err, mem, TOKENS * p->wide * sizeof(float));
    }
    s->q = rc_mem_get(mem, p->d);
    s->zero = rc_mem_get(mem, p->d);
    return s->q && s->zero ? RC_OK : rc_fail_nomem(err, mem, p->d);
}

static void slot_free(const pass *p, slot *s)
{
    rc_mem *mem = p->search->mem;
    void *const at[] = { s->x, s->importance, s->row, s->scaled, s->tile,
                         s->y, s->scale,      s->q,   s->zero };

    for (unsigned i = 0; i < sizeof at / sizeof *at; i++)
        rc_mem_put(mem, at[i]);
    for (unsigned v = 0; v < VARIANTS; v++) {
        rc_mem_put(mem, s->a[v]);
        rc_mem_put(mem, s->b[v]);
    }
    rc_smooth_rows_free(&s->rows, mem);
}

static rc_code run(pass *p, double *loss, rc_err *err)
{
    const rc_smooth_search *search = p->search;
    rc_code rc = RC_OK;

    p->slot = rc_mem_get(search->mem, search->threads * sizeof *p->slot);
    if (!p->slot)
        return rc_fail_nomem(err, search->mem, search->threads * sizeof *p->slot);
    for (unsigned i = 0; i < search->threads && rc == RC_OK; i++)
        rc = slot_new(p, &p->slot[i], err);
    if (rc == RC_OK)
        rc = rc_par_run(p->experts, search->threads, search->threads, measure, p, err);
    for (unsigned v = 1; v < p->variants && rc == RC_OK; v++) {
        loss[v - 1] = 0;
        for (size_t e = 0; e < p->experts; e++)
            loss[v - 1] += p->loss[e][v];
    }
    for (unsigned i = 0; i < search->threads; i++)
        slot_free(p, &p->slot[i]);
    rc_mem_put(search->mem, p->slot);
    return rc;
}

rc_code rc_smooth_by_output(const rc_smooth_search *search, const unsigned *pick, unsigned picks,
                            double *loss, bool *measured, rc_err *err)
{
    pass *p;
    rc_code rc;

    *measured = false;
    if (search->site->point != RC_ABSORB_FFN)
        return RC_OK;
    p = rc_mem_get(search->mem, sizeof *p);
    if (!p)
        return rc_fail_nomem(err, search->mem, sizeof *p);
    p->search = search;
    p->d = search->site->n;
    p->wide = search->config->moe_intermediate_size;
    p->variants = 2 + picks;
    for (unsigned i = 0; i < picks; i++)
        p->s[2 + i] = search->s[pick[i]];
    rc = rc_calib_sample_get(search->stats, search->site->block, search->config, &p->sample,
                             search->mem, err);
    if (rc == RC_OK && p->sample.rows) {
        rc = choose(p, err);
        *measured = rc == RC_OK && p->experts > 0;
        if (*measured)
            rc = run(p, loss, err);
    }
    rc_calib_sample_free(&p->sample, search->mem);
    rc_mem_put(search->mem, p);
    return rc;
}
