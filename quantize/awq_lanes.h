/* quantize/awq_lanes.h - rc_awq_losses: the searches of int4.h on scaled rows. */
#ifndef RC_QUANTIZE_AWQ_LANES_H
#define RC_QUANTIZE_AWQ_LANES_H

#include "quantize/awq.h"
#include "quantize/int4_row_lanes.h"

/* The scaled row, and what an error of it counts. */
VEC_INLINE void awq_scale(float *x, float *importance, const float *w, const float *power,
                          const float *s, size_t n)
{
    for (size_t k = 0; k < n; k += VEC) {
        const vec by = vec_load(s + k);
        vec_store(x + k, vec_load(w + k) * by);
        vec_store(importance + k, vec_load(power + k) / (by * by));
    }
}

VEC_INLINE void awq_losses(double *loss, const float *w, const float *power,
                           const float *const *scales, size_t nscales, size_t n,
                           const rc_int4_kind *kind, float *work)
{
    const rc_rounding saved = rc_rounding_enter();
    float *x = work, *importance = work + n;
    const size_t groups = n / kind->group;
    int4_found f;

    for (size_t i = 0; i < nscales; i++) {
        double sum = 0;
        awq_scale(x, importance, w, power, scales[i], n);
        for (size_t first = 0; first < groups; first += VEC) {
            int4_find(&f, x + first * kind->group, importance + first * kind->group, groups - first,
                      kind);
            for (unsigned lane = 0; lane < VEC && first + lane < groups; lane++)
                sum += (double)f.loss[lane];
        }
        loss[i] += sum;
    }
    rc_rounding_leave(saved);
}

#endif
