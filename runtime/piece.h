/* runtime/piece.h - a piece from the checkpoint into memory: weights, scales, zero points, and what
 * lies transposed put into the order of rows. Whoever reads weights reads them here. */
#ifndef RC_RUNTIME_PIECE_H
#define RC_RUNTIME_PIECE_H

#include "runtime/decode.h"

/** Bytes of memory (page aligned) that rows [row, row + nrows) are read into, for any row. */
size_t rc_piece_room(const rc_bound *bound, uint64_t row, uint64_t nrows);
/** Bytes of memory (page aligned) that reading needs besides; 0 but for layouts that are turned,
 * and then a few megabytes whatever the size of the matrix. */
size_t rc_piece_scratch(const rc_bound *bound);

/** Read rows [row, row + nrows) of a bound that has a decoder, and lay the piece out; `columns` and
 *  `work` are left as they are. A layout that is read whole gives all rows, with row0 = 0.
 *  `room` is rc_piece_room() bytes at `buf`; the piece points there. `scratch`: rc_piece_scratch()
 *  bytes, or NULL where that is 0. Returns what rc_ckpt_read() does. */
RC_MUST_CHECK
rc_code rc_piece_read(rc_piece *piece, rc_ckpt *ckpt, const rc_bound *bound, uint64_t row,
                      uint64_t nrows, uint8_t *buf, size_t room, uint8_t *scratch, rc_err *err);

#endif
