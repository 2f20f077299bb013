/* runtime/plain_weights.c - from a checkpoint to numbers: find, read, decode, keep. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/piece.h"
#include "runtime/plain_impl.h"

enum { BAND = 1 << 20 }; /* bytes of a matrix that are read together, at least one row */

rc_code rc_pl_fail_at(const rc_plain *p, const rc_pl_weight *w, uint64_t offset, rc_code code,
                      rc_err *err, const char *fmt, ...)
{
    const rc_tensor *t = w->bound->weight;
    char msg[160];
    va_list args;

    va_start(args, fmt);
    vsnprintf(msg, sizeof msg, fmt, args);
    va_end(args);
    rc_fail(err, code, t->begin + offset, "%s", msg);
    rc_err_file(err, rc_ckpt_shard(rc_model_ckpt(p->model), t->shard)->name);
    rc_err_tensor(err, t->name);
    return code;
}

rc_code rc_pl_bind(rc_plain *p, rc_pl_weight *w, const char *prefix, const char *name, rc_err *err)
{
    char full[128];
    const rc_bound *b;

    snprintf(full, sizeof full, "%s%s", prefix, name);
    b = rc_model_find(p->model, full);
    if (!b || !b->weight) {
        rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
                "the forward pass needs it, and it is not here");
        rc_err_tensor(err, full);
        rc_err_hint(err, "a draft that lies in a file of its own cannot run alone");
        return RC_E_UNSUPPORTED;
    }
    w->bound = b;
    w->rows = b->param->rank == 2 ? (size_t)b->param->shape[0] : 1;
    w->cols = (size_t)b->param->shape[b->param->rank - 1];
    return RC_OK;
}

void rc_pl_weight_free(rc_plain *p, rc_pl_weight *w)
{
    if (w->kept)
        p->keep += w->rows * w->cols * sizeof(float);
    rc_mem_put(p->mem, w->kept);
    w->kept = NULL;
}

static rc_code room(rc_plain *p, struct rc_pl_buffer *b, size_t len, rc_err *err)
{
    if (len <= b->len)
        return RC_OK;
    rc_mem_put(p->mem, b->at);
    b->len = 0;
    b->at = rc_mem_get_pages(p->mem, len);
    if (!b->at)
        return rc_fail_nomem(err, p->mem, len);
    b->len = len;
    return RC_OK;
}

static rc_code read_part(rc_plain *p, struct rc_pl_buffer *b, const rc_tensor *t, uint64_t off,
                         size_t len, const uint8_t **data, rc_err *err)
{
    *data = NULL;
    if (len == 0)
        return RC_OK;
    p->whole = NULL;
    RC_TRY(room(p, b, len + 2 * (size_t)RC_PAGE, err));
    return rc_ckpt_read(rc_model_ckpt(p->model), t, off, len, b->at, b->len, data, err);
}

/* A weight that is no number would silently become every logit. */
static rc_code check_row(const rc_plain *p, const rc_pl_weight *w, size_t row, const float *y,
                         rc_err *err)
{
    for (size_t i = 0; i < w->cols; i++)
        if (!isfinite(y[i]))
            return rc_pl_fail_at(p, w, rc_decoder_offset(w->bound, row, i), RC_E_NUMERIC, err,
                                 "the weight at [%zu, %zu] is %s", row, i,
                                 isnan(y[i]) ? "not a number" : "infinite");
    return RC_OK;
}

/* A piece that holds these rows, in p->raw. What can only be read whole is not read again when it
 * is there already. */
static rc_code read_rows(rc_plain *p, const rc_pl_weight *w, size_t row, size_t nrows, rc_err *err)
{
    const bool whole = rc_decoder_whole(w->bound);
    const size_t need = rc_piece_room(w->bound, row, nrows), scratch = rc_piece_scratch(w->bound);

    if (whole && p->whole == w->bound)
        return RC_OK;
    p->whole = NULL;
    RC_TRY(room(p, &p->raw, need, err));
    RC_TRY(room(p, &p->scratch_of_piece, scratch, err));
    RC_TRY(rc_piece_read(&p->piece, rc_model_ckpt(p->model), w->bound, row, nrows, p->raw.at,
                         p->raw.len, p->scratch_of_piece.at, err));
    p->whole = whole ? w->bound : NULL;
    return RC_OK;
}

/* Rows [row, row + nrows) to y [nrows, cols]. */
static rc_code decode_rows(rc_plain *p, const rc_pl_weight *w, size_t row, size_t nrows, float *y,
                           rc_err *err)
{
    if (!rc_decoder_of(w->bound))
        return rc_pl_fail_at(p, w, 0, RC_E_UNSUPPORTED, err, "values of this type cannot be read");
    RC_TRY(read_rows(p, w, row, nrows, err));
    RC_TRY(room(p, &p->work, rc_decoder_work(w->cols), err));
    p->piece.work = p->work.at;
    for (size_t i = 0; i < nrows; i++) {
        rc_piece_row(y + i * w->cols, &p->piece, (size_t)(row - p->piece.row0) + i);
        RC_TRY(check_row(p, w, row + i, y + i * w->cols, err));
    }
    return RC_OK;
}

static size_t band_of(const rc_pl_weight *w)
{
    const size_t rows = BAND / sizeof(float) / w->cols;

    return rows ? rows : 1;
}

/* Keep the whole parameter, if the budget still has the room. */
static rc_code keep(rc_plain *p, rc_pl_weight *w, rc_err *err)
{
    const size_t nbytes = w->rows * w->cols * sizeof(float), band = band_of(w);

    if (w->kept || nbytes > p->keep)
        return RC_OK;
    w->kept = rc_mem_get(p->mem, nbytes);
    if (!w->kept)
        return rc_fail_nomem(err, p->mem, nbytes);
    p->keep -= nbytes;
    for (size_t row = 0; row < w->rows; row += band) {
        const size_t n = w->rows - row < band ? w->rows - row : band;
        const rc_code rc = decode_rows(p, w, row, n, w->kept + row * w->cols, err);

        if (rc != RC_OK) {
            rc_pl_weight_free(p, w);
            return rc;
        }
    }
    return RC_OK;
}

/* A pointer to rows [row, row + nrows): kept, or read for the moment. */
static rc_code rows_at(rc_plain *p, rc_pl_weight *w, size_t row, size_t nrows, const float **at,
                       rc_err *err)
{
    if (w->kept) {
        *at = w->kept + row * w->cols;
        return RC_OK;
    }
    RC_TRY(room(p, &p->rows, nrows * w->cols * sizeof(float), err));
    *at = p->rows.at;
    return decode_rows(p, w, row, nrows, p->rows.at, err);
}

rc_code rc_pl_row(rc_plain *p, rc_pl_weight *w, size_t row, double *y, rc_err *err)
{
    const float *at;

    RC_TRY(rows_at(p, w, row, 1, &at, err));
    for (size_t i = 0; i < w->cols; i++)
        y[i] = (double)at[i];
    return RC_OK;
}

rc_code rc_pl_product_of(rc_plain *p, rc_pl_weight *w, size_t row, size_t nrows, const double *x,
                         double *y, rc_err *err)
{
    const size_t band = band_of(w);

    RC_TRY(keep(p, w, err));
    for (size_t done = 0; done < nrows; done += band) {
        const size_t n = nrows - done < band ? nrows - done : band;
        const float *at;

        RC_TRY(rows_at(p, w, row + done, n, &at, err));
        for (size_t r = 0; r < n; r++) {
            double sum = 0;

            for (size_t i = 0; i < w->cols; i++)
                sum += (double)at[r * w->cols + i] * x[i];
            y[done + r] = sum;
        }
    }
    return RC_OK;
}

rc_code rc_pl_product(rc_plain *p, rc_pl_weight *w, const double *x, double *y, rc_err *err)
{
    return rc_pl_product_of(p, w, 0, w->rows, x, y, err);
}

rc_code rc_pl_integers(rc_plain *p, const rc_pl_weight *w, size_t row, int64_t *y, rc_err *err)
{
    const rc_tensor *t = w->bound->weight;
    const size_t size = t->dtype == RC_DTYPE_I64 ? 8 : 4;
    const uint8_t *data;

    if (t->dtype != RC_DTYPE_I64 && t->dtype != RC_DTYPE_I32)
        return rc_pl_fail_at(p, w, 0, RC_E_UNSUPPORTED, err, "these are no integers");
    RC_TRY(read_part(p, &p->raw, t, (w->bound->row + row) * w->cols * size, w->cols * size, &data,
                     err));
    for (size_t i = 0; i < w->cols; i++) {
        int32_t narrow;

        if (size == 8) {
            memcpy(&y[i], data + 8 * i, 8);
        } else {
            memcpy(&narrow, data + 4 * i, 4);
            y[i] = narrow;
        }
    }
    return RC_OK;
}

rc_code rc_pl_fail_no_draft(const rc_plain *p, const char *kind, rc_err *err)
{
    rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "this checkpoint has no %s that could run", kind);
    if (p->draft_lacks) {
        rc_err_tensor(err, p->draft_lacks->name);
        rc_err_hint(err, "this kind of file has no place for the tensor named");
    }
    return RC_E_UNSUPPORTED;
}

rc_code rc_pl_take(rc_plain *p, double **out, size_t n, rc_err *err)
{
    *out = rc_arena_get(&p->scratch, n * sizeof **out);
    return *out ? RC_OK : rc_fail_nomem(err, p->mem, n * sizeof **out);
}
