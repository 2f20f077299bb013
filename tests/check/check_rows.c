/* tests/check/check_rows.c */
#include "tests/check/check_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/blocks.h"
#include "kernels/f16.h"
#include "tests/check/check.h"

size_t check_rows_step(rc_dtype dtype)
{
    const size_t block = dtype == RC_DTYPE_I8 ? 32 : rc_dtype_block(dtype);

    return block < RC_CHUNK ? RC_CHUNK : block;
}

static uint8_t scale_byte(unsigned kind)
{
    static const uint8_t ends[] = { 0, 1, 2, 3, 4, 126, 127, 128, 250, 251, 252, 253, 254, 255 };

    if (kind == CHECK_ROWS_RANDOM)
        return (uint8_t)check_random();
    if (kind == CHECK_ROWS_PLAIN)
        return (uint8_t)(117 + check_below(20));
    return ends[check_below(sizeof ends)];
}

/* Where the f16 scales of a block are. */
static size_t f16_scales(rc_dtype dtype, size_t at[2])
{
    at[0] = 0;
    switch (dtype) {
    case RC_DTYPE_Q2_K:
        at[0] = offsetof(rc_block_q2_k, d), at[1] = offsetof(rc_block_q2_k, dmin);
        return 2;
    case RC_DTYPE_Q4_K:
    case RC_DTYPE_Q5_K: /* both begin with d and dmin */
        at[1] = 2;
        return 2;
    case RC_DTYPE_Q3_K:
        at[0] = offsetof(rc_block_q3_k, d);
        return 1;
    case RC_DTYPE_Q6_K:
        at[0] = offsetof(rc_block_q6_k, d);
        return 1;
    case RC_DTYPE_MXFP4:
    case RC_DTYPE_NVFP4:
        return 0;
    default:
        return 1;
    }
}

static void tame_block(uint8_t *block, rc_dtype dtype, unsigned kind)
{
    size_t at[2];
    const size_t count = f16_scales(dtype, at);

    if (dtype == RC_DTYPE_MXFP4)
        block[0] = scale_byte(kind);
    for (size_t i = 0; i < count && kind == CHECK_ROWS_PLAIN; i++) {
        const float d = ldexpf(1.0f + (float)check_below(1024) / 1024, -(int)check_below(12));
        uint16_t half;
        rc_f32_to_f16_ref(&half, &d, 1);
        memcpy(block + at[i], &half, 2);
    }
}

/* Numbers instead of bytes where a row holds numbers. */
static void tame_row(uint8_t *p, rc_dtype dtype, size_t n, unsigned kind)
{
    const size_t block = rc_dtype_block(dtype), nbytes = rc_dtype_block_bytes(dtype);

    for (size_t i = 0; i < n && dtype == RC_DTYPE_F8_E4M3 && kind == CHECK_ROWS_PLAIN; i++)
        p[i] ^= (p[i] & 0x7f) == 0x7f;
    for (size_t i = 0; i < n && (dtype == RC_DTYPE_F32 || dtype == RC_DTYPE_BF16); i++) {
        const float x = check_rows_x(kind);
        const size_t size = rc_dtype_block_bytes(dtype);
        memcpy(p + size * i, (const uint8_t *)&x + (4 - size), size); /* the upper bytes */
    }
    if (block >= RC_CHUNK)
        for (size_t i = 0; i < n / block; i++)
            tame_block(p + i * nbytes, dtype, kind);
}

static float fp8_scale(unsigned kind, bool powers, int base)
{
    if (kind == CHECK_ROWS_PLAIN)
        return ldexpf(powers ? 1.0f : 1.0f + (float)check_below(1024) / 1024,
                      (int)check_below(10) - 12);
    if (powers) /* of one size in a row, so that none hides behind the others */
        return ldexpf(1.0f, base + (int)check_below(4));
    return check_float();
}

check_rows check_rows_new(rc_dtype dtype, size_t rows, size_t n, unsigned kind, bool powers)
{
    check_rows r = { .w = { .row_bytes =
                                dtype == RC_DTYPE_I8
                                    ? n / 2
                                    : (size_t)rc_dtype_row_bytes(dtype, n) + check_below(3) } };
    const size_t all = (rows - 1) * r.w.row_bytes +
                       (dtype == RC_DTYPE_I8 ? n / 2 : (size_t)rc_dtype_row_bytes(dtype, n));
    uint8_t *p = check_input_new(all, check_below(16), &r.whole);

    check_fill(p, all);
    for (size_t i = 0; i < rows && dtype != RC_DTYPE_I8; i++)
        tame_row(p + i * r.w.row_bytes, dtype, n, kind);
    r.w.weight = p;
    if (dtype == RC_DTYPE_I8) {
        r.w.scale_bytes = n / RC_FP4_GROUP;
        uint8_t *s = check_input_new(rows * r.w.scale_bytes, check_below(16), &r.whole_scale);
        for (size_t i = 0; i < rows * r.w.scale_bytes; i++)
            s[i] = scale_byte(kind);
        r.w.scale = s;
    } else if (dtype == RC_DTYPE_F8_E4M3) {
        const size_t tiles = (n + RC_FP8_TILE - 1) / RC_FP8_TILE;
        float *s = (float *)(void *)check_input_new(tiles * sizeof(float), 0, &r.whole_scale);
        const int base = (int)check_below(kind == CHECK_ROWS_RANDOM ? 260 : 20) - 138;
        for (size_t i = 0; i < tiles; i++)
            s[i] = fp8_scale(kind, powers, base);
        r.w.scale = s;
    }
    return r;
}

void check_rows_free(check_rows *r)
{
    free(r->whole);
    free(r->whole_scale);
    *r = (check_rows){ 0 };
}

float check_rows_x(unsigned kind)
{
    const float x = (float)((double)(int64_t)check_random() * 0x1p-63);

    switch (check_below(8) ? kind : CHECK_ROWS_PLAIN) {
    case CHECK_ROWS_RANDOM:
        return check_below(64) ? ldexpf(x, (int)check_below(40) - 20) : check_float();
    case CHECK_ROWS_EXTREME: /* products and sums on both sides of 2^-126 */
        return ldexpf(x, check_below(4) ? 4 - (int)check_below(16) : -63 - (int)check_below(70));
    default:
        return x;
    }
}
