/* formats/safetensors_write.c - see safetensors_write.h. */
#include "formats/safetensors_write.h"

#include <stdlib.h>
#include <string.h>

#include "formats/base/json.h"

static unsigned alignment(rc_dtype dtype)
{
    const unsigned bits = rc_dtype_bits(dtype);

    return bits < 8 ? 1 : bits / 8;
}

static int file_order(const void *a, const void *b)
{
    const rc_st_put *x = a, *y = b;
    const unsigned ax = alignment(x->dtype), ay = alignment(y->dtype);

    return ax != ay ? (ax > ay ? -1 : 1) : strcmp(x->name, y->name);
}

static rc_code size_of(rc_st_put *p, rc_err *err)
{
    uint64_t bits = rc_dtype_bits(p->dtype);

    for (unsigned i = 0; i < p->rank; i++)
        if (!rc_mul_u64(bits, p->shape[i], &bits))
            return rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "tensor '%s': size overflows", p->name);
    p->nbytes = bits / 8;
    return RC_OK;
}

static void write_entry(rc_jsonw *w, const rc_st_put *p, uint64_t begin)
{
    rc_jsonw_key(w, p->name);
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "dtype", rc_dtype_name(p->dtype));
    rc_jsonw_key(w, "shape");
    rc_jsonw_array(w);
    for (unsigned i = 0; i < p->rank; i++)
        rc_jsonw_u64(w, p->shape[i]);
    rc_jsonw_array_end(w);
    rc_jsonw_key(w, "data_offsets");
    rc_jsonw_array(w);
    rc_jsonw_u64(w, begin);
    rc_jsonw_u64(w, begin + p->nbytes);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

/* Offset, in the data region, of the alignment class with the most bytes. */
static uint64_t heaviest_class(const rc_st_put *puts, size_t n)
{
    uint64_t best = 0, best_at = 0, at = 0;

    for (size_t i = 0; i < n;) {
        const uint64_t start = at;
        const unsigned align = alignment(puts[i].dtype);

        for (; i < n && alignment(puts[i].dtype) == align; i++)
            at += puts[i].nbytes;
        if (at - start > best) {
            best = at - start;
            best_at = start;
        }
    }
    return best_at;
}

rc_code rc_st_layout(rc_st_put *puts, size_t n, char **head, size_t *head_len, uint64_t *file_len,
                     rc_mem *mem, rc_err *err)
{
    rc_jsonw *w;
    const char *json;
    size_t json_len, padded;
    uint64_t at = 0;
    rc_code rc = RC_OK;

    *head = NULL;
    for (size_t i = 0; i < n; i++)
        RC_TRY(size_of(&puts[i], err));
    qsort(puts, n, sizeof *puts, file_order);
    if (!(w = rc_jsonw_new(mem, 0)))
        return rc_fail_nomem(err, mem, 1);
    rc_jsonw_object(w);
    rc_jsonw_key(w, "__metadata__");
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "format", "pt");
    rc_jsonw_object_end(w);
    for (size_t i = 0; i < n; i++) {
        if (i && strcmp(puts[i].name, puts[i - 1].name) == 0)
            RC_TRY_GOTO(rc, done,
                        rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "tensor '%s' is planned twice",
                                puts[i].name));
        write_entry(w, &puts[i], at);
        if (!rc_add_u64(at, puts[i].nbytes, &at) || at > INT64_MAX)
            RC_TRY_GOTO(rc, done, rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "shard size overflows"));
    }
    rc_jsonw_object_end(w);
    if (!(json = rc_jsonw_text(w, &json_len)))
        RC_TRY_GOTO(rc, done, rc_fail_nomem(err, mem, 1));
    padded = 8 + json_len;
    padded += (size_t)(RC_PAGE - (padded + heaviest_class(puts, n)) % RC_PAGE) % RC_PAGE;
    padded =
        (padded + 7) & ~(size_t)7; /* a class of odd size must not cost the format its own rule */
    if (padded - 8 > RC_ST_MAX_HEADER)
        RC_TRY_GOTO(rc, done,
                    rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET,
                            "header of %zu bytes, readers refuse over %u", padded - 8,
                            RC_ST_MAX_HEADER));
    if (!(*head = rc_mem_get(mem, padded)))
        RC_TRY_GOTO(rc, done, rc_fail_nomem(err, mem, padded));
    for (unsigned i = 0; i < 8; i++)
        (*head)[i] = (char)(uint8_t)((uint64_t)(padded - 8) >> (8 * i));
    memcpy(*head + 8, json, json_len);
    memset(*head + 8 + json_len, ' ', padded - 8 - json_len);
    for (size_t i = 0, from = padded; i < n; i++) {
        puts[i].begin = from;
        from += puts[i].nbytes;
    }
    *head_len = padded;
    *file_len = padded + at;
done:
    rc_jsonw_free(&w);
    return rc;
}
