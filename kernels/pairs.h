/* kernels/pairs.h - the one order in which products are summed, and the layout for it.
 *
 * A row of n elements (n a multiple of 32) is cut in chunks of 32. There are 16 lanes; in each
 * chunk, chunk after chunk, lane j takes the product of element 2j + 1 and then that of
 * element 2j, each by a fused multiply-add; in the end, for h = 8, 4, 2, 1, lane j takes lane
 * j + h, and lane 0 is the sum. All lanes begin at +0.
 *
 * It is the order of VDPBF16PS, so BF16 products on machines that have it, FP4 nibbles
 * and BF16 halves unpacked by shifts, and plain f32 all give the same bits: for any
 * number of tokens at a time, any tile and any instruction set.
 *
 * *Paired* f32 rows hold each chunk as its 16 odd elements, then its 16 even ones: the order
 * above is then simply memory order, lane i % 16. */
#ifndef RC_KERNELS_PAIRS_H
#define RC_KERNELS_PAIRS_H

#include <stddef.h>

#include "kernels/cpu.h"

#define RC_CHUNK      32u
#define RC_PAIR_LANES 16u /* one of each pair */

/** pair: y is x in the paired layout; unpair: y is the natural row of the paired x. Bits are
 *  moved, whatever they mean. n is a multiple of RC_CHUNK; y and x do not overlap. */
typedef void rc_pair_f32_fn(float *restrict y, const float *restrict x, size_t n);
typedef rc_pair_f32_fn rc_unpair_f32_fn;

typedef struct rc_pair_f32_impl {
    const char *name;
    unsigned need;
    rc_pair_f32_fn *fn;
} rc_pair_f32_impl;
typedef rc_pair_f32_impl rc_unpair_f32_impl;

extern const rc_pair_f32_impl rc_pair_f32_impls[];
extern const rc_unpair_f32_impl rc_unpair_f32_impls[];
rc_pair_f32_fn *rc_pair_f32_best(void);
rc_unpair_f32_fn *rc_unpair_f32_best(void);

rc_pair_f32_fn rc_pair_f32_ref, rc_pair_f32_avx2, rc_pair_f32_avx512;
rc_unpair_f32_fn rc_unpair_f32_ref, rc_unpair_f32_avx2, rc_unpair_f32_avx512;

#endif
