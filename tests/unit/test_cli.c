/* tests/unit/test_cli.c - options from a table, and progress. */
#include "formats/base/cli.h"
#include "tests/unit/fixture.h"

typedef struct values {
    bool flag;
    uint64_t n, size;
    double f;
    const char *str, *choice;
    rc_opt_list list;
} values;

static values v;

/* Parse argv (NULL-ended, without the program) in a fresh state; stderr and stdout are mute. */
static int parse(const char *const *words, const char **args, unsigned *nargs)
{
    static const rc_opt opts[] = {
        { "flag", RC_OPT_FLAG, NULL, "f", &v.flag, 0, 0 },
        { "num", RC_OPT_U64, "N", "n", &v.n, 1, 64 },
        { "size", RC_OPT_SIZE, "BYTES", "s", &v.size, 1024, 0 },
        { "real", RC_OPT_F64, "X", "x", &v.f, 0, 0 },
        { "name", RC_OPT_STR, "S", "s", &v.str, 0, 0 },
        { "kind", RC_OPT_CHOICE, "one|two", "c", &v.choice, 0, 0 },
        { "also", RC_OPT_LIST, "S", "l", &v.list, 0, 0 },
        { 0 },
    };
    static const rc_letter letters[] = { { 'n', "num" }, { 'f', "flag" }, { 0 } };
    static const rc_cmd cmd = { "test", "A [B]", "summary", NULL, 1, 2, opts, letters, NULL };
    char *argv[128] = { (char *)(uintptr_t) "test" };
    int argc = 1, saved, null;
    int code;

    memset(&v, 0, sizeof v);
    for (; *words; words++)
        argv[argc++] = (char *)(uintptr_t)*words;
    fflush(stdout);
    saved = dup(2);
    null = open("/dev/null", O_WRONLY);
    dup2(null, 2);
    code = rc_cli_parse(&cmd, argc, argv, args, nargs);
    dup2(saved, 2);
    close(saved);
    close(null);
    return code;
}

#define PARSE(...) parse((const char *const[]){ __VA_ARGS__, NULL }, args, &nargs)

static void test_cli_values(void **state)
{
    const char *args[2];
    unsigned nargs;

    (void)state;
    assert_int_equal(PARSE("a", "--flag", "--num", "7", "--size=2K", "--real", "-1.5", "--name=x",
                           "--kind", "two", "--also", "p", "--also=q", "b"),
                     -1);
    assert_int_equal(nargs, 2);
    assert_string_equal(args[1], "b");
    assert_true(v.flag && v.n == 7 && v.size == 2048 && v.f == -1.5);
    assert_string_equal(v.str, "x");
    assert_string_equal(v.choice, "two");
    assert_int_equal(v.list.n, 2);
    assert_string_equal(v.list.at[1], "q");
}

static void test_cli_letters(void **state)
{
    const char *args[2];
    unsigned nargs;

    (void)state;
    assert_int_equal(PARSE("-n", "7", "a", "-f"), -1);
    assert_int_equal(nargs, 1);
    assert_true(v.flag && v.n == 7);
    assert_int_equal(PARSE("a", "--", "-n"), -1);
    assert_string_equal(args[1], "-n");
    assert_int_equal(PARSE("a", "-n"), 64);
    assert_int_equal(PARSE("a", "-n", "x"), 64);
    assert_int_equal(PARSE("a", "-n7"), 64);
    assert_int_equal(PARSE("a", "-n=7"), 64);
    assert_int_equal(PARSE("a", "-fn", "7"), 64);
    assert_int_equal(PARSE("a", "-n", "7", "--num", "7"), 64); /* the same option twice */
}

static void test_cli_arguments(void **state)
{
    const char *args[2];
    unsigned nargs;

    (void)state;
    assert_int_equal(PARSE("--", "-odd", "--flag"), -1);
    assert_string_equal(args[0], "-odd");
    assert_string_equal(args[1], "--flag");
    assert_false(v.flag);
    assert_int_equal(PARSE("-"), -1); /* a name like any other */
    assert_int_equal(PARSE("--flag"), 64);
    assert_int_equal(PARSE("a", "b", "c"), 64);
    assert_int_equal(PARSE(""), 64);
    assert_int_equal(PARSE("-x"), 64);
}

static void test_cli_refuses(void **state)
{
    static const char *const bad[] = {
        "--num=0",
        "--num=65",
        "--num=-1",
        "--num=1e1",
        "--num=0x1",
        "--num= 1",
        "--num=1 ",
        "--num=+1",
        "--num=",
        "--num=18446744073709551617",
        "--size=1",
        "--size=12Q",
        "--size=K",
        "--size=2KX",
        "--size=99999999999T",
        "--size=1.5K",
        "--real=nan",
        "--real=inf",
        "--real=1x",
        "--kind=on",
        "--kind=",
        "--kind=one|two",
        "--flag=1",
        "--fla",
        "--flagg",
        "--name=",
        "--unknown",
        "--num",
        "--errors=xml",
        "--cpu=mmx",
        "--quiet=true",
        "--=",
        "---flag",
    };
    const char *args[2];
    unsigned nargs;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (PARSE("a", bad[i]) != 64)
            fail_msg("'%s' was accepted", bad[i]);
    assert_int_equal(PARSE("a", "--num", "1", "--num", "1"), 64);
    assert_int_equal(PARSE("a", "--quiet", "--quiet"), 64);
    rc_cli.quiet = false;
}

static void test_cli_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = { { "--size=1024", 1024 },      { "--size=3KiB", 3072 },
                  { "--size=3KB", 3000 },       { "--size=1M", 1 << 20 },
                  { "--size=2GB", 2000000000 }, { "--size=16T", 16ull << 40 } };
    const char *args[2];
    unsigned nargs;

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(PARSE("a", sizes[i].text), -1);
        assert_int_equal(v.size, sizes[i].bytes);
    }
}

static void test_cli_list_is_bounded(void **state)
{
    const char *words[RC_OPT_LIST_MAX + 3] = { "a" };
    const char *args[2];
    unsigned nargs;

    (void)state;
    for (unsigned i = 0; i <= RC_OPT_LIST_MAX; i++)
        words[1 + i] = "--also=x";
    assert_int_equal(parse(words, args, &nargs), 64);
    words[1 + RC_OPT_LIST_MAX] = NULL;
    assert_int_equal(parse(words, args, &nargs), -1);
}

/* What a ticker says first, where nobody looks on. */
static void first_line(const char *verb, const rc_progress *progress, char text[256])
{
    fx_dir dir = fx_open(NULL);
    const int saved = dup(2), file = open(fx_path(&dir, "err"), O_RDWR | O_CREAT, 0600);
    rc_ticker *ticker;

    memset(text, 0, 256);
    dup2(file, 2);
    ticker = rc_ticker_start(verb, progress);
    assert_non_null(ticker);
    sleep(6);
    rc_ticker_stop(&ticker);
    dup2(saved, 2);
    assert_true(pread(file, text, 255, 0) > 0);
    close(saved);
    close(file);
    fx_close(&dir);
}

/* What an earlier run did is no speed: the first line after a resume must not say so. */
static void test_ticker_counts_only_new_work(void **state)
{
    const rc_progress progress = { .done = 500000000, .kept = 500000000, .total = 1000000000 };
    char text[256];

    (void)state;
    first_line("moved", &progress, text);
    assert_string_equal(text, "moved 500 MB of 1.00 GB (50%)  0 B/s  ETA ?\n");
}

/* A third of a layer is progress, too. */
static void test_ticker_shows_parts(void **state)
{
    const rc_progress progress = {
        .done = 1399, .kept = 1399, .total = 4000, .unit = "layers", .parts = 1000
    };
    char text[256];

    (void)state;
    first_line("calibrate", &progress, text);
    assert_string_equal(text, "calibrate 1.3 of 4 layers (35%)  ETA ?\n");
}

static void test_ticker_counts_without_an_end(void **state)
{
    const rc_progress progress = { .done = 7, .unit = "groups" };
    char text[256];

    (void)state;
    first_line("tried", &progress, text);
    assert_memory_equal(text, "tried: 7 groups in ", 19);
    assert_non_null(strstr(text, " s\n"));
}

static void test_human(void **state)
{
    char b[16], t[24];

    (void)state;
    assert_string_equal(rc_human_bytes(b, 0), "0 B");
    assert_string_equal(rc_human_bytes(b, 999), "999 B");
    assert_string_equal(rc_human_bytes(b, 999500), "1.00 MB");
    assert_string_equal(rc_human_bytes(b, UINT64_MAX), "18.4 EB");
    assert_string_equal(rc_human_time(t, -1), "0 s");
    assert_string_equal(rc_human_time(t, 59.6), "1:00");
    assert_string_equal(rc_human_time(t, 3661), "1:01:01");
    assert_string_equal(rc_human_time(t, 1e300), "277777:46:40");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_values),
        cmocka_unit_test(test_cli_letters),
        cmocka_unit_test(test_cli_arguments),
        cmocka_unit_test(test_cli_refuses),
        cmocka_unit_test(test_cli_sizes),
        cmocka_unit_test(test_cli_list_is_bounded),
        cmocka_unit_test(test_ticker_counts_only_new_work),
        cmocka_unit_test(test_ticker_shows_parts),
        cmocka_unit_test(test_ticker_counts_without_an_end),
        cmocka_unit_test(test_human),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
