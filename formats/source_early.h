/* formats/source_early.h - what was read of a remote file before it is streamed; for checkpoint.c,
 * model*.c, source.c and stream*.c.
 *
 * Headers, and the few numbers that a plan depends on, are read when a checkpoint is opened; its
 * files are digested later, from bytes that are fetched for that. Sums of the early bytes are kept,
 * so that both are seen to be the same: a wrong header makes a wrong result of right bytes. */
#ifndef RC_FORMATS_SOURCE_EARLY_H
#define RC_FORMATS_SOURCE_EARLY_H

#include "formats/source.h"

/** As rc_source_read(), of bytes that results depend on and that no stream reads again. */
RC_MUST_CHECK
rc_code rc_source_read_early(rc_source *src, size_t i, uint64_t off, void *buf, size_t nbytes,
                             rc_err *err);

/** Before rc_early_check(), once no more is read early. */
void rc_early_sort(rc_source *src);

/** Was anything read early of these bytes of file i? */
bool rc_early_touches(const rc_source *src, size_t i, uint64_t off, uint64_t nbytes);

/** Bytes of file i that came now: are they those that came early? `off` is a multiple of RC_PAGE,
 *  and so is off + nbytes, or it is the file's end.
 *    RC_E_INTEGRITY  they are not */
RC_MUST_CHECK
rc_code rc_early_check(const rc_source *src, size_t i, uint64_t off, const uint8_t *bytes,
                       uint64_t nbytes, rc_err *err);

#endif
