/* tests/unit/test_part.c - shares of a plan, and what parts have in common. */
#include "convert/parts_file.h"
#include "convert/plan_impl.h"
#include "tests/unit/fixture.h"

static void test_share_parse(void **state)
{
    static const char *const bad[] = {
        "",    "3",    "/8",   "3/",    "0/8", "9/8",  "3/8 ",   " 3/8",    "+3/8",
        "3/0", "03/8", "3/08", "3/8/1", "3-8", "-1/8", "1e1/20", "1/10000", "99999999999999999999/8"
    };
    rc_share share = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (rc_share_parse(bad[i], &share))
            fail_msg("'%s' is taken", bad[i]);
    assert_true(rc_share_parse("3/8", &share) && share.no == 3 && share.count == 8);
    assert_true(rc_share_parse("9999/9999", &share) && share.no == RC_SHARE_MAX);
}

static uint32_t rng = 7;

static uint32_t dice(void)
{
    rng = rng * 1664525u + 1013904223u;
    return rng >> 8;
}

/* The least that the largest run can have: every way to cut n shards into k runs. */
static uint64_t best_cut(const rc_plan_shard *shards, size_t n, uint32_t k)
{
    uint64_t best = UINT64_MAX, sum = 0;

    if (k == 1) {
        for (size_t i = 0; i < n; i++)
            sum += shards[i].nbytes;
        return sum;
    }
    for (size_t first = 1; first + k - 1 <= n; first++) {
        uint64_t rest;

        sum += shards[first - 1].nbytes;
        rest = best_cut(shards + first, n - first, k - 1);
        rest = rest > sum ? rest : sum;
        best = rest < best ? rest : best;
    }
    return best;
}

static void check_shares(rc_plan *plan, uint32_t count)
{
    const uint64_t best = best_cut(plan->shards, plan->nshards, count);
    uint64_t largest = 0;
    size_t next = 0;
    rc_err err;

    for (uint32_t no = 1; no <= count; no++) {
        rc_share_size size;

        assert_int_equal(rc_plan_take_share(plan, (rc_share){ no, count }, &err), RC_OK);
        size = rc_plan_share_size(plan);
        assert_int_equal(size.first, next); /* neighbours, none twice, none left out */
        assert_true(size.shards > 0);
        for (size_t s = 0; s < plan->nshards; s++)
            assert_int_equal(rc_plan_is_mine(plan, s), s >= next && s < next + size.shards);
        next += size.shards;
        largest = size.file_bytes > largest ? size.file_bytes : largest;
    }
    assert_int_equal(next, plan->nshards);
    assert_int_equal(largest, best);
}

static void test_share_split(void **state)
{
    rc_plan_shard shards[9];
    rc_plan plan = { .shards = shards };
    rc_err err;

    (void)state;
    for (unsigned round = 0; round < 400; round++) {
        memset(shards, 0, sizeof shards);
        plan.nshards = 1 + dice() % 9;
        for (size_t i = 0; i < plan.nshards; i++)
            shards[i].nbytes = 1 + dice() % (round % 2 ? 10 : 100000);
        for (uint32_t count = 1; count <= plan.nshards; count++)
            check_shares(&plan, count);
        assert_int_equal(
            rc_plan_take_share(&plan, (rc_share){ 1, (uint32_t)plan.nshards + 1 }, &err),
            RC_E_USAGE);
    }
    shards[0].nbytes = shards[1].nbytes = UINT64_MAX / 2; /* sums near the end of the range */
    plan.nshards = 2;
    check_shares(&plan, 2);
}

static void test_share_names(void **state)
{
    rc_plan_shard shards[4] = {
        { .nbytes = 1 }, { .nbytes = 1 }, { .nbytes = 1 }, { .nbytes = 1 }
    };
    rc_plan plan = { .shards = shards, .nshards = 4 };
    rc_plan_names whole;
    rc_err err;

    (void)state;
    assert_int_equal(rc_plan_take_share(&plan, (rc_share){ 3, 4 }, &err), RC_OK);
    assert_string_equal(plan.names.journal, "recast.part-3-of-4.journal");
    assert_string_equal(plan.names.lock, ".recast.part-3-of-4.lock");
    assert_string_equal(plan.names.parts, "recast.parts.json");
    rc_plan_whole_names(&plan, &whole);
    assert_string_equal(whole.journal, "recast.journal");
    plan.recipe.target = RC_TO_GGUF;
    plan.recipe.stem = "m";
    assert_int_equal(rc_plan_take_share(&plan, (rc_share){ 3, 4 }, &err), RC_OK);
    assert_string_equal(plan.names.smooth, "m.recast.part-3-of-4.smooth");
    assert_int_equal(rc_plan_take_share(&plan, (rc_share){ 0 }, &err), RC_OK);
    assert_string_equal(plan.names.journal, "m.recast.journal");
    assert_int_equal(rc_plan_share_size(&plan).shards, 4);
}

/* ------------------------------------------------------------- the common file */

static const rc_parts common = {
    .count = 8,
    .version = "1",
    .source = "hf://org/name\"\n",
    .commit = "0123456789012345678901234567890123456789",
    .recipe = "fp8 scale=f32",
    .recipe_digest = "aa",
    .source_digest = "bb",
    .replace = true,
    .argument = { "--to", "fp8", "--tensors", "a*" },
    .arguments = 4,
};

static rc_code read_text(const rc_dir *dir, const char *text, size_t len, rc_parts *out,
                         rc_mem *mem, rc_err *err)
{
    rc_err ignored;

    assert_int_equal(rc_dir_put(dir, "f", text, len, &ignored), RC_OK);
    return rc_parts_read(out, dir, "f", mem, err);
}

static void test_parts_file(void **state)
{
    static const char least[] =
        "{\"format\":1,\"tool\":\"1\",\"parts\":2,\"source\":\"s\",\"recipe\":\"r\","
        "\"recipe_digest\":\"a\",\"source_digest\":\"b\",\"arguments\":[\"--to\"]}";
    fx_dir at = fx_open(NULL);
    rc_mem mem = { 0 };
    rc_dir dir;
    rc_parts got;
    rc_err err;
    char *text;
    size_t len;

    (void)state;
    assert_int_equal(rc_dir_open(&dir, at.path, false, &err), RC_OK);
    assert_int_equal(rc_parts_read(&got, &dir, "f", &mem, &err), RC_E_NOINPUT);
    assert_int_equal(rc_parts_write(&common, &dir, "f", &mem, &err), RC_OK);
    assert_int_equal(rc_parts_read(&got, &dir, "f", &mem, &err), RC_OK);
    assert_int_equal(got.count, 8);
    assert_true(got.replace);
    assert_string_equal(got.source, common.source);
    assert_string_equal(got.commit, common.commit);
    assert_int_equal(got.arguments, 4);
    assert_string_equal(got.argument[3], "a*");
    assert_int_equal(rc_parts_agree(&got, &common, "f", &err), RC_OK);
    rc_parts_free(&got);

    /* cut anywhere, any byte changed: an error or a file like any other, and nothing leaks */
    assert_int_equal(rc_dir_slurp(&dir, "f", 4096, &text, &len, &mem, &err), RC_OK);
    for (size_t n = 0; n + 2 < len; n++)
        assert_int_equal(read_text(&dir, text, n, &got, &mem, &err), RC_E_DATA);
    for (size_t i = 0; i < len; i++) {
        text[i] = (char)(text[i] ^ 5);
        if (read_text(&dir, text, len, &got, &mem, &err) == RC_OK)
            rc_parts_free(&got);
        text[i] = (char)(text[i] ^ 5);
    }
    rc_mem_put(&mem, text);
    for (size_t k = 1;; k++) { /* memory that is refused */
        rc_mem poor = { .fail_at = k };
        const rc_code rc = read_text(&dir, least, strlen(least), &got, &poor, &err);

        if (rc == RC_OK)
            rc_parts_free(&got);
        assert_int_equal(poor.used, 0);
        if (rc == RC_OK)
            break;
        assert_int_equal(rc, RC_E_OS);
    }
    assert_int_equal(mem.used, 0);
    rc_dir_close(&dir);
    fx_remove(at.path);
}

static void test_parts_agree(void **state)
{
    rc_parts now = common;
    rc_err err;

    (void)state;
    now.count = 4;
    assert_int_equal(rc_parts_agree(&common, &now, "f", &err), RC_E_RESUME);
    assert_string_equal(err.want, "--part I/8");
    now = common;
    now.source_digest = "cc";
    assert_int_equal(rc_parts_agree(&common, &now, "f", &err), RC_E_RESUME);
    now = common;
    now.commit = NULL; /* the same files, but nobody says so */
    assert_int_equal(rc_parts_agree(&common, &now, "f", &err), RC_E_RESUME);
    now = common;
    now.version = "2";
    assert_int_equal(rc_parts_agree(&common, &now, "f", &err), RC_E_RESUME);
    assert_string_equal(err.want, "1");
    now = common;
    now.recipe_digest = "ab"; /* statistics of the same name */
    assert_int_equal(rc_parts_agree(&common, &now, "f", &err), RC_E_RESUME);
    assert_string_equal(err.want, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share_parse), cmocka_unit_test(test_share_split),
        cmocka_unit_test(test_share_names), cmocka_unit_test(test_parts_file),
        cmocka_unit_test(test_parts_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
