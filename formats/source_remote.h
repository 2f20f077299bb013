/* formats/source_remote.h - what sources that lie on a server share; for source_hub.c and
 * source_url.c only. */
#ifndef RC_FORMATS_SOURCE_REMOTE_H
#define RC_FORMATS_SOURCE_REMOTE_H

#include "formats/base/http.h"
#include "formats/source_impl.h"

typedef struct rc_remote {
    rc_http *http;
    rc_http_file *files; /* of file i of the source: files[source file i's own] */
    size_t nfiles;
    char *digests; /* RC_CONTENT_HEX bytes a file: what X-Linked-ETag has to be */
} rc_remote;

/** A server to ask; the token is for the origin of `home`. RC_E_NOINPUT: offline. */
RC_MUST_CHECK
rc_code rc_remote_open(rc_remote *r, const rc_source *src, const rc_source_opts *opts,
                       const char *home, rc_err *err);
/** Once the list is whole: state of each file, with size and SHA-256 from it. */
RC_MUST_CHECK
rc_code rc_remote_files(rc_remote *r, const rc_source *src, rc_err *err);
void rc_remote_close(rc_remote *r, const rc_source *src);

/** RC_E_INTERNAL past the listed end. */
RC_MUST_CHECK
rc_code rc_remote_check_range(const rc_source *src, size_t i, uint64_t off, size_t nbytes,
                              rc_err *err);

/** The kinds; errors as rc_source_open(). `opts` is not NULL. */
RC_MUST_CHECK
rc_code rc_source_open_hub(rc_source **out, const char *where, const rc_source_opts *opts,
                           rc_mem *mem, rc_err *err);
RC_MUST_CHECK
rc_code rc_source_open_url(rc_source **out, const char *where, const rc_source_opts *opts,
                           rc_mem *mem, rc_err *err);

#endif
