/* kernels/dequant_fp8_avx512.c - upper and lower byte of each value by table.
 *
 * An E4M3 value fits bf16, the upper half of an f32. Two lookups of 128 entries
 * give the bytes of 64 values; a byte permute with zeroing spreads them to f32.
 * That beats the way through f16 (vcvtph2ps), which moves 16 elements a step
 * and has to mend NaN. What holds a NaN, and blocks whose scale is infinite or
 * NaN, go to the reference: only plain numbers are left here. */
#include "kernels/dequant_fp8.h"

#include <immintrin.h>
#include <stdbool.h>

#include "kernels/codes.h"
#include "kernels/rounding.h"

#define STEP 64u /* codes at a time; RC_FP8_TILE is a multiple */

typedef struct tables {
    __m512i lo[2], hi[2]; /* bytes of bf16(e4m3(0 .. 127)) */
    __m512i pairs[2];     /* half j of 64 byte pairs, (lo, hi), as 32 bf16 */
    __m512i spread[4];    /* quarter j of them, as the upper halves of 16 f32 */
} tables;

/* Made anew for each row: some forty instructions. */
static inline tables make_tables(void)
{
    const __m512i count =
        _mm512_set_epi64(0x3f3e3d3c3b3a3938, 0x3736353433323130, 0x2f2e2d2c2b2a2928,
                         0x2726252423222120, 0x1f1e1d1c1b1a1918, 0x1716151413121110,
                         0x0f0e0d0c0b0a0908, 0x0706050403020100);
    const __m512i low4 = _mm512_set1_epi8(15);
    const __m512i word = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(count)); /* 0 .. 31 */
    const __m512i lane = _mm512_cvtepu8_epi32(_mm512_castsi512_si128(count)); /* 0 .. 15 */
    tables t;

    /* A normal code c is (c << 4) + 0x3c00 in bf16: the biases differ by 120. */
    for (unsigned j = 0; j < 2; j++) {
        const __m512i c = _mm512_add_epi8(count, _mm512_set1_epi8((char)(64 * j)));
        t.lo[j] = _mm512_slli_epi16(_mm512_and_si512(c, low4), 4);
        t.hi[j] = _mm512_add_epi8(_mm512_and_si512(_mm512_srli_epi16(c, 4), low4),
                                  _mm512_set1_epi8(0x3c));
    }
    /* Codes 0 .. 7 are subnormal: 0, 3b00, 3b80, 3bc0, 3c00, 3c20, 3c40, 3c60. */
    t.lo[0] = _mm512_mask_blend_epi64(1, t.lo[0], _mm512_set1_epi64(0x60402000c0800000));
    t.hi[0] = _mm512_mask_blend_epi64(1, t.hi[0], _mm512_set1_epi64(0x3c3c3c3c3b3b3b00));

    for (unsigned j = 0; j < 2; j++) { /* word w: byte 32j+w of lo, of hi */
        const __m512i at = _mm512_add_epi16(word, _mm512_set1_epi16((short)(32 * j)));
        t.pairs[j] = _mm512_or_si512(_mm512_slli_epi16(at, 8),
                                     _mm512_or_si512(at, _mm512_set1_epi16(0x4000)));
    }
    for (unsigned j = 0; j < 4; j++) { /* dword w: 0, 0, byte 16j+w of lo, of hi */
        const __m512i at = _mm512_add_epi32(lane, _mm512_set1_epi32((int)(16 * j)));
        t.spread[j] = _mm512_or_si512(
            _mm512_slli_epi32(at, 16),
            _mm512_slli_epi32(_mm512_or_si512(at, _mm512_set1_epi32(0x40)), 24));
    }
    return t;
}

static inline bool has_nan(__m512i x)
{
    const __m512i nan = _mm512_set1_epi8(RC_E4M3_NAN);

    return _mm512_cmpeq_epi8_mask(_mm512_and_si512(x, nan), nan) != 0;
}

/* Sign into the upper byte: hi | (x & 0x80). */
static inline __m512i upper(const tables *t, __m512i x)
{
    const __m512i hi = _mm512_permutex2var_epi8(t->hi[0], x, t->hi[1]);

    return _mm512_ternarylogic_epi64(hi, x, _mm512_set1_epi8((char)0x80), 0xf8);
}

static inline __m512 quarter(const tables *t, __m512i lo, __m512i hi, unsigned j)
{
    const __mmask64 top = 0xcccccccccccccccc; /* bytes 2 and 3 of each f32 */

    return _mm512_castsi512_ps(_mm512_maskz_permutex2var_epi8(top, lo, t->spread[j], hi));
}

static inline bool finite(float x)
{
    return (rc_f32_bits(x) & 0x7f800000u) != 0x7f800000u;
}

void rc_dequant_fp8_avx512(float *restrict y, const uint8_t *restrict q,
                           const float *restrict scale, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    const tables t = make_tables();
    size_t i = 0;

    for (; i + STEP <= n; i += STEP) {
        const float s = scale[i / RC_FP8_TILE];
        const __m512i x = _mm512_loadu_si512(q + i);
        if (!finite(s) || has_nan(x)) {
            rc_dequant_fp8_ref(y + i, q + i, &s, STEP);
            continue;
        }
        const __m512i lo = _mm512_permutex2var_epi8(t.lo[0], x, t.lo[1]), hi = upper(&t, x);
        const __m512 sv = _mm512_set1_ps(s);
        for (unsigned j = 0; j < 4; j++)
            _mm512_storeu_ps(y + i + 16 * j, _mm512_mul_ps(quarter(&t, lo, hi, j), sv));
    }
    if (i < n)
        rc_dequant_fp8_ref(y + i, q + i, scale + i / RC_FP8_TILE, n - i);
    rc_rounding_leave(saved);
}

/* A positive power of two that keeps every E4M3 value a normal bf16. */
static inline bool is_plain_power(float s)
{
    const uint32_t bits = rc_f32_bits(s);

    return (bits & 0x807fffffu) == 0 && bits >> 23 >= 10 && bits >> 23 <= 240;
}

static inline unsigned count_wrong(__m256 code, __m256 stored, __m512d scale)
{
    const __m512d exact = _mm512_mul_pd(_mm512_cvtps_pd(code), scale);
    const __mmask8 wrong = _mm512_cmp_pd_mask(exact, _mm512_cvtps_pd(stored), _CMP_NEQ_OQ);

    return (unsigned)__builtin_popcount(wrong);
}

size_t rc_dequant_fp8_bf16_avx512(uint16_t *restrict y, const uint8_t *restrict q,
                                  const float *restrict scale, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    const tables t = make_tables();
    size_t i = 0, inexact = 0;

    for (; i + STEP <= n; i += STEP) {
        const float s = scale[i / RC_FP8_TILE];
        const __m512i x = _mm512_loadu_si512(q + i);
        if (!finite(s) || has_nan(x)) {
            inexact += rc_dequant_fp8_bf16_ref(y + i, q + i, &s, STEP);
            continue;
        }
        const __m512i lo = _mm512_permutex2var_epi8(t.lo[0], x, t.lo[1]), hi = upper(&t, x);
        if (is_plain_power(s)) { /* exact: add to the exponents of what is not zero */
            const __m512i add = _mm512_set1_epi16((short)(((rc_f32_bits(s) >> 23) - 127) * 128));
            for (unsigned j = 0; j < 2; j++) {
                const __m512i v = _mm512_permutex2var_epi8(lo, t.pairs[j], hi);
                const __mmask32 some = _mm512_test_epi16_mask(v, _mm512_set1_epi16(0x7fff));
                _mm512_storeu_si512(y + i + 32 * j, _mm512_mask_add_epi16(v, some, v, add));
            }
            continue;
        }
        for (unsigned j = 0; j < 4; j++) {
            const __m512 code = quarter(&t, lo, hi, j);
            const __m512d sd = _mm512_set1_pd((double)s);
            const __m512i p = _mm512_castps_si512(_mm512_mul_ps(code, _mm512_set1_ps(s)));
            const __m512i odd =
                _mm512_and_si512(_mm512_srli_epi32(p, 16), _mm512_set1_epi32(1));
            const __m512i r =
                _mm512_add_epi32(p, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
            const __m512 kept = _mm512_castsi512_ps(
                _mm512_and_si512(r, _mm512_set1_epi32((int)0xffff0000u)));
            _mm256_storeu_si256((__m256i *)(void *)(y + i + 16 * j),
                                _mm512_cvtepi32_epi16(_mm512_srli_epi32(r, 16)));
            inexact += count_wrong(_mm512_castps512_ps256(code), _mm512_castps512_ps256(kept), sd);
            inexact += count_wrong(_mm512_extractf32x8_ps(code, 1),
                                   _mm512_extractf32x8_ps(kept, 1), sd);
        }
    }
    if (i < n)
        inexact += rc_dequant_fp8_bf16_ref(y + i, q + i, scale + i / RC_FP8_TILE, n - i);
    rc_rounding_leave(saved);
    return inexact;
}
