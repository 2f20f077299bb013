/* runtime/linear.c - see linear.h.
 *
 * Many tokens: a tile of rows is decoded into cache, then multiplied with all of them. Few: the
 * product is taken straight from the stored rows. The bits are the same (kernels/pairs.h). */
#include "runtime/linear.h"

#include <math.h>
#include <string.h>

#include "kernels/bf16.h"
#include "kernels/dequant_fp4.h"
#include "kernels/dequant_fp8.h"
#include "kernels/e8m0.h"
#include "kernels/matmul.h"
#include "kernels/row_product.h"
#include "runtime/blas.h"
#include "runtime/input.h"
#include "runtime/threads.h"

#define TILE_BYTES     (1u << 20) /* of decoded rows: a small L2 */
#define TILE_ROWS      64u        /* at most; divides the 128 rows under one FP8 scale */
#define PANEL_ROWS     256u       /* that BLAS gets at a time */
#define WORTH_A_THREAD (1u << 17) /* multiplications */
#define TOKEN_BLOCK    64u        /* tokens of one task where rows alone are too few tasks */

/* One piece of a matrix and what is to be done with it. */
typedef struct job {
    const rc_input *in;
    const rc_held *held;
    rc_dtype type;     /* that kernels take as it is stored; RC_DTYPE_COUNT: decode it first */
    uint64_t row, end; /* rows of the parameter */
    uint64_t origin;   /* the row whose product is y[0] */
    float *y;
    size_t ldy;
    bool half; /* BF16 on both sides */
    bool few;
    size_t tile, token_block;
    size_t work_off; /* in a thread's scratch: of the decoder's work space */
} job;

/* -- a tile of stored rows ------------------------------------------------- */

/* n stored scales of FP8 tiles. */
static void fp8_scales(float *y, const rc_piece *p, const uint8_t *from, size_t n)
{
    if (p->how->scale == RC_DTYPE_F32)
        memcpy(y, from, n * 4);
    else if (p->how->scale == RC_DTYPE_F8_E8M0)
        rc_e8m0_to_f32(y, from, n);
    for (size_t i = 0; p->how->scale == RC_DTYPE_BF16 && i < n; i++) {
        const uint32_t bits = (uint32_t)(from[2 * i] | from[2 * i + 1] << 8) << 16;

        memcpy(y + i, &bits, sizeof bits);
    }
}

/* Rows of a piece as kernels take them. FP8: their scales in f32, in `scales`. */
static rc_stored_rows stored(const job *j, uint64_t row, float *scales)
{
    const rc_piece *p = &j->held->piece;
    const size_t at = (size_t)(row - j->held->row), tiles = (size_t)rc_ceil_div(p->cols, 128);
    rc_stored_rows s = { .weight = p->weight + at * p->row_bytes + p->lead,
                         .row_bytes = p->row_bytes };

    if (p->how->store == RC_STORE_FP4) {
        s.scale_bytes = p->cols / 32;
        s.scale = p->scale + at * s.scale_bytes;
    } else if (p->how->store == RC_STORE_FP8) {
        const uint8_t *from = p->scale + (row / 128 - p->row0 / 128) * tiles * p->how->scale_bytes;

        fp8_scales(scales, p, from, tiles);
        s.scale = scales;
    }
    return s;
}

static bool power_of_two(float s)
{
    int e;

    return frexpf(s, &e) == 0.5f;
}

/* Are all values of the piece BF16 numbers, by the way they are stored? */
static bool exact_in_bf16(const rc_held *h, rc_dtype type)
{
    const rc_piece *p = &h->piece;
    const uint64_t rows = rc_ceil_div(h->row + h->n, 128) - h->row / 128;

    if (type == RC_DTYPE_BF16 || type == RC_DTYPE_I8 || type == RC_DTYPE_MXFP4)
        return true;
    if (type != RC_DTYPE_F8_E4M3)
        return false;
    for (uint64_t i = 0; p->how->scale != RC_DTYPE_F8_E8M0 && i < rows * rc_ceil_div(p->cols, 128);
         i++) {
        float s;

        fp8_scales(&s, p, p->scale + i * p->how->scale_bytes, 1);
        if (!power_of_two(s))
            return false;
    }
    return true;
}

/* -- many tokens: decode, then multiply ------------------------------------ */

/* A row that has no kernel of its own: by the table of decoders. */
static void decode_natural(const job *j, uint64_t row, float *y, void *work)
{
    rc_piece p = j->held->piece;

    p.work = work;
    rc_piece_row(y, &p, (size_t)(row - j->held->row));
}

static void decode_pairs(const job *j, uint64_t row, size_t n, float *y, float *scales, float *work)
{
    rc_decode_pairs_fn *direct = rc_decode_pairs_best(j->type);
    const rc_stored_rows s = stored(j, row, scales);
    const size_t cols = j->in->n;

    for (size_t r = 0; r < n; r++)
        if (direct) {
            direct(y + r * cols, s.weight + r * s.row_bytes,
                   s.scale ? (const uint8_t *)s.scale + r * s.scale_bytes : NULL, cols);
        } else {
            decode_natural(j, row + r, work, work + cols);
            rc_pair_f32_best()(y + r * cols, work, cols);
        }
}

static void decode_half(const job *j, uint64_t row, size_t n, uint16_t *y, float *scales,
                        float *work)
{
    const rc_stored_rows s = stored(j, row, scales);
    const size_t cols = j->in->n;

    for (size_t r = 0; r < n; r++) {
        const uint8_t *w = s.weight + r * s.row_bytes;

        if (j->type == RC_DTYPE_I8) {
            (void)rc_dequant_fp4_bf16_best()(y + r * cols, w,
                                             (const uint8_t *)s.scale + r * s.scale_bytes, cols);
        } else if (j->type == RC_DTYPE_F8_E4M3) {
            (void)rc_dequant_fp8_bf16_best()(y + r * cols, w, s.scale, cols);
        } else if (j->type == RC_DTYPE_BF16) {
            memcpy(y + r * cols, w, cols * 2);
        } else {
            decode_natural(j, row + r, work, work + cols);
            rc_f32_to_bf16_best()(y + r * cols, work, cols);
        }
    }
}

static void tile_of_many(const job *j, uint64_t row, size_t n, size_t t0, size_t tokens,
                         uint8_t *scratch)
{
    float *y = j->y + t0 * j->ldy + (row - j->origin);
    float *scales = (float *)(void *)(scratch + j->work_off), *work = scales + j->in->n;
    const size_t cols = j->in->n;
    const void *at[TILE_ROWS];

    for (size_t r = 0; r < n; r++)
        at[r] = scratch + r * cols * (j->half ? 2 : 4);
    if (j->half) {
        decode_half(j, row, n, (uint16_t *)(void *)scratch, scales, work);
        rc_matmul_bf16_best()(y, j->ldy, (const uint16_t *const *)(const void *)at, n,
                              j->in->half_row + t0, tokens, cols);
    } else {
        decode_pairs(j, row, n, (float *)(void *)scratch, scales, work);
        rc_matmul_f32_best()(y, j->ldy, (const float *const *)(const void *)at, n,
                             j->in->pair_row + t0, tokens, cols);
    }
}

/* -- few tokens ------------------------------------------------------------ */

static void tile_of_few(const job *j, uint64_t row, size_t n, uint8_t *scratch)
{
    const rc_stored_rows s = stored(j, row, (float *)(void *)(scratch + j->work_off));
    float *y = j->y + (row - j->origin);

    if (j->half)
        rc_row_product_bf16_best(j->type)(y, j->ldy, &s, n, j->in->half_row, j->in->tokens,
                                          j->in->n);
    else
        rc_row_product_best(j->type)(y, j->ldy, &s, n, j->in->pair_row, j->in->tokens, j->in->n);
}

/* -- a piece --------------------------------------------------------------- */

static bool has_row_product(const job *j)
{
    return j->half ? rc_row_product_bf16_best(j->type) != NULL
                   : rc_row_product_best(j->type) != NULL;
}

static bool finite(const float *y, size_t ldy, size_t rows, size_t tokens)
{
    float sum = 0;

    for (size_t t = 0; t < tokens; t++)
        for (size_t r = 0; r < rows; r++)
            sum += y[t * ldy + r] * 0;
    return sum == 0;
}

static void plan_tiles(job *j, unsigned threads)
{
    const size_t bytes = j->in->n * (j->half ? 2 : 4);
    uint64_t tiles;

    j->few = j->in->tokens <= RC_ROW_PRODUCT_TOKENS && has_row_product(j);
    for (j->tile = TILE_ROWS; !j->few && j->tile > 8 && j->tile * bytes > TILE_BYTES;)
        j->tile /= 2;
    tiles = rc_ceil_div(j->end - j->row, j->tile);
    j->token_block = !j->few && tiles < 4 * (uint64_t)threads && j->in->tokens > TOKEN_BLOCK
                         ? TOKEN_BLOCK
                         : j->in->tokens;
    /* decoded rows; then scales and work space of the decoder: three rows */
    j->work_off = j->few ? 0 : (j->tile * bytes + 63) / 64 * 64;
}

/* False when a product is not finite. */
static rc_code run(rc_engine *e, job *j, rc_input *in, bool *sound, rc_err *err)
{
    const uint64_t first = j->row / j->tile, tiles = rc_ceil_div(j->end, j->tile) - first;
    const uint64_t blocks = rc_ceil_div(in->tokens, j->token_block);
    const size_t need = j->work_off + 3 * in->n * sizeof(float);
    const uint64_t work = (j->end - j->row) * in->n * in->tokens;
    int bad = 0;

    RC_TRY(rc_input_scratch(in, (need + 63) / 64 * 64, err));
    RC_PARALLEL(rc_threads_for(e->threads, work / WORTH_A_THREAD),
                for schedule(dynamic) reduction(| : bad))
    for (uint64_t i = 0; i < tiles * blocks; i++) {
        const uint64_t t = first + i / blocks, lo = t * j->tile, hi = lo + j->tile;
        const uint64_t row = lo > j->row ? lo : j->row, end = hi < j->end ? hi : j->end;
        const size_t t0 = (size_t)(i % blocks) * j->token_block, n = (size_t)(end - row);
        const size_t left = in->tokens - t0;
        const size_t tokens = left < j->token_block ? left : j->token_block;
        uint8_t *scratch = in->scratch + rc_thread() * in->stride;

        if (j->few)
            tile_of_few(j, row, n, scratch);
        else
            tile_of_many(j, row, n, t0, tokens, scratch);
        bad |= !finite(j->y + t0 * j->ldy + (row - j->origin), j->ldy, n, tokens);
    }
    *sound = !bad;
    return RC_OK;
}

/* The same by BLAS: panels of decoded rows. */
static rc_code run_blas(rc_engine *e, job *j, rc_input *in, bool *sound, rc_err *err)
{
    const size_t n = in->n;

    RC_TRY(rc_input_panel(in, PANEL_ROWS * n, err));
    RC_TRY(rc_input_scratch(in, (n * sizeof(float) + 63) / 64 * 64, err));
    *sound = true;
    for (uint64_t row = j->row; row < j->end; row += PANEL_ROWS) {
        const size_t rows = j->end - row < PANEL_ROWS ? (size_t)(j->end - row) : PANEL_ROWS;
        float *y = j->y + (row - j->origin);

        RC_PARALLEL(e->threads, for schedule(static))
        for (size_t r = 0; r < rows; r++)
            decode_natural(j, row + r, in->panel + r * n, in->scratch + rc_thread() * in->stride);
        rc_blas_sgemm(y, j->ldy, in->flat, n, in->tokens, in->panel, n, rows, n, e->threads);
        *sound = *sound && finite(y, j->ldy, rows, in->tokens);
    }
    return RC_OK;
}

/* A product is not finite: because of which weight? */
static rc_code blame(const rc_bound *w, const job *j, rc_engine *e, rc_err *err)
{
    const rc_ckpt *ckpt = rc_weights_ckpt(e->weights, w);
    const size_t cols = j->in->n;
    float *y = rc_mem_get(e->mem, 3 * cols * sizeof *y);
    rc_code rc = RC_OK;

    if (!y)
        return rc_fail_nomem(err, e->mem, 3 * cols * sizeof *y);
    for (uint64_t row = j->row; rc == RC_OK && row < j->end; row++) {
        decode_natural(j, row, y, y + cols);
        for (size_t i = 0; rc == RC_OK && i < cols; i++)
            if (!isfinite(y[i]))
                rc = rc_fail(err, RC_E_NUMERIC, w->weight->begin + rc_decoder_offset(w, row, i),
                             "element [%" PRIu64 ", %zu] is %s", row, i,
                             isnan(y[i]) ? "NaN" : "infinite");
    }
    if (rc == RC_OK)
        rc = rc_fail(err, RC_E_NUMERIC, RC_NO_OFFSET,
                     "the product with this matrix overflows: activations are out of range");
    rc_err_file(err, rc_ckpt_shard(ckpt, w->weight->shard)->name);
    rc_err_tensor(err, w->weight->name);
    rc_mem_put(e->mem, y);
    return rc;
}

static rc_code product_of_piece(rc_engine *e, const rc_bound *w, job *j, rc_input *in, rc_err *err)
{
    bool sound;

    if (in->has_flat) {
        RC_TRY(run_blas(e, j, in, &sound, err));
    } else {
        j->half = e->numerics == RC_NUMERICS_NATIVE && exact_in_bf16(j->held, j->type);
        if (!j->half)
            RC_TRY(rc_input_need_pairs(in, err));
        plan_tiles(j, e->threads);
        RC_TRY(run(e, j, in, &sound, err));
    }
    return sound ? RC_OK : blame(w, j, e, err);
}

static void round_output(const rc_engine *e, const rc_input *in, float *y, size_t ldy, size_t n)
{
    if (e->numerics != RC_NUMERICS_NATIVE || in->kind == RC_LINEAR_F32)
        return;
    RC_PARALLEL(rc_threads_for(e->threads, in->tokens), for schedule(static))
    for (size_t t = 0; t < in->tokens; t++)
        rc_round_bf16(e->numerics, y + t * ldy, n);
}

rc_code rc_linear(rc_engine *e, const rc_bound *w, uint64_t row, uint64_t nrows, rc_input *in,
                  float *y, size_t ldy, rc_err *err)
{
    const uint64_t step = rc_weights_step(e->weights, w);

    if (in->n != (w->param->rank == 2 ? w->param->shape[1] : w->param->shape[0]))
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "%s: input of %zu columns", w->param->name,
                       in->n);
    for (uint64_t at = row; at < row + nrows && in->tokens;) {
        job j = { .in = in, .row = at, .origin = row, .y = y, .ldy = ldy };
        rc_held held;
        rc_code rc;

        RC_TRY(rc_weights_get(e->weights, w, (size_t)(at / step), &held, err));
        j.held = &held;
        j.type = held.piece.columns ? RC_DTYPE_COUNT : w->weight->dtype;
        j.end = held.row + held.n < row + nrows ? held.row + held.n : row + nrows;
        rc = product_of_piece(e, w, &j, in, err);
        rc_weights_put(e->weights, &held);
        RC_TRY(rc);
        at = j.end;
    }
    round_output(e, in, y, ldy, (size_t)nrows);
    return RC_OK;
}
