/* quantize/iq_fit.h - what the improvements of IQ blocks share: the error of a block as a function
 * of its d, and the way through a row.
 *
 * A block decodes to d times values v that its codes and scales give; the sums below say what
 * any d makes of them, and which is best. */
#ifndef RC_QUANTIZE_IQ_FIT_H
#define RC_QUANTIZE_IQ_FIT_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "formats/blocks.h"
#include "kernels/f16.h"
#include "kernels/rounding.h"
#include "quantize/block_quant.h"

typedef struct rc_iq_fit {
    double xx, xv, vv; /* sums of w x^2, w x v and w v^2 */
} rc_iq_fit;

static inline void rc_iq_fit_add(rc_iq_fit *f, double w, double x, double v)
{
    f->xx += w * x * x;
    f->xv += w * x * v;
    f->vv += w * v * v;
}

static inline double rc_iq_fit_error(const rc_iq_fit *f, double d)
{
    return f->xx - 2 * d * f->xv + d * d * f->vv;
}

/** The best d, as the block stores it. False: there is none. */
static inline bool rc_iq_fit_d(const rc_iq_fit *f, uint16_t *d)
{
    *d = rc_f16_encode((float)(f->vv > 0 ? f->xv / f->vv : 0));
    return (*d & 0x7fff) > 0 && (*d & 0x7fff) < 0x7c00;
}

/* Lowers the error of one block, in place. Weights are never NULL. */
typedef void rc_iq_improve_fn(uint8_t *block, const float *x, const float *w);

/** Quantize, then improve each block. Without importance all weights are 1. */
static inline void rc_iq_improve_row(uint8_t *restrict out, const float *restrict x,
                                     const float *restrict importance, size_t n, size_t block_bytes,
                                     rc_quant_row_fn *quantize, rc_iq_improve_fn *improve)
{
    float ones[RC_BLOCK_SUPER];

    for (unsigned i = 0; i < RC_BLOCK_SUPER; i++)
        ones[i] = 1;
    quantize(out, x, importance, n);
    const rc_rounding saved = rc_rounding_enter();
    for (size_t at = 0; at < n; at += RC_BLOCK_SUPER, out += block_bytes)
        improve(out, x + at, importance ? importance + at : ones);
    rc_rounding_leave(saved);
}

/* The row function better_<variant>(), from <quantize>_<variant>() and from improve_block() with
 * <choose>_<variant>(). Block types are bytes, so any address will do. */
#define RC_IQ_BETTER(variant, block, quantize, choose)                                             \
    static void improve_##variant(uint8_t *b, const float *x, const float *w)                      \
    {                                                                                              \
        improve_block((block *)(void *)b, x, w, choose##_##variant);                               \
    }                                                                                              \
    static void better_##variant(uint8_t *restrict out, const float *restrict x,                   \
                                 const float *restrict importance, size_t n)                       \
    {                                                                                              \
        rc_iq_improve_row(out, x, importance, n, sizeof(block), quantize##_##variant,              \
                          improve_##variant);                                                      \
    }

#endif
