/* tests/unit/test_golden_run.c - the sample model recorded, and held against itself, against a copy
 * with one scale off by a binade, and against what is no copy; the figures against those of the two
 * models side by side. */
#include "tests/unit/runtime_model.h"

#include <math.h>

#include "formats/bpe_load.h"
#include "tests/unit/golden_file.h"
#include "verify/golden_text.h"
#include "verify/sayings.h"

enum { V = 1536, TEXT = 180, CTX = 80, STRIDE = 56, SKIP = 7, K = 32, LAYERS = 3 };

#define SAMPLE  "tests/data/sample"
#define DAMAGED "layers.1.attn.wo_b.weight"

static fx_dir dir;
static rm model[2]; /* the sample, and the copy */
static rc_windows windows;
static float *logits[2];      /* [windows' tokens, V] of both, by the plain pass */
static rc_golden_result held; /* the copy against k.rgf */
static double off_by[LAYERS];
static const rc_forward_options run = { .threads = 2, .mem_limit = (uint64_t)256 << 20 };
static const rc_provenance from = { .native = "/models/sample/",
                                    .native_variant = "V4 (custom sizes)",
                                    .text = "texts/heldout.txt",
                                    .version = "9.9",
                                    .revision = "abc",
                                    .config = "00112233445566778899aabbccddeeff" };

/* -------------------------------------------------------------------- set-up */

static void cut_text(void)
{
    static char text[900];
    rc_mem mem = { 0 };
    rc_ids ids = { .mem = &mem };
    rc_bpe *bpe;
    rc_err err;
    FILE *f = fopen(SAMPLE "/heldout.txt", "rb");

    assert_non_null(f);
    assert_int_equal(fread(text, 1, sizeof text, f), sizeof text);
    fclose(f);
    assert_int_equal(rc_bpe_open(&bpe, SAMPLE, NULL, NULL, &mem, &err), RC_OK);
    assert_int_equal(rc_bpe_encode(bpe, text, sizeof text, &ids, &err), RC_OK);
    rc_bpe_free(&bpe);
    assert_true(ids.n >= TEXT);
    assert_int_equal(
        rc_windows_cut(&windows, ids.at, TEXT, CTX, STRIDE, SKIP, 0, &model[0].mem, &err), RC_OK);
    rc_mem_put(&mem, ids.at);
    assert_int_equal(mem.used, 0);
}

static void plain_logits(rm *m, float *out)
{
    const size_t n = windows.tokens;
    rc_forward *f;
    rc_err err;

    assert_int_equal(rc_forward_new(&f, m->model, &run, &err), RC_OK);
    assert_int_equal(rc_forward_begin(f, windows.token, n, windows.ctx, &err), RC_OK);
    while (rc_forward_next_layer(f) < rc_forward_end_layer(f))
        assert_int_equal(rc_forward_step(f, &err), RC_OK);
    for (size_t at = 0, now; at < n; at += now) {
        now = n - at < rc_forward_run(f) ? n - at : rc_forward_run(f);
        assert_int_equal(rc_forward_logits(f, at, now, out + at * V, &err), RC_OK);
    }
    rc_forward_free(&f);
}

static void make_copy(void)
{
    static const char *const files[] = { "config.json", "model.safetensors.index.json" };
    char path[200], name[64];

    fx_mkdir(&dir, "copy");
    for (size_t i = 0; i < 8; i++) {
        gf_bytes b;

        snprintf(name, sizeof name, "model-%05zu-of-00006.safetensors", i - 1);
        snprintf(path, sizeof path, SAMPLE "/%s", i < 2 ? files[i] : name);
        b = gf_read(path);
        snprintf(path, sizeof path, "copy/%s", i < 2 ? files[i] : name);
        fx_write(&dir, path, b.p, b.n);
        free(b.p);
    }
}

static void damage(void)
{
    const rc_bound *b = rm_find(&model[1], DAMAGED);
    uint8_t scale;
    char path[1300];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", fx_path(&dir, "copy"),
             rc_ckpt_shard(model[1].ckpt, b->scale->shard)->name);
    f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)b->scale->begin, SEEK_SET), 0);
    assert_int_equal(fread(&scale, 1, 1, f), 1);
    fclose(f);
    scale++;
    rm_poke(&model[1], fx_path(&dir, "copy"), b->scale, 0, &scale, 1);
}

static void record(const char *name, uint32_t top_k, const rc_forward_options *o)
{
    _Atomic uint64_t done = 0;
    rc_mem mem = { 0 };
    rc_target target;
    rc_err err;

    assert_int_equal(rc_target_open(&target, fx_path(&dir, name), &err), RC_OK);
    if (rc_golden_record(&target, model[0].model, &windows, top_k, o, &from, &done, &mem, &err) !=
        RC_OK)
        fail_msg("%s", err.msg);
    rc_target_close(&target);
    assert_int_equal(done, LAYERS + 1);
    assert_int_equal(mem.used, 0);
}

/* rel[LAYERS]: of the layers, which are freed. */
static rc_golden_result compare(const char *name, rm *m, const rc_forward_options *o, double rel[])
{
    rc_mem mem = { 0 };
    rc_golden_result r;
    rc_windows w;
    rc_golden *g;
    rc_err err;

    if (rc_golden_open(&g, fx_path(&dir, name), &mem, &err) != RC_OK ||
        rc_golden_windows(g, &w, &mem, &err) != RC_OK ||
        rc_golden_compare(g, m->model, &w, o, 0.01, &r, NULL, &mem, &err) != RC_OK)
        fail_msg("%s %s", err.msg, err.want);
    assert_int_equal(w.tokens, windows.tokens);
    assert_memory_equal(w.token, windows.token, w.tokens * sizeof *w.token);
    assert_true(r.layers.estimated && r.layers.n == LAYERS && r.layers.worst_own == -1);
    for (size_t l = 0; l < LAYERS; l++) {
        rel[l] = r.layers.at[l].sub[1].rel_err;
        assert_true(isnan(r.layers.at[l].sub[0].rel_err) && isnan(r.layers.at[l].sub[1].own));
        assert_true(isnan(r.layers.at[l].sub[1].cosine[0]) && !r.layers.at[l].sub[1].nonfinite);
    }
    rc_mem_put(&mem, r.layers.at);
    rc_windows_free(&w);
    rc_golden_close(&g);
    assert_int_equal(mem.used, 0);
    r.layers.at = NULL;
    return r;
}

static int set_up(void **state)
{
    (void)state;
    dir = fx_open(NULL);
    rm_open(&model[0], SAMPLE);
    make_copy();
    rm_open(&model[1], fx_path(&dir, "copy"));
    damage();
    rm_close(&model[1]);
    rm_open(&model[1], fx_path(&dir, "copy"));
    cut_text();
    for (unsigned m = 0; m < 2; m++) {
        logits[m] = malloc(windows.tokens * V * sizeof(float));
        assert_non_null(logits[m]);
        plain_logits(&model[m], logits[m]);
    }
    record("k.rgf", K, &run);
    record("all.rgf", 0, &run);
    held = compare("k.rgf", &model[1], &run, off_by);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rc_windows_free(&windows);
    for (unsigned m = 0; m < 2; m++) {
        free(logits[m]);
        rm_close(&model[m]);
    }
    fx_close(&dir);
    return 0;
}

/* ------------------------------------------------------------- what is tried */

/* The figures of the two models side by side; kl[] of each position, where asked for. */
static rc_behaviour side_by_side(unsigned b, double *kl)
{
    rc_mem mem = { 0 };
    rc_behaviour_sum *sum;
    rc_behaviour out;
    rc_err err;

    assert_int_equal(rc_behaviour_new(&sum, windows.scored, V, &mem, &err), RC_OK);
    for (size_t w = 0; w < windows.windows; w++) {
        size_t at, end;

        rc_windows_scored(&windows, w, &at, &end);
        for (; at < end; at++) {
            const float *rows[2] = { logits[0] + at * V, logits[b] + at * V };
            rc_saying said[2];
            double d;

            for (unsigned m = 0; m < 2; m++)
                rc_sayings_of(&said[m], rows[m], 1, V, &windows.token[at + 1], 1);
            rc_sayings_kl(&d, &said[0], rows[0], &said[1], rows[1], 1, V, 1);
            rc_behaviour_add(sum, at, d, &said[0], &said[1], -1);
            if (kl)
                *kl++ = d;
        }
    }
    rc_behaviour_finish(sum, &out);
    rc_behaviour_free(&sum);
    assert_int_equal(mem.used, 0);
    return out;
}

static void same_figures(const rc_behaviour *a, const rc_behaviour *b)
{
    assert_memory_equal(a, b, sizeof *a);
}

/* --------------------------------------------------------------------- tests */

static void test_golden_run_of_an_equal_model_is_exact(void **state)
{
    const rc_forward_options one = { .threads = 1, .mem_limit = (uint64_t)64 << 20 };
    const rc_behaviour want = side_by_side(0, NULL);
    double rel[LAYERS];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        const rc_golden_result r = compare(i ? "all.rgf" : "k.rgf", &model[0], &one, rel);

        assert_true(r.same_logits && r.same_streams && r.first_differing == -1);
        assert_true(r.layers.first == -1);
        assert_true(r.behaviour.kl.value == 0 && r.behaviour.kl_max == 0);
        assert_true(r.behaviour.ppl_ratio.value == 1 && r.behaviour.same_top.value == 1);
        assert_int_equal(r.behaviour.kl_zero, windows.scored);
        assert_false(r.behaviour.truncated);
        same_figures(&r.behaviour, &want);
        for (size_t l = 0; l < LAYERS; l++)
            assert_true(rel[l] == 0);
    }
}

static void test_golden_run_with_every_logit_is_the_full_comparison(void **state)
{
    const rc_behaviour want = side_by_side(1, NULL);
    double rel[LAYERS];
    rc_golden_result r;

    (void)state;
    r = compare("all.rgf", &model[1], &run, rel);
    assert_false(r.same_logits || r.same_streams);
    assert_true(want.kl.value > 1e-6 && want.positions == windows.scored);
    same_figures(&r.behaviour, &want);
}

/* With a top-k kl is estimated past it: without bias, so that means come close. */
static void test_golden_run_with_a_top_k_estimates_the_full_comparison(void **state)
{
    const rc_behaviour full = side_by_side(1, NULL);
    const rc_golden_result r = held;

    (void)state;
    assert_true(r.behaviour.truncated && !r.same_logits);
    assert_true(r.behaviour.tail_mean > 0.05 && r.behaviour.tail_max <= 1);
    if (fabs(r.behaviour.kl.value - full.kl.value) > 0.03 * full.kl.value)
        fail_msg("%g, not %g", r.behaviour.kl.value, full.kl.value);
    assert_true(fabs(r.behaviour.kl_p90 - full.kl_p90) < 0.2 * full.kl_p90);
    /* of tokens that came, and of candidates: as good as the full comparison's */
    assert_true(fabs(r.behaviour.ppl_ratio.value - full.ppl_ratio.value) < 1e-6);
    assert_true(fabs(r.behaviour.rms_dp.value - full.rms_dp.value) < 1e-6);
    assert_true(r.behaviour.same_top.value == full.same_top.value);
    assert_true(r.behaviour.overlap5.value == full.overlap5.value);
    assert_true(r.behaviour.overlap10.value == full.overlap10.value);
}

/* A section of the file, and the two models' rows. */
typedef struct section {
    rc_golden_said s;
    size_t at, n; /* tokens */
} section;

static void at_section(rc_golden *g, size_t w, section *out)
{
    static uint32_t id[RC_GOLDEN_RUN * K], drawn[RC_GOLDEN_RUN * RC_GOLDEN_DRAWS];
    static double lp[RC_GOLDEN_RUN * K], drawn_lp[RC_GOLDEN_RUN * RC_GOLDEN_DRAWS];
    static float tail[RC_GOLDEN_RUN], next[RC_GOLDEN_RUN];
    size_t end;
    rc_err err;

    rc_windows_scored(&windows, w, &out->at, &end);
    out->n = end - out->at;
    out->s = (rc_golden_said){ .id = id,
                               .logprob = lp,
                               .drawn = drawn,
                               .drawn_logprob = drawn_lp,
                               .tail = tail,
                               .next = next };
    assert_int_equal(rc_golden_read_said(g, w, &out->s, &err), RC_OK);
}

/* One position: what is stored of NATIVE, to half a step, the draws among the others. */
static void check_position(const section *c, size_t i)
{
    const double eps = 0.5 / RC_GOLDEN_STEPS + 1e-9;
    const float *a = logits[0] + (c->at + i) * V;
    const uint32_t *id = c->s.id + i * K, *drawn = c->s.drawn + i * RC_GOLDEN_DRAWS;
    rc_saying said;
    double rest = 1;

    rc_saying_of(&said, a, V, windows.token[c->at + i + 1]);
    for (size_t j = 0; j < RC_TOP; j++)
        assert_int_equal(id[j], said.top[j].id);
    assert_true(c->s.next[i] == (float)said.logprob);
    for (size_t j = 0; j < K; j++) {
        const double exact = (double)a[id[j]] - said.log_sum;

        assert_true(fabs(c->s.logprob[i * K + j] - exact) <= eps);
        assert_true(j == 0 || a[id[j]] < a[id[j - 1]] ||
                    (a[id[j]] == a[id[j - 1]] && id[j] > id[j - 1]));
        rest -= exp(exact);
    }
    assert_true(fabs((double)c->s.tail[i] - rest) < 1e-6);
    for (size_t j = 0; j < RC_GOLDEN_DRAWS; j++) {
        const double exact = (double)a[drawn[j]] - said.log_sum;

        assert_true(fabs(c->s.drawn_logprob[i * RC_GOLDEN_DRAWS + j] - exact) <= eps);
        assert_true(a[drawn[j]] <= a[id[K - 1]]);
        for (size_t k = 0; k < K; k++)
            assert_int_not_equal(drawn[j], id[k]);
    }
}

static void test_golden_run_keeps_what_was_said(void **state)
{
    rc_mem mem = { 0 };
    size_t seen = 0;
    section c;
    rc_golden *g;
    rc_err err;

    (void)state;
    assert_int_equal(rc_golden_open(&g, fx_path(&dir, "k.rgf"), &mem, &err), RC_OK);
    assert_int_equal(rc_golden_runs(g), windows.windows);
    for (size_t w = 0; w < windows.windows; w++, seen += c.n) {
        at_section(g, w, &c);
        for (size_t i = 0; i < c.n; i++)
            check_position(&c, i);
    }
    assert_int_equal(seen, windows.scored);
    rc_golden_close(&g);
}

/* Draws come as often as their probability says: the mean of what is uniform by rank, and of the
 * probability itself, over all draws. */
static void test_golden_run_draws_by_probability(void **state)
{
    double off = 0, var = 0;
    rc_mem mem = { 0 };
    section c;
    rc_golden *g;
    rc_err err;

    (void)state;
    assert_int_equal(rc_golden_open(&g, fx_path(&dir, "k.rgf"), &mem, &err), RC_OK);
    for (size_t w = 0; w < windows.windows; w++) {
        at_section(g, w, &c);
        for (size_t i = 0; i < c.n; i++) {
            const float *a = logits[0] + (c.at + i) * V;
            double mean = 0, square = 0, all = 0, got = 0;
            rc_saying said;

            rc_saying_of(&said, a, V, 0);
            for (uint32_t v = 0; v < V; v++) {
                bool top = false;

                for (size_t j = 0; j < K; j++)
                    top = top || c.s.id[i * K + j] == v;
                if (top)
                    continue;
                const double lp = (double)a[v] - said.log_sum, p = exp(lp);

                all += p;
                mean += p * lp;
                square += p * lp * lp;
            }
            mean /= all;
            for (size_t j = 0; j < RC_GOLDEN_DRAWS; j++)
                got += c.s.drawn_logprob[i * RC_GOLDEN_DRAWS + j] / RC_GOLDEN_DRAWS;
            off += got - mean;
            var += (square / all - mean * mean) / RC_GOLDEN_DRAWS;
        }
    }
    if (!(fabs(off) < 3 * sqrt(var)))
        fail_msg("%g, which is %g deviations", off, off / sqrt(var));
    rc_golden_close(&g);
}

/* Layer 0 is untouched; what begins in layer 1 shows there, as large as it is. */
static void test_golden_run_finds_the_layer(void **state)
{
    (void)state;
    assert_int_equal(held.first_differing, 1);
    assert_true(off_by[0] == 0 && off_by[1] > 0.01 && off_by[2] > 0);
    assert_true(held.layers.first == 1 && held.layers.first_sub == 1);
}

typedef struct seen {
    double *h[LAYERS]; /* [tokens, 1024], the sample's; then the sums of both */
    double aa[LAYERS], dd[LAYERS];
    bool second;
} seen;

static rc_code see(void *ctx, uint32_t layer, uint64_t pos0, size_t tokens, const float *h,
                   rc_err *err)
{
    seen *s = ctx;

    (void)err;
    for (size_t i = 0; i < tokens * 1024; i++) {
        double *a = &s->h[layer][pos0 * 1024 + i];

        if (s->second) {
            s->aa[layer] += *a * *a;
            s->dd[layer] += (*a - (double)h[i]) * (*a - (double)h[i]);
        } else {
            *a = (double)h[i];
        }
    }
    return RC_OK;
}

/* The estimate of the sketches against all values: some hundred of them, so to a sixth or so. */
static void test_golden_run_estimates_the_error(void **state)
{
    seen s = { 0 };
    const rc_watch watch = { .ctx = &s, .streams = see };
    rc_forward_options o = run;

    (void)state;
    o.watch = &watch;
    for (size_t l = 0; l < LAYERS; l++)
        s.h[l] = malloc(windows.tokens * 1024 * sizeof(double));
    for (unsigned m = 0; m < 2; m++, s.second = true) {
        rc_forward *f;
        rc_err err;

        assert_int_equal(rc_forward_new(&f, model[m].model, &o, &err), RC_OK);
        assert_int_equal(rc_forward_begin(f, windows.token, windows.tokens, CTX, &err), RC_OK);
        while (rc_forward_next_layer(f) < LAYERS)
            assert_int_equal(rc_forward_step(f, &err), RC_OK);
        rc_forward_free(&f);
    }
    for (size_t l = 0; l < LAYERS; l++) {
        const double want = sqrt(s.dd[l] / s.aa[l]);

        if (!(fabs(off_by[l] - want) <= 0.25 * want))
            fail_msg("layer %zu: %g, not %g", l, off_by[l], want);
        free(s.h[l]);
    }
}

static void test_golden_run_is_the_same_file_however_it_is_made(void **state)
{
    const rc_forward_options small = { .threads = 1,
                                       .mem_limit = (uint64_t)40 << 20,
                                       .scratch = dir.path };
    gf_bytes a, b;

    (void)state;
    for (uint32_t k = 0; k <= K; k += K) {
        record("b.rgf", k, &small);
        a = gf_read(fx_path(&dir, k ? "k.rgf" : "all.rgf"));
        b = gf_read(fx_path(&dir, "b.rgf"));
        assert_int_equal(a.n, b.n);
        assert_memory_equal(a.p, b.p, a.n);
        if (k)
            assert_true(a.n <= 200 * TEXT);
        free(a.p);
        free(b.p);
    }
}

static void test_golden_run_remembers_where_it_came_from(void **state)
{
    rc_provenance p = { .converted = "x" };
    rc_mem mem = { 0 };
    rc_golden *g;
    rc_err err;
    char hex[33];

    (void)state;
    assert_int_equal(rc_golden_open(&g, fx_path(&dir, "k.rgf"), &mem, &err), RC_OK);
    rc_golden_provenance(g, &p);
    assert_string_equal(p.native, "sample");
    assert_string_equal(p.native_variant, "V4 (custom sizes)");
    assert_string_equal(p.text, "heldout.txt");
    assert_string_equal(p.golden_version, "9.9");
    assert_string_equal(p.revision, "abc");
    assert_string_equal(p.numerics, "f32");
    assert_string_equal(p.config, from.config);
    assert_string_equal(p.converted, "x");
    rc_golden_tokens_digest(&windows, hex);
    assert_string_equal(p.tokens, hex);
    rc_golden_close(&g);
}

/* In native numerics, as the file says, whatever is asked for. */
static void test_golden_run_heeds_the_files_numerics(void **state)
{
    rc_forward_options o = run;
    double rel[LAYERS];

    (void)state;
    o.numerics = RC_NUMERICS_NATIVE;
    record("n.rgf", K, &o);
    assert_true(compare("n.rgf", &model[0], &run, rel).same_logits);
}

/* -- refusals -- */

static void test_golden_run_refuses_another_model(void **state)
{
    const rc_synth_options tiny = { .like = "tiny", .threads = 1, .layers = 1, .experts = 2 };
    rc_golden_result r;
    rc_mem mem = { 0 };
    rc_golden *g;
    rc_err err;
    rm other;

    (void)state;
    rm_synth(fx_path(&dir, "tiny"), &tiny);
    rm_open(&other, fx_path(&dir, "tiny"));
    assert_int_equal(rc_golden_open(&g, fx_path(&dir, "k.rgf"), &mem, &err), RC_OK);
    assert_int_equal(rc_golden_compare(g, other.model, &windows, &run, 0.01, &r, NULL, &mem, &err),
                     RC_E_TENSORSET);
    assert_non_null(strstr(err.msg, "vocab_size"));
    assert_string_equal(err.want, "1536");
    rc_golden_close(&g);
    assert_int_equal(mem.used, 0);
    rm_close(&other);
}

static void test_golden_run_refuses_a_model_without_numbers(void **state)
{
    const rc_bound *b = rm_find(&model[1], "norm.weight");
    static uint8_t huge[512]; /* BF16: finite, but not what comes of it */
    rc_golden_result r;
    rc_golden *g;
    rc_target target;
    rc_mem mem = { 0 };
    rc_err err;

    (void)state;
    for (size_t i = 0; i < sizeof huge; i++)
        huge[i] = 0x7f;
    rm_poke(&model[1], fx_path(&dir, "copy"), b->weight, 0, huge, sizeof huge);
    rm_close(&model[1]);
    rm_open(&model[1], fx_path(&dir, "copy"));
    assert_int_equal(rc_target_open(&target, fx_path(&dir, "bad.rgf"), &err), RC_OK);
    assert_int_equal(
        rc_golden_record(&target, model[1].model, &windows, K, &run, &from, NULL, &mem, &err),
        RC_E_NUMERIC);
    rc_target_close(&target);
    assert_int_equal(mem.used, 0);
    assert_int_not_equal(access(fx_path(&dir, "bad.rgf"), F_OK), 0);
    assert_int_not_equal(access(fx_path(&dir, "bad.rgf.partial"), F_OK), 0);
    assert_int_equal(rc_golden_open(&g, fx_path(&dir, "k.rgf"), &mem, &err), RC_OK);
    assert_int_equal(
        rc_golden_compare(g, model[1].model, &windows, &run, 0.01, &r, NULL, &mem, &err),
        RC_E_NUMERIC);
    rc_golden_close(&g);
    assert_int_equal(mem.used, 0);
}

static void test_golden_run_refuses_a_top_k_that_is_none(void **state)
{
    rc_target target;
    rc_mem mem = { 0 };
    rc_err err;

    (void)state;
    assert_int_equal(rc_target_open(&target, fx_path(&dir, "few.rgf"), &err), RC_OK);
    assert_int_equal(
        rc_golden_record(&target, model[0].model, &windows, 9, &run, &from, NULL, &mem, &err),
        RC_E_USAGE);
    assert_int_equal(
        rc_golden_record(&target, model[0].model, &windows, 4097, &run, &from, NULL, &mem, &err),
        RC_E_USAGE);
    rc_target_close(&target);
}

/* ---------------------------------------------------------------------- text */

/* Ids taken out of windows give the same windows, whatever the cut. */
static void test_golden_run_finds_the_text_in_its_windows(void **state)
{
    static const struct {
        uint32_t n, ctx, stride, skip, bos, first;
    } cases[] = {
        { 50, 16, 16, 0, RC_NO_TOKEN, 5 },
        { 50, 16, 16, 8, RC_NO_TOKEN, 5 },
        { 50, 16, 16, 0, 3, 5 },
        { 50, 16, 16, 8, 3, 3 },
        { 50, 16, 4, 0, 3, 5 },
        { 50, 16, 4, 2, RC_NO_TOKEN, 5 },
        { 50, 16, 15, 0, 3, 3 },
        { 49, 16, 16, 0, RC_NO_TOKEN, 5 },
        { 48, 16, 16, 0, 3, 5 },
        { 2, 16, 16, 0, 3, 5 },
        { 1, 16, 16, 0, 3, 5 },
        { 65, 16, 8, 0, RC_NO_TOKEN, 3 },
        { 50, 2, 1, 0, 3, 5 },
        { 50, 2, 2, 0, 3, 5 },
    };

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        uint32_t id[65], back[65];
        rc_mem mem = { 0 };
        rc_windows a, b;
        rc_err err;
        size_t n;

        for (uint32_t i = 0; i < cases[c].n; i++)
            id[i] = 10 + i;
        id[0] = cases[c].first;
        assert_int_equal(rc_windows_cut(&a, id, cases[c].n, cases[c].ctx, cases[c].stride,
                                        cases[c].skip, cases[c].bos, &mem, &err),
                         RC_OK);
        n = rc_golden_text_length(&a);
        assert_true(n <= cases[c].n);
        rc_golden_text_ids(&a, back, n);
        assert_int_equal(rc_windows_cut(&b, back, n, cases[c].ctx, cases[c].stride, cases[c].skip,
                                        cases[c].bos, &mem, &err),
                         RC_OK);
        if (a.tokens != b.tokens || a.scored != b.scored || a.windows != b.windows)
            fail_msg("case %zu: %zu tokens, not %zu", c, b.tokens, a.tokens);
        assert_memory_equal(a.token, b.token, a.tokens * sizeof *a.token);
        assert_memory_equal(a.text, b.text, a.tokens * sizeof *a.text);
        rc_windows_free(&a);
        rc_windows_free(&b);
        assert_int_equal(mem.used, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_run_of_an_equal_model_is_exact),
        cmocka_unit_test(test_golden_run_with_every_logit_is_the_full_comparison),
        cmocka_unit_test(test_golden_run_with_a_top_k_estimates_the_full_comparison),
        cmocka_unit_test(test_golden_run_keeps_what_was_said),
        cmocka_unit_test(test_golden_run_draws_by_probability),
        cmocka_unit_test(test_golden_run_finds_the_layer),
        cmocka_unit_test(test_golden_run_estimates_the_error),
        cmocka_unit_test(test_golden_run_is_the_same_file_however_it_is_made),
        cmocka_unit_test(test_golden_run_remembers_where_it_came_from),
        cmocka_unit_test(test_golden_run_heeds_the_files_numerics),
        cmocka_unit_test(test_golden_run_refuses_another_model),
        cmocka_unit_test(test_golden_run_refuses_a_top_k_that_is_none),
        cmocka_unit_test(test_golden_run_finds_the_text_in_its_windows),
        /* the last: it breaks the copy for good */
        cmocka_unit_test(test_golden_run_refuses_a_model_without_numbers),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
