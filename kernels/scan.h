/* kernels/scan.h - are the contents of a tensor sound?
 *
 * One pass over n elements that counts what a checkpoint should not hold:
 *
 *     F8_E4M3   NaN 0x7f, 0xff                    (no infinity)
 *     F8_E8M0   NaN 0xff                          (no infinity)
 *     BF16      exponent 255: infinity or NaN
 *     F32       the same
 *
 * Other types: only all_zero. Sources: OCP MX 1.0; IEEE 754. Every variant
 * gives the same answer. The data need no alignment. */
#ifndef RC_KERNELS_SCAN_H
#define RC_KERNELS_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/dtype.h"
#include "kernels/cpu.h"

typedef struct rc_scan_result {
    uint64_t nan, inf;  /* elements */
    uint64_t first_bad; /* index of the first NaN or infinity, or UINT64_MAX */
    bool all_zero;      /* every byte is 0 (so -0 is not); true when empty */
} rc_scan_result;

/** The result of no elements: rc_scan_add() from here. */
#define RC_SCAN_NONE ((rc_scan_result){ 0, 0, UINT64_MAX, true })

/** Add the result of a piece that begins at element `first` of the whole; pieces
 *  may come in any order. */
void rc_scan_add(rc_scan_result *total, const rc_scan_result *piece, uint64_t first);

/** Scan n elements of `dtype` (whole bytes: bits * n is a multiple of 8). */
typedef void rc_scan_fn(rc_scan_result *out, rc_dtype dtype, const uint8_t *data, size_t n);

typedef struct rc_scan_impl {
    const char *name;
    unsigned need; /* RC_CPU_ flags */
    rc_scan_fn *fn;
} rc_scan_impl;

/** Row 0 is the reference, rows run slow to fast, a NULL fn ends the table. */
extern const rc_scan_impl rc_scan_impls[];
rc_scan_fn *rc_scan_best(void);

rc_scan_fn rc_scan_ref, rc_scan_avx2, rc_scan_avx512;

#endif
