/* tests/unit/test_checkpoint.c - shards, index and config as one story, or none. */
#define _GNU_SOURCE
#include "tests/unit/fixture.h"

#include <pthread.h>
#include <time.h>

#include "formats/checkpoint.h"
#include "formats/index.h"

static fx_dir dir;
static rc_mem mem;
static rc_err err;
static rc_err warnings[8];
static size_t nwarnings;

static void collect(void *ctx, const rc_err *warning)
{
    (void)ctx;
    if (nwarnings < 8)
        warnings[nwarnings] = *warning;
    nwarnings++;
}

static const rc_log sink = { .warn = collect };

static int setup(void **state)
{
    (void)state;
    memset(&mem, 0, sizeof mem);
    memset(&err, 0, sizeof err);
    nwarnings = 0;
    dir = fx_open(NULL);
    fx_text(&dir, "config.json", fx_config);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fx_close(&dir);
    return 0;
}

/* A shard of U8 tensors from "name:nbytes,name:nbytes". The byte at position p of the
 * data is fx_byte(p + the first letter of the shard's name). */
static void shard(const char *file, const char *spec)
{
    char header[4096] = "{", *at = header + 1;
    unsigned long off = 0;

    while (*spec) {
        const int len = (int)strcspn(spec, ":");
        const unsigned long nbytes = strtoul(spec + len + 1, NULL, 10);

        at +=
            sprintf(at, "%s\"%.*s\":{\"dtype\":\"U8\",\"shape\":[%lu],\"data_offsets\":[%lu,%lu]}",
                    off || at[-1] == '}' ? "," : "", len, spec, nbytes, off, off + nbytes);
        off += nbytes;
        spec += strcspn(spec, ",");
        spec += *spec == ',';
    }
    strcpy(at, "}");
    fx_shard(&dir, file, header, (uint64_t)file[0], off);
}

/* An index from "tensor:shard,..", with total_size. */
static void make_index(uint64_t total_size, const char *spec)
{
    char text[4096], *at = text;

    at += sprintf(at, "{\"metadata\":{\"total_size\":%" PRIu64 "},\"weight_map\":{", total_size);
    for (const char *sep = ""; *spec; sep = ",") {
        const int len = (int)strcspn(spec, ":"), end = (int)strcspn(spec, ",");

        at += sprintf(at, "%s\"%.*s\":\"%.*s\"", sep, len, spec, end - len - 1, spec + len + 1);
        spec += end;
        spec += *spec == ',';
    }
    strcpy(at, "}}");
    fx_text(&dir, RC_INDEX_NAME, text);
}

static const char spec_a[] = "a.weight:10000,a.scale:100,empty:0";
static const char spec_b[] = "b.weight:5000,b.scale:77";
static const char spec_index[] = "b.weight:b.safetensors,a.weight:a.safetensors,"
                                 "a.scale:a.safetensors,b.scale:b.safetensors,"
                                 "empty:a.safetensors";
enum { TOTAL = 15177 };

static void two_shards(void)
{
    shard("a.safetensors", spec_a);
    shard("b.safetensors", spec_b);
    make_index(TOTAL, spec_index);
}

static rc_code open_at(rc_ckpt **ckpt, const char *where)
{
    rc_source *src;

    *ckpt = NULL;
    RC_TRY(rc_source_open(&src, where, NULL, &mem, &err));
    return rc_ckpt_open(ckpt, src, &sink, &mem, &err);
}

static rc_ckpt *opened(void)
{
    rc_ckpt *ckpt;

    if (open_at(&ckpt, dir.path) != RC_OK)
        fail_msg("%s: %s: %s", err.file, err.tensor, err.msg);
    return ckpt;
}

static void closed(rc_ckpt *ckpt)
{
    rc_ckpt_close(&ckpt);
    assert_null(ckpt);
    assert_int_equal(mem.used, 0);
}

/* Opening fails so, blames this file, and leaves nothing behind. */
static void refused(rc_code want, const char *file)
{
    rc_ckpt *ckpt;
    const rc_code rc = open_at(&ckpt, dir.path);

    if (rc != want)
        fail_msg("want %d, got %d: %s: %s", (int)want, (int)rc, err.file, err.msg);
    assert_null(ckpt);
    assert_int_equal(err.code, want);
    assert_string_equal(err.file, file);
    assert_int_equal(mem.used, 0);
}

static void assert_tensor(rc_ckpt *ckpt, const char *name, const char *file, uint64_t at,
                          uint64_t nbytes)
{
    const rc_tensor *t = rc_ckpt_find(ckpt, name);
    const size_t buf_len = nbytes + 2 * RC_PAGE;
    uint8_t *buf = rc_mem_get_pages(&mem, buf_len);
    const uint64_t steps[] = { 0, 1, nbytes / 2, nbytes ? nbytes - 1 : 0, nbytes };
    const rc_shard *s;

    assert_non_null(t);
    assert_string_equal(t->name, name);
    assert_int_equal(t->nbytes, nbytes);
    s = rc_ckpt_shard(ckpt, t->shard);
    assert_string_equal(s->name, file);
    assert_int_equal(t->begin, s->data_off + at);
    for (size_t i = 0; i < 5; i++) {
        for (size_t j = i; j < 5; j++) {
            const uint64_t off = steps[i];
            const uint8_t *data;
            size_t n;

            if (steps[j] < off || steps[j] > nbytes)
                continue;
            n = (size_t)(steps[j] - off);
            assert_int_equal(rc_ckpt_read(ckpt, t, off, n, buf, buf_len, &data, &err), RC_OK);
            for (size_t k = 0; k < n; k++)
                if (data[k] != fx_byte((uint64_t)file[0] + at + off + k))
                    fail_msg("%s: byte %" PRIu64, name, off + k);
        }
    }
    rc_mem_put(&mem, buf);
}

/* ------------------------------------------------------------------ opening */

static void test_checkpoint_opens_indexed_shards(void **state)
{
    static const char *const order[] = { "a.weight", "a.scale", "empty", "b.weight", "b.scale" };
    const uint8_t *text;
    rc_ckpt *ckpt;
    size_t len;

    (void)state;
    two_shards();
    fx_text(&dir, "pytorch_model.bin", "never opened");
    ckpt = opened();
    assert_int_equal(nwarnings, 0);
    assert_int_equal(rc_ckpt_shards(ckpt), 2);
    assert_int_equal(rc_ckpt_count(ckpt), 5);
    assert_int_equal(rc_ckpt_nbytes(ckpt), TOTAL);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(rc_ckpt_at(ckpt, i)->shard, i >= 3);
        /* An empty tensor lies where its neighbour does: either may come first. */
        if (i != 1 && i != 2)
            assert_string_equal(rc_ckpt_at(ckpt, i)->name, order[i]);
    }
    assert_tensor(ckpt, "a.weight", "a.safetensors", 0, 10000);
    assert_tensor(ckpt, "a.scale", "a.safetensors", 10000, 100);
    assert_tensor(ckpt, "empty", "a.safetensors", 10100, 0);
    assert_tensor(ckpt, "b.weight", "b.safetensors", 0, 5000);
    assert_tensor(ckpt, "b.scale", "b.safetensors", 5000, 77);
    assert_null(rc_ckpt_find(ckpt, "c"));
    assert_null(rc_ckpt_find(ckpt, ""));
    assert_null(rc_ckpt_find(ckpt, "a.weigh"));
    assert_int_equal(rc_ckpt_config(ckpt)->hidden_size, 256);
    text = rc_ckpt_config_text(ckpt, &len);
    assert_int_equal(len, strlen(fx_config));
    assert_memory_equal(text, fx_config, len);
    assert_string_equal(rc_source_where(rc_ckpt_source(ckpt)), dir.path);
    assert_int_equal(rc_ckpt_shard(ckpt, 1)->nbytes,
                     rc_source_at(rc_ckpt_source(ckpt), rc_ckpt_shard(ckpt, 1)->file)->nbytes);
    closed(ckpt);
}

static void test_checkpoint_opens_a_single_shard(void **state)
{
    rc_ckpt *ckpt;

    (void)state;
    shard("model.safetensors", "x:1000,y:3");
    fx_mkdir(&dir, "other");
    shard("other/model.safetensors", "x:1"); /* a side file */
    ckpt = opened();
    assert_int_equal(rc_ckpt_count(ckpt), 2);
    assert_tensor(ckpt, "y", "model.safetensors", 1000, 3);
    closed(ckpt);
    assert_int_equal(rename(fx_path(&dir, "model.safetensors"),
                            fx_path(&dir, "model-00001-of-00001.safetensors")),
                     0);
    closed(opened());
}

static void test_checkpoint_wants_an_index_for_several_shards(void **state)
{
    (void)state;
    shard("model-00001-of-00046.safetensors", "x:1");
    refused(RC_E_NOINPUT, dir.path);
    assert_non_null(strstr(err.msg, RC_INDEX_NAME));
    shard("model-00002-of-00046.safetensors", "y:1");
    refused(RC_E_NOINPUT, dir.path);
}

static void test_checkpoint_refuses_foreign_weights(void **state)
{
    (void)state;
    refused(RC_E_NOINPUT, dir.path); /* none at all */
    fx_mkdir(&dir, "sub");
    fx_text(&dir, "sub/tool.bin", "");
    refused(RC_E_NOINPUT, dir.path);
    fx_text(&dir, "model.GGUF", "");
    /* Opening this one would hang or fail: it must only be named. */
    assert_int_equal(mkfifo(fx_path(&dir, "pytorch_model.bin"), 0666), 0);
    refused(RC_E_UNSUPPORTED, dir.path);
    assert_non_null(strstr(err.msg, "model.GGUF, pytorch_model.bin"));
    unlink(fx_path(&dir, "config.json"));
    refused(RC_E_UNSUPPORTED, dir.path);
}

static void test_checkpoint_blames_the_config(void **state)
{
    (void)state;
    two_shards();
    fx_text(&dir, "config.json", "{");
    refused(RC_E_DATA, "config.json");
    fx_text(&dir, "config.json", "{\"model_type\":\"deepseek_v3\"}");
    refused(RC_E_UNSUPPORTED, "config.json");
    unlink(fx_path(&dir, "config.json"));
    refused(RC_E_NOINPUT, dir.path);
    assert_non_null(strstr(err.msg, "config.json"));
    fx_mkdir(&dir, "config.json");
    refused(RC_E_NOINPUT, dir.path);
}

static void test_checkpoint_caps_json_files(void **state)
{
    (void)state;
    two_shards();
    assert_int_equal(truncate(fx_path(&dir, RC_INDEX_NAME), (off_t)1 << 30), 0);
    refused(RC_E_LIMIT, RC_INDEX_NAME);
    assert_int_equal(truncate(fx_path(&dir, "config.json"), (off_t)1 << 30), 0);
    refused(RC_E_LIMIT, "config.json");
    assert_true(mem.peak < 1 << 20);
}

/* ------------------------------------------------------- shards that differ */

static void test_checkpoint_lists_missing_shards(void **state)
{
    char index[4096], *at = index;
    rc_ckpt *ckpt;

    (void)state;
    for (int i = 1; i <= 30; i++)
        at += sprintf(at, "%st%d:part-%02d", i > 1 ? "," : "", i, i);
    make_index(30, index);
    refused(RC_E_NOINPUT, RC_INDEX_NAME);
    assert_string_equal(err.msg, "30 of 30 shards missing: part-01, part-02, part-03, part-04, "
                                 "part-05, part-06, part-07, part-08, part-09, part-10, ..");
    for (int i = 1; i <= 30; i++) {
        char name[32], spec[32];

        sprintf(name, "part-%02d", i);
        sprintf(spec, "t%d:1", i);
        shard(name, spec);
    }
    ckpt = opened(); /* the index decides, not the suffix */
    assert_int_equal(rc_ckpt_shards(ckpt), 30);
    closed(ckpt);
    unlink(fx_path(&dir, "part-17"));
    refused(RC_E_NOINPUT, RC_INDEX_NAME);
    assert_string_equal(err.msg, "1 of 30 shards missing: part-17");
    fx_mkdir(&dir, "part-17");
    refused(RC_E_NOINPUT, RC_INDEX_NAME);
}

static void test_checkpoint_cuts_long_lists_of_names(void **state)
{
    char name[256], index[4096], *at = index;

    (void)state;
    for (int i = 0; i < 12; i++) {
        memset(name, 'a' + i, 250);
        name[250] = '\0';
        at += sprintf(at, "%st%d:%s", i ? "," : "", i, name);
    }
    make_index(12, index);
    refused(RC_E_NOINPUT, RC_INDEX_NAME);
    assert_non_null(strstr(err.msg, "12 of 12 shards missing: aaaa"));
    assert_string_equal(err.msg + strlen(err.msg) - 2, "..");
}

static void test_checkpoint_warns_of_unlisted_shards(void **state)
{
    rc_ckpt *ckpt;

    (void)state;
    two_shards();
    shard("c.safetensors", "a.weight:1,c:2");
    fx_text(&dir, "d\n.safetensors", "not even one");
    ckpt = opened();
    assert_int_equal(nwarnings, 1);
    assert_string_equal(warnings[0].file, RC_INDEX_NAME);
    assert_string_equal(warnings[0].msg,
                        "2 shards not listed, not used: c.safetensors, d\\x0a.safetensors");
    assert_null(rc_ckpt_find(ckpt, "c"));
    assert_int_equal(rc_ckpt_count(ckpt), 5);
    closed(ckpt);
}

static void test_checkpoint_warns_of_a_wrong_total(void **state)
{
    (void)state;
    two_shards();
    make_index(TOTAL + 1, spec_index);
    closed(opened());
    assert_int_equal(nwarnings, 1);
    assert_string_equal(warnings[0].file, RC_INDEX_NAME);
    fx_text(&dir, RC_INDEX_NAME,
            "{\"metadata\":{\"total_size\":1e30},\"weight_map\":{\"a.weight\":\"a.safetensors\","
            "\"a.scale\":\"a.safetensors\",\"empty\":\"a.safetensors\"}}");
    unlink(fx_path(&dir, "b.safetensors"));
    nwarnings = 0;
    closed(opened());
    assert_int_equal(nwarnings, 1);
    assert_string_equal(warnings[0].file, RC_INDEX_NAME); /* added to the parser's own words */
}

static void test_checkpoint_compares_index_and_headers(void **state)
{
    (void)state;
    two_shards();
    make_index(TOTAL, "b.weight:b.safetensors,a.weight:a.safetensors,a.scale:a.safetensors,"
                      "b.scale:b.safetensors,empty:a.safetensors,gone:b.safetensors");
    refused(RC_E_TENSORSET, RC_INDEX_NAME);
    assert_string_equal(err.tensor, "gone");
    assert_string_equal(err.want, "b.safetensors");

    make_index(TOTAL, "b.weight:b.safetensors,a.weight:a.safetensors,a.scale:b.safetensors,"
                      "b.scale:b.safetensors,empty:a.safetensors");
    refused(RC_E_TENSORSET, RC_INDEX_NAME);
    assert_string_equal(err.tensor, "a.scale");
    assert_string_equal(err.want, "b.safetensors");
    assert_string_equal(err.got, "a.safetensors");

    make_index(TOTAL, "b.weight:b.safetensors,a.weight:a.safetensors,a.scale:a.safetensors,"
                      "empty:a.safetensors");
    refused(RC_E_TENSORSET, "b.safetensors");
    assert_string_equal(err.tensor, "b.scale");

    make_index(TOTAL, spec_index); /* contents swapped */
    shard("a.safetensors", spec_b);
    shard("b.safetensors", spec_a);
    refused(RC_E_TENSORSET, RC_INDEX_NAME);
    assert_string_equal(err.tensor, "b.weight");
}

static void test_checkpoint_refuses_a_tensor_in_two_shards(void **state)
{
    (void)state;
    two_shards();
    shard("b.safetensors", "b.weight:5000,b.scale:77,a.scale:100");
    refused(RC_E_TENSORSET, "b.safetensors");
    assert_string_equal(err.tensor, "a.scale");
    assert_non_null(strstr(err.msg, "a.safetensors"));
}

static void test_checkpoint_refuses_unsafe_shards(void **state)
{
    static const char *const names[] = { "../b.safetensors",   "/b.safetensors",
                                         "x/b.safetensors",    "..",
                                         "file:b.safetensors", "b.safetensors?x" };
    char spec[512];

    (void)state;
    two_shards();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        sprintf(spec, "a.weight:a.safetensors,b.weight:%s", names[i]);
        make_index(TOTAL, spec);
        refused(RC_E_UNSAFEPATH, RC_INDEX_NAME);
    }
    make_index(TOTAL, spec_index);
    unlink(fx_path(&dir, "b.safetensors"));
    fx_link(&dir, "/etc/passwd", "b.safetensors");
    refused(RC_E_UNSAFEPATH, "b.safetensors");
    unlink(fx_path(&dir, "b.safetensors"));
    fx_link(&dir, "../nothing-here", "b.safetensors");
    refused(RC_E_NOINPUT, "b.safetensors");
    unlink(fx_path(&dir, "b.safetensors"));
    assert_int_equal(mkfifo(fx_path(&dir, "b.safetensors"), 0666), 0);
    refused(RC_E_NOINPUT, "b.safetensors");
}

static void test_checkpoint_opens_a_hub_snapshot(void **state)
{
    static const char *const names[] = { "config.json", RC_INDEX_NAME, "a.safetensors",
                                         "b.safetensors" };
    rc_ckpt *ckpt;

    (void)state;
    two_shards();
    fx_mkdir(&dir, "blobs");
    fx_mkdir(&dir, "snapshots");
    fx_mkdir(&dir, "snapshots/main");
    for (size_t i = 0; i < 4; i++) {
        char blob[16], link[64], target[64];

        sprintf(blob, "blobs/%zu", i);
        sprintf(link, "snapshots/main/%s", names[i]);
        sprintf(target, "../../%s", blob);
        assert_int_equal(rename(fx_path(&dir, names[i]), fx_path(&dir, blob)), 0);
        fx_link(&dir, target, link);
    }
    assert_int_equal(open_at(&ckpt, fx_path(&dir, "snapshots/main")), RC_OK);
    assert_tensor(ckpt, "b.scale", "b.safetensors", 5000, 77);
    closed(ckpt);
}

static void test_checkpoint_escapes_hostile_names(void **state)
{
    char line[2048];
    rc_ckpt *ckpt;

    (void)state;
    fx_shard(&dir, "x.safetensors",
             "{\"a\\nb\\u001b[31m%n\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 0,
             1);
    ckpt = opened();
    assert_non_null(rc_ckpt_find(ckpt, "a\nb\x1b[31m%n"));
    assert_int_equal(
        rc_ckpt_read(ckpt, rc_ckpt_at(ckpt, 0), 0, 2, NULL, 0, &(const uint8_t *){ 0 }, &err),
        RC_E_INTERNAL);
    assert_string_equal(err.tensor, "a\\x0ab\\x1b[31m%n");
    closed(ckpt);
    make_index(1, "c\\u001b:x.safetensors");
    refused(RC_E_TENSORSET, RC_INDEX_NAME);
    rc_err_line(&err, line, sizeof line);
    assert_null(strpbrk(line, "\n\x1b"));
}

static void test_checkpoint_notices_every_cut(void **state)
{
    struct stat st;

    (void)state;
    two_shards();
    assert_int_equal(stat(fx_path(&dir, "b.safetensors"), &st), 0);
    for (off_t size = 0; size < st.st_size; size += size < 200 ? 1 : 97) {
        shard("b.safetensors", spec_b);
        assert_int_equal(truncate(fx_path(&dir, "b.safetensors"), size), 0);
        refused(RC_E_DATA, "b.safetensors");
        assert_true(err.offset <= (uint64_t)st.st_size);
    }
}

/* ------------------------------------------------------------------ reading */

static void test_checkpoint_names_tensor_and_offset_of_a_bad_read(void **state)
{
    const size_t buf_len = 10000 + 2 * RC_PAGE;
    uint8_t *buf = rc_mem_get_pages(&mem, buf_len);
    const uint8_t *data;
    const rc_tensor *t;
    rc_ckpt *ckpt;

    (void)state;
    two_shards();
    ckpt = opened();
    t = rc_ckpt_find(ckpt, "a.weight");
    assert_int_equal(rc_ckpt_read(ckpt, t, 1, 10000, buf, buf_len, &data, &err), RC_E_INTERNAL);
    assert_int_equal(rc_ckpt_read(ckpt, t, 10001, 0, buf, buf_len, &data, &err), RC_E_INTERNAL);
    assert_int_equal(rc_ckpt_read(ckpt, t, UINT64_MAX, 2, buf, buf_len, &data, &err),
                     RC_E_INTERNAL);
    assert_int_equal(rc_ckpt_read(ckpt, t, 0, 10000, buf, 100, &data, &err), RC_E_INTERNAL);
    assert_string_equal(err.tensor, "a.weight");
    assert_int_equal(rc_ckpt_read(ckpt, t, 0, 10000, buf, buf_len, &data, &err), RC_OK);
    assert_int_equal(truncate(fx_path(&dir, "a.safetensors"), (off_t)t->begin + 100), 0);
    assert_int_equal(rc_ckpt_read(ckpt, t, 10, 9990, buf, buf_len, &data, &err), RC_E_INTEGRITY);
    assert_string_equal(err.file, "a.safetensors");
    assert_string_equal(err.tensor, "a.weight");
    assert_true(err.offset != RC_NO_OFFSET);
    rc_mem_put(&mem, buf);
    closed(ckpt);
}

typedef struct reader {
    rc_ckpt *ckpt;
    size_t wrong;
} reader;

static void *read_all(void *arg)
{
    reader *r = arg;
    const size_t buf_len = 10000 + 2 * RC_PAGE;
    uint8_t *buf = rc_mem_get_pages(&mem, buf_len);

    for (size_t k = 0; k < 200; k++) {
        const rc_tensor *t = rc_ckpt_at(r->ckpt, k % rc_ckpt_count(r->ckpt));
        const rc_shard *s = rc_ckpt_shard(r->ckpt, t->shard);
        const uint8_t *data;

        if (rc_ckpt_find(r->ckpt, t->name) != t ||
            rc_ckpt_read(r->ckpt, t, 0, t->nbytes, buf, buf_len, &data, NULL) != RC_OK)
            r->wrong++;
        else
            for (size_t i = 0; i < t->nbytes; i++)
                r->wrong += data[i] != fx_byte((uint64_t)s->name[0] + t->begin - s->data_off + i);
    }
    rc_mem_put(&mem, buf);
    return NULL;
}

static void test_checkpoint_is_read_by_many_threads(void **state)
{
    pthread_t ids[8];
    reader readers[8];
    rc_ckpt *ckpt;

    (void)state;
    two_shards();
    ckpt = opened();
    for (size_t i = 0; i < 8; i++) {
        readers[i] = (reader){ ckpt, 0 };
        assert_int_equal(pthread_create(&ids[i], NULL, read_all, &readers[i]), 0);
    }
    for (size_t i = 0; i < 8; i++)
        pthread_join(ids[i], NULL);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(readers[i].wrong, 0);
    closed(ckpt);
}

static void test_checkpoint_reads_past_4_gib(void **state)
{
    static const uint64_t nelems = 5000000001; /* over 2^32 */
    const size_t buf_len = 16 + 2 * RC_PAGE;
    uint8_t *buf = rc_mem_get_pages(&mem, buf_len), last = 0xa5;
    const uint8_t *data;
    const rc_tensor *t;
    char header[256];
    uint64_t end;
    rc_ckpt *ckpt;
    FILE *f;

    (void)state;
    sprintf(header,
            "{\"big\":{\"dtype\":\"U8\",\"shape\":[%" PRIu64 "],\"data_offsets\":[0,%" PRIu64 "]}}",
            nelems, nelems);
    fx_shard(&dir, "x.safetensors", header, 7, 16);
    end = 8 + strlen(header) + nelems;
    f = fopen(fx_path(&dir, "x.safetensors"), "r+b");
    assert_non_null(f);
    if (fseeko(f, (off_t)end - 1, SEEK_SET) != 0 || fwrite(&last, 1, 1, f) != 1 || fclose(f) != 0) {
        print_message("skip: no sparse files where temporary files go\n");
        rc_mem_put(&mem, buf);
        return;
    }
    ckpt = opened();
    t = rc_ckpt_find(ckpt, "big");
    assert_int_equal(t->shape[0], nelems);
    assert_int_equal(rc_ckpt_read(ckpt, t, 0, 16, buf, buf_len, &data, &err), RC_OK);
    assert_int_equal(data[15], fx_byte(7 + 15));
    assert_int_equal(rc_ckpt_read(ckpt, t, nelems - 16, 16, buf, buf_len, &data, &err), RC_OK);
    assert_int_equal(data[14], 0);
    assert_int_equal(data[15], last);
    assert_int_equal(rc_ckpt_read(ckpt, t, nelems - 15, 16, buf, buf_len, &data, &err),
                     RC_E_INTERNAL);
    rc_mem_put(&mem, buf);
    closed(ckpt);
}

/* ------------------------------------------------------------ memory and size */

static void test_checkpoint_reports_refused_memory(void **state)
{
    rc_ckpt *ckpt = NULL;
    size_t at = 0;
    rc_code rc;

    (void)state;
    two_shards();
    shard("c.safetensors", "unused:1");
    do {
        memset(&mem, 0, sizeof mem);
        mem.fail_at = ++at;
        assert_true(at < 1000);
        rc = open_at(&ckpt, dir.path);
        if (rc != RC_OK) {
            assert_int_equal(rc, RC_E_OS);
            assert_null(ckpt);
            assert_int_equal(mem.used, 0);
        }
    } while (rc != RC_OK);
    assert_true(at > 20);
    closed(ckpt);
}

/* The size of the largest published release, in files that are mostly holes. */
static void test_checkpoint_opens_150000_tensors_in_150_mb(void **state)
{
    enum { TENSORS = 149782, SHARDS = 66, NBYTES = 3072 * 224 };
    FILE *index = fopen(fx_path(&dir, RC_INDEX_NAME), "wb");
    struct timespec begin, end;
    rc_ckpt *ckpt;
    char *header;
    size_t t = 0;

    (void)state;
    assert_non_null(index);
    header = malloc(1 << 20);
    assert_non_null(header);
    fprintf(index, "{\"metadata\":{\"total_size\":%llu},\"weight_map\":{",
            (unsigned long long)TENSORS * NBYTES);
    for (size_t s = 0; s < SHARDS; s++) {
        const size_t first = t;
        char file[64], *at = header;

        sprintf(file, "model-%05zu-of-%05d.safetensors", s + 1, SHARDS);
        for (; t < (s + 1) * TENSORS / SHARDS; t++) {
            char name[96];

            sprintf(name, "layers.%zu.ffn.experts.%zu.w%zu.%s", t / 2304, t / 6 % 384,
                    t / 2 % 3 + 1, t % 2 ? "scale" : "weight");
            fprintf(index, "%s\n    \"%s\": \"%s\"", t ? "," : "", name, file);
            at += sprintf(at,
                          "%s\"%s\":{\"dtype\":\"F8_E8M0\",\"shape\":[3072,224],"
                          "\"data_offsets\":[%zu,%zu]}",
                          t == first ? "{" : ",", name, (t - first) * NBYTES,
                          (t - first + 1) * NBYTES);
        }
        strcpy(at, "}");
        fx_shard(&dir, file, header, 0, 0);
        if (truncate(fx_path(&dir, file), (off_t)(8 + strlen(header) + (t - first) * NBYTES)) !=
            0) {
            print_message("skip: no sparse files where temporary files go\n");
            fclose(index);
            free(header);
            return;
        }
    }
    fputs("}}", index);
    assert_int_equal(fclose(index), 0);
    free(header);

    clock_gettime(CLOCK_MONOTONIC, &begin);
    ckpt = opened();
    clock_gettime(CLOCK_MONOTONIC, &end);
    print_message("%d tensors: %.2f s, %.1f MB while opening, %.1f MB held\n", TENSORS,
                  (double)(end.tv_sec - begin.tv_sec) +
                      1e-9 * (double)(end.tv_nsec - begin.tv_nsec),
                  (double)mem.peak / 1e6, (double)mem.used / 1e6);
    assert_int_equal(nwarnings, 0);
    assert_int_equal(rc_ckpt_count(ckpt), TENSORS);
    assert_true(mem.peak < 150000000);
    for (size_t i = 0; i < TENSORS; i++)
        assert_ptr_equal(rc_ckpt_find(ckpt, rc_ckpt_at(ckpt, i)->name), rc_ckpt_at(ckpt, i));
    closed(ckpt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_checkpoint_##name, setup, teardown)
        TEST(opens_indexed_shards),
        TEST(opens_a_single_shard),
        TEST(wants_an_index_for_several_shards),
        TEST(refuses_foreign_weights),
        TEST(blames_the_config),
        TEST(caps_json_files),
        TEST(lists_missing_shards),
        TEST(cuts_long_lists_of_names),
        TEST(warns_of_unlisted_shards),
        TEST(warns_of_a_wrong_total),
        TEST(compares_index_and_headers),
        TEST(refuses_a_tensor_in_two_shards),
        TEST(refuses_unsafe_shards),
        TEST(opens_a_hub_snapshot),
        TEST(escapes_hostile_names),
        TEST(notices_every_cut),
        TEST(names_tensor_and_offset_of_a_bad_read),
        TEST(is_read_by_many_threads),
        TEST(reads_past_4_gib),
        TEST(reports_refused_memory),
        TEST(opens_150000_tensors_in_150_mb),
    };

    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
