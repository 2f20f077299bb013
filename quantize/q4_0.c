/* quantize/q4_0.c - see nearest.h, and search.h for rows with importance. */
#include "kernels/block_tables.h"
#include "kernels/f16.h"
#include "kernels/rounding.h"
#include "quantize/nearest.h"
#include "quantize/search.h"

static void pack(rc_block_q4_0 *b, float d, const uint8_t q[RC_BLOCK_SMALL])
{
    rc_u16_put(b->d, rc_f16_encode(d));
    for (unsigned j = 0; j < 16; j++)
        b->qs[j] = (uint8_t)(q[j] | q[j + 16] << 4);
}

static void round_block(rc_block_q4_0 *b, const float *x)
{
    uint8_t q[RC_BLOCK_SMALL];
    float max = 0; /* of largest magnitude, with its sign; the first of equals */

    for (unsigned i = 0; i < RC_BLOCK_SMALL; i++)
        max = fabsf(x[i]) > fabsf(max) ? x[i] : max;
    const float d = max / -8.0f, inverse = rc_nearest_inverse(d);

    for (unsigned i = 0; i < RC_BLOCK_SMALL; i++) {
        const int code = (int)(x[i] * inverse + 8.5f);
        q[i] = (uint8_t)(code < 15 ? code : 15);
    }
    pack(b, d, q);
}

static void search_block(rc_block_q4_0 *b, const float *x, const float *importance, float spread)
{
    uint8_t q[RC_BLOCK_SMALL];
    float w[RC_BLOCK_SMALL];

    for (unsigned i = 0; i < RC_BLOCK_SMALL; i++)
        w[i] = importance[i] * sqrtf(spread + x[i] * x[i]);
    const float d = rc_search_signed(q, x, w, RC_BLOCK_SMALL, RC_Q4_0_TOP);

    pack(b, d, q);
}

void rc_quant_q4_0_ref(uint8_t *restrict out, const float *restrict x,
                       const float *restrict importance, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    const float spread = importance ? rc_q4_0_spread(x, n) : 0;
    rc_block_q4_0 *b = (rc_block_q4_0 *)(void *)out;

    for (size_t at = 0; at < n; at += RC_BLOCK_SMALL, b++)
        if (importance)
            search_block(b, x + at, importance + at, spread);
        else
            round_block(b, x + at);
    rc_rounding_leave(saved);
}

RC_NEAREST_TABLE(q4_0, RC_DTYPE_Q4_0, true)
