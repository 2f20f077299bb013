/* quantize/fp4_q8_0.c */
#include "quantize/fp4_q8_0.h"

#include <math.h>
#include <string.h>

#include "kernels/block_tables.h"
#include "kernels/dequant_fp4.h"
#include "quantize/nearest.h"

#define F16_NAN 0x7e00u

const float rc_fp4_q8_0_d[8] = {
    0, 0.5f / 127, 1.0f / 127, 1.5f / 127, 2.0f / 127, 3.0f / 127, 4.0f / 127, 6.0f / 127,
};

/* roundf(x * (1 / d)); larger codes than k do not occur in row k. */
#define BOTH_SIGNS(a, b, c, d, e, f, g)                                                            \
    {                                                                                              \
        0, a, b, c, d, e, f, g, 0, -(a), -(b), -(c), -(d), -(e), -(f), -(g)                        \
    }
const int8_t rc_fp4_q8_0_codes[8][16] __attribute__((aligned(64))) = {
    BOTH_SIGNS(0, 0, 0, 0, 0, 0, 0),        BOTH_SIGNS(127, 0, 0, 0, 0, 0, 0),
    BOTH_SIGNS(64, 127, 0, 0, 0, 0, 0),     BOTH_SIGNS(42, 85, 127, 0, 0, 0, 0),
    BOTH_SIGNS(32, 64, 95, 127, 0, 0, 0),   BOTH_SIGNS(21, 42, 64, 85, 127, 0, 0),
    BOTH_SIGNS(16, 32, 48, 64, 95, 127, 0), BOTH_SIGNS(11, 21, 32, 42, 64, 85, 127),
};

static bool finite(const float *x)
{
    for (unsigned i = 0; i < RC_FP4_GROUP; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

size_t rc_fp4_q8_0_ref(uint8_t *restrict out, const uint8_t *restrict q,
                       const uint8_t *restrict scale, size_t n)
{
    rc_block_q8_0 *b = (rc_block_q8_0 *)(void *)out;
    size_t lost = 0;

    for (size_t at = 0; at < n; at += RC_FP4_GROUP, b++, q += RC_FP4_GROUP / 2, scale++) {
        float x[RC_FP4_GROUP];
        rc_dequant_fp4_ref(x, q, scale, RC_FP4_GROUP);
        if (finite(x)) {
            rc_quant_q8_0_ref((uint8_t *)b, x, NULL, RC_FP4_GROUP);
        } else {
            memset(b, 0, sizeof *b);
            rc_u16_put(b->d, F16_NAN);
        }
        lost += (b->d[1] & 0x7c) == 0x7c;
    }
    return lost;
}

const rc_fp4_q8_0_impl rc_fp4_q8_0_impls[] = {
    { "ref", 0, rc_fp4_q8_0_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_fp4_q8_0_avx2 },
    { "avx512", RC_CPU_AVX512, rc_fp4_q8_0_avx512 },
#endif
    { 0 },
};

RC_CPU_DEFINE_BEST(fp4_q8_0)
