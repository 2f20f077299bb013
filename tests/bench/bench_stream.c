/* tests/bench/bench_stream.c - what a stream costs: over a folder against reading it plainly, with
 * the same requests and as many at a time, and digests by themselves. */
#include "tests/bench/bench.h"

#include <stdio.h>
#include <time.h>

#include "formats/base/par.h"
#include "formats/source_impl.h"

enum { CHUNK = 2 << 20, READERS = 6, DIGESTED = 64 << 20 };
#define MEMORY ((size_t)512 << 20)
#define MOST   ((uint64_t)4 << 30) /* bytes, after which no further file is read */

typedef struct job {
    rc_source *src;
    rc_extent *extents;
    size_t n;
    uint8_t *buf[READERS];
} job;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static rc_code list(job *j, rc_mem *mem, uint64_t *nbytes, rc_err *err)
{
    size_t room = 0;

    for (size_t f = 0; f < rc_source_count(j->src); f++)
        room += (size_t)(rc_source_at(j->src, f)->nbytes / CHUNK) + 1;
    j->extents = rc_mem_get(mem, room * sizeof *j->extents);
    if (!j->extents)
        return rc_fail_nomem(err, mem, room * sizeof *j->extents);
    for (size_t f = 0; f < rc_source_count(j->src); f++)
        for (uint64_t at = 0; at < rc_source_at(j->src, f)->nbytes && *nbytes < MOST; at += CHUNK) {
            const uint64_t left = rc_source_at(j->src, f)->nbytes - at;
            const rc_extent e = { f, at, left < CHUNK ? left : CHUNK };

            j->extents[j->n++] = e;
            *nbytes += e.nbytes;
        }
    return RC_OK;
}

static rc_code read_one(void *ctx, rc_par *par, unsigned slot, uint64_t i, rc_err *err)
{
    job *j = ctx;
    const rc_extent *e = &j->extents[i];
    const uint8_t *data;

    (void)par;
    return rc_source_read_direct(j->src, e->file, e->off, (size_t)e->nbytes, j->buf[slot],
                                 CHUNK + 2 * RC_PAGE, &data, err);
}

static rc_code read_all(job *j, double *seconds, rc_err *err)
{
    const double start = now();
    const rc_code rc = rc_par_run(j->n, READERS, READERS, read_one, j, err);

    *seconds = now() - start;
    return rc;
}

static rc_code stream_all(job *j, bool digests, double *seconds, rc_err *err)
{
    const rc_stream_opts opts = { .memory = MEMORY, .digests = digests };
    const double start = now();
    double reading;
    rc_code rc;

    RC_TRY(rc_source_stream(j->src, j->extents, j->n, &opts, err));
    rc = read_all(j, &reading, err);
    if (rc == RC_OK)
        rc = rc_source_settle(j->src, err);
    rc_source_unstream(j->src);
    *seconds = now() - start;
    return rc;
}

/* What a server would state. */
static rc_code state_contents(job *j, rc_err *err)
{
    for (size_t k = 0; k < j->n;) {
        rc_source_file *f = &j->src->files[j->extents[k].file];
        rc_content_hasher h;

        rc_content_begin(&h, RC_CONTENT_SHA256, f->nbytes);
        for (const size_t file = j->extents[k].file; k < j->n && j->extents[k].file == file; k++) {
            const rc_extent *e = &j->extents[k];

            RC_TRY(rc_source_read(j->src, e->file, e->off, j->buf[0], (size_t)e->nbytes, err));
            rc_content_add(&h, j->buf[0], (size_t)e->nbytes);
        }
        f->content = rc_content_end(&h);
    }
    return RC_OK;
}

static void digest(void *arg, unsigned thread, unsigned threads)
{
    rc_content_hasher h;

    (void)thread, (void)threads;
    rc_content_begin(&h, RC_CONTENT_SHA256, DIGESTED);
    rc_content_add(&h, arg, DIGESTED);
}

static rc_code measure(job *j, rc_mem *mem, rc_err *err)
{
    uint64_t nbytes = 0;
    double plain, streamed, digested;

    RC_TRY(list(j, mem, &nbytes, err));
    RC_TRY(state_contents(j, err));
    for (unsigned pass = 1; pass <= 3; pass++) {
        RC_TRY(read_all(j, &plain, err));
        RC_TRY(stream_all(j, false, &streamed, err));
        RC_TRY(stream_all(j, true, &digested, err));
        printf("pass %u: %.2f GB; plain %.2f GB/s, streamed %.2f (%.2f of it), with SHA-256 %.2f "
               "(%.2f)\n",
               pass, (double)nbytes / 1e9, (double)nbytes / plain / 1e9,
               (double)nbytes / streamed / 1e9, plain / streamed, (double)nbytes / digested / 1e9,
               plain / digested);
    }
    return RC_OK;
}

int bench_stream(const char *folder)
{
    uint8_t *data = bench_buffer(DIGESTED);
    rc_mem mem = { 0 };
    rc_err err = { 0 };
    job j = { 0 };
    char line[1024];
    rc_code rc;

    printf("SHA-256, one thread: %.2f GB/s\n", DIGESTED / bench_seconds(digest, data, 1) / 1e9);
    for (unsigned i = 0; i < READERS; i++)
        j.buf[i] = bench_buffer(CHUNK + 2 * RC_PAGE);
    rc = rc_source_open(&j.src, folder, NULL, &mem, &err);
    if (rc == RC_OK)
        rc = measure(&j, &mem, &err);
    if (rc != RC_OK)
        fprintf(stderr, "bench: %s\n", rc_err_line(&err, line, sizeof line));
    rc_mem_put(&mem, j.extents);
    rc_source_close(&j.src);
    return (int)rc;
}
