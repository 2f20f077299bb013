/* tests/unit/test_row_product.c - the references of row_product.h against doubles and the decoders.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "kernels/dequant_blocks.h"
#include "kernels/dequant_fp4.h"
#include "kernels/dequant_fp8.h"
#include "kernels/matmul.h"
#include "kernels/row_product.h"

#define N    512u
#define ROWS 3u

static uint8_t stored[ROWS * N * 4], fp4_scale[ROWS * N / 32];
static float fp8_scale[N / 128] = { 1.0f, 0.25f, 2.0f, 0.5f };

static uint64_t state_of_random;

static unsigned next_byte(void)
{
    state_of_random = state_of_random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state_of_random >> 56);
}

/* No number is infinite or NaN, whatever the type: bit 6 of every byte is clear. */
static rc_stored_rows rows_of(rc_dtype dtype)
{
    rc_stored_rows w = { .weight = stored };

    for (size_t i = 0; i < sizeof stored; i++)
        stored[i] = (uint8_t)(next_byte() & 0xbf);
    for (size_t i = 0; i < sizeof fp4_scale; i++)
        fp4_scale[i] = (uint8_t)(120 + next_byte() % 8);
    w.row_bytes = dtype == RC_DTYPE_I8 ? N / 2 : (size_t)rc_dtype_row_bytes(dtype, N);
    if (dtype == RC_DTYPE_I8) {
        w.scale = fp4_scale;
        w.scale_bytes = N / 32;
    } else if (dtype == RC_DTYPE_F8_E4M3) {
        w.scale = fp8_scale;
    }
    return w;
}

static void decode(float *y, rc_dtype dtype, const rc_stored_rows *w, size_t r)
{
    const uint8_t *row = w->weight + r * w->row_bytes;

    if (dtype == RC_DTYPE_I8)
        rc_dequant_fp4_ref(y, row, fp4_scale + r * w->scale_bytes, N);
    else if (dtype == RC_DTYPE_F8_E4M3)
        rc_dequant_fp8_ref(y, row, fp8_scale, N);
    else if (dtype == RC_DTYPE_F32)
        memcpy(y, row, 4 * N);
    else if (dtype == RC_DTYPE_BF16)
        for (size_t i = 0; i < N; i++) {
            const uint32_t bits = (uint32_t)row[2 * i] << 16 | (uint32_t)row[2 * i + 1] << 24;
            memcpy(y + i, &bits, 4);
        }
    else
        rc_dequant_blocks_impls(dtype)->fn(y, row, N);
}

/* The bits of decoding, pairing and multiplying, which have tests of their own. */
static void test_row_product_is_decode_then_matmul(void **state)
{
    (void)state;
    for (unsigned d = 0; d < RC_DTYPE_COUNT; d++) {
        const rc_dtype dtype = (rc_dtype)d;
        float natural[N], paired[ROWS][N], x[2][N], xp[2][N], want[2 * ROWS], got[2 * ROWS], one[N];
        const float *const wp[ROWS] = { paired[0], paired[1], paired[2] };
        const float *const xs[2] = { xp[0], xp[1] };

        if (!rc_row_product_impls(dtype))
            continue;
        const rc_stored_rows w = rows_of(dtype);
        for (size_t r = 0; r < ROWS; r++) {
            decode(natural, dtype, &w, r);
            rc_pair_f32_ref(paired[r], natural, N);
            rc_decode_pairs_impls(dtype)->fn(
                one, w.weight + r * w.row_bytes,
                w.scale_bytes ? fp4_scale + r * w.scale_bytes : (const void *)fp8_scale, N);
            assert_memory_equal(one, paired[r], sizeof one);
        }
        for (size_t t = 0; t < 2; t++) {
            for (size_t i = 0; i < N; i++)
                x[t][i] = (float)((int)next_byte() - 128) / 64;
            rc_pair_f32_ref(xp[t], x[t], N);
        }
        rc_matmul_f32_ref(want, ROWS, wp, ROWS, xs, 2, N);
        rc_row_product_impls(dtype)->fn(got, ROWS, &w, ROWS, xs, 2, N);
        assert_memory_equal(got, want, sizeof got);
    }
}

/* Where BF16 holds everything, BF16 activations give the same bits as f32 ones. */
static void test_row_product_bf16_agrees_with_f32(void **state)
{
    static const rc_dtype exact[] = { RC_DTYPE_I8, RC_DTYPE_F8_E4M3 };

    (void)state;
    for (size_t d = 0; d < sizeof exact / sizeof *exact; d++) {
        float x[N], xp[N], want[ROWS], got[ROWS];
        uint16_t half[N];
        const float *const xs = xp;
        const uint16_t *const hs = half;
        const rc_stored_rows w = rows_of(exact[d]);

        for (size_t i = 0; i < N; i++) {
            uint32_t bits;
            x[i] = (float)((int)next_byte() - 128) / 64; /* eight bits */
            memcpy(&bits, x + i, 4);
            half[i] = (uint16_t)(bits >> 16);
        }
        rc_pair_f32_ref(xp, x, N);
        rc_row_product_impls(exact[d])->fn(want, ROWS, &w, ROWS, &xs, 1, N);
        rc_row_product_bf16_impls(exact[d])->fn(got, ROWS, &w, ROWS, &hs, 1, N);
        assert_memory_equal(got, want, sizeof got);
    }
}

/* Against plain arithmetic: small integers are exact in any order. */
static void test_row_product_of_integers(void **state)
{
    uint8_t q[N / 2], scale[N / 32];
    float x[N], xp[N], got;
    const float *const xs = xp;
    double want = 0;
    const rc_stored_rows w = { q, sizeof q, scale, sizeof scale };
    static const double magnitude[8] = { 0, 0.5, 1, 1.5, 2, 3, 4, 6 };

    (void)state;
    for (size_t i = 0; i < sizeof scale; i++)
        scale[i] = (uint8_t)(127 + i % 3);
    for (size_t i = 0; i < N / 2; i++)
        q[i] = (uint8_t)next_byte();
    for (size_t i = 0; i < N; i++) {
        const unsigned code = i % 2 ? q[i / 2] >> 4 : q[i / 2] & 15;
        x[i] = (float)((int)next_byte() - 128);
        want += (code & 8 ? -1 : 1) * magnitude[code & 7] * (1 << i / 32 % 3) * (double)x[i];
    }
    rc_pair_f32_ref(xp, x, N);
    rc_row_product_impls(RC_DTYPE_I8)->fn(&got, 1, &w, 1, &xs, 1, N);
    assert_true((double)got == want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_product_is_decode_then_matmul),
        cmocka_unit_test(test_row_product_bf16_agrees_with_f32),
        cmocka_unit_test(test_row_product_of_integers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
