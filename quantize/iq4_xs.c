/* quantize/iq4_xs.c - the reference of IQ4_XS, and its row of the table.
 *
 * `a * b * c` is (a * b) * c, and sums run over the elements in order: ggml's bytes. */
#include "quantize/iq4_xs.h"

#include <math.h>
#include <string.h>

#include "kernels/block_tables.h"
#include "kernels/cpu.h"
#include "kernels/f16.h"
#include "kernels/rounding.h"
#include "quantize/iq4_better.h"
#include "quantize/search.h"

#define LOWEST  (-127) /* rc_iq4_values[0], the value of largest magnitude */
#define TRIES   7      /* scales on each side of the first */
#define LONGEST 32     /* a scale is -32 .. 31 times d */

uint8_t rc_iq4_code(float x)
{
    unsigned above = 1;

    if (x <= (float)rc_iq4_values[0])
        return 0;
    if (x >= (float)rc_iq4_values[15])
        return 15;
    while (above < 15 && !(x < (float)rc_iq4_values[above]))
        above++;
    const float down = x - (float)rc_iq4_values[above - 1];
    const float up = (float)rc_iq4_values[above] - x;
    return (uint8_t)(down < up ? above - 1 : above);
}

typedef struct moments { /* of values q of the table and x under weights w */
    float qx, q2;
} moments;

static moments fit(const float *x, const float *w, float inverse)
{
    moments m = { 0, 0 };

    for (unsigned i = 0; i < RC_IQ4_SUB; i++) {
        const float q = rc_iq4_values[rc_iq4_code(inverse * x[i])];
        m.qx += w[i] * q * x[i];
        m.q2 += w[i] * q * q;
    }
    return m;
}

/* The scale of a sub-block. The first that is tried gives the value of largest magnitude the
 * table's own, the others values near it. */
static float search(const float *x, const float *w)
{
    float largest = 0, max = 0;

    for (unsigned i = 0; i < RC_IQ4_SUB; i++)
        if (fabsf(x[i]) > largest) {
            largest = fabsf(x[i]);
            max = x[i];
        }
    if (largest < RC_SEARCH_ZERO)
        return 0;

    const float first = -max / LOWEST;
    moments m = fit(x, w, 1 / first);
    float scale = m.q2 > 0 ? m.qx / m.q2 : 0;
    float best = scale * m.qx;

    for (int k = -TRIES; k <= TRIES; k++) {
        m = fit(x, w, (float)(k + LOWEST) / max);
        /* with the best scale for these codes, the error falls as qx^2 / q2 grows */
        if (m.q2 > 0 && m.qx * m.qx > best * m.q2) {
            scale = m.qx / m.q2;
            best = scale * m.qx;
        }
    }
    return scale;
}

static void weigh(float w[RC_IQ4_SUB], const float *x, const float *importance, float sigma2)
{
    for (unsigned i = 0; i < RC_IQ4_SUB; i++)
        w[i] = importance ? importance[i] * sqrtf(sigma2 + x[i] * x[i]) : x[i] * x[i];
}

/* Codes and the 6-bit scale of sub-block s. They follow the f32 d, not what f16 made of it. */
static void encode(rc_block_iq4_xs *b, unsigned s, const float *x, float scale, float d)
{
    const int l = rc_search_round_within((d != 0 ? 1 / d : 0) * scale, -LONGEST, LONGEST - 1);
    const float step = d * (float)l;
    const float inverse = step != 0 ? 1 / step : 0;

    for (unsigned j = 0; j < 16; j++)
        b->qs[16 * s + j] =
            (uint8_t)(rc_iq4_code(inverse * x[j]) | rc_iq4_code(inverse * x[j + 16]) << 4);
    rc_iq4_put_scale(b, s, l);
}

static void quantize_block(rc_block_iq4_xs *b, const float *x, const float *importance)
{
    float scales[RC_IQ4_SUBS], w[RC_IQ4_SUB];
    float sigma2 = 0, longest = 0, max = 0;

    for (unsigned i = 0; i < RC_BLOCK_SUPER; i++)
        sigma2 += x[i] * x[i];
    sigma2 *= 2.0f / RC_BLOCK_SUPER;
    for (unsigned s = 0; s < RC_IQ4_SUBS; s++) {
        const unsigned at = s * RC_IQ4_SUB;
        weigh(w, x + at, importance ? importance + at : NULL, sigma2);
        scales[s] = search(x + at, w);
        if (fabsf(scales[s]) > longest) {
            longest = fabsf(scales[s]);
            max = scales[s];
        }
    }

    const float d = -max / LONGEST; /* -0 when all scales are 0, as ggml has it */
    memset(b, 0, sizeof *b);
    rc_u16_put(b->d, rc_f16_encode(d));
    for (unsigned s = 0; s < RC_IQ4_SUBS; s++)
        encode(b, s, x + s * RC_IQ4_SUB, scales[s], d);
}

void rc_quant_iq4_xs_ref(uint8_t *restrict out, const float *restrict x,
                         const float *restrict importance, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();

    for (size_t at = 0; at < n; at += RC_BLOCK_SUPER) {
        rc_block_iq4_xs block;
        quantize_block(&block, x + at, importance ? importance + at : NULL);
        memcpy(out, &block, sizeof block);
        out += sizeof block;
    }
    rc_rounding_leave(saved);
}

static const rc_quant_impl impls[] = {
    { "ref", 0, rc_quant_iq4_xs_ref },
    { "avx2", RC_CPU_AVX2, rc_quant_iq4_xs_avx2 },
    { "avx512", RC_CPU_AVX512, rc_quant_iq4_xs_avx512 },
    { 0 },
};

const rc_quantizer rc_quantizer_iq4_xs = { RC_DTYPE_IQ4_XS, true, false, impls,
                                           rc_iq4_better_impls };
