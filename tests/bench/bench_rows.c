/* tests/bench/bench_rows.c - products from stored rows, which live in memory, not in cache:
 * of every type, every variant, for one token and for eight.
 *
 * The column `of read` compares the stored bytes that pass in a second with a plain loop that
 * reads the same buffer and adds up its words. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/blocks.h"
#include "kernels/cpu.h"
#include "kernels/row_product.h"
#include "tests/bench/bench.h"

#define COLS        4096u
#define BYTES       ((size_t)192 << 20) /* stored; the references run on a part */
#define SMALL       ((size_t)2 << 20)
#define MXFP4_BYTES sizeof(rc_block_mxfp4)
#define BATCH       64u /* rows a call: what a thread of a product over experts takes */

typedef struct job {
    rc_row_product_fn *f32;       /* or: */
    rc_row_product_bf16_fn *bf16; /* or: */
    rc_decode_pairs_fn *decode;
    uint8_t *weight;
    rc_stored_rows w; /* the same */
    size_t rows, tokens;
    const void *x[RC_ROW_PRODUCT_TOKENS];
    float *y;
    uint64_t sink[BENCH_MAX_THREADS];
} job;

static void read_all(void *arg, unsigned thread, unsigned threads)
{
    job *j = arg;
    const uint64_t *p = (const uint64_t *)(const void *)j->w.weight;
    const size_t from = BYTES / 64 * thread / threads, to = BYTES / 64 * (thread + 1) / threads;
    uint64_t sum[8] = { 0 };

    for (size_t i = 8 * from; i < 8 * to; i += 8)
        for (unsigned k = 0; k < 8; k++)
            sum[k] += p[i + k];
    for (unsigned k = 0; k < 8; k++)
        j->sink[thread] += sum[k];
}

static rc_stored_rows row_at(const job *j, size_t r)
{
    rc_stored_rows w = j->w;

    w.weight += r * w.row_bytes;
    if (w.scale)
        w.scale = (const uint8_t *)w.scale + r * w.scale_bytes;
    return w;
}

static void multiply(void *arg, unsigned thread, unsigned threads)
{
    job *j = arg;
    const size_t batches = j->rows / BATCH;
    const size_t from = batches * thread / threads, to = batches * (thread + 1) / threads;

    for (size_t b = from; b < to; b++) {
        const rc_stored_rows w = row_at(j, b * BATCH);
        if (j->f32)
            j->f32(j->y + b * BATCH, j->rows, &w, BATCH, (const float *const *)j->x, j->tokens,
                   COLS);
        else if (j->bf16)
            j->bf16(j->y + b * BATCH, j->rows, &w, BATCH, (const uint16_t *const *)j->x, j->tokens,
                    COLS);
        else
            for (size_t r = 0; r < BATCH; r++) {
                const rc_stored_rows one = row_at(j, b * BATCH + r);
                j->decode(j->y + thread * COLS, one.weight, one.scale, COLS);
            }
    }
}

static void measure(job *j, const char *kernel, const char *variant, unsigned need, rc_dtype dtype)
{
    const size_t row_bytes =
        dtype == RC_DTYPE_I8 ? COLS / 2 : (size_t)rc_dtype_row_bytes(dtype, COLS);
    static double limit[BENCH_MAX_THREADS + 1];
    const unsigned most = need && j->tokens == 1 ? BENCH_MAX_THREADS : 1;
    char name[48];

    snprintf(name, sizeof name, "%s %s", kernel, rc_dtype_name(dtype));
    if ((need & ~rc_cpu_machine()) || !bench_wanted(name))
        return;
    j->w.row_bytes = row_bytes;
    j->rows = (need ? BYTES : SMALL) / row_bytes / BATCH * BATCH;
    for (unsigned threads = 1; threads <= most; threads++) {
        if (limit[threads] == 0)
            limit[threads] = (double)BYTES / bench_seconds(read_all, j, threads);
        const double seconds = bench_seconds(multiply, j, threads);
        const double bytes = (double)(j->rows * (row_bytes + j->w.scale_bytes)) / seconds;
        printf("%-24s %-10s %6zu %7u %8.2f %8.2f %8.2f %8.2f %6.2f\n", name, variant, j->tokens,
               threads, (double)j->rows * COLS / seconds / 1e9, bytes / 1e9, limit[threads] / 1e9,
               bytes / limit[threads], bench_cpu_share());
        fflush(stdout);
    }
}

/* Scales as real weights have them: bytes near 2^0. */
static void *scales(rc_dtype dtype)
{
    uint8_t *p = bench_buffer(BYTES / 16);
    float *f = (float *)(void *)p;

    for (size_t i = 0; i < BYTES / 16 && dtype == RC_DTYPE_I8; i++)
        p[i] = (uint8_t)(115 + p[i] % 8);
    for (size_t i = 0; i < COLS / RC_FP8_TILE && dtype == RC_DTYPE_F8_E4M3; i++)
        f[i] = ldexpf(1.0f, -10 - (int)(i % 4));
    return p;
}

static void measure_products(job *j, rc_dtype dtype)
{
    const rc_row_product_impl *f32 = rc_row_product_impls(dtype);
    const rc_row_product_bf16_impl *bf16 = rc_row_product_bf16_impls(dtype);

    for (; f32 && f32->fn; f32++) {
        j->f32 = f32->fn;
        measure(j, "row_product", f32->name, f32->need, dtype);
    }
    j->f32 = NULL;
    for (; bf16 && bf16->fn; bf16++) {
        j->bf16 = bf16->fn;
        measure(j, "row_product_bf16", bf16->name, bf16->need, dtype);
    }
    j->bf16 = NULL;
}

static void measure_type(job *j, rc_dtype dtype)
{
    const bool scaled = dtype == RC_DTYPE_I8 || dtype == RC_DTYPE_F8_E4M3;
    void *scale = scales(dtype);
    const rc_decode_pairs_impl *decode = rc_decode_pairs_impls(dtype);

    j->w.scale = scaled ? scale : NULL;
    j->w.scale_bytes = dtype == RC_DTYPE_I8 ? COLS / RC_FP4_GROUP : 0;
    for (size_t i = 0; i < BYTES / MXFP4_BYTES && dtype == RC_DTYPE_MXFP4; i++)
        j->weight[i * MXFP4_BYTES] = (uint8_t)(115 + i % 8);
    j->tokens = 1;
    measure_products(j, dtype);
    j->tokens = RC_ROW_PRODUCT_TOKENS;
    measure_products(j, dtype);
    j->tokens = 1;
    for (; decode && decode->fn; decode++) {
        j->decode = decode->fn;
        measure(j, "decode_pairs", decode->name, decode->need, dtype);
    }
    j->decode = NULL;
    free(scale);
}

void bench_rows(void)
{
    static float x[RC_ROW_PRODUCT_TOKENS][COLS]; /* or twice as many BF16 */
    job j = { .weight = bench_buffer(BYTES + 4096) };

    for (size_t t = 0; t < RC_ROW_PRODUCT_TOKENS; t++) {
        for (size_t i = 0; i < COLS; i++)
            x[t][i] = 0.5f + (float)(i % 97);
        j.x[t] = x[t];
    }
    for (size_t i = 0; i < BYTES; i++) /* no scale is infinite, no FP8 code NaN */
        j.weight[i] &= 0xbf;
    j.w.weight = j.weight;
    j.y = bench_buffer((BYTES / (COLS / 8) + COLS) * RC_ROW_PRODUCT_TOKENS * sizeof(float));
    printf("%-24s %-10s %6s %7s %8s %8s %8s %8s %6s\n", "stored rows", "variant", "tokens",
           "threads", "G el/s", "GB/s", "read", "of read", "cpu");
    for (unsigned i = 0; i < RC_DTYPE_COUNT; i++)
        if (rc_row_product_impls((rc_dtype)i))
            measure_type(&j, (rc_dtype)i);
    free(j.weight);
    free(j.y);
}
