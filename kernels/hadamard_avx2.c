/* kernels/hadamard_avx2.c */
#include <immintrin.h>

#include "kernels/codes.h"

#define WIDTH 8u

typedef __m256 vec;

static inline vec load(const float *x)
{
    return _mm256_loadu_ps(x);
}

static inline void store(float *y, vec v)
{
    _mm256_storeu_ps(y, v);
}

static inline vec add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}

static inline vec sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}

static inline vec scaled(vec x, float scale)
{
    const vec y = _mm256_mul_ps(x, _mm256_set1_ps(scale));
    const vec nan = _mm256_castsi256_ps(_mm256_set1_epi32((int)RC_F32_NAN));

    return _mm256_blendv_ps(y, nan, _mm256_cmp_ps(y, y, _CMP_UNORD_Q));
}

/* The lower of a pair takes the sum, the upper the difference. */
static inline vec within(vec x)
{
    vec partner = _mm256_permute_ps(x, 0xb1);

    x = _mm256_blend_ps(add(x, partner), sub(partner, x), 0xaa);
    partner = _mm256_permute_ps(x, 0x4e);
    x = _mm256_blend_ps(add(x, partner), sub(partner, x), 0xcc);
    partner = _mm256_permute2f128_ps(x, x, 1);
    return _mm256_blend_ps(add(x, partner), sub(partner, x), 0xf0);
}

#include "kernels/hadamard_simd.h"

void rc_hadamard_avx2(float *y, const float *x, size_t n)
{
    transform(y, x, n);
}
