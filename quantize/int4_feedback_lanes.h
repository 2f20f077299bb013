/* quantize/int4_feedback_lanes.h - rc_int4_feedback, one row a lane.
 *
 * Included once for each instruction set, and once without. A column is
 *
 *     w[j] = x[j] - e[0] U[0][j] - e[1] U[1][j] - ... - e[j - 1] U[j - 1][j]
 *
 * in this order, e[i] being what column i lost. COLUMNS columns are brought up to date together,
 * with all errors that came before them: that many chains of additions run side by side, and
 * nothing but errors is stored. */
#ifndef RC_QUANTIZE_INT4_FEEDBACK_LANES_H
#define RC_QUANTIZE_INT4_FEEDBACK_LANES_H

#include "quantize/int4_lanes.h"

#define FEEDBACK_COLUMNS 8u

/* VEC rows; those that are missing repeat the first. */
typedef struct feedback_rows {
    const rc_int4_kind *kind;
    const float *x[VEC], *importance;
    uint8_t *q[VEC];
    const float *scale_of[VEC];
    const uint8_t *zero_of[VEC];
    size_t present;
    double loss[VEC];
} feedback_rows;

/* One block of columns, [column][row]. */
typedef struct feedback_block {
    vec x[RC_INT4_BLOCK], error[RC_INT4_BLOCK], code[RC_INT4_BLOCK];
} feedback_block;

VEC_INLINE void feedback_load(feedback_block *b, const feedback_rows *r, size_t at, size_t n)
{
    for (size_t from = 0; from < n; from += VEC) {
        vec row[VEC];
        RC_UNROLL for (unsigned k = 0; k < VEC; k++)
        {
            row[k] = vec_load(r->x[k] + at + from);
        }
        vec_transpose(row);
        RC_UNROLL for (unsigned k = 0; k < VEC; k++)
        {
            b->x[from + k] = row[k];
        }
    }
}

/* Column g * group .. of each row: the scale that the search chose. Where all its codes are the
 * zero point, there was none to be had. */
VEC_INLINE int4_choice feedback_choice(const feedback_rows *r, size_t g)
{
    const size_t group = r->kind->group;
    float scale[VEC], low[VEC], high[VEC];

    for (unsigned k = 0; k < VEC; k++) {
        const uint8_t zero = r->zero_of[k][g], *q = r->q[k] + g * group;
        const bool none = q[0] == zero && memcmp(q, q + 1, group - 1) == 0;
        scale[k] = r->scale_of[k][g];
        low[k] = none ? 0 : -(float)zero;
        high[k] = none ? 0 : 15 - (float)zero;
    }
    return (int4_choice){ vec_load(scale), vec_load(low), vec_load(high), vec_of(0) };
}

/* Columns j .. j + COLUMNS of a block of m. */
VEC_INLINE void feedback_columns(feedback_block *b, size_t j, const float *u, size_t m,
                                 const int4_choice *c)
{
    vec w[FEEDBACK_COLUMNS];

    RC_UNROLL for (unsigned k = 0; k < FEEDBACK_COLUMNS; k++)
    {
        w[k] = b->x[j + k];
    }
    for (size_t i = 0; i < j; i++) {
        const vec error = b->error[i];
        RC_UNROLL for (unsigned k = 0; k < FEEDBACK_COLUMNS; k++)
        {
            w[k] -= error * vec_of(u[i * m + j + k]);
        }
    }
    RC_UNROLL for (unsigned k = 0; k < FEEDBACK_COLUMNS; k++)
    {
        const vec code = int4_clamp(vec_round(w[k] / c->scale), c->low, c->high);
        const vec error = w[k] - code * c->scale;
        b->code[j + k] = code;
        b->error[j + k] = error;
        RC_UNROLL for (unsigned l = k + 1; l < FEEDBACK_COLUMNS; l++)
        {
            w[l] -= error * vec_of(u[(j + k) * m + j + l]);
        }
    }
}

VEC_INLINE void feedback_write(const feedback_block *b, const feedback_rows *r, size_t at, size_t n)
{
    const size_t group = r->kind->group;

    for (size_t from = 0; from < n; from += VEC) {
        vec row[VEC];
        RC_UNROLL for (unsigned k = 0; k < VEC; k++)
        {
            row[k] = b->code[from + k];
        }
        vec_transpose(row);
        for (size_t k = 0; k < r->present; k++) {
            const vec zero = vec_of(r->zero_of[k][(at + from) / group]);
            veci_store_bytes(r->q[k] + at + from, vec_whole(row[k] + zero));
        }
    }
}

/* n columns of one group from column j of the block on. */
VEC_INLINE vec feedback_loss(const feedback_block *b, const feedback_rows *r, size_t at, size_t j,
                             size_t n, vec scale)
{
    vec sum = vec_of(0);

    for (size_t k = j; k < j + n; k++) {
        const vec off = b->x[k] - b->code[k] * scale;
        sum += r->importance ? vec_of(r->importance[at + k]) * (off * off) : off * off;
    }
    return sum;
}

static void feedback_run(feedback_rows *r, const float *u, size_t n)
{
    const size_t group = r->kind->group;
    feedback_block b;

    for (size_t at = 0; at < n; at += RC_INT4_BLOCK) {
        const size_t m = n - at < RC_INT4_BLOCK ? n - at : RC_INT4_BLOCK;
        feedback_load(&b, r, at, m);
        for (size_t j = 0; j < m; j += group) {
            const int4_choice c = feedback_choice(r, (at + j) / group);
            float loss[VEC];
            for (size_t k = j; k < j + group; k += FEEDBACK_COLUMNS)
                feedback_columns(&b, k, u, m, &c);
            vec_store(loss, feedback_loss(&b, r, at, j, group, c.scale));
            for (unsigned k = 0; k < VEC; k++)
                r->loss[k] += (double)loss[k];
        }
        feedback_write(&b, r, at, m);
        u += m * m;
    }
}

/* `left` rows, or VEC if there are more. */
VEC_INLINE void feedback_rows_of(const rc_int4_row *out, size_t left, const float *x, size_t stride,
                                 const float *importance, const float *u, size_t n,
                                 const rc_int4_kind *kind, rc_int4_tally *tally,
                                 rc_int4_row_fn *search)
{
    const size_t groups = n / kind->group;
    feedback_rows r = { .kind = kind, .importance = importance };
    const double loss = tally->loss;
    rc_rounding saved;

    r.present = left < VEC ? left : VEC;
    for (size_t k = 0; k < VEC; k++) {
        const size_t from = k < r.present ? k : 0;
        const rc_int4_row row = { out->q + from * n, out->scale + from * groups,
                                  out->zero + from * groups };
        r.x[k] = x + from * stride;
        r.q[k] = row.q;
        r.scale_of[k] = row.scale;
        r.zero_of[k] = row.zero;
        if (k < r.present)
            search(&row, r.x[k], importance, n, kind, tally);
    }
    saved = rc_rounding_enter();
    feedback_run(&r, u, n);
    tally->loss = loss;
    for (size_t k = 0; k < r.present; k++)
        tally->loss += r.loss[k];
    rc_rounding_leave(saved);
}

VEC_INLINE void int4_feedback(const rc_int4_row *out, size_t rows, const float *x, size_t stride,
                              const float *importance, const float *u, size_t n,
                              const rc_int4_kind *kind, rc_int4_tally *tally,
                              rc_int4_row_fn *search)
{
    const size_t groups = n / kind->group;

    for (size_t r = 0; r < rows; r += VEC) {
        const rc_int4_row part = { out->q + r * n, out->scale + r * groups,
                                   out->zero + r * groups };
        feedback_rows_of(&part, rows - r, x + r * stride, stride, importance, u, n, kind, tally,
                         search);
    }
}

#endif
