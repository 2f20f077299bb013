/* runtime/decode.c - see decode.h. The arithmetic is in kernels/. */
#include "runtime/decode.h"

#include <string.h>

#include "kernels/bf16.h"
#include "kernels/codes.h"
#include "kernels/dequant_blocks.h"
#include "kernels/dequant_fp4.h"
#include "kernels/dequant_fp8.h"
#include "kernels/dequant_int4.h"
#include "kernels/e8m0.h"
#include "kernels/f16.h"

static size_t tiles(size_t cols, unsigned tile_cols)
{
    return (size_t)rc_ceil_div(cols, tile_cols);
}

/* n scales in two bytes each, any alignment. */
static void halves_to_f32(float *y, const uint8_t *from, rc_dtype dtype, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t half;

        memcpy(&half, from + 2 * i, sizeof half);
        y[i] = dtype == RC_DTYPE_F16 ? rc_f16_decode(half) : rc_bf16_value(half);
    }
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

static void row_of_fp8_bf16(float *y, const rc_piece *p, size_t row)
{
    const size_t n = tiles(p->cols, p->how->tile_cols);

    halves_to_f32(p->work, p->scale + tile_row(p, row) * n * 2, RC_DTYPE_BF16, n);
    rc_dequant_fp8_best()(y, row_at(p, row), p->work, p->cols);
}

/* Nibbles of the words that hold the zero points of eight rows: those of this one. */
static void zeros_of_row(uint8_t *y, const rc_piece *p, size_t row, size_t groups)
{
    const uint64_t word_row = (p->row0 + row) / 8 - p->row0 / 8, within = (p->row0 + row) % 8;
    const uint8_t *at = p->zero + word_row * groups * 4 + within / 2;

    for (size_t g = 0; g < groups; g++)
        y[g] = at[4 * g] >> within % 2 * 4 & 15;
}

/* Both containers: in memory AutoAWQ's lies as compressed-tensors' does. */
static void row_of_int4(float *y, const rc_piece *p, size_t row)
{
    const size_t groups = p->cols / p->group;
    const uint8_t *from = p->scale + row * groups * p->how->scale_bytes;
    float *scale = p->work;
    uint8_t *zero = (uint8_t *)(scale + groups);

    if (p->how->scale == RC_DTYPE_F32)
        memcpy(scale, from, groups * 4);
    else
        halves_to_f32(scale, from, p->how->scale, groups);
    if (p->zero)
        zeros_of_row(zero, p, row, groups);
    rc_dequant_int4_best()(y, row_at(p, row), scale, p->zero ? zero : NULL, p->group, p->cols);
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

#define INT4_IN(store, scale, bytes)                                                               \
    {                                                                                              \
        store, RC_DTYPE_I32, scale, 8, 4, 1, 0, bytes, row_of_int4                                 \
    }
#define INT4(scale, bytes)                                                                         \
    INT4_IN(RC_STORE_PACKED, scale, bytes), INT4_IN(RC_STORE_AWQ, scale, bytes)

/* clang-format off */
static const rc_decoder decoders[] = {
    { RC_STORE_PLAIN, RC_DTYPE_F32, RC_DTYPE_COUNT, 1, 4, 0, 0, 0, row_of_f32 },
    { RC_STORE_PLAIN, RC_DTYPE_BF16, RC_DTYPE_COUNT, 1, 2, 0, 0, 0, row_of_bf16 },
    { RC_STORE_PLAIN, RC_DTYPE_F16, RC_DTYPE_COUNT, 1, 2, 0, 0, 0, row_of_f16 },
    { RC_STORE_FP4, RC_DTYPE_I8, RC_DTYPE_F8_E8M0, 2, 1, 1, 32, 1, row_of_fp4 },
    { RC_STORE_FP8, RC_DTYPE_F8_E4M3, RC_DTYPE_F8_E8M0, 1, 1, 128, 128, 1, row_of_fp8_e8m0 },
    { RC_STORE_FP8, RC_DTYPE_F8_E4M3, RC_DTYPE_F32, 1, 1, 128, 128, 4, row_of_fp8_f32 },
    { RC_STORE_FP8, RC_DTYPE_F8_E4M3, RC_DTYPE_BF16, 1, 1, 128, 128, 2, row_of_fp8_bf16 },
    { RC_STORE_NVFP4, RC_DTYPE_U8, RC_DTYPE_F8_E4M3, 2, 1, 1, 16, 1, row_of_nvfp4 },
    INT4(RC_DTYPE_BF16, 2),
    INT4(RC_DTYPE_F16, 2),
    INT4(RC_DTYPE_F32, 4),
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

static bool is_int4(const rc_bound *b)
{
    return b->store == RC_STORE_PACKED || b->store == RC_STORE_AWQ;
}

bool rc_decoder_whole(const rc_bound *bound)
{
    return bound->store == RC_STORE_AWQ;
}

const rc_decoder *rc_decoder_of(const rc_bound *bound)
{
    if (is_int4(bound) && bound->group == 0) /* a part is missing or malformed */
        return NULL;
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
    piece->group = bound->group;
    piece->gain = bound->gain;
}

void rc_piece_row(float *y, const rc_piece *piece, size_t row)
{
    piece->how->decode_row(y, piece, row);
    for (size_t c = 0; piece->columns && c < piece->cols; c++)
        y[c] *= piece->columns[c];
}

size_t rc_decoder_work(size_t cols)
{
    return cols * sizeof(float);
}

static rc_extent extent_of_int4(const rc_bound *b, const rc_decoder *how, uint64_t row,
                                uint64_t nrows)
{
    const uint64_t groups = cols_of(b) / b->group, row_bytes = cols_of(b) / 2;
    const uint64_t first = row / 8, last = rc_ceil_div(row + nrows, 8);
    rc_extent e = { 0 };

    if (rc_decoder_whole(b))
        return (rc_extent){ .weight_len = (size_t)b->weight->nbytes,
                            .scale_len = (size_t)b->scale->nbytes,
                            .zero_len = (size_t)b->zero->nbytes };
    e.weight_off = row * row_bytes;
    e.weight_len = (size_t)(nrows * row_bytes);
    e.scale_off = row * groups * how->scale_bytes;
    e.scale_len = (size_t)(nrows * groups * how->scale_bytes);
    if (b->zero) {
        e.zero_off = first * groups * 4;
        e.zero_len = (size_t)((last - first) * groups * 4);
    }
    return e;
}

rc_extent rc_decoder_extent(const rc_bound *bound, uint64_t row, uint64_t nrows)
{
    const rc_decoder *how = rc_decoder_of(bound);
    rc_extent e = { 0 };
    const uint64_t row_bytes = bytes_of(how, bound->pitch);

    if (is_int4(bound))
        return extent_of_int4(bound, how, row, nrows);

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

    if (rc_decoder_whole(bound)) /* transposed: words of eight rows */
        return col * (bound->param->shape[0] / 2) + row / 8 * 4;
    return (bound->row + row) * bytes_of(how, bound->pitch) + bytes_of(how, bound->col + col);
}
