/* kernels/matmul_f32_avx2.c - 2 rows by 3 tokens, each sum two registers. */
#include <immintrin.h>

#define TILE_ROWS   2u
#define TILE_TOKENS 3u
typedef float elem;
typedef struct lanes {
    __m256 half[2];
} lanes;

#include "kernels/matmul_simd.h"
#include "kernels/pairs_simd.h"
#include "kernels/rounding.h"

TILE_INLINE lanes tile_zero(void)
{
    return (lanes){ { _mm256_setzero_ps(), _mm256_setzero_ps() } };
}

TILE_INLINE void tile_chunk(lanes *sum, const elem *const *w, const elem *const *x, size_t i,
                            unsigned rows, unsigned tokens)
{
    RC_UNROLL
    for (unsigned q = 0; q < 4; q++) {
        __m256 row[TILE_ROWS];
        RC_UNROLL
        for (unsigned r = 0; r < rows; r++)
            row[r] = _mm256_loadu_ps(w[r] + i + 8 * q);
        RC_UNROLL
        for (unsigned t = 0; t < tokens; t++) {
            __m256 token = _mm256_loadu_ps(x[t] + i + 8 * q);
            __asm__("" : "+x"(token)); /* or GCC loads it again for each row */
            lanes *s = sum + t * TILE_ROWS;
            RC_UNROLL
            for (unsigned r = 0; r < rows; r++)
                s[r].half[q % 2] = _mm256_fmadd_ps(row[r], token, s[r].half[q % 2]);
        }
    }
}

TILE_INLINE void tile_store(float *y, const lanes *sum, unsigned rows)
{
    RC_UNROLL
    for (unsigned r = 0; r < rows; r++)
        y[r] = rc_pairs_fold(sum[r].half[0], sum[r].half[1]);
}

void rc_matmul_f32_avx2(float *y, size_t ldy, const float *const *w, size_t rows,
                        const float *const *x, size_t tokens, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();

    tile_all(y, ldy, w, rows, x, tokens, n);
    rc_rounding_leave(saved);
}
