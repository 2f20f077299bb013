/* tests/unit/test_dequant_blocks.c - block types against ggml's reference decoders.
 *
 * tests/data/gguf_blocks/README.md says how the vectors were made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <string.h>

#include "kernels/block_tables.h"
#include "kernels/codes.h"
#include "kernels/dequant_blocks.h"
#include "tests/unit/data.h"

enum { N = 2048 };

static void expect_type(rc_dtype dtype)
{
    char name[32], path[64];
    static uint8_t blocks[N * 2];
    static float want[N], got[N];
    const size_t nbytes = (size_t)rc_dtype_row_bytes(dtype, N);

    snprintf(name, sizeof name, "%s", rc_dtype_name(dtype));
    for (char *p = name; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    snprintf(path, sizeof path, "gguf_blocks/%s.blocks", name);
    data_load_all(path, blocks, nbytes);
    snprintf(path, sizeof path, "gguf_blocks/%s.f32", name);
    data_load_all(path, want, sizeof want);
    rc_dequant_blocks_impls(dtype)->fn(got, blocks, N);
    for (size_t i = 0; i < N; i++)
        if (rc_f32_bits(got[i]) != rc_f32_bits(want[i]))
            fail_msg("%s, element %zu: %a, ggml says %a", name, i, (double)got[i], (double)want[i]);
}

static void test_dequant_blocks_equals_ggml(void **state)
{
    (void)state;
#define EXPECT(TYPE, type, nelems) expect_type(RC_DTYPE_##TYPE);
    RC_DEQUANT_BLOCKS_TYPES(EXPECT)
#undef EXPECT
}

static void test_dequant_blocks_sizes_agree(void **state)
{
    (void)state;
#define AGREE(TYPE, type, nelems)                                                                  \
    assert_int_equal(sizeof(rc_block_##type), rc_dtype_block_bytes(RC_DTYPE_##TYPE));              \
    assert_int_equal(nelems, rc_dtype_block(RC_DTYPE_##TYPE));
    RC_DEQUANT_BLOCKS_TYPES(AGREE)
#undef AGREE
}

static void test_dequant_blocks_knows_its_types(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RC_DTYPE_COUNT; i++) {
        const bool block = i >= RC_DTYPE_Q4_0 && i <= RC_DTYPE_NVFP4;
        assert_int_equal(rc_dequant_blocks_impls((rc_dtype)i) != NULL, block);
        assert_int_equal(rc_dequant_blocks_best((rc_dtype)i) != NULL, block);
    }
}

/* What ggml does not say: a scale that is no number gives the NaN that all decoders write. */
static void test_dequant_blocks_nan(void **state)
{
    rc_block_mxfp4 mxfp4 = { .e = 255 };
    rc_block_q4_k q4_k = { .d = { 0, 0x7c }, .dmin = { 0, 0x7c } };
    float y[256];

    (void)state;
    rc_dequant_mxfp4_ref(y, (const uint8_t *)&mxfp4, 32);
    for (unsigned i = 0; i < 32; i++)
        assert_int_equal(rc_f32_bits(y[i]), RC_F32_NAN);
    rc_dequant_q4_k_ref(y, (const uint8_t *)&q4_k, 256); /* infinity times zero */
    for (unsigned i = 0; i < 256; i++)
        assert_int_equal(rc_f32_bits(y[i]), RC_F32_NAN);
}

static void test_block_tables_fields_return(void **state)
{
    uint8_t scale[16], min[8], s[12];

    (void)state;
    for (unsigned round = 0; round < 64; round++) {
        for (unsigned j = 0; j < 16; j++)
            scale[j] = (uint8_t)((round * 7 + j * 37 + 5) % 64);
        for (unsigned j = 0; j < 8; j++)
            min[j] = (uint8_t)((round * 11 + j * 29) % 64);
        rc_k4_pack(s, scale, min);
        for (unsigned j = 0; j < 8; j++) {
            assert_int_equal(rc_k4_scale(s, j), scale[j]);
            assert_int_equal(rc_k4_min(s, j), min[j]);
        }
        rc_q3_k_pack(s, scale);
        for (unsigned j = 0; j < 16; j++)
            assert_int_equal(rc_q3_k_scale(s, j), scale[j]);
    }
}

static void test_block_tables_signs_are_even(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 128; i++) {
        assert_int_equal(rc_iq2_signs(i) & 127, i);
        assert_int_equal(__builtin_popcount(rc_iq2_signs(i)) % 2, 0);
    }
}

static void test_block_tables_grid(void **state)
{
    static const unsigned value[4] = { 8, 25, 43, 0 };

    (void)state;
    for (unsigned k = 0; k < 256; k++)
        for (unsigned j = 0; j < 8; j++)
            assert_int_equal(rc_iq2_xxs_grid[k] >> 8 * j & 255,
                             value[rc_iq2_xxs_digits[k] >> 2 * j & 3]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dequant_blocks_equals_ggml),
        cmocka_unit_test(test_dequant_blocks_sizes_agree),
        cmocka_unit_test(test_dequant_blocks_knows_its_types),
        cmocka_unit_test(test_dequant_blocks_nan),
        cmocka_unit_test(test_block_tables_fields_return),
        cmocka_unit_test(test_block_tables_signs_are_even),
        cmocka_unit_test(test_block_tables_grid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
