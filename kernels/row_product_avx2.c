/* kernels/row_product_avx2.c - see row_product_simd.h. */
#include "kernels/row_product_simd.h"

#define ROW(TYPE, type, nelems) ROW_PRODUCT(type, avx2)
RC_ROW_TYPES(ROW)
