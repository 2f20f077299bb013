/* convert/smooth_weights.c - candidates, and their losses by the weights alone: how far rounding
 * moves them, column by column as the activations count.
 *
 * One item is one matrix; its losses are kept apart and added in order, so that the sums do not
 * depend on how many work at it. */
#include <math.h>
#include <string.h>

#include "convert/smooth_impl.h"
#include "formats/base/par.h"
#include "formats/base/stop.h"
#include "kernels/bf16.h"

/* Of one site. Rows of all its matrices together; no matrix gives fewer than SAMPLE_MIN. */
enum { SAMPLE = 32768, SAMPLE_MIN = 128 };

typedef struct slot {
    rc_smooth_rows rows;
    float *row, *power, *work; /* [n], [n], [2 n] */
} slot;

typedef struct pass {
    rc_smooth_search *search;
    slot *slot;
    double *mean;    /* [n], sums of the first pass */
    uint64_t rows;   /* that went into it */
    rc_turn turn;    /* of adding to it */
    double *loss;    /* [readers][1 + tries], of the second */
    const float **s; /* none, and the candidates */
} pass;

/* Rows [*row, *row + *n) stand for matrix i: a run, in another place for each. */
static void sample_of(const rc_smooth_site *site, size_t i, uint64_t *row, uint64_t *n)
{
    const uint64_t rows = site->reader[i]->param->shape[0];
    uint64_t runs;

    *n = SAMPLE / site->readers / RC_SMOOTH_TILE * RC_SMOOTH_TILE;
    *n = *n < SAMPLE_MIN ? SAMPLE_MIN : *n;
    *n = *n < rows ? *n : rows;
    runs = rows / *n;
    *row = i * 7 % runs * *n;
}

static rc_code read_sample(pass *p, slot *s, size_t i, uint64_t *n, rc_err *err)
{
    uint64_t row;

    RC_TRY(rc_stop_check(err));
    sample_of(p->search->site, i, &row, n);
    return rc_smooth_read(&s->rows, p->search->plan, p->search->site->reader[i], row, *n,
                          p->search->mem, err);
}

static rc_code add_mean(void *ctx, rc_par *par, unsigned at, uint64_t item, rc_err *err)
{
    pass *p = ctx;
    slot *s = &p->slot[at];
    uint64_t n;

    RC_TRY(read_sample(p, s, (size_t)item, &n, err));
    if (!rc_turn_wait(par, &p->turn, item))
        return rc_fail(err, RC_E_STOPPED, RC_NO_OFFSET, "another part of the run failed");
    rc_par_compute_begin(par);
    for (uint64_t r = 0; r < n; r++) {
        s->rows.piece.how->decode_row(s->row, &s->rows.piece, (size_t)r);
        rc_awq_weight_mean_add(p->mean, s->row, p->search->site->n, p->search->kind.group);
    }
    p->rows += n;
    rc_par_compute_end(par);
    rc_turn_next(par, &p->turn);
    return RC_OK;
}

/* How much the columns of matrix i count: the tokens it saw, times their mean squares. */
static rc_code power_of(const rc_smooth_search *search, size_t i, float *power, rc_err *err)
{
    const rc_param *param = search->site->reader[i]->param;
    uint64_t tokens;
    bool found;

    RC_TRY(rc_calib_get(search->stats, param, search->config, RC_CALIB_SQUARES, 0, power, &found,
                        err));
    RC_TRY(rc_calib_seen(search->stats, param, search->config, &tokens, err));
    for (size_t k = 0; k < search->site->n; k++)
        power[k] = found ? power[k] * (float)(tokens ? tokens : 1) : 0;
    return RC_OK;
}

static rc_code add_losses(void *ctx, rc_par *par, unsigned at, uint64_t item, rc_err *err)
{
    pass *p = ctx;
    slot *s = &p->slot[at];
    rc_int4_kind nearest = p->search->kind;
    uint64_t n;

    nearest.search = RC_INT4_NEAREST;
    RC_TRY(power_of(p->search, (size_t)item, s->power, err));
    RC_TRY(read_sample(p, s, (size_t)item, &n, err));
    rc_par_compute_begin(par);
    for (uint64_t r = 0; r < n; r++) {
        s->rows.piece.how->decode_row(s->row, &s->rows.piece, (size_t)r);
        rc_awq_losses_best()(p->loss + item * (1 + RC_SMOOTH_TRIES), s->row, s->power, p->s,
                             1 + RC_SMOOTH_TRIES, p->search->site->n, &nearest, s->work);
    }
    rc_par_compute_end(par);
    return RC_OK;
}

/* ------------------------------------------------------------- candidates */

/* The norm's gain is stored as BF16: take the scaling that the stored quotient makes, so that
 * nothing but the rounding of the other readers remains. */
static void take_stored(float *s, const float *gain, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        const float quotient = gain[k] / s[k];
        uint16_t bits;
        float stored;

        (void)rc_f32_to_bf16_best()(&bits, &quotient, 1);
        rc_bf16_to_f32_best()(&stored, &bits, 1);
        s[k] = stored != 0 && isfinite(gain[k] / stored) ? gain[k] / stored : 1;
    }
}

static rc_code candidates(pass *p, slot *s, rc_err *err)
{
    rc_smooth_search *search = p->search;
    const rc_smooth_site *site = search->site;
    double *x_mean = rc_mem_get(search->mem, site->n * sizeof *x_mean);
    rc_code rc = RC_OK;
    bool found;

    if (!x_mean)
        return rc_fail_nomem(err, search->mem, site->n * sizeof *x_mean);
    rc = rc_calib_get(search->stats, site->all->param, search->config, RC_CALIB_ABS, 0, s->power,
                      &found, err);
    for (size_t k = 0; k < site->n; k++) {
        x_mean[k] = (double)s->power[k];
        p->mean[k] /= (double)p->rows;
    }
    if (rc == RC_OK && search->way == RC_SMOOTH_FREE) {
        rc = rc_smooth_read(&s->rows, search->plan, site->norm, 0, 1, search->mem, err);
        if (rc == RC_OK)
            s->rows.piece.how->decode_row(s->row, &s->rows.piece, 0);
    }
    for (unsigned i = 0; i < RC_SMOOTH_TRIES && rc == RC_OK; i++) {
        rc_awq_scales(search->s[i], x_mean, p->mean, site->n, (double)i / RC_AWQ_GRID,
                      search->way == RC_SMOOTH_POW2);
        if (search->way == RC_SMOOTH_FREE)
            take_stored(search->s[i], s->row, site->n);
    }
    rc_mem_put(search->mem, x_mean);
    return rc;
}

/* ------------------------------------------------------------------- run */

/* Does anybody know what this site's readers see? */
static rc_code is_known(const rc_smooth_search *search, bool *known, rc_err *err)
{
    const rc_smooth_site *site = search->site;
    float *x = rc_mem_get(search->mem, site->n * sizeof *x);
    rc_code rc;

    if (!x)
        return rc_fail_nomem(err, search->mem, site->n * sizeof *x);
    rc = rc_calib_get(search->stats, site->all->param, search->config, RC_CALIB_ABS, 0, x, known,
                      err);
    rc_mem_put(search->mem, x);
    return rc;
}

static rc_code make_room(pass *p, rc_err *err)
{
    rc_smooth_search *search = p->search;
    const size_t n = search->site->n, tries = 1 + RC_SMOOTH_TRIES;
    rc_mem *mem = search->mem;

    p->slot = rc_mem_get(mem, search->threads * sizeof *p->slot);
    p->mean = rc_mem_get(mem, n * sizeof *p->mean);
    p->loss = rc_mem_get(mem, search->site->readers * tries * sizeof *p->loss);
    p->s = rc_mem_get(mem, tries * sizeof *p->s);
    if (!p->slot || !p->mean || !p->loss || !p->s)
        return rc_fail_nomem(err, mem, search->site->readers * tries * sizeof *p->loss);
    for (unsigned i = 0; i < search->threads; i++) {
        slot *s = &p->slot[i];

        s->row = rc_mem_get_pages(mem, n * sizeof *s->row);
        s->power = rc_mem_get_pages(mem, n * sizeof *s->power);
        s->work = rc_mem_get_pages(mem, 2 * n * sizeof *s->work);
        if (!s->row || !s->power || !s->work)
            return rc_fail_nomem(err, mem, 4 * n * sizeof *s->row);
    }
    return RC_OK;
}

static void give_room(pass *p)
{
    rc_mem *mem = p->search->mem;

    for (unsigned i = 0; p->slot && i < p->search->threads; i++) {
        rc_smooth_rows_free(&p->slot[i].rows, mem);
        rc_mem_put(mem, p->slot[i].row);
        rc_mem_put(mem, p->slot[i].power);
        rc_mem_put(mem, p->slot[i].work);
    }
    rc_mem_put(mem, p->slot);
    rc_mem_put(mem, p->mean);
    rc_mem_put(mem, p->loss);
    rc_mem_put(mem, p->s);
}

static void add_up(pass *p)
{
    double *loss = p->search->loss;

    for (unsigned c = 0; c < 1 + RC_SMOOTH_TRIES; c++) {
        loss[c] = 0;
        for (size_t i = 0; i < p->search->site->readers; i++)
            loss[c] += p->loss[i * (1 + RC_SMOOTH_TRIES) + c];
    }
}

static rc_code both_passes(pass *p, rc_err *err)
{
    rc_smooth_search *search = p->search;
    const rc_smooth_site *site = search->site;
    float *ones = p->slot[0].work;

    RC_TRY(rc_par_run(site->readers, search->threads, search->threads, add_mean, p, err));
    RC_TRY(candidates(p, &p->slot[0], err));
    ones = rc_mem_get(search->mem, site->n * sizeof *ones);
    if (!ones)
        return rc_fail_nomem(err, search->mem, site->n * sizeof *ones);
    for (size_t k = 0; k < site->n; k++)
        ones[k] = 1;
    p->s[0] = ones;
    for (unsigned i = 0; i < RC_SMOOTH_TRIES; i++)
        p->s[1 + i] = search->s[i];
    {
        const rc_code rc =
            rc_par_run(site->readers, search->threads, search->threads, add_losses, p, err);

        rc_mem_put(search->mem, ones);
        RC_TRY(rc);
    }
    add_up(p);
    return RC_OK;
}

rc_code rc_smooth_by_weights(rc_smooth_search *search, bool *known, rc_err *err)
{
    pass p = { .search = search };
    rc_code rc = RC_OK;

    RC_TRY(is_known(search, known, err));
    if (!*known)
        return RC_OK;
    rc = make_room(&p, err);
    if (rc == RC_OK)
        rc = both_passes(&p, err);
    give_room(&p);
    return rc;
}
