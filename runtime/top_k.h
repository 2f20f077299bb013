/* runtime/top_k.h - which of many scores are the largest. */
#ifndef RC_RUNTIME_TOP_K_H
#define RC_RUNTIME_TOP_K_H

#include <stddef.h>
#include <stdint.h>

/** The indices of the min(k, n) largest of score[n] in ascending order, to `out`; returns how many.
 *  Of equal scores the lower index wins; -0 equals +0; a NaN is below everything. Time grows with n
 *  only. */
size_t rc_top_k(uint32_t *out, const float *score, size_t n, size_t k);

#endif
