/* tests/check/check.h - every variant of an operation against its reference.
 *
 * A check_<op>() walks rc_<op>_impls: for each row after the first it calls
 * check_begin(), compares on many inputs with check_that(), and calls
 * check_end(), which prints one line. A row that this machine cannot run is
 * printed as `skip`. */
#ifndef RC_TESTS_CHECK_H
#define RC_TESTS_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An operation without a check does not link. */
#define RC_OP(op) void check_##op(void);
#include "kernels/ops.def"
#include "quantize/ops.def"
#undef RC_OP

/** Start a row. False, after printing `skip`, when the machine lacks `need`. */
bool check_begin(const char *op, const char *variant, unsigned need);
/** One comparison; the first failure of a row is described. */
__attribute__((format(printf, 2, 3))) void check_that(bool ok, const char *what, ...);
void check_end(void);

/** Deterministic random numbers (splitmix64) from the seed that main() prints. */
uint64_t check_random(void);
/** Uniform in 0 .. bound-1. */
size_t check_below(size_t bound);
void check_fill(void *p, size_t n);
/** An f32 that is often odd: zero, subnormal, huge, infinite, NaN. */
float check_float(void);

/* A buffer whose surroundings are watched. The data begin `shift` bytes after a
 * 64-byte boundary. */
#define CHECK_MARGIN 64u
typedef struct check_buf {
    uint8_t *raw, *data;
    size_t n;
} check_buf;
check_buf check_buf_new(size_t n, size_t shift);
/** Is the margin on both sides as it was? */
bool check_buf_intact(const check_buf *buf);
void check_buf_free(check_buf *buf);

/** Input of n bytes, `shift` bytes after a 16-byte boundary, that ends where its
 *  allocation ends: the sanitizer sees a read beyond. Free with free(*whole). */
uint8_t *check_input_new(size_t n, size_t shift, void **whole);

/** Run `fn` in each of the four rounding modes, and with subnormals flushed to
 *  zero; it must leave the mode as it was. */
void check_in_rounding_modes(void (*fn)(void *), void *arg);

#endif
