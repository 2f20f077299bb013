/* quantize/iq4_better.c - the improvement of blocks; only the nearest codes have variants. */
#include "quantize/iq4_better.h"

#include <string.h>

#include "kernels/block_tables.h"
#include "kernels/cpu.h"
#include "quantize/iq_fit.h"

#define PASSES 2
#define REACH  3 /* scales on each side */

float rc_iq4_nearest_ref(uint8_t codes[RC_IQ4_SUB], const float x[RC_IQ4_SUB],
                         const float w[RC_IQ4_SUB], float step)
{
    const float inverse = step != 0 ? 1 / step : 0;
    float term[RC_IQ4_SUB];

    for (unsigned i = 0; i < RC_IQ4_SUB; i++) {
        codes[i] = rc_iq4_code(inverse * x[i]);
        const float off = x[i] - step * (float)rc_iq4_values[codes[i]];
        term[i] = w[i] * off * off;
    }
    for (unsigned half = RC_IQ4_SUB / 2; half > 0; half /= 2)
        for (unsigned i = 0; i < half; i++)
            term[i] += term[i + half];
    return term[0];
}

/* One sub-block as a block stores it, codes one a byte. */
typedef struct coded {
    uint8_t codes[RC_IQ4_SUB];
    int scale; /* -32 .. 31 */
} coded;

static void read_block(coded c[RC_IQ4_SUBS], const rc_block_iq4_xs *b)
{
    for (unsigned s = 0; s < RC_IQ4_SUBS; s++) {
        c[s].scale = rc_iq4_xs_scale(b, s) - 32;
        for (unsigned j = 0; j < 16; j++) {
            c[s].codes[j] = b->qs[16 * s + j] & 15;
            c[s].codes[j + 16] = b->qs[16 * s + j] >> 4;
        }
    }
}

static void write_block(rc_block_iq4_xs *b, const coded c[RC_IQ4_SUBS], uint16_t d)
{
    memset(b, 0, sizeof *b);
    rc_u16_put(b->d, d);
    for (unsigned s = 0; s < RC_IQ4_SUBS; s++) {
        rc_iq4_put_scale(b, s, c[s].scale);
        for (unsigned j = 0; j < 16; j++)
            b->qs[16 * s + j] = (uint8_t)(c[s].codes[j] | c[s].codes[j + 16] << 4);
    }
}

static rc_iq_fit measure(const coded c[RC_IQ4_SUBS], const float *x, const float *w)
{
    rc_iq_fit f = { 0, 0, 0 };

    for (unsigned i = 0; i < RC_BLOCK_SUPER; i++) {
        const coded *sub = &c[i / RC_IQ4_SUB];
        const int value = rc_iq4_values[sub->codes[i % RC_IQ4_SUB]];
        rc_iq_fit_add(&f, (double)w[i], (double)x[i], (double)(sub->scale * value));
    }
    return f;
}

static void improve_sub_block(coded *c, const float *x, const float *w, float d,
                              rc_iq4_nearest_fn *nearest)
{
    const int was = c->scale;
    float least = INFINITY;

    for (int k = 0; k <= 2 * REACH; k++) { /* 0, -1, 1, -2, ... from where it was */
        const int scale = was + (k % 2 ? -(k + 1) / 2 : k / 2);
        uint8_t codes[RC_IQ4_SUB];

        if (scale < -32 || scale > 31)
            continue;
        const float error = nearest(codes, x, w, d * (float)scale);
        if (error < least) {
            least = error;
            c->scale = scale;
            memcpy(c->codes, codes, sizeof codes);
        }
    }
}

static void improve_block(rc_block_iq4_xs *b, const float *x, const float *w,
                          rc_iq4_nearest_fn *nearest)
{
    coded c[RC_IQ4_SUBS];
    uint16_t d;

    read_block(c, b);
    rc_iq_fit f = measure(c, x, w);
    double least = rc_iq_fit_error(&f, (double)rc_f16_decode(rc_u16_at(b->d)));

    for (unsigned pass = 0; rc_iq_fit_d(&f, &d); pass++) {
        const float step = rc_f16_decode(d);
        const double error = rc_iq_fit_error(&f, (double)step);
        if (error < least) {
            least = error;
            write_block(b, c, d);
        }
        if (pass == PASSES)
            break;
        for (unsigned s = 0; s < RC_IQ4_SUBS; s++)
            improve_sub_block(&c[s], x + s * RC_IQ4_SUB, w + s * RC_IQ4_SUB, step, nearest);
        f = measure(c, x, w);
    }
}

RC_IQ_BETTER(ref, rc_block_iq4_xs, rc_quant_iq4_xs, rc_iq4_nearest)
RC_IQ_BETTER(avx2, rc_block_iq4_xs, rc_quant_iq4_xs, rc_iq4_nearest)
RC_IQ_BETTER(avx512, rc_block_iq4_xs, rc_quant_iq4_xs, rc_iq4_nearest)

const rc_quant_impl rc_iq4_better_impls[] = {
    { "ref", 0, better_ref },
    { "avx2", RC_CPU_AVX2, better_avx2 },
    { "avx512", RC_CPU_AVX512, better_avx512 },
    { 0 },
};
