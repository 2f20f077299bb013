/* tests/unit/test_forward_golden.c - the fast forward pass against the official code.
 *
 * tests/data/golden: a model and what the release's code makes of it in double. tests/data/forward:
 * two more, made by synth, in double and with the release's rounding; its note says how near is
 * near enough, and why. */
#include <math.h>

#include "convert/synth.h"
#include "formats/base/json.h"
#include "formats/model.h"
#include "runtime/forward.h"
#include "tests/unit/expected.h"

enum { V = 384, N = 4, D = 256, L = 5, K = 2, TOP = 8, MOST = 1000 };

/* -- a pass, and what it showed -------------------------------------------- */

typedef struct pass {
    rc_mem mem;
    rc_ckpt *ckpt;
    rc_model *model;
    rc_forward *forward;
    size_t n, vocab, wide;
    float *logits; /* [n, vocab] */
    float *hidden; /* [L, n, wide] */
    float *draft;  /* [n, vocab] */
    uint8_t expert[L][MOST][K];
    int32_t block[L][MOST][TOP];
} pass;

static rc_code keep_logits(void *ctx, uint64_t pos, size_t n, const float *logits, rc_err *err)
{
    pass *p = ctx;

    (void)err;
    memcpy(p->logits + pos * p->vocab, logits, n * p->vocab * sizeof *logits);
    return RC_OK;
}

static rc_code keep_draft(void *ctx, uint64_t pos, size_t n, const float *logits, rc_err *err)
{
    pass *p = ctx;

    (void)err;
    memcpy(p->draft + pos * p->vocab, logits, n * p->vocab * sizeof *logits);
    return RC_OK;
}

static rc_code keep_streams(void *ctx, uint32_t layer, uint64_t pos, size_t n, const float *h,
                            rc_err *err)
{
    pass *p = ctx;

    (void)err;
    if (layer < L)
        memcpy(p->hidden + (layer * p->n + pos) * p->wide, h, n * p->wide * sizeof *h);
    return RC_OK;
}

static rc_code keep_experts(void *ctx, uint32_t layer, uint64_t pos, size_t n, size_t k,
                            const uint32_t *id, const float *weight, rc_err *err)
{
    pass *p = ctx;

    (void)weight;
    (void)err;
    assert_int_equal(k, K);
    for (size_t i = 0; i < n * K && layer < L; i++)
        p->expert[layer][pos + i / K][i % K] = (uint8_t)id[i];
    return RC_OK;
}

static rc_code keep_blocks(void *ctx, uint32_t layer, uint64_t pos, size_t n, size_t visible,
                           const uint32_t *block, rc_err *err)
{
    pass *p = ctx;

    (void)visible;
    (void)err;
    for (size_t i = 0; i < TOP && layer < L; i++)
        p->block[layer][pos][i] = i < n ? (int32_t)block[i] : -1;
    return RC_OK;
}

/* Feed `token` in runs of `step` (0: all at once), then the draft with `shift`. */
static pass *run(const char *model, rc_numerics numerics, const uint32_t *token, size_t n,
                 size_t step, unsigned shift)
{
    pass *p = calloc(1, sizeof *p);
    const rc_watch watch = {
        .ctx = p, .streams = keep_streams, .experts = keep_experts, .blocks = keep_blocks
    };
    const rc_forward_options o = {
        .numerics = numerics, .keep_streams = step == 0, .watch = &watch, .mem_limit = 256 << 20
    };
    rc_source *src;
    rc_err err;

    assert_non_null(p);
    ok(rc_source_open(&src, model, NULL, &p->mem, &err), &err);
    ok(rc_ckpt_open(&p->ckpt, src, NULL, &p->mem, &err), &err);
    ok(rc_model_new(&p->model, p->ckpt, &p->mem, &err), &err);
    p->n = n;
    p->vocab = rc_ckpt_config(p->ckpt)->vocab_size;
    p->wide = (size_t)N * rc_ckpt_config(p->ckpt)->hidden_size;
    p->logits = calloc(n * p->vocab, sizeof *p->logits);
    p->draft = calloc(n * p->vocab, sizeof *p->draft);
    p->hidden = calloc(L * n * p->wide, sizeof *p->hidden);
    assert_true(p->logits && p->draft && p->hidden);
    ok(rc_forward_new(&p->forward, p->model, &o, &err), &err);
    for (size_t at = 0; at < n; at += step ? step : n) {
        const size_t now = !step || n - at < step ? n - at : step;

        ok(rc_forward_feed(p->forward, token + at, now, now, keep_logits, p, &err), &err);
    }
    if (step == 0)
        ok(rc_forward_draft(p->forward, shift, keep_draft, p, &err), &err);
    return p;
}

static void end(pass *p)
{
    rc_forward_free(&p->forward);
    rc_model_free(&p->model);
    rc_ckpt_close(&p->ckpt);
    assert_int_equal(p->mem.used, 0);
    free(p->logits);
    free(p->draft);
    free(p->hidden);
    free(p);
}

/* -- in double: 1e-5 of the largest ---------------------------------------- */

static void near(const float *got, const void *want, size_t from, size_t n, double most,
                 const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - (double)number(want, from + i)) <= 1e-5 * most))
            fail_msg("%s %zu: %.9g, want %.9g", what, from + i, (double)got[i],
                     (double)number(want, from + i));
}

static double largest(const void *values, size_t n)
{
    double most = 0;

    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)number(values, i)));
    return most;
}

static void test_forward_meets_the_release(void **state)
{
    enum { T = 300, VOCAB = 256, WIDE = 4 * 128, KEPT = 6 };
    uint32_t token[T];
    const void *ids, *want, *at;
    expected e;
    pass *p;

    (void)state;
    open_expected(&e, "tests/data/golden/expected.safetensors");
    ids = values_of(&e, "tokens", T, 8);
    for (size_t i = 0; i < T; i++)
        token[i] = integer(ids, i);
    p = run("tests/data/golden/model", RC_NUMERICS_F32, token, T, 0, 0);
    want = values_of(&e, "logits", T * VOCAB, 4);
    near(p->logits, want, 0, T * VOCAB, largest(want, T * VOCAB), "logits");
    at = values_of(&e, "hidden_positions", KEPT, 8);
    for (unsigned l = 0; l < 3; l++) {
        char name[16];

        snprintf(name, sizeof name, "hidden.%u", l);
        want = values_of(&e, name, KEPT * WIDE, 4);
        for (size_t i = 0; i < KEPT; i++)
            near(p->hidden + (l * T + integer(at, i)) * WIDE, want, i * WIDE, WIDE,
                 largest(want, KEPT * WIDE), name);
    }
    want = values_of(&e, "mtp_logits_last", VOCAB, 4);
    near(p->draft + (T - 1) * VOCAB, want, 0, VOCAB, largest(want, VOCAB), "mtp");
    end(p);
    close_expected(&e);
}

/* -- tests/data/forward ---------------------------------------------------- */

static int32_t small_int(const void *values, size_t i)
{
    int32_t x;

    memcpy(&x, (const uint8_t *)values + 4 * i, 4);
    return x;
}

static size_t rows_of(const expected *e, const char *name)
{
    const rc_st_entry *t = rc_st_find(e->head, name);

    assert_non_null(t);
    return (size_t)t->shape[0];
}

/* The checkpoint of a set, as its note says. */
static void make_model(const char *folder, const char *set)
{
    const bool smooth = strncmp(set, "smooth", 6) == 0;
    const rc_synth_options o = { .like = "tiny", .seed = smooth ? 2 : 1, .threads = 2 };
    rc_synth_result r;
    rc_mem mem = { 0 };
    rc_err err;
    char path[600], *text;
    size_t len;

    ok(rc_synth(folder, &o, &r, &mem, &err), &err);
    if (!smooth)
        return;
    snprintf(path, sizeof path, "%s/config.json", folder);
    text = (char *)load(path, &len);
    text = realloc(text, len + 1);
    assert_non_null(text);
    text[len] = 0;
    {
        const rc_json_edit edits[] = { { "swiglu_limit", "0.3" }, { "index_topk", "512" } };
        char *changed;
        FILE *f;

        ok(rc_json_edit_root((const uint8_t *)text, len, edits, 2, &changed, &len, &mem, &err),
           &err);
        f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(changed, 1, len, f), len);
        assert_int_equal(fclose(f), 0);
        rc_mem_put(&mem, changed);
    }
    free(text);
}

/* Of `n` distances the middle, nine of ten, the worst. */
static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void quantiles(double *x, size_t n, double q[3])
{
    qsort(x, n, sizeof *x, by_size);
    q[0] = x[n / 2];
    q[1] = x[n * 9 / 10];
    q[2] = x[n - 1];
}

typedef struct bound {
    const char *name;
    double q[3];
} bound;

static void within(const double q[3], const bound *bounds, const char *name)
{
    static const char *const what[] = { "middle", "nine of ten", "worst" };

    for (; bounds->name; bounds++)
        for (unsigned i = 0; i < 3 && strcmp(bounds->name, name) == 0; i++)
            if (!(q[i] <= bounds->q[i]))
                fail_msg("%s, %s: %g, at most %g", name, what[i], q[i], bounds->q[i]);
}

/* Rows of logits: the largest difference of a row, as a part of the largest logit. */
static void compare_logits(const pass *p, const expected *e, const char *name, const char *at,
                           size_t first, const float *got, const bound *bounds)
{
    const size_t n = rows_of(e, name);
    const void *want = values_of(e, name, n * V, 4);
    const void *rows = at ? values_of(e, at, n, 4) : NULL;
    const double most = largest(want, n * V);
    double *distance = calloc(n, sizeof *distance), q[3];

    (void)p;
    assert_non_null(distance);
    for (size_t i = 0; i < n; i++) {
        const size_t row = rows ? (size_t)small_int(rows, i) - first : first + i;

        for (size_t v = 0; v < V; v++)
            distance[i] =
                fmax(distance[i],
                     fabs((double)got[row * V + v] - (double)number(want, i * V + v)) / most);
    }
    quantiles(distance, n, q);
    within(q, bounds, at ? name : "steps");
    free(distance);
}

static void compare_streams(const pass *p, const expected *e, const bound *bounds)
{
    const size_t n = rows_of(e, "positions"), wide = (size_t)N * D;
    const void *at = values_of(e, "positions", n, 4);
    double *distance = calloc(n, sizeof *distance), q[3];

    assert_non_null(distance);
    for (unsigned l = 0; l < L; l++) {
        const rc_st_entry *t;
        char name[16];

        snprintf(name, sizeof name, "hidden.%u", l);
        t = rc_st_find(e->head, name);
        assert_non_null(t);
        for (size_t i = 0; i < n; i++) {
            const float *got = p->hidden + (l * p->n + (size_t)small_int(at, i)) * wide;
            double dd = 0, ww = 0;

            for (size_t k = 0; k < wide; k++) {
                const uint8_t *from = e->bytes + t->begin;
                uint16_t half;
                uint32_t bits;
                float w;

                if (t->dtype == RC_DTYPE_BF16) {
                    memcpy(&half, from + 2 * (i * wide + k), 2);
                    bits = (uint32_t)half << 16;
                    memcpy(&w, &bits, 4);
                } else {
                    w = number(from, i * wide + k);
                }
                dd += ((double)got[k] - (double)w) * ((double)got[k] - (double)w);
                ww += (double)w * (double)w;
            }
            distance[i] = sqrt(dd / ww);
        }
        quantiles(distance, n, q);
        within(q, bounds, name);
    }
    free(distance);
}

/* Which part of the tokens went to other experts, or saw other blocks? */
static void compare_choices(const pass *p, const expected *e, const double most[L])
{
    const uint8_t *expert = values_of(e, "experts", (size_t)L * p->n * K, 1);

    for (unsigned l = 0; l < L; l++) {
        size_t moved = 0;

        for (size_t t = 0; t < p->n; t++)
            moved += memcmp(p->expert[l][t], expert + (l * p->n + t) * K, K) != 0;
        if (!((double)moved <= most[l] * (double)p->n))
            fail_msg("layer %u: %zu of %zu tokens went to other experts", l, moved, p->n);
    }
}

static void compare_blocks(const pass *p, const expected *e)
{
    const rc_st_entry *t = rc_st_find(e->head, "blocks");
    const void *layers;

    if (!t)
        return;
    layers = values_of(e, "block_layers", 2, 4);
    for (size_t i = 0; i < 2; i++)
        for (size_t pos = 0; pos < p->n; pos++)
            assert_memory_equal(p->block[small_int(layers, i)][pos],
                                e->bytes + t->begin + (i * p->n + pos) * TOP * 4, TOP * 4);
}

static void against(const char *set, rc_numerics numerics, const bound *bounds,
                    const double moved[L])
{
    static const unsigned prompts[] = { 1, 3, 126, 255 };
    fx_dir dir = fx_open(NULL);
    uint32_t token[MOST];
    char path[512];
    const void *ids;
    expected e;
    size_t n;
    pass *p;

    snprintf(path, sizeof path, "tests/data/forward/%s.safetensors", set);
    open_expected(&e, path);
    n = rows_of(&e, "tokens");
    assert_true(n <= MOST);
    ids = values_of(&e, "tokens", n, 4);
    for (size_t i = 0; i < n; i++)
        token[i] = (uint32_t)small_int(ids, i);
    snprintf(path, sizeof path, "%s/model", dir.path);
    make_model(path, set);
    p = run(path, numerics, token, n, 0, 1);
    compare_logits(p, &e, "logits", "rows", 0, p->logits, bounds);
    compare_logits(p, &e, "prefix_logits", "prefixes", 1, p->logits, bounds);
    for (unsigned i = 0; i < 4; i++) {
        char name[24];

        snprintf(name, sizeof name, "step_logits.%u", prompts[i]);
        compare_logits(p, &e, name, NULL, prompts[i], p->logits, bounds);
    }
    compare_logits(p, &e, "draft_logits", "draft_positions", 0, p->draft, bounds);
    compare_streams(p, &e, bounds);
    compare_choices(p, &e, moved);
    if (numerics == RC_NUMERICS_F32)
        compare_blocks(p, &e);
    end(p);
    close_expected(&e);
    fx_close(&dir);
}

#define EXACT                                                                                      \
    {                                                                                              \
        1e-5, 1e-5, 1e-5                                                                           \
    }

static const bound exact[] = {
    { "logits", EXACT },   { "prefix_logits", EXACT },
    { "steps", EXACT },    { "draft_logits", EXACT },
    { "hidden.0", EXACT }, { "hidden.1", EXACT },
    { "hidden.2", EXACT }, { "hidden.3", EXACT },
    { "hidden.4", EXACT }, { 0 },
};
static const double none[L];

static void test_forward_in_double_smooth(void **state)
{
    (void)state;
    against("smooth.f64", RC_NUMERICS_F32, exact, none);
}

static void test_forward_in_double_choice(void **state)
{
    (void)state;
    against("choice.f64", RC_NUMERICS_F32, exact, none);
}

/* Rounding turns the last bit of a sum into a step of BF16 or FP8 now and then, and that into
 * another expert: bounds as in tests/oracle/judge.py. */
static void test_forward_as_the_release_rounds_smooth(void **state)
{
    static const bound bounds[] = {
        { "logits", { 0.06, 0.18, 0.5 } },     { "prefix_logits", { 0.5, 0.5, 0.5 } },
        { "steps", { 0.5, 0.5, 0.5 } },        { "draft_logits", { 0.06, 0.12, 0.2 } },
        { "hidden.0", { 0.005, 0.04, 0.07 } }, { "hidden.1", { 0.024, 0.08, 0.2 } },
        { "hidden.2", { 0.045, 0.12, 0.45 } }, { "hidden.3", { 0.09, 0.28, 0.6 } },
        { "hidden.4", { 0.09, 0.28, 0.6 } },   { 0 },
    };
    static const double moved[L] = { 0, 0.05, 0.09, 0.17, 0.18 };

    (void)state;
    against("smooth.native", RC_NUMERICS_NATIVE, bounds, moved);
}

static void test_forward_as_the_release_rounds_choice(void **state)
{
    static const bound bounds[] = {
        { "logits", { 0.12, 0.32, 0.8 } },    { "prefix_logits", { 0.8, 0.8, 0.8 } },
        { "steps", { 0.8, 0.8, 0.8 } },       { "draft_logits", { 0.1, 0.15, 0.3 } },
        { "hidden.0", { 0.04, 0.075, 0.1 } }, { "hidden.1", { 0.08, 0.13, 0.6 } },
        { "hidden.2", { 0.1, 0.16, 0.6 } },   { "hidden.3", { 0.16, 0.35, 0.6 } },
        { "hidden.4", { 0.18, 0.35, 0.6 } },  { 0 },
    };
    static const double moved[L] = { 0, 0.07, 0.18, 0.35, 0.36 };

    (void)state;
    against("choice.native", RC_NUMERICS_NATIVE, bounds, moved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_meets_the_release),
        cmocka_unit_test(test_forward_in_double_smooth),
        cmocka_unit_test(test_forward_in_double_choice),
        cmocka_unit_test(test_forward_as_the_release_rounds_smooth),
        cmocka_unit_test(test_forward_as_the_release_rounds_choice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
