/* tests/unit/test_archive.c - tables of contents that are right, and the many that are not. */
#include "tests/unit/fixture.h"

#include <pthread.h>

#include "formats/archive_impl.h"
#include "formats/source_archive.h"

static rc_mem mem;
static rc_err err;
static fx_dir dir;

static int setup(void **state)
{
    (void)state;
    memset(&mem, 0, sizeof mem);
    memset(&err, 0, sizeof err);
    dir = fx_open(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fx_close(&dir);
    return 0;
}

/* ------------------------------------------------------- archives, by hand */

#define MOST 4

/* Files of bytes of any kind, each cut into pieces of `cut` bytes. */
typedef struct maker {
    rc_archive a;
    rc_archive_file files[MOST];
    rc_archive_piece pieces[256];
    uint8_t *bytes; /* the archive */
    size_t len;
    char names[256];
} maker;

static void make_begin(maker *m)
{
    memset(m, 0, sizeof *m);
    m->bytes = malloc(8 << 20);
    assert_non_null(m->bytes);
    m->a = (rc_archive){ .mem = &mem, .files = m->files, .pieces = m->pieces };
    rc_archive_head(m->bytes);
    m->a.end = RC_ARCHIVE_HEAD;
}

static void make_file(maker *m, const char *name, const uint8_t *data, size_t n, size_t cut)
{
    rc_archive_file *f = &m->files[m->a.nfiles++];
    rc_content_hasher hasher;
    rc_packer *packer;

    assert_int_equal(rc_packer_new(&packer, 0, &mem, &err), RC_OK);
    *f = (rc_archive_file){ .name = name, .nbytes = n, .first = m->a.npieces };
    for (size_t off = 0; off < n; off += cut) {
        rc_archive_piece *p = &m->pieces[m->a.npieces++];
        const size_t k = n - off < cut ? n - off : cut;

        p->off = off;
        p->at = m->a.end;
        p->restored = rc_hash(data + off, k);
        assert_int_equal(
            rc_pack(packer, RC_DTYPE_COUNT, data + off, k, m->bytes + m->a.end, &p->packed, &err),
            RC_OK);
        p->stored = rc_archive_sum(m->bytes + m->a.end, (size_t)rc_archive_stored(&p->packed));
        m->a.end += rc_archive_stored(&p->packed);
        f->count++;
    }
    rc_content_begin(&hasher, RC_CONTENT_SHA256, n);
    rc_content_add(&hasher, data, n);
    f->content = rc_content_end(&hasher);
    m->a.nbytes += n;
    rc_packer_free(&packer);
}

static void make_end(maker *m)
{
    uint8_t *tail;
    size_t len;

    assert_int_equal(rc_archive_tail(&m->a, &tail, &len, &mem, &err), RC_OK);
    memcpy(m->bytes + m->a.end, tail, len);
    m->len = (size_t)m->a.end + len;
    rc_mem_put(&mem, tail);
}

static rc_code read_bytes(void *ctx, uint64_t off, void *buf, size_t nbytes, rc_err *e)
{
    const maker *m = ctx;

    (void)e;
    assert_true(off <= m->len && nbytes <= m->len - off);
    memcpy(buf, m->bytes + off, nbytes);
    return RC_OK;
}

static rc_code reads(maker *m, rc_archive **a)
{
    const rc_code rc = rc_archive_read(a, read_bytes, m, m->len, &mem, &err);

    assert_int_equal(rc == RC_OK, *a != NULL);
    return rc;
}

static rc_code refused(maker *m)
{
    rc_archive *a;
    const rc_code rc = reads(m, &a);

    rc_archive_free(&a);
    assert_int_equal(mem.used, 0);
    return rc;
}

static uint8_t *pattern(size_t n)
{
    uint8_t *p = malloc(n + 1);

    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(fx_byte(i) & 31);
    return p;
}

/* a: 300000 bytes in pieces of 7000; b: none; sub/c: 10 */
static void make_three(maker *m)
{
    uint8_t *data = pattern(300000);

    make_begin(m);
    make_file(m, "a", data, 300000, 7000);
    make_file(m, "b", data, 0, 7000);
    make_file(m, "sub/c", data, 10, 7000);
    make_end(m);
    free(data);
}

/* ------------------------------------------------------------------- table */

static void test_archive_says_what_was_written(void **state)
{
    rc_archive *a;
    maker m;

    (void)state;
    make_three(&m);
    assert_int_equal(reads(&m, &a), RC_OK);
    assert_int_equal(a->nfiles, 3);
    assert_int_equal(a->npieces, 44);
    assert_int_equal(a->nbytes, 300010);
    assert_int_equal(a->archive, m.len);
    assert_string_equal(a->files[2].name, "sub/c");
    for (size_t f = 0; f < 3; f++) {
        assert_int_equal(a->files[f].nbytes, m.files[f].nbytes);
        assert_int_equal(a->files[f].first, m.files[f].first);
        assert_int_equal(a->files[f].count, m.files[f].count);
        assert_true(rc_content_equal(&a->files[f].content, &m.files[f].content));
    }
    for (size_t p = 0; p < a->npieces; p++) {
        assert_int_equal(a->pieces[p].at, m.pieces[p].at);
        assert_int_equal(a->pieces[p].off, m.pieces[p].off);
        assert_int_equal(a->pieces[p].stored, m.pieces[p].stored);
        assert_memory_equal(&a->pieces[p].packed, &m.pieces[p].packed, sizeof(rc_packed));
        assert_true(rc_digest_equal(&a->pieces[p].restored, &m.pieces[p].restored));
    }
    assert_int_equal(rc_archive_find(a, &a->files[0], 0), 0);
    assert_int_equal(rc_archive_find(a, &a->files[0], 6999), 0);
    assert_int_equal(rc_archive_find(a, &a->files[0], 7000), 1);
    assert_int_equal(rc_archive_find(a, &a->files[0], 299999), 42);
    assert_int_equal(rc_archive_check_ends(a, read_bytes, &m, &err), RC_OK);
    rc_archive_free(&a);
    assert_int_equal(mem.used, 0);
    free(m.bytes);
}

static void test_archive_refuses_names_that_lead_outside(void **state)
{
    static const char *const bad[] = { "/a",   "../a",  "a/../b", ".", "..",   "a/",
                                       "a//b", "a/b/c", "a\nb",   "",  "a/..", "./a" };
    static const char *const good[] = { "a", "a b", ".gitattributes", "..a", "sub/..b", "ü" };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        maker m;

        assert_false(rc_archive_name_is_safe(bad[i], strlen(bad[i])));
        make_begin(&m);
        make_file(&m, bad[i], (const uint8_t *)"x", 1, 1);
        make_end(&m);
        assert_int_equal(refused(&m), RC_E_UNSAFEPATH);
        free(m.bytes);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(rc_archive_name_is_safe(good[i], strlen(good[i])));
}

/* What the writer would never write: each line changes one thing of the table. */
static void test_archive_refuses_tables_that_contradict_themselves(void **state)
{
    (void)state;
    for (int what = 0; what < 8; what++) {
        maker m;
        uint8_t *data = pattern(5000);

        make_begin(&m);
        make_file(&m, "a", data, 5000, 1000);
        make_file(&m, what == 0 ? "a" : what == 1 ? "A" : "b", data, 5000, 1000);
        if (what == 2)
            m.files[0].nbytes--;
        if (what == 3)
            m.files[1].count--;
        if (what == 4)
            m.pieces[3].packed.nbytes++;
        if (what == 5)
            m.pieces[3].packed.mode = RC_PACK_MODES;
        if (what == 6)
            m.pieces[3].packed.frame[0]--;
        if (what == 7)
            m.pieces[9].packed.frame[0] += 100;
        make_end(&m);
        assert_int_equal(refused(&m), RC_E_DATA);
        free(m.bytes);
        free(data);
    }
}

static void test_archive_finds_a_damaged_byte_anywhere_but_in_pieces(void **state)
{
    maker m;

    (void)state;
    make_three(&m);
    for (size_t at = 0; at < m.len; at++) {
        rc_archive *a;
        rc_code rc;

        if (at == RC_ARCHIVE_HEAD)
            at = (size_t)m.a.end; /* the pieces have sums of their own */
        m.bytes[at] ^= (uint8_t)(1u << at % 8);
        rc = reads(&m, &a);
        if (rc == RC_OK)
            rc = rc_archive_check_ends(a, read_bytes, &m, &err);
        if (rc != RC_E_INTEGRITY && rc != RC_E_DATA && rc != RC_E_UNSUPPORTED)
            fail_msg("byte %zu of %zu: %d", at, m.len, rc);
        rc_archive_free(&a);
        assert_int_equal(mem.used, 0);
        m.bytes[at] ^= (uint8_t)(1u << at % 8);
    }
    free(m.bytes);
}

static void test_archive_cut_anywhere_is_cut_short(void **state)
{
    const size_t step = 97;
    maker m;
    size_t whole;

    (void)state;
    make_three(&m);
    whole = m.len;
    for (m.len = 0; m.len < whole; m.len += m.len + 300 < whole ? step : 1)
        assert_int_equal(refused(&m), RC_E_DATA);
    free(m.bytes);
}

static void test_archive_survives_refused_memory(void **state)
{
    maker m;
    size_t n = 0;
    rc_code rc;

    (void)state;
    make_three(&m);
    do {
        mem.calls = 0;
        mem.fail_at = ++n;
        rc = refused(&m);
        assert_true(rc == RC_OK || rc == RC_E_OS);
    } while (rc != RC_OK);
    assert_true(n > 4);
    mem.fail_at = 0;
    free(m.bytes);
}

/* ------------------------------------------------------------------ source */

static rc_source *opened(const char *name)
{
    rc_source *src;

    if (rc_source_open(&src, fx_path(&dir, name), NULL, &mem, &err) != RC_OK)
        fail_msg("%s: %s", err.file, err.msg);
    return src;
}

static void save(const maker *m, const char *name)
{
    fx_write(&dir, name, m->bytes, m->len);
}

static void test_source_lists_and_reads(void **state)
{
    uint8_t *data = pattern(300000), *buf = malloc(300000);
    rc_source *src;
    maker m;

    (void)state;
    make_three(&m);
    save(&m, "x.rcz");
    src = opened("x.rcz");
    assert_int_equal(rc_source_count(src), 3);
    assert_string_equal(rc_source_at(src, 0)->name, "a");
    assert_int_equal(rc_source_at(src, 0)->nbytes, 300000);
    assert_true(rc_content_equal(&rc_source_at(src, 0)->content, &m.files[0].content));
    assert_string_equal(rc_source_origin_of(src)->kind, "archive");
    assert_null(rc_source_named(src));
    assert_ptr_not_equal(rc_source_archive(src), NULL);
    for (size_t i = 0; i < 400; i++) {
        const size_t off = (size_t)fx_byte(3 * i) * 1171 % 300000;
        const size_t most = 300000 - off, n = (size_t)fx_byte(i) * fx_byte(i + 7) % most;

        assert_int_equal(rc_source_read(src, 0, off, buf, n, &err), RC_OK);
        assert_memory_equal(buf, data + off, n);
    }
    assert_int_equal(rc_source_read(src, 0, 0, buf, 300000, &err), RC_OK);
    assert_memory_equal(buf, data, 300000);
    assert_int_equal(rc_source_read(src, 1, 0, buf, 0, &err), RC_OK);
    assert_int_equal(rc_source_read(src, 1, 0, buf, 1, &err), RC_E_INTERNAL);
    assert_int_equal(rc_source_read(src, 2, 3, buf, 7, &err), RC_OK);
    assert_memory_equal(buf, data + 3, 7);
    assert_int_equal(rc_source_archive_check(src, &err), RC_OK);
    rc_source_close(&src);
    assert_int_equal(mem.used, 0);
    free(m.bytes);
    free(data);
    free(buf);
}

typedef struct reader {
    rc_source *src;
    const uint8_t *data;
    unsigned seed;
    bool ok;
} reader;

static void *read_much(void *arg)
{
    reader *r = arg;
    uint8_t buf[20000];
    uint32_t x = r->seed;

    r->ok = true;
    for (int i = 0; i < 2000 && r->ok; i++) {
        size_t off, n;

        x = x * 1664525u + 1013904223u;
        off = (x >> 8) % 300000;
        n = (x >> 4) % sizeof buf;
        n = n < 300000 - off ? n : 300000 - off;
        r->ok = rc_source_read(r->src, 0, off, buf, n, NULL) == RC_OK &&
                memcmp(buf, r->data + off, n) == 0;
    }
    return NULL;
}

/* More pieces than are kept, and more readers than decoders find memory for. */
static void test_source_serves_many_readers(void **state)
{
    uint8_t *data = pattern(300000);
    reader readers[8];
    pthread_t threads[8];
    rc_source *src;
    maker m;

    (void)state;
    make_three(&m);
    save(&m, "x.rcz");
    for (int tight = 0; tight < 2; tight++) {
        src = opened("x.rcz");
        readers[0] = (reader){ src, data, 5, false };
        read_much(&readers[0]); /* one reader has what it needs */
        assert_true(readers[0].ok);
        mem.limit = tight ? mem.used + 20000 : 0;
        for (unsigned i = 0; i < 8; i++) {
            readers[i] = (reader){ src, data, i, false };
            assert_int_equal(pthread_create(&threads[i], NULL, read_much, &readers[i]), 0);
        }
        for (unsigned i = 0; i < 8; i++) {
            pthread_join(threads[i], NULL);
            assert_true(readers[i].ok);
        }
        rc_source_close(&src);
        mem.limit = 0;
        assert_int_equal(mem.used, 0);
    }
    free(m.bytes);
    free(data);
}

static void test_source_names_what_is_damaged(void **state)
{
    uint8_t buf[10];
    rc_source *src;
    maker m;

    (void)state;
    make_three(&m);
    m.bytes[m.pieces[5].at + 20] ^= 1;
    save(&m, "x.rcz");
    src = opened("x.rcz");
    assert_int_equal(rc_source_read(src, 0, 0, buf, 10, &err), RC_OK);
    assert_int_equal(rc_source_read(src, 0, 35001, buf, 10, &err), RC_E_INTEGRITY);
    assert_string_equal(err.file, "a");
    assert_int_equal(err.offset, 35000);
    assert_int_equal(rc_source_read(src, 0, 36000, buf, 10, &err), RC_E_INTEGRITY); /* not kept */
    assert_int_equal(rc_source_read(src, 0, 42000, buf, 10, &err), RC_OK);
    rc_source_close(&src);
    assert_int_equal(mem.used, 0);
    free(m.bytes);
}

/* Frames that are sound, of other bytes than the table promises. */
static void test_source_compares_digests(void **state)
{
    uint8_t *data = pattern(5000), buf[10];
    rc_source *src;
    maker m;

    (void)state;
    make_begin(&m);
    make_file(&m, "a", data, 5000, 1000);
    m.pieces[2].restored.bytes[7] ^= 1;
    make_end(&m);
    save(&m, "x.rcz");
    src = opened("x.rcz");
    assert_int_equal(rc_source_read(src, 0, 2500, buf, 10, &err), RC_E_INTEGRITY);
    assert_int_equal(err.offset, 2000);
    rc_source_close(&src);
    free(m.bytes);
    free(data);
}

static void test_source_of_gguf_files_is_that_file(void **state)
{
    rc_source *src;
    maker m;

    (void)state;
    make_begin(&m);
    make_file(&m, "m-00001-of-00002.gguf", (const uint8_t *)"GGUF", 4, 4);
    make_file(&m, "m-00002-of-00002.gguf", (const uint8_t *)"GGUF", 4, 4);
    make_end(&m);
    save(&m, "x.rcz");
    src = opened("x.rcz");
    assert_string_equal(rc_source_named(src), "m-00001-of-00002.gguf");
    rc_source_close(&src);
    free(m.bytes);
    make_begin(&m);
    make_file(&m, "m-00001-of-00002.gguf", (const uint8_t *)"GGUF", 4, 4);
    make_file(&m, "n.gguf", (const uint8_t *)"GGUF", 4, 4);
    make_end(&m);
    save(&m, "x.rcz");
    src = opened("x.rcz");
    assert_null(rc_source_named(src));
    rc_source_close(&src);
    assert_int_equal(mem.used, 0);
    free(m.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_archive_says_what_was_written),
        T(test_archive_refuses_names_that_lead_outside),
        T(test_archive_refuses_tables_that_contradict_themselves),
        T(test_archive_finds_a_damaged_byte_anywhere_but_in_pieces),
        T(test_archive_cut_anywhere_is_cut_short),
        T(test_archive_survives_refused_memory),
        T(test_source_lists_and_reads),
        T(test_source_serves_many_readers),
        T(test_source_names_what_is_damaged),
        T(test_source_compares_digests),
        T(test_source_of_gguf_files_is_that_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
