/* kernels/dequant_fp4_avx512.c - the sixteen values of a group in one register.
 *
 * A permute by nibbles then is the decoding. It reads the low bits of its
 * indices only, so a multishift that leaves a nibble at the bottom of every
 * element is all the unpacking there is. */
#include "kernels/dequant_fp4.h"

#include <immintrin.h>

#include "kernels/codes.h"
#include "kernels/rounding.h"

#define FIRST_INFINITE 253 /* 4 * 2^(253-127) is the first product that overflows */

static inline __m512 values(void)
{
    return _mm512_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f, -0.0f, -0.5f, -1.0f,
                          -1.5f, -2.0f, -3.0f, -4.0f, -6.0f);
}

static inline __m512 scaled(uint8_t scale)
{
    const uint32_t bits = scale ? (uint32_t)scale << 23 : 0x00400000u;

    return _mm512_mul_ps(values(), _mm512_castsi512_ps(_mm512_set1_epi32((int)bits)));
}

void rc_dequant_fp4_avx512(float *restrict y, const uint8_t *restrict q,
                           const uint8_t *restrict scale, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    /* quadword j of a broadcast: nibble 2j to element 2j, nibble 2j+1 to 2j+1 */
    const __m512i pick = _mm512_setr_epi64(
        0x0000000400000000, 0x0000000c00000008, 0x0000001400000010, 0x0000001c00000018,
        0x0000002400000020, 0x0000002c00000028, 0x0000003400000030, 0x0000003c00000038);

    for (size_t i = 0; i < n; i += RC_FP4_GROUP, q += 16, scale++) {
        const __m512 table = *scale == RC_E8M0_NAN
                                 ? _mm512_castsi512_ps(_mm512_set1_epi32(RC_F32_NAN))
                                 : scaled(*scale);
        long long lo, hi;
        memcpy(&lo, q, sizeof lo);
        memcpy(&hi, q + 8, sizeof hi);
        const __m512i a = _mm512_multishift_epi64_epi8(pick, _mm512_set1_epi64(lo));
        const __m512i b = _mm512_multishift_epi64_epi8(pick, _mm512_set1_epi64(hi));
        _mm512_storeu_ps(y + i, _mm512_permutexvar_ps(a, table));
        _mm512_storeu_ps(y + i + 16, _mm512_permutexvar_ps(b, table));
    }
    rc_rounding_leave(saved);
}

size_t rc_dequant_fp4_bf16_avx512(uint16_t *restrict y, const uint8_t *restrict q,
                                  const uint8_t *restrict scale, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    /* quadword j holds nibbles 4j .. 4j+3 */
    const __m512i pick = _mm512_set1_epi64(0x000c000800040000);
    size_t inexact = 0;

    for (size_t i = 0; i < n; i += RC_FP4_GROUP, q += 16, scale++) {
        if (*scale >= FIRST_INFINITE) {
            inexact += rc_dequant_fp4_bf16_ref(y + i, q, scale, RC_FP4_GROUP);
            continue;
        }
        /* exact: the upper halves are the values; twice, for a five-bit index */
        const __m256i half =
            _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(scaled(*scale)), 16));
        const __m512i table = _mm512_broadcast_i64x4(half);
        const __m512i spread = _mm512_cvtepu16_epi64(_mm_loadu_si128((const __m128i *)(const void *)q));
        const __m512i index = _mm512_multishift_epi64_epi8(pick, spread);
        _mm512_storeu_si512(y + i, _mm512_permutexvar_epi16(index, table));
    }
    rc_rounding_leave(saved);
    return inexact;
}
