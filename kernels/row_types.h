/* kernels/row_types.h - the stored types of kernels/row_product.h and their variants.
 *
 * Internal. A *piece* is what a variant decodes at a time: every block and every group of
 * elements under one scale divides it, or is divided by it, so pieces are counted from the
 * beginning of a row; the last one may be shorter, by a multiple of 32. */
#ifndef RC_KERNELS_ROW_TYPES_H
#define RC_KERNELS_ROW_TYPES_H

#include "kernels/dequant_blocks.h"
#include "kernels/row_product.h"

#define RC_PIECE 256u

/* X(dtype, name, elements stored together) for the types that are no blocks, for all, and for
 * those whose values are exact in BF16. */
#define RC_ROW_PLAIN_TYPES(X)                                                                      \
    X(I8, fp4, RC_FP4_GROUP)                                                                       \
    X(F8_E4M3, fp8, 1)                                                                             \
    X(BF16, bf16, 1)                                                                               \
    X(F32, f32, 1)

#define RC_ROW_TYPES(X)                                                                            \
    RC_ROW_PLAIN_TYPES(X)                                                                          \
    RC_DEQUANT_BLOCKS_TYPES(X)

#define RC_ROW_BF16_TYPES(X)                                                                       \
    X(I8, fp4, RC_FP4_GROUP)                                                                       \
    X(F8_E4M3, fp8, 1)                                                                             \
    X(BF16, bf16, 1)                                                                               \
    X(MXFP4, mxfp4, RC_BLOCK_SMALL)

/* The names of the variants of one type, whichever list it is from. */
#define RC_ROW_PRODUCT_DECLARE(TYPE, type, nelems)                                                 \
    rc_row_product_fn rc_row_product_##type##_ref, rc_row_product_##type##_avx2,                   \
        rc_row_product_##type##_avx512;                                                            \
    rc_decode_pairs_fn rc_decode_pairs_##type##_ref, rc_decode_pairs_##type##_avx2,                \
        rc_decode_pairs_##type##_avx512;
RC_ROW_TYPES(RC_ROW_PRODUCT_DECLARE)
#undef RC_ROW_PRODUCT_DECLARE

#define RC_ROW_PRODUCT_BF16_DECLARE(TYPE, type, nelems)                                            \
    rc_row_product_bf16_fn rc_row_product_bf16_##type##_ref, rc_row_product_bf16_##type##_avx2,    \
        rc_row_product_bf16_##type##_avx512, rc_row_product_bf16_##type##_avx512bf16;
RC_ROW_BF16_TYPES(RC_ROW_PRODUCT_BF16_DECLARE)
#undef RC_ROW_PRODUCT_BF16_DECLARE

/* Defines rc_<op>_best(dtype), the choice from rc_<op>_impls(dtype). */
#define RC_CPU_DEFINE_BEST_OF_TYPE(op)                                                             \
    rc_##op##_fn *rc_##op##_best(rc_dtype dtype)                                                   \
    {                                                                                              \
        const unsigned have = rc_cpu_flags();                                                      \
        const rc_##op##_impl *best = rc_##op##_impls(dtype);                                       \
        if (!best)                                                                                 \
            return NULL;                                                                           \
        for (const rc_##op##_impl *row = best; row->fn; row++)                                     \
            if ((row->need & ~have) == 0)                                                          \
                best = row;                                                                        \
        return best->fn;                                                                           \
    }

/** Row r, and its scales. */
static inline const uint8_t *rc_row_weight(const rc_stored_rows *w, size_t r)
{
    return w->weight + r * w->row_bytes;
}

static inline const void *rc_row_scale(const rc_stored_rows *w, size_t r)
{
    return w->scale ? (const uint8_t *)w->scale + r * w->scale_bytes : NULL;
}

#endif
