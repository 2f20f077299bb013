/* formats/source.c - what all kinds of sources share. */
#include "formats/source_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/hub_address.h"
#include "formats/source_archive.h"
#include "formats/source_remote.h"
#include "formats/source_zst.h"

/* -------------------------------------------------------------------- names */

static bool five_digits(const char *s, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 5; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        *out = 10 * *out + (uint32_t)(s[i] - '0');
    }
    return true;
}

bool rc_split_name_of(rc_split_name *out, const char *name)
{
    static const char like[] = "-00001-of-00001.gguf";
    const size_t len = strlen(name), n = sizeof like - 1;
    const char *tail = len < n ? "" : name + len - n;

    *out = (rc_split_name){ 0 };
    if (tail[0] != '-' || !five_digits(tail + 1, &out->no) || memcmp(tail + 6, "-of-", 4) != 0 ||
        !five_digits(tail + 10, &out->count) || strcmp(tail + 15, ".gguf") != 0 || out->no == 0 ||
        out->no > out->count) {
        *out = (rc_split_name){ 0 };
        return false;
    }
    out->prefix = len - n;
    return true;
}

/* ----------------------------------------------------------- making a source */

static rc_code open_kind(rc_source **out, const char *where, const rc_source_opts *opts,
                         rc_mem *mem, rc_err *err)
{
    if (rc_is_hub_address(where))
        return rc_source_open_hub(out, where, opts, mem, err);
    if (rc_is_web_address(where))
        return rc_source_open_url(out, where, opts, mem, err);
    return rc_source_open_local(out, where, mem, err);
}

rc_code rc_source_open(rc_source **out, const char *where, const rc_source_opts *opts, rc_mem *mem,
                       rc_err *err)
{
    static const rc_source_opts none = { 0 };
    rc_source *inner;

    *out = NULL;
    opts = opts ? opts : &none;
    RC_TRY(open_kind(&inner, where, opts, mem, err));
    if (inner->named && rc_archive_is_name(where))
        return rc_source_open_archive(out, inner, err);
    return rc_source_open_zst(out, inner, opts->log, err);
}

rc_code rc_source_make(rc_source **out, size_t nbytes, const rc_source_ops *ops, const char *where,
                       rc_mem *mem, rc_err *err)
{
    rc_source *src = rc_mem_get(mem, nbytes);

    *out = NULL;
    if (!src)
        return rc_fail_nomem(err, mem, nbytes);
    src->ops = ops;
    src->mem = mem;
    src->arena.mem = mem;
    src->where = rc_mem_strdup(mem, where, strlen(where));
    if (!src->where) {
        rc_mem_put(mem, src);
        return rc_fail_nomem(err, mem, strlen(where) + 1);
    }
    pthread_mutex_init(&src->early.lock, NULL);
    *out = src;
    return RC_OK;
}

void rc_source_close(rc_source **psrc)
{
    rc_source *src = *psrc;

    *psrc = NULL;
    if (!src)
        return;
    rc_source_unstream(src);
    src->ops->close(src);
    pthread_mutex_destroy(&src->early.lock);
    rc_mem_put(src->mem, src->early.at);
    rc_mem_put(src->mem, src->files);
    rc_mem_put(src->mem, src->where);
    rc_arena_free(&src->arena);
    rc_mem_put(src->mem, src);
}

static rc_code make_room(rc_source *src, rc_err *err)
{
    const size_t capacity = src->capacity ? 2 * src->capacity : 128;
    rc_source_file *grown;

    if (src->count == RC_SOURCE_MAX_FILES)
        return rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "more than %u files: not a checkpoint folder",
                       RC_SOURCE_MAX_FILES);
    if (src->count < src->capacity)
        return RC_OK;
    grown = rc_mem_grow(src->mem, src->files, capacity * sizeof *src->files);
    if (!grown)
        return rc_fail_nomem(err, src->mem, capacity * sizeof *src->files);
    src->files = grown;
    src->capacity = capacity;
    return RC_OK;
}

rc_code rc_source_add(rc_source *src, const char *prefix, const rc_source_file *file, rc_err *err)
{
    const size_t prefix_len = strlen(prefix), len = strlen(file->name);
    char *full;

    RC_TRY(make_room(src, err));
    full = rc_arena_get(&src->arena, prefix_len + len + 1);
    if (!full)
        return rc_fail_nomem(err, src->mem, prefix_len + len + 1);
    memcpy(full, prefix, prefix_len);
    memcpy(full + prefix_len, file->name, len + 1);
    src->files[src->count] = *file;
    src->files[src->count].name = full;
    src->files[src->count].own = src->count;
    src->count++;
    return RC_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const rc_source_file *)a)->name, ((const rc_source_file *)b)->name);
}

rc_code rc_source_sort(rc_source *src, rc_err *err)
{
    if (src->count)
        qsort(src->files, src->count, sizeof *src->files, by_name);
    for (size_t i = 1; i < src->count; i++)
        if (by_name(&src->files[i - 1], &src->files[i]) == 0) {
            rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "listed twice");
            rc_err_file(err, src->files[i].name);
            return RC_E_DATA;
        }
    return RC_OK;
}

/* ----------------------------------------------------------------- questions */

const char *rc_source_where(const rc_source *src)
{
    return src->where;
}

const rc_source_origin *rc_source_origin_of(const rc_source *src)
{
    return &src->origin;
}

bool rc_source_is_remote(const rc_source *src)
{
    return src->ops->remote;
}

uint64_t rc_source_fetched(const rc_source *src)
{
    return src->ops->fetched ? src->ops->fetched(src) : 0;
}

const char *rc_source_named(const rc_source *src)
{
    return src->named;
}

const char *rc_source_path(const rc_source *src, const char *name, char *buf, size_t n)
{
    const size_t len = src->named ? (size_t)(src->named - src->where) : strlen(src->where);

    snprintf(buf, n, "%.*s%s%s", (int)len, src->where, src->named ? "" : "/", name);
    return buf;
}

size_t rc_source_count(const rc_source *src)
{
    return src->count;
}

const rc_source_file *rc_source_at(const rc_source *src, size_t i)
{
    return &src->files[i];
}

bool rc_source_find(const rc_source *src, const char *name, size_t *i)
{
    const rc_source_file key = { .name = name };
    const rc_source_file *f =
        src->count ? bsearch(&key, src->files, src->count, sizeof key, by_name) : NULL;

    if (f)
        *i = (size_t)(f - src->files);
    return f != NULL;
}

bool rc_source_in_memory(const rc_source *src)
{
    return src->ops->in_memory && src->ops->in_memory(src);
}

/* ------------------------------------------------------------------- reading */

rc_code rc_source_read(rc_source *src, size_t i, uint64_t off, void *buf, size_t nbytes,
                       rc_err *err)
{
    bool served = false;
    rc_code rc = RC_OK;

    if (src->stream)
        rc = rc_stream_read(src->stream, i, off, buf, nbytes, &served, err);
    if (rc == RC_OK && !served)
        rc = src->ops->read(src, i, off, buf, nbytes, err);
    if (rc != RC_OK)
        rc_err_file(err, src->files[i].name);
    return rc;
}

rc_code rc_source_read_direct(rc_source *src, size_t i, uint64_t off, size_t nbytes, uint8_t *buf,
                              size_t buf_len, const uint8_t **data, rc_err *err)
{
    uint8_t *at = buf + off % RC_PAGE;
    bool served = false;
    rc_code rc = RC_OK;

    assert((uintptr_t)buf % RC_PAGE == 0);
    *data = at;
    if (buf_len < 2 * RC_PAGE || buf_len - 2 * RC_PAGE < nbytes)
        rc = rc_fail(err, RC_E_INTERNAL, off, "buffer of %zu bytes for %zu", buf_len, nbytes);
    if (rc == RC_OK && src->stream)
        rc = rc_stream_read(src->stream, i, off, at, nbytes, &served, err);
    if (rc == RC_OK && !served)
        rc = src->ops->read_direct ? src->ops->read_direct(src, i, off, nbytes, buf, err)
                                   : src->ops->read(src, i, off, at, nbytes, err);
    if (rc != RC_OK)
        rc_err_file(err, src->files[i].name);
    return rc;
}

rc_code rc_source_recheck(rc_source *src, size_t i, rc_err *err)
{
    const rc_code rc = src->ops->recheck ? src->ops->recheck(src, i, err) : RC_OK;

    if (rc != RC_OK)
        rc_err_file(err, src->files[i].name);
    return rc;
}

rc_code rc_source_fail_content(const rc_source *src, size_t i, const rc_content_id *got,
                               rc_err *err)
{
    const rc_source_file *f = &src->files[i];
    char hex[RC_CONTENT_HEX];

    rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "these are not the bytes that were stated (%s)",
            got->kind == RC_CONTENT_SHA256 ? "SHA-256" : "git's SHA-1");
    rc_err_want(err, "%s", rc_content_hex(&f->content, hex));
    rc_err_got(err, "%s", rc_content_hex(got, hex));
    rc_err_hint(err, src->ops->remote
                         ? "changed on the way, or at the server: run the same command again"
                         : "download it again; a file edited on purpose belongs in the place of "
                           "the cache's link, not behind it");
    rc_err_file(err, f->name);
    return RC_E_INTEGRITY;
}

/* What is small enough to be read whole need not wait for a stream to be judged. */
static rc_code check_content(const rc_source *src, size_t i, const uint8_t *bytes, rc_err *err)
{
    const rc_source_file *f = &src->files[i];
    rc_content_hasher hasher;
    rc_content_id got;

    if (f->content.kind == RC_CONTENT_UNKNOWN)
        return RC_OK;
    rc_content_begin(&hasher, f->content.kind, f->nbytes);
    rc_content_add(&hasher, bytes, (size_t)f->nbytes);
    got = rc_content_end(&hasher);
    return rc_content_equal(&got, &f->content) ? RC_OK : rc_source_fail_content(src, i, &got, err);
}

rc_code rc_source_slurp(rc_source *src, size_t i, size_t max_bytes, uint8_t **out, size_t *out_len,
                        rc_mem *mem, rc_err *err)
{
    const rc_source_file *f = &src->files[i];
    rc_code rc;
    uint8_t *p;

    *out = NULL;
    *out_len = 0;
    if (f->nbytes > max_bytes || f->nbytes >= SIZE_MAX) {
        rc = rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "file is too large for what it is");
        rc_err_want(err, "at most %zu bytes", max_bytes);
        rc_err_got(err, "%" PRIu64, f->nbytes);
        rc_err_file(err, f->name);
        return rc;
    }
    p = rc_mem_get(mem, (size_t)f->nbytes + 1);
    if (!p) {
        rc = rc_fail_nomem(err, mem, (size_t)f->nbytes + 1);
        rc_err_file(err, f->name);
        return rc;
    }
    rc = rc_source_read(src, i, 0, p, (size_t)f->nbytes, err);
    if (rc == RC_OK)
        rc = check_content(src, i, p, err);
    if (rc != RC_OK) {
        rc_mem_put(mem, p);
        return rc;
    }
    *out = p;
    *out_len = (size_t)f->nbytes;
    return RC_OK;
}
