/* tests/unit/test_convert_many.c - several targets of one source: stopped inside tensors, without
 * memory, and what is kept of a commit. */
#include "convert/convert.h"
#include "convert/pin.h"
#include "convert/synth.h"
#include "tests/unit/fixture.h"

enum { TARGETS = 2 };

typedef struct model {
    rc_ckpt *ckpt;
    rc_model *model;
    rc_plan *plan[TARGETS];
} model;

static rc_code open_model(model *m, const char *src, rc_mem *mem, rc_err *err)
{
    const rc_recipe recipes[TARGETS] = { { .target = RC_TO_FP8, .scale_dtype = RC_DTYPE_F32 },
                                         { .target = RC_TO_BF16 } };
    rc_source *source;

    *m = (model){ 0 };
    RC_TRY(rc_source_open(&source, src, NULL, mem, err));
    RC_TRY(rc_ckpt_open(&m->ckpt, source, NULL, mem, err));
    RC_TRY(rc_model_new(&m->model, m->ckpt, mem, err));
    for (unsigned i = 0; i < TARGETS; i++)
        RC_TRY(rc_plan_new(&m->plan[i], m->model, &recipes[i], NULL, mem, err));
    return RC_OK;
}

static void close_model(model *m)
{
    for (unsigned i = 0; i < TARGETS; i++)
        rc_plan_free(&m->plan[i]);
    rc_model_free(&m->model);
    rc_ckpt_close(&m->ckpt);
}

/* Into DIR/a0 and DIR/a1, or b0 and b1. */
static rc_code convert(const char *dir, char name, const rc_execute_opts *how, uint64_t *kept,
                       rc_mem *mem, rc_err *err)
{
    const rc_convert_opts opts = { .execute = *how };
    rc_convert_target targets[TARGETS] = { 0 };
    char src[300], dst[TARGETS][300];
    model m;
    rc_code rc;

    snprintf(src, sizeof src, "%s/src", dir);
    rc = open_model(&m, src, mem, err);
    for (unsigned i = 0; i < TARGETS; i++) {
        snprintf(dst[i], sizeof dst[i], "%s/%c%u", dir, name, i);
        targets[i].plan = m.plan[i];
        targets[i].dst = dst[i];
    }
    if (rc == RC_OK)
        rc = rc_convert_all(targets, TARGETS, &opts, mem, err);
    if (kept)
        *kept = targets[0].report.kept + targets[1].report.kept;
    close_model(&m);
    return rc;
}

static fx_dir make_source(unsigned layers)
{
    const rc_synth_options options = {
        .like = "tiny", .threads = 1, .layers = layers, .experts = 2
    };
    fx_dir dir = fx_open(NULL);
    rc_synth_result made;
    rc_mem mem = { 0 };
    char src[300];
    rc_err err;

    snprintf(src, sizeof src, "%s/src", dir.path);
    assert_int_equal(rc_synth(src, &options, &made, &mem, &err), RC_OK);
    return dir;
}

static void assert_same_shards(const char *dir)
{
    char command[1024];

    for (unsigned i = 0; i < TARGETS; i++) {
        snprintf(command, sizeof command,
                 "cd '%s' && for f in a%u/*.safetensors a%u/recast.jsonl; do cmp \"$f\" "
                 "\"b%u/${f#a%u/}\" || exit 1; done",
                 dir, i, i, i, i);
        assert_int_equal(system(command), 0);
    }
}

/* Each allocation fails in turn; after each failure the same command goes on, and what it makes
 * is what an undisturbed run makes. The state of every tensor is kept often. */
static void test_convert_many_survives_no_memory(void **state)
{
    const rc_execute_opts how = { .threads = 1, .require_exact = true, .keep_every = 1 << 16 };
    fx_dir dir = make_source(1);
    rc_mem mem = { 0 };
    rc_code rc;
    rc_err err;
    size_t calls;

    (void)state;
    assert_int_equal(convert(dir.path, 'a', &how, NULL, &mem, &err), RC_OK);
    calls = mem.calls;
    assert_int_equal(mem.used, 0);
    for (size_t k = 1; k <= calls; k += 1 + k / 12) {
        mem = (rc_mem){ .fail_at = k };
        rc = convert(dir.path, 'b', &how, NULL, &mem, &err);
        assert_int_equal(mem.used, 0);
        if (rc != RC_OK)
            assert_int_equal(rc, RC_E_OS);
    }
    mem = (rc_mem){ 0 };
    assert_int_equal(convert(dir.path, 'b', &how, NULL, &mem, &err), RC_OK);
    assert_same_shards(dir.path);
    fx_close(&dir);
}

/* ------------------------------------------------------------------- commits */

static void test_pin(void **state)
{
    static const char *const bad[] = { "",
                                       "{",
                                       "[]",
                                       "{\"where\":\"hf://a/b\"}",
                                       "{\"where\":\"hf://a/c\",\"commit\":\"0123abcd\"}",
                                       "{\"where\":\"hf://a/b\",\"commit\":\"../../x\"}",
                                       "{\"where\":\"hf://a/b\",\"commit\":12}" };
    static const char good[] = "{\"where\":\"hf://a/b\",\"commit\":\"0123abcd\"}";
    fx_dir fx = fx_open(NULL);
    char commit[RC_PIN_COMMIT];
    rc_mem mem = { 0 };
    rc_dir dir;
    rc_err err;

    (void)state;
    assert_int_equal(rc_dir_open(&dir, fx.path, false, &err), RC_OK);
    assert_false(rc_pin_find(&dir, "pin", "hf://a/b", commit, &mem));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(rc_dir_put(&dir, "pin", bad[i], strlen(bad[i]), &err), RC_OK);
        assert_false(rc_pin_find(&dir, "pin", "hf://a/b", commit, &mem));
    }
    assert_int_equal(rc_dir_put(&dir, "pin", good, strlen(good), &err), RC_OK);
    assert_true(rc_pin_find(&dir, "pin", "hf://a/b", commit, &mem));
    assert_string_equal(commit, "0123abcd");
    rc_dir_close(&dir);
    assert_int_equal(mem.used, 0);
    fx_close(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convert_many_survives_no_memory),
        cmocka_unit_test(test_pin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
