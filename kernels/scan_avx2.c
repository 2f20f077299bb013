/* kernels/scan_avx2.c - as the AVX-512 variant, which explains it. */
#include "kernels/scan.h"

#include <immintrin.h>

#define BLOCK 128u /* bytes */

static inline __attribute__((always_inline)) void
scan_width(rc_scan_result *out, rc_dtype dtype, const uint8_t *data, size_t n, unsigned width,
           __m256i pattern)
{
    const size_t per_block = BLOCK / width;
    __m256i any = _mm256_setzero_si256();
    size_t i = 0;
    rc_scan_result piece;

    *out = RC_SCAN_NONE;
    for (; i + per_block <= n; i += per_block) {
        __m256i bad = _mm256_setzero_si256();
        for (unsigned j = 0; j < BLOCK; j += 32) {
            const __m256i x =
                _mm256_loadu_si256((const __m256i *)(const void *)(data + i * width + j));
            const __m256i p = _mm256_and_si256(x, pattern);
            any = _mm256_or_si256(any, x);
            if (width == 1)
                bad = _mm256_or_si256(bad, _mm256_cmpeq_epi8(p, pattern));
            else if (width == 2)
                bad = _mm256_or_si256(bad, _mm256_cmpeq_epi16(p, pattern));
            else
                bad = _mm256_or_si256(bad, _mm256_cmpeq_epi32(p, pattern));
        }
        if (!_mm256_testz_si256(bad, bad)) {
            rc_scan_ref(&piece, dtype, data + i * width, per_block);
            rc_scan_add(out, &piece, i);
        }
    }
    out->all_zero = _mm256_testz_si256(any, any);
    rc_scan_ref(&piece, dtype, data + i * width, n - i);
    rc_scan_add(out, &piece, i);
}

void rc_scan_avx2(rc_scan_result *out, rc_dtype dtype, const uint8_t *data, size_t n)
{
    switch (dtype) {
    case RC_DTYPE_F8_E4M3:
        scan_width(out, dtype, data, n, 1, _mm256_set1_epi8(0x7f));
        break;
    case RC_DTYPE_F8_E8M0:
        scan_width(out, dtype, data, n, 1, _mm256_set1_epi8(-1));
        break;
    case RC_DTYPE_BF16:
        scan_width(out, dtype, data, n, 2, _mm256_set1_epi16(0x7f80));
        break;
    case RC_DTYPE_F32:
        scan_width(out, dtype, data, n, 4, _mm256_set1_epi32(0x7f800000));
        break;
    default:
        rc_scan_ref(out, dtype, data, n);
    }
}
