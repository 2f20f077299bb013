/* tests/unit/test_convert.c - plan, cast, journal: the parts of a conversion, one by one.
 *
 * Casts are compared with plain double arithmetic on ragged shapes: no kernel is asked. */
#include <math.h>

#include "convert/journal.h"
#include "convert/synth.h"
#include "kernels/codes.h"
#include "tests/unit/fixture.h"

/* ------------------------------------------------------------------ cast */

typedef struct shape {
    uint64_t rows, cols;
} shape;

/* A job without a plan, its source and all of its output. */
typedef struct bench {
    rc_tensor weight, scale;
    rc_job job;
    uint8_t *in, *in_scale, *out, *out_scale; /* the inputs lie at odd addresses */
} bench;

static uint32_t rng = 1;

static uint32_t dice(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 17;
    rng ^= rng << 5;
    return rng;
}

static bool is_fp4(rc_op op)
{
    return op == RC_OP_FP4_TO_FP8 || op == RC_OP_FP4_TO_BF16;
}

static bool is_bf16(rc_op op)
{
    return op == RC_OP_FP4_TO_BF16 || op == RC_OP_FP8_TO_BF16;
}

static uint64_t tiles_of(uint64_t n)
{
    return (n + 127) / 128;
}

/* Scales within 2^-7 .. 2^8, mostly close together, some far off (FP4: inexact tiles);
 * F32 ones have 24 bits, or are powers of two, or 0. */
static void fill_scales(bench *b, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        const uint32_t d = dice();

        if (b->scale.dtype == RC_DTYPE_F8_E8M0) {
            b->in_scale[i] = (uint8_t)(d % 997 == 0 ? 90 : 120 + d % 4);
        } else {
            const float x = d % 5 == 0   ? 0.0f
                            : d % 5 == 1 ? ldexpf(1, (int)(d >> 8 & 15) - 8)
                                         : ldexpf((float)(d | 1u << 23), -24 - (int)(d % 7));

            memcpy(b->in_scale + 4 * i, &x, 4);
        }
    }
}

static void make(bench *b, rc_op op, shape s, rc_dtype scale_in, rc_dtype scale_out)
{
    const uint64_t tr = tiles_of(s.rows), tc = tiles_of(s.cols);
    const uint64_t nscales = is_fp4(op) ? s.rows * (s.cols / 32) : tr * tc;
    const uint64_t nin = is_fp4(op) ? s.rows * s.cols / 2 : s.rows * s.cols;

    memset(b, 0, sizeof *b);
    b->weight = (rc_tensor){ .name = "w",
                             .dtype = is_fp4(op) ? RC_DTYPE_I8 : RC_DTYPE_F8_E4M3,
                             .rank = 2,
                             .shape = { s.rows, is_fp4(op) ? s.cols / 2 : s.cols },
                             .begin = 1000,
                             .nbytes = nin };
    b->scale = (rc_tensor){ .name = "s",
                            .dtype = scale_in,
                            .rank = 2,
                            .shape = { is_fp4(op) ? s.rows : tr, is_fp4(op) ? s.cols / 32 : tc },
                            .begin = 5000,
                            .nbytes = nscales * (scale_in == RC_DTYPE_F32 ? 4 : 1) };
    b->job = (rc_job){ .name = "w",
                       .op = op,
                       .weight = &b->weight,
                       .scale = &b->scale,
                       .rows = s.rows,
                       .cols = s.cols,
                       .tiles = tr * tc };
    b->job.out[RC_PART_WEIGHT].dtype = is_bf16(op) ? RC_DTYPE_BF16 : RC_DTYPE_F8_E4M3;
    if (!is_bf16(op)) {
        b->job.out[RC_PART_SCALE] =
            (rc_dest){ .name = "s", .dtype = scale_out, .rank = 2, .shape = { tr, tc } };
        b->out_scale = malloc(4 * tr * tc);
    }
    b->in = (uint8_t *)malloc(nin + 1) + 1;
    b->in_scale = (uint8_t *)malloc(b->scale.nbytes + 1) + 1;
    b->out = malloc(2 * s.rows * s.cols);
    for (uint64_t i = 0; i < nin; i++) {
        b->in[i] = (uint8_t)dice();
        if (!is_fp4(op) && (b->in[i] & 0x7f) == 0x7f)
            b->in[i] = 0x80;
    }
    fill_scales(b, nscales);
}

static void drop(bench *b)
{
    free(b->in - 1);
    free(b->in_scale - 1);
    free(b->out);
    free(b->out_scale);
}

static double scale_value(const uint8_t *scale, rc_dtype dtype, uint64_t i)
{
    float x;

    if (dtype == RC_DTYPE_F8_E8M0)
        return ldexp(1, scale[i] - 127);
    memcpy(&x, scale + 4 * i, 4);
    return (double)x;
}

static double source_value(const bench *b, uint64_t r, uint64_t c)
{
    const uint64_t at = r * b->job.cols + c;

    if (is_fp4(b->job.op))
        return (double)rc_e2m1_value(b->in[at / 2] >> (at % 2 * 4) & 15) *
               scale_value(b->in_scale, b->scale.dtype, at / 32);
    return (double)rc_e4m3_value(b->in[at]) *
           scale_value(b->in_scale, b->scale.dtype, r / 128 * tiles_of(b->job.cols) + c / 128);
}

static double stored_value(const bench *b, uint64_t r, uint64_t c)
{
    const uint64_t at = r * b->job.cols + c;
    uint16_t bits;

    if (!is_bf16(b->job.op))
        return (double)rc_e4m3_value(b->out[at]) *
               scale_value(b->out_scale, b->job.out[RC_PART_SCALE].dtype,
                           r / 128 * tiles_of(b->job.cols) + c / 128);
    memcpy(&bits, b->out + 2 * at, 2);
    return (double)rc_bf16_value(bits);
}

/* The verdict as it must be; and that no value is off by more than its format's half step. */
static rc_verdict expected(const bench *b)
{
    const uint64_t rows = b->job.rows, cols = b->job.cols;
    rc_verdict v = { 0 };

    for (uint64_t tr = 0; tr < rows; tr += 128)
        for (uint64_t tc = 0; tc < cols; tc += 128) {
            bool exact = true;

            for (uint64_t r = tr; r < rows && r < tr + 128; r++)
                for (uint64_t c = tc; c < cols && c < tc + 128; c++) {
                    const double was = source_value(b, r, c), is = stored_value(b, r, c);

                    if (is_bf16(b->job.op) && fabs(was - is) > fabs(was) / 256)
                        fail_msg("(%d, %d): %g became %g", (int)r, (int)c, was, is);
                    if (was != is && exact && v.exact == v.tiles)
                        v.row = r;
                    exact &= was == is;
                }
            v.tiles++;
            v.exact += exact;
        }
    return v;
}

static const rc_cast_how strict = { .allow_nonfinite = false };
static const rc_cast_how lenient = { .allow_nonfinite = true };

static rc_pieces pieces_of(const bench *b, const rc_chunk *c)
{
    const rc_chunk all = { .job = &b->job };
    const rc_pieces whole = { .in = { b->in, b->in_scale }, .out = { b->out, b->out_scale } };

    return rc_pieces_of(c, &all, &whole);
}

/* Run the job in chunks of `budget` bytes, each in slices of `slice`. */
static rc_verdict cast_all(bench *b, uint64_t budget, uint64_t slice)
{
    const uint64_t rows = rc_chunk_rows(&b->job, budget);
    rc_verdict sum = { 0 };
    uint64_t next = 0;

    for (uint64_t i = 0; i < rc_chunk_count(&b->job, rows); i++) {
        uint64_t done = 0;
        rc_chunk c, s;

        rc_chunk_at(&c, &b->job, rows, i);
        while (rc_chunk_slice(&s, &c, &done, slice)) {
            rc_verdict v;
            rc_pieces at;
            rc_err err;

            assert_int_equal(s.row, next);
            next += s.nrows;
            at = pieces_of(b, &s);
            if (rc_cast_chunk(&s, &at, &strict, &v, &err) != RC_OK)
                fail_msg("%s", err.msg);
            rc_verdict_add(&sum, &v);
        }
    }
    assert_int_equal(next, b->job.rows);
    return sum;
}

static void check_cast(rc_op op, shape s, rc_dtype scale_in, rc_dtype scale_out)
{
    bench b;
    rc_verdict got, want;

    make(&b, op, s, scale_in, scale_out);
    got = cast_all(&b, 1 << 20, 1);
    want = expected(&b);
    assert_int_equal(got.tiles, want.tiles);
    assert_int_equal(got.exact, want.exact);
    if (want.exact != want.tiles) {
        assert_true(got.row / 128 == want.row / 128); /* the first band that has any */
        assert_true(got.source == source_value(&b, got.row, got.col));
        assert_true(got.stored == stored_value(&b, got.row, got.col));
        assert_true(got.source != got.stored);
    }
    for (uint64_t budget = 1; budget <= 1 << 18;
         budget <<= 18) { /* the bytes do not depend on it */
        uint8_t *before = malloc(2 * s.rows * s.cols);
        const uint64_t nbytes = s.rows * s.cols * (is_bf16(op) ? 2 : 1);

        memcpy(before, b.out, nbytes);
        memset(b.out, 0xee, nbytes);
        (void)cast_all(&b, budget, 1 << 16);
        assert_memory_equal(before, b.out, nbytes);
        free(before);
    }
    drop(&b);
}

static void test_cast_fp4(void **state)
{
    static const shape shapes[] = { { 1, 32 },    { 127, 96 },  { 128, 128 },
                                    { 129, 160 }, { 257, 224 }, { 3, 8224 } };

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_cast(RC_OP_FP4_TO_FP8, shapes[i], RC_DTYPE_F8_E8M0, RC_DTYPE_F32);
        check_cast(RC_OP_FP4_TO_FP8, shapes[i], RC_DTYPE_F8_E8M0, RC_DTYPE_F8_E8M0);
        check_cast(RC_OP_FP4_TO_BF16, shapes[i], RC_DTYPE_F8_E8M0, RC_DTYPE_F32);
    }
}

static void test_cast_fp8(void **state)
{
    static const shape shapes[] = { { 1, 1 },     { 1, 127 },   { 129, 1 },   { 128, 128 },
                                    { 255, 129 }, { 257, 255 }, { 130, 257 }, { 2, 8193 } };
    static const rc_dtype scales[] = { RC_DTYPE_F32, RC_DTYPE_F8_E8M0 };

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (unsigned from = 0; from < 2; from++) {
            check_cast(RC_OP_FP8_RESCALE, shapes[i], scales[from], RC_DTYPE_F32);
            check_cast(RC_OP_FP8_RESCALE, shapes[i], scales[from], RC_DTYPE_F8_E8M0);
            check_cast(RC_OP_FP8_TO_BF16, shapes[i], scales[from], RC_DTYPE_F32);
        }
}

/* Bad codes and scales are named with their place in the file. */
static void test_cast_refuses(void **state)
{
    static const struct {
        rc_op op;
        rc_dtype scale;
        bool in_weight;
        uint64_t at; /* byte of the weight or scale */
        uint8_t bytes[4];
        unsigned nbytes;
        uint64_t offset;
    } bad[] = {
        { RC_OP_FP8_RESCALE, RC_DTYPE_F8_E8M0, true, 130 * 200 + 7, { 0xff }, 1, 1000 + 26007 },
        { RC_OP_FP8_TO_BF16, RC_DTYPE_F8_E8M0, false, 3, { 0xff }, 1, 5003 },
        { RC_OP_FP4_TO_FP8, RC_DTYPE_F8_E8M0, false, 1163, { 0xff }, 1, 5000 + 1163 },
        { RC_OP_FP8_RESCALE, RC_DTYPE_F32, false, 12, { 0, 0, 0x80, 0x7f }, 4, 5012 },
        { RC_OP_FP8_RESCALE, RC_DTYPE_F32, false, 8, { 1, 0, 0x80, 0xff }, 4, 5008 },
        { RC_OP_FP8_TO_BF16, RC_DTYPE_F32, false, 4, { 0, 0, 0x80, 0xbf }, 4, 5004 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const shape s = { 200, bad[i].op == RC_OP_FP4_TO_FP8 ? 192 : 130 };
        rc_err err = { .code = RC_OK };
        bool refused = false;
        uint64_t rows;
        bench b;

        make(&b, bad[i].op, bad[i].in_weight ? (shape){ 200, 200 } : s, bad[i].scale, RC_DTYPE_F32);
        memcpy((bad[i].in_weight ? b.in : b.in_scale) + bad[i].at, bad[i].bytes, bad[i].nbytes);
        rows = rc_chunk_rows(&b.job, 1);
        for (uint64_t k = 0; k < rc_chunk_count(&b.job, rows) && !refused; k++) {
            rc_verdict v;
            rc_pieces at;
            rc_chunk c;

            rc_chunk_at(&c, &b.job, rows, k);
            at = pieces_of(&b, &c);
            refused = rc_cast_chunk(&c, &at, &lenient, &v, &err) != RC_OK;
        }
        assert_true(refused);
        assert_int_equal(err.code, RC_E_NUMERIC);
        assert_int_equal(err.offset, bad[i].offset);
        assert_string_equal(err.tensor, bad[i].in_weight ? "w" : "s");
        drop(&b);
    }
}

static void test_cast_copy(void **state)
{
    rc_tensor t = {
        .name = "t", .dtype = RC_DTYPE_F32, .rank = 2, .shape = { 3, 5 }, .begin = 77, .nbytes = 60
    };
    const rc_job job = { .name = "t", .op = RC_OP_COPY, .weight = &t, .rows = 1, .cols = 60 };
    uint8_t in[61], out[61];
    const rc_pieces at = { .in = { in + 1 }, .out = { out + 1 } };
    rc_verdict v;
    rc_chunk c;
    rc_err err;

    (void)state;
    for (unsigned i = 0; i < 61; i++)
        in[i] = (uint8_t)(i & 0x3f);
    rc_chunk_at(&c, &job, rc_chunk_rows(&job, 1), 0);
    assert_int_equal(c.in[RC_PART_WEIGHT].len, 60);
    assert_int_equal(rc_cast_chunk(&c, &at, &strict, &v, &err), RC_OK);
    assert_memory_equal(in + 1, out + 1, 60);
    memcpy(in + 1 + 4 * 7, "\0\0\x80\xff", 4); /* element (1, 2): -Inf */
    assert_int_equal(rc_cast_chunk(&c, &at, &strict, &v, &err), RC_E_NUMERIC);
    assert_int_equal(err.offset, 77 + 28);
    assert_non_null(strstr(err.msg, "row 1, column 2"));
    assert_int_equal(rc_cast_chunk(&c, &at, &lenient, &v, &err), RC_OK);
    assert_int_equal(v.nonfinite, 1);
    assert_memory_equal(in + 1, out + 1, 60);
    t.nbytes = 0; /* an empty tensor has one chunk, of nothing */
    rc_chunk_at(&c, &job, 4096, 0);
    assert_int_equal(rc_chunk_count(&job, 4096), 1);
    assert_int_equal(c.in[RC_PART_WEIGHT].len + c.out[RC_PART_WEIGHT].len, 0);
}

/* More elements than 2^32: no product is cut. */
static void test_chunks_of_a_huge_tensor(void **state)
{
    const rc_tensor t = { .name = "t", .dtype = RC_DTYPE_F8_E4M3, .rank = 2, .nbytes = 1ull << 40 };
    const rc_tensor s = { .name = "s", .dtype = RC_DTYPE_F32, .rank = 2, .nbytes = 1ull << 28 };
    const rc_job job = {
        .op = RC_OP_FP8_TO_BF16,
        .weight = &t,
        .scale = &s,
        .rows = 1ull << 24,
        .cols = 1 << 16,
        .out[RC_PART_WEIGHT] = { .dtype = RC_DTYPE_BF16 },
    };
    const uint64_t rows = rc_chunk_rows(&job, 8 << 20), n = rc_chunk_count(&job, rows);
    rc_chunk c;

    (void)state;
    assert_int_equal(rows, 128);
    rc_chunk_at(&c, &job, rows, n - 1);
    assert_true(c.in[RC_PART_WEIGHT].off + c.in[RC_PART_WEIGHT].len == 1ull << 40);
    assert_true(c.out[RC_PART_WEIGHT].off + c.out[RC_PART_WEIGHT].len == 1ull << 41);
    assert_true(c.in[RC_PART_SCALE].off + c.in[RC_PART_SCALE].len == 1ull << 28);
}

/* --------------------------------------------------------------- journal */

enum { JOBS = 6, SHARDS = 3, RECORD = 320 };
#define JOURNAL "recast.journal"

static rc_journal_id identity(uint8_t recipe, uint8_t source)
{
    rc_journal_id id;

    memset(&id, 0, sizeof id);
    strcpy(id.version, "1");
    id.recipe_digest.bytes[0] = recipe;
    id.source_digest.bytes[0] = source;
    return id;
}

static rc_code open_journal(rc_journal **j, const fx_dir *at, const rc_journal_id *id, bool restart,
                            rc_mem *mem)
{
    rc_dir dir;
    rc_err err;
    rc_code rc;

    assert_int_equal(rc_dir_open(&dir, at->path, false, &err), RC_OK);
    rc = rc_journal_open(j, &dir, JOURNAL, id, JOBS, SHARDS, restart, NULL, mem, &err);
    rc_dir_close(&dir);
    return rc;
}

/* Records: 0 identity, 1..4 jobs 0..3, 5 shard 0, 6 shard 1 taken back, 7 job 1 taken back. */
static void write_journal(const fx_dir *dir, rc_mem *mem)
{
    const rc_journal_id id = identity(1, 1);
    rc_journal *j;
    rc_err err;

    assert_int_equal(open_journal(&j, dir, &id, true, mem), RC_OK);
    assert_false(rc_journal_is_resumed(j));
    for (size_t i = 0; i < 4; i++) {
        const rc_result r = { .verdict = { .tiles = 10 + i, .exact = i } };

        assert_int_equal(rc_journal_add(j, i, &r, &err), RC_OK);
    }
    assert_int_equal(rc_journal_add_shard(j, 0, &err), RC_OK);
    assert_int_equal(rc_journal_forget_shard(j, 1, &err), RC_OK);
    assert_int_equal(rc_journal_forget(j, 1, &err), RC_OK);
    assert_int_equal(rc_journal_done(j), 3);
    rc_journal_close(&j);
}

static void poke(const fx_dir *dir, long at, int byte)
{
    FILE *f = fopen(fx_path(dir, JOURNAL), "r+b");

    assert_non_null(f);
    fseek(f, at, SEEK_SET);
    fputc(byte, f);
    fclose(f);
}

static void test_journal_replays(void **state)
{
    const rc_journal_id id = identity(1, 1), other = identity(2, 1), changed = identity(1, 2);
    fx_dir dir = fx_open(NULL);
    rc_mem mem = { 0 };
    rc_journal *j;

    (void)state;
    write_journal(&dir, &mem);
    assert_int_equal(open_journal(&j, &dir, &other, false, &mem), RC_E_RESUME);
    assert_int_equal(open_journal(&j, &dir, &changed, false, &mem), RC_E_RESUME);
    assert_null(j);
    assert_int_equal(open_journal(&j, &dir, &id, false, &mem), RC_OK);
    assert_true(rc_journal_is_resumed(j));
    assert_int_equal(rc_journal_done(j), 3);
    assert_null(rc_journal_result(j, 1));
    assert_int_equal(rc_journal_result(j, 3)->verdict.tiles, 13);
    assert_true(rc_journal_has_shard(j, 0) && !rc_journal_has_shard(j, 1));
    assert_false(rc_journal_has_publish(j));
    rc_journal_close(&j);
    assert_int_equal(open_journal(&j, &dir, &other, true, &mem), RC_OK);
    assert_int_equal(rc_journal_done(j), 0);
    rc_journal_close(&j);
    assert_int_equal(mem.used, 0);
    fx_close(&dir);
}

/* Whatever bytes are damaged or cut off: no result that was not written, and no shard is
 * trusted that may have been taken back. */
static void test_journal_damaged(void **state)
{
    const rc_journal_id id = identity(1, 1);
    fx_dir dir = fx_open(NULL);
    rc_mem mem = { 0 };

    (void)state;
    for (long at = 0; at < 8 * RECORD; at += 13) {
        rc_journal *j;

        write_journal(&dir, &mem);
        poke(&dir, at, 0x5a);
        assert_int_equal(open_journal(&j, &dir, &id, false, &mem), RC_OK);
        assert_int_equal(rc_journal_is_resumed(j), at >= RECORD);
        assert_false(rc_journal_has_shard(j, 0));
        for (size_t i = 0; i < 4; i++)
            if (rc_journal_result(j, i))
                assert_int_equal(rc_journal_result(j, i)->verdict.tiles, 10 + i);
        rc_journal_close(&j);
    }
    for (long cut = 0; cut <= 8 * RECORD; cut += 37) {
        const rc_result again = { .verdict = { .tiles = 99 } };
        rc_journal *j;
        rc_err err;

        write_journal(&dir, &mem);
        assert_int_equal(truncate(fx_path(&dir, JOURNAL), cut), 0);
        assert_int_equal(open_journal(&j, &dir, &id, false, &mem), RC_OK);
        assert_int_equal(rc_journal_has_shard(j, 0), cut >= 6 * RECORD);
        assert_int_equal(rc_journal_add(j, 5, &again, &err), RC_OK); /* on a record's border */
        rc_journal_close(&j);
        assert_int_equal(open_journal(&j, &dir, &id, false, &mem), RC_OK);
        assert_int_equal(rc_journal_result(j, 5)->verdict.tiles, 99);
        assert_int_equal(rc_journal_has_shard(j, 0), cut >= 6 * RECORD);
        rc_journal_close(&j);
    }
    assert_int_equal(mem.used, 0);
    fx_close(&dir);
}

/* Nobody's link is followed, and what cannot be read is not taken for empty. */
static void test_journal_is_a_file(void **state)
{
    const rc_journal_id id = identity(1, 1);
    fx_dir dir = fx_open(NULL);
    rc_mem mem = { 0 };
    rc_journal *j;

    (void)state;
    fx_text(&dir, "victim", "precious");
    fx_link(&dir, "victim", JOURNAL);
    assert_int_equal(open_journal(&j, &dir, &id, false, &mem), RC_E_CANTCREATE);
    assert_int_equal(mem.used, 0);
    fx_close(&dir);
}

/* ------------------------------------------------------------------ plan */

typedef struct planned {
    fx_dir dir;
    rc_mem mem;
    rc_ckpt *ckpt;
    rc_model *model;
} planned;

static void open_tiny(planned *p)
{
    const rc_synth_options o = { .like = "tiny", .layers = 2, .experts = 2, .threads = 2 };
    rc_synth_result made;
    rc_source *src;
    rc_err err;

    memset(p, 0, sizeof *p);
    p->dir = fx_open(NULL);
    if (rc_synth(fx_path(&p->dir, "src"), &o, &made, &p->mem, &err) != RC_OK ||
        rc_source_open(&src, fx_path(&p->dir, "src"), NULL, &p->mem, &err) != RC_OK ||
        rc_ckpt_open(&p->ckpt, src, NULL, &p->mem, &err) != RC_OK ||
        rc_model_new(&p->model, p->ckpt, &p->mem, &err) != RC_OK)
        fail_msg("%s", err.msg);
}

static void close_tiny(planned *p)
{
    rc_model_free(&p->model);
    rc_ckpt_close(&p->ckpt);
    assert_int_equal(p->mem.used, 0);
    fx_close(&p->dir);
}

static void add_place(uint64_t *sum, uint64_t *end, const rc_dest *d)
{
    if (!d->name)
        return;
    *sum += d->nbytes;
    if (d->begin + d->nbytes > *end)
        *end = d->begin + d->nbytes;
    assert_int_equal(d->begin % (rc_dtype_bits(d->dtype) / 8), 0);
}

static void check_plan(const rc_plan *plan, uint64_t shard_size)
{
    uint64_t tensor_bytes = 0;
    size_t job = 0;

    for (size_t s = 0; s < rc_plan_shards(plan); s++) {
        const rc_plan_shard *shard = rc_plan_shard_at(plan, s);
        uint64_t sum = 0, end = shard->head_len;
        const size_t first = job;

        for (; job < rc_plan_jobs(plan) && rc_plan_job(plan, job)->shard == s; job++) {
            for (unsigned part = 0; part < RC_PART_COUNT; part++)
                add_place(&sum, &end, &rc_plan_job(plan, job)->out[part]);
        }
        assert_int_equal(job - first, shard->jobs);
        assert_int_equal(sum, shard->tensor_bytes);
        assert_int_equal(shard->head_len + sum, shard->nbytes); /* tiled: no gap, no overlap */
        assert_int_equal(end, shard->nbytes);
        assert_true(!shard_size || sum <= shard_size || shard->jobs == 1);
        tensor_bytes += sum;
    }
    assert_int_equal(job, rc_plan_jobs(plan));
    assert_int_equal(tensor_bytes, rc_plan_tensor_bytes(plan));
}

static void test_plan(void **state)
{
    static const uint64_t sizes[] = { 0, 1, 100000, 1 << 20, UINT64_MAX };
    planned p;

    (void)state;
    open_tiny(&p);
    for (unsigned to = RC_TO_FP8; to <= RC_TO_BF16; to++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const rc_recipe recipe = { .target = (rc_plan_target)to,
                                       .scale_dtype = RC_DTYPE_F32,
                                       .draft = i & 1 ? RC_DRAFT_DROP : RC_DRAFT_KEEP,
                                       .shard_size = sizes[i] };
            rc_plan *plan;
            rc_err err;

            assert_int_equal(rc_plan_new(&plan, p.model, &recipe, NULL, &p.mem, &err), RC_OK);
            check_plan(plan, sizes[i]);
            rc_plan_free(&plan);
        }
    close_tiny(&p);
}

static void test_plan_globs(void **state)
{
    static const char *const weight[] = { "layers.0.ffn.experts.0.w1.weight" };
    static const char *const scale[] = { "layers.0.ffn.experts.0.w1.scale" };
    rc_recipe recipe = { .target = RC_TO_FP8, .scale_dtype = RC_DTYPE_F32, .nglobs = 1 };
    const char *many[64];
    char text[160];
    rc_plan *plan;
    planned p;
    rc_err err;

    (void)state;
    open_tiny(&p);
    recipe.globs = weight; /* its scale comes along */
    assert_int_equal(rc_plan_new(&plan, p.model, &recipe, NULL, &p.mem, &err), RC_OK);
    assert_int_equal(rc_plan_tensors(plan), 2);
    rc_plan_free(&plan);
    recipe.globs = scale; /* alone, a scale is nothing */
    assert_int_equal(rc_plan_new(&plan, p.model, &recipe, NULL, &p.mem, &err), RC_E_USAGE);
    assert_null(plan);
    for (unsigned i = 0; i < 64; i++)
        many[i] = "a-long-pattern-*";
    recipe.globs = many;
    recipe.nglobs = 64;
    assert_int_equal(strlen(rc_recipe_text(&recipe, text, sizeof text)), sizeof text - 1);
    close_tiny(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cast_fp4),
        cmocka_unit_test(test_cast_fp8),
        cmocka_unit_test(test_cast_refuses),
        cmocka_unit_test(test_cast_copy),
        cmocka_unit_test(test_chunks_of_a_huge_tensor),
        cmocka_unit_test(test_journal_replays),
        cmocka_unit_test(test_journal_damaged),
        cmocka_unit_test(test_journal_is_a_file),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_plan_globs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
