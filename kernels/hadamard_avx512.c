/* kernels/hadamard_avx512.c - 128 elements, the usual length, are one group. */
#include <immintrin.h>

#include "kernels/codes.h"

#define WIDTH 16u

typedef __m512 vec;

static inline vec load(const float *x)
{
    return _mm512_loadu_ps(x);
}

static inline void store(float *y, vec v)
{
    _mm512_storeu_ps(y, v);
}

static inline vec add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}

static inline vec sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}

static inline vec scaled(vec x, float scale)
{
    const vec y = _mm512_mul_ps(x, _mm512_set1_ps(scale));
    const __mmask16 nan = _mm512_cmp_ps_mask(y, y, _CMP_UNORD_Q);

    return _mm512_castsi512_ps(
        _mm512_mask_set1_epi32(_mm512_castps_si512(y), nan, (int)RC_F32_NAN));
}

/* The lower of a pair takes the sum, the upper the difference. */
static inline vec meet(vec x, vec partner, __mmask16 upper)
{
    return _mm512_mask_sub_ps(_mm512_add_ps(x, partner), upper, partner, x);
}

static inline vec within(vec x)
{
    x = meet(x, _mm512_permute_ps(x, 0xb1), 0xaaaa);
    x = meet(x, _mm512_permute_ps(x, 0x4e), 0xcccc);
    x = meet(x, _mm512_shuffle_f32x4(x, x, 0xb1), 0xf0f0);
    return meet(x, _mm512_shuffle_f32x4(x, x, 0x4e), 0xff00);
}

#include "kernels/hadamard_simd.h"

void rc_hadamard_avx512(float *y, const float *x, size_t n)
{
    transform(y, x, n);
}
