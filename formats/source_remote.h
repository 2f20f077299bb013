/* formats/source_remote.h - what sources that lie on a server share; for source_hub.c and
 * source_url.c only. */
#ifndef RC_FORMATS_SOURCE_REMOTE_H
#define RC_FORMATS_SOURCE_REMOTE_H

#include "formats/base/http.h"
#include "formats/hub_cache.h"
#include "formats/source_impl.h"

typedef struct rc_remote {
    rc_http *http;
    rc_http_file *files; /* of file i of the source: files[source file i's own] */
    size_t nfiles;
    rc_hub_cache *cache; /* or NULL */
    char *digests;       /* RC_CONTENT_HEX bytes a file: what X-Linked-ETag has to be */
} rc_remote;

/** A server to ask; the token is for the origin of `home`. RC_E_NOINPUT: offline. */
RC_MUST_CHECK
rc_code rc_remote_open(rc_remote *r, const rc_source *src, const rc_source_opts *opts,
                       const char *home, rc_err *err);
/** Once the list is whole: state of each file, with size and SHA-256 from it. */
RC_MUST_CHECK
rc_code rc_remote_files(rc_remote *r, const rc_source *src, rc_err *err);
/** With all identities known: keep what comes in the folder that `opts` name, if they do. `owner`:
 *  where it is; `commit` and `folder` (each may be NULL): what of it. Errors as
 *  rc_hub_cache_open(). */
RC_MUST_CHECK
rc_code rc_remote_keep(rc_remote *r, const rc_source *src, const rc_source_opts *opts,
                       const char *owner, const char *commit, const char *folder, rc_err *err);
/** As rc_source_read(), by way of the cache if there is one. `fetch` has the source as its
 *  context. */
RC_MUST_CHECK
rc_code rc_remote_read(rc_remote *r, rc_source *src, size_t i, uint64_t off, void *buf,
                       size_t nbytes, rc_hub_fetch *fetch, rc_err *err);
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
