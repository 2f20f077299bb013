/* quantize/block_quant.c - the table of quantizers. */
#include "quantize/block_quant.h"

#include "kernels/cpu.h"

static const rc_quantizer *const quantizers[] = {
    &rc_quantizer_q4_0,    &rc_quantizer_q8_0,   &rc_quantizer_mxfp4, &rc_quantizer_q2_k,
    &rc_quantizer_q3_k,    &rc_quantizer_q4_k,   &rc_quantizer_q5_k,  &rc_quantizer_q6_k,
    &rc_quantizer_iq2_xxs, &rc_quantizer_iq4_xs,
};

const rc_quantizer *rc_quantizer_of(rc_dtype dtype)
{
    for (size_t i = 0; i < sizeof quantizers / sizeof *quantizers; i++)
        if (quantizers[i]->dtype == dtype)
            return quantizers[i];
    return NULL;
}

rc_quant_row_fn *rc_quantizer_best(const rc_quantizer *q, rc_effort effort)
{
    const unsigned have = rc_cpu_flags();
    const rc_quant_impl *best = effort == RC_EFFORT_BEST && q->better ? q->better : q->impls;

    for (const rc_quant_impl *row = best; row->fn; row++)
        if ((row->need & ~have) == 0)
            best = row;
    return best->fn;
}
