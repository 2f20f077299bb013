/* formats/source_remote.c - see source_remote.h. */
#include "formats/source_remote.h"

#include <stdio.h>
#include <string.h>

#include "formats/base/hash.h"

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
        .leaving = &src->leaving,
        .log = opts->log,
    };

    if (opts->offline) {
        rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "lies on a server, and no network is to be used");
        rc_err_hint(err, "leave out --offline and unset HF_HUB_OFFLINE, or name the folder of a "
                         "copy that is here");
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

/* Names, sizes and whatever else tells versions apart: what a server has instead of a commit. */
static rc_digest version_of(const rc_source *src)
{
    _Alignas(64) rc_hasher h;

    rc_hash_begin(&h);
    for (size_t i = 0; i < src->count; i++) {
        const rc_source_file *f = &src->files[i];
        char hex[RC_CONTENT_HEX];

        rc_content_hex(&f->content, hex);
        rc_hash_field(&h, f->name, strlen(f->name));
        rc_hash_field(&h, hex, strlen(hex));
        rc_hash_add(&h, &f->nbytes, sizeof f->nbytes);
        rc_hash_add(&h, &f->version, sizeof f->version);
    }
    return rc_hash_end(&h);
}

rc_code rc_remote_keep(rc_remote *r, const rc_source *src, const rc_source_opts *opts,
                       const char *owner, const char *commit, const char *folder, rc_err *err)
{
    const rc_digest version = version_of(src);
    char hex[33], name[192];

    if (!opts->cache)
        return RC_OK;
    rc_digest_hex(&version, hex);
    if (folder) /* of one commit, but with other names */
        snprintf(name, sizeof name, "%.64s-%s", commit ? commit : "", hex);
    else
        snprintf(name, sizeof name, "%.64s", commit ? commit : hex);
    return rc_hub_cache_open(&r->cache, opts->cache, opts->cache_limit, owner, name, src, opts->log,
                             src->mem, err);
}

/* What nothing tells from an earlier version of itself is not to be taken from a cache. */
static bool may_keep(const rc_source *src, size_t i)
{
    const rc_source_file *f = &src->files[i];

    return src->origin.commit || f->version || f->content.kind != RC_CONTENT_UNKNOWN;
}

rc_code rc_remote_read(rc_remote *r, rc_source *src, size_t i, uint64_t off, void *buf,
                       size_t nbytes, rc_hub_fetch *fetch, rc_err *err)
{
    RC_TRY(rc_remote_check_range(src, i, off, nbytes, err));
    if (!nbytes)
        return RC_OK;
    return r->cache && may_keep(src, i)
               ? rc_hub_cache_read(r->cache, i, off, buf, nbytes, fetch, src, err)
               : fetch(src, i, off, buf, nbytes, err);
}

void rc_remote_close(rc_remote *r, const rc_source *src)
{
    rc_hub_cache_close(&r->cache);
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
