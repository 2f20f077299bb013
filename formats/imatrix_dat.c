/* formats/imatrix_dat.c - see imatrix_dat.h. */
#include "formats/imatrix_dat.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "formats/base/io.h"

typedef struct dat {
    const rc_imatrix *m;
    int fd;
    int32_t calls;
    rc_mem *mem;
    float *row;
    size_t room;
} dat;

static rc_code put(const dat *d, const void *data, size_t n, rc_err *err)
{
    const int e = rc_write_all(d->fd, data, n);

    return e ? rc_fail_errno(err, e, "cannot write") : RC_OK;
}

static rc_code put_i32(const dat *d, int32_t v, rc_err *err)
{
    return put(d, &v, sizeof v, err);
}

static rc_code row_for(dat *d, size_t n, rc_err *err)
{
    float *grown = n > d->room ? rc_mem_grow(d->mem, d->row, n * sizeof *grown) : d->row;

    if (!grown)
        return rc_fail_nomem(err, d->mem, n * sizeof *grown);
    d->row = grown;
    d->room = n > d->room ? n : d->room;
    return RC_OK;
}

static rc_code put_entry(dat *d, const rc_imatrix_entry *e, rc_err *err)
{
    const size_t cols = (size_t)e->cols, len = strlen(e->name);
    rc_imatrix_found found;

    if (!cols || e->values > INT32_MAX) {
        rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "a .dat cannot hold this entry");
        rc_err_tensor(err, e->name);
        return RC_E_UNSUPPORTED;
    }
    RC_TRY(row_for(d, cols, err));
    RC_TRY(put_i32(d, (int32_t)len, err));
    RC_TRY(put(d, e->name, len, err));
    RC_TRY(put_i32(d, d->calls, err));
    RC_TRY(put_i32(d, (int32_t)e->values, err));
    for (uint64_t r = 0; r < e->rows; r++) {
        RC_TRY(rc_imatrix_get(d->m, e->name, r, e->rows, cols, d->row, &found, err));
        for (size_t k = 0; k < cols; k++)
            d->row[k] = (float)d->calls * (found == RC_IMATRIX_FOUND ? d->row[k] : 1.0f);
        RC_TRY(put(d, d->row, cols * sizeof *d->row, err));
    }
    return RC_OK;
}

static rc_code put_all(dat *d, rc_err *err)
{
    const char *set = rc_imatrix_dataset(d->m);

    RC_TRY(put_i32(d, (int32_t)rc_imatrix_count(d->m), err));
    for (size_t i = 0; i < rc_imatrix_count(d->m); i++)
        RC_TRY(put_entry(d, rc_imatrix_at(d->m, i), err));
    RC_TRY(put_i32(d, d->calls, err));
    RC_TRY(put_i32(d, (int32_t)strlen(set), err));
    return put(d, set, strlen(set), err);
}

rc_code rc_imatrix_write_dat(const rc_imatrix *m, const rc_target *to, rc_mem *mem, rc_err *err)
{
    const uint32_t chunks = rc_imatrix_chunks(m);
    dat d = { .m = m,
              .mem = mem,
              .calls = chunks > 0 && chunks <= INT32_MAX ? (int32_t)chunks : 1 };
    char name[512];
    rc_code rc;

    if (snprintf(name, sizeof name, "%s.partial", to->name) >= (int)sizeof name)
        return rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "the name is too long");
    RC_TRY(rc_dir_create(&to->dir, name, &d.fd, err));
    rc = put_all(&d, err);
    if (rc == RC_OK && fsync(d.fd) != 0)
        rc = rc_fail_errno(err, errno, "cannot sync");
    close(d.fd);
    rc_mem_put(mem, d.row);
    if (rc != RC_OK) {
        rc_err ignored;

        rc_err_file(err, to->name);
        (void)!rc_dir_remove(&to->dir, name, &ignored);
        return rc;
    }
    RC_TRY(rc_dir_rename(&to->dir, name, to->name, err));
    return rc_dir_sync(&to->dir, err);
}
