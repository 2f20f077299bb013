/* convert/encode.c - into the types of GGUF: rows decoded to f32, then encoded; and the two
 * ways that need no decoding. */
#include <string.h>

#include "convert/cast_impl.h"
#include "formats/blocks.h"
#include "kernels/bf16.h"
#include "kernels/compare_f32.h"
#include "kernels/dequant_blocks.h"
#include "kernels/dequant_fp4.h"
#include "kernels/dequant_fp8.h"
#include "kernels/f16.h"
#include "kernels/repack_mxfp4.h"
#include "kernels/scan.h"
#include "quantize/fp4_q8_0.h"

enum { SEGMENT = 64 * RC_FP8_TILE }; /* columns whose scales are decoded at a time */

/* --------------------------------------------------------- without decoding */

/* The scales were checked: none is NaN, so every block keeps its values. */
void rc_cast_mxfp4(const rc_chunk *c, const uint8_t *weight, const uint8_t *scale, uint8_t *out,
                   rc_verdict *v)
{
    const size_t n = (size_t)(c->nrows * c->job->cols);
    const size_t nan = rc_repack_mxfp4_best()(out, weight, scale, n, false);

    v->tiles = n / RC_FP4_GROUP;
    v->exact = v->tiles - nan;
}

rc_code rc_cast_i32(const rc_chunk *c, const uint8_t *weight, uint8_t *out, rc_verdict *v,
                    rc_err *err)
{
    const uint64_t cols = c->job->cols;

    for (uint64_t i = 0; i < c->nrows * cols; i++) {
        int64_t wide;
        int32_t narrow;

        memcpy(&wide, weight + 8 * i, 8);
        narrow = (int32_t)wide;
        v->nonzero |= wide != 0;
        if (narrow != wide) {
            (void)rc_cast_fail(err, c->job->weight, c->in[RC_PART_WEIGHT].off + 8 * i,
                               "an integer that does not fit into 32 bits", c->row + i / cols,
                               i % cols, 1);
            rc_err_got(err, "%" PRId64, wide);
            return RC_E_NUMERIC;
        }
        memcpy(out + 4 * i, &narrow, 4);
    }
    return RC_OK;
}

/* ------------------------------------------------------------------ decoding */

static void decode_fp8(const rc_chunk *c, const uint8_t *weight, const uint8_t *scale, uint64_t row,
                       float *x)
{
    const uint64_t cols = c->job->cols;
    float scales[SEGMENT / RC_FP8_TILE];

    for (uint64_t col = 0; col < cols; col += SEGMENT) {
        const size_t n = (size_t)(cols - col < SEGMENT ? cols - col : SEGMENT);

        rc_cast_scales(c, scale, row, col, n, scales);
        rc_dequant_fp8_best()(x + col, weight + row * cols + col, scales, n);
    }
}

/* BF16 and F16 of a file need not be aligned. */
void rc_cast_decode_row(const rc_chunk *c, const uint8_t *weight, const uint8_t *scale,
                        uint64_t row, float *x, void *aligned)
{
    const rc_job *job = c->job;
    const size_t cols = (size_t)job->cols;
    const uint8_t *from = weight + row * rc_dtype_row_bytes(job->weight->dtype, cols);

    switch (job->weight->dtype) {
    case RC_DTYPE_I8:
        rc_dequant_fp4_best()(x, weight + row * cols / 2, scale + row * cols / RC_FP4_GROUP, cols);
        break;
    case RC_DTYPE_F8_E4M3:
        decode_fp8(c, weight, scale, row, x);
        break;
    case RC_DTYPE_BF16:
        memcpy(aligned, from, 2 * cols);
        rc_bf16_to_f32_best()(x, aligned, cols);
        break;
    case RC_DTYPE_F16:
        memcpy(aligned, from, 2 * cols);
        rc_f16_to_f32_best()(x, aligned, cols);
        break;
    default: /* F32 */
        memcpy(x, from, 4 * cols);
    }
}

void rc_cast_scale_row(float *x, const float *factors, size_t n)
{
    for (size_t i = 0; factors && i < n; i++)
        x[i] *= factors[i];
}

void rc_cast_energy(const rc_chunk *c, const rc_pieces *at, float *energy, float *work)
{
    const size_t cols = (size_t)c->job->cols;

    memset(energy, 0, cols * sizeof *energy);
    for (uint64_t row = 0; row < c->nrows; row++) {
        rc_cast_decode_row(c, at->in[RC_PART_WEIGHT], at->in[RC_PART_SCALE], row, work,
                           work + cols);
        for (size_t i = 0; i < cols; i++)
            energy[i] += work[i] * work[i];
    }
}

/* ------------------------------------------------------------------ encoding */

/* FP4 into Q8_0 is a lookup: the same bytes, four times as fast. */
static void encode_fp4_q8_0(const rc_chunk *c, const uint8_t *weight, const uint8_t *scale,
                            uint64_t row, uint8_t *out)
{
    const uint64_t cols = c->job->cols;

    (void)rc_fp4_q8_0_best()(out, weight + row * cols / 2, scale + row * cols / RC_FP4_GROUP,
                             (size_t)cols); /* what is infinite shows when it is read back */
}

static void encode_row(const rc_job *job, const float *x, uint8_t *out, const rc_cast_how *how)
{
    const size_t cols = (size_t)job->cols;
    const rc_dtype to = job->out[RC_PART_WEIGHT].dtype;

    switch (to) {
    case RC_DTYPE_F32:
        memcpy(out, x, 4 * cols);
        break;
    case RC_DTYPE_BF16:
        (void)rc_f32_to_bf16_best()((uint16_t *)(void *)out, x, cols);
        break;
    case RC_DTYPE_F16:
        (void)rc_f32_to_f16_best()((uint16_t *)(void *)out, x, cols);
        break;
    default:
        rc_quantizer_best(rc_quantizer_of(to), how->effort)(out, x, how->importance, cols);
    }
}

/* What a loader will see in the place of x. */
static void read_back(const rc_job *job, const uint8_t *out, float *y)
{
    const size_t cols = (size_t)job->cols;

    switch (job->out[RC_PART_WEIGHT].dtype) {
    case RC_DTYPE_F32:
        memcpy(y, out, 4 * cols);
        break;
    case RC_DTYPE_BF16:
        rc_bf16_to_f32_best()(y, (const uint16_t *)(const void *)out, cols);
        break;
    case RC_DTYPE_F16:
        rc_f16_to_f32_best()(y, (const uint16_t *)(const void *)out, cols);
        break;
    default:
        rc_dequant_blocks_best(job->out[RC_PART_WEIGHT].dtype)(y, out, cols);
    }
}

static void judge_row(const rc_chunk *c, uint64_t row, const float *x, const float *y,
                      rc_verdict *v)
{
    rc_comparison cmp;

    rc_compare_f32_best()(&cmp, x, y, (size_t)c->job->cols);
    if (c->job->tiles) {
        for (size_t i = 0; cmp.differ && i < c->job->cols; i++)
            if (x[i] != y[i])
                rc_cast_note_inexact(v, c->row + row, i, (double)x[i], (double)y[i]);
        rc_cast_count(v, cmp.differ == 0);
        return;
    }
    v->changed += cmp.differ;
    v->signal += cmp.aa;
    v->noise += cmp.dd;
}

/* A finite source whose image is infinite, or whose decoded value already was. */
static rc_code refuse_infinite(const rc_chunk *c, uint64_t row, const float *y, rc_err *err)
{
    const uint64_t cols = c->job->cols;
    rc_scan_result scan;

    rc_scan_best()(&scan, RC_DTYPE_F32, (const uint8_t *)y, (size_t)cols);
    if (!scan.inf && !scan.nan)
        return RC_OK;
    return rc_cast_fail(err, c->job->weight, c->in[RC_PART_WEIGHT].off + row * (c->in[RC_PART_WEIGHT].len / c->nrows),
                        "a value too large for the type that it is to become", c->row + row,
                        scan.first_bad, scan.inf + scan.nan);
}

rc_code rc_cast_encode(const rc_chunk *c, const uint8_t *weight, const uint8_t *scale, uint8_t *out,
                       const rc_cast_how *how, rc_verdict *v, rc_err *err)
{
    const rc_job *job = c->job;
    const uint64_t out_row = rc_dtype_row_bytes(job->out[RC_PART_WEIGHT].dtype, job->cols);
    const bool lookup = job->weight->dtype == RC_DTYPE_I8 && job->out[RC_PART_WEIGHT].dtype == RC_DTYPE_Q8_0;
    float *x = how->work, *y = how->work + job->cols;

    for (uint64_t row = 0; row < c->nrows; row++) {
        uint8_t *to = out + row * out_row;

        rc_cast_decode_row(c, weight, scale, row, x, y);
        rc_cast_scale_row(x, how->factors, (size_t)job->cols);
        if (lookup)
            encode_fp4_q8_0(c, weight, scale, row, to);
        else
            encode_row(job, x, to, how);
        read_back(job, to, y);
        if (!v->nonfinite)
            RC_TRY(refuse_infinite(c, row, y, err));
        judge_row(c, row, x, y, v);
    }
    return RC_OK;
}
