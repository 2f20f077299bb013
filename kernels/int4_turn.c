/* kernels/int4_turn.c - see int4_turn.h.
 *
 * Eight words are a matrix of 8 x 8 nibbles, which three rounds of swaps transpose; sixteen such
 * matrices side by side, a line of the input, are lanes that the compiler can put into vectors.
 * What comes out is gathered to whole lines: rows of a matrix are apart by a power of two, and
 * would drive one another out of the cache four bytes at a time. */
#include "kernels/int4_turn.h"

#include <string.h>

enum { LANES = 16, BLOCKS = 16 }; /* words of a line in, and out */

/* The output that nibble i of a word holds. */
static const unsigned order[8] = { 0, 2, 4, 6, 1, 3, 5, 7 };

uint32_t rc_int4_word_of_awq(uint32_t word)
{
    uint32_t plain = 0;

    for (unsigned i = 0; i < 8; i++)
        plain |= (word >> 4 * i & 15) << 4 * order[i];
    return plain;
}

/* Nibbles of a whose number has bit `step` change places with those of b that are `step` before;
 * `low` masks the latter, in both words of 64 bits. */
static void swap(uint64_t *restrict a, uint64_t *restrict b, unsigned step, uint64_t low)
{
    for (unsigned l = 0; l < LANES / 2; l++) {
        const uint64_t t = (a[l] >> 4 * step ^ b[l]) & low;

        b[l] ^= t;
        a[l] ^= t << 4 * step;
    }
}

/* Eight columns of n words each, to word `block` of 8 n rows. */
static void turn_block(uint32_t rows[8 * LANES][BLOCKS], size_t block, const uint8_t *in,
                       size_t ldi, size_t n)
{
    static const uint64_t low[5] = { 0, UINT64_C(0x0f0f0f0f0f0f0f0f), UINT64_C(0x00ff00ff00ff00ff),
                                     0, UINT64_C(0x0000ffff0000ffff) };
    uint64_t x[8][LANES / 2] = { 0 };

    for (unsigned i = 0; i < 8; i++)
        memcpy(x[i], in + i * ldi, 4 * n);
    for (unsigned step = 4; step; step /= 2)
        for (unsigned i = 0; i < 8; i++)
            if (!(i & step))
                swap(x[i], x[i + step], step, low[step]);
    for (unsigned i = 0; i < 8; i++) {
        uint32_t word[LANES];

        memcpy(word, x[i], sizeof word);
        for (size_t l = 0; l < n; l++)
            rows[8 * l + order[i]][block] = word[l];
    }
}

void rc_int4_turn(uint8_t *out, size_t ldo, const uint8_t *in, size_t ldi, size_t rows, size_t cols)
{
    uint32_t tile[8 * LANES][BLOCKS];

    for (size_t w = 0; w < rows / 8; w += LANES)
        for (size_t b = 0; b < cols / 8; b += BLOCKS) {
            const size_t words = rows / 8 - w < LANES ? rows / 8 - w : LANES;
            const size_t blocks = cols / 8 - b < BLOCKS ? cols / 8 - b : BLOCKS;

            for (size_t k = 0; k < blocks; k++)
                turn_block(tile, k, in + 8 * (b + k) * ldi + 4 * w, ldi, words);
            for (size_t r = 0; r < 8 * words; r++)
                memcpy(out + (8 * w + r) * ldo + 4 * b, tile[r], 4 * blocks);
        }
}
