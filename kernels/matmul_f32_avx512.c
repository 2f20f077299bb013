/* kernels/matmul_f32_avx512.c - 4 rows by 6 tokens: 24 sums, 10 loads for 24 multiplications. */
#include <immintrin.h>

#define TILE_ROWS   4u
#define TILE_TOKENS 6u
typedef float elem;
typedef __m512 lanes;

#include "kernels/matmul_simd.h"
#include "kernels/pairs_simd.h"
#include "kernels/rounding.h"

TILE_INLINE lanes tile_zero(void)
{
    return _mm512_setzero_ps();
}

TILE_INLINE void tile_chunk(lanes *sum, const elem *const *w, const elem *const *x, size_t i,
                            unsigned rows, unsigned tokens)
{
    RC_UNROLL
    for (unsigned half = 0; half < RC_CHUNK; half += RC_PAIR_LANES) {
        __m512 row[TILE_ROWS];
        RC_UNROLL
        for (unsigned r = 0; r < rows; r++)
            row[r] = _mm512_loadu_ps(w[r] + i + half);
        RC_UNROLL
        for (unsigned t = 0; t < tokens; t++) {
            const __m512 token = _mm512_loadu_ps(x[t] + i + half);
            lanes *s = sum + t * TILE_ROWS;
            RC_UNROLL
            for (unsigned r = 0; r < rows; r++)
                s[r] = _mm512_fmadd_ps(row[r], token, s[r]);
        }
    }
}

TILE_INLINE void tile_store(float *y, const lanes *sum, unsigned rows)
{
    if (rows == TILE_ROWS)
        _mm_storeu_ps(y, rc_pairs_fold4(sum[0], sum[1], sum[2], sum[3]));
    else
        _mm_store_ss(y, rc_pairs_fold4(sum[0], sum[0], sum[0], sum[0]));
}

void rc_matmul_f32_avx512(float *y, size_t ldy, const float *const *w, size_t rows,
                          const float *const *x, size_t tokens, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();

    tile_all(y, ldy, w, rows, x, tokens, n);
    rc_rounding_leave(saved);
}
