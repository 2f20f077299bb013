/* tests/unit/test_stream.c - each byte fetched once where memory allows it, the right ones in any
 * case, and a digest that vouches for all that anybody got to see. */
#define _GNU_SOURCE
#include "tests/unit/fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "formats/base/stop.h"
#include "formats/source_early.h"
#include "formats/stream_log.h"
#include "tests/unit/stream_world.h"

enum { KIB = 1024, MAX_EXTENTS = 4096, CHUNK = 6000 };

static fx_dir dir;
static rc_dir out;
static const char *const log_name = "stream.log";

static int setup(void **state)
{
    rc_err err;

    (void)state;
    dir = fx_open(NULL);
    return rc_dir_open(&out, dir.path, false, &err) == RC_OK ? 0 : 1;
}

static int teardown(void **state)
{
    (void)state;
    rc_dir_close(&out);
    fx_close(&dir);
    return 0;
}

/* Files as real ones are: first a sixteenth of scales, then what they scale, both read side by
 * side; a head that no extent asks for. Returns the number of extents. */
static size_t lay_out(rc_extent *e, const uint64_t *sizes, size_t nfiles)
{
    size_t n = 0;

    for (size_t f = 0; f < nfiles; f++) {
        const uint64_t head = sizes[f] / 50, scales = (sizes[f] - head) / 17;
        const uint64_t weights = head + scales;

        for (uint64_t at = 0; weights + at < sizes[f]; at += CHUNK) {
            const uint64_t left = sizes[f] - weights - at;
            const uint64_t scale = head + at / 16;

            e[n++] = (rc_extent){ f, weights + at, left < CHUNK ? left : CHUNK };
            if (scale < weights)
                e[n++] = (rc_extent){ f, scale,
                                      weights - scale < CHUNK / 16 ? weights - scale : CHUNK / 16 };
        }
    }
    assert_true(n <= MAX_EXTENTS);
    return n;
}

static uint64_t pages_read(const world *w, const uint64_t *sizes, size_t nfiles, unsigned *most)
{
    uint64_t n = 0;

    *most = 0;
    for (size_t f = 0; f < nfiles; f++)
        for (uint64_t p = 0; p < rc_ceil_div(sizes[f], RC_PAGE); p++) {
            n += w->pages[f][p];
            *most = w->pages[f][p] > *most ? w->pages[f][p] : *most;
        }
    return n;
}

static uint64_t pages_of(const uint64_t *sizes, size_t nfiles)
{
    uint64_t n = 0;

    for (size_t f = 0; f < nfiles; f++)
        n += rc_ceil_div(sizes[f], RC_PAGE);
    return n;
}

static const uint64_t sizes3[] = { 900 * KIB + 17, 310 * KIB, 40 * KIB + 1 };

static void assert_clean(world *w, rc_mem *mem)
{
    rc_source *src = &w->base;

    rc_source_close(&src);
    assert_int_equal(mem->used, 0);
}

/* ------------------------------------------------------------------ read, once */

static void test_stream_reads_each_block_once(void **state)
{
    static rc_extent e[MAX_EXTENTS];
    const size_t n = lay_out(e, sizes3, 3);
    const unsigned readers[] = { 1, 2, 7 };
    unsigned most;

    (void)state;
    for (size_t r = 0; r < 3; r++) {
        _Atomic uint64_t fetched = 0;
        const rc_stream_opts opts = { .memory = 2048 * KIB, .digests = true, .fetched = &fetched };
        rc_mem mem = { 0 };
        world *w = world_make(sizes3, 3, &mem);
        crowd c = { .src = &w->base, .extents = e, .n = n, .shuffle = r ? 12 : 0 };

        w->delay_us = 200;
        assert_int_equal(rc_source_stream(&w->base, e, n, &opts, NULL), RC_OK);
        crowd_all(&c, readers[r]);
        assert_int_equal(rc_source_settle(&w->base, NULL), RC_OK);
        assert_int_equal(c.wrong + c.failed, 0);
        for (size_t f = 0; f < 3; f++)
            assert_int_equal(rc_stream_verdict_of(&w->base, f), RC_STREAM_EQUAL);
        rc_source_unstream(&w->base);
        assert_int_equal(fetched, sizes3[0] + sizes3[1] + sizes3[2]);
        assert_int_equal(pages_read(w, sizes3, 3, &most), pages_of(sizes3, 3));
        assert_int_equal(most, 1);
        assert_true(mem.peak <= 2048 * KIB + 64 * KIB);
        assert_clean(w, &mem);
    }
}

/* Scales are a sixteenth of a file: with room for 8 blocks they are fetched twice at most. */
static void test_stream_little_memory(void **state)
{
    static rc_extent e[MAX_EXTENTS];
    const size_t n = lay_out(e, sizes3, 3);
    const unsigned readers[] = { 1, 2, 7 };
    unsigned most;

    (void)state;
    for (size_t r = 0; r < 3; r++) {
        const rc_stream_opts opts = { .memory = 32 * KIB, .digests = true };
        rc_mem mem = { 0 };
        world *w = world_make(sizes3, 3, &mem);
        crowd c = { .src = &w->base, .extents = e, .n = n, .delay_us = 50 };
        uint64_t all;

        w->delay_us = 50;
        assert_int_equal(rc_source_stream(&w->base, e, n, &opts, NULL), RC_OK);
        crowd_all(&c, readers[r]);
        assert_int_equal(rc_source_settle(&w->base, NULL), RC_OK);
        assert_int_equal(c.wrong + c.failed, 0);
        for (size_t f = 0; f < 3; f++)
            assert_int_equal(rc_stream_verdict_of(&w->base, f), RC_STREAM_EQUAL);
        rc_source_unstream(&w->base);
        all = pages_read(w, sizes3, 3, &most);
        assert_true(all <= pages_of(sizes3, 3) * 115 / 100);
        assert_true(mem.peak <= 32 * KIB + 112 * KIB); /* buffers; names, and the books */
        assert_clean(w, &mem);
    }
}

/* Whatever order they come in, and with one block of memory: nobody waits for ever. */
static void test_stream_any_order(void **state)
{
    static rc_extent e[MAX_EXTENTS], mixed[MAX_EXTENTS];
    const size_t n = lay_out(e, sizes3, 3);
    const size_t memories[] = { 4, 8, 12, 64 };
    uint64_t seed = 7;

    (void)state;
    for (size_t m = 0; m < 4; m++)
        for (unsigned digests = 0; digests < 2; digests++) {
            const rc_stream_opts opts = { .memory = memories[m] * KIB, .digests = digests };
            rc_mem mem = { 0 };
            world *w = world_make(sizes3, 3, &mem);
            crowd c = { .src = &w->base, .extents = mixed, .n = n, .shuffle = 64 };

            memcpy(mixed, e, n * sizeof *e);
            for (size_t i = n; i > 1; i--) {
                size_t k;
                rc_extent t;

                (void)rnd_f32(&seed);
                k = (size_t)(seed >> 20) % i;
                t = mixed[k];
                mixed[k] = mixed[i - 1];
                mixed[i - 1] = t;
            }
            w->delay_us = 20;
            assert_int_equal(rc_source_stream(&w->base, mixed, n, &opts, NULL), RC_OK);
            crowd_all(&c, 7);
            assert_int_equal(c.wrong + c.failed, 0);
            assert_int_equal(rc_source_settle(&w->base, NULL), RC_OK);
            assert_clean(w, &mem); /* closing lets go of the stream */
        }
}

/* Two conversions: each extent listed twice, not side by side. */
static void test_stream_serves_several(void **state)
{
    static rc_extent e[MAX_EXTENTS], twice[2 * MAX_EXTENTS];
    const size_t n = lay_out(e, sizes3, 1);
    const rc_stream_opts opts = { .memory = 256 * KIB };
    rc_mem mem = { 0 };
    world *w = world_make(sizes3, 1, &mem);
    crowd c = { .src = &w->base, .extents = twice, .n = 2 * n };
    unsigned most;
    uint8_t byte;

    (void)state;
    for (size_t i = 0; i < n; i++) {
        const size_t late = i < 4 ? i : i - 4;

        twice[2 * i] = e[i];
        twice[2 * i + 1] = e[i < 4 ? n - 4 + i : late];
    }
    assert_int_equal(rc_source_stream(&w->base, twice, 2 * n, &opts, NULL), RC_OK);
    crowd_all(&c, 2);
    assert_int_equal(c.wrong + c.failed, 0);
    pages_read(w, sizes3, 1, &most);
    assert_true(most <= 2); /* the last ones are asked for at the beginning, too */
    /* what nobody announced goes past the stream, also a third time of the same */
    assert_int_equal(rc_source_read(&w->base, 0, 5, &byte, 1, NULL), RC_OK);
    assert_int_equal(byte, world_byte(0, 5));
    c.next = 0;
    crowd_all(&c, 1);
    assert_int_equal(c.wrong + c.failed, 0);
    assert_clean(w, &mem);
}

/* More connections are tried while they pay. */
static void test_stream_adds_connections(void **state)
{
    static const uint64_t size[] = { 3000 * KIB };
    static rc_extent e[MAX_EXTENTS];
    const size_t n = lay_out(e, size, 1);
    const rc_stream_opts opts = { .memory = 160 * KIB };
    rc_mem mem = { 0 };
    world *w = world_make(size, 1, &mem);
    crowd c = { .src = &w->base, .extents = e, .n = n };

    (void)state;
    w->delay_us = 20000;
    w->constant = true;
    assert_int_equal(rc_source_stream(&w->base, e, n, &opts, NULL), RC_OK);
    crowd_all(&c, 2);
    assert_int_equal(c.wrong + c.failed, 0);
    assert_true(w->most_at_once >= 3);
    assert_clean(w, &mem);
}

/* --------------------------------------------------------------------- identity */

static void test_stream_finds_a_wrong_byte(void **state)
{
    static rc_extent e[MAX_EXTENTS];
    const size_t n = lay_out(e, sizes3, 3);
    const uint64_t at[] = { 0, 3 /* nobody reads these */, 450 * KIB, 900 * KIB + 16 };
    const rc_stream_opts opts = {
        .memory = 128 * KIB, .digests = true, .dirs = &out, .log_names = &log_name, .ndirs = 1
    };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        rc_mem mem = { 0 };
        world *w = world_make(sizes3, 3, &mem);
        crowd c = { .src = &w->base, .extents = e, .n = n, .stop = true };
        const rc_extent first = { 0, 100 * KIB, 1 }, other = { 2, 0, 1 };
        rc_err err = { 0 };
        size_t bad = 99;

        w->lie_off = at[i];
        w->lie_always = true;
        assert_int_equal(rc_source_stream(&w->base, e, n, &opts, &err), RC_OK);
        crowd_all(&c, 2);
        assert_int_equal(rc_source_settle(&w->base, &err), RC_E_INTEGRITY);
        assert_string_equal(err.file, "a");
        assert_int_equal(strlen(err.want), 64);
        assert_int_equal(strlen(err.got), 64);
        assert_string_not_equal(err.want, err.got);
        assert_non_null(strstr(err.hint, "same command"));
        assert_true(rc_stream_bad_file(&w->base, &bad));
        assert_int_equal(bad, 0);
        assert_int_not_equal(rc_stream_verdict_of(&w->base, 0), RC_STREAM_EQUAL);
        rc_source_unstream(&w->base);

        /* the next run knows nothing of that file, and all is well */
        w->lie_always = false;
        assert_int_equal(rc_source_stream(&w->base, e, n, &opts, &err), RC_OK);
        assert_false(rc_stream_remembers(&w->base, &first) && w->pages[0][0] == 1);
        c = (crowd){ .src = &w->base, .extents = e, .n = n };
        crowd_all(&c, 2);
        assert_int_equal(c.wrong + c.failed, 0);
        assert_int_equal(rc_source_settle(&w->base, &err), RC_OK);
        assert_true(rc_stream_remembers(&w->base, &first));
        assert_true(rc_stream_remembers(&w->base, &other));
        assert_false(rc_stream_bad_file(&w->base, &bad));
        assert_clean(w, &mem);
        assert_int_equal(unlinkat(out.fd, log_name, 0), 0);
    }
}

/* What was read before the stream was wrong, and is right when it is digested; or the reverse. */
static void test_stream_finds_another_header(void **state)
{
    static rc_extent e[MAX_EXTENTS];
    const size_t n = lay_out(e, sizes3, 3);
    const rc_stream_opts opts = {
        .memory = 128 * KIB, .digests = true, .dirs = &out, .log_names = &log_name, .ndirs = 1
    };

    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        rc_mem mem = { 0 };
        world *w = world_make(sizes3, 3, &mem);
        uint8_t head[9 * KIB];
        rc_err err = { 0 };
        size_t bad = 99;

        w->lie_file = 1;
        w->lie_off = 5 * KIB + 1;
        w->lie_once = how == 1;
        assert_int_equal(rc_source_read_early(&w->base, 1, 0, head, 1000, &err), RC_OK);
        assert_int_equal(rc_source_read_early(&w->base, 1, 1000, head, sizeof head, &err), RC_OK);
        w->lie_once = how == 2;
        assert_int_equal(rc_source_stream(&w->base, e, n, &opts, &err),
                         how ? RC_E_INTEGRITY : RC_OK);
        if (how) {
            assert_string_equal(err.file, "b");
            assert_int_equal(err.offset, 4 * KIB);
            assert_non_null(strstr(err.hint, "same command"));
        } else {
            crowd c = { .src = &w->base, .extents = e, .n = n };

            crowd_all(&c, 2);
            assert_int_equal(c.wrong + c.failed, 0);
            assert_int_equal(rc_source_settle(&w->base, &err), RC_OK);
        }
        assert_false(how && rc_stream_bad_file(&w->base, &bad));
        assert_clean(w, &mem);
        assert_int_equal(unlinkat(out.fd, log_name, 0), 0);
    }
}

/* An earlier run was right: it is not its work that goes. */
static void test_stream_keeps_what_was_right(void **state)
{
    const rc_extent one = { 0, 300 * KIB, 100 }, rest = { 0, 800 * KIB, 100 };
    const rc_stream_opts opts = {
        .memory = 128 * KIB, .digests = true, .dirs = &out, .log_names = &log_name, .ndirs = 1
    };
    static rc_extent e[MAX_EXTENTS];
    const size_t n = lay_out(e, sizes3, 1);
    rc_mem mem = { 0 };
    world *w = world_make(sizes3, 1, &mem);
    uint8_t head[100];
    rc_err err = { 0 };

    (void)state;
    w->fail_at = 40; /* the first run ends in the middle */
    assert_int_equal(rc_source_stream(&w->base, e, n, &opts, &err), RC_OK);
    while (rc_source_settle(&w->base, &err) == RC_OK)
        ;
    assert_int_equal(err.code, RC_E_TEMPORARY);
    assert_true(rc_stream_remembers(&w->base, &one));
    assert_false(rc_stream_remembers(&w->base, &rest));
    rc_source_unstream(&w->base);
    w->fail_at = 0;
    w->lie_off = 10;
    w->lie_once = true;
    assert_int_equal(rc_source_read_early(&w->base, 0, 0, head, sizeof head, &err), RC_OK);
    assert_int_equal(rc_source_stream(&w->base, e, n, &opts, &err), RC_E_INTEGRITY);
    assert_clean(w, &mem);
    w = world_make(sizes3, 1, &mem);
    assert_int_equal(rc_source_stream(&w->base, e, n, &opts, &err), RC_OK);
    assert_true(rc_stream_remembers(&w->base, &one));
    assert_clean(w, &mem);
    assert_int_equal(unlinkat(out.fd, log_name, 0), 0);
}

/* Fetched a second time, a block is another: found even where no digest is stated. */
static void test_stream_finds_a_change(void **state)
{
    static const uint64_t size[] = { 64 * KIB };
    const rc_extent e[] = { { 0, 0, 100 },         { 0, 16 * KIB, 4096 }, { 0, 20 * KIB, 4096 },
                            { 0, 24 * KIB, 4096 }, { 0, 28 * KIB, 4096 }, { 0, 100, 100 } };
    const rc_stream_opts opts = { .memory = 4 * KIB };
    rc_mem mem = { 0 };
    world *w = world_make(size, 1, &mem);
    crowd c = { .src = &w->base, .extents = e, .n = 5 };
    rc_err err = { 0 };
    uint8_t buf[100];
    size_t bad;

    (void)state;
    w->base.files[0].content = (rc_content_id){ 0 };
    w->lie_again = true;
    w->lie_off = 7;
    assert_int_equal(rc_source_stream(&w->base, e, 6, &opts, &err), RC_OK);
    crowd_all(&c, 1);
    assert_int_equal(c.failed, 0);
    assert_int_equal(rc_source_read(&w->base, 0, 100, buf, 100, &err), RC_E_INTEGRITY);
    assert_string_equal(err.file, "a");
    assert_int_equal(err.offset, 0);
    assert_true(rc_stream_bad_file(&w->base, &bad));
    assert_int_equal(rc_stream_verdict_of(&w->base, 0), RC_STREAM_UNSTATED);
    assert_clean(w, &mem);
}

static void test_stream_verdicts(void **state)
{
    static const uint64_t sizes[] = { 100 * KIB, 100 * KIB, 100 * KIB, 0, 4 * KIB, 100 * KIB };
    const rc_extent e[] = { { 0, 0, 100 * KIB },
                            { 1, 0, 80 * KIB }, /* too little of it */
                            { 2, 0, 96 * KIB }, /* the rest is fetched by and by */
                            { 4, 1000, 1 } };
    const rc_stream_verdict want[] = { RC_STREAM_EQUAL,   RC_STREAM_PARTIAL, RC_STREAM_EQUAL,
                                       RC_STREAM_PARTIAL, RC_STREAM_EQUAL,   RC_STREAM_UNSTATED };
    const rc_stream_opts opts = { .memory = 64 * KIB, .digests = true };
    const rc_extent beyond = { 0, 100 * KIB - 1, 2 }, nowhere = { 6, 0, 1 };
    rc_mem mem = { 0 };
    world *w = world_make(sizes, 6, &mem);
    crowd c = { .src = &w->base, .extents = e, .n = 4 };

    (void)state;
    w->base.files[5].content = (rc_content_id){ 0 };
    assert_int_equal(rc_source_stream(&w->base, &beyond, 1, &opts, NULL), RC_E_INTERNAL);
    assert_int_equal(rc_source_stream(&w->base, &nowhere, 1, &opts, NULL), RC_E_INTERNAL);
    assert_int_equal(rc_source_stream(&w->base, e, 4, &opts, NULL), RC_OK);
    assert_int_equal(rc_source_stream(&w->base, e, 4, &opts, NULL), RC_E_INTERNAL); /* one only */
    crowd_all(&c, 1);
    assert_int_equal(rc_source_settle(&w->base, NULL), RC_OK);
    for (size_t f = 0; f < 6; f++)
        assert_int_equal(rc_stream_verdict_of(&w->base, f), want[f]);
    assert_clean(w, &mem);
}

/* What nobody asked for is compared too, where that is wanted. */
static void test_stream_whole(void **state)
{
    static const uint64_t sizes[] = { 100 * KIB, 100 * KIB };
    const rc_extent e[] = { { 1, 4 * KIB, 1 } };
    const rc_stream_opts opts = { .memory = 64 * KIB, .digests = true, .whole = true };
    size_t bad;

    (void)state;
    for (int lies = 0; lies < 2; lies++) {
        rc_mem mem = { 0 };
        world *w = world_make(sizes, 2, &mem);
        crowd c = { .src = &w->base, .extents = e, .n = 1 };

        w->base.files[1].content.bytes[0] ^= (uint8_t)lies;
        assert_int_equal(rc_source_stream(&w->base, e, 1, &opts, NULL), RC_OK);
        crowd_all(&c, 1);
        assert_int_equal(rc_source_settle(&w->base, NULL), lies ? RC_E_INTEGRITY : RC_OK);
        assert_int_equal(rc_stream_bad_file(&w->base, &bad), lies);
        assert_int_equal(rc_stream_verdict_of(&w->base, 0), RC_STREAM_PARTIAL);
        assert_int_equal(rc_stream_verdict_of(&w->base, 1),
                         lies ? RC_STREAM_UNFINISHED : RC_STREAM_EQUAL);
        assert_clean(w, &mem);
    }
}

/* ---------------------------------------------------------------------- failures */

/* Every call fails once: readers get the error, those before it get their bytes. */
static void test_stream_failed_fetch(void **state)
{
    static rc_extent e[MAX_EXTENTS];
    const size_t n = lay_out(e, sizes3, 3);
    const rc_stream_opts opts = { .memory = 256 * KIB, .digests = true };

    (void)state;
    for (unsigned k = 1;; k++) {
        rc_mem mem = { 0 };
        world *w = world_make(sizes3, 3, &mem);
        crowd c = { .src = &w->base, .extents = e, .n = n, .stop = true };
        rc_err err = { 0 };
        bool over;

        w->fail_at = k;
        assert_int_equal(rc_source_stream(&w->base, e, n, &opts, &err), RC_OK);
        crowd_all(&c, 3);
        over = w->calls < k;
        if (!over) {
            assert_int_equal(rc_source_settle(&w->base, &err), RC_E_TEMPORARY);
            assert_string_equal(err.msg, "the line is down");
            assert_true(err.file[0]);
            if (c.failed)
                assert_int_equal(c.err.code, RC_E_TEMPORARY);
        }
        assert_int_equal(c.wrong, 0);
        assert_clean(w, &mem);
        if (over)
            break;
    }
}

static void test_stream_stops(void **state)
{
    static const uint64_t size[] = { 64 * KIB };
    const rc_extent e[] = { { 0, 0, 64 * KIB } };
    const rc_stream_opts opts = { .memory = 16 * KIB, .digests = true };
    rc_mem mem = { 0 };
    world *w = world_make(size, 1, &mem);
    crowd c = { .src = &w->base, .extents = e, .n = 1 };

    (void)state;
    w->delay_us = 100000;
    w->constant = true;
    assert_int_equal(rc_source_stream(&w->base, e, 1, &opts, NULL), RC_OK);
    rc_stop_request(15);
    crowd_all(&c, 1);
    assert_int_equal(c.err.code, RC_E_STOPPED);
    assert_int_equal(rc_source_settle(&w->base, NULL), RC_E_STOPPED);
    rc_stop_request(0);
    assert_clean(w, &mem);
}

static void test_stream_without_memory(void **state)
{
    static const uint64_t size[] = { 100 * KIB };
    static rc_extent e[MAX_EXTENTS];
    const size_t n = lay_out(e, size, 1);
    const rc_stream_opts opts = {
        .memory = 32 * KIB, .digests = true, .dirs = &out, .log_names = &log_name, .ndirs = 1
    };
    size_t k;

    (void)state;
    for (k = 1;; k++) {
        rc_mem mem = { .fail_at = k };
        world *w = world_make(size, 1, &mem);
        rc_err err = { 0 };
        rc_code rc;

        if (!w) {
            assert_int_equal(mem.used, 0);
            continue;
        }
        rc = rc_source_stream(&w->base, e, n, &opts, &err);
        if (rc != RC_OK)
            assert_int_equal(rc, RC_E_OS);
        assert_clean(w, &mem);
        if (rc == RC_OK)
            break;
    }
    assert_true(k > 15);
}

/* The log's disk is full, after any number of bytes: told, and gone on with afterwards. */
static void test_stream_full_disk(void **state)
{
    static const uint64_t sizes[] = { 60 * KIB };
    static rc_extent e[MAX_EXTENTS];
    const size_t n = lay_out(e, sizes, 1);
    const rc_stream_opts opts = {
        .memory = 32 * KIB, .digests = true, .dirs = &out, .log_names = &log_name, .ndirs = 1
    };
    struct rlimit before, tight;
    unsigned full = 0;
    rc_mem mem = { 0 };

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    for (tight.rlim_cur = 0; tight.rlim_cur < 20 * RC_STREAM_RECORD; tight.rlim_cur += 100) {
        world *w = world_make(sizes, 1, &mem);
        crowd c = { .src = &w->base, .extents = e, .n = n, .stop = true };
        rc_err err = { 0 };
        rc_code rc;

        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        rc = rc_source_stream(&w->base, e, n, &opts, &err);
        if (rc == RC_OK) {
            crowd_all(&c, 2);
            rc = rc_source_settle(&w->base, &err);
        }
        rc_source_unstream(&w->base);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        if (rc != RC_OK) {
            assert_int_equal(rc, RC_E_NOSPACE);
            assert_non_null(strstr(err.file, log_name));
            full++;
        }
        assert_int_equal(c.wrong, 0);
        c = (crowd){ .src = &w->base, .extents = e, .n = n };
        assert_int_equal(rc_source_stream(&w->base, e, n, &opts, &err), RC_OK);
        crowd_all(&c, 2);
        assert_int_equal(rc_source_settle(&w->base, &err), RC_OK);
        assert_int_equal(c.wrong + c.failed, 0);
        assert_clean(w, &mem);
        assert_int_equal(unlinkat(out.fd, log_name, 0), 0);
    }
    assert_true(full > 10);
}

/* A folder, past the page cache, for two readers of the same. */
static void test_stream_of_a_folder(void **state)
{
    enum { BYTES = 3000001, PIECE = 70001, ROOM = 24 * RC_PAGE };
    const rc_stream_opts opts = { .memory = 512 * KIB };
    rc_extent e[2 * (BYTES / PIECE + 1)];
    rc_mem mem = { 0 };
    rc_source *src;
    size_t n = 0, file = 0;
    uint8_t *buf = aligned_alloc(RC_PAGE, ROOM), *want = malloc(PIECE);
    const uint8_t *data;

    (void)state;
    fx_pattern(&dir, "f", 3, BYTES);
    assert_int_equal(rc_source_open(&src, dir.path, NULL, &mem, NULL), RC_OK);
    assert_true(rc_source_find(src, "f", &file));
    for (uint64_t at = 0; at < BYTES; at += PIECE)
        for (unsigned twice = 0; twice < 2; twice++)
            e[n++] = (rc_extent){ file, at, BYTES - at < PIECE ? BYTES - at : PIECE };
    assert_int_equal(rc_source_stream(src, e, n, &opts, NULL), RC_OK);
    for (size_t i = 0; i < n; i++) {
        FILE *f = fopen(fx_path(&dir, "f"), "rb");

        assert_non_null(f);
        assert_int_equal(fseek(f, (long)e[i].off, SEEK_SET), 0);
        assert_int_equal(fread(want, 1, (size_t)e[i].nbytes, f), e[i].nbytes);
        fclose(f);
        assert_int_equal(
            rc_source_read_direct(src, file, e[i].off, (size_t)e[i].nbytes, buf, ROOM, &data, NULL),
            RC_OK);
        assert_memory_equal(data, want, e[i].nbytes);
        assert_true(rc_stream_remembers(src, &e[i])); /* no digests, nothing to ask */
    }
    assert_int_equal(rc_source_settle(src, NULL), RC_OK);
    rc_source_close(&src);
    free(buf);
    free(want);
    assert_int_equal(mem.used, 0);
}

/* ------------------------------------------------------------------------ resume */

static size_t slurp(const char *name, uint8_t *buf, size_t room)
{
    const int fd = openat(out.fd, name, O_RDONLY);
    const ssize_t n = read(fd, buf, room);

    close(fd);
    assert_true(n >= 0 && (size_t)n < room);
    return (size_t)n;
}

static void spill(const char *name, const uint8_t *buf, size_t n)
{
    const int fd = openat(out.fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0666);

    assert_int_equal(write(fd, buf, n), n);
    close(fd);
}

/* A run that dies when half is read; the log that it leaves is cut at each record and inside of
 * it, or damaged there. The next run trusts what it may, reads the rest, and may call it a
 * success only if all bytes that anybody used are right. With `lie` the first run was lied to. */
static void resume(bool lie, size_t lie_file, bool cut)
{
    static const uint64_t sizes[] = { 60 * KIB + 100, 50 * KIB };
    static rc_extent e[MAX_EXTENTS], todo[MAX_EXTENTS];
    static uint8_t log[64 * KIB], part[64 * KIB];
    const size_t n = lay_out(e, sizes, 2), half = n * 2 / 3;
    const rc_stream_opts opts = {
        .memory = 32 * KIB, .digests = true, .dirs = &out, .log_names = &log_name, .ndirs = 1
    };
    uint8_t used_wrong[MAX_EXTENTS] = { 0 };
    rc_mem mem = { 0 };
    world *w = world_make(sizes, 2, &mem);
    crowd c = { .src = &w->base, .extents = e, .n = half, .wrong_at = used_wrong };
    size_t len, settled = 0, caught = 0;

    if (!w)
        abort();
    w->lie_once = lie;
    w->lie_file = lie_file;
    w->lie_off = 10 * KIB;
    assert_int_equal(rc_source_stream(&w->base, e, n, &opts, NULL), RC_OK);
    crowd_all(&c, 2);
    assert_true((c.wrong > 0) == lie);
    rc_source_unstream(&w->base);
    len = slurp(log_name, log, sizeof log);
    assert_true(len % RC_STREAM_RECORD == 0 && len > 10 * RC_STREAM_RECORD);
    assert_clean(w, &mem);

    for (size_t at = 0; at <= len; at += RC_STREAM_RECORD / 2 + at % 5) {
        uint8_t skip[MAX_EXTENTS] = { 0 };
        size_t ntodo = 0, kept_wrong = 0;
        rc_err err = { 0 };
        rc_code rc;

        memcpy(part, log, len);
        if (!cut && at < len)
            part[at] ^= 0x10;
        spill(log_name, part, cut ? at : len);
        w = world_make(sizes, 2, &mem);
        assert_int_equal(rc_source_stream(&w->base, NULL, 0, &opts, &err), RC_OK);
        for (size_t i = 0; i < half; i++)
            skip[i] = rc_stream_remembers(&w->base, &e[i]);
        rc_source_unstream(&w->base);
        for (size_t i = 0; i < n; i++) {
            if (!skip[i])
                todo[ntodo++] = e[i];
            kept_wrong += skip[i] && used_wrong[i];
        }
        assert_int_equal(rc_source_stream(&w->base, todo, ntodo, &opts, &err), RC_OK);
        c = (crowd){ .src = &w->base, .extents = todo, .n = ntodo, .stop = true };
        crowd_all(&c, 2);
        assert_int_equal(c.wrong, 0);
        rc = rc_source_settle(&w->base, &err);
        if (kept_wrong)
            assert_int_equal(rc, RC_E_INTEGRITY);
        if (rc == RC_OK) {
            assert_int_equal(rc_stream_verdict_of(&w->base, 0), RC_STREAM_EQUAL);
            assert_int_equal(rc_stream_verdict_of(&w->base, 1), RC_STREAM_EQUAL);
            assert_int_equal(c.failed, 0);
            settled++;
        } else {
            assert_int_equal(rc, RC_E_INTEGRITY);
            assert_true(lie);
            caught++;
            rc_source_unstream(&w->base);
            assert_int_equal(rc_source_stream(&w->base, NULL, 0, &opts, &err), RC_OK);
            for (size_t i = 0; i < half; i++)
                assert_false(used_wrong[i] && rc_stream_remembers(&w->base, &e[i]));
        }
        if (!lie && cut && at == len) { /* what is remembered is not fetched again */
            unsigned most;

            assert_true(pages_read(w, sizes, 2, &most) < pages_of(sizes, 2) * 2 / 3);
        }
        assert_clean(w, &mem);
    }
    assert_int_equal(unlinkat(out.fd, log_name, 0), 0);
    assert_true(settled > 0);
    if (lie_file == 1) /* the other one's digest was compared by the run that died */
        assert_true(caught > 0);
}

static void test_stream_resumes(void **state)
{
    (void)state;
    resume(false, 0, true);
}

static void test_stream_resumes_lied_to(void **state)
{
    (void)state;
    resume(true, 0, true);
    resume(true, 1, true);
}

static void test_stream_resumes_damaged(void **state)
{
    (void)state;
    resume(false, 0, false);
    resume(true, 0, false);
    resume(true, 1, false);
}

/* Each folder has a copy, and one is enough. */
static void test_stream_copies_of_the_log(void **state)
{
    static const uint64_t sizes[] = { 60 * KIB };
    const rc_extent e[] = { { 0, 0, 30 * KIB }, { 0, 30 * KIB, 30 * KIB } };
    const rc_dir dirs[] = { out, out };
    const char *const names[] = { "one", "two" };
    const rc_stream_opts opts = {
        .memory = 32 * KIB, .digests = true, .dirs = dirs, .log_names = names, .ndirs = 2
    };
    static uint8_t one[8 * KIB], two[8 * KIB];
    rc_mem mem = { 0 };
    world *w = world_make(sizes, 1, &mem);
    crowd c = { .src = &w->base, .extents = e, .n = 2 };
    rc_err err = { 0 };

    (void)state;
    assert_int_equal(rc_source_stream(&w->base, e, 2, &opts, NULL), RC_OK);
    crowd_all(&c, 1);
    assert_int_equal(rc_source_stream_sync(&w->base, NULL), RC_OK);
    assert_int_equal(rc_source_settle(&w->base, NULL), RC_OK);
    rc_source_unstream(&w->base);
    assert_int_equal(slurp("one", one, sizeof one), slurp("two", two, sizeof two));
    assert_memory_equal(one, two, sizeof one);
    assert_int_equal(unlinkat(out.fd, "one", 0), 0);

    /* nothing is left to do, and nothing is fetched */
    assert_int_equal(rc_source_stream(&w->base, NULL, 0, &opts, NULL), RC_OK);
    assert_true(rc_stream_remembers(&w->base, &e[0]) && rc_stream_remembers(&w->base, &e[1]));
    w->calls = 0;
    assert_int_equal(rc_source_settle(&w->base, NULL), RC_OK);
    assert_int_equal(w->calls, 0);
    assert_int_equal(rc_stream_verdict_of(&w->base, 0), RC_STREAM_EQUAL);
    rc_source_unstream(&w->base);
    assert_true(slurp("one", one, sizeof one) == slurp("two", two, sizeof two));

    /* other memory: the blocks stay as they were cut */
    {
        rc_stream_opts more = opts;

        more.memory = 2048 * KIB;
        assert_int_equal(rc_source_stream(&w->base, NULL, 0, &more, NULL), RC_OK);
        assert_true(rc_stream_remembers(&w->base, &e[1]));
        rc_source_unstream(&w->base);
    }

    /* another source */
    w->base.files[0].content.bytes[3] ^= 1;
    assert_int_equal(rc_source_stream(&w->base, NULL, 0, &opts, &err), RC_E_RESUME);
    assert_string_equal(err.file, "one");
    assert_null(w->base.stream);
    assert_clean(w, &mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stream_reads_each_block_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_little_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_any_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_serves_several, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_adds_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_finds_a_wrong_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_finds_another_header, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_keeps_what_was_right, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_finds_a_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_verdicts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_failed_fetch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_stops, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_without_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_of_a_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_resumes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_resumes_lied_to, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_resumes_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_copies_of_the_log, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
