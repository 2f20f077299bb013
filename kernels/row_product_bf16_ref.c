/* kernels/row_product_bf16_ref.c - as VDPBF16PS does it, one lane after the other. */
#include "kernels/codes.h"
#include "kernels/pair_sum.h"
#include "kernels/rounding.h"
#include "kernels/row_piece_ref.h"

static float step(float sum, float w, uint16_t x)
{
    return rc_bf16_step(rc_flush(w), rc_flush(rc_bf16_value(x)), sum);
}

static float row_token(const uint8_t *w, const void *scale, const uint16_t *x, size_t n,
                       rc_row_piece_fn *piece)
{
    float lane[RC_PAIR_LANES] = { 0 };

    for (size_t i = 0; i < n; i += RC_PIECE) {
        const size_t len = rc_row_piece_len(i, n);
        float v[RC_PIECE];

        piece(v, w, scale, i, len);
        for (size_t k = 0; k < len; k += 2) {
            float *sum = lane + k % RC_CHUNK / 2;
            *sum = step(*sum, v[k + 1], x[i + k + 1]);
            *sum = step(*sum, v[k], x[i + k]);
        }
    }
    return rc_pair_fold(lane, true);
}

static void product(float *y, size_t ldy, const rc_stored_rows *w, size_t rows,
                    const uint16_t *const *x, size_t tokens, size_t n, rc_row_piece_fn *piece)
{
    const rc_rounding saved = rc_rounding_enter();

    for (size_t r = 0; r < rows; r++)
        for (size_t t = 0; t < tokens; t++)
            y[t * ldy + r] = row_token(rc_row_weight(w, r), rc_row_scale(w, r), x[t], n, piece);
    rc_rounding_leave(saved);
}

#if defined(__x86_64__)
#define VARIANTS(type)                                                                             \
    { "avx2", RC_CPU_AVX2, rc_row_product_bf16_##type##_avx2 },                                    \
        { "avx512", RC_CPU_AVX512, rc_row_product_bf16_##type##_avx512 },                          \
        { "avx512bf16", RC_CPU_BF16, rc_row_product_bf16_##type##_avx512bf16 },
#else
#define VARIANTS(type)
#endif

#define REFERENCE(TYPE, type, nelems)                                                              \
    void rc_row_product_bf16_##type##_ref(float *y, size_t ldy, const rc_stored_rows *w,           \
                                          size_t rows, const uint16_t *const *x, size_t tokens,    \
                                          size_t n)                                                \
    {                                                                                              \
        product(y, ldy, w, rows, x, tokens, n, rc_row_piece_##type);                               \
    }                                                                                              \
    static const rc_row_product_bf16_impl type##_impls[] = {                                       \
        { "ref", 0, rc_row_product_bf16_##type##_ref },                                            \
        VARIANTS(type){ 0 },                                                                       \
    };
RC_ROW_BF16_TYPES(REFERENCE)

const rc_row_product_bf16_impl *rc_row_product_bf16_impls(rc_dtype dtype)
{
    switch (dtype) {
#define CASE(TYPE, type, nelems)                                                                   \
    case RC_DTYPE_##TYPE:                                                                          \
        return type##_impls;
        RC_ROW_BF16_TYPES(CASE)
    default:
        return NULL;
    }
}

RC_CPU_DEFINE_BEST_OF_TYPE(row_product_bf16)
