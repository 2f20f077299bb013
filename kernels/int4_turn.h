/* kernels/int4_turn.h - AutoAWQ's transposed words of 4-bit integers to rows (see int4_pack.h). */
#ifndef RC_KERNELS_INT4_TURN_H
#define RC_KERNELS_INT4_TURN_H

#include <stddef.h>
#include <stdint.h>

/** Words [cols, rows / 8] in AWQ's order, column k at in + k * ldi bytes, to rows of nibbles in
 * plain order, row r at out + r * ldo: cols / 2 bytes each. rows and cols are multiples of 8. */
void rc_int4_turn(uint8_t *out, size_t ldo, const uint8_t *in, size_t ldi, size_t rows,
                  size_t cols);

/** A word's eight outputs in AWQ's order to plain order. */
uint32_t rc_int4_word_of_awq(uint32_t word);

#endif
