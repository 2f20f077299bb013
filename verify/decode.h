/* verify/decode.h - stored rows to values, for every layout the judge can read.
 *
 * One table, a row for each way of storing a matrix. A new layout joins the judge
 * by adding its row: nothing else here asks what a layout is called.
 *
 * A *piece* is a run of whole rows of one parameter, as read from a checkpoint:
 * their weights, and the scale rows that cover them. */
#ifndef RC_VERIFY_DECODE_H
#define RC_VERIFY_DECODE_H

#include "formats/model.h"

typedef struct rc_piece rc_piece;

typedef struct rc_decoder {
    rc_store store;
    rc_dtype weight, scale; /* stored dtypes; scale is not looked at for PLAIN */
    unsigned bits;          /* stored bits of one value */
    unsigned tile_rows;     /* rows and columns under one scale; 0, 0: no scales */
    unsigned tile_cols;
    unsigned scale_bytes; /* bytes of one stored scale */
    /* row `row` of the piece to y[cols] */
    void (*decode_row)(float *y, const rc_piece *piece, size_t row);
} rc_decoder;

struct rc_piece {
    const rc_decoder *how;
    const uint8_t *weight, *scale; /* any alignment; scale may be NULL */
    uint64_t row0;                 /* the matrix's row that is row 0 here */
    size_t cols;
    void *work; /* rc_decoder_work(cols) bytes, aligned for float, of one thread */
};

/** How to read a bound parameter; NULL when something is missing or no row fits. */
const rc_decoder *rc_decoder_of(const rc_bound *bound);

/** Bytes of work space that pieces of `cols` columns need at most. */
size_t rc_decoder_work(size_t cols);

/* Where rows [row, row + nrows) of a matrix of `cols` columns lie: bytes within the
 * weight and within the scale tensor. */
typedef struct rc_extent {
    uint64_t weight_off, scale_off;
    size_t weight_len, scale_len; /* scale_len 0: no scales */
} rc_extent;
rc_extent rc_decoder_extent(const rc_decoder *how, uint64_t cols, uint64_t row, uint64_t nrows);

#endif
