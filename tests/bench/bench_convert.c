/* tests/bench/bench_convert.c - whole conversions against the disk's and the memory's own time.
 *
 * The disk is asked with the means that the conversion has: direct I/O, requests of
 * 8 MiB from six threads, space reserved first. What the conversion takes beyond
 * the larger of the two times is what overlap did not hide. */
#include "tests/bench/bench.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "convert/execute.h"
#include "formats/base/io.h"
#include "formats/base/par.h"

enum { REQUEST = 8 << 20, SLOTS = 6 };

typedef struct disk {
    rc_source *src;
    size_t file;
    uint64_t nread, nwrite; /* requests */
    rc_out *out;
    uint8_t *buf[SLOTS];
} disk;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Items are reads and writes, mixed evenly as a conversion mixes them. */
static rc_code request(void *ctx, rc_par *par, unsigned slot, uint64_t i, rc_err *err)
{
    disk *d = ctx;
    const uint64_t n = d->nread + d->nwrite, reads = (i + 1) * d->nread / n;
    const uint8_t *data;

    (void)par;
    if (reads != i * d->nread / n)
        return rc_source_read_direct(d->src, d->file, (reads - 1) * REQUEST, REQUEST, d->buf[slot],
                                     REQUEST + 2 * RC_PAGE, &data, err);
    return rc_out_write(d->out, (i - reads) * REQUEST, d->buf[slot], REQUEST, err);
}

static rc_code timed(disk *d, uint64_t nread, uint64_t nwrite, const rc_dir *dir, rc_mem *mem,
                     double *seconds, rc_err *err)
{
    const double start = now();

    d->nread = nread;
    d->nwrite = nwrite;
    if (nwrite)
        RC_TRY(rc_out_open(&d->out, dir, "bench.partial", nwrite * REQUEST, RC_OUT_NEW, mem, err));
    RC_TRY(rc_par_run(nread + nwrite, SLOTS, SLOTS, request, d, err));
    if (nwrite)
        RC_TRY(rc_out_sync(d->out, err));
    *seconds = now() - start;
    if (nwrite)
        RC_TRY(rc_out_close(&d->out, err));
    return rc_dir_remove(dir, "bench.partial", err);
}

static size_t largest_file(const rc_source *src)
{
    size_t best = 0;

    for (size_t i = 1; i < rc_source_count(src); i++)
        if (rc_source_at(src, i)->nbytes > rc_source_at(src, best)->nbytes)
            best = i;
    return best;
}

static rc_code ask_disk(const char *folder, const char *read_from, uint64_t read_bytes,
                        uint64_t write_bytes, rc_err *err)
{
    rc_mem mem = { 0 };
    disk d = { 0 };
    rc_dir dir;
    double r, w, both;
    uint64_t nread, nwrite;

    RC_TRY(rc_dir_open(&dir, folder, false, err));
    RC_TRY(rc_source_open(&d.src, read_from, NULL, &mem, err));
    d.file = largest_file(d.src);
    nread = read_bytes / REQUEST;
    nwrite = write_bytes / REQUEST;
    if (nread * REQUEST > rc_source_at(d.src, d.file)->nbytes)
        nread = rc_source_at(d.src, d.file)->nbytes / REQUEST;
    for (unsigned i = 0; i < SLOTS; i++)
        d.buf[i] = bench_buffer(REQUEST + 2 * RC_PAGE);
    RC_TRY(timed(&d, nread, 0, &dir, &mem, &r, err));
    RC_TRY(timed(&d, 0, nwrite, &dir, &mem, &w, err));
    RC_TRY(timed(&d, nread, nwrite, &dir, &mem, &both, err));
    printf("read_s=%.2f write_s=%.2f both_s=%.2f read_GBps=%.2f write_GBps=%.2f\n", r, w, both,
           (double)(nread * REQUEST) / r / 1e9, (double)(nwrite * REQUEST) / w / 1e9);
    rc_source_close(&d.src);
    rc_dir_close(&dir);
    return RC_OK;
}

static int tell(rc_code rc, const rc_err *err)
{
    char line[1024];

    if (rc != RC_OK)
        fprintf(stderr, "bench: %s\n", rc_err_line(err, line, sizeof line));
    return (int)rc;
}

int bench_disk(const char *folder, const char *read_from, uint64_t read_bytes, uint64_t write_bytes)
{
    rc_err err;
    const rc_code rc = ask_disk(folder, read_from, read_bytes, write_bytes, &err);

    return tell(rc, &err);
}

static rc_code sink(const char *src, rc_err *err)
{
    static const char *const experts[] = { "layers.*.ffn.experts.*" };
    const rc_recipe recipe = {
        .target = RC_TO_FP8, .scale_dtype = RC_DTYPE_F32, .globs = experts, .nglobs = 1
    };
    rc_mem mem = { .limit = (size_t)512 << 20 };
    rc_source *source;
    rc_ckpt *ckpt;
    rc_model *model;
    rc_plan *plan;

    RC_TRY(rc_source_open(&source, src, NULL, &mem, err));
    RC_TRY(rc_ckpt_open(&ckpt, source, NULL, &mem, err));
    RC_TRY(rc_model_new(&model, ckpt, &mem, err));
    RC_TRY(rc_plan_new(&plan, model, &recipe, NULL, &mem, err));
    for (unsigned threads = 1; threads <= 2; threads++) {
        const double moved = (double)(rc_plan_read_bytes(plan) + rc_plan_tensor_bytes(plan));
        double best = 0;

        for (unsigned pass = 0; pass < 5; pass++) {
            const rc_execute_opts opts = { .threads = threads,
                                           .require_exact = true,
                                           .discard = true };
            rc_work work = { .plan = plan };
            const double start = now();
            double seconds;

            RC_TRY(rc_execute(&work, 1, &opts, &mem, err));
            seconds = now() - start;
            if (pass == 0 || seconds < best)
                best = seconds;
        }
        printf("sink threads=%u seconds=%.3f weights_Gps=%.2f of_copy=%.2f\n", threads, best,
               (double)rc_plan_tiles(plan) * 16384 / best / 1e9,
               moved / best / (2 * bench_copy_limit(threads)));
    }
    rc_plan_free(&plan);
    rc_model_free(&model);
    rc_ckpt_close(&ckpt);
    return RC_OK;
}

int bench_sink(const char *src)
{
    rc_err err;
    const rc_code rc = sink(src, &err);

    return tell(rc, &err);
}
