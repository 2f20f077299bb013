/* tests/unit/test_convert_int4.c - 4-bit integers: casts into both containers and between them,
 * and what is planned.
 *
 * Outputs are read back by the containers' own definitions in plain arithmetic; which integers a
 * row becomes is the reference quantizer's. */
#include <math.h>

#include "convert/journal.h"
#include "convert/plan_int4.h"
#include "kernels/codes.h"
#include "tests/unit/fixture.h"

enum { ROWS = 264, COLS = 256, WORK = 1 << 20 }; /* two bands of 128 and one of 8 */

/* A matrix in BF16, what it becomes, and all that it becomes. */
typedef struct bench {
    rc_tensor weight, scale, zero;
    rc_job job;
    uint16_t in[ROWS * COLS];
    uint8_t out[RC_PART_COUNT][ROWS * COLS];
    float factors[COLS], importance[COLS], feedback[COLS * RC_INT4_BLOCK];
    float work[WORK];
    rc_cast_how how;
} bench;

static bench a, b, c;
static uint32_t rng = 1;

static double dice(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 17;
    rng ^= rng << 5;
    return rng / 4294967296.0;
}

static float value_at(const bench *x, uint64_t r, uint64_t k)
{
    return rc_bf16_value(x->in[r * COLS + k]);
}

static void make(bench *x, rc_store store, unsigned group, bool zeros, rc_dtype scale)
{
    memset(x, 0, sizeof *x);
    rng = 7;
    for (size_t i = 0; i < ROWS * COLS; i++)
        x->in[i] = rc_bf16_round((float)((dice() + dice() - 0.8) * (i % 37 == 0 ? 4 : 1)));
    for (size_t k = 0; k < COLS; k++) {
        x->factors[k] = ldexpf(1, (int)(k % 5) - 2);
        x->importance[k] = (float)(dice() + 0.01);
    }
    x->weight = (rc_tensor){
        .name = "w", .dtype = RC_DTYPE_BF16, .rank = 2, .shape = { ROWS, COLS }, .nbytes = sizeof x->in
    };
    x->job = (rc_job){ .name = "w", .op = RC_OP_INT4, .weight = &x->weight, .rows = ROWS,
                       .cols = COLS, .int4 = { store, group, zeros, scale } };
    for (unsigned part = 0; part < RC_PART_COUNT; part++)
        if (part != RC_PART_ZERO || zeros)
            x->job.out[part].name = "out";
    if (store == RC_STORE_AWQ)
        x->job.out[RC_PART_SHAPE].name = NULL;
    x->how = (rc_cast_how){ .work = x->work };
}

static rc_verdict run(bench *x, const rc_pieces *from, uint64_t budget)
{
    const uint64_t rows = rc_chunk_rows(&x->job, budget);
    const rc_chunk none = { .job = &x->job };
    rc_pieces all = *from;
    rc_verdict sum = { 0 };

    assert_true(rc_cast_work(&x->job) <= sizeof x->work);
    for (unsigned part = 0; part < RC_PART_COUNT; part++)
        all.out[part] = x->out[part];
    for (uint64_t i = 0; i < rc_chunk_count(&x->job, rows); i++) {
        uint64_t done = 0;
        rc_chunk chunk, s;

        rc_chunk_at(&chunk, &x->job, rows, i);
        while (rc_chunk_slice(&s, &chunk, &done, 1 << 18)) {
            const rc_pieces at = rc_pieces_of(&s, &none, &all);
            rc_verdict v;
            rc_err err;

            if (rc_cast_chunk(&s, &at, &x->how, &v, &err) != RC_OK)
                fail_msg("%s", err.msg);
            rc_verdict_add(&sum, &v);
        }
    }
    return sum;
}

static rc_verdict cast(bench *x, uint64_t budget)
{
    const rc_pieces from = { .in = { (const uint8_t *)x->in } };

    return run(x, &from, budget);
}

/* -------------------------------------------- the containers, by definition */

static uint32_t word(const uint8_t *at, uint64_t i)
{
    uint32_t w;

    memcpy(&w, at + 4 * i, 4);
    return w;
}

static unsigned awq_nibble(const uint8_t *at, uint64_t k, uint64_t n)
{
    static const unsigned place[8] = { 0, 4, 1, 5, 2, 6, 3, 7 };

    return word(at, k * (ROWS / 8) + n / 8) >> 4 * place[n % 8] & 15;
}

static double half(uint16_t bits)
{
    const int e = bits >> 10 & 31, m = bits & 1023;

    return e ? ldexp(1024 + m, e - 25) : ldexp(m, -24); /* scales are not negative */
}

static double stored_scale(const bench *x, uint64_t n, uint64_t g)
{
    const rc_int4_layout *l = &x->job.int4;
    const uint64_t at = l->store == RC_STORE_AWQ ? g * ROWS + n : n * (COLS / l->group) + g;
    uint16_t bits;
    float f;

    if (l->scale == RC_DTYPE_F32) {
        memcpy(&f, x->out[RC_PART_SCALE] + 4 * at, 4);
        return (double)f;
    }
    memcpy(&bits, x->out[RC_PART_SCALE] + 2 * at, 2);
    return l->scale == RC_DTYPE_F16 ? half(bits) : (double)rc_bf16_value(bits);
}

static int stored_code(const bench *x, uint64_t n, uint64_t k)
{
    if (x->job.int4.store == RC_STORE_AWQ)
        return (int)awq_nibble(x->out[RC_PART_WEIGHT], k, n);
    return (int)(word(x->out[RC_PART_WEIGHT], n * (COLS / 8) + k / 8) >> 4 * (k % 8) & 15);
}

static int stored_zero(const bench *x, uint64_t n, uint64_t g)
{
    if (x->job.int4.store == RC_STORE_AWQ)
        return (int)awq_nibble(x->out[RC_PART_ZERO], g, n);
    if (!x->job.int4.zeros)
        return 8;
    return (int)(word(x->out[RC_PART_ZERO], n / 8 * (COLS / x->job.int4.group) + g) >> 4 * (n % 8) &
                 15);
}

static double stored_value(const bench *x, uint64_t n, uint64_t k)
{
    const uint64_t g = k / x->job.int4.group;

    return (stored_code(x, n, k) - stored_zero(x, n, g)) * stored_scale(x, n, g);
}

/* ------------------------------------------------------------------- casts */

static void check_rows(bench *x, rc_int4_search search)
{
    const rc_int4_layout *l = &x->job.int4;
    const rc_int4_kind kind = { l->group, !l->zeros, l->scale, search };
    const rc_verdict got = cast(x, 1);
    rc_int4_tally tally = { 0 };
    double signal = 0, noise = 0;

    for (uint64_t n = 0; n < ROWS; n++) {
        uint8_t q[COLS], zero[COLS / 32];
        float row[COLS], scale[COLS / 32];
        const rc_int4_row out = { q, scale, zero };

        for (uint64_t k = 0; k < COLS; k++)
            row[k] = value_at(x, n, k) * (x->how.factors ? x->factors[k] : 1);
        rc_int4_row_ref(&out, row, x->how.importance, COLS, &kind, &tally);
        for (uint64_t k = 0; k < COLS; k++) {
            const uint64_t g = k / l->group;
            const double was = (double)value_at(x, n, k);
            const double is = stored_value(x, n, k) / (double)(x->how.factors ? x->factors[k] : 1);

            assert_true(stored_value(x, n, k) == (q[k] - zero[g]) * (double)scale[g]);
            signal += was * was;
            noise += (was - is) * (was - is);
        }
    }
    assert_int_equal(got.int4.groups, ROWS * (COLS / l->group));
    assert_int_equal(got.int4.clipped, tally.clipped);
    assert_true(fabs(got.int4.loss - tally.loss) <= 1e-9 * tally.loss);
    assert_true(fabs(got.signal - signal) <= 1e-9 * signal);
    assert_true(fabs(got.noise - noise) <= 1e-6 * noise);
    assert_true(got.nonzero);
}

static void test_int4_is_what_the_quantizer_says(void **state)
{
    static const struct {
        rc_store store;
        unsigned group;
        bool zeros;
        rc_dtype scale;
    } kinds[] = {
        { RC_STORE_AWQ, 128, true, RC_DTYPE_F16 },     { RC_STORE_AWQ, 32, true, RC_DTYPE_F16 },
        { RC_STORE_PACKED, 128, false, RC_DTYPE_BF16 }, { RC_STORE_PACKED, 64, true, RC_DTYPE_BF16 },
        { RC_STORE_PACKED, 32, true, RC_DTYPE_F16 },   { RC_STORE_PACKED, 32, false, RC_DTYPE_F32 },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        make(&a, kinds[i].store, kinds[i].group, kinds[i].zeros, kinds[i].scale);
        check_rows(&a, RC_INT4_CLIP);
        a.how.factors = a.factors;
        a.how.importance = a.importance;
        check_rows(&a, RC_INT4_CLIP);
        a.how.method = RC_METHOD_AWQ_PLUS;
        check_rows(&a, RC_INT4_BEST);
    }
}

static void test_int4_shape(void **state)
{
    int64_t shape[2];

    (void)state;
    make(&a, RC_STORE_PACKED, 128, false, RC_DTYPE_BF16);
    (void)cast(&a, 1);
    memcpy(shape, a.out[RC_PART_SHAPE], sizeof shape);
    assert_int_equal(shape[0], ROWS);
    assert_int_equal(shape[1], COLS);
}

/* Chunks are for memory: neither bytes nor digits of sums depend on them. */
static void test_int4_same_for_any_chunk(void **state)
{
    (void)state;
    for (unsigned feed = 0; feed < 2; feed++) {
        make(&a, RC_STORE_PACKED, 32, true, RC_DTYPE_BF16);
        a.how.importance = a.importance;
        for (unsigned block = 0; block < COLS / RC_INT4_BLOCK; block++) /* neighbours, a little */
            for (unsigned i = 0; i < RC_INT4_BLOCK; i++) {
                float *u = a.feedback + (block * RC_INT4_BLOCK + i) * RC_INT4_BLOCK;

                u[i] = 1;
                if (i + 1 < RC_INT4_BLOCK)
                    u[i + 1] = 0.25f;
            }
        a.how.feedback = feed ? a.feedback : NULL;
        memcpy(&b, &a, sizeof a);
        b.job.weight = &b.weight;
        b.how.work = b.work;
        const rc_verdict x = cast(&a, 1), y = cast(&b, 1 << 24);

        assert_memory_equal(a.out, b.out, sizeof a.out);
        assert_true(x.noise == y.noise && x.int4.loss == y.int4.loss);
        if (!feed)
            memcpy(c.out, a.out, sizeof a.out);
        else
            assert_memory_not_equal(a.out[0], c.out[0], ROWS * COLS / 2);
    }
}

static void repack_from(bench *to, const bench *from, rc_store store, bool zeros, rc_dtype scale)
{
    make(to, store, from->job.int4.group, zeros, scale);
    to->job.op = RC_OP_INT4_REPACK;
    to->job.source_int4 = from->job.int4;
    to->weight.dtype = RC_DTYPE_I32;
    to->scale = (rc_tensor){ .name = "s", .dtype = from->job.int4.scale, .rank = 2 };
    to->job.scale = &to->scale;
    to->job.zero = from->job.int4.zeros ? &to->zero : NULL;
    to->job.tiles = ROWS;
}

static void test_int4_repack_keeps_every_integer(void **state)
{
    static const rc_store ways[2][2] = { { RC_STORE_AWQ, RC_STORE_PACKED },
                                         { RC_STORE_PACKED, RC_STORE_AWQ } };

    (void)state;
    for (unsigned w = 0; w < 2; w++)
        for (unsigned group = 32; group <= 128; group *= 2) {
            rc_pieces at = { 0 };
            rc_verdict v;

            make(&a, ways[w][0], group, true, RC_DTYPE_F16);
            (void)cast(&a, 1);
            repack_from(&b, &a, ways[w][1], true, RC_DTYPE_F16);
            for (unsigned part = 0; part < RC_PART_COUNT; part++)
                at.in[part] = a.out[part];
            v = run(&b, &at, 1);
            assert_int_equal(v.tiles, ROWS);
            assert_int_equal(v.exact, ROWS);
            assert_true(v.nonzero);
            for (uint64_t n = 0; n < ROWS; n++)
                for (uint64_t k = 0; k < COLS; k++)
                    assert_true(stored_code(&a, n, k) == stored_code(&b, n, k) &&
                                stored_value(&a, n, k) == stored_value(&b, n, k));
        }
}

/* BF16 reaches further than F16 and is coarser: some scales are rounded, some do not fit at all. */
static void test_int4_repack_says_what_scales_lose(void **state)
{
    rc_pieces at = { 0 };
    const uint16_t low = rc_bf16_round(0x1.02p-23f), high = rc_bf16_round(1e6f);
    rc_verdict v;
    rc_chunk chunk;
    rc_err err;

    (void)state;
    make(&a, RC_STORE_PACKED, 128, false, RC_DTYPE_BF16);
    (void)cast(&a, 1);
    memcpy(a.out[RC_PART_SCALE] + 2 * (5 * 2 + 1), &low, 2); /* row 5, group 1 */
    repack_from(&b, &a, RC_STORE_AWQ, true, RC_DTYPE_F16);
    for (unsigned part = 0; part < RC_PART_COUNT; part++)
        at.in[part] = a.out[part];
    v = run(&b, &at, 1);
    assert_int_equal(v.exact, ROWS - 1);
    assert_int_equal(v.row, 5);
    assert_int_equal(v.col, 128);
    assert_int_equal(stored_zero(&b, 3, 1), 8);

    memcpy(a.out[RC_PART_SCALE] + 2 * (5 * 2 + 1), &high, 2);
    rc_chunk_at(&chunk, &b.job, ROWS, 0);
    for (unsigned part = 0; part < RC_PART_COUNT; part++)
        at.out[part] = b.out[part];
    assert_int_equal(rc_cast_chunk(&chunk, &at, &b.how, &v, &err), RC_E_NUMERIC);
    assert_non_null(strstr(err.msg, "too large for F16 at row 5, column 1"));
    assert_string_equal(err.tensor, "s");
}

static void test_int4_refuses_what_no_scale_holds(void **state)
{
    const rc_pieces from = { .in = { (const uint8_t *)a.in },
                             .out = { a.out[0], a.out[1], a.out[2], a.out[3] } };
    rc_verdict v;
    rc_chunk chunk, s;
    uint64_t done = 0;
    rc_err err;

    (void)state;
    make(&a, RC_STORE_AWQ, 128, true, RC_DTYPE_F16);
    for (unsigned k = 0; k < COLS; k++)
        a.in[20 * COLS + k] = rc_bf16_round(0x1p-40f);
    rc_chunk_at(&chunk, &a.job, ROWS, 0);
    assert_true(rc_chunk_slice(&s, &chunk, &done, 1));
    assert_int_equal(rc_cast_chunk(&s, &from, &a.how, &v, &err), RC_E_NUMERIC);
    assert_non_null(strstr(err.msg, "2 groups in rows 16 to 31 need scales that F16"));
    assert_non_null(strstr(err.hint, "--to w4a16"));

    make(&a, RC_STORE_PACKED, 128, true, RC_DTYPE_BF16); /* far enough for these */
    for (unsigned k = 0; k < COLS; k++)
        a.in[20 * COLS + k] = rc_bf16_round(0x1p-40f);
    assert_int_equal(cast(&a, 1).int4.lost, 0);
    a.in[3 * COLS + 9] = 0x7f80; /* infinity */
    done = 0;
    rc_chunk_at(&chunk, &a.job, ROWS, 0);
    assert_true(rc_chunk_slice(&s, &chunk, &done, 1));
    assert_int_equal(rc_cast_chunk(&s, &from, &a.how, &v, &err), RC_E_NUMERIC);
    assert_non_null(strstr(err.msg, "row 3, column 9"));
}

/* -------------------------------------------------------------------- plans */

static rc_bound bound(rc_param *p, const char *name, rc_role role, rc_quant quant, rc_store store,
                      uint64_t rows, uint64_t cols)
{
    static rc_tensor weight = { .name = "tensor" }, scale = { .name = "scale" };

    *p = (rc_param){ .name = name,
                     .role = role,
                     .quant = quant,
                     .rank = 2,
                     .shape = { rows, cols },
                     .expert = role == RC_ROLE_EXPERT ? 0 : -1 };
    weight.dtype = store == RC_STORE_PLAIN ? RC_DTYPE_BF16 : RC_DTYPE_F8_E4M3;
    scale.dtype = RC_DTYPE_F32;
    return (rc_bound){ .param = p, .store = store, .weight = &weight,
                       .scale = store == RC_STORE_PLAIN ? NULL : &scale };
}

static void test_int4_fates(void **state)
{
    static const struct {
        const char *name;
        rc_role role;
        rc_quant quant;
        rc_store store;
        rc_int4_fate awq, w4a16, smoothed, all; /* smoothed: w4a16 */
    } rows[] = {
#define INT4 RC_FATE_INT4
#define KEEP RC_FATE_KEEP
#define BF   RC_FATE_BF16
#define FP   RC_FATE_FP8
        { "layers.0.ffn.experts.0.w2.weight", RC_ROLE_EXPERT, RC_QUANT_EXPERT, RC_STORE_FP4, INT4,
          INT4, INT4, INT4 },
        { "layers.0.ffn.experts.0.w2.weight", RC_ROLE_EXPERT, RC_QUANT_EXPERT, RC_STORE_PLAIN, INT4,
          INT4, INT4, INT4 },
        { "layers.0.attn.wq_b.weight", RC_ROLE_ATTN, RC_QUANT_DENSE, RC_STORE_FP8, BF, FP, FP,
          INT4 },
        { "layers.0.attn.wo_a.weight", RC_ROLE_ATTN, RC_QUANT_DENSE, RC_STORE_FP8, BF, BF, BF, BF },
        { "layers.0.attn.wo_a.weight", RC_ROLE_ATTN, RC_QUANT_DENSE, RC_STORE_PLAIN, KEEP, KEEP,
          KEEP, KEEP },
        { "layers.0.ffn.shared_experts.w2.weight", RC_ROLE_SHARED, RC_QUANT_DENSE, RC_STORE_FP8, BF,
          FP, BF, INT4 },
        { "mtp.0.e_proj.weight", RC_ROLE_DRAFT, RC_QUANT_DENSE, RC_STORE_FP8, BF, FP, FP, INT4 },
        { "layers.0.ffn.gate.weight", RC_ROLE_ROUTER, RC_QUANT_NONE, RC_STORE_PLAIN, KEEP, KEEP,
          KEEP, KEEP },
#undef INT4
#undef KEEP
#undef BF
#undef FP
    };

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        rc_recipe awq = { .target = RC_TO_AWQ }, w4 = { .target = RC_TO_W4A16 }, s = w4, all = w4;
        rc_param p;
        const rc_bound x =
            bound(&p, rows[i].name, rows[i].role, rows[i].quant, rows[i].store, 256, 256);

        s.int4.smooth = RC_SMOOTH_POW2;
        all.int4.scope = RC_SCOPE_ALL;
        assert_int_equal(rc_int4_fate_of(&awq, &x), rows[i].awq);
        assert_int_equal(rc_int4_fate_of(&w4, &x), rows[i].w4a16);
        assert_int_equal(rc_int4_fate_of(&s, &x), rows[i].smoothed);
        assert_int_equal(rc_int4_fate_of(&all, &x), rows[i].all);
    }
}

static void test_int4_groups_must_divide(void **state)
{
    static const struct {
        uint64_t rows, cols;
        unsigned group;
        rc_role role;
        const char *what, *hint;
    } cases[] = {
        { 256, 192, 128, RC_ROLE_EXPERT, "rows of 192 are not whole groups of 128", "--group 64" },
        { 256, 160, 64, RC_ROLE_EXPERT, "rows of 160 are not whole groups of 64", "--group 32" },
        { 256, 48, 32, RC_ROLE_EXPERT, "rows of 48 are not whole groups of 32", "no group does" },
        { 256, 48, 32, RC_ROLE_ATTN, "rows of 48 are not whole groups of 32", "--scope experts" },
        { 250, 128, 32, RC_ROLE_EXPERT, "250 rows", "" },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        rc_mem mem = { 0 };
        rc_plan plan = { .mem = &mem, .arena = { .mem = &mem } };
        rc_job job = { 0 };
        rc_err err = { .code = RC_OK };
        rc_param p;
        const rc_bound x = bound(&p, "layers.0.attn.wq_b.weight", cases[i].role, RC_QUANT_DENSE,
                                 RC_STORE_FP8, cases[i].rows, cases[i].cols);

        plan.recipe = (rc_recipe){ .target = RC_TO_AWQ,
                                   .int4 = { .group = cases[i].group, .scope = RC_SCOPE_ALL } };
        assert_int_equal(rc_plan_int4_bound(&plan, &job, &x, &err), RC_E_UNSUPPORTED);
        assert_non_null(strstr(err.msg, cases[i].what));
        assert_non_null(strstr(err.hint, cases[i].hint));
        assert_string_equal(err.tensor, "tensor");
        rc_arena_free(&plan.arena);
        assert_int_equal(mem.used, 0);
    }
}

/* Loaders cannot be told of modules that differ from block to block. */
static void test_int4_config_wants_modules_alike(void **state)
{
    rc_param p[3];
    const rc_bound x[3] = {
        bound(&p[0], "layers.0.attn.wq_a.weight", RC_ROLE_ATTN, RC_QUANT_DENSE, RC_STORE_FP8, 8, 128),
        bound(&p[1], "layers.0.attn.wkv.weight", RC_ROLE_ATTN, RC_QUANT_DENSE, RC_STORE_PLAIN, 8,
              128),
        bound(&p[2], "layers.0.attn.wq_b.weight", RC_ROLE_ATTN, RC_QUANT_DENSE, RC_STORE_FP8, 8, 128)
    };
    rc_mem mem = { 0 };
    rc_job jobs[3] = { 0 };
    rc_plan plan = { .mem = &mem, .arena = { .mem = &mem }, .jobs = jobs, .njobs = 3 };
    rc_err err = { .code = RC_OK };
    char *text;

    (void)state;
    plan.recipe = (rc_recipe){ .target = RC_TO_W4A16, .int4 = { .group = 128 } };
    for (unsigned i = 0; i < 3; i++)
        jobs[i].param = x[i].param;
    jobs[0].out[RC_PART_SCALE].name = jobs[2].out[RC_PART_SCALE].name = "s";
    assert_int_equal(rc_plan_int4_config(&plan, &text, &mem, &err), RC_E_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "attn.wq_a and attn.wkv"));
    jobs[1].out[RC_PART_SCALE].name = "s";
    assert_int_equal(rc_plan_int4_config(&plan, &text, &mem, &err), RC_OK);
    assert_non_null(strstr(text, "fused_wqa_wkv"));
    rc_mem_put(&mem, text);
    assert_int_equal(mem.used, 0);
}

/* What is done depends on the scalings that it was done with. */
static void test_journal_binds_scalings(void **state)
{
    const rc_journal_id id = { .version = "1" };
    const rc_result result = { .verdict = { .tiles = 1 } };
    const uint64_t now[] = { 5, 6, 6, 7 };
    fx_dir dir = fx_open(NULL);
    rc_mem mem = { 0 };
    rc_dir to;
    rc_err err;

    (void)state;
    assert_int_equal(rc_dir_open(&to, dir.path, false, &err), RC_OK);
    for (unsigned i = 0; i < 4; i++) {
        rc_journal *j;

        assert_int_equal(
            rc_journal_open(&j, &to, "j", &id, 4, 1, false, NULL, &mem, &err), RC_OK);
        if (i < 3)
            assert_int_equal(rc_journal_bind(j, now[i], &err), RC_OK); /* nothing was done with 5 */
        else
            assert_int_equal(rc_journal_bind(j, now[i], &err), RC_E_RESUME);
        if (i == 2)
            assert_int_equal(rc_journal_add(j, 1, &result, &err), RC_OK);
        rc_journal_close(&j);
    }
    rc_dir_close(&to);
    fx_close(&dir);
    assert_int_equal(mem.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_int4_is_what_the_quantizer_says),
        cmocka_unit_test(test_int4_shape),
        cmocka_unit_test(test_int4_same_for_any_chunk),
        cmocka_unit_test(test_int4_repack_keeps_every_integer),
        cmocka_unit_test(test_int4_repack_says_what_scales_lose),
        cmocka_unit_test(test_int4_refuses_what_no_scale_holds),
        cmocka_unit_test(test_int4_fates),
        cmocka_unit_test(test_int4_groups_must_divide),
        cmocka_unit_test(test_int4_config_wants_modules_alike),
        cmocka_unit_test(test_journal_binds_scalings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
