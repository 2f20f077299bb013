/* tests/unit/test_hub_cache.c - what was fetched is not fetched again, what is spoilt is, and no
 * run sees half of another's file. */
#define _GNU_SOURCE
#include "tests/unit/fixture.h"

#include <signal.h>
#include <sys/wait.h>

#include "formats/hub_cache.h"
#include "formats/hub_cache_room.h"
#include "formats/hub_cache_sums.h"
#include "tests/unit/stream_world.h"

enum { KIB = 1024, MIB = 1024 * KIB };

static fx_dir dir;
static char cache_path[300];
static rc_mem mem;
static const uint64_t sizes[] = { 3 * MIB + 5, 2 * MIB, 700 };

static int setup(void **state)
{
    (void)state;
    dir = fx_open(NULL);
    snprintf(cache_path, sizeof cache_path, "%s/cache", dir.path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fx_close(&dir);
    return mem.used == 0 ? 0 : 1;
}

static world *make(void)
{
    world *w = world_make(sizes, 3, &mem);

    if (!w)
        abort();
    return w;
}

static void end(world *w)
{
    rc_source *src = &w->base;

    rc_source_close(&src);
}

static rc_code fetch(void *ctx, size_t file, uint64_t off, void *buf, size_t nbytes, rc_err *err)
{
    world *w = ctx;

    return w->base.ops->read(&w->base, file, off, buf, nbytes, err);
}

static rc_hub_cache *open_cache(world *w, uint64_t limit, const char *version)
{
    rc_hub_cache *c;
    rc_err err = { 0 };

    if (rc_hub_cache_open(&c, cache_path, limit, "https://a.b/c", version, &w->base, NULL, &mem,
                          &err) != RC_OK)
        fail_msg("%s", err.msg);
    return c;
}

static bool is_right(rc_hub_cache *c, world *w, size_t file, uint64_t off, size_t n)
{
    uint8_t *buf = malloc(n + 1);
    bool same = rc_hub_cache_read(c, file, off, buf, n, fetch, w, NULL) == RC_OK;

    for (size_t k = 0; same && k < n; k++)
        same = buf[k] == world_byte(file, off + k);
    free(buf);
    return same;
}

static const char *inside(const char *name)
{
    static char path[8][700];
    static unsigned next;
    char *p = path[next++ % 8];

    snprintf(p, sizeof path[0], "%s/https%%3A%%2F%%2Fa.b%%2Fc/v1/%s", cache_path, name);
    return p;
}

static bool there(const char *name)
{
    return access(inside(name), F_OK) == 0;
}

static void flip(const char *name, long at)
{
    FILE *f = fopen(inside(name), "r+b");
    int byte;

    assert_non_null(f);
    fseek(f, at, SEEK_SET);
    byte = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(byte ^ 4, f);
    fclose(f);
}

/* ---------------------------------------------------------------------------- tests */

static void test_hub_cache_keeps(void **state)
{
    world *w = make();
    rc_hub_cache *c = open_cache(w, 0, "v1");

    (void)state;
    assert_true(is_right(c, w, 0, 0, 8)); /* a whole block for it */
    assert_int_equal(w->calls, 1);
    assert_true(is_right(c, w, 0, 8, MIB - 8));
    assert_int_equal(w->calls, 1);
    assert_true(is_right(c, w, 0, MIB - 1, 2 * MIB + 6)); /* to the end: three blocks at once */
    assert_int_equal(w->calls, 2);
    assert_true(there("a") && !there("a.partial") && there("a.blocks"));
    assert_true(is_right(c, w, 1, 5, 10));
    assert_true(there("b.partial") && !there("b"));
    assert_true(is_right(c, w, 2, 0, 700));
    assert_true(there("c"));
    assert_int_not_equal(rc_hub_cache_read(c, 0, 3 * MIB, &(uint8_t){ 0 }, 0, fetch, w, NULL), 70);
    rc_hub_cache_close(&c);

    /* another run */
    w->calls = 0;
    c = open_cache(w, 0, "v1");
    assert_true(is_right(c, w, 0, 0, 3 * MIB + 5) && is_right(c, w, 2, 0, 700));
    assert_true(is_right(c, w, 1, 0, MIB));
    assert_int_equal(w->calls, 0);
    assert_true(is_right(c, w, 1, 0, 2 * MIB)); /* goes on where it ended */
    assert_int_equal(w->calls, 1);
    assert_true(there("b") && !there("b.partial"));
    rc_hub_cache_close(&c);

    /* another version of it */
    c = open_cache(w, 0, "v2");
    assert_true(is_right(c, w, 1, 0, MIB));
    assert_int_equal(w->calls, 2);
    rc_hub_cache_close(&c);
    end(w);
}

static void test_hub_cache_spoilt(void **state)
{
    world *w = make();
    rc_hub_cache *c = open_cache(w, 0, "v1");

    (void)state;
    assert_true(is_right(c, w, 0, 0, 3 * MIB + 5) && is_right(c, w, 1, 0, MIB));
    rc_hub_cache_close(&c);
    flip("a", 2 * MIB + 9);
    flip("b.partial", 77);
    w->calls = 0;
    c = open_cache(w, 0, "v1");
    assert_true(is_right(c, w, 0, 0, 3 * MIB + 5) && is_right(c, w, 1, 0, MIB));
    assert_int_equal(w->calls, 2);
    assert_true(there("a") && !there("a.partial"));
    assert_true(is_right(c, w, 0, 0, 3 * MIB + 5) && is_right(c, w, 1, 0, MIB));
    assert_int_equal(w->calls, 2);
    rc_hub_cache_close(&c);

    /* its sums: at their start, in a record, torn */
    flip("a.blocks", 5);
    flip("b.blocks", 64 + 3);
    c = open_cache(w, 0, "v1");
    w->calls = 0;
    assert_true(is_right(c, w, 1, 0, MIB)); /* the older record; the newer is of the same bytes */
    assert_true(is_right(c, w, 0, 0, 3 * MIB + 5));
    assert_true(w->calls >= 1);
    rc_hub_cache_close(&c);
    assert_int_equal(truncate(inside("a.blocks"), 64 + 32 * 2 + 7), 0);
    c = open_cache(w, 0, "v1");
    w->calls = 0;
    assert_true(is_right(c, w, 0, 0, 3 * MIB + 5));
    assert_int_equal(w->calls, 1);
    assert_true(there("a"));
    rc_hub_cache_close(&c);

    /* the data is gone, or shorter */
    assert_int_equal(unlink(inside("a")), 0);
    assert_int_equal(truncate(inside("b.partial"), 10), 0);
    c = open_cache(w, 0, "v1");
    assert_true(is_right(c, w, 0, 0, 3 * MIB + 5) && is_right(c, w, 1, 0, 2 * MIB));
    assert_true(there("a") && there("b"));
    rc_hub_cache_close(&c);
    end(w);
}

static void test_hub_cache_compares_content(void **state)
{
    world *w = make();
    rc_hub_cache *c = open_cache(w, 0, "v1");
    uint8_t *buf = malloc(4 * MIB);
    rc_err err = { 0 };

    (void)state;
    w->lie_once = true;
    w->lie_off = MIB + 3;
    assert_int_equal(rc_hub_cache_read(c, 0, 0, buf, 3 * MIB, fetch, w, &err), RC_OK);
    assert_int_equal(rc_hub_cache_read(c, 0, 0, buf, 3 * MIB + 5, fetch, w, &err), RC_E_INTEGRITY);
    assert_string_equal(err.file, "a");
    assert_int_equal(strlen(err.want), 64);
    assert_false(there("a") || there("a.partial") || there("a.blocks"));
    rc_hub_cache_close(&c);
    c = open_cache(w, 0, "v1");
    assert_true(is_right(c, w, 0, 0, 3 * MIB + 5) && there("a"));
    rc_hub_cache_close(&c);

    /* the same name, but the source says that it is another file now */
    w->base.files[0].content.bytes[0] ^= 1;
    w->calls = 0;
    c = open_cache(w, 0, "v1");
    assert_true(is_right(c, w, 0, 0, MIB));
    assert_int_equal(w->calls, 1);
    rc_hub_cache_close(&c);
    free(buf);
    end(w);
}

/* Files locked by somebody else are read past; whole ones are shared. */
static void test_hub_cache_two_runs(void **state)
{
    world *w = make();
    rc_hub_cache *one = open_cache(w, 0, "v1"), *two = open_cache(w, 0, "v1");

    (void)state;
    assert_true(is_right(one, w, 0, 0, MIB));
    assert_true(is_right(two, w, 0, 0, 2 * MIB));
    assert_int_equal(w->calls, 2);
    assert_true(is_right(one, w, 1, 0, 2 * MIB));
    w->calls = 0;
    assert_true(is_right(two, w, 1, 0, 2 * MIB));
    assert_int_equal(w->calls, 0);
    rc_hub_cache_close(&one);
    rc_hub_cache_close(&two);
    end(w);
}

/* Many processes, all at once, some killed: all right, at the end whole. */
static void test_hub_cache_processes(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        pid_t pids[6];

        for (unsigned p = 0; p < 6; p++) {
            pids[p] = fork();
            if (pids[p] == 0) {
                world *w = make();
                rc_hub_cache *c = open_cache(w, round == 1 ? 4 * MIB : 0, "v1");
                bool right = true;

                w->delay_us = 500;
                for (unsigned k = 0; k < 40; k++) {
                    const size_t f = (k + p) % 3;

                    right &= is_right(c, w, f, (k * 99991 * (p + 1)) % (sizes[f] - 600), 600);
                    right &= is_right(c, w, f, 0, (size_t)sizes[f] / (1 + (k + p) % 4));
                }
                rc_hub_cache_close(&c);
                _exit(right ? 0 : 1);
            }
        }
        if (round == 2)
            kill(pids[0], SIGKILL);
        for (unsigned p = 0; p < 6; p++) {
            int status;

            waitpid(pids[p], &status, 0);
            assert_true((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
                        (round == 2 && p == 0 && WIFSIGNALED(status)));
        }
    }
}

static void *reads(void *arg)
{
    void **a = arg;
    bool right = true;

    for (unsigned k = 0; k < 30; k++) {
        const size_t f = k % 2;

        right &= is_right(a[0], a[1], f, k * 3001, MIB + k);
    }
    return right ? NULL : arg;
}

static void test_hub_cache_threads(void **state)
{
    world *w = make();
    rc_hub_cache *c = open_cache(w, 0, "v1");
    void *args[2] = { c, w }, *wrong;
    pthread_t t[4];

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, reads, args);
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(t[i], &wrong);
        assert_null(wrong);
    }
    assert_true(is_right(c, w, 0, 0, 3 * MIB + 5) && there("a"));
    rc_hub_cache_close(&c);
    end(w);
}

static void test_hub_cache_limit(void **state)
{
    world *w = make();
    rc_hub_cache *c = open_cache(w, 3 * MIB + 500 * KIB, "v1");
    rc_dir root;
    uint64_t held;
    FILE *f;

    (void)state;
    assert_int_equal(rc_dir_open(&root, cache_path, false, NULL), RC_OK);
    assert_true(is_right(c, w, 2, 0, 700));
    f = fopen(inside("mine.blocks"), "w"); /* not ours: neither counted nor removed */
    fputs("hello", f);
    fclose(f);
    assert_true(is_right(c, w, 1, 0, 2 * MIB));
    assert_true(there("b") && there("c"));
    assert_true(is_right(c, w, 0, 0, 3 * MIB + 5)); /* the others go */
    assert_true(there("a") && !there("b") && !there("b.blocks") && there("mine.blocks"));
    rc_cache_make_room(&root, UINT64_MAX, &held);
    assert_true(held <= 3 * MIB + 500 * KIB && held >= 3 * MIB);
    w->calls = 0;
    assert_true(is_right(c, w, 0, 0, 3 * MIB + 5));
    assert_int_equal(w->calls, 0);

    /* while another run reads it, it stays, and what does not fit is not kept */
    {
        rc_hub_cache *other = open_cache(w, 0, "v1");

        assert_true(is_right(other, w, 0, 0, MIB));
        assert_true(is_right(c, w, 1, 0, 2 * MIB) && is_right(c, w, 1, 0, 2 * MIB));
        assert_true(there("a") && !there("b"));
        rc_hub_cache_close(&other);
    }
    rc_hub_cache_close(&c);

    /* a file that can never fit leaves no trace */
    assert_int_equal(unlink(inside("b.partial")) | unlink(inside("b.blocks")), 0);
    c = open_cache(w, MIB, "v1");
    assert_true(is_right(c, w, 1, 0, 2 * MIB) && is_right(c, w, 2, 0, 700));
    assert_true(!there("b.partial") && there("c"));
    rc_hub_cache_close(&c);
    rc_dir_close(&root);
    end(w);
}

static void test_hub_cache_folders(void **state)
{
    world *w = make();
    rc_hub_cache *c;
    rc_err err = { 0 };
    char path[320];

    (void)state;
    fx_text(&dir, "file", "x");
    snprintf(path, sizeof path, "%s/file", dir.path);
    assert_int_equal(rc_hub_cache_open(&c, path, 0, "o", "v", &w->base, NULL, &mem, &err),
                     RC_E_CANTCREATE);
    assert_null(c);
    assert_non_null(strstr(err.file, "file"));
    snprintf(path, sizeof path, "%s/no/such", dir.path);
    assert_int_equal(rc_hub_cache_open(&c, path, 0, "o", "v", &w->base, NULL, &mem, &err),
                     RC_E_CANTCREATE);
    assert_non_null(strstr(err.hint, "parent"));
    if (geteuid() != 0) {
        snprintf(path, sizeof path, "%s/closed", dir.path);
        assert_int_equal(mkdir(path, 0500), 0);
        assert_int_equal(rc_hub_cache_open(&c, path, 0, "o", "v", &w->base, NULL, &mem, &err),
                         RC_E_DENIED);
    }
    assert_int_equal(rc_hub_cache_open(&c, "/proc/self", 0, "o", "v", &w->base, NULL, &mem, &err),
                     RC_E_CANTCREATE);

    /* names that mean something to a file system mean nothing here */
    assert_int_equal(rc_hub_cache_open(&c, cache_path, 0, "../..", ".", &w->base, NULL, &mem, &err),
                     RC_OK);
    rc_hub_cache_close(&c);
    snprintf(path, sizeof path, "%s/%%2E.%%2F../%%2E", cache_path);
    assert_int_equal(access(path, F_OK), 0);
    w->base.files[2].name = "x/../y.partial";
    c = open_cache(w, 0, "v1");
    assert_true(is_right(c, w, 2, 0, 700));
    assert_true(there("x%2F..%2Fy%2Epartial"));
    rc_hub_cache_close(&c);
    memset(path, '/', 300);
    path[300] = '\0';
    w->base.files[2].name = path;
    for (unsigned k = 0; k < 3; k++) { /* too long, twice; and another */
        path[299] = (char)('a' + k / 2);
        w->calls = 0;
        c = open_cache(w, 0, "v1");
        assert_true(is_right(c, w, 2, 0, 700));
        assert_int_equal(w->calls, k != 1);
        rc_hub_cache_close(&c);
    }
    end(w);
}

static void test_hub_cache_failures(void **state)
{
    (void)state;
    /* what the source says is passed on, and nothing of it kept */
    {
        world *w = make();
        rc_hub_cache *c = open_cache(w, 0, "v1");
        rc_err err = { 0 };
        uint8_t byte;

        w->fail_at = 1;
        assert_int_equal(rc_hub_cache_read(c, 0, 0, &byte, 1, fetch, w, &err), RC_E_TEMPORARY);
        assert_true(is_right(c, w, 0, 0, 1));
        rc_hub_cache_close(&c);
        end(w);
    }
    for (size_t k = 1;; k++) {
        rc_mem own = { .fail_at = k };
        world *w = make();
        rc_hub_cache *c;
        rc_err err = { 0 };
        const rc_code rc =
            rc_hub_cache_open(&c, cache_path, 0, "https://a.b/c", "v1", &w->base, NULL, &own, &err);
        bool enough;

        if (rc == RC_OK)
            assert_true(is_right(c, w, 1, 3, 2 * MIB - 3)); /* without the cache, if need be */
        else
            assert_int_equal(rc, RC_E_OS);
        rc_hub_cache_close(&c);
        enough = own.calls < k;
        assert_int_equal(own.used, 0);
        end(w);
        if (enough)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hub_cache_keeps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hub_cache_spoilt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hub_cache_compares_content, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hub_cache_two_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hub_cache_processes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hub_cache_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hub_cache_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hub_cache_folders, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hub_cache_failures, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
