/* tests/unit/test_collect.c - what linears read, and the sums that are made of it. */
#include "runtime/calibrate.h"

#include <math.h>

#include "formats/calibration.h"
#include "runtime/collect.h"
#include "tests/unit/runtime_model.h"

enum {
    N = 150,
    WINDOW = 40, /* the last one has 30 */
    WINDOWS = 4,
    V = 384,
    D = 256,
    I = 256,
    E = 8,
    K = 2,
    Q = 128,
    LAYERS = 5,
    BLOCKS = LAYERS + 1,
    GROUPS = 2,
    GROUP = 256,
    RANK = 128,
    STREAMS = 4,
    R = 16,
    B = RC_CALIB_BLOCK,
    WIDEST = 1024
};

static fx_dir dir;
static uint32_t token[N];

static int setup(void **state)
{
    const rc_synth_options tiny = { .like = "tiny", .threads = 2 };

    (void)state;
    dir = fx_open(NULL);
    rm_synth(fx_path(&dir, "m"), &tiny);
    for (size_t i = 0; i < N; i++)
        token[i] = (uint32_t)((i * i * 7 + 13 * i + 5) % V);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fx_close(&dir);
    return 0;
}

static void ok(rc_code rc, const rc_err *err)
{
    if (rc != RC_OK)
        fail_msg("%s: %s", err->tensor, err->msg);
}

/* ---- everything that is shown ---- */

/* The rows of one place of one block, as they came. */
typedef struct seen {
    size_t rows, cols, room;
    float *x;
    uint64_t *pos;
    int32_t *expert;
} seen;

typedef struct record {
    seen at[BLOCKS][RC_INPUT_COUNT];
    uint32_t chosen[BLOCKS][N * K];
    float weight[BLOCKS][N * K];
} record;

static rc_code on_input(void *ctx, uint32_t layer, rc_input_at at, int32_t expert, uint64_t pos0,
                        const uint32_t *rows_of, size_t rows, size_t cols, const float *x,
                        rc_err *err)
{
    seen *s = &((record *)ctx)->at[layer][at];
    const size_t each = at == RC_INPUT_H_PROJ ? STREAMS : 1;

    (void)err;
    assert_true(layer < BLOCKS && cols <= WIDEST && (s->cols == 0 || s->cols == cols));
    s->cols = cols;
    if (s->rows + rows > s->room) {
        s->room = 2 * s->room + rows;
        s->x = realloc(s->x, s->room * cols * sizeof *s->x);
        s->pos = realloc(s->pos, s->room * sizeof *s->pos);
        s->expert = realloc(s->expert, s->room * sizeof *s->expert);
    }
    memcpy(s->x + s->rows * cols, x, rows * cols * sizeof *x);
    for (size_t r = 0; r < rows; r++) {
        s->pos[s->rows + r] = pos0 + (rows_of ? rows_of[r] : r / each);
        s->expert[s->rows + r] = expert;
    }
    s->rows += rows;
    return RC_OK;
}

static rc_code on_experts(void *ctx, uint32_t layer, uint64_t pos0, size_t tokens, size_t k,
                          const uint32_t *id, const float *weight, rc_err *err)
{
    record *r = ctx;

    (void)err;
    assert_int_equal(k, K);
    memcpy(r->chosen[layer] + pos0 * K, id, tokens * K * sizeof *id);
    memcpy(r->weight[layer] + pos0 * K, weight, tokens * K * sizeof *weight);
    return RC_OK;
}

static void drop(record *r)
{
    for (unsigned b = 0; b < BLOCKS; b++)
        for (unsigned at = 0; at < RC_INPUT_COUNT; at++) {
            free(r->at[b][at].x);
            free(r->at[b][at].pos);
            free(r->at[b][at].expert);
        }
    memset(r, 0, sizeof *r);
}

/* All layers, the output, the draft. */
static void run_all(rm *m, record *r, rc_numerics numerics, uint64_t mem_limit, float *logits)
{
    const rc_watch watch = { .ctx = r, .input = on_input, .experts = on_experts };
    rc_forward_options o = { .numerics = numerics,
                             .threads = 1,
                             .mem_limit = mem_limit,
                             .keep_streams = true,
                             .watch = &watch };
    rc_forward *f;
    rc_err err;

    rm_open(m, fx_path(&dir, "m"));
    ok(rc_forward_new(&f, m->model, &o, &err), &err);
    ok(rc_forward_begin(f, token, N, WINDOW, &err), &err);
    while (rc_forward_next_layer(f) < rc_forward_end_layer(f))
        ok(rc_forward_step(f, &err), &err);
    for (size_t at = 0; logits && at < N; at += rc_forward_run(f))
        ok(rc_forward_logits(f, at, N - at < rc_forward_run(f) ? N - at : rc_forward_run(f),
                             logits + at * V, &err),
           &err);
    if (!logits)
        ok(rc_forward_show_head(f, &err), &err);
    ok(rc_forward_draft_windows(f, &err), &err);
    rc_forward_free(&f);
}

/* ---- are these the inputs? ---- */

/* Row `row` of a matrix, decoded. */
static void row_of(rm *m, const char *param, uint32_t row, float *w)
{
    const rc_bound *b = rm_find(m, param);
    rc_err err;

    ok(rc_weights_rows(m->e.weights, b, &row, 1, w, b->param->shape[1], &err), &err);
}

static double product(rm *m, const char *param, uint32_t row, const float *x, size_t n)
{
    static float w[WIDEST];
    double sum = 0;

    row_of(m, param, row, w);
    for (size_t i = 0; i < n; i++)
        sum += (double)w[i] * (double)x[i];
    return sum;
}

static void near(double got, double want, const char *what)
{
    if (fabs(got - want) > 1e-4 * (fabs(want) + 0.05))
        fail_msg("%s: %g, not %g", what, got, want);
}

static const float *row_at(const seen *s, uint64_t pos, int32_t expert)
{
    for (size_t i = 0; i < s->rows; i++)
        if (s->pos[i] == pos && s->expert[i] == expert)
            return s->x + i * s->cols;
    fail_msg("position %" PRIu64 ", expert %d was not shown", pos, (int)expert);
    return NULL;
}

/* Places feed each other: what one gives through its matrix is what the next one reads. */
static void test_collect_inputs_are_what_matrices_read(void **state)
{
    static const uint64_t tries[] = { 0, 1, 39, 40, 77, N - 1 };
    static float logits[N * V];
    static record r;
    char name[64];
    rm m;

    (void)state;
    run_all(&m, &r, RC_NUMERICS_F32, (uint64_t)1 << 30, logits);
    rm_weights(&m, 1 << 24, 0);
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        const uint64_t pos = tries[i];
        const seen *at = r.at[2];
        const float *o = row_at(&at[RC_INPUT_O_A], pos, -1);
        const float *x = row_at(&at[RC_INPUT_FFN], pos, -1);

        for (uint32_t row = 0; row < GROUPS * RANK; row += 37)
            near(row_at(&at[RC_INPUT_O_B], pos, -1)[row],
                 product(&m, "layers.2.attn.wo_a.weight", row, o + row / RANK * GROUP, GROUP),
                 "wo_b's input");
        for (unsigned k = 0; k < K; k++) {
            const int32_t e = (int32_t)r.chosen[2][pos * K + k];

            assert_memory_equal(row_at(&at[RC_INPUT_EXPERT], pos, e), x, D * sizeof *x);
            for (uint32_t row = 0; row < I; row += 51) {
                double a, b;

                snprintf(name, sizeof name, "layers.2.ffn.experts.%d.w1.weight", (int)e);
                a = product(&m, name, row, x, D);
                snprintf(name, sizeof name, "layers.2.ffn.experts.%d.w3.weight", (int)e);
                b = product(&m, name, row, x, D);
                a = a > 10 ? 10 : a;
                b = b > 10 ? 10 : b < -10 ? -10 : b;
                near(row_at(&at[RC_INPUT_DOWN], pos, e)[row],
                     (double)r.weight[2][pos * K + k] * b * a / (1 + exp(-a)), "w2's input");
            }
        }
        for (uint32_t row = 0; row < V; row += 91)
            near(logits[pos * V + row],
                 product(&m, "head.weight", row, row_at(&r.at[LAYERS - 1][RC_INPUT_HEAD], pos, -1),
                         D),
                 "logits");
    }
    drop(&r);
    rm_close(&m);
}

static size_t rows_of(const record *r, unsigned block, rc_input_at at)
{
    return r->at[block][at].rows;
}

/* Each token once (or once for each expert), in order; the draft without the last of each window.
 */
static void test_collect_every_token_in_order(void **state)
{
    static record r, again;
    rm m;

    (void)state;
    run_all(&m, &r, RC_NUMERICS_NATIVE, (uint64_t)1 << 30, NULL);
    rm_close(&m);
    run_all(&m, &again, RC_NUMERICS_NATIVE, 64u << 20, NULL);
    rm_close(&m);
    for (unsigned b = 0; b < BLOCKS; b++) {
        const size_t n = b < LAYERS ? N : N - WINDOWS;

        for (unsigned at = 0; at < RC_INPUT_COUNT; at++) {
            const seen *s = &r.at[b][at], *t = &again.at[b][at];

            assert_int_equal(s->rows, t->rows);
            assert_memory_equal(s->x, t->x, s->rows * s->cols * sizeof *s->x);
            for (size_t i = 1; i < s->rows; i++)
                assert_true(s->expert[i] > s->expert[i - 1] ||
                            (s->expert[i] == s->expert[i - 1] &&
                             (s->pos[i] > s->pos[i - 1] || at == RC_INPUT_H_PROJ)));
        }
        assert_int_equal(rows_of(&r, b, RC_INPUT_ATTN), n);
        assert_int_equal(rows_of(&r, b, RC_INPUT_Q), n);
        assert_int_equal(rows_of(&r, b, RC_INPUT_O_A), n);
        assert_int_equal(rows_of(&r, b, RC_INPUT_O_B), n);
        assert_int_equal(rows_of(&r, b, RC_INPUT_FFN), n);
        assert_int_equal(rows_of(&r, b, RC_INPUT_EXPERT), n * K);
        assert_int_equal(rows_of(&r, b, RC_INPUT_DOWN), n * K);
        assert_int_equal(rows_of(&r, b, RC_INPUT_SHARED_DOWN), n);
        assert_int_equal(rows_of(&r, b, RC_INPUT_E_PROJ), b < LAYERS ? 0 : n);
        assert_int_equal(rows_of(&r, b, RC_INPUT_H_PROJ), b < LAYERS ? 0 : n * STREAMS);
        assert_int_equal(rows_of(&r, b, RC_INPUT_HEAD), b == LAYERS - 1 ? n : 0);
    }
    drop(&r);
    drop(&again);
}

/* ---- the file against a plain recomputation ---- */

static void calibrate(const char *name, rc_model *model, rc_mem *mem, rc_calibrate_report *report)
{
    rc_windows windows;
    rc_target to, none = RC_TARGET_NONE;
    const rc_calibrate_options o = {
        .run = { .numerics = RC_NUMERICS_NATIVE, .threads = 2, .mem_limit = (uint64_t)1 << 30 },
        .windows = &windows,
        .dataset = "squares",
        .moments = true,
        .sample = R
    };
    rc_err err;

    ok(rc_windows_cut(&windows, token, N, WINDOW, WINDOW, 0, RC_NO_TOKEN, mem, &err), &err);
    ok(rc_target_open(&to, fx_path(&dir, name), &err), &err);
    ok(rc_calibrate(&to, &none, model, &o, report, mem, &err), &err);
    rc_target_close(&to);
    rc_windows_free(&windows);
}

/* Means over the rows of a place (of an expert, or -1), of x^2 or |x|. */
static size_t means(const seen *s, int32_t expert, size_t cols, bool squares, double *mean)
{
    const size_t each = s->cols / cols;
    size_t n = 0;

    memset(mean, 0, cols * sizeof *mean);
    for (size_t i = 0; i < s->rows; i++)
        for (size_t g = 0; g < each && s->expert[i] == expert; g++, n++)
            for (size_t k = 0; k < cols; k++) {
                const double v = (double)s->x[i * s->cols + g * cols + k];

                mean[k] += squares ? v * v : fabs(v);
            }
    for (size_t k = 0; k < cols && n; k++)
        mean[k] /= (double)n;
    return n;
}

/* An expert's mean with the layer's in the place of tokens that it lacks. */
static void fill_up(const record *r, unsigned b, rc_input_at at, size_t n, size_t cols,
                    bool squares, double *mean)
{
    static double all[WIDEST];
    double whole = 0;

    if (n >= RC_CALIB_ENOUGH)
        return;
    if (at == RC_INPUT_EXPERT) {
        means(&r->at[b][RC_INPUT_FFN], -1, cols, squares, all);
    } else {
        const seen *s = &r->at[b][RC_INPUT_DOWN];

        for (size_t i = 0; i < s->rows * cols; i++)
            whole += squares ? (double)s->x[i] * (double)s->x[i] : fabs((double)s->x[i]);
        for (size_t k = 0; k < cols; k++)
            all[k] = whole / (double)(s->rows * cols);
    }
    for (size_t k = 0; k < cols; k++)
        mean[k] = (mean[k] * (double)n + all[k] * (double)(RC_CALIB_ENOUGH - n)) / RC_CALIB_ENOUGH;
}

static void check_param(const rc_calib *c, const record *r, const rm *m, const rc_param *p,
                        rc_input_at at, uint32_t *few)
{
    static double mean[WIDEST];
    static float got[WIDEST];
    const unsigned b = p->layer < 0 ? LAYERS - 1 : (unsigned)p->layer + (p->draft ? LAYERS : 0);
    const size_t cols = p->shape[1];
    bool found;
    rc_err err;

    for (unsigned squares = 0; squares < 2; squares++) {
        const size_t n = means(&r->at[b][at], p->expert, cols, squares, mean);
        uint64_t tokens;

        if (p->expert >= 0)
            fill_up(r, b, at, n, cols, squares, mean);
        *few += squares && at == RC_INPUT_DOWN && n < RC_CALIB_ENOUGH;
        ok(rc_calib_get(c, p, m->e.config, squares ? RC_CALIB_SQUARES : RC_CALIB_ABS, 0, got,
                        &found, &err),
           &err);
        assert_true(found);
        for (size_t k = 0; k < cols; k++)
            if (fabs((double)got[k] - mean[k]) > 1e-6 * mean[k] + 1e-30)
                fail_msg("%s, column %zu: %g, not %g", p->name, k, (double)got[k], mean[k]);
        ok(rc_calib_seen(c, p, m->e.config, &tokens, &err), &err);
        assert_int_equal(tokens, at == RC_INPUT_O_A      ? n / GROUPS
                                 : at == RC_INPUT_H_PROJ ? n / STREAMS
                                                         : n);
    }
}

static void check_moments(const rc_calib *c, const record *r, const rm *m, const rc_param *p,
                          rc_input_at at)
{
    static float got[B * B];
    const seen *s = &r->at[p->layer][at];
    bool found;
    rc_err err;

    ok(rc_calib_get(c, p, m->e.config, RC_CALIB_MOMENTS, 1, got, &found, &err), &err);
    assert_true(found);
    for (size_t i = 0; i < B; i += 9)
        for (size_t j = 0; j < B; j += 5) {
            double sum = 0, all = 0;

            for (size_t t = 0; t < s->rows; t++)
                if (s->expert[t] == p->expert) {
                    sum += (double)s->x[t * s->cols + B + i] * (double)s->x[t * s->cols + B + j];
                    all++;
                }
            assert_true(fabs((double)got[i * B + j] - sum / all) < 1e-6 * (fabs(sum / all) + 1));
        }
}

static void check_sample(const rc_calib *c, const record *r, const rm *m, uint32_t b)
{
    rc_mem mem = { 0 };
    rc_calib_sample s;
    rc_err err;

    ok(rc_calib_sample_get(c, b, m->e.config, &s, &mem, &err), &err);
    assert_int_equal(s.rows, R);
    for (size_t i = 0; i < R; i++) {
        const uint64_t pos = rc_collect_sampled(i, R, b < LAYERS ? N : N - WINDOWS);

        assert_memory_equal(s.x + i * D, row_at(&r->at[b][RC_INPUT_FFN], pos, -1), D * sizeof *s.x);
        assert_memory_equal(s.expert + i * K, r->chosen[b] + pos * K, K * sizeof *s.expert);
        assert_memory_equal(s.weight + i * K, r->weight[b] + pos * K, K * sizeof *s.weight);
    }
    rc_calib_sample_free(&s, &mem);
    assert_int_equal(mem.used, 0);
}

static void test_collect_file(void **state)
{
    static record r;
    rc_mem mem = { 0 };
    rc_calibrate_report report;
    size_t checked = 0;
    uint32_t few = 0;
    rc_input_at at;
    rc_calib *c;
    rc_err err;
    rm m;

    (void)state;
    run_all(&m, &r, RC_NUMERICS_NATIVE, (uint64_t)1 << 30, NULL);
    calibrate("s", m.model, &m.mem, &report);
    assert_int_equal(report.steps, BLOCKS);
    assert_true(report.draft);
    ok(rc_calib_open(&c, fx_path(&dir, "s"), NULL, &mem, &err), &err);
    ok(rc_calib_check(c, m.model, NULL, &err), &err);
    for (size_t i = 0; i < rc_model_count(m.model); i++) {
        const rc_param *p = rc_model_at(m.model, i)->param;

        if (p->rank != 2 || !rc_input_of(p, m.e.config, &at))
            continue;
        check_param(c, &r, &m, p, at, &few);
        checked++;
    }
    assert_int_equal(checked,
                     217); /* 24 experts' and 9 others a block, compressors, indexers, .. */
    assert_int_equal(report.few, few);
    assert_true(few > 0);
    check_moments(c, &r, &m, rm_find(&m, "layers.3.attn.wkv.weight")->param, RC_INPUT_ATTN);
    check_moments(c, &r, &m, rm_find(&m, "layers.2.ffn.experts.3.w3.weight")->param,
                  RC_INPUT_EXPERT);
    check_moments(c, &r, &m, rm_find(&m, "layers.2.ffn.experts.5.w2.weight")->param, RC_INPUT_DOWN);
    for (uint32_t b = 0; b < BLOCKS; b++)
        check_sample(c, &r, &m, b);
    rc_calib_free(&c);
    drop(&r);
    rm_close(&m);
}

/* ---- sums ---- */

/* The sample's tokens: as many as were asked for, evenly spaced, none twice. */
static void test_collect_sampled(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 300; n += 7)
        for (size_t rows = 1; rows <= n; rows += 3)
            for (size_t i = 0; i < rows; i++) {
                const uint64_t pos = rc_collect_sampled(i, rows, n);

                assert_true(pos < n);
                assert_true(i == 0 || pos > rc_collect_sampled(i - 1, rows, n));
            }
    assert_int_equal(rc_collect_sampled(0, 4, 80), 10);
    assert_int_equal(rc_collect_sampled(3, 4, 80), 70);
}

/* What is no number, or too large for F32 once squared and summed, is named. */
static void test_collect_names_bad_activations(void **state)
{
    static const struct {
        float v;
        const char *says;
    } cases[] = { { NAN, "not finite (nan)" },
                  { -INFINITY, "not finite (-inf)" },
                  { 3e20f, "too large to be squared (3e+20)" } };
    static float x[4 * D];
    static const uint32_t tokens[] = { 3, 8, 21, 45 };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const rc_collect_options o = { .threads = 1, .tokens = N, .window = WINDOW };
        rc_collect *c;
        const rc_watch *w;
        rc_err err;
        rm m;

        rm_open(&m, fx_path(&dir, "m"));
        ok(rc_collect_new(&c, m.e.config, &o, &m.mem, &err), &err);
        w = rc_collect_watch(c);
        memset(x, 0, sizeof x);
        ok(w->input(w->ctx, 3, RC_INPUT_EXPERT, 6, 0, tokens, 4, D, x, &err), &err);
        x[3 * D + 17] = cases[i].v;
        assert_int_equal(w->input(w->ctx, 3, RC_INPUT_EXPERT, 6, 0, tokens, 4, D, x, &err),
                         RC_E_NUMERIC);
        assert_non_null(strstr(err.msg, "layer 3, expert 6: the input of an expert"));
        assert_non_null(strstr(err.msg, cases[i].says));
        assert_non_null(
            strstr(err.msg, "token 45 of the windows (window 1, position 5), channel 17"));
        rc_collect_free(&c);
        rm_close(&m);
    }
}

/* Without memory at every allocation: an error, and nothing leaks. */
static void test_collect_without_memory(void **state)
{
    const rc_collect_options o = {
        .threads = 1, .moments = true, .sample = 3, .tokens = N, .draft_tokens = 9, .window = WINDOW
    };
    rc_code rc = RC_E_OS;
    rc_err err;
    rm m;

    (void)state;
    rm_open(&m, fx_path(&dir, "m"));
    for (size_t k = 1; rc != RC_OK; k++) {
        rc_mem mem = { .fail_at = k };
        rc_collect *c;

        rc = rc_collect_new(&c, m.e.config, &o, &mem, &err);
        assert_true(rc == RC_OK || rc == RC_E_OS);
        rc_collect_free(&c);
        assert_int_equal(mem.used, 0);
    }
    rm_close(&m);
}

/* ---- going on ---- */

/* Out of turn nothing happens. */
static void test_collect_resume_out_of_turn(void **state)
{
    const rc_forward_options o = { .threads = 1,
                                   .mem_limit = (uint64_t)1 << 30,
                                   .no_logits = true };
    static float h[STREAMS * D];
    rc_forward *f;
    rc_err err;
    rm m;

    (void)state;
    rm_open(&m, fx_path(&dir, "m"));
    ok(rc_forward_new(&f, m.model, &o, &err), &err);
    assert_int_equal(rc_forward_resume(f, 1, &err), RC_E_INTERNAL);
    assert_int_equal(rc_forward_set_streams(f, 0, 1, h, &err), RC_E_INTERNAL);
    ok(rc_forward_begin(f, token, N, WINDOW, &err), &err);
    assert_int_equal(rc_forward_resume(f, 0, &err), RC_E_INTERNAL);
    assert_int_equal(rc_forward_resume(f, LAYERS + 1, &err), RC_E_INTERNAL);
    assert_int_equal(rc_forward_set_streams(f, N, 1, h, &err), RC_E_INTERNAL);
    assert_int_equal(rc_forward_show_head(f, &err), RC_E_INTERNAL);
    assert_int_equal(rc_forward_draft_windows(f, &err), RC_E_INTERNAL);
    ok(rc_forward_step(f, &err), &err);
    assert_int_equal(rc_forward_resume(f, 2, &err), RC_E_INTERNAL);
    rc_forward_forget(f);
    ok(rc_forward_begin(f, token, N, WINDOW, &err), &err);
    ok(rc_forward_resume(f, LAYERS, &err), &err);
    assert_int_equal(rc_forward_logits(f, 0, 1, h, &err), RC_E_INTERNAL);
    assert_int_equal(rc_forward_draft_windows(f, &err), RC_E_INTERNAL); /* nothing kept for it */
    rc_forward_free(&f);
    rm_close(&m);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collect_inputs_are_what_matrices_read),
        cmocka_unit_test(test_collect_every_token_in_order),
        cmocka_unit_test(test_collect_file),
        cmocka_unit_test(test_collect_sampled),
        cmocka_unit_test(test_collect_names_bad_activations),
        cmocka_unit_test(test_collect_without_memory),
        cmocka_unit_test(test_collect_resume_out_of_turn),
    };

    return cmocka_run_group_tests_name("collect", tests, setup, teardown);
}
