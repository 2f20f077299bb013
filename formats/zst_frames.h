/* formats/zst_frames.h - where the frames of a zstd file begin, and how much each restores. */
#ifndef RC_FORMATS_ZST_FRAMES_H
#define RC_FORMATS_ZST_FRAMES_H

#include "formats/source.h"

typedef struct rc_zst_frame {
    uint64_t at;  /* in the file */
    uint64_t off; /* in what it restores */
} rc_zst_frame;

typedef struct rc_zst_frames {
    rc_zst_frame *frame; /* rc_mem_put() */
    size_t n, capacity;
    uint64_t nbytes; /* restored, in all */
} rc_zst_frames;

/** Find the frames of file i: from its seek table (the seekable format), else by the heads of its
 *  blocks; of a file on a server that has no table only the first frame is looked at, and
 *  taken to be the only one. *out is zeroed.
 *    RC_E_DATA         no zstd frames, or cut short
 *    RC_E_UNSUPPORTED  a frame that does not state its size, or needs a dictionary */
RC_MUST_CHECK
rc_code rc_zst_scan(rc_zst_frames *out, rc_source *src, size_t i, rc_mem *mem, rc_err *err);

#endif
