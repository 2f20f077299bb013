/* kernels/recast_fp4_fp8_rows.h - the FP8 codes of all FP4 codes, by shift.
 *
 * Row s - E + 9 maps a nibble to its E4M3 byte, for the shifts -8 .. 6 in which
 * every code is exact. Row 0 stands for every lower shift: right for zeros, and
 * a tile that has anything else there goes to rc_recast_fp4_fp8_tile().
 * From shift -5 up all results are normal, so a shift adds to the exponent
 * field; below, the halves and ones turn subnormal. A row is one vector lane. */
#ifndef RC_KERNELS_RECAST_FP4_FP8_ROWS_H
#define RC_KERNELS_RECAST_FP4_FP8_ROWS_H

#include <stdint.h>

#define RC_RECAST_MIN_SHIFT (-8)
#define RC_RECAST_ROW0      9 /* the row of shift 0 */
#define RC_RECAST_ROWS      16

#define BOTH_SIGNS(a, b, c, d, e, f, g)                                                            \
    {                                                                                              \
        0x00, a, b, c, d, e, f, g, 0x80, 0x80 | (a), 0x80 | (b), 0x80 | (c), 0x80 | (d),           \
            0x80 | (e), 0x80 | (f), 0x80 | (g)                                                     \
    }
#define NORMAL(shift)                                                                              \
    BOTH_SIGNS(0x30 + 8 * (shift), 0x38 + 8 * (shift), 0x3c + 8 * (shift), 0x40 + 8 * (shift),     \
               0x44 + 8 * (shift), 0x48 + 8 * (shift), 0x4c + 8 * (shift))

/* clang-format off */
static const uint8_t recast_rows[RC_RECAST_ROWS][16] __attribute__((aligned(64))) = {
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

#endif
