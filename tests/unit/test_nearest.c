/* tests/unit/test_nearest.c - Q8_0, Q4_0 and MXFP4 against ggml's reference encoders.
 *
 * tests/data/gguf_blocks/README.md says how the vectors were made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu.h"
#include "quantize/fp4_q8_0.h"
#include "quantize/nearest.h"
#include "tests/unit/data.h"

enum { ROWS = 3, COLS = 1024, MAX_BYTES = COLS / 32 * 34 };

static float rows[ROWS][COLS], importance[COLS];

static int load_rows(void **state)
{
    (void)state;
    data_load_all("gguf_blocks/rows.f32", rows, sizeof rows);
    data_load_all("gguf_blocks/importance.f32", importance, sizeof importance);
    return 0;
}

static void expect_rows(rc_dtype dtype, const char *file, size_t nrows, const float *weights)
{
    const rc_quantizer *q = rc_quantizer_of(dtype);
    const size_t nbytes = (size_t)rc_dtype_row_bytes(dtype, COLS);
    uint8_t want[ROWS * MAX_BYTES], got[MAX_BYTES];

    assert_non_null(q);
    data_load_all(file, want, nrows * nbytes);
    for (size_t r = 0; r < nrows; r++) {
        q->impls->fn(got, rows[r], weights, COLS);
        for (size_t i = 0; i < nbytes; i++)
            if (got[i] != want[r * nbytes + i])
                fail_msg("%s, row %zu, byte %zu (block %zu): %u, ggml says %u", file, r, i,
                         i / rc_dtype_block_bytes(dtype), got[i], want[r * nbytes + i]);
    }
}

static void test_nearest_equals_ggml(void **state)
{
    (void)state;
    expect_rows(RC_DTYPE_Q8_0, "gguf_blocks/rows.q8_0", 3, NULL);
    expect_rows(RC_DTYPE_Q4_0, "gguf_blocks/rows.q4_0", 3, NULL);
    expect_rows(RC_DTYPE_MXFP4, "gguf_blocks/rows.mxfp4", 3, NULL);
}

static void test_nearest_q4_0_importance_equals_ggml(void **state)
{
    (void)state;
    expect_rows(RC_DTYPE_Q4_0, "gguf_blocks/rows.q4_0_importance", 2, importance);
}

/* Where ggml overflows its integers: blocks that decode to zeros. */
static void test_nearest_too_small_is_zero(void **state)
{
    const float x[32] = { 0x1p-149f, -0x1p-140f, 0, 0x1p-130f };
    rc_block_q8_0 q8;
    rc_block_q4_0 q4;
    rc_block_mxfp4 m;

    (void)state;
    rc_quant_q8_0_ref((uint8_t *)&q8, x, NULL, 32);
    rc_quant_q4_0_ref((uint8_t *)&q4, x, NULL, 32);
    rc_quant_mxfp4_ref((uint8_t *)&m, x, NULL, 32);
    for (unsigned i = 0; i < 32; i++)
        assert_int_equal(q8.qs[i], 0);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(q4.qs[i], 0x88);
    assert_int_equal(m.e, 0);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(m.qs[i], 0);
}

/* Against the definition: right for a power of two, for what is half way to the next, and for
 * the last numbers before it, of which the logarithm may round up. */
static void test_nearest_mxfp4_scale(void **state)
{
    (void)state;
    assert_int_equal(rc_mxfp4_scale(0), 0);
    for (int k = -149; k < 128; k++) {
        const int e = k - 2 + 127 < 0 ? 0 : k - 2 + 127;
        const float power = ldexpf(1, k);
        float x = k < 127 ? power * 2 : FLT_MAX;
        assert_int_equal(rc_mxfp4_scale(power), e);
        assert_int_equal(rc_mxfp4_scale(power * 1.5f), e);
        for (unsigned i = 0; i < 200 && k >= -124; i++) {
            x = nextafterf(x, 0);
            const float log = (float)log2((double)x);
            assert_int_equal(rc_mxfp4_scale(x), (int)floorf(log) - 2 + 127);
        }
    }
}

/* A half of the step goes away from zero, the number before it does not. */
static void test_nearest_q8_0_ties(void **state)
{
    float x[32] = { 127, 0.5f, -0.5f, 1.5f, -126.5f, nextafterf(0.5f, 0), nextafterf(1.5f, 0) };
    const int8_t want[7] = { 127, 1, -1, 2, -127, 0, 1 };
    rc_block_q8_0 b;

    (void)state;
    for (const rc_quant_impl *row = rc_quantizer_q8_0.impls; row->fn; row++)
        if ((row->need & ~rc_cpu_machine()) == 0) {
            row->fn((uint8_t *)&b, x, NULL, 32);
            assert_memory_equal(b.qs, want, sizeof want);
        }
}

/* Largest magnitude 6 * 2: d = 12 / 127, 0x2e0c; of 1.5 * 2 there are 3 / d = 31.75. */
static void test_fp4_q8_0_by_hand(void **state)
{
    const uint8_t q[32] = { 0x73, 0xfb }, scale[2] = { 128, 255 };
    const int8_t want[4] = { 32, 127, -32, -127 };
    rc_block_q8_0 b[2];

    (void)state;
    for (const rc_fp4_q8_0_impl *row = rc_fp4_q8_0_impls; row->fn; row++)
        if ((row->need & ~rc_cpu_machine()) == 0) {
            memset(b, 0x55, sizeof b);
            assert_int_equal(row->fn((uint8_t *)b, q, scale, 64), 1);
            assert_int_equal(b[0].d[0] | b[0].d[1] << 8, 0x2e0c);
            assert_memory_equal(b[0].qs, want, sizeof want);
            assert_int_equal(b[0].qs[31], 0);
            assert_int_equal(b[1].d[0] | b[1].d[1] << 8, 0x7e00);
            assert_int_equal(b[1].qs[0], 0);
        }
}

static void test_block_quant_table(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RC_DTYPE_COUNT; i++) {
        const rc_quantizer *q = rc_quantizer_of((rc_dtype)i);
        if (!q)
            continue;
        assert_int_equal(q->dtype, i);
        assert_true(rc_dtype_block(q->dtype) >= 32);
        assert_true(rc_cpu_force("ref"));
        assert_ptr_equal(rc_quantizer_best(q, RC_EFFORT_REFERENCE), q->impls[0].fn);
        assert_ptr_equal(rc_quantizer_best(q, RC_EFFORT_BEST),
                         (q->better ? q->better : q->impls)->fn);
        assert_true(rc_cpu_force("auto"));
    }
    assert_null(rc_quantizer_of(RC_DTYPE_F32));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nearest_equals_ggml),
        cmocka_unit_test(test_nearest_q4_0_importance_equals_ggml),
        cmocka_unit_test(test_nearest_too_small_is_zero),
        cmocka_unit_test(test_nearest_mxfp4_scale),
        cmocka_unit_test(test_nearest_q8_0_ties),
        cmocka_unit_test(test_fp4_q8_0_by_hand),
        cmocka_unit_test(test_block_quant_table),
    };

    return cmocka_run_group_tests(tests, load_rows, NULL);
}
