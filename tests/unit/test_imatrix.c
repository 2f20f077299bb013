/* tests/unit/test_imatrix.c - importance matrices of both formats, sound and not. */
#include "fixture.h"

#include <math.h>

#include "formats/imatrix.h"
#include "tests/unit/gguf_bytes.h"

static char said[512];

static void on_warning(void *ctx, const rc_err *w)
{
    (void)ctx;
    snprintf(said, sizeof said, "%s", w->msg);
}

static const rc_log sink = { .warn = on_warning };

static void gb_f32(gb *b, float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    gb_u32(b, bits);
}

static rc_code parse_n(rc_imatrix **out, const gb *b, size_t n, rc_mem *mem, rc_err *err)
{
    uint8_t *exact = malloc(n ? n : 1);
    rc_code rc;

    said[0] = '\0';
    memset(err, 0, sizeof *err);
    if (n)
        memcpy(exact, b->p, n);
    rc = rc_imatrix_parse(out, exact, n, &sink, mem, err);
    free(exact); /* nothing may point into it */
    assert_int_equal(err->code, rc);
    assert_int_equal(*out != NULL, rc == RC_OK);
    if (rc != RC_OK)
        assert_int_equal(mem->used, 0);
    return rc;
}

static rc_imatrix *parse(gb *b, rc_mem *mem)
{
    rc_err err;
    rc_imatrix *m;

    if (parse_n(&m, b, b->n, mem, &err) != RC_OK)
        fail_msg("%s: %s", err.tensor, err.msg);
    gb_free(b);
    return m;
}

/* Ask for a matrix of two columns; the values only when they are there. */
static rc_imatrix_found get(const rc_imatrix *m, const char *name, uint64_t row, uint64_t rows,
                            float v[2])
{
    rc_imatrix_found found, again;
    rc_err err;

    v[0] = v[1] = -1.0f;
    assert_int_equal(rc_imatrix_get(m, name, row, rows, 2, NULL, &again, &err), RC_OK);
    assert_int_equal(rc_imatrix_get(m, name, row, rows, 2, v, &found, &err), RC_OK);
    assert_int_equal(found, again);
    return found;
}

static void expect(const rc_imatrix *m, const char *name, uint64_t row, uint64_t rows, float a,
                   float b)
{
    float v[2];

    assert_int_equal(get(m, name, row, rows, v), RC_IMATRIX_FOUND);
    assert_true(v[0] == a && v[1] == b);
}

/* -------------------------------------------------------------------- legacy */

static void dat_entry(gb *b, const char *name, int32_t ncall, int32_t nval)
{
    gb_u32(b, (uint32_t)strlen(name));
    gb_raw(b, name, strlen(name));
    gb_u32(b, (uint32_t)ncall);
    gb_u32(b, (uint32_t)nval);
}

static void dat_sound(gb *b)
{
    gb_u32(b, 5);
    dat_entry(b, "plain", 4, 2);
    gb_f32(b, 2.0f);
    gb_f32(b, 0.0f);
    dat_entry(b, "stack", 3, 6); /* its second was not seen */
    for (unsigned i = 0; i < 6; i++)
        gb_f32(b, i < 2 ? 6.0f : i < 4 ? 3.0f : 1.5f);
    dat_entry(b, "unscaled", 0, 2);
    gb_f32(b, 1.0f);
    gb_f32(b, 0.5f);
    dat_entry(b, "stack.expert.2", 1, 2);
    gb_f32(b, 8.0f);
    gb_f32(b, 9.0f);
    dat_entry(b, "only.expert_0", 1, 2);
    gb_f32(b, 7.0f);
    gb_f32(b, 7.0f);
}

static void test_imatrix_legacy(void **state)
{
    rc_mem mem = { 0 };
    gb b = { 0 };
    rc_imatrix *m;
    float v[2];

    (void)state;
    dat_sound(&b);
    gb_u32(&b, 12);
    gb_u32(&b, 5);
    gb_raw(&b, "a.txt", 5);
    m = parse(&b, &mem);
    assert_int_equal(rc_imatrix_count(m), 5);
    assert_string_equal(rc_imatrix_at(m, 1)->name, "stack");
    assert_int_equal(rc_imatrix_at(m, 1)->values, 6);
    assert_int_equal(rc_imatrix_at(m, 1)->cols, 0);
    assert_int_equal(rc_imatrix_chunks(m), 12);
    assert_string_equal(rc_imatrix_dataset(m), "a.txt");
    expect(m, "plain", 0, 1, 0.5f, 0.0f);
    expect(m, "unscaled", 0, 1, 1.0f, 0.5f);
    expect(m, "stack", 0, 3, 2.0f, 2.0f);
    assert_int_equal(get(m, "stack", 1, 3, v), RC_IMATRIX_UNSEEN);
    expect(m, "stack", 2, 3, 8.0f, 9.0f); /* its own entry goes first */
    expect(m, "only", 0, 3, 7.0f, 7.0f);
    assert_int_equal(get(m, "only", 1, 3, v), RC_IMATRIX_ABSENT);
    assert_int_equal(get(m, "nothing", 0, 1, v), RC_IMATRIX_ABSENT);
    assert_int_equal(get(m, "plain", 0, 3, v), RC_IMATRIX_MISMATCH);
    assert_int_equal(get(m, "stack", 0, 1, v), RC_IMATRIX_MISMATCH);
    assert_int_equal(get(m, "stack", 3, 3, v), RC_IMATRIX_MISMATCH);
    assert_int_equal(get(m, "stack", 0, UINT64_MAX, v), RC_IMATRIX_MISMATCH);
    rc_imatrix_free(&m);
    assert_null(m);
    assert_int_equal(mem.used, 0);
}

static void test_imatrix_legacy_tails(void **state)
{
    rc_mem mem = { 0 };
    rc_err err;
    rc_imatrix *m;
    gb b = { 0 };

    (void)state;
    dat_sound(&b);
    assert_int_equal(parse_n(&m, &b, b.n, &mem, &err), RC_OK); /* none */
    assert_string_equal(rc_imatrix_dataset(m), "");
    rc_imatrix_free(&m);
    gb_u32(&b, 3);
    assert_int_equal(parse_n(&m, &b, b.n, &mem, &err), RC_OK); /* chunks only */
    assert_int_equal(rc_imatrix_chunks(m), 3);
    rc_imatrix_free(&m);
    gb_u32(&b, 1);
    assert_int_equal(parse_n(&m, &b, b.n, &mem, &err), RC_E_DATA);
    gb_raw(&b, "x", 1);
    assert_int_equal(parse_n(&m, &b, b.n, &mem, &err), RC_OK);
    rc_imatrix_free(&m);
    gb_raw(&b, "y", 1);
    assert_int_equal(parse_n(&m, &b, b.n, &mem, &err), RC_E_DATA);
    assert_non_null(strstr(err.msg, "does not end"));
    gb_free(&b);
}

/* Damage: `n` bytes at `at` of one sound entry become `v`. */
static void test_imatrix_legacy_refuses(void **state)
{
    /*  0 entries, 4 name length, 8 "plain", 13 ncall, 17 nval, 21 and 25 values */
    static const struct {
        size_t at;
        uint32_t v;
        uint64_t offset;
        const char *says;
    } cases[] = {
        { 0, 0, 0, "number of entries" },
        { 0, UINT32_MAX, 0, "number of entries" },
        { 0, 2, 29, "ends in the length of a name" },
        { 4, 0, 4, "length of a name" },
        { 4, 4097, 4, "too long" },
        { 4, INT32_MAX, 4, "too long" },
        { 4, 4096, 29, "ends in a name" },
        { 8, 0, 8, "NUL" },
        { 13, UINT32_MAX, 13, "number of calls" },
        { 17, 0, 17, "number of values" },
        { 17, UINT32_MAX, 17, "number of values" },
        { 17, 3, 29, "values of an entry" },
        { 17, INT32_MAX, 29, "values of an entry" },
        { 21, 0x7fc00000, 21, "value 0 is not finite" },
        { 25, 0x7f800000, 25, "value 1 is not finite" },
        { 25, 0xff800000, 25, "value 1 is not finite" },
        { 25, 0xbf800000, 25, "value 1 is negative" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rc_mem mem = { .limit = 4u << 20 };
        rc_err err;
        rc_imatrix *m;
        gb b = { 0 };

        gb_u32(&b, 1);
        dat_entry(&b, "plain", 4, 2);
        gb_f32(&b, 2.0f);
        gb_f32(&b, 3.0f);
        assert_int_equal(b.n, 29);
        memcpy(b.p + cases[i].at, &cases[i].v, 4);
        assert_int_equal(parse_n(&m, &b, b.n, &mem, &err), RC_E_DATA);
        if (err.offset != cases[i].offset || !strstr(err.msg, cases[i].says))
            print_error("case %zu: @%" PRIu64 ": %s\n", i, err.offset, err.msg);
        assert_int_equal(err.offset, cases[i].offset);
        assert_non_null(strstr(err.msg, cases[i].says));
        gb_free(&b);
    }
}

static void test_imatrix_legacy_name_twice(void **state)
{
    rc_mem mem = { 0 };
    rc_err err;
    rc_imatrix *m;
    gb b = { 0 };

    (void)state;
    gb_u32(&b, 2);
    for (unsigned i = 0; i < 2; i++) {
        dat_entry(&b, "twin", 1, 1);
        gb_f32(&b, 1.0f);
    }
    assert_int_equal(parse_n(&m, &b, b.n, &mem, &err), RC_E_DATA);
    assert_string_equal(err.tensor, "twin");
    assert_int_equal(err.offset, 4 + 20);
    gb_free(&b);
}

/* ---------------------------------------------------------------------- GGUF */

/* Tensor data of a GGUF under construction: each tensor padded to 32. */
static void put_floats(gb *b, const float *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gb_f32(b, v[i]);
    gb_pad(b, 32);
}

typedef struct pair {
    const char *sums, *counts; /* names of tensors */
    rc_dtype dtype;
    uint64_t rows, cols, ncounts;
    float v[6], n[3];
} pair;

static void gguf_of(gb *b, const char *type, const pair *p, size_t n)
{
    gb_head(b, 2 * n, 3);
    gb_kv_str(b, "general.type", type);
    gb_kv_u32(b, "imatrix.chunk_count", 77);
    gb_kv_arr(b, "imatrix.datasets", RC_GGUF_STR, 2);
    gb_str(b, "first.txt");
    gb_str(b, "second.txt");
    for (size_t i = 0; i < n; i++) {
        const uint64_t sums[2] = { p[i].rows, p[i].cols }, counts[2] = { p[i].ncounts, 1 };

        gb_tensor(b, p[i].sums, p[i].dtype, 2, sums);
        gb_tensor(b, p[i].counts, RC_DTYPE_F32, 2, counts);
    }
    gb_pad(b, 32);
    for (size_t i = 0; i < n; i++) {
        put_floats(b, p[i].v, p[i].rows * p[i].cols);
        put_floats(b, p[i].n, p[i].ncounts);
    }
}

static const pair stack = { "stack.in_sum2",      "stack.counts", RC_DTYPE_F32, 3, 2, 3,
                            { 6, 9, 5, 5, 1, 1 }, { 3, 0, 1 } };
static const pair plain = { "plain.in_sum2", "plain.counts", RC_DTYPE_F32, 1, 2, 1,
                            { 10, 20 },      { 10 } };
static const pair shared = {
    "shared.in_sum2", "shared.counts", RC_DTYPE_F32, 3, 2, 1, { 2, 4, 6, 8, 10, 12 }, { 2 }
};

static void test_imatrix_gguf(void **state)
{
    const pair all[] = { stack, plain, shared };
    rc_mem mem = { 0 };
    gb b = { 0 };
    rc_imatrix *m;
    float v[2];

    (void)state;
    gguf_of(&b, "imatrix", all, 3);
    m = parse(&b, &mem);
    assert_int_equal(rc_imatrix_count(m), 3);
    assert_string_equal(rc_imatrix_at(m, 0)->name, "stack");
    assert_int_equal(rc_imatrix_at(m, 0)->rows, 3);
    assert_int_equal(rc_imatrix_at(m, 0)->cols, 2);
    assert_int_equal(rc_imatrix_at(m, 0)->values, 6);
    assert_int_equal(rc_imatrix_chunks(m), 77);
    assert_string_equal(rc_imatrix_dataset(m), "first.txt");
    expect(m, "stack", 0, 3, 2.0f, 3.0f);
    assert_int_equal(get(m, "stack", 1, 3, v), RC_IMATRIX_UNSEEN);
    expect(m, "stack", 2, 3, 1.0f, 1.0f); /* counted: no stand-in */
    expect(m, "plain", 0, 1, 1.0f, 2.0f);
    expect(m, "shared", 2, 3, 5.0f, 6.0f);
    assert_int_equal(get(m, "stack", 0, 2, v), RC_IMATRIX_MISMATCH);
    assert_int_equal(get(m, "stack.in_sum2", 0, 3, v), RC_IMATRIX_ABSENT);
    assert_string_equal(said, "");
    rc_imatrix_free(&m);
    assert_int_equal(mem.used, 0);
}

static void test_imatrix_gguf_refuses(void **state)
{
    static const struct {
        const char *type;
        pair of;
        const char *tensor, *says;
    } cases[] = {
        { "model",
          { "a.in_sum2", "a.counts", RC_DTYPE_F32, 1, 2, 1, { 1 }, { 1 } },
          "",
          "not an imatrix" },
        { "imatrix",
          { "a.in_sum2", "b.counts", RC_DTYPE_F32, 1, 2, 1, { 1 }, { 1 } },
          "a",
          "sums without counts" },
        { "imatrix",
          { "a", "a.counts", RC_DTYPE_F32, 1, 2, 1, { 1 }, { 1 } },
          "a",
          "counts without sums" },
        { "imatrix",
          { ".in_sum2", ".counts", RC_DTYPE_F32, 1, 2, 1, { 1 }, { 1 } },
          "",
          "no entries" },
        { "imatrix",
          { "a.in_sum2", "a.counts", RC_DTYPE_I32, 1, 2, 1, { 1 }, { 1 } },
          "a.in_sum2",
          "must be F32" },
        { "imatrix",
          { "a.in_sum2", "a.counts", RC_DTYPE_F32, 1, 3, 2, { 1 }, { 1 } },
          "a",
          "do not divide" },
        { "imatrix",
          { "a.in_sum2", "a.counts", RC_DTYPE_F32, 1, 2, 1, { -1 }, { 1 } },
          "a",
          "value 0 is negative" },
        { "imatrix",
          { "a.in_sum2", "a.counts", RC_DTYPE_F32, 1, 2, 1, { 1, NAN }, { 1 } },
          "a",
          "value 1 is not finite" },
        { "imatrix",
          { "a.in_sum2", "a.counts", RC_DTYPE_F32, 1, 2, 1, { 1 }, { -1 } },
          "a.counts",
          "count 0" },
        { "imatrix",
          { "a.in_sum2", "a.counts", RC_DTYPE_F32, 1, 2, 1, { 1 }, { NAN } },
          "a.counts",
          "count 0" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rc_mem mem = { 0 };
        rc_err err;
        rc_imatrix *m;
        gb b = { 0 };

        gguf_of(&b, cases[i].type, &cases[i].of, 1);
        assert_int_equal(parse_n(&m, &b, b.n, &mem, &err), RC_E_DATA);
        if (!strstr(err.msg, cases[i].says))
            print_error("case %zu: %s\n", i, err.msg);
        assert_non_null(strstr(err.msg, cases[i].says));
        assert_string_equal(err.tensor, cases[i].tensor);
        gb_free(&b);
    }
}

/* ---------------------------------------------------------------------- both */

static void test_imatrix_cut_everywhere(void **state)
{
    (void)state;
    for (unsigned gguf = 0; gguf < 2; gguf++) {
        gb b = { 0 };

        if (gguf)
            gguf_of(&b, "imatrix", &stack, 1);
        else
            dat_sound(&b);
        if (gguf)
            b.n -= 20; /* the padding of the last counts may be missing */
        for (size_t n = 0; n < b.n; n++) {
            rc_mem mem = { 0 };
            rc_err err;
            rc_imatrix *m;

            assert_int_equal(parse_n(&m, &b, n, &mem, &err), RC_E_DATA);
            assert_true(err.offset == RC_NO_OFFSET || err.offset <= n);
        }
        gb_free(&b);
    }
}

static void test_imatrix_without_memory(void **state)
{
    (void)state;
    for (unsigned gguf = 0; gguf < 2; gguf++) {
        rc_code rc = RC_E_OS;
        gb b = { 0 };

        if (gguf)
            gguf_of(&b, "imatrix", &stack, 1);
        else
            dat_sound(&b);
        for (size_t k = 1; rc != RC_OK; k++) {
            rc_mem mem = { .fail_at = k };
            rc_err err;
            rc_imatrix *m;

            rc = parse_n(&m, &b, b.n, &mem, &err);
            assert_true(rc == RC_OK || rc == RC_E_OS);
            rc_imatrix_free(&m);
            assert_int_equal(mem.used, 0);
        }
        gb_free(&b);
    }
}

/* Any change of a name or a value is another imatrix. */
static void test_imatrix_digest(void **state)
{
    rc_mem mem = { 0 };
    rc_err err;
    rc_imatrix *m;
    uint64_t was, again;
    gb b = { 0 };

    (void)state;
    dat_sound(&b);
    assert_int_equal(parse_n(&m, &b, b.n, &mem, &err), RC_OK);
    was = rc_imatrix_digest(m);
    rc_imatrix_free(&m);
    b.p[8] = 'q'; /* a name */
    assert_int_equal(parse_n(&m, &b, b.n, &mem, &err), RC_OK);
    again = rc_imatrix_digest(m);
    rc_imatrix_free(&m);
    assert_true(was != again);
    b.p[8] = 'p';
    b.p[21] ^= 1; /* a value */
    assert_int_equal(parse_n(&m, &b, b.n, &mem, &err), RC_OK);
    assert_true(rc_imatrix_digest(m) != was);
    rc_imatrix_free(&m);
    gb_free(&b);
}

static void write_file(const char *path, const gb *b)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(b->p, 1, b->n, f), b->n);
    fclose(f);
}

static void test_imatrix_file(void **state)
{
    const fx_dir dir = fx_open(NULL);
    char path[300];
    rc_mem mem = { .limit = 4u << 20 };
    rc_err err;
    rc_imatrix *m;
    rc_imatrix_found found;
    gb b = { 0 };
    float v[2];

    (void)state;
    snprintf(path, sizeof path, "%s/i.dat", dir.path);
    assert_int_equal(rc_imatrix_open(&m, path, &sink, &mem, &err), RC_E_NOINPUT);
    assert_string_equal(err.file, path);
    assert_int_equal(rc_imatrix_open(&m, dir.path, &sink, &mem, &err), RC_E_NOINPUT);
    dat_sound(&b);
    write_file(path, &b);
    assert_int_equal(rc_imatrix_open(&m, path, &sink, &mem, &err), RC_OK);
    expect(m, "plain", 0, 1, 0.5f, 0.0f);
    /* somebody makes it shorter while we use it */
    assert_int_equal(truncate(path, 30), 0);
    assert_int_equal(rc_imatrix_get(m, "stack", 0, 3, 2, v, &found, &err), RC_E_INTEGRITY);
    assert_string_equal(err.file, path);
    rc_imatrix_free(&m);
    assert_int_equal(rc_imatrix_open(&m, path, &sink, &mem, &err), RC_E_DATA);
    assert_string_equal(err.file, path);
    assert_int_equal(mem.used, 0);
    /* larger than any imatrix: decided before anything is read */
    assert_int_equal(truncate(path, (off_t)RC_IMATRIX_MAX_BYTES + 1), 0);
    assert_int_equal(rc_imatrix_open(&m, path, &sink, &mem, &err), RC_E_LIMIT);
    gb_free(&b);
    fx_remove(dir.path);
}

/* Values stay in the file: 64 MiB of them cost the index and one buffer. */
static void test_imatrix_memory(void **state)
{
    enum { EXPERTS = 256, COLS = 4096, STACKS = 16 };
    const fx_dir dir = fx_open(NULL);
    char path[300], name[32];
    rc_mem mem = { .limit = 3u << 20 };
    rc_err err;
    rc_imatrix *m;
    rc_imatrix_found found;
    gb b = { 0 };
    FILE *f;
    float *v = calloc(COLS, sizeof *v);

    (void)state;
    snprintf(path, sizeof path, "%s/i.dat", dir.path);
    f = fopen(path, "wb");
    assert_non_null(f);
    gb_u32(&b, STACKS);
    fwrite(b.p, 1, b.n, f);
    for (unsigned i = 0; i < STACKS; i++) {
        b.n = 0;
        snprintf(name, sizeof name, "blk.%u.ffn_gate_exps.weight", i);
        dat_entry(&b, name, 2, EXPERTS * COLS);
        fwrite(b.p, 1, b.n, f);
        fseek(f, 4L * EXPERTS * COLS, SEEK_CUR); /* a hole: zeros */
    }
    fclose(f);
    assert_int_equal(truncate(path, 4 + STACKS * (12L + 4L * EXPERTS * COLS) +
                                        10L * (long)strlen("blk.0.ffn_gate_exps.weight") +
                                        6L * (long)strlen("blk.10.ffn_gate_exps.weight")),
                     0);
    assert_int_equal(rc_imatrix_open(&m, path, &sink, &mem, &err), RC_OK);
    assert_int_equal(rc_imatrix_get(m, name, EXPERTS - 1, EXPERTS, COLS, v, &found, &err), RC_OK);
    assert_int_equal(found, RC_IMATRIX_FOUND);
    assert_true(mem.peak < (2u << 20));
    rc_imatrix_free(&m);
    free(v);
    gb_free(&b);
    fx_remove(dir.path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_imatrix_legacy),
        cmocka_unit_test(test_imatrix_legacy_tails),
        cmocka_unit_test(test_imatrix_legacy_refuses),
        cmocka_unit_test(test_imatrix_legacy_name_twice),
        cmocka_unit_test(test_imatrix_gguf),
        cmocka_unit_test(test_imatrix_gguf_refuses),
        cmocka_unit_test(test_imatrix_cut_everywhere),
        cmocka_unit_test(test_imatrix_without_memory),
        cmocka_unit_test(test_imatrix_digest),
        cmocka_unit_test(test_imatrix_file),
        cmocka_unit_test(test_imatrix_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
