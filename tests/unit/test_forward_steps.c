/* tests/unit/test_forward_steps.c - the pass a layer at a time: windows side by side, a pass that
 * follows another, a layer run for the watcher only. */
#include "runtime/forward.h"

#include "tests/unit/runtime_model.h"

enum { N = 150, MANY = 400, V = 384, LAYERS = 5, WIDE = 4 * 256 };

static fx_dir dir;
static uint32_t token[MANY];
static const rc_forward_options plain = { .threads = 1, .mem_limit = (uint64_t)1 << 30 };

/* ---- a pass ---- */

static rc_forward *open_forward(rm *m, const char *name, const rc_forward_options *o)
{
    rc_forward *f = NULL;
    rc_err err;

    rm_open(m, fx_path(&dir, name));
    if (rc_forward_new(&f, m->model, o, &err) != RC_OK)
        fail_msg("%s", err.msg);
    return f;
}

static void close_forward(rm *m, rc_forward **f)
{
    rc_forward_free(f);
    rm_close(m);
}

static void begin(rc_forward *f, size_t n, size_t window)
{
    rc_err err;

    if (rc_forward_begin(f, token, n, window, &err) != RC_OK)
        fail_msg("%s", err.msg);
}

static void step_to(rc_forward *f, uint32_t layer)
{
    rc_err err;

    while (rc_forward_next_layer(f) < layer)
        if (rc_forward_step(f, &err) != RC_OK)
            fail_msg("layer %u: %s", rc_forward_next_layer(f), err.msg);
}

static void logits_of(rc_forward *f, size_t n, float *logits)
{
    const size_t most = rc_forward_run(f);
    rc_err err;

    for (size_t at = 0; at < n; at += most)
        if (rc_forward_logits(f, at, n - at < most ? n - at : most, logits + at * V, &err) != RC_OK)
            fail_msg("token %zu: %s", at, err.msg);
}

static void streams_of(rc_forward *f, float *h)
{
    rc_err err;

    if (rc_forward_streams(f, 0, N, h, &err) != RC_OK)
        fail_msg("%s", err.msg);
}

static rc_code take(void *ctx, uint64_t pos, size_t n, const float *logits, rc_err *err)
{
    (void)err;
    memcpy((float *)ctx + pos * V, logits, n * V * sizeof *logits);
    return RC_OK;
}

/* Every window of token[n] fed by itself. */
static void feed_windows(const rc_forward_options *o, size_t n, size_t window, float *logits)
{
    rc_forward *f;
    rc_err err;
    rm m;

    f = open_forward(&m, "m", o);
    for (size_t at = 0; at < n; at += window) {
        const size_t now = n - at < window ? n - at : window;

        if (rc_forward_feed(f, token + at, now, now, take, logits + at * V, &err) != RC_OK)
            fail_msg("%s", err.msg);
        rc_forward_forget(f);
    }
    close_forward(&m, &f);
}

static int setup(void **state)
{
    const rc_synth_options tiny = { .like = "tiny", .threads = 2 };

    (void)state;
    dir = fx_open(NULL);
    rm_synth(fx_path(&dir, "m"), &tiny);
    for (size_t i = 0; i < MANY; i++)
        token[i] = (uint32_t)((i * i * 7 + 13 * i + 5) % V);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fx_close(&dir);
    return 0;
}

/* ---- windows ---- */

static void expect_windows(const rc_forward_options *o, size_t n, size_t window, const float *want)
{
    static float got[MANY * V];
    rc_forward *f;
    rm m;

    f = open_forward(&m, "m", o);
    for (int again = 0; again < 2; again++) {
        memset(got, 0, sizeof got);
        begin(f, n, window);
        step_to(f, rc_forward_end_layer(f));
        logits_of(f, n, got);
        if (memcmp(got, want, n * V * sizeof *got) != 0)
            fail_msg("windows of %zu, numerics %d, %u threads, %" PRIu64 " bytes: other bits",
                     window, (int)o->numerics, o->threads, o->mem_limit);
        rc_forward_forget(f);
    }
    assert_int_equal(rc_forward_spilled(f) > 0, o->scratch != NULL);
    assert_true(rc_forward_peak(f) <= o->mem_limit);
    close_forward(&m, &f);
}

/* Ragged last ones, some shorter than a block of 4 and of 128, one longer than the text. */
static void test_windows_are_what_each_is_alone(void **state)
{
    static const size_t windows[] = { 3, 40, 131, 1000 };
    static float want[N * V];

    (void)state;
    for (unsigned nm = 0; nm < 2; nm++)
        for (unsigned w = 0; w < 4; w++) {
            rc_forward_options o = plain;

            o.numerics = nm ? RC_NUMERICS_NATIVE : RC_NUMERICS_F32;
            feed_windows(&o, N, windows[w], want);
            o.threads = 1 + (nm + w) % 3;
            expect_windows(&o, N, windows[w], want);
        }
}

/* The state of all windows goes to a file, weights come and go. */
static void test_windows_in_little_memory(void **state)
{
    static float want[MANY * V];
    rc_forward_options o = plain;

    (void)state;
    feed_windows(&o, MANY, 70, want);
    o.mem_limit = 8u << 20;
    o.scratch = dir.path;
    expect_windows(&o, MANY, 70, want);
}

/* A sequence is a window: only that must fit into the model's positions. */
static void test_windows_refuse(void **state)
{
    static uint32_t many[4100];
    static float got[N * V];
    const uint32_t past[] = { 3, V };
    rc_forward *f;
    rc_err err;
    rm m;

    (void)state;
    f = open_forward(&m, "m", &plain);
    assert_int_equal(rc_forward_step(f, &err), RC_E_INTERNAL); /* nothing begun */
    assert_int_equal(rc_forward_streams(f, 0, 1, got, &err), RC_E_INTERNAL);
    assert_int_equal(rc_forward_begin(f, token, 0, 4, &err), RC_E_USAGE);
    assert_int_equal(rc_forward_begin(f, token, 4, 0, &err), RC_E_USAGE);
    assert_int_equal(rc_forward_begin(f, many, 4100, 4097, &err), RC_E_USAGE);
    assert_non_null(strstr(err.want, "4096"));
    assert_int_equal(rc_forward_begin(f, past, 2, 1, &err), RC_E_USAGE);
    assert_string_equal(err.msg, "token 384 at position 1 is past the vocabulary");
    assert_int_equal(rc_forward_begin(f, many, 4100, 4096, &err), RC_OK);
    assert_int_equal(rc_forward_begin(f, token, 4, 4, &err), RC_E_INTERNAL); /* begun */
    assert_int_equal(rc_forward_feed(f, token, 4, 0, NULL, NULL, &err), RC_E_INTERNAL);
    rc_forward_forget(f);
    begin(f, N, 40);
    assert_int_equal(rc_forward_logits(f, 0, 1, got, &err), RC_E_INTERNAL); /* no layer yet */
    assert_int_equal(rc_forward_draft(f, 1, take, got, &err), RC_E_INTERNAL);
    step_to(f, LAYERS);
    assert_int_equal(rc_forward_step(f, &err), RC_E_INTERNAL); /* no layer left */
    assert_int_equal(rc_forward_logits(f, N - 1, 2, got, &err), RC_E_INTERNAL);
    assert_int_equal(rc_forward_logits(f, 0, rc_forward_run(f) + 1, got, &err), RC_E_INTERNAL);
    assert_int_equal(rc_forward_streams(f, N + 1, 0, got, &err), RC_E_INTERNAL);
    assert_int_equal(rc_forward_logits(f, N - 1, 1, got, &err), RC_OK);
    assert_int_equal(rc_forward_logits(f, 40, 0, got, &err), RC_OK); /* nothing scored there */
    close_forward(&m, &f);
}

/* ---- two passes ---- */

/* All layers, then one that a step has asked for: streams are copied, no weight is read. */
static void test_follow(void **state)
{
    static float want[N * V], got[N * V], h[2][N * WIDE];
    _Atomic uint64_t steps = 0;
    rc_forward_options o = plain;
    rc_forward *f, *leader;
    uint64_t bytes;
    rc_err err;
    rm m, other;

    (void)state;
    leader = open_forward(&other, "m", &plain);
    o.steps = &steps;
    o.numerics = RC_NUMERICS_NATIVE; /* what is copied is visibly not its own */
    f = open_forward(&m, "m", &o);
    begin(leader, N, 40);
    begin(f, N, 40);
    assert_int_equal(rc_forward_follow(f, leader, &err), RC_E_INTERNAL); /* not ahead */
    bytes = rc_forward_statistics(f).bytes_read;
    for (uint32_t l = 0; l < LAYERS; l++) {
        step_to(leader, l + 1);
        if (rc_forward_follow(f, leader, &err) != RC_OK)
            fail_msg("layer %u: %s", l, err.msg);
        streams_of(leader, h[0]);
        streams_of(f, h[1]);
        assert_memory_equal(h[0], h[1], sizeof h[0]);
    }
    assert_int_equal(rc_forward_statistics(f).bytes_read, bytes);
    assert_int_equal(steps, LAYERS);
    assert_int_equal(rc_forward_follow(f, leader, &err), RC_E_INTERNAL); /* no layer left */
    rc_forward_forget(f);
    rc_forward_forget(leader);

    o.numerics = RC_NUMERICS_F32;
    close_forward(&m, &f);
    f = open_forward(&m, "m", &o);
    feed_windows(&plain, N, 40, want);
    begin(leader, N, 40);
    begin(f, N, 40);
    step_to(f, 1); /* asks for layer 1 */
    step_to(leader, 2);
    assert_int_equal(rc_forward_follow(f, leader, &err), RC_OK);
    step_to(f, LAYERS);
    logits_of(f, N, got);
    assert_memory_equal(got, want, sizeof got);
    close_forward(&m, &f);
    close_forward(&other, &leader);
}

static void test_follow_refuses_other_tokens(void **state)
{
    rc_forward *f, *leader;
    rc_err err;
    rm m, other;

    (void)state;
    leader = open_forward(&other, "m", &plain);
    f = open_forward(&m, "m", &plain);
    begin(f, 8, 4);
    assert_int_equal(rc_forward_probe(f, leader, &err), RC_E_INTERNAL); /* nothing begun there */
    begin(leader, 8, 8);
    assert_int_equal(rc_forward_probe(f, leader, &err), RC_E_INTERNAL); /* other windows */
    rc_forward_forget(leader);
    begin(leader, 7, 4);
    assert_int_equal(rc_forward_probe(f, leader, &err), RC_E_INTERNAL); /* fewer */
    rc_forward_forget(leader);
    assert_int_equal(rc_forward_begin(leader, token + 1, 8, 4, &err), RC_OK);
    assert_int_equal(rc_forward_probe(f, leader, &err), RC_E_INTERNAL); /* other ids */
    step_to(leader, 1);
    assert_int_equal(rc_forward_follow(f, leader, &err), RC_E_INTERNAL);
    rc_forward_forget(leader);
    begin(leader, 8, 4);
    step_to(leader, 2);
    assert_int_equal(rc_forward_follow(f, leader, &err), RC_E_INTERNAL); /* two ahead */
    assert_int_equal(rc_forward_probe(f, leader, &err), RC_E_INTERNAL);
    close_forward(&m, &f);
    close_forward(&other, &leader);
}

/* What a watch sees of one layer after the other. */
typedef struct album {
    float middle[N * WIDE], streams[N * WIDE];
    uint64_t next[2], blocks; /* indices */
} album;

static rc_code see_middle(void *ctx, uint32_t layer, uint64_t at, size_t n, const float *h,
                          rc_err *err)
{
    album *a = ctx;

    (void)layer, (void)err;
    assert_int_equal(at, a->next[0]);
    memcpy(a->middle + at * WIDE, h, n * WIDE * sizeof *h);
    a->next[0] = (at + n) % N;
    return RC_OK;
}

static rc_code see_streams(void *ctx, uint32_t layer, uint64_t at, size_t n, const float *h,
                           rc_err *err)
{
    album *a = ctx;

    (void)layer, (void)err;
    assert_int_equal(at, a->next[1]);
    memcpy(a->streams + at * WIDE, h, n * WIDE * sizeof *h);
    a->next[1] = (at + n) % N;
    return RC_OK;
}

static rc_code see_blocks(void *ctx, uint32_t layer, uint64_t at, size_t n, size_t visible,
                          const uint32_t *block, rc_err *err)
{
    album *a = ctx;

    (void)layer, (void)block, (void)err;
    assert_int_equal(at, a->blocks);
    assert_int_equal(visible, (at % 40 + 1) / 4); /* of its window */
    assert_true(n <= visible);
    a->blocks = (at + 1) % N;
    return RC_OK;
}

static void test_probe(void **state)
{
    static float want[N * V], got[N * V], h[2][N * WIDE];
    static album seen, again;
    const rc_watch watch = {
        .ctx = &seen, .middle = see_middle, .streams = see_streams, .blocks = see_blocks
    };
    rc_forward_options o = plain;
    rc_forward *f, *leader;
    rc_err err;
    rm m, other;

    (void)state;
    o.watch = &watch;
    f = open_forward(&m, "m", &o);
    o.watch = NULL;
    o.numerics = RC_NUMERICS_NATIVE;
    leader = open_forward(&other, "m", &o);
    feed_windows(&plain, N, 40, want);
    begin(leader, N, 40);
    begin(f, N, 40);
    for (uint32_t l = 0; l < LAYERS; l++) {
        /* on its own streams: what the step will give */
        assert_int_equal(rc_forward_probe(f, f, &err), RC_OK);
        assert_int_equal(rc_forward_next_layer(f), l);
        again = seen;
        /* on another's: something else, and nothing is changed but what is seen */
        streams_of(f, h[0]);
        if (rc_forward_probe(f, leader, &err) != RC_OK)
            fail_msg("layer %u: %s", l, err.msg);
        assert_true(l == 0 || memcmp(&again, &seen, sizeof seen) != 0);
        streams_of(f, h[1]);
        assert_memory_equal(h[0], h[1], sizeof h[0]);
        step_to(f, l + 1);
        assert_memory_equal(&again, &seen, sizeof seen);
        streams_of(f, h[1]);
        assert_memory_equal(seen.streams, h[1], sizeof h[1]);
        assert_true(memcmp(seen.middle, h[1], sizeof h[1]) != 0);
        step_to(leader, l + 1);
    }
    assert_int_equal(rc_forward_probe(f, leader, &err), RC_E_INTERNAL); /* no layer left */
    logits_of(f, N, got);
    assert_memory_equal(got, want, sizeof got);
    close_forward(&m, &f);
    close_forward(&other, &leader);
}

/* The second flow goes to a file where both would be too much. */
static void test_probe_spills(void **state)
{
    rc_forward_options o = plain;
    rc_forward *f;
    rc_err err;
    rm m;

    (void)state;
    o.mem_limit = 8u << 20;
    o.scratch = dir.path;
    f = open_forward(&m, "m", &o);
    begin(f, 250, 40); /* 1.6 MB, of at most 2 */
    assert_int_equal(rc_forward_spilled(f), 0);
    assert_int_equal(rc_forward_probe(f, f, &err), RC_OK);
    assert_true(rc_forward_spilled(f) > 0);
    assert_true(rc_forward_peak(f) <= o.mem_limit);
    close_forward(&m, &f);
}

/* ---- memory ---- */

/* Steps, a probe, a layer followed, logits, refused at the k-th allocation. */
static rc_code go_through(rc_forward *f, rc_forward *leader, float *logits, rc_err *err)
{
    RC_TRY(rc_forward_begin(f, token, 9, 4, err));
    RC_TRY(rc_forward_probe(f, f, err));
    RC_TRY(rc_forward_follow(f, leader, err));
    while (rc_forward_next_layer(f) < LAYERS)
        RC_TRY(rc_forward_step(f, err));
    return rc_forward_logits(f, 0, 4, logits, err);
}

static void test_steps_survive_no_memory(void **state)
{
    static float want[N * V], got[N * V];
    bool undisturbed = false;
    rc_forward *leader;
    rm other;

    (void)state;
    feed_windows(&plain, 9, 4, want);
    leader = open_forward(&other, "m", &plain);
    begin(leader, 9, 4);
    step_to(leader, 1);
    for (size_t k = 1; !undisturbed; k += k < 40 ? 1 : 7) {
        rc_forward_options o = plain;
        rc_mem mem = { 0 };
        rc_forward *f;
        rc_code rc;
        rc_err err;
        rm m;

        o.mem = &mem;
        f = open_forward(&m, "m", &o);
        mem.fail_at = mem.calls + k;
        rc = go_through(f, leader, got, &err);
        undisturbed = mem.calls < mem.fail_at;
        assert_true(rc == RC_OK || (rc == RC_E_OS && !undisturbed));
        mem.fail_at = 0;
        rc_forward_forget(f);
        memset(got, 0, sizeof got);
        if (go_through(f, leader, got, &err) != RC_OK)
            fail_msg("allocation %zu: %s", k, err.msg);
        assert_memory_equal(got, want, 4 * V * sizeof *got);
        close_forward(&m, &f);
        assert_int_equal(mem.used, 0);
        assert_true(k < 4000);
    }
    close_forward(&other, &leader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_are_what_each_is_alone),
        cmocka_unit_test(test_windows_in_little_memory),
        cmocka_unit_test(test_windows_refuse),
        cmocka_unit_test(test_follow),
        cmocka_unit_test(test_follow_refuses_other_tokens),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_probe_spills),
        cmocka_unit_test(test_steps_survive_no_memory),
    };

    return cmocka_run_group_tests_name("forward_steps", tests, setup, teardown);
}
