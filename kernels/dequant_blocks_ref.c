/* kernels/dequant_blocks_ref.c - element i of a block, as formats/blocks.h says it. */
#include "kernels/dequant_blocks.h"

#include <math.h>

#include "kernels/block_tables.h"
#include "kernels/codes.h"
#include "kernels/f16.h"
#include "kernels/rounding.h"

static float f16_at(const uint8_t p[2])
{
    return rc_f16_decode(rc_u16_at(p));
}

/* Code of element i of a split run of 2 * half elements. */
static unsigned split_code(const uint8_t *qs, unsigned i, unsigned half)
{
    return i < half ? qs[i] & 15 : qs[i - half] >> 4;
}

/* Two bits of Q2_K and Q3_K. */
static unsigned two_bits(const uint8_t qs[64], unsigned i)
{
    return qs[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
}

static float q4_0(const void *block, unsigned i)
{
    const rc_block_q4_0 *b = block;

    return (float)((int)split_code(b->qs, i, 16) - 8) * f16_at(b->d);
}

static float q8_0(const void *block, unsigned i)
{
    const rc_block_q8_0 *b = block;

    return (float)(int8_t)b->qs[i] * f16_at(b->d);
}

static float mxfp4(const void *block, unsigned i)
{
    const rc_block_mxfp4 *b = block;
    const float code = (float)rc_e2m1_doubled[split_code(b->qs, i, 16)] * 0.5f;

    return code * rc_e8m0_value(b->e);
}

static float nvfp4(const void *block, unsigned i)
{
    const rc_block_nvfp4 *b = block;
    const unsigned t = i / 16, e = b->d[t];
    const float code = (float)rc_e2m1_doubled[split_code(b->qs + 8 * t, i % 16, 8)] * 0.5f;

    if (e == RC_E4M3_NAN)
        return code * 0.0f;
    return code * (e == 0xff ? 480.0f : rc_e4m3_value(e & 0x7f));
}

static float q2_k(const void *block, unsigned i)
{
    const rc_block_q2_k *b = block;
    const unsigned s = b->scales[i / 16];

    return f16_at(b->d) * (float)(s & 15) * (float)two_bits(b->qs, i) -
           f16_at(b->dmin) * (float)(s >> 4);
}

static float q3_k(const void *block, unsigned i)
{
    const rc_block_q3_k *b = block;
    const int scale = rc_q3_k_scale(b->scales, i / 16) - 32;
    const unsigned q = two_bits(b->qs, i) | ((unsigned)b->hmask[i % 32] >> i / 32 & 1) << 2;

    return f16_at(b->d) * (float)scale * (float)((int)q - 4);
}

static float q4_k(const void *block, unsigned i)
{
    const rc_block_q4_k *b = block;
    const unsigned q = split_code(b->qs + i / 64 * 32, i % 64, 32);

    return f16_at(b->d) * (float)rc_k4_scale(b->scales, i / 32) * (float)q -
           f16_at(b->dmin) * (float)rc_k4_min(b->scales, i / 32);
}

static float q5_k(const void *block, unsigned i)
{
    const rc_block_q5_k *b = block;
    const unsigned high = b->qh[i % 32] >> i / 32 & 1;
    const unsigned q = split_code(b->qs + i / 64 * 32, i % 64, 32) | high << 4;

    return f16_at(b->d) * (float)rc_k4_scale(b->scales, i / 32) * (float)q -
           f16_at(b->dmin) * (float)rc_k4_min(b->scales, i / 32);
}

static float q6_k(const void *block, unsigned i)
{
    const rc_block_q6_k *b = block;
    const unsigned h = i / 128, t = i % 128 / 32, l = i % 32;
    const unsigned low = b->ql[64 * h + t % 2 * 32 + l] >> t / 2 * 4 & 15;
    const unsigned q = low | ((unsigned)b->qh[32 * h + l] >> 2 * t & 3) << 4;

    return f16_at(b->d) * (float)(int8_t)b->scales[i / 16] * (float)((int)q - 32);
}

static float iq2_xxs(const void *block, unsigned i)
{
    const rc_block_iq2_xxs *b = block;
    const uint8_t *sub = b->qs + i / 32 * 8;
    const unsigned run = i % 32 / 8, j = i % 8;
    const uint32_t word = rc_u32_at(sub + 4);
    const unsigned minus = rc_iq2_signs(word >> 7 * run & 127) >> j & 1;
    const int value = (int)(rc_iq2_xxs_grid[sub[run]] >> 8 * j & 255);
    const float scale = f16_at(b->d) * (0.5f + (float)(word >> 28)) * 0.25f;

    return scale * (float)(minus ? -value : value);
}

static float iq4_xs(const void *block, unsigned i)
{
    const rc_block_iq4_xs *b = block;
    const unsigned q = split_code(b->qs + i / 32 * 16, i % 32, 16);

    return f16_at(b->d) * (float)(rc_iq4_xs_scale(b, i / 32) - 32) * (float)rc_iq4_values[q];
}

static void decode(float *y, const uint8_t *blocks, size_t n, unsigned nelems, size_t nbytes,
                   float (*element)(const void *, unsigned))
{
    const rc_rounding saved = rc_rounding_enter();

    for (size_t i = 0; i < n; i++) {
        const float value = element(blocks + i / nelems * nbytes, (unsigned)(i % nelems));
        y[i] = isnan(value) ? rc_f32_of_bits(RC_F32_NAN) : value;
    }
    rc_rounding_leave(saved);
}

#if defined(__x86_64__)
#define VARIANTS(type)                                                                             \
    { "avx2", RC_CPU_AVX2, rc_dequant_##type##_avx2 },                                             \
        { "avx512", RC_CPU_AVX512, rc_dequant_##type##_avx512 },
#else
#define VARIANTS(type)
#endif

#define REFERENCE(TYPE, type, nelems)                                                              \
    void rc_dequant_##type##_ref(float *restrict y, const uint8_t *restrict blocks, size_t n)      \
    {                                                                                              \
        decode(y, blocks, n, nelems, sizeof(rc_block_##type), type);                               \
    }                                                                                              \
    static const rc_dequant_blocks_impl type##_impls[] = {                                         \
        { "ref", 0, rc_dequant_##type##_ref },                                                     \
        VARIANTS(type){ 0 },                                                                       \
    };

RC_DEQUANT_BLOCKS_TYPES(REFERENCE)

const rc_dequant_blocks_impl *rc_dequant_blocks_impls(rc_dtype dtype)
{
    switch (dtype) {
#define CASE(TYPE, type, nelems)                                                                   \
    case RC_DTYPE_##TYPE:                                                                          \
        return type##_impls;
        RC_DEQUANT_BLOCKS_TYPES(CASE)
    default:
        return NULL;
    }
}

rc_dequant_blocks_fn *rc_dequant_blocks_best(rc_dtype dtype)
{
    const unsigned have = rc_cpu_flags();
    const rc_dequant_blocks_impl *best = rc_dequant_blocks_impls(dtype);

    if (!best)
        return NULL;
    for (const rc_dequant_blocks_impl *row = best; row->fn; row++)
        if ((row->need & ~have) == 0)
            best = row;
    return best->fn;
}
