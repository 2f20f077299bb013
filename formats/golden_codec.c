/* formats/golden_codec.c - what is done to numbers on their way into an .rgf file and back: byte
 * planes, steps of log-probabilities, zstd; and what the sketches are drawn by. */
#define ZSTD_STATIC_LINKING_ONLY /* contexts whose memory is ours to give */
#include <zstd.h>
#include <zstd_errors.h>

#include <math.h>
#include <string.h>

#include "formats/golden_impl.h"

enum { BLOCK_HEAD = 3 }; /* bytes, of zstd's */
enum { LEVEL = 9 };      /* beyond it the planes, noise for the most part, get no smaller */

/* -------------------------------------------------------------------- planes */

uint8_t *rc_golden_split(uint8_t *out, const void *in, size_t n, size_t width)
{
    const uint8_t *p = in;

    for (size_t b = 0; b < width; b++)
        for (size_t i = 0; i < n; i++)
            *out++ = p[i * width + b];
    return out;
}

const uint8_t *rc_golden_join(void *out, const uint8_t *in, size_t n, size_t width)
{
    uint8_t *p = out;

    for (size_t b = 0; b < width; b++)
        for (size_t i = 0; i < n; i++)
            p[i * width + b] = *in++;
    return in;
}

/* --------------------------------------------------------------------- steps */

/* Each is rounded for itself and the differences of the results are kept: errors do not add up. A
 * difference past 65535 steps (32 nats) is cut; what is lost has e^-32 of its neighbour's share. */
void rc_golden_quantize(uint16_t *out, const double *logprob, size_t n, size_t k)
{
    for (size_t i = 0; i < n; i++) {
        double at = 0;

        for (size_t r = 0; r < k; r++) {
            const double step = floor(-logprob[i * k + r] * RC_GOLDEN_STEPS + 0.5) - at;
            const double kept = step < 0 ? 0 : step > UINT16_MAX ? UINT16_MAX : step;

            out[r * n + i] = (uint16_t)kept;
            at += kept;
        }
    }
}

void rc_golden_dequantize(double *logprob, const uint16_t *in, size_t n, size_t k)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t at = 0;

        for (size_t r = 0; r < k; r++) {
            at += in[r * n + i];
            logprob[i * k + r] = -((double)at / RC_GOLDEN_STEPS);
        }
    }
}

/* ------------------------------------------------------------------ sketches */

/* The output function of SplitMix64 at its i-th state from seed 0 (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t i)
{
    uint64_t z = (i + 1) * 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

uint16_t rc_golden_signs(uint64_t i)
{
    return (uint16_t)mix(i);
}

double rc_golden_uniform(uint64_t i)
{
    return (double)(mix(i) >> 11) * 0x1p-53;
}

uint64_t rc_golden_sketched(const rc_golden_head *head)
{
    return rc_ceil_div(head->window_tokens, head->every);
}

/* Drawn, not every s-th: the first token of a window, whose streams are like no other's, would be
 * in all groups or in none where s divides the window. */
uint64_t rc_golden_sketched_at(const rc_golden_head *head, uint64_t g)
{
    const uint64_t first = g * head->every, left = head->window_tokens - first;

    return first + mix(g) % (left < head->every ? left : head->every);
}

/* ---------------------------------------------------------------------- zstd */

static void *take(void *mem, size_t nbytes)
{
    return rc_mem_get(mem, nbytes);
}

static void drop(void *mem, void *p)
{
    rc_mem_put(mem, p);
}

void rc_golden_zstd_free(rc_golden_zstd *z)
{
    ZSTD_freeCCtx(z->pack);
    ZSTD_freeDCtx(z->unpack);
    z->pack = z->unpack = NULL;
}

size_t rc_golden_pack_bound(size_t nbytes, size_t nedges)
{
    return ZSTD_compressBound(nbytes) + nedges * BLOCK_HEAD;
}

static rc_code fail_pack(size_t result, const rc_mem *mem, rc_err *err)
{
    if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation)
        return rc_fail_nomem(err, mem, 0);
    return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "zstd: %s", ZSTD_getErrorName(result));
}

rc_code rc_golden_pack(rc_golden_zstd *z, uint8_t *out, size_t *stored, const uint8_t *raw,
                       const size_t *edge, size_t nedges, rc_err *err)
{
    const size_t nbytes = edge[nedges - 1];
    ZSTD_outBuffer to = { out, rc_golden_pack_bound(nbytes, nedges), 0 };
    ZSTD_inBuffer from = { raw, 0, 0 };
    size_t left = 0;

    if (!z->pack)
        z->pack = ZSTD_createCCtx_advanced((ZSTD_customMem){ take, drop, z->mem });
    if (!z->pack)
        return rc_fail_nomem(err, z->mem, 0);
    ZSTD_CCtx_reset(z->pack, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(z->pack, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setPledgedSrcSize(z->pack, nbytes);
    for (size_t i = 0; i < nedges; i++) {
        from.size = edge[i];
        left =
            ZSTD_compressStream2(z->pack, &to, &from, i + 1 < nedges ? ZSTD_e_flush : ZSTD_e_end);
        if (ZSTD_isError(left))
            return fail_pack(left, z->mem, err);
        if (left)
            return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "zstd: no room for a frame");
    }
    *stored = to.pos;
    return RC_OK;
}

rc_code rc_golden_unpack(rc_golden_zstd *z, uint8_t *raw, size_t nbytes, const uint8_t *stored,
                         size_t nstored, rc_err *err)
{
    size_t got;

    if (!z->unpack)
        z->unpack = ZSTD_createDCtx_advanced((ZSTD_customMem){ take, drop, z->mem });
    if (!z->unpack)
        return rc_fail_nomem(err, z->mem, 0);
    got = ZSTD_decompressDCtx(z->unpack, raw, nbytes, stored, nstored);
    if (ZSTD_isError(got) && ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation)
        return rc_fail_nomem(err, z->mem, 0);
    if (ZSTD_isError(got) || got != nbytes)
        return rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "a section cannot be unpacked: %s",
                       ZSTD_isError(got) ? ZSTD_getErrorName(got) : "it is too short");
    return RC_OK;
}
