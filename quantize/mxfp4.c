/* quantize/mxfp4.c - see nearest.h. For FP4 sources there is kernels/repack_mxfp4.h, which
 * keeps their scales; this chooses new ones. */
#include "kernels/block_tables.h"
#include "kernels/rounding.h"
#include "quantize/nearest.h"

/* 2^k (1 - m 2^-24) has the logarithm k - m 2^-24 / ln 2, near enough for the few dozen m
 * for which f32 may round that to k. */
static bool rounds_up(unsigned exponent, unsigned fraction)
{
    const int k = (int)exponent - 126;
    const unsigned m = 0x800000 - fraction;

    return m < 128 && (float)(k - m * 0x1.71547652b82fep-24) == (float)k;
}

uint8_t rc_mxfp4_scale(float max)
{
    const uint32_t bits = rc_f32_bits(max), exponent = bits >> 23;

    if (exponent < 2)
        return 0;
    return (uint8_t)(exponent - 2 + rounds_up(exponent, bits & 0x7fffff));
}

/* The first of the nearest. Code 8 is zero too, and comes too late. */
static unsigned nearest_code(float x, float half)
{
    unsigned best = 0;

    for (unsigned code = 1; code < 16; code++)
        if (fabsf(rc_e2m1_doubled[code] * half - x) < fabsf(rc_e2m1_doubled[best] * half - x))
            best = code;
    return best;
}

void rc_quant_mxfp4_ref(uint8_t *restrict out, const float *restrict x,
                        const float *restrict importance, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    rc_block_mxfp4 *b = (rc_block_mxfp4 *)(void *)out;

    (void)importance;
    for (size_t at = 0; at < n; at += RC_BLOCK_SMALL, b++) {
        float max = 0;
        for (unsigned i = 0; i < RC_BLOCK_SMALL; i++)
            max = fabsf(x[at + i]) > max ? fabsf(x[at + i]) : max;
        b->e = rc_mxfp4_scale(max);
        const float half = rc_mxfp4_half(b->e);
        for (unsigned j = 0; j < 16; j++)
            b->qs[j] =
                (uint8_t)(nearest_code(x[at + j], half) | nearest_code(x[at + j + 16], half) << 4);
    }
    rc_rounding_leave(saved);
}

RC_NEAREST_TABLE(mxfp4, RC_DTYPE_MXFP4, false)
