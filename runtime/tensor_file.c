/* runtime/tensor_file.c - see tensor_file.h. */
#include "runtime/tensor_file.h"

#include <stdio.h>
#include <string.h>

#include "formats/safetensors_write.h"

struct rc_tensor_file {
    rc_mem *mem;
    const rc_target *target;
    char partial[512];
    rc_out *out;
    rc_st_put *puts;
    size_t *place; /* of tensor i among the puts */
    size_t n;
    bool made;
};

static rc_code lay_out(rc_tensor_file *f, const rc_tensor_spec *specs, rc_err *err)
{
    uint64_t file_len;
    size_t head_len;
    char *head = NULL;
    rc_code rc;

    for (size_t i = 0; i < f->n; i++) {
        f->puts[i] = (rc_st_put){ .name = specs[i].name,
                                  .dtype = specs[i].dtype,
                                  .rank = specs[i].rank,
                                  .tag = &f->place[i] };
        memcpy(f->puts[i].shape, specs[i].shape, sizeof specs[i].shape);
    }
    RC_TRY(rc_st_layout(f->puts, f->n, &head, &head_len, &file_len, f->mem, err));
    for (size_t i = 0; i < f->n; i++)
        *(size_t *)f->puts[i].tag = i;
    rc = rc_out_open(&f->out, &f->target->dir, f->partial, file_len, RC_OUT_NEW, f->mem, err);
    f->made = rc == RC_OK;
    if (rc == RC_OK)
        rc = rc_out_write(f->out, 0, head, head_len, err);
    rc_mem_put(f->mem, head);
    return rc;
}

rc_code rc_tensor_file_new(rc_tensor_file **out, const rc_target *target,
                           const rc_tensor_spec *specs, size_t n, rc_mem *mem, rc_err *err)
{
    rc_tensor_file *f = rc_mem_get(mem, sizeof *f);
    rc_code rc;

    *out = NULL;
    if (!f)
        return rc_fail_nomem(err, mem, sizeof *f);
    f->mem = mem;
    f->target = target;
    f->n = n;
    f->puts = rc_mem_get(mem, n * sizeof *f->puts);
    f->place = rc_mem_get(mem, n * sizeof *f->place);
    if (!f->puts || !f->place)
        rc = rc_fail_nomem(err, mem, n * sizeof *f->puts);
    else if (snprintf(f->partial, sizeof f->partial, "%s.partial", target->name) >=
             (int)sizeof f->partial)
        rc = rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "the name of the output is too long");
    else
        rc = lay_out(f, specs, err);
    if (rc != RC_OK)
        rc_tensor_file_free(&f);
    *out = f;
    return rc;
}

rc_code rc_tensor_file_write(rc_tensor_file *f, size_t i, uint64_t off, const void *data,
                             size_t nbytes, rc_err *err)
{
    const rc_st_put *p = &f->puts[f->place[i]];

    if (off > p->nbytes || nbytes > p->nbytes - off)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "%s: written past its end", p->name);
    return rc_out_write(f->out, p->begin + off, data, nbytes, err);
}

rc_code rc_tensor_file_finish(rc_tensor_file *f, rc_err *err)
{
    RC_TRY(rc_out_sync(f->out, err));
    RC_TRY(rc_out_close(&f->out, err));
    RC_TRY(rc_dir_rename(&f->target->dir, f->partial, f->target->name, err));
    f->made = false;
    return rc_dir_sync(&f->target->dir, err);
}

void rc_tensor_file_free(rc_tensor_file **file)
{
    rc_tensor_file *f = *file;

    if (!f)
        return;
    if (rc_out_close(&f->out, NULL) != RC_OK) {
        /* it is removed below, or was reported by finish */
    }
    if (f->made && rc_dir_remove(&f->target->dir, f->partial, NULL) != RC_OK) {
        /* a .partial stays: its name says what it is */
    }
    rc_mem_put(f->mem, f->puts);
    rc_mem_put(f->mem, f->place);
    rc_mem_put(f->mem, f);
    *file = NULL;
}
