/* kernels/matmul_bf16_avx512.c - VDPBF16PS in two steps: the odd elements of a chunk are the upper
 * halves of its words, where they lie; the even ones are shifted there. */
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

/* The odd elements, or the even ones, as f32. */
TILE_INLINE __m512 widen(const elem *p, unsigned even)
{
    const __m512i v = _mm512_loadu_si512(p);

    return _mm512_castsi512_ps(even ? _mm512_slli_epi32(v, 16)
                                    : _mm512_and_si512(v, _mm512_set1_epi32(-65536)));
}

TILE_INLINE void tile_chunk(lanes *sum, const elem *const *w, const elem *const *x, size_t i,
                            unsigned rows, unsigned tokens)
{
    RC_UNROLL
    for (unsigned even = 0; even < 2; even++) {
        __m512 row[TILE_ROWS];
        RC_UNROLL
        for (unsigned r = 0; r < rows; r++)
            row[r] = widen(w[r] + i, even);
        RC_UNROLL
        for (unsigned t = 0; t < tokens; t++) {
            const __m512 token = widen(x[t] + i, even);
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

void rc_matmul_bf16_avx512(float *y, size_t ldy, const uint16_t *const *w, size_t rows,
                           const uint16_t *const *x, size_t tokens, size_t n)
{
    const rc_rounding saved = rc_rounding_enter_flushed();

    tile_all(y, ldy, w, rows, x, tokens, n);
    rc_rounding_leave(saved);
}
