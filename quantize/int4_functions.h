/* quantize/int4_functions.h - the functions of int4.h and awq.h for one instruction set. */
#ifndef RC_QUANTIZE_INT4_FUNCTIONS_H
#define RC_QUANTIZE_INT4_FUNCTIONS_H

#include "quantize/awq_lanes.h"
#include "quantize/int4_feedback_lanes.h"
#include "quantize/int4_row_lanes.h"

#define INT4_FUNCTIONS(isa)                                                                        \
    void rc_int4_row_##isa(const rc_int4_row *out, const float *restrict x,                        \
                           const float *restrict importance, size_t n, const rc_int4_kind *kind,   \
                           rc_int4_tally *tally)                                                   \
    {                                                                                              \
        int4_row(out, x, importance, n, kind, tally);                                              \
    }                                                                                              \
    void rc_int4_feedback_##isa(const rc_int4_row *out, size_t rows, const float *restrict x,      \
                                size_t stride, const float *restrict importance,                   \
                                const float *restrict u, size_t n, const rc_int4_kind *kind,       \
                                rc_int4_tally *tally)                                              \
    {                                                                                              \
        int4_feedback(out, rows, x, stride, importance, u, n, kind, tally, rc_int4_row_##isa);     \
    }                                                                                              \
    void rc_awq_losses_##isa(double *loss, const float *restrict w, const float *restrict power,   \
                             const float *const *scales, size_t nscales, size_t n,                 \
                             const rc_int4_kind *kind, float *restrict work)                       \
    {                                                                                              \
        awq_losses(loss, w, power, scales, nscales, n, kind, work);                                \
    }

#endif
