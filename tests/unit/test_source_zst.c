/* tests/unit/test_source_zst.c - shards that are zstd files, read at any offset. */
#include "tests/unit/fixture.h"

#include <pthread.h>
#include <zstd.h>

#include "formats/archive_impl.h"
#include "formats/source.h"

#define NAME "m.safetensors"

static rc_mem mem;
static rc_err err;
static fx_dir dir;
static unsigned warned;

static void warn(void *ctx, const rc_err *warning)
{
    (void)ctx;
    (void)warning;
    warned++;
}

static const rc_log log_ = { .warn = warn };
static const rc_source_opts opts = { .log = &log_ };

static int setup(void **state)
{
    (void)state;
    memset(&mem, 0, sizeof mem);
    memset(&err, 0, sizeof err);
    warned = 0;
    dir = fx_open(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fx_close(&dir);
    return 0;
}

/* Bytes that compress, with a period that no buffer has. */
static uint8_t *pattern(size_t n)
{
    uint8_t *p = malloc(n + 1);

    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 7 ^ (i >> 11) * 13 ^ (i >> 20) * 101);
    return p;
}

/* `n` bytes as frames of `each` (0: one), with a seek table of so many bytes an entry (0: none);
 * the bytes of the file. */
static size_t pack(uint8_t **out, const uint8_t *data, size_t n, size_t each, size_t entry)
{
    const size_t frames = each ? (n + each - 1) / each : 1, room = ZSTD_compressBound(n);
    uint8_t *b = malloc(room + 600 * frames + 100), *table = malloc(entry * frames + 1);
    ZSTD_CCtx *c = ZSTD_createCCtx();
    size_t at = 0;

    assert_non_null(b);
    assert_non_null(table);
    assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1)));
    for (size_t f = 0; f < frames; f++) {
        const size_t off = f * each, k = each && n - off > each ? each : n - off;
        const size_t stored = ZSTD_compress2(c, b + at, room + 600 * frames - at, data + off, k);

        assert_false(ZSTD_isError(stored));
        if (entry) {
            memset(table + f * entry, 0xee, entry);
            rc_put_u32(table + f * entry, (uint32_t)stored);
            rc_put_u32(table + f * entry + 4, (uint32_t)k);
        }
        at += stored;
    }
    if (entry) {
        rc_put_u32(b + at, RC_ZSTD_SEEK_FRAME);
        rc_put_u32(b + at + 4, (uint32_t)(entry * frames + RC_ZSTD_SEEK_FOOTER));
        memcpy(b + at + 8, table, entry * frames);
        at += 8 + entry * frames;
        rc_put_u32(b + at, (uint32_t)frames);
        b[at + 4] = entry == 12 ? 0x80 : 0;
        rc_put_u32(b + at + 5, RC_ZSTD_SEEK_MAGIC);
        at += RC_ZSTD_SEEK_FOOTER;
    }
    free(table);
    ZSTD_freeCCtx(c);
    *out = b;
    return at;
}

static rc_source *opened(void)
{
    rc_source *src;

    if (rc_source_open(&src, dir.path, &opts, &mem, &err) != RC_OK)
        fail_msg("%s: %s", err.file, err.msg);
    assert_int_equal(rc_source_count(src), 2);
    assert_string_equal(rc_source_at(src, 1)->name, NAME);
    assert_string_equal(rc_source_origin_of(src)->kind, "folder");
    return src;
}

static void closed(rc_source *src)
{
    rc_source_close(&src);
    assert_int_equal(mem.used, 0);
}

typedef struct reader {
    rc_source *src;
    const uint8_t *data;
    size_t n;
    unsigned id;
    bool ok;
} reader;

/* Mostly onwards, each from a place of its own, sometimes elsewhere. */
static void *read_much(void *arg)
{
    reader *r = arg;
    uint8_t *buf = malloc(3 << 20);
    uint32_t x = r->id * 7919 + 1;
    size_t at = r->n / 8 * r->id;

    r->ok = buf != NULL;
    for (int i = 0; i < 12 && r->ok; i++) {
        size_t k;

        x = x * 1664525u + 1013904223u;
        k = (x >> 8) % (3u << 20);
        if (i % 6 == 5)
            at = (x >> 3) % r->n;
        k = k < r->n - at ? k : r->n - at;
        r->ok = rc_source_read(r->src, 1, at, buf, k, NULL) == RC_OK &&
                memcmp(buf, r->data + at, k) == 0;
        at = (at + k) % r->n;
    }
    free(buf);
    return NULL;
}

static void test_zst_reads_at_any_offset(void **state)
{
    static const struct {
        size_t each, entry;
        unsigned warned;
    } kinds[] = { { 0, 0, 1 }, { 1 << 20, 0, 0 }, { 300001, 8, 0 }, { 1 << 20, 12, 0 } };
    const size_t n = (40 << 20) + 12345;
    uint8_t *data = pattern(n), *buf = malloc(n);

    (void)state;
    fx_text(&dir, "config.json", "{}");
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        reader readers[8];
        pthread_t threads[8];
        rc_source *src;
        uint8_t *packed;
        const size_t len = pack(&packed, data, n, kinds[kind].each, kinds[kind].entry);

        fx_write(&dir, NAME ".zst", packed, len);
        warned = 0;
        src = opened();
        assert_int_equal(warned, kinds[kind].warned);
        assert_int_equal(rc_source_at(src, 1)->nbytes, n);
        assert_int_equal(rc_source_read(src, 1, 0, buf, n, &err), RC_OK);
        assert_memory_equal(buf, data, n);
        assert_int_equal(rc_source_read(src, 1, n - 1, buf, 1, &err), RC_OK);
        assert_int_equal(buf[0], data[n - 1]);
        assert_int_equal(rc_source_read(src, 1, 5, buf, 100, &err), RC_OK); /* far behind */
        assert_memory_equal(buf, data + 5, 100);
        assert_int_equal(rc_source_read(src, 1, n, buf, 1, &err), RC_E_INTERNAL);
        assert_int_equal(rc_source_read(src, 0, 0, buf, 2, &err), RC_OK); /* passed on */
        assert_memory_equal(buf, "{}", 2);
        assert_int_equal(rc_source_recheck(src, 1, &err), RC_OK);
        for (unsigned i = 0; i < 8; i++) {
            readers[i] = (reader){ src, data, n, i, false };
            assert_int_equal(pthread_create(&threads[i], NULL, read_much, &readers[i]), 0);
        }
        for (unsigned i = 0; i < 8; i++) {
            pthread_join(threads[i], NULL);
            assert_true(readers[i].ok);
        }
        assert_true(mem.peak < (size_t)80 << 20);
        closed(src);
        free(packed);
    }
    free(data);
    free(buf);
}

static rc_code refused(const uint8_t *bytes, size_t n)
{
    rc_source *src;
    rc_code rc;

    fx_write(&dir, NAME ".zst", bytes, n);
    rc = rc_source_open(&src, dir.path, &opts, &mem, &err);
    rc_source_close(&src);
    assert_int_equal(mem.used, 0);
    return rc;
}

static void test_zst_refuses_what_it_cannot_know(void **state)
{
    uint8_t *data = pattern(100000), *packed, stream[2000];
    const size_t len = pack(&packed, data, 100000, 40000, 0);
    ZSTD_CCtx *c = ZSTD_createCCtx();
    size_t n;

    (void)state;
    for (size_t cut = 0; cut < len; cut += 37) {
        rc_source *src;
        uint8_t byte;
        rc_code rc;

        fx_write(&dir, NAME ".zst", packed, cut);
        rc = rc_source_open(&src, dir.path, &opts, &mem, &err);
        /* between two frames it ends like any other: the safetensors header will not fit */
        if (rc == RC_OK) {
            assert_in_range(rc_source_at(src, 0)->nbytes, 40000, 80000);
            assert_int_equal(rc_source_read(src, 0, 39999, &byte, 1, &err), RC_OK);
        } else {
            assert_int_equal(rc, RC_E_DATA);
            assert_string_equal(err.file, NAME ".zst");
        }
        rc_source_close(&src);
    }
    assert_int_equal(refused((const uint8_t *)"no zstd, whatever it is called", 30), RC_E_DATA);
    assert_int_equal(ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0), 0);
    n = ZSTD_compress2(c, stream, sizeof stream, data, 1000);
    assert_false(ZSTD_isError(n));
    assert_int_equal(refused(stream, n), RC_E_UNSUPPORTED);
    ZSTD_freeCCtx(c);
    free(packed);
    free(data);
}

static void test_zst_finds_damage(void **state)
{
    uint8_t *data = pattern(3000000), *packed, *buf = malloc(3000000);
    const size_t len = pack(&packed, data, 3000000, 1000000, 8);
    rc_source *src;

    (void)state;
    fx_text(&dir, "config.json", "{}");
    memset(packed + len / 2, 0xff, 20);
    fx_write(&dir, NAME ".zst", packed, len);
    src = opened();
    assert_int_equal(rc_source_read(src, 1, 0, buf, 3000000, &err), RC_E_INTEGRITY);
    assert_string_equal(err.file, NAME);
    assert_int_equal(rc_source_read(src, 1, 10, buf, 999990, &err),
                     RC_OK); /* the others are sound */
    assert_memory_equal(buf, data + 10, 999990);
    assert_int_equal(rc_source_read(src, 1, 2000000, buf, 1000000, &err), RC_OK);
    assert_memory_equal(buf, data + 2000000, 1000000);
    closed(src);
    /* a table that does not fit */
    rc_put_u32(packed + len - RC_ZSTD_SEEK_FOOTER - 8, 77);
    assert_int_equal(refused(packed, len), RC_E_DATA);
    free(packed);
    free(data);
    free(buf);
}

static void test_zst_beside_the_plain_file_is_not_used(void **state)
{
    rc_source *src;
    uint8_t buf[5];

    (void)state;
    fx_text(&dir, "config.json", "{}");
    fx_text(&dir, NAME, "plain");
    fx_text(&dir, NAME ".zst", "is not even looked at");
    src = opened();
    assert_int_equal(warned, 1);
    assert_int_equal(rc_source_read(src, 1, 0, buf, 5, &err), RC_OK);
    assert_memory_equal(buf, "plain", 5);
    closed(src);
}

static void test_zst_survives_refused_memory(void **state)
{
    uint8_t *data = pattern(100000), *packed, byte;
    const size_t len = pack(&packed, data, 100000, 40000, 8);
    rc_source *src;
    size_t n = 0;
    rc_code rc;

    (void)state;
    fx_write(&dir, NAME ".zst", packed, len);
    do {
        mem.calls = 0;
        mem.fail_at = ++n;
        rc = rc_source_open(&src, dir.path, &opts, &mem, &err);
        if (rc == RC_OK)
            rc = rc_source_read(src, 0, 99999, &byte, 1, &err);
        rc_source_close(&src);
        assert_int_equal(mem.used, 0);
        assert_true(rc == RC_OK || rc == RC_E_OS);
    } while (rc != RC_OK);
    assert_true(n > 4);
    free(packed);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_zst_reads_at_any_offset),
        T(test_zst_refuses_what_it_cannot_know),
        T(test_zst_finds_damage),
        T(test_zst_beside_the_plain_file_is_not_used),
        T(test_zst_survives_refused_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
