/* tests/unit/test_attention.c - attention of whole blocks: against double, and against itself
 * fed otherwise. */
#include "tests/unit/plain_attention.h"

#include "convert/synth.h"
#include "kernels/cpu.h"
#include "runtime/attention.h"
#include "tests/unit/random.h"

enum { N = 264, D = 256 }; /* positions: two blocks of 128, 66 of 4, of which 8 are looked at */

static fx_dir dir;
static rc_mem mem;
static size_t fixed; /* bytes of the model, its weights included */
static rc_ckpt *ckpt;
static rc_model *model;
static rc_engine engine;
static float x[N * D];

/* Window only, heavily compressed, compressed with an indexer. */
static const rc_block_id blocks[] = { { .prefix = "layers.0.", .layer = 0, .ratio = 0 },
                                      { .prefix = "layers.1.", .layer = 1, .ratio = 128 },
                                      { .prefix = "layers.2.", .layer = 2, .ratio = 4 } };

/* ---- one block, fed in runs ---- */

typedef struct machine {
    rc_attention *a;
    rc_kv *kv;
    rc_attention_work *work;
    rc_input *in;
} machine;

static void machine_free(machine *m)
{
    rc_attention_free(&m->a);
    rc_kv_free(&m->kv);
    rc_attention_work_free(&m->work);
    rc_input_free(&m->in);
}

static rc_code machine_new(machine *m, const rc_block_id *id, rc_err *err)
{
    *m = (machine){ 0 };
    RC_TRY(rc_attention_new(&m->a, &engine, id, err));
    RC_TRY(rc_kv_new(&m->kv, &engine, id, err));
    RC_TRY(rc_attention_work_new(&m->work, &engine, err));
    return rc_input_new(&m->in, &engine, err);
}

static void open_machine(machine *m, const rc_block_id *id)
{
    rc_err err;

    if (machine_new(m, id, &err) != RC_OK)
        fail_msg("%s", err.msg);
}

static rc_code feed(machine *m, size_t n, float *y, rc_err *err)
{
    const size_t at = (size_t)rc_kv_positions(m->kv);

    return rc_attention_run(m->a, m->kv, m->work, m->in, x + at * D, n, y + at * D, err);
}

/* Positions up to `end` in runs of `step`. */
static void feed_to(machine *m, size_t end, size_t step, float *y)
{
    rc_err err;

    for (size_t at; (at = (size_t)rc_kv_positions(m->kv)) < end;)
        if (feed(m, end - at < step ? end - at : step, y, &err) != RC_OK)
            fail_msg("position %zu: %s", at, err.msg);
}

static void run_block(const rc_block_id *id, size_t step, float *y)
{
    machine m;

    open_machine(&m, id);
    rc_attention_want(m.a);
    feed_to(&m, N, step, y);
    rc_attention_done(m.a);
    machine_free(&m);
    if (fixed)
        assert_int_equal(mem.used, fixed);
}

/* ---- the model ---- */

static int setup(void **state)
{
    const rc_synth_options tiny = { .like = "tiny", .threads = 2, .layers = 3, .experts = 2 };
    rc_synth_result made;
    static float y[N * D];
    rc_source *source;
    uint64_t seed = 77;
    rc_err err;

    (void)state;
    dir = fx_open(NULL);
    if (rc_synth(fx_path(&dir, "m"), &tiny, &made, &mem, &err) != RC_OK ||
        rc_source_open(&source, fx_path(&dir, "m"), NULL, &mem, &err) != RC_OK ||
        rc_ckpt_open(&ckpt, source, NULL, &mem, &err) != RC_OK ||
        rc_model_new(&model, ckpt, &mem, &err) != RC_OK ||
        rc_weights_open(&engine.weights, model, NULL, 64u << 20, 1, &mem, &err) != RC_OK)
        fail_msg("%s", err.msg);
    engine.config = rc_ckpt_config(ckpt);
    engine.mem = &mem;
    engine.threads = 2;
    assert_int_equal(engine.config->hidden_size, D);
    for (size_t i = 0; i < N * D; i++)
        x[i] = rnd_cut_bf16(rnd_f32(&seed) * 2);
    for (size_t b = 0; b < 3; b++) /* from here on all weights are there */
        run_block(&blocks[b], N, y);
    fixed = mem.used;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rc_weights_close(&engine.weights);
    rc_model_free(&model);
    rc_ckpt_close(&ckpt);
    fx_close(&dir);
    return mem.used != 0;
}

/* ---- against double ---- */

/* How many elements differ by more than `bound` times the root mean square; the worst. */
static size_t count_far(const float *y, const double *want, double bound, double *worst)
{
    double sum = 0;
    size_t far = 0;

    for (size_t i = 0; i < N * D; i++)
        sum += want[i] * want[i];
    sum = sqrt(sum / (N * D));
    assert_true(sum > 1e-4);
    *worst = 0;
    for (size_t i = 0; i < N * D; i++) {
        *worst = fmax(*worst, fabs(y[i] - want[i]) / sum);
        far += fabs(y[i] - want[i]) > bound * sum;
    }
    return far;
}

static void test_attention_f32_is_the_description(void **state)
{
    static float y[N * D];
    static double want[N * D];
    double worst;

    (void)state;
    engine.numerics = RC_NUMERICS_F32;
    for (size_t b = 0; b < 3; b++) {
        run_block(&blocks[b], N, y);
        plain_attention(&engine, &blocks[b], x, N, want);
        if (count_far(y, want, 2e-5, &worst))
            fail_msg("ratio %u: off by %g of the mean square", blocks[b].ratio, worst);
    }
}

/* Rounded where the description says: most elements are the same number, and those that are
 * not have met a tie on their way. */
static void test_attention_native_is_the_description(void **state)
{
    static float y[N * D];
    static double want[N * D];

    (void)state;
    engine.numerics = RC_NUMERICS_NATIVE;
    for (size_t b = 0; b < 3; b++) {
        double worst;
        size_t far;

        run_block(&blocks[b], N, y);
        plain_attention(&engine, &blocks[b], x, N, want);
        far = count_far(y, want, 1e-6, &worst);
        if (far > N * D / 10 || worst > 0.1)
            fail_msg("ratio %u: %zu of %d differ, by up to %g", blocks[b].ratio, far, N * D, worst);
    }
}

/* ---- against itself ---- */

static void expect_same(const rc_block_id *id, const float *whole, size_t step, const char *what)
{
    static float y[N * D];

    memset(y, 0, sizeof y);
    run_block(id, step, y);
    if (memcmp(y, whole, sizeof y) != 0)
        fail_msg("ratio %u, numerics %d: %s: other bits", id->ratio, (int)engine.numerics, what);
}

static void test_attention_bits_depend_on_values_only(void **state)
{
    static float whole[N * D];

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        const rc_block_id *id = &blocks[i / 2];

        engine.numerics = i % 2 ? RC_NUMERICS_NATIVE : RC_NUMERICS_F32;
        run_block(id, N, whole);
        expect_same(id, whole, 1, "one by one");
        engine.threads = 5;
        expect_same(id, whole, 37, "by 37, five threads");
        engine.threads = 1;
        expect_same(id, whole, 129, "by 129, one thread");
        engine.threads = 2;
        assert_true(rc_cpu_force("ref"));
        expect_same(id, whole, N, "the reference kernels");
        assert_true(rc_cpu_force("auto"));
    }
}

static void test_attention_forgets(void **state)
{
    static float whole[N * D], y[N * D];
    machine m;

    (void)state;
    engine.numerics = RC_NUMERICS_NATIVE;
    for (size_t b = 0; b < 3; b++) {
        run_block(&blocks[b], N, whole);
        open_machine(&m, &blocks[b]);
        feed_to(&m, 201, 67, y);
        rc_kv_forget(m.kv);
        assert_int_equal(rc_kv_positions(m.kv), 0);
        feed_to(&m, N, 50, y);
        machine_free(&m);
        assert_memory_equal(whole, y, sizeof y);
    }
}

/* ---- the watch ---- */

typedef struct seen {
    uint64_t next;
    size_t full;
} seen;

static rc_code look(void *ctx, uint32_t layer, uint64_t pos, size_t n, size_t visible,
                    const uint32_t *block, rc_err *err)
{
    seen *s = ctx;

    (void)err;
    assert_int_equal(layer, 2);
    assert_int_equal(pos, s->next++);
    assert_int_equal(visible, (pos + 1) / 4);
    assert_int_equal(n, visible < 8 ? visible : 8);
    for (size_t i = 0; i < n; i++) {
        assert_true(block[i] < visible);
        assert_true(i == 0 || block[i] > block[i - 1]);
    }
    s->full += visible > 8;
    return RC_OK;
}

static rc_code refuse(void *ctx, uint32_t layer, uint64_t pos, size_t n, size_t visible,
                      const uint32_t *block, rc_err *err)
{
    (void)ctx, (void)layer, (void)pos, (void)n, (void)visible, (void)block;
    return rc_fail(err, RC_E_STOPPED, RC_NO_OFFSET, "enough");
}

static void test_attention_is_watched(void **state)
{
    static float y[N * D];
    seen s = { 0 };
    const rc_watch watch = { .ctx = &s, .blocks = look }, angry = { .blocks = refuse };
    machine m;
    rc_err err;

    (void)state;
    engine.watch = &watch;
    run_block(&blocks[2], 40, y);
    assert_int_equal(s.next, N);
    assert_int_equal(s.full, N - 35);
    engine.watch = &angry;
    open_machine(&m, &blocks[2]);
    assert_int_equal(feed(&m, 3, y, &err), RC_E_STOPPED);
    assert_int_equal(rc_kv_positions(m.kv), 0);
    machine_free(&m);
    engine.watch = NULL;
}

/* ---- memory ---- */

static void test_attention_takes_the_memory_it_says(void **state)
{
    static float y[N * D];
    const size_t ends[] = { 0, 3, 70, N };
    machine m;

    (void)state;
    for (size_t b = 0; b < 3; b++)
        for (size_t k = 0; k < 4; k++) {
            size_t with;
            uint64_t says, took;

            open_machine(&m, &blocks[b]);
            feed_to(&m, ends[k], 1, y);
            with = mem.used;
            rc_kv_free(&m.kv);
            took = with - mem.used;
            says = rc_kv_nbytes(engine.config, blocks[b].ratio, ends[k]);
            if (took < says / 2 || took > says + says / 2 + 4096)
                fail_msg("ratio %u, %zu positions: %" PRIu64 " bytes, not %" PRIu64,
                         blocks[b].ratio, ends[k], took, says);
            machine_free(&m);
        }
}

/* Refused at every allocation in turn: an error, nothing lost, and the run can be fed again. */
static void test_attention_survives_no_memory(void **state)
{
    static float whole[N * D], y[N * D];
    rc_code rc = RC_E_OS;
    machine m;
    rc_err err;

    (void)state;
    engine.numerics = RC_NUMERICS_NATIVE;
    for (size_t k = 1; rc != RC_OK; k++) {
        mem.fail_at = mem.calls + k;
        rc = machine_new(&m, &blocks[2], &err);
        assert_true(rc == RC_OK || rc == RC_E_OS);
        machine_free(&m);
        assert_int_equal(mem.used, fixed);
    }
    mem.fail_at = 0;
    run_block(&blocks[2], N, whole);
    rc = RC_E_OS;
    for (size_t k = 1; rc != RC_OK; k++) {
        open_machine(&m, &blocks[2]);
        feed_to(&m, 50, 50, y);
        mem.fail_at = mem.calls + k;
        rc = feed(&m, N - 50, y, &err);
        mem.fail_at = 0;
        assert_true(rc == RC_OK || rc == RC_E_OS);
        feed_to(&m, N, N, y);
        machine_free(&m);
        assert_memory_equal(whole, y, sizeof y);
        assert_int_equal(mem.used, fixed);
    }
}

/* ---- sizes that the kernels cannot take ---- */

static void refuse_sizes(const rc_config *c, const char *says)
{
    rc_engine e = engine;
    rc_attention *a;
    rc_err err;

    e.config = c;
    assert_int_equal(rc_attention_new(&a, &e, &blocks[2], &err), RC_E_UNSUPPORTED);
    assert_null(a);
    if (!strstr(err.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
}

static void test_attention_refuses_odd_sizes(void **state)
{
    rc_config c = *engine.config;

    (void)state;
    c.head_dim = 72;
    refuse_sizes(&c, "head_dim is not a multiple of 32");
    c = *engine.config;
    c.qk_rope_head_dim = 96;
    refuse_sizes(&c, "head_dim - qk_rope_head_dim");
    c = *engine.config;
    c.index_head_dim = 96;
    refuse_sizes(&c, "index_head_dim");
    c.index_head_dim = 1024;
    refuse_sizes(&c, "index_head_dim");
    c = *engine.config;
    c.q_lora_rank = 100;
    refuse_sizes(&c, "q_lora_rank");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention_f32_is_the_description),
        cmocka_unit_test(test_attention_native_is_the_description),
        cmocka_unit_test(test_attention_bits_depend_on_values_only),
        cmocka_unit_test(test_attention_forgets),
        cmocka_unit_test(test_attention_is_watched),
        cmocka_unit_test(test_attention_takes_the_memory_it_says),
        cmocka_unit_test(test_attention_survives_no_memory),
        cmocka_unit_test(test_attention_refuses_odd_sizes),
    };

    return cmocka_run_group_tests_name("attention", tests, setup, teardown);
}
