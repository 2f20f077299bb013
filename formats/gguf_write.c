/* formats/gguf_write.c - see gguf_write.h. */
#include "formats/gguf_write.h"

#include <string.h>

/* Bytes that grow. The first failure sticks. */
struct rc_ggufw {
    rc_mem *mem;
    uint8_t *bytes;
    size_t len, cap;
    uint64_t nkv;
    uint64_t owed; /* elements that the array begun last still lacks */
    rc_gguf_type elem;
    bool no_memory, misused;
};

rc_ggufw *rc_ggufw_new(rc_mem *mem)
{
    rc_ggufw *w = rc_mem_get(mem, sizeof *w);

    if (w)
        w->mem = mem;
    return w;
}

void rc_ggufw_free(rc_ggufw **wp)
{
    rc_ggufw *w = *wp;

    *wp = NULL;
    if (!w)
        return;
    rc_mem_put(w->mem, w->bytes);
    rc_mem_put(w->mem, w);
}

static void put(rc_ggufw *w, const void *data, size_t n)
{
    if (w->no_memory || !n) /* of nothing, `data` may be NULL */
        return;
    if (n > w->cap - w->len) {
        const size_t cap = 2 * w->cap + n + 1024;
        uint8_t *grown = rc_mem_grow(w->mem, w->bytes, cap);

        if (!grown) {
            w->no_memory = true;
            return;
        }
        w->bytes = grown;
        w->cap = cap;
    }
    memcpy(w->bytes + w->len, data, n);
    w->len += n;
}

static void put_int(rc_ggufw *w, uint64_t v, unsigned nbytes)
{
    uint8_t le[8];

    for (unsigned i = 0; i < nbytes; i++)
        le[i] = (uint8_t)(v >> (8 * i));
    put(w, le, nbytes);
}

static void put_float(rc_ggufw *w, float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    put_int(w, bits, 4);
}

static void put_text(rc_ggufw *w, const char *s, size_t len)
{
    put_int(w, len, 8);
    put(w, s, len);
}

static void begin(rc_ggufw *w, const char *key, rc_gguf_type type)
{
    if (w->owed)
        w->misused = true;
    w->nkv++;
    put_text(w, key, strlen(key));
    put_int(w, type, 4);
}

void rc_ggufw_u16(rc_ggufw *w, const char *key, uint16_t v)
{
    begin(w, key, RC_GGUF_U16);
    put_int(w, v, 2);
}

void rc_ggufw_u32(rc_ggufw *w, const char *key, uint32_t v)
{
    begin(w, key, RC_GGUF_U32);
    put_int(w, v, 4);
}

void rc_ggufw_i32(rc_ggufw *w, const char *key, int32_t v)
{
    begin(w, key, RC_GGUF_I32);
    put_int(w, (uint32_t)v, 4);
}

void rc_ggufw_u64(rc_ggufw *w, const char *key, uint64_t v)
{
    begin(w, key, RC_GGUF_U64);
    put_int(w, v, 8);
}

void rc_ggufw_f32(rc_ggufw *w, const char *key, float v)
{
    begin(w, key, RC_GGUF_F32);
    put_float(w, v);
}

void rc_ggufw_bool(rc_ggufw *w, const char *key, bool v)
{
    begin(w, key, RC_GGUF_BOOL);
    put_int(w, v, 1);
}

void rc_ggufw_str(rc_ggufw *w, const char *key, const char *s)
{
    begin(w, key, RC_GGUF_STR);
    put_text(w, s, strlen(s));
}

void rc_ggufw_arr(rc_ggufw *w, const char *key, rc_gguf_type elem, uint64_t count)
{
    begin(w, key, RC_GGUF_ARR);
    put_int(w, elem, 4);
    put_int(w, count, 8);
    w->elem = elem;
    w->owed = count;
}

static void element(rc_ggufw *w, rc_gguf_type type)
{
    if (!w->owed || w->elem != type)
        w->misused = true;
    else
        w->owed--;
}

void rc_ggufw_put_i32(rc_ggufw *w, int32_t v)
{
    element(w, RC_GGUF_I32);
    put_int(w, (uint32_t)v, 4);
}

void rc_ggufw_put_f32(rc_ggufw *w, float v)
{
    element(w, RC_GGUF_F32);
    put_float(w, v);
}

void rc_ggufw_put_str(rc_ggufw *w, const char *s, size_t len)
{
    element(w, RC_GGUF_STR);
    put_text(w, s, len);
}

/* ------------------------------------------------------------------ layout */

static uint64_t padded(uint64_t n)
{
    return rc_ceil_div(n, RC_GGUF_ALIGNMENT) * RC_GGUF_ALIGNMENT;
}

static rc_code fail_tensor(rc_err *err, const rc_gguf_put *p, const char *what)
{
    rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "%s", what);
    rc_err_tensor(err, p->name);
    return RC_E_UNSUPPORTED;
}

static rc_code size_of(rc_gguf_put *p, rc_err *err)
{
    uint64_t rows = 1, row;

    if (strlen(p->name) > RC_GGUF_MAX_NAME)
        return fail_tensor(err, p, "its name is over the 63 bytes that GGUF allows");
    if (!rc_ggml_type_for(p->dtype))
        return fail_tensor(err, p, "its type has no place in GGUF");
    if (p->rank < 1 || p->rank > RC_GGUF_MAX_RANK)
        return fail_tensor(err, p, "GGUF holds 1 to 4 dimensions");
    row = p->shape[p->rank - 1];
    if (row % rc_dtype_block(p->dtype)) {
        (void)fail_tensor(err, p, "its rows do not divide into blocks of this type");
        rc_err_want(err, "a multiple of %u for %s", rc_dtype_block(p->dtype),
                    rc_dtype_name(p->dtype));
        rc_err_got(err, "%" PRIu64, row);
        return RC_E_UNSUPPORTED;
    }
    for (unsigned i = 0; i + 1 < p->rank; i++)
        if (!rc_mul_u64(rows, p->shape[i], &rows))
            rows = UINT64_MAX;
    if (row > INT64_MAX / 8 || !rc_mul_u64(rows, rc_dtype_row_bytes(p->dtype, row), &p->nbytes) ||
        p->nbytes > INT64_MAX) {
        rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "its size overflows");
        rc_err_tensor(err, p->name);
        return RC_E_LIMIT;
    }
    return RC_OK;
}

/* The infos, with offsets into the data; leaves in *end where the data ends. */
static rc_code put_infos(rc_ggufw *w, rc_gguf_put *puts, size_t n, uint64_t *end, rc_err *err)
{
    uint64_t at = 0;

    for (size_t i = 0; i < n; i++) {
        RC_TRY(size_of(&puts[i], err));
        put_text(w, puts[i].name, strlen(puts[i].name));
        put_int(w, puts[i].rank, 4);
        for (unsigned d = puts[i].rank; d-- > 0;)
            put_int(w, puts[i].shape[d], 8);
        put_int(w, rc_ggml_type_for(puts[i].dtype)->id, 4);
        put_int(w, at, 8);
        puts[i].begin = at;
        if (!rc_add_u64(at, padded(puts[i].nbytes), &at) || at > INT64_MAX)
            return rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "the file's size overflows");
    }
    *end = at;
    return RC_OK;
}

static rc_code assemble(const rc_ggufw *kvs, const rc_ggufw *infos, size_t n, char **head,
                        size_t *head_len, rc_mem *mem, rc_err *err)
{
    rc_ggufw out = { .mem = mem };

    *head_len = (size_t)padded(24 + kvs->len + infos->len);
    if (*head_len > RC_GGUF_MAX_HEAD)
        return rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "metadata of %zu bytes", *head_len);
    *head = rc_mem_get(mem, *head_len); /* zeroed: the padding */
    if (!*head)
        return rc_fail_nomem(err, mem, *head_len);
    out.bytes = (uint8_t *)*head;
    out.cap = *head_len;
    put(&out, "GGUF", 4);
    put_int(&out, 3, 4);
    put_int(&out, n, 8);
    put_int(&out, kvs->nkv, 8);
    put(&out, kvs->bytes, kvs->len);
    put(&out, infos->bytes, infos->len);
    return RC_OK;
}

rc_code rc_gguf_layout(rc_ggufw *w, rc_gguf_put *puts, size_t n, char **head, size_t *head_len,
                       uint64_t *file_len, rc_mem *mem, rc_err *err)
{
    rc_ggufw infos = { .mem = mem };
    uint64_t data = 0;
    rc_code rc;

    *head = NULL;
    if (w->misused || w->owed)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "an array of the metadata is not whole");
    rc = put_infos(&infos, puts, n, &data, err);
    if (rc == RC_OK && (w->no_memory || infos.no_memory))
        rc = rc_fail_nomem(err, mem, w->len + infos.len);
    if (rc == RC_OK)
        rc = assemble(w, &infos, n, head, head_len, mem, err);
    rc_mem_put(mem, infos.bytes);
    RC_TRY(rc);
    for (size_t i = 0; i < n; i++)
        puts[i].begin += *head_len;
    *file_len = *head_len + data;
    return RC_OK;
}
