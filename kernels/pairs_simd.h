/* kernels/pairs_simd.h - the end of a sum in the order of pairs.h: lane j takes lane j + h. */
#ifndef RC_KERNELS_PAIRS_SIMD_H
#define RC_KERNELS_PAIRS_SIMD_H

#if defined(__AVX2__) /* nothing here is for files without an instruction set */

#include <immintrin.h>

/** lo: lanes 0-7, hi: 8-15. */
static inline float rc_pairs_fold(__m256 lo, __m256 hi)
{
    const __m256 eight = _mm256_add_ps(lo, hi);
    __m128 v = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));

    v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)));
}

#if defined(__AVX512F__)
/** Four sums at once. */
static inline __m128 rc_pairs_fold4(__m512 a, __m512 b, __m512 c, __m512 d)
{
    /* 8: the quarters a0 a1 b0 b1 and a2 a3 b2 b3 */
    const __m512 ab =
        _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    const __m512 cd =
        _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
    /* 4: a quarter each */
    __m512 v =
        _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));

    v = _mm512_add_ps(v, _mm512_permute_ps(v, 0x4e));
    v = _mm512_add_ps(v, _mm512_permute_ps(v, 0xb1));
    return _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, v));
}
#endif

#endif

#endif
