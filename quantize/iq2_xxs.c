/* quantize/iq2_xxs.c - the reference of IQ2_XXS, and its row of the table.
 *
 * `a * b * c` is (a * b) * c, and sums run over the elements in order: ggml's bytes. Where
 * ggml aborts (errors or scales that overflowed), this takes the first neighbour, or zeros. */
#include "quantize/iq2_xxs.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/block_tables.h"
#include "kernels/cpu.h"
#include "kernels/f16.h"
#include "kernels/rounding.h"
#include "quantize/iq2_better.h"
#include "quantize/iq2_grid.h"
#include "quantize/search.h"

#define TOP   2 /* the largest digit */
#define TRIES 6 /* scales on each side of the first */

typedef struct sub_block {
    float x[RC_IQ2_SUB]; /* magnitudes, but negative where the stored sign is the wrong one */
    float w[RC_IQ2_SUB];
    float root_w[RC_IQ2_SUB];
    uint8_t signs[RC_IQ2_RUNS]; /* seven of a run's eight */
    uint8_t points[RC_IQ2_RUNS];
    bool fitted;
} sub_block;

typedef struct moments { /* of grid values q and x under weights w */
    float qx, q2;
} moments;

/* Digit l stands for 2l + 1 scales. */
static float value_of(unsigned point, unsigned j)
{
    return (float)(2 * (rc_iq2_xxs_digits[point] >> 2 * j & 3) + 1);
}

static void weigh(sub_block *sub, const float *x, const float *importance, float sigma2)
{
    for (unsigned i = 0; i < RC_IQ2_SUB; i++) {
        sub->w[i] = importance[i] * sqrtf(sigma2 + x[i] * x[i]);
        sub->root_w[i] = sqrtf(sub->w[i]);
    }
}

static uint8_t take_signs(float *magnitude, const float *x, const float *w)
{
    unsigned signs = 0, count = 0, least = 0;

    for (unsigned j = 0; j < RC_IQ2_RUN; j++) {
        const bool negative = !(x[j] >= 0);
        magnitude[j] = negative ? -x[j] : x[j];
        signs |= (unsigned)negative << j;
        count += negative;
        if (w[j] * x[j] * x[j] < w[least] * x[least] * x[least])
            least = j;
    }
    if (count % 2) {
        magnitude[least] = -magnitude[least];
        signs ^= 1u << least;
    }
    return signs & 127;
}

static float error_of(const float *x, const float *root_w, unsigned point, float scale)
{
    float error = 0;

    for (unsigned j = 0; j < RC_IQ2_RUN; j++) {
        const float off = scale * value_of(point, j) - x[j];
        error += root_w[j] * off * off;
    }
    return error;
}

uint8_t rc_iq2_xxs_choose(const rc_iq2_grid *grid, const float *x, const float *root_w, float scale,
                          float inverse)
{
    unsigned index = 0;
    float least = FLT_MAX;

    for (unsigned j = RC_IQ2_RUN; j-- > 0;)
        index = 3 * index + (unsigned)rc_search_round_within(0.5f * (inverse * x[j] - 1), 0, TOP);
    const rc_iq2_tuple *tuple = &grid->tuples[index];
    uint8_t point = tuple->point;

    for (unsigned i = 0; i < tuple->count; i++) {
        const uint8_t candidate = grid->neighbours[tuple->first + i];
        const float error = error_of(x, root_w, candidate, scale);
        if (error < least) {
            least = error;
            point = candidate;
        }
    }
    return point;
}

static moments fit(const rc_iq2_grid *grid, const sub_block *sub, float scale, float inverse,
                   uint8_t points[RC_IQ2_RUNS])
{
    moments m = { 0, 0 };

    for (unsigned r = 0; r < RC_IQ2_RUNS; r++)
        points[r] = rc_iq2_xxs_choose(grid, sub->x + r * RC_IQ2_RUN, sub->root_w + r * RC_IQ2_RUN,
                                      scale, inverse);
    for (unsigned i = 0; i < RC_IQ2_SUB; i++) {
        const float q = value_of(points[i / RC_IQ2_RUN], i % RC_IQ2_RUN);
        m.qx += sub->w[i] * sub->x[i] * q;
        m.q2 += sub->w[i] * q * q;
    }
    return m;
}

/* The scale of a sub-block, and its points. Not fitted: it counts as zeros. */
static float search(sub_block *sub)
{
    const rc_iq2_grid *grid = rc_iq2_grid_get();
    uint8_t codes[RC_IQ2_SUB], points[RC_IQ2_RUNS];
    float scale = rc_search_positive(codes, sub->x, sub->w, RC_IQ2_SUB, TOP + 2);
    const float reach = scale * (TOP + 1);
    float best = 0;

    memset(sub->points, 0, sizeof sub->points);
    sub->fitted = reach > 0 && reach <= FLT_MAX;
    if (!sub->fitted)
        return 0;
    for (int k = -TRIES; k <= TRIES; k++) {
        const float inverse = (2 * TOP + 1 + (float)k * 0.1f) / reach;
        const moments m = fit(grid, sub, 1 / inverse, inverse, points);
        /* with the best scale for these points, the error falls as qx^2 / q2 grows */
        if (m.q2 > 0 && m.qx * m.qx > best * m.q2) {
            scale = m.qx / m.q2;
            best = scale * m.qx;
            memcpy(sub->points, points, sizeof points);
        }
    }
    if (scale > 0) {
        const moments m = fit(grid, sub, scale, 1 / scale, sub->points);
        if (m.q2 > 0)
            scale = m.qx / m.q2;
    }
    return scale;
}

/* d and the 4-bit scales, odd multiples of d / 8, once the scales of all sub-blocks are known. */
void rc_iq2_xxs_put_scales(rc_block_iq2_xxs *b, const float scales[RC_IQ2_SUBS], float longest)
{
    const float d = longest / 31;
    const float inverse = 1 / d;

    if (longest == 0) {
        memset(b, 0, sizeof *b);
        return;
    }
    rc_u16_put(b->d, rc_f16_encode(d));
    for (unsigned s = 0; s < RC_IQ2_SUBS; s++) {
        const int l = rc_search_round_within(0.5f * (inverse * scales[s] - 1), 0, 15);
        b->qs[8 * s + 7] |= (uint8_t)(l << 4);
    }
}

/* Points and signs to `qs`, zeros where there is nothing to fit. */
static float quantize_sub_block(uint8_t qs[8], const float *x, const float *importance,
                                float sigma2)
{
    sub_block sub;
    uint32_t signs = 0;

    weigh(&sub, x, importance, sigma2);
    for (unsigned at = 0, r = 0; r < RC_IQ2_RUNS; at += RC_IQ2_RUN, r++)
        signs |= (uint32_t)take_signs(sub.x + at, x + at, sub.w + at) << 7 * r;
    float scale = search(&sub);

    if (scale < 0) { /* the wrong signs outweigh the right ones; a scale is stored unsigned */
        scale = -scale;
        signs ^= 0x0fffffff;
    }
    if (!sub.fitted)
        return 0;
    memcpy(qs, sub.points, sizeof sub.points);
    rc_u32_put(qs + 4, signs);
    return scale;
}

void rc_quant_iq2_xxs_block(rc_block_iq2_xxs *b, const float *x, const float *importance)
{
    float scales[RC_IQ2_SUBS];
    float sigma2 = 0, longest = 0;

    for (unsigned i = 0; i < RC_BLOCK_SUPER; i++)
        sigma2 += x[i] * x[i];
    sigma2 /= RC_BLOCK_SUPER;
    memset(b, 0, sizeof *b);
    for (unsigned s = 0; s < RC_IQ2_SUBS; s++) {
        const unsigned at = s * RC_IQ2_SUB;
        scales[s] = quantize_sub_block(b->qs + 8 * s, x + at, importance + at, sigma2);
        longest = scales[s] > longest ? scales[s] : longest;
    }
    rc_iq2_xxs_put_scales(b, scales, longest);
}

void rc_quant_iq2_xxs_ref(uint8_t *restrict out, const float *restrict x,
                          const float *restrict importance, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();

    for (size_t at = 0; at < n; at += RC_BLOCK_SUPER) {
        rc_block_iq2_xxs block;
        rc_quant_iq2_xxs_block(&block, x + at, importance + at);
        memcpy(out, &block, sizeof block);
        out += sizeof block;
    }
    rc_rounding_leave(saved);
}

static const rc_quant_impl impls[] = {
    { "ref", 0, rc_quant_iq2_xxs_ref },
    { "avx2", RC_CPU_AVX2, rc_quant_iq2_xxs_avx2 },
    { "avx512", RC_CPU_AVX512, rc_quant_iq2_xxs_avx512 },
    { 0 },
};

const rc_quantizer rc_quantizer_iq2_xxs = { RC_DTYPE_IQ2_XXS, true, true, impls,
                                            rc_iq2_better_impls };
