/* kernels/exp_terms.h - the numbers of exp(), for all its variants.
 *
 *     n = x / log 2 to the nearest integer;  r = x - n log 2;  exp(x) = exp(r) 2^n
 *
 * n comes out of adding 1.5 * 2^23, in the low bits of the sum. log 2 has two parts, the first
 * with so few bits that x - n * HIGH is exact. exp(r) = 1 + r + C2 r^2 + ... + C6 r^6, fitted to
 * the least relative error over |r| <= log(2) / 2, 2^-28.2; each coefficient was rounded to f32
 * before the later ones were fitted. 2^n is added to the exponent as an integer: below LEAST
 * (the last x whose result is at least 2^-126) and above MOST that would be wrong. */
#ifndef RC_KERNELS_EXP_TERMS_H
#define RC_KERNELS_EXP_TERMS_H

#define RC_EXP_INV_LOG2  0x1.715476p+0f
#define RC_EXP_ROUND     0x1.8p+23f
#define RC_EXP_LOG2_HIGH 0x1.62ep-1f
#define RC_EXP_LOG2_LOW  0x1.0bfbe8p-15f
#define RC_EXP_C2        0x1.fffffcp-2f
#define RC_EXP_C3        0x1.555492p-3f
#define RC_EXP_C4        0x1.5558b0p-5f
#define RC_EXP_C5        0x1.123988p-7f
#define RC_EXP_C6        0x1.6a4ce4p-10f
#define RC_EXP_LEAST     -0x1.5d589ep+6f
#define RC_EXP_MOST      0x1.62e42ep+6f

#endif
