/* kernels/int4_pack.c - see int4_pack.h.
 *
 * All of it works on 64-bit words with a code in each byte: eight codes fold into one 32-bit word
 * in four steps, whatever the processor. The transposition of AWQ goes by tiles of eight rows and
 * eight columns. */
#include "kernels/int4_pack.h"

#include <string.h>

/* Codes in the bytes of x, byte j in nibble j of the result. */
static uint32_t fold(uint64_t x)
{
    x = (x | x >> 4) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x | x >> 8) & UINT64_C(0x0000ffff0000ffff);
    return (uint32_t)(x | x >> 16);
}

/* The reverse. */
static uint64_t unfold(uint32_t word)
{
    uint64_t x = word;

    x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
    x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
    return (x | x << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
}

/* Outputs 0 .. 7 in bytes, to the nibbles {0, 4, 1, 5, 2, 6, 3, 7}: even ones first. */
static uint32_t fold_awq(uint64_t x)
{
    const uint64_t even = x & UINT64_C(0x00ff00ff00ff00ff),
                   odd = x >> 8 & UINT64_C(0x00ff00ff00ff00ff);
    uint64_t both;

    /* 16-bit lanes 0 .. 3 hold outputs 0, 2, 4, 6 (1, 3, 5, 7): close up to four nibbles each */
    both = (even | even >> 12) & UINT64_C(0x000000ff000000ff);
    both |= ((odd | odd >> 12) & UINT64_C(0x000000ff000000ff)) << 16;
    /* bytes 0 and 4: outputs 0 2 and 4 6; bytes 2 and 6: 1 3 and 5 7 */
    return (uint32_t)((both & 0xff) | (both >> 24 & 0xff00) | (both & 0xff0000) |
                      (both >> 24 & 0xff000000));
}

static uint64_t unfold_awq(uint32_t word)
{
    const uint64_t plain = unfold(word); /* byte i: nibble i: outputs 0 2 4 6 1 3 5 7 */
    uint64_t even = plain & UINT64_C(0xffffffff), odd = plain >> 32;

    even = (even | even << 16) & UINT64_C(0x0000ffff0000ffff);
    even = (even | even << 8) & UINT64_C(0x00ff00ff00ff00ff);
    odd = (odd | odd << 16) & UINT64_C(0x0000ffff0000ffff);
    odd = (odd | odd << 8) & UINT64_C(0x00ff00ff00ff00ff);
    return even | odd << 8;
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t x;

    memcpy(&x, p, sizeof x);
    return x;
}

/* Eight rows of eight bytes, transposed: byte j of x[i] to byte i of x[j]. */
static void transpose(uint64_t x[8])
{
    for (unsigned step = 4; step; step /= 2) {
        static const uint64_t masks[] = { 0, UINT64_C(0x00ff00ff00ff00ff),
                                          UINT64_C(0x0000ffff0000ffff), 0,
                                          UINT64_C(0x00000000ffffffff) };
        const uint64_t low = masks[step];
        const unsigned shift = 8 * step;

        for (unsigned i = 0; i < 8; i++)
            if (!(i & step)) {
                const uint64_t t = (x[i] >> shift ^ x[i + step]) & low;

                x[i + step] ^= t;
                x[i] ^= t << shift;
            }
    }
}

void rc_int4_pack(uint8_t *out, const uint8_t *q, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        const uint32_t word = fold(load64(q + i));

        memcpy(out + i / 2, &word, sizeof word);
    }
}

void rc_int4_unpack(uint8_t *q, const uint8_t *in, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        uint32_t word;
        uint64_t x;

        memcpy(&word, in + i / 2, sizeof word);
        x = unfold(word);
        memcpy(q + i, &x, sizeof x);
    }
}

/* Rows [r, r + 8), columns [c, c + n) of q, n <= 8, as n words along the rows. */
static void words_of(uint32_t word[8], const uint8_t *q, size_t ldq, size_t n,
                     uint32_t (*fold_by)(uint64_t))
{
    uint64_t x[8] = { 0 };

    for (unsigned i = 0; i < 8; i++)
        memcpy(&x[i], q + i * ldq, n);
    transpose(x);
    for (unsigned i = 0; i < n; i++)
        word[i] = fold_by(x[i]);
}

static void rows_of(uint8_t *q, size_t ldq, const uint32_t word[8], size_t n,
                    uint64_t (*unfold_by)(uint32_t))
{
    uint64_t x[8] = { 0 };

    for (unsigned i = 0; i < n; i++)
        x[i] = unfold_by(word[i]);
    transpose(x);
    for (unsigned i = 0; i < 8; i++)
        memcpy(q + i * ldq, &x[i], n);
}

void rc_int4_awq_pack(uint8_t *out, size_t ldo, const uint8_t *q, size_t ldq, size_t rows,
                      size_t cols)
{
    for (size_t c = 0; c < cols; c += 8)
        for (size_t r = 0; r < rows; r += 8) {
            const size_t n = cols - c < 8 ? cols - c : 8;
            uint32_t word[8];

            words_of(word, q + r * ldq + c, ldq, n, fold_awq);
            for (size_t i = 0; i < n; i++)
                memcpy(out + (c + i) * ldo + r / 2, &word[i], sizeof *word);
        }
}

void rc_int4_awq_unpack(uint8_t *q, size_t ldq, const uint8_t *in, size_t ldi, size_t rows,
                        size_t cols)
{
    for (size_t c = 0; c < cols; c += 8)
        for (size_t r = 0; r < rows; r += 8) {
            const size_t n = cols - c < 8 ? cols - c : 8;
            uint32_t word[8];

            for (size_t i = 0; i < n; i++)
                memcpy(&word[i], in + (c + i) * ldi + r / 2, sizeof *word);
            rows_of(q + r * ldq + c, ldq, word, n, unfold_awq);
        }
}

void rc_int4_zeros_pack(uint8_t *out, const uint8_t *zero, size_t rows, size_t groups)
{
    for (size_t r = 0; r < rows; r += 8)
        for (size_t g = 0; g < groups; g += 8) {
            const size_t n = groups - g < 8 ? groups - g : 8;
            uint32_t word[8];

            words_of(word, zero + r * groups + g, groups, n, fold);
            memcpy(out + (r / 8 * groups + g) * 4, word, n * sizeof *word);
        }
}

void rc_int4_zeros_unpack(uint8_t *zero, const uint8_t *in, size_t rows, size_t groups)
{
    for (size_t r = 0; r < rows; r += 8)
        for (size_t g = 0; g < groups; g += 8) {
            const size_t n = groups - g < 8 ? groups - g : 8;
            uint32_t word[8];

            memcpy(word, in + (r / 8 * groups + g) * 4, n * sizeof *word);
            rows_of(zero + r * groups + g, groups, word, n, unfold);
        }
}
