/* kernels/dequant_int4_avx512.c - the sixteen values that a group's codes can have, in one
 * register; a permute by codes then is the decoding, as in dequant_fp4_avx512.c. */
#include "kernels/dequant_int4.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/rounding.h"

void rc_dequant_int4_avx512(float *restrict y, const uint8_t *restrict q,
                            const float *restrict scale, const uint8_t *restrict zero, size_t group,
                            size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    /* quadword j of a broadcast: nibble 2j to element 2j, nibble 2j+1 to 2j+1 */
    const __m512i pick = _mm512_setr_epi64(
        0x0000000400000000, 0x0000000c00000008, 0x0000001400000010, 0x0000001c00000018,
        0x0000002400000020, 0x0000002c00000028, 0x0000003400000030, 0x0000003c00000038);
    const __m512i codes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

    for (size_t g = 0; g * group < n; g++, q += group / 2, y += group) {
        const uint8_t *z = zero ? zero + g : NULL;

        if (!isfinite(scale[g])) { /* one NaN */
            rc_dequant_int4_ref(y, q, scale + g, z, group, group);
            continue;
        }
        const __m512i from = _mm512_set1_epi32(z ? *z : 8);
        const __m512 table = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(codes, from)),
                                           _mm512_set1_ps(scale[g]));
        for (size_t i = 0; i < group; i += 32) {
            long long lo, hi;
            memcpy(&lo, q + i / 2, sizeof lo);
            memcpy(&hi, q + i / 2 + 8, sizeof hi);
            const __m512i a = _mm512_multishift_epi64_epi8(pick, _mm512_set1_epi64(lo));
            const __m512i b = _mm512_multishift_epi64_epi8(pick, _mm512_set1_epi64(hi));
            _mm512_storeu_ps(y + i, _mm512_permutexvar_ps(a, table));
            _mm512_storeu_ps(y + i + 16, _mm512_permutexvar_ps(b, table));
        }
    }
    rc_rounding_leave(saved);
}
