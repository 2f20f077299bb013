/* tests/bench/bench_product.c - the products of the runtime against BLIS, one thread.
 *
 * Ours and BLIS' take turns, so both see the same machine, and time is the thread's own: whoever
 * else runs slows both through the cache alone. A figure is the median of the turns, a ratio the
 * median of the ratios. Our rows come in tiles of 64, as from a decoder; BLIS gets all at once. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kernels/matmul.h"
#include "kernels/weighted_sum.h"
#include "runtime/blas.h"
#include "tests/bench/bench.h"

#define TURNS 11u
#define TILE  64u /* rows a call */
#define HEADS 64u
#define FLOPS 3e8 /* a turn, at least */

typedef struct shape {
    const char *what;
    size_t tokens, rows, n;
} shape;

static const shape shapes[] = {
    { "prefill", 512, 2048, 4096 },     { "prefill", 256, 2048, 4096 },
    { "prefill", 128, 2048, 4096 },     { "expert", 16, 2048, 4096 },
    { "expert, down", 12, 4096, 2048 }, { "scores", 64, 640, 512 },
    { "scores, index", 64, 1024, 128 },
};

typedef struct job {
    const shape *s;
    float *x, *w, *y; /* random, used as natural f32, paired f32 and BF16 alike */
    rc_matmul_f32_fn *f32;
    rc_matmul_bf16_fn *bf16;
    rc_weighted_sum_fn *sum;
    const float **x_rows, **w_rows;
    const uint16_t **xh_rows, **wh_rows;
} job;

static double thread_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void blis(const job *j)
{
    const shape *s = j->s;

    rc_blas_sgemm(j->y, s->rows, j->x, s->n, s->tokens, j->w, s->n, s->rows, s->n, 1);
}

static void ours(const job *j)
{
    const shape *s = j->s;

    if (j->sum) {
        j->sum(j->y, s->n, j->x, s->rows, HEADS, j->w_rows, s->rows, s->n);
        return;
    }
    for (size_t r = 0; r < s->rows; r += TILE)
        if (j->f32)
            j->f32(j->y + r, s->rows, j->w_rows + r, TILE, j->x_rows, s->tokens, s->n);
        else
            j->bf16(j->y + r, s->rows, j->wh_rows + r, TILE, j->xh_rows, s->tokens, s->n);
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

static double seconds(const job *j, void (*fn)(const job *), unsigned times)
{
    const double start = thread_seconds();

    for (unsigned i = 0; i < times; i++)
        fn(j);
    return (thread_seconds() - start) / times;
}

static void measure(const job *j, const char *kernel, const char *variant, unsigned need)
{
    const shape *s = j->s;
    const double flops = 2.0 * (double)s->tokens * (double)s->rows * (double)s->n;
    const unsigned times = need && flops < FLOPS ? (unsigned)(FLOPS / flops) + 1 : 1;
    double rate[TURNS], theirs[TURNS], ratio[TURNS];
    char name[96];

    snprintf(name, sizeof name, "%s, %s %zu x %zu x %zu", kernel, s->what, s->tokens, s->rows,
             s->n);
    if ((need & ~rc_cpu_machine()) || !bench_wanted(name))
        return;
    for (unsigned i = 0; i < TURNS; i++) {
        const double mine = seconds(j, ours, times), other = seconds(j, blis, times);
        rate[i] = flops / mine / 1e9;
        theirs[i] = flops / other / 1e9;
        ratio[i] = other / mine;
    }
    printf("%-44s %-10s %9.2f %9.2f %8.2f\n", name, variant, median(rate), median(theirs),
           median(ratio));
    fflush(stdout);
}

static void *pointers(size_t count, const void *rows, size_t row_bytes)
{
    const void **p = malloc(count * sizeof *p);

    if (!p)
        abort();
    for (size_t i = 0; i < count; i++)
        p[i] = (const char *)rows + i * row_bytes;
    return p;
}

/* Halves of random sign and mantissa between 1 and 2, or -2 and -1: no NaN in either format. */
static float *numbers(size_t n)
{
    uint16_t *halves = bench_buffer(n * sizeof(float));

    for (size_t i = 0; i < 2 * n; i++)
        halves[i] = (uint16_t)((halves[i] & 0x807f) | 0x3f80);
    return (float *)(void *)halves;
}

static void bench_shape(const shape *s)
{
    job j = { .s = s };

    j.x = numbers(s->tokens * s->n > HEADS * s->rows ? s->tokens * s->n : HEADS * s->rows);
    j.w = numbers(s->rows * s->n);
    j.y = numbers(s->tokens * s->rows > HEADS * s->n ? s->tokens * s->rows : HEADS * s->n);
    j.x_rows = pointers(s->tokens, j.x, s->n * sizeof *j.x);
    j.w_rows = pointers(s->rows, j.w, s->n * sizeof *j.w);
    j.xh_rows = pointers(s->tokens, j.x, s->n * sizeof(uint16_t));
    j.wh_rows = pointers(s->rows, j.w, s->n * sizeof(uint16_t));
    for (const rc_matmul_f32_impl *row = rc_matmul_f32_impls + 1; row->fn; row++) {
        j.f32 = row->fn;
        measure(&j, "matmul_f32", row->name, row->need);
    }
    j.f32 = NULL;
    for (const rc_matmul_bf16_impl *row = rc_matmul_bf16_impls + 1; row->fn; row++) {
        j.bf16 = row->fn;
        measure(&j, "matmul_bf16", row->name, row->need);
    }
    if (s->tokens == HEADS) /* as many operations: heads take the place of tokens */
        for (const rc_weighted_sum_impl *row = rc_weighted_sum_impls + 1; row->fn; row++) {
            j.sum = row->fn;
            measure(&j, "weighted_sum", row->name, row->need);
        }
    free(j.x);
    free(j.w);
    free(j.y);
    free(j.x_rows);
    free(j.w_rows);
    free(j.xh_rows);
    free(j.wh_rows);
}

void bench_products(void)
{
    printf("%-44s %-10s %9s %9s %8s\n", "product, tokens x rows x n", "variant", "GFLOP/s", "BLIS",
           "of BLIS");
    printf("BLIS runs its code for: %s\n", rc_blas_arch());
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        bench_shape(shapes + i);
}
