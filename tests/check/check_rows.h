/* tests/check/check_rows.h - stored rows of every type for the checks of row_product.h. */
#ifndef RC_TESTS_CHECK_ROWS_H
#define RC_TESTS_CHECK_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/row_product.h"

enum {
    CHECK_ROWS_PLAIN,   /* scales near one, no NaN: sums of ordinary numbers */
    CHECK_ROWS_RANDOM,  /* any bytes */
    CHECK_ROWS_EXTREME, /* FP4 and MXFP4: scale bytes at both ends; FP8: any power of two */
    CHECK_ROWS_KINDS
};

/* Rows that end where their allocation ends. */
typedef struct check_rows {
    rc_stored_rows w;
    void *whole, *whole_scale;
} check_rows;

/** `rows` rows of n elements, FP8 scales powers of two if `powers`. */
check_rows check_rows_new(rc_dtype dtype, size_t rows, size_t n, unsigned kind, bool powers);
void check_rows_free(check_rows *r);

/** An x: small, widely spread, near 2^-126, or now and then strange. */
float check_rows_x(unsigned kind);
/** The least n of a type. */
size_t check_rows_step(rc_dtype dtype);

#endif
