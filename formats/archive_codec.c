/* formats/archive_codec.c - see archive_codec.h.
 *
 * Weights are noise to a search for repetitions: what can be saved is in how often each byte
 * occurs, which zstd's Huffman coder finds by itself. So a plane is coded *plainly*, with a search
 * that gives up at once, unless a sample of it says that repetitions are worth the time. */
#include "formats/archive_codec.h"

#define ZSTD_STATIC_LINKING_ONLY  /* contexts whose memory is ours to give; literals coded always  \
                                   */
#include <zstd.h>
#include <zstd_errors.h>

#include <string.h>

#include "formats/archive_planes.h"

#define SAMPLE ((size_t)64 << 10) /* bytes of a plane, from its middle */

enum { LEVEL = 3 }; /* where repetitions are worth it; higher ones cost more than they save */
enum { GIVE_UP = 1 << 17 };    /* zstd's targetLength: places that its fast search leaps over */
enum { GAIN_PERCENT = 2 };     /* of a sample, that repetitions have to save */
enum { WINDOW = 17, FEW = 6 }; /* logs: a window of one block, the smallest hash table */

struct rc_packer {
    rc_mem *mem;
    int level;
    const rc_planes_impl *split;
    ZSTD_CCtx *pack;
    ZSTD_DCtx *unpack;
    uint8_t *planes; /* of the piece at hand */
    uint8_t *again;  /* what its frames decode to */
    uint8_t *sample; /* frames of a sample, thrown away */
};

const char *rc_pack_mode_name(rc_pack_mode mode)
{
    static const char *const names[RC_PACK_MODES] = {
        [RC_PACK_PLAIN] = "plain", [RC_PACK_BF16] = "bf16",       [RC_PACK_BF16_FP4] = "bf16-fp4",
        [RC_PACK_FP8] = "fp8",     [RC_PACK_FP8_FP4] = "fp8-fp4", [RC_PACK_F32] = "f32",
    };

    return (unsigned)mode < RC_PACK_MODES ? names[mode] : "?";
}

static void *take(void *mem, size_t nbytes)
{
    return rc_mem_get(mem, nbytes);
}

static void drop(void *mem, void *p)
{
    rc_mem_put(mem, p);
}

/* The rest is made by the first piece that is packed or unpacked: a reader needs no compressor. */
rc_code rc_packer_new(rc_packer **out, int level, rc_mem *mem, rc_err *err)
{
    rc_packer *p = *out = rc_mem_get(mem, sizeof *p);

    if (!p)
        return rc_fail_nomem(err, mem, sizeof *p);
    p->mem = mem;
    p->level = level;
    p->split = rc_planes_best();
    return RC_OK;
}

void rc_packer_free(rc_packer **packer)
{
    rc_packer *p = *packer;

    if (!p)
        return;
    ZSTD_freeCCtx(p->pack);
    ZSTD_freeDCtx(p->unpack);
    rc_mem_put(p->mem, p->planes);
    rc_mem_put(p->mem, p->again);
    rc_mem_put(p->mem, p->sample);
    rc_mem_put(p->mem, p);
    *packer = NULL;
}

/* ------------------------------------------------------------------- layouts */

/* How many planes a mode has and their bytes for nbytes restored; 0 if it cannot hold so many. */
static uint32_t planes_of(rc_pack_mode mode, uint32_t nbytes, uint32_t plane[RC_PIECE_PLANES])
{
    static const struct {
        uint8_t whole, planes, part[2]; /* nbytes is a multiple; of `whole` bytes, in each plane */
    } of[RC_PACK_MODES] = {
        [RC_PACK_PLAIN] = { 1, 1, { 1, 0 } },      [RC_PACK_BF16] = { 2, 2, { 1, 1 } },
        [RC_PACK_BF16_FP4] = { 64, 2, { 16, 1 } }, [RC_PACK_FP8] = { 2, 2, { 1, 1 } },
        [RC_PACK_FP8_FP4] = { 32, 2, { 16, 1 } },  [RC_PACK_F32] = { 4, 1, { 4, 0 } },
    };

    memset(plane, 0, RC_PIECE_PLANES * sizeof *plane);
    if (nbytes == 0 || nbytes > RC_PIECE_BYTES || nbytes % of[mode].whole)
        return 0;
    for (unsigned i = 0; i < of[mode].planes; i++)
        plane[i] = nbytes / of[mode].whole * of[mode].part[i];
    return of[mode].planes;
}

bool rc_packed_is_sane(const rc_packed *piece)
{
    uint32_t plane[RC_PIECE_PLANES], planes;

    if ((unsigned)piece->mode >= RC_PACK_MODES)
        return false;
    planes = planes_of(piece->mode, piece->nbytes, plane);
    if (planes == 0 || piece->nplanes != planes || memcmp(piece->plane, plane, sizeof plane) != 0)
        return false;
    for (unsigned i = 0; i < RC_PIECE_PLANES; i++)
        if (i < planes ? piece->frame[i] == 0 || piece->frame[i] > ZSTD_compressBound(plane[i])
                       : piece->frame[i] != 0)
            return false;
    return true;
}

size_t rc_pack_bound(size_t nbytes)
{
    return ZSTD_compressBound(nbytes) + RC_PIECE_PLANES * ZSTD_compressBound(0);
}

/* False: this piece does not qualify. */
static bool split(const rc_planes_impl *impl, rc_pack_mode mode, uint8_t *planes, size_t second,
                  const uint8_t *src, size_t nbytes)
{
    switch (mode) {
    case RC_PACK_BF16:
        impl->split_bf16(planes, planes + second, src, nbytes / 2);
        return true;
    case RC_PACK_FP8:
        impl->split_fp8(planes, planes + second, src, nbytes);
        return true;
    case RC_PACK_F32:
        impl->split_f32(planes, nbytes / 4, src, nbytes / 4);
        return true;
    case RC_PACK_BF16_FP4:
        return impl->split_bf16_fp4(planes, planes + second, src, nbytes / 64);
    case RC_PACK_FP8_FP4:
        return impl->split_fp8_fp4(planes, planes + second, src, nbytes / 32);
    default:
        return false;
    }
}

/* False: no splitting made these planes, and they would be read wrongly. */
static bool join(const rc_planes_impl *impl, const rc_packed *piece, uint8_t *dst,
                 const uint8_t *planes)
{
    const uint8_t *second = planes + piece->plane[0];

    switch (piece->mode) {
    case RC_PACK_BF16:
        impl->join_bf16(dst, planes, second, piece->nbytes / 2);
        return true;
    case RC_PACK_FP8:
        impl->join_fp8(dst, planes, second, piece->nbytes);
        return true;
    case RC_PACK_F32:
        impl->join_f32(dst, planes, piece->nbytes / 4, piece->nbytes / 4);
        return true;
    case RC_PACK_BF16_FP4:
        impl->join_bf16_fp4(dst, planes, second, piece->plane[1]);
        return true;
    case RC_PACK_FP8_FP4:
        for (size_t g = 0; g < piece->plane[1]; g++)
            if (second[g] > RC_LADDER_FP8_MOST)
                return false;
        impl->join_fp8_fp4(dst, planes, second, piece->plane[1]);
        return true;
    default:
        return false;
    }
}

/* ------------------------------------------------------------------- packing */

static rc_code need(uint8_t **buf, size_t nbytes, rc_mem *mem, rc_err *err)
{
    if (!*buf && !(*buf = rc_mem_get_pages(mem, nbytes)))
        return rc_fail_nomem(err, mem, nbytes);
    return RC_OK;
}

static rc_code fail_pack(size_t result, const rc_mem *mem, rc_err *err)
{
    if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation)
        return rc_fail_nomem(err, mem, 0);
    return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "zstd: %s", ZSTD_getErrorName(result));
}

/* One frame; level 0 codes plainly. No checksum: the archive has a stronger one of the restored
 * bytes. */
static rc_code frame(rc_packer *p, int level, uint8_t *out, size_t room, size_t *stored,
                     const uint8_t *src, size_t nbytes, rc_err *err)
{
    ZSTD_CCtx *c = p->pack;

    ZSTD_CCtx_reset(c, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 1);
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 0);
    if (level) {
        ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, level);
    } else {
        ZSTD_CCtx_setParameter(c, ZSTD_c_strategy, ZSTD_fast);
        ZSTD_CCtx_setParameter(c, ZSTD_c_minMatch, 7);
        ZSTD_CCtx_setParameter(c, ZSTD_c_targetLength, GIVE_UP);
        ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, WINDOW);
        ZSTD_CCtx_setParameter(c, ZSTD_c_hashLog, FEW);
        ZSTD_CCtx_setParameter(c, ZSTD_c_literalCompressionMode, ZSTD_ps_enable);
    }
    *stored = ZSTD_compress2(c, out, room, src, nbytes);
    return ZSTD_isError(*stored) ? fail_pack(*stored, p->mem, err) : RC_OK;
}

/* Do repetitions pay in this plane? */
static rc_code choose_level(rc_packer *p, int *level, const uint8_t *src, size_t nbytes,
                            rc_err *err)
{
    const size_t n = nbytes < SAMPLE ? nbytes : SAMPLE, room = ZSTD_compressBound(SAMPLE);
    const uint8_t *at = src + (nbytes - n) / 2;
    size_t plain, searched;

    *level = p->level;
    if (*level)
        return RC_OK;
    RC_TRY(need(&p->sample, room, p->mem, err));
    RC_TRY(frame(p, 0, p->sample, room, &plain, at, n, err));
    RC_TRY(frame(p, LEVEL, p->sample, room, &searched, at, n, err));
    *level = searched < plain - plain * GAIN_PERCENT / 100 ? LEVEL : 0;
    return RC_OK;
}

static rc_code pack_planes(rc_packer *p, const uint8_t *planes, uint8_t *out, rc_packed *piece,
                           rc_err *err)
{
    size_t used = 0;

    for (unsigned i = 0; i < piece->nplanes; i++) {
        size_t stored;
        int level;

        RC_TRY(choose_level(p, &level, planes, piece->plane[i], err));
        RC_TRY(frame(p, level, out + used, rc_pack_bound(piece->nbytes) - used, &stored, planes,
                     piece->plane[i], err));
        piece->frame[i] = (uint32_t)stored;
        planes += piece->plane[i];
        used += stored;
    }
    return RC_OK;
}

static rc_code proves(rc_packer *p, const uint8_t *src, const uint8_t *frames,
                      const rc_packed *piece, bool *same, rc_err *err)
{
    rc_code rc;

    RC_TRY(need(&p->again, RC_PIECE_BYTES, p->mem, err));
    rc = rc_unpack(p, piece, frames, p->again, err);
    *same = rc == RC_OK && memcmp(p->again, src, piece->nbytes) == 0;
    return rc == RC_E_INTEGRITY ? RC_OK : rc;
}

static rc_code try_mode(rc_packer *p, rc_pack_mode mode, const uint8_t *src, size_t nbytes,
                        uint8_t *out, rc_packed *piece, bool *done, rc_err *err)
{
    const uint8_t *planes = src;

    *done = false;
    *piece = (rc_packed){ .mode = mode, .nbytes = (uint32_t)nbytes };
    piece->nplanes = planes_of(mode, piece->nbytes, piece->plane);
    if (piece->nplanes == 0)
        return RC_OK;
    if (mode != RC_PACK_PLAIN) {
        RC_TRY(need(&p->planes, RC_PIECE_BYTES, p->mem, err));
        if (!split(p->split, mode, p->planes, piece->plane[0], src, nbytes))
            return RC_OK;
        planes = p->planes;
    }
    RC_TRY(pack_planes(p, planes, out, piece, err));
    return proves(p, src, out, piece, done, err);
}

/* In order of trial; the first that qualifies is it. */
static const rc_pack_mode *modes_of(rc_dtype dtype)
{
    static const rc_pack_mode fp8[] = { RC_PACK_FP8_FP4, RC_PACK_FP8, RC_PACK_PLAIN };
    static const rc_pack_mode bf16[] = { RC_PACK_BF16_FP4, RC_PACK_BF16, RC_PACK_PLAIN };
    static const rc_pack_mode f32[] = { RC_PACK_F32, RC_PACK_PLAIN };
    static const rc_pack_mode plain[] = { RC_PACK_PLAIN };

    switch (dtype) {
    case RC_DTYPE_F8_E4M3:
        return fp8;
    case RC_DTYPE_BF16:
        return bf16;
    case RC_DTYPE_F32:
        return f32;
    default:
        return plain;
    }
}

rc_code rc_pack(rc_packer *packer, rc_dtype dtype, const uint8_t *src, size_t nbytes, uint8_t *out,
                rc_packed *piece, rc_err *err)
{
    bool done = false;

    if (nbytes == 0 || nbytes > RC_PIECE_BYTES)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "a piece of %zu bytes", nbytes);
    if (!packer->pack)
        packer->pack = ZSTD_createCCtx_advanced((ZSTD_customMem){ take, drop, packer->mem });
    if (!packer->pack)
        return rc_fail_nomem(err, packer->mem, 0);
    for (const rc_pack_mode *mode = modes_of(dtype);; mode++) {
        RC_TRY(try_mode(packer, *mode, src, nbytes, out, piece, &done, err));
        if (done)
            return RC_OK;
        if (*mode == RC_PACK_PLAIN)
            return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET,
                           "zstd does not restore what it compressed");
    }
}

/* ----------------------------------------------------------------- unpacking */

static rc_code unframe(rc_packer *p, uint8_t *dst, size_t nbytes, const uint8_t *from,
                       size_t stored, rc_err *err)
{
    size_t got;

    if (!p->unpack)
        p->unpack = ZSTD_createDCtx_advanced((ZSTD_customMem){ take, drop, p->mem });
    if (!p->unpack)
        return rc_fail_nomem(err, p->mem, 0);
    got = ZSTD_decompressDCtx(p->unpack, dst, nbytes, from, stored);
    if (ZSTD_isError(got) && ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation)
        return rc_fail_nomem(err, p->mem, 0);
    if (ZSTD_isError(got) || got != nbytes)
        return rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "a frame of the archive is damaged: %s",
                       ZSTD_isError(got) ? ZSTD_getErrorName(got) : "it is too short");
    return RC_OK;
}

rc_code rc_unpack(rc_packer *packer, const rc_packed *piece, const uint8_t *frames, uint8_t *dst,
                  rc_err *err)
{
    uint8_t *to = dst;

    if (piece->mode != RC_PACK_PLAIN) {
        RC_TRY(need(&packer->planes, RC_PIECE_BYTES, packer->mem, err));
        to = packer->planes;
    }
    for (unsigned i = 0; i < piece->nplanes; i++) {
        RC_TRY(unframe(packer, to, piece->plane[i], frames, piece->frame[i], err));
        frames += piece->frame[i];
        to += piece->plane[i];
    }
    if (piece->mode != RC_PACK_PLAIN && !join(packer->split, piece, dst, packer->planes))
        return rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET,
                       "the planes of a piece of the archive are damaged");
    return RC_OK;
}
