/* kernels/dequant_fp8_avx2.c - by way of f16.
 *
 * E4M3 moved up by seven bits is an f16 of 2^-8 times the value, subnormals
 * included, and F16C widens that exactly. E4M3's NaN would pass for a number: what
 * holds one, and blocks whose scale is infinite or NaN, go to the reference. */
#include "kernels/dequant_fp8.h"

#include <immintrin.h>
#include <stdbool.h>

#include "kernels/codes.h"
#include "kernels/rounding.h"

#define STEP 32u /* codes at a time; RC_FP8_TILE is a multiple */

static inline bool has_nan(const uint8_t *q)
{
    const __m256i nan = _mm256_set1_epi8(RC_E4M3_NAN);
    const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)q);

    return _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_and_si256(x, nan), nan)) != 0;
}

static inline __m256 eight(const uint8_t *q)
{
    const __m128i x = _mm_cvtepu8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)q));
    const __m128i body = _mm_slli_epi16(_mm_and_si128(x, _mm_set1_epi16(0x7f)), 7);
    const __m128i sign = _mm_and_si128(_mm_slli_epi16(x, 8), _mm_set1_epi16((short)0x8000));

    return _mm256_mul_ps(_mm256_cvtph_ps(_mm_or_si128(body, sign)), _mm256_set1_ps(256.0f));
}

static inline bool finite(float x)
{
    return (rc_f32_bits(x) & 0x7f800000u) != 0x7f800000u;
}

void rc_dequant_fp8_avx2(float *restrict y, const uint8_t *restrict q, const float *restrict scale,
                         size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    size_t i = 0;

    for (; i + STEP <= n; i += STEP) {
        const float s = scale[i / RC_FP8_TILE];
        if (!finite(s) || has_nan(q + i)) {
            rc_dequant_fp8_ref(y + i, q + i, &s, STEP);
            continue;
        }
        for (unsigned j = 0; j < STEP; j += 8)
            _mm256_storeu_ps(y + i + j, _mm256_mul_ps(eight(q + i + j), _mm256_set1_ps(s)));
    }
    if (i < n)
        rc_dequant_fp8_ref(y + i, q + i, scale + i / RC_FP8_TILE, n - i);
    rc_rounding_leave(saved);
}

/* A positive power of two that keeps every E4M3 value a normal bf16. */
static inline bool is_plain_power(float s)
{
    const uint32_t bits = rc_f32_bits(s);

    return (bits & 0x807fffffu) == 0 && bits >> 23 >= 10 && bits >> 23 <= 240;
}

static inline unsigned count_wrong(__m128 code, __m128 stored, __m256d scale)
{
    const __m256d exact = _mm256_mul_pd(_mm256_cvtps_pd(code), scale);
    const __m256d wrong = _mm256_cmp_pd(exact, _mm256_cvtps_pd(stored), _CMP_NEQ_OQ);

    return (unsigned)__builtin_popcount((unsigned)_mm256_movemask_pd(wrong));
}

size_t rc_dequant_fp8_bf16_avx2(uint16_t *restrict y, const uint8_t *restrict q,
                                const float *restrict scale, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    size_t i = 0, inexact = 0;

    for (; i + STEP <= n; i += STEP) {
        const float s = scale[i / RC_FP8_TILE];
        if (!finite(s) || has_nan(q + i)) {
            inexact += rc_dequant_fp8_bf16_ref(y + i, q + i, &s, STEP);
            continue;
        }
        const bool exact = is_plain_power(s);
        for (unsigned j = 0; j < STEP; j += 8) {
            const __m256 code = eight(q + i + j);
            const __m256i p = _mm256_castps_si256(_mm256_mul_ps(code, _mm256_set1_ps(s)));
            const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(p, 16), _mm256_set1_epi32(1));
            const __m256i r =
                _mm256_add_epi32(p, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
            const __m256i top = _mm256_srli_epi32(r, 16);
            _mm_storeu_si128((__m128i *)(void *)(y + i + j),
                             _mm_packus_epi32(_mm256_castsi256_si128(top),
                                              _mm256_extracti128_si256(top, 1)));
            if (!exact) {
                const __m256 kept = _mm256_castsi256_ps(_mm256_slli_epi32(top, 16));
                const __m256d sd = _mm256_set1_pd((double)s);
                inexact +=
                    count_wrong(_mm256_castps256_ps128(code), _mm256_castps256_ps128(kept), sd);
                inexact +=
                    count_wrong(_mm256_extractf128_ps(code, 1), _mm256_extractf128_ps(kept, 1), sd);
            }
        }
    }
    if (i < n)
        inexact += rc_dequant_fp8_bf16_ref(y + i, q + i, scale + i / RC_FP8_TILE, n - i);
    rc_rounding_leave(saved);
    return inexact;
}
