/* kernels/row_product_ref.c - decode a piece, multiply it in the order of pairs.h. */
#include <math.h>

#include "kernels/pair_sum.h"
#include "kernels/rounding.h"
#include "kernels/row_piece_ref.h"

/* The natural pieces of a row against paired x: lane by lane, odd element first. */
static float row_token(const uint8_t *w, const void *scale, const float *x, size_t n,
                       rc_row_piece_fn *piece)
{
    float lane[RC_PAIR_LANES] = { 0 };

    for (size_t i = 0; i < n; i += RC_PIECE) {
        const size_t len = rc_row_piece_len(i, n);
        float v[RC_PIECE];

        piece(v, w, scale, i, len);
        for (size_t k = 0; k < len; k += 2) {
            float *sum = lane + k % RC_CHUNK / 2;
            *sum = fmaf(v[k + 1], x[i + rc_paired_index(k + 1)], *sum);
            *sum = fmaf(v[k], x[i + rc_paired_index(k)], *sum);
        }
    }
    return rc_pair_fold(lane, false);
}

static void product(float *y, size_t ldy, const rc_stored_rows *w, size_t rows,
                    const float *const *x, size_t tokens, size_t n, rc_row_piece_fn *piece)
{
    const rc_rounding saved = rc_rounding_enter();

    for (size_t r = 0; r < rows; r++)
        for (size_t t = 0; t < tokens; t++)
            y[t * ldy + r] = row_token(rc_row_weight(w, r), rc_row_scale(w, r), x[t], n, piece);
    rc_rounding_leave(saved);
}

#if defined(__x86_64__)
#define VARIANTS(type)                                                                             \
    { "avx2", RC_CPU_AVX2, rc_row_product_##type##_avx2 },                                         \
        { "avx512", RC_CPU_AVX512, rc_row_product_##type##_avx512 },
#else
#define VARIANTS(type)
#endif

#define REFERENCE(TYPE, type, nelems)                                                              \
    void rc_row_product_##type##_ref(float *y, size_t ldy, const rc_stored_rows *w, size_t rows,   \
                                     const float *const *x, size_t tokens, size_t n)               \
    {                                                                                              \
        product(y, ldy, w, rows, x, tokens, n, rc_row_piece_##type);                               \
    }                                                                                              \
    static const rc_row_product_impl type##_impls[] = {                                            \
        { "ref", 0, rc_row_product_##type##_ref },                                                 \
        VARIANTS(type){ 0 },                                                                       \
    };
RC_ROW_TYPES(REFERENCE)

const rc_row_product_impl *rc_row_product_impls(rc_dtype dtype)
{
    switch (dtype) {
#define CASE(TYPE, type, nelems)                                                                   \
    case RC_DTYPE_##TYPE:                                                                          \
        return type##_impls;
        RC_ROW_TYPES(CASE)
    default:
        return NULL;
    }
}

RC_CPU_DEFINE_BEST_OF_TYPE(row_product)
