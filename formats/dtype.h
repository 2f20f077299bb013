/* formats/dtype.h - element types of stored tensors. */
#ifndef RC_FORMATS_DTYPE_H
#define RC_FORMATS_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Every type that the safetensors format defines (safetensors 0.6, Dtype), so
 * that an unknown name is malformed and a known, unusable one is unsupported; then
 * the block types of GGUF that we read and write. */
typedef enum rc_dtype {
    RC_DTYPE_BOOL,
    RC_DTYPE_F4, /* two E2M1 codes a byte */
    RC_DTYPE_F6_E2M3,
    RC_DTYPE_F6_E3M2,
    RC_DTYPE_U8,
    RC_DTYPE_I8,
    RC_DTYPE_F8_E5M2,
    RC_DTYPE_F8_E4M3, /* OCP E4M3: no infinity, 0x7f and 0xff are NaN */
    RC_DTYPE_F8_E8M0, /* power of two, byte e is 2^(e-127), 255 is NaN */
    RC_DTYPE_F8_E4M3FNUZ,
    RC_DTYPE_F8_E5M2FNUZ,
    RC_DTYPE_I16,
    RC_DTYPE_U16,
    RC_DTYPE_F16,
    RC_DTYPE_BF16,
    RC_DTYPE_I32,
    RC_DTYPE_U32,
    RC_DTYPE_F32,
    RC_DTYPE_C64,
    RC_DTYPE_F64,
    RC_DTYPE_I64,
    RC_DTYPE_U64,
    /* blocks of one row: scales and codes together, see formats/blocks.h */
    RC_DTYPE_Q4_0,
    RC_DTYPE_Q8_0,
    RC_DTYPE_Q2_K,
    RC_DTYPE_Q3_K,
    RC_DTYPE_Q4_K,
    RC_DTYPE_Q5_K,
    RC_DTYPE_Q6_K,
    RC_DTYPE_IQ2_XXS,
    RC_DTYPE_IQ4_XS,
    RC_DTYPE_MXFP4, /* 32 E2M1 codes and their E8M0 scale in 17 bytes */
    RC_DTYPE_NVFP4,
    RC_DTYPE_COUNT
} rc_dtype;

/** Name as in a safetensors header ("F8_E4M3"), or as ggml's ("Q4_K"). Static. */
const char *rc_dtype_name(rc_dtype dtype);
/** Bits of one element: 4, 6, 8, 16, 32 or 64; 0 for block types. */
unsigned rc_dtype_bits(rc_dtype dtype);
/** Elements of a row that are stored together, and their bytes. 1 element and its bytes
 *  for plain types of whole bytes; F4 is 2 in 1, F6 4 in 3. */
unsigned rc_dtype_block(rc_dtype dtype);
unsigned rc_dtype_block_bytes(rc_dtype dtype);
/** Bytes of a row of n elements, n a multiple of rc_dtype_block(). */
static inline uint64_t rc_dtype_row_bytes(rc_dtype dtype, uint64_t n)
{
    return n / rc_dtype_block(dtype) * rc_dtype_block_bytes(dtype);
}
/** Can a DeepSeek-V4 checkpoint, or a conversion of one, hold this type? */
bool rc_dtype_usable(rc_dtype dtype);
/** Look a name of `len` bytes up. False when safetensors has no such type. */
bool rc_dtype_parse(const char *name, size_t len, rc_dtype *out);

#endif
