/* convert/cast.h - one chunk of one parameter, from source bytes to output bytes.
 *
 * Pure arithmetic on buffers: what to read and where the result goes is in the
 * chunk, the formulas are in kernels/. */
#ifndef RC_CONVERT_CAST_H
#define RC_CONVERT_CAST_H

#include "convert/plan.h"

/* What was found while a parameter was converted. Counts add up over chunks. */
typedef struct rc_verdict {
    uint64_t tiles, exact;  /* 128x128 tiles, and those in which every value is kept */
    uint32_t widest_spread; /* binades between the group scales of one tile, at most */
    bool nonzero;           /* a byte of the weight is not zero */
    uint64_t nonfinite;     /* NaN and Inf that were copied as they are */
    /* an inexact element of the first band of tiles that has one, the same in every run;
     * valid when exact < tiles */
    uint64_t row, col;
    double source, stored;
} rc_verdict;

void rc_verdict_add(rc_verdict *sum, const rc_verdict *chunk);

/* Rows [row, row + nrows) of a job, and the bytes that go with them: offsets are
 * within the tensor. For COPY the row unit is a byte. */
typedef struct rc_chunk {
    const rc_job *job;
    uint64_t row, nrows;
    uint64_t in_off, in_len; /* of the source weight */
    uint64_t in_scale_off, in_scale_len;
    uint64_t out_off, out_len; /* of the output weight */
    uint64_t out_scale_off, out_scale_len;
} rc_chunk;

/** Rows in a chunk so that neither side is larger than `budget` bytes, if possible:
 *  never less than one band of 128 rows. */
uint64_t rc_chunk_rows(const rc_job *job, uint64_t budget);
uint64_t rc_chunk_count(const rc_job *job, uint64_t chunk_rows);
void rc_chunk_at(rc_chunk *chunk, const rc_job *job, uint64_t chunk_rows, uint64_t i);

/** Walk a chunk in slices of whole bands, small enough to stay in a core's cache while
 *  they are checked, cast and hashed. *done counts rows; start with 0. False at the end. */
bool rc_chunk_slice(rc_chunk *slice, const rc_chunk *chunk, uint64_t *done, uint64_t budget);

/** Convert. `weight` and `scale` hold the chunk's input, `out` and `out_scale`
 *  (at least out_len and out_scale_len bytes) receive its output. No alignment is
 *  needed, but for `out` of BF16 values: 2. Set allow_nonfinite to copy NaN and Inf
 *  of BF16 and F32 tensors.
 *    RC_E_NUMERIC  a scale or a value is not a number; err names tensor, place and
 *                  file offset. Inexactness is not an error here: see *verdict. */
RC_MUST_CHECK
rc_code rc_cast_chunk(const rc_chunk *chunk, const uint8_t *weight, const uint8_t *scale,
                      uint8_t *out, uint8_t *out_scale, bool allow_nonfinite, rc_verdict *verdict,
                      rc_err *err);

#endif
