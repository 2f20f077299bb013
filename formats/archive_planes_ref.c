/* formats/archive_planes_ref.c - see archive_planes.h: the arithmetic, one element at a time. */
#include "formats/archive_planes.h"

static unsigned get16(const uint8_t *p, size_t i)
{
    return (unsigned)p[2 * i] | (unsigned)p[2 * i + 1] << 8;
}

static void put16(uint8_t *p, size_t i, unsigned x)
{
    p[2 * i] = (uint8_t)x;
    p[2 * i + 1] = (uint8_t)(x >> 8);
}

static unsigned nibble(const uint8_t *p, size_t i)
{
    return p[i / 2] >> i % 2 * 4 & 15u;
}

/* In order: an even element begins its byte. */
static void put_nibble(uint8_t *p, size_t i, unsigned x)
{
    p[i / 2] = (uint8_t)(i % 2 ? p[i / 2] | x << 4 : x);
}

/* -------------------------------------------------------------------- planes */

static void split_bf16(uint8_t *exponent, uint8_t *rest, const uint8_t *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned x = get16(src, i);

        exponent[i] = (uint8_t)(x >> 7);
        rest[i] = (uint8_t)((x >> 8 & 0x80) | (x & 0x7f));
    }
}

static void join_bf16(uint8_t *dst, const uint8_t *exponent, const uint8_t *rest, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put16(dst, i, (rest[i] & 0x80u) << 8 | (unsigned)exponent[i] << 7 | (rest[i] & 0x7fu));
}

static void split_fp8(uint8_t *exponent, uint8_t *rest, const uint8_t *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        put_nibble(exponent, i, src[i] >> 3 & 15u);
        put_nibble(rest, i, (src[i] >> 4 & 8u) | (src[i] & 7u));
    }
}

static void join_fp8(uint8_t *dst, const uint8_t *exponent, const uint8_t *rest, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned r = nibble(rest, i);

        dst[i] = (uint8_t)((r & 8) << 4 | nibble(exponent, i) << 3 | (r & 7));
    }
}

static void split_f32(uint8_t *planes, size_t stride, const uint8_t *src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t b = 0; b < 4; b++)
            planes[b * stride + i] = src[4 * i + b];
}

static void join_f32(uint8_t *dst, const uint8_t *planes, size_t stride, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t b = 0; b < 4; b++)
            dst[4 * i + b] = planes[b * stride + i];
}

/* -------------------------------------------------------------------- ladder */

uint8_t rc_ladder_fp8(unsigned magnitude)
{
    static const uint8_t subnormal[8] = { 0, 1, 3, 4, 5, RC_LADDER_OFF, 6, RC_LADDER_OFF };

    if (magnitude < 8)
        return subnormal[magnitude];
    return magnitude & 3 ? RC_LADDER_OFF : (uint8_t)((magnitude >> 2) + 5);
}

/* As above: 0 for a zero, else 1 + rung. */
static unsigned ladder_bf16(unsigned magnitude)
{
    if (magnitude == 0)
        return 0;
    if (magnitude & 0x3f || magnitude < 0x80 || magnitude >= 0x7f80)
        return 0xffff;
    return (magnitude >> 6) + 1;
}

/* The rung of code 1 is 2 * exponent - 6. */
static int rung(unsigned code, unsigned exponent)
{
    return 2 * (int)exponent - 6 + (code == 1 ? 0 : (int)code);
}

/* A code, or 8 if there is none. `at` is 0 for a zero, else 1 + rung. */
static unsigned code_of(unsigned at, unsigned exponent)
{
    for (unsigned code = 1; code < 8 && at; code++)
        if (rung(code, exponent) == (int)at - 1)
            return code;
    return at ? 8 : 0;
}

uint8_t rc_ladder_to_fp8(unsigned code, unsigned exponent)
{
    static const uint8_t low[6] = { 1, 0, 2, 3, 4, 6 };
    const unsigned sign = (code & 8) << 4;
    const int r = rung(code & 7, exponent);

    if ((code & 7) == 0 || r < 0)
        return (uint8_t)sign;
    return (uint8_t)(sign | (r < 6 ? low[r] : (unsigned)(r - 4) << 2));
}

static bool split_group(uint8_t *codes, uint8_t *exponent, const unsigned at[RC_LADDER_GROUP],
                        const bool negative[RC_LADDER_GROUP], unsigned off)
{
    unsigned most = 0;

    for (size_t i = 0; i < RC_LADDER_GROUP; i++)
        most = at[i] > most ? at[i] : most;
    if (most == off)
        return false;
    *exponent = (uint8_t)(most ? (most - 1) / 2 : 0);
    for (size_t i = 0; i < RC_LADDER_GROUP; i++) {
        const unsigned code = code_of(at[i], *exponent);

        if (code == 8)
            return false;
        put_nibble(codes, i, code | (unsigned)negative[i] << 3);
    }
    return true;
}

static bool split_fp8_fp4(uint8_t *codes, uint8_t *exponent, const uint8_t *src, size_t groups)
{
    unsigned at[RC_LADDER_GROUP];
    bool negative[RC_LADDER_GROUP];

    for (size_t g = 0; g < groups; g++) {
        for (size_t i = 0; i < RC_LADDER_GROUP; i++) {
            at[i] = rc_ladder_fp8(src[g * RC_LADDER_GROUP + i] & 0x7fu);
            negative[i] = src[g * RC_LADDER_GROUP + i] >> 7;
        }
        if (!split_group(codes + 16 * g, exponent + g, at, negative, RC_LADDER_OFF))
            return false;
    }
    return true;
}

static bool split_bf16_fp4(uint8_t *codes, uint8_t *exponent, const uint8_t *src, size_t groups)
{
    unsigned at[RC_LADDER_GROUP];
    bool negative[RC_LADDER_GROUP];

    for (size_t g = 0; g < groups; g++) {
        for (size_t i = 0; i < RC_LADDER_GROUP; i++) {
            const unsigned x = get16(src, g * RC_LADDER_GROUP + i);

            at[i] = ladder_bf16(x & 0x7fff);
            negative[i] = x >> 15;
        }
        if (!split_group(codes + 16 * g, exponent + g, at, negative, 0xffff))
            return false;
    }
    return true;
}

static void join_fp8_fp4(uint8_t *dst, const uint8_t *codes, const uint8_t *exponent, size_t groups)
{
    for (size_t i = 0; i < groups * RC_LADDER_GROUP; i++)
        dst[i] = rc_ladder_to_fp8(nibble(codes, i), exponent[i / RC_LADDER_GROUP]);
}

static void join_bf16_fp4(uint8_t *dst, const uint8_t *codes, const uint8_t *exponent,
                          size_t groups)
{
    for (size_t i = 0; i < groups * RC_LADDER_GROUP; i++) {
        const unsigned code = nibble(codes, i), sign = (code & 8) << 12;
        const unsigned r = (unsigned)rung(code & 7, exponent[i / RC_LADDER_GROUP]);

        put16(dst, i, sign | (code & 7 ? r << 6 & 0x7fff : 0));
    }
}

const rc_planes_impl rc_planes_ref = {
    "ref",    split_bf16,    join_bf16,      split_fp8,    join_fp8,      split_f32,
    join_f32, split_fp8_fp4, split_bf16_fp4, join_fp8_fp4, join_bf16_fp4,
};
