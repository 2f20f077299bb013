/* kernels/hadamard_simd.h - the transform over any width of register, WIDTH elements of a `vec`.
 *
 * A variant defines both, then load(), store(), add(), sub(), scaled() (with NaN made
 * RC_F32_NAN) and within(), the spans below WIDTH. GROUP registers at a time are kept until all
 * spans among them are done. Butterflies of one element are always taken in the order of the
 * reference, whatever the grouping. */
#ifndef RC_KERNELS_HADAMARD_SIMD_H
#define RC_KERNELS_HADAMARD_SIMD_H

#if defined(__AVX2__) /* nothing here is for files without an instruction set */

#include "kernels/act_round.h"
#include "kernels/hadamard_scale.h"
#include "kernels/rounding.h"
#include "kernels/unroll.h"

#define GROUP 8u

static inline __attribute__((always_inline)) void between(vec *v, unsigned count, unsigned span)
{
    RC_UNROLL
    for (unsigned k = 0; k < count / 2; k++) {
        const unsigned i = k / span * 2 * span + k % span;
        const vec a = v[i], b = v[i + span];
        v[i] = add(a, b);
        v[i + span] = sub(a, b);
    }
}

/* All spans below count * WIDTH; `count` is a constant where this is called. */
static inline __attribute__((always_inline)) void group(float *y, const float *x, unsigned count,
                                                        float scale)
{
    vec v[GROUP];

    RC_UNROLL
    for (unsigned k = 0; k < count; k++)
        v[k] = within(load(x + WIDTH * k));
    if (count >= 2)
        between(v, count, 1);
    if (count >= 4)
        between(v, count, 2);
    if (count >= 8)
        between(v, count, 4);
    RC_UNROLL
    for (unsigned k = 0; k < count; k++)
        store(y + WIDTH * k, scaled(v[k], scale));
}

/* The spans that remain, each through memory. */
static inline void across(float *y, size_t n, float scale)
{
    for (size_t span = (size_t)GROUP * WIDTH; span < n; span *= 2) {
        const float by = 2 * span == n ? scale : 1.0f;
        for (size_t i = 0; i < n; i += 2 * span)
            for (size_t j = i; j < i + span; j += WIDTH) {
                const vec a = load(y + j), b = load(y + j + span);
                store(y + j, scaled(add(a, b), by));
                store(y + j + span, scaled(sub(a, b), by));
            }
    }
}

static inline void transform(float *y, const float *x, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    const float scale = rc_hadamard_scale(n);

    switch (n / WIDTH) {
    case 0:
        rc_hadamard_ref(y, x, n);
        break;
    case 1:
        group(y, x, 1, scale);
        break;
    case 2:
        group(y, x, 2, scale);
        break;
    case 4:
        group(y, x, 4, scale);
        break;
    case GROUP:
        group(y, x, GROUP, scale);
        break;
    default:
        for (size_t i = 0; i < n; i += (size_t)GROUP * WIDTH)
            group(y + i, x + i, GROUP, 1.0f);
        across(y, n, scale);
    }
    rc_rounding_leave(saved);
}

#endif

#endif
