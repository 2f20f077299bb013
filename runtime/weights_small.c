/* runtime/weights_small.c - single rows, small parameters and tables of integers: read when asked
 * for, past the pieces of weights.c. */
#include <math.h>
#include <string.h>

#include "runtime/piece.h"
#include "runtime/weights_impl.h"

rc_code rc_weights_find(rc_weights *w, const char *param, const rc_bound **bound, rc_err *err)
{
    const rc_bound *b = rc_weights_bound(w, param);

    *bound = NULL;
    if (!b || !b->weight) {
        rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET, "the forward pass needs this tensor");
        rc_err_tensor(err, param);
        rc_err_hint(err, "recast inspect lists what is missing");
        return RC_E_TENSORSET;
    }
    if (!rc_decoder_of(b)) {
        rc_fail(err, RC_E_UNSUPPORTED, b->weight->begin, "cannot decode values of type %s",
                rc_tensor_type(b->weight));
        rc_err_tensor(err, b->weight->name);
        return RC_E_UNSUPPORTED;
    }
    *bound = b;
    return RC_OK;
}

/* Memory to read rows of a parameter into. */
typedef struct reader {
    rc_weights *w;
    const rc_bound *bound;
    rc_piece piece;
    uint8_t *buf, *scratch;
    size_t room;
    float *work;
} reader;

static rc_code reader_open(reader *r, rc_weights *w, const rc_bound *bound, uint64_t rows,
                           rc_err *err)
{
    const size_t cols =
        (size_t)(bound->param->rank ? bound->param->shape[bound->param->rank - 1] : 1);
    const size_t scratch = rc_piece_scratch(bound);
    rc_mem *mem = rc_weights_mem(w);

    *r = (reader){ .w = w, .bound = bound, .room = rc_piece_room(bound, 0, rows) };
    r->buf = rc_mem_get_pages(mem, r->room);
    r->work = rc_mem_get(mem, rc_decoder_work(cols));
    if (scratch)
        r->scratch = rc_mem_get_pages(mem, scratch);
    if (!r->buf || !r->work || (scratch && !r->scratch))
        return rc_fail_nomem(err, mem, r->room + scratch);
    r->piece.work = r->work;
    r->piece.cols = cols;
    r->piece.columns = rc_weights_columns(w, bound);
    return RC_OK;
}

static void reader_close(reader *r)
{
    rc_mem_put(rc_weights_mem(r->w), r->buf);
    rc_mem_put(rc_weights_mem(r->w), r->work);
    rc_mem_put(rc_weights_mem(r->w), r->scratch);
}

static rc_code reader_read(reader *r, uint64_t row, uint64_t n, rc_err *err)
{
    const rc_extent x = rc_decoder_extent(r->bound, row, n);

    RC_TRY(rc_piece_read(&r->piece, rc_weights_ckpt(r->w, r->bound), r->bound, row, n, r->buf,
                         r->room, r->scratch, err));
    rc_weights_count_bytes(r->w, x.weight_len + x.scale_len + x.zero_len);
    return RC_OK;
}

/* Where it is, for a message. */
static void name_place(rc_weights *w, const rc_bound *b, rc_err *err)
{
    rc_err_file(err, rc_ckpt_shard(rc_weights_ckpt(w, b), b->weight->shard)->name);
    rc_err_tensor(err, b->weight->name);
}

static rc_code check_finite(rc_weights *w, const rc_bound *b, uint64_t row, const float *y,
                            size_t n, rc_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(y[i])) {
            rc_fail(err, RC_E_NUMERIC, b->weight->begin + rc_decoder_offset(b, row, i),
                    "element [%" PRIu64 ", %zu] is %s", row, i, isnan(y[i]) ? "NaN" : "infinite");
            name_place(w, b, err);
            return RC_E_NUMERIC;
        }
    return RC_OK;
}

rc_code rc_weights_rows(rc_weights *w, const rc_bound *bound, const uint32_t *row, size_t n,
                        float *y, size_t ldy, rc_err *err)
{
    reader r;
    rc_code rc = reader_open(&r, w, bound, 1, err);

    for (size_t k = 0; rc == RC_OK && k < n; k++) {
        if (row[k] >= bound->param->shape[0])
            rc = rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "row %" PRIu32 " is past the end",
                         row[k]);
        else
            rc = reader_read(&r, row[k], 1, err);
        if (rc == RC_OK) {
            rc_piece_row(y + k * ldy, &r.piece, (size_t)(row[k] - r.piece.row0));
            rc = check_finite(w, bound, row[k], y + k * ldy, r.piece.cols, err);
        }
    }
    reader_close(&r);
    return rc;
}

rc_code rc_weights_small(rc_weights *w, const char *param, size_t nelems, float **out, rc_err *err)
{
    rc_mem *mem = rc_weights_mem(w);
    const rc_bound *b;
    reader r;
    rc_code rc;
    size_t rows;

    *out = NULL;
    RC_TRY(rc_weights_find(w, param, &b, err));
    rows = b->param->rank == 2 ? (size_t)b->param->shape[0] : 1;
    rc = reader_open(&r, w, b, rows, err);
    if (rc == RC_OK && rows * r.piece.cols != nelems) {
        rc = rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "asked for %zu values of %zu", nelems,
                     rows * r.piece.cols);
        rc_err_tensor(err, param);
    }
    if (rc == RC_OK && (*out = rc_mem_get(mem, nelems * sizeof **out)) == NULL)
        rc = rc_fail_nomem(err, mem, nelems * sizeof **out);
    if (rc == RC_OK)
        rc = reader_read(&r, 0, rows, err);
    for (size_t i = 0; rc == RC_OK && i < rows; i++) {
        float *y = *out + i * r.piece.cols;

        rc_piece_row(y, &r.piece, i);
        rc = check_finite(w, b, i, y, r.piece.cols, err);
    }
    reader_close(&r);
    if (rc != RC_OK) {
        rc_mem_put(mem, *out);
        *out = NULL;
    }
    return rc;
}

static uint64_t load_int(const uint8_t *at, unsigned nbytes)
{
    uint64_t v = 0;

    for (unsigned i = nbytes; i-- > 0;)
        v = v << 8 | at[i];
    return v;
}

static bool seen_before(const uint32_t *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (y[i] == y[n])
            return true;
    return false;
}

/* In a message as the file has it, negative ones too. */
static int64_t shown_int(uint64_t v, unsigned nbytes)
{
    return nbytes == 4 ? (int64_t)(int32_t)v : (int64_t)v;
}

rc_code rc_weights_ints(rc_weights *w, const char *param, const uint32_t *row, size_t n,
                        size_t cols, uint32_t bound_excl, uint32_t *y, rc_err *err)
{
    const rc_bound *b = rc_weights_bound(w, param);
    rc_mem *mem = rc_weights_mem(w);
    const uint8_t *data;
    rc_code rc = RC_OK;
    unsigned nbytes;
    size_t len, buf_len;
    uint8_t *buf;

    if (!b || !b->weight)
        return rc_weights_find(w, param, &b, err);
    nbytes = b->weight->dtype == RC_DTYPE_I32 ? 4 : 8;
    len = cols * nbytes;
    buf_len = len + 2 * RC_PAGE;
    buf = rc_mem_get_pages(mem, buf_len);
    if (!buf)
        return rc_fail_nomem(err, mem, buf_len);
    for (size_t k = 0; rc == RC_OK && k < n; k++) {
        const uint64_t off = (uint64_t)row[k] * len;

        rc = rc_ckpt_read(rc_weights_ckpt(w, b), b->weight, off, len, buf, buf_len, &data, err);
        for (size_t c = 0; rc == RC_OK && c < cols; c++) {
            const uint64_t v = load_int(data + c * nbytes, nbytes);
            bool twice;

            y[k * cols + c] = (uint32_t)v;
            twice = v < bound_excl && seen_before(y + k * cols, c);
            if (v < bound_excl && !twice)
                continue;
            rc = rc_fail(err, RC_E_DATA, b->weight->begin + off + c * nbytes,
                         "entry [%" PRIu32 ", %zu] points at expert %" PRId64 "%s", row[k], c,
                         shown_int(v, nbytes), twice ? " for the second time" : "");
            name_place(w, b, err);
            if (!twice)
                rc_err_want(err, "below %" PRIu32, bound_excl);
        }
    }
    rc_weights_count_bytes(w, n * len);
    rc_mem_put(mem, buf);
    return rc;
}
