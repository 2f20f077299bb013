/* tests/bench/bench_vector.c - what the runtime does to vectors: from memory to memory, and within
 * the second-level cache, where the runtime has them. A row "f32 by memcpy" is the limit of
 * those that follow it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/act_round.h"
#include "kernels/divergence.h"
#include "kernels/exp.h"
#include "tests/bench/bench.h"

#define COLS  4096u
#define ROWS  16384u /* 64 Mi elements, 256 MiB each of input and output */
#define CACHE 16u    /* rows a thread: 256 KiB each */
#define SMALL 16u    /* the reference runs on a part */

enum { COPY, EXP_SUM, EXP_SUM64, DIVERGENCE, SWIGLU, FP8, FP4, BF16, HADAMARD, SQUARES };

typedef struct job {
    int kind;
    union {
        rc_exp_sum_fn *exp_sum;
        rc_exp_sum64_fn *exp_sum64;
        rc_divergence_fn *divergence;
        rc_swiglu_fn *swiglu;
        rc_round_fp8_fn *blocks;
        rc_round_bf16_fn *bf16;
        rc_hadamard_fn *hadamard;
        rc_sum_squares_fn *squares;
    } fn;
    float *x, *y;
    size_t rows;
    bool cached;
    float sink[BENCH_MAX_THREADS][16];
} job;

static size_t other(const job *j, size_t r, unsigned thread)
{
    return j->cached ? thread * CACHE + (r + 1) % CACHE : (r + ROWS / 2) % ROWS;
}

static void work(void *arg, unsigned thread, unsigned threads)
{
    job *j = arg;
    float sink = 0;

    for (size_t r = j->rows * thread / threads; r < j->rows * (thread + 1) / threads; r++) {
        const size_t at = (j->cached ? thread * CACHE + r % CACHE : r) * COLS;
        const float *x = j->x + at;
        float *y = j->y + at;

        switch (j->kind) {
        case EXP_SUM:
            sink += j->fn.exp_sum(y, x, COLS, 8);
            break;
        case EXP_SUM64:
            sink += (float)j->fn.exp_sum64(x, COLS, 8);
            break;
        case DIVERGENCE: /* of a row that is not read otherwise until much later */
            sink += (float)j->fn.divergence(x, j->x + other(j, r, thread) * COLS, COLS, 13.5, 13.5);
            break;
        case SWIGLU: /* x twice: as many bytes to and fro as the others */
            j->fn.swiglu(y, x, x, COLS, 10, 1);
            break;
        case FP8:
            j->fn.blocks(y, x, COLS, 128);
            break;
        case FP4:
            j->fn.blocks(y, x, COLS, 32);
            break;
        case BF16:
            j->fn.bf16(y, x, COLS);
            break;
        case HADAMARD:
            for (size_t i = 0; i < COLS; i += 128)
                j->fn.hadamard(y + i, x + i, 128);
            break;
        case SQUARES:
            sink += j->fn.squares(x, COLS);
            break;
        default:
            memcpy(y, x, COLS * sizeof *x);
        }
    }
    j->sink[thread][0] += sink;
}

static void measure(job *j, const char *kernel, const char *variant, unsigned need)
{
    const bool reads = j->kind == SQUARES || j->kind == EXP_SUM64; /* and writes nothing */
    const double each = reads ? sizeof(float) : 2 * sizeof(float);

    if ((need & ~rc_cpu_machine()) || !bench_wanted(kernel))
        return;
    j->rows = strcmp(variant, "ref") == 0 ? ROWS / SMALL : ROWS;
    for (unsigned threads = 1; threads <= BENCH_MAX_THREADS; threads++) {
        const double seconds = bench_seconds(work, j, threads);
        const double n = (double)j->rows * COLS;
        bench_row(kernel, variant, threads, seconds, n, j->cached ? 0 : n * each);
    }
}

static void bench_all(job *j)
{
    const char *where = j->cached ? ", in L2" : "";
    char name[32];

#define EACH(op, member, what)                                                                     \
    snprintf(name, sizeof name, "%s%s", #op, where);                                               \
    for (const rc_##op##_impl *row = rc_##op##_impls; row->fn; row++) {                            \
        j->fn.member = row->fn;                                                                    \
        j->kind = what;                                                                            \
        measure(j, name, row->name, row->need);                                                    \
    }
    j->kind = COPY;
    snprintf(name, sizeof name, "f32 by memcpy%s", where);
    measure(j, name, "libc", 0);
    EACH(exp_sum, exp_sum, EXP_SUM)
    EACH(exp_sum64, exp_sum64, EXP_SUM64)
    EACH(divergence, divergence, DIVERGENCE)
    EACH(swiglu, swiglu, SWIGLU)
    EACH(round_fp8, blocks, FP8)
    EACH(round_fp4, blocks, FP4)
    EACH(round_bf16, bf16, BF16)
    EACH(hadamard, hadamard, HADAMARD)
    EACH(sum_squares, squares, SQUARES)
#undef EACH
}

void bench_vectors(void)
{
    const size_t n = (size_t)ROWS * COLS;
    job j = { .x = bench_buffer(n * sizeof(float)), .y = bench_buffer(n * sizeof(float)) };

    for (size_t i = 0; i < n; i++) { /* -8 to 8 */
        int32_t bits;
        memcpy(&bits, j.x + i, sizeof bits);
        j.x[i] = 0x1p-28f * (float)bits;
    }
    j.cached = true;
    bench_all(&j);
    j.cached = false;
    bench_all(&j);
    free(j.x);
    free(j.y);
}
