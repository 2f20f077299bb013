/* kernels/fp4_values.c - 256 rows by the preprocessor: tables made at run time need a lock. */
#include "kernels/fp4_values.h"

#include "kernels/codes.h"

/* 2^(e - 127) and 1.5 times it; below field 1 the significand moves right by hand. */
#define FINITE(bits) ((bits) < 0x7f80 ? (bits) : 0x7f80)
#define RIGHT(e)     ((e) > 0 ? 0 : -(e))
#define POWER(e)     ((e) > 0 ? FINITE((e)*128) : 0x40 >> RIGHT(e))
#define THREE(e)     ((e) > 0 ? FINITE((e)*128 + 0x40) : 0x60 >> RIGHT(e))

#define VALUE(e, sign, bits) (uint16_t)((e) == RC_E8M0_NAN ? RC_BF16_NAN : (sign) | (bits))
#define EIGHT(e, sign)                                                                             \
    VALUE(e, sign, 0), VALUE(e, sign, POWER((e)-1)), VALUE(e, sign, POWER(e)),                     \
        VALUE(e, sign, THREE(e)), VALUE(e, sign, POWER((e) + 1)), VALUE(e, sign, THREE((e) + 1)),  \
        VALUE(e, sign, POWER((e) + 2)), VALUE(e, sign, THREE((e) + 2))
#define ROW(e)                                                                                     \
    {                                                                                              \
        EIGHT(e, 0), EIGHT(e, 0x8000)                                                              \
    }
#define ROWS_4(e)  ROW(e), ROW((e) + 1), ROW((e) + 2), ROW((e) + 3)
#define ROWS_16(e) ROWS_4(e), ROWS_4((e) + 4), ROWS_4((e) + 8), ROWS_4((e) + 12)
#define ROWS_64(e) ROWS_16(e), ROWS_16((e) + 16), ROWS_16((e) + 32), ROWS_16((e) + 48)

const uint16_t rc_fp4_values[256][16] __attribute__((aligned(64))) = {
    ROWS_64(0),
    ROWS_64(64),
    ROWS_64(128),
    ROWS_64(192),
};
