/* tests/bench/bench_int4.c - 4-bit integers: searches, error feedback, losses of AWQ's scalings.
 *
 * Elements are weights of the rows that are looked at; for the losses each of them is quantized
 * under all the ratios of the grid. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "quantize/awq.h"
#include "tests/bench/bench.h"

#define COLS   4096u
#define ROWS   1024u
#define FEW    64u /* for references, and where a weight takes long */
#define BLOCKS (COLS / RC_INT4_BLOCK)

typedef struct job {
    rc_int4_row_fn *row;           /* or: */
    rc_int4_feedback_fn *feedback; /* or: */
    rc_awq_losses_fn *losses;      /* or the preparation */
    rc_int4_kind kind;
    size_t rows;
    float *x, *importance, *u, *work, *scale;
    const float *scales[RC_AWQ_GRID];
    double *moments, *prepared, *loss;
    uint8_t *q, *zero;
} job;

static void quantize(void *arg, unsigned thread, unsigned threads)
{
    job *j = arg;
    const size_t from = j->rows * thread / threads, to = j->rows * (thread + 1) / threads;
    const size_t groups = COLS / j->kind.group;
    rc_int4_tally tally = { 0 };

    if (j->feedback) {
        const rc_int4_row out = { j->q + from * COLS, j->scale + from * groups,
                                  j->zero + from * groups };
        j->feedback(&out, to - from, j->x + from * COLS, COLS, j->importance, j->u, COLS, &j->kind,
                    &tally);
        return;
    }
    for (size_t r = from; r < to; r++) {
        const rc_int4_row out = { j->q + r * COLS, j->scale + r * groups, j->zero + r * groups };
        if (j->row)
            j->row(&out, j->x + r * COLS, j->importance, COLS, &j->kind, &tally);
        else
            j->losses(j->loss + thread * RC_AWQ_GRID, j->x + r * COLS, j->importance, j->scales,
                      RC_AWQ_GRID, COLS, &j->kind, j->work + thread * 2 * COLS);
    }
}

static void prepare(void *arg, unsigned thread, unsigned threads)
{
    job *j = arg;
    const size_t n = RC_INT4_BLOCK * RC_INT4_BLOCK;

    for (size_t b = BLOCKS * thread / threads; b < BLOCKS * (thread + 1) / threads; b++) {
        memcpy(j->prepared + b * n, j->moments, n * sizeof *j->moments);
        rc_int4_feedback_prepare(j->prepared + b * n, RC_INT4_BLOCK, 0.01);
    }
}

static void measure(job *j, const char *what, const char *variant, unsigned need)
{
    static const char *const searches[] = { "nearest", "clip", "best" };
    char name[64];

    snprintf(name, sizeof name, "int4 %s%s %u%s%s", what, searches[j->kind.search], j->kind.group,
             j->kind.symmetric ? " sym" : " asym", j->row && j->importance ? " weighted" : "");
    if ((need & ~rc_cpu_machine()) || !bench_wanted(name))
        return;
    j->rows = !need ? 4 : j->row ? ROWS : FEW;
    for (unsigned threads = 1; threads <= BENCH_MAX_THREADS; threads++)
        bench_row(name, variant, threads, bench_seconds(quantize, j, threads),
                  (double)j->rows * COLS, 0);
}

static void measure_rows(job *j, float *importance)
{
    for (unsigned i = 0; i < 24; i++) {
        j->kind =
            (rc_int4_kind){ i & 1 ? 128 : 32, i >> 1 & 1, RC_DTYPE_F16, (rc_int4_search)(i / 8) };
        j->importance = i & 4 ? importance : NULL;
        for (const rc_int4_row_impl *row = rc_int4_row_impls; row->fn; row++) {
            j->row = row->fn;
            measure(j, "", row->name, row->need);
        }
    }
    j->row = NULL;
    j->importance = importance;
}

static void measure_others(job *j)
{
    for (unsigned i = 0; i < 4; i++) {
        j->kind = (rc_int4_kind){ i & 1 ? 128 : 32, i >> 1, RC_DTYPE_F16, RC_INT4_NEAREST };
        for (const rc_awq_losses_impl *row = rc_awq_losses_impls; row->fn; row++) {
            j->losses = row->fn;
            measure(j, "20 losses, ", row->name, row->need);
        }
        j->losses = NULL;
        j->kind.search = RC_INT4_CLIP;
        for (const rc_int4_feedback_impl *row = rc_int4_feedback_impls; row->fn; row++) {
            j->feedback = row->fn;
            measure(j, "feedback, ", row->name, row->need);
        }
        j->feedback = NULL;
    }
    for (unsigned threads = 1; threads <= BENCH_MAX_THREADS && bench_wanted("int4 prepare");
         threads++)
        bench_row("int4 prepare, moments", "-", threads, bench_seconds(prepare, j, threads),
                  (double)COLS * RC_INT4_BLOCK, 0);
}

static float small(const uint8_t *b)
{
    return 1e-4f * (float)(b[0] + b[1] + b[2] + b[3] - 510);
}

/* Bits that are there become numbers: weights, importance, ratios' scales, moments. */
static void make_numbers(job *j, float *importance, float *scales)
{
    for (size_t i = 0; i < (size_t)ROWS * COLS; i++)
        j->x[i] = small((const uint8_t *)(j->x + i));
    for (size_t i = 0; i < COLS; i++)
        importance[i] = fabsf(small((const uint8_t *)(importance + i))) + 1e-6f;
    for (size_t i = 0; i < (size_t)RC_AWQ_GRID * COLS; i++)
        scales[i] = expf(10 * small((const uint8_t *)(scales + i)));
    for (size_t i = 0; i < RC_AWQ_GRID; i++)
        j->scales[i] = scales + i * COLS;
    for (size_t i = 0; i < RC_INT4_BLOCK; i++)
        for (size_t k = 0; k < RC_INT4_BLOCK; k++)
            j->moments[i * RC_INT4_BLOCK + k] = (i == k ? 1 : 0.3) * exp(-0.01 * (double)(i + k));
    prepare(j, 0, 1);
    for (size_t i = 0; i < (size_t)COLS * RC_INT4_BLOCK; i++)
        j->u[i] = (float)j->prepared[i];
}

void bench_int4(void)
{
    const size_t n = (size_t)ROWS * COLS;
    float *importance = bench_buffer(COLS * sizeof(float));
    float *scales = bench_buffer((size_t)RC_AWQ_GRID * COLS * sizeof(float));
    job j = { .x = bench_buffer(n * sizeof(float)),
              .u = bench_buffer((size_t)COLS * RC_INT4_BLOCK * sizeof(float)),
              .work = bench_buffer(BENCH_MAX_THREADS * 2 * COLS * sizeof(float)),
              .scale = bench_buffer(n / 32 * sizeof(float)),
              .moments = bench_buffer(RC_INT4_BLOCK * RC_INT4_BLOCK * sizeof(double)),
              .prepared = bench_buffer((size_t)COLS * RC_INT4_BLOCK * sizeof(double)),
              .loss = bench_buffer(BENCH_MAX_THREADS * RC_AWQ_GRID * sizeof(double)),
              .q = bench_buffer(n),
              .zero = bench_buffer(n / 32) };

    make_numbers(&j, importance, scales);
    memset(j.loss, 0, BENCH_MAX_THREADS * RC_AWQ_GRID * sizeof *j.loss);
    measure_rows(&j, importance);
    measure_others(&j);
    void *all[] = { importance, scales,     j.x,    j.u, j.work, j.scale,
                    j.moments,  j.prepared, j.loss, j.q, j.zero };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}
