/* tests/unit/test_verify_gguf.c - the judge on GGUF files: a made-up model, carried over here
 * by hand, whole or damaged. */
#include "tests/unit/gguf_model.h"

#include <math.h>

#include "convert/synth.h"
#include "kernels/f16.h"
#include "verify/census.h"
#include "runtime/decode.h"
#include "verify/judge.h"
#include "verify/report.h"
#include "verify/thresholds.h"

static fx_dir dir;
static char native_path[300], file_path[300];

/* One comparison at a time. */
static struct {
    rc_mem mem;
    rc_subject a, b;
    rc_judge *judge;
    rc_err err;
} t;

static int make_native(void **state)
{
    const rc_synth_options options = { .like = "tiny", .threads = 2, .force = true };
    rc_synth_result result;
    rc_mem mem = { 0 };
    rc_err err;

    (void)state;
    dir = fx_open(NULL);
    snprintf(native_path, sizeof native_path, "%s/native", dir.path);
    snprintf(file_path, sizeof file_path, "%s/m.gguf", dir.path);
    if (rc_synth(native_path, &options, &result, &mem, &err) != RC_OK)
        fail_msg("synth: %s", err.msg);
    return 0;
}

static int remove_native(void **state)
{
    (void)state;
    fx_close(&dir);
    return 0;
}

/* ---------------------------------------------------- native values into other types */

static const uint8_t *read_all(const rc_subject *s, const rc_tensor *x, uint8_t **buf, rc_mem *mem)
{
    const uint8_t *data;
    rc_err err;

    *buf = rc_mem_get_pages(mem, (size_t)x->nbytes + 2 * RC_PAGE);
    assert_non_null(*buf);
    assert_int_equal(rc_ckpt_read(s->ckpt, x, 0, (size_t)x->nbytes, *buf,
                                  (size_t)x->nbytes + 2 * RC_PAGE, &data, &err),
                     RC_OK);
    return data;
}

static void encode_q8_0(uint8_t *out, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 32, out += 34) {
        float most = 0;
        uint16_t h;

        for (size_t k = 0; k < 32; k++)
            most = fmaxf(most, fabsf(x[i + k]));
        h = rc_f16_encode(most / 127);
        memcpy(out, &h, 2);
        for (size_t k = 0; k < 32; k++) {
            const float d = rc_f16_decode(h);
            const long q = d > 0 ? lrintf(x[i + k] / d) : 0;

            out[2 + k] = (uint8_t)(q > 127 ? 127 : q < -127 ? -127 : q);
        }
    }
}

static void encode(rc_dtype dtype, uint8_t *out, const float *x, size_t n)
{
    if (dtype == RC_DTYPE_Q8_0) {
        encode_q8_0(out, x, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const uint16_t h = rc_f16_encode(x[i]);

        if (dtype == RC_DTYPE_F32)
            memcpy(out + 4 * i, &x[i], 4);
        else if (dtype == RC_DTYPE_F16)
            memcpy(out + 2 * i, &h, 2);
        else
            memcpy(out + 2 * i, (const uint8_t *)&x[i] + 2, 2); /* BF16: cut, nothing is lost */
    }
}

/* Source: nibbles side by side, scales apart. Block: scale, then halves side by side. */
static void repack(uint8_t *out, const uint8_t *codes, const uint8_t *scales, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, out += 17, codes += 16) {
        out[0] = scales[b];
        for (unsigned j = 0; j < 16; j++) {
            const uint8_t low = codes[j / 2] >> (j % 2 * 4) & 15;
            const uint8_t high = codes[8 + j / 2] >> (j % 2 * 4) & 15;

            out[1 + j] = (uint8_t)(low | high << 4);
        }
    }
}

static uint64_t size_of(const gm_tensor *x)
{
    uint64_t n = rc_dtype_row_bytes(x->dtype, x->place.shape[x->place.rank - 1]);

    for (unsigned i = 0; i + 1 < x->place.rank; i++)
        n *= x->place.shape[i];
    return n;
}

static void put_values(gm_tensor *x, const rc_gguf_place *p, const rc_bound *b,
                       const uint8_t *weight, const uint8_t *scale)
{
    const uint64_t rows = b->param->rank == 2 ? b->param->shape[0] : 1;
    const size_t pitch = (size_t)rc_dtype_row_bytes(x->dtype, p->shape[p->rank - 1]);
    rc_piece piece = { .weight = weight, .scale = scale };
    float *row;

    rc_decoder_lay_out(&piece, b);
    row = malloc(piece.cols * sizeof *row);
    piece.work = malloc(rc_decoder_work(piece.cols));
    assert_true(row && piece.work);
    for (uint64_t r = 0; r < rows; r++) {
        piece.how->decode_row(row, &piece, (size_t)r);
        encode(x->dtype, x->data + (p->row + r) * pitch + rc_dtype_row_bytes(x->dtype, p->col), row,
               piece.cols);
    }
    free(row);
    free(piece.work);
}

static void put_param(gm *m, const rc_subject *s, const rc_bound *b, rc_mem *mem)
{
    uint8_t *wbuf, *sbuf = NULL;
    const uint8_t *weight, *scale = NULL;
    rc_gguf_place p;
    gm_tensor *x;

    if (!rc_gguf_place_of(&p, b->param, &m->config, m->kind) || !(x = gm_find(m, p.name)))
        return;
    if (!x->data)
        x->data = calloc(1, (size_t)size_of(x));
    assert_non_null(x->data);
    weight = read_all(s, b->weight, &wbuf, mem);
    if (b->scale)
        scale = read_all(s, b->scale, &sbuf, mem);
    if (x->dtype == RC_DTYPE_I32)
        for (uint64_t i = 0; i < b->weight->nbytes / 8; i++)
            memcpy(x->data + 4 * i, weight + 8 * i, 4);
    else if (x->dtype == RC_DTYPE_MXFP4)
        repack(x->data + p.row * rc_dtype_row_bytes(x->dtype, p.shape[2]), weight, scale,
               (size_t)b->scale->nbytes);
    else
        put_values(x, &p, b, weight, scale);
    rc_mem_put(mem, wbuf);
    rc_mem_put(mem, sbuf);
}

/* The native model in a file of that kind; dense matrices as `dense`. */
static gm *carry_over(rc_gguf_kind kind, rc_dtype dense)
{
    rc_mem mem = { 0 };
    rc_subject s;
    rc_err err;
    gm *m;

    assert_int_equal(rc_subject_open(&s, native_path, NULL, NULL, &mem, &err), RC_OK);
    m = gm_new(rc_ckpt_config(s.ckpt), rc_model_traits(s.model), kind);
    for (size_t i = 0; i < m->n; i++)
        if (m->at[i].dtype == RC_DTYPE_Q8_0)
            m->at[i].dtype = dense;
    for (size_t i = 0; i < rc_model_count(s.model); i++)
        put_param(m, &s, rc_model_at(s.model, i), &mem);
    rc_subject_close(&s);
    assert_int_equal(mem.used, 0);
    return m;
}

/* --------------------------------------------------------------------- the judge */

static const rc_judge_rules exactly = { .max_rel_err = INFINITY };

static rc_code judge_file(const rc_judge_rules *rules)
{
    memset(&t, 0, sizeof t);
    if (rc_subject_open(&t.a, native_path, NULL, NULL, &t.mem, &t.err) != RC_OK ||
        rc_subject_open(&t.b, file_path, NULL, NULL, &t.mem, &t.err) != RC_OK ||
        rc_judge_new(&t.judge, &t.a, &t.b, rules, &t.mem, &t.err) != RC_OK ||
        rc_judge_run(t.judge, 2, NULL, &t.err) != RC_OK)
        fail_msg("%s: %s: %s (want %s, got %s)", t.err.file, t.err.tensor, t.err.msg, t.err.want,
                 t.err.got);
    return rc_judge_verdict(t.judge, &t.err);
}

static rc_code judge(gm *m, const rc_judge_rules *rules)
{
    gm_write(m, &dir, "m.gguf");
    gm_free(m);
    return judge_file(rules);
}

static void done(void)
{
    rc_judge_free(&t.judge);
    rc_subject_close(&t.a);
    rc_subject_close(&t.b);
    assert_int_equal(t.mem.used, 0);
}

static bool says(rc_level level, const char *text)
{
    const rc_findings *list = rc_judge_findings(t.judge);

    for (size_t i = 0; i < list->n; i++)
        if (list->at[i].level == level && strstr(list->at[i].what.msg, text))
            return true;
    return false;
}

static void test_verify_gguf_lossless(void **state)
{
    static const rc_gguf_kind kinds[] = { RC_GGUF_MAIN, RC_GGUF_EMBED, RC_GGUF_MTP,
                                          RC_GGUF_MTP_DS4 };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const rc_code rc = judge(carry_over(kinds[i], RC_DTYPE_F32), &exactly);

        if (rc != RC_OK)
            fail_msg("kind %zu: %s: %s (want %s, got %s)", i, t.err.tensor, t.err.msg, t.err.want,
                     t.err.got);
        assert_string_equal(rc_outcome_verdict(&(rc_outcome){ .judge = t.judge }), "exact");
        assert_int_equal(rc_judge_findings(t.judge)->total[RC_FAULT], 0);
        assert_int_equal(rc_judge_findings(t.judge)->total[RC_WARNING], 0);
        assert_true(says(RC_NOTE, "the draft (MTP") == (kinds[i] == RC_GGUF_MAIN));
        assert_true(says(RC_NOTE, "no place in this kind of file") == (kinds[i] != RC_GGUF_MAIN));
        done();
    }
}

static void test_verify_gguf_sets(void **state)
{
    gm *m = carry_over(RC_GGUF_MAIN, RC_DTYPE_F32);

    (void)state;
    gm_write_set(m, &dir, "set", 3);
    snprintf(file_path, sizeof file_path, "%s/set-00001-of-00003.gguf", dir.path);
    assert_int_equal(judge(m, &exactly), RC_OK);
    assert_int_equal(rc_ckpt_shards(t.b.ckpt), 3);
    done();
    snprintf(file_path, sizeof file_path, "%s/m.gguf", dir.path);
}

static void test_verify_gguf_thresholds(void **state)
{
    rc_judge_role roles[RC_ROLE_COUNT], all;
    rc_judge_rules rules = exactly;

    (void)state;
    assert_int_equal(judge(carry_over(RC_GGUF_MAIN, RC_DTYPE_Q8_0), &rules), RC_DIFFERS);
    rc_judge_roles(t.judge, roles, &all);
    assert_string_equal(roles[RC_ROLE_EXPERT].stored[0], "FP4+E8M0");
    assert_string_equal(roles[RC_ROLE_EXPERT].stored[1], "MXFP4");
    assert_string_equal(roles[RC_ROLE_ATTN].stored[1], "Q8_0, F32");
    assert_int_equal(roles[RC_ROLE_EXPERT].exact, roles[RC_ROLE_EXPERT].params);
    assert_true(roles[RC_ROLE_ATTN].worst_sqnr > 35 && roles[RC_ROLE_ATTN].worst_sqnr < 70);
    assert_int_equal(roles[RC_ROLE_ROUTER].failed, 0);
    done();

    rules.lossy = true;
    for (unsigned r = 0; r < RC_ROLE_COUNT; r++)
        rules.min_sqnr[r] = INFINITY;
    rules.min_sqnr[RC_ROLE_ATTN] = rules.min_sqnr[RC_ROLE_SHARED] = 35;
    assert_int_equal(judge(carry_over(RC_GGUF_MAIN, RC_DTYPE_Q8_0), &rules), RC_DIFFERS);
    assert_non_null(strstr(t.err.tensor, "indexer.attn_q_b")); /* the one role without a bound */
    done();
    rules.min_sqnr[RC_ROLE_INDEXER] = 35;
    assert_int_equal(judge(carry_over(RC_GGUF_MAIN, RC_DTYPE_Q8_0), &rules), RC_OK);
    assert_string_equal(rc_outcome_verdict(&(rc_outcome){ .judge = t.judge }), "within bounds");
    done();
    rules.min_sqnr[RC_ROLE_SHARED] = 90;
    assert_int_equal(judge(carry_over(RC_GGUF_MAIN, RC_DTYPE_Q8_0), &rules), RC_DIFFERS);
    assert_non_null(strstr(t.err.tensor, "_shexp"));
    done();
}

/* One bad byte: the parameter, the row, the column and the byte are named. */
static void test_verify_gguf_finds_a_code(void **state)
{
    gm *m = carry_over(RC_GGUF_MAIN, RC_DTYPE_F32);
    gm_tensor *x = gm_find(m, "blk.1.ffn_down_exps.weight");
    const size_t row = 5 * 256 + 3, block = row * (256 / 32) + 2;
    const rc_pair *worst;

    (void)state;
    x->data[block * 17 + 1 + 7] ^= 1;
    assert_int_equal(judge(m, &exactly), RC_DIFFERS);
    assert_int_equal(rc_judge_worst(t.judge, &worst, 1), 1);
    assert_string_equal(worst->name, "layers.1.ffn.experts.5.w2.weight");
    assert_string_equal(t.err.tensor, "blk.1.ffn_down_exps.weight");
    assert_non_null(strstr(t.err.msg, "row 3, column 71"));
    assert_int_equal(t.err.offset, worst->tb->begin + block * 17);
    assert_string_equal(t.err.file, file_path);
    done();
}

/* D34: scales that are no numbers, in each kind of block. */
static void test_verify_gguf_bad_scales(void **state)
{
    const rc_pair *worst;
    rc_judge_rules lenient = { .lossy = true, .max_rel_err = INFINITY };
    gm *m = carry_over(RC_GGUF_MAIN, RC_DTYPE_F32);

    (void)state;
    for (unsigned r = 0; r < RC_ROLE_COUNT; r++)
        lenient.min_sqnr[r] = -INFINITY;
    gm_find(m, "blk.0.ffn_up_exps.weight")->data[17 * 40] = 255;
    assert_int_equal(judge(m, &lenient), RC_DIFFERS);
    assert_int_equal(rc_judge_worst(t.judge, &worst, 1), 1);
    assert_string_equal(worst->name, "layers.0.ffn.experts.0.w3.weight");
    assert_int_equal(worst->stats.incomparable, 32);
    assert_int_equal(worst->stats.sum.nan_b, 32);
    assert_int_equal(t.err.offset, worst->tb->begin + 17 * 40);
    assert_true(says(RC_WARNING, "NaN or infinity in CONVERTED"));
    done();

    m = carry_over(RC_GGUF_MAIN, RC_DTYPE_Q8_0);
    gm_find(m, "blk.2.attn_kv.weight")->data[34 * 9 + 1] = 0x7c; /* d is infinite */
    gm_find(m, "blk.2.attn_kv.weight")->data[34 * 9] = 0;
    assert_int_equal(judge(m, &lenient), RC_DIFFERS);
    assert_int_equal(rc_judge_worst(t.judge, &worst, 1), 1);
    assert_string_equal(worst->name, "layers.2.attn.wkv.weight");
    assert_int_equal(t.err.offset, worst->tb->begin + 34 * 9);
    done();
}

static void test_verify_gguf_integers(void **state)
{
    gm *m = carry_over(RC_GGUF_MAIN, RC_DTYPE_F32);
    const rc_pair *worst;

    (void)state;
    gm_find(m, "blk.0.ffn_gate_tid2eid.weight")->data[4 * 11] ^= 1;
    assert_int_equal(judge(m, &exactly), RC_DIFFERS);
    assert_int_equal(rc_judge_worst(t.judge, &worst, 1), 1);
    assert_string_equal(worst->name, "layers.0.ffn.gate.tid2eid");
    assert_int_equal(worst->stats.sum.differ, 1);
    assert_int_equal(t.err.offset, worst->tb->begin + 4 * 11);
    done();

    m = carry_over(RC_GGUF_MAIN, RC_DTYPE_F32); /* -1 is not 2^32 - 1, nor any expert */
    memset(gm_find(m, "blk.0.ffn_gate_tid2eid.weight")->data, 0xff, 4);
    assert_int_equal(judge(m, &exactly), RC_DIFFERS);
    done();
}

/* e_proj and h_proj side by side: the wrong half is seen, and only there. */
static void test_verify_gguf_side_by_side(void **state)
{
    gm *m = carry_over(RC_GGUF_MTP, RC_DTYPE_F32);
    const rc_pair *worst;
    float *x = (float *)(void *)gm_find(m, "blk.5.nextn.eh_proj.weight")->data;

    (void)state;
    x[2 * 512 + 256 + 9] += 1;
    assert_int_equal(judge(m, &exactly), RC_DIFFERS);
    assert_int_equal(rc_judge_worst(t.judge, &worst, 1), 1);
    assert_string_equal(worst->name, "mtp.0.h_proj.weight");
    assert_non_null(strstr(t.err.msg, "row 2, column 9"));
    assert_int_equal(t.err.offset, worst->tb->begin + 4 * (2 * 512 + 256 + 9));
    done();
}

static void test_verify_gguf_config(void **state)
{
    gm *m = carry_over(RC_GGUF_MAIN, RC_DTYPE_F32);

    (void)state;
    m->config.rope_theta = 20000;
    assert_int_equal(judge(m, &exactly), RC_DIFFERS);
    assert_true(says(RC_FAULT, "'rope_theta' is not as in NATIVE"));
    assert_int_equal(rc_judge_findings(t.judge)->total[RC_FAULT], 1);
    assert_string_equal(t.err.file, file_path);
    done();
}

static void test_verify_gguf_broken_set(void **state)
{
    gm *m = carry_over(RC_GGUF_MAIN, RC_DTYPE_F32);

    (void)state;
    gm_drop(m, "blk.3.ffn_gate_exps.weight");
    assert_int_equal(judge(m, &exactly), RC_E_TENSORSET);
    assert_string_equal(t.err.tensor, "blk.3.ffn_gate_exps.weight");
    done();
    m = carry_over(RC_GGUF_MAIN, RC_DTYPE_F32); /* half a matrix is not read past its end */
    gm_find(m, "blk.3.attn_q_b.weight")->place.shape[0] /= 2;
    assert_int_equal(judge(m, &exactly), RC_E_TENSORSET);
    done();
}

/* A draft's file knows one layer of the main model's: the others are no loss of it. */
static void test_verify_gguf_draft_apart(void **state)
{
    static const rc_traits with_dspark = { .draft = RC_DRAFT_DSPARK, .draft_blocks = 3 };
    const char *native = native_path;
    rc_judge_rules one = exactly;
    const char *glob = "layers.4.*";
    char dspark[300];
    rc_config c;
    gm *m;

    (void)state;
    m = carry_over(RC_GGUF_MAIN, RC_DTYPE_F32);
    c = m->config;
    c.n_compress_ratios = 8;
    c.compress_ratios[5] = c.compress_ratios[6] = c.compress_ratios[7] = 0;
    c.dspark_block_size = 5;
    c.dspark_markov_rank = 64;
    c.n_dspark_targets = 3;
    gm_write(m, &dir, "main.gguf");
    gm_free(m);
    m = gm_new(&c, &with_dspark, RC_GGUF_DSPARK);
    gm_write(m, &dir, "dspark.gguf");
    gm_free(m);
    snprintf(dspark, sizeof dspark, "%s/dspark.gguf", dir.path);
    memset(&t, 0, sizeof t);
    assert_int_equal(rc_subject_open(&t.a, native, NULL, NULL, &t.mem, &t.err), RC_OK);
    assert_int_equal(rc_subject_open(&t.b, dspark, NULL, NULL, &t.mem, &t.err), RC_OK);
    one.globs = &glob;
    one.nglobs = 1;
    assert_int_equal(rc_judge_new(&t.judge, &t.a, &t.b, &one, &t.mem, &t.err), RC_E_USAGE);
    assert_non_null(strstr(t.err.msg, "no parameter in common"));
    done();

    /* nor is the draft too much for the main model's */
    memset(&t, 0, sizeof t);
    snprintf(file_path, sizeof file_path, "%s/main.gguf", dir.path);
    assert_int_equal(rc_subject_open(&t.a, file_path, NULL, NULL, &t.mem, &t.err), RC_OK);
    assert_int_equal(rc_subject_open(&t.b, dspark, NULL, NULL, &t.mem, &t.err), RC_OK);
    assert_int_equal(rc_judge_new(&t.judge, &t.a, &t.b, &exactly, &t.mem, &t.err), RC_E_USAGE);
    done();
    snprintf(file_path, sizeof file_path, "%s/m.gguf", dir.path);
}

/* What cannot be decoded cannot be judged, and is counted like the rest. */
static void test_verify_gguf_unknown_type(void **state)
{
    gm *m = carry_over(RC_GGUF_MAIN, RC_DTYPE_F32);
    gm_tensor *x = gm_find(m, "blk.1.ffn_gate_exps.weight");
    rc_census census;

    (void)state;
    x->dtype = RC_DTYPE_Q4_0;
    free(x->data);
    x->data = NULL;
    gm_write(m, &dir, "m.gguf");
    gm_free(m);
    gm_retype(&dir, "m.gguf", "blk.1.ffn_gate_exps.weight", 20); /* IQ4_NL */
    assert_int_equal(judge_file(&exactly), RC_E_TENSORSET);
    assert_non_null(strstr(t.err.msg, "cannot be compared"));
    assert_string_equal(t.err.got, "IQ4_NL");
    assert_int_equal(rc_judge_findings(t.judge)->total[RC_FAULT], 8); /* experts */
    assert_int_equal(rc_census_take(&census, t.b.model, &t.mem, &t.err), RC_OK);
    assert_int_equal(census.by_dtype[RC_DTYPE_COUNT].tensors, 1);
    assert_string_equal(census.stored[RC_ROLE_EXPERT], "MXFP4, IQ4_NL");
    done();
}

/* A half that begins inside a block cannot be taken out. */
static void test_verify_gguf_block_across_halves(void **state)
{
    gm *m = carry_over(RC_GGUF_MTP, RC_DTYPE_F32);
    gm_tensor *x = gm_find(m, "blk.5.nextn.eh_proj.weight");
    rc_bound b = { .store = RC_STORE_BLOCKS, .pitch = 384, .col = 192 };
    const rc_param p = { .rank = 2, .shape = { 1, 192 } };
    const rc_tensor w = { .dtype = RC_DTYPE_MXFP4 }, k = { .dtype = RC_DTYPE_NVFP4 };
    const rc_tensor q = { .dtype = RC_DTYPE_Q4_K };

    (void)state;
    x->dtype = RC_DTYPE_Q4_K; /* 256 columns: a block each */
    free(x->data);
    x->data = NULL;
    assert_int_equal(judge(m, &exactly), RC_DIFFERS);
    done();
    b.param = &p;
    b.weight = &w;
    assert_non_null(rc_decoder_of(&b));
    b.weight = &k;
    assert_non_null(rc_decoder_of(&b));
    b.weight = &q;
    assert_null(rc_decoder_of(&b));
}

/* Every byte of the file is counted once, whatever a stack holds. */
static void test_verify_gguf_census(void **state)
{
    gm *m = carry_over(RC_GGUF_EMBED, RC_DTYPE_Q8_0);
    rc_mem mem = { 0 };
    rc_census census;
    rc_subject s;
    uint64_t bytes = 0, tensors = 0;
    rc_err err;

    (void)state;
    gm_write(m, &dir, "m.gguf");
    assert_int_equal(rc_subject_open(&s, file_path, NULL, NULL, &mem, &err), RC_OK);
    assert_int_equal(rc_census_take(&census, s.model, &mem, &err), RC_OK);
    for (unsigned r = 0; r < RC_ROLE_COUNT; r++) {
        bytes += census.by_role[r].nbytes;
        tensors += census.by_role[r].tensors;
    }
    assert_int_equal(bytes, census.all.nbytes);
    assert_int_equal(tensors, m->n);
    assert_int_equal(census.unplaced, 0);
    assert_string_equal(census.stored[RC_ROLE_EXPERT], "MXFP4");
    rc_subject_close(&s);
    gm_free(m);
}

static void test_verify_thresholds(void **state)
{
    static const char file[] = "# a recipe\n\nexpert = 12.5\n attention=30 # dense\r\nnorm = exact";
    static const char *const bad_words[] = { "",          "x",          "expert=",    "=3",
                                             "experts=3", "expert=nan", "expert=1 2", "0x10" };
    static const char *const bad_files[] = { "expert", "12", "expert = 1\nrole = 2" };
    rc_thresholds th = RC_THRESHOLDS_NONE;
    rc_err err;

    (void)state;
    assert_true(isinf(rc_thresholds_of(&th, RC_ROLE_HEAD)));
    assert_int_equal(rc_thresholds_word(&th, "expert=10", &err), RC_OK);
    assert_true(th.given && isinf(rc_thresholds_of(&th, RC_ROLE_HEAD)));
    assert_int_equal(rc_thresholds_file(&th, file, sizeof file - 1, &err), RC_OK);
    assert_true(rc_thresholds_of(&th, RC_ROLE_EXPERT) == 10); /* the command line wins */
    assert_true(rc_thresholds_of(&th, RC_ROLE_ATTN) == 30);
    assert_int_equal(rc_thresholds_word(&th, "20", &err), RC_OK);
    assert_true(rc_thresholds_of(&th, RC_ROLE_HEAD) == 20);
    assert_true(isinf(rc_thresholds_of(&th, RC_ROLE_NORM)));
    for (size_t i = 0; i < sizeof bad_words / sizeof *bad_words; i++)
        assert_int_equal(rc_thresholds_word(&th, bad_words[i], &err), RC_E_USAGE);
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++)
        assert_int_equal(rc_thresholds_file(&th, bad_files[i], strlen(bad_files[i]), &err),
                         RC_E_USAGE);
    assert_string_equal(err.got, "line 2");
    assert_non_null(strstr(err.hint, "hyper-connection"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verify_gguf_lossless),
        cmocka_unit_test(test_verify_gguf_sets),
        cmocka_unit_test(test_verify_gguf_thresholds),
        cmocka_unit_test(test_verify_gguf_finds_a_code),
        cmocka_unit_test(test_verify_gguf_bad_scales),
        cmocka_unit_test(test_verify_gguf_integers),
        cmocka_unit_test(test_verify_gguf_side_by_side),
        cmocka_unit_test(test_verify_gguf_config),
        cmocka_unit_test(test_verify_gguf_broken_set),
        cmocka_unit_test(test_verify_gguf_draft_apart),
        cmocka_unit_test(test_verify_gguf_unknown_type),
        cmocka_unit_test(test_verify_gguf_block_across_halves),
        cmocka_unit_test(test_verify_gguf_census),
        cmocka_unit_test(test_verify_thresholds),
    };

    return cmocka_run_group_tests(tests, make_native, remove_native);
}
