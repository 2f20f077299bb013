/* formats/source_zst.h - shards that lie in a folder as NAME.safetensors.zst. */
#ifndef RC_FORMATS_SOURCE_ZST_H
#define RC_FORMATS_SOURCE_ZST_H

#include "formats/source.h"

/** Hand `inner` on as it is where no file's name ends in ".safetensors.zst"; else a source that
 *  lists and reads those as NAME.safetensors, decompressed, and all others as they are. Where both
 *  are there the plain one is taken, with a warning. `inner` is taken over, on failure too.
 *  Files of many frames (pzstd, the seekable format) are read at any offset, a single frame from
 *  its beginning: at most four decoders move through the files, each keeps the last 16 MiB that
 *  it made, and reading back further begins anew.
 *    RC_E_DATA         no zstd frames, or cut short
 *    RC_E_UNSUPPORTED  a size that no frame states; a dictionary
 *    RC_E_LIMIT        a window of more than 128 MiB */
RC_MUST_CHECK
rc_code rc_source_open_zst(rc_source **out, rc_source *inner, const rc_log *log, rc_err *err);

#endif
