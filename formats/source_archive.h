/* formats/source_archive.h - an archive's files as a source, decompressed as they are read. */
#ifndef RC_FORMATS_SOURCE_ARCHIVE_H
#define RC_FORMATS_SOURCE_ARCHIVE_H

#include "formats/archive.h"
#include "formats/source.h"

/** Open the archive that `inner` names, a source of that one file, wherever it lies. `inner` is
 *  taken over, on failure too. Where it holds GGUF files alone, one of them or the files of
 *  one set, the source is that file, as if it had been named.
 *  Decoded pieces are kept for the next reader, at most 64 MiB of them; readers of one piece wait
 *  for the first of them. Bytes that are read were compared with the table's digests:
 *  RC_E_INTEGRITY. Errors as rc_archive_read(). */
RC_MUST_CHECK
rc_code rc_source_open_archive(rc_source **out, rc_source *inner, rc_err *err);

/** The table of contents; NULL where `src` is no archive. */
const rc_archive *rc_source_archive(const rc_source *src);
/** Check what reading never looks at: rc_archive_check_ends(). */
RC_MUST_CHECK
rc_code rc_source_archive_check(rc_source *src, rc_err *err);

#endif
