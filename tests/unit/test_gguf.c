/* tests/unit/test_gguf.c - heads that lie, one fault at a time (faults D01 to D26, D33). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/gguf_bytes.h"

typedef struct warnings {
    unsigned n;
    char last[300];
} warnings;

static void on_warning(void *ctx, const rc_err *w)
{
    warnings *got = ctx;

    got->n++;
    snprintf(got->last, sizeof got->last, "%s", w->msg);
}

/* Parse a file of `file_len` bytes of which only the first `len` need exist, in 1 MiB of
 * memory: no claim may cost more. The bytes are asked for as a reader would. */
static rc_code parse_in(const gb *b, uint64_t file_len, rc_gguf **out, rc_mem *mem, rc_err *err,
                        warnings *w)
{
    const rc_log log = { .warn = on_warning, .ctx = w };
    uint64_t need = 0;
    size_t have = b->n < 24 ? b->n : 24;
    uint8_t *head;
    rc_code rc;

    *out = NULL;
    *w = (warnings){ 0 };
    memset(err, 0, sizeof *err);
    for (;;) {
        uint8_t *exact = malloc(have ? have : 1); /* a sanitizer sees the byte too far */

        memcpy(exact, b->p, have);
        rc = rc_gguf_need(exact, have, file_len, &need, err);
        free(exact);
        if (rc != RC_OK || need <= have)
            break;
        assert_true(need <= file_len);
        if (need > b->n)
            return RC_E_INTERNAL; /* more than the test has: no fault so far */
        have = (size_t)need;
    }
    /* what the first pass refuses, the second does too */
    head = rc_mem_get(mem, have ? have : 1);
    assert_non_null(head);
    memcpy(head, b->p, have);
    {
        const rc_code first = rc;

        rc = rc_gguf_new(out, head, have, file_len, &log, mem, err);
        if (first != RC_OK)
            assert_int_equal(rc, first);
    }
    if (rc != RC_OK) {
        assert_null(*out);
        assert_int_equal(err->code, rc);
        assert_true(err->msg[0]);
        assert_true(err->offset == RC_NO_OFFSET || err->offset <= file_len);
        rc_mem_put(mem, head);
        assert_int_equal(mem->used, 0);
    }
    return rc;
}

static rc_code parse(const gb *b, rc_err *err, warnings *w)
{
    rc_mem mem = { .limit = 1u << 20 };
    rc_gguf *g;
    const rc_code rc = parse_in(b, b->n, &g, &mem, err, w);

    if (rc == RC_OK) { /* whatever is accepted tiles the file */
        uint64_t at = rc_gguf_data_off(g);

        for (size_t i = 0; i < rc_gguf_tensors(g); i++) {
            const rc_gguf_tensor *t = rc_gguf_tensor_at(g, i);

            assert_true(t->begin >= at);
            at = t->begin + t->nbytes;
        }
        assert_true(at <= b->n);
    }
    rc_gguf_free(&g);
    assert_int_equal(mem.used, 0);
    return rc;
}

static void reject_at(gb *b, rc_code want, uint64_t offset, const char *says)
{
    warnings w;
    rc_err err;
    const rc_code rc = parse(b, &err, &w);

    if (rc != want || (offset != RC_NO_OFFSET && err.offset != offset) || !strstr(err.msg, says))
        fail_msg("got %d @%" PRIu64 " '%s', want %d @%" PRIu64 " '%s'", rc, err.offset, err.msg,
                 want, offset, says);
    gb_free(b);
}

static void reject(gb *b, rc_code want, const char *says)
{
    reject_at(b, want, RC_NO_OFFSET, says);
}

static void accept(gb *b, unsigned warned)
{
    warnings w;
    rc_err err;

    if (parse(b, &err, &w) != RC_OK)
        fail_msg("%s (want %s, got %s)", err.msg, err.want, err.got);
    assert_int_equal(w.n, warned);
    gb_free(b);
}

/* One of everything. */
static gb sound(void)
{
    gb b = { 0 };

    gb_head(&b, 3, 9);
    gb_kv_str(&b, "general.architecture", "deepseek4");
    gb_kv_u32(&b, "general.alignment", 32);
    gb_kv_f32(&b, "a.f32", 0.5f);
    gb_key(&b, "a.bool", RC_GGUF_BOOL);
    gb_le(&b, 1, 1);
    gb_key(&b, "a.i8", RC_GGUF_I8);
    gb_le(&b, 0xff, 1);
    gb_key(&b, "a.f64", RC_GGUF_F64);
    gb_u64(&b, 0x3ff8000000000000);
    gb_kv_arr(&b, "a.strings", RC_GGUF_STR, 3);
    gb_str(&b, "one");
    gb_str(&b, "");
    gb_str(&b, "three");
    gb_kv_arr(&b, "a.numbers", RC_GGUF_I32, 3);
    gb_u32(&b, 0);
    gb_u32(&b, 4);
    gb_u32(&b, UINT32_MAX);
    gb_kv_arr(&b, "a.floats", RC_GGUF_F32, 0);
    gb_tensor(&b, "a.weight", RC_DTYPE_F32, 2, (uint64_t[]){ 2, 5 });
    gb_tensor(&b, "b.weight", RC_DTYPE_Q8_0, 3, (uint64_t[]){ 2, 3, 64 });
    gb_tensor(&b, "c.weight", RC_DTYPE_MXFP4, 1, (uint64_t[]){ 32 });
    gb_data(&b);
    return b;
}

static void test_gguf_reads(void **state)
{
    gb b = sound();
    rc_mem mem = { 0 };
    warnings w;
    rc_err err;
    rc_gguf *g;
    const rc_gguf_kv *kv;
    const rc_gguf_tensor *t;
    const uint8_t *at;
    uint64_t u, i = 0;
    double f;
    bool yes = false;
    char s[6];
    const char *str;
    size_t len;

    (void)state;
    assert_int_equal(parse_in(&b, b.n, &g, &mem, &err, &w), RC_OK);
    assert_int_equal(w.n, 0);
    assert_int_equal(rc_gguf_kvs(g), 9);
    assert_string_equal(rc_gguf_kv_at(g, 8)->key, "a.floats");
    assert_null(rc_gguf_find(g, "nothing"));
    assert_true(rc_gguf_get_str(g, "general.architecture", s, sizeof s));
    assert_string_equal(s, "deeps"); /* cut */
    assert_true(rc_gguf_get_u64(g, "general.alignment", &u));
    assert_int_equal(u, 32);
    assert_false(rc_gguf_get_u64(g, "a.i8", &u)); /* -1 */
    assert_false(rc_gguf_get_u64(g, "a.f32", &u));
    assert_false(rc_gguf_get_u64(g, "a.bool", &u));
    assert_false(rc_gguf_get_str(g, "a.f32", s, sizeof s));
    assert_true(rc_gguf_get_f64(g, "a.f32", &f) && f == 0.5);
    assert_true(rc_gguf_get_f64(g, "a.f64", &f) && f == 1.5);
    assert_false(rc_gguf_get_f64(g, "general.alignment", &f));
    assert_true(rc_gguf_get_bool(g, "a.bool", &yes) && yes);
    assert_false(rc_gguf_get_bool(g, "a.i8", &yes));

    kv = rc_gguf_find(g, "a.numbers");
    assert_true(rc_gguf_arr_u64(kv, 1, &u));
    assert_int_equal(u, 4);
    assert_false(rc_gguf_arr_u64(kv, 2, &u)); /* negative */
    assert_false(rc_gguf_arr_u64(kv, 3, &u)); /* past the end */
    assert_false(rc_gguf_arr_f64(kv, 0, &f));
    assert_int_equal(rc_gguf_find(g, "a.floats")->count, 0);

    kv = rc_gguf_find(g, "a.strings");
    at = kv->data;
    assert_true(rc_gguf_arr_str(kv, &at, &i, &str, &len));
    assert_memory_equal(str, "one", 3);
    assert_true(rc_gguf_arr_str(kv, &at, &i, &str, &len));
    assert_int_equal(len, 0);
    assert_true(rc_gguf_arr_str(kv, &at, &i, &str, &len));
    assert_int_equal(len, 5);
    assert_false(rc_gguf_arr_str(kv, &at, &i, &str, &len));

    assert_int_equal(rc_gguf_tensors(g), 3);
    assert_int_equal(rc_gguf_data_off(g) % 32, 0);
    t = rc_gguf_tensor_at(g, 0);
    assert_int_equal(t->begin, rc_gguf_data_off(g));
    assert_int_equal(t->nbytes, 40);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[1], 5);
    t = rc_gguf_tensor_at(g, 1);
    assert_string_equal(t->name, "b.weight");
    assert_int_equal(t->begin, rc_gguf_data_off(g) + 64);
    assert_int_equal(t->nbytes, 6 * 68);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[2], 64);
    assert_int_equal(t->type->dtype, RC_DTYPE_Q8_0);
    rc_gguf_free(&g);
    assert_int_equal(mem.used, 0);
    gb_free(&b);
}

/* D01, D26: cut at every byte. The padding of the last tensor alone may be missing. */
static void test_gguf_cut(void **state)
{
    gb b = sound();
    const size_t whole = b.n;

    (void)state;
    for (size_t n = 0; n < whole; n++) {
        warnings w;
        rc_err err;
        rc_code rc;

        b.n = n;
        rc = parse(&b, &err, &w);
        if (n >= whole - 15) { /* 17 bytes of 32 */
            assert_int_equal(rc, RC_OK);
            assert_int_equal(w.n, 1);
        } else {
            assert_int_equal(rc, RC_E_DATA);
            assert_true(err.offset <= n);
        }
    }
    gb_free(&b);
}

/* D33: any byte of the head may be anything. */
static void test_gguf_mutations(void **state)
{
    gb b = sound();

    (void)state;
    for (size_t i = 0; i < b.n - b.data; i++) {
        const uint8_t was = b.p[i];

        for (unsigned v = 0; v < 256; v += i < 24 ? 1 : 5) {
            warnings w;
            rc_err err;

            b.p[i] = (uint8_t)v;
            (void)parse(&b, &err, &w);
        }
        b.p[i] = was;
    }
    gb_free(&b);
}

static gb start(const char magic[4], uint32_t version)
{
    gb b = { 0 };

    gb_raw(&b, magic, 4);
    gb_u32(&b, version);
    gb_u64(&b, 0);
    gb_u64(&b, 0);
    return b;
}

/* D02 */
static void test_gguf_magic(void **state)
{
    gb b = start("FUGG", 3);

    (void)state;
    reject_at(&b, RC_E_DATA, 0, "not a GGUF file");
    b = start("tjgg", 3);
    reject_at(&b, RC_E_UNSUPPORTED, 0, "before GGUF");
    b = start("GGML", 3);
    reject_at(&b, RC_E_UNSUPPORTED, 0, "before GGUF");
    b = start("GGUF", 0);
    reject_at(&b, RC_E_DATA, 4, "version 0");
    b = start("GGUF", 1);
    reject_at(&b, RC_E_UNSUPPORTED, 4, "version 1");
    b = start("GGUF", 2);
    reject_at(&b, RC_E_UNSUPPORTED, 4, "version 2");
    b = start("GGUF", 4);
    reject_at(&b, RC_E_UNSUPPORTED, 4, "version 4");
    b = start("GGUF", 0x03000000);
    reject_at(&b, RC_E_DATA, 4, "version 50331648");
    b = start("GGUF", 3);
    accept(&b, 0);
}

/* D03 */
static void test_gguf_counts(void **state)
{
    static const uint64_t counts[] = { 1, (uint64_t)1 << 40, (uint64_t)1 << 63, UINT64_MAX };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        gb b = { 0 };

        gb_head(&b, counts[i], 0);
        reject_at(&b, RC_E_DATA, 8, "more tensors");
        gb_head(&b, 0, counts[i]);
        reject_at(&b, RC_E_DATA, 16, "more keys");
    }
}

static gb one_key(uint64_t len, const char *key, size_t n)
{
    gb b = { 0 };

    gb_head(&b, 0, 1);
    gb_u64(&b, len);
    gb_raw(&b, key, n);
    gb_u32(&b, RC_GGUF_U8);
    gb_zeros(&b, 9);
    return b;
}

/* D04, D05 */
static void test_gguf_keys(void **state)
{
    static const uint64_t lens[] = { 65536, (uint64_t)1 << 63, UINT64_MAX };
    static const char odd[] = { '\0', '\n', '\x1b', ' ', '\x7f', '\x80', '\xff' };
    gb b = one_key(0, "key", 3);

    (void)state;
    reject_at(&b, RC_E_DATA, 24, "a key is empty");
    for (size_t i = 0; i < 3; i++) {
        b = one_key(lens[i], "key", 3);
        reject_at(&b, RC_E_DATA, 24, "a key is too long");
    }
    b = one_key(100, "key", 3);
    reject_at(&b, RC_E_DATA, 32, "file ends inside a key");
    for (size_t i = 0; i < sizeof odd; i++) {
        const char key[3] = { 'k', odd[i], 'y' };

        b = one_key(3, key, 3);
        reject_at(&b, RC_E_DATA, 33, "a byte that no name has");
    }
}

static gb one_value(uint32_t type)
{
    gb b = { 0 };

    gb_head(&b, 0, 1);
    gb_key(&b, "k", type);
    return b;
}

/* D06 to D09 */
static void test_gguf_values(void **state)
{
    static const uint32_t types[] = { 13, UINT32_MAX, INT32_MAX };
    static const uint64_t lens[] = { 9, (1 << 30) + 1, (uint64_t)1 << 63, UINT64_MAX };
    gb b;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        b = one_value(types[i]);
        gb_zeros(&b, 16);
        reject_at(&b, RC_E_DATA, 33, "no such type");
    }
    for (size_t i = 0; i < 4; i++) {
        b = one_value(RC_GGUF_STR);
        gb_u64(&b, lens[i]);
        gb_zeros(&b, 8); /* one too few */
        reject_at(&b, RC_E_DATA, 45, "file ends inside a string");
    }
    b = one_value(RC_GGUF_BOOL);
    gb_le(&b, 2, 1);
    reject_at(&b, RC_E_DATA, 37, "truth value");

    b = one_value(RC_GGUF_ARR);
    for (int i = 0; i < 10000; i++) {
        gb_u32(&b, RC_GGUF_ARR);
        gb_u64(&b, 1);
    }
    reject_at(&b, RC_E_DATA, 37, "array of arrays");
    b = one_value(RC_GGUF_ARR);
    gb_u32(&b, RC_GGUF_I32);
    gb_u64(&b, (uint64_t)1 << 60);
    gb_zeros(&b, 64);
    reject_at(&b, RC_E_DATA, 49, "file ends inside a value");
    b = one_value(RC_GGUF_ARR);
    gb_u32(&b, RC_GGUF_I64);
    gb_u64(&b, ((uint64_t)1 << 61) + 1); /* 8 bytes after the wrap */
    gb_zeros(&b, 64);
    reject_at(&b, RC_E_DATA, 49, "file ends inside a value");
    b = one_value(RC_GGUF_ARR);
    gb_u32(&b, RC_GGUF_STR);
    gb_u64(&b, 9);
    gb_zeros(&b, 64);
    reject_at(&b, RC_E_DATA, 49, "more strings");
    b = one_value(RC_GGUF_ARR);
    gb_u32(&b, RC_GGUF_STR);
    gb_u64(&b, 2);
    gb_str(&b, "long enough");
    gb_u64(&b, UINT64_MAX);
    reject_at(&b, RC_E_DATA, 76, "file ends inside a string of an array");
}

/* D10 */
static void test_gguf_doubles(void **state)
{
    gb b = { 0 };
    const uint64_t dims[] = { 8 };
    char want[40];
    size_t at;

    (void)state;
    gb_head(&b, 0, 3);
    gb_kv_u32(&b, "a.b", 1);
    gb_kv_u32(&b, "a.c", 1);
    at = b.n;
    gb_kv_u32(&b, "a.b", 1);
    reject_at(&b, RC_E_DATA, at, "a key twice, first at byte 24");

    gb_head(&b, 2, 0);
    gb_info(&b, "x", 0, 1, dims, 0);
    at = b.n;
    gb_info(&b, "x", 0, 1, dims, 32);
    b.data = 64;
    gb_data(&b);
    snprintf(want, sizeof want, "a tensor twice, first at byte %d", 24);
    reject_at(&b, RC_E_DATA, at, want);

    gb_head(&b, 2, 0);
    gb_info(&b, "x", 0, 1, dims, 0);
    gb_u64(&b, 3);
    gb_raw(&b, "x\0y", 3);
    gb_zeros(&b, 64);
    reject(&b, RC_E_DATA, "a byte that no name has");
}

/* D11 */
static void test_gguf_alignment(void **state)
{
    static const uint32_t bad[] = { 0, 3, 13, (uint32_t)1 << 31, UINT32_MAX };
    gb b = { 0 };

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        gb_head(&b, 0, 1);
        gb_kv_u32(&b, "general.alignment", bad[i]);
        reject_at(&b, RC_E_DATA, 24, "general.alignment");
    }
    gb_head(&b, 0, 1);
    gb_key(&b, "general.alignment", RC_GGUF_I32);
    gb_u32(&b, 32);
    reject_at(&b, RC_E_DATA, 24, "general.alignment");

    gb_head(&b, 2, 1);
    gb_kv_u32(&b, "general.alignment", 64);
    gb_info(&b, "x", 0, 1, (uint64_t[]){ 1 }, 0);
    gb_info(&b, "y", 0, 1, (uint64_t[]){ 1 }, 64);
    gb_pad(&b, 64);
    gb_zeros(&b, 128);
    accept(&b, 0);
}

/* A file of one tensor as told, with some data. */
static gb one_tensor(const char *name, uint32_t type, uint32_t rank, const uint64_t *dims,
                     uint64_t offset)
{
    gb b = { 0 };

    gb_head(&b, 1, 0);
    gb_info(&b, name, type, rank, dims, offset);
    gb_pad(&b, 32);
    gb_zeros(&b, 256);
    return b;
}

/* D12 */
static void test_gguf_names(void **state)
{
    static const char long_name[] =
        "0123456789012345678901234567890123456789012345678901234567890123";
    const uint64_t dims[] = { 64 };
    gb b = one_tensor("", 0, 1, dims, 0);

    (void)state;
    reject_at(&b, RC_E_DATA, 24, "name is empty");
    b = one_tensor(long_name, 0, 1, dims, 0);
    reject_at(&b, RC_E_DATA, 24, "name is too long");
    b = one_tensor(long_name + 1, 0, 1, dims, 0);
    accept(&b, 0);
    b = one_tensor("x", 0, 1, dims, 0);
    b.p[24 + 5] = 1; /* 2^40 */
    reject_at(&b, RC_E_DATA, 24, "name is too long");
}

/* D13 to D18 */
static void test_gguf_shapes(void **state)
{
    static const uint32_t ranks[] = { 0, 5, UINT32_MAX };
    static const uint64_t sizes[] = { 0, (uint64_t)1 << 63, UINT64_MAX };
    uint64_t dims[8] = { 2, 2, 2, 2, 2, 2, 2, 2 };
    gb b;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        b = one_tensor("x", 0, ranks[i], dims, 0);
        reject_at(&b, RC_E_DATA, 33, "number of dimensions");
    }
    for (unsigned d = 0; d < 4; d++)
        for (size_t i = 0; i < 3; i++) {
            dims[d] = sizes[i];
            b = one_tensor("x", 0, 4, dims, 0);
            reject_at(&b, RC_E_DATA, 37 + 8 * d, "a dimension that no tensor has");
            dims[d] = 2;
        }
    b = one_tensor("x", 0, 2, (uint64_t[]){ (uint64_t)1 << 32, (uint64_t)1 << 31 }, 0);
    reject(&b, RC_E_DATA, "more elements than can be counted");
    b = one_tensor("x", 0, 1, (uint64_t[]){ INT64_MAX }, 0); /* bytes wrap */
    reject(&b, RC_E_DATA, "more bytes than can be counted");
    b = one_tensor("x", 0, 1, (uint64_t[]){ ((uint64_t)1 << 62) - 1 }, 0); /* padding wraps */
    reject(&b, RC_E_DATA, "past the end of the file");
    b = one_tensor("x", 0, 1, (uint64_t[]){ (uint64_t)1 << 40 }, 0);
    reject(&b, RC_E_DATA, "past the end of the file");

    b = (gb){ 0 }; /* each may lie in a file, both may not; and their sum may wrap */
    gb_head(&b, 3, 0);
    for (int i = 0; i < 3; i++) {
        const char name[2] = { (char)('x' + i), '\0' };

        gb_info(&b, name, 24, 1, (uint64_t[]){ (uint64_t)1 << 62 }, (uint64_t)i << 62);
    }
    {
        rc_mem mem = { 0 };
        warnings w;
        rc_gguf *g;
        rc_err err;

        assert_int_equal(parse_in(&b, ((uint64_t)1 << 63) + 4096, &g, &mem, &err, &w), RC_E_DATA);
        assert_non_null(strstr(err.msg, "past the end of the file"));
        assert_string_equal(err.tensor, "z");
        gb_free(&b);
    }
}

/* D19, D20 */
static void test_gguf_types(void **state)
{
    static const uint32_t removed[] = { 4, 5, 31, 32, 33, 36, 37, 38, 43, 1000, INT32_MAX };
    const uint64_t dims[] = { 32 };
    gb b;

    (void)state;
    for (size_t i = 0; i < sizeof removed / sizeof *removed; i++) {
        b = one_tensor("x", removed[i], 1, dims, 0);
        reject_at(&b, RC_E_UNSUPPORTED, 45, "was removed from ggml or is newer");
    }
    b = one_tensor("x", UINT32_MAX, 1, dims, 0);
    reject_at(&b, RC_E_DATA, 45, "tensor type");
    b = one_tensor("x", (uint32_t)1 << 31, 1, dims, 0);
    reject_at(&b, RC_E_DATA, 45, "tensor type");
    b = one_tensor("x", 12, 1, dims, 0); /* Q4_K */
    reject_at(&b, RC_E_DATA, 24, "rows are not whole blocks of Q4_K");
}

/* D21 to D23, D25 */
static void test_gguf_offsets(void **state)
{
    static const uint64_t offsets[] = { 1, 32, 96, 65, 256, UINT64_MAX, (uint64_t)1 << 63 };
    const uint64_t dims[] = { 16 };
    gb b;

    (void)state;
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        size_t at;

        b = (gb){ 0 };
        gb_head(&b, 2, 0);
        gb_info(&b, "x", 0, 1, dims, 0);
        at = b.n + 8 + 1 + 4 + 8 + 4;
        gb_info(&b, "y", 0, 1, dims, offsets[i]);
        b.data = 256;
        gb_data(&b);
        reject_at(&b, RC_E_DATA, at, "not where the tensor before it ends");
    }
    b = one_tensor("x", 0, 1, dims, 0);
    reject(&b, RC_E_DATA, "192 bytes after the last tensor");
}

/* D24 */
static void test_gguf_padding(void **state)
{
    gb b = { 0 };

    (void)state;
    gb_head(&b, 1, 0);
    gb_tensor(&b, "x", RC_DTYPE_F32, 1, (uint64_t[]){ 8 });
    gb_le(&b, 7, 1);
    gb_data(&b);
    accept(&b, 1);
}

static void test_gguf_head_limit(void **state)
{
    gb b = one_value(RC_GGUF_STR);
    rc_mem mem = { .limit = 1u << 20 };
    warnings w;
    rc_gguf *g;
    rc_err err;

    (void)state;
    gb_u64(&b, RC_GGUF_MAX_HEAD);
    assert_int_equal(parse_in(&b, (uint64_t)1 << 40, &g, &mem, &err, &w), RC_E_LIMIT);
    gb_free(&b);
}

static void test_gguf_survives_allocation_failures(void **state)
{
    gb b = sound();

    (void)state;
    for (size_t k = 2;; k++) { /* the first is the test's own */
        rc_mem mem = { .fail_at = k };
        warnings w;
        rc_gguf *g;
        rc_err err;
        const rc_code rc = parse_in(&b, b.n, &g, &mem, &err, &w);

        rc_gguf_free(&g);
        assert_int_equal(mem.used, 0);
        if (rc == RC_OK)
            break;
        assert_int_equal(rc, RC_E_OS);
    }
    gb_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gguf_reads),
        cmocka_unit_test(test_gguf_cut),
        cmocka_unit_test(test_gguf_mutations),
        cmocka_unit_test(test_gguf_magic),
        cmocka_unit_test(test_gguf_counts),
        cmocka_unit_test(test_gguf_keys),
        cmocka_unit_test(test_gguf_values),
        cmocka_unit_test(test_gguf_doubles),
        cmocka_unit_test(test_gguf_alignment),
        cmocka_unit_test(test_gguf_names),
        cmocka_unit_test(test_gguf_shapes),
        cmocka_unit_test(test_gguf_types),
        cmocka_unit_test(test_gguf_offsets),
        cmocka_unit_test(test_gguf_padding),
        cmocka_unit_test(test_gguf_head_limit),
        cmocka_unit_test(test_gguf_survives_allocation_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
