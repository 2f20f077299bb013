/* formats/archive_planes_avx512.c - 64 bytes at a time. A group of 32 E4M3 numbers is half a
 * vector, one of BF16 a vector; the greatest rung of each is found by exchanges that leave it in
 * all places. */
#include "formats/archive_planes.h"

#include <immintrin.h>

static inline __m512i load(const void *p)
{
    return _mm512_loadu_si512(p);
}

static inline __m512i widen(const uint8_t *p)
{
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256((const void *)p));
}

static inline void narrow(uint8_t *p, __m512i words)
{
    _mm256_storeu_si256((void *)p, _mm512_cvtepi16_epi8(words));
}

/* The low nibbles of 64 bytes as 32 bytes, and back; what is above them is 0. */
static inline void put_nibbles(uint8_t *p, __m512i x)
{
    narrow(p, _mm512_or_si512(x, _mm512_srli_epi16(x, 4)));
}

static inline __m512i get_nibbles(const uint8_t *p)
{
    const __m512i w = widen(p);

    return _mm512_and_si512(_mm512_or_si512(w, _mm512_slli_epi16(w, 4)), _mm512_set1_epi8(15));
}

/* -------------------------------------------------------------------- planes */

static void split_bf16(uint8_t *exponent, uint8_t *rest, const uint8_t *src, size_t n)
{
    size_t i = 0;

    for (; i + 32 <= n; i += 32) {
        const __m512i x = load(src + 2 * i), high = _mm512_srli_epi16(x, 8);

        narrow(exponent + i, _mm512_srli_epi16(x, 7));
        /* x where the mask is 0x7f, its upper byte elsewhere */
        narrow(rest + i, _mm512_ternarylogic_epi64(_mm512_set1_epi16(0x7f), x, high, 0xca));
    }
    rc_planes_ref.split_bf16(exponent + i, rest + i, src + 2 * i, n - i);
}

static void join_bf16(uint8_t *dst, const uint8_t *exponent, const uint8_t *rest, size_t n)
{
    const __m512i mantissa = _mm512_set1_epi16(0x7f);
    size_t i = 0;

    for (; i + 32 <= n; i += 32) {
        const __m512i e = _mm512_slli_epi16(widen(exponent + i), 7), r = widen(rest + i);
        const __m512i sign = _mm512_slli_epi16(_mm512_srli_epi16(r, 7), 15);
        const __m512i x = _mm512_or_si512(e, _mm512_or_si512(sign, _mm512_and_si512(r, mantissa)));

        _mm512_storeu_si512(dst + 2 * i, x);
    }
    rc_planes_ref.join_bf16(dst + 2 * i, exponent + i, rest + i, n - i);
}

static void split_fp8(uint8_t *exponent, uint8_t *rest, const uint8_t *src, size_t n)
{
    const __m512i low = _mm512_set1_epi8(15), seven = _mm512_set1_epi8(7);
    size_t i = 0;

    for (; i + 64 <= n; i += 64) {
        const __m512i x = load(src + i);

        put_nibbles(exponent + i / 2, _mm512_and_si512(_mm512_srli_epi16(x, 3), low));
        put_nibbles(rest + i / 2,
                    _mm512_and_si512(
                        _mm512_ternarylogic_epi64(seven, x, _mm512_srli_epi16(x, 4), 0xca), low));
    }
    rc_planes_ref.split_fp8(exponent + i / 2, rest + i / 2, src + i, n - i);
}

static void join_fp8(uint8_t *dst, const uint8_t *exponent, const uint8_t *rest, size_t n)
{
    const __m512i seven = _mm512_set1_epi8(7), eight = _mm512_set1_epi8(8);
    size_t i = 0;

    for (; i + 64 <= n; i += 64) {
        const __m512i e = _mm512_slli_epi16(get_nibbles(exponent + i / 2), 3);
        const __m512i r = get_nibbles(rest + i / 2);
        const __m512i sign = _mm512_slli_epi16(_mm512_and_si512(r, eight), 4);

        _mm512_storeu_si512(dst + i,
                            _mm512_or_si512(e, _mm512_or_si512(sign, _mm512_and_si512(r, seven))));
    }
    rc_planes_ref.join_fp8(dst + i, exponent + i / 2, rest + i / 2, n - i);
}

/* Byte b of each of 16 numbers to part b: a transposition of 16 x 4 bytes. */
static __m512i apart(void)
{
    uint8_t from[64];

    for (unsigned i = 0; i < 64; i++)
        from[i] = (uint8_t)(i % 16 * 4 + i / 16);
    return load(from);
}

static __m512i together(void)
{
    uint8_t from[64];

    for (unsigned i = 0; i < 64; i++)
        from[i] = (uint8_t)(i % 4 * 16 + i / 4);
    return load(from);
}

static void split_f32(uint8_t *planes, size_t stride, const uint8_t *src, size_t n)
{
    const __m512i order = apart();
    size_t i = 0;

    for (; i + 16 <= n; i += 16) {
        uint8_t part[64];

        _mm512_storeu_si512(part, _mm512_permutexvar_epi8(order, load(src + 4 * i)));
        for (size_t b = 0; b < 4; b++)
            _mm_storeu_si128((void *)(planes + b * stride + i),
                             _mm_loadu_si128((const void *)(part + 16 * b)));
    }
    rc_planes_ref.split_f32(planes + i, stride, src + 4 * i, n - i);
}

static void join_f32(uint8_t *dst, const uint8_t *planes, size_t stride, size_t n)
{
    const __m512i order = together();
    size_t i = 0;

    for (; i + 16 <= n; i += 16) {
        uint8_t part[64];

        for (size_t b = 0; b < 4; b++)
            _mm_storeu_si128((void *)(part + 16 * b),
                             _mm_loadu_si128((const void *)(planes + b * stride + i)));
        _mm512_storeu_si512(dst + 4 * i, _mm512_permutexvar_epi8(order, load(part)));
    }
    rc_planes_ref.join_f32(dst + 4 * i, planes + i, stride, n - i);
}

/* -------------------------------------------------------------------- ladder */

/* The greatest byte of each half, in all its places. */
static inline __m512i most_of_halves(__m512i x)
{
    const __m512i swap =
        _mm512_set_epi8(14, 15, 12, 13, 10, 11, 8, 9, 6, 7, 4, 5, 2, 3, 0, 1, 14, 15, 12, 13, 10,
                        11, 8, 9, 6, 7, 4, 5, 2, 3, 0, 1, 14, 15, 12, 13, 10, 11, 8, 9, 6, 7, 4, 5,
                        2, 3, 0, 1, 14, 15, 12, 13, 10, 11, 8, 9, 6, 7, 4, 5, 2, 3, 0, 1);

    x = _mm512_max_epu8(x, _mm512_permutex_epi64(x, 0x4e));
    x = _mm512_max_epu8(x, _mm512_shuffle_epi32(x, _MM_PERM_BADC));
    x = _mm512_max_epu8(x, _mm512_shuffle_epi32(x, _MM_PERM_CDAB));
    x = _mm512_max_epu8(x, _mm512_rol_epi32(x, 16));
    return _mm512_max_epu8(x, _mm512_shuffle_epi8(x, swap));
}

static inline __m512i most_of_words(__m512i x)
{
    x = _mm512_max_epu16(x, _mm512_shuffle_i64x2(x, x, 0x4e));
    x = _mm512_max_epu16(x, _mm512_permutex_epi64(x, 0x4e));
    x = _mm512_max_epu16(x, _mm512_shuffle_epi32(x, _MM_PERM_BADC));
    x = _mm512_max_epu16(x, _mm512_shuffle_epi32(x, _MM_PERM_CDAB));
    return _mm512_max_epu16(x, _mm512_rol_epi32(x, 16));
}

/* Two groups. Each element's distance from the rung of code 1 chooses its code; those that choose
 * none get 0, as zeros do. */
static inline bool split_two(uint8_t *codes, uint8_t exponent[2], __m512i x, __m512i low,
                             __m512i high)
{
    const __m512i one = _mm512_set1_epi8(1), code_of = _mm512_broadcast_i32x4(_mm_setr_epi8(
                                                 1, 0, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0));
    const __m512i at = _mm512_permutex2var_epi8(low, x, high); /* the sign bit is not looked at */
    const __m512i rung = _mm512_subs_epu8(most_of_halves(at), one);
    const __m512i twice = _mm512_andnot_si512(one, rung); /* the exponent, twice */
    const __m512i above =
        _mm512_add_epi8(_mm512_sub_epi8(at, twice), _mm512_set1_epi8(5)); /* code 1 */
    const __mmask64 some = _mm512_test_epi8_mask(at, at);
    const __m512i code = _mm512_maskz_shuffle_epi8(some, code_of, above);
    const __m512i sign = _mm512_and_si512(_mm512_srli_epi16(x, 4), _mm512_set1_epi8(8));

    put_nibbles(codes, _mm512_or_si512(code, sign));
    exponent[0] = (uint8_t)(_mm_cvtsi128_si32(_mm512_castsi512_si128(twice)) >> 1 & 0x7f);
    exponent[1] = (uint8_t)(_mm_cvtsi128_si32(_mm512_extracti32x4_epi32(twice, 2)) >> 1 & 0x7f);
    return some == _mm512_test_epi8_mask(code, code) &&
           _mm512_cmpeq_epi8_mask(at, _mm512_set1_epi8((char)RC_LADDER_OFF)) == 0;
}

static bool split_fp8_fp4(uint8_t *codes, uint8_t *exponent, const uint8_t *src, size_t groups)
{
    uint8_t ladder[128];
    __m512i low, high;
    size_t g = 0;

    for (unsigned i = 0; i < 128; i++)
        ladder[i] = rc_ladder_fp8(i);
    low = load(ladder);
    high = load(ladder + 64);
    for (; g + 2 <= groups; g += 2)
        if (!split_two(codes + 16 * g, exponent + g, load(src + 32 * g), low, high))
            return false;
    return rc_planes_ref.split_fp8_fp4(codes + 16 * g, exponent + g, src + 32 * g, groups - g);
}

static void join_fp8_fp4(uint8_t *dst, const uint8_t *codes, const uint8_t *exponent, size_t groups)
{
    uint8_t value[RC_LADDER_FP8_MOST + 1][16];
    size_t g = 0;

    for (unsigned e = 0; e <= RC_LADDER_FP8_MOST; e++)
        for (unsigned c = 0; c < 16; c++)
            value[e][c] = rc_ladder_to_fp8(c, e);
    for (; g + 2 <= groups; g += 2) {
        const __m512i first =
            _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)value[exponent[g]]));
        const __m512i table = _mm512_mask_broadcast_i32x4(
            first, 0xff00, _mm_loadu_si128((const void *)value[exponent[g + 1]]));

        _mm512_storeu_si512(dst + 32 * g, _mm512_shuffle_epi8(table, get_nibbles(codes + 16 * g)));
    }
    rc_planes_ref.join_fp8_fp4(dst + 32 * g, codes + 16 * g, exponent + g, groups - g);
}

static inline bool split_words(uint8_t *codes, uint8_t *exponent, __m512i x)
{
    const __m512i m = _mm512_and_si512(x, _mm512_set1_epi16(0x7fff));
    const __m512i rung = _mm512_srli_epi16(m, 6);
    const __mmask32 some = _mm512_test_epi16_mask(m, m);
    const __m512i most = most_of_words(rung);
    const __m512i e = _mm512_srli_epi16(most, 1);
    const __m512i above = _mm512_add_epi16(_mm512_sub_epi16(rung, _mm512_slli_epi16(e, 1)),
                                           _mm512_set1_epi16(6)); /* code 1 */
    const __mmask32 half = _mm512_testn_epi16_mask(above, above);
    const __mmask32 exact = _mm512_testn_epi16_mask(x, _mm512_set1_epi16(0x3f)) & /* 1 bit */
                            _mm512_cmpgt_epu16_mask(rung, _mm512_set1_epi16(1)) & /* normal */
                            _mm512_cmplt_epu16_mask(rung, _mm512_set1_epi16(510));
    const __mmask32 code = half | (_mm512_cmpgt_epi16_mask(above, _mm512_set1_epi16(1)) &
                                   _mm512_cmplt_epi16_mask(above, _mm512_set1_epi16(8)));
    const __m512i c =
        _mm512_maskz_mov_epi16(some, _mm512_mask_mov_epi16(above, half, _mm512_set1_epi16(1)));
    const __m512i sign = _mm512_slli_epi16(_mm512_srli_epi16(x, 15), 3);
    const __m256i bytes = _mm512_cvtepi16_epi8(_mm512_or_si512(c, sign));

    _mm_storeu_si128((void *)codes,
                     _mm256_cvtepi16_epi8(_mm256_or_si256(bytes, _mm256_srli_epi16(bytes, 4))));
    *exponent = (uint8_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(e));
    return (some & ~(exact & code)) == 0;
}

static bool split_bf16_fp4(uint8_t *codes, uint8_t *exponent, const uint8_t *src, size_t groups)
{
    for (size_t g = 0; g < groups; g++)
        if (!split_words(codes + 16 * g, exponent + g, load(src + 64 * g)))
            return false;
    return true;
}

static void join_bf16_fp4(uint8_t *dst, const uint8_t *codes, const uint8_t *exponent,
                          size_t groups)
{
    const __m512i seven = _mm512_set1_epi16(7), fifteen = _mm512_set1_epi16(15);
    const __m512i one = _mm512_set1_epi16(1);

    for (size_t g = 0; g < groups; g++) {
        const __m256i w = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(codes + 16 * g)));
        const __m256i pairs = _mm256_or_si256(w, _mm256_slli_epi16(w, 4)); /* upper halves: dirt */
        const __m512i c = _mm512_and_si512(_mm512_cvtepu8_epi16(pairs), fifteen);
        const __m512i m = _mm512_and_si512(c, seven);
        const __m512i step = _mm512_maskz_mov_epi16(_mm512_cmpneq_epi16_mask(m, one), m);
        const __m512i base = _mm512_set1_epi16((short)(2 * exponent[g] - 6));
        const __m512i magnitude = _mm512_and_si512(
            _mm512_slli_epi16(_mm512_add_epi16(base, step), 6), _mm512_set1_epi16(0x7fff));
        const __m512i sign = _mm512_slli_epi16(_mm512_srli_epi16(c, 3), 15);

        _mm512_storeu_si512(
            dst + 64 * g,
            _mm512_or_si512(sign, _mm512_maskz_mov_epi16(_mm512_test_epi16_mask(m, m), magnitude)));
    }
}

const rc_planes_impl rc_planes_avx512 = {
    "avx512", split_bf16,    join_bf16,      split_fp8,    join_fp8,      split_f32,
    join_f32, split_fp8_fp4, split_bf16_fp4, join_fp8_fp4, join_bf16_fp4,
};
