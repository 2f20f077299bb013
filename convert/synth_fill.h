/* convert/synth_fill.h - the values of a synthetic checkpoint.
 *
 * Gaussian rows of varied gain, quantized as a release quantizes them: FP4 groups
 * under 2^ceil(log2(amax/6)), FP8 tiles that fill their range, norms near one.
 * The value at a byte depends on (seed, tensor, byte) only, so any thread may
 * produce any part of any tensor. To go at memory speed, blocks of 4 KiB are
 * drawn from pools that were quantized once. */
#ifndef RC_CONVERT_SYNTH_FILL_H
#define RC_CONVERT_SYNTH_FILL_H

#include "formats/base/mem.h"
#include "formats/schema.h"

typedef struct rc_fill rc_fill; /* the pools: immutable, shareable */

typedef enum rc_fill_kind {
    RC_FILL_FP4,       /* packed codes */
    RC_FILL_FP4_SCALE, /* their E8M0 scales */
    RC_FILL_FP8,       /* codes */
    RC_FILL_E8M0,      /* scales of FP8 tiles */
    RC_FILL_POW2,      /* the same as F32 */
    RC_FILL_WEIGHT,    /* BF16, Gaussian, sigma 0.02 */
    RC_FILL_BF16,      /* mean + sigma * Gaussian */
    RC_FILL_F32,
    RC_FILL_IDS /* I64: rows of distinct expert numbers */
} rc_fill_kind;

typedef struct rc_fill_tensor {
    rc_fill_kind kind;
    uint64_t key;
    uint64_t nbytes;
    float mean, sigma;
    int gain;               /* exponent added to every scale of the tensor */
    uint32_t width, choice; /* IDS: numbers in a row, out of how many */
} rc_fill_tensor;

RC_MUST_CHECK
rc_code rc_fill_new(rc_fill **out, uint64_t seed, rc_mem *mem, rc_err *err);
void rc_fill_free(rc_fill **fill);

/** What to put into tensor `want`, the weight of `param` or (`is_scale`) its scale.
 *  `choice` is the number of routed experts. */
void rc_fill_plan(rc_fill_tensor *out, const rc_fill *fill, const rc_param *param,
                  const rc_want *want, bool is_scale, uint32_t choice);
/** Bytes [off, off + nbytes) of the tensor. */
void rc_fill_bytes(const rc_fill *fill, const rc_fill_tensor *t, uint64_t off, uint8_t *out,
                   size_t nbytes);

#endif
