/* tests/unit/test_plain.c - the plain forward pass against the release's own code.
 *
 * tests/data/golden*: expected values in F32 of a computation in double. */
#include <math.h>

#include "convert/convert.h"
#include "convert/synth.h"
#include "runtime/plain.h"
#include "tests/unit/expected.h"

enum { KEEP_ALL = 1 << 30 };

/* ------------------------------------------------------------------ what they share */

typedef struct opened {
    rc_mem mem;
    rc_ckpt *ckpt;
    rc_model *model;
    rc_plain *plain;
} opened;

static rc_code try_open(opened *o, const char *path, size_t keep, rc_err *err)
{
    rc_source *source;

    RC_TRY(rc_source_open(&source, path, NULL, &o->mem, err));
    RC_TRY(rc_ckpt_open(&o->ckpt, source, NULL, &o->mem, err));
    RC_TRY(rc_model_new(&o->model, o->ckpt, &o->mem, err));
    return rc_plain_new(&o->plain, o->model, keep, &o->mem, err);
}

static void give_back(opened *o)
{
    rc_plain_free(&o->plain);
    rc_model_free(&o->model);
    rc_ckpt_close(&o->ckpt);
    assert_int_equal(o->mem.used, 0);
}

static void open_plain(opened *o, const char *path, size_t keep)
{
    rc_err err;

    memset(o, 0, sizeof *o);
    ok(try_open(o, path, keep, &err), &err);
}

/* Equal but for the rounding to F32, and for that of doubles where values cancel. */
static void close_to(const double *got, const void *want, size_t from, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++) {
        const double w = (double)number(want, from + i);

        if (!(fabs(got[i] - w) <= 1e-7 * fabs(w) + 1e-12))
            fail_msg("%s %zu: %.17g, want %.9g", what, i, got[i], w);
    }
}

/* -------------------------------------------------------------- the release's values */

typedef struct seen {
    const expected *e;
    size_t compared;
    unsigned choices, blocks;
} seen;

enum { POSITIONS = 6, STREAMS = 4 * 128 };

static void see_streams(void *ctx, uint32_t layer, uint64_t pos, const double *h)
{
    seen *s = ctx;
    const void *at = values_of(s->e, "hidden_positions", POSITIONS, 8);
    char name[16];

    snprintf(name, sizeof name, "hidden.%u", layer);
    for (size_t i = 0; i < POSITIONS && layer < 3; i++)
        if (integer(at, i) == pos) {
            close_to(h, values_of(s->e, name, POSITIONS * STREAMS, 4), i * STREAMS, STREAMS, name);
            s->compared++;
        }
}

static void see_experts(void *ctx, uint32_t layer, uint64_t pos, const uint32_t *expert,
                        const double *weight)
{
    seen *s = ctx;

    (void)layer;
    (void)pos;
    assert_true(expert[0] < expert[1] && expert[1] < 6);
    assert_true(fabs(weight[0] + weight[1] - 1.5) < 1e-12);
    s->choices++;
}

static void see_blocks(void *ctx, uint32_t layer, uint64_t pos, const uint32_t *block, size_t n)
{
    seen *s = ctx;
    const uint64_t have = (pos + 1) / 4;

    assert_int_equal(layer, 1);
    assert_int_equal(n, have < 8 ? have : 8);
    for (size_t i = 0; i < n; i++)
        assert_true(block[i] < have && (i == 0 || block[i - 1] < block[i]));
    s->blocks++;
}

static void test_plain_meets_the_release(void **state)
{
    enum { T = 300, V = 256 };
    expected e;
    seen s = { .e = &e };
    const rc_plain_watch watch = { &s, see_streams, see_experts, see_blocks };
    double logits[V];
    const void *tokens, *want;
    opened o;
    rc_err err;

    (void)state;
    open_expected(&e, "tests/data/golden/expected.safetensors");
    open_plain(&o, "tests/data/golden/model", KEEP_ALL);
    rc_plain_set_watch(o.plain, &watch);
    tokens = values_of(&e, "tokens", T, 8);
    want = values_of(&e, "logits", T * V, 4);
    for (uint32_t t = 0; t < T; t++) {
        ok(rc_plain_step(o.plain, integer(tokens, t), logits, &err), &err);
        close_to(logits, want, t * V, V, "logits");
        ok(rc_plain_mtp_step(o.plain, rc_plain_streams(o.plain), integer(tokens, t),
                             t + 1 == T ? logits : NULL, NULL, &err),
           &err);
    }
    close_to(logits, values_of(&e, "mtp_logits_last", V, 4), 0, V, "MTP logits");
    assert_int_equal(s.compared, 3 * POSITIONS);
    assert_int_equal(s.choices, 4 * T);
    assert_int_equal(s.blocks, T);
    give_back(&o);
    close_expected(&e);
}

static void test_plain_draft_meets_the_release(void **state)
{
    enum { T = 48, FIRST = 6, B = 5, V = 80, P = T - FIRST };
    uint32_t tokens[B], again[B];
    double logits[B * V], confidence[B];
    const void *text, *drafts, *want, *sure;
    expected e;
    opened o;
    rc_err err;

    (void)state;
    open_expected(&e, "tests/data/golden_dspark/expected.safetensors");
    open_plain(&o, "tests/data/golden_dspark/model", KEEP_ALL);
    text = values_of(&e, "tokens", T + 1, 8);
    drafts = values_of(&e, "drafts", P * B, 8);
    want = values_of(&e, "logits", P * B * V, 4);
    sure = values_of(&e, "confidence", P * B, 4);
    assert_int_equal(rc_plain_draft_size(o.plain), B);
    for (size_t t = 0; t < T; t++) {
        const size_t at = t < FIRST ? 0 : (t - FIRST) * B;

        ok(rc_plain_step(o.plain, integer(text, t), NULL, &err), &err);
        if (t < FIRST)
            continue;
        ok(rc_plain_draft(o.plain, integer(text, t + 1), tokens, logits, confidence, &err), &err);
        for (size_t i = 0; i < B; i++)
            assert_int_equal(tokens[i], integer(drafts, at + i));
        close_to(logits, want, at * V, B * V, "draft logits");
        close_to(confidence, sure, at, B, "confidence");
        /* it leaves nothing behind, and needs nobody who looks */
        ok(rc_plain_draft(o.plain, integer(text, t + 1), again, NULL, NULL, &err), &err);
        assert_memory_equal(tokens, again, sizeof tokens);
    }
    give_back(&o);
    close_expected(&e);
}

/* ------------------------------------------------------- the same model, another way */

enum { RUN = 132, RUN_VOCAB = 384 };

/* RUN tokens through a model of synth's: logits of the last, and of its MTP block. The draft that
 * is embedded in a GGUF file is not all there. */
static void run(rc_plain *p, double logits[2][RUN_VOCAB], bool mtp)
{
    rc_err err;

    for (uint32_t t = 0; t < RUN; t++) {
        const uint32_t token = t * 97 % RUN_VOCAB;

        ok(rc_plain_step(p, token, logits[0], &err), &err);
        if (mtp) {
            ok(rc_plain_mtp_step(p, rc_plain_streams(p), token, logits[1], NULL, &err), &err);
            continue;
        }
        assert_int_equal(rc_plain_mtp_step(p, rc_plain_streams(p), token, logits[1], NULL, &err),
                         RC_E_UNSUPPORTED);
        assert_string_equal(err.tensor, "mtp.0.hc_head_fn");
    }
}

static void convert(const char *src, const char *dst, rc_recipe *how, const char *preset)
{
    const rc_convert_opts opts = { .execute = { .threads = 2, .require_exact = true } };
    rc_convert_report report;
    rc_source *source;
    rc_ckpt *ckpt;
    rc_model *model;
    rc_plan *plan;
    rc_mem mem = { 0 };
    rc_err err;

    if (preset)
        ok(rc_gguf_recipe_new(&how->gguf, preset, NULL, NULL, 0, NULL, 0, &mem, &err), &err);
    ok(rc_source_open(&source, src, NULL, &mem, &err), &err);
    ok(rc_ckpt_open(&ckpt, source, NULL, &mem, &err), &err);
    ok(rc_model_new(&model, ckpt, &mem, &err), &err);
    ok(rc_plan_new(&plan, model, how, NULL, &mem, &err), &err);
    ok(rc_convert(plan, dst, &opts, &report, &mem, &err), &err);
    rc_plan_free(&plan);
    rc_model_free(&model);
    rc_ckpt_close(&ckpt);
    rc_gguf_recipe_free(&how->gguf);
}

/* Conversions that lose nothing change no bit of the outcome. */
static void test_plain_sees_no_conversion(void **state)
{
    static struct {
        const char *name, *preset;
        rc_recipe how;
    } ways[] = {
        { "bf16", NULL, { .target = RC_TO_BF16 } },
        { "fp8", NULL, { .target = RC_TO_FP8, .scale_dtype = RC_DTYPE_F32 } },
        { "fp8-e8m0", NULL, { .target = RC_TO_FP8, .scale_dtype = RC_DTYPE_F8_E8M0 } },
        { "m.gguf", "mxfp4-bf16", { .target = RC_TO_GGUF, .draft = RC_DRAFT_EMBED, .stem = "m" } },
    };
    static double native[2][RUN_VOCAB], other[2][RUN_VOCAB];
    const rc_synth_options options = { .like = "tiny", .threads = 2 };
    fx_dir dir = fx_open(NULL);
    rc_synth_result made;
    char src[300], dst[300];
    opened o;
    rc_mem mem = { 0 };
    rc_err err;

    (void)state;
    snprintf(src, sizeof src, "%s/src", dir.path);
    ok(rc_synth(src, &options, &made, &mem, &err), &err);
    open_plain(&o, src, KEEP_ALL);
    run(o.plain, native, true);
    /* from the start again */
    rc_plain_rewind(o.plain);
    run(o.plain, other, true);
    assert_memory_equal(native, other, sizeof native);
    give_back(&o);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        snprintf(dst, sizeof dst, "%s/%s", dir.path, ways[i].name);
        convert(src, dst, &ways[i].how, ways[i].preset);
        open_plain(&o, dst, KEEP_ALL);
        memcpy(other[1], native[1], sizeof other[1]);
        run(o.plain, other, !ways[i].preset);
        if (memcmp(native, other, sizeof native) != 0)
            fail_msg("%s gives other numbers", ways[i].name);
        give_back(&o);
    }
    fx_close(&dir);
}

/* Ten tokens and a draft. */
static rc_code run_short(opened *o, double logits[80], uint32_t tokens[5], rc_err *err)
{
    for (uint32_t t = 0; t < 10; t++)
        RC_TRY(rc_plain_step(o->plain, t * 7, logits, err));
    return rc_plain_draft(o->plain, 79, tokens, NULL, NULL, err);
}

/* Whether weights are kept, some of them, or read anew. */
static void test_plain_keeps_what_it_may(void **state)
{
    static const size_t keep[] = { KEEP_ALL, 100000, 0 };
    double logits[3][80];
    uint32_t tokens[3][5];
    size_t peak[3];
    rc_err err;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        opened o;

        open_plain(&o, "tests/data/golden_dspark/model", keep[i]);
        ok(run_short(&o, logits[i], tokens[i], &err), &err);
        peak[i] = o.mem.peak;
        give_back(&o);
        assert_memory_equal(logits[0], logits[i], sizeof logits[0]);
        assert_memory_equal(tokens[0], tokens[i], sizeof tokens[0]);
    }
    assert_true(peak[1] <= peak[2] + 100000 + 65536 && peak[1] < peak[0]);
}

/* ------------------------------------------------------------------ what is refused */

static void test_plain_refuses_misuse(void **state)
{
    uint32_t tokens[5];
    opened o;
    rc_err err;

    (void)state;
    open_plain(&o, "tests/data/golden_dspark/model", KEEP_ALL);
    assert_int_equal(rc_plain_draft(o.plain, 0, tokens, NULL, NULL, &err), RC_E_USAGE);
    assert_int_equal(rc_plain_step(o.plain, 80, NULL, &err), RC_E_USAGE);
    assert_string_equal(err.want, "0 .. 79");
    assert_int_equal(rc_plain_mtp_step(o.plain, rc_plain_streams(o.plain), 0, NULL, NULL, &err),
                     RC_E_UNSUPPORTED);
    give_back(&o);
    open_plain(&o, "tests/data/golden/model", KEEP_ALL);
    assert_int_equal(rc_plain_draft_size(o.plain), 0);
    assert_int_equal(rc_plain_draft(o.plain, 0, tokens, NULL, NULL, &err), RC_E_UNSUPPORTED);
    give_back(&o);
}

/* The draft's model with other bytes at `at` of a tensor. Returns where in the file. */
static uint64_t edited(fx_dir *dir, const char *tensor, uint64_t at, const void *bytes, size_t n)
{
    static const char *const names[] = { "config.json", "model.safetensors.index.json",
                                         "model-00001-of-00001.safetensors" };
    uint64_t found = 0;

    for (unsigned i = 0; i < 3; i++) {
        char path[128];
        uint8_t *copy;
        size_t len;

        snprintf(path, sizeof path, "tests/data/golden_dspark/model/%s", names[i]);
        copy = load(path, &len);
        if (i == 2) {
            rc_mem mem = { 0 };
            rc_st *head;
            rc_err err;

            ok(rc_st_new(&head, copy, len, len, NULL, &mem, &err), &err);
            assert_non_null(rc_st_find(head, tensor));
            found = rc_st_find(head, tensor)->begin + at;
            memcpy(copy + found, bytes, n);
            rc_st_free(&head);
        }
        fx_write(dir, names[i], copy, len);
        free(copy);
    }
    return found;
}

static void test_plain_refuses_bad_weights(void **state)
{
    static const struct {
        const char *tensor;
        uint64_t at;
        const char bytes[9];
        size_t n;
        rc_code code;
        const char *msg;
    } cases[] = {
        { "layers.1.attn.wq_a.weight", 96 * 5 + 7, "\x7f", 1, RC_E_NUMERIC,
          "the weight at [5, 7] is not a number" },
        { "layers.2.ffn_norm.weight", 2 * 9, "\x80\xff", 2, RC_E_NUMERIC,
          "the weight at [0, 9] is infinite" },
        { "layers.0.ffn.gate.tid2eid", 16 * 7 + 8, "\5\0\0\0\0\0\0\0", 8, RC_E_DATA,
          "token 7 goes to no expert" },
        { "layers.0.ffn.gate.tid2eid", 16 * 7, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, RC_E_DATA,
          "token 7 goes to no expert" },
        { "mtp.1.attn.wkv.weight", 3, "\xff", 1, RC_E_NUMERIC,
          "the weight at [0, 3] is not a number" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fx_dir dir = fx_open(NULL);
        const uint64_t at = edited(&dir, cases[i].tensor, cases[i].at, cases[i].bytes, cases[i].n);
        double logits[80];
        uint32_t tokens[5];
        opened o;
        rc_err err;

        open_plain(&o, dir.path, KEEP_ALL);
        assert_int_equal(run_short(&o, logits, tokens, &err), cases[i].code);
        assert_string_equal(err.msg, cases[i].msg);
        assert_string_equal(err.tensor, cases[i].tensor);
        assert_string_equal(err.file, "model-00001-of-00001.safetensors");
        assert_int_equal(err.offset, at);
        give_back(&o);
        fx_close(&dir);
    }
}

/* A scale of 255 is no number either; the offset is that of the first weight under it. */
static void test_plain_refuses_bad_scales(void **state)
{
    fx_dir dir = fx_open(NULL);
    double logits[80];
    uint32_t tokens[5];
    opened o;
    rc_err err;

    (void)state;
    for (uint32_t e = 0; e < 5; e++) { /* whichever experts the text meets */
        char name[64];

        snprintf(name, sizeof name, "layers.2.ffn.experts.%" PRIu32 ".w3.scale", e);
        edited(&dir, name, 3 * 1 + 1, "\xff", 1);
        open_plain(&o, dir.path, 0);
        if (run_short(&o, logits, tokens, &err) != RC_OK) {
            assert_int_equal(err.code, RC_E_NUMERIC);
            assert_string_equal(err.msg, "the weight at [1, 32] is not a number");
        }
        give_back(&o);
    }
    fx_close(&dir);
}

/* Refused at the k-th allocation: an error, and nothing held. */
static void test_plain_survives_no_memory(void **state)
{
    rc_code rc = RC_E_OS;

    (void)state;
    for (size_t k = 1; rc != RC_OK; k += 1 + k / 64) {
        opened o = { .mem.fail_at = k };
        double logits[80];
        uint32_t tokens[5];
        rc_err err;

        rc = try_open(&o, "tests/data/golden_dspark/model", 200000, &err);
        if (rc == RC_OK)
            rc = run_short(&o, logits, tokens, &err);
        if (rc != RC_OK && rc != RC_E_OS)
            fail_msg("allocation %zu: %s", k, err.msg);
        give_back(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_meets_the_release),
        cmocka_unit_test(test_plain_draft_meets_the_release),
        cmocka_unit_test(test_plain_sees_no_conversion),
        cmocka_unit_test(test_plain_keeps_what_it_may),
        cmocka_unit_test(test_plain_refuses_misuse),
        cmocka_unit_test(test_plain_refuses_bad_weights),
        cmocka_unit_test(test_plain_refuses_bad_scales),
        cmocka_unit_test(test_plain_survives_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
