/* kernels/repack_mxfp4_avx2.c - two blocks a vector; to stream, a strip goes through a
 * buffer in first-level cache. */
#include "kernels/repack_mxfp4_simd.h"

#include <immintrin.h>

#include "kernels/codes.h"

/* The codes of two groups: a block's byte 2k is the low nibbles of bytes k and k + 8, its
 * byte 2k + 1 the high ones. */
static inline __m256i repacked(__m256i x)
{
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i other = _mm256_shuffle_epi32(x, _MM_SHUFFLE(1, 0, 3, 2)); /* byte k + 8 at k */
    const __m256i even = _mm256_or_si256(_mm256_and_si256(x, low),
                                         _mm256_slli_epi16(_mm256_and_si256(other, low), 4));
    const __m256i odd = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(x, 4), low),
                                        _mm256_andnot_si256(low, other));

    return _mm256_unpacklo_epi8(even, odd);
}

static size_t plain(uint8_t *out, const uint8_t *q, const uint8_t *scale, size_t blocks)
{
    rc_block_mxfp4 *block = (rc_block_mxfp4 *)(void *)out;
    size_t b = 0, nan = 0;

    for (; b + 2 <= blocks; b += 2) {
        const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(q + CODE_BYTES * b));
        const __m256i y = repacked(x);
        block[b].e = scale[b];
        block[b + 1].e = scale[b + 1];
        _mm_storeu_si128((__m128i *)(void *)block[b].qs, _mm256_castsi256_si128(y));
        _mm_storeu_si128((__m128i *)(void *)block[b + 1].qs, _mm256_extracti128_si256(y, 1));
        nan += (scale[b] == RC_E8M0_NAN) + (unsigned)(scale[b + 1] == RC_E8M0_NAN);
    }
    return nan + rc_repack_mxfp4_ref(out + b * sizeof *block, q + CODE_BYTES * b, scale + b,
                                     (blocks - b) * RC_FP4_GROUP, false);
}

static void stream_lines(uint8_t *out, const uint8_t *strip)
{
    for (size_t i = 0; i < STRIP_BYTES; i += 32)
        _mm256_stream_si256((__m256i *)(void *)(out + i),
                            _mm256_load_si256((const __m256i *)(const void *)(strip + i)));
}

size_t rc_repack_mxfp4_avx2(uint8_t *restrict out, const uint8_t *restrict q,
                            const uint8_t *restrict scale, size_t n, bool stream)
{
    const size_t blocks = n / RC_FP4_GROUP;
    uint8_t strip[STRIP_BYTES] __attribute__((aligned(32)));
    size_t b, nan;

    if (!stream)
        return plain(out, q, scale, blocks);
    b = blocks_to_line(out, blocks);
    nan = plain(out, q, scale, b);
    for (; b + STRIP_BLOCKS <= blocks; b += STRIP_BLOCKS) {
        nan += plain(strip, q + CODE_BYTES * b, scale + b, STRIP_BLOCKS);
        stream_lines(out + b * sizeof(rc_block_mxfp4), strip);
    }
    nan += plain(out + b * sizeof(rc_block_mxfp4), q + CODE_BYTES * b, scale + b, blocks - b);
    _mm_sfence();
    return nan;
}
