/* convert/cast.c - see cast.h. */
#include "convert/cast.h"

#include <math.h>
#include <string.h>

#include "convert/cast_impl.h"
#include "formats/blocks.h"
#include "kernels/codes.h"
#include "kernels/dequant_fp4.h"
#include "kernels/dequant_fp8.h"
#include "kernels/e8m0.h"
#include "kernels/recast_fp4_fp8.h"
#include "kernels/scan.h"
#include "quantize/fp8_rescale.h"

enum { TILE = RC_FP8_TILE, GROUP = RC_FP4_GROUP };
enum { SEGMENT = 64 * TILE }; /* columns whose scales are decoded at a time */

/* ----------------------------------------------------------------- chunks */

static bool from_fp4(const rc_job *job)
{
    return job->scale && job->weight->dtype == RC_DTYPE_I8;
}

static bool is_awq(const rc_int4_layout *l)
{
    return l->group && l->store == RC_STORE_AWQ;
}

static uint64_t in_row_bytes(const rc_job *job)
{
    if (job->op == RC_OP_COPY)
        return 1;
    return from_fp4(job) || job->source_int4.group
               ? job->cols / 2
               : rc_dtype_row_bytes(job->weight->dtype, job->cols);
}

static uint64_t out_row_bytes(const rc_job *job)
{
    if (job->op == RC_OP_COPY)
        return 1;
    return job->int4.group ? job->cols / 2
                           : rc_dtype_row_bytes(job->out[RC_PART_WEIGHT].dtype, job->cols);
}

static uint64_t chunk_unit(const rc_job *job)
{
    return job->op == RC_OP_COPY ? 4096 : TILE;
}

static uint64_t total_rows(const rc_job *job)
{
    return job->op == RC_OP_COPY ? job->weight->nbytes : job->rows;
}

static uint64_t rows_within(const rc_job *job, uint64_t budget)
{
    const uint64_t in = in_row_bytes(job), out = out_row_bytes(job);
    const uint64_t unit = chunk_unit(job);
    const uint64_t rows = budget / (in > out ? in : out ? out : 1) / unit * unit;

    return rows ? rows : unit;
}

/* Energies are of the whole matrix, and a transposed one has no rows side by side. */
static bool is_whole(const rc_job *job)
{
    return job->importance == RC_IMPORTANCE_ENERGY || is_awq(&job->int4) ||
           is_awq(&job->source_int4);
}

uint64_t rc_chunk_rows(const rc_job *job, uint64_t budget)
{
    if (is_whole(job))
        return job->rows ? job->rows : 1;
    return rows_within(job, budget);
}

uint64_t rc_chunk_count(const rc_job *job, uint64_t chunk_rows)
{
    const uint64_t n = rc_ceil_div(total_rows(job), chunk_rows);

    return n ? n : 1; /* an empty tensor is still a tensor */
}

/* Rows [row, row + nrows), of which `unit` share a line of `bytes`. */
static rc_span lines(uint64_t row, uint64_t nrows, uint64_t unit, uint64_t bytes)
{
    return (rc_span){ row / unit * bytes, rc_ceil_div(nrows, unit) * bytes };
}

static rc_span int4_span(const rc_job *job, const rc_int4_layout *l, rc_part part, uint64_t row,
                         uint64_t nrows)
{
    const uint64_t groups = job->cols / l->group, width = rc_dtype_bits(l->scale) / 8;

    if (part == RC_PART_SHAPE)
        return (rc_span){ 0, row == 0 ? 2 * sizeof(int64_t) : 0 };
    if (is_awq(l))
        return (rc_span){ 0, part == RC_PART_SCALE  ? groups * job->rows * width
                             : part == RC_PART_ZERO ? groups * job->rows / 2
                                                    : job->cols * job->rows / 2 };
    return part == RC_PART_SCALE  ? lines(row, nrows, 1, groups * width)
           : part == RC_PART_ZERO ? lines(row, nrows, 8, groups * 4)
                                  : lines(row, nrows, 1, job->cols / 2);
}

static rc_span in_span(const rc_job *job, rc_part part, uint64_t row, uint64_t nrows)
{
    const uint64_t unit = from_fp4(job) ? 1 : TILE;

    if (!rc_job_in(job, part))
        return (rc_span){ 0 };
    if (job->op == RC_OP_INT4_REPACK)
        return int4_span(job, &job->source_int4, part, row, nrows);
    if (part == RC_PART_WEIGHT)
        return lines(row, nrows, 1, in_row_bytes(job));
    return lines(row, nrows, unit, /* a scale's */
                 job->rows ? job->scale->nbytes / rc_ceil_div(job->rows, unit) : 0);
}

static rc_span out_span(const rc_job *job, rc_part part, uint64_t row, uint64_t nrows)
{
    const rc_dest *d = &job->out[part];

    if (part == RC_PART_WEIGHT && !job->int4.group)
        return lines(row, nrows, 1, out_row_bytes(job));
    if (!d->name)
        return (rc_span){ 0 };
    if (job->int4.group)
        return int4_span(job, &job->int4, part, row, nrows);
    return lines(row, nrows, TILE, d->shape[1] * rc_dtype_bits(d->dtype) / 8);
}

/* Everything about rows [row, row + nrows) of a job. */
static void chunk_of_rows(rc_chunk *c, const rc_job *job, uint64_t row, uint64_t nrows)
{
    memset(c, 0, sizeof *c);
    c->job = job;
    c->row = row;
    c->nrows = nrows;
    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        c->in[part] = in_span(job, (rc_part)part, row, nrows);
        c->out[part] = out_span(job, (rc_part)part, row, nrows);
    }
}

void rc_chunk_at(rc_chunk *c, const rc_job *job, uint64_t chunk_rows, uint64_t i)
{
    const uint64_t row = i * chunk_rows, left = total_rows(job) - row;

    chunk_of_rows(c, job, row, left < chunk_rows ? left : chunk_rows);
}

bool rc_chunk_slice(rc_chunk *slice, const rc_chunk *c, uint64_t *done, uint64_t budget)
{
    const uint64_t rows = rows_within(c->job, rc_cast_is_slow(c->job) ? 0 : budget),
                   left = c->nrows - *done;

    chunk_of_rows(slice, c->job, c->row + *done, left < rows ? left : rows);
    *done += slice->nrows;
    return slice->nrows != 0;
}

rc_pieces rc_pieces_of(const rc_chunk *s, const rc_chunk *c, const rc_pieces *all)
{
    rc_pieces at = { 0 };

    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        if (s->in[part].len)
            at.in[part] = all->in[part] + (s->in[part].off - c->in[part].off);
        if (s->out[part].len)
            at.out[part] = all->out[part] + (s->out[part].off - c->out[part].off);
    }
    return at;
}

/* ---------------------------------------------------------------- verdicts */

void rc_verdict_add(rc_verdict *sum, const rc_verdict *v)
{
    if (v->exact < v->tiles && sum->exact == sum->tiles) {
        sum->row = v->row;
        sum->col = v->col;
        sum->source = v->source;
        sum->stored = v->stored;
    }
    sum->tiles += v->tiles;
    sum->exact += v->exact;
    sum->nonfinite += v->nonfinite;
    sum->changed += v->changed;
    sum->signal += v->signal;
    sum->noise += v->noise;
    sum->nonzero |= v->nonzero;
    sum->unknown |= v->unknown;
    sum->by_moments |= v->by_moments;
    sum->int4.groups += v->int4.groups;
    sum->int4.clipped += v->int4.clipped;
    sum->int4.subnormal += v->int4.subnormal;
    sum->int4.lost += v->int4.lost;
    sum->int4.loss_nearest += v->int4.loss_nearest;
    sum->int4.loss += v->int4.loss;
    if (v->widest_spread > sum->widest_spread)
        sum->widest_spread = v->widest_spread;
}

/* Note an inexact element at (row, col) of the tensor; the first one stays. Called
 * in row-major order of tiles, before the tile is counted. */
void rc_cast_note_inexact(rc_verdict *v, uint64_t row, uint64_t col, double source, double stored)
{
    if (v->exact < v->tiles)
        return;
    v->row = row;
    v->col = col;
    v->source = source;
    v->stored = stored;
}

void rc_cast_count(rc_verdict *v, bool exact)
{
    v->tiles++;
    v->exact += exact;
}

/* ------------------------------------------------------------------- checks */

rc_code rc_cast_fail(rc_err *err, const rc_tensor *t, uint64_t off, const char *what, uint64_t row,
                     uint64_t col, uint64_t count)
{
    rc_fail(err, RC_E_NUMERIC, t->begin + off,
            "%s at row %" PRIu64 ", column %" PRIu64 "; %" PRIu64 " in this piece", what, row, col,
            count);
    rc_err_tensor(err, t->name);
    return RC_E_NUMERIC;
}

/* Codes of a quantized weight: E4M3 must hold no NaN, and something. */
static rc_code check_codes(const rc_chunk *c, const uint8_t *weight, rc_verdict *v, rc_err *err)
{
    rc_scan_result scan;
    uint64_t at;

    rc_scan_best()(&scan, c->job->weight->dtype, weight, (size_t)c->in[RC_PART_WEIGHT].len);
    v->nonzero = !scan.all_zero;
    if (!scan.nan)
        return RC_OK;
    at = c->in[RC_PART_WEIGHT].off + scan.first_bad;
    return rc_cast_fail(err, c->job->weight, at, "E4M3 code is NaN", at / c->job->cols,
                        at % c->job->cols, scan.nan);
}

static rc_code check_scales(const rc_chunk *c, const uint8_t *scale, rc_err *err)
{
    const rc_tensor *t = c->job->scale;
    const size_t width = rc_dtype_bits(t->dtype) / 8;
    const uint64_t first = c->in[RC_PART_SCALE].off / width;
    const size_t n = (size_t)c->in[RC_PART_SCALE].len / width;
    rc_scan_result scan;

    rc_scan_best()(&scan, t->dtype, scale, n);
    if (scan.nan + scan.inf) {
        const uint64_t at = first + scan.first_bad;

        return rc_cast_fail(err, t, at * width,
                            t->dtype == RC_DTYPE_F8_E8M0 ? "E8M0 scale is 255 (NaN)"
                                                         : "scale is NaN or infinite",
                            at / t->shape[1], at % t->shape[1], scan.nan + scan.inf);
    }
    for (size_t i = 0; i < n && t->dtype != RC_DTYPE_F8_E8M0; i++)
        if (scale[width * (i + 1) - 1] & 0x80)
            return rc_cast_fail(err, t, (first + i) * width, "scale is negative",
                                (first + i) / t->shape[1], (first + i) % t->shape[1], 1);
    return RC_OK;
}

/* BF16 and F32 as they are stored: numbers, unless it was allowed that they are not. */
static rc_code check_values(const rc_chunk *c, const uint8_t *weight, bool allow, rc_verdict *v,
                            rc_err *err)
{
    const rc_tensor *t = c->job->weight;
    const size_t width = rc_dtype_bits(t->dtype) / 8;
    rc_scan_result scan;

    rc_scan_best()(&scan, t->dtype, weight, (size_t)c->in[RC_PART_WEIGHT].len / width);
    v->nonzero = !scan.all_zero;
    v->nonfinite = scan.nan + scan.inf;
    if (v->nonfinite && !allow) {
        const uint64_t at = c->in[RC_PART_WEIGHT].off / width + scan.first_bad;
        const uint64_t cols = t->rank ? t->shape[t->rank - 1] : 1;

        (void)rc_cast_fail(err, t, at * width, "NaN or infinity", at / cols, at % cols,
                           v->nonfinite);
        rc_err_hint(err, "--allow-nonfinite copies it as it is");
        return RC_E_NUMERIC;
    }
    return RC_OK;
}

/* Blocks and groups cannot hold them. */
static bool may_hold_nonfinite(const rc_job *job, const rc_cast_how *how)
{
    return how->allow_nonfinite && !job->int4.group &&
           rc_dtype_block(job->out[RC_PART_WEIGHT].dtype) == 1;
}

/* -------------------------------------------------------------- FP4 to FP8 */

/* Where the output's tile scale (tile_row, tile_col) of a chunk lies, as a byte or
 * as the F32 of the same power of two. */
static void put_scale(const rc_chunk *c, uint8_t *out_scale, size_t tile, uint8_t byte)
{
    if (c->job->out[RC_PART_SCALE].dtype == RC_DTYPE_F32) {
        float scale;

        rc_e8m0_to_f32(&scale, &byte, 1);
        memcpy(out_scale + 4 * tile, &scale, 4);
    } else {
        out_scale[tile] = byte;
    }
}

static void judge_band(const rc_chunk *c, uint64_t band_row, const rc_fp8_tile *tiles,
                       size_t ntiles, const uint8_t *codes, const uint8_t *scales, size_t rows,
                       rc_verdict *v)
{
    for (size_t t = 0; t < ntiles; t++) {
        const uint32_t spread = tiles[t].hi > tiles[t].lo ? (uint32_t)tiles[t].hi - tiles[t].lo : 0;
        rc_fp8_inexact at;

        if (spread > v->widest_spread)
            v->widest_spread = spread;
        v->nonzero |= tiles[t].lo <= tiles[t].hi;
        if (!tiles[t].exact && v->exact == v->tiles &&
            rc_fp4_fp8_first_inexact(&at, tiles, codes, scales, rows, (size_t)c->job->cols))
            rc_cast_note_inexact(v, c->row + band_row + at.row, at.col, at.source, at.stored);
        rc_cast_count(v, tiles[t].exact);
    }
}

static void cast_fp4_fp8(const rc_chunk *c, const uint8_t *weight, const uint8_t *scale,
                         uint8_t *out, uint8_t *out_scale, rc_verdict *v)
{
    const size_t cols = (size_t)c->job->cols, ntiles = (size_t)rc_ceil_div(cols, TILE);
    rc_recast_fp4_fp8_fn *const recast = rc_recast_fp4_fp8_best();
    rc_fp8_tile tiles[RC_PLAN_MAX_COLS / TILE];

    for (size_t row = 0; row < c->nrows; row += TILE) {
        const size_t rows = c->nrows - row < TILE ? (size_t)c->nrows - row : (size_t)TILE;
        const uint8_t *codes = weight + row * (cols / 2);
        const uint8_t *groups = scale + row * (cols / GROUP);

        recast(out + row * cols, cols, tiles, codes, groups, rows, cols, false);
        for (size_t t = 0; t < ntiles; t++)
            put_scale(c, out_scale, row / TILE * ntiles + t, tiles[t].scale);
        judge_band(c, row, tiles, ntiles, codes, groups, rows, v);
    }
}

/* ------------------------------------------------------------- FP8 to FP8 */

/* Scales of n of the source's tiles as numbers. BF16 is what uploads of 4-bit integers may have. */
static void scales_of(const rc_chunk *c, const uint8_t *scale, size_t first, size_t n, float *out)
{
    uint16_t half;

    switch (c->job->scale->dtype) {
    case RC_DTYPE_F8_E8M0:
        rc_e8m0_to_f32(out, scale + first, n);
        break;
    case RC_DTYPE_BF16:
        for (size_t i = 0; i < n; i++) {
            memcpy(&half, scale + 2 * (first + i), 2); /* a file's need not be aligned */
            out[i] = rc_bf16_value(half);
        }
        break;
    default: /* F32 */
        memcpy(out, scale + 4 * first, 4 * n);
    }
}

static float scale_at(const rc_chunk *c, const uint8_t *scale, size_t tile)
{
    float x;

    scales_of(c, scale, tile, 1, &x);
    return x;
}

/* One tile under a scale that is no power of two, for an E8M0 target. */
static bool refit_tile(const rc_chunk *c, float scale, uint64_t row, uint64_t col, size_t rows,
                       size_t width, const uint8_t *weight, uint8_t *out, uint8_t *byte,
                       rc_verdict *v)
{
    uint8_t map[256];
    bool exact = true;
    float refit;

    *byte = rc_fp8_rescale_map(map, scale);
    rc_e8m0_to_f32(&refit, byte, 1);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < width; j++) {
            const size_t at = (size_t)((row + i) * c->job->cols + col + j);
            const double was = (double)rc_e4m3_value(weight[at]) * (double)scale;
            const double is = (double)rc_e4m3_value(map[weight[at]]) * (double)refit;

            out[at] = map[weight[at]];
            if (was != is && exact) {
                exact = false;
                rc_cast_note_inexact(v, c->row + row + i, col + j, was, is);
            }
        }
    return exact;
}

static void cast_fp8_fp8(const rc_chunk *c, const uint8_t *weight, const uint8_t *scale,
                         uint8_t *out, uint8_t *out_scale, rc_verdict *v)
{
    const uint64_t cols = c->job->cols, ntiles = rc_ceil_div(cols, TILE);

    memcpy(out, weight, (size_t)c->in[RC_PART_WEIGHT].len);
    for (uint64_t row = 0; row < c->nrows; row += TILE)
        for (uint64_t t = 0; t < ntiles; t++) {
            const size_t tile = (size_t)(row / TILE * ntiles + t);
            const size_t rows = (size_t)(c->nrows - row < TILE ? c->nrows - row : TILE);
            const size_t width = (size_t)(cols - t * TILE < TILE ? cols - t * TILE : TILE);
            const float x = scale_at(c, scale, tile);
            bool exact = true;
            uint8_t byte;

            if (c->job->out[RC_PART_SCALE].dtype == RC_DTYPE_F32) {
                memcpy(out_scale + 4 * tile, &x, 4);
            } else {
                if (rc_f32_to_e8m0(&byte, &x, 1))
                    exact = refit_tile(c, x, row, t * TILE, rows, width, weight, out, &byte, v);
                out_scale[tile] = byte;
            }
            if (c->job->tiles)
                rc_cast_count(v, exact);
        }
}

/* ---------------------------------------------------------------- to BF16 */

/* Scales of `n` columns from `col` on, for one row of an FP8 chunk. */
void rc_cast_scales(const rc_chunk *c, const uint8_t *scale, uint64_t row, uint64_t col, size_t n,
                    float *out)
{
    const size_t ntiles = (size_t)rc_ceil_div(c->job->cols, TILE);
    const size_t first = (size_t)(row / TILE) * ntiles + (size_t)(col / TILE);

    scales_of(c, scale, first, (size_t)rc_ceil_div(n, TILE), out);
}

/* Dequantize columns [col, col + n) of one row; returns how many are not exact. */
static size_t row_to_bf16(const rc_chunk *c, const uint8_t *weight, const uint8_t *scale,
                          uint64_t row, uint64_t col, size_t n, uint16_t *out)
{
    const uint64_t cols = c->job->cols;
    float scales[SEGMENT / TILE];

    if (c->job->op == RC_OP_FP4_TO_BF16)
        return rc_dequant_fp4_bf16_best()(out, weight + (row * cols + col) / 2,
                                          scale + (row * cols + col) / GROUP, n);
    rc_cast_scales(c, scale, row, col, n, scales);
    return rc_dequant_fp8_bf16_best()(out, weight + row * cols + col, scales, n);
}

static double source_value(const rc_chunk *c, const uint8_t *weight, const uint8_t *scale,
                           uint64_t row, uint64_t col)
{
    const uint64_t at = row * c->job->cols + col;

    if (c->job->op == RC_OP_FP4_TO_BF16)
        return (double)rc_e2m1_value(weight[at / 2] >> (at % 2 * 4) & 15) *
               (double)rc_e8m0_value(scale[at / GROUP]);
    return (double)rc_e4m3_value(weight[at]) *
           (double)scale_at(c, scale,
                            (size_t)(row / TILE * rc_ceil_div(c->job->cols, TILE) + col / TILE));
}

/* Some element of this band of tiles was rounded: find out which tiles. */
static void judge_bf16_band(const rc_chunk *c, const uint8_t *weight, const uint8_t *scale,
                            const uint8_t *out, uint64_t row, size_t rows, rc_verdict *v)
{
    const uint64_t cols = c->job->cols;

    for (uint64_t col = 0; col < cols; col += TILE) {
        const size_t width = (size_t)(cols - col < TILE ? cols - col : TILE);
        bool exact = true;

        for (size_t i = 0; i < rows && exact; i++)
            for (size_t j = 0; j < width && exact; j++) {
                const double was = source_value(c, weight, scale, row + i, col + j);
                uint16_t bits;

                memcpy(&bits, out + 2 * ((row + i) * cols + col + j), 2);
                exact = was == (double)rc_bf16_value(bits);
                if (!exact)
                    rc_cast_note_inexact(v, c->row + row + i, col + j, was,
                                         (double)rc_bf16_value(bits));
            }
        rc_cast_count(v, exact);
    }
}

/* Codes and scales were found finite, so an infinity is a product that BF16 cannot hold.
 * That is no rounding to be reported: the value would be gone. */
static rc_code refuse_infinite(const rc_chunk *c, const uint8_t *out, rc_err *err)
{
    const uint64_t cols = c->job->cols;
    rc_scan_result scan;
    uint64_t at;

    rc_scan_best()(&scan, RC_DTYPE_BF16, out, (size_t)c->out[RC_PART_WEIGHT].len / 2);
    if (!scan.inf)
        return RC_OK;
    at = c->row * cols + scan.first_bad;
    return rc_cast_fail(err, c->job->weight, c->job->op == RC_OP_FP4_TO_BF16 ? at / 2 : at,
                        "code times scale is too large for BF16", at / cols, at % cols, scan.inf);
}

static rc_code cast_bf16(const rc_chunk *c, const uint8_t *weight, const uint8_t *scale,
                         uint8_t *out, rc_verdict *v, rc_err *err)
{
    const uint64_t cols = c->job->cols;
    bool rounded = false;

    for (uint64_t row = 0; row < c->nrows; row += TILE) {
        const size_t rows = (size_t)(c->nrows - row < TILE ? c->nrows - row : TILE);
        size_t inexact = 0;

        for (size_t i = 0; i < rows; i++)
            for (uint64_t col = 0; col < cols; col += SEGMENT) {
                const size_t n = (size_t)(cols - col < SEGMENT ? cols - col : SEGMENT);
                uint16_t *to = (uint16_t *)(void *)(out + 2 * ((row + i) * cols + col));

                inexact += row_to_bf16(c, weight, scale, row + i, col, n, to);
            }
        if (inexact) {
            judge_bf16_band(c, weight, scale, out, row, rows, v);
            rounded = true;
        } else {
            v->tiles += rc_ceil_div(cols, TILE);
            v->exact += rc_ceil_div(cols, TILE);
        }
    }
    return rounded ? refuse_infinite(c, out, err) : RC_OK;
}

/* ------------------------------------------------------------------- entry */

size_t rc_cast_work(const rc_job *job)
{
    if (job->op == RC_OP_INT4 || job->op == RC_OP_INT4_REPACK)
        return rc_cast_int4_work(job);
    return job->op == RC_OP_ENCODE ? 2 * (size_t)job->cols * sizeof(float) : 0;
}

bool rc_cast_is_slow(const rc_job *job)
{
    return job->op == RC_OP_ENCODE || job->op == RC_OP_INT4 || job->op == RC_OP_INT4_REPACK;
}

/* Everything that has scales: are they and the codes numbers? */
static rc_code check_quantized(const rc_chunk *c, const uint8_t *weight, const uint8_t *scale,
                               rc_verdict *v, rc_err *err)
{
    RC_TRY(check_scales(c, scale, err));
    if (c->job->op == RC_OP_FP4_TO_FP8)
        return RC_OK; /* whose verdict knows */
    return check_codes(c, weight, v, err);
}

/* What is read besides: are the values numbers? */
static rc_code check_input(const rc_chunk *c, const rc_pieces *at, const rc_cast_how *how,
                           rc_verdict *v, rc_err *err)
{
    const rc_op op = c->job->op;

    if (op == RC_OP_INT4_REPACK || op == RC_OP_I64_TO_I32)
        return RC_OK; /* looked at on the way */
    if (c->job->scale)
        return check_quantized(c, at->in[RC_PART_WEIGHT], at->in[RC_PART_SCALE], v, err);
    return check_values(c, at->in[RC_PART_WEIGHT],
                        op == RC_OP_COPY ? how->allow_nonfinite : may_hold_nonfinite(c->job, how),
                        v, err);
}

rc_code rc_cast_chunk(const rc_chunk *c, const rc_pieces *at, const rc_cast_how *how, rc_verdict *v,
                      rc_err *err)
{
    const uint8_t *weight = at->in[RC_PART_WEIGHT], *scale = at->in[RC_PART_SCALE];
    uint8_t *out = at->out[RC_PART_WEIGHT], *out_scale = at->out[RC_PART_SCALE];

    memset(v, 0, sizeof *v);
    RC_TRY(check_input(c, at, how, v, err));
    switch (c->job->op) {
    case RC_OP_COPY:
        if (c->nrows)
            memcpy(out, weight, (size_t)c->in[RC_PART_WEIGHT].len);
        return RC_OK;
    case RC_OP_FP4_TO_FP8:
        cast_fp4_fp8(c, weight, scale, out, out_scale, v);
        return RC_OK;
    case RC_OP_FP8_RESCALE:
        cast_fp8_fp8(c, weight, scale, out, out_scale, v);
        return RC_OK;
    case RC_OP_FP4_TO_MXFP4:
        rc_cast_mxfp4(c, weight, scale, out, v);
        return RC_OK;
    case RC_OP_I64_TO_I32:
        return rc_cast_i32(c, weight, out, v, err);
    case RC_OP_ENCODE:
        return rc_cast_encode(c, weight, scale, out, how, v, err);
    case RC_OP_INT4:
        return rc_cast_int4(c, at, how, v, err);
    case RC_OP_INT4_REPACK:
        return rc_cast_int4_repack(c, at, how, v, err);
    default:
        return cast_bf16(c, weight, scale, out, v, err);
    }
}
