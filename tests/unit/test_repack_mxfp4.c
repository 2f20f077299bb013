/* tests/unit/test_repack_mxfp4.c - the repacked blocks mean what the FP4 rows meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/dequant_blocks.h"
#include "kernels/dequant_fp4.h"
#include "kernels/repack_mxfp4.h"
#include "tests/unit/data.h"

enum { BLOCKS = 512, N = 32 * BLOCKS };

static uint8_t q[N / 2], scale[15 * BLOCKS], out[17 * BLOCKS];

static void test_repack_mxfp4_by_hand(void **state)
{
    const uint8_t codes[16] = { 0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe,
                                0x0f, 0x2e, 0x4d, 0x6c, 0x8b, 0xaa, 0xc9, 0xe8 };
    const uint8_t e = 200, want[17] = { 200,  0xf0, 0x01, 0xe2, 0x23, 0xd4, 0x45, 0xc6, 0x67,
                                        0xb8, 0x89, 0xaa, 0xab, 0x9c, 0xcd, 0x8e, 0xef };
    uint8_t got[17];

    (void)state;
    assert_int_equal(rc_repack_mxfp4_ref(got, codes, &e, 32, false), 0);
    assert_memory_equal(got, want, sizeof want);
}

/* By two decoders that know nothing of each other: no value changes. */
static void test_repack_mxfp4_keeps_values(void **state)
{
    static float a[N], b[N];

    (void)state;
    data_load_all("tiles.fp4", q, sizeof q);
    data_load_all("tiles.fp4_scale", scale, sizeof scale);
    assert_int_equal(rc_repack_mxfp4_best()(out, q, scale, N, false), 0);
    rc_dequant_fp4_ref(a, q, scale, N);
    rc_dequant_mxfp4_ref(b, out, N);
    for (size_t i = 0; i < N; i++)
        assert_true(a[i] == b[i]);
}

static void test_repack_mxfp4_counts_nan(void **state)
{
    const uint8_t e[3] = { 255, 254, 255 }, codes[48] = { 0 };
    uint8_t got[51];

    (void)state;
    for (const rc_repack_mxfp4_impl *row = rc_repack_mxfp4_impls; row->fn; row++)
        if ((row->need & ~rc_cpu_machine()) == 0)
            assert_int_equal(row->fn(got, codes, e, 96, true), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repack_mxfp4_by_hand),
        cmocka_unit_test(test_repack_mxfp4_keeps_values),
        cmocka_unit_test(test_repack_mxfp4_counts_nan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
