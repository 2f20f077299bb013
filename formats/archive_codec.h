/* formats/archive_codec.h - one piece of an archive: bytes of one tensor, or of anything, as
 * zstd frames of the planes that compress, and back to the bit.
 *
 * Every mode is lossless by construction and by proof: rc_pack() decodes what it made, and falls
 * back to a plain frame where the bytes do not come back. The planes of each mode are
 * described in docs/archive.md; the arithmetic is in formats/archive_planes.h. */
#ifndef RC_FORMATS_ARCHIVE_CODEC_H
#define RC_FORMATS_ARCHIVE_CODEC_H

#include "formats/base/mem.h"
#include "formats/dtype.h"

#define RC_PIECE_BYTES  ((size_t)2 << 20) /* of the source, at most; a multiple of every group */
#define RC_PIECE_PLANES 3u

typedef enum rc_pack_mode {
    RC_PACK_PLAIN,    /* one plane: the bytes */
    RC_PACK_BF16,     /* sign, exponent and mantissa apart */
    RC_PACK_BF16_FP4, /* BF16 that holds FP4 values: codes, exponents of groups of 32 */
    RC_PACK_FP8,      /* E4M3: exponents apart from signs and mantissas */
    RC_PACK_FP8_FP4,  /* E4M3 that holds FP4 values: codes, exponents of groups of 32 */
    RC_PACK_F32,      /* bytes of equal weight side by side */
    RC_PACK_MODES
} rc_pack_mode;
const char *rc_pack_mode_name(rc_pack_mode mode);

/* What a piece became: everything that is needed to read it, kept in the archive's table. */
typedef struct rc_packed {
    rc_pack_mode mode;
    uint32_t nbytes;                 /* restored */
    uint32_t nplanes;                /* frames, one after the other */
    uint32_t frame[RC_PIECE_PLANES]; /* bytes of each frame */
    uint32_t plane[RC_PIECE_PLANES]; /* bytes that it decompresses to */
} rc_packed;

/* One thread's compressor and buffers. */
typedef struct rc_packer rc_packer;

/** `level` 1..19 is zstd's, 0: our choice. RC_E_OS. */
RC_MUST_CHECK
rc_code rc_packer_new(rc_packer **out, int level, rc_mem *mem, rc_err *err);
void rc_packer_free(rc_packer **packer);

/** Bytes that the frames of nbytes can take at most. */
size_t rc_pack_bound(size_t nbytes);
/** Pack up to RC_PIECE_BYTES of a tensor of `dtype` (RC_DTYPE_COUNT: of no tensor) into `out`
 *  [rc_pack_bound(nbytes)]. The same bytes and level give the same frames. A piece of a tensor
 *  begins at a multiple of RC_PIECE_BYTES in it. */
RC_MUST_CHECK
rc_code rc_pack(rc_packer *packer, rc_dtype dtype, const uint8_t *src, size_t nbytes, uint8_t *out,
                rc_packed *piece, rc_err *err);
/** Is what a table says of a piece possible? For untrusted tables, before anything is allocated. */
bool rc_packed_is_sane(const rc_packed *piece);
/** Restore into dst[piece->nbytes] from all its frames [sum of piece->frame].
 *  RC_E_INTEGRITY: the frames are damaged. `piece` is sane. */
RC_MUST_CHECK
rc_code rc_unpack(rc_packer *packer, const rc_packed *piece, const uint8_t *frames, uint8_t *dst,
                  rc_err *err);

#endif
