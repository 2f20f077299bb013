/* kernels/recast_fp4_fp8_ref.c - the tile rule, one tile after the other. */
#include "kernels/recast_fp4_fp8.h"

#include <math.h>
#include <string.h>

#include "kernels/codes.h"

/* e4m3(code's magnitude * 2^shift), to nearest even, saturating. Counted in
 * E4M3's smallest step, 2^-9: the values are multiples of a half, so `halves`
 * of them are halves * 2^(shift + 8) steps. */
static uint8_t round_magnitude(unsigned code, int shift)
{
    static const unsigned halves[8] = { 0, 1, 2, 3, 4, 6, 8, 12 };
    const unsigned h = halves[code & 7];
    unsigned steps, exponent = 0;

    if (shift > 20)
        shift = 20; /* saturates anyway */
    if (shift >= -8) {
        steps = h << (shift + 8);
    } else if (shift >= -8 - 5) {
        const unsigned down = (unsigned)(-8 - shift), half = 1u << (down - 1);
        const unsigned rest = h & ((1u << down) - 1);
        steps = h >> down;
        if (rest > half || (rest == half && (steps & 1)))
            steps++;
    } else {
        steps = 0; /* 12 steps / 2^6 is under a half */
    }
    /* Two significant bits at most, so halving is exact; and below 16 steps the
     * code is the number of steps, subnormal or not. */
    while (steps >= 16) {
        steps >>= 1;
        exponent++;
    }
    steps += 8 * exponent;
    return steps > RC_E4M3_MAX ? RC_E4M3_MAX : (uint8_t)steps;
}

/* Decided by values: 2^shift times the magnitude is the number that is stored. */
static bool keeps(unsigned code, int shift)
{
    const double want = ldexp((double)rc_e2m1_value(code & 7), shift);

    return (double)rc_e4m3_value(round_magnitude(code, shift)) == want;
}

/* present[s] bit m: magnitude m occurs under group scale s. */
static bool tile_keeps(const uint8_t present[256], int lo, int hi, int scale)
{
    for (int s = lo; s <= hi; s++)
        for (unsigned m = 1; m < 8; m++)
            if ((present[s] >> m & 1) && !keeps(m, s - scale))
                return false;
    return true;
}

static uint8_t recode(unsigned code, int s, int scale)
{
    if (s == RC_E8M0_NAN)
        return RC_E4M3_NAN;
    return (uint8_t)(round_magnitude(code, s - scale) | (code & 8) << 4);
}

void rc_recast_fp4_fp8_tile(uint8_t *out, size_t out_stride, rc_fp8_tile *tile,
                            const uint8_t *codes, size_t code_stride, const uint8_t *scales,
                            size_t scale_stride, size_t rows, size_t cols)
{
    const size_t groups = cols / RC_FP4_GROUP;
    uint8_t present[256] = { 0 };
    int largest = 0, official, scale;

    *tile = (rc_fp8_tile){ .lo = 255, .hi = 0 };
    for (size_t r = 0; r < rows; r++)
        for (size_t g = 0; g < groups; g++) {
            const uint8_t s = scales[r * scale_stride + g];
            const uint8_t *q = codes + r * code_stride + g * (RC_FP4_GROUP / 2);
            if (s == RC_E8M0_NAN) {
                tile->nan = 1;
                continue;
            }
            if (s > largest)
                largest = s;
            for (unsigned i = 0; i < RC_FP4_GROUP / 2; i++)
                present[s] |= (uint8_t)(1u << (q[i] & 7) | 1u << (q[i] >> 4 & 7));
            if (present[s] & 0xfe) {
                tile->lo = s < tile->lo ? s : tile->lo;
                tile->hi = s > tile->hi ? s : tile->hi;
            }
        }

    official = largest > 6 ? largest - 6 : 0;
    scale = official;
    if (!tile->nan) {
        while (scale >= 0 && !tile_keeps(present, tile->lo, tile->hi, scale))
            scale--;
        tile->exact = scale >= 0;
    }
    tile->scale = (uint8_t)(tile->exact ? scale : official);

    for (size_t r = 0; r < rows; r++)
        for (size_t g = 0; g < groups; g++) {
            const uint8_t s = scales[r * scale_stride + g];
            const uint8_t *q = codes + r * code_stride + g * (RC_FP4_GROUP / 2);
            uint8_t *y = out + r * out_stride + g * RC_FP4_GROUP;
            uint8_t row[16];
            for (unsigned c = 0; c < 16; c++)
                row[c] = recode(c, s, tile->scale);
            for (unsigned i = 0; i < RC_FP4_GROUP / 2; i++) {
                y[2 * i] = row[q[i] & 15];
                y[2 * i + 1] = row[q[i] >> 4];
            }
        }
}

void rc_recast_fp4_fp8_ref(uint8_t *restrict out, size_t out_stride, rc_fp8_tile *restrict tiles,
                           const uint8_t *restrict codes, const uint8_t *restrict scales,
                           size_t rows, size_t cols, bool stream)
{
    (void)stream;
    for (size_t c = 0; c < cols; c += RC_FP8_TILE) {
        const size_t width = cols - c < RC_FP8_TILE ? cols - c : RC_FP8_TILE;
        rc_recast_fp4_fp8_tile(out + c, out_stride, tiles + c / RC_FP8_TILE, codes + c / 2,
                               cols / 2, scales + c / RC_FP4_GROUP, cols / RC_FP4_GROUP, rows,
                               width);
    }
}

bool rc_fp4_fp8_first_inexact(rc_fp8_inexact *out, const rc_fp8_tile *tiles, const uint8_t *codes,
                              const uint8_t *scales, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) {
            const rc_fp8_tile *tile = tiles + c / RC_FP8_TILE;
            const unsigned byte = codes[r * (cols / 2) + c / 2];
            const unsigned code = c & 1 ? byte >> 4 : byte & 15;
            const int s = scales[r * (cols / RC_FP4_GROUP) + c / RC_FP4_GROUP];
            if (s != RC_E8M0_NAN && keeps(code, s - tile->scale))
                continue;
            out->row = r;
            out->col = c;
            out->source = s == RC_E8M0_NAN
                              ? (double)NAN
                              : ldexp((double)rc_e2m1_value(code), s - RC_E8M0_BIAS);
            out->stored = ldexp((double)rc_e4m3_value(recode(code, s, tile->scale)),
                                tile->scale - RC_E8M0_BIAS);
            return true;
        }
    return false;
}

const rc_recast_fp4_fp8_impl rc_recast_fp4_fp8_impls[] = {
    { "ref", 0, rc_recast_fp4_fp8_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_recast_fp4_fp8_avx2 },
    { "avx512", RC_CPU_AVX512, rc_recast_fp4_fp8_avx512 },
#endif
    { 0 },
};

RC_CPU_DEFINE_BEST(recast_fp4_fp8)
