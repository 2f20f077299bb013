/* formats/dtype.c - the table behind dtype.h. */
#include "formats/dtype.h"

#include <string.h>

static const struct {
    const char *name;
    unsigned bits;
    bool usable;
    unsigned block, block_bytes; /* 0 where bits say it */
} table[RC_DTYPE_COUNT] = {
    [RC_DTYPE_BOOL] = { "BOOL", 8, false },
    [RC_DTYPE_F4] = { "F4", 4, false },
    [RC_DTYPE_F6_E2M3] = { "F6_E2M3", 6, false },
    [RC_DTYPE_F6_E3M2] = { "F6_E3M2", 6, false },
    [RC_DTYPE_U8] = { "U8", 8, true },
    [RC_DTYPE_I8] = { "I8", 8, true },
    [RC_DTYPE_F8_E5M2] = { "F8_E5M2", 8, false },
    [RC_DTYPE_F8_E4M3] = { "F8_E4M3", 8, true },
    [RC_DTYPE_F8_E8M0] = { "F8_E8M0", 8, true },
    [RC_DTYPE_F8_E4M3FNUZ] = { "F8_E4M3FNUZ", 8, false },
    [RC_DTYPE_F8_E5M2FNUZ] = { "F8_E5M2FNUZ", 8, false },
    [RC_DTYPE_I16] = { "I16", 16, false },
    [RC_DTYPE_U16] = { "U16", 16, false },
    [RC_DTYPE_F16] = { "F16", 16, true },
    [RC_DTYPE_BF16] = { "BF16", 16, true },
    [RC_DTYPE_I32] = { "I32", 32, true },
    [RC_DTYPE_U32] = { "U32", 32, false },
    [RC_DTYPE_F32] = { "F32", 32, true },
    [RC_DTYPE_C64] = { "C64", 64, false },
    [RC_DTYPE_F64] = { "F64", 64, false },
    [RC_DTYPE_I64] = { "I64", 64, true },
    [RC_DTYPE_U64] = { "U64", 64, false },
    [RC_DTYPE_Q4_0] = { "Q4_0", 0, false, 32, 18 },
    [RC_DTYPE_Q8_0] = { "Q8_0", 0, false, 32, 34 },
    [RC_DTYPE_Q2_K] = { "Q2_K", 0, false, 256, 84 },
    [RC_DTYPE_Q3_K] = { "Q3_K", 0, false, 256, 110 },
    [RC_DTYPE_Q4_K] = { "Q4_K", 0, false, 256, 144 },
    [RC_DTYPE_Q5_K] = { "Q5_K", 0, false, 256, 176 },
    [RC_DTYPE_Q6_K] = { "Q6_K", 0, false, 256, 210 },
    [RC_DTYPE_IQ2_XXS] = { "IQ2_XXS", 0, false, 256, 66 },
    [RC_DTYPE_IQ4_XS] = { "IQ4_XS", 0, false, 256, 136 },
    [RC_DTYPE_MXFP4] = { "MXFP4", 0, false, 32, 17 },
    [RC_DTYPE_NVFP4] = { "NVFP4", 0, false, 64, 36 },
};

const char *rc_dtype_name(rc_dtype dtype)
{
    return table[dtype].name;
}

unsigned rc_dtype_bits(rc_dtype dtype)
{
    return table[dtype].bits;
}

/* F4 and F6 fill whole bytes only by twos and fours. */
unsigned rc_dtype_block(rc_dtype dtype)
{
    if (table[dtype].block)
        return table[dtype].block;
    return table[dtype].bits % 8 == 0 ? 1 : table[dtype].bits == 4 ? 2 : 4;
}

unsigned rc_dtype_block_bytes(rc_dtype dtype)
{
    return table[dtype].block ? table[dtype].block_bytes
                              : rc_dtype_block(dtype) * table[dtype].bits / 8;
}

bool rc_dtype_usable(rc_dtype dtype)
{
    return table[dtype].usable;
}

bool rc_dtype_parse(const char *name, size_t len, rc_dtype *out)
{
    for (unsigned i = 0; i < RC_DTYPE_COUNT; i++)
        if (!table[i].block && strlen(table[i].name) == len &&
            memcmp(table[i].name, name, len) == 0) {
            *out = (rc_dtype)i;
            return true;
        }
    return false;
}
