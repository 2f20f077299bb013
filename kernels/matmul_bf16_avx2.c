/* kernels/matmul_bf16_avx2.c - as matmul_bf16_avx512.c, in the tile of matmul_f32_avx2.c. */
#include <immintrin.h>
#include <stdint.h>

#define TILE_ROWS   2u
#define TILE_TOKENS 3u
typedef uint16_t elem;
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

/* The odd elements, or the even ones, of sixteen as f32. */
TILE_INLINE __m256 widen(const elem *p, unsigned even)
{
    const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p);

    return _mm256_castsi256_ps(even ? _mm256_slli_epi32(v, 16)
                                    : _mm256_and_si256(v, _mm256_set1_epi32(-65536)));
}

TILE_INLINE void tile_chunk(lanes *sum, const elem *const *w, const elem *const *x, size_t i,
                            unsigned rows, unsigned tokens)
{
    RC_UNROLL
    for (unsigned q = 0; q < 4; q++) {
        const unsigned half = q % 2, even = q / 2;
        __m256 row[TILE_ROWS];
        RC_UNROLL
        for (unsigned r = 0; r < rows; r++)
            row[r] = widen(w[r] + i + 16 * half, even);
        RC_UNROLL
        for (unsigned t = 0; t < tokens; t++) {
            __m256 token = widen(x[t] + i + 16 * half, even);
            __asm__("" : "+x"(token)); /* or GCC loads it again for each row */
            lanes *s = sum + t * TILE_ROWS;
            RC_UNROLL
            for (unsigned r = 0; r < rows; r++)
                s[r].half[half] = _mm256_fmadd_ps(row[r], token, s[r].half[half]);
        }
    }
}

TILE_INLINE void tile_store(float *y, const lanes *sum, unsigned rows)
{
    RC_UNROLL
    for (unsigned r = 0; r < rows; r++)
        y[r] = rc_pairs_fold(sum[r].half[0], sum[r].half[1]);
}

void rc_matmul_bf16_avx2(float *y, size_t ldy, const uint16_t *const *w, size_t rows,
                         const uint16_t *const *x, size_t tokens, size_t n)
{
    const rc_rounding saved = rc_rounding_enter_flushed();

    tile_all(y, ldy, w, rows, x, tokens, n);
    rc_rounding_leave(saved);
}
