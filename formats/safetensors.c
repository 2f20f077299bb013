/* formats/safetensors.c - one pass over the header's JSON, then the tiling. */
#include "formats/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "formats/base/json.h"
#include "formats/base/names.h"

struct rc_st {
    rc_mem *mem;
    rc_arena names;        /* the tensors' names */
    rc_st_entry *entries;  /* as the header lists them */
    rc_st_entry **by_data; /* as they lie in the file */
    size_t count, cap;
    uint64_t data_off, data_len; /* bytes; data_off + data_len == size of the file */
    rc_names find;
};

/* ---------------------------------------------------------------------- peek */

static uint64_t read_le64(const uint8_t *p)
{
    uint64_t v = 0;

    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static bool starts(const uint8_t *head, size_t n, const char *magic, size_t magic_len)
{
    return n >= magic_len && memcmp(head, magic, magic_len) == 0;
}

/* Files that people have in place of a shard. */
static const struct {
    const char *magic;
    size_t len;
    const char *what, *hint;
} others[] = {
    { "GGUF", 4, "a GGUF file", "recast reads safetensors checkpoints" },
    { "PK\3\4", 4, "a zip archive or PyTorch .bin/.pt file",
      "get the .safetensors files of this model" },
    { "\x80\x02", 2, "a Python pickle", "get the .safetensors files of this model" },
    { "\x80\x03", 2, "a Python pickle", "get the .safetensors files of this model" },
    { "\x80\x04", 2, "a Python pickle", "get the .safetensors files of this model" },
    { "\x80\x05", 2, "a Python pickle", "get the .safetensors files of this model" },
    { "version https://git-lfs", 23, "a Git LFS pointer, not the file it stands for",
      "run 'git lfs pull' in the checkpoint" },
    { "# xet version", 13, "a Xet pointer, not the file it stands for",
      "download the checkpoint with its large files" },
    { "\x1f\x8b", 2, "a gzip file", "unpack it first" },
    { "\x28\xb5\x2f\xfd", 4, "a zstd file", "unpack it first" },
};

static rc_code fail_other(rc_err *err, const char *what, const char *hint)
{
    const rc_code rc =
        rc_fail(err, RC_E_DATA, 0, "not a safetensors file: this looks like %s", what);

    rc_err_hint(err, "%s", hint);
    return rc;
}

/* Called when the length field or the first header byte is wrong: is there a
 * better thing to say? RC_OK when not. `head` holds 8 bytes or more. */
static rc_code recognise(const uint8_t *head, size_t n, uint64_t file_len, rc_err *err)
{
    /* A short magic may also be the start of a sound length. */
    const bool absurd = read_le64(head) > RC_ST_MAX_HEADER;
    size_t text = 0, zeros = 0, blank = 0;

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if ((others[i].len > 2 || absurd) && starts(head, n, others[i].magic, others[i].len))
            return fail_other(err, others[i].what, others[i].hint);
    while (blank < n && memchr(" \t\r\n", head[blank], 4))
        blank++;
    if (blank < n && head[blank] == '<')
        return fail_other(err, "an HTML page", "a web page was saved in place of the download");
    while (zeros < n && head[zeros] == 0)
        zeros++;
    if (zeros == n && n > 8)
        return fail_other(err, "an unfinished download: its first bytes are all zero",
                          "fetch this file again");
    while (text < n && text < 16 && (head[text] >= 0x20 ? head[text] < 0x7f : head[text] > 8))
        text++;
    if (text >= 8 && (text == 16 || text == n))
        return fail_other(err, "a text, perhaps a server's error message", "fetch this file again");
    if (absurd) {
        const uint64_t swapped = __builtin_bswap64(read_le64(head));

        if (swapped >= 2 && swapped <= RC_ST_MAX_HEADER && swapped <= file_len - 8) {
            const rc_code rc = rc_fail(err, RC_E_DATA, 0, "header length has its bytes swapped");

            rc_err_hint(err, "byte order? safetensors is little-endian");
            return rc;
        }
    }
    return RC_OK;
}

rc_code rc_st_peek(const uint8_t *head, size_t head_len, uint64_t file_len, uint64_t *header_end,
                   rc_err *err)
{
    uint64_t n;
    rc_code rc;

    if (head_len > file_len)
        head_len = (size_t)file_len;
    *header_end = 0;
    if (file_len < 8)
        return rc_fail(err, RC_E_DATA, 0, "file is %" PRIu64 " bytes, need at least 8", file_len);
    if (head_len < 8)
        return rc_fail(err, RC_E_INTERNAL, 0, "only %zu bytes of the file were looked at",
                       head_len);
    n = read_le64(head);
    if (n > RC_ST_MAX_HEADER) {
        RC_TRY(recognise(head, head_len, file_len, err));
        rc = rc_fail(err, RC_E_DATA, 0,
                     "header %" PRIu64 " bytes, limit %u, in a file of %" PRIu64 " bytes", n,
                     RC_ST_MAX_HEADER, file_len);
        return rc;
    }
    if (n > file_len - 8) {
        RC_TRY(recognise(head, head_len, file_len, err));
        rc = rc_fail(err, RC_E_DATA, file_len,
                     "file ends inside its header: %" PRIu64 " bytes stated, %" PRIu64 " there are",
                     n, file_len - 8);
        rc_err_want(err, "%" PRIu64 " bytes or more", n + 8);
        rc_err_got(err, "%" PRIu64, file_len);
        rc_err_hint(err, "an unfinished download? fetch this file again");
        return rc;
    }
    if (n < 2 || (head_len > 8 && head[8] != '{' && head[8] != ' ')) {
        RC_TRY(recognise(head, head_len, file_len, err));
        return rc_fail(err, RC_E_DATA, 8, "header is not a JSON object");
    }
    *header_end = 8 + n;
    return RC_OK;
}

/* --------------------------------------------------------------------- parse */

enum { HAS_DTYPE = 1, HAS_SHAPE = 2, HAS_OFFSETS = 4 };

/* What the value of the current depth-2 key is. */
typedef enum field { FIELD_DTYPE, FIELD_SHAPE, FIELD_OFFSETS, FIELD_UNKNOWN } field;

typedef struct builder {
    rc_st *st;
    const rc_log *log;
    bool warned;      /* of unknown fields */
    bool in_metadata; /* the current depth-1 key is __metadata__ */
    rc_st_entry *t;   /* the tensor being read */
    unsigned have;    /* HAS_* */
    field field;
    unsigned n; /* numbers seen in the current array */
    uint64_t offsets[2];
    uint64_t entry_offset, shape_offset, offsets_offset; /* of the values, for messages */
} builder;

static rc_code fail_tensor(rc_err *err, rc_code code, uint64_t offset, const rc_st_entry *t,
                           const char *what)
{
    rc_fail(err, code, offset, "%s", what);
    rc_err_tensor(err, t->name);
    return code;
}

static rc_code new_entry(builder *b, const rc_json_event *ev, rc_err *err)
{
    rc_st *st = b->st;
    char *name;

    if (ev->len == 0)
        return rc_fail(err, RC_E_DATA, ev->offset, "tensor name is empty");
    if (ev->len > RC_ST_MAX_NAME) {
        rc_fail(err, RC_E_DATA, ev->offset, "tensor name is too long");
        rc_err_want(err, "at most %u bytes", RC_ST_MAX_NAME);
        rc_err_got(err, "%zu", ev->len);
        return RC_E_DATA;
    }
    if (st->count == RC_ST_MAX_COUNT)
        return rc_fail(err, RC_E_LIMIT, ev->offset, "more than %u tensors in one file",
                       RC_ST_MAX_COUNT);
    if (st->count == st->cap) {
        size_t cap = st->cap ? st->cap + st->cap / 2 : 64;
        rc_st_entry *grown;

        if (cap > RC_ST_MAX_COUNT)
            cap = RC_ST_MAX_COUNT;
        grown = rc_mem_grow(st->mem, st->entries, cap * sizeof *grown);
        if (!grown)
            return rc_fail_nomem(err, st->mem, cap * sizeof *grown);
        st->entries = grown;
        st->cap = cap;
    }
    name = rc_arena_strdup(&st->names, ev->text, ev->len);
    if (!name)
        return rc_fail_nomem(err, st->mem, ev->len + 1);
    b->t = &st->entries[st->count++];
    *b->t = (rc_st_entry){ .name = name, .key_offset = ev->offset };
    b->have = 0;
    b->shape_offset = b->offsets_offset = ev->offset;
    return RC_OK;
}

static rc_code field_name(builder *b, const rc_json_event *ev, rc_err *err)
{
    static const struct {
        const char *name;
        size_t len;
        field field;
    } known[] = { { "dtype", 5, FIELD_DTYPE },
                  { "shape", 5, FIELD_SHAPE },
                  { "data_offsets", 12, FIELD_OFFSETS } };
    char shown[64];

    (void)err;
    b->n = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (ev->len == known[i].len && memcmp(ev->text, known[i].name, ev->len) == 0) {
            b->field = known[i].field;
            return RC_OK;
        }
    b->field = FIELD_UNKNOWN;
    if (!b->warned)
        rc_warn(b->log, NULL, b->t->name, ev->offset, "unknown field \"%s\" is ignored",
                rc_escape(shown, sizeof shown, ev->text, ev->len));
    b->warned = true;
    return RC_OK;
}

static rc_code field_dtype(builder *b, const rc_json_event *ev, rc_err *err)
{
    char shown[64];

    if (ev->type != RC_JSON_STRING)
        return fail_tensor(err, RC_E_DATA, ev->offset, b->t, "dtype is not a string");
    if (!rc_dtype_parse(ev->text, ev->len, &b->t->dtype)) {
        rc_fail(err, RC_E_DATA, ev->offset, "unknown dtype \"%s\"",
                rc_escape(shown, sizeof shown, ev->text, ev->len));
        rc_err_tensor(err, b->t->name);
        return RC_E_DATA;
    }
    b->have |= HAS_DTYPE;
    return RC_OK;
}

/* A number in shape or data_offsets. */
static rc_code field_number(builder *b, const rc_json_event *ev, rc_err *err)
{
    const bool shape = b->field == FIELD_SHAPE;
    uint64_t v;

    if (b->n == (shape ? RC_ST_MAX_RANK : 2)) {
        rc_fail(err, RC_E_DATA, ev->offset,
                shape ? "shape has more than %d dimensions"
                      : "data_offsets has more than %d numbers",
                shape ? RC_ST_MAX_RANK : 2);
        rc_err_tensor(err, b->t->name);
        return RC_E_DATA;
    }
    if (!rc_json_u64(ev, &v)) {
        char shown[48];

        rc_fail(err, RC_E_DATA, ev->offset, "%s[%u] is not a whole number of 64 bits",
                shape ? "shape" : "data_offsets", b->n);
        rc_err_tensor(err, b->t->name);
        rc_err_want(err, "digits");
        rc_err_got(err, "%s", rc_escape(shown, sizeof shown, ev->text, ev->len));
        return RC_E_DATA;
    }
    if (shape)
        b->t->shape[b->n] = v;
    else
        b->offsets[b->n] = v;
    b->n++;
    return RC_OK;
}

/* All fields are there: does the range fit the shape? Its place among the other
 * tensors is judged later, when all are known. */
static rc_code end_entry(builder *b, rc_err *err)
{
    rc_st_entry *t = b->t;
    uint64_t bits, nbytes;

    if (!(b->have & HAS_DTYPE))
        return fail_tensor(err, RC_E_DATA, b->entry_offset, t, "dtype is missing");
    if (!(b->have & HAS_SHAPE))
        return fail_tensor(err, RC_E_DATA, b->entry_offset, t, "shape is missing");
    if (!(b->have & HAS_OFFSETS))
        return fail_tensor(err, RC_E_DATA, b->entry_offset, t, "data_offsets is missing");
    bits = rc_dtype_bits(t->dtype);
    for (unsigned i = 0; i < t->rank; i++)
        if (!rc_mul_u64(bits, t->shape[i], &bits))
            return fail_tensor(err, RC_E_DATA, b->shape_offset, t,
                               "size overflow: shape times dtype is over 2^64 bits");
    if (bits % 8)
        return fail_tensor(err, RC_E_DATA, b->shape_offset, t, "not a whole number of bytes");
    nbytes = bits / 8;
    if (b->offsets[0] > b->offsets[1])
        return fail_tensor(err, RC_E_DATA, b->offsets_offset, t,
                           "data_offsets end before they begin");
    if (b->offsets[1] - b->offsets[0] != nbytes) {
        if (b->offsets[1] > b->st->data_len) {
            fail_tensor(err, RC_E_DATA, b->offsets_offset, t,
                        "data_offsets end past the data section");
            rc_err_want(err, "<= %" PRIu64, b->st->data_len);
            rc_err_got(err, "%" PRIu64, b->offsets[1]);
        } else {
            fail_tensor(err, RC_E_DATA, b->offsets_offset, t,
                        "data_offsets do not span what shape and dtype need");
            rc_err_want(err, "%" PRIu64 " bytes", nbytes);
            rc_err_got(err, "%" PRIu64, b->offsets[1] - b->offsets[0]);
        }
        return RC_E_DATA;
    }
    if (!rc_dtype_usable(t->dtype)) {
        rc_fail(err, RC_E_UNSUPPORTED, b->entry_offset,
                "dtype %s has no place in a DeepSeek-V4 checkpoint", rc_dtype_name(t->dtype));
        rc_err_tensor(err, t->name);
        return RC_E_UNSUPPORTED;
    }
    t->begin = b->offsets[0]; /* relative to the data until place_all() */
    t->nbytes = nbytes;
    return RC_OK;
}

/* A value directly in an entry, or in the array of shape or data_offsets. */
static rc_code entry_value(builder *b, const rc_json_event *ev, rc_err *err)
{
    if (b->field == FIELD_UNKNOWN)
        return RC_OK;
    if (b->field == FIELD_DTYPE)
        return field_dtype(b, ev, err);
    if (ev->depth == 3 && ev->type != RC_JSON_ARRAY_END && ev->type != RC_JSON_OBJECT_END)
        return field_number(b, ev, err);
    if (ev->type == RC_JSON_ARRAY) {
        if (b->field == FIELD_SHAPE)
            b->shape_offset = ev->offset;
        else
            b->offsets_offset = ev->offset;
        return RC_OK;
    }
    if (ev->type != RC_JSON_ARRAY_END)
        return fail_tensor(err, RC_E_DATA, ev->offset, b->t,
                           b->field == FIELD_SHAPE ? "shape is not a list"
                                                   : "data_offsets is not a list");
    if (b->field == FIELD_SHAPE) {
        b->t->rank = b->n;
        b->have |= HAS_SHAPE;
        return RC_OK;
    }
    if (b->n != 2)
        return fail_tensor(err, RC_E_DATA, b->offsets_offset, b->t,
                           "data_offsets is not a pair of numbers");
    b->have |= HAS_OFFSETS;
    return RC_OK;
}

static rc_code on_event(void *ctx, const rc_json_event *ev, rc_err *err)
{
    builder *b = ctx;

    if (ev->depth == 0) {
        if (ev->type != RC_JSON_OBJECT && ev->type != RC_JSON_OBJECT_END)
            return rc_fail(err, RC_E_DATA, ev->offset, "header is not a JSON object");
        return RC_OK;
    }
    if (ev->depth == 1) {
        if (ev->type == RC_JSON_KEY) {
            b->in_metadata = ev->len == 12 && memcmp(ev->text, "__metadata__", 12) == 0;
            return b->in_metadata ? RC_OK : new_entry(b, ev, err);
        }
        if (ev->type == RC_JSON_OBJECT) {
            b->entry_offset = ev->offset;
            return RC_OK;
        }
        if (ev->type == RC_JSON_OBJECT_END)
            return b->in_metadata ? RC_OK : end_entry(b, err);
        if (b->in_metadata)
            return rc_fail(err, RC_E_DATA, ev->offset, "__metadata__ is not an object");
        return fail_tensor(err, RC_E_DATA, ev->offset, b->t, "entry is not an object");
    }
    if (b->in_metadata) {
        if (ev->type == RC_JSON_KEY || ev->type == RC_JSON_STRING)
            return RC_OK;
        return rc_fail(err, RC_E_DATA, ev->offset, "__metadata__ holds something besides strings");
    }
    if (ev->depth == 2 && ev->type == RC_JSON_KEY)
        return field_name(b, ev, err);
    return entry_value(b, ev, err);
}

/* ---------------------------------------------------------------------- tile */

static int compare_place(const void *a, const void *b)
{
    const rc_st_entry *x = *(const rc_st_entry *const *)a, *y = *(const rc_st_entry *const *)b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->nbytes != y->nbytes) /* an empty tensor comes before the one at the same place */
        return x->nbytes < y->nbytes ? -1 : 1;
    return x->key_offset < y->key_offset ? -1 : x->key_offset > y->key_offset;
}

static rc_code sort_by_data(rc_st *st, rc_err *err)
{
    bool sorted = true;
    rc_st_entry *snug = rc_mem_grow(st->mem, st->entries, st->count * sizeof *snug);

    if (snug) /* else it stays roomy */
        st->entries = snug;
    st->by_data = rc_mem_get(st->mem, st->count * sizeof(rc_st_entry *));
    if (!st->by_data)
        return rc_fail_nomem(err, st->mem, st->count * sizeof(rc_st_entry *));
    for (size_t i = 0; i < st->count; i++)
        st->by_data[i] = &st->entries[i];
    for (size_t i = 1; sorted && i < st->count; i++)
        sorted = compare_place(&st->by_data[i - 1], &st->by_data[i]) <= 0;
    if (!sorted)
        qsort(st->by_data, st->count, sizeof *st->by_data, compare_place);
    return RC_OK;
}

/* Each tensor must begin where the one before it ended, and the last one end
 * with the file. Checking here, once, is what lets every later stage trust
 * `begin` and `nbytes`. */
static rc_code place_all(rc_st *st, rc_err *err)
{
    uint64_t cursor = 0; /* bytes of the data section that are taken */

    for (size_t i = 0; i < st->count; i++) {
        rc_st_entry *t = st->by_data[i];
        const uint64_t begin = t->begin, end = begin + t->nbytes;

        if (begin < cursor) {
            char shown[128];
            const rc_st_entry *before = st->by_data[i - 1];

            rc_fail(err, RC_E_DATA, t->key_offset, "overlaps tensor %s",
                    rc_escape(shown, sizeof shown, before->name, strlen(before->name)));
            rc_err_tensor(err, t->name);
            rc_err_want(err, "begin %" PRIu64, cursor);
            rc_err_got(err, "%" PRIu64, begin);
            return RC_E_DATA;
        }
        if (begin > cursor && end > st->data_len) {
            fail_tensor(err, RC_E_DATA, t->key_offset, t, "data_offsets end past the data section");
            rc_err_want(err, "<= %" PRIu64, st->data_len);
            rc_err_got(err, "%" PRIu64, end);
            return RC_E_DATA;
        }
        if (begin > cursor) {
            rc_fail(err, RC_E_DATA, st->data_off + cursor,
                    "hole before this tensor: bytes %" PRIu64 " to %" PRIu64
                    " of the data belong to nothing",
                    cursor, begin);
            rc_err_tensor(err, t->name);
            return RC_E_DATA;
        }
        if (end > st->data_len) {
            fail_tensor(err, RC_E_DATA, st->data_off + st->data_len, t,
                        "the file ends inside this tensor");
            rc_err_want(err, "a data section of %" PRIu64 " bytes or more", end);
            rc_err_got(err, "%" PRIu64, st->data_len);
            rc_err_hint(err, "an unfinished download? fetch this file again");
            return RC_E_DATA;
        }
        t->begin += st->data_off;
        cursor = end;
    }
    if (cursor < st->data_len)
        return rc_fail(err, RC_E_DATA, st->data_off + cursor,
                       "%" PRIu64 " bytes after the last tensor belong to nothing",
                       st->data_len - cursor);
    return RC_OK;
}

static const char *name_at(const void *owner, size_t i)
{
    return ((const rc_st *)owner)->by_data[i]->name;
}

static rc_code build(rc_st *st, const uint8_t *head, const rc_log *log, rc_err *err)
{
    const size_t n = (size_t)st->data_off - 8;
    builder b = { .st = st, .log = log };
    size_t spaces = 0;

    while (spaces < n && head[8 + spaces] == ' ')
        spaces++;
    if (spaces < n && head[8 + spaces] != '{')
        return rc_fail(err, RC_E_DATA, 8 + spaces, "header is not a JSON object");
    if (spaces)
        rc_warn(log, NULL, NULL, 8, "%zu spaces before the header", spaces);
    RC_TRY(rc_json_parse(head + 8, n, 8, on_event, &b, st->mem, err));
    RC_TRY(sort_by_data(st, err));
    RC_TRY(place_all(st, err));
    rc_names_init(&st->find, st->mem, name_at, st);
    if (!rc_names_reserve(&st->find, st->count))
        return rc_fail_nomem(err, st->mem, 4 * st->count);
    for (size_t i = 0; i < st->count; i++)
        if (!rc_names_add(&st->find, i))
            return rc_fail_nomem(err, st->mem, 4 * st->count);
    return RC_OK;
}

rc_code rc_st_new(rc_st **out, const uint8_t *head, size_t head_len, uint64_t file_len,
                  const rc_log *log, rc_mem *mem, rc_err *err)
{
    uint64_t header_end;
    rc_st *st;
    rc_code rc;

    *out = NULL;
    RC_TRY(rc_st_peek(head, head_len, file_len, &header_end, err));
    if (header_end > head_len)
        return rc_fail(err, RC_E_INTERNAL, head_len, "%zu bytes given of a header of %" PRIu64,
                       head_len, header_end);
    st = rc_mem_get(mem, sizeof *st);
    if (!st)
        return rc_fail_nomem(err, mem, sizeof *st);
    st->mem = st->names.mem = mem;
    st->data_off = header_end;
    st->data_len = file_len - header_end;
    rc = build(st, head, log, err);
    if (rc == RC_OK)
        *out = st;
    else
        rc_st_free(&st);
    return rc;
}

void rc_st_free(rc_st **stp)
{
    rc_st *st = *stp;

    *stp = NULL;
    if (!st)
        return;
    rc_names_free(&st->find);
    rc_arena_free(&st->names);
    rc_mem_put(st->mem, st->by_data);
    rc_mem_put(st->mem, st->entries);
    rc_mem_put(st->mem, st);
}

size_t rc_st_count(const rc_st *st)
{
    return st->count;
}

const rc_st_entry *rc_st_at(const rc_st *st, size_t i)
{
    return st->by_data[i];
}

const rc_st_entry *rc_st_find(const rc_st *st, const char *name)
{
    const size_t i = rc_names_find(&st->find, name, strlen(name));

    return i == RC_NAMES_NONE ? NULL : st->by_data[i];
}

uint64_t rc_st_data_off(const rc_st *st)
{
    return st->data_off;
}
