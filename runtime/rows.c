/* runtime/rows.c - see rows.h. */
#define _GNU_SOURCE /* O_TMPFILE */
#include "runtime/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/base/io.h"

struct rc_rows {
    rc_mem *mem;
    size_t n, width;
    float *at; /* NULL: in the file */
    float *one;
    int fd;
};

/* A file that has no name from the start, or at once loses it. */
static int nameless(const char *folder)
{
    char path[4096];
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    if (snprintf(path, sizeof path, "%s/recast-scratch-XXXXXX", folder) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkstemp(path);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static rc_code open_scratch(rc_rows *r, const char *folder, rc_err *err)
{
    const uint64_t nbytes = (uint64_t)r->n * r->width * sizeof(float);
    int e;

    r->one = rc_mem_get(r->mem, r->width * sizeof *r->one);
    if (!r->one)
        return rc_fail_nomem(err, r->mem, r->width * sizeof *r->one);
    r->fd = nameless(folder);
    e = r->fd < 0 ? errno : posix_fallocate(r->fd, 0, (off_t)nbytes);
    if (e != 0) {
        rc_fail_errno(err, e, "cannot make a scratch file of %" PRIu64 " bytes", nbytes);
        rc_err_file(err, folder);
        rc_err_hint(err, "name another folder with --scratch, or raise --mem-limit");
        return err ? err->code : RC_E_IO;
    }
    return RC_OK;
}

rc_code rc_rows_new(rc_rows **out, size_t n, size_t width, const char *scratch, rc_mem *mem,
                    rc_err *err)
{
    const size_t nbytes = n * width * sizeof(float);
    rc_rows *r = rc_mem_get(mem, sizeof *r);
    rc_err local;
    rc_code rc;

    *out = NULL;
    if (!r)
        return rc_fail_nomem(err, mem, sizeof *r);
    *r = (rc_rows){ .mem = mem, .n = n, .width = width, .fd = -1 };
    if (scratch)
        rc = open_scratch(r, scratch, err ? err : &local);
    else
        rc = (r->at = rc_mem_get_pages(mem, nbytes)) != NULL ? RC_OK
                                                             : rc_fail_nomem(err, mem, nbytes);
    if (rc != RC_OK)
        rc_rows_free(&r);
    *out = r;
    return rc;
}

void rc_rows_free(rc_rows **rows)
{
    rc_rows *r = *rows;

    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    rc_mem_put(r->mem, r->at);
    rc_mem_put(r->mem, r->one);
    rc_mem_put(r->mem, r);
    *rows = NULL;
}

size_t rc_rows_width(const rc_rows *rows)
{
    return rows->width;
}

uint64_t rc_rows_spilled(const rc_rows *r)
{
    return r->at ? 0 : (uint64_t)r->n * r->width * sizeof(float);
}

static rc_code transfer_failed(int e, rc_err *err)
{
    return e < 0 ? rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "the scratch file was cut short")
                 : rc_fail_errno(err, e, "the scratch file failed");
}

static rc_code load(rc_rows *r, size_t t0, size_t n, float *buf, rc_err *err)
{
    const size_t row = r->width * sizeof *buf;
    size_t got;
    int e;

    if (r->at) {
        memcpy(buf, r->at + t0 * r->width, n * row);
        return RC_OK;
    }
    e = rc_pread_all(r->fd, buf, n * row, (uint64_t)t0 * row, &got);
    return e ? transfer_failed(e, err) : RC_OK;
}

rc_code rc_rows_load(rc_rows *r, size_t t0, size_t n, float *buf, rc_err *err)
{
    return load(r, t0, n, buf, err);
}

rc_code rc_rows_store(rc_rows *r, size_t t0, size_t n, const float *buf, rc_err *err)
{
    const size_t row = r->width * sizeof *buf;
    int e;

    if (r->at) {
        memcpy(r->at + t0 * r->width, buf, n * row);
        return RC_OK;
    }
    e = rc_pwrite_all(r->fd, buf, n * row, (uint64_t)t0 * row);
    return e ? transfer_failed(e, err) : RC_OK;
}

rc_code rc_rows_gather(rc_rows *r, const uint32_t *t, size_t n, float *buf, rc_err *err)
{
    for (size_t i = 0; i < n; i++)
        RC_TRY(load(r, t[i], 1, buf + i * r->width, err));
    return RC_OK;
}

rc_code rc_rows_add(rc_rows *r, const uint32_t *t, size_t n, const float *buf, rc_err *err)
{
    for (size_t i = 0; i < n; i++) {
        float *row = r->at ? r->at + t[i] * r->width : r->one;

        if (!r->at)
            RC_TRY(load(r, t[i], 1, row, err));
        for (size_t k = 0; k < r->width; k++)
            row[k] += buf[i * r->width + k];
        if (!r->at)
            RC_TRY(rc_rows_store(r, t[i], 1, row, err));
    }
    return RC_OK;
}

rc_code rc_rows_clear(rc_rows *r, rc_err *err)
{
    if (r->at) {
        memset(r->at, 0, r->n * r->width * sizeof *r->at);
        return RC_OK;
    }
    memset(r->one, 0, r->width * sizeof *r->one);
    for (size_t t = 0; t < r->n; t++)
        RC_TRY(rc_rows_store(r, t, 1, r->one, err));
    return RC_OK;
}
