/* kernels/decode_pairs_ref.c - decode, then put each element where pairs.h wants it. */
#include "kernels/row_piece_ref.h"

static void decode(float *y, const uint8_t *w, const void *scale, size_t n, rc_row_piece_fn *piece)
{
    for (size_t i = 0; i < n; i += RC_PIECE) {
        const size_t len = rc_row_piece_len(i, n);
        float natural[RC_PIECE];

        piece(natural, w, scale, i, len);
        for (size_t k = 0; k < len; k++)
            y[i + rc_paired_index(k)] = natural[k];
    }
}

#if defined(__x86_64__)
#define VARIANTS(type)                                                                             \
    { "avx2", RC_CPU_AVX2, rc_decode_pairs_##type##_avx2 },                                        \
        { "avx512", RC_CPU_AVX512, rc_decode_pairs_##type##_avx512 },
#else
#define VARIANTS(type)
#endif

#define REFERENCE(TYPE, type, nelems)                                                              \
    void rc_decode_pairs_##type##_ref(float *restrict y, const uint8_t *restrict w,                \
                                      const void *restrict scale, size_t n)                        \
    {                                                                                              \
        decode(y, w, scale, n, rc_row_piece_##type);                                               \
    }                                                                                              \
    static const rc_decode_pairs_impl type##_impls[] = {                                           \
        { "ref", 0, rc_decode_pairs_##type##_ref },                                                \
        VARIANTS(type){ 0 },                                                                       \
    };
RC_ROW_TYPES(REFERENCE)

const rc_decode_pairs_impl *rc_decode_pairs_impls(rc_dtype dtype)
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

RC_CPU_DEFINE_BEST_OF_TYPE(decode_pairs)
