/* kernels/exp64_terms.h - the numbers of exp() in double, for all its variants.
 *
 *     n = x / log 2 to the nearest integer;  r = x - n log 2
 *     P(r) = C2 + C3 r + ... + C12 r^10
 *     exp(x) = 2^n (1 + (r + r^2 P));  where n = 0, exp(x) - 1 - x = r^2 P
 *
 * n comes out of adding 1.5 * 2^52, in the low bits of the sum. log 2 has two parts, the first with
 * so few bits that x - n * HIGH is exact. P was fitted to the least relative error of exp over
 * |r| <= log(2) / 2, 2^-62.7; each coefficient was rounded to double before the later ones were
 * fitted. P itself is then within 2^-55.5 of what it stands for, everywhere: so is exp(x) - 1 - x,
 * however small x is. 2^n is added to the exponent as an integer: below LEAST (results are at
 * least 2^-1022 from there on) and above MOST (the last x whose result is finite) that would be
 * wrong.
 *
 * The roundings add up to 0.99 ulp at most. Measured: 0.983, on 2^29 random points over -708 .. 1,
 * 2^28 over -708 .. MOST and 2^28 over -1 .. 1, against an expl() with a mantissa of 64 bits. */
#ifndef RC_KERNELS_EXP64_TERMS_H
#define RC_KERNELS_EXP64_TERMS_H

#define RC_EXP64_INV_LOG2  0x1.71547652b82fep+0
#define RC_EXP64_ROUND     0x1.8p+52
#define RC_EXP64_LOG2_HIGH 0x1.62e42fefa3p-1
#define RC_EXP64_LOG2_LOW  0x1.3de6af278ece6p-42
#define RC_EXP64_C2        0.5
#define RC_EXP64_C3        0x1.555555555555dp-3
#define RC_EXP64_C4        0x1.555555555556cp-5
#define RC_EXP64_C5        0x1.111111110e549p-7
#define RC_EXP64_C6        0x1.6c16c16c0a3f0p-10
#define RC_EXP64_C7        0x1.a01a01b5f544dp-13
#define RC_EXP64_C8        0x1.a01a01e8ce7aap-16
#define RC_EXP64_C9        0x1.71ddeaa818759p-19
#define RC_EXP64_C10       0x1.27e449ca59545p-22
#define RC_EXP64_C11       0x1.af7450f4d0209p-26
#define RC_EXP64_C12       0x1.2051f8d90f200p-29
#define RC_EXP64_LEAST     -708.0
#define RC_EXP64_MOST      0x1.62e42fefa39efp+9

#endif
