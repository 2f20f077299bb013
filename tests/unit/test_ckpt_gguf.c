/* tests/unit/test_ckpt_gguf.c - GGUF files as checkpoints and models (faults D27 to D31). */
#include "tests/unit/gguf_model.h"

#include "formats/gguf_config.h"
#include "formats/model.h"

static fx_dir dir;
static rc_mem mem;
static rc_err err;
static rc_ckpt *ckpt;
static rc_model *model;
static unsigned warned;

static const rc_traits with_mtp = { .draft = RC_DRAFT_MTP, .draft_blocks = 1 };
static const rc_traits with_dspark = { .draft = RC_DRAFT_DSPARK, .draft_blocks = 3 };

static void on_warning(void *ctx, const rc_err *w)
{
    (void)ctx;
    (void)w;
    warned++;
}
static const rc_log sink = { .warn = on_warning };

static int setup(void **state)
{
    (void)state;
    memset(&mem, 0, sizeof mem);
    memset(&err, 0, sizeof err);
    ckpt = NULL;
    model = NULL;
    warned = 0;
    dir = fx_open(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rc_model_free(&model);
    rc_ckpt_close(&ckpt);
    assert_int_equal(mem.used, 0);
    fx_close(&dir);
    return 0;
}

/* The fixture's config; 256 columns everywhere, so that every block fits. */
static rc_config small(bool dspark)
{
    rc_mem m = { 0 };
    rc_config c;

    if (rc_config_parse(&c, (const uint8_t *)fx_config, strlen(fx_config), NULL, &m, &err) != RC_OK)
        fail_msg("%s", err.msg);
    if (dspark) {
        c.n_compress_ratios = 8;
        c.compress_ratios[5] = c.compress_ratios[6] = c.compress_ratios[7] = 0;
        c.dspark_block_size = 5;
        c.dspark_markov_rank = 64;
        c.n_dspark_targets = 3;
        for (uint32_t i = 0; i < 3; i++)
            c.dspark_target_layer_ids[i] = 2 + i;
    }
    return c;
}

static gm *small_model(rc_gguf_kind kind)
{
    const rc_config c = small(kind == RC_GGUF_DSPARK);

    return gm_new(&c, kind == RC_GGUF_DSPARK ? &with_dspark : &with_mtp, kind);
}

static rc_code open_file(const char *name)
{
    rc_source *src;

    rc_model_free(&model);
    rc_ckpt_close(&ckpt);
    RC_TRY(rc_source_open(&src, fx_path(&dir, name), NULL, &mem, &err));
    RC_TRY(rc_ckpt_open(&ckpt, src, &sink, &mem, &err));
    return rc_model_new(&model, ckpt, &mem, &err);
}

static void open_whole(const char *name)
{
    if (open_file(name) != RC_OK)
        fail_msg("%s: %s (want %s, got %s) %s", err.file, err.msg, err.want, err.got, err.hint);
    if (rc_model_problems_total(model)) {
        const rc_problem *p = rc_model_problem(model, 0);

        fail_msg("%s: %s (want %s, got %s)", p->tensor, p->what.msg, p->what.want, p->what.got);
    }
}

static void reject(const char *name, rc_code want, const char *says)
{
    const rc_code rc = open_file(name);

    if (rc != want || !strstr(err.msg, says))
        fail_msg("got %d '%s', want %d '%s'", rc, err.msg, want, says);
    assert_string_not_equal(err.file, "");
}

static void test_ckpt_gguf_config(void **state)
{
    const rc_config want = small(false);
    gm *m = small_model(RC_GGUF_MAIN);
    const rc_config *got;

    (void)state;
    gm_write(m, &dir, "m.gguf");
    gm_free(m);
    open_whole("m.gguf");
    got = rc_ckpt_config(ckpt);
    assert_int_equal(warned, 0);
    assert_int_equal(rc_ckpt_kind(ckpt), RC_GGUF_MAIN);
    assert_non_null(rc_ckpt_gguf(ckpt));
    assert_int_equal(got->hidden_size, want.hidden_size);
    assert_int_equal(got->vocab_size, want.vocab_size); /* from the embedding */
    assert_int_equal(got->num_hidden_layers, 5);
    assert_int_equal(got->num_nextn_predict_layers, 0);
    assert_int_equal(got->n_compress_ratios, 6);
    assert_memory_equal(got->compress_ratios, want.compress_ratios, 6 * sizeof(uint32_t));
    assert_true(got->rms_norm_eps == 1e-6); /* not 9.99999997e-07 */
    assert_true(got->compress_rope_theta == 160000 && got->routed_scaling_factor == 1.5);
    assert_true(got->swiglu_limit == 10 && got->rope_factor == 16);
    assert_int_equal(got->moe_intermediate_size, want.moe_intermediate_size);
    assert_true(got->norm_topk_prob);
    assert_string_equal(got->scoring_func, "sqrtsoftplus");
}

static void check_place(const char *param, const char *tensor, rc_store store, uint64_t row,
                        uint64_t col, uint64_t pitch)
{
    const rc_bound *b = rc_model_find(model, param);

    assert_non_null(b);
    assert_false(b->elsewhere);
    assert_non_null(b->weight);
    assert_string_equal(b->weight->name, tensor);
    assert_int_equal(b->store, store);
    assert_int_equal(b->row, row);
    assert_int_equal(b->col, col);
    assert_int_equal(b->pitch, pitch);
    assert_null(b->scale);
}

static void test_ckpt_gguf_kinds(void **state)
{
    static const rc_gguf_kind kinds[] = { RC_GGUF_MAIN, RC_GGUF_EMBED, RC_GGUF_MTP, RC_GGUF_DSPARK,
                                          RC_GGUF_MTP_DS4 };

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        gm *m = small_model(kinds[i]);
        size_t elsewhere = 0;

        gm_write(m, &dir, "m.gguf");
        open_whole("m.gguf");
        assert_int_equal(rc_ckpt_kind(ckpt), kinds[i]);
        assert_int_equal(rc_ckpt_count(ckpt), m->n);
        assert_non_null(strstr(rc_model_variant(model), rc_gguf_kind_name(kinds[i])));
        for (size_t k = 0; k < rc_model_count(model); k++)
            elsewhere += rc_model_at(model, k)->elsewhere;
        assert_true((elsewhere == 0) == (kinds[i] == RC_GGUF_MAIN));
        gm_free(m);

        switch (kinds[i]) {
        case RC_GGUF_EMBED:
            check_place("mtp.0.h_proj.weight", "blk.5.nextn.eh_proj.weight", RC_STORE_BLOCKS, 0,
                        256, 512);
            /* fall through */
        case RC_GGUF_MAIN:
            check_place("layers.1.ffn.experts.5.w2.weight", "blk.1.ffn_down_exps.weight",
                        RC_STORE_BLOCKS, 5 * 256, 0, 128);
            check_place("layers.0.ffn.gate.tid2eid", "blk.0.ffn_gate_tid2eid.weight",
                        RC_STORE_PLAIN, 0, 0, 2);
            break;
        case RC_GGUF_MTP:
            check_place("mtp.0.hc_head_fn", "output_hc_fn.weight", RC_STORE_PLAIN, 0, 0, 1024);
            assert_true(rc_model_find(model, "hc_head_fn")->elsewhere);
            break;
        case RC_GGUF_DSPARK:
            check_place("mtp.2.markov_head.markov_w1.weight", "markov_w1.weight", RC_STORE_PLAIN, 0,
                        0, 64);
            assert_int_equal(rc_model_traits(model)->draft_blocks, 3);
            assert_int_equal(rc_ckpt_config(ckpt)->dspark_target_layer_ids[0], 2);
            break;
        default:
            check_place("mtp.0.e_proj.weight", "mtp.0.e_proj.weight", RC_STORE_BLOCKS, 0, 0, 256);
            break;
        }
    }
}

/* The types of a file for ds4, and of any other recipe. */
static void test_ckpt_gguf_any_type(void **state)
{
    static const rc_dtype types[] = { RC_DTYPE_F16,  RC_DTYPE_Q4_K,    RC_DTYPE_Q2_K,
                                      RC_DTYPE_Q6_K, RC_DTYPE_IQ2_XXS, RC_DTYPE_BF16 };

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        gm *m = small_model(RC_GGUF_MAIN);

        gm_find(m, "blk.1.ffn_gate_exps.weight")->dtype = types[i];
        gm_find(m, "token_embd.weight")->dtype = types[i];
        gm_find(m, "blk.1.hc_attn_fn.weight")->dtype = RC_DTYPE_F16;
        gm_write(m, &dir, "m.gguf");
        open_whole("m.gguf");
        gm_free(m);
    }
}

/* A type that we do not decode is listed all the same. */
static void test_ckpt_gguf_unknown_type(void **state)
{
    gm *m = small_model(RC_GGUF_MAIN);
    const rc_bound *b;

    (void)state;
    gm_find(m, "blk.1.ffn_gate_exps.weight")->dtype = RC_DTYPE_Q4_0;
    gm_write(m, &dir, "m.gguf");
    gm_free(m);
    gm_retype(&dir, "m.gguf", "blk.1.ffn_gate_exps.weight", 20); /* IQ4_NL */
    open_whole("m.gguf");
    b = rc_model_find(model, "layers.1.ffn.experts.2.w1.weight");
    assert_int_equal(b->store, RC_STORE_BLOCKS);
    assert_int_equal(b->weight->dtype, RC_DTYPE_COUNT);
    assert_string_equal(rc_tensor_type(b->weight), "IQ4_NL");
}

static void problem(gm *m, rc_problem_kind kind, const char *tensor, const char *says)
{
    const rc_problem *p;

    gm_write(m, &dir, "m.gguf");
    gm_free(m);
    assert_int_equal(open_file("m.gguf"), RC_OK);
    assert_int_equal(rc_model_problems_total(model), 1);
    p = rc_model_problem(model, 0);
    assert_int_equal(p->kind, kind);
    assert_string_equal(p->tensor, tensor);
    assert_non_null(strstr(p->what.msg, says));
    assert_int_equal(rc_model_require_whole(model, &err), RC_E_TENSORSET);
}

static void test_ckpt_gguf_problems(void **state)
{
    gm *m = small_model(RC_GGUF_MAIN);
    gm_tensor *t;

    (void)state;
    gm_drop(m, "blk.2.ffn_up_exps.weight"); /* once for the stack */
    problem(m, RC_MISSING, "blk.2.ffn_up_exps.weight", "missing");
    m = small_model(RC_GGUF_MAIN);
    strcpy(gm_find(m, "output.weight")->place.name, "output.wait");
    gm_write(m, &dir, "m.gguf");
    gm_free(m);
    assert_int_equal(open_file("m.gguf"), RC_OK);
    assert_int_equal(rc_model_problems_total(model), 2);
    assert_int_equal(rc_model_problem(model, 1)->kind, RC_EXTRA);

    m = small_model(RC_GGUF_MAIN);
    t = gm_find(m, "blk.0.attn_q_b.weight");
    t->place.shape[0] /= 2;
    problem(m, RC_MALFORMED, "blk.0.attn_q_b.weight", "wrong shape");
    m = small_model(RC_GGUF_MAIN);
    gm_find(m, "blk.0.ffn_gate_tid2eid.weight")->dtype = RC_DTYPE_F32;
    problem(m, RC_MALFORMED, "blk.0.ffn_gate_tid2eid.weight", "wrong type");
    m = small_model(RC_GGUF_MAIN);
    gm_find(m, "blk.0.attn_norm.weight")->dtype = RC_DTYPE_I32;
    problem(m, RC_MALFORMED, "blk.0.attn_norm.weight", "wrong type");
}

/* Loaders take these for the same. */
static void test_ckpt_gguf_same_shapes(void **state)
{
    gm *m = small_model(RC_GGUF_MAIN);
    gm_tensor *t = gm_find(m, "blk.0.attn_output_a.weight");

    (void)state;
    t->place.rank = 3;
    t->place.shape[2] = t->place.shape[1];
    t->place.shape[1] = t->place.shape[0] / 2;
    t->place.shape[0] = 2;
    t = gm_find(m, "output_hc_scale.weight");
    t->place.rank = 2;
    t->place.shape[1] = 1;
    gm_write(m, &dir, "m.gguf");
    gm_free(m);
    open_whole("m.gguf");
}

/* D27, and what else the keys may get wrong. */
static void test_ckpt_gguf_keys(void **state)
{
    static const struct {
        const char *key;
        rc_gguf_type type;
        uint64_t value;
        rc_code code;
        const char *says;
    } bad[] = {
        { "deepseek4.block_count", RC_GGUF_U32, 0, RC_E_DATA, "block_count" },
        { "deepseek4.block_count", RC_GGUF_U32, (uint64_t)1 << 31, RC_E_DATA, "block_count" },
        { "deepseek4.block_count", RC_GGUF_STR, 0, RC_E_DATA, "block_count" },
        { "deepseek4.block_count", RC_GGUF_U32, 7, RC_E_DATA, "compress_ratios has fewer" },
        { "deepseek4.embedding_length", RC_GGUF_U32, UINT32_MAX, RC_E_DATA, "hidden_size" },
        { "deepseek4.embedding_length", RC_GGUF_STR, 0, RC_E_DATA, "hidden_size" },
        { "deepseek4.embedding_length", RC_GGUF_F32, 0, RC_E_DATA, "hidden_size" },
        { "deepseek4.attention.head_count", RC_GGUF_I32, UINT32_MAX, RC_E_DATA,
          "num_attention_heads" },
        { "deepseek4.attention.value_length", RC_GGUF_U32, 7, RC_E_DATA, "value_length" },
        { "deepseek4.expert_gating_func", RC_GGUF_U32, 2, RC_E_UNSUPPORTED, "expert_gating_func" },
        { "deepseek4.hyper_connection.epsilon", RC_GGUF_F32, 0x7fc00000, RC_E_DATA, "hc_eps" },
        { "deepseek4.rope.scaling.type", RC_GGUF_STR, 0, RC_E_UNSUPPORTED, "rope_scaling.type" },
        { "general.architecture", RC_GGUF_STR, 0, RC_E_UNSUPPORTED, "general.architecture" },
        { "general.architecture", RC_GGUF_U32, 0, RC_E_DATA, "general.architecture" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gm *m = small_model(RC_GGUF_MAIN);

        m->skip[0] = bad[i].key;
        m->nextra = 1;
        if (bad[i].type == RC_GGUF_STR) {
            gb_kv_str(&m->extra, bad[i].key, "odd");
        } else {
            gb_key(&m->extra, bad[i].key, bad[i].type);
            gb_u32(&m->extra, (uint32_t)bad[i].value);
        }
        gm_write(m, &dir, "m.gguf");
        gm_free(m);
        reject("m.gguf", bad[i].code, bad[i].says);
    }
    {
        gm *m = small_model(RC_GGUF_MAIN);

        m->skip[0] = "deepseek4.attention.q_lora_rank";
        gm_write(m, &dir, "m.gguf");
        gm_free(m);
        reject("m.gguf", RC_E_DATA, "q_lora_rank is missing");
        assert_non_null(strstr(err.hint, "deepseek4.attention.q_lora_rank"));
    }
}

/* D28; B24 */
static void test_ckpt_gguf_tokenizer(void **state)
{
    static const struct {
        uint32_t tokens, scores, types;
        rc_gguf_type of_types;
        rc_code code;
    } cases[] = {
        { 384, 384, 384, RC_GGUF_I32, RC_OK },          { 384, 383, 384, RC_GGUF_I32, RC_E_DATA },
        { 384, 384, 385, RC_GGUF_I32, RC_E_DATA },      { 384, 384, 384, RC_GGUF_F32, RC_E_DATA },
        { 383, 383, 383, RC_GGUF_I32, RC_E_TENSORSET },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gm *m = small_model(RC_GGUF_MAIN);

        m->nextra = 3;
        gb_kv_arr(&m->extra, "tokenizer.ggml.tokens", RC_GGUF_STR, cases[i].tokens);
        for (uint32_t k = 0; k < cases[i].tokens; k++)
            gb_str(&m->extra, "t");
        gb_kv_arr(&m->extra, "tokenizer.ggml.scores", RC_GGUF_F32, cases[i].scores);
        gb_zeros(&m->extra, 4 * (size_t)cases[i].scores);
        gb_kv_arr(&m->extra, "tokenizer.ggml.token_type", cases[i].of_types, cases[i].types);
        gb_zeros(&m->extra, 4 * (size_t)cases[i].types);
        gm_write(m, &dir, "m.gguf");
        gm_free(m);
        if (cases[i].code == RC_OK)
            open_whole("m.gguf");
        else
            reject("m.gguf", cases[i].code, "tokenizer.ggml.");
    }
}

/* One file of a set, its keys as told. */
static void rewrite_part(gm *m, const char *name, unsigned at, unsigned of, unsigned no,
                         unsigned count, unsigned tensors, uint32_t alignment)
{
    gb split = { 0 };

    gm_keys(m);
    gm_split_keys(&split, no, count, tensors);
    if (alignment)
        gb_kv_u32(&split, "general.alignment", alignment);
    gm_write_part(m, &dir, name, at, of, &split, alignment ? 4 : 3);
    gb_free(&split);
}

/* D29, D31 */
static void test_ckpt_gguf_sets(void **state)
{
    static const char *const file[] = { "m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
                                        "m-00003-of-00003.gguf" };
    gm *m = small_model(RC_GGUF_MAIN);
    const unsigned n = (unsigned)m->n;

    (void)state;
    gm_write_set(m, &dir, "m", 3);
    open_whole(file[0]);
    assert_int_equal(rc_ckpt_shards(ckpt), 3);
    assert_int_equal(rc_ckpt_count(ckpt), n);
    assert_string_equal(rc_ckpt_shard(ckpt, 2)->name, file[2]);
    reject(file[1], RC_E_NOINPUT, "file 2 of a set of 3");
    assert_non_null(strstr(err.hint, file[0]));

    rewrite_part(m, file[1], 1, 3, 2, 3, n, 0); /* split.no counted from 1 */
    reject(file[0], RC_E_TENSORSET, "split.no");
    assert_string_equal(err.file, file[1]);
    rewrite_part(m, file[1], 1, 3, 0, 3, n, 0); /* repeated */
    reject(file[0], RC_E_TENSORSET, "split.no");
    rewrite_part(m, file[1], 1, 3, 1, 4, n, 0);
    reject(file[0], RC_E_TENSORSET, "split.count");
    rewrite_part(m, file[1], 1, 3, 1, 3, n - 1, 0);
    reject(file[0], RC_E_TENSORSET, "split.tensors.count");
    rewrite_part(m, file[1], 0, 3, 1, 3, n, 0); /* tensors of the first again */
    reject(file[0], RC_E_TENSORSET, "");
    {
        gb b = { 0 }; /* another alignment, and no tensors to show it */

        gb_head(&b, 0, 4);
        {
            gb split = { 0 };

            gm_split_keys(&split, 1, 3, n);
            gb_raw(&b, split.p, split.n);
            gb_free(&split);
        }
        gb_kv_u32(&b, "general.alignment", 64);
        fx_write(&dir, file[1], b.p, b.n);
        gb_free(&b);
        reject(file[0], RC_E_TENSORSET, "general.alignment");
    }
    unlink(fx_path(&dir, file[1]));
    reject(file[0], RC_E_TENSORSET, "missing: 1 of the 3 files");
    assert_string_equal(err.file, file[1]);

    rewrite_part(m, "alone.gguf", 0, 1, 0, 3, n, 0);
    reject("alone.gguf", RC_E_TENSORSET, "one of a set of 3 files");
    rewrite_part(m, "one.gguf", 0, 1, 0, 1, n, 0);
    open_whole("one.gguf");
    gm_free(m);
}

/* D24 */
static void test_ckpt_gguf_padding(void **state)
{
    gm *m = small_model(RC_GGUF_MAIN);
    const rc_tensor *x;
    uint64_t at;
    FILE *f;

    (void)state;
    gm_write(m, &dir, "m.gguf");
    gm_free(m);
    open_whole("m.gguf");
    x = rc_ckpt_find(ckpt, "blk.0.hc_attn_scale.weight"); /* 12 bytes of 32 */
    at = x->begin + x->nbytes + 3;
    f = fopen(fx_path(&dir, "m.gguf"), "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
    assert_int_equal(fputc(1, f), 1);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(warned, 0);
    open_whole("m.gguf");
    assert_int_equal(warned, 1);
}

static void test_ckpt_gguf_names_the_file(void **state)
{
    (void)state;
    fx_text(&dir, "m.gguf", "GGUF");
    reject("m.gguf", RC_E_DATA, "file ends inside");
    assert_string_equal(err.file, "m.gguf");
}

static void test_ckpt_gguf_survives_allocation_failures(void **state)
{
    gm *m = small_model(RC_GGUF_MAIN);

    (void)state;
    gm_write_set(m, &dir, "m", 2);
    gm_free(m);
    for (size_t k = 1;; k++) {
        rc_code rc;

        mem = (rc_mem){ .fail_at = k };
        rc = open_file("m-00001-of-00002.gguf");
        if (rc == RC_OK)
            break;
        assert_int_equal(rc, RC_E_OS);
        rc_model_free(&model);
        rc_ckpt_close(&ckpt);
        assert_int_equal(mem.used, 0);
        k += k > 200 ? k / 16 : 0; /* the many names fail alike */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_ckpt_gguf_##name, setup, teardown)
        TEST(config),   TEST(kinds),       TEST(any_type),       TEST(unknown_type),
        TEST(problems), TEST(same_shapes), TEST(keys),           TEST(tokenizer),
        TEST(sets),     TEST(padding),     TEST(names_the_file), TEST(survives_allocation_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
