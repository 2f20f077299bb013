/* kernels/recast_fp4_fp8_simd.h - what the vector variants have in common.
 *
 * A band is done in *chunks* of up to 64 whole tiles, which bounds the stack.
 * The scales of a chunk, a sixteenth of its bytes, are read first: that gives the
 * tile scales. Then one pass in memory order looks every nibble up in the row
 * of its group's shift, and notes which groups hold a value; in the end that
 * decides whether every shift in use was exact. The rare tiles for which it does
 * not (NaN, a wide spread of scales), and a narrow last tile, are the
 * reference's. A variant supplies the two steps that touch every row. */
#ifndef RC_KERNELS_RECAST_FP4_FP8_SIMD_H
#define RC_KERNELS_RECAST_FP4_FP8_SIMD_H

#include <stdint.h>
#include <string.h>

#include "kernels/recast_fp4_fp8.h"

#define RECAST_GROUPS 4u /* of a row of a tile */
#define RECAST_TILES  64u
#define RECAST_WIDTH  (RECAST_TILES * RECAST_GROUPS) /* group columns of a chunk */

/* Row s - E + 9 maps a nibble to its E4M3 byte, for the shifts -8 .. 6 in which
 * every code is exact. Row 0 stands for every lower shift: right for zeros, and
 * a tile that has anything else there is the reference's. From shift -5 up all
 * results are normal, so a shift adds to the exponent field; below, the halves
 * and ones turn subnormal. A row is one vector lane. */
#define RECAST_MIN_SHIFT (-8)
#define RECAST_ROW0      9 /* the row of shift 0 */
#define RECAST_ROWS      16

#define BOTH_SIGNS(a, b, c, d, e, f, g)                                                            \
    {                                                                                              \
        0x00, a, b, c, d, e, f, g, 0x80, 0x80 | (a), 0x80 | (b), 0x80 | (c), 0x80 | (d),           \
            0x80 | (e), 0x80 | (f), 0x80 | (g)                                                     \
    }
#define NORMAL(shift)                                                                              \
    BOTH_SIGNS(0x30 + 8 * (shift), 0x38 + 8 * (shift), 0x3c + 8 * (shift), 0x40 + 8 * (shift),     \
               0x44 + 8 * (shift), 0x48 + 8 * (shift), 0x4c + 8 * (shift))

/* clang-format off */
static const uint8_t recast_rows[RECAST_ROWS][16] __attribute__((aligned(64))) = {
    BOTH_SIGNS(0, 0, 0, 0, 0, 0, 0),
    BOTH_SIGNS(0x01, 0x02, 0x03, 0x04, 0x06, 0x08, 0x0c),
    BOTH_SIGNS(0x02, 0x04, 0x06, 0x08, 0x0c, 0x10, 0x14),
    BOTH_SIGNS(0x04, 0x08, 0x0c, 0x10, 0x14, 0x18, 0x1c),
    NORMAL(-5), NORMAL(-4), NORMAL(-3), NORMAL(-2), NORMAL(-1),
    NORMAL(0), NORMAL(1), NORMAL(2), NORMAL(3), NORMAL(4), NORMAL(5), NORMAL(6),
};
/* clang-format on */

#undef NORMAL
#undef BOTH_SIGNS

typedef struct recast_chunk {
    uint8_t *out;
    const uint8_t *codes, *scales;
    size_t out_stride, code_stride, scale_stride, rows, ntiles;
    /* by group column, over all rows of the chunk */
    uint8_t largest[RECAST_WIDTH] __attribute__((aligned(64))); /* scale, 255 left out */
    uint8_t nan[RECAST_WIDTH] __attribute__((aligned(64)));     /* not 0: some scale is 255 */
    uint8_t base[RECAST_WIDTH] __attribute__((aligned(64)));    /* its tile's E */
    uint8_t lo[RECAST_WIDTH] __attribute__((aligned(64)));      /* of groups that hold a value */
    uint8_t hi[RECAST_WIDTH] __attribute__((aligned(64)));
} recast_chunk;

static inline void recast_choose_scales(recast_chunk *c)
{
    memset(c->base, 0, sizeof c->base); /* vectors read past the last tile */
    for (size_t t = 0; t < c->ntiles; t++) {
        const uint8_t *m = c->largest + t * RECAST_GROUPS;
        uint8_t largest = m[0];
        for (unsigned g = 1; g < RECAST_GROUPS; g++)
            largest = m[g] > largest ? m[g] : largest;
        memset(c->base + t * RECAST_GROUPS, largest > 6 ? largest - 6 : 0, RECAST_GROUPS);
    }
}

static inline void recast_judge(const recast_chunk *c, rc_fp8_tile *tiles)
{
    for (size_t t = 0; t < c->ntiles; t++) {
        rc_fp8_tile tile = { c->base[t * RECAST_GROUPS], 1, 255, 0, 0 };
        for (size_t g = t * RECAST_GROUPS; g < (t + 1) * RECAST_GROUPS; g++) {
            tile.lo = c->lo[g] < tile.lo ? c->lo[g] : tile.lo;
            tile.hi = c->hi[g] > tile.hi ? c->hi[g] : tile.hi;
            tile.nan |= c->nan[g] != 0;
        }
        tiles[t] = tile;
        if (tile.nan || tile.lo - tile.scale < RECAST_MIN_SHIFT)
            rc_recast_fp4_fp8_tile(c->out + t * RC_FP8_TILE, c->out_stride, tiles + t,
                                   c->codes + t * (RC_FP8_TILE / 2), c->code_stride,
                                   c->scales + t * RECAST_GROUPS, c->scale_stride, c->rows,
                                   RC_FP8_TILE);
    }
}

/* The two steps: fill `largest` and `nan`; convert, and fill `lo` and `hi`. */
typedef void recast_step(recast_chunk *c);

static inline void recast_band(recast_step *read_scales, recast_step *convert, uint8_t *out,
                               size_t out_stride, rc_fp8_tile *tiles, const uint8_t *codes,
                               const uint8_t *scales, size_t rows, size_t cols)
{
    const size_t whole = cols / RC_FP8_TILE, rest = cols % RC_FP8_TILE;
    recast_chunk c;

    c.out_stride = out_stride;
    c.code_stride = cols / 2;
    c.scale_stride = cols / RC_FP4_GROUP;
    c.rows = rows;
    for (size_t t = 0; t < whole; t += RECAST_TILES) {
        c.ntiles = whole - t < RECAST_TILES ? whole - t : RECAST_TILES;
        c.out = out + t * RC_FP8_TILE;
        c.codes = codes + t * (RC_FP8_TILE / 2);
        c.scales = scales + t * RECAST_GROUPS;
        read_scales(&c);
        recast_choose_scales(&c);
        convert(&c);
        recast_judge(&c, tiles + t);
    }
    if (rest)
        rc_recast_fp4_fp8_tile(out + whole * RC_FP8_TILE, out_stride, tiles + whole,
                               codes + whole * (RC_FP8_TILE / 2), c.code_stride,
                               scales + whole * RECAST_GROUPS, c.scale_stride, rows, rest);
}

static inline bool recast_may_stream(const uint8_t *out, size_t out_stride)
{
    return ((uintptr_t)out | out_stride) % 64 == 0;
}

#endif
