/* kernels/int4_pack.h - nibbles in the order of the two INT4 containers.
 *
 * packed (compressed-tensors): codes of a row [K] in words of eight, element k in bits
 * 4 (k % 8) of word k / 8; in memory: byte k / 2, low nibble first. Zero points [N, K/G] the same
 * way along N: row n in bits 4 (n % 8) of word (n / 8, g).
 *
 * AWQ (AutoAWQ "GEMM"): everything is transposed. Codes [K, N / 8]: word (k, c) holds outputs 8 c +
 * j in nibble {0, 4, 1, 5, 2, 6, 3, 7}[j]; zero points [K / G, N / 8] the same way; scales [K / G,
 * N] F16. Outputs 0 .. 7 with the values 0 .. 7 are the word 0x75316420.
 *
 * N and K are multiples of 8. Words are little-endian. Nothing needs alignment. */
#ifndef RC_KERNELS_INT4_PACK_H
#define RC_KERNELS_INT4_PACK_H

#include <stddef.h>
#include <stdint.h>

/** Codes, one a byte (0 .. 15): q [n] -> n / 2 bytes in plain order; and back. */
void rc_int4_pack(uint8_t *out, const uint8_t *q, size_t n);
void rc_int4_unpack(uint8_t *q, const uint8_t *in, size_t n);

/** Bytes q [rows, cols], row r at q + r * ldq, to words [cols, rows / 8] in AWQ's order, column k
 * at out + k * ldo bytes; and back. rows is a multiple of 8. Codes: q [N rows, K cols]; zero
 * points: [N rows, K / G cols]. */
void rc_int4_awq_pack(uint8_t *out, size_t ldo, const uint8_t *q, size_t ldq, size_t rows,
                      size_t cols);
void rc_int4_awq_unpack(uint8_t *q, size_t ldq, const uint8_t *in, size_t ldi, size_t rows,
                        size_t cols);

/** Zero points [rows, groups] one a byte to words [rows / 8, groups] in plain order along rows; and
 *  back. rows is a multiple of 8. */
void rc_int4_zeros_pack(uint8_t *out, const uint8_t *zero, size_t rows, size_t groups);
void rc_int4_zeros_unpack(uint8_t *zero, const uint8_t *in, size_t rows, size_t groups);

#endif
