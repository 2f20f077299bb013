/* convert/encode_int4.c - into 4-bit integers, band by band, and from one of their containers into
 * the other. A band is a slice of at most 128 rows: its integers are bytes in between. */
#include <math.h>
#include <string.h>

#include "convert/cast_impl.h"
#include "kernels/bf16.h"
#include "kernels/compare_f32.h"
#include "kernels/dequant_int4.h"
#include "kernels/f16.h"
#include "kernels/int4_pack.h"
#include "kernels/scan.h"

enum { BAND = 128, STRIP = 16 /* rows that are decoded and rounded together */ };

/* The integers of a band, and rows on their way. In the work space of one thread. */
typedef struct band {
    float *x, *scaled; /* [STRIP, cols] */
    float *y;          /* a row: [cols] */
    float *scale;      /* [BAND, groups] */
    uint8_t *zero;     /* [BAND, groups] */
    uint8_t *q;        /* [BAND, cols] */
    uint8_t *packed;   /* a row: [cols / 2] */
    size_t groups;
} band;

static size_t groups_of(const rc_job *job)
{
    return (size_t)job->cols / job->int4.group;
}

size_t rc_cast_int4_work(const rc_job *job)
{
    const size_t cols = (size_t)job->cols;

    return (2 * STRIP + 1) * cols * sizeof(float) + BAND * groups_of(job) * (sizeof(float) + 1) +
           BAND * cols + cols / 2;
}

static band band_of(const rc_job *job, float *work)
{
    const size_t cols = (size_t)job->cols, groups = groups_of(job);
    band b = { .x = work, .scaled = work + STRIP * cols, .groups = groups };

    b.y = b.scaled + STRIP * cols;
    b.scale = b.y + cols;
    b.zero = (uint8_t *)(b.scale + BAND * groups);
    b.q = b.zero + BAND * groups;
    b.packed = b.q + BAND * cols;
    return b;
}

/* --------------------------------------------------------- scales as stored */

static void scales_to_stored(uint8_t *out, const float *scale, size_t n, rc_dtype dtype)
{
    switch (dtype) {
    case RC_DTYPE_BF16:
        (void)rc_f32_to_bf16_best()((uint16_t *)(void *)out, scale, n);
        break;
    case RC_DTYPE_F16:
        (void)rc_f32_to_f16_best()((uint16_t *)(void *)out, scale, n);
        break;
    default:
        memcpy(out, scale, n * sizeof *scale);
    }
}

static void scales_from_stored(float *scale, const uint8_t *in, size_t n, rc_dtype dtype)
{
    switch (dtype) {
    case RC_DTYPE_BF16:
        rc_bf16_to_f32_best()(scale, (const uint16_t *)(const void *)in, n);
        break;
    case RC_DTYPE_F16:
        rc_f16_to_f32_best()(scale, (const uint16_t *)(const void *)in, n);
        break;
    default:
        memcpy(scale, in, n * sizeof *scale);
    }
}

/* ------------------------------------------------------------ a band's place */

/* Where words of AWQ's for row `row` begin: they run along the rows. */
static size_t awq_at(const rc_chunk *c)
{
    return (size_t)c->row / 2;
}

static size_t awq_line(const rc_chunk *c)
{
    return (size_t)c->job->rows / 2;
}

static void put_awq(const rc_chunk *c, const rc_pieces *at, const band *b)
{
    const size_t rows = (size_t)c->nrows, cols = (size_t)c->job->cols;
    uint16_t *line = (uint16_t *)(void *)b->x; /* no row is under way */

    rc_int4_awq_pack(at->out[RC_PART_WEIGHT] + awq_at(c), awq_line(c), b->q, cols, rows, cols);
    rc_int4_awq_pack(at->out[RC_PART_ZERO] + awq_at(c), awq_line(c), b->zero, b->groups, rows,
                     b->groups);
    for (size_t r = 0; r < rows; r++) {
        (void)rc_f32_to_f16_best()(line, b->scale + r * b->groups, b->groups);
        for (size_t g = 0; g < b->groups; g++)
            memcpy(at->out[RC_PART_SCALE] + 2 * (g * c->job->rows + c->row + r), line + g, 2);
    }
}

static void put_packed(const rc_chunk *c, const rc_pieces *at, const band *b)
{
    const size_t rows = (size_t)c->nrows, cols = (size_t)c->job->cols;
    const int64_t shape[2] = { (int64_t)c->job->rows, (int64_t)c->job->cols };

    rc_int4_pack(at->out[RC_PART_WEIGHT], b->q, rows * cols);
    scales_to_stored(at->out[RC_PART_SCALE], b->scale, rows * b->groups, c->job->int4.scale);
    if (c->job->int4.zeros)
        rc_int4_zeros_pack(at->out[RC_PART_ZERO], b->zero, rows, b->groups);
    if (at->out[RC_PART_SHAPE])
        memcpy(at->out[RC_PART_SHAPE], shape, sizeof shape);
}

static void put_band(const rc_chunk *c, const rc_pieces *at, const band *b)
{
    if (c->job->int4.store == RC_STORE_AWQ)
        put_awq(c, at, b);
    else
        put_packed(c, at, b);
}

/* ------------------------------------------------------------ into integers */

static rc_int4_kind kind_of(const rc_job *job, rc_int4_method method)
{
    return (rc_int4_kind){
        .group = job->int4.group,
        .symmetric = !job->int4.zeros,
        .scale = job->int4.scale,
        .search = method == RC_METHOD_AWQ_PLUS ? RC_INT4_BEST : RC_INT4_CLIP,
    };
}

/* Where row `row` of the band goes. */
static rc_int4_row row_of(const band *b, size_t row, size_t cols)
{
    return (rc_int4_row){ b->q + row * cols, b->scale + row * b->groups,
                          b->zero + row * b->groups };
}

/* What a loader sees in the place of x, and how far it is off. */
static void judge_row(const rc_job *job, const band *b, const rc_int4_row *row, const float *x,
                      const rc_cast_how *how, rc_verdict *v)
{
    const size_t cols = (size_t)job->cols;
    rc_comparison cmp;

    rc_int4_pack(b->packed, row->q, cols);
    rc_dequant_int4_best()(b->y, b->packed, row->scale, row->zero, job->int4.group, cols);
    for (size_t i = 0; how->factors && i < cols; i++)
        b->y[i] /= how->factors[i];
    rc_compare_f32_best()(&cmp, x, b->y, cols);
    v->changed += cmp.differ;
    v->signal += cmp.aa;
    v->noise += cmp.dd;
}

static rc_code refuse_infinite(const rc_chunk *c, uint64_t row, const float *x, rc_err *err)
{
    const uint64_t cols = c->job->cols;
    const rc_span *in = &c->in[RC_PART_WEIGHT];
    rc_scan_result scan;

    rc_scan_best()(&scan, RC_DTYPE_F32, (const uint8_t *)x, (size_t)cols);
    if (!scan.inf && !scan.nan)
        return RC_OK;
    return rc_cast_fail(err, c->job->weight, in->off + row * (in->len / c->nrows),
                        "a value that is too large", c->row + row, scan.first_bad,
                        scan.inf + scan.nan);
}

static rc_code decode_strip(const rc_chunk *c, const rc_pieces *at, const rc_cast_how *how,
                            const band *b, size_t first, size_t rows, rc_err *err)
{
    const size_t cols = (size_t)c->job->cols;

    for (size_t r = 0; r < rows; r++) {
        rc_cast_decode_row(c, at->in[RC_PART_WEIGHT], at->in[RC_PART_SCALE], first + r,
                           b->x + r * cols, b->y);
        memcpy(b->scaled + r * cols, b->x + r * cols, cols * sizeof *b->x);
        rc_cast_scale_row(b->scaled + r * cols, how->factors, cols);
        RC_TRY(refuse_infinite(c, first + r, b->scaled + r * cols, err));
    }
    return RC_OK;
}

static rc_code refuse_lost(const rc_chunk *c, uint64_t first, uint64_t rows, uint64_t count,
                           rc_err *err)
{
    const rc_dtype scale = c->job->int4.scale;

    rc_fail(err, RC_E_NUMERIC, c->job->weight->begin,
            "%" PRIu64 " groups in rows %" PRIu64 " to %" PRIu64
            " need scales that %s does not reach",
            count, c->row + first, c->row + first + rows - 1, rc_dtype_name(scale));
    rc_err_tensor(err, c->job->weight->name);
    rc_err_hint(err, scale == RC_DTYPE_F16
                         ? "--to w4a16 has BF16 scales, which reach as far as F32"
                         : "the weights are too large or too small for any scale");
    return RC_E_NUMERIC;
}

static rc_code round_strip(const rc_chunk *c, const rc_cast_how *how, const band *b, size_t first,
                           size_t rows, rc_verdict *v, rc_err *err)
{
    const size_t cols = (size_t)c->job->cols;
    const rc_int4_kind kind = kind_of(c->job, how->method);
    const rc_int4_row strip = row_of(b, first, cols);
    const uint64_t lost = v->int4.lost;

    if (how->feedback)
        rc_int4_feedback_best()(&strip, rows, b->scaled, cols, how->importance, how->feedback, cols,
                                &kind, &v->int4);
    for (size_t r = 0; r < rows; r++) {
        const rc_int4_row row = row_of(b, first + r, cols);

        if (!how->feedback)
            rc_int4_row_best()(&row, b->scaled + r * cols, how->importance, cols, &kind, &v->int4);
        judge_row(c->job, b, &row, b->x + r * cols, how, v);
    }
    return v->int4.lost == lost ? RC_OK : refuse_lost(c, first, rows, v->int4.lost - lost, err);
}

rc_code rc_cast_int4(const rc_chunk *c, const rc_pieces *at, const rc_cast_how *how, rc_verdict *v,
                     rc_err *err)
{
    const band b = band_of(c->job, how->work);

    for (size_t first = 0; first < c->nrows; first += STRIP) {
        const size_t rows = c->nrows - first < STRIP ? (size_t)c->nrows - first : (size_t)STRIP;

        RC_TRY(decode_strip(c, at, how, &b, first, rows, err));
        RC_TRY(round_strip(c, how, &b, first, rows, v, err));
    }
    put_band(c, at, &b);
    return RC_OK;
}

/* ------------------------------------------------------- the other container */

static void get_awq(const rc_chunk *c, const rc_pieces *at, const band *b)
{
    const rc_dtype scale = c->job->source_int4.scale; /* F16, but for some uploads */
    const size_t width = rc_dtype_bits(scale) / 8;
    const size_t rows = (size_t)c->nrows, cols = (size_t)c->job->cols;
    uint8_t *line = (uint8_t *)b->x; /* no row is under way */

    rc_int4_awq_unpack(b->q, cols, at->in[RC_PART_WEIGHT] + awq_at(c), awq_line(c), rows, cols);
    rc_int4_awq_unpack(b->zero, b->groups, at->in[RC_PART_ZERO] + awq_at(c), awq_line(c), rows,
                       b->groups);
    for (size_t r = 0; r < rows; r++) {
        for (size_t g = 0; g < b->groups; g++)
            memcpy(line + width * g,
                   at->in[RC_PART_SCALE] + width * (g * c->job->rows + c->row + r), width);
        scales_from_stored(b->scale + r * b->groups, line, b->groups, scale);
    }
}

static void get_packed(const rc_chunk *c, const rc_pieces *at, const band *b)
{
    const rc_int4_layout *l = &c->job->source_int4;
    const size_t rows = (size_t)c->nrows, cols = (size_t)c->job->cols;
    const size_t width = rc_dtype_bits(l->scale) / 8;
    uint8_t *aligned = (uint8_t *)b->x; /* a file's scales may lie anywhere */

    rc_int4_unpack(b->q, at->in[RC_PART_WEIGHT], rows * cols);
    for (size_t r = 0; r < rows; r++) {
        memcpy(aligned, at->in[RC_PART_SCALE] + r * b->groups * width, b->groups * width);
        scales_from_stored(b->scale + r * b->groups, aligned, b->groups, l->scale);
    }
    if (l->zeros)
        rc_int4_zeros_unpack(b->zero, at->in[RC_PART_ZERO], rows, b->groups);
    else
        memset(b->zero, 8, rows * b->groups);
}

/* Integers are kept; are the scales, in their new type? By rows. */
static rc_code judge_scales(const rc_chunk *c, const band *b, rc_verdict *v, rc_err *err)
{
    const rc_job *job = c->job;
    uint8_t *stored = (uint8_t *)b->x;
    float *back = b->y;

    for (size_t r = 0; r < c->nrows; r++) {
        const float *scale = b->scale + r * b->groups;
        bool exact = true;

        scales_to_stored(stored, scale, b->groups, job->int4.scale);
        scales_from_stored(back, stored, b->groups, job->int4.scale);
        for (size_t g = 0; g < b->groups; g++) {
            if (!isfinite(back[g]))
                return rc_cast_fail(err, job->scale, 0,
                                    isfinite(scale[g]) ? "a scale too large for F16"
                                                       : "scale is NaN or infinite",
                                    c->row + r, g, 1);
            if (back[g] != scale[g] && exact) {
                rc_cast_note_inexact(v, c->row + r, g * job->int4.group, (double)scale[g],
                                     (double)back[g]);
                exact = false;
            }
        }
        rc_cast_count(v, exact);
    }
    return RC_OK;
}

/* A row of integers that are all its zero points is a row of zeros. */
static bool any_value(const band *b, size_t rows, size_t cols, unsigned group)
{
    for (size_t i = 0; i < rows * cols; i++)
        if (b->q[i] != b->zero[i / group] && b->scale[i / group] != 0)
            return true;
    return false;
}

rc_code rc_cast_int4_repack(const rc_chunk *c, const rc_pieces *at, const rc_cast_how *how,
                            rc_verdict *v, rc_err *err)
{
    const band b = band_of(c->job, how->work);

    if (c->job->source_int4.store == RC_STORE_AWQ)
        get_awq(c, at, &b);
    else
        get_packed(c, at, &b);
    v->nonzero = any_value(&b, (size_t)c->nrows, (size_t)c->job->cols, c->job->int4.group);
    RC_TRY(judge_scales(c, &b, v, err));
    put_band(c, at, &b);
    return RC_OK;
}
