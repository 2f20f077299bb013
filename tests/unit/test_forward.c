/* tests/unit/test_forward.c - the whole pass: the logits depend on the weights and the tokens. */
#include "runtime/forward.h"

#include "tests/unit/runtime_model.h"

enum { N = 150, MANY = 400, V = 384 };

static fx_dir dir;
static uint32_t token[MANY];
static float want[2][N * V]; /* by numerics: all fed at once, on one thread */
static const rc_forward_options plain = { .threads = 1, .mem_limit = (uint64_t)1 << 30 };

typedef struct sink {
    float *logits;
    uint64_t next; /* position */
    size_t calls;
    size_t fail_after;
} sink;

static rc_code take(void *ctx, uint64_t pos, size_t n, const float *logits, rc_err *err)
{
    sink *s = ctx;

    assert_int_equal(pos, s->next);
    memcpy(s->logits + pos * V, logits, n * V * sizeof *logits);
    s->next += n;
    s->calls++;
    return s->fail_after && s->calls >= s->fail_after
               ? rc_fail(err, RC_E_IO, RC_NO_OFFSET, "the sink is full")
               : RC_OK;
}

static rc_forward *open_forward(rm *m, const char *name, const rc_forward_options *o)
{
    rc_forward *f = NULL;
    rc_err err;

    rm_open(m, fx_path(&dir, name));
    if (rc_model_require_whole(m->model, &err) != RC_OK ||
        rc_forward_new(&f, m->model, o, &err) != RC_OK)
        fail_msg("%s", err.msg);
    return f;
}

static void close_forward(rm *m, rc_forward **f)
{
    rc_forward_free(f);
    assert_null(*f);
    rm_close(m);
}

/* All tokens, `step` at a time; logits of each. */
static void feed_all(rc_forward *f, size_t step, float *logits)
{
    sink s = { .logits = logits };
    rc_err err;

    memset(logits, 0, N * V * sizeof *logits);
    for (size_t at = 0; at < N; at += step) {
        const size_t n = N - at < step ? N - at : step;

        if (rc_forward_feed(f, token + at, n, n, take, &s, &err) != RC_OK)
            fail_msg("position %zu: %s", at, err.msg);
        assert_int_equal(rc_forward_positions(f), at + n);
    }
    assert_int_equal(s.next, N);
}

static int setup(void **state)
{
    const rc_synth_options tiny = { .like = "tiny", .threads = 2 };

    (void)state;
    dir = fx_open(NULL);
    rm_synth(fx_path(&dir, "m"), &tiny);
    for (size_t i = 0; i < MANY; i++)
        token[i] = (uint32_t)((i * i * 7 + 13 * i + 5) % V);
    for (unsigned nm = 0; nm < 2; nm++) {
        rc_forward_options o = plain;
        rc_forward *f;
        rm m;

        o.numerics = nm ? RC_NUMERICS_NATIVE : RC_NUMERICS_F32;
        f = open_forward(&m, "m", &o);
        feed_all(f, N, want[nm]);
        close_forward(&m, &f);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fx_close(&dir);
    return 0;
}

static void expect_same(const rc_forward_options *o, size_t step, const char *what)
{
    static float got[N * V];
    rc_forward *f;
    rm m;

    f = open_forward(&m, "m", o);
    for (int again = 0; again < 2; again++) {
        feed_all(f, step, got);
        if (memcmp(got, want[o->numerics], sizeof got) != 0)
            fail_msg("%s, numerics %d, round %d: other bits", what, (int)o->numerics, again);
        rc_forward_forget(f);
        assert_int_equal(rc_forward_positions(f), 0);
    }
    close_forward(&m, &f);
}

static void test_forward_logits_are_numbers(void **state)
{
    double mean = 0, square = 0;

    (void)state;
    for (size_t i = 0; i < N * V; i++) {
        mean += want[0][i];
        square += (double)want[0][i] * want[0][i];
    }
    mean /= N * V;
    assert_true(square / (N * V) - mean * mean > 1e-3); /* not all alike */
    assert_true(memcmp(want[0], want[1], sizeof want[0]) != 0);
    assert_true(memcmp(want[0], want[0] + V, V * sizeof(float)) != 0);
}

static void test_forward_does_not_depend_on_the_cut(void **state)
{
    (void)state;
    for (unsigned nm = 0; nm < 2; nm++) {
        rc_forward_options o = plain;

        o.numerics = nm ? RC_NUMERICS_NATIVE : RC_NUMERICS_F32;
        expect_same(&o, 1, "one at a time");
        expect_same(&o, 7, "by sevens");
        expect_same(&o, 129, "129 and the rest");
    }
}

static void test_forward_does_not_depend_on_threads(void **state)
{
    (void)state;
    for (unsigned threads = 2; threads < 4; threads++) {
        rc_forward_options o = plain;

        o.threads = threads;
        expect_same(&o, N, "threads");
        o.numerics = RC_NUMERICS_NATIVE;
        expect_same(&o, 50, "threads, by fifties");
    }
}

/* So little memory that weights come and go. */
static void test_forward_does_not_depend_on_memory(void **state)
{
    rc_forward_options o = plain;
    rc_forward *f;
    rc_err err;
    rm m;

    (void)state;
    o.mem_limit = 100000;
    rm_open(&m, fx_path(&dir, "m"));
    assert_int_equal(rc_forward_new(&f, m.model, &o, &err), RC_E_LIMIT);
    assert_null(f);
    assert_non_null(strstr(err.want, "at least"));
    rm_close(&m);

    o.mem_limit = 7u << 20; /* half of it for 11 MB of weights */
    for (unsigned nm = 0; nm < 2; nm++) {
        o.numerics = nm ? RC_NUMERICS_NATIVE : RC_NUMERICS_F32;
        expect_same(&o, N, "little memory");
        expect_same(&o, 40, "little memory, by forties");
    }
}

/* The state of the tokens is more than a quarter of the limit: it goes to a file. */
static void test_forward_spills(void **state)
{
    static float got[2][MANY * V];
    rc_forward_options o = plain;

    (void)state;
    o.scratch = dir.path;
    for (unsigned little = 0; little < 2; little++) {
        sink s = { .logits = got[little] };
        rc_forward *f;
        rc_err err;
        rm m;

        o.mem_limit = little ? 8u << 20 : plain.mem_limit;
        f = open_forward(&m, "m", &o);
        if (rc_forward_feed(f, token, MANY, MANY, take, &s, &err) != RC_OK)
            fail_msg("%s", err.msg);
        assert_int_equal(rc_forward_spilled(f) > 0, little);
        assert_true(rc_forward_peak(f) <= o.mem_limit);
        if (little)
            assert_true(rc_forward_statistics(f).bytes_read > 8u << 20);
        close_forward(&m, &f);
    }
    assert_memory_equal(got[0], got[1], sizeof got[0]);
}

/* What blocks keep between two feeds does not grow with the threads: there are dozens of them. */
static void test_forward_keeps_no_room_for_threads(void **state)
{
    size_t held[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        rc_forward_options o = plain;
        rc_mem mem = { 0 };
        rc_forward *f;
        rc_err err;
        rm m;

        o.mem = &mem;
        o.threads = i ? 8 : 1;
        f = open_forward(&m, "m", &o);
        assert_int_equal(rc_forward_feed(f, token, 1, 0, NULL, NULL, &err), RC_OK);
        held[i] = mem.used;
        close_forward(&m, &f);
    }
    assert_true(held[1] < held[0] + (64u << 10));
}

/* The last `tail` tokens only. */
static void test_forward_tail(void **state)
{
    static float got[N * V];
    sink s = { .logits = got, .next = N - 3 };
    rc_forward *f;
    rc_err err;
    rm m;

    (void)state;
    f = open_forward(&m, "m", &plain);
    assert_int_equal(rc_forward_feed(f, token, 0, 0, take, &s, &err), RC_OK); /* nothing */
    assert_int_equal(rc_forward_feed(f, token, N - 10, 0, take, &s, &err), RC_OK);
    assert_int_equal(s.calls, 0);
    assert_int_equal(rc_forward_feed(f, token + N - 10, 10, 3, take, &s, &err), RC_OK);
    assert_int_equal(s.next, N);
    assert_memory_equal(got + (N - 3) * V, want[0] + (N - 3) * V, 3 * V * sizeof *got);
    rc_forward_forget(f);
    s = (sink){ .logits = got };
    assert_int_equal(rc_forward_feed(f, token, 5, 100, take, &s, &err), RC_OK); /* all there are */
    assert_memory_equal(got, want[0], 5 * V * sizeof *got);
    close_forward(&m, &f);
}

static void test_forward_refuses(void **state)
{
    static uint32_t many[4097];
    static float got[N * V];
    const uint32_t past[] = { 3, V };
    sink s = { .logits = got, .fail_after = 1 };
    rc_forward *f;
    rc_err err;
    rm m;

    (void)state;
    f = open_forward(&m, "m", &plain);
    assert_int_equal(rc_forward_feed(f, past, 2, 0, NULL, NULL, &err), RC_E_USAGE);
    assert_string_equal(err.msg, "token 384 at position 1 is past the vocabulary");
    assert_int_equal(rc_forward_feed(f, many, 4097, 0, NULL, NULL, &err), RC_E_USAGE);
    assert_non_null(strstr(err.want, "4096"));
    assert_int_equal(rc_forward_positions(f), 0);
    assert_int_equal(rc_forward_draft(f, 1, take, &s, &err), RC_E_INTERNAL); /* nothing kept */
    /* what the receiver says comes through; then from the beginning */
    assert_int_equal(rc_forward_feed(f, token, 9, 9, take, &s, &err), RC_E_IO);
    assert_string_equal(err.msg, "the sink is full");
    rc_forward_forget(f);
    feed_all(f, N, got);
    assert_memory_equal(got, want[0], sizeof got);
    close_forward(&m, &f);
}

/* ---- watching ---- */

typedef struct seen {
    uint64_t middle[8], streams[8], sublayer[8][2], experts[8], blocks[8];
    size_t fail_at, calls;
} seen;

static rc_code see_streams(void *ctx, uint32_t layer, uint64_t pos, size_t n, const float *h,
                           rc_err *err)
{
    seen *s = ctx;

    assert_int_equal(s->streams[layer], pos);
    assert_true(h[0] == h[0]);
    s->streams[layer] += n;
    s->calls++;
    return s->fail_at && s->calls == s->fail_at ? rc_fail(err, RC_E_IO, RC_NO_OFFSET, "seen enough")
                                                : RC_OK;
}

static rc_code see_middle(void *ctx, uint32_t layer, uint64_t pos, size_t n, const float *h,
                          rc_err *err)
{
    seen *s = ctx;

    (void)err;
    assert_int_equal(s->middle[layer], pos);
    assert_true(s->streams[layer] <= pos && h[0] == h[0]);
    s->middle[layer] += n;
    return RC_OK;
}

static rc_code see_sublayer(void *ctx, uint32_t layer, unsigned which, uint64_t pos, size_t n,
                            const float *y, rc_err *err)
{
    seen *s = ctx;

    (void)err;
    assert_int_equal(s->sublayer[layer][which], pos);
    assert_true(y[0] == y[0]);
    s->sublayer[layer][which] += n;
    return RC_OK;
}

static rc_code see_experts(void *ctx, uint32_t layer, uint64_t pos, size_t n, size_t k,
                           const uint32_t *id, const float *weight, rc_err *err)
{
    seen *s = ctx;

    (void)err;
    assert_int_equal(s->experts[layer], pos);
    assert_int_equal(k, 2);
    for (size_t t = 0; t < n; t++) {
        /* in hash layers a table may name one twice */
        assert_true(layer == 0 ? id[2 * t] <= id[2 * t + 1] : id[2 * t] < id[2 * t + 1]);
        assert_true(id[2 * t + 1] < 8);
        assert_true(weight[2 * t] > 0 && weight[2 * t] + weight[2 * t + 1] > 1.4999f &&
                    weight[2 * t] + weight[2 * t + 1] < 1.5001f);
    }
    s->experts[layer] += n;
    return RC_OK;
}

static rc_code see_blocks(void *ctx, uint32_t layer, uint64_t pos, size_t n, size_t visible,
                          const uint32_t *block, rc_err *err)
{
    seen *s = ctx;

    (void)err;
    assert_true(layer == 2 || layer == 4);
    assert_int_equal(visible, (pos + 1) / 4);
    assert_int_equal(n, visible < 8 ? visible : 8);
    for (size_t i = 0; i < n; i++)
        assert_true(block[i] < visible && (i == 0 || block[i - 1] < block[i]));
    s->blocks[layer]++;
    return RC_OK;
}

static void test_forward_can_be_watched(void **state)
{
    static float got[N * V];
    _Atomic uint64_t steps = 0;
    seen s = { 0 };
    const rc_watch watch = { .ctx = &s,
                             .middle = see_middle,
                             .streams = see_streams,
                             .sublayer = see_sublayer,
                             .experts = see_experts,
                             .blocks = see_blocks };
    rc_forward_options o = plain;
    rc_forward *f;
    rc_err err;
    rm m;

    (void)state;
    o.watch = &watch;
    o.steps = &steps;
    f = open_forward(&m, "m", &o);
    feed_all(f, 60, got);
    assert_memory_equal(got, want[0], sizeof got);
    assert_int_equal(steps, 5 * 3);
    for (unsigned l = 0; l < 5; l++) {
        assert_int_equal(s.streams[l], N);
        assert_int_equal(s.middle[l], N);
        assert_int_equal(s.sublayer[l][0], N);
        assert_int_equal(s.sublayer[l][1], N);
        assert_int_equal(s.experts[l], N);
        assert_true(s.blocks[l] == 0 || l == 2 || l == 4);
    }
    assert_true(s.blocks[2] >= N - 3 && s.blocks[2] <= N && s.blocks[4] == s.blocks[2]);
    /* a watch that fails stops the pass */
    rc_forward_forget(f);
    s = (seen){ .fail_at = 2 };
    assert_int_equal(rc_forward_feed(f, token, 5, 0, NULL, NULL, &err), RC_E_IO);
    assert_int_equal(s.calls, 2);
    close_forward(&m, &f);
}

/* Layers 1 and 2 alone; and an end past the last layer is the last. */
static void test_forward_some_layers(void **state)
{
    static float got[N * V];
    rc_forward_options o = plain;
    seen s = { 0 };
    const rc_watch watch = { .ctx = &s, .streams = see_streams };
    rc_forward *f;
    rc_err err;
    rm m;

    (void)state;
    o.first = 1;
    o.end = 3;
    o.watch = &watch;
    f = open_forward(&m, "m", &o);
    assert_int_equal(rc_forward_feed(f, token, 4, 0, NULL, NULL, &err), RC_OK);
    assert_true(s.streams[0] == 0 && s.streams[1] == 4 && s.streams[2] == 4 && s.streams[3] == 0);
    close_forward(&m, &f);
    o = plain;
    o.end = 99;
    f = open_forward(&m, "m", &o);
    feed_all(f, N, got);
    assert_memory_equal(got, want[0], sizeof got);
    close_forward(&m, &f);
}

/* ---- the draft ---- */

static void test_forward_draft(void **state)
{
    static float got[N * V], whole[N * V];
    rc_forward_options o = plain;
    rc_forward *f;
    sink s;
    rc_err err;
    rm m;

    (void)state;
    o.keep_streams = true;
    f = open_forward(&m, "m", &o);
    feed_all(f, N, got);
    assert_memory_equal(got, want[0], sizeof got);
    s = (sink){ .logits = whole };
    assert_int_equal(rc_forward_draft(f, 1, take, &s, &err), RC_OK);
    assert_int_equal(s.next, N - 1);
    assert_true(memcmp(whole, want[0], sizeof whole) != 0);
    assert_int_equal(rc_forward_draft(f, 1, take, &s, &err), RC_E_INTERNAL); /* once */
    /* causal: the first 20 tokens alone give the same */
    rc_forward_forget(f);
    assert_int_equal(rc_forward_feed(f, token, 20, 0, NULL, NULL, &err), RC_OK);
    s = (sink){ .logits = got };
    assert_int_equal(rc_forward_draft(f, 1, take, &s, &err), RC_OK);
    assert_int_equal(s.next, 19);
    assert_memory_equal(got, whole, 19 * V * sizeof *got);
    /* one token has no next one */
    rc_forward_forget(f);
    assert_int_equal(rc_forward_feed(f, token, 1, 0, NULL, NULL, &err), RC_OK);
    s = (sink){ .logits = got };
    assert_int_equal(rc_forward_draft(f, 1, take, &s, &err), RC_OK);
    assert_int_equal(s.calls, 0);
    close_forward(&m, &f);
}

/* ---- memory ---- */

/* A feed of some tokens and a draft, refused at the k-th allocation: an error, and from the
 * beginning again it works. */
static void test_forward_survives_no_memory(void **state)
{
    static float got[N * V], draft[N * V];
    enum { FEW = 9 };
    bool undisturbed = false;

    (void)state;
    for (size_t k = 1; !undisturbed; k += k < 40 ? 1 : 7) {
        rc_forward_options o = plain;
        sink s = { .logits = got };
        rc_mem mem = { 0 };
        rc_forward *f;
        rc_code rc;
        rc_err err;
        rm m;

        o.mem = &mem;
        o.keep_streams = true;
        o.numerics = k % 2 ? RC_NUMERICS_NATIVE : RC_NUMERICS_F32;
        f = open_forward(&m, "m", &o);
        mem.fail_at = mem.calls + k;
        rc = rc_forward_feed(f, token, FEW, FEW, take, &s, &err);
        if (rc == RC_OK) {
            s = (sink){ .logits = draft };
            rc = rc_forward_draft(f, 1, take, &s, &err);
        }
        undisturbed = mem.calls < mem.fail_at;
        assert_true(rc == RC_OK || (rc == RC_E_OS && !undisturbed));
        mem.fail_at = 0;
        rc_forward_forget(f);
        s = (sink){ .logits = got };
        assert_int_equal(rc_forward_feed(f, token, FEW, FEW, take, &s, &err), RC_OK);
        assert_memory_equal(got, want[o.numerics], FEW * V * sizeof *got);
        close_forward(&m, &f);
        assert_int_equal(mem.used, 0);
        assert_true(k < 4000);
    }
}

/* The same for a new pass; and for any limit, down to none. */
static void test_forward_new_survives_no_memory(void **state)
{
    bool undisturbed = false;

    (void)state;
    for (size_t k = 1; !undisturbed; k++) {
        rc_forward_options o = plain;
        rc_mem mem = { .fail_at = k };
        rc_forward *f;
        rc_code rc;
        rc_err err;
        rm m;

        o.mem = &mem;
        rm_open(&m, fx_path(&dir, "m"));
        rc = rc_forward_new(&f, m.model, &o, &err);
        undisturbed = mem.calls < k;
        assert_int_equal(rc, undisturbed ? RC_OK : RC_E_OS);
        rc_forward_free(&f);
        assert_int_equal(mem.used, 0);
        rm_close(&m);
    }
}

static void test_forward_any_limit(void **state)
{
    static float got[9 * V];
    rc_code rc = RC_E_OS;

    (void)state;
    for (uint64_t limit = 20u << 10; rc != RC_OK; limit += limit / 8) {
        rc_forward_options o = plain;
        sink s = { .logits = got };
        rc_mem mem = { 0 };
        rc_forward *f;
        rc_err err;
        rm m;

        o.mem = &mem;
        o.mem_limit = limit;
        rm_open(&m, fx_path(&dir, "m"));
        rc = rc_forward_new(&f, m.model, &o, &err);
        if (rc == RC_OK)
            rc = rc_forward_feed(f, token, 9, 9, take, &s, &err);
        assert_true(rc == RC_OK || rc == RC_E_OS || rc == RC_E_LIMIT);
        rc_forward_free(&f);
        assert_int_equal(mem.used, 0);
        assert_true(mem.peak <= limit);
        rm_close(&m);
        assert_true(limit < 16u << 20);
    }
    assert_memory_equal(got, want[0], sizeof got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_logits_are_numbers),
        cmocka_unit_test(test_forward_does_not_depend_on_the_cut),
        cmocka_unit_test(test_forward_does_not_depend_on_threads),
        cmocka_unit_test(test_forward_does_not_depend_on_memory),
        cmocka_unit_test(test_forward_spills),
        cmocka_unit_test(test_forward_keeps_no_room_for_threads),
        cmocka_unit_test(test_forward_tail),
        cmocka_unit_test(test_forward_refuses),
        cmocka_unit_test(test_forward_can_be_watched),
        cmocka_unit_test(test_forward_some_layers),
        cmocka_unit_test(test_forward_draft),
        cmocka_unit_test(test_forward_survives_no_memory),
        cmocka_unit_test(test_forward_new_survives_no_memory),
        cmocka_unit_test(test_forward_any_limit),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
