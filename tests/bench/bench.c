/* tests/bench/bench.c - main of the benchmark; see bench.h.
 *
 *     bench kernels [NAME]                   kernels whose name contains NAME
 *     bench quant [NAME]                     quantizers whose name contains NAME
 *     bench vectors [NAME]                   the runtime's vectors
 *     bench products [NAME]                  products whose name contains NAME, against BLIS
 *     bench rows [NAME]                      products from stored rows, the same
 *     bench archive [NAME]                   pieces of an archive whose name contains NAME
 *     bench archive-data FOLDER              their bytes, for other programs
 *     bench linear SRC                       whole matrices of a Flash layer, decoding included
 *     bench disk FOLDER READ_FROM READ WRITE  the disk's own time for so many bytes
 *     bench sink SRC                          convert SRC to FP8, output dropped */
#include "tests/bench/bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PASSES     7u
#define COPY_BYTES ((size_t)512 << 20) /* two threads still pass glibc's threshold */

static const char *wanted;
static double cpu_share; /* of the last bench_seconds(): below 1, somebody else was running */

typedef struct team {
    bench_fn *fn;
    void *arg;
    unsigned threads;
    pthread_barrier_t start, stop;
} team;

typedef struct member {
    team *team;
    unsigned thread;
} member;

static double now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *helper(void *arg)
{
    member *m = arg;

    for (unsigned pass = 0; pass < PASSES; pass++) {
        pthread_barrier_wait(&m->team->start);
        m->team->fn(m->team->arg, m->thread, m->team->threads);
        pthread_barrier_wait(&m->team->stop);
    }
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double bench_seconds(bench_fn *fn, void *arg, unsigned threads)
{
    team t = { .fn = fn, .arg = arg, .threads = threads };
    pthread_t ids[BENCH_MAX_THREADS];
    member members[BENCH_MAX_THREADS];
    double seconds[PASSES], wall = 0, cpu = now(CLOCK_PROCESS_CPUTIME_ID);

    pthread_barrier_init(&t.start, NULL, threads);
    pthread_barrier_init(&t.stop, NULL, threads);
    for (unsigned i = 1; i < threads; i++) {
        members[i] = (member){ &t, i };
        if (pthread_create(ids + i, NULL, helper, members + i) != 0)
            abort();
    }
    for (unsigned pass = 0; pass < PASSES; pass++) {
        pthread_barrier_wait(&t.start);
        seconds[pass] = now(CLOCK_MONOTONIC);
        fn(arg, 0, threads);
        pthread_barrier_wait(&t.stop);
        seconds[pass] = now(CLOCK_MONOTONIC) - seconds[pass];
        wall += seconds[pass];
    }
    for (unsigned i = 1; i < threads; i++)
        pthread_join(ids[i], NULL);
    pthread_barrier_destroy(&t.start);
    pthread_barrier_destroy(&t.stop);
    cpu_share = (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (wall * threads);
    qsort(seconds, PASSES, sizeof *seconds, by_value);
    return seconds[PASSES / 2];
}

double bench_cpu_share(void)
{
    return cpu_share;
}

void *bench_buffer(size_t nbytes)
{
    const size_t all = (nbytes + 4095) / 4096 * 4096;
    uint64_t *words = aligned_alloc(4096, all), z = 88172645463325252u;

    if (!words)
        abort();
    for (size_t i = 0; i < all / 8; i++) {
        z ^= z << 13;
        z ^= z >> 7;
        z ^= z << 17;
        words[i] = z;
    }
    return words;
}

static void copy(void *arg, unsigned thread, unsigned threads)
{
    uint8_t *const *p = arg;
    const size_t share = COPY_BYTES / threads;

    memcpy(p[0] + thread * share, p[1] + thread * share, share);
}

double bench_copy_limit(unsigned threads)
{
    static double limit[BENCH_MAX_THREADS + 1];
    const double saved = cpu_share;

    if (limit[threads] == 0) {
        uint8_t *p[2] = { bench_buffer(COPY_BYTES), bench_buffer(COPY_BYTES) };
        limit[threads] = (double)COPY_BYTES / bench_seconds(copy, p, threads);
        free(p[0]);
        free(p[1]);
        cpu_share = saved > 0 ? saved : cpu_share;
    }
    return limit[threads];
}

void bench_row(const char *kernel, const char *variant, unsigned threads, double seconds,
               double elements, double bytes)
{
    char share[16] = "-";

    if (bytes > 0) /* a copy moves its payload twice */
        snprintf(share, sizeof share, "%.2f", bytes / seconds / (2 * bench_copy_limit(threads)));
    printf("%-28s %-8s %7u %9.*f %9.2f %8s %6.2f\n", kernel, variant, threads,
           elements / seconds < 1e9 ? 4 : 2, elements / seconds / 1e9, bytes / seconds / 1e9, share,
           cpu_share);
    fflush(stdout);
}

bool bench_wanted(const char *kernel)
{
    return !wanted || strstr(kernel, wanted);
}

static int kernels(const char *name, void (*measure)(void))
{
    wanted = name;
    printf("%-28s %-8s %7s %9s %9s %8s %6s\n", "kernel", "variant", "threads", "G el/s", "GB/s",
           "of copy", "cpu");
    for (unsigned threads = 1; threads <= BENCH_MAX_THREADS; threads++) {
        cpu_share = 0;
        const double limit = bench_copy_limit(threads);
        bench_row("memcpy, one large call", "libc", threads, (double)COPY_BYTES / limit,
                  (double)COPY_BYTES, 2.0 * (double)COPY_BYTES);
    }
    measure();
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "kernels") == 0)
        return kernels(argc > 2 ? argv[2] : NULL, bench_kernels);
    if (argc >= 2 && strcmp(argv[1], "quant") == 0)
        return kernels(argc > 2 ? argv[2] : NULL, bench_quantizers);
    if (argc >= 2 && strcmp(argv[1], "int4") == 0)
        return kernels(argc > 2 ? argv[2] : NULL, bench_int4);
    if (argc >= 2 && strcmp(argv[1], "vectors") == 0)
        return kernels(argc > 2 ? argv[2] : NULL, bench_vectors);
    if (argc >= 2 && strcmp(argv[1], "products") == 0) {
        wanted = argc > 2 ? argv[2] : NULL;
        bench_products();
        return 0;
    }
    if (argc >= 2 && strcmp(argv[1], "rows") == 0) {
        wanted = argc > 2 ? argv[2] : NULL;
        bench_rows();
        return 0;
    }
    if (argc >= 2 && strcmp(argv[1], "archive") == 0) {
        wanted = argc > 2 ? argv[2] : NULL;
        return bench_archive(NULL);
    }
    if (argc == 3 && strcmp(argv[1], "archive-data") == 0)
        return bench_archive(argv[2]);
    if (argc == 3 && strcmp(argv[1], "linear") == 0)
        return bench_linear(argv[2]);
    if (argc == 6 && strcmp(argv[1], "disk") == 0)
        return bench_disk(argv[2], argv[3], strtoull(argv[4], NULL, 10),
                          strtoull(argv[5], NULL, 10));
    if (argc == 3 && strcmp(argv[1], "sink") == 0)
        return bench_sink(argv[2]);
    fputs("usage: bench kernels [NAME] | quant [NAME] | int4 [NAME] | vectors [NAME] |\n"
          "       products [NAME] | rows [NAME] | archive [NAME] | archive-data FOLDER |\n"
          "       linear SRC | disk FOLDER READ_FROM READ WRITE | "
          "sink SRC\n",
          stderr);
    return 64;
}
