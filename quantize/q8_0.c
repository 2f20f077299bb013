/* quantize/q8_0.c - see nearest.h. */
#include "kernels/block_tables.h"
#include "kernels/f16.h"
#include "kernels/rounding.h"
#include "quantize/nearest.h"

void rc_quant_q8_0_ref(uint8_t *restrict out, const float *restrict x,
                       const float *restrict importance, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    rc_block_q8_0 *b = (rc_block_q8_0 *)(void *)out;

    (void)importance;
    for (size_t at = 0; at < n; at += RC_BLOCK_SMALL, b++) {
        float max = 0;
        for (unsigned i = 0; i < RC_BLOCK_SMALL; i++)
            max = fabsf(x[at + i]) > max ? fabsf(x[at + i]) : max;
        const float d = max / 127.0f, inverse = rc_nearest_inverse(d);
        rc_u16_put(b->d, rc_f16_encode(d));
        for (unsigned i = 0; i < RC_BLOCK_SMALL; i++)
            b->qs[i] = (uint8_t)(int8_t)roundf(x[at + i] * inverse);
    }
    rc_rounding_leave(saved);
}

RC_NEAREST_TABLE(q8_0, RC_DTYPE_Q8_0, false)
