/* kernels/scan_avx512.c - one comparison a vector; a block with a find is scanned again.
 *
 * "Exponent (or code) all ones" is x & pattern == pattern in elements of 8, 16 or
 * 32 bits. Clean data, the only data worth speed, never leaves the loop. */
#include "kernels/scan.h"

#include <immintrin.h>

#define BLOCK 256u /* bytes */

static inline __attribute__((always_inline)) void
scan_width(rc_scan_result *out, rc_dtype dtype, const uint8_t *data, size_t n, unsigned width,
           __m512i pattern)
{
    const size_t per_block = BLOCK / width;
    __m512i any = _mm512_setzero_si512();
    size_t i = 0;
    rc_scan_result piece;

    *out = RC_SCAN_NONE;
    for (; i + per_block <= n; i += per_block) {
        uint64_t bad = 0;
        for (unsigned j = 0; j < BLOCK; j += 64) {
            const __m512i x = _mm512_loadu_si512(data + i * width + j);
            const __m512i p = _mm512_and_si512(x, pattern);
            any = _mm512_or_si512(any, x);
            if (width == 1)
                bad |= _mm512_cmpeq_epi8_mask(p, pattern);
            else if (width == 2)
                bad |= _mm512_cmpeq_epi16_mask(p, pattern);
            else
                bad |= _mm512_cmpeq_epi32_mask(p, pattern);
        }
        if (bad) {
            rc_scan_ref(&piece, dtype, data + i * width, per_block);
            rc_scan_add(out, &piece, i);
        }
    }
    out->all_zero = _mm512_test_epi64_mask(any, any) == 0;
    rc_scan_ref(&piece, dtype, data + i * width, n - i);
    rc_scan_add(out, &piece, i);
}

void rc_scan_avx512(rc_scan_result *out, rc_dtype dtype, const uint8_t *data, size_t n)
{
    switch (dtype) {
    case RC_DTYPE_F8_E4M3:
        scan_width(out, dtype, data, n, 1, _mm512_set1_epi8(0x7f));
        break;
    case RC_DTYPE_F8_E8M0:
        scan_width(out, dtype, data, n, 1, _mm512_set1_epi8(-1));
        break;
    case RC_DTYPE_BF16:
        scan_width(out, dtype, data, n, 2, _mm512_set1_epi16(0x7f80));
        break;
    case RC_DTYPE_F32:
        scan_width(out, dtype, data, n, 4, _mm512_set1_epi32(0x7f800000));
        break;
    default:
        rc_scan_ref(out, dtype, data, n);
    }
}
