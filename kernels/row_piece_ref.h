/* kernels/row_piece_ref.h - a piece of a stored row to f32, by the reference of its decoder.
 *
 * Internal: what the references of row_product.h have in common. */
#ifndef RC_KERNELS_ROW_PIECE_REF_H
#define RC_KERNELS_ROW_PIECE_REF_H

#include <string.h>

#include "kernels/bf16.h"
#include "kernels/dequant_blocks.h"
#include "kernels/dequant_fp4.h"
#include "kernels/dequant_fp8.h"
#include "kernels/row_types.h"

/** Elements i .. i + n of a row, in natural order; i is a multiple of RC_PIECE. */
typedef void rc_row_piece_fn(float y[RC_PIECE], const uint8_t *w, const void *scale, size_t i,
                             size_t n);

static inline void rc_row_piece_fp4(float y[RC_PIECE], const uint8_t *w, const void *scale,
                                    size_t i, size_t n)
{
    rc_dequant_fp4_ref(y, w + i / 2, (const uint8_t *)scale + i / RC_FP4_GROUP, n);
}

static inline void rc_row_piece_fp8(float y[RC_PIECE], const uint8_t *w, const void *scale,
                                    size_t i, size_t n)
{
    rc_dequant_fp8_ref(y, w + i, (const float *)scale + i / RC_FP8_TILE, n);
}

static inline void rc_row_piece_bf16(float y[RC_PIECE], const uint8_t *w, const void *scale,
                                     size_t i, size_t n)
{
    uint16_t half[RC_PIECE]; /* aligned */

    (void)scale;
    memcpy(half, w + 2 * i, 2 * n);
    rc_bf16_to_f32_ref(y, half, n);
}

static inline void rc_row_piece_f32(float y[RC_PIECE], const uint8_t *w, const void *scale,
                                    size_t i, size_t n)
{
    (void)scale;
    memcpy(y, w + 4 * i, 4 * n);
}

#define RC_ROW_PIECE_BLOCK(TYPE, type, nelems)                                                     \
    static inline void rc_row_piece_##type(float y[RC_PIECE], const uint8_t *w, const void *scale, \
                                           size_t i, size_t n)                                     \
    {                                                                                              \
        (void)scale;                                                                               \
        rc_dequant_##type##_ref(y, w + i / (nelems) * sizeof(rc_block_##type), n);                 \
    }
RC_DEQUANT_BLOCKS_TYPES(RC_ROW_PIECE_BLOCK)
#undef RC_ROW_PIECE_BLOCK

/** Elements of the piece that begins at i in a row of n. */
static inline size_t rc_row_piece_len(size_t i, size_t n)
{
    return n - i < RC_PIECE ? n - i : RC_PIECE;
}

/** Where in a paired row the element at i of the natural one is. */
static inline size_t rc_paired_index(size_t i)
{
    return i / RC_CHUNK * RC_CHUNK + (1 - i % 2) * RC_PAIR_LANES + i % RC_CHUNK / 2;
}

#endif
