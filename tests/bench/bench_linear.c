/* tests/bench/bench_linear.c - whole matrices of a checkpoint times activations, decoding included,
 * against BLIS on the same shape in f32 with the same threads. Ours and BLIS' take turns; a figure
 * is the median, a ratio that of the medians. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "formats/model.h"
#include "runtime/blas.h"
#include "runtime/linear.h"
#include "tests/bench/bench.h"

#define TURNS 7u

static const char *const matrices[] = { "layers.0.ffn.experts.0.w1.weight",
                                        "layers.0.ffn.experts.0.w2.weight",
                                        "layers.0.ffn.shared_experts.w1.weight",
                                        "layers.0.attn.wq_b.weight" };
static const size_t token_counts[] = { 1, 4, 12, 16, 64, 512 };

static double wall(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *v)
{
    qsort(v, TURNS, sizeof *v, by_value);
    return v[TURNS / 2];
}

static rc_code measure(rc_engine *e, const rc_bound *w, size_t tokens, rc_err *err)
{
    const size_t rows = (size_t)w->param->shape[0], n = (size_t)w->param->shape[1];
    float *x = bench_buffer(tokens * n * sizeof *x), *y = bench_buffer(tokens * rows * sizeof *y);
    float *dense = bench_buffer(rows * n * sizeof *dense);
    double ours[TURNS], theirs[TURNS], gflop = 2e-9 * (double)(tokens * rows * n);
    rc_input *in;

    for (size_t i = 0; i < tokens * n; i++)
        x[i] = (float)((int)(i * 2654435761u >> 24) - 128) / 128;
    for (size_t i = 0; i < rows * n; i++)
        dense[i] = (float)((int)(i * 2654435761u >> 24) - 128) / 128;
    RC_TRY(rc_input_new(&in, e, err));
    for (unsigned t = 0; t < TURNS; t++) {
        double begin = wall();

        RC_TRY(rc_input_set(in, RC_LINEAR_FP8, x, n, tokens, n, err));
        RC_TRY(rc_linear(e, w, 0, rows, in, y, rows, err));
        ours[t] = wall() - begin;
        begin = wall();
        rc_blas_sgemm(y, rows, x, n, tokens, dense, n, rows, n, e->threads);
        theirs[t] = wall() - begin;
    }
    rc_input_free(&in);
    free(x);
    free(y);
    free(dense);
    {
        const double a = median(ours), b = median(theirs);

        printf("%-40s %5zu %-7s %7u %9.2f %9.2f %8.2f\n", w->param->name, tokens,
               e->numerics == RC_NUMERICS_F32 ? "f32" : "native", e->threads, gflop / a, gflop / b,
               b / a);
    }
    return RC_OK;
}

int bench_linear(const char *folder)
{
    rc_mem mem = { 0 };
    rc_source *src;
    rc_ckpt *ckpt = NULL;
    rc_model *model = NULL;
    rc_engine e = { .mem = &mem };
    rc_err err;
    char line[1024];
    rc_code rc = rc_source_open(&src, folder, NULL, &mem, &err);

    if (rc == RC_OK)
        rc = rc_ckpt_open(&ckpt, src, NULL, &mem, &err);
    if (rc == RC_OK)
        rc = rc_model_new(&model, ckpt, &mem, &err);
    if (rc == RC_OK)
        rc = rc_weights_open(&e.weights, model, NULL, (size_t)1 << 30, 0, &mem, &err);
    if (rc == RC_OK) {
        e.config = rc_ckpt_config(ckpt);
        printf("%-40s %5s %-7s %7s %9s %9s %8s\n", "matrix", "T", "numer.", "threads", "GFLOP/s",
               "BLIS", "of BLIS");
    }
    for (unsigned k = 0; rc == RC_OK && k < sizeof matrices / sizeof *matrices * 4; k++) {
        const rc_bound *w;

        e.numerics = k & 1 ? RC_NUMERICS_NATIVE : RC_NUMERICS_F32;
        e.threads = k & 2 ? BENCH_MAX_THREADS : 1;
        rc = rc_weights_find(e.weights, matrices[k / 4], &w, &err);
        for (unsigned t = 0; rc == RC_OK && t < sizeof token_counts / sizeof *token_counts; t++)
            rc = measure(&e, w, token_counts[t], &err);
    }
    if (rc != RC_OK)
        fprintf(stderr, "bench: %s\n", rc_err_line(&err, line, sizeof line));
    rc_weights_close(&e.weights);
    rc_model_free(&model);
    rc_ckpt_close(&ckpt);
    return rc == RC_OK ? 0 : 1;
}
