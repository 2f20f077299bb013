/* runtime/collect.c - see collect.h. */
#include "runtime/collect.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/base/par.h"
#include "runtime/threads.h"

enum {
    COLUMNS = 64,       /* a thread's share of a sum */
    TRIANGLE_ROWS = 16, /* and of a block's moments */
    WORTH = 1 << 18     /* values from which on threads are worth waking */
};

/* Sums of one place. */
typedef struct place {
    size_t rows, cols;     /* experts or 1, channels */
    double *squares, *abs; /* [rows, cols] */
    double *seen, *counts; /* [rows] */
    double *cov;           /* [blocks, B (B + 1) / 2] of `row`, or NULL */
    int64_t row;           /* -1: nobody's */
} place;

struct rc_collect {
    rc_mem *mem;
    const rc_config *config;
    rc_collect_options o;
    rc_watch watch;
    rc_calib_writer *writer;
    place at[RC_INPUT_COUNT];
    float *x, *weight; /* the sample: [sample, D], [sample, K] */
    uint32_t *expert;  /* [sample, K] */
    size_t got_x, got_chosen;
};

/* ------------------------------------------------------------------ new and free */

static bool by_expert(unsigned at)
{
    return at == RC_INPUT_EXPERT || at == RC_INPUT_DOWN;
}

static bool of_draft_only(unsigned at)
{
    return at == RC_INPUT_E_PROJ || at == RC_INPUT_H_PROJ;
}

static rc_code make_place(rc_collect *c, unsigned at, rc_err *err)
{
    place *p = &c->at[at];
    size_t all;

    p->rows = by_expert(at) ? c->config->n_routed_experts : 1;
    p->cols = (size_t)rc_input_cols((rc_input_at)at, c->config);
    p->row = -1;
    if (of_draft_only(at) && !c->o.draft_tokens)
        return RC_OK;
    all = p->rows * p->cols;
    p->squares = rc_mem_get(c->mem, all * sizeof *p->squares);
    p->abs = rc_mem_get(c->mem, all * sizeof *p->abs);
    p->seen = rc_mem_get(c->mem, p->rows * sizeof *p->seen);
    p->counts = rc_mem_get(c->mem, p->rows * sizeof *p->counts);
    if (c->o.moments && !of_draft_only(at)) {
        p->cov = rc_mem_get(c->mem, rc_ceil_div(p->cols, RC_CALIB_BLOCK) * RC_CALIB_TRIANGLE *
                                        sizeof *p->cov);
        if (!p->cov)
            return rc_fail_nomem(err, c->mem,
                                 rc_ceil_div(p->cols, RC_CALIB_BLOCK) * RC_CALIB_TRIANGLE *
                                     sizeof *p->cov);
    }
    return p->squares && p->abs && p->seen && p->counts
               ? RC_OK
               : rc_fail_nomem(err, c->mem, 2 * all * sizeof *p->squares);
}

static rc_code on_input(void *ctx, uint32_t layer, rc_input_at at, int32_t expert, uint64_t pos0,
                        const uint32_t *token, size_t rows, size_t cols, const float *x,
                        rc_err *err);
static rc_code on_experts(void *ctx, uint32_t layer, uint64_t pos0, size_t tokens, size_t k,
                          const uint32_t *id, const float *weight, rc_err *err);

rc_code rc_collect_new(rc_collect **out, const rc_config *config, const rc_collect_options *o,
                       rc_mem *mem, rc_err *err)
{
    const size_t d = config->hidden_size, k = config->num_experts_per_tok;
    rc_collect *c = rc_mem_get(mem, sizeof *c);
    rc_code rc = RC_OK;

    *out = NULL;
    if (!c)
        return rc_fail_nomem(err, mem, sizeof *c);
    c->mem = mem;
    c->config = config;
    c->o = *o;
    c->o.threads = o->threads ? o->threads : rc_par_cpus();
    c->watch = (rc_watch){ .ctx = c, .input = on_input, .experts = on_experts };
    for (unsigned at = 0; at < RC_INPUT_COUNT && rc == RC_OK; at++)
        rc = make_place(c, at, err);
    c->x = rc_mem_get(mem, o->sample * d * sizeof *c->x);
    c->weight = rc_mem_get(mem, o->sample * k * sizeof *c->weight);
    c->expert = rc_mem_get(mem, o->sample * k * sizeof *c->expert);
    if (rc == RC_OK && (!c->x || !c->weight || !c->expert))
        rc = rc_fail_nomem(err, mem, o->sample * d * sizeof *c->x);
    if (rc != RC_OK)
        rc_collect_free(&c);
    *out = c;
    return rc;
}

void rc_collect_free(rc_collect **collect)
{
    rc_collect *c = *collect;

    *collect = NULL;
    if (!c)
        return;
    for (unsigned at = 0; at < RC_INPUT_COUNT; at++) {
        rc_mem_put(c->mem, c->at[at].squares);
        rc_mem_put(c->mem, c->at[at].abs);
        rc_mem_put(c->mem, c->at[at].seen);
        rc_mem_put(c->mem, c->at[at].counts);
        rc_mem_put(c->mem, c->at[at].cov);
    }
    rc_mem_put(c->mem, c->x);
    rc_mem_put(c->mem, c->weight);
    rc_mem_put(c->mem, c->expert);
    rc_mem_put(c->mem, c);
}

const rc_watch *rc_collect_watch(const rc_collect *c)
{
    return &c->watch;
}

void rc_collect_to(rc_collect *c, rc_calib_writer *writer)
{
    c->writer = writer;
}

/* ----------------------------------------------------------------------- sums */

/* Columns [begin, end) of n rows. False: a sum that no F32 holds, or no number at all. */
static bool add_columns(double *squares, double *abs, const float *x, size_t n, size_t cols,
                        size_t begin, size_t end)
{
    bool sound = true;

    for (size_t r = 0; r < n; r++)
        for (size_t k = begin; k < end; k++) {
            const double v = (double)x[r * cols + k];

            squares[k] += v * v;
            abs[k] += fabs(v);
        }
    for (size_t k = begin; k < end; k++)
        sound = sound && squares[k] <= (double)FLT_MAX; /* a NaN is not */
    return sound;
}

static bool add_sums(const rc_collect *c, place *p, size_t row, const float *x, size_t n)
{
    const size_t parts = (p->cols + COLUMNS - 1) / COLUMNS;
    double *const squares = p->squares + row * p->cols, *const abs = p->abs + row * p->cols;
    const unsigned team = n * p->cols < WORTH ? 1 : rc_threads_for(c->o.threads, parts);
    bool bad = false;

    RC_PARALLEL(team, for schedule(static) reduction(|| : bad))
    for (size_t i = 0; i < parts; i++) {
        const size_t begin = i * COLUMNS;
        const size_t end = begin + COLUMNS < p->cols ? begin + COLUMNS : p->cols;

        bad = !add_columns(squares, abs, x, n, p->cols, begin, end) || bad;
    }
    p->seen[row] += (double)n;
    return !bad;
}

/* Rows [begin, end) of the triangle of one block of channels. */
static void add_moments_of(double *cov, const float *x, size_t n, size_t cols, size_t wide,
                           size_t begin, size_t end)
{
    double v[RC_CALIB_BLOCK];

    for (size_t r = 0; r < n; r++) {
        for (size_t k = 0; k < wide; k++)
            v[k] = (double)x[r * cols + k];
        for (size_t i = begin; i < end; i++) {
            double *const to = cov + i * (i + 1) / 2;

            for (size_t j = 0; j <= i; j++)
                to[j] += v[i] * v[j];
        }
    }
}

static void add_moments(const rc_collect *c, const place *p, const float *x, size_t n)
{
    const size_t parts = RC_CALIB_BLOCK / TRIANGLE_ROWS,
                 all = rc_ceil_div(p->cols, RC_CALIB_BLOCK) * parts;

    RC_PARALLEL(rc_threads_for(c->o.threads, all), for schedule(dynamic))
    for (size_t i = 0; i < all; i++) {
        const size_t block = i / parts, begin = i % parts * TRIANGLE_ROWS;
        const size_t left = p->cols - block * RC_CALIB_BLOCK;
        const size_t wide = left < RC_CALIB_BLOCK ? left : RC_CALIB_BLOCK;
        const size_t end = begin + TRIANGLE_ROWS < wide ? begin + TRIANGLE_ROWS : wide;

        add_moments_of(p->cov + block * RC_CALIB_TRIANGLE, x + block * RC_CALIB_BLOCK, n, p->cols,
                       wide, begin, end);
    }
}

/* --------------------------------------------------------------------- a failure */

/* Rows of one call, for a message. */
typedef struct call {
    uint32_t layer;
    rc_input_at at;
    int32_t expert;
    uint64_t pos0;
    const uint32_t *token;
    size_t each; /* rows of one token */
} call;

static uint64_t position(const call *of, size_t row)
{
    const size_t r = row / of->each;

    return of->pos0 + (of->token ? of->token[r] : r);
}

static void say_where(const rc_collect *c, const call *of, char *buf, size_t n)
{
    const uint32_t layers = c->config->num_hidden_layers;
    int len = of->layer < layers ? snprintf(buf, n, "layer %" PRIu32, of->layer)
                                 : snprintf(buf, n, "draft block %" PRIu32, of->layer - layers);

    if (of->expert >= 0 && len > 0 && (size_t)len < n)
        snprintf(buf + len, n - (size_t)len, ", expert %" PRId32, of->expert);
}

static rc_code fail_sum(const rc_collect *c, const call *of, const float *x, size_t n, size_t cols,
                        rc_err *err)
{
    /* a draft sees a token less of each */
    const uint64_t window = c->o.window - (of->layer >= c->config->num_hidden_layers);
    char where[64];
    size_t worst = 0;
    uint64_t pos;

    say_where(c, of, where, sizeof where);
    for (size_t i = 0; i < n * cols && isfinite(x[worst]); i++)
        if (!isfinite(x[i]) || fabsf(x[i]) > fabsf(x[worst]))
            worst = i;
    pos = position(of, worst / cols);
    rc_fail(err, RC_E_NUMERIC, RC_NO_OFFSET,
            "%s: %s is %s (%g) at token %" PRIu64 " of the windows (window %" PRIu64
            ", position %" PRIu64 "), channel %zu",
            where, rc_input_name(of->at),
            isfinite(x[worst]) ? "too large to be squared" : "not finite", (double)x[worst], pos,
            pos / window, pos % window, worst % cols);
    rc_err_hint(err, "recast verify finds damaged weights; --numerics f32 tells whether it is a "
                     "matter of rounding");
    return RC_E_NUMERIC;
}

/* ----------------------------------------------------------------------- sample */

uint64_t rc_collect_sampled(size_t i, size_t rows, uint64_t tokens)
{
    return (2 * (uint64_t)i + 1) * tokens / (2 * (uint64_t)rows);
}

static uint64_t tokens_of(const rc_collect *c, uint32_t layer)
{
    return layer < c->config->num_hidden_layers ? c->o.tokens : c->o.draft_tokens;
}

static size_t sample_of(const rc_collect *c, uint32_t layer)
{
    const uint64_t n = tokens_of(c, layer);

    return c->o.sample < n ? c->o.sample : (size_t)n;
}

/* Is row *got of the sample among positions [pos0, pos0 + n)? Which? */
static bool next_sampled(const rc_collect *c, uint32_t layer, size_t got, uint64_t pos0, size_t n,
                         size_t *row)
{
    const size_t rows = sample_of(c, layer);
    uint64_t pos;

    if (got >= rows)
        return false;
    pos = rc_collect_sampled(got, rows, tokens_of(c, layer));
    *row = (size_t)(pos - pos0);
    return pos >= pos0 && pos < pos0 + n;
}

static void take_sample(rc_collect *c, uint32_t layer, uint64_t pos0, size_t n, const float *x)
{
    const size_t d = c->config->hidden_size;
    size_t row;

    for (; next_sampled(c, layer, c->got_x, pos0, n, &row); c->got_x++)
        memcpy(c->x + c->got_x * d, x + row * d, d * sizeof *x);
}

static rc_code on_experts(void *ctx, uint32_t layer, uint64_t pos0, size_t tokens, size_t k,
                          const uint32_t *id, const float *weight, rc_err *err)
{
    rc_collect *c = ctx;
    size_t row;

    (void)err;
    for (; next_sampled(c, layer, c->got_chosen, pos0, tokens, &row); c->got_chosen++) {
        memcpy(c->expert + c->got_chosen * k, id + row * k, k * sizeof *id);
        memcpy(c->weight + c->got_chosen * k, weight + row * k, k * sizeof *weight);
    }
    return RC_OK;
}

/* ------------------------------------------------------------------------- rows */

/* Write the moments of the row at work, if there is one, and begin another's. */
static rc_code turn_moments(rc_collect *c, uint32_t block, rc_input_at at, int64_t row, rc_err *err)
{
    place *p = &c->at[at];

    if (!p->cov || p->row == row)
        return RC_OK;
    if (p->row >= 0)
        RC_TRY(rc_calib_put_moments(c->writer, block, at, (size_t)p->row, p->cov, err));
    memset(p->cov, 0, rc_ceil_div(p->cols, RC_CALIB_BLOCK) * RC_CALIB_TRIANGLE * sizeof *p->cov);
    p->row = row;
    return RC_OK;
}

static rc_code on_input(void *ctx, uint32_t layer, rc_input_at at, int32_t expert, uint64_t pos0,
                        const uint32_t *token, size_t rows, size_t cols, const float *x,
                        rc_err *err)
{
    rc_collect *c = ctx;
    place *p = &c->at[at];
    const size_t row = expert >= 0 ? (size_t)expert : 0;
    call of = { layer, at, expert, pos0, token, 1 };

    if (at == RC_INPUT_HEAD && layer + 1 != c->config->num_hidden_layers)
        return RC_OK;         /* a draft's, which reads the same matrix */
    if (at == RC_INPUT_O_A) { /* a row for each group */
        of.each = cols / p->cols;
        rows *= of.each;
    } else if (at == RC_INPUT_H_PROJ) {
        of.each = c->config->hc_mult;
    }
    if (!p->squares || (at != RC_INPUT_O_A && cols != p->cols) || row >= p->rows)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "%s: of another size", rc_input_name(at));
    if (!add_sums(c, p, row, x, rows))
        return fail_sum(c, &of, x, rows, p->cols, err);
    if (c->o.rows && (at == RC_INPUT_ATTN || at == RC_INPUT_EXPERT))
        *c->o.rows += at == RC_INPUT_ATTN ? rows * c->config->num_experts_per_tok : rows;
    if (at == RC_INPUT_FFN)
        take_sample(c, layer, pos0, rows, x);
    RC_TRY(turn_moments(c, layer, at, (int64_t)row, err));
    if (p->cov)
        add_moments(c, p, x, rows);
    return RC_OK;
}

/* ------------------------------------------------------------------------ flush */

static double sum_of(const double *v, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += v[i];
    return sum;
}

/* What w2 of an expert that too few saw is topped up with: the mean over experts and channels. */
typedef struct filler {
    double squares, abs;
} filler;

static filler mean_hidden(const place *down)
{
    const size_t all = down->rows * down->cols;
    const double values = sum_of(down->seen, down->rows) * (double)down->cols;

    if (values == 0.0)
        return (filler){ 0, 0 };
    return (filler){ sum_of(down->squares, all) / values, sum_of(down->abs, all) / values };
}

/* An expert that fewer than enough chose, as if the others had been average tokens. */
static void top_up(const rc_collect *c, size_t e, filler hidden)
{
    const place *in = &c->at[RC_INPUT_EXPERT], *down = &c->at[RC_INPUT_DOWN];
    const place *all = &c->at[RC_INPUT_FFN];
    const double more = RC_CALIB_ENOUGH - in->seen[e], n = all->seen[0];

    for (size_t k = 0; k < in->cols && n > 0; k++) {
        in->squares[e * in->cols + k] += more * all->squares[k] / n;
        in->abs[e * in->cols + k] += more * all->abs[k] / n;
    }
    for (size_t k = 0; k < down->cols; k++) {
        down->squares[e * down->cols + k] += more * hidden.squares;
        down->abs[e * down->cols + k] += more * hidden.abs;
    }
    in->counts[e] = down->counts[e] = RC_CALIB_ENOUGH;
}

static void settle(rc_collect *c, uint32_t *few)
{
    const filler hidden = mean_hidden(&c->at[RC_INPUT_DOWN]);
    place *h = &c->at[RC_INPUT_H_PROJ];

    for (unsigned at = 0; at < RC_INPUT_COUNT; at++)
        for (size_t r = 0; c->at[at].squares && r < c->at[at].rows; r++)
            c->at[at].counts[r] = c->at[at].seen[r];
    if (c->at[RC_INPUT_FFN].seen[0] > 0)
        for (size_t e = 0; e < c->at[RC_INPUT_EXPERT].rows; e++)
            if (c->at[RC_INPUT_EXPERT].seen[e] < RC_CALIB_ENOUGH) {
                top_up(c, e, hidden);
                (*few)++;
            }
    for (size_t k = 0; h->squares && k < h->cols; k++) { /* a token's streams count as one row */
        h->squares[k] /= c->config->hc_mult;
        h->abs[k] /= c->config->hc_mult;
    }
    if (h->squares) {
        h->seen[0] /= c->config->hc_mult;
        h->counts[0] = h->seen[0];
    }
}

static bool has_rows(const place *p)
{
    for (size_t r = 0; p->squares && r < p->rows; r++)
        if (p->counts[r] > 0)
            return true;
    return false;
}

static void forget(place *p)
{
    if (!p->squares)
        return;
    memset(p->squares, 0, p->rows * p->cols * sizeof *p->squares);
    memset(p->abs, 0, p->rows * p->cols * sizeof *p->abs);
    memset(p->seen, 0, p->rows * sizeof *p->seen);
    memset(p->counts, 0, p->rows * sizeof *p->counts);
}

/* An expert that nobody chose has no moments; the file must say so by zeros. */
static rc_code no_moments(rc_collect *c, uint32_t block, rc_input_at at, rc_err *err)
{
    const place *p = &c->at[at];

    for (size_t r = 0; p->cov && p->rows > 1 && r < p->rows; r++)
        if (p->seen[r] == 0.0)
            RC_TRY(rc_calib_put_moments(c->writer, block, at, r, p->cov, err));
    return RC_OK;
}

rc_code rc_collect_flush(rc_collect *c, uint32_t block, uint32_t *few, rc_err *err)
{
    settle(c, few);
    for (unsigned i = 0; i < RC_INPUT_COUNT; i++) {
        const rc_input_at at = (rc_input_at)i;
        place *p = &c->at[at];
        const rc_calib_sums sums = { p->rows, p->cols, p->squares, p->abs, p->counts, p->seen };

        if (!has_rows(p))
            continue;
        RC_TRY(rc_calib_put(c->writer, block, at, &sums, err));
        RC_TRY(turn_moments(c, block, at, -1, err));
        RC_TRY(no_moments(c, block, at, err));
        forget(p);
    }
    if (c->got_x != c->got_chosen)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "a sample without its experts");
    if (c->got_x)
        RC_TRY(rc_calib_put_sample(c->writer, block, c->x, c->expert, c->weight, err));
    c->got_x = c->got_chosen = 0;
    return RC_OK;
}
