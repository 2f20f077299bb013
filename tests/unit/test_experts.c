/* tests/unit/test_experts.c - which experts a token goes to, and what they give. */
#include "runtime/experts.h"

#include <math.h>

#include "runtime/router.h"
#include "tests/unit/random.h"
#include "tests/unit/runtime_model.h"

enum { T = 40, D = 256, I = 256, E = 8, K = 2 };

static fx_dir dir;
static float x[T * D];
static const rc_block_id scored = { .prefix = "layers.1.", .layer = 1 },
                         hashed = { .prefix = "layers.0.", .hash = true };

static int setup(void **state)
{
    const rc_synth_options tiny = { .like = "tiny", .layers = 2, .threads = 1 };
    uint64_t seed = 21;

    (void)state;
    dir = fx_open(NULL);
    rm_synth(fx_path(&dir, "m"), &tiny);
    for (size_t i = 0; i < T * D; i++)
        x[i] = rnd_cut_bf16(rnd_f32(&seed) * 3);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fx_close(&dir);
    return 0;
}

static void open_model(rm *m)
{
    rm_open(m, fx_path(&dir, "m"));
    rm_weights(m, 16u << 20, 1);
}

/* A matrix whole, in double's place. */
static float *matrix(rm *m, const rc_block_id *id, const char *name, size_t rows, size_t cols)
{
    float *out;
    rc_err err;

    if (rc_block_small(&m->e, id, name, rows * cols, &out, &err) != RC_OK)
        fail_msg("%s", err.msg);
    return out;
}

static double dot(const float *w, const double *v, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += w[i] * v[i];
    return sum;
}

/* ---- the router ---- */

static void test_pick_largest(void **state)
{
    static const float score[] = { 1, 5, 3, 5, -2, 5, 0 };
    uint32_t pick[7];

    (void)state;
    rc_pick_largest(score, 7, 2, pick); /* of equals the lower */
    assert_true(pick[0] == 1 && pick[1] == 3);
    rc_pick_largest(score, 7, 4, pick); /* ascending */
    assert_true(pick[0] == 1 && pick[1] == 2 && pick[2] == 3 && pick[3] == 5);
    rc_pick_largest(score, 7, 7, pick);
    for (uint32_t i = 0; i < 7; i++)
        assert_int_equal(pick[i], i);
}

static double score_of(const float *gate, const float *row)
{
    double in[D];

    for (size_t i = 0; i < D; i++)
        in[i] = row[i];
    return sqrt(log1p(exp(dot(gate, in, D))));
}

/* Chosen by score + bias, weighed by score alone. */
static void check_router(rm *m, const rc_block_id *id, const int64_t *table)
{
    float *gate = matrix(m, id, "ffn.gate.weight", E, D), *bias = NULL, weight[T * K];
    uint32_t token[T], expert[T * K];
    rc_router *r;
    rc_input *in;
    rc_err err;

    if (!table)
        bias = matrix(m, id, "ffn.gate.bias", 1, E);
    for (uint32_t t = 0; t < T; t++)
        token[t] = (t * 11) % 384;
    assert_int_equal(rc_input_new(&in, &m->e, &err), RC_OK);
    assert_int_equal(rc_router_new(&r, &m->e, id, &err), RC_OK);
    rc_router_want(r);
    /* a small run, then a larger one: memory grows */
    assert_int_equal(rc_router_pick(r, in, x, token, 3, expert, weight, &err), RC_OK);
    assert_int_equal(rc_router_pick(r, in, x, token, T, expert, weight, &err), RC_OK);
    rc_router_done(r);
    for (size_t t = 0; t < T; t++) {
        double s[E], sum = 0, least = INFINITY, most = -INFINITY;
        bool chosen[E] = { 0 };

        for (unsigned i = 0; i < E; i++)
            s[i] = score_of(gate + i * D, x + t * D);
        for (unsigned k = 0; k < K; k++) {
            assert_true(expert[t * K + k] < E);
            assert_true(k == 0 || table || expert[t * K + k] > expert[t * K + k - 1]);
            chosen[expert[t * K + k]] = true;
            sum += s[expert[t * K + k]];
        }
        for (unsigned k = 0; k < K; k++)
            assert_true(fabs(weight[t * K + k] - 1.5 * s[expert[t * K + k]] / sum) < 2e-6);
        for (unsigned i = 0; i < E && !table; i++) {
            if (chosen[i])
                least = fmin(least, s[i] + bias[i]);
            else
                most = fmax(most, s[i] + bias[i]);
        }
        assert_true(table || least > most - 1e-5);
        if (table) {
            const int64_t a = table[token[t] * K], b = table[token[t] * K + 1];

            assert_int_equal(expert[t * K], a < b ? a : b);
            assert_int_equal(expert[t * K + 1], a < b ? b : a);
        }
    }
    rc_router_free(&r);
    rc_input_free(&in);
    rc_mem_put(&m->mem, gate);
    rc_mem_put(&m->mem, bias);
}

static void test_router_by_score(void **state)
{
    rm m;

    (void)state;
    open_model(&m);
    check_router(&m, &scored, NULL);
    rm_close(&m);
}

static void test_router_by_table(void **state)
{
    static int64_t table[384 * K];
    const uint8_t *data;
    uint8_t *buf;
    rc_err err;
    rm m;

    (void)state;
    open_model(&m);
    buf = rc_mem_get_pages(&m.mem, sizeof table + 2 * RC_PAGE);
    assert_int_equal(rc_ckpt_read(m.ckpt, rm_find(&m, "layers.0.ffn.gate.tid2eid")->weight, 0,
                                  sizeof table, buf, sizeof table + 2 * RC_PAGE, &data, &err),
                     RC_OK);
    memcpy(table, data, sizeof table);
    rc_mem_put(&m.mem, buf);
    check_router(&m, &hashed, table);
    rm_close(&m);
}

static void test_router_refuses_other_scores(void **state)
{
    rc_config c;
    rc_router *r;
    rc_err err;
    rm m;

    (void)state;
    open_model(&m);
    c = *m.e.config;
    snprintf(c.scoring_func, sizeof c.scoring_func, "softmax");
    m.e.config = &c;
    assert_int_equal(rc_router_new(&r, &m.e, &scored, &err), RC_E_UNSUPPORTED);
    assert_null(r);
    assert_string_equal(err.got, "softmax");
    rm_close(&m);
}

/* ---- the experts ---- */

static void plain_expert(rm *m, const char *which, const float *from, double weight, double *y)
{
    char name[60];
    float *w[3];
    double in[D], a[I];

    for (unsigned i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "ffn.%s.w%u.weight", which, i + 1);
        w[i] = matrix(m, &scored, name, i == 1 ? D : I, i == 1 ? I : D);
    }
    for (size_t i = 0; i < D; i++)
        in[i] = from[i];
    for (size_t i = 0; i < I; i++) {
        const double limit = m->e.config->swiglu_limit;
        const double g = fmin(dot(w[0] + i * D, in, D), limit);
        const double u = fmax(fmin(dot(w[2] + i * D, in, D), limit), -limit);

        a[i] = weight * g / (1 + exp(-g)) * u;
    }
    for (size_t i = 0; i < D; i++)
        y[i] += dot(w[1] + i * I, a, I);
    for (unsigned i = 0; i < 3; i++)
        rc_mem_put(&m->mem, w[i]);
}

/* Tokens through experts 1, 4 and 6; for some both slots name the same. */
static void choose(uint32_t *expert, float *weight)
{
    static const uint32_t pairs[3][K] = { { 1, 4 }, { 4, 6 }, { 6, 6 } };

    for (size_t t = 0; t < T; t++)
        for (unsigned k = 0; k < K; k++) {
            expert[t * K + k] = pairs[t % 3][k];
            weight[t * K + k] = 0.2f + 0.1f * (float)((t + 3 * k) % 7);
        }
}

static void run_experts(rm *m, size_t run, const char *scratch, float *y)
{
    uint32_t expert[T * K];
    float weight[T * K];
    rc_rows *in_rows, *out_rows;
    rc_experts *ex;
    rc_input *in;
    rc_err err;

    choose(expert, weight);
    assert_int_equal(rc_input_new(&in, &m->e, &err), RC_OK);
    assert_int_equal(rc_rows_new(&in_rows, T, D, scratch, &m->mem, &err), RC_OK);
    assert_int_equal(rc_rows_new(&out_rows, T, D, scratch, &m->mem, &err), RC_OK);
    assert_int_equal(rc_rows_store(in_rows, 0, T, x, &err), RC_OK);
    assert_int_equal(rc_experts_new(&ex, &m->e, &scored, run, &err), RC_OK);
    rc_experts_want(ex, 1); /* nothing is sure */
    if (rc_experts_run(ex, in, in_rows, expert, weight, 0, T, out_rows, &err) != RC_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(rc_rows_load(out_rows, 0, T, y, &err), RC_OK);
    rc_experts_free(&ex);
    rc_rows_free(&in_rows);
    rc_rows_free(&out_rows);
    rc_input_free(&in);
}

static void test_experts_are_the_description(void **state)
{
    static float y[T * D];
    uint32_t expert[T * K];
    float weight[T * K];
    rm m;

    (void)state;
    choose(expert, weight);
    open_model(&m);
    run_experts(&m, 16, NULL, y);
    for (size_t t = 0; t < T; t += 7) {
        double want[D] = { 0 }, square = 0;

        for (unsigned k = 0; k < K; k++) {
            char which[20];

            snprintf(which, sizeof which, "experts.%u", expert[t * K + k]);
            plain_expert(&m, which, x + t * D, weight[t * K + k], want);
        }
        plain_expert(&m, "shared_experts", x + t * D, 1, want);
        for (size_t i = 0; i < D; i++)
            square += want[i] * want[i] / D;
        for (size_t i = 0; i < D; i++)
            if (!(fabs(y[t * D + i] - want[i]) <= 1e-5 * sqrt(square)))
                fail_msg("token %zu, %zu: %.9g for %.9g", t, i, y[t * D + i], want[i]);
    }
    rm_close(&m);
}

static void test_experts_bits_do_not_depend_on_the_cut(void **state)
{
    static float want[T * D], got[T * D];

    (void)state;
    for (unsigned nm = 0; nm < 2; nm++)
        for (unsigned k = 0; k < 4; k++) {
            rm m;

            open_model(&m);
            m.e.numerics = nm ? RC_NUMERICS_NATIVE : RC_NUMERICS_F32;
            m.e.threads = k == 3 ? 3 : 1;
            run_experts(&m, k == 1 ? 5 : T, k == 2 ? dir.path : NULL, k ? got : want);
            assert_true(k == 0 || memcmp(got, want, sizeof got) == 0);
            rm_close(&m);
        }
}

/* Only what somebody chose is read: three experts and the shared one, each once. */
static void test_experts_that_nobody_chose_are_not_read(void **state)
{
    static float y[T * D];
    rc_weights_stats s;
    rm m;

    (void)state;
    open_model(&m);
    run_experts(&m, 16, NULL, y);
    s = rc_weights_statistics(m.e.weights);
    assert_int_equal(s.pieces_read, 4 * 3);
    run_experts(&m, 16, NULL, y);
    s = rc_weights_statistics(m.e.weights);
    assert_int_equal(s.pieces_read, 4 * 3);
    assert_true(s.pieces_kept >= 4 * 3);
    rm_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pick_largest),
        cmocka_unit_test(test_router_by_score),
        cmocka_unit_test(test_router_by_table),
        cmocka_unit_test(test_router_refuses_other_scores),
        cmocka_unit_test(test_experts_are_the_description),
        cmocka_unit_test(test_experts_bits_do_not_depend_on_the_cut),
        cmocka_unit_test(test_experts_that_nobody_chose_are_not_read),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
