/* verify/layers.c - see layers.h. */
#include "verify/layers.h"

#include <math.h>
#include <string.h>

#include "kernels/compare_f32.h"
#include "runtime/rows.h"

/* Sums of a comparison of rows, for each stream or for a sublayer's output. */
typedef struct sums {
    rc_comparison of[RC_STREAMS];
} sums;

struct rc_layers_watch {
    rc_mem *mem;
    const rc_config *config;
    rc_compare_f32_fn *compare;
    size_t tokens, most; /* most: blocks that an indexer chooses */
    bool own, probing;
    rc_watch side[2];
    rc_forward *native;
    rc_layers figures;

    rc_rows *middle;   /* [tokens, N * D] NATIVE's streams after attention */
    rc_rows *probe[2]; /* [tokens, D] what the probe's sublayers gave */
    rc_rows *blocks;   /* [tokens, 1 + most] how many, and which */
    uint32_t *expert;  /* [tokens, K] NATIVE's */
    float *row;        /* room for [run, N * D], grown as needed */
    size_t room;       /* floats */
    uint32_t *ids;     /* [most] */
    bool has_blocks;   /* NATIVE's layer has an indexer */

    rc_layer_figures *now;
    sums streams[2], outputs[2]; /* by sublayer */
};

/* -- sums ------------------------------------------------------------------ */

static void add_rows(const rc_layers_watch *w, sums *s, const float *a, const float *b,
                     size_t tokens, size_t parts)
{
    const size_t d = w->config->hidden_size;
    rc_comparison one;

    for (size_t i = 0; i < tokens * parts; i++) {
        const size_t part = i % parts;

        w->compare(&one, a + i * d, b + i * d, d);
        rc_comparison_add(&s->of[part < RC_STREAMS ? part : RC_STREAMS - 1], &one, 0);
    }
}

static double rel_err(const sums *s)
{
    double aa = 0, dd = 0;

    for (unsigned i = 0; i < RC_STREAMS; i++) {
        aa += s->of[i].aa;
        dd += s->of[i].dd;
    }
    return dd == 0 ? 0 : sqrt(dd / aa);
}

static double cosine(const rc_comparison *c)
{
    if (c->dd == 0)
        return 1;
    return c->aa > 0 && c->bb > 0 ? c->ab / sqrt(c->aa * c->bb) : 0;
}

static bool has_nonfinite(const sums *s)
{
    for (unsigned i = 0; i < RC_STREAMS; i++)
        if (s->of[i].nan_b || s->of[i].inf_b)
            return true;
    return false;
}

/* -- room ------------------------------------------------------------------ */

static rc_code room_for(rc_layers_watch *w, size_t floats, rc_err *err)
{
    if (floats <= w->room)
        return RC_OK;
    rc_mem_put(w->mem, w->row);
    w->row = rc_mem_get_pages(w->mem, floats * sizeof *w->row);
    w->room = w->row ? floats : 0;
    return w->row ? RC_OK : rc_fail_nomem(err, w->mem, floats * sizeof *w->row);
}

/* -- NATIVE's side --------------------------------------------------------- */

static rc_code keep_middle(void *ctx, uint32_t layer, uint64_t at, size_t tokens, const float *h,
                           rc_err *err)
{
    rc_layers_watch *w = ctx;

    (void)layer;
    return rc_rows_store(w->middle, (size_t)at, tokens, h, err);
}

/* The probe ran before: NATIVE's outputs are what its are held against. */
static rc_code compare_probe(void *ctx, uint32_t layer, unsigned which, uint64_t at, size_t tokens,
                             const float *y, rc_err *err)
{
    rc_layers_watch *w = ctx;

    (void)layer;
    if (!w->own)
        return RC_OK;
    RC_TRY(room_for(w, tokens * w->config->hidden_size, err));
    RC_TRY(rc_rows_load(w->probe[which], (size_t)at, tokens, w->row, err));
    add_rows(w, &w->outputs[which], y, w->row, tokens, 1);
    return RC_OK;
}

static rc_code keep_experts(void *ctx, uint32_t layer, uint64_t at, size_t tokens, size_t k,
                            const uint32_t *id, const float *weight, rc_err *err)
{
    rc_layers_watch *w = ctx;

    (void)layer, (void)weight, (void)err;
    memcpy(w->expert + at * k, id, tokens * k * sizeof *id);
    return RC_OK;
}

/* Ids travel through the table of floats as bits. */
static rc_code keep_blocks(void *ctx, uint32_t layer, uint64_t at, size_t n, size_t visible,
                           const uint32_t *block, rc_err *err)
{
    rc_layers_watch *w = ctx;
    const uint32_t count = (uint32_t)(n < w->most ? n : w->most);

    (void)layer, (void)visible;
    RC_TRY(room_for(w, w->most + 1, err));
    memset(w->row, 0, (w->most + 1) * sizeof *w->row);
    memcpy(w->row, &count, sizeof count);
    memcpy(w->row + 1, block, count * sizeof *block);
    w->has_blocks = true;
    return rc_rows_store(w->blocks, (size_t)at, 1, w->row, err);
}

/* -- CONVERTED's side ------------------------------------------------------ */

static rc_code compare_middle(void *ctx, uint32_t layer, uint64_t at, size_t tokens, const float *h,
                              rc_err *err)
{
    rc_layers_watch *w = ctx;

    (void)layer;
    if (w->probing)
        return RC_OK;
    RC_TRY(room_for(w, tokens * w->config->hc_mult * w->config->hidden_size, err));
    RC_TRY(rc_rows_load(w->middle, (size_t)at, tokens, w->row, err));
    add_rows(w, &w->streams[0], w->row, h, tokens, w->config->hc_mult);
    return RC_OK;
}

static rc_code compare_streams(void *ctx, uint32_t layer, uint64_t at, size_t tokens,
                               const float *h, rc_err *err)
{
    rc_layers_watch *w = ctx;

    (void)layer;
    if (w->probing)
        return RC_OK;
    RC_TRY(room_for(w, tokens * w->config->hc_mult * w->config->hidden_size, err));
    RC_TRY(rc_forward_streams(w->native, (size_t)at, tokens, w->row, err));
    add_rows(w, &w->streams[1], w->row, h, tokens, w->config->hc_mult);
    return RC_OK;
}

static rc_code keep_probe(void *ctx, uint32_t layer, unsigned which, uint64_t at, size_t tokens,
                          const float *y, rc_err *err)
{
    rc_layers_watch *w = ctx;

    (void)layer;
    return w->probing ? rc_rows_store(w->probe[which], (size_t)at, tokens, y, err) : RC_OK;
}

/* How many of a[n] are not in b[m]; both ascend. */
static uint64_t missing(const uint32_t *a, size_t n, const uint32_t *b, size_t m)
{
    uint64_t lost = 0;

    for (size_t i = 0, j = 0; i < n; i++) {
        while (j < m && b[j] < a[i])
            j++;
        lost += j == m || b[j] != a[i];
    }
    return lost;
}

static rc_code compare_experts(void *ctx, uint32_t layer, uint64_t at, size_t tokens, size_t k,
                               const uint32_t *id, const float *weight, rc_err *err)
{
    rc_layers_watch *w = ctx;
    const size_t native_k = w->config->num_experts_per_tok;

    (void)layer, (void)weight, (void)err;
    for (size_t t = 0; !w->probing && t < tokens; t++) {
        w->now->experts += native_k;
        w->now->experts_flipped +=
            missing(w->expert + (at + t) * native_k, native_k, id + t * k, k);
    }
    return RC_OK;
}

static rc_code compare_blocks(void *ctx, uint32_t layer, uint64_t at, size_t n, size_t visible,
                              const uint32_t *block, rc_err *err)
{
    rc_layers_watch *w = ctx;
    uint32_t count;

    (void)layer, (void)visible;
    if (w->probing || !w->has_blocks)
        return RC_OK;
    RC_TRY(room_for(w, w->most + 1, err));
    RC_TRY(rc_rows_load(w->blocks, (size_t)at, 1, w->row, err));
    memcpy(&count, w->row, sizeof count);
    w->now->blocks += count;
    memcpy(w->ids, w->row + 1, count * sizeof *w->ids);
    w->now->blocks_flipped += missing(w->ids, count, block, n);
    return RC_OK;
}

/* -- layers ---------------------------------------------------------------- */

static void first_past(rc_layers *f, const rc_layer_figures *l)
{
    for (unsigned s = 0; s < 2; s++) {
        const double own = l->sub[s].own;
        const double most = f->worst_own >= 0 ? f->at[f->worst_own].sub[f->worst_own_sub].own : 0;

        if (f->first < 0 && (l->sub[s].nonfinite || l->sub[s].rel_err > f->threshold)) {
            f->first = (int32_t)f->n;
            f->first_sub = s;
        }
        if (!isnan(own) && own > most) {
            f->worst_own = (int32_t)f->n;
            f->worst_own_sub = s;
        }
    }
}

static rc_layer_figures *figures_of(rc_layers_watch *w, uint32_t layer)
{
    rc_layer_figures *l = &w->figures.at[w->figures.n];

    *l = (rc_layer_figures){ .layer = layer,
                             .ratio = w->config->compress_ratios[layer],
                             .hash = layer < w->config->num_hash_layers };
    return l;
}

void rc_layers_begin(rc_layers_watch *w, rc_forward *native, uint32_t layer)
{
    w->native = native;
    w->has_blocks = false;
    w->now = figures_of(w, layer);
    for (unsigned s = 0; s < 2; s++)
        for (unsigned i = 0; i < RC_STREAMS; i++)
            w->streams[s].of[i] = w->outputs[s].of[i] = RC_COMPARISON_NONE;
}

void rc_layers_probing(rc_layers_watch *w, bool probing)
{
    w->probing = probing;
}

void rc_layers_end(rc_layers_watch *w)
{
    for (unsigned s = 0; s < 2; s++) {
        rc_sublayer_figures *f = &w->now->sub[s];

        f->rel_err = rel_err(&w->streams[s]);
        f->own = w->own ? rel_err(&w->outputs[s]) : NAN;
        f->nonfinite = has_nonfinite(&w->streams[s]);
        f->cosine_min = 1;
        for (unsigned i = 0; i < w->figures.streams; i++) {
            f->cosine[i] = cosine(&w->streams[s].of[i]);
            f->cosine_min = fmin(f->cosine_min, f->cosine[i]);
        }
    }
    first_past(&w->figures, w->now);
    w->figures.n++;
}

void rc_layers_shared(rc_layers_watch *w, uint32_t layer)
{
    rc_layer_figures *l = figures_of(w, layer);

    l->shared = true;
    for (unsigned s = 0; s < 2; s++) {
        l->sub[s].own = w->own ? 0 : NAN;
        l->sub[s].cosine_min = 1;
        for (unsigned i = 0; i < w->figures.streams; i++)
            l->sub[s].cosine[i] = 1;
    }
    w->figures.n++;
}

const rc_layers *rc_layers_figures(rc_layers_watch *w)
{
    return &w->figures;
}

const rc_watch *rc_layers_side(const rc_layers_watch *w, unsigned side)
{
    return &w->side[side];
}

/* -- new and free ---------------------------------------------------------- */

static rc_code new_tables(rc_layers_watch *w, const rc_layers_options *o, rc_err *err)
{
    const rc_config *c = w->config;
    const size_t d = c->hidden_size;

    RC_TRY(rc_rows_new(&w->middle, o->tokens, d * c->hc_mult, o->scratch, w->mem, err));
    RC_TRY(rc_rows_new(&w->blocks, o->tokens, w->most + 1, o->scratch, w->mem, err));
    for (unsigned s = 0; s < 2 && o->own; s++)
        RC_TRY(rc_rows_new(&w->probe[s], o->tokens, d, o->scratch, w->mem, err));
    w->expert = rc_mem_get(w->mem, o->tokens * c->num_experts_per_tok * sizeof *w->expert);
    w->figures.at = rc_mem_get(w->mem, c->num_hidden_layers * sizeof *w->figures.at);
    w->ids = rc_mem_get(w->mem, w->most * sizeof *w->ids);
    return w->expert && w->figures.at && w->ids
               ? RC_OK
               : rc_fail_nomem(err, w->mem, o->tokens * c->num_experts_per_tok * 4);
}

rc_code rc_layers_new(rc_layers_watch **out, const rc_config *config, const rc_layers_options *o,
                      rc_mem *mem, rc_err *err)
{
    rc_layers_watch *w = rc_mem_get(mem, sizeof *w);
    rc_code rc;

    *out = NULL;
    if (!w)
        return rc_fail_nomem(err, mem, sizeof *w);
    w->mem = mem;
    w->config = config;
    w->compare = rc_compare_f32_best();
    w->tokens = o->tokens;
    w->most = config->index_topk < o->tokens ? config->index_topk : o->tokens;
    w->own = o->own;
    w->figures =
        (rc_layers){ .streams = config->hc_mult < RC_STREAMS ? config->hc_mult : RC_STREAMS,
                     .threshold = o->threshold,
                     .first = -1,
                     .worst_own = -1 };
    w->side[0] = (rc_watch){ .ctx = w,
                             .middle = keep_middle,
                             .sublayer = compare_probe,
                             .experts = keep_experts,
                             .blocks = keep_blocks };
    w->side[1] = (rc_watch){ .ctx = w,
                             .middle = compare_middle,
                             .streams = compare_streams,
                             .sublayer = keep_probe,
                             .experts = compare_experts,
                             .blocks = compare_blocks };
    rc = new_tables(w, o, err);
    if (rc != RC_OK)
        rc_layers_free(&w);
    *out = w;
    return rc;
}

void rc_layers_free(rc_layers_watch **watch)
{
    rc_layers_watch *w = *watch;

    if (!w)
        return;
    rc_rows_free(&w->middle);
    rc_rows_free(&w->blocks);
    rc_rows_free(&w->probe[0]);
    rc_rows_free(&w->probe[1]);
    rc_mem_put(w->mem, w->expert);
    rc_mem_put(w->mem, w->figures.at);
    rc_mem_put(w->mem, w->row);
    rc_mem_put(w->mem, w->ids);
    rc_mem_put(w->mem, w);
    *watch = NULL;
}
