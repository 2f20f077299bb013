/* convert/pack_plan.c - see pack_plan.h. */
#include "convert/pack_plan.h"

#include <string.h>

#include "formats/gguf.h"
#include "formats/safetensors.h"

enum { PEEK = 512, GGUF_FIRST = 1 << 20 };

static rc_code grow(rc_pack_plan *p, rc_err *err)
{
    const size_t n = p->capacity ? 2 * p->capacity : 1024;
    rc_archive_piece *pieces;
    rc_dtype *dtype;
    size_t *file;

    if (p->archive.npieces < p->capacity)
        return RC_OK;
    pieces = rc_mem_grow(p->mem, p->archive.pieces, n * sizeof *pieces);
    if (!pieces)
        return rc_fail_nomem(err, p->mem, n * sizeof *pieces);
    p->archive.pieces = pieces;
    dtype = rc_mem_grow(p->mem, p->dtype, n * sizeof *dtype);
    if (!dtype)
        return rc_fail_nomem(err, p->mem, n * sizeof *dtype);
    p->dtype = dtype;
    file = rc_mem_grow(p->mem, p->file, n * sizeof *file);
    if (!file)
        return rc_fail_nomem(err, p->mem, n * sizeof *file);
    p->file = file;
    p->capacity = n;
    return RC_OK;
}

/* Cut a run of `nbytes` at `off` of file f into pieces. */
static rc_code cut(rc_pack_plan *p, size_t f, uint64_t off, uint64_t nbytes, rc_dtype dtype,
                   rc_err *err)
{
    while (nbytes) {
        const uint32_t n = (uint32_t)(nbytes < RC_PIECE_BYTES ? nbytes : RC_PIECE_BYTES);
        const size_t k = p->archive.npieces;

        RC_TRY(grow(p, err));
        p->archive.pieces[k] = (rc_archive_piece){ .off = off, .packed = { .nbytes = n } };
        p->dtype[k] = dtype;
        p->file[k] = f;
        p->archive.npieces++;
        p->archive.files[f].count++;
        off += n;
        nbytes -= n;
    }
    return RC_OK;
}

/* Headers that cannot be read are no error here: their files are bytes like any other. */
static bool is_about_us(rc_code rc)
{
    return rc != RC_E_DATA && rc != RC_E_UNSUPPORTED && rc != RC_E_LIMIT;
}

static rc_code cut_shard(rc_pack_plan *p, size_t f, rc_source *src, bool *done, rc_err *err)
{
    const uint64_t nbytes = rc_source_at(src, f)->nbytes;
    const size_t peek = nbytes < PEEK ? (size_t)nbytes : PEEK;
    uint8_t start[PEEK], *head = NULL;
    rc_st *st = NULL;
    uint64_t end, at;
    rc_err why;
    rc_code rc;

    *done = false;
    RC_TRY(rc_source_read(src, f, 0, start, peek, err));
    if (rc_st_peek(start, peek, nbytes, &end, &why) != RC_OK)
        return RC_OK;
    head = rc_mem_get(p->mem, (size_t)end);
    if (!head)
        return rc_fail_nomem(err, p->mem, (size_t)end);
    RC_TRY_GOTO(rc, done, rc_source_read(src, f, 0, head, (size_t)end, err));
    rc = rc_st_new(&st, head, (size_t)end, nbytes, NULL, p->mem, &why);
    if (rc != RC_OK) {
        if (is_about_us(rc) && err)
            *err = why;
        rc = is_about_us(rc) ? rc : RC_OK;
        goto done;
    }
    *done = true;
    at = rc_st_data_off(st);
    RC_TRY_GOTO(rc, done, cut(p, f, 0, at, RC_DTYPE_COUNT, err));
    for (size_t i = 0; i < rc_st_count(st); i++) {
        const rc_st_entry *e = rc_st_at(st, i);

        RC_TRY_GOTO(rc, done, cut(p, f, e->begin, e->nbytes, e->dtype, err));
    }
done:
    rc_st_free(&st);
    rc_mem_put(p->mem, head);
    return rc;
}

/* The head of a GGUF file, NULL where it has none that can be read. */
static rc_code read_gguf(rc_gguf **out, size_t f, rc_source *src, rc_mem *mem, rc_err *err)
{
    const uint64_t nbytes = rc_source_at(src, f)->nbytes;
    uint64_t need = nbytes < GGUF_FIRST ? nbytes : GGUF_FIRST;
    uint8_t *head = NULL, *grown;
    size_t len = 0;
    rc_code rc = RC_OK;
    rc_err why;

    *out = NULL;
    while (len < need) {
        if (need > nbytes || need > RC_GGUF_MAX_HEAD)
            goto done;
        grown = rc_mem_grow(mem, head, (size_t)need);
        if (!grown) {
            rc = rc_fail_nomem(err, mem, (size_t)need);
            goto done;
        }
        head = grown;
        RC_TRY_GOTO(rc, done, rc_source_read(src, f, len, head + len, (size_t)need - len, err));
        len = (size_t)need;
        if (rc_gguf_need(head, len, nbytes, &need, &why) != RC_OK)
            goto done;
    }
    if (head && rc_gguf_new(out, head, len, nbytes, NULL, mem, &why) == RC_OK)
        head = NULL; /* taken over */
done:
    rc_mem_put(mem, head);
    return rc;
}

static rc_code cut_gguf(rc_pack_plan *p, size_t f, rc_source *src, bool *done, rc_err *err)
{
    uint64_t at = 0;
    rc_gguf *g;
    rc_code rc = RC_OK;

    *done = false;
    RC_TRY(read_gguf(&g, f, src, p->mem, err));
    if (!g)
        return RC_OK;
    *done = true;
    for (size_t i = 0; i < rc_gguf_tensors(g) && rc == RC_OK; i++) {
        const rc_gguf_tensor *t = rc_gguf_tensor_at(g, i);

        /* what lies between is padding; the first gap is the head */
        rc = cut(p, f, at, t->begin - at, RC_DTYPE_COUNT, err);
        if (rc == RC_OK)
            rc = cut(p, f, t->begin, t->nbytes, t->type->dtype, err);
        at = t->begin + t->nbytes;
    }
    if (rc == RC_OK)
        rc = cut(p, f, at, rc_source_at(src, f)->nbytes - at, RC_DTYPE_COUNT, err);
    rc_gguf_free(&g);
    return rc;
}

static bool ends_with(const char *s, const char *suffix)
{
    const size_t n = strlen(s), k = strlen(suffix);

    return n > k && strcmp(s + n - k, suffix) == 0;
}

static rc_code cut_file(rc_pack_plan *p, size_t f, rc_source *src, rc_err *err)
{
    const rc_source_file *from = rc_source_at(src, f);
    rc_archive_file *file = &p->archive.files[f];
    bool done = false;

    if (!rc_archive_name_is_safe(from->name, strlen(from->name))) {
        rc_fail(err, RC_E_UNSAFEPATH, RC_NO_OFFSET, "a name that no archive may hold");
        rc_err_file(err, from->name);
        return RC_E_UNSAFEPATH;
    }
    file->name = from->name; /* of the source, which lives longer */
    file->nbytes = from->nbytes;
    file->first = p->archive.npieces;
    p->archive.nbytes += from->nbytes;
    if (ends_with(from->name, ".safetensors"))
        RC_TRY(cut_shard(p, f, src, &done, err));
    else if (ends_with(from->name, ".gguf"))
        RC_TRY(cut_gguf(p, f, src, &done, err));
    return done ? RC_OK : cut(p, f, 0, from->nbytes, RC_DTYPE_COUNT, err);
}

rc_code rc_pack_plan_make(rc_pack_plan *plan, rc_source *src, rc_mem *mem, rc_err *err)
{
    const size_t n = rc_source_count(src);

    plan->mem = plan->archive.mem = mem;
    plan->archive.end = RC_ARCHIVE_HEAD;
    plan->archive.files = rc_mem_get(mem, n * sizeof *plan->archive.files);
    if (!plan->archive.files)
        return rc_fail_nomem(err, mem, n * sizeof *plan->archive.files);
    plan->archive.nfiles = n;
    for (size_t f = 0; f < n; f++)
        RC_TRY(cut_file(plan, f, src, err));
    return RC_OK;
}

void rc_pack_plan_free(rc_pack_plan *plan)
{
    if (!plan->mem)
        return;
    rc_mem_put(plan->mem, plan->archive.files);
    rc_mem_put(plan->mem, plan->archive.pieces);
    rc_mem_put(plan->mem, plan->dtype);
    rc_mem_put(plan->mem, plan->file);
    *plan = (rc_pack_plan){ 0 };
}
