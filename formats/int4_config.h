/* formats/int4_config.h - what a config.json says of weights in 4-bit integers.
 *
 *     quantization_config (AutoAWQ)             bits, group_size, zero_point, version
 *     quantization_config (compressed-tensors)  format, config_groups.*.format, .weights.{num_bits,
 *                                               type, symmetric, group_size, actorder}
 *
 * w_bit and q_group_size are older names of the same. Only descriptions of 4 bits are kept. */
#ifndef RC_FORMATS_INT4_CONFIG_H
#define RC_FORMATS_INT4_CONFIG_H

#include "formats/base/mem.h"

#define RC_INT4_SAYS 8u /* descriptions that are kept */

typedef struct rc_int4_says {
    uint32_t group; /* 0: not said */
    bool symmetric;
    char format[32];   /* compressed-tensors: its own, or that of all; "" when not said */
    char actorder[16]; /* compressed-tensors: "" for null */
} rc_int4_says;

typedef struct rc_int4_config {
    rc_int4_says at[RC_INT4_SAYS];
    unsigned n;
    char version[16]; /* AutoAWQ: "gemm" */
} rc_int4_config;

/** Read the bytes of a config.json that rc_config_parse() took. What is of another type than it
 *  should be is as if it were not there. Errors as rc_json_parse(). */
RC_MUST_CHECK
rc_code rc_int4_config_parse(rc_int4_config *out, const uint8_t *text, size_t len, rc_mem *mem,
                             rc_err *err);

#endif
