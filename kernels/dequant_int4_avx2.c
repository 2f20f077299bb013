/* kernels/dequant_int4_avx2.c - eight codes of a word, each shifted to the bottom of its lane. */
#include "kernels/dequant_int4.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/rounding.h"
#include "kernels/unroll.h"

void rc_dequant_int4_avx2(float *restrict y, const uint8_t *restrict q, const float *restrict scale,
                          const uint8_t *restrict zero, size_t group, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    const __m256i nibble = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    const __m256i low = _mm256_set1_epi32(15);

    for (size_t g = 0; g * group < n; g++, q += group / 2, y += group) {
        const uint8_t *z = zero ? zero + g : NULL;

        if (!isfinite(scale[g])) { /* one NaN */
            rc_dequant_int4_ref(y, q, scale + g, z, group, group);
            continue;
        }
        const __m256 s = _mm256_set1_ps(scale[g]);
        const __m256i from = _mm256_set1_epi32(z ? *z : 8);
        for (size_t i = 0; i < group; i += 32) {
            RC_UNROLL
            for (unsigned j = 0; j < 4; j++) {
                int word;
                memcpy(&word, q + i / 2 + 4 * j, sizeof word);
                const __m256i x =
                    _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(word), nibble), low);
                const __m256 v = _mm256_cvtepi32_ps(_mm256_sub_epi32(x, from));
                _mm256_storeu_ps(y + i + 8 * j, _mm256_mul_ps(v, s));
            }
        }
    }
    rc_rounding_leave(saved);
}
