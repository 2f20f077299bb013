/* formats/source_remote.c - see source_remote.h. */
#include "formats/source_remote.h"

#include <string.h>

enum { RETRIES = 8, TIMEOUT = 30 };

rc_code rc_remote_open(rc_remote *r, const rc_source *src, const rc_source_opts *opts,
                       const char *home, rc_err *err)
{
    const rc_http_opts http = {
        .token = opts->token,
        .token_origin = home,
        .ca_file = opts->ca_file,
        .retries = opts->no_retries ? 0
                   : opts->retries  ? opts->retries
                                    : RETRIES,
        .timeout = opts->timeout ? opts->timeout : TIMEOUT,
        .connections = opts->connections,
    };

    if (opts->offline) {
        rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "lies on a server, and no network is to be used");
        rc_err_hint(err, "leave out --offline and unset HF_HUB_OFFLINE");
        return RC_E_NOINPUT;
    }
    return rc_http_new(&r->http, &http, src->mem, err);
}

rc_code rc_remote_files(rc_remote *r, const rc_source *src, rc_err *err)
{
    const size_t n = src->count;

    r->files = rc_mem_get(src->mem, n * sizeof *r->files);
    r->digests = rc_mem_get(src->mem, n * RC_CONTENT_HEX);
    if (!r->files || !r->digests)
        return rc_fail_nomem(err, src->mem, n * (sizeof *r->files + RC_CONTENT_HEX));
    r->nfiles = n;
    for (size_t i = 0; i < n; i++) {
        const rc_source_file *f = &src->files[i];

        r->files[f->own].nbytes = f->nbytes;
        if (f->content.kind == RC_CONTENT_SHA256)
            r->files[f->own].linked =
                rc_content_hex(&f->content, r->digests + f->own * RC_CONTENT_HEX);
    }
    return RC_OK;
}

void rc_remote_close(rc_remote *r, const rc_source *src)
{
    for (size_t i = 0; i < r->nfiles; i++)
        rc_http_forget(r->http, &r->files[i]);
    rc_mem_put(src->mem, r->files);
    rc_mem_put(src->mem, r->digests);
    rc_http_free(&r->http);
}

rc_code rc_remote_check_range(const rc_source *src, size_t i, uint64_t off, size_t nbytes,
                              rc_err *err)
{
    const uint64_t size = src->files[i].nbytes;

    if (off <= size && nbytes <= size - off)
        return RC_OK;
    rc_fail(err, RC_E_INTERNAL, off, "asked for bytes past the end of the file");
    rc_err_want(err, "at most %" PRIu64, size);
    rc_err_got(err, "%" PRIu64 " + %zu", off, nbytes);
    return RC_E_INTERNAL;
}
