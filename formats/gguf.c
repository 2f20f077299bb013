/* formats/gguf.c - one walk over a head: once to learn how long it is, once to keep it.
 *
 * Nothing is allocated for a count before the bytes that are left could hold it, and nothing
 * recurses: an array has no arrays. */
#include "formats/gguf.h"

#include <string.h>

#include "formats/base/names.h"

enum {
    MAX_TENSORS = 1 << 20, /* ours; V4-Pro has 1894 */
    MAX_KVS = 1 << 16,
    MAX_KEY = 65535,
    MAX_ALIGNMENT = 1 << 20,
    MIN_KV = 8 + 1 + 4 + 1, /* bytes: length, a letter, type, value */
    MIN_TENSOR = 8 + 1 + 4 + 8 + 4 + 8,
};

struct rc_gguf {
    rc_mem *mem;
    uint8_t *head;
    rc_arena text; /* keys and names */
    rc_gguf_kv *kvs;
    rc_gguf_tensor *tensors;
    uint64_t *kv_at, *tensor_at; /* where each begins in the file, for messages */
    size_t nkvs, ntensors;
    rc_names keys, names;
    uint64_t data_off;
};

/* The walk. `g` is NULL while only the length is asked for. */
typedef struct walk {
    const uint8_t *bytes;
    size_t len;
    uint64_t file_len, at; /* at: bytes from the start of the file */
    uint64_t need;         /* where the walk ran out of bytes, if it did */
    uint32_t alignment;
    uint64_t data_len; /* of the tensors so far, padded */
    rc_gguf *g;
    rc_err *err;
} walk;

static const unsigned value_bytes[RC_GGUF_TYPES] = {
    [RC_GGUF_U8] = 1,  [RC_GGUF_I8] = 1,  [RC_GGUF_U16] = 2, [RC_GGUF_I16] = 2,
    [RC_GGUF_U32] = 4, [RC_GGUF_I32] = 4, [RC_GGUF_F32] = 4, [RC_GGUF_BOOL] = 1,
    [RC_GGUF_U64] = 8, [RC_GGUF_I64] = 8, [RC_GGUF_F64] = 8,
};

/* Bytes are assembled, so any alignment and any byte order of the machine will do. */
static uint64_t read_le(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;

    while (n-- > 0)
        v = v << 8 | p[n];
    return v;
}

/* ------------------------------------------------------------------ the walk */

/* There are n more bytes to look at. Out of bytes that were read is RC_E_INTERNAL with
 * `need` set; out of file is the file's fault. */
static rc_code have(walk *w, uint64_t n, const char *what)
{
    rc_code rc;

    if (n > w->file_len - w->at) {
        rc = rc_fail(w->err, RC_E_DATA, w->at, "file ends inside %s", what);
        rc_err_want(w->err, "%" PRIu64 " more bytes", n);
        rc_err_got(w->err, "%" PRIu64, w->file_len - w->at);
        return rc;
    }
    if (n > RC_GGUF_MAX_HEAD || w->at + n > RC_GGUF_MAX_HEAD)
        return rc_fail(w->err, RC_E_LIMIT, w->at,
                       "everything before the data is more than %u bytes", RC_GGUF_MAX_HEAD);
    if (w->at + n > w->len) {
        w->need = w->at + n;
        return rc_fail(w->err, RC_E_INTERNAL, w->at, "only %zu bytes of the file were looked at",
                       w->len);
    }
    return RC_OK;
}

/* A little-endian number of n bytes. */
static rc_code number(walk *w, unsigned n, uint64_t *out, const char *what)
{
    RC_TRY(have(w, n, what));
    *out = read_le(w->bytes + w->at, n);
    w->at += n;
    return RC_OK;
}

/* A string of min..max bytes: *at is its first. */
static rc_code string(walk *w, uint64_t min, uint64_t max, const uint8_t **at, uint64_t *len,
                      const char *what)
{
    const uint64_t start = w->at;

    RC_TRY(number(w, 8, len, what));
    if (*len < min || *len > max) {
        rc_fail(w->err, RC_E_DATA, start, *len < min ? "%s is empty" : "%s is too long", what);
        rc_err_want(w->err, "%" PRIu64 " to %" PRIu64 " bytes", min, max);
        rc_err_got(w->err, "%" PRIu64, *len);
        return RC_E_DATA;
    }
    RC_TRY(have(w, *len, what));
    *at = w->bytes + w->at;
    w->at += *len;
    return RC_OK;
}

/* A key or a tensor's name: printable ASCII, as the format wants of keys and as all names
 * are. A NUL would make two names one, others would have to be escaped everywhere. */
static rc_code name(walk *w, uint64_t max, const char **out, const char *what)
{
    const uint8_t *s;
    uint64_t len;
    char *copy;

    RC_TRY(string(w, 1, max, &s, &len, what));
    for (uint64_t i = 0; i < len; i++)
        if (s[i] <= 0x20 || s[i] >= 0x7f) {
            rc_fail(w->err, RC_E_DATA, w->at - len + i, "%s has a byte that no name has", what);
            rc_err_got(w->err, "0x%02x", s[i]);
            return RC_E_DATA;
        }
    *out = NULL;
    if (!w->g)
        return RC_OK;
    *out = copy = rc_arena_strdup(&w->g->text, (const char *)s, (size_t)len);
    return copy ? RC_OK : rc_fail_nomem(w->err, w->g->mem, (size_t)len + 1);
}

/* Enter position i of an array into its table, or say where the name was before. */
static rc_code enter(walk *w, rc_names *table, const uint64_t *places, size_t i, const char *s,
                     const char *what)
{
    const size_t twin = rc_names_find(table, s, strlen(s));

    if (twin != RC_NAMES_NONE) {
        rc_fail(w->err, RC_E_DATA, places[i], "%s twice, first at byte %" PRIu64, what,
                places[twin]);
        rc_err_tensor(w->err, s);
        return RC_E_DATA;
    }
    return rc_names_add(table, i) ? RC_OK : rc_fail_nomem(w->err, w->g->mem, sizeof(uint32_t));
}

/* ---------------------------------------------------------------- magic, counts */

static bool is_magic(const uint8_t *p, const char *magic)
{
    return memcmp(p, magic, 4) == 0;
}

static rc_code check_magic(walk *w)
{
    static const char *const older[] = { "lmgg", "tjgg", "fmgg", "algg", "ggml",
                                         "ggjt", "ggmf", "ggla", "GGML" };
    const uint8_t *p = w->bytes;

    RC_TRY(have(w, 4, "its magic"));
    w->at = 4;
    if (is_magic(p, "GGUF"))
        return RC_OK;
    for (size_t i = 0; i < sizeof older / sizeof *older; i++)
        if (is_magic(p, older[i])) {
            rc_fail(w->err, RC_E_UNSUPPORTED, 0, "a file of ggml from before GGUF");
            rc_err_hint(w->err, "convert the original checkpoint again");
            return RC_E_UNSUPPORTED;
        }
    rc_fail(w->err, RC_E_DATA, 0, "not a GGUF file");
    rc_err_want(w->err, "GGUF");
    rc_err_got(w->err, "%02x %02x %02x %02x", p[0], p[1], p[2], p[3]);
    if (is_magic(p, "FUGG"))
        rc_err_hint(w->err, "byte order? GGUF files for little-endian machines are read");
    return RC_E_DATA;
}

static rc_code check_version(walk *w)
{
    uint64_t version;
    rc_code rc;

    RC_TRY(number(w, 4, &version, "its version"));
    if (version == 3)
        return RC_OK;
    /* 3 read in the wrong order has nothing in its low half */
    rc = version == 0 || !(version & 0xffff) ? RC_E_DATA : RC_E_UNSUPPORTED;
    rc_fail(w->err, rc, 4, "GGUF version %" PRIu64, version);
    rc_err_want(w->err, "3");
    rc_err_got(w->err, "%" PRIu64, version);
    if (version && rc == RC_E_DATA)
        rc_err_hint(w->err, "byte order? GGUF files for little-endian machines are read");
    return rc;
}

/* A count of things that take `least` bytes each. */
static rc_code count(walk *w, uint64_t least, uint64_t max, uint64_t *out, const char *what)
{
    const uint64_t at = w->at;

    RC_TRY(number(w, 8, out, "its counts"));
    if (*out > (w->file_len - w->at) / least) {
        rc_fail(w->err, RC_E_DATA, at, "more %s than the file has room for", what);
        rc_err_want(w->err, "at most %" PRIu64, (w->file_len - w->at) / least);
        rc_err_got(w->err, "%" PRIu64, *out);
        return RC_E_DATA;
    }
    if (*out > max)
        return rc_fail(w->err, RC_E_LIMIT, at, "%" PRIu64 " %s, limit %" PRIu64, *out, what, max);
    return RC_OK;
}

/* -------------------------------------------------------------- keys and values */

static rc_code type_of(walk *w, rc_gguf_type *out, bool in_array)
{
    const uint64_t at = w->at;
    uint64_t type;

    RC_TRY(number(w, 4, &type, "a value's type"));
    if (type >= RC_GGUF_TYPES || (in_array && type == RC_GGUF_ARR)) {
        rc_fail(w->err, RC_E_DATA, at,
                type < RC_GGUF_TYPES ? "an array of arrays" : "no such type of value");
        rc_err_got(w->err, "%" PRIu64, type);
        return RC_E_DATA;
    }
    *out = (rc_gguf_type)type;
    return RC_OK;
}

static rc_code check_bools(walk *w, const rc_gguf_kv *kv)
{
    for (uint64_t i = 0; i < kv->count; i++)
        if (kv->data[i] > 1)
            return rc_fail(w->err, RC_E_DATA, w->at + i, "a truth value that is neither 0 nor 1");
    return RC_OK;
}

/* `count` values of a type that takes bytes of its own. */
static rc_code numbers(walk *w, rc_gguf_kv *kv, rc_gguf_type type)
{
    uint64_t n;

    if (!rc_mul_u64(kv->count, value_bytes[type], &n))
        n = UINT64_MAX; /* of bytes that no file has */
    RC_TRY(have(w, n, "a value"));
    kv->data = w->bytes + w->at;
    if (type == RC_GGUF_BOOL)
        RC_TRY(check_bools(w, kv));
    w->at += n;
    return RC_OK;
}

static rc_code strings(walk *w, rc_gguf_kv *kv)
{
    const uint8_t *s;
    uint64_t len;

    if (kv->count > (w->file_len - w->at) / 8) {
        rc_fail(w->err, RC_E_DATA, w->at, "more strings in an array than the file has room for");
        rc_err_got(w->err, "%" PRIu64, kv->count);
        return RC_E_DATA;
    }
    kv->data = w->bytes + w->at;
    for (uint64_t i = 0; i < kv->count; i++)
        RC_TRY(string(w, 0, UINT64_MAX, &s, &len, "a string of an array"));
    return RC_OK;
}

static rc_code value(walk *w, rc_gguf_kv *kv)
{
    RC_TRY(type_of(w, &kv->type, false));
    kv->count = 1;
    if (kv->type == RC_GGUF_STR)
        return string(w, 0, UINT64_MAX, &kv->data, &kv->count, "a string");
    if (kv->type != RC_GGUF_ARR)
        return numbers(w, kv, kv->type);
    RC_TRY(type_of(w, &kv->elem, true));
    RC_TRY(number(w, 8, &kv->count, "an array's length"));
    return kv->elem == RC_GGUF_STR ? strings(w, kv) : numbers(w, kv, kv->elem);
}

static rc_code set_alignment(walk *w, const rc_gguf_kv *kv, uint64_t at)
{
    const uint64_t v = kv->type == RC_GGUF_U32 ? read_le(kv->data, 4) : 0;

    if (v && v <= MAX_ALIGNMENT && !(v & (v - 1))) {
        w->alignment = (uint32_t)v;
        return RC_OK;
    }
    rc_fail(w->err, RC_E_DATA, at, "general.alignment");
    rc_err_want(w->err, "a power of two up to %d, as u32", MAX_ALIGNMENT);
    if (kv->type == RC_GGUF_U32)
        rc_err_got(w->err, "%" PRIu64, v);
    else
        rc_err_got(w->err, "a value of type %d", (int)kv->type);
    return RC_E_DATA;
}

static rc_code one_kv(walk *w, size_t i)
{
    static const char alignment[] = "general.alignment";
    const uint64_t at = w->at;
    rc_gguf_kv kv = { 0 };
    bool is_alignment;

    RC_TRY(name(w, MAX_KEY, &kv.key, "a key"));
    is_alignment = w->at - at == 8 + sizeof alignment - 1 &&
                   memcmp(w->bytes + at + 8, alignment, sizeof alignment - 1) == 0;
    if (w->g) {
        w->g->kvs[i] = kv; /* the table looks at it */
        w->g->kv_at[i] = at;
        RC_TRY(enter(w, &w->g->keys, w->g->kv_at, i, kv.key, "a key"));
    }
    RC_TRY(value(w, &kv));
    if (w->g)
        w->g->kvs[i] = kv;
    return is_alignment ? set_alignment(w, &kv, at) : RC_OK;
}

/* ------------------------------------------------------------------ the tensors */

static rc_code tensor_type(walk *w, rc_gguf_tensor *t)
{
    const uint64_t at = w->at;
    uint64_t id;
    rc_code rc;

    RC_TRY(number(w, 4, &id, "a tensor's type"));
    t->type = rc_ggml_type_of((uint32_t)id);
    if (t->type)
        return RC_OK;
    rc = id > INT32_MAX ? RC_E_DATA : RC_E_UNSUPPORTED;
    return rc_fail(w->err, rc, at, "tensor type %" PRIu64 " was removed from ggml or is newer", id);
}

/* Dimensions in the order of the file, innermost first. */
static rc_code dimensions(walk *w, rc_gguf_tensor *t)
{
    const uint64_t at = w->at;
    uint64_t rank, elements = 1;

    RC_TRY(number(w, 4, &rank, "a tensor's dimensions"));
    if (rank == 0 || rank > RC_GGUF_MAX_RANK) {
        rc_fail(w->err, RC_E_DATA, at, "number of dimensions");
        rc_err_want(w->err, "1 to %u", RC_GGUF_MAX_RANK);
        rc_err_got(w->err, "%" PRIu64, rank);
        return RC_E_DATA;
    }
    t->rank = (unsigned)rank;
    for (unsigned i = t->rank; i-- > 0;) {
        const uint64_t dim_at = w->at;

        RC_TRY(number(w, 8, &t->shape[i], "a tensor's dimensions"));
        if (t->shape[i] == 0 || t->shape[i] > INT64_MAX) {
            rc_fail(w->err, RC_E_DATA, dim_at, "a dimension that no tensor has");
            rc_err_got(w->err, "%" PRId64, (int64_t)t->shape[i]);
            return RC_E_DATA;
        }
        if (!rc_mul_u64(elements, t->shape[i], &elements) || elements > INT64_MAX)
            return rc_fail(w->err, RC_E_DATA, dim_at, "more elements than can be counted");
    }
    return RC_OK;
}

static rc_code size_of(walk *w, rc_gguf_tensor *t, uint64_t at)
{
    const uint64_t row = t->shape[t->rank - 1];
    uint64_t blocks;

    if (row % t->type->block) {
        rc_fail(w->err, RC_E_DATA, at, "rows are not whole blocks of %s", t->type->name);
        rc_err_want(w->err, "a multiple of %u", t->type->block);
        rc_err_got(w->err, "%" PRIu64, row);
        return RC_E_DATA;
    }
    blocks = row / t->type->block;
    for (unsigned i = 0; i + 1 < t->rank; i++)
        blocks *= t->shape[i]; /* less than the elements */
    if (!rc_mul_u64(blocks, t->type->bytes, &t->nbytes))
        return rc_fail(w->err, RC_E_DATA, at, "more bytes than can be counted");
    return RC_OK;
}

/* A tensor begins where the one before it ends, padded: loaders refuse gaps. t->begin is
 * relative to the data until the head is whole. */
static rc_code place(walk *w, rc_gguf_tensor *t)
{
    const uint64_t at = w->at;
    uint64_t padded;

    RC_TRY(number(w, 8, &t->begin, "a tensor's offset"));
    if (t->begin != w->data_len) {
        rc_fail(w->err, RC_E_DATA, at, "the offset is not where the tensor before it ends");
        rc_err_want(w->err, "%" PRIu64, w->data_len);
        rc_err_got(w->err, "%" PRIu64, t->begin);
        return RC_E_DATA;
    }
    if (t->nbytes > w->file_len || w->data_len > w->file_len - t->nbytes) {
        rc_fail(w->err, RC_E_DATA, at, "the tensor ends past the end of the file");
        rc_err_want(w->err, "%" PRIu64 " bytes of data or more", t->nbytes);
        rc_err_got(w->err, "a file of %" PRIu64, w->file_len);
        rc_err_hint(w->err, "an unfinished download? fetch this file again");
        return RC_E_DATA;
    }
    padded = rc_ceil_div(t->nbytes, w->alignment) * w->alignment; /* below 2^63 + 2^20 */
    w->data_len += padded;
    return RC_OK;
}

static rc_code describe(walk *w, rc_gguf_tensor *t, uint64_t at)
{
    RC_TRY(dimensions(w, t));
    RC_TRY(tensor_type(w, t));
    RC_TRY(size_of(w, t, at));
    return place(w, t);
}

static rc_code one_tensor(walk *w, size_t i)
{
    const uint64_t at = w->at;
    rc_gguf_tensor t = { 0 };
    rc_code rc;

    RC_TRY(name(w, RC_GGUF_MAX_NAME, &t.name, "a tensor's name"));
    if (w->g) {
        w->g->tensors[i] = t;
        w->g->tensor_at[i] = at;
        RC_TRY(enter(w, &w->g->names, w->g->tensor_at, i, t.name, "a tensor"));
    }
    rc = describe(w, &t, at);
    if (rc != RC_OK && t.name)
        rc_err_tensor(w->err, t.name);
    if (w->g)
        w->g->tensors[i] = t;
    return rc;
}

/* --------------------------------------------------------------------- the whole */

static rc_code make_room(walk *w, uint64_t nkvs, uint64_t ntensors)
{
    rc_gguf *g = w->g;

    g->nkvs = (size_t)nkvs;
    g->ntensors = (size_t)ntensors;
    g->kvs = rc_mem_get(g->mem, g->nkvs * sizeof *g->kvs);
    g->kv_at = rc_mem_get(g->mem, g->nkvs * sizeof *g->kv_at);
    g->tensors = rc_mem_get(g->mem, g->ntensors * sizeof *g->tensors);
    g->tensor_at = rc_mem_get(g->mem, g->ntensors * sizeof *g->tensor_at);
    if (!g->kvs || !g->kv_at || !g->tensors || !g->tensor_at ||
        !rc_names_reserve(&g->keys, g->nkvs) || !rc_names_reserve(&g->names, g->ntensors))
        return rc_fail_nomem(w->err, g->mem,
                             g->nkvs * sizeof *g->kvs + g->ntensors * sizeof *g->tensors);
    return RC_OK;
}

/* Over everything before the data; afterwards w->at is where the infos end. */
static rc_code walk_head(walk *w)
{
    uint64_t ntensors, nkvs;

    RC_TRY(check_magic(w));
    RC_TRY(check_version(w));
    RC_TRY(count(w, MIN_TENSOR, MAX_TENSORS, &ntensors, "tensors"));
    RC_TRY(count(w, MIN_KV, MAX_KVS, &nkvs, "keys"));
    if (w->g)
        RC_TRY(make_room(w, nkvs, ntensors));
    for (size_t i = 0; i < nkvs; i++)
        RC_TRY(one_kv(w, i));
    for (size_t i = 0; i < ntensors; i++)
        RC_TRY(one_tensor(w, i));
    return RC_OK;
}

/* Where the data begins: a file without tensors may end before. */
static uint64_t data_begin(const walk *w)
{
    const uint64_t padded = rc_ceil_div(w->at, w->alignment) * w->alignment;

    return w->data_len == 0 && padded > w->file_len ? w->file_len : padded;
}

rc_code rc_gguf_need(const uint8_t *bytes, size_t len, uint64_t file_len, uint64_t *need,
                     rc_err *err)
{
    rc_err why = { 0 };
    walk w = { .bytes = bytes,
               .len = len,
               .file_len = file_len,
               .alignment = RC_GGUF_ALIGNMENT,
               .err = &why };
    const rc_code rc = walk_head(&w);

    *need = 0;
    if (rc == RC_E_INTERNAL) {
        *need = w.need;
        return RC_OK;
    }
    if (rc != RC_OK) {
        if (err)
            *err = why;
        return rc;
    }
    *need = data_begin(&w) < file_len ? data_begin(&w) : file_len;
    return RC_OK;
}

static const rc_gguf_tensor *last_tensor(const rc_gguf *g)
{
    return g->ntensors ? &g->tensors[g->ntensors - 1] : NULL;
}

/* The data fills the rest of the file: no byte missing, none too many. */
static rc_code check_data(const walk *w, const rc_log *log)
{
    const rc_gguf_tensor *last = last_tensor(w->g);
    const uint64_t file_len = w->file_len, off = w->g->data_off;
    const uint64_t end = last ? off + last->begin + last->nbytes : off;

    if (end > file_len) {
        rc_fail(w->err, RC_E_DATA, file_len, "file ends inside its data");
        rc_err_want(w->err, "%" PRIu64 " bytes", end);
        rc_err_got(w->err, "%" PRIu64, file_len);
        rc_err_hint(w->err, "an unfinished download? fetch this file again");
        for (size_t i = 0; i < w->g->ntensors; i++) {
            const rc_gguf_tensor *t = &w->g->tensors[i];

            if (off + t->begin + t->nbytes > file_len) {
                rc_err_tensor(w->err, t->name); /* the first that is cut */
                break;
            }
        }
        return RC_E_DATA;
    }
    if (file_len > off + w->data_len)
        return rc_fail(w->err, RC_E_DATA, off + w->data_len,
                       "%" PRIu64 " bytes after the last tensor", file_len - off - w->data_len);
    if (file_len < off + w->data_len)
        rc_warn(log, NULL, last->name, end, "the padding after the last tensor is missing");
    return RC_OK;
}

static void check_padding(const walk *w, const rc_log *log)
{
    for (uint64_t i = w->at; i < w->g->data_off && i < w->len; i++)
        if (w->bytes[i]) {
            rc_warn(log, NULL, NULL, i, "padding before the data is not zero");
            return;
        }
}

static const char *key_at(const void *owner, size_t i)
{
    return ((const rc_gguf *)owner)->kvs[i].key;
}

static const char *tensor_name_at(const void *owner, size_t i)
{
    return ((const rc_gguf *)owner)->tensors[i].name;
}

static rc_code parse(walk *w, const rc_log *log)
{
    rc_gguf *g = w->g;

    RC_TRY(walk_head(w));
    g->data_off = data_begin(w);
    RC_TRY(check_data(w, log));
    if (w->len < g->data_off)
        return rc_fail(w->err, RC_E_INTERNAL, w->at, "only %zu bytes of the file were looked at",
                       w->len);
    check_padding(w, log);
    for (size_t i = 0; i < g->ntensors; i++)
        g->tensors[i].begin += g->data_off;
    return RC_OK;
}

rc_code rc_gguf_new(rc_gguf **out, uint8_t *head, size_t len, uint64_t file_len, const rc_log *log,
                    rc_mem *mem, rc_err *err)
{
    rc_gguf *g = rc_mem_get(mem, sizeof *g);
    walk w = { .bytes = head,
               .len = len,
               .file_len = file_len,
               .alignment = RC_GGUF_ALIGNMENT,
               .g = g,
               .err = err };
    rc_code rc;

    *out = NULL;
    if (!g)
        return rc_fail_nomem(err, mem, sizeof *g);
    g->mem = g->text.mem = mem;
    rc_names_init(&g->keys, mem, key_at, g);
    rc_names_init(&g->names, mem, tensor_name_at, g);
    rc = parse(&w, log);
    if (rc != RC_OK) {
        rc_gguf_free(&g);
        return rc;
    }
    g->head = head;
    *out = g;
    return RC_OK;
}

void rc_gguf_free(rc_gguf **gguf)
{
    rc_gguf *g = *gguf;

    *gguf = NULL;
    if (!g)
        return;
    rc_names_free(&g->keys);
    rc_names_free(&g->names);
    rc_mem_put(g->mem, g->kvs);
    rc_mem_put(g->mem, g->kv_at);
    rc_mem_put(g->mem, g->tensors);
    rc_mem_put(g->mem, g->tensor_at);
    rc_arena_free(&g->text);
    rc_mem_put(g->mem, g->head);
    rc_mem_put(g->mem, g);
}

/* -------------------------------------------------------------------- what it says */

size_t rc_gguf_kvs(const rc_gguf *g)
{
    return g->nkvs;
}

const rc_gguf_kv *rc_gguf_kv_at(const rc_gguf *g, size_t i)
{
    return &g->kvs[i];
}

const rc_gguf_kv *rc_gguf_find(const rc_gguf *g, const char *key)
{
    const size_t i = rc_names_find(&g->keys, key, strlen(key));

    return i == RC_NAMES_NONE ? NULL : &g->kvs[i];
}

size_t rc_gguf_tensors(const rc_gguf *g)
{
    return g->ntensors;
}

const rc_gguf_tensor *rc_gguf_tensor_at(const rc_gguf *g, size_t i)
{
    return &g->tensors[i];
}

uint64_t rc_gguf_data_off(const rc_gguf *g)
{
    return g->data_off;
}

/* A number that is not negative, from any type of integer. */
static bool to_u64(rc_gguf_type type, const uint8_t *p, uint64_t *out)
{
    const bool is_signed =
        type == RC_GGUF_I8 || type == RC_GGUF_I16 || type == RC_GGUF_I32 || type == RC_GGUF_I64;
    const unsigned n = value_bytes[type];

    if (n == 0 || type == RC_GGUF_F32 || type == RC_GGUF_F64 || type == RC_GGUF_BOOL)
        return false;
    *out = read_le(p, n);
    return !is_signed || !(*out >> (8 * n - 1));
}

static bool to_f64(rc_gguf_type type, const uint8_t *p, double *out)
{
    if (type == RC_GGUF_F32) {
        const uint32_t bits = (uint32_t)read_le(p, 4);
        float f;

        memcpy(&f, &bits, sizeof f);
        *out = (double)f;
    } else if (type == RC_GGUF_F64) {
        const uint64_t bits = read_le(p, 8);

        memcpy(out, &bits, sizeof *out);
    }
    return type == RC_GGUF_F32 || type == RC_GGUF_F64;
}

bool rc_gguf_get_u64(const rc_gguf *g, const char *key, uint64_t *out)
{
    const rc_gguf_kv *kv = rc_gguf_find(g, key);

    return kv && to_u64(kv->type, kv->data, out);
}

bool rc_gguf_get_f64(const rc_gguf *g, const char *key, double *out)
{
    const rc_gguf_kv *kv = rc_gguf_find(g, key);

    return kv && to_f64(kv->type, kv->data, out);
}

bool rc_gguf_get_bool(const rc_gguf *g, const char *key, bool *out)
{
    const rc_gguf_kv *kv = rc_gguf_find(g, key);

    if (!kv || kv->type != RC_GGUF_BOOL)
        return false;
    *out = kv->data[0] != 0;
    return true;
}

bool rc_gguf_get_str(const rc_gguf *g, const char *key, char *out, size_t n)
{
    const rc_gguf_kv *kv = rc_gguf_find(g, key);
    size_t len;

    if (!kv || kv->type != RC_GGUF_STR || n == 0)
        return false;
    len = kv->count < n ? (size_t)kv->count : n - 1;
    memcpy(out, kv->data, len);
    out[len] = '\0';
    return true;
}

bool rc_gguf_arr_u64(const rc_gguf_kv *kv, uint64_t i, uint64_t *out)
{
    return kv->type == RC_GGUF_ARR && i < kv->count &&
           to_u64(kv->elem, kv->data + i * value_bytes[kv->elem], out);
}

bool rc_gguf_arr_f64(const rc_gguf_kv *kv, uint64_t i, double *out)
{
    return kv->type == RC_GGUF_ARR && i < kv->count &&
           to_f64(kv->elem, kv->data + i * value_bytes[kv->elem], out);
}

bool rc_gguf_arr_str(const rc_gguf_kv *kv, const uint8_t **at, uint64_t *i, const char **s,
                     size_t *len)
{
    if (kv->type != RC_GGUF_ARR || kv->elem != RC_GGUF_STR || *i >= kv->count)
        return false;
    *len = (size_t)read_le(*at, 8); /* checked when the head was parsed */
    *s = (const char *)*at + 8;
    *at += 8 + *len;
    ++*i;
    return true;
}
