/* kernels/matmul_bf16_avx512bf16.c - as in matmul_f32_avx512.c, two products an instruction. */
#include <immintrin.h>
#include <stdint.h>

#define TILE_ROWS   4u
#define TILE_TOKENS 6u
typedef uint16_t elem;
typedef __m512 lanes;

#include "kernels/matmul_simd.h"
#include "kernels/pairs_simd.h"
#include "kernels/rounding.h"

TILE_INLINE lanes tile_zero(void)
{
    return _mm512_setzero_ps();
}

TILE_INLINE __m512bh load(const elem *p)
{
    return (__m512bh)_mm512_loadu_si512(p);
}

TILE_INLINE void tile_chunk(lanes *sum, const elem *const *w, const elem *const *x, size_t i,
                            unsigned rows, unsigned tokens)
{
    __m512bh row[TILE_ROWS];

    RC_UNROLL
    for (unsigned r = 0; r < rows; r++)
        row[r] = load(w[r] + i);
    RC_UNROLL
    for (unsigned t = 0; t < tokens; t++) {
        const __m512bh token = load(x[t] + i);
        lanes *s = sum + t * TILE_ROWS;
        RC_UNROLL
        for (unsigned r = 0; r < rows; r++)
            s[r] = _mm512_dpbf16_ps(s[r], row[r], token);
    }
}

TILE_INLINE void tile_store(float *y, const lanes *sum, unsigned rows)
{
    if (rows == TILE_ROWS)
        _mm_storeu_ps(y, rc_pairs_fold4(sum[0], sum[1], sum[2], sum[3]));
    else
        _mm_store_ss(y, rc_pairs_fold4(sum[0], sum[0], sum[0], sum[0]));
}

void rc_matmul_bf16_avx512bf16(float *y, size_t ldy, const uint16_t *const *w, size_t rows,
                               const uint16_t *const *x, size_t tokens, size_t n)
{
    const rc_rounding saved = rc_rounding_enter_flushed(); /* for the end of the sums */

    tile_all(y, ldy, w, rows, x, tokens, n);
    rc_rounding_leave(saved);
}
