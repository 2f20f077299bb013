/* runtime/weights_impl.h - the weights from inside; for weights.c and weights_small.c only. */
#ifndef RC_RUNTIME_WEIGHTS_IMPL_H
#define RC_RUNTIME_WEIGHTS_IMPL_H

#include "runtime/weights.h"

/** The bound of that name, the other model's where it is swapped; NULL when there is none. */
const rc_bound *rc_weights_bound(const rc_weights *weights, const char *param);
/** What its columns are multiplied by when decoded, or NULL (swap.h). */
const float *rc_weights_columns(const rc_weights *weights, const rc_bound *bound);
rc_mem *rc_weights_mem(const rc_weights *weights);
/** Bytes read past the pieces. */
void rc_weights_count_bytes(rc_weights *weights, uint64_t nbytes);

#endif
