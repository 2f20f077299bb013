/* kernels/repack_mxfp4.h - FP4 rows of the native checkpoint to GGUF MXFP4 blocks.
 *
 *     block b of a row: | scale[b] | codes of elements 32b .. 32b+31 |    17 bytes
 *     byte j of the codes = code(32b + j) | code(32b + j + 16) << 4
 *
 *  q      n/2 bytes, low nibble is the even element
 *  scale  n/32 E8M0 bytes
 *  n      a multiple of 32; any number of whole rows at once
 *
 * A permutation of nibbles: no value changes, -0 stays -0. Returns how many scales are
 * 255 (NaN), which GGUF readers take for a number. `stream` bypasses the cache on the way out.
 * Source: ggml block_mxfp4; the native nibble order: the official inference/convert.py. */
#ifndef RC_KERNELS_REPACK_MXFP4_H
#define RC_KERNELS_REPACK_MXFP4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/blocks.h"
#include "kernels/cpu.h"

typedef size_t rc_repack_mxfp4_fn(uint8_t *restrict out, const uint8_t *restrict q,
                                  const uint8_t *restrict scale, size_t n, bool stream);

typedef struct rc_repack_mxfp4_impl {
    const char *name;
    unsigned need;
    rc_repack_mxfp4_fn *fn;
} rc_repack_mxfp4_impl;

extern const rc_repack_mxfp4_impl rc_repack_mxfp4_impls[];
rc_repack_mxfp4_fn *rc_repack_mxfp4_best(void);
rc_repack_mxfp4_fn rc_repack_mxfp4_ref, rc_repack_mxfp4_avx2, rc_repack_mxfp4_avx512;

#endif
