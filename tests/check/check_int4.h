/* tests/check/check_int4.h - inputs for the operations on 4-bit integers. */
#ifndef RC_TESTS_CHECK_INT4_H
#define RC_TESTS_CHECK_INT4_H

#include "quantize/int4.h"

/** Any kind; `round` goes through groups, searches, symmetry and types of scales. */
rc_int4_kind check_int4_kind(unsigned round);
/** n values (a multiple of 32), of another nature every 32, or all of one: normal, with
 *  outliers, zeros, FP4, ties, tiny, huge, one sign. */
void check_int4_fill(float *x, size_t n);
/** n weights >= 0, some 0. */
void check_int4_weights(float *w, size_t n);
double check_normal(void);

#endif
