/* formats/dtype.c - the table behind dtype.h. */
#include "formats/dtype.h"

#include <string.h>

#define PLAIN(name, bits, usable)                                                                  \
    {                                                                                              \
        name, bits, usable, 0, 0                                                                   \
    }
#define BLOCK(name, elems, bytes)                                                                  \
    {                                                                                              \
        name, 0, false, elems, bytes                                                               \
    }

static const struct {
    const char *name;
    unsigned bits;
    bool usable;
    unsigned block, block_bytes; /* 0 where bits say it */
} table[RC_DTYPE_COUNT] = {
    [RC_DTYPE_BOOL] = PLAIN("BOOL", 8, false),
    [RC_DTYPE_F4] = PLAIN("F4", 4, false),
    [RC_DTYPE_F6_E2M3] = PLAIN("F6_E2M3", 6, false),
    [RC_DTYPE_F6_E3M2] = PLAIN("F6_E3M2", 6, false),
    [RC_DTYPE_U8] = PLAIN("U8", 8, true),
    [RC_DTYPE_I8] = PLAIN("I8", 8, true),
    [RC_DTYPE_F8_E5M2] = PLAIN("F8_E5M2", 8, false),
    [RC_DTYPE_F8_E4M3] = PLAIN("F8_E4M3", 8, true),
    [RC_DTYPE_F8_E8M0] = PLAIN("F8_E8M0", 8, true),
    [RC_DTYPE_F8_E4M3FNUZ] = PLAIN("F8_E4M3FNUZ", 8, false),
    [RC_DTYPE_F8_E5M2FNUZ] = PLAIN("F8_E5M2FNUZ", 8, false),
    [RC_DTYPE_I16] = PLAIN("I16", 16, false),
    [RC_DTYPE_U16] = PLAIN("U16", 16, false),
    [RC_DTYPE_F16] = PLAIN("F16", 16, true),
    [RC_DTYPE_BF16] = PLAIN("BF16", 16, true),
    [RC_DTYPE_I32] = PLAIN("I32", 32, true),
    [RC_DTYPE_U32] = PLAIN("U32", 32, false),
    [RC_DTYPE_F32] = PLAIN("F32", 32, true),
    [RC_DTYPE_C64] = PLAIN("C64", 64, false),
    [RC_DTYPE_F64] = PLAIN("F64", 64, false),
    [RC_DTYPE_I64] = PLAIN("I64", 64, true),
    [RC_DTYPE_U64] = PLAIN("U64", 64, false),
    [RC_DTYPE_Q4_0] = BLOCK("Q4_0", 32, 18),
    [RC_DTYPE_Q8_0] = BLOCK("Q8_0", 32, 34),
    [RC_DTYPE_Q2_K] = BLOCK("Q2_K", 256, 84),
    [RC_DTYPE_Q3_K] = BLOCK("Q3_K", 256, 110),
    [RC_DTYPE_Q4_K] = BLOCK("Q4_K", 256, 144),
    [RC_DTYPE_Q5_K] = BLOCK("Q5_K", 256, 176),
    [RC_DTYPE_Q6_K] = BLOCK("Q6_K", 256, 210),
    [RC_DTYPE_IQ2_XXS] = BLOCK("IQ2_XXS", 256, 66),
    [RC_DTYPE_IQ4_XS] = BLOCK("IQ4_XS", 256, 136),
    [RC_DTYPE_MXFP4] = BLOCK("MXFP4", 32, 17),
    [RC_DTYPE_NVFP4] = BLOCK("NVFP4", 64, 36),
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
