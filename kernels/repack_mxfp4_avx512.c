/* kernels/repack_mxfp4_avx512.c - four blocks, 17 dwords, at a time.
 *
 * A *quad* is made as two vectors that overlap: its first 16 dwords and its last. Line L
 * of a strip then is the last L dwords of quad L - 1 and the first 16 - L of quad L, which
 * is one permute of two vectors; the index falls by one from line to line. */
#include "kernels/repack_mxfp4_simd.h"

#include <immintrin.h>
#include <string.h>

#include "kernels/codes.h"

#define QUAD_BYTES (4 * sizeof(rc_block_mxfp4))

typedef struct quad {
    __m512i head, tail; /* bytes 0 .. 63 and 4 .. 67 */
} quad;

typedef struct layout {
    __m512i head, tail; /* where each byte comes from: codes, or 64 + block for a scale */
} layout;

/* Byte p of a quad: a scale, or byte j of the codes of block p / 17. repacked() leaves the
 * even j in the lower half of 16 bytes and the odd in the upper. */
static layout make_layout(void)
{
    uint8_t from[QUAD_BYTES];
    layout to;

    for (unsigned p = 0; p < QUAD_BYTES; p++) {
        const unsigned block = p / 17, j = p % 17 - 1;
        from[p] = (uint8_t)(p % 17 == 0 ? 64 + block : 16 * block + j % 2 * 8 + j / 2);
    }
    to.head = _mm512_loadu_si512(from);
    to.tail = _mm512_loadu_si512(from + 4);
    return to;
}

/* Of each 16 bytes of codes: low nibbles of bytes k and k + 8 to byte k, the high ones to
 * byte k + 8. */
static inline __m512i repacked(__m512i x)
{
    const __m512i low = _mm512_set1_epi8(15);
    const __m512i other = _mm512_shuffle_epi32(x, _MM_PERM_BADC); /* the halves exchanged */
    const __m512i even = _mm512_ternarylogic_epi64(low, x, _mm512_slli_epi16(other, 4), 0xca);
    const __m512i odd = _mm512_ternarylogic_epi64(low, _mm512_srli_epi16(other, 4), x, 0xca);

    return _mm512_mask_blend_epi64(0xaa, even, odd);
}

static inline quad make_quad(layout to, const uint8_t *q, const uint8_t *scale)
{
    const __m512i codes = repacked(_mm512_loadu_si512(q));
    int four;
    quad out;

    memcpy(&four, scale, sizeof four);
    out.head = _mm512_permutex2var_epi8(codes, to.head, _mm512_set1_epi32(four));
    out.tail = _mm512_permutex2var_epi8(codes, to.tail, _mm512_set1_epi32(four));
    return out;
}

static inline void put(uint8_t *out, __m512i line, bool stream)
{
    if (stream)
        _mm512_stream_si512((__m512i *)(void *)out, line);
    else
        _mm512_storeu_si512(out, line);
}

/* `stream` is a constant where this is inlined. */
static inline __attribute__((always_inline)) void make_strip(uint8_t *out, layout to,
                                                             const uint8_t *q, const uint8_t *scale,
                                                             bool stream)
{
    __m512i from =
        _mm512_setr_epi32(16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
    __m512i tail = _mm512_setzero_si512(); /* of the quad before; line 0 takes nothing of it */

    for (unsigned i = 0; i < STRIP_BLOCKS / 4; i++) {
        const quad x = make_quad(to, q + 64 * i, scale + 4 * i);
        put(out + 64 * i, _mm512_permutex2var_epi32(tail, from, x.head), stream);
        from = _mm512_sub_epi32(from, _mm512_set1_epi32(1));
        tail = x.tail;
    }
    put(out + STRIP_BYTES - 64, tail, stream);
}

/* All but the last three blocks at the most; returns how many. */
static size_t plain(uint8_t *out, layout to, const uint8_t *q, const uint8_t *scale, size_t blocks)
{
    size_t b = 0;

    for (; b + 4 <= blocks; b += 4) {
        const quad x = make_quad(to, q + CODE_BYTES * b, scale + b);
        uint8_t *at = out + b * sizeof(rc_block_mxfp4);
        _mm512_storeu_si512(at, x.head);
        _mm512_storeu_si512(at + 4, x.tail);
    }
    return b;
}

static size_t count_nan(const uint8_t *scale, size_t n)
{
    size_t nan = 0;

    for (size_t i = 0; i < n; i += 64) {
        const __mmask64 m = n - i >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << (n - i)) - 1;
        const __m512i s = _mm512_maskz_loadu_epi8(m, scale + i);
        nan += (unsigned)__builtin_popcountll(_mm512_cmpeq_epi8_mask(s, _mm512_set1_epi8(-1)));
    }
    return nan;
}

size_t rc_repack_mxfp4_avx512(uint8_t *restrict out, const uint8_t *restrict q,
                              const uint8_t *restrict scale, size_t n, bool stream)
{
    const size_t blocks = n / RC_FP4_GROUP;
    const layout to = make_layout();
    size_t b = 0;

    if (stream) {
        b = blocks_to_line(out, blocks);
        rc_repack_mxfp4_ref(out, q, scale, b * RC_FP4_GROUP, false);
        for (; b + STRIP_BLOCKS <= blocks; b += STRIP_BLOCKS)
            make_strip(out + b * sizeof(rc_block_mxfp4), to, q + CODE_BYTES * b, scale + b, true);
        _mm_sfence();
    }
    for (; b + STRIP_BLOCKS <= blocks; b += STRIP_BLOCKS)
        make_strip(out + b * sizeof(rc_block_mxfp4), to, q + CODE_BYTES * b, scale + b, false);
    b += plain(out + b * sizeof(rc_block_mxfp4), to, q + CODE_BYTES * b, scale + b, blocks - b);
    rc_repack_mxfp4_ref(out + b * sizeof(rc_block_mxfp4), q + CODE_BYTES * b, scale + b,
                        (blocks - b) * RC_FP4_GROUP, false);
    return count_nan(scale, blocks);
}
