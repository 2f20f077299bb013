/* quantize/signed_blocks.c - the reference and the tables of Q3_K and Q6_K. */
#include "quantize/signed_blocks.h"

#include <math.h>

#include "kernels/block_tables.h"
#include "kernels/f16.h"
#include "kernels/rounding.h"
#include "quantize/best.h"
#include "quantize/kquants.h"
#include "quantize/search.h"

#define SUB RC_SIGNED_SUB

/* The scale of largest magnitude, with its sign; the first of equals. */
static float largest_scale(const float found[SUB])
{
    float largest = 0, value = 0;

    for (unsigned j = 0; j < SUB; j++)
        if (fabsf(found[j]) > largest) {
            largest = fabsf(found[j]);
            value = found[j];
        }
    return value;
}

/* Codes once more, for what the stored scale says. Under scale 0 the search's stay. */
static void assign(uint8_t q[SUB], const float x[SUB], float scale, int top)
{
    for (unsigned i = 0; scale != 0 && i < SUB; i++)
        q[i] = (uint8_t)(rc_search_round_within(x[i] / scale, -top, top - 1) + top);
}

uint16_t rc_q3_k_round(uint8_t scale[SUB], const float found[SUB])
{
    const float largest = largest_scale(found);
    const float inverse = -(float)RC_Q3_K_SCALES / largest;

    memset(scale, 0, SUB);
    if (largest == 0)
        return 0;
    for (unsigned j = 0; j < SUB; j++) {
        const int l = (int8_t)rc_search_round(inverse * found[j]);
        scale[j] = (uint8_t)((l > 31 ? 31 : l < -32 ? -32 : l) + RC_Q3_K_SCALES);
    }
    return rc_f16_encode(1 / inverse);
}

void rc_q3_k_pack_block(rc_block_q3_k *restrict b, uint16_t d, const uint8_t scale[SUB],
                        const uint8_t *restrict q)
{
    uint8_t low[RC_BLOCK_SUPER];

    for (unsigned i = 0; i < RC_BLOCK_SUPER; i++)
        low[i] = q[i] & 3;
    rc_kquant_pack_twos(b->qs, low);
    for (unsigned l = 0; l < 32; l++)
        b->hmask[l] = (uint8_t)(q[l] >> 2 | q[32 + l] >> 2 << 1 | q[64 + l] >> 2 << 2 |
                                q[96 + l] >> 2 << 3 | q[128 + l] >> 2 << 4 | q[160 + l] >> 2 << 5 |
                                q[192 + l] >> 2 << 6 | q[224 + l] >> 2 << 7);
    rc_q3_k_pack(b->scales, scale);
    rc_u16_put(b->d, d);
}

void rc_quant_q3_k_ref(uint8_t *restrict out, const float *restrict x,
                       const float *restrict importance, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    rc_block_q3_k *b = (rc_block_q3_k *)(void *)out;
    float found[SUB], weight[SUB], w[SUB];
    uint8_t q[RC_BLOCK_SUPER], scale[SUB];
    uint16_t d;

    for (size_t at = 0; at < n; at += RC_BLOCK_SUPER, b++) {
        const float spread = 2 * rc_kquant_sum_squares(x + at) / (float)RC_BLOCK_SUPER;
        for (unsigned j = 0; j < SUB; j++) {
            const float *sub = x + at + SUB * j;
            weight[j] = 0;
            for (unsigned i = 0; importance && i < SUB; i++) {
                w[i] = importance[at + SUB * j + i] * sqrtf(spread + sub[i] * sub[i]);
                weight[j] += w[i];
            }
            found[j] = importance ? rc_search_signed(q + SUB * j, sub, w, SUB, RC_Q3_K_TOP)
                                  : rc_search_signed_descent(q + SUB * j, sub, SUB, RC_Q3_K_TOP);
        }
        if (importance)
            d = rc_f16_encode(rc_search_signed(scale, found, weight, SUB, RC_Q3_K_SCALES));
        else
            d = rc_q3_k_round(scale, found);
        for (unsigned j = 0; j < SUB; j++)
            assign(q + SUB * j, x + at + SUB * j,
                   rc_f16_decode(d) * (float)(scale[j] - RC_Q3_K_SCALES), RC_Q3_K_TOP);
        rc_q3_k_pack_block(b, d, scale, q);
    }
    rc_rounding_leave(saved);
}

bool rc_q6_k_round(uint16_t *d, int8_t scale[SUB], const float found[SUB])
{
    const float largest = largest_scale(found);
    const float inverse = -128.0f / largest;

    if (fabsf(largest) < RC_SEARCH_ZERO)
        return false;
    for (unsigned j = 0; j < SUB; j++) {
        const int32_t l = rc_search_round(inverse * found[j]);
        scale[j] = (int8_t)(l > 127 ? 127 : l);
    }
    *d = rc_f16_encode(1 / inverse);
    return true;
}

void rc_q6_k_pack_block(rc_block_q6_k *restrict b, uint16_t d, const int8_t scale[SUB],
                        const uint8_t *restrict q)
{
    for (unsigned half = 0; half < 2; half++, q += 128)
        for (unsigned l = 0; l < 32; l++) {
            const unsigned high =
                q[l] >> 4 | q[l + 32] >> 4 << 2 | q[l + 64] >> 4 << 4 | q[l + 96] >> 4 << 6;
            b->ql[64 * half + l] = (uint8_t)((q[l] & 15) | q[l + 64] << 4);
            b->ql[64 * half + 32 + l] = (uint8_t)((q[l + 32] & 15) | q[l + 96] << 4);
            b->qh[32 * half + l] = (uint8_t)high;
        }
    memcpy(b->scales, scale, SUB);
    rc_u16_put(b->d, d);
}

void rc_quant_q6_k_ref(uint8_t *restrict out, const float *restrict x,
                       const float *restrict importance, size_t n)
{
    const rc_rounding saved = rc_rounding_enter();
    rc_block_q6_k *b = (rc_block_q6_k *)(void *)out;
    float found[SUB], w[SUB];
    uint8_t q[RC_BLOCK_SUPER];
    int8_t scale[SUB];
    uint16_t d;

    for (size_t at = 0; at < n; at += RC_BLOCK_SUPER, b++) {
        for (unsigned j = 0; j < SUB; j++) {
            const float *sub = x + at + SUB * j;
            for (unsigned i = 0; i < SUB; i++)
                w[i] = importance ? importance[at + SUB * j + i] : sub[i] * sub[i];
            found[j] = rc_search_signed(q + SUB * j, sub, w, SUB, RC_Q6_K_TOP);
        }
        if (!rc_q6_k_round(&d, scale, found)) {
            memset(b, 0, sizeof *b);
            continue;
        }
        for (unsigned j = 0; j < SUB; j++)
            assign(q + SUB * j, x + at + SUB * j, rc_f16_decode(d) * (float)scale[j], RC_Q6_K_TOP);
        rc_q6_k_pack_block(b, d, scale, q);
    }
    rc_rounding_leave(saved);
}

RC_KQUANT_TABLE(q3_k, RC_DTYPE_Q3_K)
RC_KQUANT_TABLE(q6_k, RC_DTYPE_Q6_K)
