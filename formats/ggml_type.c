/* formats/ggml_type.c - the tensor types of ggml, by the numbers of its files.
 *
 * All that ggml reads today, so that a file of any of them can be listed; numbers that are
 * left out were removed (4, 5, 31 to 33, 36 to 38) or do not exist yet.
 * Source: ggml/include/ggml.h, gguf-py/gguf/constants.py (GGML_QUANT_SIZES). */
#include "formats/gguf.h"

#define NONE RC_DTYPE_COUNT

static const rc_ggml_type types[] = {
    { 0, "F32", 1, 4, RC_DTYPE_F32 },
    { 1, "F16", 1, 2, RC_DTYPE_F16 },
    { 2, "Q4_0", 32, 18, RC_DTYPE_Q4_0 },
    { 3, "Q4_1", 32, 20, NONE },
    { 6, "Q5_0", 32, 22, NONE },
    { 7, "Q5_1", 32, 24, NONE },
    { 8, "Q8_0", 32, 34, RC_DTYPE_Q8_0 },
    { 9, "Q8_1", 32, 36, NONE },
    { 10, "Q2_K", 256, 84, RC_DTYPE_Q2_K },
    { 11, "Q3_K", 256, 110, RC_DTYPE_Q3_K },
    { 12, "Q4_K", 256, 144, RC_DTYPE_Q4_K },
    { 13, "Q5_K", 256, 176, RC_DTYPE_Q5_K },
    { 14, "Q6_K", 256, 210, RC_DTYPE_Q6_K },
    { 15, "Q8_K", 256, 292, NONE },
    { 16, "IQ2_XXS", 256, 66, RC_DTYPE_IQ2_XXS },
    { 17, "IQ2_XS", 256, 74, NONE },
    { 18, "IQ3_XXS", 256, 98, NONE },
    { 19, "IQ1_S", 256, 50, NONE },
    { 20, "IQ4_NL", 32, 18, NONE },
    { 21, "IQ3_S", 256, 110, NONE },
    { 22, "IQ2_S", 256, 82, NONE },
    { 23, "IQ4_XS", 256, 136, RC_DTYPE_IQ4_XS },
    { 24, "I8", 1, 1, RC_DTYPE_I8 },
    { 25, "I16", 1, 2, RC_DTYPE_I16 },
    { 26, "I32", 1, 4, RC_DTYPE_I32 },
    { 27, "I64", 1, 8, RC_DTYPE_I64 },
    { 28, "F64", 1, 8, RC_DTYPE_F64 },
    { 29, "IQ1_M", 256, 56, NONE },
    { 30, "BF16", 1, 2, RC_DTYPE_BF16 },
    { 34, "TQ1_0", 256, 54, NONE },
    { 35, "TQ2_0", 256, 66, NONE },
    { 39, "MXFP4", 32, 17, RC_DTYPE_MXFP4 },
    { 40, "NVFP4", 64, 36, RC_DTYPE_NVFP4 },
    { 41, "Q1_0", 128, 18, NONE },
    { 42, "Q2_0", 64, 18, NONE },
};

#define COUNT (sizeof types / sizeof *types)

const rc_ggml_type *rc_ggml_type_of(uint32_t id)
{
    for (size_t i = 0; i < COUNT; i++)
        if (types[i].id == id)
            return &types[i];
    return NULL;
}

const rc_ggml_type *rc_ggml_type_for(rc_dtype dtype)
{
    for (size_t i = 0; i < COUNT; i++)
        if (types[i].dtype == dtype && dtype != NONE)
            return &types[i];
    return NULL;
}
