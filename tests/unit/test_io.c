/* tests/unit/test_io.c - output folders and files. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "formats/base/io.h"
#include "tests/unit/fixture.h"

static rc_dir open_dir(const fx_dir *at)
{
    rc_dir dir;
    rc_err err;

    assert_int_equal(rc_dir_open(&dir, at->path, false, &err), RC_OK);
    return dir;
}

/* Every misalignment of file and buffer around page borders, direct and through the cache. */
static void test_out_writes_anywhere(void **state)
{
    enum { SIZE = 4 * RC_PAGE + 123 };
    static const size_t edges[] = { 0,    1,    2,    511,  512,  513,   4094,
                                    4095, 4096, 4097, 8191, 8192, 12289, SIZE };
    enum { EDGES = sizeof edges / sizeof *edges };
    fx_dir at = fx_open(NULL);
    rc_dir dir = open_dir(&at);
    rc_mem mem = { 0 };
    uint8_t model[SIZE], back[SIZE], *pages = rc_mem_get_pages(&mem, SIZE + 2 * RC_PAGE);
    rc_out *out;
    rc_err err;
    unsigned round = 0;

    (void)state;
    memset(model, 0, sizeof model);
    assert_int_equal(rc_out_open(&out, &dir, "f", SIZE, RC_OUT_NEW, &mem, &err), RC_OK);
    assert_int_equal(rc_out_write(out, 0, model, SIZE, &err), RC_OK);
    for (unsigned i = 0; i < EDGES; i++)
        for (unsigned k = i; k < EDGES; k++)
            for (unsigned skew = 0; skew < 2; skew++, round++) {
                const size_t n = edges[k] - edges[i];
                uint8_t *data = rc_out_place(pages, edges[i]) + skew;

                for (size_t b = 0; b < n; b++)
                    data[b] = fx_byte(b + 977 * round);
                memcpy(model + edges[i], data, n);
                assert_int_equal(rc_out_write(out, edges[i], data, n, &err), RC_OK);
                assert_int_equal(rc_out_read(out, 0, back, SIZE, &err), RC_OK);
                assert_memory_equal(model, back, SIZE);
            }
    assert_int_equal(rc_out_write(out, SIZE - 1, model, 2, &err), RC_E_INTERNAL);
    assert_int_equal(rc_out_write(out, UINT64_MAX, model, 2, &err), RC_E_INTERNAL);
    assert_int_equal(rc_out_read(out, SIZE - 1, back, 2, &err), RC_E_INTEGRITY);
    assert_int_equal(rc_out_sync(out, &err), RC_OK);
    assert_int_equal(rc_out_close(&out, &err), RC_OK);
    assert_int_equal(rc_out_open(&out, &dir, "f", SIZE + 1, RC_OUT_RESUME, &mem, &err),
                     RC_E_INTEGRITY);
    assert_null(out);
    assert_int_equal(rc_out_open(&out, &dir, "f", SIZE, RC_OUT_RESUME, &mem, &err), RC_OK);
    assert_int_equal(rc_out_read(out, 0, back, SIZE, &err), RC_OK);
    assert_memory_equal(model, back, SIZE);
    assert_int_equal(rc_out_close(&out, &err), RC_OK);
    rc_mem_put(&mem, pages);
    assert_int_equal(mem.used, 0);
    rc_dir_close(&dir);
    fx_close(&at);
}

/* A link in the place of an output is replaced, never followed. */
static void test_out_follows_no_link(void **state)
{
    fx_dir at = fx_open(NULL);
    rc_dir dir = open_dir(&at), sub;
    rc_mem mem = { 0 };
    rc_out *out;
    uint64_t nbytes;
    rc_err err;

    (void)state;
    fx_text(&at, "victim", "precious");
    fx_link(&at, "victim", "f");
    fx_link(&at, "victim", "p.partial");
    assert_int_equal(rc_out_open(&out, &dir, "f", 8, RC_OUT_RESUME, &mem, &err), RC_E_CANTCREATE);
    assert_int_equal(rc_out_open(&out, &dir, "f", 8, RC_OUT_NEW, &mem, &err), RC_OK);
    assert_int_equal(rc_out_write(out, 0, "12345678", 8, &err), RC_OK);
    assert_int_equal(rc_out_close(&out, &err), RC_OK);
    assert_int_equal(rc_dir_put(&dir, "p", "x", 1, &err), RC_OK);
    assert_true(rc_dir_stat(&dir, "victim", &nbytes) && nbytes == 8);
    assert_true(rc_dir_stat(&dir, "p", &nbytes) && nbytes == 1);
    fx_mkdir(&at, "elsewhere");
    fx_link(&at, "elsewhere", "encoding");
    assert_int_equal(rc_dir_sub(&sub, &dir, "encoding", &err), RC_E_CANTCREATE);
    assert_int_equal(rc_dir_sub(&sub, &dir, "victim", &err), RC_E_CANTCREATE);
    rc_dir_close(&dir);
    fx_close(&at);
}

static void test_dir_open(void **state)
{
    fx_dir at = fx_open(NULL);
    rc_dir dir;
    rc_err err;

    (void)state;
    fx_text(&at, "file", "");
    assert_int_equal(rc_dir_open(&dir, fx_path(&at, "new"), true, &err), RC_OK);
    assert_true(rc_dir_is_empty(&dir));
    rc_dir_close(&dir);
    assert_int_equal(rc_dir_open(&dir, fx_path(&at, "new"), true, &err), RC_OK);
    rc_dir_close(&dir);
    assert_int_equal(rc_dir_open(&dir, fx_path(&at, "no/such"), true, &err), RC_E_CANTCREATE);
    assert_int_equal(rc_dir_open(&dir, fx_path(&at, "file"), true, &err), RC_E_CANTCREATE);
    assert_int_equal(rc_dir_open(&dir, fx_path(&at, "none"), false, &err), RC_E_NOINPUT);
    fx_close(&at);
}

/* A folder that is deleted under us is no missing input, and is not made again. */
static void test_dir_that_is_gone(void **state)
{
    fx_dir at = fx_open(NULL);
    rc_dir dir = open_dir(&at), sub;
    rc_mem mem = { 0 };
    rc_out *out;
    rc_err err;
    int lock;

    (void)state;
    fx_close(&at);
    assert_int_equal(rc_dir_sub(&sub, &dir, "s", &err), RC_E_CANTCREATE);
    assert_int_equal(rc_dir_put(&dir, "p", "x", 1, &err), RC_E_CANTCREATE);
    assert_int_equal(rc_out_open(&out, &dir, "o", 1, RC_OUT_NEW, &mem, &err), RC_E_CANTCREATE);
    assert_int_equal(rc_dir_lock(&dir, "l", &lock, &err), RC_E_CANTCREATE);
    rc_dir_close(&dir);
}

/* Names may have 255 bytes: the temporary one must not need more. */
static void test_dir_put_long_names(void **state)
{
    fx_dir at = fx_open(NULL);
    rc_dir dir = open_dir(&at);
    rc_mem mem = { 0 };
    char name[256], *text;
    size_t len;
    rc_err err;

    (void)state;
    for (unsigned n = 240; n <= 255; n++) {
        memset(name, 'n', n);
        name[n] = '\0';
        assert_int_equal(rc_dir_put(&dir, name, "text", 4, &err), RC_OK);
        assert_int_equal(rc_dir_slurp(&dir, name, 4, &text, &len, &mem, &err), RC_OK);
        assert_int_equal(len, 4);
        rc_mem_put(&mem, text);
        assert_int_equal(rc_dir_slurp(&dir, name, 3, &text, &len, &mem, &err), RC_E_LIMIT);
    }
    assert_int_equal(mem.used, 0);
    rc_dir_close(&dir);
    fx_close(&at);
}

typedef struct contest {
    const rc_dir *dir;
    _Atomic int inside, met, held;
} contest;

static void *contend(void *arg)
{
    contest *c = arg;

    for (int i = 0; i < 3000; i++) {
        int lock;
        rc_err err;

        if (rc_dir_lock(c->dir, "lock", &lock, &err) != RC_OK)
            continue;
        c->held++;
        if (c->inside++)
            c->met++;
        for (int k = 0; k < 20; k++)
            sched_yield();
        c->inside--;
        rc_dir_unlock(c->dir, "lock", lock);
    }
    return NULL;
}

/* The name of a lock is removed with it; two must never hold files of one name. */
/* Both are staged before either has its name. */
static void test_dir_stage_long_names(void **state)
{
    fx_dir d = fx_open(NULL);
    rc_dir dir;
    rc_mem mem = { 0 };
    rc_err err;
    char a[256], b[256];

    (void)state;
    memset(a, 'x', 255);
    a[255] = '\0';
    memcpy(b, a, sizeof b);
    b[254] = 'y';
    assert_int_equal(rc_dir_open(&dir, d.path, false, &err), RC_OK);
    assert_int_equal(rc_dir_stage(&dir, a, "a", 1, &err), RC_OK);
    assert_int_equal(rc_dir_stage(&dir, b, "bb", 2, &err), RC_OK);
    assert_int_equal(rc_dir_unstage(&dir, a, &err), RC_OK);
    assert_int_equal(rc_dir_unstage(&dir, b, &err), RC_OK);
    for (unsigned i = 0; i < 2; i++) {
        char *text;
        size_t len;

        assert_int_equal(rc_dir_slurp(&dir, i ? b : a, 10, &text, &len, &mem, &err), RC_OK);
        assert_string_equal(text, i ? "bb" : "a");
        rc_mem_put(&mem, text);
    }
    rc_dir_close(&dir);
    fx_close(&d);
}

static void test_lock_has_one_holder(void **state)
{
    fx_dir at = fx_open(NULL);
    rc_dir dir = open_dir(&at);
    contest c = { .dir = &dir };
    pthread_t threads[4];

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, contend, &c), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_true(c.held > 0);
    assert_int_equal(c.met, 0);
    rc_dir_close(&dir);
    fx_close(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_out_writes_anywhere),
        cmocka_unit_test(test_out_follows_no_link),
        cmocka_unit_test(test_dir_open),
        cmocka_unit_test(test_dir_that_is_gone),
        cmocka_unit_test(test_dir_put_long_names),
        cmocka_unit_test(test_dir_stage_long_names),
        cmocka_unit_test(test_lock_has_one_holder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
