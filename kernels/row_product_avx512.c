/* kernels/row_product_avx512.c - see row_product_simd.h. */
#include "kernels/row_product_simd.h"

#define ROW(TYPE, type, nelems) ROW_PRODUCT(type, avx512)
RC_ROW_TYPES(ROW)
