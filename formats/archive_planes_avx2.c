/* formats/archive_planes_avx2.c - 32 elements at a time; the idea is that of
 * archive_planes_avx512.c. */
#include "formats/archive_planes.h"

#include <immintrin.h>
#include <string.h>

static inline __m256i load(const void *p)
{
    return _mm256_loadu_si256(p);
}

static inline void store(void *p, __m256i x)
{
    _mm256_storeu_si256(p, x);
}

/* 32 words below 256 as bytes, in order. */
static inline __m256i narrow(__m256i low, __m256i high)
{
    return _mm256_permute4x64_epi64(_mm256_packus_epi16(low, high), 0xd8);
}

static inline __m256i widen(const uint8_t *p)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)p));
}

/* The low nibbles of 32 bytes as 16 bytes, and back; what is above them is 0. */
static inline void put_nibbles(uint8_t *p, __m256i x)
{
    const __m256i pairs =
        _mm256_and_si256(_mm256_or_si256(x, _mm256_srli_epi16(x, 4)), _mm256_set1_epi16(255));

    _mm_storeu_si128((void *)p, _mm256_castsi256_si128(narrow(pairs, pairs)));
}

static inline __m256i get_nibbles(const uint8_t *p)
{
    const __m256i w = widen(p);

    return _mm256_and_si256(_mm256_or_si256(w, _mm256_slli_epi16(w, 4)), _mm256_set1_epi8(15));
}

/* -------------------------------------------------------------------- planes */

static inline __m256i exponents(__m256i x)
{
    return _mm256_and_si256(_mm256_srli_epi16(x, 7), _mm256_set1_epi16(255));
}

static inline __m256i rests(__m256i x)
{
    return _mm256_or_si256(_mm256_and_si256(x, _mm256_set1_epi16(0x7f)),
                           _mm256_and_si256(_mm256_srli_epi16(x, 8), _mm256_set1_epi16(0x80)));
}

static void split_bf16(uint8_t *exponent, uint8_t *rest, const uint8_t *src, size_t n)
{
    size_t i = 0;

    for (; i + 32 <= n; i += 32) {
        const __m256i x = load(src + 2 * i), y = load(src + 2 * i + 32);

        store(exponent + i, narrow(exponents(x), exponents(y)));
        store(rest + i, narrow(rests(x), rests(y)));
    }
    rc_planes_ref.split_bf16(exponent + i, rest + i, src + 2 * i, n - i);
}

static void join_bf16(uint8_t *dst, const uint8_t *exponent, const uint8_t *rest, size_t n)
{
    const __m256i mantissa = _mm256_set1_epi16(0x7f);
    size_t i = 0;

    for (; i + 16 <= n; i += 16) {
        const __m256i e = _mm256_slli_epi16(widen(exponent + i), 7), r = widen(rest + i);
        const __m256i sign = _mm256_slli_epi16(_mm256_srli_epi16(r, 7), 15);

        store(dst + 2 * i,
              _mm256_or_si256(e, _mm256_or_si256(sign, _mm256_and_si256(r, mantissa))));
    }
    rc_planes_ref.join_bf16(dst + 2 * i, exponent + i, rest + i, n - i);
}

static void split_fp8(uint8_t *exponent, uint8_t *rest, const uint8_t *src, size_t n)
{
    const __m256i low = _mm256_set1_epi8(15), seven = _mm256_set1_epi8(7);
    const __m256i eight = _mm256_set1_epi8(8);
    size_t i = 0;

    for (; i + 32 <= n; i += 32) {
        const __m256i x = load(src + i);
        const __m256i sign = _mm256_and_si256(_mm256_srli_epi16(x, 4), eight);

        put_nibbles(exponent + i / 2, _mm256_and_si256(_mm256_srli_epi16(x, 3), low));
        put_nibbles(rest + i / 2, _mm256_or_si256(sign, _mm256_and_si256(x, seven)));
    }
    rc_planes_ref.split_fp8(exponent + i / 2, rest + i / 2, src + i, n - i);
}

static void join_fp8(uint8_t *dst, const uint8_t *exponent, const uint8_t *rest, size_t n)
{
    const __m256i seven = _mm256_set1_epi8(7), eight = _mm256_set1_epi8(8);
    size_t i = 0;

    for (; i + 32 <= n; i += 32) {
        const __m256i e = _mm256_slli_epi16(get_nibbles(exponent + i / 2), 3);
        const __m256i r = get_nibbles(rest + i / 2);
        const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(r, eight), 4);

        store(dst + i, _mm256_or_si256(e, _mm256_or_si256(sign, _mm256_and_si256(r, seven))));
    }
    rc_planes_ref.join_fp8(dst + i, exponent + i / 2, rest + i / 2, n - i);
}

/* Of 8 numbers: bytes of equal weight in each half, then in four parts of 8. Its own inverse but
 * for the order of the two steps. */
static inline __m256i by_fours(__m256i x)
{
    return _mm256_shuffle_epi8(x, _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11,
                                                   15, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7,
                                                   11, 15));
}

static void split_f32(uint8_t *planes, size_t stride, const uint8_t *src, size_t n)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    size_t i = 0;

    for (; i + 8 <= n; i += 8) {
        uint8_t part[32];

        store(part, _mm256_permutevar8x32_epi32(by_fours(load(src + 4 * i)), order));
        for (size_t b = 0; b < 4; b++)
            memcpy(planes + b * stride + i, part + 8 * b, 8);
    }
    rc_planes_ref.split_f32(planes + i, stride, src + 4 * i, n - i);
}

static void join_f32(uint8_t *dst, const uint8_t *planes, size_t stride, size_t n)
{
    const __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
    size_t i = 0;

    for (; i + 8 <= n; i += 8) {
        uint8_t part[32];

        for (size_t b = 0; b < 4; b++)
            memcpy(part + 8 * b, planes + b * stride + i, 8);
        store(dst + 4 * i, by_fours(_mm256_permutevar8x32_epi32(load(part), order)));
    }
    rc_planes_ref.join_f32(dst + 4 * i, planes + i, stride, n - i);
}

/* -------------------------------------------------------------------- ladder */

/* The greatest byte, in all places. */
static inline __m256i most_of_bytes(__m256i x)
{
    const __m256i swap = _mm256_setr_epi8(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14, 1,
                                          0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);

    x = _mm256_max_epu8(x, _mm256_permute4x64_epi64(x, 0x4e));
    x = _mm256_max_epu8(x, _mm256_shuffle_epi32(x, 0x4e));
    x = _mm256_max_epu8(x, _mm256_shuffle_epi32(x, 0xb1));
    x = _mm256_max_epu8(x, _mm256_or_si256(_mm256_slli_epi32(x, 16), _mm256_srli_epi32(x, 16)));
    return _mm256_max_epu8(x, _mm256_shuffle_epi8(x, swap));
}

static inline __m256i most_of_words(__m256i x)
{
    x = _mm256_max_epu16(x, _mm256_permute4x64_epi64(x, 0x4e));
    x = _mm256_max_epu16(x, _mm256_shuffle_epi32(x, 0x4e));
    x = _mm256_max_epu16(x, _mm256_shuffle_epi32(x, 0xb1));
    return _mm256_max_epu16(x, _mm256_or_si256(_mm256_slli_epi32(x, 16), _mm256_srli_epi32(x, 16)));
}

/* 0 or 1 + rung of 32 magnitudes: by table below 16, by arithmetic above; all ones if on none. */
static inline __m256i ladder(__m256i m, __m256i least)
{
    const __m256i zero = _mm256_setzero_si256();
    const __m256i small = _mm256_cmpeq_epi8(_mm256_and_si256(m, _mm256_set1_epi8(0x70)), zero);
    const __m256i exact = _mm256_cmpeq_epi8(_mm256_and_si256(m, _mm256_set1_epi8(3)), zero);
    const __m256i rung = _mm256_add_epi8(
        _mm256_and_si256(_mm256_srli_epi16(m, 2), _mm256_set1_epi8(0x1f)), _mm256_set1_epi8(5));
    const __m256i great = _mm256_or_si256(rung, _mm256_cmpeq_epi8(exact, zero));

    return _mm256_blendv_epi8(great, _mm256_shuffle_epi8(least, m), small);
}

static inline bool split_group(uint8_t *codes, uint8_t *exponent, __m256i x, __m256i least)
{
    const __m256i zero = _mm256_setzero_si256(), one = _mm256_set1_epi8(1);
    const __m256i code_of =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(1, 0, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0));
    const __m256i at = ladder(_mm256_and_si256(x, _mm256_set1_epi8(0x7f)), least);
    const __m256i none = _mm256_cmpeq_epi8(at, zero), most = most_of_bytes(at);
    const __m256i twice = _mm256_andnot_si256(one, _mm256_subs_epu8(most, one));
    const __m256i above =
        _mm256_add_epi8(_mm256_sub_epi8(at, twice), _mm256_set1_epi8(5)); /* code 1 */
    const __m256i code = _mm256_andnot_si256(none, _mm256_shuffle_epi8(code_of, above));
    const __m256i sign = _mm256_and_si256(_mm256_srli_epi16(x, 4), _mm256_set1_epi8(8));
    const __m256i lost = _mm256_xor_si256(none, _mm256_cmpeq_epi8(code, zero));
    const __m256i off = _mm256_cmpeq_epi8(at, _mm256_set1_epi8((char)RC_LADDER_OFF));

    put_nibbles(codes, _mm256_or_si256(code, sign));
    *exponent = (uint8_t)(_mm256_extract_epi8(twice, 0) >> 1);
    return _mm256_testz_si256(_mm256_or_si256(lost, off), _mm256_set1_epi8(-1));
}

static bool split_fp8_fp4(uint8_t *codes, uint8_t *exponent, const uint8_t *src, size_t groups)
{
    uint8_t rung[16];
    __m256i least;

    for (unsigned i = 0; i < 16; i++)
        rung[i] = rc_ladder_fp8(i);
    least = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)rung));
    for (size_t g = 0; g < groups; g++)
        if (!split_group(codes + 16 * g, exponent + g, load(src + 32 * g), least))
            return false;
    return true;
}

static void join_fp8_fp4(uint8_t *dst, const uint8_t *codes, const uint8_t *exponent, size_t groups)
{
    uint8_t value[RC_LADDER_FP8_MOST + 1][16];

    for (unsigned e = 0; e <= RC_LADDER_FP8_MOST; e++)
        for (unsigned c = 0; c < 16; c++)
            value[e][c] = rc_ladder_to_fp8(c, e);
    for (size_t g = 0; g < groups; g++) {
        const __m256i table =
            _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)value[exponent[g]]));

        store(dst + 32 * g, _mm256_shuffle_epi8(table, get_nibbles(codes + 16 * g)));
    }
}

/* Codes of 16 elements of a group with exponent e; the result is all ones where one has none. */
static inline __m256i words_to_codes(__m256i *code, __m256i x, __m256i e)
{
    const __m256i zero = _mm256_setzero_si256(), one = _mm256_set1_epi16(1);
    const __m256i m = _mm256_and_si256(x, _mm256_set1_epi16(0x7fff));
    const __m256i rung = _mm256_srli_epi16(m, 6), none = _mm256_cmpeq_epi16(m, zero);
    const __m256i above = _mm256_add_epi16(_mm256_sub_epi16(rung, _mm256_slli_epi16(e, 1)),
                                           _mm256_set1_epi16(6)); /* code 1 */
    const __m256i half = _mm256_cmpeq_epi16(above, zero);
    const __m256i inexact = _mm256_cmpgt_epi16(_mm256_and_si256(m, _mm256_set1_epi16(0x3f)), zero);
    const __m256i abnormal = _mm256_or_si256(_mm256_cmpgt_epi16(_mm256_set1_epi16(2), rung),
                                             _mm256_cmpgt_epi16(rung, _mm256_set1_epi16(509)));
    const __m256i outside = _mm256_or_si256(_mm256_cmpgt_epi16(_mm256_set1_epi16(2), above),
                                            _mm256_cmpgt_epi16(above, _mm256_set1_epi16(7)));
    const __m256i bad =
        _mm256_or_si256(_mm256_or_si256(inexact, abnormal), _mm256_andnot_si256(half, outside));
    const __m256i c = _mm256_andnot_si256(none, _mm256_blendv_epi8(above, one, half));

    *code = _mm256_or_si256(_mm256_and_si256(c, _mm256_set1_epi16(7)),
                            _mm256_slli_epi16(_mm256_srli_epi16(x, 15), 3));
    return _mm256_andnot_si256(none, bad);
}

static inline bool split_words(uint8_t *codes, uint8_t *exponent, __m256i x, __m256i y)
{
    const __m256i magnitude = _mm256_set1_epi16(0x7fff);
    const __m256i most = most_of_words(
        _mm256_max_epu16(_mm256_and_si256(x, magnitude), _mm256_and_si256(y, magnitude)));
    const __m256i e = _mm256_srli_epi16(most, 7);
    __m256i low, high;
    const __m256i bad = _mm256_or_si256(words_to_codes(&low, x, e), words_to_codes(&high, y, e));

    put_nibbles(codes, narrow(low, high));
    *exponent = (uint8_t)_mm256_extract_epi16(e, 0);
    return _mm256_testz_si256(bad, bad);
}

static bool split_bf16_fp4(uint8_t *codes, uint8_t *exponent, const uint8_t *src, size_t groups)
{
    for (size_t g = 0; g < groups; g++)
        if (!split_words(codes + 16 * g, exponent + g, load(src + 64 * g), load(src + 64 * g + 32)))
            return false;
    return true;
}

static inline __m256i codes_to_words(__m128i codes, __m256i base)
{
    const __m256i c = _mm256_cvtepu8_epi16(codes), one = _mm256_set1_epi16(1);
    const __m256i m = _mm256_and_si256(c, _mm256_set1_epi16(7));
    const __m256i step = _mm256_andnot_si256(_mm256_cmpeq_epi16(m, one), m);
    const __m256i magnitude = _mm256_and_si256(_mm256_slli_epi16(_mm256_add_epi16(base, step), 6),
                                               _mm256_set1_epi16(0x7fff));
    const __m256i none = _mm256_cmpeq_epi16(m, _mm256_setzero_si256());

    return _mm256_or_si256(_mm256_slli_epi16(_mm256_srli_epi16(c, 3), 15),
                           _mm256_andnot_si256(none, magnitude));
}

static void join_bf16_fp4(uint8_t *dst, const uint8_t *codes, const uint8_t *exponent,
                          size_t groups)
{
    for (size_t g = 0; g < groups; g++) {
        const __m256i c = get_nibbles(codes + 16 * g);
        const __m256i base = _mm256_set1_epi16((short)(2 * exponent[g] - 6));

        store(dst + 64 * g, codes_to_words(_mm256_castsi256_si128(c), base));
        store(dst + 64 * g + 32, codes_to_words(_mm256_extracti128_si256(c, 1), base));
    }
}

const rc_planes_impl rc_planes_avx2 = {
    "avx2",   split_bf16,    join_bf16,      split_fp8,    join_fp8,      split_f32,
    join_f32, split_fp8_fp4, split_bf16_fp4, join_fp8_fp4, join_bf16_fp4,
};
