/* tests/unit/test_hyper.c - hyper-connections: the Sinkhorn iteration, in and out. */
#include "runtime/hyper.h"

#include <math.h>

#include "tests/unit/random.h"
#include "tests/unit/runtime_model.h"

enum { T = 5, S = 4, D = 256 };

static fx_dir dir;

static int setup(void **state)
{
    const rc_synth_options tiny = { .like = "tiny", .layers = 1, .experts = 2, .threads = 1 };

    (void)state;
    dir = fx_open(NULL);
    rm_synth(fx_path(&dir, "m"), &tiny);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fx_close(&dir);
    return 0;
}

/* Computed in double by another program. */
static void test_sinkhorn_known_values(void **state)
{
    static const float want[] = { 0.0638321f, 0.0951453f, 0.3984090f, 0.4426126f,
                                  0.4435578f, 0.0894790f, 0.0507091f, 0.4162532f,
                                  0.4405086f, 0.2415553f, 0.2256944f, 0.0922406f,
                                  0.0521006f, 0.5738195f, 0.3251865f, 0.0488925f };
    float b[] = { 0, 1, 2, 3, 1, 0, -1, 2, 0.5f, 0.5f, 0, 0, -1, 2, 1, 0 };

    (void)state;
    rc_sinkhorn(b, 4, 20, 1e-6f);
    for (unsigned i = 0; i < 16; i++)
        assert_true(fabsf(b[i] - want[i]) < 3e-7f);
}

/* One iteration is a softmax of the rows, plus eps, and the columns; values far apart are no
 * trouble. */
static void test_sinkhorn_edges(void **state)
{
    float b[] = { 1000, -1000, -1000, 1000 }, one[] = { 7 };

    (void)state;
    rc_sinkhorn(b, 2, 1, 0.25f); /* rows 1.25 0.25; columns over 1.5 + 0.25 */
    assert_true(fabsf(b[0] - 1.25f / 1.75f) < 1e-6f && fabsf(b[1] - 0.25f / 1.75f) < 1e-6f);
    assert_true(b[2] == b[1] && b[3] == b[0]);
    rc_sinkhorn(one, 1, 3, 0);
    assert_true(one[0] == 1);
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static void plain_sinkhorn(double *b, unsigned iters, double eps)
{
    for (unsigned j = 0; j < S; j++) {
        double sum = 0;

        for (unsigned k = 0; k < S; k++)
            sum += exp(b[j * S + k]);
        for (unsigned k = 0; k < S; k++)
            b[j * S + k] = exp(b[j * S + k]) / sum + eps;
    }
    for (unsigned i = 0; i < 2 * iters - 1; i++) /* columns, rows, columns, .. */
        for (unsigned a = 0; a < S; a++) {
            const unsigned first = i % 2 ? a * S : a, step = i % 2 ? 1 : S;
            double sum = eps;

            for (unsigned c = 0; c < S; c++)
                sum += b[first + c * step];
            for (unsigned c = 0; c < S; c++)
                b[first + c * step] /= sum;
        }
}

/* pre, post and comb of a token. */
static void plain_mix(const rm *m, const float *fn, const float *base, const float *scale,
                      unsigned rows, const float *h, double *mix)
{
    double square = 0;

    for (size_t i = 0; i < S * D; i++)
        square += (double)h[i] * h[i];
    square = 1 / sqrt(square / (S * D) + m->e.config->rms_norm_eps);
    for (unsigned r = 0; r < rows; r++) {
        const unsigned part = r < S ? 0 : r < 2 * S ? 1 : 2;
        double sum = 0;

        for (size_t i = 0; i < S * D; i++)
            sum += (double)fn[r * S * D + i] * h[i];
        mix[r] = sum * square * scale[part] + base[r];
        if (part < 2)
            mix[r] = part ? 2 * sigmoid(mix[r]) : sigmoid(mix[r]) + m->e.config->hc_eps;
    }
    if (rows > S)
        plain_sinkhorn(mix + 2 * S, m->e.config->hc_sinkhorn_iters, m->e.config->hc_eps);
}

static bool near(double got, double want, rc_numerics nm)
{
    return fabs(got - want) <= 3e-6 * (1 + fabs(want)) + (nm ? ldexp(fabs(want), -8) : 0);
}

static float *small(rm *m, const rc_block_id *id, const char *name, size_t n)
{
    float *out;
    rc_err err;

    if (rc_block_small(&m->e, id, name, n, &out, &err) != RC_OK)
        fail_msg("%s", err.msg);
    return out;
}

static void check_block(rm *m, const rc_block_id *id, const char *name, const float *h)
{
    static float u[T * D], mix[T * (S + S * S)], y[T * D], next[T * S * D];
    const bool head = strcmp(name, "hc_head") == 0;
    const unsigned rows = head ? S : 2 * S + S * S;
    const rc_numerics nm = m->e.numerics;
    float *fn, *base, *scale;
    char full[40];
    uint64_t seed = 8;
    rc_hyper *hc;
    rc_input *in;
    rc_err err;

    snprintf(full, sizeof full, "%s_fn", name);
    fn = small(m, id, full, rows * S * D);
    snprintf(full, sizeof full, "%s_base", name);
    base = small(m, id, full, rows);
    snprintf(full, sizeof full, "%s_scale", name);
    scale = small(m, id, full, head ? 1 : 3);
    assert_int_equal(rc_input_new(&in, &m->e, &err), RC_OK);
    assert_int_equal(rc_hyper_new(&hc, &m->e, id, name, &err), RC_OK);
    assert_int_equal(rc_hyper_mix(hc), S + S * S);
    rc_hyper_want(hc);
    assert_int_equal(rc_hyper_pre(hc, in, h, T, u, head ? NULL : mix, &err), RC_OK);
    rc_hyper_done(hc);

    rnd_fill(y, T * D, 2, &seed);
    memcpy(next, h, sizeof next);
    if (!head)
        rc_hyper_post(hc, y, mix, T, next);
    for (size_t t = 0; t < T; t++) {
        const float *from = h + t * S * D;
        double want[2 * S + S * S];

        plain_mix(m, fn, base, scale, rows, from, want);
        for (size_t i = 0; i < D; i++) {
            double sum = 0;

            for (unsigned j = 0; j < S; j++)
                sum += want[j] * from[j * D + i];
            assert_true(near(u[t * D + i], sum, nm));
            for (unsigned k = 0; !head && k < S; k++) {
                sum = want[S + k] * y[t * D + i];
                for (unsigned j = 0; j < S; j++)
                    sum += want[2 * S + j * S + k] * from[j * D + i];
                assert_true(near(next[(t * S + k) * D + i], sum, nm));
            }
        }
        for (unsigned r = 0; !head && r < S + S * S; r++)
            assert_true(near(mix[t * (S + S * S) + r], want[S + r], RC_NUMERICS_F32));
    }
    rc_hyper_free(&hc);
    assert_null(hc);
    rc_input_free(&in);
    rc_mem_put(&m->mem, fn);
    rc_mem_put(&m->mem, base);
    rc_mem_put(&m->mem, scale);
}

static void test_hyper_is_the_description(void **state)
{
    const rc_block_id layer = { .prefix = "layers.0." }, top = { .prefix = "" };
    static float h[T * S * D];
    uint64_t seed = 4;

    (void)state;
    for (size_t i = 0; i < T * S * D; i++)
        h[i] = rnd_cut_bf16(rnd_f32(&seed) * (i < S * D ? 30 : 1)); /* BF16 as in a native pass */
    for (unsigned k = 0; k < 4; k++) {
        rm m;

        rm_open(&m, fx_path(&dir, "m"));
        rm_weights(&m, 16u << 20, 0);
        m.e.numerics = k % 2 ? RC_NUMERICS_NATIVE : RC_NUMERICS_F32;
        m.e.threads = 1 + k / 2;
        check_block(&m, &layer, "hc_attn", h);
        check_block(&m, &layer, "hc_ffn", h);
        check_block(&m, &top, "hc_head", h);
        rm_close(&m);
    }
}

static void test_hyper_refuses_and_survives(void **state)
{
    const rc_block_id layer = { .prefix = "layers.0." }, none = { .prefix = "layers.9." };
    bool undisturbed = false;
    rc_config wide;
    rc_hyper *hc;
    rc_err err;
    rm m;

    (void)state;
    rm_open(&m, fx_path(&dir, "m"));
    rm_weights(&m, 16u << 20, 0);
    assert_int_equal(rc_hyper_new(&hc, &m.e, &none, "hc_attn", &err), RC_E_TENSORSET);
    assert_null(hc);
    wide = *m.e.config;
    wide.hc_mult = RC_HYPER_MAX + 1;
    m.e.config = &wide;
    assert_int_equal(rc_hyper_new(&hc, &m.e, &layer, "hc_attn", &err), RC_E_UNSUPPORTED);
    assert_null(hc);
    m.e.config = rc_ckpt_config(m.ckpt);
    for (size_t k = 1; !undisturbed; k++) {
        const size_t before = m.mem.used;
        rc_code rc;

        m.mem.fail_at = m.mem.calls + k;
        rc = rc_hyper_new(&hc, &m.e, &layer, "hc_attn", &err);
        undisturbed = m.mem.calls < m.mem.fail_at;
        assert_int_equal(rc, undisturbed ? RC_OK : RC_E_OS);
        rc_hyper_free(&hc);
        assert_int_equal(m.mem.used, before);
    }
    rm_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sinkhorn_known_values),
        cmocka_unit_test(test_sinkhorn_edges),
        cmocka_unit_test(test_hyper_is_the_description),
        cmocka_unit_test(test_hyper_refuses_and_survives),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
