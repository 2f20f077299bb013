/* kernels/weighted_sum_simd.h - the loops that both vector variants have in common.
 *
 * A *tile* is a few heads by a strip of two registers: its sums stay in registers over a run of
 * rows. A sum that is cut there goes through y as it is, so runs are free, and one of RUN rows of
 * 512 elements is in second-level cache while all heads take it.
 *
 * The including file defines TILE_HEADS, WIDTH (elements in a register), the type `reg` and
 * the steps declared below. */
#ifndef RC_KERNELS_WEIGHTED_SUM_SIMD_H
#define RC_KERNELS_WEIGHTED_SUM_SIMD_H

#if defined(__AVX2__) /* nothing here is for files without an instruction set */

#include "kernels/rounding.h"
#include "kernels/unroll.h"
#include "kernels/weighted_sum.h"

#define RUN 128u

#define TILE_INLINE static inline __attribute__((always_inline))

TILE_INLINE reg reg_zero(void);
TILE_INLINE reg reg_load(const float *p);
TILE_INLINE void reg_store(float *p, reg v);
TILE_INLINE reg reg_fma(float a, reg b, reg c);

/* Rows k[from .. to - 1], elements d .. d + regs * WIDTH - 1; heads and regs are constants where
 * they are inlined. */
TILE_INLINE void tile(float *y, size_t ldy, const float *p, size_t ldp, const float *const *k,
                      size_t from, size_t to, size_t d, unsigned heads, unsigned regs)
{
    reg sum[TILE_HEADS][2];

    RC_UNROLL
    for (unsigned h = 0; h < heads; h++)
        RC_UNROLL
    for (unsigned i = 0; i < regs; i++)
        sum[h][i] = from ? reg_load(y + h * ldy + d + i * WIDTH) : reg_zero();
    for (size_t c = from; c < to; c++) {
        reg row[2];
        RC_UNROLL
        for (unsigned i = 0; i < regs; i++)
            row[i] = reg_load(k[c] + d + i * WIDTH);
        RC_UNROLL
        for (unsigned h = 0; h < heads; h++)
            RC_UNROLL
        for (unsigned i = 0; i < regs; i++)
            sum[h][i] = reg_fma(p[h * ldp + c], row[i], sum[h][i]);
    }
    RC_UNROLL
    for (unsigned h = 0; h < heads; h++)
        RC_UNROLL
    for (unsigned i = 0; i < regs; i++)
        reg_store(y + h * ldy + d + i * WIDTH, sum[h][i]);
}

TILE_INLINE void tile_heads(float *y, size_t ldy, const float *p, size_t ldp, const float *const *k,
                            size_t from, size_t to, size_t n, unsigned heads)
{
    size_t d = 0;

    for (; d + 2 * WIDTH <= n; d += 2 * WIDTH)
        tile(y, ldy, p, ldp, k, from, to, d, heads, 2);
    for (; d < n; d += WIDTH)
        tile(y, ldy, p, ldp, k, from, to, d, heads, 1);
}

static inline void tile_all(float *y, size_t ldy, const float *p, size_t ldp, size_t heads,
                            const float *const *k, size_t count, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    size_t from = 0;

    do { /* once for no rows at all: that writes the zeros */
        const size_t to = count - from < RUN ? count : from + RUN;
        size_t h = 0;
        for (; h + TILE_HEADS <= heads; h += TILE_HEADS)
            tile_heads(y + h * ldy, ldy, p + h * ldp, ldp, k, from, to, n, TILE_HEADS);
        if (h + 4 <= heads) {
            tile_heads(y + h * ldy, ldy, p + h * ldp, ldp, k, from, to, n, 4);
            h += 4;
        }
        for (; h < heads; h++)
            tile_heads(y + h * ldy, ldy, p + h * ldp, ldp, k, from, to, n, 1);
        from = to;
    } while (from < count);
    rc_rounding_leave(saved);
}

#endif

#endif
