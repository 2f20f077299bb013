/* runtime/numerics.h - where the forward pass rounds.
 *
 * `f32` keeps activations in float: only the weights differ between two models. `native`
 * rounds where the reference does (BF16 tensors, activations of quantized linears in FP8 by blocks
 * of 128, keys in FP8 by 64, the indexer in FP4), whatever the weights are stored as: it follows
 * from the place in the model, not from the file. Source: the official model.py and kernel.py; the
 * table of rounding points is in docs/runtime.md. */
#ifndef RC_RUNTIME_NUMERICS_H
#define RC_RUNTIME_NUMERICS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum rc_numerics { RC_NUMERICS_F32, RC_NUMERICS_NATIVE } rc_numerics;

/* All in place; nothing in f32. */
void rc_round_bf16(rc_numerics nm, float *x, size_t n);
/** FP8 by blocks of 64: keys but for their rope part. n is a multiple of 64. */
void rc_round_key(rc_numerics nm, float *x, size_t n);
/** FP4 by blocks of 32: queries and keys of the indexer. */
void rc_round_index(rc_numerics nm, float *x, size_t n);

#endif
