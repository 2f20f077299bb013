/* quantize/iq_fit.h - the error of a block as a function of its d.
 *
 * A block decodes to d times values v that its codes and scales give; the sums below say what
 * any d makes of them, and which is best. */
#ifndef RC_QUANTIZE_IQ_FIT_H
#define RC_QUANTIZE_IQ_FIT_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernels/f16.h"

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

#endif
