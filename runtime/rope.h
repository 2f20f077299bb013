/* runtime/rope.h - rotary positions: adjacent pairs of the last R elements of a vector turn by an
 * angle that grows with the position.
 *
 * Window-only blocks use rope_theta as it is. Blocks that compress use compress_rope_theta,
 * stretched (YaRN) at every length. Source: the official model.py, precompute_freqs_cis and
 * apply_rotary_emb. */
#ifndef RC_RUNTIME_ROPE_H
#define RC_RUNTIME_ROPE_H

#include <stdint.h>

#include "formats/config.h"
#include "runtime/numerics.h"

/** w[R/2]: radians a position of each pair, for blocks of that ratio. */
void rc_rope_frequencies(float *w, const rc_config *config, uint32_t ratio);

/** turn[dims]: cosine and sine, in turns, of the angle of each of dims/2 pairs. The angle is an f32
 *  product, its cosine is taken in double. */
void rc_rope_turn(float *turn, const float *w, size_t dims, uint64_t pos);

/** Rotate x[dims] in place, forward or back; BF16 in native. */
void rc_rope_apply(rc_numerics nm, float *x, const float *turn, size_t dims);
void rc_rope_undo(rc_numerics nm, float *x, const float *turn, size_t dims);

#endif
