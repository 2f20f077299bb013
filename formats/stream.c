/* formats/stream.c - see stream.h. */
#include "formats/source_impl.h"

void rc_source_unstream(rc_source *src)
{
    src->stream = NULL;
}

rc_stream_verdict rc_stream_verdict_of(const rc_source *src, size_t file)
{
    (void)src, (void)file;
    return RC_STREAM_UNSTATED;
}

rc_code rc_stream_read(rc_stream *stream, size_t file, uint64_t off, void *buf, size_t nbytes,
                       bool *served, rc_err *err)
{
    (void)stream, (void)file, (void)off, (void)buf, (void)nbytes, (void)err;
    *served = false;
    return RC_OK;
}
