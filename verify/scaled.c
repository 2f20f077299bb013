/* verify/scaled.c - see scaled.h. */
#include "verify/scaled.h"

#include <math.h>
#include <string.h>

#include "runtime/piece.h"

enum { PROBES = 8, ROWS = 64 }; /* readers of a norm that are looked at, and rows of each */
#define CLEARLY    0.9          /* of the error without: believed */
#define NAMED      0.8          /* of the error by the common power: astray */
#define NEAR_POWER 0.2          /* from a whole log2: an estimated factor */

/* What r, the scaling as the norm shows it, may be of the readers' own. */
static const double powers[RC_STATS_POWERS] = { 0, 0.5, 1, 2, -1 };

struct rc_scaled {
    rc_mem *mem;
    const rc_bound *first; /* of NATIVE's parameters */
    size_t params;
    int32_t *of; /* by parameter: its point, or -1 */
    rc_scaled_point *at;
    size_t n;
};

/* A norm and who reads it. */
typedef struct candidate {
    const rc_bound *a, *b; /* the norm on both sides */
    rc_absorb point;
    size_t n;
    int32_t head, tail; /* its readers, a list through finder.next; -1: none */
    size_t readers;
} candidate;

typedef struct finder {
    const rc_subject *a, *b;
    bool (*sound)(const rc_bound *);
    rc_mem *mem;
    rc_scaled *out;
    candidate *at;
    size_t n, most; /* most: channels of the widest */
    int32_t *next;  /* by NATIVE's parameter */
    int32_t *norm;  /* by NATIVE's parameter, where it is a norm: the candidate */
    float *gain[2], *r, *s;
    float *rows[2]; /* [ROWS, most] */
} finder;

/* -- reading ---------------------------------------------------------------- */

static bool readable(const finder *f, const rc_bound *b)
{
    return b && !b->elsewhere && b->weight && f->sound(b) && rc_decoder_of(b);
}

static uint64_t rows_of(const rc_bound *b)
{
    return b->param->rank == 2 ? b->param->shape[0] : 1;
}

static size_t cols_of(const rc_bound *b)
{
    return b->param->rank ? (size_t)b->param->shape[b->param->rank - 1] : 1;
}

/* The first nrows rows to y[nrows, cols]. */
static rc_code read_rows(const finder *f, const rc_subject *side, const rc_bound *b, uint64_t nrows,
                         float *y, rc_err *err)
{
    const size_t cols = cols_of(b), room = rc_piece_room(b, 0, nrows), spare = rc_piece_scratch(b);
    uint8_t *buf = rc_mem_get_pages(f->mem, room), *scratch = rc_mem_get_pages(f->mem, spare + 1);
    void *work = rc_mem_get_pages(f->mem, rc_decoder_work(cols));
    rc_piece piece = { .work = work };
    rc_code rc;

    if (buf && scratch && work)
        rc = rc_piece_read(&piece, side->ckpt, b, 0, nrows, buf, room, scratch, err);
    else
        rc = rc_fail_nomem(err, f->mem, room + spare);
    if (rc != RC_OK)
        rc_subject_name(err, side);
    for (uint64_t i = 0; i < nrows && rc == RC_OK; i++)
        rc_piece_row(y + i * cols, &piece, (size_t)i);
    rc_mem_put(f->mem, work);
    rc_mem_put(f->mem, scratch);
    rc_mem_put(f->mem, buf);
    return rc;
}

/* -- norms and readers ------------------------------------------------------- */

static const rc_bound *partner(const finder *f, const rc_bound *a)
{
    const rc_bound *b = rc_model_find(f->b->model, a->param->name);

    return readable(f, a) && readable(f, b) && a->param->rank == b->param->rank &&
                   memcmp(a->param->shape, b->param->shape,
                          a->param->rank * sizeof *a->param->shape) == 0
               ? b
               : NULL;
}

static void add_norm(finder *f, size_t i)
{
    const rc_bound *a = rc_model_at(f->a->model, i), *b = partner(f, a);
    candidate *c = &f->at[f->n];

    f->norm[i] = -1;
    if (!rc_absorb_is_norm(a->param, &c->point) || !b)
        return;
    c->a = a;
    c->b = b;
    c->n = cols_of(a);
    c->head = c->tail = -1;
    c->readers = 0;
    f->most = c->n > f->most ? c->n : f->most;
    f->norm[i] = (int32_t)f->n++;
}

static void add_reader(finder *f, size_t i)
{
    const rc_bound *a = rc_model_at(f->a->model, i), *norm;
    rc_absorb point;
    candidate *c;
    char name[64];

    f->next[i] = -1;
    if (!rc_absorb_reads(a->param, &point) || !partner(f, a))
        return;
    norm = rc_model_find(f->a->model, rc_absorb_norm_name(a->param, point, name));
    if (!norm || f->norm[norm - f->out->first] < 0)
        return;
    c = &f->at[f->norm[norm - f->out->first]];
    if (cols_of(a) != c->n)
        return;
    if (c->tail < 0)
        c->head = (int32_t)i;
    else
        f->next[c->tail] = (int32_t)i;
    c->tail = (int32_t)i;
    c->readers++;
}

static rc_code list(finder *f, rc_err *err)
{
    const size_t n = f->out->params;

    f->next = rc_mem_get(f->mem, (n + 1) * sizeof *f->next);
    f->norm = rc_mem_get(f->mem, (n + 1) * sizeof *f->norm);
    f->at = rc_mem_get(f->mem, (n + 1) * sizeof *f->at);
    if (!f->next || !f->norm || !f->at)
        return rc_fail_nomem(err, f->mem, n * sizeof *f->at);
    for (size_t i = 0; i < n; i++)
        add_norm(f, i);
    for (size_t i = 0; i < n; i++)
        add_reader(f, i);
    for (unsigned side = 0; side < 2; side++) {
        f->gain[side] = rc_mem_get(f->mem, (f->most + 1) * sizeof(float));
        f->rows[side] = rc_mem_get(f->mem, (ROWS * f->most + 1) * sizeof(float));
        if (!f->gain[side] || !f->rows[side])
            return rc_fail_nomem(err, f->mem, ROWS * f->most * sizeof(float));
    }
    f->r = rc_mem_get(f->mem, (f->most + 1) * sizeof(float));
    f->s = rc_mem_get(f->mem, (f->most + 1) * sizeof(float));
    return f->r && f->s ? RC_OK : rc_fail_nomem(err, f->mem, f->most * sizeof(float));
}

/* -- what the norm and its readers say ---------------------------------------- */

/* r = a / b. How many are not 1; -1 when one is no number above 0. */
static ptrdiff_t ratios(float *r, const float *a, const float *b, size_t n)
{
    ptrdiff_t differ = 0;

    for (size_t k = 0; k < n; k++) {
        r[k] = a[k] == b[k] ? 1 : a[k] / b[k];
        if (!isnormal(r[k]) || r[k] < 0)
            return -1;
        differ += r[k] != 1;
    }
    return differ;
}

/* Squared errors of a reader's rows if its columns were r to each of the powers. */
static void try_powers(rc_powers *sums, const float *a, const float *b, size_t nrows, size_t n,
                       const float *r)
{
    for (size_t i = 0; i < nrows * n; i++) {
        const double s = (double)r[i % n];
        const double is[RC_STATS_POWERS] = { 1, 1 / sqrt(s), 1 / s, 1 / (s * s), s };

        if (s == 1 || !isfinite(a[i]) || !isfinite(b[i]))
            continue;
        for (unsigned p = 0; p < RC_STATS_POWERS; p++) {
            const double d = (double)b[i] * is[p] - (double)a[i];

            sums->dd[p] += d * d;
        }
        sums->aa += (double)a[i] * (double)a[i];
    }
}

static unsigned least(const rc_powers *sums)
{
    unsigned best = RC_SCALED_ONCE;

    for (unsigned p = 0; p < RC_STATS_POWERS; p++)
        if (sums->dd[p] < sums->dd[best])
            best = p;
    return best;
}

/* Of up to PROBES readers, spread evenly: how many follow each power of r. */
static rc_code probe(finder *f, const candidate *c, size_t votes[RC_STATS_POWERS], rc_err *err)
{
    const size_t wanted = c->readers < PROBES ? c->readers : PROBES;
    size_t i = 0, taken = 0;

    for (int32_t at = c->head; at >= 0 && taken < wanted; at = f->next[at], i++) {
        const rc_bound *a = rc_model_at(f->a->model, (size_t)at);
        const rc_bound *b = rc_model_find(f->b->model, a->param->name);
        const uint64_t nrows = rows_of(a) < ROWS ? rows_of(a) : ROWS;
        rc_powers sums = { 0 };
        unsigned best;

        if (i < taken * c->readers / wanted)
            continue;
        taken++;
        RC_TRY(read_rows(f, f->a, a, nrows, f->rows[0], err));
        RC_TRY(read_rows(f, f->b, b, nrows, f->rows[1], err));
        try_powers(&sums, f->rows[0], f->rows[1], (size_t)nrows, c->n, f->r);
        best = least(&sums);
        if (best != RC_SCALED_NONE && sums.dd[best] < CLEARLY * sums.dd[RC_SCALED_NONE] &&
            sums.dd[best] < 0.5 * sums.aa)
            votes[best]++;
        else
            votes[RC_SCALED_NONE]++;
    }
    return RC_OK;
}

/* The norm is as it was. Are columns of its first reader multiplied by powers of two, not all by
 * the same? To r. */
static rc_code guess(finder *f, const candidate *c, bool *found, rc_err *err)
{
    const rc_bound *a = c->readers > 1 ? rc_model_at(f->a->model, (size_t)c->head) : NULL;
    const rc_bound *b = a ? rc_model_find(f->b->model, a->param->name) : NULL;
    uint64_t nrows;
    float lo = INFINITY, hi = 0;

    *found = false;
    if (!a)
        return RC_OK;
    nrows = rows_of(a) < ROWS ? rows_of(a) : ROWS;
    RC_TRY(read_rows(f, f->a, a, nrows, f->rows[0], err));
    RC_TRY(read_rows(f, f->b, b, nrows, f->rows[1], err));
    for (size_t k = 0; k < c->n; k++) {
        double ab = 0, aa = 0, log;

        for (size_t i = 0; i < nrows; i++) {
            ab += (double)f->rows[0][i * c->n + k] * (double)f->rows[1][i * c->n + k];
            aa += (double)f->rows[0][i * c->n + k] * (double)f->rows[0][i * c->n + k];
        }
        f->r[k] = 1;
        if (aa == 0)
            continue;
        log = log2(ab / aa);
        if (!isfinite(log) || fabs(log) > 60 || fabs(log - nearbyint(log)) > NEAR_POWER)
            return RC_OK;
        f->r[k] = ldexpf(1, (int)nearbyint(log));
        lo = fminf(lo, f->r[k]);
        hi = fmaxf(hi, f->r[k]);
    }
    *found = hi > lo;
    return RC_OK;
}

/* -- a point ------------------------------------------------------------------ */

static bool is_power_of_two(float x)
{
    int e;

    return frexpf(x, &e) == 0.5f;
}

static rc_code keep(finder *f, const candidate *c, const float *s, double divided, rc_err *err)
{
    rc_scaled *out = f->out;
    rc_scaled_point *p = &out->at[out->n];

    *p = (rc_scaled_point){ .norm = c->a->param,
                            .point = c->point,
                            .n = c->n,
                            .least = INFINITY,
                            .exact = true,
                            .divided = divided };
    p->s = rc_mem_get(f->mem, 2 * c->n * sizeof *p->s);
    if (!p->s)
        return rc_fail_nomem(err, f->mem, 2 * c->n * sizeof *p->s);
    p->undo = p->s + c->n;
    for (size_t k = 0; k < c->n; k++) {
        p->s[k] = s[k];
        p->undo[k] = 1 / s[k];
        p->channels += s[k] != 1;
        p->exact = p->exact && is_power_of_two(s[k]);
        p->least = fminf(p->least, s[k]);
        p->most = fmaxf(p->most, s[k]);
    }
    out->of[c->a - out->first] = (int32_t)out->n;
    for (int32_t at = c->head; at >= 0; at = f->next[at])
        out->of[at] = (int32_t)out->n;
    out->n++;
    return RC_OK;
}

static rc_code look_at(finder *f, const candidate *c, rc_err *err)
{
    size_t votes[RC_STATS_POWERS] = { 0 };
    unsigned most = RC_SCALED_ONCE;
    ptrdiff_t differ;
    bool guessed = false;

    RC_TRY(read_rows(f, f->a, c->a, 1, f->gain[0], err));
    RC_TRY(read_rows(f, f->b, c->b, 1, f->gain[1], err));
    differ = ratios(f->r, f->gain[0], f->gain[1], c->n);
    if (differ == 0)
        RC_TRY(guess(f, c, &guessed, err));
    if (differ < 0 || (differ == 0 && !guessed))
        return RC_OK;
    RC_TRY(probe(f, c, votes, err));
    if (guessed) /* the norm is the odd one out only where most readers agree on it */
        return votes[RC_SCALED_ONCE] > 1 && votes[RC_SCALED_ONCE] > votes[RC_SCALED_NONE]
                   ? keep(f, c, f->r, 0, err)
                   : RC_OK;
    for (unsigned p = 1; p < RC_STATS_POWERS; p++)
        if (votes[p] > votes[most])
            most = p;
    if (votes[most] == 0)
        return RC_OK;
    for (size_t k = 0; k < c->n; k++)
        f->s[k] = most == RC_SCALED_ONCE ? f->r[k] : (float)pow((double)f->r[k], powers[most]);
    return keep(f, c, f->s, 1 / powers[most], err);
}

static void end(finder *f)
{
    for (unsigned side = 0; side < 2; side++) {
        rc_mem_put(f->mem, f->gain[side]);
        rc_mem_put(f->mem, f->rows[side]);
    }
    rc_mem_put(f->mem, f->r);
    rc_mem_put(f->mem, f->s);
    rc_mem_put(f->mem, f->next);
    rc_mem_put(f->mem, f->norm);
    rc_mem_put(f->mem, f->at);
}

rc_code rc_scaled_find(rc_scaled **out, const rc_subject *a, const rc_subject *b,
                       bool (*sound)(const rc_bound *), rc_mem *mem, rc_err *err)
{
    rc_scaled *s = rc_mem_get(mem, sizeof *s);
    finder f = { .a = a, .b = b, .sound = sound, .mem = mem, .out = s };
    rc_code rc = RC_OK;

    *out = NULL;
    if (!s)
        return rc_fail_nomem(err, mem, sizeof *s);
    s->mem = mem;
    s->params = rc_model_count(a->model);
    s->first = s->params ? rc_model_at(a->model, 0) : NULL;
    s->of = rc_mem_get(mem, (s->params + 1) * sizeof *s->of);
    rc = s->of ? list(&f, err) : rc_fail_nomem(err, mem, s->params * sizeof *s->of);
    for (size_t i = 0; i < s->params && rc == RC_OK; i++)
        s->of[i] = -1;
    if (rc == RC_OK && !(s->at = rc_mem_get(mem, (f.n + 1) * sizeof *s->at)))
        rc = rc_fail_nomem(err, mem, f.n * sizeof *s->at);
    for (size_t i = 0; i < f.n && rc == RC_OK; i++)
        rc = look_at(&f, &f.at[i], err);
    end(&f);
    if (rc == RC_OK)
        *out = s;
    else
        rc_scaled_free(&s);
    return rc;
}

void rc_scaled_free(rc_scaled **scaled)
{
    rc_scaled *s = *scaled;

    *scaled = NULL;
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        rc_mem_put(s->mem, s->at[i].s);
    rc_mem_put(s->mem, s->at);
    rc_mem_put(s->mem, s->of);
    rc_mem_put(s->mem, s);
}

size_t rc_scaled_count(const rc_scaled *scaled)
{
    return scaled ? scaled->n : 0;
}

const rc_scaled_point *rc_scaled_at(const rc_scaled *scaled, size_t i)
{
    return &scaled->at[i];
}

const rc_scaled_point *rc_scaled_of(const rc_scaled *scaled, const rc_bound *a)
{
    const int32_t i = scaled ? scaled->of[a - scaled->first] : -1;

    return i < 0 ? NULL : &scaled->at[i];
}

const float *rc_scaled_fit(const rc_scaled *scaled, const rc_bound *a)
{
    const rc_scaled_point *p = rc_scaled_of(scaled, a);

    return !p ? NULL : p->norm == a->param ? p->undo : p->s;
}

/* -- comparing ----------------------------------------------------------------- */

/* Gains: s came from a division, so b s is a but for its last bit. */
void rc_scaled_undo(const rc_scaled_point *p, bool norm, const float *a, float *b)
{
    const float *by = norm ? p->s : p->undo;

    for (size_t k = 0; k < p->n; k++)
        b[k] *= by[k];
    for (size_t k = 0; norm && k < p->n; k++)
        if (fabsf(b[k] - a[k]) <= 0x1p-22f * fabsf(a[k]))
            b[k] = a[k];
}

void rc_scaled_weigh(rc_powers *sums, const rc_scaled_point *p, const float *a, const float *b)
{
    for (size_t k = 0; k < p->n; k++) {
        const double s = (double)p->s[k], x = (double)a[k], y = (double)b[k];
        const double is[RC_STATS_POWERS] = { s, sqrt(s), 1, 1 / s, s * s };

        if (s == 1 || !isfinite(x) || !isfinite(y))
            continue;
        for (unsigned i = 0; i < RC_STATS_POWERS; i++)
            sums->dd[i] += (y * is[i] - x) * (y * is[i] - x);
        sums->aa += x * x;
    }
}

unsigned rc_scaled_power(const rc_powers *sums)
{
    const unsigned best = least(sums);

    return sums->dd[best] < NAMED * sums->dd[RC_SCALED_ONCE] && sums->dd[best] < 0.5 * sums->aa
               ? best
               : RC_SCALED_ONCE;
}
