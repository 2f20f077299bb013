/* tests/unit/test_synth.c - synthetic checkpoints: true layout, true quantization,
 * the same bytes however they are made, and nothing half-made left behind. */
#include "tests/unit/fixture.h"

#include "convert/synth.h"
#include "convert/synth_fill.h"
#include "formats/base/stop.h"
#include "formats/model.h"

static fx_dir root;
static char dst[256]; /* a folder in root, not there at first */

static int setup(void **state)
{
    (void)state;
    root = fx_open(NULL);
    snprintf(dst, sizeof dst, "%.200s/made", root.path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fx_close(&root);
    return 0;
}

static rc_synth_options tiny(void)
{
    return (rc_synth_options){ .like = "tiny", .threads = 2 };
}

static rc_synth_result make(const char *path, const rc_synth_options *o)
{
    rc_mem mem = { .limit = 96u << 20 };
    rc_synth_result r;
    rc_err err;

    if (rc_synth(path, o, &r, &mem, &err) != RC_OK)
        fail_msg("%s: %s (want %s, got %s)", err.file, err.msg, err.want, err.got);
    assert_int_equal(mem.used, 0);
    return r;
}

static void refuse(const char *path, const rc_synth_options *o, rc_code code, const char *says)
{
    rc_mem mem = { 0 };
    rc_synth_result r;
    rc_err err;

    assert_int_equal(rc_synth(path, o, &r, &mem, &err), code);
    if (!strstr(err.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
    assert_int_equal(mem.used, 0);
}

static size_t count_files(const char *path)
{
    DIR *d = opendir(path);
    const struct dirent *e;
    size_t n = 0;

    if (!d)
        return 0;
    while ((e = readdir(d)))
        n += e->d_name[0] != '.' || (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0);
    closedir(d);
    return n;
}

/* Open it as any other checkpoint and expect no problems. */
static void check_whole(const char *path, const rc_synth_result *r, const char *variant)
{
    rc_mem mem = { 0 };
    rc_source *src;
    rc_ckpt *ckpt;
    rc_model *model;
    rc_err err;

    if (rc_source_open(&src, path, NULL, &mem, &err) != RC_OK ||
        rc_ckpt_open(&ckpt, src, NULL, &mem, &err) != RC_OK ||
        rc_model_new(&model, ckpt, &mem, &err) != RC_OK ||
        rc_model_require_whole(model, &err) != RC_OK)
        fail_msg("%s: %s: %s", err.file, err.tensor, err.msg);
    assert_int_equal(rc_ckpt_count(ckpt), r->tensors);
    assert_int_equal(rc_ckpt_nbytes(ckpt), r->tensor_bytes);
    assert_int_equal(rc_ckpt_shards(ckpt), r->shards);
    assert_string_equal(rc_model_variant(model), variant);
    assert_int_equal(rc_model_notes(model), 0);
    rc_model_free(&model);
    rc_ckpt_close(&ckpt);
    assert_int_equal(mem.used, 0);
}

static void test_synth_layouts(void **state)
{
    /* tensors of 3 layers with E experts: family.md's counting rule by hand. A layer
     * has 6 E + 29, one with a compressor 4 more, with an indexer another 7; 6 are
     * global; the MTP block is a layer and 10, DSpark three layers and 10. */
    static const struct {
        const char *like, *variant;
        uint64_t shards, tensors;
    } cases[] = {
        { "flash", "V4 (custom sizes)", 6, 4 * (6 * 8 + 29) + 11 + 6 + 10 },
        { "flash-0731", "V4 (custom sizes) with DSpark", 8, 6 * (6 * 8 + 29) + 11 + 6 + 10 },
        { "flash-base", "V4 (custom sizes), FP8 experts, F32 scales (layout of Base)", 6,
          4 * (6 * 8 + 29) + 11 + 6 + 10 },
        { "pro", "V4 (custom sizes)", 6, 4 * (6 * 8 + 29) + 4 + 4 + 11 + 6 + 10 },
        { "pro-0813", "V4 (custom sizes) with DSpark", 8, 6 * (6 * 8 + 29) + 4 + 4 + 11 + 6 + 10 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const rc_synth_options o = {
            .like = cases[i].like, .layers = 3, .experts = 8, .hollow = true, .threads = 1
        };
        const rc_synth_result r = make(dst, &o);

        assert_int_equal(r.shards, cases[i].shards);
        assert_int_equal(r.tensors, cases[i].tensors);
        check_whole(dst, &r, cases[i].variant);
        fx_remove(dst);
    }
}

static void test_synth_smallest_cut(void **state)
{
    const rc_synth_options o = {
        .like = "flash-0731", .layers = 1, .experts = 6, .hollow = true, .threads = 1
    };
    const rc_synth_result r = make(dst, &o);

    (void)state;
    check_whole(dst, &r, "V4 (custom sizes) with DSpark");
}

static void compare_folders(const char *a, const char *b, bool equal)
{
    char names[16][64];
    unsigned differ = 0;

    for (unsigned i = 0; i < 8; i++)
        snprintf(names[i], sizeof names[i], "model-%05u-of-00008.safetensors", i + 1);
    strcpy(names[8], "config.json");
    strcpy(names[9], "model.safetensors.index.json");
    strcpy(names[10], "tokenizer.json");
    for (unsigned i = 0; i < 11; i++) {
        char path[2][400];
        FILE *f[2];
        int x, y;

        snprintf(path[0], sizeof path[0], "%.300s/%.60s", a, names[i]);
        snprintf(path[1], sizeof path[1], "%.300s/%.60s", b, names[i]);
        f[0] = fopen(path[0], "rb");
        f[1] = fopen(path[1], "rb");
        assert_non_null(f[0]);
        assert_non_null(f[1]);
        do {
            x = getc_unlocked(f[0]);
            y = getc_unlocked(f[1]);
        } while (x == y && x != EOF);
        differ += x != y;
        fclose(f[0]);
        fclose(f[1]);
    }
    assert_int_equal(differ, equal ? 0 : 8); /* all shards, no other file */
}

static void test_synth_same_bytes(void **state)
{
    rc_synth_options o = tiny();
    rc_synth_result r;
    char other[256];

    (void)state;
    snprintf(other, sizeof other, "%.200s/other", root.path);
    o.threads = 1;
    r = make(dst, &o);
    check_whole(dst, &r, "V4 (custom sizes)");
    o.threads = 5;
    make(other, &o);
    compare_folders(dst, other, true);
    o.seed = 1;
    o.force = true;
    make(other, &o);
    compare_folders(dst, other, false);
}

static void test_synth_keeps_what_is_there(void **state)
{
    rc_synth_options o = tiny();
    fx_dir d;

    (void)state;
    fx_mkdir(&root, "made");
    snprintf(d.path, sizeof d.path, "%s", dst);
    fx_text(&d, "model-00001-of-00002.safetensors", "precious");
    refuse(dst, &o, RC_E_CANTCREATE, "not empty");
    o.force = true;
    refuse(dst, &o, RC_E_CANTCREATE, "did not make");
    assert_int_equal(count_files(dst), 1);

    fx_remove(fx_path(&d, "model-00001-of-00002.safetensors"));
    fx_text(&d, "notes.txt", "mine");
    make(dst, &o); /* no weights there: --force may go on, and takes nothing away */
    assert_int_equal(access(fx_path(&d, "notes.txt"), F_OK), 0);

    /* a synthetic one is replaced whole: 8 shards go, 4 come */
    o.layers = 1;
    make(dst, &o);
    assert_int_not_equal(access(fx_path(&d, "model-00008-of-00008.safetensors"), F_OK), 0);
    assert_int_equal(access(fx_path(&d, "model-00004-of-00004.safetensors"), F_OK), 0);
    refuse(fx_path(&d, "notes.txt"), &o, RC_E_CANTCREATE, "");
}

static void test_synth_refuses_bad_cuts(void **state)
{
    rc_synth_options o = tiny();

    (void)state;
    o.layers = 6;
    refuse(dst, &o, RC_E_USAGE, "layers");
    o = tiny();
    o.experts = 1; /* fewer than a token uses */
    refuse(dst, &o, RC_E_USAGE, "experts");
    o.like = "small";
    refuse(dst, &o, RC_E_USAGE, "small");
    assert_int_equal(count_files(root.path), 0);
}

static void test_synth_stopped_leaves_nothing(void **state)
{
    rc_synth_options o = tiny();

    (void)state;
    rc_stop_request(2);
    refuse(dst, &o, RC_E_STOPPED, "stopped");
    rc_stop_request(0);
    assert_int_equal(count_files(dst), 0);
    make(dst, &o); /* and the same command goes through */
}

static void test_synth_survives_allocation_failures(void **state)
{
    rc_synth_options o = {
        .like = "tiny", .layers = 1, .experts = 2, .hollow = true, .threads = 1
    };

    (void)state;
    for (size_t at = 1;; at += 1 + at / 6) { /* the later, the slower: every run syncs files */
        rc_mem mem = { .fail_at = at };
        rc_synth_result r;
        rc_err err;
        const rc_code rc = rc_synth(dst, &o, &r, &mem, &err);

        assert_int_equal(mem.used, 0);
        if (rc == RC_OK)
            break;
        assert_int_equal(rc, RC_E_OS);
        assert_int_equal(count_files(dst), 0);
    }
}

/* the values */

static rc_fill *fill;
static rc_mem fill_mem;

static int setup_fill(void **state)
{
    rc_err err;

    (void)state;
    return rc_fill_new(&fill, 7, &fill_mem, &err) != RC_OK;
}

static int teardown_fill(void **state)
{
    (void)state;
    rc_fill_free(&fill);
    return fill_mem.used != 0;
}

static uint8_t *produce(const rc_param *p, rc_store store, rc_dtype scale, bool is_scale,
                        rc_want *want)
{
    rc_want both[2];
    rc_fill_tensor t;
    uint8_t *bytes;

    rc_param_layout(p, store, p->dtype, scale, both);
    *want = both[is_scale];
    rc_fill_plan(&t, fill, p, want, is_scale, 8);
    bytes = malloc(want->nbytes);
    assert_non_null(bytes);
    rc_fill_bytes(fill, &t, 0, bytes, want->nbytes);

    /* any cut gives the same bytes */
    for (uint64_t off = 0, n = 1; off < want->nbytes; off += n, n = 3 * n + 5) {
        uint8_t part[8192];
        const size_t take = want->nbytes - off < sizeof part ? want->nbytes - off : sizeof part;
        const size_t len = n < take ? n : take;

        rc_fill_bytes(fill, &t, off, part, len);
        assert_memory_equal(part, bytes + off, len);
    }
    return bytes;
}

/* A group's scale is the least power of two that reaches its largest weight: the
 * largest code is then 3, 4 or 6. */
static void test_fill_fp4_is_quantized(void **state)
{
    const rc_param p = { .name = "layers.0.ffn.experts.1.w1.weight",
                         .quant = RC_QUANT_EXPERT,
                         .dtype = RC_DTYPE_BF16,
                         .rank = 2,
                         .shape = { 1024, 2048 } };
    rc_want want;
    uint8_t *codes = produce(&p, RC_STORE_FP4, RC_DTYPE_F8_E8M0, false, &want);
    uint8_t *scales = produce(&p, RC_STORE_FP4, RC_DTYPE_F8_E8M0, true, &want);
    unsigned seen[256] = { 0 }, distinct = 0;
    const size_t groups = 1024 * 2048 / 32;

    (void)state;
    assert_int_equal(want.nbytes, groups);
    for (size_t g = 0; g < groups; g++) {
        unsigned most = 0;

        for (unsigned i = 0; i < 16; i++) {
            const unsigned lo = codes[16 * g + i] & 7, hi = codes[16 * g + i] >> 4 & 7;

            most = lo > most ? lo : most;
            most = hi > most ? hi : most;
        }
        assert_true(most >= 5);
        seen[scales[g]]++;
    }
    for (unsigned i = 0; i < 256; i++)
        distinct += seen[i] != 0;
    assert_in_range(distinct, 3, 8); /* far from the 15 that FP8 cannot follow */
    free(codes);
    free(scales);
}

/* Codes and scales are drawn together: a group that comes up twice has the same
 * scale both times. */
static void test_fill_fp4_scale_belongs_to_its_codes(void **state)
{
    const rc_param p = { .name = "layers.0.ffn.experts.2.w1.weight",
                         .quant = RC_QUANT_EXPERT,
                         .dtype = RC_DTYPE_BF16,
                         .rank = 2,
                         .shape = { 4096, 4096 } };
    enum { TABLE = 1 << 18 };
    rc_want want;
    uint8_t *codes = produce(&p, RC_STORE_FP4, RC_DTYPE_F8_E8M0, false, &want);
    uint8_t *scales = produce(&p, RC_STORE_FP4, RC_DTYPE_F8_E8M0, true, &want);
    uint32_t *first = calloc(TABLE, sizeof *first);
    size_t twice = 0;

    (void)state;
    assert_non_null(first);
    for (uint32_t g = 0; g < 4096 * 4096 / 32; g++) {
        uint64_t h;
        uint32_t *at;

        memcpy(&h, codes + 16 * (size_t)g, 8);
        at = &first[(h * 0x9e3779b97f4a7c15u) >> 46];
        if (*at && memcmp(codes + 16 * (size_t)(*at - 1), codes + 16 * (size_t)g, 16) == 0) {
            assert_int_equal(scales[*at - 1], scales[g]);
            twice++;
        }
        *at = g + 1;
    }
    assert_true(twice > 100000);
    free(first);
    free(codes);
    free(scales);
}

static void test_fill_fp8_fills_its_range(void **state)
{
    const rc_param p = { .name = "layers.0.attn.wq_b.weight",
                         .quant = RC_QUANT_DENSE,
                         .dtype = RC_DTYPE_BF16,
                         .rank = 2,
                         .shape = { 1024, 1024 } };
    rc_want want;
    uint8_t *codes = produce(&p, RC_STORE_FP8, RC_DTYPE_F8_E8M0, false, &want);
    uint8_t *bytes = produce(&p, RC_STORE_FP8, RC_DTYPE_F8_E8M0, true, &want);
    float *floats = (float *)(void *)produce(&p, RC_STORE_FP8, RC_DTYPE_F32, true, &want);

    (void)state;
    for (size_t tile = 0; tile < 64; tile++) {
        uint32_t bits;
        unsigned most = 0;

        for (size_t i = 0; i < 128 * 128; i++) {
            const size_t row = tile / 8 * 128 + i / 128, col = tile % 8 * 128 + i % 128;
            const unsigned c = codes[row * 1024 + col] & 0x7f;

            assert_int_not_equal(c, 0x7f); /* NaN */
            most = c > most ? c : most;
        }
        assert_true(most > 0x76); /* beyond 224, half of the range */
        memcpy(&bits, &floats[tile], sizeof bits);
        assert_int_equal(bits, (uint32_t)bytes[tile] << 23); /* the same scale, either way */
    }
    free(codes);
    free(bytes);
    free(floats);
}

static void test_fill_small_parameters(void **state)
{
    const rc_param ids = {
        .name = "layers.0.ffn.gate.tid2eid", .dtype = RC_DTYPE_I64, .rank = 2, .shape = { 3000, 6 }
    };
    const rc_param norm = {
        .name = "norm.weight", .dtype = RC_DTYPE_BF16, .rank = 1, .shape = { 5000 }
    };
    rc_want want;
    uint8_t *id = produce(&ids, RC_STORE_PLAIN, RC_DTYPE_F32, false, &want);
    uint8_t *gain = produce(&norm, RC_STORE_PLAIN, RC_DTYPE_F32, false, &want);

    (void)state;
    for (size_t row = 0; row < 3000; row++) {
        unsigned seen = 0;

        for (size_t k = 0; k < 6; k++) {
            int64_t v;

            memcpy(&v, id + 8 * (6 * row + k), sizeof v);
            assert_in_range(v, 0, 7);
            assert_false(seen >> v & 1);
            seen |= 1u << v;
        }
    }
    for (size_t i = 0; i < 5000; i++) {
        const uint32_t bits = (uint32_t)(gain[2 * i] | gain[2 * i + 1] << 8) << 16;
        float x;

        memcpy(&x, &bits, sizeof x);
        assert_true(x > 0.5f && x < 1.5f);
    }
    free(id);
    free(gain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_synth_layouts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_synth_smallest_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_synth_same_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_synth_keeps_what_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_synth_refuses_bad_cuts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_synth_stopped_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_synth_survives_allocation_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fill_fp4_is_quantized, setup_fill, teardown_fill),
        cmocka_unit_test_setup_teardown(test_fill_fp4_scale_belongs_to_its_codes, setup_fill,
                                        teardown_fill),
        cmocka_unit_test_setup_teardown(test_fill_fp8_fills_its_range, setup_fill, teardown_fill),
        cmocka_unit_test_setup_teardown(test_fill_small_parameters, setup_fill, teardown_fill),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
