/* tests/unit/test_tensor_file.c - a .safetensors file written piece by piece, and traces. */
#include "runtime/tensor_file.h"

#include "formats/safetensors.h"
#include "runtime/trace.h"
#include "tests/unit/fixture.h"

static fx_dir dir;

static int setup(void **state)
{
    (void)state;
    dir = fx_open(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fx_close(&dir);
    return 0;
}

static bool there(const char *name)
{
    return access(fx_path(&dir, name), F_OK) == 0;
}

typedef struct file {
    uint8_t bytes[1 << 16];
    size_t n;
    rc_mem mem;
    rc_st *st;
} file;

static void read_file(file *f, const char *name)
{
    FILE *in = fopen(fx_path(&dir, name), "rb");
    uint64_t head;
    rc_err err;

    assert_non_null(in);
    f->n = fread(f->bytes, 1, sizeof f->bytes, in);
    fclose(in);
    assert_true(f->n < sizeof f->bytes);
    f->mem = (rc_mem){ 0 };
    memcpy(&head, f->bytes, 8);
    if (rc_st_new(&f->st, f->bytes, 8 + head, f->n, NULL, &f->mem, &err) != RC_OK)
        fail_msg("%s", err.msg);
}

static const void *data(const file *f, const char *name, rc_dtype dtype, unsigned rank,
                        const uint64_t *shape)
{
    const rc_st_entry *e = rc_st_find(f->st, name);

    if (!e)
        fail_msg("no %s", name);
    assert_int_equal(e->dtype, dtype);
    assert_int_equal(e->rank, rank);
    assert_memory_equal(e->shape, shape, rank * sizeof *shape);
    return f->bytes + e->begin;
}

static void drop_file(file *f)
{
    rc_st_free(&f->st);
    assert_int_equal(f->mem.used, 0);
}

/* ---- tensor files ---- */

static const rc_tensor_spec specs[] = { { "b", RC_DTYPE_I32, 2, { 3, 5 } },
                                        { "a", RC_DTYPE_I64, 1, { 7 } },
                                        { "c", RC_DTYPE_F32, 3, { 2, 2, 2 } } };

static rc_target target(const char *name)
{
    static char path[300];
    rc_target t;
    rc_err err;

    snprintf(path, sizeof path, "%s", fx_path(&dir, name));
    if (rc_target_open(&t, path, &err) != RC_OK)
        fail_msg("%s", err.msg);
    return t;
}

static rc_code write_all(rc_tensor_file *f, rc_err *err)
{
    static const float c[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    int32_t b[15];
    int64_t a[7];

    for (int i = 0; i < 15; i++)
        b[i] = -i;
    for (int i = 0; i < 7; i++)
        a[i] = INT64_C(1) << (9 * i);
    RC_TRY(rc_tensor_file_write(f, 2, 16, c + 4, 16, err)); /* the end first */
    RC_TRY(rc_tensor_file_write(f, 1, 0, a, sizeof a, err));
    RC_TRY(rc_tensor_file_write(f, 0, 0, b, 20, err));
    RC_TRY(rc_tensor_file_write(f, 0, 20, b + 5, 40, err));
    return rc_tensor_file_write(f, 2, 0, c, 16, err);
}

static void test_tensor_file_is_read_back(void **state)
{
    static file f;
    rc_target t = target("x.safetensors");
    rc_mem mem = { 0 };
    rc_tensor_file *out;
    const int32_t *b;
    const int64_t *a;
    const float *c;
    rc_err err;

    (void)state;
    for (int again = 0; again < 2; again++) { /* over what was there */
        assert_int_equal(rc_tensor_file_new(&out, &t, specs, 3, &mem, &err), RC_OK);
        assert_true(there("x.safetensors.partial"));
        assert_int_equal(there("x.safetensors"), again);
        assert_int_equal(write_all(out, &err), RC_OK);
        assert_int_equal(rc_tensor_file_finish(out, &err), RC_OK);
        assert_true(there("x.safetensors") && !there("x.safetensors.partial"));
        rc_tensor_file_free(&out);
        assert_null(out);
        assert_true(there("x.safetensors"));
    }
    read_file(&f, "x.safetensors");
    assert_int_equal(rc_st_count(f.st), 3);
    b = data(&f, "b", RC_DTYPE_I32, 2, specs[0].shape);
    a = data(&f, "a", RC_DTYPE_I64, 1, specs[1].shape);
    c = data(&f, "c", RC_DTYPE_F32, 3, specs[2].shape);
    for (int i = 0; i < 15; i++)
        assert_int_equal(b[i], -i);
    for (int i = 0; i < 7; i++)
        assert_true(a[i] == INT64_C(1) << (9 * i));
    for (int i = 0; i < 8; i++)
        assert_true(c[i] == (float)(i + 1));
    drop_file(&f);
    rc_target_close(&t);
    assert_int_equal(mem.used, 0);
}

static void test_tensor_file_not_finished_is_removed(void **state)
{
    rc_target t = target("y.safetensors");
    rc_mem mem = { 0 };
    rc_tensor_file *out;
    rc_err err;

    (void)state;
    assert_int_equal(rc_tensor_file_new(&out, &t, specs, 3, &mem, &err), RC_OK);
    assert_int_equal(write_all(out, &err), RC_OK);
    /* past the end of a tensor, in every way */
    assert_int_equal(rc_tensor_file_write(out, 0, 60, "x", 1, &err), RC_E_INTERNAL);
    assert_int_equal(rc_tensor_file_write(out, 0, 57, "xxxx", 4, &err), RC_E_INTERNAL);
    assert_int_equal(rc_tensor_file_write(out, 0, UINT64_MAX, "xx", 2, &err), RC_E_INTERNAL);
    rc_tensor_file_free(&out);
    assert_false(there("y.safetensors") || there("y.safetensors.partial"));
    rc_target_close(&t);
    assert_int_equal(mem.used, 0);
}

static void test_tensor_file_survives_no_memory(void **state)
{
    rc_target t = target("z.safetensors");
    bool undisturbed = false;

    (void)state;
    for (size_t k = 1; !undisturbed; k++) {
        rc_mem mem = { .fail_at = k };
        rc_tensor_file *out;
        rc_code rc;
        rc_err err;

        rc = rc_tensor_file_new(&out, &t, specs, 3, &mem, &err);
        if (rc == RC_OK)
            rc = write_all(out, &err);
        undisturbed = mem.calls < k;
        assert_int_equal(rc, undisturbed ? RC_OK : RC_E_OS);
        rc_tensor_file_free(&out);
        assert_int_equal(mem.used, 0);
        assert_false(there("z.safetensors") || there("z.safetensors.partial"));
        assert_true(k < 100);
    }
    rc_target_close(&t);
}

/* ---- traces ---- */

enum { N = 23, D = 32, S = 2, K = 3 };

static const rc_config small = { .hc_mult = S,
                                 .hidden_size = D,
                                 .num_experts_per_tok = K,
                                 .index_topk = 4,
                                 .num_hidden_layers = 4,
                                 .compress_ratios = { 0, 128, 4, 0 } };

static void tell(const rc_watch *w, uint32_t layer, uint64_t pos, size_t n)
{
    static float h[N * S * D], weight[N * K];
    uint32_t id[N * K];
    rc_err err;

    for (size_t i = 0; i < n * S * D; i++)
        h[i] = (float)(layer * 100000 + pos * S * D + i);
    for (size_t i = 0; i < n * K; i++) {
        id[i] = (uint32_t)(layer * 1000 + pos * K + i);
        weight[i] = (float)id[i] / 2;
    }
    assert_int_equal(w->experts(w->ctx, layer, pos, n, K, id, weight, &err), RC_OK);
    assert_int_equal(w->streams(w->ctx, layer, pos, n, h, &err), RC_OK);
    for (size_t t = 0; t < n && layer == 2; t++) {
        const uint32_t block[] = { 1, 2, 4, 5 };
        const size_t visible = (size_t)(pos + t + 1) / 4;

        assert_int_equal(
            w->blocks(w->ctx, layer, pos + t, visible < 4 ? visible : 4, visible, block, &err),
            RC_OK);
    }
}

static void test_trace_is_read_back(void **state)
{
    static file f;
    const uint64_t hidden[] = { N, S, D }, chosen[] = { N, K }, picked[] = { N, 4 }, n[] = { N };
    rc_target t = target("t.safetensors");
    rc_mem mem = { 0 };
    uint32_t token[N];
    rc_trace *trace;
    rc_err err;

    (void)state;
    for (uint32_t i = 0; i < N; i++)
        token[i] = 1000 - i;
    assert_int_equal(rc_trace_new(&trace, &t, &small, 1, 3, token, N, &mem, &err), RC_OK);
    for (uint32_t layer = 1; layer < 5; layer++) { /* 3 and 4 are not traced */
        tell(rc_trace_watch(trace), layer, 0, 16);
        tell(rc_trace_watch(trace), layer, 16, N - 16);
        tell(rc_trace_watch(trace), layer, N, 5); /* nor are later positions */
    }
    assert_int_equal(rc_trace_finish(trace, &err), RC_OK);
    rc_trace_free(&trace);
    read_file(&f, "t.safetensors");
    assert_int_equal(rc_st_count(f.st), 1 + 3 + 4);
    for (uint32_t i = 0; i < N; i++)
        assert_true(((const int64_t *)data(&f, "tokens", RC_DTYPE_I64, 1, n))[i] == token[i]);
    for (uint32_t layer = 1; layer < 3; layer++) {
        char name[40];
        const float *h, *weight;
        const int32_t *id;

        snprintf(name, sizeof name, "hidden.%u", layer);
        h = data(&f, name, RC_DTYPE_F32, 3, hidden);
        snprintf(name, sizeof name, "experts.%u", layer);
        id = data(&f, name, RC_DTYPE_I32, 2, chosen);
        snprintf(name, sizeof name, "expert_weights.%u", layer);
        weight = data(&f, name, RC_DTYPE_F32, 2, chosen);
        for (size_t i = 0; i < N * S * D; i++)
            assert_true(h[i] == (float)(layer * 100000 + i));
        for (size_t i = 0; i < N * K; i++)
            assert_true(id[i] == (int32_t)(layer * 1000 + i) && weight[i] == (float)id[i] / 2);
    }
    for (size_t p = 0; p < N; p++) {
        const int32_t *b = (const int32_t *)data(&f, "blocks.2", RC_DTYPE_I32, 2, picked) + p * 4;
        static const int32_t all[] = { 1, 2, 4, 5 };

        for (size_t i = 0; i < 4; i++)
            assert_int_equal(b[i], i < (p + 1) / 4 ? all[i] : -1);
    }
    drop_file(&f);
    rc_target_close(&t);
    assert_int_equal(mem.used, 0);
}

static void test_trace_survives_no_memory(void **state)
{
    const uint32_t token[N] = { 0 };
    rc_target t = target("u.safetensors");
    bool undisturbed = false;

    (void)state;
    for (size_t k = 1; !undisturbed; k++) {
        rc_mem mem = { .fail_at = k };
        rc_trace *trace;
        rc_code rc;
        rc_err err;

        rc = rc_trace_new(&trace, &t, &small, 0, 4, token, N, &mem, &err);
        undisturbed = mem.calls < k;
        assert_int_equal(rc, undisturbed ? RC_OK : RC_E_OS);
        assert_int_equal(trace != NULL, undisturbed);
        rc_trace_free(&trace);
        assert_int_equal(mem.used, 0);
        assert_false(there("u.safetensors") || there("u.safetensors.partial"));
        assert_true(k < 100);
    }
    rc_target_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensor_file_is_read_back),
        cmocka_unit_test(test_tensor_file_not_finished_is_removed),
        cmocka_unit_test(test_tensor_file_survives_no_memory),
        cmocka_unit_test(test_trace_is_read_back),
        cmocka_unit_test(test_trace_survives_no_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
