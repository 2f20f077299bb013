/* tests/bench/bench_quant.c - every variant of every quantizer, from memory. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cpu.h"
#include "quantize/block_quant.h"
#include "tests/bench/bench.h"

#define COLS 4096u
#define ROWS 4096u /* 64 MiB of f32 */
#define FEW  64u   /* for references */

typedef struct job {
    rc_quant_row_fn *fn;
    const float *x, *importance;
    uint8_t *out;
    size_t rows, row_bytes;
} job;

static void quantize(void *arg, unsigned thread, unsigned threads)
{
    const job *j = arg;

    for (size_t r = j->rows * thread / threads; r < j->rows * (thread + 1) / threads; r++)
        j->fn(j->out + r * j->row_bytes, j->x + r * COLS, j->importance, COLS);
}

/* Bits that are there become numbers with a bell-shaped distribution. */
static void make_normal(float *x, size_t n)
{
    const uint8_t *bytes = (const uint8_t *)x;

    for (size_t i = 0; i < n; i++) {
        const uint8_t *b = bytes + 4 * i;
        x[i] = 1e-4f * (float)(b[0] + b[1] + b[2] + b[3] - 510);
    }
}

static void measure(job *j, const rc_quantizer *q, const rc_quant_impl *impls, const char *what)
{
    char name[48];

    snprintf(name, sizeof name, "quant %s%s%s", rc_dtype_name(q->dtype), what,
             j->importance ? ", weighted" : "");
    for (const rc_quant_impl *row = impls; row->fn && bench_wanted(name); row++) {
        if (row->need & ~rc_cpu_machine())
            continue;
        j->fn = row->fn;
        j->rows = row->need ? ROWS : FEW;
        for (unsigned threads = 1; threads <= BENCH_MAX_THREADS; threads++)
            bench_row(name, row->name, threads, bench_seconds(quantize, j, threads),
                      (double)j->rows * COLS, (double)j->rows * (double)(j->row_bytes + 4 * COLS));
    }
}

void bench_quantizers(void)
{
    const size_t n = (size_t)ROWS * COLS;
    float *x = bench_buffer(n * sizeof *x), *importance = bench_buffer(COLS * sizeof *importance);
    job j = { .x = x, .out = bench_buffer(2 * n) };

    make_normal(x, n);
    make_normal(importance, COLS);
    for (size_t c = 0; c < COLS; c++)
        importance[c] = fabsf(importance[c]);
    for (unsigned t = 0; t < RC_DTYPE_COUNT; t++) {
        const rc_quantizer *q = rc_quantizer_of((rc_dtype)t);
        if (!q)
            continue;
        j.row_bytes = (size_t)rc_dtype_row_bytes(q->dtype, COLS);
        for (unsigned weighted = q->needs_importance; weighted <= q->searches; weighted++) {
            j.importance = weighted ? importance : NULL;
            measure(&j, q, q->impls, "");
            if (q->better)
                measure(&j, q, q->better, ", better");
        }
    }
    free(x);
    free(importance);
    free(j.out);
}
