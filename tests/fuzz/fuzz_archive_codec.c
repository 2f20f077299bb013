/* tests/fuzz/fuzz_archive_codec.c - a piece of an archive from anybody, and bytes of anybody
 * packed.
 *
 *     0       1              4                7                10
 *     | mode  | nbytes: u24  | frame 0: u24   | frame 1: u24   | frames |
 *
 * The planes are those that the mode asks for; bit 7 of `mode` makes them wrong. The same bytes are
 * then packed as a tensor of some type and have to come back. */
#include <stdlib.h>
#include <string.h>

#include "formats/archive_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

enum { HEAD = 10 };

static uint32_t u24(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

/* Makes the planes right: what a mode's planes are, a table of its own says. */
static void set_planes(rc_packed *p, bool wrong)
{
    const uint32_t n = p->nbytes;

    p->nplanes = p->mode == RC_PACK_PLAIN || p->mode == RC_PACK_F32 ? 1 : 2;
    p->plane[0] = p->nplanes == 1              ? n
                  : p->mode == RC_PACK_BF16    ? n / 2
                  : p->mode == RC_PACK_FP8     ? n / 2
                  : p->mode == RC_PACK_FP8_FP4 ? n / 2
                                               : n / 4;
    p->plane[1] = p->nplanes == 1                                     ? 0
                  : p->mode == RC_PACK_BF16 || p->mode == RC_PACK_FP8 ? n / 2
                                                                      : p->plane[0] / 16;
    if (p->nplanes == 1)
        p->frame[1] = 0;
    p->plane[0] += wrong;
}

static void unpack(rc_packer *packer, const uint8_t *data, size_t size)
{
    rc_packed p = { .mode = (rc_pack_mode)(data[0] & 0x7f), .nbytes = u24(data + 1) };
    rc_err err = { 0 };
    uint8_t *frames, *dst;
    rc_code rc;

    p.frame[0] = u24(data + 4);
    p.frame[1] = u24(data + 7);
    set_planes(&p, data[0] >> 7);
    if (!rc_packed_is_sane(&p) || (size_t)p.frame[0] + p.frame[1] > size - HEAD)
        return;
    frames = malloc((size_t)p.frame[0] + p.frame[1]); /* exact, for the sanitizers */
    dst = malloc(p.nbytes);
    REQUIRE(frames && dst);
    memcpy(frames, data + HEAD, (size_t)p.frame[0] + p.frame[1]);
    rc = rc_unpack(packer, &p, frames, dst, &err);
    REQUIRE(rc == RC_OK || (rc == RC_E_INTEGRITY && err.msg[0]));
    free(frames);
    free(dst);
}

static void pack(rc_packer *packer, rc_dtype dtype, const uint8_t *data, size_t size)
{
    uint8_t *out = malloc(rc_pack_bound(size)), *back = malloc(size);
    rc_err err = { 0 };
    rc_packed p;

    REQUIRE(out && back);
    REQUIRE(rc_pack(packer, dtype, data, size, out, &p, &err) == RC_OK);
    REQUIRE(rc_packed_is_sane(&p) && p.nbytes == size);
    REQUIRE(rc_unpack(packer, &p, out, back, &err) == RC_OK && memcmp(data, back, size) == 0);
    free(out);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const rc_dtype as[] = { RC_DTYPE_F8_E4M3, RC_DTYPE_BF16, RC_DTYPE_F32, RC_DTYPE_I8 };
    static rc_mem mem;
    static rc_packer *packer; /* kept: its tables take longer to make than most inputs */

    if (size <= HEAD || size > RC_PIECE_BYTES)
        return 0;
    if (!packer)
        REQUIRE(rc_packer_new(&packer, 0, &mem, NULL) == RC_OK);
    unpack(packer, data, size);
    pack(packer, as[data[0] % 4], data + HEAD, size - HEAD);
    return 0;
}
