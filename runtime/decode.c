/* runtime/decode.c - see decode.h. The arithmetic is in kernels/. */
#include "runtime/decode.h"

#include <string.h>

#include "kernels/bf16.h"
#include "kernels/codes.h"
#include "kernels/dequant_blocks.h"
#include "kernels/dequant_fp4.h"
#include "kernels/dequant_fp8.h"
#include "kernels/e8m0.h"
#include "kernels/f16.h"

static size_t tiles(size_t cols, unsigned tile_cols)
{
    return (size_t)rc_ceil_div(cols, tile_cols);
}

/* Tensors may begin at any byte of a shard; kernels want whole elements. */
static const void *aligned(const rc_piece *p, const uint8_t *from, size_t align, size_t nbytes)
{
    return (uintptr_t)from % align == 0 ? from : memcpy(p->work, from, nbytes);
}

static const uint8_t *row_at(const rc_piece *p, size_t row)
{
    return p->weight + row * p->row_bytes + p->lead;
}

static void row_of_f32(float *y, const rc_piece *p, size_t row)
{
    memcpy(y, row_at(p, row), p->cols * 4);
}

static void row_of_bf16(float *y, const rc_piece *p, size_t row)
{
    rc_bf16_to_f32_best()(y, aligned(p, row_at(p, row), 2, p->cols * 2), p->cols);
}

static void row_of_f16(float *y, const rc_piece *p, size_t row)
{
    rc_f16_to_f32_best()(y, aligned(p, row_at(p, row), 2, p->cols * 2), p->cols);
}

static void row_of_blocks(float *y, const rc_piece *p, size_t row)
{
    rc_dequant_blocks_best(p->how->weight)(y, row_at(p, row), p->cols);
}

static void row_of_fp4(float *y, const rc_piece *p, size_t row)
{
    rc_dequant_fp4_best()(y, row_at(p, row), p->scale + row * (p->cols / 32), p->cols);
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

    rc_dequant_fp8_best()(y, row_at(p, row), aligned(p, scale, 4, n * 4), p->cols);
}

static void row_of_fp8_e8m0(float *y, const rc_piece *p, size_t row)
{
    const size_t n = tiles(p->cols, p->how->tile_cols);

    rc_e8m0_to_f32(p->work, p->scale + tile_row(p, row) * n, n);
    rc_dequant_fp8_best()(y, row_at(p, row), p->work, p->cols);
}

/* Codes as values under scales of 1, then the scales of 16 times the tensor's, as one float: the
 * order in which ModelOpt multiplies. */
static void row_of_nvfp4(float *y, const rc_piece *p, size_t row)
{
    const uint8_t *scale = p->scale + row * (p->cols / 16);

    memset(p->work, 127, p->cols / 32); /* 2^0 */
    rc_dequant_fp4_best()(y, row_at(p, row), p->work, p->cols);
    for (size_t g = 0; g < p->cols / 16; g++) {
        const float s = rc_e4m3_value(scale[g]) * p->gain;

        for (size_t i = 16 * g; i < 16 * g + 16; i++)
            y[i] *= s;
    }
}

#define BLOCKS(dtype, block, bytes)                                                                \
    {                                                                                              \
        RC_STORE_BLOCKS, dtype, RC_DTYPE_COUNT, block, bytes, 0, 0, 0, row_of_blocks               \
    }

/* clang-format off */
static const rc_decoder decoders[] = {
    { RC_STORE_PLAIN, RC_DTYPE_F32, RC_DTYPE_COUNT, 1, 4, 0, 0, 0, row_of_f32 },
    { RC_STORE_PLAIN, RC_DTYPE_BF16, RC_DTYPE_COUNT, 1, 2, 0, 0, 0, row_of_bf16 },
    { RC_STORE_PLAIN, RC_DTYPE_F16, RC_DTYPE_COUNT, 1, 2, 0, 0, 0, row_of_f16 },
    { RC_STORE_FP4, RC_DTYPE_I8, RC_DTYPE_F8_E8M0, 2, 1, 1, 32, 1, row_of_fp4 },
    { RC_STORE_FP8, RC_DTYPE_F8_E4M3, RC_DTYPE_F8_E8M0, 1, 1, 128, 128, 1, row_of_fp8_e8m0 },
    { RC_STORE_FP8, RC_DTYPE_F8_E4M3, RC_DTYPE_F32, 1, 1, 128, 128, 4, row_of_fp8_f32 },
    { RC_STORE_NVFP4, RC_DTYPE_U8, RC_DTYPE_F8_E4M3, 2, 1, 1, 16, 1, row_of_nvfp4 },
    BLOCKS(RC_DTYPE_Q4_0, 32, 18),
    BLOCKS(RC_DTYPE_Q8_0, 32, 34),
    BLOCKS(RC_DTYPE_Q2_K, 256, 84),
    BLOCKS(RC_DTYPE_Q3_K, 256, 110),
    BLOCKS(RC_DTYPE_Q4_K, 256, 144),
    BLOCKS(RC_DTYPE_Q5_K, 256, 176),
    BLOCKS(RC_DTYPE_Q6_K, 256, 210),
    BLOCKS(RC_DTYPE_IQ2_XXS, 256, 66),
    BLOCKS(RC_DTYPE_IQ4_XS, 256, 136),
    BLOCKS(RC_DTYPE_MXFP4, 32, 17),
    BLOCKS(RC_DTYPE_NVFP4, 64, 36),
};
/* clang-format on */

static uint64_t cols_of(const rc_bound *b)
{
    return b->param->rank ? b->param->shape[b->param->rank - 1] : 1;
}

static uint64_t bytes_of(const rc_decoder *d, uint64_t values)
{
    return values / d->block * d->bytes;
}

const rc_decoder *rc_decoder_of(const rc_bound *bound)
{
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders && bound->weight; i++) {
        const rc_decoder *d = &decoders[i];

        if (d->store == bound->store && d->weight == bound->weight->dtype &&
            (d->scale_bytes == 0 || (bound->scale && bound->scale->dtype == d->scale)))
            return bound->col % d->block || bound->pitch % d->block || cols_of(bound) % d->block
                       ? NULL
                       : d;
    }
    return NULL;
}

void rc_decoder_lay_out(rc_piece *piece, const rc_bound *bound)
{
    piece->how = rc_decoder_of(bound);
    piece->cols = (size_t)cols_of(bound);
    piece->row_bytes = (size_t)bytes_of(piece->how, bound->pitch);
    piece->lead = (size_t)bytes_of(piece->how, bound->col);
    piece->gain = bound->gain;
}

size_t rc_decoder_work(size_t cols)
{
    return cols * sizeof(float);
}

rc_extent rc_decoder_extent(const rc_bound *bound, uint64_t row, uint64_t nrows)
{
    const rc_decoder *how = rc_decoder_of(bound);
    rc_extent e = { 0 };
    const uint64_t row_bytes = bytes_of(how, bound->pitch);

    e.weight_off = (bound->row + row) * row_bytes;
    e.weight_len = (size_t)(nrows * row_bytes);
    if (how->scale_bytes) {
        const uint64_t first = row / how->tile_rows;
        const uint64_t last = rc_ceil_div(row + nrows, how->tile_rows);
        const uint64_t scale_row = tiles((size_t)cols_of(bound), how->tile_cols) * how->scale_bytes;

        e.scale_off = first * scale_row;
        e.scale_len = (size_t)((last - first) * scale_row);
    }
    return e;
}

uint64_t rc_decoder_offset(const rc_bound *bound, uint64_t row, uint64_t col)
{
    const rc_decoder *how = rc_decoder_of(bound);

    return (bound->row + row) * bytes_of(how, bound->pitch) + bytes_of(how, bound->col + col);
}
