/* tests/unit/test_rows.c - a table of rows, in memory and in a scratch file. */
#include "runtime/rows.h"

#include <errno.h>

#include "tests/unit/fixture.h"
#include "tests/unit/random.h"

enum { N = 37, W = 45 };

static size_t entries(const char *path)
{
    DIR *dir = opendir(path);
    size_t n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2; /* . and .. */
}

static rc_rows *table(const char *scratch, rc_mem *mem)
{
    rc_rows *rows;
    rc_err err;

    if (rc_rows_new(&rows, N, W, scratch, mem, &err) != RC_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(rc_rows_width(rows), W);
    assert_int_equal(rc_rows_spilled(rows), scratch ? N * W * sizeof(float) : 0);
    return rows;
}

static void ok(rc_code rc)
{
    assert_int_equal(rc, RC_OK);
}

/* The same story told to a plain array. */
static void check_story(const char *scratch)
{
    static const uint32_t some[] = { 36, 0, 7, 7, 20 };
    static float want[N * W], got[N * W], buf[N * W];
    rc_mem mem = { 0 };
    rc_rows *rows = table(scratch, &mem);
    uint64_t seed = 5;
    rc_err err;

    memset(want, 0, sizeof want);
    ok(rc_rows_clear(rows, &err));
    ok(rc_rows_load(rows, 0, N, got, &err));
    assert_memory_equal(got, want, sizeof want);

    rnd_fill(want, N * W, 1, &seed); /* in two runs, the second first */
    ok(rc_rows_store(rows, 20, N - 20, want + 20 * W, &err));
    ok(rc_rows_store(rows, 0, 20, want, &err));
    ok(rc_rows_load(rows, 0, N, got, &err));
    assert_memory_equal(got, want, sizeof want);

    ok(rc_rows_gather(rows, some, 5, buf, &err));
    for (size_t i = 0; i < 5; i++)
        assert_memory_equal(buf + i * W, want + some[i] * W, W * sizeof *buf);

    rnd_fill(buf, 5 * W, 1e3f, &seed); /* row 7 twice: in this order */
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < W; k++)
            want[some[i] * W + k] += buf[i * W + k];
    ok(rc_rows_add(rows, some, 5, buf, &err));
    ok(rc_rows_load(rows, 3, N - 3, got, &err));
    assert_memory_equal(got, want + 3 * W, (N - 3) * W * sizeof *got);
    ok(rc_rows_load(rows, 0, 3, got, &err));
    assert_memory_equal(got, want, 3 * W * sizeof *got);

    ok(rc_rows_clear(rows, &err));
    ok(rc_rows_load(rows, 5, 1, got, &err));
    for (size_t k = 0; k < W; k++)
        assert_true(got[k] == 0);
    rc_rows_free(&rows);
    assert_null(rows);
    assert_int_equal(mem.used, 0);
}

static void test_rows_in_memory(void **state)
{
    (void)state;
    check_story(NULL);
}

/* The file has no name while it is there, and is gone afterwards. */
static void test_rows_in_a_scratch_file(void **state)
{
    fx_dir dir = fx_open(NULL);
    rc_mem mem = { 0 };
    rc_rows *rows = table(dir.path, &mem);

    (void)state;
    assert_int_equal(entries(dir.path), 0);
    assert_true(mem.used < N * W * sizeof(float));
    rc_rows_free(&rows);
    check_story(dir.path);
    assert_int_equal(entries(dir.path), 0);
    fx_close(&dir);
}

static void refused(const char *scratch, size_t n, rc_code code)
{
    rc_mem mem = { 0 };
    rc_rows *rows;
    rc_err err;

    assert_int_equal(rc_rows_new(&rows, n, 1 << 20, scratch, &mem, &err), code);
    assert_null(rows);
    assert_int_equal(mem.used, 0);
    assert_non_null(strstr(err.file, scratch));
    assert_non_null(strstr(err.hint, "--scratch"));
    assert_int_equal(rc_rows_new(&rows, n, 1 << 20, scratch, &mem, NULL), code);
}

static void test_rows_of_bad_folders(void **state)
{
    fx_dir dir = fx_open(NULL);

    (void)state;
    refused(fx_path(&dir, "absent"), 1, RC_E_NOINPUT);
    fx_write(&dir, "file", "x", 1);
    refused(fx_path(&dir, "file"), 1, RC_E_NOINPUT);
    refused(dir.path, (size_t)1 << 40, RC_E_NOSPACE); /* 4 EiB */
    assert_int_equal(entries(dir.path), 1);
    fx_close(&dir);
}

static void test_rows_survive_no_memory(void **state)
{
    fx_dir dir = fx_open(NULL);
    rc_code rc = RC_E_OS;

    (void)state;
    for (unsigned spill = 0; spill < 2; spill++)
        for (size_t k = 1; k == 1 || rc != RC_OK; k++) {
            rc_mem mem = { .fail_at = k };
            rc_rows *rows;
            rc_err err;

            rc = rc_rows_new(&rows, N, W, spill ? dir.path : NULL, &mem, &err);
            assert_true(rc == RC_OK || rc == RC_E_OS);
            assert_int_equal(rows != NULL, rc == RC_OK);
            rc_rows_free(&rows);
            assert_int_equal(mem.used, 0);
            assert_true(k < 10);
        }
    fx_close(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_in_memory),
        cmocka_unit_test(test_rows_in_a_scratch_file),
        cmocka_unit_test(test_rows_of_bad_folders),
        cmocka_unit_test(test_rows_survive_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
