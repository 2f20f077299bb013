/* kernels/recast_fp4_fp8.h - FP4 under 1x32 scales to FP8 under 128x128 scales.
 *
 * A *band* is up to 128 rows of an FP4 matrix, all its columns; it becomes as
 * many rows of FP8 and one row of tile scales. Within a tile
 *
 *     S = largest group scale byte, groups of zeros included, 255 left out
 *     E = max(S - 6, 0)                          the tile's E8M0 scale byte
 *     out = e4m3(e2m1(code) * 2^(s - E))         s: the group's scale byte
 *
 * Source: the official DeepSeek-V4 inference/convert.py, FP4 to FP8 cast. Since
 * 6 * 2^6 = 384 <= 448 nothing overflows. A value is exact when it is E4M3's:
 * a multiple of 2^-9 and at most 448. Beyond the official rule, which rounds
 * silently: when E loses a value but a smaller scale byte (>= 0) loses none,
 * the largest such byte is taken; happens when the groups with the largest
 * scale hold zeros or small codes only. When there is none, E stays, values are
 * rounded to nearest even in E4M3's normal and subnormal range, and the tile's
 * `exact` is 0: it is the caller's to refuse.
 *
 * Code 8 (-0) becomes 0x80: the sign of zero is kept, always.
 * A group whose scale is 255 (NaN) makes its tile inexact; its codes become
 * 0x7f. A tile of nothing else has E = 0.
 *
 * Integers throughout: every variant writes the same bytes under any rounding mode. */
#ifndef RC_KERNELS_RECAST_FP4_FP8_H
#define RC_KERNELS_RECAST_FP4_FP8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/blocks.h"
#include "kernels/cpu.h"

typedef struct rc_fp8_tile {
    uint8_t scale;  /* the chosen E8M0 byte */
    uint8_t exact;  /* 1: every value of the tile is kept; else 0 */
    uint8_t lo, hi; /* smallest and largest scale byte of the groups that hold a
                       non-zero code (NaN groups left out); 255, 0: no such group */
    uint8_t nan;    /* 1: a group scale is 255 */
} rc_fp8_tile;

/** Convert one band.
 *
 *  out     rows x cols bytes; out_stride >= cols bytes between rows
 *  tiles   ceil(cols / 128) verdicts
 *  codes   rows x cols/2 bytes, low nibble is the even column
 *  scales  rows x cols/32 E8M0 bytes
 *  rows    1 .. 128
 *  cols    a multiple of 32; the last tile may be narrower than 128
 *  stream  write past the cache, for output that nobody reads soon. A hint: it
 *          needs out and out_stride to be multiples of 64. The bytes are the same.
 *
 *  No pointer needs alignment; out and the inputs must not overlap. */
typedef void rc_recast_fp4_fp8_fn(uint8_t *restrict out, size_t out_stride,
                                  rc_fp8_tile *restrict tiles, const uint8_t *restrict codes,
                                  const uint8_t *restrict scales, size_t rows, size_t cols,
                                  bool stream);

typedef struct rc_recast_fp4_fp8_impl {
    const char *name;
    unsigned need; /* RC_CPU_ flags */
    rc_recast_fp4_fp8_fn *fn;
} rc_recast_fp4_fp8_impl;

/** Row 0 is the reference, rows run slow to fast, a NULL fn ends the table. */
extern const rc_recast_fp4_fp8_impl rc_recast_fp4_fp8_impls[];
rc_recast_fp4_fp8_fn *rc_recast_fp4_fp8_best(void);

rc_recast_fp4_fp8_fn rc_recast_fp4_fp8_ref, rc_recast_fp4_fp8_avx2, rc_recast_fp4_fp8_avx512;

typedef struct rc_fp8_inexact {
    size_t row, col; /* within the band */
    double source;   /* the FP4 value; NaN in a group whose scale is 255 */
    double stored;   /* what the FP8 code and the tile scale say */
} rc_fp8_inexact;

/** The first element, in row-major order, that a converted band does not keep;
 *  false when it keeps all. Slow: for the error message. `tiles` as filled by
 *  the conversion of the same band. */
bool rc_fp4_fp8_first_inexact(rc_fp8_inexact *out, const rc_fp8_tile *tiles, const uint8_t *codes,
                              const uint8_t *scales, size_t rows, size_t cols);

/** For the variants: one tile (rows, cols <= 128) by the reference, with the
 *  strides of the matrix it lies in. */
void rc_recast_fp4_fp8_tile(uint8_t *out, size_t out_stride, rc_fp8_tile *tile,
                            const uint8_t *codes, size_t code_stride, const uint8_t *scales,
                            size_t scale_stride, size_t rows, size_t cols);

#endif
