/* tests/bench/bench_kernels.c - every row of every table, memory to memory or in cache. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/bf16.h"
#include "kernels/compare_f32.h"
#include "kernels/dequant_blocks.h"
#include "kernels/dequant_fp4.h"
#include "kernels/dequant_fp8.h"
#include "kernels/dequant_int4.h"
#include "kernels/f16.h"
#include "kernels/recast_fp4_fp8.h"
#include "kernels/repack_mxfp4.h"
#include "kernels/scan.h"
#include "quantize/fp4_q8_0.h"
#include "tests/bench/bench.h"

#define COLS  4096u
#define BANDS 512u /* of 128 rows: 256 Mi weights */
#define ROWS  (BANDS * 128u)
#define W     ((size_t)ROWS * COLS)
#define PIECE 1024u /* weights a comparison */
#define SMALL 64u   /* the reference runs on a part */

typedef struct job {
    union {
        rc_recast_fp4_fp8_fn *recast;
        rc_dequant_fp4_fn *fp4;
        rc_dequant_fp4_bf16_fn *fp4_bf16;
        rc_dequant_fp8_fn *fp8;
        rc_dequant_fp8_bf16_fn *fp8_bf16;
        rc_dequant_int4_fn *int4;
        rc_bf16_to_f32_fn *widen;
        rc_f32_to_bf16_fn *narrow;
        rc_f16_to_f32_fn *widen_f16;
        rc_f32_to_f16_fn *narrow_f16;
        rc_dequant_blocks_fn *blocks;
        rc_repack_mxfp4_fn *repack;
        rc_fp4_q8_0_fn *fp4_q8_0;
        rc_scan_fn *scan;
    } fn;
    rc_compare_f32_fn *compare;
    rc_dequant_fp4_fn *fp4;
    rc_dequant_fp8_fn *fp8;
    uint8_t *codes, *scales, *out; /* FP4 matrix; FP8 matrix */
    rc_fp8_tile *tiles;
    float *tile_scales;        /* of one row of tiles, for every row */
    uint8_t zeros[COLS / 128]; /* as many */
    size_t bands;
    bool stream, perturb;
    rc_dtype dtype;
    uint64_t sink[BENCH_MAX_THREADS][16];
} job;

static void share(const job *j, unsigned thread, unsigned threads, size_t *from, size_t *to)
{
    *from = j->bands * thread / threads;
    *to = j->bands * (thread + 1) / threads;
}

static void recast(void *arg, unsigned thread, unsigned threads)
{
    job *j = arg;
    size_t from, to;

    share(j, thread, threads, &from, &to);
    for (size_t b = from; b < to; b++)
        j->fn.recast(j->out + b * 128 * COLS, COLS, j->tiles + b * (COLS / 128),
                     j->codes + b * 128 * COLS / 2, j->scales + b * 128 * COLS / 32, 128, COLS,
                     j->stream);
}

static void repack(void *arg, unsigned thread, unsigned threads)
{
    job *j = arg;
    size_t from, to, nan = 0;

    share(j, thread, threads, &from, &to);
    for (size_t b = from; b < to; b++) {
        const size_t at = b * 128 * COLS;
        nan += j->fn.repack(j->out + at / 32 * 17, j->codes + at / 2, j->scales + at / 32,
                            (size_t)128 * COLS, j->stream);
    }
    j->sink[thread][0] += nan;
}

static void fp4_q8_0(void *arg, unsigned thread, unsigned threads)
{
    job *j = arg;
    size_t from, to, lost = 0;

    share(j, thread, threads, &from, &to);
    for (size_t b = from; b < to; b++) {
        const size_t at = b * 128 * COLS;
        lost += j->fn.fp4_q8_0(j->out + at / 32 * 34, j->codes + at / 2, j->scales + at / 32,
                               (size_t)128 * COLS);
    }
    j->sink[thread][0] += lost;
}

/* In cache: what the conversion does, where a band is hashed at once. */
static void recast_hot(void *arg, unsigned thread, unsigned threads)
{
    job *j = arg;
    size_t from, to;

    share(j, thread, threads, &from, &to);
    for (size_t b = from; b < to; b++)
        j->fn.recast(j->out + thread * 128 * COLS, COLS, j->tiles + thread * (COLS / 128),
                     j->codes + thread * 128 * COLS / 2, j->scales + thread * 128 * COLS / 32, 128,
                     COLS, false);
}

/* One row of source a time into a buffer that stays in cache. */
enum { FP4, FP4_BF16, FP8, FP8_BF16, INT4, WIDEN, NARROW, WIDEN_F16, NARROW_F16, BLOCKS };
static int which;

static void decode(void *arg, unsigned thread, unsigned threads)
{
    job *j = arg;
    float y[COLS] __attribute__((aligned(64)));
    uint16_t *h = (uint16_t *)(void *)y;
    size_t from, to, sink = 0;

    memset(y, 0, sizeof y);
    share(j, thread, threads, &from, &to);
    for (size_t r = from * 128; r < to * 128; r++)
        switch (which) {
        case FP4:
            j->fn.fp4(y, j->codes + r * COLS / 2, j->scales + r * COLS / 32, COLS);
            break;
        case FP4_BF16:
            sink += j->fn.fp4_bf16(h, j->codes + r * COLS / 2, j->scales + r * COLS / 32, COLS);
            break;
        case FP8:
            j->fn.fp8(y, j->out + r * COLS, j->tile_scales, COLS);
            break;
        case FP8_BF16:
            sink += j->fn.fp8_bf16(h, j->out + r * COLS, j->tile_scales, COLS);
            break;
        case INT4:
            j->fn.int4(y, j->codes + r * COLS / 2, j->tile_scales, j->zeros, 128, COLS);
            break;
        case WIDEN: /* half the bytes, so half the weights a row */
            j->fn.widen(y, (const uint16_t *)(void *)(j->out + r * COLS), COLS / 2);
            break;
        case WIDEN_F16:
            j->fn.widen_f16(y, (const uint16_t *)(void *)(j->out + r * COLS), COLS / 2);
            break;
        case NARROW_F16:
            sink += j->fn.narrow_f16(h, (const float *)(void *)(j->out + r * COLS), COLS / 4);
            break;
        case BLOCKS:
            j->fn.blocks(y, j->codes + r * rc_dtype_row_bytes(j->dtype, COLS / 4), COLS / 4);
            break;
        default:
            sink += j->fn.narrow(h, (const float *)(void *)(j->out + r * COLS), COLS / 4);
        }
    j->sink[thread][0] += sink;
}

static void scan(void *arg, unsigned thread, unsigned threads)
{
    job *j = arg;
    size_t from, to;
    rc_scan_result total = RC_SCAN_NONE;

    share(j, thread, threads, &from, &to);
    for (size_t b = from; b < to; b++) {
        const size_t n = (size_t)128 * COLS * 8 / rc_dtype_bits(j->dtype);
        rc_scan_result piece;
        j->fn.scan(&piece, j->dtype, j->out + b * 128 * COLS, n);
        rc_scan_add(&total, &piece, b * n);
    }
    j->sink[thread][0] += total.nan;
}

/* What verify does: decode both sides of a piece of a row, compare. Two pieces and
 * what they were decoded from fit in first-level cache; two whole rows do not. */
static void verify(void *arg, unsigned thread, unsigned threads)
{
    job *j = arg;
    float a[PIECE] __attribute__((aligned(64))), b[PIECE] __attribute__((aligned(64)));
    rc_comparison total = RC_COMPARISON_NONE, row;
    float scales[COLS / 128];
    size_t from, to;

    share(j, thread, threads, &from, &to);
    for (size_t r = from * 128; r < to * 128; r++) {
        for (size_t t = 0; t < COLS / 128; t++) {
            const uint32_t bits = (uint32_t)j->tiles[r / 128 * (COLS / 128) + t].scale << 23;
            memcpy(scales + t, &bits, sizeof bits);
        }
        for (size_t c = 0; c < COLS; c += PIECE) {
            const size_t at = r * COLS + c;
            j->fp4(a, j->codes + at / 2, j->scales + at / 32, PIECE);
            j->fp8(b, j->out + at, scales + c / 128, PIECE);
            if (j->perturb)
                b[0] += 1.0f;
            j->compare(&row, a, b, PIECE);
            rc_comparison_add(&total, &row, at);
        }
    }
    j->sink[thread][0] += total.differ;
}

static void measure(job *j, const char *kernel, const char *variant, unsigned need, bench_fn *fn,
                    double elements, double bytes)
{
    if ((need & ~rc_cpu_machine()) || !bench_wanted(kernel))
        return;
    for (unsigned threads = 1; threads <= BENCH_MAX_THREADS; threads++) {
        const double part = (double)j->bands / BANDS;
        bench_row(kernel, variant, threads, bench_seconds(fn, j, threads), elements * part,
                  bytes * part);
    }
}

static void bench_decoders(job *j)
{
    const double w = (double)W;

#define EACH(op, member, kind, elements, bytes)                                                    \
    for (const rc_##op##_impl *row = rc_##op##_impls; row->fn; row++) {                            \
        j->fn.member = row->fn;                                                                    \
        which = kind;                                                                              \
        j->bands = row->need ? BANDS : SMALL;                                                      \
        measure(j, #op, row->name, row->need, decode, elements, bytes);                            \
    }
    EACH(dequant_fp4, fp4, FP4, w, w * (0.5 + 1.0 / 32))
    EACH(dequant_fp4_bf16, fp4_bf16, FP4_BF16, w, w * (0.5 + 1.0 / 32))
    EACH(dequant_fp8, fp8, FP8, w, w)
    EACH(dequant_fp8_bf16, fp8_bf16, FP8_BF16, w, w)
    EACH(dequant_int4, int4, INT4, w, w * 0.5)
    EACH(bf16_to_f32, widen, WIDEN, w / 2, w)
    EACH(f32_to_bf16, narrow, NARROW, w / 4, w)
    EACH(f16_to_f32, widen_f16, WIDEN_F16, w / 2, w)
    EACH(f32_to_f16, narrow_f16, NARROW_F16, w / 4, w)
#undef EACH
}

/* A scale that is no number is the
 * reference's, so the random bytes that all types read here hold none: without bit 2 no f16
 * has a full exponent, and no byte is 255. */
static void bench_blocks(job *j)
{
    char name[32];

    for (size_t i = 0; i < W / 2; i++)
        j->codes[i] &= (uint8_t)~4u;
    which = BLOCKS;
    for (unsigned t = 0; t < RC_DTYPE_COUNT; t++) {
        const rc_dequant_blocks_impl *row = rc_dequant_blocks_impls((rc_dtype)t);
        j->dtype = (rc_dtype)t;
        snprintf(name, sizeof name, "dequant %s", rc_dtype_name(j->dtype));
        for (; row && row->fn; row++) {
            j->fn.blocks = row->fn;
            j->bands = row->need ? BANDS : SMALL;
            measure(j, name, row->name, row->need, decode, (double)W / 4,
                    (double)rc_dtype_row_bytes(j->dtype, W / 4));
        }
    }
}

void bench_kernels(void)
{
    const double w = (double)W;
    job j = {
        .codes = bench_buffer(W / 2),
        .scales = bench_buffer(W / 32),
        .out = bench_buffer(W),
        .tiles = bench_buffer(W / (128 * 128) * sizeof(rc_fp8_tile)),
        .tile_scales = bench_buffer(COLS / 128 * sizeof(float)),
        .bands = BANDS,
    };
    const rc_scan_impl *s;

    for (size_t i = 0; i < W / 32; i++) /* spread 4, as in the published weights */
        j.scales[i] = (uint8_t)(118 + j.scales[i] % 5);
    for (size_t t = 0; t < COLS / 128; t++)
        j.tile_scales[t] = 0x1p-12f;

    for (const rc_recast_fp4_fp8_impl *row = rc_recast_fp4_fp8_impls; row->fn; row++) {
        j.fn.recast = row->fn;
        j.bands = row->need ? BANDS : SMALL;
        j.stream = false;
        measure(&j, "recast_fp4_fp8", row->name, row->need, recast, w, w * (1.5 + 1.0 / 32));
        j.stream = true;
        if (row->need)
            measure(&j, "recast_fp4_fp8, stream", row->name, row->need, recast, w,
                    w * (1.5 + 1.0 / 32));
        measure(&j, "recast_fp4_fp8, in cache", row->name, row->need, recast_hot, w, 0);
    }
    for (const rc_repack_mxfp4_impl *row = rc_repack_mxfp4_impls; row->fn; row++) {
        j.fn.repack = row->fn;
        j.bands = row->need ? BANDS : SMALL;
        j.stream = false;
        measure(&j, "repack_mxfp4", row->name, row->need, repack, w, w * 34 / 32);
        j.stream = true;
        if (row->need)
            measure(&j, "repack_mxfp4, stream", row->name, row->need, repack, w, w * 34 / 32);
    }
    for (const rc_fp4_q8_0_impl *row = rc_fp4_q8_0_impls; row->fn; row++) {
        j.fn.fp4_q8_0 = row->fn;
        j.bands = row->need ? BANDS / 2 : SMALL; /* the blocks are larger than FP8 */
        measure(&j, "fp4_q8_0", row->name, row->need, fp4_q8_0, w, w * (1.5 + 3.0 / 32));
    }
    j.bands = BANDS; /* a whole, clean FP8 matrix for what follows */
    j.fn.recast = rc_recast_fp4_fp8_best();
    recast(&j, 0, 1);

    bench_decoders(&j);
    for (s = rc_scan_impls; s->fn; s++) {
        j.fn.scan = s->fn;
        j.bands = s->need ? BANDS : SMALL;
        j.dtype = RC_DTYPE_F8_E4M3;
        measure(&j, "scan, F8_E4M3", s->name, s->need, scan, w, w);
        j.dtype = RC_DTYPE_BF16;
        measure(&j, "scan, BF16", s->name, s->need, scan, w / 2, w);
    }
    for (size_t k = 0; rc_compare_f32_impls[k].fn; k++) {
        j.compare = rc_compare_f32_impls[k].fn;
        j.fp4 = rc_dequant_fp4_impls[k].fn;
        j.fp8 = rc_dequant_fp8_impls[k].fn;
        j.bands = rc_compare_f32_impls[k].need ? BANDS : SMALL;
        j.perturb = false;
        measure(&j, "verify FP4, FP8: equal", rc_compare_f32_impls[k].name,
                rc_compare_f32_impls[k].need, verify, w, w * (1.5 + 1.0 / 32));
        j.perturb = true; /* from the first element of a row on: the general case */
        measure(&j, "verify FP4, FP8: different", rc_compare_f32_impls[k].name,
                rc_compare_f32_impls[k].need, verify, w, w * (1.5 + 1.0 / 32));
    }
    bench_blocks(&j); /* last: it changes the codes */
    free(j.codes);
    free(j.scales);
    free(j.out);
    free(j.tiles);
    free(j.tile_scales);
}
