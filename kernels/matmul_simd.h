/* kernels/matmul_simd.h - the loops that all vector products have in common.
 *
 * A *tile* is a few rows by a few tokens whose sums stay in registers over the whole of n, so
 * no sum is ever cut. Tokens are the outer loop: those of one tile are read from second-level
 * cache once for each tile of rows, and the caller's rows, decoded just now, are there as
 * well if they are a few hundred KiB. Cutting n with sums that wait in memory, and copying tokens
 * together, were tried: neither was faster for AVX-512, and next to nothing for AVX2. What helps is
 * to ask for the rows some lines ahead, where there are too many streams for the processor to
 * follow, and for the next tokens while these are being multiplied.
 *
 * The including file defines TILE_ROWS, TILE_TOKENS, the types `elem` and `lanes` (sixteen
 * sums), and the steps declared below. */
#ifndef RC_KERNELS_MATMUL_SIMD_H
#define RC_KERNELS_MATMUL_SIMD_H

#if defined(__AVX2__) /* nothing here is for files without an instruction set */

#include <immintrin.h>

#include "kernels/matmul.h"
#include "kernels/unroll.h"

#define TILE_INLINE static inline __attribute__((always_inline))

/* Sums are sum[token * TILE_ROWS + row]; rows and tokens are constants where they are inlined. */
TILE_INLINE lanes tile_zero(void);
/* The products of elements i .. i + 31. */
TILE_INLINE void tile_chunk(lanes *sum, const elem *const *w, const elem *const *x, size_t i,
                            unsigned rows, unsigned tokens);
/* One token's sums: y[0] .. y[rows - 1]. */
TILE_INLINE void tile_store(float *y, const lanes *sum, unsigned rows);

#define TILE_AHEAD (256u / sizeof(elem))

/* Asks for the lines of the chunk at p, which may be past the end of a row: that does nothing. */
#define tile_fetch(p, hint)                                                                        \
    do {                                                                                           \
        _mm_prefetch((const char *)(p), hint);                                                     \
        if (RC_CHUNK * sizeof(elem) > 64)                                                          \
            _mm_prefetch((const char *)(p) + 64, hint);                                            \
    } while (0)

TILE_INLINE void tile(float *y, size_t ldy, const elem *const *w, const elem *const *x,
                      const elem *next, size_t n, unsigned rows, unsigned tokens)
{
    const elem *wr[TILE_ROWS], *xt[TILE_TOKENS];
    lanes sum[TILE_TOKENS * TILE_ROWS];

    RC_UNROLL
    for (unsigned r = 0; r < rows; r++)
        wr[r] = w[r];
    RC_UNROLL
    for (unsigned t = 0; t < tokens; t++) {
        xt[t] = x[t];
        RC_UNROLL
        for (unsigned r = 0; r < rows; r++)
            sum[t * TILE_ROWS + r] = tile_zero();
    }
    for (size_t i = 0; i < n; i += RC_CHUNK) {
        tile_fetch(next + i, _MM_HINT_T1);
        RC_UNROLL
        for (unsigned r = 0; r < rows; r++)
            tile_fetch(wr[r] + i + TILE_AHEAD, _MM_HINT_T0);
        tile_chunk(sum, wr, xt, i, rows, tokens);
    }
    RC_UNROLL
    for (unsigned t = 0; t < tokens; t++)
        tile_store(y + t * ldy, sum + t * TILE_ROWS, rows);
}

/* All rows by `tokens` of them; `left` more tokens follow, one of which each tile fetches. */
TILE_INLINE void tile_band(float *y, size_t ldy, const elem *const *w, size_t rows,
                           const elem *const *x, size_t n, unsigned tokens, size_t left)
{
    size_t r = 0, ahead = 0;

    for (; r + TILE_ROWS <= rows; r += TILE_ROWS, ahead++)
        tile(y + r, ldy, w + r, x, ahead < left && ahead < TILE_TOKENS ? x[tokens + ahead] : x[0],
             n, TILE_ROWS, tokens);
    for (; r < rows; r++)
        tile(y + r, ldy, w + r, x, x[0], n, 1, tokens);
}

static inline void tile_all(float *y, size_t ldy, const elem *const *w, size_t rows,
                            const elem *const *x, size_t tokens, size_t n)
{
    size_t t = 0;

    for (; t + TILE_TOKENS <= tokens; t += TILE_TOKENS)
        tile_band(y + t * ldy, ldy, w, rows, x + t, n, TILE_TOKENS, tokens - t - TILE_TOKENS);
    y += t * ldy;
    x += t;
    switch (tokens - t) {
#if TILE_TOKENS > 3
    case 5:
        tile_band(y, ldy, w, rows, x, n, 5, 0);
        break;
    case 4:
        tile_band(y, ldy, w, rows, x, n, 4, 0);
        break;
    case 3:
        tile_band(y, ldy, w, rows, x, n, 3, 0);
        break;
#endif
    case 2:
        tile_band(y, ldy, w, rows, x, n, 2, 0);
        break;
    case 1:
        tile_band(y, ldy, w, rows, x, n, 1, 0);
        break;
    default:
        break;
    }
}

#endif

#endif
