/* tests/unit/test_source.c - a folder read right, or an answer that says why not. */
#define _GNU_SOURCE    /* O_DIRECT, syscall() */
#undef _FORTIFY_SOURCE /* pread() is ours below */
#include "tests/unit/fixture.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "formats/source.h"

/* ------------------------------------------------- a disk that misbehaves
 *
 * The library's pread() is this one, so that every fault can be ordered. */
static struct {
    _Atomic size_t calls, direct_calls;
    size_t fail_at;    /* this call, counted from 1 .. */
    int fail_with;     /* .. ends with this errno */
    size_t eintr_each; /* of so many calls, all but the last are interrupted */
    size_t at_most;    /* bytes a call */
    bool no_direct;    /* EINVAL for O_DIRECT, when it comes to reading */
} disk;

ssize_t pread(int fd, void *buf, size_t nbytes, off_t off);
ssize_t pread(int fd, void *buf, size_t nbytes, off_t off)
{
    const size_t call = atomic_fetch_add(&disk.calls, 1) + 1;
    const bool direct = fcntl(fd, F_GETFL) & O_DIRECT;

    if (direct)
        atomic_fetch_add(&disk.direct_calls, 1);
    if (call == disk.fail_at) {
        errno = disk.fail_with;
        return -1;
    }
    if (disk.eintr_each && call % disk.eintr_each != 0) {
        errno = EINTR;
        return -1;
    }
    if (direct && disk.no_direct) {
        errno = EINVAL;
        return -1;
    }
    if (disk.at_most && disk.at_most < nbytes) {
        /* What direct I/O moves in pieces, it moves in pieces of any size. */
        uint8_t *whole = buf;
        const ssize_t n = (ssize_t)syscall(SYS_pread64, fd, whole, nbytes, off);

        return n > (ssize_t)disk.at_most ? (ssize_t)disk.at_most : n;
    }
    return (ssize_t)syscall(SYS_pread64, fd, buf, nbytes, off);
}

/* ---------------------------------------------------------------- fixtures */

static fx_dir dir;
static rc_mem mem;
static rc_err err;

static int setup(void **state)
{
    (void)state;
    memset(&disk, 0, sizeof disk);
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

static rc_source *opened(const char *where)
{
    rc_source *src;

    if (rc_source_open(&src, where, NULL, &mem, &err) != RC_OK)
        fail_msg("%s: %s", err.file, err.msg);
    return src;
}

static void closed(rc_source *src)
{
    rc_source_close(&src);
    assert_null(src);
    assert_int_equal(mem.used, 0);
}

static size_t found(const rc_source *src, const char *name)
{
    size_t i = SIZE_MAX;

    assert_true(rc_source_find(src, name, &i));
    assert_string_equal(rc_source_at(src, i)->name, name);
    return i;
}

static rc_code read1(rc_source *src, const char *name)
{
    uint8_t byte;

    return rc_source_read(src, found(src, name), 0, &byte, 1, &err);
}

static void assert_reads(rc_source *src, const char *name, const char *text)
{
    uint8_t *bytes;
    size_t len;

    if (rc_source_slurp(src, found(src, name), 1000, &bytes, &len, &mem, &err) != RC_OK)
        fail_msg("%s: %s", err.file, err.msg);
    assert_int_equal(len, strlen(text));
    assert_string_equal((char *)bytes, text); /* NUL-terminated */
    rc_mem_put(&mem, bytes);
}

static int open_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* ----------------------------------------------------------------- listing */

static void test_source_lists_two_levels_sorted(void **state)
{
    static const char *const want[] = { "B", "a", "b.json", "b/x", "b/y", "\xc3\xa4" };
    rc_source *src;

    (void)state;
    fx_text(&dir, "b.json", "{}");
    fx_text(&dir, "a", "12345");
    fx_text(&dir, "B", "");
    fx_text(&dir, "\xc3\xa4", "");
    fx_text(&dir, ".hidden", "");
    fx_mkdir(&dir, ".git");
    fx_text(&dir, ".git/config", "");
    fx_mkdir(&dir, "b");
    fx_text(&dir, "b/y", "");
    fx_text(&dir, "b/x", "");
    fx_text(&dir, "b/.z", "");
    fx_mkdir(&dir, "b/deeper");
    fx_text(&dir, "b/deeper/file", "");
    src = opened(dir.path);
    assert_string_equal(rc_source_where(src), dir.path);
    assert_int_equal(rc_source_count(src), sizeof want / sizeof *want);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_string_equal(rc_source_at(src, i)->name, want[i]);
    assert_int_equal(rc_source_at(src, found(src, "a"))->nbytes, 5);
    assert_false(rc_source_find(src, "c", &(size_t){ 0 }));
    assert_false(rc_source_find(src, "", &(size_t){ 0 }));
    assert_false(rc_source_find(src, "b/deeper/file", &(size_t){ 0 }));
    assert_reads(src, "a", "12345");
    assert_reads(src, "b/x", "");
    closed(src);
}

static void test_source_opens_an_empty_folder(void **state)
{
    rc_source *src;

    (void)state;
    src = opened(dir.path);
    assert_int_equal(rc_source_count(src), 0);
    assert_false(rc_source_find(src, "config.json", &(size_t){ 0 }));
    closed(src);
}

/* One file, or those of its set; the rest of the folder is nobody's business. */
static void test_source_of_gguf_files(void **state)
{
    static const char *const set[] = { "m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
                                       "m-00003-of-00003.gguf" };
    static const char *const others[] = { "n-00002-of-00003.gguf", "m-00001-of-00002.gguf",
                                          "m-00000-of-00003.gguf", "m-00004-of-00003.gguf",
                                          "m-0000x-of-00003.gguf", "config.json" };
    rc_source *src;
    char path[600];

    (void)state;
    fx_text(&dir, "one.gguf", "1");
    fx_mkdir(&dir, "folder.gguf");
    for (size_t i = 0; i < 3; i++)
        fx_text(&dir, set[i], "ab");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        fx_text(&dir, others[i], "x");

    src = opened(fx_path(&dir, "one.gguf"));
    assert_int_equal(rc_source_count(src), 1);
    assert_string_equal(rc_source_named(src), "one.gguf");
    assert_string_equal(rc_source_where(src), fx_path(&dir, "one.gguf"));
    assert_string_equal(rc_source_path(src, "one.gguf", path, sizeof path),
                        fx_path(&dir, "one.gguf"));
    assert_int_equal(read1(src, "one.gguf"), RC_OK);
    closed(src);

    src = opened(fx_path(&dir, set[1]));
    assert_int_equal(rc_source_count(src), 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(rc_source_at(src, i)->name, set[i]);
    closed(src);

    src = opened(fx_path(&dir, "folder.gguf"));
    assert_null(rc_source_named(src));
    assert_string_equal(rc_source_path(src, "a", path, sizeof path),
                        fx_path(&dir, "folder.gguf/a"));
    closed(src);
    assert_int_equal(rc_source_open(&src, fx_path(&dir, "two.gguf"), NULL, &mem, &err),
                     RC_E_NOINPUT);
}

static void test_source_split_names(void **state)
{
    static const char *const none[] = { "",
                                        ".gguf",
                                        "a-00001-of-00001.GGUF",
                                        "a-00002-of-00001.gguf",
                                        "a-0001-of-0001.gguf",
                                        "a-000010-of-00001.gguf",
                                        "a_00001-of-00001.gguf",
                                        "a-+0001-of-00001.gguf" };
    rc_split_name s;

    (void)state;
    assert_true(rc_split_name_of(&s, "a-00001-of-00002-00002-of-00012.gguf"));
    assert_int_equal(s.prefix, 16);
    assert_int_equal(s.no, 2);
    assert_int_equal(s.count, 12);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_false(rc_split_name_of(&s, none[i]));
        assert_int_equal(s.count, 0);
    }
}

static void test_source_refuses_what_is_no_folder(void **state)
{
    char longest[5000];
    rc_source *src;

    (void)state;
    fx_text(&dir, "file", "x");
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(rc_source_open(&src, fx_path(&dir, "none"), NULL, &mem, &err), RC_E_NOINPUT);
    assert_null(src);
    assert_string_equal(err.file, fx_path(&dir, "none"));
    assert_int_equal(rc_source_open(&src, fx_path(&dir, "file"), NULL, &mem, &err), RC_E_NOINPUT);
    assert_string_not_equal(err.hint, "");
    assert_int_equal(rc_source_open(&src, "", NULL, &mem, &err), RC_E_NOINPUT);
    assert_int_equal(rc_source_open(&src, longest, NULL, &mem, &err), RC_E_NOINPUT);
    assert_int_equal(rc_source_open(&src, longest, NULL, &mem, NULL), RC_E_NOINPUT);
    assert_int_equal(mem.used, 0);
    rc_source_close(&src);
}

static void test_source_escapes_hostile_names(void **state)
{
    static const char *const names[] = { "line\nbreak", "esc\x1b[31m", "\xff\xfe", "%n%s", " " };
    rc_source *src;

    (void)state;
    for (size_t i = 0; i < 5; i++)
        fx_text(&dir, names[i], names[i]);
    src = opened(dir.path);
    for (size_t i = 0; i < 5; i++) {
        char line[1024];

        assert_reads(src, names[i], names[i]);
        assert_int_equal(rc_source_read(src, found(src, names[i]), 99, line, 1, &err),
                         RC_E_INTERNAL);
        rc_err_line(&err, line, sizeof line);
        assert_null(strpbrk(line, "\n\x1b\xff"));
    }
    closed(src);
}

/* ------------------------------------------------------------------- links */

static void test_source_follows_links_inside(void **state)
{
    rc_source *src;

    (void)state;
    fx_text(&dir, "file", "inside");
    fx_mkdir(&dir, "sub");
    fx_text(&dir, "sub/file", "below");
    fx_link(&dir, "file", "relative");
    fx_link(&dir, fx_path(&dir, "file"), "absolute");
    fx_link(&dir, "sub/../relative", "twice");
    fx_link(&dir, "sub/file", "down");
    fx_link(&dir, "../file", "sub/up");
    fx_link(&dir, "sub", "folder"); /* not listed, not entered */
    src = opened(dir.path);
    assert_int_equal(rc_source_count(src), 7);
    assert_int_equal(rc_source_at(src, found(src, "relative"))->nbytes, 6);
    assert_reads(src, "relative", "inside");
    assert_reads(src, "absolute", "inside");
    assert_reads(src, "twice", "inside");
    assert_reads(src, "down", "below");
    assert_reads(src, "sub/up", "inside");
    assert_int_equal(rc_source_recheck(src, found(src, "sub/up"), &err), RC_OK);
    closed(src);
}

static void test_source_refuses_links_outside(void **state)
{
    static const char *const names[] = { "absolute", "relative", "sub/up", "prefix", "through" };
    rc_source *src;

    (void)state;
    fx_mkdir(&dir, "in");
    fx_mkdir(&dir, "in/sub");
    fx_mkdir(&dir, "in-not"); /* its path begins with that of "in" */
    fx_text(&dir, "in-not/file", "secret");
    fx_text(&dir, "secret", "secret");
    fx_link(&dir, "/etc/passwd", "in/absolute");
    fx_link(&dir, "../secret", "in/relative");
    fx_link(&dir, "../../secret", "in/sub/up");
    fx_link(&dir, "../in-not/file", "in/prefix");
    fx_link(&dir, "../in-not", "in/out"); /* a folder: reached through it all the same */
    fx_link(&dir, "out/file", "in/through");
    src = opened(fx_path(&dir, "in"));
    assert_int_equal(rc_source_count(src), 6);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(read1(src, names[i]), RC_E_UNSAFEPATH);
        assert_string_equal(err.file, names[i]);
        assert_int_equal(rc_source_at(src, found(src, names[i]))->nbytes, 0);
    }
    closed(src);
}

static void test_source_accepts_the_hub_cache(void **state)
{
    static const char rev[] = "models--a--b/snapshots/0123";
    rc_source *src;

    (void)state;
    fx_mkdir(&dir, "models--a--b");
    fx_mkdir(&dir, "models--a--b/snapshots");
    fx_mkdir(&dir, rev);
    fx_mkdir(&dir, "models--a--b/snapshots/0123/encoding");
    fx_mkdir(&dir, "models--a--b/blobs");
    fx_mkdir(&dir, "models--a--b/blobs/deeper");
    fx_mkdir(&dir, "models--x--y");
    fx_mkdir(&dir, "models--x--y/blobs");
    fx_text(&dir, "models--a--b/blobs/cafe", "blob");
    fx_text(&dir, "models--a--b/blobs/deeper/cafe", "blob");
    fx_text(&dir, "models--x--y/blobs/cafe", "other");
    fx_text(&dir, "models--a--b/secret", "secret");
    fx_link(&dir, "../secret", "models--a--b/blobs/linked");
    fx_link(&dir, "../../blobs/cafe", "models--a--b/snapshots/0123/good");
    fx_link(&dir, "../../../blobs/cafe", "models--a--b/snapshots/0123/encoding/good");
    fx_link(&dir, "../../blobs/deeper/cafe", "models--a--b/snapshots/0123/deeper");
    fx_link(&dir, "../../blobs/linked", "models--a--b/snapshots/0123/linked");
    fx_link(&dir, "../../../models--x--y/blobs/cafe", "models--a--b/snapshots/0123/other");
    fx_link(&dir, "../../secret", "models--a--b/snapshots/0123/secret");
    fx_link(&dir, "../../blobs/gone", "models--a--b/snapshots/0123/gone");
    src = opened(fx_path(&dir, rev));
    assert_reads(src, "good", "blob");
    assert_reads(src, "encoding/good", "blob");
    assert_int_equal(read1(src, "deeper"), RC_E_UNSAFEPATH);
    assert_int_equal(read1(src, "linked"), RC_E_UNSAFEPATH);
    assert_int_equal(read1(src, "other"), RC_E_UNSAFEPATH);
    assert_int_equal(read1(src, "secret"), RC_E_UNSAFEPATH);
    assert_int_equal(read1(src, "gone"), RC_E_NOINPUT);
    closed(src);

    /* The folder itself may be named through a link. */
    fx_link(&dir, rev, "model");
    src = opened(fx_path(&dir, "model"));
    assert_reads(src, "good", "blob");
    closed(src);
}

static void test_source_refuses_what_is_no_file(void **state)
{
    rc_source *src;

    (void)state;
    assert_int_equal(mkfifo(fx_path(&dir, "fifo"), 0666), 0);
    fx_link(&dir, "fifo", "to-fifo");
    fx_link(&dir, "nowhere", "dangling");
    fx_link(&dir, "loop", "loop");
    src = opened(dir.path);
    assert_int_equal(rc_source_count(src), 4);
    assert_int_equal(read1(src, "fifo"), RC_E_NOINPUT);
    assert_int_equal(rc_source_read(src, found(src, "fifo"), 0, &(char){ 0 }, 0, &err),
                     RC_E_NOINPUT);
    assert_string_equal(err.msg, "is a FIFO, not a file");
    assert_int_equal(rc_source_read(src, found(src, "to-fifo"), 0, &(char){ 0 }, 0, &err),
                     RC_E_NOINPUT);
    assert_int_equal(read1(src, "dangling"), RC_E_NOINPUT);
    assert_int_equal(read1(src, "loop"), RC_E_NOINPUT);
    assert_int_equal(rc_source_recheck(src, found(src, "fifo"), &err), RC_E_NOINPUT);
    closed(src);
}

/* ----------------------------------------------------------------- reading */

static void compare_reads(const char *where)
{
    enum { SIZE = 3 * RC_PAGE + 777, MOST = SIZE + 2 * RC_PAGE };
    static const uint64_t edges[] = { 0,
                                      1,
                                      511,
                                      512,
                                      513,
                                      RC_PAGE - 1,
                                      RC_PAGE,
                                      RC_PAGE + 1,
                                      2 * RC_PAGE - 1,
                                      2 * RC_PAGE,
                                      3 * RC_PAGE - 1,
                                      3 * RC_PAGE,
                                      3 * RC_PAGE + 1,
                                      SIZE - 1,
                                      SIZE };
    const size_t n = sizeof edges / sizeof *edges;
    fx_dir folder = fx_open(where);
    uint8_t *buf = rc_mem_get_pages(&mem, MOST), plain[SIZE];
    rc_source *src;
    size_t file;

    fx_pattern(&folder, "file", 7, SIZE);
    src = opened(folder.path);
    file = found(src, "file");
    for (size_t a = 0; a < n; a++) {
        for (size_t b = a; b < n; b++) {
            const size_t nbytes = (size_t)(edges[b] - edges[a]);
            const uint8_t *data;

            memset(plain, 0xee, sizeof plain);
            memset(buf, 0xee, MOST);
            assert_int_equal(rc_source_read(src, file, edges[a], plain, nbytes, &err), RC_OK);
            assert_int_equal(rc_source_read_direct(src, file, edges[a], nbytes, buf,
                                                   nbytes + 2 * RC_PAGE, &data, &err),
                             RC_OK);
            assert_true(data >= buf && data + nbytes <= buf + nbytes + 2 * RC_PAGE);
            for (size_t i = 0; i < nbytes; i++)
                if (plain[i] != fx_byte(7 + edges[a] + i) || data[i] != plain[i])
                    fail_msg("byte %zu of [%" PRIu64 ", %" PRIu64 ")", i, edges[a], edges[b]);
            assert_true(nbytes == SIZE || plain[nbytes] == 0xee);
            for (size_t i = nbytes + 2 * RC_PAGE; i < MOST; i++)
                assert_int_equal(buf[i], 0xee);
        }
    }
    rc_mem_put(&mem, buf);
    closed(src);
    fx_close(&folder);
}

static void test_source_reads_around_page_edges(void **state)
{
    (void)state;
    compare_reads(NULL);
    if (disk.direct_calls == 0)
        print_message("skip: no direct I/O where temporary files go\n");
    disk.no_direct = true; /* found out when reading: the same bytes */
    compare_reads(NULL);
}

static void test_source_reads_a_memory_file_system(void **state)
{
    (void)state;
    if (access("/dev/shm", W_OK) != 0) {
        print_message("skip: no /dev/shm\n");
        return;
    }
    compare_reads("/dev/shm");
}

static void test_source_survives_short_and_interrupted_reads(void **state)
{
    static const size_t pieces[] = { 1, 511, 512, RC_PAGE, RC_PAGE + 1 };

    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        disk.at_most = pieces[i];
        compare_reads(NULL);
    }
    disk.at_most = 100;
    disk.eintr_each = 3;
    compare_reads(NULL);
}

static void test_source_reports_a_failing_disk(void **state)
{
    enum { SIZE = 5 * RC_PAGE + 10 };
    uint8_t *buf = rc_mem_get_pages(&mem, SIZE + 2 * RC_PAGE);
    const uint8_t *data;
    rc_source *src;

    (void)state;
    fx_pattern(&dir, "file", 0, SIZE);
    src = opened(dir.path);
    disk.at_most = 1000;
    disk.fail_with = EIO;
    for (disk.fail_at = 1;; disk.fail_at++) {
        disk.calls = 0;
        const rc_code rc = rc_source_read(src, 0, 5, buf, SIZE - 5, &err);

        if (disk.fail_at > disk.calls) {
            assert_int_equal(rc, RC_OK);
            break;
        }
        assert_int_equal(rc, RC_E_IO);
        assert_string_equal(err.file, "file");
        assert_int_equal(err.offset, 5 + 1000 * (disk.fail_at - 1));
    }
    assert_true(disk.fail_at > 20);
    for (disk.fail_at = 1;; disk.fail_at++) {
        disk.calls = 0;
        const rc_code rc =
            rc_source_read_direct(src, 0, 5, SIZE - 5, buf, SIZE + 2 * RC_PAGE, &data, &err);

        if (disk.fail_at > disk.calls) {
            assert_int_equal(rc, RC_OK);
            break;
        }
        assert_int_equal(rc, RC_E_IO);
        assert_string_equal(err.file, "file");
        assert_true(err.offset < SIZE);
    }
    rc_mem_put(&mem, buf);
    closed(src);
}

static void test_source_refuses_ranges_past_the_end(void **state)
{
    const size_t buf_len = 4 * RC_PAGE;
    uint8_t *buf = rc_mem_get_pages(&mem, buf_len);
    const uint8_t *data;
    rc_source *src;

    (void)state;
    fx_pattern(&dir, "file", 0, 100);
    src = opened(dir.path);
    assert_int_equal(rc_source_read(src, 0, 100, buf, 0, &err), RC_OK);
    assert_int_equal(rc_source_read(src, 0, 100, buf, 1, &err), RC_E_INTERNAL);
    assert_int_equal(rc_source_read(src, 0, 101, buf, 0, &err), RC_E_INTERNAL);
    assert_int_equal(rc_source_read(src, 0, 1, buf, SIZE_MAX, &err), RC_E_INTERNAL);
    assert_int_equal(rc_source_read(src, 0, UINT64_MAX, buf, 2, &err), RC_E_INTERNAL);
    assert_int_equal(rc_source_read_direct(src, 0, 1, 100, buf, buf_len, &data, &err),
                     RC_E_INTERNAL);
    assert_int_equal(rc_source_read_direct(src, 0, UINT64_MAX, 2, buf, buf_len, &data, &err),
                     RC_E_INTERNAL);
    assert_int_equal(rc_source_read_direct(src, 0, 0, 100, buf, 2 * RC_PAGE + 99, &data, &err),
                     RC_E_INTERNAL);
    assert_int_equal(rc_source_read_direct(src, 0, 0, 1, buf, 100, &data, &err), RC_E_INTERNAL);
    rc_mem_put(&mem, buf);
    closed(src);
}

static void test_source_slurp_is_capped(void **state)
{
    uint8_t *bytes;
    rc_source *src;
    size_t len;

    (void)state;
    fx_text(&dir, "small", "12345");
    fx_text(&dir, "sparse", "");
    assert_int_equal(truncate(fx_path(&dir, "sparse"), (off_t)1 << 40), 0);
    src = opened(dir.path);
    assert_int_equal(rc_source_slurp(src, found(src, "small"), 4, &bytes, &len, &mem, &err),
                     RC_E_LIMIT);
    assert_string_equal(err.file, "small");
    assert_null(bytes);
    mem.peak = mem.used;
    assert_int_equal(rc_source_slurp(src, found(src, "sparse"), 1 << 30, &bytes, &len, &mem, &err),
                     RC_E_LIMIT);
    assert_int_equal(mem.peak, mem.used);
    mem.fail_at = mem.calls + 1;
    assert_int_equal(rc_source_slurp(src, found(src, "small"), 5, &bytes, &len, &mem, &err),
                     RC_E_OS);
    assert_reads(src, "small", "12345");
    closed(src);
}

/* ------------------------------------------------- files that change in a run */

static void set_mtime(const char *path, time_t seconds)
{
    const struct timespec times[2] = { { .tv_sec = seconds }, { .tv_sec = seconds } };

    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_source_notices_a_cut_file(void **state)
{
    enum { SIZE = 3 * RC_PAGE };
    uint8_t *buf = rc_mem_get_pages(&mem, SIZE + 2 * RC_PAGE);
    const uint8_t *data;
    rc_source *src;

    (void)state;
    fx_pattern(&dir, "file", 0, SIZE);
    src = opened(dir.path);
    /* Both descriptors are open before the cut, so that the reads themselves notice. */
    assert_int_equal(rc_source_read(src, 0, 0, buf, SIZE, &err), RC_OK);
    assert_int_equal(rc_source_read_direct(src, 0, 0, SIZE, buf, SIZE + 2 * RC_PAGE, &data, &err),
                     RC_OK);
    assert_int_equal(truncate(fx_path(&dir, "file"), RC_PAGE + 5), 0);
    assert_int_equal(rc_source_read(src, 0, 0, buf, SIZE, &err), RC_E_INTEGRITY);
    assert_int_equal(err.offset, RC_PAGE + 5);
    assert_string_equal(err.file, "file");
    assert_int_equal(rc_source_read_direct(src, 0, 0, SIZE, buf, SIZE + 2 * RC_PAGE, &data, &err),
                     RC_E_INTEGRITY);
    assert_int_equal(err.offset, RC_PAGE + 5);
    assert_int_equal(rc_source_read_direct(src, 0, 2 * RC_PAGE, 10, buf, 3 * RC_PAGE, &data, &err),
                     RC_E_INTEGRITY);
    assert_int_equal(rc_source_recheck(src, 0, &err), RC_E_INTEGRITY);
    assert_string_equal(err.got, "4101");
    rc_mem_put(&mem, buf);
    closed(src);
}

static void test_source_notices_a_changed_file(void **state)
{
    static const char *const names[] = { "cut",   "gone",    "grown",  "linked",
                                         "moved", "swapped", "touched" };
    rc_source *src;

    (void)state;
    for (size_t i = 0; i < 7; i++) {
        fx_text(&dir, names[i], "before");
        set_mtime(fx_path(&dir, names[i]), 1000000000);
    }
    fx_text(&dir, "same", "before");
    fx_link(&dir, "moved", "link");
    src = opened(dir.path);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(rc_source_recheck(src, found(src, names[i]), &err), RC_OK);
    fx_text(&dir, "cut", "");
    unlink(fx_path(&dir, "gone"));
    fx_text(&dir, "grown", "before and after");
    set_mtime(fx_path(&dir, "grown"), 1000000000);
    unlink(fx_path(&dir, "linked"));
    fx_link(&dir, "same", "linked");
    fx_text(&dir, "other", "beside");
    set_mtime(fx_path(&dir, "other"), 1000000000);
    assert_int_equal(rename(fx_path(&dir, "moved"), fx_path(&dir, "away")), 0);
    assert_int_equal(rename(fx_path(&dir, "other"), fx_path(&dir, "swapped")), 0);
    set_mtime(fx_path(&dir, "touched"), 1000000001);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(rc_source_recheck(src, found(src, names[i]), &err), RC_E_INTEGRITY);
        assert_string_equal(err.file, names[i]);
        assert_int_equal(read1(src, names[i]), RC_E_INTEGRITY); /* at its first opening */
    }
    assert_int_equal(rc_source_recheck(src, found(src, "link"), &err), RC_E_INTEGRITY);
    assert_int_equal(rc_source_recheck(src, found(src, "same"), &err), RC_OK);
    closed(src);
}

/* A folder swapped for a link must not become a way out. */
static void test_source_notices_a_swapped_folder(void **state)
{
    rc_source *src;

    (void)state;
    fx_mkdir(&dir, "in");
    fx_mkdir(&dir, "in/sub");
    fx_text(&dir, "in/sub/file", "inside");
    fx_mkdir(&dir, "out");
    fx_text(&dir, "out/file", "secret");
    src = opened(fx_path(&dir, "in"));
    assert_int_equal(rename(fx_path(&dir, "in/sub"), fx_path(&dir, "away")), 0);
    fx_link(&dir, "../out", "in/sub");
    assert_int_equal(read1(src, "sub/file"), RC_E_INTEGRITY);
    closed(src);
}

/* ------------------------------------------------------ descriptors, threads */

enum { FILES = 20, FILE_SIZE = 50000, ROUNDS = 300 };

static void many_files(void)
{
    for (unsigned i = 0; i < FILES; i++) {
        char name[16];

        snprintf(name, sizeof name, "%02u", i);
        fx_pattern(&dir, name, i * 1000003u, FILE_SIZE);
    }
}

typedef struct reader {
    rc_source *src;
    unsigned seed;
    rc_code rc;
    rc_err err;
    size_t wrong;
} reader;

static void *read_at_random(void *arg)
{
    reader *r = arg;
    uint8_t *buf = rc_mem_get_pages(&mem, FILE_SIZE + 2 * RC_PAGE);
    uint64_t x = r->seed;

    for (unsigned k = 0; k < ROUNDS && r->rc == RC_OK; k++) {
        size_t file, off, nbytes;
        const uint8_t *data = buf;

        x = x * 6364136223846793005u + 1442695040888963407u;
        file = (x >> 33) % FILES;
        off = (x >> 40) % FILE_SIZE;
        nbytes = (x >> 20) % (FILE_SIZE - off + 1);
        r->rc = x >> 63 ? rc_source_read(r->src, file, off, buf, nbytes, &r->err)
                        : rc_source_read_direct(r->src, file, off, nbytes, buf,
                                                FILE_SIZE + 2 * RC_PAGE, &data, &r->err);
        for (size_t i = 0; i < nbytes && r->rc == RC_OK; i++)
            r->wrong += data[i] != fx_byte(file * 1000003u + off + i);
    }
    rc_mem_put(&mem, buf);
    return NULL;
}

static void run_readers(rc_source *src, unsigned threads)
{
    pthread_t ids[16];
    reader readers[16];

    for (unsigned i = 0; i < threads; i++) {
        readers[i] = (reader){ .src = src, .seed = i + 1 };
        assert_int_equal(pthread_create(&ids[i], NULL, read_at_random, &readers[i]), 0);
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    for (unsigned i = 0; i < threads; i++) {
        if (readers[i].rc != RC_OK)
            fail_msg("%s: %s", readers[i].err.file, readers[i].err.msg);
        assert_int_equal(readers[i].wrong, 0);
    }
}

static void test_source_is_thread_safe(void **state)
{
    const int before = open_descriptors();
    rc_source *src;

    (void)state;
    many_files();
    src = opened(dir.path);
    run_readers(src, 12);
    assert_true(open_descriptors() - before <= 9); /* the folder and 8 files */
    closed(src);
    assert_int_equal(open_descriptors(), before);
}

/* Limit the process to `spare` descriptors more than it has. Descriptors are given
 * lowest first, so the limit is a number and not a count. */
static void limit_descriptors(int spare)
{
    struct rlimit limit;
    int fds[64], n = 0, last;

    for (int i = 0; i < spare + 1; i++)
        fds[n++] = open("/dev/null", O_RDONLY);
    last = fds[n - 1];
    while (n > 0)
        close(fds[--n]);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = (rlim_t)last;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void test_source_does_with_few_descriptors(void **state)
{
    rc_source *src, *other;
    struct rlimit before;

    (void)state;
    many_files();
    fx_mkdir(&dir, "sub");
    fx_text(&dir, "sub/file", "below");
    src = opened(dir.path);
    run_readers(src, 8); /* the first threads make malloc open a file of its own, once */
    getrlimit(RLIMIT_NOFILE, &before);
    for (int spare = 3; spare >= 0; spare--) {
        rc_source_close(&src);
        src = opened(dir.path);
        limit_descriptors(spare);
        if (spare > 0) {
            run_readers(src, 8);
        } else {
            assert_int_equal(read1(src, "00"), RC_E_OS);
            assert_string_not_equal(err.hint, "");
        }
        if (spare > 1)
            assert_reads(src, "sub/file", "below"); /* needs its folder, for a moment */
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    }
    assert_reads(src, "sub/file", "below"); /* and has recovered */
    limit_descriptors(0);
    assert_int_equal(rc_source_open(&other, dir.path, NULL, &mem, &err), RC_E_OS);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    closed(src);
}

static void test_source_reports_refused_memory(void **state)
{
    size_t at = 0;
    rc_source *src;
    rc_code rc;

    (void)state;
    many_files();
    fx_link(&dir, "00", "link");
    fx_mkdir(&dir, "sub");
    fx_text(&dir, "sub/file", "");
    do {
        memset(&mem, 0, sizeof mem);
        mem.fail_at = ++at;
        assert_true(at < 1000);
        rc = rc_source_open(&src, dir.path, NULL, &mem, &err);
        if (rc != RC_OK) {
            assert_int_equal(rc, RC_E_OS);
            assert_null(src);
            assert_int_equal(mem.used, 0);
        }
    } while (rc != RC_OK);
    assert_true(at > 4);
    closed(src);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_source_##name, setup, teardown)
        TEST(lists_two_levels_sorted),
        TEST(opens_an_empty_folder),
        TEST(of_gguf_files),
        TEST(split_names),
        TEST(refuses_what_is_no_folder),
        TEST(escapes_hostile_names),
        TEST(follows_links_inside),
        TEST(refuses_links_outside),
        TEST(accepts_the_hub_cache),
        TEST(refuses_what_is_no_file),
        TEST(reads_around_page_edges),
        TEST(reads_a_memory_file_system),
        TEST(survives_short_and_interrupted_reads),
        TEST(reports_a_failing_disk),
        TEST(refuses_ranges_past_the_end),
        TEST(slurp_is_capped),
        TEST(notices_a_cut_file),
        TEST(notices_a_changed_file),
        TEST(notices_a_swapped_folder),
        TEST(is_thread_safe),
        TEST(does_with_few_descriptors),
        TEST(reports_refused_memory),
    };

    return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
