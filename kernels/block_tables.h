/* kernels/block_tables.h - what readers and writers of GGUF blocks both know.
 *
 * Value tables, and the 6-bit fields that cross bytes. The layouts are in formats/blocks.h.
 * Source: ggml/src/ggml-common.h (tables), ggml-quants.c (fields). */
#ifndef RC_KERNELS_BLOCK_TABLES_H
#define RC_KERNELS_BLOCK_TABLES_H

#include <stdint.h>

#include "formats/blocks.h"

/** IQ2_XXS: entry k is eight values of {8, 25, 43}, byte j that of element j of a run. */
extern const uint64_t rc_iq2_xxs_grid[256];
/** The same entries as eight digits 0, 1, 2; that of element j in bits 2j. Ascending. */
extern const uint16_t rc_iq2_xxs_digits[256];
/** IQ4_XS, ascending. */
extern const int8_t rc_iq4_values[16];
/** Twice the E2M1 values, as ggml has them for MXFP4 and NVFP4: code 8 is 0. */
extern const int8_t rc_e2m1_doubled[16];

static inline uint16_t rc_u16_at(const uint8_t p[2])
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t rc_u32_at(const uint8_t p[4])
{
    return (uint32_t)rc_u16_at(p) | (uint32_t)rc_u16_at(p + 2) << 16;
}

static inline void rc_u16_put(uint8_t p[2], uint16_t x)
{
    p[0] = (uint8_t)x;
    p[1] = (uint8_t)(x >> 8);
}

static inline void rc_u32_put(uint8_t p[4], uint32_t x)
{
    rc_u16_put(p, (uint16_t)x);
    rc_u16_put(p + 2, (uint16_t)(x >> 16));
}

/* Q4_K and Q5_K: eight scales and eight mins of 6 bits in 12 bytes. For j < 4 both are the
 * low six bits of a byte, s[j] and s[j + 4]. The others put their low four bits into s[j + 4],
 * the scale's below, and their top two into the top of the byte where number j - 4 lives. */
static inline uint8_t rc_k4_scale(const uint8_t *s, unsigned j)
{
    if (j < 4)
        return s[j] & 63;
    return (uint8_t)((s[j + 4] & 15) | s[j - 4] >> 6 << 4);
}

static inline uint8_t rc_k4_min(const uint8_t *s, unsigned j)
{
    if (j < 4)
        return s[j + 4] & 63;
    return (uint8_t)(s[j + 4] >> 4 | s[j] >> 6 << 4);
}

static inline void rc_k4_pack(uint8_t s[12], const uint8_t scale[8], const uint8_t min[8])
{
    for (unsigned j = 0; j < 4; j++) {
        s[j] = (uint8_t)(scale[j] | scale[j + 4] >> 4 << 6);
        s[j + 4] = (uint8_t)(min[j] | min[j + 4] >> 4 << 6);
        s[j + 8] = (uint8_t)((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
    }
}

/* Q3_K: sixteen scales of 6 bits, stored plus 32. Low four bits of scale j: s[j % 8], the
 * low nibble for j < 8; top two: s[8 + j % 4] from bit 2 (j / 4) on. */
static inline uint8_t rc_q3_k_scale(const uint8_t s[12], unsigned j)
{
    return (uint8_t)((s[j % 8] >> j / 8 * 4 & 15) | (s[8 + j % 4] >> j / 4 * 2 & 3) << 4);
}

static inline void rc_q3_k_pack(uint8_t s[12], const uint8_t scale[16])
{
    for (unsigned j = 0; j < 8; j++)
        s[j] = (uint8_t)((scale[j] & 15) | (scale[j + 8] & 15) << 4);
    for (unsigned j = 0; j < 4; j++)
        s[j + 8] = (uint8_t)(scale[j] >> 4 | scale[j + 4] >> 4 << 2 | scale[j + 8] >> 4 << 4 |
                             scale[j + 12] >> 4 << 6);
}

/* IQ4_XS: eight scales of 6 bits, stored plus 32. */
static inline uint8_t rc_iq4_xs_scale(const rc_block_iq4_xs *b, unsigned s)
{
    return (uint8_t)((b->scales_l[s / 2] >> s % 2 * 4 & 15) | (rc_u16_at(b->scales_h) >> 2 * s & 3)
                                                                  << 4);
}

/* IQ2_XXS: seven signs to eight, of which an even number is set. */
static inline uint8_t rc_iq2_signs(unsigned seven)
{
    return (uint8_t)(seven | (0x6996u >> ((seven ^ seven >> 4) & 15) & 1) << 7);
}

#endif
