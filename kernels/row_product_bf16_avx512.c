/* kernels/row_product_bf16_avx512.c - see row_product_simd.h: as VDPBF16PS does it, which flushes.
 */
#include "kernels/row_product_simd.h"

#define ROW(TYPE, type, nelems) ROW_PRODUCT_BF16(type, avx512)
RC_ROW_BF16_TYPES(ROW)
