/* tests/unit/test_vectors.c - the kernels against numbers that others computed.
 *
 * tests/data/README.md says who: ml_dtypes, and the official FP4 to FP8 cast rendered in
 * numpy. Runs in the root of the tree, as `make test` does. */
#include <math.h>
#include <string.h>

#include "kernels/bf16.h"
#include "kernels/codes.h"
#include "kernels/dequant_fp4.h"
#include "kernels/dequant_fp8.h"
#include "kernels/e8m0.h"
#include "kernels/recast_fp4_fp8.h"
#include "quantize/fp8_rescale.h"
#include "tests/unit/data.h"

enum { SPREADS = 15, TILE = RC_FP8_TILE, GROUPS = TILE / RC_FP4_GROUP };
enum { TILE_CODES = TILE * TILE / 2, TILE_SCALES = TILE * GROUPS, TILE_BYTES = TILE * TILE };

static uint8_t codes[TILE_CODES], group_scales[SPREADS][TILE_SCALES];
static uint8_t want[SPREADS][TILE_BYTES], want_scale[SPREADS];
static float e2m1[16], e4m3[256], e8m0[256];

static int load_vectors(void **state)
{
    (void)state;
    data_load_all("e2m1.f32", e2m1, sizeof e2m1);
    data_load_all("e4m3.f32", e4m3, sizeof e4m3);
    data_load_all("e8m0.f32", e8m0, sizeof e8m0);
    data_load_all("tiles.fp4", codes, sizeof codes);
    data_load_all("tiles.fp4_scale", group_scales, sizeof group_scales);
    data_load_all("tiles.fp8", want, sizeof want);
    data_load_all("tiles.fp8_scale", want_scale, sizeof want_scale);
    return 0;
}

static unsigned code_at(size_t row, size_t col)
{
    return codes[row * TILE / 2 + col / 2] >> (col % 2 * 4) & 15;
}

/* The same number, the sign of zero included; any NaN for a NaN. */
static void check_number(float got, float wanted, const char *what, size_t at)
{
    if (isnan(wanted) ? isnan(got) : rc_f32_bits(got) == rc_f32_bits(wanted))
        return;
    fail_msg("%s %zu: %a, ml_dtypes says %a", what, at, (double)got, (double)wanted);
}

static void test_vectors_elements(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 16; i++)
        check_number(rc_e2m1_value(i), e2m1[i], "E2M1", i);
    for (unsigned i = 0; i < 256; i++)
        check_number(rc_e4m3_value(i), e4m3[i], "E4M3", i);
    for (unsigned i = 0; i < 256; i++)
        check_number(rc_e8m0_value(i), e8m0[i], "E8M0", i);
}

static void test_vectors_e8m0_rows(void **state)
{
    uint8_t bytes[256];
    float numbers[256];

    (void)state;
    for (unsigned i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    rc_e8m0_to_f32(numbers, bytes, 256);
    for (unsigned i = 0; i < 256; i++)
        check_number(numbers[i], e8m0[i], "E8M0", i);
    assert_int_equal(rc_f32_to_e8m0(bytes, e8m0, 255), 0);
    for (unsigned i = 0; i < 255; i++)
        assert_int_equal(bytes[i], i);
}

/* Every code under a spread of scales, by the decoder of FP4 rows. */
static void check_dequant_fp4(rc_dequant_fp4_fn *fn, const char *name)
{
    float row[TILE];

    for (unsigned t = 0; t < SPREADS; t++)
        for (size_t r = 0; r < TILE; r++) {
            const uint8_t *scale = group_scales[t] + r * GROUPS;

            fn(row, codes + r * TILE / 2, scale, TILE);
            for (size_t c = 0; c < TILE; c++)
                check_number(row[c], e2m1[code_at(r, c)] * e8m0[scale[c / RC_FP4_GROUP]], name,
                             t * TILE_BYTES + r * TILE + c);
        }
}

static void test_vectors_dequant_fp4(void **state)
{
    (void)state;
    for (const rc_dequant_fp4_impl *i = rc_dequant_fp4_impls; i->fn; i++)
        if ((i->need & ~rc_cpu_machine()) == 0)
            check_dequant_fp4(i->fn, i->name);
}

/* All codes under all scales, by the decoder of FP8 rows. */
static void check_dequant_fp8(rc_dequant_fp8_fn *fn, const char *name)
{
    uint8_t row[256];
    float out[256];

    for (unsigned i = 0; i < 256; i++)
        row[i] = (uint8_t)i;
    for (unsigned s = 0; s < 256; s++) {
        const float scales[2] = { e8m0[s], e8m0[s] };

        fn(out, row, scales, 256);
        for (unsigned i = 0; i < 256; i++)
            check_number(out[i], e4m3[i] * e8m0[s], name, s * 256 + i);
    }
}

static void test_vectors_dequant_fp8(void **state)
{
    (void)state;
    for (const rc_dequant_fp8_impl *i = rc_dequant_fp8_impls; i->fn; i++)
        if ((i->need & ~rc_cpu_machine()) == 0)
            check_dequant_fp8(i->fn, i->name);
}

/* The 15 tiles side by side, as one band. */
static void check_cast(rc_recast_fp4_fp8_fn *fn, const char *name)
{
    static uint8_t wide[SPREADS * TILE_CODES], scales[SPREADS * TILE_SCALES];
    static uint8_t out[SPREADS * TILE_BYTES];
    rc_fp8_tile tiles[SPREADS];

    for (size_t r = 0; r < TILE; r++)
        for (size_t t = 0; t < SPREADS; t++) {
            memcpy(wide + (r * SPREADS + t) * TILE / 2, codes + r * TILE / 2, TILE / 2);
            memcpy(scales + (r * SPREADS + t) * GROUPS, group_scales[t] + r * GROUPS, GROUPS);
        }
    fn(out, SPREADS * TILE, tiles, wide, scales, TILE, SPREADS * TILE, false);
    for (size_t t = 0; t < SPREADS; t++) {
        if (tiles[t].scale != want_scale[t] || !tiles[t].exact)
            fail_msg("%s, spread %zu: scale %u exact %u, the official cast says %u", name, t,
                     tiles[t].scale, tiles[t].exact, want_scale[t]);
        assert_int_equal(tiles[t].hi - tiles[t].lo, t);
        for (size_t r = 0; r < TILE; r++)
            for (size_t c = 0; c < TILE; c++) {
                const unsigned code = code_at(r, c);
                const uint8_t got = out[(r * SPREADS + t) * TILE + c];
                const uint8_t official = want[t][r * TILE + c];

                /* the official table drops the sign of zero */
                if (got != (code == 8 ? official | 0x80 : official))
                    fail_msg("%s, spread %zu, row %zu, column %zu, code %u: 0x%02x, the official "
                             "cast says 0x%02x",
                             name, t, r, c, code, got, official);
            }
    }
}

static void test_vectors_official_cast(void **state)
{
    (void)state;
    for (const rc_recast_fp4_fp8_impl *i = rc_recast_fp4_fp8_impls; i->fn; i++)
        if ((i->need & ~rc_cpu_machine()) == 0)
            check_cast(i->fn, i->name);
}

/* The expected tiles say of themselves what the FP4 tiles say: the vectors are sound. */
static void test_vectors_official_values(void **state)
{
    (void)state;
    for (size_t t = 0; t < SPREADS; t++)
        for (size_t r = 0; r < TILE; r++)
            for (size_t c = 0; c < TILE; c++) {
                const unsigned group = group_scales[t][r * GROUPS + c / RC_FP4_GROUP];
                const float source = e2m1[code_at(r, c)] * e8m0[group];
                const float stored = e4m3[want[t][r * TILE + c]] * e8m0[want_scale[t]];

                if (source != stored)
                    fail_msg("spread %zu, row %zu, column %zu: %a became %a", t, r, c,
                             (double)source, (double)stored);
            }
}

static void check_to_bf16(rc_f32_to_bf16_fn *fn, const char *name)
{
    static float x[2048], back[2048];
    static uint16_t y[2048], got[2048];
    const size_t n = data_load("to_bf16.f32", x, sizeof x) / sizeof *x;
    size_t inexact = 0;

    assert_true(n > 1000);
    data_load_all("to_bf16.bf16", y, n * sizeof *y);
    rc_bf16_to_f32_ref(back, y, n);
    for (size_t i = 0; i < n; i++)
        inexact += back[i] != x[i];
    assert_int_equal(fn(got, x, n), inexact);
    for (size_t i = 0; i < n; i++)
        if (got[i] != y[i])
            fail_msg("%s: %a gives 0x%04x, ml_dtypes says 0x%04x", name, (double)x[i], got[i],
                     y[i]);
}

static void test_vectors_to_bf16(void **state)
{
    (void)state;
    for (const rc_f32_to_bf16_impl *i = rc_f32_to_bf16_impls; i->fn; i++)
        if ((i->need & ~rc_cpu_machine()) == 0)
            check_to_bf16(i->fn, i->name);
}

static void test_vectors_to_e4m3(void **state)
{
    static float x[1024];
    static uint8_t y[1024];
    const size_t n = data_load("to_e4m3.f32", x, sizeof x) / sizeof *x;

    (void)state;
    assert_true(n > 1000);
    data_load_all("to_e4m3.e4m3", y, n);
    for (size_t i = 0; i < n; i++) { /* rc_e4m3_nearest() gives the magnitude */
        const unsigned sign = signbit(x[i]) ? 0x80 : 0;

        if ((rc_e4m3_nearest((double)x[i]) | sign) != y[i])
            fail_msg("%a: 0x%02x, ml_dtypes says 0x%02x", (double)x[i],
                     rc_e4m3_nearest((double)x[i]) | sign, y[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_elements),
        cmocka_unit_test(test_vectors_e8m0_rows),
        cmocka_unit_test(test_vectors_dequant_fp4),
        cmocka_unit_test(test_vectors_dequant_fp8),
        cmocka_unit_test(test_vectors_official_cast),
        cmocka_unit_test(test_vectors_official_values),
        cmocka_unit_test(test_vectors_to_bf16),
        cmocka_unit_test(test_vectors_to_e4m3),
    };

    return cmocka_run_group_tests_name("vectors", tests, load_vectors, NULL);
}
