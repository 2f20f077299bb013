/* runtime/weights.h - the weights of a model, in memory when they are needed.
 *
 * Weights are read as they are stored, in *pieces*: runs of whole rows of one parameter, of a few
 * megabytes. Readers fetch ahead what was asked for, in the order of asking; pieces that
 * nobody uses stay as long as the budget lasts. A forward pass goes through the layers again and
 * again, so when room is needed the piece used last goes first: those from before it are
 * needed sooner.
 *
 * One thread asks, gets and puts; the readers are threads of their own. */
#ifndef RC_RUNTIME_WEIGHTS_H
#define RC_RUNTIME_WEIGHTS_H

#include "runtime/decode.h"
#include "runtime/swap.h"

typedef struct rc_weights rc_weights;

/** `swap`: which parameters come from another model, or NULL; it and the model are borrowed.
 *  `budget`: bytes of stored weights to hold at most; at least three of the largest pieces, and a
 * few megabytes for each reader where there is something to turn (piece.h). `readers`: threads that
 * read ahead; with none, or where the system refuses them, the caller reads. RC_E_OS         no
 * memory RC_E_LIMIT      the budget is too small (says what is needed) RC_E_TENSORSET  a parameter
 * of the other model has another shape (names it) */
RC_MUST_CHECK
rc_code rc_weights_open(rc_weights **out, rc_model *model, const rc_swap *swap, size_t budget,
                        unsigned readers, rc_mem *mem, rc_err *err);
void rc_weights_close(rc_weights **weights);

/** The checkpoint that holds a parameter. */
rc_ckpt *rc_weights_ckpt(const rc_weights *weights, const rc_bound *bound);
/** How many of a parameter's like the budget holds; at least 1. */
size_t rc_weights_fit(const rc_weights *weights, const rc_bound *bound);

/** The parameter of that name, the other model's where it is swapped, with its weight and scale
 *  there and of a type that has values.
 *  RC_E_TENSORSET missing; RC_E_UNSUPPORTED no decoder for it. */
RC_MUST_CHECK
rc_code rc_weights_find(rc_weights *weights, const char *param, const rc_bound **bound,
                        rc_err *err);

/** Into how many pieces a parameter is cut: rows [i * step, ..) each, step a multiple of 128, or
 * all rows where the layout can only be read whole. */
size_t rc_weights_pieces(const rc_weights *weights, const rc_bound *bound);
/** Rows of a piece but for the last. */
uint64_t rc_weights_step(const rc_weights *weights, const rc_bound *bound);

/** Fetch all pieces of a parameter ahead, when there is room, and keep them until
 *  rc_weights_done(). Only a piece that somebody waits for may drive out wanted ones. */
void rc_weights_want(rc_weights *weights, const rc_bound *bound);
/** Not needed any more for now. Harmless when it was not wanted. */
void rc_weights_done(rc_weights *weights, const rc_bound *bound);

/* A piece in memory. */
typedef struct rc_held {
    rc_piece piece;  /* without work space */
    uint64_t row, n; /* rows of the parameter */
    struct rc_weights_entry *entry;
} rc_held;

/** Piece i, waiting for it where need be. It stays until it is put; two at most are held by one
 *  caller. Errors name file, tensor and offset; what could not be read ahead is told here, and the
 *  next call tries again. */
RC_MUST_CHECK
rc_code rc_weights_get(rc_weights *weights, const rc_bound *bound, size_t i, rc_held *held,
                       rc_err *err);
void rc_weights_put(rc_weights *weights, rc_held *held);

/** Rows of a parameter that is too large to be held whole, such as the embedding: row[k] to y + k *
 * ldy. RC_E_INTERNAL past the end. */
RC_MUST_CHECK
rc_code rc_weights_rows(rc_weights *weights, const rc_bound *bound, const uint32_t *row, size_t n,
                        float *y, size_t ldy, rc_err *err);
/** A small parameter (a norm, a bias, a table of F32) decoded whole to f32; the caller puts *out
 *  back to the account. RC_E_NUMERIC when it holds a NaN or an infinity: names the tensor and the
 * element. */
RC_MUST_CHECK
rc_code rc_weights_small(rc_weights *weights, const char *param, size_t nelems, float **out,
                         rc_err *err);
/** A table of experts (I64 or I32) [rows, cols]: rows row[k] to y + k * cols. RC_E_DATA for an
 * entry that is not below `bound_excl`, or is in its row twice: names tensor, offset and value. */
RC_MUST_CHECK
rc_code rc_weights_ints(rc_weights *weights, const char *param, const uint32_t *row, size_t n,
                        size_t cols, uint32_t bound_excl, uint32_t *y, rc_err *err);

/* What it cost. */
typedef struct rc_weights_stats {
    uint64_t bytes_read;  /* from the source */
    uint64_t pieces_read; /* and how often a piece was there already */
    uint64_t pieces_kept;
    double wait_s; /* spent in rc_weights_get() waiting for a reader */
} rc_weights_stats;
rc_weights_stats rc_weights_statistics(const rc_weights *weights);

#endif
