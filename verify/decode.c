/* verify/decode.c - see decode.h. The arithmetic is in kernels/. */
#include "verify/decode.h"

#include <string.h>

#include "kernels/bf16.h"
#include "kernels/dequant_fp4.h"
#include "kernels/dequant_fp8.h"
#include "kernels/e8m0.h"

static size_t tiles(size_t cols, unsigned tile_cols)
{
    return (size_t)rc_ceil_div(cols, tile_cols);
}

/* Tensors may begin at any byte of a shard; kernels want whole elements. */
static const void *aligned(const rc_piece *p, const uint8_t *from, size_t align, size_t nbytes)
{
    return (uintptr_t)from % align == 0 ? from : memcpy(p->work, from, nbytes);
}

static void row_of_f32(float *y, const rc_piece *p, size_t row)
{
    memcpy(y, p->weight + row * p->cols * 4, p->cols * 4);
}

static void row_of_bf16(float *y, const rc_piece *p, size_t row)
{
    const uint8_t *x = p->weight + row * p->cols * 2;

    rc_bf16_to_f32_best()(y, aligned(p, x, 2, p->cols * 2), p->cols);
}

static void row_of_fp4(float *y, const rc_piece *p, size_t row)
{
    rc_dequant_fp4_best()(y, p->weight + row * (p->cols / 2), p->scale + row * (p->cols / 32),
                          p->cols);
}

/* Scale rows of the piece are counted from the one that its first row is under. */
static size_t tile_row(const rc_piece *p, size_t row)
{
    return (size_t)((p->row0 + row) / p->how->tile_rows - p->row0 / p->how->tile_rows);
}

static void row_of_fp8_f32(float *y, const rc_piece *p, size_t row)
{
    const size_t n = tiles(p->cols, p->how->tile_cols);
    const uint8_t *scale = p->scale + tile_row(p, row) * n * 4;

    rc_dequant_fp8_best()(y, p->weight + row * p->cols, aligned(p, scale, 4, n * 4), p->cols);
}

static void row_of_fp8_e8m0(float *y, const rc_piece *p, size_t row)
{
    const size_t n = tiles(p->cols, p->how->tile_cols);

    rc_e8m0_to_f32(p->work, p->scale + tile_row(p, row) * n, n);
    rc_dequant_fp8_best()(y, p->weight + row * p->cols, p->work, p->cols);
}

static const rc_decoder decoders[] = {
    { RC_STORE_PLAIN, RC_DTYPE_F32, RC_DTYPE_COUNT, 32, 0, 0, 0, row_of_f32 },
    { RC_STORE_PLAIN, RC_DTYPE_BF16, RC_DTYPE_COUNT, 16, 0, 0, 0, row_of_bf16 },
    { RC_STORE_FP4, RC_DTYPE_I8, RC_DTYPE_F8_E8M0, 4, 1, 32, 1, row_of_fp4 },
    { RC_STORE_FP8, RC_DTYPE_F8_E4M3, RC_DTYPE_F8_E8M0, 8, 128, 128, 1, row_of_fp8_e8m0 },
    { RC_STORE_FP8, RC_DTYPE_F8_E4M3, RC_DTYPE_F32, 8, 128, 128, 4, row_of_fp8_f32 },
};

const rc_decoder *rc_decoder_of(const rc_bound *bound)
{
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders && bound->weight; i++) {
        const rc_decoder *d = &decoders[i];

        if (d->store == bound->store && d->weight == bound->weight->dtype &&
            (d->scale_bytes == 0 || (bound->scale && bound->scale->dtype == d->scale)))
            return d;
    }
    return NULL;
}

size_t rc_decoder_work(size_t cols)
{
    return cols * sizeof(float);
}

rc_extent rc_decoder_extent(const rc_decoder *how, uint64_t cols, uint64_t row, uint64_t nrows)
{
    rc_extent e = { 0 };
    const uint64_t row_bytes = cols * how->bits / 8;

    e.weight_off = row * row_bytes;
    e.weight_len = (size_t)(nrows * row_bytes);
    if (how->scale_bytes) {
        const uint64_t first = row / how->tile_rows;
        const uint64_t last = rc_ceil_div(row + nrows, how->tile_rows);
        const uint64_t scale_row = tiles(cols, how->tile_cols) * how->scale_bytes;

        e.scale_off = first * scale_row;
        e.scale_len = (size_t)((last - first) * scale_row);
    }
    return e;
}
