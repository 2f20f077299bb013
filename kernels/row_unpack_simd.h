/* kernels/row_unpack_simd.h - stored elements to paired f32, for both instruction sets.
 *
 * Internal. unpack_TYPE(v, w, scale, i) decodes the elements of a row from i on, as many as are
 * stored together and at least a chunk: UNIT_TYPE of them. Those that variants decode one way are
 * by kernels/dequant_blocks_simd.h, whose steps are given here in the paired order; rare
 * input is the reference's. Nothing makes a subnormal from one, so that all but F32 and
 * what is left to the reference work in both modes of kernels/rounding.h. */
#ifndef RC_KERNELS_ROW_UNPACK_SIMD_H
#define RC_KERNELS_ROW_UNPACK_SIMD_H

#if defined(__AVX2__)

#if defined(__AVX512F__)
#define DEQUANT_BLOCKS_OWN_NIBBLES
#endif
#include "kernels/dequant_blocks_simd.h"
#include "kernels/fp4_values.h"
#include "kernels/row_types.h"

typedef void unpack_fn(float *v, const uint8_t *w, const void *scale, size_t i);

/* What an instruction set supplies, each for one chunk. */
static inline void unpack_halves(float v[RC_CHUNK], const uint16_t *half);    /* BF16 */
static inline void unpack_natural(float v[RC_CHUNK], const uint8_t *x);       /* f32 */
static inline void unpack_codes4(float v[RC_CHUNK], const uint16_t value[16], /* by nibbles */
                                 const uint8_t *q);
static inline void unpack_codes8(float v[RC_CHUNK], const uint8_t *q, float s); /* E4M3 * s */

enum {
    UNIT_fp4 = RC_CHUNK,
    UNIT_fp8 = RC_CHUNK,
    UNIT_bf16 = RC_CHUNK,
    UNIT_f32 = RC_CHUNK,
    BYTES_fp4 = RC_CHUNK / 2, /* of a unit */
    BYTES_fp8 = RC_CHUNK,
    BYTES_bf16 = RC_CHUNK * 2,
    BYTES_f32 = RC_CHUNK * 4,
};

static inline void unpack_fp4(float *v, const uint8_t *w, const void *scale, size_t i)
{
    const uint8_t *e = (const uint8_t *)scale + i / RC_FP4_GROUP;

    unpack_codes4(v, rc_fp4_values[*e], w + i / 2);
}

static inline bool has_nan(const uint8_t *q)
{
    const __m256i nan = _mm256_set1_epi8(RC_E4M3_NAN);
    const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)q);

    return _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_and_si256(x, nan), nan)) != 0;
}

/* The unpacking is by way of f16, which holds 2^-8 times the value: see dequant_fp8_avx2.c. */
static inline void unpack_fp8(float *v, const uint8_t *w, const void *scale, size_t i)
{
    const float *s = (const float *)scale + i / RC_FP8_TILE;
    const unsigned exponent = rc_f32_bits(*s) >> 23 & 255;

    if (exponent == 0 || exponent > 254 - 8 || has_nan(w + i))
        rc_decode_pairs_fp8_ref(v, w + i, s, RC_CHUNK);
    else
        unpack_codes8(v, w + i, *s * 0x1p8f);
}

static inline void unpack_bf16(float *v, const uint8_t *w, const void *scale, size_t i)
{
    (void)scale;
    unpack_halves(v, (const uint16_t *)(const void *)(w + 2 * i));
}

static inline void unpack_f32(float *v, const uint8_t *w, const void *scale, size_t i)
{
    (void)scale;
    unpack_natural(v, w + 4 * i);
}

#define UNPACK_BLOCK(TYPE, type, nelems)                                                           \
    enum { UNIT_##type = (nelems), BYTES_##type = sizeof(rc_block_##type) };                       \
    static inline void unpack_##type(float *v, const uint8_t *w, const void *scale, size_t i)      \
    {                                                                                              \
        const uint8_t *b = w + i / (nelems) * sizeof(rc_block_##type);                             \
        (void)scale;                                                                               \
        if (!type(v, (const rc_block_##type *)(const void *)b))                                    \
            rc_decode_pairs_##type##_ref(v, b, NULL, nelems);                                      \
    }
RC_DEQUANT_BLOCKS_TYPES(UNPACK_BLOCK)
#undef UNPACK_BLOCK

#if defined(__AVX512F__)

static inline __m512 wide(__m256i q16)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(q16));
}

static inline __m512 two_scales(float d0, float d1)
{
    return _mm512_mask_broadcastss_ps(_mm512_set1_ps(d0), 0xff00, _mm_set_ss(d1));
}

static inline void spread(float y[16], __m128i q, float d)
{
    _mm512_storeu_ps(y,
                     _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)), _mm512_set1_ps(d)));
}

static inline __m256i negated(__m256i q, uint32_t minus)
{
    return _mm256_mask_sub_epi8(q, minus, _mm256_setzero_si256(), q);
}

static inline void spread32(float y[32], __m256i q, float d0, float d1)
{
    const __m512 d = two_scales(d0, d1);
    const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(q, 8), 8);

    _mm512_storeu_ps(y, _mm512_mul_ps(wide(_mm256_srai_epi16(q, 8)), d));
    _mm512_storeu_ps(y + 16, _mm512_mul_ps(wide(even), d));
}

static inline void spread32_min(float y[32], __m256i q, const float d[2], const float m[2])
{
    const __m512 min = two_scales(m[0], m[1]);

    spread32(y, q, d[0], d[1]);
    _mm512_storeu_ps(y, _mm512_sub_ps(_mm512_loadu_ps(y), min));
    _mm512_storeu_ps(y + 16, _mm512_sub_ps(_mm512_loadu_ps(y + 16), min));
}

/* The sixteen values of a nibble are made once for 32 elements and then looked up, by the low
 * four bits of each index. */
static inline __m512 by_nibble(__m512 values, __m512i index)
{
    return _mm512_permutexvar_ps(index, values);
}

static inline void spread_split(float y[32], const uint8_t qs[16], const int8_t table[16], float d)
{
    const __m512 codes = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load16((const uint8_t *)table)));
    const __m512 values = _mm512_mul_ps(codes, _mm512_set1_ps(d));
    /* bytes 2j and 2j + 1 in lanes j and j + 8 */
    const __m512i two = _mm512_cvtepu16_epi32(_mm256_broadcastsi128_si256(load16(qs)));
    const __m512i even = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(8));

    _mm512_storeu_ps(y, by_nibble(values, _mm512_srlv_epi32(two, odd)));
    _mm512_storeu_ps(y + 16, by_nibble(values, _mm512_srlv_epi32(two, even)));
}

static inline void spread_nibbles(float y[64], const uint8_t qs[32], const float d[2],
                                  const float m[2])
{
    const __m512 codes = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i two = _mm512_cvtepu16_epi32((__m256i)load(qs)); /* bytes 2j and 2j + 1 */

    RC_UNROLL
    for (unsigned h = 0; h < 2; h++) {
        const __m512 values =
            _mm512_sub_ps(_mm512_mul_ps(codes, _mm512_set1_ps(d[h])), _mm512_set1_ps(m[h]));
        const __m512i index = _mm512_srli_epi32(two, 4 * h);
        _mm512_storeu_ps(y + 32 * h, by_nibble(values, _mm512_srli_epi32(index, 8)));
        _mm512_storeu_ps(y + 32 * h + 16, by_nibble(values, index));
    }
}

/* 32 BF16, the even element of each pair below. */
static inline void store_pairs(float v[RC_CHUNK], __m512i pairs)
{
    const __m512i odd = _mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000u));

    _mm512_storeu_si512(v, odd);
    _mm512_storeu_si512(v + 16, _mm512_slli_epi32(pairs, 16));
}

static inline void unpack_halves(float v[RC_CHUNK], const uint16_t *half)
{
    store_pairs(v, _mm512_loadu_si512(half));
}

static inline void unpack_natural(float v[RC_CHUNK], const uint8_t *x)
{
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_or_si512(even, _mm512_set1_epi32(1));
    const __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 64);

    _mm512_storeu_ps(v, _mm512_permutex2var_ps(a, odd, b));
    _mm512_storeu_ps(v + 16, _mm512_permutex2var_ps(a, even, b));
}

/* Quadword j gets the codes 4j .. 4j+3; a permute reads five bits, so the values lie there twice.
 */
static inline void unpack_codes4(float v[RC_CHUNK], const uint16_t value[16], const uint8_t *q)
{
    const __m512i pick = _mm512_set1_epi64(0x000c000800040000);
    const __m512i table =
        _mm512_broadcast_i64x4(_mm256_load_si256((const __m256i *)(const void *)value));
    const __m512i index = _mm512_multishift_epi64_epi8(pick, _mm512_cvtepu16_epi64(load16(q)));

    store_pairs(v, _mm512_permutexvar_epi16(index, table));
}

static inline void unpack_codes8(float v[RC_CHUNK], const uint8_t *q, float s)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)q);
    const __m256i sign_and_body = _mm256_set1_epi16((short)0xbf80);
    const __m256i odd = _mm256_and_si256(_mm256_srai_epi16(x, 1), sign_and_body);
    const __m256i even =
        _mm256_and_si256(_mm256_srai_epi16(_mm256_slli_epi16(x, 8), 1), sign_and_body);

    _mm512_storeu_ps(v, _mm512_mul_ps(_mm512_cvtph_ps(odd), _mm512_set1_ps(s)));
    _mm512_storeu_ps(v + 16, _mm512_mul_ps(_mm512_cvtph_ps(even), _mm512_set1_ps(s)));
}

#else

static inline __m256 eight(__m128i q, float d)
{
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)), _mm256_set1_ps(d));
}

static inline void spread(float y[16], __m128i q, float d)
{
    _mm256_storeu_ps(y, eight(q, d));
    _mm256_storeu_ps(y + 8, eight(_mm_srli_si128(q, 8), d));
}

/* Byte i of the mask's byte i / 8 everywhere, its bit i % 8 picked out. */
static inline __m256i negated(__m256i q, uint32_t minus)
{
    const __m256i run =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    const __m256i all = _mm256_shuffle_epi8(_mm256_set1_epi32((int)minus), run);
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(all, bit), bit);

    return _mm256_sub_epi8(_mm256_xor_si256(q, set), set);
}

/* Each half of q: its odd bytes, then its even ones. */
static inline void spread32(float y[32], __m256i q, float d0, float d1)
{
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(1, 3, 5, 7, 9, 11, 13, 15, 0, 2, 4, 6, 8, 10, 12, 14));
    const __m256i both = _mm256_shuffle_epi8(q, order);
    const __m128i low = _mm256_castsi256_si128(both), high = _mm256_extracti128_si256(both, 1);

    _mm256_storeu_ps(y, eight(low, d0));
    _mm256_storeu_ps(y + 8, eight(high, d1));
    _mm256_storeu_ps(y + 16, eight(_mm_srli_si128(low, 8), d0));
    _mm256_storeu_ps(y + 24, eight(_mm_srli_si128(high, 8), d1));
}

static inline void spread32_min(float y[32], __m256i q, const float d[2], const float m[2])
{
    spread32(y, q, d[0], d[1]);
    RC_UNROLL
    for (unsigned j = 0; j < 4; j++)
        _mm256_storeu_ps(y + 8 * j,
                         _mm256_sub_ps(_mm256_loadu_ps(y + 8 * j), _mm256_set1_ps(m[j % 2])));
}

/* 16 BF16, the even element of each pair below, to lanes j .. j + 7. */
static inline void store_pairs(float *v, __m256i pairs)
{
    const __m256i odd = _mm256_and_si256(pairs, _mm256_set1_epi32((int)0xffff0000u));

    _mm256_storeu_si256((__m256i *)(void *)v, odd);
    _mm256_storeu_si256((__m256i *)(void *)(v + 16), _mm256_slli_epi32(pairs, 16));
}

static inline void unpack_halves(float v[RC_CHUNK], const uint16_t *half)
{
    store_pairs(v, _mm256_loadu_si256((const __m256i *)(const void *)half));
    store_pairs(v + 8, _mm256_loadu_si256((const __m256i *)(const void *)half + 1));
}

static inline void unpack_natural(float v[RC_CHUNK], const uint8_t *x)
{
    RC_UNROLL
    for (unsigned j = 0; j < 2; j++) {
        const __m256 a = _mm256_loadu_ps((const float *)(const void *)(x + 64 * j));
        const __m256 b = _mm256_loadu_ps((const float *)(const void *)(x + 64 * j + 32));
        const __m256d even = _mm256_castps_pd(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0)));
        const __m256d odd = _mm256_castps_pd(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)));
        enum { order = _MM_SHUFFLE(3, 1, 2, 0) };
        _mm256_storeu_pd((double *)(void *)(v + 8 * j), _mm256_permute4x64_pd(odd, order));
        _mm256_storeu_pd((double *)(void *)(v + 8 * j + 16), _mm256_permute4x64_pd(even, order));
    }
}

/* Bytes of BF16 to sixteen of them, as the upper halves of f32. */
static inline void store_tops(float y[16], __m128i lo, __m128i hi)
{
    const __m256i zero = _mm256_setzero_si256();
    const __m256i half = _mm256_permute4x64_epi64(
        _mm256_set_m128i(_mm_unpackhi_epi8(lo, hi), _mm_unpacklo_epi8(lo, hi)),
        _MM_SHUFFLE(3, 1, 2, 0));

    _mm256_storeu_si256((__m256i *)(void *)y, _mm256_unpacklo_epi16(zero, half));
    _mm256_storeu_si256((__m256i *)(void *)(y + 8), _mm256_unpackhi_epi16(zero, half));
}

static inline void unpack_codes4(float v[RC_CHUNK], const uint16_t value[16], const uint8_t *q)
{
    const __m128i split = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    const __m128i a = _mm_shuffle_epi8(load16((const uint8_t *)(const void *)value), split);
    const __m128i b = _mm_shuffle_epi8(load16((const uint8_t *)(const void *)(value + 8)), split);
    const __m128i lo = _mm_unpacklo_epi64(a, b), hi = _mm_unpackhi_epi64(a, b);
    const __m128i x = load16(q), nibble = _mm_set1_epi8(15);
    const __m128i even = _mm_and_si128(x, nibble),
                  odd = _mm_and_si128(_mm_srli_epi16(x, 4), nibble);

    store_tops(v, _mm_shuffle_epi8(lo, odd), _mm_shuffle_epi8(hi, odd));
    store_tops(v + 16, _mm_shuffle_epi8(lo, even), _mm_shuffle_epi8(hi, even));
}

static inline void store_f16(float y[16], __m256i half, float s)
{
    const __m256 d = _mm256_set1_ps(s);

    _mm256_storeu_ps(y, _mm256_mul_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(half)), d));
    _mm256_storeu_ps(y + 8, _mm256_mul_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(half, 1)), d));
}

static inline void unpack_codes8(float v[RC_CHUNK], const uint8_t *q, float s)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)q);
    const __m256i sign_and_body = _mm256_set1_epi16((short)0xbf80);

    store_f16(v, _mm256_and_si256(_mm256_srai_epi16(x, 1), sign_and_body), s);
    store_f16(v + 16,
              _mm256_and_si256(_mm256_srai_epi16(_mm256_slli_epi16(x, 8), 1), sign_and_body), s);
}

#endif

#endif

#endif
