/* kernels/decode_pairs_avx512.c - see row_unpack_simd.h. */
#include "kernels/row_unpack_simd.h"

#define ROW(TYPE, type, nelems)                                                                    \
    void rc_decode_pairs_##type##_avx512(float *restrict y, const uint8_t *restrict w,             \
                                         const void *restrict scale, size_t n)                     \
    {                                                                                              \
        const rc_rounding saved = rc_rounding_enter();                                             \
        for (size_t i = 0; i < n; i += UNIT_##type)                                                \
            unpack_##type(y + i, w, scale, i);                                                     \
        rc_rounding_leave(saved);                                                                  \
    }
RC_ROW_TYPES(ROW)
