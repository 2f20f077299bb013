/* tests/unit/test_linear.c - products with stored matrices: against double, and against
 * themselves cut otherwise. */
#include "runtime/linear.h"

#include <math.h>

#include "convert/convert.h"
#include "kernels/act_round.h"
#include "tests/unit/random.h"
#include "tests/unit/runtime_model.h"

enum { TOKENS = 70, COLS = 1024, ROWS = 512 };

static fx_dir dir;
static float x[TOKENS * COLS];

/* ---- checkpoints that hold the same model in other stores ---- */

static void convert(const char *to, rc_recipe *how, const char *gguf, const char *const *rules,
                    unsigned nrules)
{
    const rc_convert_opts opts = { .execute = { .threads = 2 } };
    rc_convert_report report;
    rc_plan *plan = NULL;
    char dst[300];
    rc_err err;
    rm m;

    rm_open(&m, fx_path(&dir, "native"));
    snprintf(dst, sizeof dst, "%s", fx_path(&dir, to));
    if ((gguf &&
         rc_gguf_recipe_new(&how->gguf, gguf, NULL, NULL, 0, rules, nrules, &m.mem, &err)) ||
        rc_plan_new(&plan, m.model, how, NULL, &m.mem, &err) != RC_OK ||
        rc_convert(plan, dst, &opts, &report, &m.mem, &err) != RC_OK)
        fail_msg("%s: %s", to, err.msg);
    rc_plan_free(&plan);
    rc_gguf_recipe_free(&how->gguf);
    rm_close(&m);
}

/* All but the last hold the values of the experts exactly. */
static const char *const stores[] = {
    "native", "fp8", "fp8-e8m0", "bf16", "mx.gguf", "mixed.gguf"
};
enum { STORES = sizeof stores / sizeof *stores, EXACT = STORES - 1 };

/* One file with a matrix of each type. */
static const char *const mixed[] = {
    "blk.0.ffn_gate_exps.weight=f32",    "blk.0.ffn_up_exps.weight=iq2_xxs",
    "blk.0.ffn_down_exps.weight=f32",    "blk.1.ffn_gate_exps.weight=q2_k",
    "blk.1.ffn_up_exps.weight=q3_k",     "blk.1.ffn_down_exps.weight=q4_k",
    "blk.2.ffn_gate_exps.weight=q5_k",   "blk.2.ffn_up_exps.weight=q6_k",
    "blk.2.ffn_down_exps.weight=iq4_xs", "blk.2.ffn_gate_shexp.weight=q4_0",
};

static int setup(void **state)
{
    const rc_synth_options tiny = { .like = "tiny", .layers = 3, .experts = 2, .threads = 2 };
    uint64_t seed = 99;

    (void)state;
    dir = fx_open(NULL);
    rm_synth(fx_path(&dir, "native"), &tiny);
    convert("fp8", &(rc_recipe){ .target = RC_TO_FP8, .scale_dtype = RC_DTYPE_F32 }, NULL, NULL, 0);
    convert("fp8-e8m0", &(rc_recipe){ .target = RC_TO_FP8, .scale_dtype = RC_DTYPE_F8_E8M0 }, NULL,
            NULL, 0);
    convert("bf16", &(rc_recipe){ .target = RC_TO_BF16 }, NULL, NULL, 0);
    convert("mx.gguf", &(rc_recipe){ .target = RC_TO_GGUF, .draft = RC_DRAFT_DROP, .stem = "mx" },
            "mxfp4-bf16", NULL, 0);
    convert("mixed.gguf",
            &(rc_recipe){ .target = RC_TO_GGUF, .draft = RC_DRAFT_DROP, .stem = "mixed" }, "q8_0",
            mixed, sizeof mixed / sizeof *mixed);
    for (size_t i = 0; i < TOKENS * COLS; i++)
        x[i] = rnd_f32(&seed) * (i % 97 == 0 ? 30 : 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fx_close(&dir);
    return 0;
}

static void open_store(rm *m, const char *name)
{
    rm_open(m, fx_path(&dir, name));
    rm_weights(m, 16u << 20, 1);
}

/* ---- products ---- */

static void product(rm *m, const rc_bound *w, rc_linear_kind kind, uint64_t row, uint64_t n,
                    size_t tokens, float *y)
{
    const size_t cols = w->param->shape[1];
    rc_input *in;
    rc_err err;

    if (rc_input_new(&in, &m->e, &err) != RC_OK ||
        rc_input_set(in, kind, x, COLS, tokens, cols, &err) != RC_OK ||
        rc_linear(&m->e, w, row, n, in, y, n, &err) != RC_OK)
        fail_msg("%s: %s", w->param->name, err.msg);
    rc_input_free(&in);
}

/* Rows [row, row + n), by the table of decoders. */
static void decode_rows(rm *m, const rc_bound *w, uint64_t row, size_t n, float *y)
{
    const uint64_t step = rc_weights_step(m->e.weights, w);
    static float work[COLS];
    rc_held held = { 0 };
    rc_err err;

    for (size_t i = 0; i < n; i++) {
        if (!held.entry || row + i >= held.row + held.n) {
            rc_weights_put(m->e.weights, &held);
            if (rc_weights_get(m->e.weights, w, (size_t)((row + i) / step), &held, &err) != RC_OK)
                fail_msg("%s", err.msg);
            held.piece.work = work;
        }
        held.piece.how->decode_row(y + i * held.piece.cols, &held.piece,
                                   (size_t)(row + i - held.row));
    }
    rc_weights_put(m->e.weights, &held);
}

/* What the product takes of a token, by the reference's own rounding. */
static void taken(const rm *m, rc_linear_kind kind, const float *from, size_t n, float *to)
{
    memcpy(to, from, n * sizeof *to);
    if (m->e.numerics == RC_NUMERICS_NATIVE) {
        if (kind == RC_LINEAR_FP8)
            rc_round_fp8_ref(to, to, n, 128);
        rc_round_bf16_ref(to, to, n);
    }
}

/* Each lane's sum has n / 16 terms, then four halvings: so many roundings, and that of the
 * output. The first and the last token speak for all. */
static void check_against_double(rm *m, const rc_bound *w, rc_linear_kind kind, size_t tokens)
{
    static float y[TOKENS * ROWS], values[ROWS * COLS], in[2][COLS];
    const size_t rows = w->param->shape[0], cols = w->param->shape[1];
    const double unit = ldexp((double)cols / 16 + 5, -24);
    const bool rounded = m->e.numerics == RC_NUMERICS_NATIVE && kind != RC_LINEAR_F32;

    product(m, w, kind, 0, rows, tokens, y);
    for (unsigned k = 0; k < 2; k++)
        taken(m, kind, x + k * (tokens - 1) * COLS, cols, in[k]);
    decode_rows(m, w, 0, rows, values);
    for (size_t r = 0; r < rows; r++) {
        const float *row = values + r * cols;

        for (unsigned k = 0; k < 2; k++) {
            const float got = y[k * (tokens - 1) * rows + r];
            double sum = 0, all = 0;

            for (size_t i = 0; i < cols; i++) {
                sum += (double)row[i] * in[k][i];
                all += fabs((double)row[i] * in[k][i]);
            }
            if (!(fabs(got - sum) <= unit * all + (rounded ? ldexp(fabs(sum), -8) : 0) + 1e-30))
                fail_msg("%s: row %zu, %zu tokens: %.9g for %.9g", w->param->name, r, tokens, got,
                         sum);
        }
    }
}

static bool is_matrix(const rc_bound *w)
{
    return w->param->rank == 2 && w->weight && rc_decoder_of(w) &&
           w->param->dtype != RC_DTYPE_I64 && strncmp(w->param->name, "mtp.", 4) != 0 &&
           w->param->shape[0] <= ROWS && w->param->shape[1] <= COLS && w->param->shape[1] % 32 == 0;
}

/* Every matrix of every store, alone and with many tokens. */
static void test_linear_is_the_product(void **state)
{
    static const size_t counts[] = { 1, 8, 9, TOKENS };

    (void)state;
    for (size_t s = 0; s < STORES; s++) {
        size_t seen = 0;
        rm m;

        open_store(&m, stores[s]);
        for (size_t i = 0; i < rc_model_count(m.model); i++) {
            const rc_bound *w = rc_model_at(m.model, i);

            if (!is_matrix(w))
                continue;
            m.e.numerics = i % 2 ? RC_NUMERICS_NATIVE : RC_NUMERICS_F32;
            check_against_double(&m, w, (rc_linear_kind)(i / 2 % 3), counts[seen++ % 4]);
        }
        assert_true(seen > 40);
        rm_close(&m);
    }
}

static bool same_values(rm *a, const rc_bound *wa, rm *b, const rc_bound *wb)
{
    static float p[ROWS * COLS], q[ROWS * COLS];
    const size_t rows = wa->param->shape[0];

    decode_rows(a, wa, 0, rows, p);
    decode_rows(b, wb, 0, rows, q);
    for (size_t i = 0; i < rows * wa->param->shape[1]; i++)
        if (p[i] != q[i]) /* -0 may have become 0 */
            return false;
    return true;
}

/* The same values, whatever they are stored as: the same bits, for both numerics. In native
 * that compares products of BF16 (FP4, FP8, BF16, MXFP4) with those of f32. */
static void test_linear_bits_depend_on_values_only(void **state)
{
    static const char *const names[] = {
        "layers.0.ffn.experts.0.w1.weight",      "layers.0.ffn.experts.1.w2.weight",
        "layers.2.ffn.experts.1.w3.weight",      "layers.2.attn.wq_b.weight",
        "layers.0.ffn.shared_experts.w2.weight", "head.weight"
    };
    static float want[TOKENS * ROWS], got[TOKENS * ROWS];
    unsigned compared = 0, other_path = 0;
    rm a;

    (void)state;
    open_store(&a, stores[0]);
    for (size_t s = 1; s < STORES; s++) {
        rm b;

        open_store(&b, stores[s]);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            const rc_bound *wa = rm_find(&a, names[i]), *wb = rm_find(&b, names[i]);
            const size_t rows = wa->param->shape[0];

            if (!same_values(&a, wa, &b, wb)) {
                if (s < EXACT && strncmp(names[i] + 8, ".ffn.experts", 12) == 0)
                    fail_msg("%s of %s has other values", names[i], stores[s]);
                continue;
            }
            compared++;
            other_path += wb->weight->dtype == RC_DTYPE_F32;
            for (unsigned nm = 0; nm < 2; nm++)
                for (size_t tokens = 1; tokens <= TOKENS; tokens += TOKENS - 1) {
                    a.e.numerics = b.e.numerics = nm ? RC_NUMERICS_NATIVE : RC_NUMERICS_F32;
                    product(&a, wa, RC_LINEAR_FP8, 0, rows, tokens, want);
                    product(&b, wb, RC_LINEAR_FP8, 0, rows, tokens, got);
                    if (memcmp(want, got, tokens * rows * sizeof *got) != 0)
                        fail_msg("%s of %s: other bits (%zu tokens)", names[i], stores[s], tokens);
                }
        }
        rm_close(&b);
    }
    rm_close(&a);
    assert_true(compared >= 4 * 5 + 2);
    assert_true(other_path >= 2);
}

/* One token or many, whole or in ranges of rows, any number of threads. */
static void test_linear_bits_do_not_depend_on_the_cut(void **state)
{
    static const char *const some[] = { "native", "fp8", "mx.gguf", "mixed.gguf" };
    static float want[TOKENS * ROWS], got[TOKENS * ROWS];

    (void)state;
    for (size_t s = 0; s < 4 * 2; s++) {
        const rc_bound *ws[3];
        rm m;

        open_store(&m, some[s / 2]);
        m.e.numerics = s % 2 ? RC_NUMERICS_NATIVE : RC_NUMERICS_F32;
        ws[0] = rm_find(&m, "layers.1.ffn.experts.0.w1.weight");
        ws[1] = rm_find(&m, "layers.2.attn.wq_b.weight");
        ws[2] = rm_find(&m, "head.weight");
        for (unsigned k = 0; k < 3; k++) {
            const size_t rows = ws[k]->param->shape[0], cols = ws[k]->param->shape[1];
            const uint64_t from = 61, n = 130 < rows - 61 ? 130 : rows - 61;
            rc_input *in;
            rc_err err;

            product(&m, ws[k], RC_LINEAR_BF16, 0, rows, TOKENS, want);
            for (unsigned threads = 1; threads <= 3; threads++) {
                m.e.threads = threads;
                product(&m, ws[k], RC_LINEAR_BF16, 0, rows, TOKENS, got);
                assert_memory_equal(got, want, TOKENS * rows * sizeof *got);
                product(&m, ws[k], RC_LINEAR_BF16, from, n, TOKENS, got);
                for (size_t t = 0; t < TOKENS; t++)
                    assert_memory_equal(got + t * n, want + t * rows + from, n * sizeof *got);
                product(&m, ws[k], RC_LINEAR_BF16, from, n, 3, got);
                for (size_t t = 0; t < 3; t++)
                    assert_memory_equal(got + t * n, want + t * rows + from, n * sizeof *got);
            }
            /* one at a time, gathered from the far end, by an input used again */
            assert_int_equal(rc_input_new(&in, &m.e, &err), RC_OK);
            for (uint32_t t = TOKENS; t-- > TOKENS - 5;) {
                assert_int_equal(rc_input_gather(in, RC_LINEAR_BF16, x, COLS, &t, 1, cols, &err),
                                 RC_OK);
                assert_int_equal(rc_linear(&m.e, ws[k], 0, rows, in, got, rows, &err), RC_OK);
                assert_memory_equal(got, want + t * rows, rows * sizeof *got);
            }
            rc_input_free(&in);
            m.e.threads = 1;
        }
        rm_close(&m);
    }
}

/* BLIS has an order of its own: n * 2^-24 of the sum of magnitudes. */
static void test_linear_blas_is_within_its_bound(void **state)
{
    static float want[TOKENS * ROWS], got[TOKENS * ROWS], values[ROWS * COLS];
    const rc_bound *w;
    size_t differ = 0;
    rm m;

    (void)state;
    open_store(&m, "native");
    w = rm_find(&m, "layers.2.attn.wq_b.weight");
    product(&m, w, RC_LINEAR_FP8, 0, ROWS, TOKENS, want);
    m.e.blas = true;
    product(&m, w, RC_LINEAR_FP8, 0, ROWS, TOKENS, got);
    decode_rows(&m, w, 0, ROWS, values);
    for (uint32_t r = 0; r < ROWS; r++) {
        const float *row = values + r * w->param->shape[1];

        for (size_t t = 0; t < TOKENS; t++) {
            double all = 0;

            for (size_t i = 0; i < w->param->shape[1]; i++)
                all += fabs((double)row[i] * x[t * COLS + i]);
            differ += want[t * ROWS + r] != got[t * ROWS + r];
            assert_true(fabs((double)want[t * ROWS + r] - got[t * ROWS + r]) <=
                        ldexp(2 * (double)w->param->shape[1] * all, -24));
        }
    }
    assert_true(differ > 0);                        /* it was BLIS */
    product(&m, w, RC_LINEAR_FP8, 0, ROWS, 3, got); /* few tokens: our own */
    assert_memory_equal(got, want, 3 * ROWS * sizeof *got);
    rm_close(&m);
}

/* ---- ranges that cut pieces ---- */

/* A matrix of the release's size, in 8 pieces of 4096 rows. */
static void test_linear_rows_across_pieces(void **state)
{
    const rc_synth_options flash = {
        .like = "flash", .layers = 1, .experts = 6, .hollow = true, .threads = 1
    };
    enum { FROM = 4000, MANY = 4300 }; /* rows 4000 .. 8300: the second piece whole */
    static uint8_t bytes[(MANY + 128) * 1024], scales[40 * 8];
    static float y[9 * MANY], row[COLS];
    const char *path;
    const rc_bound *w;
    rm m;

    (void)state;
    path = fx_path(&dir, "flash");
    rm_synth(path, &flash);
    path = fx_path(&dir, "flash");
    rm_open(&m, path);
    w = rm_find(&m, "layers.0.attn.wq_b.weight");
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = fx_byte(i) & 0xf7; /* no NaN */
    for (size_t i = 0; i < sizeof scales; i++)
        scales[i] = (uint8_t)(120 + fx_byte(i) % 9);
    rm_poke(&m, path, w->weight, FROM * 1024, bytes, sizeof bytes);
    rm_poke(&m, path, w->scale, FROM / 128 * 8, scales, sizeof scales);
    rm_close(&m);

    rm_open(&m, fx_path(&dir, "flash"));
    rm_weights(&m, 13u << 20, 1);
    w = rm_find(&m, "layers.0.attn.wq_b.weight");
    assert_int_equal(rc_weights_step(m.e.weights, w), 4096);
    for (size_t tokens = 1; tokens <= 9; tokens += 8) {
        product(&m, w, RC_LINEAR_F32, FROM, MANY, tokens, y);
        for (uint32_t r = 0; r<MANY; r += r> 90 && r < 100 ? 1 : 13) {
            decode_rows(&m, w, FROM + r, 1, row);
            for (size_t t = 0; t < tokens; t++) {
                double sum = 0, all = 0;

                for (size_t i = 0; i < COLS; i++) {
                    sum += (double)row[i] * x[t * COLS + i];
                    all += fabs((double)row[i] * x[t * COLS + i]);
                }
                assert_true(all > 0);
                assert_true(fabs(y[t * MANY + r] - sum) <= ldexp(70 * all, -24));
            }
        }
    }
    rm_close(&m);
}

/* ---- what cannot be ---- */

static void check_blamed(const char *param, bool scale, uint64_t off, const char *bytes,
                         const char *message)
{
    static float y[TOKENS * ROWS];
    char path[300];
    const rc_synth_options tiny = { .like = "tiny", .layers = 3, .experts = 2, .threads = 1 };
    const rc_bound *w;
    rm m;

    snprintf(path, sizeof path, "%s", fx_path(&dir, "damaged"));
    rm_synth(path, &tiny);
    rm_open(&m, path);
    w = rm_find(&m, param);
    rm_poke(&m, path, scale ? w->scale : w->weight, off, bytes, strlen(bytes));
    rm_close(&m);
    for (unsigned k = 0; k < 6; k++) {
        const size_t tokens = k % 2 ? TOKENS : 1;
        rc_input *in;
        rc_err err;

        open_store(&m, "damaged");
        m.e.numerics = k / 2 == 1 ? RC_NUMERICS_NATIVE : RC_NUMERICS_F32;
        m.e.blas = k / 2 == 2;
        w = rm_find(&m, param);
        assert_int_equal(rc_input_new(&in, &m.e, &err), RC_OK);
        assert_int_equal(rc_input_set(in, RC_LINEAR_FP8, x, COLS, tokens, w->param->shape[1], &err),
                         RC_OK);
        if (rc_linear(&m.e, w, 0, w->param->shape[0], in, y, ROWS, &err) != RC_E_NUMERIC)
            fail_msg("%s: way %u is not refused", param, k);
        assert_string_equal(err.tensor, w->weight->name);
        assert_string_equal(err.msg, message);
        assert_non_null(strstr(err.file, ".safetensors"));
        if (!scale)
            assert_int_equal(err.offset, w->weight->begin + off);
        rc_input_free(&in);
        rm_close(&m);
    }
    fx_remove(path);
}

static void test_linear_blames_the_weight(void **state)
{
    (void)state;
    check_blamed("layers.2.attn.wq_b.weight", false, 200 * 128 + 17, "\x7f",
                 "element [200, 17] is NaN"); /* E4M3 */
    check_blamed("layers.1.ffn.experts.0.w1.weight", true, 33 * 8 + 2, "\xff",
                 "element [33, 64] is NaN"); /* E8M0 over 32 values of FP4 */
    check_blamed("head.weight", false, 7 * 512 + 10, "\xc1\x7f", "element [7, 5] is NaN");
}

/* Finite weights, but the sum is out of range. */
static void test_linear_overflow_of_activations(void **state)
{
    static float huge[COLS], y[ROWS];
    rc_input *in;
    rc_err err;
    rm m;

    (void)state;
    open_store(&m, "native");
    decode_rows(&m, rm_find(&m, "layers.2.hc_attn_fn"), 3, 1, huge);
    for (size_t i = 0; i < COLS; i++)
        huge[i] = copysignf(3e38f, huge[i]);
    assert_int_equal(rc_input_new(&in, &m.e, &err), RC_OK);
    assert_int_equal(rc_input_set(in, RC_LINEAR_F32, huge, COLS, 1, 1024, &err), RC_OK);
    assert_int_equal(rc_linear(&m.e, rm_find(&m, "layers.2.hc_attn_fn"), 0, 24, in, y, ROWS, &err),
                     RC_E_NUMERIC);
    assert_non_null(strstr(err.msg, "activations are out of range"));
    assert_string_equal(err.tensor, "layers.2.hc_attn_fn");
    assert_int_equal(rc_linear(&m.e, rm_find(&m, "head.weight"), 0, 8, in, y, ROWS, &err),
                     RC_E_INTERNAL); /* 256 columns */
    rc_input_free(&in);
    rm_close(&m);
}

/* An input is taken and multiplied, refused at the k-th allocation; then the same objects serve
 * the next. */
static void test_linear_survives_no_memory(void **state)
{
    static float want[TOKENS * ROWS], got[TOKENS * ROWS];

    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        bool undisturbed = false;

        for (size_t k = 1; !undisturbed; k++) {
            const rc_bound *w;
            rc_input *in = NULL;
            rc_code rc;
            rc_err err;
            rm m;

            open_store(&m, "fp8");
            m.e.numerics = how == 1 ? RC_NUMERICS_NATIVE : RC_NUMERICS_F32;
            m.e.blas = how == 2;
            w = rm_find(&m, "layers.2.attn.wq_b.weight");
            product(&m, w, RC_LINEAR_FP8, 0, ROWS, TOKENS, want); /* and its piece is there */
            m.mem.fail_at = m.mem.calls + k;
            rc = rc_input_new(&in, &m.e, &err);
            for (size_t tokens = 2; rc == RC_OK && tokens <= TOKENS; tokens += TOKENS - 2) {
                rc = rc_input_set(in, RC_LINEAR_FP8, x, COLS, tokens, 128, &err);
                if (rc == RC_OK)
                    rc = rc_linear(&m.e, w, 0, ROWS, in, got, ROWS, &err);
            }
            undisturbed = m.mem.calls < m.mem.fail_at;
            assert_int_equal(rc, undisturbed ? RC_OK : RC_E_OS);
            for (size_t tokens = 2; in && tokens <= TOKENS; tokens += TOKENS - 2) {
                assert_int_equal(rc_input_set(in, RC_LINEAR_FP8, x, COLS, tokens, 128, &err),
                                 RC_OK);
                assert_int_equal(rc_linear(&m.e, w, 0, ROWS, in, got, ROWS, &err), RC_OK);
            }
            if (in)
                assert_memory_equal(got, want, sizeof got);
            rc_input_free(&in);
            rm_close(&m);
            assert_true(k < 50);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear_is_the_product),
        cmocka_unit_test(test_linear_bits_depend_on_values_only),
        cmocka_unit_test(test_linear_bits_do_not_depend_on_the_cut),
        cmocka_unit_test(test_linear_blas_is_within_its_bound),
        cmocka_unit_test(test_linear_rows_across_pieces),
        cmocka_unit_test(test_linear_blames_the_weight),
        cmocka_unit_test(test_linear_overflow_of_activations),
        cmocka_unit_test(test_linear_survives_no_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
