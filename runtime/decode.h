/* runtime/decode.h - stored rows to values, for every layout that recast can read.
 *
 * One table, a row for each way of storing a matrix. A new layout joins
 * the runtime and the judge by adding its row: nothing else here asks what a layout is called.
 *
 * A *piece* is a run of whole rows of one parameter, as read from a checkpoint:
 * their weights, and the scales and zero points that cover them. A layout whose rows do not lie
 * together (AutoAWQ's is transposed) can only be read *whole*, and is turned on the way: in
 * memory it is as compressed-tensors has it. */
#ifndef RC_RUNTIME_DECODE_H
#define RC_RUNTIME_DECODE_H

#include "formats/model.h"

typedef struct rc_piece rc_piece;

typedef struct rc_decoder {
    rc_store store;
    rc_dtype weight, scale; /* stored dtypes; scale is not looked at without scales */
    unsigned block, bytes;  /* values stored together, and their bytes */
    unsigned tile_rows;     /* rows and columns under one scale; 0, 0: no scales */
    unsigned tile_cols;     /* 0 with scales: the parameter's own group */
    unsigned scale_bytes;   /* bytes of one stored scale */
    /* row `row` of the piece to y[cols], before rc_piece.columns */
    void (*decode_row)(float *y, const rc_piece *piece, size_t row);
} rc_decoder;

struct rc_piece {
    const rc_decoder *how;
    const uint8_t *weight, *scale; /* any alignment; scale may be NULL */
    const uint8_t *zero;           /* words of eight rows from row0 / 8 on; NULL: none */
    const float *columns;          /* what decoded columns are multiplied by, or NULL */
    uint64_t row0;                 /* the matrix's row that is row 0 here */
    size_t cols;
    size_t row_bytes; /* from one row of `weight` to the next */
    size_t lead;      /* bytes of a row before the piece's first value */
    size_t group;     /* columns under one scale of 4-bit integers; else 0 */
    float gain;       /* of the whole parameter; NVFP4 alone has one */
    void *work;       /* rc_decoder_work(cols) bytes, aligned for float, of one thread */
};

/** How to read a bound parameter; NULL when something is missing, no row fits, or the
 *  parameter begins or ends inside a block. */
const rc_decoder *rc_decoder_of(const rc_bound *bound);
/** Must all rows be read together? */
bool rc_decoder_whole(const rc_bound *bound);

/** The layout of a piece that is a run of the parameter's rows. Pointers, row0 and work are left
 *  as they are. */
void rc_decoder_lay_out(rc_piece *piece, const rc_bound *bound);

/** Row `row` of the piece to y[cols]. */
void rc_piece_row(float *y, const rc_piece *piece, size_t row);

/** Bytes of work space that pieces of `cols` columns need at most. */
size_t rc_decoder_work(size_t cols);

/* Where rows [row, row + nrows) of a parameter lie: bytes within its tensors, and how many they
 * are in memory, too. Of a layout that is read whole: all of them. */
typedef struct rc_extent {
    uint64_t weight_off, scale_off, zero_off;
    size_t weight_len, scale_len, zero_len; /* 0: no scales, no zero points */
} rc_extent;
rc_extent rc_decoder_extent(const rc_bound *bound, uint64_t row, uint64_t nrows);

/** The byte of the weight tensor where the value, or the block that holds it, begins. */
uint64_t rc_decoder_offset(const rc_bound *bound, uint64_t row, uint64_t col);

#endif
