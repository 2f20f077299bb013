/* quantize/iq2_better.c - the improvement of blocks; only the choice of a point has variants. */
#include "quantize/iq2_better.h"

#include <math.h>
#include <string.h>

#include "kernels/block_tables.h"
#include "kernels/cpu.h"
#include "quantize/iq2_xxs.h"
#include "quantize/iq_fit.h"

#define PASSES 2

/* Values under d = 8: what the format multiplies by d * (2 scale + 1) / 8. */
static float value_of(unsigned point, unsigned j)
{
    return (float)(rc_iq2_xxs_grid[point] >> 8 * j & 255);
}

float rc_iq2_best_point_ref(uint8_t *point, const float x[RC_IQ2_RUN], const float w[RC_IQ2_RUN],
                            float scale, bool odd)
{
    float least = INFINITY;

    *point = 0;
    for (unsigned p = 0; p < 256; p++) {
        float error = 0, wrong = INFINITY;
        for (unsigned j = 0; j < RC_IQ2_RUN; j++) {
            const float value = value_of(p, j), off = scale * value - x[j];
            error += w[j] * off * off;
            wrong = fminf(wrong, w[j] * x[j] * value);
        }
        if (odd)
            error += 4 * scale * wrong;
        if (error < least) {
            least = error;
            *point = (uint8_t)p;
        }
    }
    return least;
}

/* One sub-block as a block stores it. */
typedef struct coded {
    uint8_t points[RC_IQ2_RUNS];
    uint8_t signs[RC_IQ2_RUNS]; /* all eight, an even number */
    unsigned scale;             /* 0 .. 15 */
} coded;

static void read_block(coded c[RC_IQ2_SUBS], const rc_block_iq2_xxs *b)
{
    for (unsigned s = 0; s < RC_IQ2_SUBS; s++) {
        const uint32_t word = rc_u32_at(b->qs + 8 * s + 4);
        memcpy(c[s].points, b->qs + 8 * s, sizeof c[s].points);
        for (unsigned r = 0; r < RC_IQ2_RUNS; r++)
            c[s].signs[r] = rc_iq2_signs(word >> 7 * r & 127);
        c[s].scale = word >> 28;
    }
}

static void write_block(rc_block_iq2_xxs *b, const coded c[RC_IQ2_SUBS], uint16_t d)
{
    rc_u16_put(b->d, d);
    for (unsigned s = 0; s < RC_IQ2_SUBS; s++) {
        uint32_t word = (uint32_t)c[s].scale << 28;
        for (unsigned r = 0; r < RC_IQ2_RUNS; r++)
            word |= (uint32_t)(c[s].signs[r] & 127) << 7 * r;
        memcpy(b->qs + 8 * s, c[s].points, sizeof c[s].points);
        rc_u32_put(b->qs + 8 * s + 4, word);
    }
}

static rc_iq_fit measure(const coded c[RC_IQ2_SUBS], const float *x, const float *w)
{
    rc_iq_fit f = { 0, 0, 0 };

    for (unsigned i = 0; i < RC_BLOCK_SUPER; i++) {
        const coded *sub = &c[i / RC_IQ2_SUB];
        const unsigned r = i % RC_IQ2_SUB / RC_IQ2_RUN, j = i % RC_IQ2_RUN;
        const float size = value_of(sub->points[r], j) * (float)(2 * sub->scale + 1) / 8;
        const float v = sub->signs[r] >> j & 1 ? -size : size;
        rc_iq_fit_add(&f, (double)w[i], (double)x[i], (double)v);
    }
    return f;
}

/* The signs of x, but an even number of minus signs: at the least cost under the point. */
static uint8_t choose_signs(const float *x, const float *w, unsigned point)
{
    unsigned signs = 0, cheapest = 0;
    float least = INFINITY;

    for (unsigned j = 0; j < RC_IQ2_RUN; j++) {
        const float wrong = w[j] * fabsf(x[j]) * value_of(point, j);
        signs |= (unsigned)(x[j] < 0) << j;
        if (wrong < least) {
            least = wrong;
            cheapest = j;
        }
    }
    return (uint8_t)(__builtin_parity(signs) ? signs ^ 1u << cheapest : signs);
}

static float try_scale(uint8_t points[RC_IQ2_RUNS], const float *x, const float *w, float d,
                       unsigned scale, rc_iq2_best_point_fn *best_point)
{
    const float step = d * (float)(2 * scale + 1) / 8;
    float error = 0;

    for (unsigned at = 0, r = 0; r < RC_IQ2_RUNS; at += RC_IQ2_RUN, r++) {
        float size[RC_IQ2_RUN];
        unsigned minus = 0;
        for (unsigned j = 0; j < RC_IQ2_RUN; j++) {
            size[j] = fabsf(x[at + j]);
            minus += x[at + j] < 0;
        }
        error += best_point(&points[r], size, w + at, step, minus % 2);
    }
    return error;
}

static void improve_sub_block(coded *c, const float *x, const float *w, float d,
                              rc_iq2_best_point_fn *best_point)
{
    const unsigned was = c->scale;
    float least = INFINITY;

    for (unsigned k = 0; k < 3; k++) { /* as it was, one less, one more */
        const unsigned scale = k == 0 ? was : k == 1 ? was - 1 : was + 1;
        uint8_t points[RC_IQ2_RUNS];

        if (scale > 15) /* also below 0 */
            continue;
        const float error = try_scale(points, x, w, d, scale, best_point);
        if (error < least) {
            least = error;
            c->scale = scale;
            memcpy(c->points, points, sizeof points);
        }
    }
    for (unsigned r = 0; r < RC_IQ2_RUNS; r++)
        c->signs[r] = choose_signs(x + r * RC_IQ2_RUN, w + r * RC_IQ2_RUN, c->points[r]);
}

static void improve_block(rc_block_iq2_xxs *b, const float *x, const float *w,
                          rc_iq2_best_point_fn *best_point)
{
    coded c[RC_IQ2_SUBS];
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
        for (unsigned s = 0; s < RC_IQ2_SUBS; s++)
            improve_sub_block(&c[s], x + s * RC_IQ2_SUB, w + s * RC_IQ2_SUB, step, best_point);
        f = measure(c, x, w);
    }
}

RC_IQ_BETTER(ref, rc_block_iq2_xxs, rc_quant_iq2_xxs, rc_iq2_best_point)
RC_IQ_BETTER(avx2, rc_block_iq2_xxs, rc_quant_iq2_xxs, rc_iq2_best_point)
RC_IQ_BETTER(avx512, rc_block_iq2_xxs, rc_quant_iq2_xxs, rc_iq2_best_point)

const rc_quant_impl rc_iq2_better_impls[] = {
    { "ref", 0, better_ref },
    { "avx2", RC_CPU_AVX2, better_avx2 },
    { "avx512", RC_CPU_AVX512, better_avx512 },
    { 0 },
};
