/* convert/cast.h - one chunk of one parameter, from source bytes to output bytes.
 *
 * Pure arithmetic on buffers: what to read and where the result goes is in the
 * chunk, the formulas are in kernels/. */
#ifndef RC_CONVERT_CAST_H
#define RC_CONVERT_CAST_H

#include "convert/plan.h"
#include "quantize/int4.h"

/* What was found while a parameter was converted. Counts add up over chunks. */
typedef struct rc_verdict {
    uint64_t tiles, exact;  /* 128x128 tiles, and those in which every value is kept */
    uint32_t widest_spread; /* binades between the group scales of one tile, at most */
    bool nonzero;           /* a byte of the weight is not zero */
    uint64_t nonfinite;     /* NaN and Inf that were copied as they are */
    /* of values that went into a type that rounds: how many differ from the source, and
     * the sums of their squares and of the squares of their errors */
    uint64_t changed;
    double signal, noise;
    /* an inexact element of the first band of tiles that has one, the same in every run;
     * valid when exact < tiles */
    uint64_t row, col;
    double source, stored;
    rc_int4_tally int4;  /* of 4-bit integers: losses and how groups fared */
    bool unknown;        /* nothing was known of the columns' importance: all count the same */
    bool by_moments;     /* errors were fed back by second moments */
} rc_verdict;

void rc_verdict_add(rc_verdict *sum, const rc_verdict *chunk);

/* A run of a tensor's own bytes. */
typedef struct rc_span {
    uint64_t off, len;
} rc_span;

/* Rows [row, row + nrows) of a job, and the bytes that go with them. For COPY the row unit is a
 * byte. Of a transposed tensor every run of rows has all bytes. */
typedef struct rc_chunk {
    const rc_job *job;
    uint64_t row, nrows;
    rc_span in[RC_PART_COUNT], out[RC_PART_COUNT];
} rc_chunk;

/* The bytes of a chunk, each from where its span begins; NULL where there are none. */
typedef struct rc_pieces {
    const uint8_t *in[RC_PART_COUNT];
    uint8_t *out[RC_PART_COUNT];
} rc_pieces;

/** The pieces of a slice of chunk `c`, whose pieces are `all`. */
rc_pieces rc_pieces_of(const rc_chunk *slice, const rc_chunk *c, const rc_pieces *all);

/* How a chunk is to be cast. */
typedef struct rc_cast_how {
    bool allow_nonfinite; /* copy NaN and Inf of BF16 and F32 tensors */
    rc_effort effort;
    rc_int4_method method;   /* of INT4 */
    const float *factors;    /* of the columns: ENCODE and INT4; NULL: none */
    const float *importance; /* of the columns, as they are after `factors`; NULL: none */
    const float *feedback;   /* INT4: see rc_int4_feedback_fn; NULL: none */
    float *work;             /* rc_cast_work() bytes, of one thread */
} rc_cast_how;

/** Bytes of work space that a job needs; 0 for most. */
size_t rc_cast_work(const rc_job *job);

/** Must casting be done before its turn, because it takes much longer than hashing? */
bool rc_cast_is_slow(const rc_job *job);

/** Rows in a chunk so that neither side is larger than `budget` bytes, if possible:
 *  never less than one band of 128 rows. */
uint64_t rc_chunk_rows(const rc_job *job, uint64_t budget);
uint64_t rc_chunk_count(const rc_job *job, uint64_t chunk_rows);
void rc_chunk_at(rc_chunk *chunk, const rc_job *job, uint64_t chunk_rows, uint64_t i);

/** Walk a chunk in slices of whole bands, small enough to stay in a core's cache while
 *  they are checked, cast and hashed. *done counts rows; start with 0. False at the end.
 *  Slices of what rounds are single bands whatever the budget: their sums of errors are added
 *  in order, so that the digits do not depend on the size of chunks. */
bool rc_chunk_slice(rc_chunk *slice, const rc_chunk *chunk, uint64_t *done, uint64_t budget);

/** Convert. `at` holds the slice's input and has room for its output. No alignment is
 *  needed, but for outputs of BF16, F16 and I32 values: theirs.
 *    RC_E_NUMERIC  a scale or a value is not a number, or does not fit; err names tensor,
 *                  place and file offset. Inexactness is not an error here: see *verdict. */
RC_MUST_CHECK
rc_code rc_cast_chunk(const rc_chunk *chunk, const rc_pieces *at, const rc_cast_how *how,
                      rc_verdict *verdict, rc_err *err);

/** The weights of columns for a matrix that no importance matrix knows: the sum of the
 *  squares of each column, rows added in order. `chunk` is the whole matrix; energy[cols].
 *  `work` as in rc_cast_how. Source: ds4 gguf-tools. */
void rc_cast_energy(const rc_chunk *chunk, const rc_pieces *at, float *energy, float *work);

#endif
